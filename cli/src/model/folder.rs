//! Model folders as Hugging Face and sentence-transformers lay them out: what is in one, and what it says of the model.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use encoderfile_format::{Digest, ModelConfig, ModelType, SentencePooling, SourceFile};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::files::open_regular;
use super::sentence_transformers::{self, SentenceTransformers};

/// The tasks that can be built.
pub(crate) const TASKS: [ModelType; 4] = [
    ModelType::Embedding,
    ModelType::SentenceEmbedding,
    ModelType::SequenceClassification,
    ModelType::TokenClassification,
];

/// Where exporters put the graph, relative to the folder.
const WEIGHTS: [&str; 2] = ["model.onnx", "onnx/model.onnx"];

/// A model folder whose files are there and can be parsed.
pub(crate) struct ModelFolder {
    pub(crate) path: PathBuf,
    /// The graph's path, for messages, and the open file.
    pub(crate) weights_path: PathBuf,
    pub(crate) weights: File,
    pub(crate) config: Config,
    pub(crate) model_config: ModelConfig,
    pub(crate) tokenizer_path: PathBuf,
    pub(crate) tokenizer_json: String,
    pub(crate) tokenizer_config: TokenizerConfig,
    pub(crate) sentence_transformers: Option<SentenceTransformers>,
    /// The files that were read, apart from the graph.
    pub(crate) sources: Vec<SourceFile>,
}

/// What is read of `config.json` besides [`ModelConfig`].
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) architectures: Option<Vec<String>>,
    pub(crate) max_position_embeddings: Option<usize>,
    pad_token_id: Option<i64>,
}

impl Config {
    /// The padding token; −1 stands for none.
    pub(crate) fn pad_token_id(&self) -> Option<u32> {
        self.pad_token_id.and_then(|id| id.try_into().ok())
    }
}

/// What is read of `tokenizer_config.json`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct TokenizerConfig {
    /// Often 1e30, which means that there is no limit.
    pub(crate) model_max_length: Option<f64>,
    pub(crate) padding_side: Option<Side>,
    pub(crate) truncation_side: Option<Side>,
    pub(crate) pad_token: Option<SpecialToken>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    Left,
    Right,
}

/// A special token: its text, or an object that has it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum SpecialToken {
    Text(String),
    Object { content: String },
}

impl SpecialToken {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Object { content: text } => text,
        }
    }
}

