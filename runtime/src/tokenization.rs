//! From texts to tokens.

use std::borrow::Cow;

use encoderfile_format::{ArtifactKind, LENGTH_LIMIT, TokenizerArtifact};
use tokenizers::{Encoding, PaddingParams, PaddingStrategy, PostProcessor, TruncationParams};

use crate::error::Error;
use crate::executable::Executable;
use crate::input::Text;

/// The model's tokenizer with its padding and truncation, and the prompt.
pub(crate) struct Tokenizer {
    /// Without padding, which the batch does, and without truncation but while a text is truncated.
    splitter: tokenizers::Tokenizer,
    truncation: Option<TruncationParams>,
    pub(crate) padding: PaddingParams,
    /// What stands before each text.
    prompt: String,
    /// How many tokens at the start of each text are the prompt's, if it is to be told.
    prompt_length: usize,
}

/// The tokens of one text, special tokens included, no longer than the limit.
pub(crate) struct Tokens {
    pub(crate) encoding: Encoding,
    /// How many tokens the whole text has, where it was longer than the limit.
    pub(crate) truncated_from: Option<usize>,
    /// How many tokens at the start are not pooled.
    pub(crate) prompt_length: usize,
}

/// Tokens, before it is known whose they are.
struct Encoded {
    encoding: Encoding,
    truncated_from: Option<usize>,
}

impl Tokenizer {
    /// Reads the tokenizer artifact, to encode texts with that prompt before each.
    pub(crate) fn load(executable: &Executable, prompt: Option<&str>) -> Result<Self, Error> {
        let bytes = executable.read(ArtifactKind::Tokenizer)?;
        let unusable = |source| executable.content_error(ArtifactKind::Tokenizer, source);
        let mut tokenizer = Self::from_json(&bytes).map_err(unusable)?;
        if let Some(prompt) = prompt {
            let pooling = &executable.manifest().description.sentence_pooling;
            let is_excluded = pooling.as_ref().is_some_and(|pooling| pooling.exclude_prompt);
            tokenizer.set_prompt(prompt, is_excluded).map_err(unusable)?;
        }
        Ok(tokenizer)
    }

    /// Puts a prompt before each text. One that is left out of pooling is tokenized alone, as any text is, and what its
    /// tokens are without a special one at the end is taken for the number of its tokens before a text.
    ///
    /// Source: `Transformer._get_prompt_length` of sentence-transformers 6.2 (`base/modules/transformer.py`;
    /// `SentenceTransformer._get_prompt_length` up to version 5, which strips white space at both ends first).
    fn set_prompt(&mut self, prompt: &str, is_excluded: bool) -> tokenizers::Result<()> {
        prompt.clone_into(&mut self.prompt);
        if is_excluded {
            let Encoded { encoding, .. } = self.encode_str(prompt)?;
            let ends_special = encoding.get_ids().last().is_some_and(|&id| self.is_special(id));
            self.prompt_length = encoding.len() - usize::from(ends_special);
        }
        Ok(())
    }

    fn is_special(&self, id: u32) -> bool {
        self.splitter
            .get_added_vocabulary()
            .get_added_tokens_decoder()
            .get(&id)
            .is_some_and(|token| token.special)
    }

    fn from_json(bytes: &[u8]) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let artifact = TokenizerArtifact::from_json(bytes)?;
        let mut tokenizer: tokenizers::Tokenizer = artifact.tokenizer.get().parse()?;
        let truncation = tokenizer.get_truncation().cloned();
        let padding = tokenizer.get_padding().cloned();
        tokenizer.with_truncation(None)?.with_padding(None);

        let special = tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        if let Some(TruncationParams { max_length, stride, .. }) = truncation
            && max_length.checked_sub(special).is_none_or(|room| room <= stride)
        {
            return Err(format!(
                "a limit of {max_length} tokens leaves no room beside {special} special tokens"
            )
            .into());
        }
        let padding = padding
            .unwrap_or_else(|| PaddingParams { pad_id: pad_id(&tokenizer), ..PaddingParams::default() });
        let fixed = match padding.strategy {
            PaddingStrategy::Fixed(length) => length,
            PaddingStrategy::BatchLongest => 0,
        };
        let multiple = padding.pad_to_multiple_of.unwrap_or(1);
        if fixed.max(multiple) > LENGTH_LIMIT {
            return Err(
                format!("padding to {} tokens, the limit is {LENGTH_LIMIT}", fixed.max(multiple)).into()
            );
        }
        Ok(Self { splitter: tokenizer, truncation, padding, prompt: String::new(), prompt_length: 0 })
    }

    /// Splits prompt and text into tokens. Offsets count characters, as Hugging Face's Python tokenizers do.
    pub(crate) fn encode(&mut self, text: &Text) -> Result<Tokens, Error> {
        let place = || text.place.clone();
        let whole = match self.prompt.as_str() {
            "" => Cow::Borrowed(&text.text),
            prompt => Cow::Owned(format!("{prompt}{}", text.text)),
        };
        let encoded = self.encode_str(&whole).map_err(|source| Error::Tokenize { place: place(), source })?;
        let Encoded { encoding, truncated_from } = encoded;
        if encoding.is_empty() {
            return Err(Error::NoTokens { place: place() });
        }
        if encoding.len() <= self.prompt_length {
            return Err(Error::NothingBesidePrompt { place: place() });
        }
        Ok(Tokens { encoding, truncated_from, prompt_length: self.prompt_length })
    }

    fn encode_str(&mut self, text: &str) -> tokenizers::Result<Encoded> {
        let encoding = self.splitter.encode_char_offsets(text, true)?;
        let length = encoding.len();
        match &self.truncation {
            Some(truncation) if length > truncation.max_length => {
                // Where to cut depends on the post-processor, so the tokenizer does it, on a second pass.
                self.splitter.with_truncation(Some(truncation.clone()))?;
                let encoding = self.splitter.encode_char_offsets(text, true);
                self.splitter.with_truncation(None)?;
                Ok(Encoded { encoding: encoding?, truncated_from: Some(length) })
            }
            _ => Ok(Encoded { encoding, truncated_from: None }),
        }
    }
}

