//! The tasks that models answer.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::proto::manifest as proto;

/// The task that a model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ModelType {
    /// One vector per token.
    Embedding,
    /// One label per text.
    SequenceClassification,
    /// One label per token.
    TokenClassification,
    /// One vector per text.
    SentenceEmbedding,
    /// One label per image.
    ImageClassification,
    /// A task that this version does not know.
    Other(i32),
}

impl ModelType {
    /// All that this version knows.
    pub const KNOWN: [Self; 5] = [
        Self::Embedding,
        Self::SentenceEmbedding,
        Self::SequenceClassification,
        Self::TokenClassification,
        Self::ImageClassification,
    ];

    pub(crate) fn number(self) -> i32 {
        match self {
            Self::Embedding => proto::ModelType::Embedding as i32,
            Self::SequenceClassification => proto::ModelType::SequenceClassification as i32,
            Self::TokenClassification => proto::ModelType::TokenClassification as i32,
            Self::SentenceEmbedding => proto::ModelType::SentenceEmbedding as i32,
            Self::ImageClassification => proto::ModelType::ImageClassification as i32,
            Self::Other(number) => number,
        }
    }

    pub(crate) fn from_number(number: i32) -> Self {
        Self::KNOWN.into_iter().find(|known| known.number() == number).unwrap_or(Self::Other(number))
    }
}

impl fmt::Display for ModelType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Embedding => "embedding",
            Self::SequenceClassification => "sequence_classification",
            Self::TokenClassification => "token_classification",
            Self::SentenceEmbedding => "sentence_embedding",
            Self::ImageClassification => "image_classification",
            Self::Other(number) => return f.pad(&format!("model_type_{number}")),
        })
    }
}

impl FromStr for ModelType {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::KNOWN.into_iter().find(|known| known.to_string() == name).ok_or(())
    }
}

impl Serialize for ModelType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
