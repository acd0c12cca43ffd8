//! `encoderfile base verify`.

use serde::Serialize;

use super::{Identity, name};
use crate::args;
use crate::bases::Bases;
use crate::error::Error;
use crate::terminal::{self, size};

/// A line of `base verify --json`.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    identity: Identity,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Proves each again, whatever becomes of the others.
pub(super) fn run(arguments: &args::BaseVerify, bases: &Bases) -> Result<(), Error> {
    let entries = super::selected(&arguments.selection, bases)?;
    let mut reports = Vec::with_capacity(entries.len());
    let mut failures = Vec::new();
    for entry in &entries {
        let mut report = Report { identity: Identity::of_entry(entry), valid: true, reason: None };
        match bases.wait(bases.registry.verify(entry, &bases.voice())) {
            Ok(base) if !arguments.json => {
                let message =
                    format_args!("{} ({}, signed by {})", name(&entry.id), size(base.size), base.key_id);
                bases.terminal.status("Verified", message);
            }
            Ok(_) => {}
            Err(error @ Error::Interrupted { .. }) => return Err(error),
            Err(error) => {
                (report.valid, report.reason) = (false, Some(error.to_string()));
                failures.push(error);
            }
        }
        reports.push(report);
    }
    if arguments.json {
        terminal::json(&reports)?;
    } else if entries.is_empty() {
        bases.terminal.status("Empty", "nothing of this is cached");
    }
    let Some(last) = failures.pop() else { return Ok(()) };
    failures.iter().for_each(terminal::error);
    Err(last)
}
