//! What sentence-transformers' files say: pooling, normalisation and the length limit.

use std::collections::BTreeMap;

use encoderfile_format::{PoolingMode, SentencePooling};
use serde::Deserialize;

use super::folder::{ModelFolderError, Reader};

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

/// A sentence-transformers model.
#[derive(Debug)]
pub(crate) struct SentenceTransformers {
    pub(crate) pooling: SentencePooling,
    /// Longest input in tokens, special ones included, and the file that says so.
    pub(crate) max_seq_length: Option<(usize, &'static str)>,
    /// What Python puts before each text unless it is told otherwise.
    pub(crate) default_prompt: Option<String>,
}

/// An entry of `modules.json`.
#[derive(Deserialize)]
struct Module {
    path: String,
    r#type: String,
}

/// `config_sentence_transformers.json`.
#[derive(Default, Deserialize)]
struct Prompts {
    #[serde(default)]
    prompts: BTreeMap<String, String>,
    default_prompt_name: Option<String>,
}

#[derive(Deserialize)]
struct Settings {
    max_seq_length: Option<usize>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the file is made of them")]
struct Pooling {
    #[serde(default, rename = "pooling_mode_cls_token")]
    cls_token: bool,
    #[serde(default, rename = "pooling_mode_max_tokens")]
    max_tokens: bool,
    #[serde(default, rename = "pooling_mode_mean_tokens")]
    mean_tokens: bool,
    #[serde(default, rename = "pooling_mode_mean_sqrt_len_tokens")]
    mean_sqrt_len_tokens: bool,
    #[serde(default, rename = "pooling_mode_weightedmean_tokens")]
    weightedmean_tokens: bool,
    #[serde(default, rename = "pooling_mode_lasttoken")]
    lasttoken: bool,
}

impl Pooling {
    /// In the order in which sentence-transformers concatenates.
    fn modes(&self) -> Vec<PoolingMode> {
        let flags = [
            (self.cls_token, PoolingMode::Cls),
            (self.max_tokens, PoolingMode::Max),
            (self.mean_tokens, PoolingMode::Mean),
            (self.mean_sqrt_len_tokens, PoolingMode::MeanSqrtLen),
            (self.weightedmean_tokens, PoolingMode::WeightedMean),
            (self.lasttoken, PoolingMode::LastToken),
        ];
        flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, mode)| mode).collect()
    }
}

/// Reads `modules.json` and what it points to. None in a folder without it.
pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Option<SentenceTransformers>, ModelFolderError> {
    const MODULES: &str = "modules.json";
    let Some(modules) = reader.optional_json::<Vec<Module>>(MODULES)? else { return Ok(None) };
    let mut pooling = SentencePooling { modes: Vec::new(), ..SentencePooling::default() };
    for module in modules {
        match module.r#type.rsplit('.').next().unwrap_or_default() {
            "Transformer" => {}
            "Pooling" => {
                let name = format!("{}/config.json", module.path);
                let config = reader.optional_json::<Pooling>(&name)?;
                pooling.modes = config.map(|config| config.modes()).unwrap_or_default();
                if pooling.modes.is_empty() {
                    let path = reader.folder.join(name);
                    return Err(ModelFolderError::Unsupported {
                        path,
                        what: "no known pooling mode".to_owned(),
                    });
                }
            }
            "Normalize" => pooling.normalize = true,
            other => {
                let path = reader.folder.join(MODULES);
                return Err(ModelFolderError::Unsupported { path, what: format!("the module `{other}`") });
            }
        }
    }
    if pooling.modes.is_empty() {
        let path = reader.folder.join(MODULES);
        return Err(ModelFolderError::Unsupported { path, what: "no module `Pooling`".to_owned() });
    }
    let mut max_seq_length = None;
    for name in SETTINGS {
        if let Some(settings) = reader.optional_json::<Settings>(name)? {
            max_seq_length = settings.max_seq_length.map(|length| (length, name));
            break;
        }
    }
    let prompts = reader.optional_json::<Prompts>("config_sentence_transformers.json")?.unwrap_or_default();
    let default_prompt = prompts
        .default_prompt_name
        .and_then(|name| prompts.prompts.get(&name).cloned())
        .filter(|prompt| !prompt.is_empty());
    Ok(Some(SentenceTransformers { pooling, max_seq_length, default_prompt }))
}
