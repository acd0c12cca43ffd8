//! `encoderfile inspect`: what is inside a file, and where it came from.

use std::fs::File;
use std::path::Path;

use encoderfile_format::{
    ArtifactKind, BaseError, BaseFacts, Digest, Encoderfile, FORMAT_VERSION, ModelConfig, ModelType,
    SentencePooling, SourceFile, Tool, UnknownField, inspect_base, is_image_followed,
};
use serde::Serialize;

use crate::args;
use crate::error::Error;
use crate::files::open;
use crate::terminal::{self, printable, size};

/// What `inspect --json` prints of an encoderfile. Offsets and lengths are bytes of the whole file.
#[derive(Debug, Serialize)]
struct Report<'a> {
    format_version: u32,
    name: &'a str,
    version: &'a str,
    model_type: ModelType,
    length: u64,
    base: BaseReport<'a>,
    artifacts: Vec<ArtifactReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sentence_pooling: Option<&'a SentencePooling>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<String>>,
    sources: &'a [SourceFile],
    writer: Option<&'a Tool>,
    unknown_fields: &'a [UnknownField],
}

/// The base binary. Only its length is known of a file whose writer recorded nothing.
#[derive(Debug, Serialize)]
struct BaseReport<'a> {
    target: Option<&'a str>,
    version: Option<&'a str>,
    sha256: Option<Digest>,
    length: u64,
    key_id: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ArtifactReport {
    kind: String,
    offset: u64,
    length: u64,
    sha256: Digest,
}

/// What `inspect --json` prints of a base binary.
#[derive(Debug, Serialize)]
struct BaseBinaryReport<'a> {
    base: StampReport<'a>,
}

#[derive(Debug, Serialize)]
struct StampReport<'a> {
    target: &'a str,
    version: &'a str,
    length: u64,
    format_versions: &'a [u32],
    onnxruntime_version: &'a str,
}

pub(crate) fn run(arguments: &args::Inspect) -> Result<(), Error> {
    let path = &arguments.file;
    let file = open(path)?;
    match Encoderfile::open(file.try_clone().map_err(|source| Error::Open { path: path.clone(), source })?) {
        Ok(encoderfile) => encoderfile_report(path, &encoderfile, arguments.json),
        Err(encoderfile_format::Error::NoPayload) => match inspect_base(&file) {
            Ok(_) if is_image_followed(&file) => {
                Err(Error::Damaged { path: path.clone(), parts: vec!["its end is missing".to_owned()] })
            }
            Ok(facts) => base_report(path, &file, &facts, arguments.json),
            Err(BaseError::NotExecutable | BaseError::NoStamp) => {
                Err(Error::format(path, encoderfile_format::Error::NoPayload))
            }
            Err(source) => Err(Error::BaseBinary { path: path.clone(), source }),
        },
        Err(source) => Err(Error::format(path, source)),
    }
}

fn encoderfile_report(path: &Path, encoderfile: &Encoderfile, json: bool) -> Result<(), Error> {
    let manifest = encoderfile.manifest();
    let base = manifest.base.as_ref();
    let report = Report {
        format_version: FORMAT_VERSION,
        name: &manifest.name,
        version: &manifest.version,
        model_type: manifest.model_type,
        length: encoderfile.length(),
        base: BaseReport {
            target: base.map(|base| base.target.as_str()),
            version: base.map(|base| base.version.as_str()),
            sha256: base.map(|base| base.sha256),
            length: encoderfile.base_length(),
            key_id: base.and_then(|base| base.key_id.as_deref()),
        },
        artifacts: manifest
            .artifacts
            .iter()
            .map(|artifact| ArtifactReport {
                kind: artifact.kind.to_string(),
                offset: artifact.offset,
                length: artifact.length,
                sha256: artifact.sha256,
            })
            .collect(),
        sentence_pooling: manifest.sentence_pooling.as_ref(),
        labels: labels(encoderfile),
        sources: &manifest.sources,
        writer: manifest.writer.as_ref(),
        unknown_fields: &manifest.unknown_fields,
    };
    if json { terminal::json(&report) } else { terminal::result(text(path, &report)) }
}

/// The labels in order. A damaged configuration is for `verify` to report.
fn labels(encoderfile: &Encoderfile) -> Option<Vec<String>> {
    let bytes = encoderfile.read(ArtifactKind::ModelConfig).ok()?;
    let config = ModelConfig::from_json(&bytes).ok()?;
    let is_classification = matches!(
        encoderfile.manifest().model_type,
        ModelType::SequenceClassification | ModelType::TokenClassification
    );
    // The number is as large as the file says; a list of millions helps nobody.
    let count = config.label_count().filter(|count| is_classification && *count <= 10_000)?;
    Some((0..count).map(|index| config.label(index)).collect())
}

