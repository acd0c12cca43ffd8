//! The artifact `tokenizer`: `tokenizer.json` with the padding and truncation that apply.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// JSON `{"tokenizer": <tokenizer.json>, "config": {"padding": …, "truncation": …}}`.
#[derive(Debug, Serialize, Deserialize)]
pub struct TokenizerArtifact {
    /// Hugging Face's `tokenizer.json`, its `padding` and `truncation` replaced by the effective ones.
    pub tokenizer: Box<RawValue>,
    /// The effective settings once more, where encoderfile 0.7 looks for them first.
    pub config: TokenizerSettings,
}

/// Padding and truncation, in the serde form of `tokenizers`' `PaddingParams` and `TruncationParams`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenizerSettings {
    /// `PaddingParams`.
    pub padding: Option<Box<RawValue>>,
    /// `TruncationParams`.
    pub truncation: Option<Box<RawValue>>,
}

impl TokenizerArtifact {
    /// Puts settings into a `tokenizer.json`. Everything else in it stays as it is, to the byte.
    ///
    /// # Errors
    /// Where `tokenizer_json` is not a JSON object.
    pub fn new(tokenizer_json: &[u8], config: TokenizerSettings) -> Result<Self, serde_json::Error> {
        let mut members: IndexMap<String, Box<RawValue>> = serde_json::from_slice(tokenizer_json)?;
        for (key, value) in [("padding", &config.padding), ("truncation", &config.truncation)] {
            let value = value.clone().unwrap_or_else(|| RawValue::NULL.to_owned());
            members.insert(key.to_owned(), value);
        }
        Ok(Self { tokenizer: serde_json::value::to_raw_value(&members)?, config })
    }

    /// Reads the artifact.
    ///
    /// # Errors
    /// Where it has not this form.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The artifact's bytes.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("raw JSON is JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_padding_and_truncation_change() {
        let original =
            br#"{"version": "1.0", "truncation": {"max_length":512}, "padding": null, "score": 0.1000}"#;
        let truncation = RawValue::from_string(r#"{"max_length":64}"#.to_owned()).unwrap();
        let settings = TokenizerSettings { padding: None, truncation: Some(truncation) };
        let json = TokenizerArtifact::new(original, settings).unwrap().to_json();
        let expected = concat!(
            r#"{"tokenizer":{"version":"1.0","truncation":{"max_length":64},"padding":null,"score":0.1000},"#,
            r#""config":{"padding":null,"truncation":{"max_length":64}}}"#
        );
        assert_eq!(String::from_utf8(json.clone()).unwrap(), expected);
        assert_eq!(TokenizerArtifact::from_json(&json).unwrap().to_json(), json);
        assert!(TokenizerArtifact::from_json(b"[]").is_err());
    }
}
