//! The tokenizer that the file will hold: the folder's, with the padding and truncation that apply.

use std::path::PathBuf;

use encoderfile_format::{Edit, TokenizerArtifact, TokenizerSettings};
use serde_json::value::to_raw_value;
use tokenizers::{
    PaddingDirection, PaddingParams, PaddingStrategy, PostProcessor as _, Tokenizer, TruncationDirection,
    TruncationParams,
};

use super::folder::{ModelFolder, Side};

/// A value above this means "no limit" in `tokenizer_config.json`, which then holds 10³⁰.
const NO_LIMIT: f64 = 1e9;

/// The tokenizer, ready to be stored.
pub(crate) struct PreparedTokenizer {
    pub(crate) artifact: TokenizerArtifact,
    /// What turns it back into the folder's `tokenizer.json`.
    pub(crate) edits: Vec<Edit>,
    /// Longest input in tokens, special ones included, and the file that says so.
    pub(crate) limit: Option<(usize, &'static str)>,
}

/// Why a tokenizer cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenizerError {
    #[error("`{}` is not a tokenizer that can be loaded", path.display())]
    Load { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{limit} tokens are too few for a text, says {because}")]
    Limit { limit: usize, because: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("`{}` has no JSON object at its top", path.display())]
    NotAnObject { path: PathBuf, source: serde_json::Error },
}

impl TokenizerError {
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Limit { .. } => "correct the limit in that file",
            _ => "tokenizer.json must be of Hugging Face's `tokenizers`: copy it again from the model",
        };
        Some(hint.to_owned())
    }
}

/// Loads the folder's tokenizer and decides its padding and truncation.
pub(crate) fn prepare(folder: &ModelFolder) -> Result<PreparedTokenizer, TokenizerError> {
    let path = || folder.tokenizer_path.clone();
    let mut tokenizer = Tokenizer::from_bytes(folder.tokenizer_json.as_bytes())
        .map_err(|source| TokenizerError::Load { path: path(), source })?;
    let limit = length_limit(folder, &tokenizer);
    let truncation = limit.map(|(max_length, _)| {
        let given = tokenizer.get_truncation().cloned().unwrap_or_default();
        let direction = match folder.tokenizer_config.truncation_side {
            Some(Side::Left) => TruncationDirection::Left,
            Some(Side::Right) => TruncationDirection::Right,
            None => given.direction,
        };
        TruncationParams { max_length, direction, ..given }
    });
    if let Some((limit, because)) = limit {
        // As the runtime will do: special tokens and stride must leave room for a text.
        let refused = |source| TokenizerError::Limit { limit, because, source };
        if limit <= special_tokens(&tokenizer) {
            return Err(refused("the special tokens take them all".into()));
        }
        tokenizer.with_truncation(truncation.clone()).map_err(refused)?;
    }
    let padding = padding(folder, &tokenizer);
    let raw = |value: Result<_, serde_json::Error>| value.expect("plain structures are JSON");
    let settings = TokenizerSettings {
        padding: Some(raw(to_raw_value(&padding))),
        truncation: truncation.as_ref().map(|truncation| raw(to_raw_value(truncation))),
    };
    let (artifact, edits) = TokenizerArtifact::new(&folder.tokenizer_json, settings)
        .map_err(|source| TokenizerError::NotAnObject { path: path(), source })?;
    Ok(PreparedTokenizer { artifact, edits, limit })
}

/// How many tokens are added to every text.
fn special_tokens(tokenizer: &Tokenizer) -> usize {
    tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(false))
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

/// How many tokens the model has positions for.
fn positions(folder: &ModelFolder) -> Option<usize> {
    let positions = folder.config.max_position_embeddings?;
    let architecture = folder.model_config.model_type.as_deref().unwrap_or_default();
    if !OFFSET_POSITIONS.contains(&architecture) {
        return Some(positions);
    }
    let padding = folder.config.pad_token_id().unwrap_or(1);
    Some(positions.saturating_sub(padding as usize + 1))
}

/// The first of: sentence-transformers' limit, the tokenizer's own, the one of its configuration, the number of
/// positions. Never more than the model has positions.
fn length_limit(folder: &ModelFolder, tokenizer: &Tokenizer) -> Option<(usize, &'static str)> {
    let by_sentences = folder.sentence_transformers.as_ref().and_then(|found| found.max_seq_length);
    let by_tokenizer = tokenizer.get_truncation().map(|truncation| (truncation.max_length, "tokenizer.json"));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded on both sides")]
    let by_config = (folder.tokenizer_config.model_max_length)
        .filter(|length| (1.0..NO_LIMIT).contains(length))
        .map(|length| (length as usize, "tokenizer_config.json"));
    let positions = positions(folder).map(|length| (length, "config.json"));
    let limit = by_sentences.or(by_tokenizer).or(by_config).or(positions)?;
    match positions {
        Some(positions) if positions.0 < limit.0 => Some(positions),
        _ => Some(limit),
    }
}

/// Texts are padded to the longest of their batch, as Python's callers ask for; a fixed length that `tokenizer.json` may
/// carry is an exporter's leftover and would only cost time.
fn padding(folder: &ModelFolder, tokenizer: &Tokenizer) -> PaddingParams {
    let given = tokenizer.get_padding().cloned();
    let direction = match folder.tokenizer_config.padding_side {
        Some(Side::Left) => PaddingDirection::Left,
        Some(Side::Right) => PaddingDirection::Right,
        None => given.as_ref().map_or(PaddingDirection::Right, |given| given.direction),
    };
    let params = given.or_else(|| {
        let by_name = folder
            .tokenizer_config
            .pad_token
            .as_ref()
            .and_then(|token| Some((tokenizer.token_to_id(token.text())?, token.text().to_owned())));
        let by_id = || {
            let id = folder.config.pad_token_id()?;
            Some((id, tokenizer.id_to_token(id)?))
        };
        let (pad_id, pad_token) = by_name.or_else(by_id)?;
        Some(PaddingParams { pad_id, pad_token, ..PaddingParams::default() })
    });
    PaddingParams { strategy: PaddingStrategy::BatchLongest, direction, ..params.unwrap_or_default() }
}
