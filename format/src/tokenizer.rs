//! The artifact `tokenizer`: `tokenizer.json` with the padding and truncation that apply.

use std::fmt::{self, Write as _};

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::Edit;

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
    /// Puts settings into a `tokenizer.json`. Everything else in it stays as it is, to the byte; the edits undo what was
    /// done.
    ///
    /// # Errors
    /// Where `tokenizer_json` is not a JSON object, or has one of the two keys twice.
    pub fn new(
        tokenizer_json: &str,
        config: TokenizerSettings,
    ) -> Result<(Self, Vec<Edit>), serde_json::Error> {
        let members: Members<'_> = serde_json::from_str(tokenizer_json)?;
        let trimmed = tokenizer_json.trim_ascii();
        let prefix = tokenizer_json.len() - tokenizer_json.trim_ascii_start().len();
        let mut replacements = Vec::new();
        let mut added = String::new();
        for (key, value) in [("padding", &config.padding), ("truncation", &config.truncation)] {
            let value = value.as_deref().unwrap_or(RawValue::NULL);
            let mut present = members.0.iter().filter(|(name, _)| name == key);
            match (present.next(), present.next()) {
                (Some((_, old)), None) if is_equal(old, value) => {}
                (Some((_, old)), None) => {
                    let start = position(tokenizer_json, old) - prefix;
                    replacements.push((start..start + old.get().len(), value.get().to_owned()));
                }
                (None, _) => {
                    let comma = if members.0.is_empty() && added.is_empty() { "" } else { "," };
                    write!(added, "{comma}\"{key}\":{value}").expect("strings take everything");
                }
                (Some(_), Some(_)) => {
                    return Err(de::Error::custom(format!("the key `{key}` is there twice")));
                }
            }
        }
        if !added.is_empty() {
            let last = members.0.last().map(|(_, last)| position(tokenizer_json, last) + last.get().len());
            let end = last.map_or(1, |end| end - prefix);
            replacements.push((end..end, added));
        }
        replacements.sort_by_key(|(range, _)| range.start);

        let mut text = String::with_capacity(trimmed.len() + 512);
        let mut edits = Vec::new();
        let mut edit = |offset: usize, length: usize, replacement: &str| {
            if length > 0 || !replacement.is_empty() {
                let (offset, length) = (offset as u64, length as u64);
                edits.push(Edit { offset, length, replacement: replacement.into() });
            }
        };
        edit(0, 0, &tokenizer_json[..prefix]);
        let mut copied = 0;
        for (range, replacement) in replacements {
            text.push_str(&trimmed[copied..range.start]);
            edit(text.len(), replacement.len(), &trimmed[range.clone()]);
            text.push_str(&replacement);
            copied = range.end;
        }
        text.push_str(&trimmed[copied..]);
        edit(text.len(), 0, &tokenizer_json[prefix + trimmed.len()..]);
        Ok((Self { tokenizer: RawValue::from_string(text)?, config }, edits))
    }

    /// The `tokenizer.json` that the artifact was made from. None where the edits are those of another one.
    pub fn original(&self, edits: &[Edit]) -> Option<Vec<u8>> {
        Some(Edit::apply(edits, self.tokenizer.get().as_bytes())?.concat())
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

/// The members of a JSON object in their order, duplicates included.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Object).map(Members)
    }
}

/// Where a value that was read from a text stands in it.
fn position(text: &str, value: &RawValue) -> usize {
    value.get().as_ptr().addr() - text.as_ptr().addr()
}

