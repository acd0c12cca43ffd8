//! What sentence-transformers' files say: modules, pooling, normalisation, the length limit and prompts.
//!
//! Source: Python's package `sentence_transformers`, versions 3.4 to 6.2: its classes `Transformer` and `Pooling`, and how
//! it loads the modules of a model.

use encoderfile_format::{PoolingMode, Prompt, SentencePooling};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::folder::ModelFolderError;
use super::given::Decided;
use super::source::Reader;
use super::weights::plain;

const MODULES: &str = "modules.json";
const MODEL: &str = "config_sentence_transformers.json";
/// The names under which the length limit is kept, by the kind of encoder.
const SETTINGS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];
/// The package whose modules are known. Other modules are programs that come with the model.
const PACKAGE: &str = "sentence_transformers.";

/// An entry of `modules.json`.
#[derive(Debug, Deserialize)]
struct Module {
    #[serde(default)]
    path: String,
    r#type: String,
}

impl Module {
    /// Its class, which has moved between packages.
    fn class(&self) -> &str {
        if self.r#type.starts_with(PACKAGE) {
            self.r#type.rsplit('.').next().unwrap_or_default()
        } else {
            &self.r#type
        }
    }

    /// Its folder within the model folder: empty, or with a slash at its end.
    fn folder(&self, reader: &Reader<'_>) -> Result<String, ModelFolderError> {
        if self.path.split('/').all(|part| matches!(part, "" | ".")) && !self.path.starts_with('/') {
            return Ok(String::new());
        }
        match plain(&self.path) {
            Some(path) => Ok(format!("{path}/")),
            None => Err(unsupported(reader, MODULES, format!("the path `{}`", self.path))),
        }
    }
}

/// `modules.json` and `config_sentence_transformers.json`.
#[derive(Debug)]
pub(super) struct Modules {
    list: Vec<Module>,
    model: Model,
    /// Where the encoder and its tokenizer are: empty, or with a slash at its end.
    pub(super) transformer: String,
}

/// `config_sentence_transformers.json`.
#[derive(Debug, Default, Deserialize)]
struct Model {
    /// The class that the model was saved by.
    #[serde(rename = "model_type")]
    class: Option<String>,
    prompts: Option<Map<String, Value>>,
    default_prompt_name: Option<String>,
}

/// What holds for every task.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// Longest input in tokens, special ones included.
    pub(super) max_seq_length: Option<Decided<usize>>,
    /// The file that asks for texts to be lower-cased.
    pub(super) lower_case: Option<String>,
}

/// What holds for sentence embeddings.
#[derive(Debug)]
pub(super) struct Sentences {
    /// None where the model has no module that pools.
    pub(super) modes: Option<Decided<Vec<PoolingMode>>>,
    pub(super) normalize: Decided<bool>,
    /// The file that asks for the prompt's tokens to be left out.
    pub(super) exclude_prompt: Option<String>,
    /// How many values a token's vector has, and the file that says so.
    pub(super) dimension: Option<(u64, String)>,
    pub(super) prompts: Decided<Vec<Prompt>>,
    pub(super) default_prompt_name: Option<Decided<String>>,
}

/// The prompts, and the name of the default one.
type Prompts = (Decided<Vec<Prompt>>, Option<Decided<String>>);

