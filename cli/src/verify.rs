//! `encoderfile verify`: whether a file is what was written, what it holds can be read, and its base binary is a release's.

mod content;
mod origin;

use std::thread;

use encoderfile_format::{Digest, Finding, Outcome, Subject};
use serde::Serialize;

use self::content::Sound;
use self::origin::Origin;
use crate::args;
use crate::bases::Bases;
use crate::error::Error;
use crate::files::open_readable_encoderfile;
use crate::terminal::{self, Terminal, printable};

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
    /// Why a code signature does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    /// Whether nothing contradicts what the file says of itself.
    intact: bool,
    parts: Vec<Line>,
    contents: &'a [content::Finding],
    base: &'a Origin,
    proven: Vec<String>,
    not_proven: Vec<String>,
}

pub(crate) fn run(arguments: &args::Verify, global: &args::Global, terminal: Terminal) -> Result<(), Error> {
    let path = &arguments.file;
    let encoderfile = open_readable_encoderfile(path)?;
    // What is in the file can be read while its bytes are hashed.
    let (findings, contents) = thread::scope(|scope| {
        let contents = scope.spawn(|| content::check(&encoderfile));
        let findings = encoderfile.verify();
        (findings, contents.join())
    });
    let findings = findings.map_err(|source| Error::format(path, source))?;
    let contents = contents.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let origin = origin(&encoderfile, &findings, global, terminal)?;

    let mut damaged: Vec<_> =
        findings.iter().filter(|finding| finding.is_damage()).map(|found| &found.subject).collect();
    if matches!(origin, Origin::Contradicted { .. }) {
        damaged.push(&Subject::Base);
    }
    let (proven, not_proven) = (proven(&findings, &origin), not_proven(&findings, &origin));
    let hint = if is_behind_signature(&findings) { Some(REBASE_HINT) } else { None };
    let hints: Vec<_> = origin.hint().into_iter().chain(hint).collect();
    if arguments.json {
        let parts = findings.iter().map(line).collect();
        let (contents, base) = (&contents, &origin);
        let intact = damaged.is_empty() && contents.iter().all(|finding| finding.result != Sound::No);
        terminal::json(&Report { intact, parts, contents, base, proven, not_proven })?;
    } else {
        terminal::result(text(&findings, &contents, &hints, &proven, &not_proven))?;
    }
    if !damaged.is_empty() {
        let parts = damaged.iter().map(|subject| printable(&subject.to_string())).collect();
        return Err(Error::Damaged { path: path.clone(), parts });
    }
    let unsound = contents.iter().filter(|finding| finding.result == Sound::No);
    let reasons: Vec<_> = unsound.map(content::Finding::sentence).collect();
    if reasons.is_empty() { Ok(()) } else { Err(Error::Content { path: path.clone(), reasons }) }
}

/// Where the base binary comes from, as far as the cache can tell.
fn origin(
    encoderfile: &encoderfile_format::Encoderfile,
    findings: &[Finding],
    global: &args::Global,
    terminal: Terminal,
) -> Result<Origin, Error> {
    let is_intact = findings
        .iter()
        .any(|finding| finding.subject == Subject::Base && matches!(finding.outcome, Outcome::Intact { .. }));
    let Some(base) = encoderfile.manifest().base.as_ref() else { return Ok(Origin::not_recorded()) };
    if !is_intact {
        return Ok(Origin::damaged());
    }
    let bases = match Bases::open(global, terminal) {
        // There is no cache that could tell.
        Err(Error::NoCacheFolder) => None,
        bases => Some(bases?),
    };
    origin::of(base, bases.as_ref())
}

fn line(finding: &Finding) -> Line {
    let (result, sha256, expected) = match finding.outcome {
        Outcome::Intact { sha256 } => ("intact", sha256, None),
        Outcome::NotRecorded => ("not recorded", None, None),
        Outcome::Damaged { expected, found } => ("damaged", Some(found), Some(expected)),
        Outcome::DigestLost => ("digest lost", None, None),
        Outcome::NotZero { .. } => ("not zero", None, None),
        Outcome::Signed { .. } => ("intact", None, None),
        Outcome::NotSigned { .. } => ("damaged", None, None),
        Outcome::NotSignedFor => ("not covered", None, None),
        _ => ("unknown", None, None),
    };
    let reason = match &finding.outcome {
        Outcome::NotSigned { reason } => Some(reason.clone()),
        _ => None,
    };
    let Finding { offset, length, .. } = *finding;
    Line { part: finding.subject.to_string(), offset, length, result, sha256, expected, reason }
}