/// A token to fill rows up with that the model has an embedding for. The attention mask hides it.
fn pad_id(tokenizer: &tokenizers::Tokenizer) -> u32 {
    ["[PAD]", "<pad>", "<|padding|>"].iter().find_map(|token| tokenizer.token_to_id(token)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(truncation: &str, padding: &str) -> String {
        format!(
            r#"{{"tokenizer": {{"version": "1.0", "truncation": {truncation}, "padding": {padding}, "added_tokens": [
                {{"id": 0, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false,
                  "normalized": false, "special": true}},
                {{"id": 1, "content": "[SEP]", "single_word": false, "lstrip": false, "rstrip": false,
                  "normalized": false, "special": true}}],
              "normalizer": {{"type": "Lowercase"}}, "pre_tokenizer": {{"type": "Whitespace"}},
              "post_processor": {{"type": "BertProcessing", "sep": ["[SEP]", 1], "cls": ["[CLS]", 0]}},
              "decoder": null,
              "model": {{"type": "WordLevel", "vocab": {{"[CLS]": 0, "[SEP]": 1, "é": 2, "b": 3, "[UNK]": 4, "[PAD]": 5}},
                         "unk_token": "[UNK]"}}}},
              "config": {{"padding": null, "truncation": null}}}}"#
        )
    }

    const FOUR: &str = r#"{"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}"#;

    #[test]
    fn offsets_count_characters() {
        let mut tokenizer = Tokenizer::from_json(artifact("null", "null").as_bytes()).unwrap();
        let tokens = tokenizer.encode_str("É b").unwrap();
        assert_eq!(tokens.encoding.get_ids(), [0, 2, 3, 1]);
        assert_eq!(tokens.encoding.get_offsets()[1..3], [(0, 1), (2, 3)]);
        assert_eq!(tokens.truncated_from, None);
        assert_eq!(tokenizer.padding.pad_id, 5);
    }

    #[test]
    fn a_text_beyond_the_limit_is_cut_and_its_length_is_known() {
        let mut tokenizer = Tokenizer::from_json(artifact(FOUR, "null").as_bytes()).unwrap();
        for _ in 0..2 {
            let tokens = tokenizer.encode_str("b é b é b").unwrap();
            assert_eq!(tokens.encoding.get_ids(), [0, 3, 2, 1]);
            assert_eq!(tokens.truncated_from, Some(7));
            assert_eq!(tokenizer.encode_str("b é").unwrap().truncated_from, None);
        }
    }

    fn text(text: &str) -> Text {
        Text { place: crate::input::Place::Argument(1), text: text.to_owned() }
    }

    /// [CLS] is the prompt's, [SEP] is the text's.
    #[test]
    fn a_prompt_has_as_many_tokens_as_alone_without_the_last_special_one() {
        let mut tokenizer = Tokenizer::from_json(artifact("null", "null").as_bytes()).unwrap();
        for (prompt, length) in [("b é ", 3), ("b", 2), ("b x", 3), (" ", 1)] {
            tokenizer.set_prompt(prompt, true).unwrap();
            assert_eq!(tokenizer.encode(&text("é")).unwrap().prompt_length, length, "{prompt:?}");
        }
        tokenizer.set_prompt("b é ", true).unwrap();
        assert_eq!(tokenizer.encode(&text("b")).unwrap().encoding.get_ids(), [0, 3, 2, 3, 1]);
        let mut tokenizer = Tokenizer::from_json(artifact("null", "null").as_bytes()).unwrap();
        tokenizer.set_prompt("b é ", false).unwrap();
        assert_eq!(tokenizer.encode(&text("b")).unwrap().prompt_length, 0);
    }

    #[test]
    fn a_prompt_that_leaves_no_room_is_an_error() {
        // Without special tokens, a long prompt is all that is left of a text.
        let artifact = artifact(FOUR, "null");
        let start = artifact.find("\"post_processor\": {").unwrap();
        let end = artifact.find("\"decoder\"").unwrap();
        let artifact = format!("{}\"post_processor\": null, {}", &artifact[..start], &artifact[end..]);
        let mut tokenizer = Tokenizer::from_json(artifact.as_bytes()).unwrap();
        tokenizer.set_prompt("b é b ", true).unwrap();
        assert_eq!(tokenizer.encode(&text("é")).unwrap().prompt_length, 3);
        tokenizer.set_prompt("b é b é b", true).unwrap();
        let error = tokenizer.encode(&text("é")).err().unwrap();
        assert!(matches!(error, Error::NothingBesidePrompt { .. }), "{error}");
    }

    #[test]
    fn settings_that_would_overflow_are_refused() {
        for limit in [0, 1, 2] {
            let truncation = FOUR.replace("\"max_length\": 4", &format!("\"max_length\": {limit}"));
            assert!(Tokenizer::from_json(artifact(&truncation, "null").as_bytes()).is_err(), "{limit}");
        }
        let stride = FOUR.replace("\"stride\": 0", "\"stride\": 2");
        assert!(Tokenizer::from_json(artifact(&stride, "null").as_bytes()).is_err());
        let padding = r#"{"strategy": {"Fixed": 99999999999}, "direction": "Right", "pad_to_multiple_of": null,
                          "pad_id": 5, "pad_type_id": 0, "pad_token": "[PAD]"}"#;
        assert!(Tokenizer::from_json(artifact("null", padding).as_bytes()).is_err());
    }
}
