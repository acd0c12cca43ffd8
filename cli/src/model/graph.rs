//! The graph of a model: whether it takes tokens and gives what the task needs, and which files hold its weights.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use encoderfile_format::onnx::{self, EmbeddingTable, OnnxError, OperatorError};
use encoderfile_format::{ModelType, OutputKind, Signature, TaskError};

use super::folder::{Model, ModelFolderError};
use super::source::{self, LooksLike};
use super::weights::plain;
use crate::error::Error;

/// Why a model's graph cannot be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelError {
    #[error("it is not an ONNX model{}", looks_like.map(|like| format!(", {like}")).unwrap_or_default())]
    Onnx { source: OnnxError, looks_like: Option<LooksLike> },
    #[error(transparent)]
    Task(TaskError),
    #[error(transparent)]
    Operators(OperatorError),
    #[error("its weights are not all there")]
    External(#[source] OnnxError),
    #[error("it keeps weights in the file `{file}`, which is another of the model's files")]
    ExternalName { file: String },
    #[error("config.json names {labels} labels, but the output `{output}` has {width} values")]
    Labels { labels: usize, output: String, width: u64 },
    #[error(
        "`{by}` says that a token's vector has {dimension} values, but the output `{output}` has {width}"
    )]
    Dimension { by: String, dimension: u64, output: String, width: u64 },
    #[error("it pools by itself, so a prompt's tokens cannot be left out, as `{by}` asks for")]
    PooledPrompt { by: String },
    #[error(
        "its table `{table}` has {rows} rows, but `{tokenizer}` has the token `{token}` with the id {id}"
    )]
    Token { table: String, rows: u64, tokenizer: String, token: String, id: u32 },
}

impl ModelError {
    pub(crate) fn hint(&self) -> String {
        let hint = match self {
            Self::Onnx { looks_like: Some(looks_like), .. } if *looks_like != LooksLike::Nothing => {
                looks_like.hint()
            }
            Self::Onnx { .. } => "is the file complete? Compare its size and sha256 with its publisher's",
            Self::Task(error) => error.hint(),
            Self::Operators(error) => error.hint(),
            Self::External(OnnxError::NoFile { .. }) => {
                "copy the file from where the model came from, to beside the .onnx file"
            }
            Self::External(OnnxError::Location { .. }) | Self::ExternalName { .. } => {
                "save the model anew: `onnx.save(onnx.load(IN), OUT, save_as_external_data=True)`"
            }
            Self::External(_) => "is that file complete? Compare its size and sha256 with its publisher's",
            Self::Labels { .. } => "correct `id2label` in config.json, or use the config.json of this model",
            Self::Dimension { .. } => {
                "are both files of the same model? Correct that file, or take its graph"
            }
            Self::PooledPrompt { .. } => {
                "export the model without pooling, with the output `last_hidden_state`"
            }
            Self::Token { .. } => "use the tokenizer.json that the model was exported with",
        };
        hint.to_owned()
    }
}

/// What a graph says of itself.
pub(super) struct Graph {
    pub(super) signature: Signature,
    pub(super) embedding_table: Option<EmbeddingTable>,
    /// The files beside it that hold weights, in the order of their names within the model folder.
    pub(super) external: Vec<(String, PathBuf, File)>,
}

/// Whether the graph takes tokens, gives what the task needs, and has all its weights.
pub(super) fn check(model: &Model<'_>) -> Result<Graph, Error> {
    let path = &model.weights.path;
    let cannot_read = |source| Error::Open { path: path.clone(), source };
    let length = model.weights.file.metadata().map_err(cannot_read)?.len();
    let bytes = onnx::Outline::read(&model.weights.file, 0, length).map_err(cannot_read)?;
    let error = |source| model_error(model, source);
    let not_onnx = |source| error(ModelError::Onnx { source, looks_like: LooksLike::of(&bytes) });
    let graph = onnx::Model::parse(&bytes).map_err(not_onnx)?;
    graph.check_operators().map_err(|source| error(ModelError::Operators(source)))?;
    let task = model.task.value;
    let signature = Signature::of(&graph, task).map_err(|source| error(ModelError::Task(source)))?;
    if matches!(task, ModelType::SequenceClassification | ModelType::TokenClassification) {
        check_labels(model, &signature)?;
    }
    check_pooling(model, &signature)?;
    let external = external(model, &graph, &bytes)?;
    Ok(Graph { signature, embedding_table: graph.embedding_table(), external })
}