/// Why a folder cannot be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelFolderError {
    #[error("cannot read the model folder `{}`", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("`{}` is not a folder", path.display())]
    NotAFolder { path: PathBuf },
    #[error("no {name} in the model folder `{}`{}", folder.display(), found_instead(others))]
    Missing { name: &'static str, folder: PathBuf, others: Vec<String> },
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}` cannot be parsed", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("`{}` is not text in UTF-8", path.display())]
    Utf8 { path: PathBuf },
    #[error("`{}` does not say which task the model answers: its architectures are {found}", path.display())]
    UnknownTask { path: PathBuf, found: String },
    #[error("`{}` asks for {what}, which is not supported: the results would be others than Python's", path.display())]
    Unsupported { path: PathBuf, what: String },
}

fn found_instead(others: &[String]) -> String {
    if others.is_empty() { String::new() } else { format!(", only {}", others.join(", ")) }
}

impl ModelFolderError {
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Missing { name: "model.onnx", .. } => {
                "export the model: `optimum-cli export onnx --model MODEL_ID MODEL_DIR` (from PyPI's `optimum`)"
            }
            Self::Missing { name: "tokenizer.json", .. } => {
                "save the fast tokenizer: `AutoTokenizer.from_pretrained(…, use_fast=True).save_pretrained(MODEL_DIR)`"
            }
            Self::Missing { .. } => "a model folder holds model.onnx, config.json and tokenizer.json",
            Self::NotAFolder { .. } => {
                "give the folder that holds model.onnx, config.json and tokenizer.json"
            }
            Self::UnknownTask { .. } => {
                return Some(format!(
                    "say it with `--model-type`: {}",
                    TASKS.map(|task| task.to_string()).join(", ")
                ));
            }
            Self::Folder { .. } => "check the path",
            Self::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "make it readable, for example with `chmod +r`"
            }
            Self::Json { .. } | Self::Utf8 { .. } => "copy the file again from the model",
            Self::Read { .. } | Self::Unsupported { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

impl ModelFolder {
    pub(crate) fn read(path: &Path) -> Result<Self, ModelFolderError> {
        let metadata = fs::metadata(path)
            .map_err(|source| ModelFolderError::Folder { path: path.to_owned(), source })?;
        if !metadata.is_dir() {
            return Err(ModelFolderError::NotAFolder { path: path.to_owned() });
        }
        let mut reader = Reader { folder: path, sources: Vec::new() };
        let (weights_path, weights) = open_weights(path)?;
        let config_json = reader.required("config.json")?;
        let config = parse(&path.join("config.json"), &config_json)?;
        let model_config = parse(&path.join("config.json"), &config_json)?;
        let tokenizer_json = String::from_utf8(reader.required("tokenizer.json")?)
            .map_err(|_| ModelFolderError::Utf8 { path: path.join("tokenizer.json") })?;
        let tokenizer_config = reader.optional_json("tokenizer_config.json")?.unwrap_or_default();
        let sentence_transformers = sentence_transformers::read(&mut reader)?;
        Ok(Self {
            weights_path,
            weights,
            config,
            model_config,
            tokenizer_path: path.join("tokenizer.json"),
            tokenizer_json,
            tokenizer_config,
            sentence_transformers,
            sources: reader.sources,
            path: path.to_owned(),
        })
    }

    /// The task, and the file that says so.
    pub(crate) fn task(&self) -> Result<(ModelType, &'static str), ModelFolderError> {
        if self.sentence_transformers.is_some() {
            return Ok((ModelType::SentenceEmbedding, "modules.json"));
        }
        let architectures = self.config.architectures.as_deref().unwrap_or_default();
        let task = architectures.iter().find_map(|architecture| match architecture.as_str() {
            name if name.ends_with("ForSequenceClassification") => Some(ModelType::SequenceClassification),
            name if name.ends_with("ForTokenClassification") => Some(ModelType::TokenClassification),
            name if name.ends_with("Model") || name.ends_with("ForMaskedLM") => Some(ModelType::Embedding),
            _ => None,
        });
        task.map(|task| (task, "config.json")).ok_or_else(|| ModelFolderError::UnknownTask {
            path: self.path.join("config.json"),
            found: if architectures.is_empty() { "not given".to_owned() } else { architectures.join(", ") },
        })
    }

    /// What the folder asks for and does not get.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let prompt = self.sentence_transformers.as_ref().and_then(|found| found.default_prompt.as_deref());
        let prompt = prompt.map(|prompt| {
            format!(
                "sentence-transformers would put the prompt {prompt:?} before each text \
                 (config_sentence_transformers.json): here, put it there yourself"
            )
        });
        prompt.into_iter().collect()
    }

    /// How sentence-transformers pools, where its files say so.
    pub(crate) fn pooling(&self) -> Option<&SentencePooling> {
        self.sentence_transformers.as_ref().map(|found| &found.pooling)
    }
}

fn open_weights(folder: &Path) -> Result<(PathBuf, File), ModelFolderError> {
    for name in WEIGHTS {
        let path = folder.join(name);
        match open_regular(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ModelFolderError::Read { path, source }),
        }
    }
    let entries = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .chain(fs::read_dir(folder.join("onnx")).into_iter().flatten());
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_model = |name: &String| {
        Path::new(name).extension().is_some_and(|extension| extension == "onnx" || extension == "safetensors")
    };
    let mut others: Vec<_> = names.filter(is_model).collect();
    others.sort_unstable();
    Err(ModelFolderError::Missing { name: "model.onnx", folder: folder.to_owned(), others })
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, ModelFolderError> {
    serde_json::from_slice(bytes).map_err(|source| ModelFolderError::Json { path: path.to_owned(), source })
}

/// Reads files of a folder and keeps account of them.
pub(crate) struct Reader<'a> {
    pub(crate) folder: &'a Path,
    sources: Vec<SourceFile>,
}

impl Reader<'_> {
    fn optional(&mut self, name: &str) -> Result<Option<Vec<u8>>, ModelFolderError> {
        let path = self.folder.join(name);
        match fs::read(&path) {
            Ok(bytes) => {
                let (name, length, sha256) = (name.to_owned(), bytes.len() as u64, Digest::of(&bytes));
                self.sources.push(SourceFile { name, length, sha256 });
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ModelFolderError::Read { path, source }),
        }
    }

    fn required(&mut self, name: &'static str) -> Result<Vec<u8>, ModelFolderError> {
        self.optional(name)?.ok_or_else(|| ModelFolderError::Missing {
            name,
            folder: self.folder.to_owned(),
            others: Vec::new(),
        })
    }

    pub(crate) fn optional_json<T: DeserializeOwned>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, ModelFolderError> {
        self.optional(name)?.map(|bytes| parse(&self.folder.join(name), &bytes)).transpose()
    }
}
