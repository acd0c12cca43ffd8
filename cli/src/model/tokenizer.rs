//! The tokenizer that the file will hold: the folder's, with the padding and truncation that apply.

use std::path::PathBuf;

use encoderfile_format::{Edit, LENGTH_LIMIT, Setting, TokenizerArtifact, TokenizerSettings};
use serde_json::json;
use serde_json::value::to_raw_value;
use tokenizers::{
    NormalizedString, Normalizer as _, PaddingDirection, PaddingParams, PaddingStrategy, PostProcessor as _,
    Tokenizer, TruncationDirection, TruncationParams, TruncationStrategy,
};

use super::folder::{Model, ModelFolderError, Side};
use super::given::{Decided, Given, GivenError};
use super::graph::{Graph, ModelError, model_error};
use crate::error::Error;

/// A value above this means "no limit" in `tokenizer_config.json`, which then holds 10³⁰.
const NO_LIMIT: f64 = 1e9;

/// The tokenizer, ready to be stored.
pub(super) struct Prepared {
    /// The artifact's bytes.
    pub(super) artifact: Vec<u8>,
    /// What turns it back into the folder's `tokenizer.json`.
    pub(super) edits: Vec<Edit>,
    /// Longest input in tokens, special ones included.
    pub(super) limit: Option<Decided<usize>>,
    pub(super) strategy: Decided<PaddingStrategy>,
    /// As they are recorded in the file.
    pub(super) settings: Vec<Setting>,
    /// What is odd about it, and yet no fault.
    pub(super) warning: Option<String>,
}

/// Why a tokenizer cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenizerError {
    #[error("`{}` is not a tokenizer that can be loaded", path.display())]
    Load { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{limit} tokens are too few for a text, {because}")]
    Limit { limit: usize, because: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("`{}` has no JSON object at its top", path.display())]
    NotAnObject { path: PathBuf, source: serde_json::Error },
    #[error("`{by}` names the padding token `{token}`, which `{}` does not have", path.display())]
    NoPadToken { by: String, token: String, path: PathBuf },
    #[error("`{}` pads with `{token}` as {id}, but that token has {}", path.display(), the_id(*found))]
    PadToken { path: PathBuf, token: String, id: u32, found: Option<u32> },
}

fn the_id(id: Option<u32>) -> String {
    id.map_or_else(|| "no id there".to_owned(), |id| format!("the id {id}"))
}

impl TokenizerError {
    pub(crate) fn hint(&self) -> String {
        let hint = match self {
            Self::Limit { because, .. } if because == GIVEN => "give a larger `tokenizer.max_length`",
            Self::Limit { .. } => "correct the limit in that file",
            Self::NoPadToken { .. } => "correct `pad_token` there, or use the tokenizer.json of this model",
            Self::PadToken { .. } => "correct `padding` there, or copy it again from the model",
            Self::Load { .. } | Self::NotAnObject { .. } => {
                "tokenizer.json must be of Hugging Face's `tokenizers`: copy it again from the model"
            }
        };
        hint.to_owned()
    }
}

/// Why a limit holds that was given.
const GIVEN: &str = "as `tokenizer.max_length` was given";