/// Puts the graph's path before a message.
pub(super) fn model_error(model: &Model<'_>, source: ModelError) -> Error {
    Error::Model { path: model.weights.path.clone(), source: Box::new(source) }
}

/// Whether the labels are one for each value, and say the same wherever they are named.
fn check_labels(model: &Model<'_>, signature: &Signature) -> Result<(), Error> {
    let config = &model.stored_config;
    let contradict = |what| Err(ModelFolderError::Labels { path: model.config_path.clone(), what }.into());
    let count = config.label_count();
    if let Some(labels) = &config.id2label {
        let ids = labels.keys().copied();
        if let Some((expected, id)) = (0..).zip(ids).find(|(expected, id)| expected != id) {
            return contradict(format!("`id2label` has no label for {expected}, but one for {id}"));
        }
        for (label, id) in config.label2id.iter().flatten() {
            match labels.get(id) {
                Some(other) if other == label => {}
                Some(other) => {
                    return contradict(format!(
                        "`label2id` gives `{label}` the number {id}, which is `{other}` in `id2label`"
                    ));
                }
                None => {
                    return contradict(format!(
                        "`label2id` gives `{label}` the number {id}, which `id2label` does not have"
                    ));
                }
            }
        }
    }
    if let (Some(said), Some(count)) = (config.num_labels, count)
        && said as usize != count
    {
        return contradict(format!("`num_labels` is {said}, but {count} are named"));
    }
    match (count, signature.width) {
        (Some(labels), Some(width)) if labels as u64 != width => {
            let output = signature.output.clone();
            Err(model_error(model, ModelError::Labels { labels, output, width }))
        }
        _ => Ok(()),
    }
}

/// Whether what sentence-transformers' files say of the vectors holds for this graph.
fn check_pooling(model: &Model<'_>, signature: &Signature) -> Result<(), Error> {
    let Some(sentences) = &model.sentences else { return Ok(()) };
    if signature.output_kind == OutputKind::SentenceVectors {
        return match &sentences.exclude_prompt {
            Some(by) => Err(model_error(model, ModelError::PooledPrompt { by: by.clone() })),
            None => Ok(()),
        };
    }
    match (&sentences.dimension, signature.width) {
        (Some((dimension, by)), Some(width)) if *dimension != width => {
            let (by, dimension, output) = (by.clone(), *dimension, signature.output.clone());
            Err(model_error(model, ModelError::Dimension { by, dimension, output, width }))
        }
        _ => Ok(()),
    }
}

/// Opens the files beside the graph that hold weights, and checks that all weights lie in them.
fn external(
    model: &Model<'_>,
    graph: &onnx::Model,
    bytes: &[u8],
) -> Result<Vec<(String, PathBuf, File)>, Error> {
    if graph.external_files().is_empty() {
        return Ok(Vec::new());
    }
    let name = &model.weights.name.value;
    let subfolder = &name[..name.rfind('/').map_or(0, |slash| slash + 1)];
    let folder = model.weights.path.with_file_name("");
    let opened = RefCell::new(BTreeMap::new());
    let fault = RefCell::new(None);
    let length = |location: &str| {
        let path = folder.join(location);
        let file = source::open(&path).unwrap_or_else(|error| {
            fault.borrow_mut().get_or_insert(error);
            None
        })?;
        let length = file.metadata().ok()?.len();
        // Two spellings of one name are one file.
        let name = format!("{subfolder}{}", plain(location)?);
        opened.borrow_mut().insert(name, (path, file));
        Some(length)
    };
    let checked = onnx::check_external(bytes, &length);
    if let Some(error) = fault.into_inner() {
        return Err(error.into());
    }
    checked.map_err(|source| model_error(model, ModelError::External(source)))?;
    let opened = opened.into_inner();
    let is_taken = |file: &&String| {
        *file == name
            || **file == model.names.tokenizer
            || model.parts.iter().any(|part| part.name.as_ref() == Some(*file))
    };
    if let Some(file) = opened.keys().find(is_taken) {
        return Err(model_error(model, ModelError::ExternalName { file: file.clone() }));
    }
    Ok(opened.into_iter().map(|(name, (path, file))| (name, path, file)).collect())
}
