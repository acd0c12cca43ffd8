//! `encoderfile base list`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use encoderfile_registry::{Digest, KeyId, Requirement, Standing, Target, Wanted};
use semver::Version;
use serde::Serialize;

use super::table::table;
use crate::args;
use crate::bases::{Bases, default_version, parse_targets};
use crate::error::Error;
use crate::terminal::{self, size};

/// A line of `base list --json`.
#[derive(Debug, Serialize)]
struct Listed {
    target: Target,
    version: Version,
    cached: bool,
    /// Whether it was found damaged, and taken out of use.
    damaged: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<KeyId>,
    /// What the signatures of that key count for.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_standing: Option<Standing>,
    /// Bytes, of the base binary.
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Digest>,
    /// Bytes, of the archive that would be downloaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    archive_length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    installed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<String>,
}

impl Listed {
    fn uncached(target: Target, version: Version) -> Self {
        Self {
            target,
            version,
            cached: false,
            damaged: false,
            key_id: None,
            key_standing: None,
            length: None,
            sha256: None,
            archive_length: None,
            path: None,
            source: None,
            installed: None,
            published: None,
        }
    }

    fn is(&self, target: Target, version: &Version) -> bool {
        self.target == target && self.version == *version
    }
}

pub(super) fn run(arguments: &args::BaseList, bases: &Bases) -> Result<(), Error> {
    let targets = parse_targets(&arguments.selection.targets)?;
    let mut listed = if arguments.remote { remote(arguments, bases)? } else { cached(bases)? };
    if !arguments.remote && !arguments.cached {
        add_known(&mut listed, bases)?;
    }
    let requirement = arguments.selection.runtime_version.as_ref();
    listed.retain(|entry| super::is_selected(requirement, &targets, &entry.version, entry.target));
    if requirement == Some(&Requirement::Latest) {
        let versions = listed.iter().map(|entry| entry.version.clone());
        let newest = Requirement::Latest.newest(versions, arguments.pre);
        listed.retain(|entry| newest.as_ref() == Some(&entry.version));
    }
    listed.sort_by(|a, b| b.version.cmp(&a.version).then(a.target.cmp(&b.target)));
    if arguments.json {
        return terminal::json(&listed);
    }
    if listed.is_empty() {
        let nothing = if arguments.remote {
            "no release of the sources is asked for; pre-releases are listed with `--pre`"
        } else {
            "nothing is cached: `encoderfile base fetch` downloads a base binary"
        };
        bases.terminal.status("Empty", nothing);
        return Ok(());
    }
    terminal::result(if arguments.remote { remote_table(&listed) } else { cached_table(&listed) })
}

fn cached(bases: &Bases) -> Result<Vec<Listed>, Error> {
    let entries = bases.registry.list_cached().map_err(|error| bases.error(error))?;
    let listed = entries.into_iter().map(|entry| Listed {
        cached: true,
        key_id: Some(entry.id.key_id),
        key_standing: Some(bases.registry.standing(entry.id.key_id)),
        length: Some(entry.binary.size),
        sha256: Some(entry.binary.sha256),
        path: Some(entry.path),
        source: Some(entry.source),
        installed: Some(entry.installed.to_string()),
        ..Listed::uncached(entry.id.target, entry.id.version)
    });
    let mut listed: Vec<_> = listed.collect();
    let quarantined = bases.registry.list_quarantined().map_err(|error| bases.error(error))?;
    listed.extend(quarantined.into_iter().map(|(id, _)| Listed {
        damaged: true,
        key_id: Some(id.key_id),
        key_standing: Some(bases.registry.standing(id.key_id)),
        ..Listed::uncached(id.target, id.version)
    }));
    Ok(listed)
}

/// What could be fetched: the rest of the releases that something is cached of, and this program's own.
fn add_known(listed: &mut Vec<Listed>, bases: &Bases) -> Result<(), Error> {
    let known = bases.wait(bases.registry.known_releases(&bases.voice()))?;
    let known = known.into_iter().flat_map(|signed| {
        let (version, key_id) = (signed.index.version, signed.key_id);
        signed.index.targets.into_iter().map(move |(target, entry)| Listed {
            key_id: Some(key_id),
            key_standing: Some(Standing::Trusted),
            archive_length: Some(entry.archive.size),
            ..Listed::uncached(target, version.clone())
        })
    });
    let own = Target::ALL.into_iter().map(|target| Listed::uncached(target, default_version()));
    for candidate in known.chain(own) {
        if !listed.iter().any(|entry| entry.is(candidate.target, &candidate.version)) {
            listed.push(candidate);
        }
    }
    Ok(())
}

fn remote(arguments: &args::BaseList, bases: &Bases) -> Result<Vec<Listed>, Error> {
    let cached = bases.registry.list_cached().map_err(|error| bases.error(error))?;
    let cached: BTreeSet<_> = cached.into_iter().map(|entry| (entry.id.target, entry.id.version)).collect();
    let requirement = arguments.selection.runtime_version.clone();
    let all = requirement.is_none();
    let wanted =
        Wanted { requirement: requirement.unwrap_or(Requirement::Latest), pre_releases: arguments.pre };
    let releases = bases.wait(bases.registry.releases(&bases.voice()))?;
    let releases = releases.into_iter().filter(|release| {
        if all { arguments.pre || !release.pre_release } else { wanted.allows(&release.version) }
    });
    let listed = releases.flat_map(|release| {
        let (version, source, published) = (release.version, release.source, release.published);
        let cached = &cached;
        release.archives.into_iter().map(move |(target, length)| Listed {
            cached: cached.contains(&(target, version.clone())),
            archive_length: Some(length),
            source: Some(source.clone()),
            published: published.map(|time| time.to_string()),
            ..Listed::uncached(target, version.clone())
        })
    });
    Ok(listed.collect())
}

fn cached_table(listed: &[Listed]) -> String {
    let rows = listed.iter().map(|entry| {
        let absent = if entry.damaged { "damaged" } else { "not cached" };
        let length = entry.length.map_or_else(|| absent.to_owned(), size);
        let key_id = entry.key_id.map(|id| id.to_string()).unwrap_or_default();
        let key_id = match entry.key_standing {
            None | Some(Standing::Trusted) => key_id,
            Some(Standing::Revoked) => format!("{key_id} (revoked)"),
            Some(_) => format!("{key_id} (not trusted)"),
        };
        [entry.target.triple().to_owned(), entry.version.to_string(), length, key_id]
    });
    table(["TARGET", "VERSION", "SIZE", "SIGNED BY"], &[2], rows)
}

fn remote_table(listed: &[Listed]) -> String {
    let rows = listed.iter().map(|entry| {
        let length = entry.archive_length.map(size).unwrap_or_default();
        let published = entry.published.as_deref().and_then(|time| time.get(..10)).unwrap_or_default();
        let cached = if entry.cached { "yes" } else { "no" };
        let version = entry.version.to_string();
        [entry.target.triple().to_owned(), version, length, published.to_owned(), cached.to_owned()]
    });
    table(["TARGET", "VERSION", "DOWNLOAD", "PUBLISHED", "CACHED"], &[2], rows)
}
