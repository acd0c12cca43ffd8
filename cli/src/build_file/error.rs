//! Why a build file cannot be used: at which key, in which line, and what was probably meant.

use std::io;
use std::path::PathBuf;

use serde_saphyr::{DefaultMessageFormatter, Error as YamlError, MessageFormatter as _};

use super::place::{KeyPath, Place, Source, shortened};
use super::{MAX_LENGTH, TOP};
use crate::suggestion::nearest;
use crate::terminal::printable;

/// Why a build file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildFileError {
    /// The file cannot be read.
    #[error("cannot read the build file `{}`", path.display())]
    Read {
        /// The build file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is longer than any build file.
    #[error("cannot use the build file `{}`: it is longer than {MAX_LENGTH} bytes", path.display())]
    TooLong {
        /// The build file.
        path: PathBuf,
    },
    /// The file is not UTF-8.
    #[error("cannot use the build file {}\n  cause: it is not UTF-8", place.line())]
    NotUtf8 {
        /// The first byte that is not.
        place: Place,
    },
    /// There is nothing in the file.
    #[error("cannot use the build file `{}`: it is empty", path.display())]
    Empty {
        /// The build file.
        path: PathBuf,
    },
    /// The file is not YAML, or YAML of a kind that no build file needs.
    #[error("cannot use the build file {place}\n  cause: {message}")]
    Yaml {
        /// Where the parser stopped.
        place: Place,
        /// Why.
        message: String,
    },
    /// A key that is none.
    #[error("unknown key `{}` in {}", printable(key), place.line())]
    UnknownKey {
        /// The key.
        place: Place,
        /// Its name.
        key: String,
        /// The keys of this mapping.
        known: Vec<&'static str>,
    },
    /// A key that has to be there.
    #[error("no `{key}` in {}", place.line())]
    MissingKey {
        /// The mapping that lacks it.
        place: Place,
        /// The way to it.
        key: String,
    },
    /// A key that stands in one mapping twice.
    #[error("the key `{key}` stands twice in {}", place.line())]
    DuplicateKey {
        /// The second of the two.
        place: Place,
        /// The way to it.
        key: String,
    },
    /// A value that its key cannot have.
    #[error("cannot use `{key}` in {place}\n  found:    {found}\n  expected: {expected}")]
    Value {
        /// The value.
        place: Place,
        /// The way to it.
        key: String,
        /// What stands there.
        found: String,
        /// What could stand there.
        expected: String,
    },
    /// A value that is not among the few that its key can have.
    #[error("cannot use `{key}` in {place}\n  found:    {found}\n  expected: {}", known.join(", "))]
    UnknownName {
        /// The value.
        place: Place,
        /// The way to it.
        key: String,
        /// What stands there.
        found: String,
        /// What could stand there.
        known: Vec<&'static str>,
    },
    /// A number or a truth value where a text is expected: other programs would read another text than what is written.
    #[error(
        "cannot use `{key}` in {place}\n  found:    {} without quotes, which YAML takes for no text\n  expected: a text",
        shortened(found)
    )]
    Unquoted {
        /// The value.
        place: Place,
        /// The way to it.
        key: String,
        /// What stands there.
        found: String,
    },
    /// A value that is well formed, and still of no use.
    #[error("cannot use `{key}` in {place}\n  cause: {reason}")]
    Useless {
        /// The value.
        place: Place,
        /// The way to it.
        key: String,
        /// Why.
        reason: String,
    },
    /// The file of a transform that cannot be read.
    #[error("cannot read the transform `{}`, named in {}", file.display(), place.line())]
    Transform {
        /// The key `path` of the transform.
        place: Place,
        /// The file that it names.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl BuildFileError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::UnknownKey { key, known, .. } => {
                return Some(match nearest(key, known.iter().copied()) {
                    Some(nearest) => format!("did you mean `{nearest}`?"),
                    None if known.contains(&TOP) => format!("put it below `{TOP}:`"),
                    None => format!("the keys are: {}", known.join(", ")),
                });
            }
            Self::UnknownName { found, .. } if found == "`image_classification`" => {
                "models of images are not supported"
            }
            Self::UnknownName { found, known, .. } => {
                let name = found.trim_matches('`').to_lowercase();
                let nearest = nearest(&name, known.iter().copied())?;
                return Some(format!("did you mean `{nearest}`?"));
            }
            Self::Unquoted { found, .. } => return Some(format!("put it in quotes: '{}'", printable(found))),
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "a model folder can be built without one: `encoderfile build MODEL_DIR`"
            }
            Self::Empty { .. } => "it starts with `encoderfile:`, and all other keys stand below that",
            Self::MissingKey { key, .. } if key == TOP => "all other keys stand below `encoderfile:`",
            Self::NotUtf8 { .. } => "save it as UTF-8",
            Self::Yaml { message, .. } if message.contains("a tab") || message.contains("tabs ") => {
                "indent with spaces"
            }
            Self::Transform { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "its path is relative to the build file"
            }
            Self::DuplicateKey { .. } => "remove one of the two",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// What the parser says, at the key where it stopped.
    pub(super) fn from_yaml(source: Source<'_>, path: KeyPath, error: &YamlError) -> Self {
        let error = original(error);
        let place = source.place(error.location());
        let yaml = |message: &str| Self::Yaml { place: place.clone(), message: message.to_owned() };
        match error {
            YamlError::Eof { .. } => Self::Empty { path: source.path.to_owned() },
            YamlError::MultipleDocuments { .. } => {
                yaml("a second document begins here, and only one is expected")
            }
            YamlError::MergeKeyNotAllowed { .. } => yaml("merge keys (`<<`) are not supported"),
            YamlError::RecursiveReferencesRequireWeakTypes { .. } => {
                yaml("an alias stands within its own anchor")
            }
            YamlError::Budget { .. } | YamlError::AliasReplayLimitExceeded { .. } => {
                yaml("it is too complex for a build file: too many aliases, levels or entries")
            }
            YamlError::SerdeUnknownField { field, expected, .. } => {
                Self::UnknownKey { place, key: field.clone(), known: expected.clone() }
            }
            YamlError::SerdeMissingField { field, .. } => {
                let place = source.place_of(&path).unwrap_or(place);
                Self::MissingKey { place, key: path.join(field).to_string() }
            }
            YamlError::DuplicateMappingKey { key, .. } => {
                let key = path.join(key.as_deref().unwrap_or_default()).to_string();
                Self::DuplicateKey { place, key }
            }
            YamlError::SerdeUnknownVariant { variant, expected, .. } => match source.find(&path) {
                Ok(found) => {
                    let (place, found) = found.unwrap_or_else(|| (place, shortened(variant)));
                    Self::UnknownName { place, key: path.to_string(), found, known: expected.clone() }
                }
                Err(error) => Self::not_yaml(source, &error),
            },
            YamlError::QuotingRequired { .. } => {
                let written = error.location().and_then(|location| source.written(location));
                let found = written.unwrap_or_default().to_owned();
                Self::Unquoted { place, key: path.to_string(), found }
            }
            YamlError::Message { msg, .. } => {
                let place = source.place_of(&path).unwrap_or(place);
                Self::Useless { place, key: path.to_string(), reason: printable(msg) }
            }
            other => match expected(other) {
                Some(expected) => Self::value(source, &path, place, expected),
                None => Self::not_yaml(source, other),
            },
        }
    }

    /// A value that does not fit.
    fn value(source: Source<'_>, path: &KeyPath, place: Place, expected: String) -> Self {
        match source.find(path) {
            Ok(found) => {
                let (place, found) = found.unwrap_or_else(|| (place, "something else".to_owned()));
                if path.is_empty() {
                    return Self::Yaml { place, message: format!("expected {expected}, found {found}") };
                }
                Self::Value { place, key: path.to_string(), found, expected }
            }
            // Not what it is, but that it does not end is the fault.
            Err(error) => Self::not_yaml(source, &error),
        }
    }

    fn not_yaml(source: Source<'_>, error: &YamlError) -> Self {
        match original(error) {
            error @ YamlError::Budget { .. } => Self::from_yaml(source, KeyPath::of(&[]), error),
            error => {
                let message = printable(&DefaultMessageFormatter.format_message(error));
                Self::Yaml { place: source.place(error.location()), message }
            }
        }
    }

    /// A value that is well formed, and of no use for this reason.
    pub(super) fn useless(source: Source<'_>, keys: &[&str], reason: String) -> Self {
        let path = KeyPath::of(keys);
        let place = source.place_of(&path).unwrap_or_else(|| source.place(None));
        Self::Useless { place, key: path.to_string(), reason }
    }
}

/// Without what the parser wraps around it: where an alias was used, and the lines around it.
fn original(error: &YamlError) -> &YamlError {
    match error.without_snippet() {
        YamlError::AliasError { error, .. } => original(error),
        other => other,
    }
}

/// What the parser expected, if it is a matter of the value and not of YAML.
fn expected(error: &YamlError) -> Option<String> {
    let expected = match error {
        YamlError::SerdeInvalidType { expected, .. }
        | YamlError::SerdeInvalidValue { expected, .. }
        | YamlError::SerdeInvalidLength { expected, .. } => expected,
        YamlError::Unexpected { expected: "mapping start", .. } => "a mapping",
        YamlError::Unexpected { expected: "sequence start", .. } => "a list",
        YamlError::Unexpected { expected: "string scalar", .. } | YamlError::NullIntoString { .. } => {
            "a text"
        }
        _ => return None,
    };
    Some(expected.to_owned())
}
