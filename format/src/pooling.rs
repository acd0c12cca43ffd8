//! From token vectors to one vector, as the manifest says it.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::Error;
use crate::proto::manifest as proto;

/// How token vectors become one vector, as sentence-transformers' `models.Pooling` defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolingMode {
    /// The first token's vector.
    Cls,
    /// The largest value of each dimension, over the tokens that the attention mask keeps.
    Max,
    /// The mean over the tokens that the attention mask keeps.
    Mean,
    /// Their sum, divided by the square root of their number.
    MeanSqrtLen,
    /// Their mean, the n-th token weighing n.
    WeightedMean,
    /// The last token that the attention mask keeps.
    LastToken,
}

impl PoolingMode {
    /// All of them, in the order in which sentence-transformers concatenates.
    pub const ALL: [Self; 6] =
        [Self::Cls, Self::Max, Self::Mean, Self::MeanSqrtLen, Self::WeightedMean, Self::LastToken];

    pub(crate) fn proto(self) -> proto::sentence_pooling::Mode {
        use proto::sentence_pooling::Mode;
        match self {
            Self::Cls => Mode::Cls,
            Self::Max => Mode::Max,
            Self::Mean => Mode::Mean,
            Self::MeanSqrtLen => Mode::MeanSqrtLen,
            Self::WeightedMean => Mode::WeightedMean,
            Self::LastToken => Mode::LastToken,
        }
    }

    pub(crate) fn from_number(number: i32) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|mode| mode.proto() as i32 == number).ok_or(Error::PoolingMode { number })
    }
}

impl fmt::Display for PoolingMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cls => "cls",
            Self::Max => "max",
            Self::Mean => "mean",
            Self::MeanSqrtLen => "mean_sqrt_len",
            Self::WeightedMean => "weighted_mean",
            Self::LastToken => "last_token",
        })
    }
}

impl FromStr for PoolingMode {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|mode| mode.to_string() == name).ok_or(())
    }
}

/// From token vectors `[tokens, hidden]` to one vector `[modes × hidden]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SentencePooling {
    /// The results are concatenated in this order.
    pub modes: Vec<PoolingMode>,
    /// Whether the vector is scaled to Euclidean length 1.
    pub normalize: bool,
    /// Whether the tokens of a prompt are left out.
    pub exclude_prompt: bool,
}

impl Default for SentencePooling {
    /// What a file without the field means (all that encoderfile 0.7 does): the mean, as it is.
    fn default() -> Self {
        Self { modes: vec![PoolingMode::Mean], normalize: false, exclude_prompt: false }
    }
}
