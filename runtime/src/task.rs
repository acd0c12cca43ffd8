//! The tasks: which output of the model each one reads, and what it makes of it.

mod embedding;
mod sentence_embedding;
mod sequence_classification;
mod token_classification;

use encoderfile_format::onnx::TensorInfo;
use encoderfile_format::{ArtifactKind, ModelConfig, ModelType, SentencePooling};

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

/// Names under which exporters give token vectors.
const HIDDEN_STATES: [&str; 3] = ["last_hidden_state", "token_embeddings", "hidden_states"];
/// Name under which sentence-transformers' exporter gives pooled vectors.
const POOLED: &str = "sentence_embedding";
const LOGITS: &str = "logits";

impl Task {
    /// The task of the running file, and the name of the output that it reads.
    pub(crate) fn new(executable: &Executable, outputs: &[TensorInfo]) -> Result<(Self, String), Error> {
        let manifest = executable.manifest();
        let model_type = manifest.model_type;
        let labels = || match manifest.artifact(ArtifactKind::ModelConfig) {
            Some(_) => {
                let kind = ArtifactKind::ModelConfig;
                ModelConfig::from_json(&executable.read(kind)?)
                    .map_err(|source| executable.content_error(kind, source))
            }
            None => Ok(ModelConfig::default()),
        };
        match model_type {
            ModelType::Embedding => Ok((Self::Embedding, choose(model_type, outputs, &HIDDEN_STATES, 3)?)),
            ModelType::SentenceEmbedding => {
                let pooling = manifest.sentence_pooling.clone().unwrap_or_default();
                if let Some(name) = pooled_output(outputs) {
                    return Ok((Self::SentenceEmbedding { pooling, is_pooled: true }, name));
                }
                let name = choose(model_type, outputs, &HIDDEN_STATES, 3)?;
                Ok((Self::SentenceEmbedding { pooling, is_pooled: false }, name))
            }
            ModelType::SequenceClassification => {
                Ok((Self::SequenceClassification(labels()?), choose(model_type, outputs, &[LOGITS], 2)?))
            }
            ModelType::TokenClassification => {
                Ok((Self::TokenClassification(labels()?), choose(model_type, outputs, &[LOGITS], 3)?))
            }
            other => Err(Error::Task(other)),
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

/// The output that holds pooled vectors: by its name, or because there is nothing else.
fn pooled_output(outputs: &[TensorInfo]) -> Option<String> {
    let named = outputs.iter().find(|output| output.name == POOLED && rank(output) == Some(2));
    let only = || outputs.first().filter(|output| outputs.len() == 1 && rank(output) == Some(2));
    named.or_else(only).map(|output| output.name.clone())
}

/// The output with one of the usual names, else the only one of that rank.
fn choose(
    task: ModelType,
    outputs: &[TensorInfo],
    names: &[&str],
    expected_rank: usize,
) -> Result<String, Error> {
    let fits = |output: &&TensorInfo| {
        !output.name.is_empty()
            && output.element_type.is_some()
            && rank(output).is_none_or(|rank| rank == expected_rank)
    };
    let usual = names.iter().find_map(|name| outputs.iter().filter(fits).find(|output| output.name == *name));
    let chosen = usual.or_else(|| {
        let mut fitting = outputs.iter().filter(fits);
        fitting.next().filter(|_| fitting.next().is_none())
    });
    chosen.map(|output| output.name.clone()).ok_or_else(|| {
        let found = outputs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let shape = if expected_rank == 2 { "[batch, labels]" } else { "[batch, tokens, …]" };
        Error::ModelOutputs { task, expected: format!("`{}` {shape}", names[0]), found }
    })
}

fn rank(output: &TensorInfo) -> Option<usize> {
    output.shape.as_ref().map(Vec::len)
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

#[cfg(test)]
mod tests {
    use encoderfile_format::onnx::{Dimension, ElementType};

    use super::*;

    fn info(name: &str, rank: usize) -> TensorInfo {
        TensorInfo {
            name: name.to_owned(),
            element_type: Some(ElementType::Float),
            shape: Some(vec![Dimension::Named(String::new()); rank]),
        }
    }

    #[test]
    fn an_output_is_chosen_by_name_then_by_rank() {
        let choose = |outputs: &[TensorInfo]| choose(ModelType::Embedding, outputs, &HIDDEN_STATES, 3);
        assert_eq!(choose(&[info("a", 3), info("last_hidden_state", 3)]).unwrap(), "last_hidden_state");
        assert_eq!(choose(&[info("pooler_output", 2), info("a", 3)]).unwrap(), "a");
        assert!(choose(&[info("a", 3), info("b", 3)]).is_err(), "ambiguous");
        let error = choose(&[info("logits", 2)]).unwrap_err().to_string();
        assert!(error.contains("`last_hidden_state`") && error.contains("logits float32[?, ?]"), "{error}");
    }

    #[test]
    fn a_pooler_output_is_not_a_sentence_embedding() {
        let outputs = [info("last_hidden_state", 3), info("pooler_output", 2)];
        assert_eq!(pooled_output(&outputs), None);
        assert_eq!(pooled_output(&[info("token_embeddings", 3), info(POOLED, 2)]).as_deref(), Some(POOLED));
        assert_eq!(pooled_output(&[info("x", 2)]).as_deref(), Some("x"));
    }
}
