//! What changed in a tokenizer.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use encoderfile_format::{Artifact, Encoderfile};
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::content::{self, ContentError, TOKENIZER_LIMIT, TokenizerView};

/// What changed in a tokenizer.
#[derive(Debug, Serialize)]
pub(super) struct TokenizerChange {
    /// Number of words before and after, without added tokens.
    pub(super) vocabulary: [Option<usize>; 2],
    pub(super) tokens_added: Vec<String>,
    pub(super) tokens_removed: Vec<String>,
    /// Keys of `tokenizer.json` whose values are others, by their text.
    pub(super) keys: Vec<String>,
}

type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

pub(super) fn between(
    old: (&Encoderfile, &Artifact),
    new: (&Encoderfile, &Artifact),
) -> Result<TokenizerChange, ContentError> {
    let old = content::bytes(old.0, old.1, TOKENIZER_LIMIT)?;
    let new = content::bytes(new.0, new.1, TOKENIZER_LIMIT)?;
    let (old, new) = (members(&old)?, members(&new)?);
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let keys = keys.into_iter().filter(|key| text(&old, key) != text(&new, key));
    let keys: Vec<String> = keys.map(ToString::to_string).collect();
    let (mut tokens_added, mut tokens_removed) = (Vec::new(), Vec::new());
    if keys.iter().any(|key| key == "added_tokens") {
        let (old, new) = (added_tokens(&old), added_tokens(&new));
        let told = |tokens: &BTreeSet<AddedToken<'_>>, others: &BTreeSet<AddedToken<'_>>| {
            tokens.difference(others).map(|token| format!("{} ({})", token.content, token.id)).collect()
        };
        (tokens_added, tokens_removed) = (told(&new, &old), told(&old, &new));
    }
    let vocabulary = [vocabulary(&old), vocabulary(&new)];
    Ok(TokenizerChange { vocabulary, tokens_added, tokens_removed, keys })
}

/// The value of a key, as it is written.
fn text<'a>(members: &Members<'a>, key: &str) -> Option<&'a str> {
    members.get(key).map(|value| value.get())
}

/// The keys of a `tokenizer.json`.
fn members(bytes: &[u8]) -> Result<Members<'_>, ContentError> {
    Ok(serde_json::from_str(TokenizerView::of(bytes)?.tokenizer.get())?)
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct AddedToken<'a> {
    id: u64,
    #[serde(borrow)]
    content: Cow<'a, str>,
}

fn added_tokens<'a>(members: &Members<'a>) -> BTreeSet<AddedToken<'a>> {
    members.get("added_tokens").and_then(|tokens| serde_json::from_str(tokens.get()).ok()).unwrap_or_default()
}

/// How many words a tokenizer knows, whether they are a list with scores or have numbers.
fn vocabulary(members: &Members<'_>) -> Option<usize> {
    #[derive(Deserialize)]
    struct Model {
        vocab: Count,
    }

    let model: Model = serde_json::from_str(members.get("model")?.get()).ok()?;
    Some(model.vocab.0)
}

/// How many entries a list or an object has.
struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counter;

        impl<'de> Visitor<'de> for Counter {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list or an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut count = 0;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Count(count))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut count = 0;
                while items.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Count(count))
            }
        }

        deserializer.deserialize_any(Counter)
    }
}
