//! `encoderfile base fetch`.

use std::path::PathBuf;

use encoderfile_registry::{Digest, Fetched, Host, KeyId, PlannedFetch, Target};
use futures_util::future::join_all;
use semver::Version;
use serde::Serialize;

use super::{Identity, name};
use crate::args;
use crate::bases::{Bases, targets_or_host};
use crate::error::Error;
use crate::progress::Lines;
use crate::terminal::{self, Terminal, size};

/// A line of `base fetch --json`.
#[derive(Debug, Serialize)]
pub(super) struct FetchedReport {
    #[serde(flatten)]
    identity: Identity,
    path: PathBuf,
    was_cached: bool,
}

impl FetchedReport {
    pub(super) fn new(Fetched { base, was_cached }: &Fetched) -> Self {
        Self { identity: Identity::of(base), path: base.path.clone(), was_cached: *was_cached }
    }
}

/// A line of `base fetch --dry-run --json`.
#[derive(Debug, Serialize)]
struct PlannedReport {
    target: Target,
    version: Version,
    key_id: KeyId,
    archive: String,
    archive_sha256: Digest,
    /// Bytes of the archive, and how many of them would be downloaded.
    archive_length: u64,
    download_length: u64,
    cached: bool,
    source: Option<String>,
}

pub(super) fn run(arguments: &args::BaseFetch, bases: &Bases) -> Result<(), Error> {
    let wish = &arguments.wish;
    let version = bases.resolve(&wish.release.wanted())?;
    let targets = targets(wish, &version, bases)?;
    if arguments.dry_run {
        return plan(arguments, &targets, &version, bases);
    }
    // Without a target, it is for this machine, and what would not start here is no use.
    let is_for_host = wish.targets.is_empty() && !wish.all;
    let host = is_for_host.then(Host::detect).transpose()?;
    let (fetched, failure) = all(&targets, &version, arguments.force, host.as_ref(), bases)?;
    if arguments.json {
        terminal::json(&fetched)?;
    }
    failure.map_or(Ok(()), Err)
}

/// The targets that were named, or all of the release.
pub(super) fn targets(wish: &args::Wish, version: &Version, bases: &Bases) -> Result<Vec<Target>, Error> {
    if !wish.all {
        return targets_or_host(&wish.targets);
    }
    let index = bases.wait(bases.registry.index(version, &bases.voice()))?.index;
    Ok(index.targets.into_keys().collect())
}

/// Fetches several targets at once, each with a line of its own. What works stays, also where another fails. None is held for
/// reading while another is waited for: two processes that replace the same base binaries would wait for each other. Returns
/// what is here, and the last failure, which is the one that is not told yet.
pub(super) fn all(
    targets: &[Target],
    version: &Version,
    force: bool,
    host: Option<&Host>,
    bases: &Bases,
) -> Result<(Vec<FetchedReport>, Option<Error>), Error> {
    let lines = Lines::new(bases.terminal);
    let downloads = targets.iter().map(|&target| {
        let lines = &lines;
        async move {
            let line = lines.line(target);
            let fetched = match host {
                Some(host) => bases.registry.fetch_for(host, version, force, &line).await?,
                None => bases.registry.fetch(target, version, force, &line).await?,
            };
            drop(line);
            lines.suspend(|| report(&fetched, "Fetched", bases.terminal));
            Ok::<_, encoderfile_registry::Error>(FetchedReport::new(&fetched))
        }
    });
    let results = bases.wait_for(&lines, join_all(downloads))?;
    let (mut fetched, mut failures) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(base) => fetched.push(base),
            Err(error) => failures.push(bases.error(error)),
        }
    }
    let last = failures.pop();
    failures.iter().for_each(terminal::error);
    Ok((fetched, last))
}

pub(super) fn report(fetched: &Fetched, verb: &str, terminal: Terminal) {
    let base = &fetched.base;
    let verb = if fetched.was_cached { "Cached" } else { verb };
    let message =
        format_args!("{} {} ({}, signed by {})", base.target, base.version, size(base.size), base.key_id);
    terminal.status(verb, message);
    terminal.detail("Path", base.path.display());
}

fn plan(
    arguments: &args::BaseFetch,
    targets: &[Target],
    version: &Version,
    bases: &Bases,
) -> Result<(), Error> {
    let voice = bases.voice();
    let plan = |&target| bases.wait(bases.registry.plan_fetch(target, version, arguments.force, &voice));
    let plans: Vec<PlannedFetch> = targets.iter().map(plan).collect::<Result<_, _>>()?;
    if arguments.json {
        let reports = plans.iter().map(|plan| PlannedReport {
            target: plan.id.target,
            version: plan.id.version.clone(),
            key_id: plan.id.key_id,
            archive: plan.archive.name.clone(),
            archive_sha256: plan.archive.sha256,
            archive_length: plan.archive.size,
            download_length: plan.remaining(),
            cached: plan.is_cached,
            source: plan.source.clone(),
        });
        return terminal::json(&reports.collect::<Vec<_>>());
    }
    for plan in &plans {
        terminal::result(match (&plan.source, plan.present) {
            (Some(source), 0) => {
                format!("would download {} ({}) from {source}", name(&plan.id), size(plan.remaining()))
            }
            (Some(source), present) => format!(
                "would download {} ({} more, {} are here) from {source}",
                name(&plan.id),
                size(plan.remaining()),
                size(present)
            ),
            (None, _) => format!("cached: {}", name(&plan.id)),
        })?;
    }
    let total = plans.iter().map(PlannedFetch::remaining).sum();
    terminal::result(format_args!("{} to download", size(total)))
}