impl Modules {
    /// None in a folder without `modules.json`.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, ModelFolderError> {
        let Some(modules) = reader.optional_json::<Vec<Module>>(MODULES)? else { return Ok(None) };
        let model = reader.optional_json(MODEL)?.unwrap_or_default();
        let transformer = modules.iter().find(|module| module.class() == "Transformer");
        let transformer = transformer.map(|module| module.folder(reader)).transpose()?.unwrap_or_default();
        Ok(Some(Self { list: modules, model, transformer }))
    }

    /// The file that says that the model gives sentence embeddings, if it does: rerankers have modules, too.
    pub(super) fn says_sentence_embedding(&self) -> Option<&'static str> {
        (self.model.class.as_deref() != Some("CrossEncoder")).then_some(MODULES)
    }

    pub(super) fn settings(&self, reader: &mut Reader<'_>) -> Result<Settings, ModelFolderError> {
        #[derive(Deserialize)]
        struct File {
            max_seq_length: Option<usize>,
            do_lower_case: Option<bool>,
        }

        for name in SETTINGS {
            let name = format!("{}{name}", self.transformer);
            if let Some(file) = reader.optional_json::<File>(&name)? {
                return Ok(Settings {
                    max_seq_length: file.max_seq_length.map(|length| Decided::by(length, name.clone())),
                    lower_case: (file.do_lower_case == Some(true)).then_some(name),
                });
            }
        }
        Ok(Settings::default())
    }

    pub(super) fn sentences(&self, reader: &mut Reader<'_>) -> Result<Sentences, ModelFolderError> {
        if let Some(class) = self.model.class.as_deref().filter(|class| *class != "SentenceTransformer") {
            return Err(unsupported(reader, MODEL, format!("a model of the class `{class}`")));
        }
        let mut normalize = false;
        let mut pooling = None;
        for module in &self.list {
            match module.class() {
                "Transformer" => {}
                "Pooling" if pooling.is_none() => {
                    let name = format!("{}config.json", module.folder(reader)?);
                    pooling = Some(PoolingFile::read(reader, &name)?);
                }
                "Normalize" => normalize = true,
                other => return Err(unsupported(reader, MODULES, format!("the module `{other}`"))),
            }
        }
        let (prompts, default_prompt_name) = self.prompts(reader)?;
        let (modes, exclude_prompt, dimension) = pooling.unwrap_or_default();
        let normalize = Decided::by(normalize, MODULES);
        Ok(Sentences { modes, normalize, exclude_prompt, dimension, prompts, default_prompt_name })
    }

    fn prompts(&self, reader: &Reader<'_>) -> Result<Prompts, ModelFolderError> {
        let text = |(name, value): (&String, &Value)| match value {
            Value::String(text) => Ok(Prompt { name: name.clone(), text: text.clone() }),
            Value::Null => Ok(Prompt { name: name.clone(), text: String::new() }),
            _ => Err(unsupported(reader, MODEL, format!("the prompt `{name}`, which is no text"))),
        };
        let prompts = self.model.prompts.iter().flatten().map(text).collect::<Result<Vec<_>, _>>()?;
        let name = self.model.default_prompt_name.as_ref();
        if let Some(name) = name.filter(|name| !prompts.iter().any(|prompt| prompt.name == **name)) {
            let path = reader.path(MODEL);
            return Err(ModelFolderError::NoSuchPrompt { path, name: name.clone() });
        }
        let prompts =
            if prompts.is_empty() { Decided::default(prompts) } else { Decided::by(prompts, MODEL) };
        Ok((prompts, name.map(|name| Decided::by(name.clone(), MODEL))))
    }
}

fn unsupported(reader: &Reader<'_>, name: &str, what: String) -> ModelFolderError {
    ModelFolderError::Unsupported { path: reader.path(name), what }
}

/// The configuration of the module `Pooling`.
#[derive(Debug, Deserialize)]
struct PoolingFile {
    /// Its name until version 5.
    word_embedding_dimension: Option<u64>,
    embedding_dimension: Option<u64>,
    /// Since version 5.4, in place of the flags.
    pooling_mode: Option<OneOrMany>,
    include_prompt: Option<bool>,
    /// Among them the flags, one per mode.
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// The flags and names of modes, in the order in which flags are concatenated.
const MODES: [(&str, &str, PoolingMode); 6] = [
    ("pooling_mode_cls_token", "cls", PoolingMode::Cls),
    ("pooling_mode_max_tokens", "max", PoolingMode::Max),
    ("pooling_mode_mean_tokens", "mean", PoolingMode::Mean),
    ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", PoolingMode::MeanSqrtLen),
    ("pooling_mode_weightedmean_tokens", "weightedmean", PoolingMode::WeightedMean),
    ("pooling_mode_lasttoken", "lasttoken", PoolingMode::LastToken),
];

type Pooling = (Option<Decided<Vec<PoolingMode>>>, Option<String>, Option<(u64, String)>);

impl PoolingFile {
    fn read(reader: &mut Reader<'_>, name: &str) -> Result<Pooling, ModelFolderError> {
        let bytes = reader.required(name)?;
        let file: Self = super::source::parse(&reader.path(name), &bytes)?;
        let modes = file.modes().map_err(|what| unsupported(reader, name, what))?;
        let dimension = file.embedding_dimension.or(file.word_embedding_dimension);
        let exclude_prompt = (file.include_prompt == Some(false)).then(|| name.to_owned());
        let dimension = dimension.map(|dimension| (dimension, name.to_owned()));
        Ok((Some(Decided::by(modes, name)), exclude_prompt, dimension))
    }

