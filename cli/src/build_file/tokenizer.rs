//! Padding and truncation, where they are to be others than the model's files say.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer};

use super::forms::{Name, Tokens, via};

/// What holds in place of what the model's files say of padding and truncation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub struct TokenizerSettings {
    /// How far texts are padded; null is `batch_longest`.
    #[serde(default, deserialize_with = "pad_strategy")]
    pub pad_strategy: Option<PadStrategy>,
    /// The side on which texts that are too long lose tokens.
    #[serde(default, deserialize_with = "via::<Name<TruncationSide>, _, _>")]
    pub truncation_side: Option<TruncationSide>,
    /// Which text of a pair that is too long loses tokens.
    #[serde(default, deserialize_with = "via::<Name<TruncationStrategy>, _, _>")]
    pub truncation_strategy: Option<TruncationStrategy>,
    /// Longest input in tokens, special ones included.
    #[serde(default, deserialize_with = "via::<Tokens<1>, _, _>")]
    #[schemars(with = "Option<Tokens<1>>")]
    pub max_length: Option<usize>,
    /// How many tokens the parts of a text that is too long have in common. Smaller than `max_length`.
    #[serde(default, deserialize_with = "via::<Tokens<0>, _, _>")]
    #[schemars(with = "Option<Tokens<0>>")]
    pub stride: Option<usize>,
}

/// How far texts are padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum PadStrategy {
    /// To the longest text of a batch.
    BatchLongest,
    /// To this many tokens.
    Fixed(#[schemars(with = "Tokens<1>")] usize),
}

/// The side on which a text loses tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TruncationSide {
    /// The text's beginning.
    Left,
    /// The text's end.
    Right,
}

/// Which text of a pair loses tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TruncationStrategy {
    /// The longer one, token by token.
    LongestFirst,
    /// The first.
    OnlyFirst,
    /// The second.
    OnlySecond,
}

impl From<PadStrategy> for tokenizers::PaddingStrategy {
    fn from(strategy: PadStrategy) -> Self {
        match strategy {
            PadStrategy::BatchLongest => Self::BatchLongest,
            PadStrategy::Fixed(length) => Self::Fixed(length),
        }
    }
}

impl From<TruncationSide> for tokenizers::TruncationDirection {
    fn from(side: TruncationSide) -> Self {
        match side {
            TruncationSide::Left => Self::Left,
            TruncationSide::Right => Self::Right,
        }
    }
}

impl From<TruncationStrategy> for tokenizers::TruncationStrategy {
    fn from(strategy: TruncationStrategy) -> Self {
        match strategy {
            TruncationStrategy::LongestFirst => Self::LongestFirst,
            TruncationStrategy::OnlyFirst => Self::OnlyFirst,
            TruncationStrategy::OnlySecond => Self::OnlySecond,
        }
    }
}

impl From<Name<Self>> for TruncationSide {
    fn from(Name(side): Name<Self>) -> Self {
        side
    }
}

impl From<Name<Self>> for TruncationStrategy {
    fn from(Name(strategy): Name<Self>) -> Self {
        strategy
    }
}

fn pad_strategy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PadStrategy>, D::Error> {
    PadStrategy::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for PadStrategy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrLength;

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Length {
            fixed: Tokens<1>,
        }

        impl<'de> Visitor<'de> for NameOrLength {
            type Value = PadStrategy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`batch_longest`, or a mapping with `fixed`")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(PadStrategy::BatchLongest)
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
                match name {
                    "batch_longest" => Ok(PadStrategy::BatchLongest),
                    _ => Err(E::invalid_value(Unexpected::Str(name), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
                let Length { fixed } = Length::deserialize(MapAccessDeserializer::new(entries))?;
                Ok(PadStrategy::Fixed(fixed.into()))
            }
        }

        deserializer.deserialize_any(NameOrLength)
    }
}
