//! What a task asks of a model's graph. The command line checks it before it writes, the runtime before it runs.

use std::fmt;

use crate::ModelType;
use crate::onnx::{Dimension, ElementType, Model, TensorInfo};

/// An input of text encoders, bound by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelInput {
    /// Token ids, `[batch, sequence]`.
    InputIds,
    /// 1 for tokens, 0 for padding, `[batch, sequence]`.
    AttentionMask,
    /// Segment of each token, `[batch, sequence]`.
    TokenTypeIds,
    /// Position of each token, `[batch, sequence]`.
    PositionIds,
}

impl ModelInput {
    const ALL: [Self; 4] = [Self::InputIds, Self::AttentionMask, Self::TokenTypeIds, Self::PositionIds];

    /// Its name in the graph, as Hugging Face's exporters write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InputIds => "input_ids",
            Self::AttentionMask => "attention_mask",
            Self::TokenTypeIds => "token_type_ids",
            Self::PositionIds => "position_ids",
        }
    }
}

/// What the output of a graph holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// A vector per token, `[batch, sequence, hidden]`.
    TokenVectors,
    /// A vector per text, pooled within the graph, `[batch, hidden]`.
    SentenceVectors,
    /// A number per label, `[batch, labels]`.
    SequenceLogits,
    /// A number per token and label, `[batch, sequence, labels]`.
    TokenLogits,
}

impl OutputKind {
    const fn rank(self) -> usize {
        match self {
            Self::TokenVectors | Self::TokenLogits => 3,
            Self::SentenceVectors | Self::SequenceLogits => 2,
        }
    }

    /// The names that exporters use, the surest first.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::TokenVectors => &["last_hidden_state", "token_embeddings"],
            Self::SentenceVectors => &["sentence_embedding"],
            Self::SequenceLogits | Self::TokenLogits => &["logits"],
        }
    }
}

impl fmt::Display for OutputKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TokenVectors => "[batch, sequence, hidden]",
            Self::SentenceVectors => "[batch, hidden]",
            Self::SequenceLogits => "[batch, labels]",
            Self::TokenLogits => "[batch, sequence, labels]",
        })
    }
}

/// How a task uses a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// What to feed, with the integer type that the graph asks for.
    pub inputs: Vec<(ModelInput, ElementType)>,
    /// Name of the output to read.
    pub output: String,
    /// What that output holds.
    pub output_kind: OutputKind,
    /// Size of its last dimension, where the graph says it.
    pub width: Option<u64>,
}

/// Why a graph does not fit a task.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// Nothing in this project answers the task.
    #[error("the task {task} is not supported")]
    UnsupportedTask {
        /// The task.
        task: ModelType,
    },
    /// An input that no tokenizer gives.
    #[error(
        "the graph needs the input `{input}`, but only input_ids, attention_mask, token_type_ids and position_ids can be fed"
    )]
    UnknownInput {
        /// The input as the graph declares it.
        input: String,
    },
    /// An input that is known, with a type or rank that is not.
    #[error("the graph's input `{input}` should be int64 or int32 of shape [batch, sequence]")]
    InputType {
        /// The input as the graph declares it.
        input: String,
    },
    /// A graph that does not take tokens.
    #[error("the graph has no input `input_ids`; its inputs are: {found}")]
    NoInputIds {
        /// The inputs that it has.
        found: String,
    },
    /// No output of the right shape.
    #[error("{task} needs an output {expected}, but the graph gives: {found}")]
    NoOutput {
        /// The task.
        task: ModelType,
        /// The shape or shapes that would do.
        expected: String,
        /// The outputs that the graph has.
        found: String,
    },
    /// An output whose elements are not 32-bit floating point.
    #[error("the output `{output}` should be float32")]
    OutputType {
        /// The output as the graph declares it.
        output: String,
    },
}

impl Signature {
    /// Finds out how a task uses a model's graph. Inputs are bound by name, whatever their order; the output is the one
    /// with the exporters' usual name, else the first of the right rank.
    ///
    /// # Errors
    /// See [`TaskError`].
    pub fn of(model: &Model, task: ModelType) -> Result<Self, TaskError> {
        let kinds: &[OutputKind] = match task {
            ModelType::Embedding => &[OutputKind::TokenVectors],
            // A vector that the graph has pooled itself is the one that its author meant.
            ModelType::SentenceEmbedding => &[OutputKind::SentenceVectors, OutputKind::TokenVectors],
            ModelType::SequenceClassification => &[OutputKind::SequenceLogits],
            ModelType::TokenClassification => &[OutputKind::TokenLogits],
            ModelType::ImageClassification | ModelType::Other(_) => {
                return Err(TaskError::UnsupportedTask { task });
            }
        };
        let inputs = model.inputs.iter().map(input).collect::<Result<Vec<_>, _>>()?;
        if !inputs.iter().any(|(input, _)| *input == ModelInput::InputIds) {
            return Err(TaskError::NoInputIds { found: list(&model.inputs) });
        }
        let (output, output_kind) = output(&model.outputs, kinds).ok_or_else(|| TaskError::NoOutput {
            task,
            expected: kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "),
            found: list(&model.outputs),
        })?;
        if output.element_type != Some(ElementType::Float) {
            return Err(TaskError::OutputType { output: output.to_string() });
        }
        let width = match output.shape.as_ref().and_then(|shape| shape.last()) {
            Some(Dimension::Fixed(width)) => Some(*width),
            Some(Dimension::Named(_)) | None => None,
        };
        Ok(Self { inputs, output: output.name.clone(), output_kind, width })
    }
}

