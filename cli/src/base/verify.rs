//! `encoderfile base verify`.

use encoderfile_registry::{EntryId, KeyId, Target};
use semver::Version;
use serde::Serialize;

use super::{is_selected, name};
use crate::args;
use crate::bases::{Bases, parse_targets};
use crate::error::Error;
use crate::terminal::{self, size};

/// A line of `base verify --json`.
#[derive(Debug, Serialize)]
struct Report {
    target: Target,
    version: Version,
    key_id: KeyId,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Report {
    fn valid(id: &EntryId) -> Self {
        let EntryId { key_id, version, target } = id.clone();
        Self { target, version, key_id, valid: true, reason: None }
    }

    fn invalid(id: &EntryId, reason: String) -> Self {
        Self { valid: false, reason: Some(reason), ..Self::valid(id) }
    }
}

/// Proves each again, whatever becomes of the others.
pub(super) fn run(arguments: &args::BaseVerify, bases: &Bases) -> Result<(), Error> {
    let targets = parse_targets(&arguments.selection.targets)?;
    let entries = super::selected(&arguments.selection, bases)?;
    let requirement = arguments.selection.runtime_version.as_ref();
    // What was found damaged before is damaged until somebody mends it.
    let quarantined = bases.registry.list_quarantined().map_err(|error| bases.error(error))?;
    let quarantined =
        quarantined.into_iter().filter(|(id, _)| is_selected(requirement, &targets, &id.version, id.target));
    let mut reports = Vec::with_capacity(entries.len());
    let mut failures = Vec::new();
    for entry in &entries {
        let mut report = Report::valid(&entry.id);
        match bases.wait(bases.registry.verify(entry, &bases.voice())) {
            Ok(base) if !arguments.json => {
                let message =
                    format_args!("{} ({}, signed by {})", name(&entry.id), size(base.size), base.key_id);
                bases.terminal.status("Verified", message);
            }
            Ok(_) => {}
            Err(error @ Error::Interrupted { .. }) => return Err(error),
            Err(error) => {
                report = Report::invalid(&entry.id, error.to_string());
                failures.push(error);
            }
        }
        reports.push(report);
    }
    for (id, error) in quarantined {
        reports.push(Report::invalid(&id, error.to_string()));
        failures.push(bases.error(error));
    }
    if arguments.json {
        terminal::json(&reports)?;
    } else if reports.is_empty() {
        bases.terminal.status("Empty", "nothing of this is cached");
    }
    let Some(last) = failures.pop() else { return Ok(()) };
    failures.iter().for_each(terminal::error);
    Err(last)
}