/// Loads the folder's tokenizer, compares it with the graph, and decides its padding and truncation. The text of
/// `tokenizer.json` is taken out of the model: it may be large.
pub(super) fn prepare(model: &mut Model<'_>, graph: &Graph, given: &Given) -> Result<Prepared, Error> {
    let text = std::mem::take(&mut model.tokenizer_json);
    let path = model.tokenizer_path.clone();
    let mut tokenizer = Tokenizer::from_bytes(text.as_bytes())
        .map_err(|source| TokenizerError::Load { path: path.clone(), source })?;
    check_lower_case(model, &tokenizer)?;
    let warning = check_vocabulary(model, graph, &tokenizer)?;
    let length = Length::of(model, graph);
    let limit = length.decide(model, given, &tokenizer)?;
    let (truncation, mut settings) = truncation(model, given, &tokenizer, limit.as_ref());
    if let (Some(limit), Some(truncation)) = (&limit, &truncation) {
        // As the runtime will do: special tokens and stride must leave room for a text.
        let because =
            if limit.source == Setting::GIVEN { GIVEN.to_owned() } else { format!("says {}", limit.source) };
        let refused = |source| TokenizerError::Limit { limit: limit.value, because, source };
        if limit.value <= special_tokens(&tokenizer) {
            return Err(refused("the special tokens take them all".into()).into());
        }
        tokenizer.with_truncation(Some(truncation.clone())).map_err(refused)?;
    }
    let strategy = match &given.tokenizer.pad_strategy {
        Some(strategy) => Decided::given(strategy.clone()),
        // A fixed length that `tokenizer.json` may carry is an exporter's leftover and would only cost time: texts are
        // padded to the longest of their batch, as Python's callers ask for.
        None => Decided::default(PaddingStrategy::BatchLongest),
    };
    length.check_padding(model, &strategy.value)?;
    let mut padding = padding(model, &tokenizer)?;
    padding.strategy = strategy.value.clone();
    drop(tokenizer);

    let strategy_value = match strategy.value {
        PaddingStrategy::BatchLongest => json!("batch_longest"),
        PaddingStrategy::Fixed(length) => json!({ "fixed": length }),
    };
    settings.insert(0, Decided::by(strategy_value, &strategy.source).setting("tokenizer.pad_strategy"));
    let raw = |value: Result<_, serde_json::Error>| value.expect("plain structures are JSON");
    let config = TokenizerSettings {
        padding: Some(raw(to_raw_value(&padding))),
        truncation: truncation.as_ref().map(|truncation| raw(to_raw_value(truncation))),
    };
    let (artifact, edits) = TokenizerArtifact::new(&text, config)
        .map_err(|source| TokenizerError::NotAnObject { path, source })?;
    drop(text);
    Ok(Prepared { artifact: artifact.to_json(), edits, limit, strategy, settings, warning })
}

/// How many tokens are added to every text.
fn special_tokens(tokenizer: &Tokenizer) -> usize {
    tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(false))
}

/// Python makes texts lower-case itself where sentence-transformers' files ask for it; here, the tokenizer must do it.
fn check_lower_case(model: &Model<'_>, tokenizer: &Tokenizer) -> Result<(), ModelFolderError> {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ ÀÉÎÕÜ ΑΒΓ АБВ";
    let Some(by) = &model.settings.lower_case else { return Ok(()) };
    let normalized = |text: &str| {
        let mut text = NormalizedString::from(text);
        let normalizer = tokenizer.get_normalizer()?;
        normalizer.normalize(&mut text).ok().map(|()| text.get().to_owned())
    };
    match (normalized(LETTERS), normalized(&LETTERS.to_lowercase())) {
        (Some(large), Some(small)) if large == small => Ok(()),
        _ => Err(ModelFolderError::LowerCase { path: model.path_of(by) }),
    }
}

/// Whether the graph has a vector for each token. Gives a warning where `config.json` says another number.
fn check_vocabulary(
    model: &Model<'_>,
    graph: &Graph,
    tokenizer: &Tokenizer,
) -> Result<Option<String>, Error> {
    let Some(table) = &graph.embedding_table else { return Ok(None) };
    if let Some((token, id)) = largest_id(tokenizer)
        && u64::from(id) >= table.rows
    {
        let tokenizer = model.names.tokenizer.clone();
        let (table, rows) = (table.name.clone(), table.rows);
        return Err(model_error(model, ModelError::Token { table, rows, tokenizer, token, id }));
    }
    let said = model.config.vocab_size.filter(|size| *size != table.rows);
    Ok(said.map(|size| {
        let (config, graph) = (&model.names.config, &model.weights.name.value);
        format!("{config} says `vocab_size` {size}, but {graph} has vectors for {} tokens", table.rows)
    }))
}

/// The token with the largest id.
fn largest_id(tokenizer: &Tokenizer) -> Option<(String, u32)> {
    // Ids without gaps, as usual, need no copy of a large vocabulary: as many tokens as ids leave none for others.
    let count = u32::try_from(tokenizer.get_vocab_size(true)).ok()?;
    if (0..count).all(|id| tokenizer.id_to_token(id).is_some()) {
        let last = count.checked_sub(1)?;
        return Some((tokenizer.id_to_token(last)?, last));
    }
    tokenizer.get_vocab(true).into_iter().max_by(|a, b| (a.1, &b.0).cmp(&(b.1, &a.0)))
}