fn input(info: &TensorInfo) -> Result<(ModelInput, ElementType), TaskError> {
    let input = ModelInput::ALL.into_iter().find(|input| input.name() == info.name);
    let input = input.ok_or_else(|| TaskError::UnknownInput { input: info.to_string() })?;
    let is_matrix = info.shape.as_ref().is_none_or(|shape| shape.len() == 2);
    match info.element_type {
        Some(element_type @ (ElementType::Int64 | ElementType::Int32)) if is_matrix => {
            Ok((input, element_type))
        }
        _ => Err(TaskError::InputType { input: info.to_string() }),
    }
}

fn output<'a>(outputs: &'a [TensorInfo], kinds: &[OutputKind]) -> Option<(&'a TensorInfo, OutputKind)> {
    let has_rank = |output: &TensorInfo, kind: OutputKind| {
        output.shape.as_ref().is_none_or(|shape| shape.len() == kind.rank())
    };
    let by_name = kinds.iter().find_map(|&kind| {
        let named = outputs.iter().find(|output| kind.names().contains(&output.name.as_str()));
        named.filter(|output| has_rank(output, kind)).map(|output| (output, kind))
    });
    by_name.or_else(|| {
        // Without its usual name, a vector per text cannot be told from the pooler's output that BERT exports also have.
        let kind = kinds.iter().copied().find(|kind| *kind != OutputKind::SentenceVectors)?;
        let shaped =
            |output: &&TensorInfo| output.shape.as_ref().is_some_and(|shape| shape.len() == kind.rank());
        outputs.iter().find(shaped).map(|output| (output, kind))
    })
}

fn list(tensors: &[TensorInfo]) -> String {
    if tensors.is_empty() {
        return "none".to_owned();
    }
    tensors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, element_type: ElementType, shape: &[&str]) -> TensorInfo {
        let dimension = |text: &&str| {
            text.parse().map_or_else(|_| Dimension::Named((*text).to_owned()), Dimension::Fixed)
        };
        TensorInfo {
            name: name.to_owned(),
            element_type: Some(element_type),
            shape: Some(shape.iter().map(dimension).collect()),
        }
    }

    fn model(outputs: Vec<TensorInfo>) -> Model {
        let ids = |name| tensor(name, ElementType::Int64, &["batch", "sequence"]);
        Model {
            operator_sets: Vec::new(),
            inputs: vec![ids("attention_mask"), ids("input_ids")],
            outputs,
            initializers: Vec::new(),
        }
    }

    fn float(name: &str, shape: &[&str]) -> TensorInfo {
        tensor(name, ElementType::Float, shape)
    }

    #[test]
    fn outputs_are_found_by_name_then_by_rank() {
        let both = model(vec![float("pooler_output", &["b", "8"]), float("hidden", &["b", "s", "8"])]);
        let signature = Signature::of(&both, ModelType::SentenceEmbedding).unwrap();
        assert_eq!((signature.output.as_str(), signature.output_kind), ("hidden", OutputKind::TokenVectors));
        assert_eq!(signature.width, Some(8));

        let pooled = model(vec![
            float("token_embeddings", &["b", "s", "8"]),
            float("sentence_embedding", &["b", "8"]),
        ]);
        let signature = Signature::of(&pooled, ModelType::SentenceEmbedding).unwrap();
        assert_eq!(signature.output_kind, OutputKind::SentenceVectors);
        let signature = Signature::of(&pooled, ModelType::Embedding).unwrap();
        assert_eq!(signature.output, "token_embeddings");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let logits = model(vec![float("logits", &["b", "3"])]);
        let error = Signature::of(&logits, ModelType::TokenClassification).unwrap_err();
        let expected = "token_classification needs an output [batch, sequence, labels], but the graph gives: logits float32[b, 3]";
        assert_eq!(error.to_string(), expected);
        let image = Signature::of(&logits, ModelType::ImageClassification);
        assert!(matches!(image, Err(TaskError::UnsupportedTask { .. })));

        let half = model(vec![tensor("logits", ElementType::Float16, &["b", "3"])]);
        let result = Signature::of(&half, ModelType::SequenceClassification);
        assert!(matches!(result, Err(TaskError::OutputType { .. })));

        let mut unknown = model(vec![float("logits", &["b", "3"])]);
        unknown.inputs.push(float("pixel_values", &["b", "3", "8", "8"]));
        let result = Signature::of(&unknown, ModelType::SequenceClassification);
        assert!(
            matches!(result, Err(TaskError::UnknownInput { input }) if input.starts_with("pixel_values"))
        );

        let mut no_ids = model(vec![float("logits", &["b", "3"])]);
        no_ids.inputs.pop();
        let result = Signature::of(&no_ids, ModelType::SequenceClassification);
        assert!(matches!(result, Err(TaskError::NoInputIds { .. })));
    }
}
