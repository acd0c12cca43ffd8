//! The graph of a model: whether it takes tokens and gives what the task needs.

use std::fmt;

use encoderfile_format::onnx::{self, OnnxError};
use encoderfile_format::{ModelType, Signature, TaskError};

use super::folder::ModelFolder;
use crate::error::Error;

/// Why a model's graph cannot be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelError {
    #[error("it is not an ONNX model{}", looks_like.map(|like| format!(", {like}")).unwrap_or_default())]
    Onnx { source: OnnxError, looks_like: Option<LooksLike> },
    #[error(transparent)]
    Task(TaskError),
    #[error("it keeps weights in the file `{file}`, which is not supported yet")]
    ExternalData { file: String },
    #[error("config.json names {labels} labels, but the output `{output}` has {width} values")]
    Labels { labels: usize, output: String, width: u64 },
}

/// What is often found in place of a model.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LooksLike {
    GitLfsPointer,
    WebPage,
    Nothing,
}

impl fmt::Display for LooksLike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GitLfsPointer => "but the pointer that Git LFS leaves in its place",
            Self::WebPage => "but a web page or XML",
            Self::Nothing => "the file is empty",
        })
    }
}

impl ModelError {
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Onnx { looks_like: Some(LooksLike::GitLfsPointer), .. } => {
                "fetch the model itself with `git lfs pull` in its folder"
            }
            Self::Onnx { .. } => "is the file complete? Compare its size and sha256 with its publisher's",
            Self::Task(error) => error.hint(),
            Self::ExternalData { .. } => {
                "save the model in one file, which works up to 2 GB: `onnx.save(onnx.load(IN), OUT)`"
            }
            Self::Labels { .. } => "correct `id2label` in config.json, or use the config.json of this model",
        };
        Some(hint.to_owned())
    }
}

/// Whether the graph takes tokens and gives what the task needs.
pub(super) fn check(folder: &ModelFolder, model_type: ModelType) -> Result<(), Error> {
    let path = &folder.weights_path;
    let model_error = |source| Error::Model { path: path.clone(), source: Box::new(source) };
    #[expect(unsafe_code, reason = "a map lets a model of any size be walked without reading its weights")]
    // SAFETY: the map is read-only and dropped before this function returns. Were the file truncated meanwhile, the
    // process would be stopped by a signal, as with any mapped file; nothing has been written by then.
    let map = unsafe { memmap2::Mmap::map(&folder.weights) };
    let bytes = map.map_err(|source| Error::Open { path: path.clone(), source })?;
    let not_onnx = |source| model_error(ModelError::Onnx { source, looks_like: looks_like(&bytes) });
    let model = onnx::Model::parse(&bytes).map_err(not_onnx)?;
    if let Some(external) = model.external_files().first() {
        return Err(model_error(ModelError::ExternalData { file: (*external).to_owned() }));
    }
    let signature =
        Signature::of(&model, model_type).map_err(|source| model_error(ModelError::Task(source)))?;
    let labels = folder.model_config.label_count();
    let is_classification =
        matches!(model_type, ModelType::SequenceClassification | ModelType::TokenClassification);
    match (labels, signature.width) {
        (Some(labels), Some(width)) if is_classification && labels as u64 != width => {
            Err(model_error(ModelError::Labels { labels, output: signature.output, width }))
        }
        _ => Ok(()),
    }
}

/// What is often found in place of a model.
fn looks_like(bytes: &[u8]) -> Option<LooksLike> {
    let start = bytes[..bytes.len().min(512)].trim_ascii_start();
    if start.starts_with(b"version https://git-lfs.github.com/") {
        Some(LooksLike::GitLfsPointer)
    } else if start.starts_with(b"<") {
        Some(LooksLike::WebPage)
    } else if bytes.is_empty() {
        Some(LooksLike::Nothing)
    } else {
        None
    }
}
