//! What the artifacts of a file say, read within bounds that hold for files of any size and any author.

use std::collections::HashMap;
use std::fmt;
use std::os::unix::fs::FileExt as _;

use encoderfile_format::{
    Artifact, ArtifactKind, Digest, Edit, Encoderfile, Manifest, ModelConfig, ModelType, SourceFile,
    Transform, TransformType, onnx,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::Digest as _;

/// The largest tokenizer that is looked into: those of the models with the most words have 34 MB.
pub(crate) const TOKENIZER_LIMIT: u64 = 40 << 20;
/// The largest other artifact that is looked into. A label's name takes dozens of bytes, once read.
pub(crate) const SMALL_LIMIT: u64 = 4 << 20;

/// Why an artifact was not looked into, or what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    #[error("not looked into: it has {length} bytes, more than {limit}")]
    TooLarge { length: u64, limit: u64 },
    #[error(transparent)]
    Read(#[from] encoderfile_format::Error),
    #[error(transparent)]
    System(#[from] std::io::Error),
    #[error("it is not the JSON that it should be: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it is no message `Transform`: {0}")]
    Transform(String),
    #[error("{0}")]
    Onnx(#[from] onnx::OnnxError),
    #[error("undoing what was changed gives no `{name}` that has sha256 {expected}")]
    Original { name: String, expected: Digest },
    #[error("what was changed in it cannot be undone: the edits are those of another tokenizer")]
    Edits,
}

/// The bytes of an artifact, whether they are intact or not.
pub(crate) fn bytes(file: &Encoderfile, artifact: &Artifact, limit: u64) -> Result<Vec<u8>, ContentError> {
    let length = artifact.length;
    let Some(size) = usize::try_from(length).ok().filter(|_| length <= limit) else {
        return Err(ContentError::TooLarge { length, limit });
    };
    let mut bytes = vec![0; size];
    file.file().read_exact_at(&mut bytes, artifact.offset)?;
    Ok(bytes)
}

/// The configuration of the model, where the file has one.
pub(crate) fn model_config(file: &Encoderfile, limit: u64) -> Option<Result<ModelConfig, ContentError>> {
    let artifact = file.manifest().artifact(ArtifactKind::ModelConfig)?;
    let read = || Ok(ModelConfig::from_json(&bytes(file, artifact, limit)?)?);
    Some(read())
}

/// The labels of a model that has them, in order.
pub(crate) fn labels(task: ModelType, config: &ModelConfig) -> Option<Vec<String>> {
    let is_classification =
        matches!(task, ModelType::SequenceClassification | ModelType::TokenClassification);
    // The number is as large as the file says; a list of millions helps nobody.
    let count = config.label_count().filter(|count| is_classification && *count <= 10_000)?;
    let by_id = config.id2label.iter().flatten().map(|(index, label)| (*index, label));
    let mut known: HashMap<u32, &String> =
        config.label2id.iter().flatten().map(|(label, index)| (*index, label)).collect();
    known.extend(by_id);
    let label = |index| {
        let known = u32::try_from(index).ok().and_then(|index| known.get(&index));
        known.map_or_else(|| format!("LABEL_{index}"), |label| (*label).clone())
    };
    Some((0..count).map(label).collect())
}

/// The transform, where the file has one.
pub(crate) fn transform(file: &Encoderfile) -> Option<Result<Transform, ContentError>> {
    let artifact = file.manifest().artifact(ArtifactKind::Transform)?;
    let read = || {
        let bytes = bytes(file, artifact, SMALL_LIMIT)?;
        Transform::decode(&bytes).map_err(|error| ContentError::Transform(error.to_string()))
    };
    Some(read())
}

/// The language of a transform, for people.
pub(crate) fn language(transform: &Transform) -> String {
    match transform.transform_type {
        TransformType::Lua => "Lua".to_owned(),
        TransformType::Other(number) => format!("language number {number}"),
        _ => "an unknown language".to_owned(),
    }
}

/// The artifact `tokenizer`, where it was read to.
#[derive(Debug, Deserialize)]
pub(crate) struct TokenizerView<'a> {
    /// `tokenizer.json`, as it applies.
    #[serde(borrow)]
    pub(crate) tokenizer: &'a RawValue,
    pub(crate) config: Settings,
}

/// The part of padding and truncation that has keys in a build file.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Settings {
    pub(crate) padding: Option<Padding>,
    pub(crate) truncation: Option<Truncation>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Padding {
    pub(crate) strategy: PaddingStrategy,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum PaddingStrategy {
    BatchLongest,
    Fixed(u64),
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Truncation {
    pub(crate) direction: Direction,
    pub(crate) max_length: u64,
    pub(crate) strategy: TruncationStrategy,
    pub(crate) stride: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Direction {
    Left,
    Right,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum TruncationStrategy {
    LongestFirst,
    OnlyFirst,
    OnlySecond,
}

impl<'a> TokenizerView<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Result<Self, ContentError> {
        Ok(serde_json::from_slice(bytes)?)
    }

    /// The `tokenizer.json` that the artifact was made from, whose digest is compared with the recorded one. Without a record
    /// of it, the tokenizer as it applies.
    pub(crate) fn restored(&self, manifest: &'a Manifest) -> Result<Vec<&'a [u8]>, ContentError> {
        let Some(source) = tokenizer_source(manifest) else {
            return Ok(vec![self.tokenizer.get().as_bytes()]);
        };
        let text = self.tokenizer.get().as_bytes();
        let parts = Edit::apply(&manifest.description.tokenizer_edits, text).ok_or(ContentError::Edits)?;
        let mut hasher = sha2::Sha256::new();
        for part in &parts {
            hasher.update(part);
        }
        if Digest::from(<[u8; Digest::LENGTH]>::from(hasher.finalize())) == source.sha256 {
            Ok(parts)
        } else {
            Err(ContentError::Original { name: source.name.clone(), expected: source.sha256 })
        }
    }
}

/// The record of the `tokenizer.json` that the artifact was made from: what is recorded and is no artifact itself.
pub(crate) fn tokenizer_source(manifest: &Manifest) -> Option<&SourceFile> {
    let is_artifact =
        |name: &str| manifest.artifacts.iter().any(|artifact| artifact.name.as_deref() == Some(name));
    let is_named_so = |source: &&SourceFile| source.name.rsplit('/').next() == Some("tokenizer.json");
    let mut others = manifest.description.sources.iter().filter(|source| !is_artifact(&source.name));
    let first = others.clone().find(is_named_so);
    first.or_else(|| others.next().filter(|_| others.next().is_none()))
}

/// The ONNX model, without the bytes of its weights.
pub(crate) fn outline(file: &Encoderfile, weights: &Artifact) -> Result<onnx::Outline, ContentError> {
    Ok(onnx::Outline::read(file.file(), weights.offset, weights.length)?)
}

/// The path within the model folder of a file that the ONNX model names, seen from the folder of its own.
pub(crate) fn beside(weights: &Artifact, location: &str) -> String {
    let folder = weights.name.as_deref().and_then(|name| name.rsplit_once('/')).map(|(folder, _)| folder);
    let location = location.split('/').filter(|part| *part != ".").collect::<Vec<_>>().join("/");
    folder.map_or_else(|| location.clone(), |folder| format!("{folder}/{location}"))
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Left => "left",
            Self::Right => "right",
        })
    }
}

impl fmt::Display for TruncationStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LongestFirst => "longest_first",
            Self::OnlyFirst => "only_first",
            Self::OnlySecond => "only_second",
        })
    }
}