    /// The modes, or what is not known.
    fn modes(&self) -> Result<Vec<PoolingMode>, String> {
        let mode = |name: &String| {
            let lower = name.to_lowercase();
            let known = MODES.into_iter().find(|(_, known, _)| *known == lower);
            known.map(|(_, _, mode)| mode).ok_or_else(|| format!("the pooling mode `{name}`"))
        };
        match &self.pooling_mode {
            Some(OneOrMany::One(name)) => return mode(name).map(|mode| vec![mode]),
            Some(OneOrMany::Many(names)) if names.is_empty() => {
                return Err("no pooling mode".to_owned());
            }
            Some(OneOrMany::Many(names)) => return names.iter().map(mode).collect(),
            None => {}
        }
        let is_set = |flag: &str| self.others.get(flag) == Some(&Value::Bool(true));
        let is_known = |key: &str| MODES.iter().any(|(flag, _, _)| *flag == key);
        let mut keys = self.others.keys();
        if let Some(key) = keys.find(|key| key.starts_with("pooling_mode") && !is_known(key) && is_set(key)) {
            return Err(format!("the pooling mode `{key}`"));
        }
        let set = MODES.into_iter().filter(|(flag, _, _)| is_set(flag));
        let modes: Vec<_> = set.map(|(_, _, mode)| mode).collect();
        // As sentence-transformers does.
        Ok(if modes.is_empty() { SentencePooling::default().modes } else { modes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_as_every_version_writes_them() {
        use PoolingMode::{Cls, LastToken, Max, Mean, MeanSqrtLen, WeightedMean};
        for (file, expected) in [
            // 2.x: four flags; 3.x: six, and `include_prompt`.
            (r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#, Ok(vec![Cls])),
            (r#"{"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true}"#, Ok(vec![Max, Mean])),
            (r#"{"pooling_mode_mean_sqrt_len_tokens": true}"#, Ok(vec![MeanSqrtLen])),
            (
                r#"{"pooling_mode_weightedmean_tokens": true, "pooling_mode_lasttoken": true, "include_prompt": true}"#,
                Ok(vec![WeightedMean, LastToken]),
            ),
            (r#"{"pooling_mode_mean_tokens": false}"#, Ok(vec![Mean])),
            ("{}", Ok(vec![Mean])),
            // 5.4 and later: names, in their own order, before any flags.
            (r#"{"pooling_mode": "lasttoken", "pooling_mode_cls_token": true}"#, Ok(vec![LastToken])),
            (r#"{"pooling_mode": ["mean", "cls"]}"#, Ok(vec![Mean, Cls])),
            (
                r#"{"pooling_mode": ["mean_sqrt_len_tokens", "weightedmean", "max"]}"#,
                Ok(vec![MeanSqrtLen, WeightedMean, Max]),
            ),
            (r#"{"pooling_mode": []}"#, Err("no pooling mode")),
            (r#"{"pooling_mode": "median"}"#, Err("the pooling mode `median`")),
            (r#"{"pooling_mode_median": true}"#, Err("the pooling mode `pooling_mode_median`")),
        ] {
            let read: PoolingFile = serde_json::from_str(file).unwrap();
            assert_eq!(read.modes(), expected.map_err(str::to_owned), "{file}");
        }
    }

    #[test]
    fn only_the_package_s_own_modules_are_known() {
        for (r#type, class) in [
            ("sentence_transformers.models.Pooling", "Pooling"),
            ("sentence_transformers.sentence_transformer.modules.pooling.Pooling", "Pooling"),
            ("custom_st.Transformer", "custom_st.Transformer"),
        ] {
            let module = Module { path: String::new(), r#type: r#type.to_owned() };
            assert_eq!(module.class(), class);
        }
    }
}
