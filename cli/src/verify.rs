//! `encoderfile verify`: whether a file is what was written.

use encoderfile_format::{Digest, Finding, Outcome};
use serde::Serialize;

use crate::args;
use crate::error::Error;
use crate::files::open_encoderfile;
use crate::terminal;

/// A line of `verify --json`.
#[derive(Debug, Serialize)]
struct Line {
    part: String,
    offset: u64,
    length: u64,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<Digest>,
}

#[derive(Debug, Serialize)]
struct Report {
    intact: bool,
    parts: Vec<Line>,
}

pub(crate) fn run(arguments: &args::Verify) -> Result<(), Error> {
    let path = &arguments.file;
    let encoderfile = open_encoderfile(path)?;
    let findings = encoderfile.verify().map_err(|source| Error::format(path, source))?;
    let damaged: Vec<_> = findings.iter().filter(|finding| finding.is_damage()).collect();
    if arguments.json {
        let parts = findings.iter().map(line).collect();
        terminal::json(&Report { intact: damaged.is_empty(), parts })?;
    } else {
        let lines: Vec<_> = findings.iter().map(text).collect();
        terminal::result(lines.join("\n"))?;
    }
    if damaged.is_empty() {
        return Ok(());
    }
    let parts = damaged.iter().map(|finding| finding.subject.to_string()).collect();
    Err(Error::Damaged { path: path.clone(), parts })
}

fn line(finding: &Finding) -> Line {
    let (result, sha256, expected) = match finding.outcome {
        Outcome::Intact { sha256 } => ("intact", sha256, None),
        Outcome::NotRecorded => ("not recorded", None, None),
        Outcome::Damaged { expected, found } => ("damaged", Some(found), Some(expected)),
        Outcome::DigestLost => ("digest lost", None, None),
        Outcome::NotZero { .. } => ("not zero", None, None),
        _ => ("unknown", None, None),
    };
    let Finding { offset, length, .. } = *finding;
    Line { part: finding.subject.to_string(), offset, length, result, sha256, expected }
}

fn text(finding: &Finding) -> String {
    let part = format!("{:<18}", finding.subject);
    match finding.outcome {
        Outcome::Intact { sha256: Some(_) } => {
            format!("{part} ok       {} bytes, sha256 matches", finding.length)
        }
        Outcome::Intact { sha256: None } => format!("{part} ok       {} bytes, all zero", finding.length),
        Outcome::NotRecorded => format!("{part} unknown  its writer recorded no digest of it"),
        Outcome::Damaged { expected, found } => {
            format!(
                "{part} DAMAGED  {} bytes at byte {}\n  expected sha256 {expected}\n  found    sha256 {found}",
                finding.length, finding.offset
            )
        }
        Outcome::DigestLost => format!("{part} DAMAGED  its own digest is gone"),
        Outcome::NotZero { offset } => format!("{part} DAMAGED  byte {offset} is not zero"),
        _ => format!("{part} unknown"),
    }
}