/// Models whose positions begin behind the padding token's id (as `RobertaEmbeddings` in Hugging Face's transformers), so
/// that 514 positions are 512 tokens.
const OFFSET_POSITIONS: [&str; 8] = [
    "camembert",
    "data2vec-text",
    "longformer",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
];

/// How many tokens the model can take.
struct Length {
    /// The smaller of the positions and what the graph declares.
    limit: Option<Decided<usize>>,
    /// The only length that the graph takes.
    only: Option<usize>,
}

impl Length {
    fn of(model: &Model<'_>, graph: &Graph) -> Self {
        let only = graph.signature.limits.length;
        let by_graph = only.map(|length| Decided::by(length, model.weights.name.value.clone()));
        let by_config = positions(model).map(|length| Decided::by(length, model.names.config.clone()));
        let limit = by_config.into_iter().chain(by_graph).min_by_key(|limit| limit.value);
        Self { limit, only }
    }

    /// What was given, else the first of: sentence-transformers' limit, the tokenizer's own, the one of its configuration,
    /// what the model can take. Where sentence-transformers' files are there but name none, its configuration comes before
    /// the tokenizer's own, as in Python.
    fn decide(
        &self,
        model: &Model<'_>,
        given: &Given,
        tokenizer: &Tokenizer,
    ) -> Result<Option<Decided<usize>>, GivenError> {
        if let Some(length) = given.tokenizer.max_length {
            return match &self.limit {
                Some(limit) if limit.value < length => Err(GivenError::MaxLength {
                    given: length,
                    limit: limit.value,
                    limited_by: self.limited_by(model),
                }),
                _ => Ok(Some(Decided::given(length))),
            };
        }
        let by_sentences = model.settings.max_seq_length.clone();
        let by_tokenizer = tokenizer
            .get_truncation()
            .map(|truncation| Decided::by(truncation.max_length, model.names.tokenizer.clone()));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded on both sides")]
        let by_config = (model.tokenizer_config.model_max_length)
            .filter(|length| (1.0..NO_LIMIT).contains(length))
            .map(|length| Decided::by(length as usize, model.names.tokenizer_config.clone()));
        let (second, third) = if model.is_sentence_transformers {
            (by_config, by_tokenizer)
        } else {
            (by_tokenizer, by_config)
        };
        let wanted = by_sentences.or(second).or(third);
        Ok(match (wanted, &self.limit) {
            (Some(wanted), Some(limit)) if limit.value < wanted.value => Some(limit.clone()),
            (None, limit) => limit.clone(),
            (wanted, _) => wanted,
        })
    }

    /// What it is that limits, for messages.
    fn limited_by(&self, model: &Model<'_>) -> String {
        match &self.limit {
            Some(limit) if limit.source == model.names.config => {
                let path = model.config_path.display();
                match model.config.max_position_embeddings {
                    Some(positions) if positions != limit.value as u64 => {
                        format!("`{path}` (`max_position_embeddings` {positions})")
                    }
                    _ => format!("`max_position_embeddings` in `{path}`"),
                }
            }
            _ => format!("the graph `{}`", model.weights.path.display()),
        }
    }

    fn check_padding(&self, model: &Model<'_>, strategy: &PaddingStrategy) -> Result<(), GivenError> {
        let PaddingStrategy::Fixed(given) = *strategy else { return Ok(()) };
        if let Some(length) = self.only.filter(|length| *length != given) {
            return Err(GivenError::GraphLength { path: model.weights.path.clone(), length, given });
        }
        match &self.limit {
            Some(limit) if limit.value < given => {
                let limited_by = self.limited_by(model);
                Err(GivenError::Padding { given, limit: limit.value, limited_by })
            }
            _ => Ok(()),
        }
    }
}

/// How many tokens the model has positions for.
fn positions(model: &Model<'_>) -> Option<usize> {
    let positions = model.config.max_position_embeddings.filter(|positions| *positions > 0)?;
    let positions = usize::try_from(positions).unwrap_or(LENGTH_LIMIT);
    let architecture = model.stored_config.model_type.as_deref().unwrap_or_default();
    if !OFFSET_POSITIONS.contains(&architecture) {
        return Some(positions);
    }
    let padding = model.config.pad_token_id.and_then(|id| usize::try_from(id).ok()).unwrap_or(1);
    Some(positions.saturating_sub(padding.saturating_add(1)))
}

