//! What digests cannot show: whether the artifacts make sense.

use encoderfile_format::{Artifact, ArtifactKind, Encoderfile, onnx};
use serde::Serialize;

use crate::content::{self, ContentError, SMALL_LIMIT, TOKENIZER_LIMIT, TokenizerView};
use crate::inspect::clipped;

/// Whether an artifact makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sound {
    #[serde(rename = "readable")]
    Yes,
    #[serde(rename = "unreadable")]
    No,
    #[serde(rename = "not looked into")]
    Unknown,
}

/// What was found out of one artifact.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) part: String,
    pub(super) result: Sound,
    /// What it is, or why it is of no use.
    pub(super) detail: String,
}

impl Finding {
    pub(super) fn line(&self) -> String {
        let result = match self.result {
            Sound::Yes => "ok     ",
            Sound::No => "BAD    ",
            Sound::Unknown => "unknown",
        };
        format!("{result}  {}", clipped(&self.detail))
    }

    pub(super) fn sentence(&self) -> String {
        format!("{}: {}", self.part, clipped(&self.detail))
    }
}

/// Looks into each artifact that a model needs to run.
pub(super) fn check(file: &Encoderfile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |kind: ArtifactKind, check: &dyn Fn(&Artifact) -> Result<String, ContentError>| {
        let (result, detail) = match file.manifest().artifact(kind).map(check) {
            Some(Ok(detail)) => (Sound::Yes, detail),
            Some(Err(error @ ContentError::TooLarge { .. })) => (Sound::Unknown, error.to_string()),
            Some(Err(error)) => (Sound::No, error.to_string()),
            None if kind == ArtifactKind::Transform => return,
            None => (Sound::No, "there is none, and nothing runs without".to_owned()),
        };
        findings.push(Finding { part: kind.to_string(), result, detail });
    };
    add(ArtifactKind::ModelConfig, &|_| {
        let config = content::model_config(file, SMALL_LIMIT).expect("it is there")?;
        let architecture = config.model_type.as_deref().unwrap_or("an architecture without a name");
        Ok(match config.label_count() {
            Some(count) => format!("{}, {count} labels", clipped(architecture)),
            None => clipped(architecture),
        })
    });
    add(ArtifactKind::Tokenizer, &|artifact| tokenizer(file, artifact));
    add(ArtifactKind::Transform, &|_| {
        let transform = content::transform(file).expect("it is there")?;
        Ok(format!("{}, {} bytes", content::language(&transform), transform.source.len()))
    });
    add(ArtifactKind::Weights, &|artifact| weights(file, artifact));
    findings
}

fn tokenizer(file: &Encoderfile, artifact: &Artifact) -> Result<String, ContentError> {
    let bytes = content::bytes(file, artifact, TOKENIZER_LIMIT)?;
    let view = TokenizerView::of(&bytes)?;
    view.restored(file.manifest())?;
    Ok(match content::tokenizer_source(file.manifest()) {
        Some(source) => format!("gives {} back, as recorded", clipped(&source.name)),
        None => "JSON; its original is not recorded".to_owned(),
    })
}

fn weights(file: &Encoderfile, artifact: &Artifact) -> Result<String, ContentError> {
    let bytes = content::outline(file, artifact)?;
    let model = onnx::Model::parse(&bytes)?;
    let external = model.external_files().len();
    if external > 0 {
        let data = |name: &str| {
            let mut data = file.manifest().artifacts_of(ArtifactKind::ExternalData);
            data.find(|data| data.name.as_deref() == Some(name)).map(|data| data.length)
        };
        onnx::check_external(&bytes, &|location| data(&content::beside(artifact, location)))?;
    }
    let files = match external {
        0 => String::new(),
        1 => ", some in 1 file beside it".to_owned(),
        count => format!(", some in {count} files beside it"),
    };
    Ok(format!("ONNX, {} initializers{files}", model.initializers.len()))
}
