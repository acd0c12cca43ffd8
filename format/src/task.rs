//! What a task asks of a model's graph. The command line checks it before it writes, the runtime before it runs.

use std::fmt;

use crate::ModelType;
use crate::onnx::{Dimension, ElementType, Model, TensorInfo};

/// No model takes more tokens at once; a larger number in a file is damage, and would only take memory.
pub const LENGTH_LIMIT: usize = 1 << 20;

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
            Self::TokenVectors => &["last_hidden_state", "token_embeddings", "hidden_states"],
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

/// What the declared shapes of a graph's inputs allow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// The largest number of texts at once, where it is limited.
    pub texts: Option<usize>,
    /// The only number of tokens that a text may be padded to, where there is only one; at most [`LENGTH_LIMIT`].
    pub length: Option<usize>,
}

/// How a task uses a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// What to feed, in the graph's order, with the type that it asks for: int64, int32 or float32.
    pub inputs: Vec<(ModelInput, ElementType)>,
    /// How much can be fed at once.
    pub limits: Limits,
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
    #[error("the graph's input `{input}` should be int64, int32 or float32 of shape [batch, sequence]")]
    InputType {
        /// The input as the graph declares it.
        input: String,
    },
    /// An input for a fixed number of texts other than one, which a caller may not have.
    #[error(
        "the graph's input `{input}` takes exactly {size} texts at once, where only 1 or any number will do"
    )]
    BatchSize {
        /// The input as the graph declares it.
        input: String,
        /// The number of texts.
        size: u64,
    },
    /// An input of a fixed length beyond [`LENGTH_LIMIT`].
    #[error("the graph's input `{input}` is longer than {LENGTH_LIMIT} tokens")]
    InputLength {
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
    /// Several outputs of the right shape, none with a name that tells.
    #[error("{task} needs an output {expected} named {names}, as the graph gives several: {found}")]
    AmbiguousOutput {
        /// The task.
        task: ModelType,
        /// The shape that would do.
        expected: OutputKind,
        /// The names that would tell.
        names: String,
        /// The outputs that it could be.
        found: String,
    },
    /// An output whose elements are not floating point.
    #[error("the output `{output}` should be float32, float16, bfloat16 or float64")]
    OutputType {
        /// The output as the graph declares it.
        output: String,
    },
}

impl TaskError {
    /// What the owner of the model can do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NoOutput { .. } => {
                "export the model for this task, or name the task that it answers with `--model-type`"
            }
            Self::AmbiguousOutput { .. } => {
                "export the model with the exporters' usual names for its outputs"
            }
            Self::BatchSize { .. } | Self::InputLength { .. } => {
                "export the model for any number of texts and tokens"
            }
            Self::UnsupportedTask { .. } => "only the tasks of text encoders are supported",
            Self::UnknownInput { .. }
            | Self::InputType { .. }
            | Self::NoInputIds { .. }
            | Self::OutputType { .. } => "export it as a text encoder, as Hugging Face's exporters do",
        }
    }
}

impl Signature {
    /// Finds out how a task uses a model's graph. Inputs are bound by name, whatever their order. The output is the one
    /// with the exporters' usual name, else the only one of the right rank.
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
        let (inputs, limits) = inputs(&model.inputs)?;
        let (output, output_kind) = output(&model.outputs, kinds, task)?;
        let width = match output.shape.as_ref().and_then(|shape| shape.last()) {
            Some(Dimension::Fixed(width)) => Some(*width),
            Some(Dimension::Named(_)) | None => None,
        };
        Ok(Self { inputs, limits, output: output.name.clone(), output_kind, width })
    }
}

fn inputs(declared: &[TensorInfo]) -> Result<(Vec<(ModelInput, ElementType)>, Limits), TaskError> {
    let mut limits = Limits::default();
    let inputs = declared.iter().map(|info| input(info, &mut limits)).collect::<Result<Vec<_>, _>>()?;
    let has = |wanted| inputs.iter().any(|(input, _)| *input == wanted);
    if !has(ModelInput::InputIds) {
        return Err(TaskError::NoInputIds { found: list(declared) });
    }
    if !has(ModelInput::AttentionMask) {
        // The graph could not tell tokens from padding, so no text may be padded for another one's sake.
        limits.texts = Some(1);
    }
    Ok((inputs, limits))
}

