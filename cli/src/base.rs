//! `encoderfile base`: what is cached, fetching more, and finding a verified file.

mod bundle;
mod fetch;
mod list;
mod path;
mod removal;
mod table;
mod usage;
mod verify;

use encoderfile_registry::{BaseBinary, CachedEntry, Digest, EntryId, KeyId, Requirement, Target};
use semver::Version;
use serde::Serialize;

use crate::args;
use crate::bases::{Bases, parse_targets};
use crate::error::Error;
use crate::terminal::Terminal;

pub(crate) fn run(command: &args::Base, global: &args::Global, terminal: Terminal) -> Result<(), Error> {
    let bases = || Bases::open(global, terminal);
    let with = |release| Bases::with_release(global, Some(release), terminal);
    match command {
        args::Base::List(arguments) => list::run(arguments, &bases()?),
        args::Base::Fetch(arguments) => fetch::run(arguments, &with(&arguments.wish.release)?),
        args::Base::Path(arguments) => path::run(arguments, &with(&arguments.release)?),
        args::Base::Verify(arguments) => verify::run(arguments, &bases()?),
        args::Base::Remove(arguments) => removal::remove(arguments, &bases()?),
        args::Base::Prune(arguments) => removal::prune(arguments, &bases()?),
        args::Base::Export(arguments) => bundle::export(arguments, &with(&arguments.wish.release)?),
        args::Base::Import(arguments) => bundle::import(arguments, &bases()?),
        args::Base::Dir(arguments) => usage::dir(arguments, &bases()?),
        args::Base::Size(arguments) => usage::size(arguments, &bases()?),
    }
}

/// What names a base binary, in every command's JSON.
#[derive(Debug, Serialize)]
struct Identity {
    target: Target,
    version: Version,
    key_id: KeyId,
    sha256: Digest,
    /// Bytes.
    length: u64,
}

impl Identity {
    fn of(base: &BaseBinary) -> Self {
        let (target, version) = (base.target, base.version.clone());
        Self { target, version, key_id: base.key_id, sha256: base.sha256, length: base.size }
    }

    fn of_entry(entry: &CachedEntry) -> Self {
        let EntryId { target, version, key_id } = entry.id.clone();
        Self { target, version, key_id, sha256: entry.binary.sha256, length: entry.binary.size }
    }
}

/// A base binary in a line for people.
fn name(id: &EntryId) -> String {
    format!("{} {}", id.target, id.version)
}

/// Those of the cached base binaries that are meant, newest version first.
fn selected(selection: &args::Selection, bases: &Bases) -> Result<Vec<CachedEntry>, Error> {
    let targets = parse_targets(&selection.targets)?;
    let mut entries = bases.registry.list_cached().map_err(|error| bases.error(error))?;
    let requirement = selection.runtime_version.as_ref();
    entries.retain(|entry| is_selected(requirement, &targets, &entry.id.version, entry.id.target));
    if requirement == Some(&Requirement::Latest) {
        let versions = entries.iter().map(|entry| entry.id.version.clone());
        let newest = Requirement::Latest.newest(versions, false);
        entries.retain(|entry| newest.as_ref() == Some(&entry.id.version));
    }
    entries.sort_by(|a, b| b.id.version.cmp(&a.id.version).then_with(|| a.id.cmp(&b.id)));
    Ok(entries)
}

/// Whether a base binary is one of those that are meant. What is here was asked for once, pre-release or not.
fn is_selected(
    requirement: Option<&Requirement>,
    targets: &[Target],
    version: &Version,
    target: Target,
) -> bool {
    let is_of_target = targets.is_empty() || targets.contains(&target);
    is_of_target && requirement.is_none_or(|requirement| requirement.allows(version, true))
}