/// Whether two values are the same but for their formatting.
fn is_equal(a: &RawValue, b: &RawValue) -> bool {
    let parse = |value: &RawValue| serde_json::from_str::<serde_json::Value>(value.get());
    matches!((parse(a), parse(b)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(padding: Option<&str>, truncation: Option<&str>) -> TokenizerSettings {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        TokenizerSettings { padding: padding.map(raw), truncation: truncation.map(raw) }
    }

    #[test]
    fn only_padding_and_truncation_change() {
        let original = "\n{\"version\": \"1.0\", \"truncation\": {\"max_length\":512},\n \"padding\": null, \"score\": 0.1000}\n";
        let settings = settings(None, Some(r#"{"max_length":64}"#));
        let (artifact, edits) = TokenizerArtifact::new(original, settings).unwrap();
        let json = artifact.to_json();
        let expected = concat!(
            r#"{"tokenizer":{"version": "1.0", "truncation": {"max_length":64},"#,
            "\n",
            r#" "padding": null, "score": 0.1000},"#,
            r#""config":{"padding":null,"truncation":{"max_length":64}}}"#
        );
        assert_eq!(String::from_utf8(json.clone()).unwrap(), expected);
        let read = TokenizerArtifact::from_json(&json).unwrap();
        assert_eq!(read.to_json(), json);
        assert_eq!(read.original(&edits).unwrap(), original.as_bytes());
        assert!(TokenizerArtifact::from_json(b"[]").is_err());
    }

    #[test]
    fn keys_that_are_missing_are_added_and_taken_away_again() {
        for (original, stored) in [
            ("{}", r#"{"padding":1,"truncation":null}"#),
            ("{ \"a\" : 1 } ", r#"{ "a" : 1,"padding":1,"truncation":null }"#),
            ("{\"truncation\":{ }, \"a\":[]}", r#"{"truncation":null, "a":[],"padding":1}"#),
        ] {
            let (artifact, edits) = TokenizerArtifact::new(original, settings(Some("1"), None)).unwrap();
            assert_eq!(artifact.tokenizer.get(), stored);
            assert_eq!(artifact.original(&edits).unwrap(), original.as_bytes());
        }
    }

    #[test]
    fn what_is_equal_but_for_its_formatting_stays() {
        let original = "{\"padding\": null, \"truncation\": {\"stride\": 0,\n\"max_length\": 7}}";
        let settings = settings(None, Some(r#"{"max_length":7,"stride":0}"#));
        let (artifact, edits) = TokenizerArtifact::new(original, settings).unwrap();
        assert_eq!((artifact.tokenizer.get(), edits), (original, Vec::new()));
    }

    #[test]
    fn a_key_that_is_there_twice_is_refused() {
        let original = r#"{"padding": null, "padding": {"a": 1}}"#;
        let error = TokenizerArtifact::new(original, settings(None, None)).err().unwrap();
        assert!(error.to_string().contains("`padding`"), "{error}");
    }

    #[test]
    fn edits_of_another_tokenizer_give_none() {
        let (artifact, _) = TokenizerArtifact::new("{}", settings(None, None)).unwrap();
        let edit = |offset, length| Edit { offset, length, replacement: Vec::new() };
        for edits in [
            vec![edit(99, 0)],
            vec![edit(0, u64::MAX)],
            vec![edit(u64::MAX, 2)],
            vec![edit(5, 1), edit(2, 1)],
        ] {
            assert_eq!(artifact.original(&edits), None, "{edits:?}");
        }
    }

    proptest! {
        #[test]
        fn edits_undo_what_was_done(
            before in "[ \n]{0,3}", after in "[ \n]{0,3}", keys in prop::collection::vec("[a-c]|padding|truncation", 0..5),
        ) {
            let mut seen = std::collections::HashSet::new();
            let members: Vec<_> = keys.into_iter().filter(|key| seen.insert(key.clone()))
                .map(|key| format!("\"{key}\" : {{\"x\": [1, 2]}} ")).collect();
            let original = format!("{before}{{{}}}{after}", members.join(", "));
            let given = settings(Some("{\"y\":3}"), None);
            let (artifact, edits) = TokenizerArtifact::new(&original, given).unwrap();
            let stored: serde_json::Value = serde_json::from_str(artifact.tokenizer.get()).unwrap();
            prop_assert_eq!(&stored["padding"], &serde_json::json!({"y": 3}));
            prop_assert_eq!(&stored["truncation"], &serde_json::Value::Null);
            prop_assert_eq!(artifact.original(&edits).unwrap(), original.as_bytes());
        }
    }
}
