//! Models as they are found: which files there are, and what `config.json` and the tokenizer's configuration say.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use encoderfile_format::{ModelConfig, ModelType, Part, SourceFile};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::ModelFiles;
use super::given::{Decided, Given, GivenError};
use super::sentence_transformers::{Modules, Sentences, Settings};
use super::source::{self, CONFIGURATION_LIMIT, LooksLike, Reader};
use super::weights::{self, Weights};
use crate::error::Error;
use crate::terminal::size;

/// The tasks that can be built.
pub(crate) const TASKS: [ModelType; 4] = [
    ModelType::Embedding,
    ModelType::SentenceEmbedding,
    ModelType::SequenceClassification,
    ModelType::TokenClassification,
];

/// A model whose files are there and can be parsed.
pub(super) struct Model<'a> {
    pub(super) weights: Weights,
    pub(super) task: Decided<ModelType>,
    pub(super) config: Config,
    pub(super) stored_config: ModelConfig,
    pub(super) tokenizer_config: TokenizerConfig,
    pub(super) settings: Settings,
    /// For sentence embeddings, where sentence-transformers' files are there.
    pub(super) sentences: Option<Sentences>,
    /// `config.json`, `tokenizer.json` and `tokenizer_config.json` within the model folder.
    pub(super) names: Names,
    /// Whether there are files of sentence-transformers, whatever the task.
    pub(super) is_sentence_transformers: bool,
    files: &'a ModelFiles,
    /// Where `config.json` is.
    pub(super) config_path: PathBuf,
    pub(super) tokenizer_path: PathBuf,
    pub(super) tokenizer_json: String,
    /// The configuration files that were read.
    pub(super) parts: Vec<Part>,
    pub(super) sources: Vec<SourceFile>,
}

/// The names of files, which may be in a subfolder.
pub(super) struct Names {
    pub(super) config: String,
    pub(super) tokenizer: String,
    pub(super) tokenizer_config: String,
    pub(super) special_tokens_map: String,
}

/// What is read of `config.json` besides [`ModelConfig`]. Numbers that are none are ignored: some models have lists here.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Config {
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default, deserialize_with = "count")]
    pub(super) max_position_embeddings: Option<u64>,
    /// −1 stands for none.
    #[serde(default, deserialize_with = "count")]
    pub(super) pad_token_id: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    pub(super) vocab_size: Option<u64>,
}

fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_u64())
}

/// What is read of `tokenizer_config.json`, and of `special_tokens_map.json` in its place.
#[derive(Debug, Default, Deserialize)]
pub(super) struct TokenizerConfig {
    /// Often 1e30, which means that there is no limit.
    pub(super) model_max_length: Option<f64>,
    pub(super) padding_side: Option<Side>,
    pub(super) truncation_side: Option<Side>,
    #[serde(default)]
    pad_token: Option<SpecialToken>,
    /// The padding token, and the file that says so.
    #[serde(skip)]
    pub(super) padding: Option<(String, String)>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Side {
    Left,
    Right,
}

/// A special token: its text, or an object that has it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SpecialToken {
    Text(String),
    Object { content: String },
}