/// Binds one input, and narrows the limits by its shape.
fn input(info: &TensorInfo, limits: &mut Limits) -> Result<(ModelInput, ElementType), TaskError> {
    let input = ModelInput::ALL.into_iter().find(|input| input.name() == info.name);
    let input = input.ok_or_else(|| TaskError::UnknownInput { input: info.to_string() })?;
    let Some(element_type @ (ElementType::Int64 | ElementType::Int32 | ElementType::Float)) =
        info.element_type
    else {
        return Err(TaskError::InputType { input: info.to_string() });
    };
    match info.shape.as_deref() {
        None => {}
        Some([texts, length]) => {
            match *texts {
                Dimension::Fixed(1) => limits.texts = Some(1),
                Dimension::Fixed(size) => {
                    return Err(TaskError::BatchSize { input: info.to_string(), size });
                }
                Dimension::Named(_) => {}
            }
            if let Dimension::Fixed(length) = *length {
                let length = usize::try_from(length).ok().filter(|&length| length <= LENGTH_LIMIT);
                let length = length.ok_or_else(|| TaskError::InputLength { input: info.to_string() })?;
                limits.length = Some(length);
            }
        }
        Some(_) => return Err(TaskError::InputType { input: info.to_string() }),
    }
    Ok((input, element_type))
}

fn output<'a>(
    outputs: &'a [TensorInfo],
    kinds: &[OutputKind],
    task: ModelType,
) -> Result<(&'a TensorInfo, OutputKind), TaskError> {
    let found = match named(outputs, kinds) {
        Some(found) => Some(found),
        None => unnamed(outputs, kinds, task)?,
    };
    let (output, kind) = found.ok_or_else(|| TaskError::NoOutput {
        task,
        expected: join(kinds, " or "),
        found: list(outputs),
    })?;
    match output.element_type {
        Some(ElementType::Float | ElementType::Float16 | ElementType::BFloat16 | ElementType::Double) => {
            Ok((output, kind))
        }
        _ => Err(TaskError::OutputType { output: output.to_string() }),
    }
}

/// The outputs that could be of a kind, as far as the graph says what they are.
fn fitting(outputs: &[TensorInfo], kind: OutputKind) -> impl Iterator<Item = &TensorInfo> {
    outputs.iter().filter(move |output| {
        !output.name.is_empty()
            && output.element_type.is_some()
            && output.shape.as_ref().is_none_or(|shape| shape.len() == kind.rank())
    })
}

/// The output with the surest of the usual names.
fn named<'a>(outputs: &'a [TensorInfo], kinds: &[OutputKind]) -> Option<(&'a TensorInfo, OutputKind)> {
    kinds.iter().find_map(|&kind| {
        let named = |name: &&str| fitting(outputs, kind).find(|output| output.name == *name);
        kind.names().iter().find_map(named).map(|output| (output, kind))
    })
}

/// The output that it must be, whatever its name, because no other could be.
fn unnamed<'a>(
    outputs: &'a [TensorInfo],
    kinds: &[OutputKind],
    task: ModelType,
) -> Result<Option<(&'a TensorInfo, OutputKind)>, TaskError> {
    for &kind in kinds {
        // Without its usual name, a vector per text cannot be told from the pooler's output that BERT exports also have,
        // unless there is nothing else.
        let is_sure = || outputs.len() == 1 && outputs[0].shape.is_some();
        if kind == OutputKind::SentenceVectors && !is_sure() {
            continue;
        }
        let fitting: Vec<_> = fitting(outputs, kind).collect();
        match fitting[..] {
            [] => {}
            [output] => return Ok(Some((output, kind))),
            [..] => {
                let names: Vec<_> = kind.names().iter().map(|name| format!("`{name}`")).collect();
                return Err(TaskError::AmbiguousOutput {
                    task,
                    expected: kind,
                    names: join(&names, " or "),
                    found: join(&fitting, ", "),
                });
            }
        }
    }
    Ok(None)
}

fn list(tensors: &[TensorInfo]) -> String {
    if tensors.is_empty() {
        return "none".to_owned();
    }
    join(tensors, ", ")
}

