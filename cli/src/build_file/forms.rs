//! The forms in which values are written, each with the error that says what was expected.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use encoderfile_registry::Requirement;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, DeserializeOwned, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// The largest number of tokens that can be asked for.
const MAX_TOKENS: u64 = 1 << 20;

/// Reads `T` in the form `W`; null is as if the key were not there.
pub(super) fn via<'de, W, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    W: Deserialize<'de> + Into<T>,
    D: Deserializer<'de>,
{
    Ok(Option::<W>::deserialize(deserializer)?.map(Into::into))
}

/// As [`via`], for several values.
pub(super) fn list<'de, W, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    W: Deserialize<'de> + Into<Vec<T>>,
    D: Deserializer<'de>,
{
    Ok(Option::<W>::deserialize(deserializer)?.map(Into::into).unwrap_or_default())
}

/// A text that is not empty.
pub(super) struct Filled(String);

impl<'de> Deserialize<'de> for Filled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.trim().is_empty() {
            return Err(de::Error::invalid_value(Unexpected::Str(&text), &"a text that is not empty"));
        }
        Ok(Self(text))
    }
}

impl From<Filled> for String {
    fn from(Filled(text): Filled) -> Self {
        text
    }
}

impl From<Filled> for PathBuf {
    fn from(Filled(text): Filled) -> Self {
        text.into()
    }
}

impl JsonSchema for Filled {
    fn schema_name() -> Cow<'static, str> {
        "Filled".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": r"\S"})
    }
}

/// A path that has to be there.
pub(super) fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    Filled::deserialize(deserializer).map(Into::into)
}

/// The name of a value of the enumeration `T`, as text and in no other form.
pub(super) struct Name<T>(pub(super) T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Name<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // What is no text is no name either, and no name is empty.
        let name = String::deserialize(deserializer).unwrap_or_default();
        T::deserialize(StrDeserializer::new(&name)).map(Self)
    }
}

/// `true` or `false`, and none of the other words that YAML once had for them.
#[derive(JsonSchema)]
#[schemars(inline)]
pub(super) struct Flag(bool);

impl From<Flag> for bool {
    fn from(Flag(flag): Flag) -> Self {
        flag
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TrueOrFalse;

        impl Visitor<'_> for TrueOrFalse {
            type Value = bool;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true` or `false`")
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Self::Value, E> {
                Ok(flag)
            }
        }

        deserializer.deserialize_any(TrueOrFalse).map(Self)
    }
}

/// A number of tokens, from `LEAST` to [`MAX_TOKENS`].
pub(super) struct Tokens<const LEAST: u64>(usize);

impl<const LEAST: u64> From<Tokens<LEAST>> for usize {
    fn from(Tokens(count): Tokens<LEAST>) -> Self {
        count
    }
}

impl<'de, const LEAST: u64> Deserialize<'de> for Tokens<LEAST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WholeNumber<const LEAST: u64>;

        impl<const LEAST: u64> Visitor<'_> for WholeNumber<LEAST> {
            type Value = usize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {LEAST} to {MAX_TOKENS}")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                let within = Some(number).filter(|number| (LEAST..=MAX_TOKENS).contains(number));
                let count = within.and_then(|number| usize::try_from(number).ok());
                count.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
            }
        }

        deserializer.deserialize_any(WholeNumber::<LEAST>).map(Self)
    }
}

impl<const LEAST: u64> JsonSchema for Tokens<LEAST> {
    fn schema_name() -> Cow<'static, str> {
        format!("Tokens_{LEAST}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": LEAST, "maximum": MAX_TOKENS})
    }
}

/// One value, or a list of at least one.
pub(super) struct OneOrMany<T>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrList<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for TextOrList<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(vec![T::deserialize(StrDeserializer::new(text))?])
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
                several(items)
            }
        }

        deserializer.deserialize_any(TextOrList(PhantomData)).map(Self)
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})
    }
}

/// A list of at least one value.
#[derive(JsonSchema)]
#[schemars(inline)]
pub(super) struct Several<T>(#[schemars(length(min = 1))] pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Several<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
                several(items)
            }
        }

        deserializer.deserialize_any(List(PhantomData)).map(Self)
    }
}

fn several<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(mut items: A) -> Result<Vec<T>, A::Error> {
    let mut values = Vec::new();
    while let Some(value) = items.next_element()? {
        values.push(value);
    }
    if values.is_empty() {
        return Err(de::Error::invalid_length(0, &"at least one entry"));
    }
    Ok(values)
}

/// What is either a text or a mapping `M`.
pub(super) enum TextOrMapping<M> {
    Text(String),
    Mapping(M),
}

impl<M> TextOrMapping<M> {
    /// Reads it, where `expected` says what the text and the mapping are.
    pub(super) fn read<'de, D>(deserializer: D, expected: &'static str) -> Result<Self, D::Error>
    where
        M: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        struct Either<M>(&'static str, PhantomData<M>);

        impl<'de, M: Deserialize<'de>> Visitor<'de> for Either<M> {
            type Value = TextOrMapping<M>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                if text.trim().is_empty() {
                    return Err(E::invalid_value(Unexpected::Str(text), &self));
                }
                Ok(TextOrMapping::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
                M::deserialize(MapAccessDeserializer::new(entries)).map(TextOrMapping::Mapping)
            }
        }

        deserializer.deserialize_any(Either(expected, PhantomData))
    }
}

/// A version requirement of base binaries.
pub(super) struct RequirementText(Requirement);

impl From<RequirementText> for Requirement {
    fn from(RequirementText(requirement): RequirementText) -> Self {
        requirement
    }
}

impl<'de> Deserialize<'de> for RequirementText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}