/// One screen for people: a line per fact, digests whole, so that they can be compared.
fn text(path: &Path, report: &Report<'_>) -> String {
    let mut lines = vec![format!("{}  ({})", path.display(), size(report.length))];
    let mut line = |key: &str, value: String| lines.push(format!("  {key:<10} {value}"));
    line("model", [report.name, report.version].join(" ").trim_end().to_owned());
    line("task", task(report));
    if let Some(labels) = &report.labels {
        line("labels", shortened(labels));
    }
    for (position, text) in base(&report.base).into_iter().enumerate() {
        line(if position == 0 { "base" } else { "" }, text);
    }
    if let Some(sha256) = report.base.sha256 {
        lines.push(format!("    sha256 {sha256}"));
    }
    let mut line = |key: &str, value: String| lines.push(format!("  {key:<10} {value}"));
    if let Some(writer) = report.writer {
        line("written by", format!("{} {}", writer.name, writer.version));
    }
    line("format", format!("version {}", report.format_version));
    lines.push(String::new());
    for artifact in &report.artifacts {
        lines.push(format!(
            "  {:<18} {:>10}  at byte {}",
            artifact.kind,
            size(artifact.length),
            artifact.offset
        ));
        lines.push(format!("    sha256 {}", artifact.sha256));
    }
    if !report.sources.is_empty() {
        lines.push(String::new());
        lines.push("  made from".to_owned());
        for source in report.sources {
            lines.push(format!("  {:<29} {:>10}", source.name, size(source.length)));
            lines.push(format!("    sha256 {}", source.sha256));
        }
    }
    if !report.unknown_fields.is_empty() {
        let numbers: Vec<_> = report.unknown_fields.iter().map(|field| field.number.to_string()).collect();
        lines.push(String::new());
        lines.push(format!("  unknown manifest fields, ignored: {}", shortened(&numbers)));
    }
    // Names and labels are the file's: they may hold anything.
    let lines: Vec<_> = lines.iter().map(|line| printable(line)).collect();
    lines.join("\n")
}

fn task(report: &Report<'_>) -> String {
    match report.sentence_pooling {
        Some(pooling) => format!("{}: {}", report.model_type, pooling_text(pooling)),
        None => report.model_type.to_string(),
    }
}

/// Such as `mean pooling, normalised`.
pub(crate) fn pooling_text(pooling: &SentencePooling) -> String {
    let modes: Vec<_> = pooling.modes.iter().map(|mode| format!("{mode:?}").to_lowercase()).collect();
    format!("{} pooling{}", modes.join(" + "), if pooling.normalize { ", normalised" } else { "" })
}

fn base(base: &BaseReport<'_>) -> Vec<String> {
    let Some(target) = base.target else {
        return vec![format!("{}, not recorded which", size(base.length))];
    };
    let signed = match base.key_id {
        Some(key_id) => format!("signed by {key_id}"),
        None => "given by path, unsigned".to_owned(),
    };
    let release = format!("{target} {} ({})", base.version.unwrap_or_default(), size(base.length));
    vec![release, signed]
}

/// The first few of many.
fn shortened(items: &[String]) -> String {
    const MOST: usize = 12;
    let shown = items[..items.len().min(MOST)].join(", ");
    if items.len() > MOST { format!("{shown}, … ({} in all)", items.len()) } else { shown }
}

fn base_report(path: &Path, file: &File, facts: &BaseFacts, json: bool) -> Result<(), Error> {
    let length = file.metadata().map_err(|source| Error::Open { path: path.to_owned(), source })?.len();
    let stamp = &facts.stamp;
    let report = BaseBinaryReport {
        base: StampReport {
            target: &stamp.target,
            version: &stamp.version,
            length,
            format_versions: &stamp.format_versions,
            onnxruntime_version: &stamp.onnxruntime_version,
        },
    };
    if json {
        return terminal::json(&report);
    }
    terminal::result(format!(
        "{}  ({})\n  a base binary: no model is appended to it\n  target        {}\n  version       {}\n  ONNX Runtime  {}",
        path.display(),
        size(length),
        stamp.target,
        stamp.version,
        stamp.onnxruntime_version
    ))
}
