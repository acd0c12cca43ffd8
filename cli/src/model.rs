//! From a model as it is found to the artifacts of a file: what is there, what it says, and whether it all fits.

mod folder;
mod graph;
mod sentence_transformers;
mod tokenizer;

use std::path::{Path, PathBuf};

use encoderfile_format::{ArtifactKind, Content, Description, ModelType, Part, SentencePooling};

use crate::error::Error;
use crate::inspect::pooling_text;
use crate::terminal::Terminal;

pub(crate) use folder::{ModelFolderError, TASKS};
pub(crate) use graph::ModelError;
pub(crate) use tokenizer::TokenizerError;

/// Where the files of a model are.
#[derive(Debug)]
pub(crate) enum ModelFiles {
    /// Laid out as Hugging Face, optimum or sentence-transformers do it.
    Folder(PathBuf),
}

impl ModelFiles {
    /// The folder's own name, as the model's default name.
    pub(crate) fn name(&self) -> String {
        let Self::Folder(path) = self;
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        path.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    fn path(&self) -> &Path {
        let Self::Folder(path) = self;
        path
    }
}

/// What the packager said, by a flag or in the build file.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) model_type: Option<ModelType>,
}

/// What a file is made of besides the base binary.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) description: Description,
    pub(crate) parts: Vec<Part>,
}

/// Checks the model, the tokenizer and the configuration, and says what was found.
pub(crate) fn prepare(
    files: &ModelFiles,
    given: &Given,
    name: &str,
    version: &str,
    terminal: Terminal,
) -> Result<Prepared, Error> {
    let folder = folder::ModelFolder::read(files.path())?;
    let (model_type, because) = match given.model_type {
        Some(model_type) => (model_type, "as given"),
        None => folder.task()?,
    };
    graph::check(&folder, model_type)?;
    let tokenizer = tokenizer::prepare(&folder)?;
    let sentence_pooling = (model_type == ModelType::SentenceEmbedding)
        .then(|| folder.pooling().cloned().unwrap_or_else(SentencePooling::default));

    terminal.status("Model", format_args!("{name} {version}: {model_type} ({because})"));
    if let Some(pooling) = &sentence_pooling {
        let because = if folder.pooling().is_some() { "modules.json" } else { "the default" };
        terminal.status("Pooling", format_args!("{} ({because})", pooling_text(pooling)));
    }
    match tokenizer.limit {
        Some((limit, because)) => terminal.status("Limit", format_args!("{limit} tokens ({because})")),
        None => terminal.status("Limit", "none: no file gives one, so long texts are not truncated"),
    }
    for warning in folder.warnings() {
        terminal.warning(warning);
    }

    let parts = vec![
        Part::bytes(ArtifactKind::ModelConfig, folder.model_config.to_json()),
        Part::bytes(ArtifactKind::Tokenizer, tokenizer.artifact.to_json()),
        Part {
            kind: ArtifactKind::Weights,
            name: Some("model.onnx".to_owned()),
            content: Content::File { path: folder.weights_path, file: folder.weights },
        },
    ];
    let description = Description {
        sentence_pooling,
        sources: folder.sources,
        tokenizer_edits: tokenizer.edits,
        ..Description::new(model_type, name, version)
    };
    Ok(Prepared { description, parts })
}