/// How texts that are too long are cut, where there is a limit, and the settings to record.
fn truncation(
    model: &Model<'_>,
    given: &Given,
    tokenizer: &Tokenizer,
    limit: Option<&Decided<usize>>,
) -> (Option<TruncationParams>, Vec<Setting>) {
    let own = tokenizer.get_truncation();
    let by_tokenizer = &model.names.tokenizer;
    let side = match (given.tokenizer.truncation_side, model.tokenizer_config.truncation_side, own) {
        (Some(side), _, _) => Decided::given(side),
        (None, Some(side), _) => {
            let direction = match side {
                Side::Left => TruncationDirection::Left,
                Side::Right => TruncationDirection::Right,
            };
            Decided::by(direction, model.names.tokenizer_config.clone())
        }
        (None, None, Some(own)) => Decided::by(own.direction, by_tokenizer),
        (None, None, None) => Decided::default(TruncationDirection::Right),
    };
    let strategy = match (given.tokenizer.truncation_strategy, own.map(|own| own.strategy)) {
        (Some(strategy), _) => Decided::given(strategy),
        // Where there is no second text, this one fails.
        (None, Some(TruncationStrategy::OnlySecond) | None) => {
            Decided::default(TruncationStrategy::LongestFirst)
        }
        (None, Some(strategy)) => Decided::by(strategy, by_tokenizer),
    };
    let stride = match (given.tokenizer.stride, own) {
        (Some(stride), _) => Decided::given(stride),
        (None, Some(own)) => Decided::by(own.stride, by_tokenizer),
        (None, None) => Decided::default(0),
    };
    let mut settings = vec![
        Decided::by(side.value.as_ref().to_lowercase(), &side.source).setting("tokenizer.truncation_side"),
        Decided::by(strategy.value.as_ref(), &strategy.source).setting("tokenizer.truncation_strategy"),
    ];
    settings.extend(limit.map(|limit| limit.setting("tokenizer.max_length")));
    settings.push(stride.setting("tokenizer.stride"));
    let params = limit.map(|limit| TruncationParams {
        max_length: limit.value,
        direction: side.value,
        strategy: strategy.value,
        stride: stride.value,
    });
    (params, settings)
}

/// Side and token of the padding; its length is decided elsewhere.
fn padding(model: &Model<'_>, tokenizer: &Tokenizer) -> Result<PaddingParams, TokenizerError> {
    let path = || model.tokenizer_path.clone();
    let own = tokenizer.get_padding().cloned();
    let direction = match model.tokenizer_config.padding_side {
        Some(Side::Left) => PaddingDirection::Left,
        Some(Side::Right) => PaddingDirection::Right,
        None => own.as_ref().map_or(PaddingDirection::Right, |own| own.direction),
    };
    let by_name = match &model.tokenizer_config.padding {
        Some((token, by)) => {
            let Some(id) = tokenizer.token_to_id(token) else {
                let (by, token) = (by.clone(), token.clone());
                return Err(TokenizerError::NoPadToken { by, token, path: path() });
            };
            Some((id, token.clone()))
        }
        None => None,
    };
    let token = match (by_name, &own) {
        (Some(token), _) => Some(token),
        (None, Some(own)) => {
            let found = tokenizer.token_to_id(&own.pad_token);
            if found != Some(own.pad_id) {
                let (token, id) = (own.pad_token.clone(), own.pad_id);
                return Err(TokenizerError::PadToken { path: path(), token, id, found });
            }
            None
        }
        // Whatever it is, no result depends on it: the attention mask leaves it out.
        (None, None) => {
            let id = model.config.pad_token_id.and_then(|id| u32::try_from(id).ok());
            let token = |id| Some((id, tokenizer.id_to_token(id)?));
            id.and_then(token).or_else(|| token(0))
        }
    };
    let mut params = PaddingParams { direction, ..own.unwrap_or_default() };
    params.pad_to_multiple_of = None;
    if let Some((pad_id, pad_token)) = token {
        (params.pad_id, params.pad_token) = (pad_id, pad_token);
    }
    Ok(params)
}
