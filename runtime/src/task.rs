//! The tasks: what each one makes of the output that it reads.

mod embedding;
mod sentence_embedding;
mod sequence_classification;
mod token_classification;

use encoderfile_format::{ArtifactKind, ModelConfig, ModelType, OutputKind, SentencePooling};

use crate::answer::{Answer, TokenInfo};
use crate::batch::{Batch, Row};
use crate::error::Error;
use crate::executable::Executable;
use crate::input::Place;
use crate::session::Output;

/// A task with what it needs to know of the model.
pub(crate) enum Task {
    Embedding,
    SentenceEmbedding {
        pooling: SentencePooling,
        /// Whether the model pools by itself.
        is_pooled: bool,
    },
    SequenceClassification(ModelConfig),
    TokenClassification(ModelConfig),
}

impl Task {
    /// The task of the running file, whose model gives that kind of output.
    pub(crate) fn new(executable: &Executable, output_kind: OutputKind) -> Result<Self, Error> {
        let manifest = executable.manifest();
        let labels = || match manifest.artifact(ArtifactKind::ModelConfig) {
            Some(_) => {
                let kind = ArtifactKind::ModelConfig;
                ModelConfig::from_json(&executable.read(kind)?)
                    .map_err(|source| executable.content_error(kind, source))
            }
            None => Ok(ModelConfig::default()),
        };
        Ok(match manifest.description.model_type {
            ModelType::Embedding => Self::Embedding,
            ModelType::SentenceEmbedding => Self::SentenceEmbedding {
                pooling: manifest.description.sentence_pooling.clone().unwrap_or_default(),
                is_pooled: output_kind == OutputKind::SentenceVectors,
            },
            ModelType::SequenceClassification => Self::SequenceClassification(labels()?),
            ModelType::TokenClassification => Self::TokenClassification(labels()?),
            other => return Err(Error::Task(other)),
        })
    }

    /// Refuses a prompt that would have to be left out of what the model itself pools.
    pub(crate) fn check_prompt(&self) -> Result<(), Error> {
        match self {
            Self::SentenceEmbedding { pooling, is_pooled: true } if pooling.exclude_prompt => {
                Err(Error::PromptIsPooled)
            }
            _ => Ok(()),
        }
    }

    /// One answer per text of the batch.
    pub(crate) fn answers(&self, batch: &Batch, output: &Output) -> Result<Vec<Answer>, Error> {
        match self {
            Self::Embedding => embedding::answers(batch, output),
            Self::SentenceEmbedding { pooling, is_pooled: false } => {
                sentence_embedding::pooled(batch, output, pooling)
            }
            Self::SentenceEmbedding { pooling, is_pooled: true } => {
                sentence_embedding::given(batch, output, pooling.normalize)
            }
            Self::SequenceClassification(config) => sequence_classification::answers(batch, output, config),
            Self::TokenClassification(config) => token_classification::answers(batch, output, config),
        }
    }
}

/// The rows of an output `[rows, columns, width]` or `[rows, width]`, each with its part of the batch.
fn rows<'a>(batch: &'a Batch, output: &'a Output, size: usize) -> impl Iterator<Item = (&'a Row, &'a [f32])> {
    batch.rows.iter().zip(output.values.chunks_exact(size))
}

/// Refuses what JSON has no numbers for.
fn check_finite(values: &[f32], place: &Place) -> Result<(), Error> {
    match values.iter().find(|value| !value.is_finite()) {
        Some(&value) => Err(Error::NotFinite { place: place.clone(), value }),
        None => Ok(()),
    }
}

/// What is told of the token at a position of a row.
fn token_info(row: &Row, position: usize) -> TokenInfo {
    let encoding = &row.tokens.encoding;
    let (start, end) = encoding.get_offsets().get(position).copied().unwrap_or_default();
    TokenInfo {
        token: encoding.get_tokens().get(position).cloned().unwrap_or_default(),
        token_id: encoding.get_ids().get(position).copied().unwrap_or_default(),
        start,
        end,
    }
}