/// What holds whoever gave the file.
fn proven(findings: &[Finding], origin: &Origin) -> Vec<String> {
    let mut proven = Vec::new();
    if !findings.iter().any(Finding::is_damage) {
        let unknown = findings.iter().filter(|finding| finding.outcome == Outcome::NotRecorded);
        let unknown: Vec<_> = unknown.map(|finding| finding.subject.to_string()).collect();
        let signature = findings.iter().find(|finding| matches!(finding.outcome, Outcome::Signed { .. }));
        let bytes = if signature.is_some() { "every byte before the code signature" } else { "every byte" };
        proven.push(match unknown[..] {
            [] => format!("{bytes} is what its writer recorded"),
            _ => format!("{bytes} is what its writer recorded, but those of {}", unknown.join(" and ")),
        });
        if signature.is_some() {
            proven.push("the code signature covers all of these bytes, and holds".to_owned());
        }
    }
    proven.extend(origin.proven());
    proven
}

/// What makes a file that macOS starts of one that it does not.
const REBASE_HINT: &str = "put its model into a signed file with `encoderfile rebase`";

/// Whether the model lies behind the code signature.
fn is_behind_signature(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.outcome == Outcome::NotSignedFor)
}

/// What has to be found out in another way.
fn not_proven(findings: &[Finding], origin: &Origin) -> Vec<String> {
    let mut not_proven: Vec<_> = origin.not_proven().into_iter().collect();
    if is_behind_signature(findings) {
        not_proven.push(
            "that macOS starts it: from macOS 27 on, nothing may lie behind the code signature".to_owned(),
        );
    }
    if findings.iter().any(|finding| finding.outcome == Outcome::Signed { has_identity: true }) {
        not_proven.push(
            "whose identity it is that its code signature names: ask `codesign --verify` on a Mac".to_owned(),
        );
    }
    not_proven.push("who wrote it: compare the digests of `inspect` with the publisher's".to_owned());
    not_proven
}

fn text(
    findings: &[Finding],
    contents: &[content::Finding],
    hints: &[&str],
    proven: &[String],
    not_proven: &[String],
) -> String {
    let parts = findings.iter().map(|finding| printable(&finding.subject.to_string()));
    let parts: Vec<_> = parts.chain(contents.iter().map(|finding| format!("in {}", finding.part))).collect();
    let width = parts.iter().map(|part| part.chars().count()).max().unwrap_or(0).min(40);
    let told = findings.iter().map(finding_text).chain(contents.iter().map(content::Finding::line));
    let mut lines: Vec<_> =
        parts.iter().zip(told).map(|(part, text)| format!("{part:<width$} {text}")).collect();
    lines.push(String::new());
    for (heading, items) in [("proven", proven), ("not proven", not_proven)] {
        for (position, line) in items.iter().flat_map(|item| wrapped(item)).enumerate() {
            lines.push(format!("{:<11} {line}", if position == 0 { heading } else { "" }));
        }
    }
    lines.extend(hints.iter().map(|hint| format!("hint: {hint}")));
    lines.join("\n")
}

fn finding_text(finding: &Finding) -> String {
    match finding.outcome {
        Outcome::Intact { sha256: Some(_) } => format!("ok       {} bytes, sha256 matches", finding.length),
        Outcome::Intact { sha256: None } => format!("ok       {} bytes, all zero", finding.length),
        Outcome::NotRecorded => "unknown  its writer recorded no digest of it".to_owned(),
        Outcome::Damaged { expected, found } => {
            format!(
                "DAMAGED  {} bytes at byte {}\n  expected sha256 {expected}\n  found    sha256 {found}",
                finding.length, finding.offset
            )
        }
        Outcome::DigestLost => "DAMAGED  its own digest is gone".to_owned(),
        Outcome::NotZero { offset } => format!("DAMAGED  byte {offset} is not zero"),
        Outcome::Signed { has_identity } => {
            let whose = if has_identity { "with an identity, which is not checked" } else { "ad hoc" };
            format!("ok       {} bytes, every page as signed ({whose})", finding.length)
        }
        Outcome::NotSigned { ref reason } => format!("DAMAGED  {reason}"),
        Outcome::NotSignedFor => "unknown  it does not cover the model, which lies behind it".to_owned(),
        _ => "unknown".to_owned(),
    }
}

/// Lines that fit beside the heading.
fn wrapped(text: &str) -> Vec<String> {
    const WIDTH: usize = 68;
    let mut lines: Vec<String> = Vec::new();
    for word in printable(text).split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
