//! `encoderfile.yml`.

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use encoderfile_format::ModelType;
use encoderfile_registry::Requirement;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::suggestion::nearest;

/// What the build file says. Paths are relative to the working folder: those of the file are resolved while it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BuildFile {
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) path: Option<PathBuf>,
    #[serde(default, deserialize_with = "model_type")]
    pub(crate) model_type: Option<ModelType>,
    pub(crate) output_path: Option<PathBuf>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub(crate) target: Vec<String>,
    /// Of the base binary.
    #[serde(default, deserialize_with = "requirement")]
    pub(crate) runtime_version: Option<Requirement>,
    pub(crate) base_binary_path: Option<PathBuf>,
    pub(crate) cache_dir: Option<PathBuf>,
}

/// The only key at the top.
const TOP: &str = "encoderfile";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    encoderfile: BuildFile,
}

/// Why a build file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildFileError {
    #[error("cannot read the build file `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("unknown key `{key}` in `{}`, line {line}", path.display())]
    UnknownKey { path: PathBuf, line: u64, key: String, known: Vec<&'static str> },
    #[error("cannot use the build file `{}`{}\n  cause: {message}", path.display(), at(*line))]
    Invalid { path: PathBuf, line: Option<u64>, message: String },
}

fn at(line: Option<u64>) -> String {
    line.map(|line| format!(", line {line}")).unwrap_or_default()
}

impl BuildFileError {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKey { key, known, .. } => {
                let nearest = nearest(key, known.iter().copied());
                Some(match nearest {
                    Some(nearest) => format!("did you mean `{nearest}`?"),
                    None if known.contains(&TOP) => format!("put it below `{TOP}:`"),
                    None => format!("the keys are: {}", known.join(", ")),
                })
            }
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("a model folder can be built without one: `encoderfile build MODEL_DIR`".to_owned())
            }
            Self::Read { .. } | Self::Invalid { .. } => None,
        }
    }
}

impl BuildFile {
    pub(crate) fn read(path: &Path) -> Result<Self, BuildFileError> {
        let text = fs::read_to_string(path)
            .map_err(|source| BuildFileError::Read { path: path.to_owned(), source })?;
        let document: Document = serde_saphyr::from_str(&text).map_err(|error| invalid(path, &error))?;
        let mut file = document.encoderfile;
        let folder = path.parent().unwrap_or(Path::new(""));
        let paths = [&mut file.path, &mut file.output_path, &mut file.base_binary_path, &mut file.cache_dir];
        for path in paths.into_iter().flatten() {
            *path = folder.join(&path);
        }
        Ok(file)
    }
}

fn invalid(path: &Path, error: &serde_saphyr::Error) -> BuildFileError {
    let path = path.to_owned();
    match error.without_snippet() {
        serde_saphyr::Error::SerdeUnknownField { field, expected, location } => BuildFileError::UnknownKey {
            path,
            line: location.line(),
            key: field.clone(),
            known: expected.clone(),
        },
        plain => {
            let line = plain.location().map(|location| location.line()).filter(|line| *line > 0);
            BuildFileError::Invalid { path, line, message: plain.to_string() }
        }
    }
}

fn requirement<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Requirement>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(de::Error::custom)
}

fn model_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ModelType>, D::Error> {
    let name = String::deserialize(deserializer)?;
    match name.parse::<ModelType>() {
        Ok(task) if crate::model::TASKS.contains(&task) => Ok(Some(task)),
        _ => {
            let known = crate::model::TASKS.map(|task| task.to_string());
            let nearest = nearest(&name, known.iter().map(String::as_str));
            let suggestion =
                nearest.map(|nearest| format!(", did you mean `{nearest}`?")).unwrap_or_default();
            let message = format!("unknown model_type `{name}`{suggestion} (known: {})", known.join(", "));
            Err(serde::de::Error::custom(message))
        }
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Targets;

    impl<'de> Visitor<'de> for Targets {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a target triple or a list of them")
        }

        fn visit_str<E: de::Error>(self, target: &str) -> Result<Self::Value, E> {
            Ok(vec![target.to_owned()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut targets = Vec::new();
            while let Some(target) = items.next_element()? {
                targets.push(target);
            }
            Ok(targets)
        }
    }

    deserializer.deserialize_any(Targets)
}
