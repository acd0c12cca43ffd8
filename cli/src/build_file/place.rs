//! Where in a build file something stands, and what stands there.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_path_to_error::Segment;
use serde_saphyr::{Location, Spanned};

use crate::terminal::printable;

/// A place in a build file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The build file.
    pub path: PathBuf,
    /// From 1; 0 where it is not known.
    pub line: u32,
    /// In characters, from 1; 0 where it is not known.
    pub column: u32,
}

impl Place {
    /// Only as far as the line, which is enough where the message names a word that stands there.
    pub(super) fn line(&self) -> String {
        let path = format!("`{}`", self.path.display());
        if self.line > 0 { format!("{path}, line {}", self.line) } else { path }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())?;
        if self.column > 0 { write!(f, ", column {}", self.column) } else { Ok(()) }
    }
}

/// A step from a value to one within it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// The way to a value from the top of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyPath(Vec<Step>);

impl KeyPath {
    pub(super) fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| Step::Key((*key).to_owned())).collect())
    }

    /// Whether it leads nowhere: to the whole document.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The way to a key of the mapping to which this leads.
    pub(super) fn join(mut self, key: &str) -> Self {
        self.0.push(Step::Key(key.to_owned()));
        self
    }
}

impl From<serde_path_to_error::Path> for KeyPath {
    fn from(path: serde_path_to_error::Path) -> Self {
        let steps = path.iter().map_while(|segment| match segment {
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Enum { .. } | Segment::Unknown => None,
        });
        Self(steps.collect())
    }
}

/// As people write it: `encoderfile.target[1]`.
impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if number == 0 => f.write_str(&printable(key))?,
                Step::Key(key) => write!(f, ".{}", printable(key))?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A build file's text, for what its errors say of it.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Source<'_> {
    pub(super) fn place(&self, location: Option<Location>) -> Place {
        let number = |of: fn(&Location) -> u64| {
            location.as_ref().map(of).and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
        };
        Place { path: self.path.to_owned(), line: number(Location::line), column: number(Location::column) }
    }

    /// Where a value stands.
    pub(super) fn place_of(&self, path: &KeyPath) -> Option<Place> {
        self.find(path).ok().flatten().map(|(place, _)| place)
    }

    /// Where a value stands, and what it is. The text is parsed once more, which only errors need.
    pub(super) fn find(&self, path: &KeyPath) -> Result<Option<(Place, String)>, serde_saphyr::Error> {
        let document: Spanned<Node> =
            serde_saphyr::from_str_with_options(self.text, super::parser_options())?;
        let found = path.0.iter().try_fold(&document, |found, step| match (&found.value, step) {
            (Node::Mapping(entries), Step::Key(key)) => {
                entries.iter().find_map(|(name, value)| (name == key).then_some(value))
            }
            (Node::List(items), Step::Index(index)) => items.get(*index),
            _ => None,
        });
        let Some(found) = found else { return Ok(None) };
        let description = match &found.value {
            Node::Nothing => "nothing".to_owned(),
            Node::Text(text) => shortened(text),
            Node::Bare => shortened(self.written(found.referenced).unwrap_or_default()),
            Node::List(items) if items.is_empty() => "an empty list".to_owned(),
            Node::List(_) => "a list".to_owned(),
            Node::Mapping(_) => "a mapping".to_owned(),
        };
        Ok(Some((self.place(Some(found.referenced)), description)))
    }

    /// What is written at a place.
    pub(super) fn written(&self, location: Location) -> Option<&str> {
        let start = usize::try_from(location.span().byte_offset()?).ok()?;
        let length = usize::try_from(location.span().byte_len()?).ok()?;
        self.text.get(start..start.checked_add(length)?)
    }
}

/// The first words of a text, in one line.
pub(super) fn shortened(text: &str) -> String {
    const LENGTH: usize = 60;
    let start: String = text.chars().take(LENGTH).collect();
    let dots = if start.len() < text.len() { "…" } else { "" };
    format!("`{}{dots}`", printable(&start))
}

/// Any YAML.
enum Node {
    Nothing,
    Text(String),
    /// A number or a truth value.
    Bare,
    List(Vec<Spanned<Node>>),
    Mapping(Vec<(String, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Anything;

        impl<'de> Visitor<'de> for Anything {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("YAML")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
                Ok(Node::Nothing)
            }

            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Node, E> {
                Ok(Node::Bare)
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Node, E> {
                Ok(Node::Bare)
            }

            fn visit_i128<E: de::Error>(self, _: i128) -> Result<Node, E> {
                Ok(Node::Bare)
            }

            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Node, E> {
                Ok(Node::Bare)
            }

            fn visit_u128<E: de::Error>(self, _: u128) -> Result<Node, E> {
                Ok(Node::Bare)
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Node, E> {
                Ok(Node::Bare)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Node, E> {
                Ok(Node::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Node::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
                let mut mapping = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    mapping.push(entry);
                }
                Ok(Node::Mapping(mapping))
            }
        }

        deserializer.deserialize_any(Anything)
    }
}
