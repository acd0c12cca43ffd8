//! What the packager said, by a flag or in the build file, and where a decision came from.

use std::path::PathBuf;

use encoderfile_format::{ModelType, PoolingMode, Prompt, Setting};
use serde::Serialize;
use tokenizers::{PaddingStrategy, TruncationDirection, TruncationStrategy};

/// What holds in place of what the model's files say.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) model_type: Option<ModelType>,
    /// A graph within the model folder, or what is behind `model_` in its name.
    pub(crate) weights: Option<String>,
    /// The results are concatenated in this order.
    pub(crate) pooling: Option<Vec<PoolingMode>>,
    pub(crate) normalize: Option<bool>,
    /// In place of all prompts of the model folder, and of its default prompt.
    pub(crate) prompts: Option<Vec<Prompt>>,
    pub(crate) default_prompt_name: Option<String>,
    pub(crate) tokenizer: GivenTokenizer,
    pub(crate) transform: Option<GivenTransform>,
}

/// Padding and truncation.
#[derive(Debug, Default)]
pub(crate) struct GivenTokenizer {
    pub(crate) pad_strategy: Option<PaddingStrategy>,
    pub(crate) truncation_side: Option<TruncationDirection>,
    pub(crate) truncation_strategy: Option<TruncationStrategy>,
    pub(crate) max_length: Option<usize>,
    pub(crate) stride: Option<usize>,
}

/// A program in Lua that changes what the model gives.
#[derive(Debug)]
pub(crate) struct GivenTransform {
    pub(crate) source: String,
    /// The libraries that it may use; none leaves the choice open.
    pub(crate) libraries: Option<Vec<String>>,
}

/// Why what was given cannot hold.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GivenError {
    #[error("`{key}` was given, but only the task sentence_embedding has that: this model answers {task}")]
    OtherTask { key: &'static str, task: ModelType },
    #[error("images are not supported: {because}")]
    Images { because: String },
    #[error("`weights` was given besides `model_weights_path`")]
    WeightsTwice,
    #[error("`pooling` was given, but the graph `{}` pools by itself: its output `{output}` is a vector per text", path.display())]
    PooledGraph { path: PathBuf, output: String },
    #[error("`tokenizer.max_length` is {given}, but {limited_by} allows {limit} tokens")]
    MaxLength { given: usize, limit: usize, limited_by: String },
    #[error("`tokenizer.pad_strategy` asks for {given} tokens, but {limited_by} allows {limit}")]
    Padding { given: usize, limit: usize, limited_by: String },
    #[error("the graph `{}` takes exactly {length} tokens, but `tokenizer.pad_strategy` asks for {given}", path.display())]
    GraphLength { path: PathBuf, length: usize, given: usize },
    #[error("`tokenizer.truncation_strategy` is only_second, but no task takes a second text")]
    OnlySecond,
    #[error("`default_prompt_name` is `{name}`, but there is no prompt of that name")]
    NoSuchPrompt { name: String, known: Vec<String>, suggestion: Option<String> },
}

impl GivenError {
    /// What to do next.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::OtherTask { .. } => {
                "leave it out, or build for `model_type: sentence_embedding`".to_owned()
            }
            Self::Images { .. } => "only the tasks of text encoders are supported".to_owned(),
            Self::WeightsTwice => "leave out one of the two".to_owned(),
            Self::PooledGraph { .. } => {
                "leave it out, or export the model without pooling, with the output `last_hidden_state`"
                    .to_owned()
            }
            Self::MaxLength { limit, .. } => format!("give at most {limit}, or leave it out"),
            Self::Padding { limit, .. } => format!("give at most {limit}, or `batch_longest`"),
            Self::GraphLength { .. } => "leave it out: texts are padded to that length anyway".to_owned(),
            Self::OnlySecond => "leave it out, or give longest_first".to_owned(),
            Self::NoSuchPrompt { suggestion: Some(name), .. } => format!("did you mean `{name}`?"),
            Self::NoSuchPrompt { known, .. } if known.is_empty() => {
                "the model has no prompts: give some with `prompts`".to_owned()
            }
            Self::NoSuchPrompt { known, .. } => format!("its prompts are: {}", known.join(", ")),
        }
    }
}

impl Given {
    /// Whether a task has all that was given for it.
    pub(super) fn check(&self, task: ModelType) -> Result<(), GivenError> {
        if task == ModelType::ImageClassification {
            let because = "the task image_classification was given".to_owned();
            return Err(GivenError::Images { because });
        }
        if task != ModelType::SentenceEmbedding {
            let keys = [
                ("pooling", self.pooling.is_some()),
                ("normalize", self.normalize.is_some()),
                ("prompts", self.prompts.is_some()),
                ("default_prompt_name", self.default_prompt_name.is_some()),
            ];
            if let Some((key, _)) = keys.into_iter().find(|(_, is_given)| *is_given) {
                return Err(GivenError::OtherTask { key, task });
            }
        }
        if matches!(self.tokenizer.truncation_strategy, Some(TruncationStrategy::OnlySecond)) {
            return Err(GivenError::OnlySecond);
        }
        Ok(())
    }
}

/// A decision, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decided<T> {
    pub(super) value: T,
    /// The file in the model folder that says so, [`Setting::GIVEN`] or [`Setting::DEFAULT`].
    pub(super) source: String,
}

impl<T> Decided<T> {
    pub(super) fn by(value: T, source: impl Into<String>) -> Self {
        Self { value, source: source.into() }
    }

    pub(super) fn given(value: T) -> Self {
        Self::by(value, Setting::GIVEN)
    }

    pub(super) fn default(value: T) -> Self {
        Self::by(value, Setting::DEFAULT)
    }

    /// The source, as people are told it.
    pub(super) fn because(&self) -> &str {
        match self.source.as_str() {
            Setting::GIVEN => "as given",
            Setting::DEFAULT => "the default",
            file => file,
        }
    }
}

impl<T: Serialize> Decided<T> {
    /// As it is recorded in the file.
    pub(super) fn setting(&self, key: &str) -> Setting {
        let value = serde_json::to_string(&self.value).expect("names, numbers and texts are JSON");
        Setting { key: key.to_owned(), value, source: self.source.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_refused() {
        let error = Given::default().check(ModelType::ImageClassification).unwrap_err();
        assert!(error.to_string().starts_with("images are not supported"), "{error}");
    }
}
