//! `encoderfile base remove` and `prune`.

use std::path::PathBuf;

use encoderfile_registry::{CachedEntry, Leftover, LeftoverKind, Reclaimed, select_for_pruning};
use jiff::{Span, Timestamp, tz::TimeZone};
use serde::Serialize;

use super::{Identity, name};
use crate::args;
use crate::bases::Bases;
use crate::error::Error;
use crate::terminal::{self, size};

/// What `base remove --json` and `base prune --json` print.
#[derive(Debug, Default, Serialize)]
struct Report {
    dry_run: bool,
    /// Bytes, of all that is removed.
    freed: u64,
    base_binaries: Vec<Identity>,
    leftovers: Vec<LeftoverReport>,
}

#[derive(Debug, Serialize)]
struct LeftoverReport {
    kind: &'static str,
    path: PathBuf,
    length: u64,
    /// Whether another process uses it, so that it stays.
    in_use: bool,
}

pub(super) fn remove(arguments: &args::BaseRemove, bases: &Bases) -> Result<(), Error> {
    let entries = super::selected(&arguments.selection, bases)?;
    let mut removal = Removal::new(bases, arguments.dry_run, arguments.json);
    removal.entries(&entries)?;
    removal.finish("nothing of this is cached")
}

pub(super) fn prune(arguments: &args::BasePrune, bases: &Bases) -> Result<(), Error> {
    let cached = bases.registry.list_cached().map_err(|error| bases.error(error))?;
    let before = arguments.older_than.map(ago).transpose()?;
    let entries = select_for_pruning(&cached, arguments.keep, before);
    let mut removal = Removal::new(bases, arguments.dry_run, arguments.json);
    removal.entries(&entries)?;
    removal.leftovers()?;
    removal.finish("there is nothing to remove")
}

/// So long before now. Days have 24 hours, months and years are those of the calendar.
fn ago(span: Span) -> Result<Timestamp, Error> {
    let now = Timestamp::now().to_zoned(TimeZone::UTC);
    Ok(now.checked_sub(span).map_err(|_| Error::TooLongAgo)?.timestamp())
}

/// A removal, and what is said of it.
struct Removal<'a> {
    bases: &'a Bases,
    json: bool,
    report: Report,
}

impl<'a> Removal<'a> {
    fn new(bases: &'a Bases, dry_run: bool, json: bool) -> Self {
        Self { bases, json, report: Report { dry_run, ..Report::default() } }
    }

    fn entries(&mut self, entries: &[CachedEntry]) -> Result<(), Error> {
        let bases = self.bases;
        for entry in entries {
            let freed = if self.report.dry_run {
                entry.binary.size
            } else {
                bases.wait_through(bases.registry.remove(&entry.id, &bases.voice()))?
            };
            self.tell(&format!("{} ({}, signed by {})", name(&entry.id), size(freed), entry.id.key_id))?;
            self.report.freed += freed;
            self.report.base_binaries.push(Identity::of_entry(entry));
        }
        Ok(())
    }

    fn leftovers(&mut self) -> Result<(), Error> {
        let bases = self.bases;
        for leftover in bases.registry.leftovers().map_err(|error| bases.error(error))? {
            let reclaimed = match (self.report.dry_run, leftover.in_use) {
                (_, true) => Reclaimed::InUse,
                (true, false) => Reclaimed::Freed(leftover.bytes),
                (false, false) => bases.wait_through(bases.registry.remove_leftover(&leftover))?,
            };
            let described = format!("{}, {}", describe(leftover.kind), leftover.path.display());
            match reclaimed {
                Reclaimed::Freed(bytes) => {
                    self.tell(&format!("{described} ({})", size(bytes)))?;
                    self.report.freed += bytes;
                }
                Reclaimed::InUse => bases.terminal.status("In use", described),
            }
            self.report.leftovers.push(LeftoverReport::new(leftover, reclaimed));
        }
        Ok(())
    }

    fn tell(&self, what: &str) -> Result<(), Error> {
        match (self.report.dry_run, self.json) {
            (true, true) => {}
            (true, false) => terminal::result(format_args!("would remove {what}"))?,
            (false, _) => self.bases.terminal.status("Removed", what),
        }
        Ok(())
    }

    fn finish(self, nothing: &str) -> Result<(), Error> {
        if self.json {
            return terminal::json(&self.report);
        }
        if self.report.base_binaries.is_empty() && self.report.leftovers.is_empty() {
            self.bases.terminal.status("Empty", nothing);
        } else if self.report.dry_run {
            terminal::result(format_args!("{} would be freed", size(self.report.freed)))?;
        } else {
            self.bases.terminal.status("Freed", size(self.report.freed));
        }
        Ok(())
    }
}

impl LeftoverReport {
    fn new(leftover: Leftover, reclaimed: Reclaimed) -> Self {
        let in_use = reclaimed == Reclaimed::InUse;
        Self { kind: describe(leftover.kind), path: leftover.path, length: leftover.bytes, in_use }
    }
}

fn describe(kind: LeftoverKind) -> &'static str {
    match kind {
        LeftoverKind::InterruptedDownload => "interrupted download",
        LeftoverKind::TemporaryFile => "temporary file",
        LeftoverKind::Quarantined => "damaged base binary",
        LeftoverKind::HalfEntry => "unfinished installation",
        LeftoverKind::UnusedIndex => "unused index",
        _ => "leftover",
    }
}