impl From<SpecialToken> for String {
    fn from(token: SpecialToken) -> Self {
        match token {
            SpecialToken::Text(text) | SpecialToken::Object { content: text } => text,
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
    Missing { name: String, folder: PathBuf, others: Vec<String> },
    #[error("`{}` is Hugging Face's cache of a model, not a model folder", folder.display())]
    HubCache { folder: PathBuf, snapshots: Vec<PathBuf> },
    #[error("no model.onnx in the model folder `{}`, but several others: {}", folder.display(), found.join(", "))]
    SeveralWeights { folder: PathBuf, found: Vec<String> },
    #[error("no graph `{given}` in the model folder `{}`{}", folder.display(), found_instead(found))]
    NoSuchWeights { given: String, folder: PathBuf, found: Vec<String>, suggestion: Option<String> },
    #[error("the graph `{given}` is not within the model folder")]
    WeightsOutside { given: String },
    #[error("`{}` is a link to a file that does not exist", path.display())]
    DanglingLink { path: PathBuf },
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}` is larger than {}", path.display(), size(*limit))]
    TooLarge { path: PathBuf, limit: u64 },
    #[error("`{}` is not the model's file, {looks_like}", path.display())]
    Instead { path: PathBuf, looks_like: LooksLike },
    #[error("`{}` cannot be parsed", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("`{}` is not text in UTF-8, from byte {offset} on", path.display())]
    Utf8 { path: PathBuf, offset: usize },
    #[error("`{}` does not say which task the model answers: its architectures are {found}", path.display())]
    UnknownTask { path: PathBuf, found: String },
    #[error("`{}` asks for {what}, which is not supported: the results would be others than Python's", path.display())]
    Unsupported { path: PathBuf, what: String },
    #[error("`{}` has the default prompt `{name}`, but no prompt of that name", path.display())]
    NoSuchPrompt { path: PathBuf, name: String },
    #[error("`{}` asks for texts in lower case, which its tokenizer.json does not make of them", path.display())]
    LowerCase { path: PathBuf },
    #[error("the labels in `{}` contradict each other: {what}", path.display())]
    Labels { path: PathBuf, what: String },
}

fn found_instead(others: &[String]) -> String {
    if others.is_empty() { String::new() } else { format!(", only {}", others.join(", ")) }
}

impl ModelFolderError {
    /// Of a file that is not there, with what is there in its place.
    pub(super) fn missing(folder: &Path, name: &str) -> Self {
        if let Some(snapshots) = snapshots(folder) {
            return Self::HubCache { folder: folder.to_owned(), snapshots };
        }
        let base = name.rsplit('/').next().unwrap_or_default();
        let subfolder = &name[..name.len() - base.len()];
        let is_instead = |file: &str| match base {
            "model.onnx" => [".onnx", ".safetensors", ".bin", ".h5"].iter().any(|end| file.ends_with(end)),
            "tokenizer.json" => SLOW_TOKENIZERS.contains(&file),
            _ => false,
        };
        let entries = fs::read_dir(folder.join(subfolder)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut others: Vec<_> = names.filter(|name| is_instead(name)).collect();
        others.sort_unstable();
        Self::Missing { name: name.to_owned(), folder: folder.to_owned(), others }
    }

    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Missing { name, .. } if name.ends_with("model.onnx") => {
                "export the model: `optimum-cli export onnx --model MODEL_ID MODEL_DIR` (from PyPI's `optimum`)"
            }
            Self::Missing { name, .. } if name.ends_with("tokenizer.json") => {
                "save the fast tokenizer: `AutoTokenizer.from_pretrained(…, use_fast=True).save_pretrained(MODEL_DIR)`"
            }
            Self::Missing { .. } => "a model folder holds model.onnx, config.json and tokenizer.json",
            Self::HubCache { snapshots, .. } => {
                return Some(match snapshots.as_slice() {
                    [] => "it holds no snapshot: download the model again".to_owned(),
                    [first, ..] => format!("give a folder of its snapshots: `{}`", first.display()),
                });
            }
            Self::SeveralWeights { found, .. } => {
                return Some(format!("say which with `--weights`, as in `--weights {}`", found[0]));
            }
            Self::NoSuchWeights { suggestion: Some(name), .. } => {
                return Some(format!("did you mean `{name}`?"));
            }
            Self::NoSuchWeights { .. } | Self::WeightsOutside { .. } => {
                "give a path within the model folder such as `onnx/model_fp16.onnx`, or the short name `fp16`"
            }
            Self::DanglingLink { .. } => {
                "download the model again: the file that the link leads to is missing"
            }
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
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => "check the path",
            Self::Instead { looks_like, .. } => looks_like.hint(),
            Self::TooLarge { limit: CONFIGURATION_LIMIT, .. } => {
                "is it the model's configuration? Those have some kilobytes"
            }
            Self::Json { .. } | Self::Utf8 { .. } | Self::TooLarge { .. } => {
                "copy the file again from the model"
            }
            Self::NoSuchPrompt { .. } => {
                "correct `default_prompt_name` there, or give other `prompts` in the build file"
            }
            Self::LowerCase { .. } => {
                "put the normalizer `Lowercase` first in tokenizer.json, or set `do_lower_case` to false"
            }
            Self::Labels { .. } => "correct `id2label`, `label2id` or `num_labels` there",
            Self::Read { .. } | Self::Unsupported { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

/// What tokenizers are kept in that only Python can load.
const SLOW_TOKENIZERS: [&str; 7] = [
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
    "tokenizer.model",
];

/// The snapshots of a model in Hugging Face's cache, if the folder is that, or one in it that has no names of files.
fn snapshots(folder: &Path) -> Option<Vec<PathBuf>> {
    let is_blobs = folder.file_name().is_some_and(|name| name == "blobs");
    let model = if is_blobs { folder.parent()? } else { folder };
    let is_cache = model.join("blobs").is_dir() && model.join("snapshots").is_dir();
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    is_cache.then(|| {
        let mut found: Vec<_> = entries(&model.join("snapshots")).map(|entry| entry.path()).collect();
        found.sort_unstable();
        found
    })
}

impl<'a> Model<'a> {
    pub(super) fn read(files: &'a ModelFiles, given: &Given) -> Result<Self, Error> {
        if let ModelFiles::Folder(path) = files {
            let metadata = fs::metadata(path)
                .map_err(|source| ModelFolderError::Folder { path: path.clone(), source })?;
            if !metadata.is_dir() {
                return Err(ModelFolderError::NotAFolder { path: path.clone() }.into());
            }
        }
        let mut reader = Reader::new(files);
        let modules = Modules::read(&mut reader)?;
        let subfolder = modules.as_ref().map_or("", |modules| &modules.transformer);
        let names = Names {
            config: format!("{subfolder}config.json"),
            tokenizer: format!("{subfolder}tokenizer.json"),
            tokenizer_config: format!("{subfolder}tokenizer_config.json"),
            special_tokens_map: format!("{subfolder}special_tokens_map.json"),
        };
        let weights = weights(files, subfolder, given)?;
        let config_path = reader.path(&names.config);
        let config_json = reader.required(&names.config)?;
        let config: Config = source::parse(&config_path, &config_json)?;
        let stored_config = source::parse(&config_path, &config_json)?;
        let task = match (given.model_type, &modules) {
            (Some(task), _) => Decided::given(task),
            (None, Some(modules)) if modules.says_sentence_embedding().is_some() => Decided::by(
                ModelType::SentenceEmbedding,
                modules.says_sentence_embedding().unwrap_or_default(),
            ),
            (None, _) => Decided::by(config.task(&config_path)?, names.config.clone()),
        };
        given.check(task.value)?;
        let tokenizer_path = reader.path(&names.tokenizer);
        let tokenizer_json = reader.tokenizer(&names.tokenizer)?;
        let tokenizer_config = TokenizerConfig::read(&mut reader, &names)?;
        let settings = modules.as_ref().map(|modules| modules.settings(&mut reader)).transpose()?;
        let is_sentence_transformers = modules.is_some();
        let modules = modules.filter(|_| task.value == ModelType::SentenceEmbedding);
        let sentences = modules.map(|modules| modules.sentences(&mut reader)).transpose()?;
        Ok(Self {
            weights,
            task,
            config,
            stored_config,
            tokenizer_config,
            settings: settings.unwrap_or_default(),
            sentences,
            names,
            is_sentence_transformers,
            files,
            config_path,
            tokenizer_path,
            tokenizer_json,
            parts: reader.parts,
            sources: reader.sources,
        })
    }

    /// Where a file of the model is, for messages.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.files.path_of(name).unwrap_or_else(|| PathBuf::from(name))
    }
}

fn weights(files: &ModelFiles, subfolder: &str, given: &Given) -> Result<Weights, Error> {
    let paths = match files {
        ModelFiles::Folder(folder) => {
            let mut places = vec![subfolder.to_owned(), String::new()];
            places.dedup();
            return Ok(weights::choose(folder, &places, given.weights.as_deref())?);
        }
        ModelFiles::Paths(paths) => paths,
    };
    if given.weights.is_some() {
        return Err(GivenError::WeightsTwice.into());
    }
    if let Some(path) = &paths.preprocessor_config {
        let because = format!("`{}` was given as `preprocessor_config_path`", path.display());
        return Err(GivenError::Images { because }.into());
    }
    let path = paths.weights.clone();
    let Some(file) = source::open(&path)? else {
        return Err(ModelFolderError::Read { path, source: io::ErrorKind::NotFound.into() }.into());
    };
    // The name that it has in a folder from which the same file can be built.
    let name = Decided::default("model.onnx".to_owned());
    Ok(Weights { name, path, file, others: Vec::new(), is_only_one: false })
}

impl Config {
    /// The task that the architecture was made for.
    fn task(&self, path: &Path) -> Result<ModelType, Error> {
        let architectures = self.architectures.as_deref().unwrap_or_default();
        if let Some(name) = architectures.iter().find(|name| name.ends_with("ForImageClassification")) {
            let because = format!("`{}` has the architecture {name}", path.display());
            return Err(GivenError::Images { because }.into());
        }
        let task = architectures.iter().find_map(|architecture| match architecture.as_str() {
            name if name.ends_with("ForSequenceClassification") => Some(ModelType::SequenceClassification),
            name if name.ends_with("ForTokenClassification") => Some(ModelType::TokenClassification),
            name if name.ends_with("Model") || name.ends_with("ForMaskedLM") => Some(ModelType::Embedding),
            _ => None,
        });
        let found =
            || if architectures.is_empty() { "not given".to_owned() } else { architectures.join(", ") };
        Ok(task.ok_or_else(|| ModelFolderError::UnknownTask { path: path.to_owned(), found: found() })?)
    }
}

impl TokenizerConfig {
    fn read(reader: &mut Reader<'_>, names: &Names) -> Result<Self, ModelFolderError> {
        let mut config: Self = reader.optional_json(&names.tokenizer_config)?.unwrap_or_default();
        let others: Self = reader.optional_json(&names.special_tokens_map)?.unwrap_or_default();
        let by_config = config.pad_token.take().map(|token| (token.into(), names.tokenizer_config.clone()));
        let by_map = others.pad_token.map(|token| (token.into(), names.special_tokens_map.clone()));
        config.padding = by_config.or(by_map);
        Ok(config)
    }
}
