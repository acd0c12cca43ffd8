//! Which model is built: its files, and its task.

use std::path::PathBuf;

use encoderfile_format::{ModelType, PoolingMode};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::forms::{Filled, Name, OneOrMany, TextOrMapping, path, via};

/// Where the model is.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub(super) enum ModelPath {
    /// A model folder, as Hugging Face lays one out.
    Folder(#[schemars(with = "Filled")] PathBuf),
    /// Its files one by one, wherever they are.
    Files(ModelFiles),
}

impl<'de> Deserialize<'de> for ModelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected =
            "a folder, or a mapping with `model_config_path`, `model_weights_path` and `tokenizer_path`";
        Ok(match TextOrMapping::read(deserializer, expected)? {
            TextOrMapping::Text(folder) => Self::Folder(folder.into()),
            TextOrMapping::Mapping(files) => Self::Files(files),
        })
    }
}

/// The files of a model that does not lie in one folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub struct ModelFiles {
    /// `config.json`.
    #[serde(deserialize_with = "path")]
    #[schemars(with = "Filled")]
    pub model_config_path: PathBuf,
    /// The ONNX model.
    #[serde(deserialize_with = "path")]
    #[schemars(with = "Filled")]
    pub model_weights_path: PathBuf,
    /// `tokenizer.json`.
    #[serde(deserialize_with = "path")]
    #[schemars(with = "Filled")]
    pub tokenizer_path: PathBuf,
    /// `tokenizer_config.json`.
    #[serde(default, deserialize_with = "via::<Filled, _, _>")]
    #[schemars(with = "Option<Filled>")]
    pub tokenizer_config_path: Option<PathBuf>,
    /// `preprocessor_config.json`, which only models of images have.
    #[serde(default, deserialize_with = "via::<Filled, _, _>")]
    #[schemars(with = "Option<Filled>")]
    pub preprocessor_config_path: Option<PathBuf>,
}

impl ModelFiles {
    /// All that are named.
    pub(super) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let required = [&mut self.model_config_path, &mut self.model_weights_path, &mut self.tokenizer_path];
        let optional = [&mut self.tokenizer_config_path, &mut self.preprocessor_config_path];
        required.into_iter().chain(optional.into_iter().flatten())
    }
}

/// What the model answers.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ModelType")]
pub(super) enum Task {
    /// One vector per token.
    Embedding,
    /// One vector per text.
    SentenceEmbedding,
    /// One label per text.
    SequenceClassification,
    /// One label per token.
    TokenClassification,
}

impl From<Name<Task>> for ModelType {
    fn from(Name(task): Name<Task>) -> Self {
        match task {
            Task::Embedding => Self::Embedding,
            Task::SentenceEmbedding => Self::SentenceEmbedding,
            Task::SequenceClassification => Self::SequenceClassification,
            Task::TokenClassification => Self::TokenClassification,
        }
    }
}

/// How the vectors of a text's tokens become one.
// As `Task`, the enumeration of crate `encoderfile-format` once more: that crate has few dependencies, and no schemas.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "PoolingMode")]
pub(super) enum Pooling {
    /// The first token's vector.
    Cls,
    /// The largest value of each dimension.
    Max,
    /// The mean over the tokens.
    Mean,
    /// The sum over the tokens, divided by the square root of their number.
    MeanSqrtLen,
    /// The mean over the tokens, the n-th weighing n.
    WeightedMean,
    /// The last token's vector.
    LastToken,
}

impl From<Pooling> for PoolingMode {
    fn from(pooling: Pooling) -> Self {
        match pooling {
            Pooling::Cls => Self::Cls,
            Pooling::Max => Self::Max,
            Pooling::Mean => Self::Mean,
            Pooling::MeanSqrtLen => Self::MeanSqrtLen,
            Pooling::WeightedMean => Self::WeightedMean,
            Pooling::LastToken => Self::LastToken,
        }
    }
}

impl From<OneOrMany<Name<Pooling>>> for Vec<PoolingMode> {
    fn from(OneOrMany(modes): OneOrMany<Name<Pooling>>) -> Self {
        modes.into_iter().map(|Name(mode)| mode.into()).collect()
    }
}