fn join(items: &[impl ToString], separator: &str) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
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
        Model { inputs: vec![ids("attention_mask"), ids("input_ids")], outputs, ..Model::default() }
    }

    fn float(name: &str, shape: &[&str]) -> TensorInfo {
        tensor(name, ElementType::Float, shape)
    }

    fn ids(name: &str, shape: &[&str]) -> TensorInfo {
        tensor(name, ElementType::Int64, shape)
    }

    /// What a graph with such inputs asks for.
    fn of_inputs(inputs: Vec<TensorInfo>) -> Result<Signature, TaskError> {
        let model = Model { inputs, ..model(vec![float("logits", &["b", "3"])]) };
        Signature::of(&model, ModelType::SequenceClassification)
    }

    fn of_outputs(task: ModelType, outputs: Vec<TensorInfo>) -> Result<Signature, TaskError> {
        Signature::of(&model(outputs), task)
    }

    #[test]
    fn inputs_are_bound_by_name_whatever_their_order() {
        let signature = of_inputs(vec![
            float("attention_mask", &["b", "s"]),
            tensor("input_ids", ElementType::Int32, &["b", "s"]),
            TensorInfo { shape: None, ..ids("token_type_ids", &[]) },
            ids("position_ids", &["b", "s"]),
        ]);
        let signature = signature.unwrap();
        let expected = [
            (ModelInput::AttentionMask, ElementType::Float),
            (ModelInput::InputIds, ElementType::Int32),
            (ModelInput::TokenTypeIds, ElementType::Int64),
            (ModelInput::PositionIds, ElementType::Int64),
        ];
        assert_eq!(signature.inputs, expected);
        assert_eq!(signature.limits, Limits { texts: None, length: None });
    }

    #[test]
    fn declared_shapes_limit_a_batch() {
        let limits = |shape: &[&str]| {
            of_inputs(vec![ids("input_ids", shape), ids("attention_mask", &["b", "s"])]).unwrap().limits
        };
        assert_eq!(limits(&["1", "128"]), Limits { texts: Some(1), length: Some(128) });
        assert_eq!(limits(&["1", "s"]), Limits { texts: Some(1), length: None });
        assert_eq!(limits(&["b", "128"]), Limits { texts: None, length: Some(128) });
        assert_eq!(limits(&["b", "1048576"]).length, Some(LENGTH_LIMIT));
        let unmasked = of_inputs(vec![ids("input_ids", &["b", "s"])]).unwrap();
        assert_eq!(unmasked.limits, Limits { texts: Some(1), length: None }, "no mask, no padding");
    }

    #[test]
    fn inputs_that_no_text_gives_are_refused() {
        let refused = |other| of_inputs(vec![ids("input_ids", &["b", "s"]), other]).unwrap_err();
        let error = refused(float("pixel_values", &["b", "3", "8", "8"]));
        assert!(
            matches!(&error, TaskError::UnknownInput { input } if input.starts_with("pixel_values")),
            "{error}"
        );
        for other in [
            tensor("attention_mask", ElementType::Bool, &["b", "s"]),
            TensorInfo { element_type: None, ..ids("attention_mask", &["b", "s"]) },
            ids("attention_mask", &["b"]),
            ids("attention_mask", &["b", "1", "s"]),
        ] {
            let error = refused(other);
            assert!(matches!(error, TaskError::InputType { .. }), "{error}");
        }
        for size in [0, 4, u64::MAX] {
            let error = refused(ids("attention_mask", &[&size.to_string(), "s"]));
            assert!(matches!(error, TaskError::BatchSize { size: found, .. } if found == size), "{error}");
        }
        let expected = "the graph's input `attention_mask int64[4, s]` takes exactly 4 texts at once, where only 1 or any number will do";
        assert_eq!(refused(ids("attention_mask", &["4", "s"])).to_string(), expected);
        for length in [LENGTH_LIMIT as u64 + 1, u64::MAX] {
            let error = refused(ids("attention_mask", &["b", &length.to_string()]));
            assert!(
                matches!(&error, TaskError::InputLength { input } if input.starts_with("attention_mask")),
                "{error}"
            );
        }
        for none in [Vec::new(), vec![ids("attention_mask", &["b", "s"])]] {
            let error = of_inputs(none).unwrap_err();
            assert!(matches!(error, TaskError::NoInputIds { .. }), "{error}");
        }
    }

    #[test]
    fn an_output_is_found_by_name_then_by_rank() {
        let name = |outputs| of_outputs(ModelType::Embedding, outputs).unwrap().output;
        let hidden = |name| float(name, &["b", "s", "8"]);
        assert_eq!(name(vec![hidden("a"), hidden("last_hidden_state")]), "last_hidden_state");
        assert_eq!(name(vec![hidden("hidden_states"), hidden("token_embeddings")]), "token_embeddings");
        assert_eq!(name(vec![hidden("a"), hidden("hidden_states")]), "hidden_states");
        assert_eq!(name(vec![float("pooler_output", &["b", "8"]), hidden("a")]), "a");
        assert_eq!(name(vec![float("last_hidden_state", &["b", "8"]), hidden("a")]), "a");
        let shapeless = |name| TensorInfo { shape: None, ..hidden(name) };
        assert_eq!(name(vec![float("pooler_output", &["b", "8"]), shapeless("a")]), "a");
        let not_a_tensor = TensorInfo { element_type: None, ..shapeless("last_hidden_state") };
        assert_eq!(name(vec![not_a_tensor, hidden(""), hidden("a")]), "a");
    }

    #[test]
    fn outputs_that_cannot_be_told_apart_are_refused() {
        let logits = |name| float(name, &["b", "3"]);
        let error =
            of_outputs(ModelType::SequenceClassification, vec![logits("a"), logits("b")]).unwrap_err();
        let expected = "sequence_classification needs an output [batch, labels] named `logits`, as the graph gives several: a float32[b, 3], b float32[b, 3]";
        assert_eq!(error.to_string(), expected);
        let shapeless = |name| TensorInfo { shape: None, ..logits(name) };
        for task in [ModelType::Embedding, ModelType::SentenceEmbedding] {
            let outputs = vec![shapeless("a"), float("b", &["b", "s", "8"])];
            let error = of_outputs(task, outputs).unwrap_err();
            assert!(
                matches!(error, TaskError::AmbiguousOutput { expected: OutputKind::TokenVectors, .. }),
                "{error}"
            );
        }
    }

    #[test]
    fn a_pooler_output_is_not_a_sentence_embedding() {
        let found = |outputs| {
            let signature = of_outputs(ModelType::SentenceEmbedding, outputs).unwrap();
            (signature.output, signature.output_kind, signature.width)
        };
        let (tokens, sentence) = (|name| float(name, &["b", "s", "8"]), |name| float(name, &["b", "4"]));
        assert_eq!(
            found(vec![sentence("pooler_output"), tokens("hidden")]),
            ("hidden".to_owned(), OutputKind::TokenVectors, Some(8))
        );
        let pooled = |name: &str| (name.to_owned(), OutputKind::SentenceVectors, Some(4));
        assert_eq!(
            found(vec![tokens("token_embeddings"), sentence("sentence_embedding")]),
            pooled("sentence_embedding")
        );
        assert_eq!(found(vec![sentence("x")]), pooled("x"), "nothing else");
        // Its rank is not known, and token vectors are what encoders give.
        let shapeless = TensorInfo { shape: None, ..sentence("x") };
        assert_eq!(found(vec![shapeless]), ("x".to_owned(), OutputKind::TokenVectors, None));
        let result = of_outputs(ModelType::SentenceEmbedding, vec![sentence("x"), sentence("y")]);
        assert!(matches!(result, Err(TaskError::NoOutput { .. })));
    }

    #[test]
    fn outputs_are_floating_point() {
        let task = ModelType::SequenceClassification;
        let logits = |element_type| vec![tensor("logits", element_type, &["b", "3"])];
        for element_type in
            [ElementType::Float, ElementType::Float16, ElementType::BFloat16, ElementType::Double]
        {
            assert_eq!(of_outputs(task, logits(element_type)).unwrap().output, "logits");
        }
        for element_type in [ElementType::Int64, ElementType::Bool, ElementType::Other(17)] {
            let error = of_outputs(task, logits(element_type)).unwrap_err();
            assert!(matches!(error, TaskError::OutputType { .. }), "{error}");
        }
    }

    #[test]
    fn tasks_and_outputs_that_do_not_fit_are_named() {
        let logits = || vec![float("logits", &["b", "3"])];
        let error = of_outputs(ModelType::TokenClassification, logits()).unwrap_err();
        let expected = "token_classification needs an output [batch, sequence, labels], but the graph gives: logits float32[b, 3]";
        assert_eq!(error.to_string(), expected);
        let error = of_outputs(ModelType::SentenceEmbedding, Vec::new()).unwrap_err();
        let expected = "sentence_embedding needs an output [batch, hidden] or [batch, sequence, hidden], but the graph gives: none";
        assert_eq!(error.to_string(), expected);
        let image = of_outputs(ModelType::ImageClassification, logits());
        assert!(matches!(image, Err(TaskError::UnsupportedTask { .. })));
    }
}
