//! Which of a folder's graphs is built.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::folder::ModelFolderError;
use super::given::Decided;
use super::source;
use crate::suggestion::nearest;

/// The name that exporters give a graph unless they are told otherwise.
const USUAL: &str = "model.onnx";
/// The folder in which optimum and sentence-transformers put graphs.
const SUBFOLDER: &str = "onnx/";

/// The graph that is built.
pub(super) struct Weights {
    /// Its path within the model folder, with slashes.
    pub(super) name: Decided<String>,
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// The folder's other graphs.
    pub(super) others: Vec<String>,
    /// Whether it was taken because there is no other.
    pub(super) is_only_one: bool,
}

/// Finds the graph in the first of the places, which are folders within the model folder: empty, or ending in a slash.
pub(super) fn choose(
    folder: &Path,
    places: &[String],
    given: Option<&str>,
) -> Result<Weights, ModelFolderError> {
    let places: Vec<_> =
        places.iter().flat_map(|place| [place.clone(), format!("{place}{SUBFOLDER}")]).collect();
    let found = graphs(folder, &places);
    if let Some(given) = given {
        return match given_name(folder, &places, given)? {
            Some((name, path, file)) => Ok(weights(Decided::given(name), path, file, found, false)),
            None => Err(ModelFolderError::NoSuchWeights {
                given: given.to_owned(),
                folder: folder.to_owned(),
                suggestion: suggestion(given, &found),
                found,
            }),
        };
    }
    for place in &places {
        let name = format!("{place}{USUAL}");
        let path = folder.join(&name);
        if let Some(file) = source::open(&path)? {
            return Ok(weights(Decided::default(name), path, file, found, false));
        }
    }
    let [only] = found.as_slice() else {
        return Err(if found.is_empty() {
            ModelFolderError::missing(folder, USUAL)
        } else {
            ModelFolderError::SeveralWeights { folder: folder.to_owned(), found }
        });
    };
    let path = folder.join(only);
    match source::open(&path)? {
        Some(file) => Ok(weights(Decided::default(only.clone()), path, file, found, true)),
        None => Err(ModelFolderError::missing(folder, USUAL)),
    }
}

fn weights(
    name: Decided<String>,
    path: PathBuf,
    file: File,
    mut others: Vec<String>,
    is_only_one: bool,
) -> Weights {
    others.retain(|other| *other != name.value);
    Weights { name, path, file, others, is_only_one }
}

/// A path within the folder, else a short name.
fn given_name(
    folder: &Path,
    places: &[String],
    given: &str,
) -> Result<Option<(String, PathBuf, File)>, ModelFolderError> {
    let is_path = |given: &str| given.contains('/') || has_extension(given);
    let candidates = if is_path(given) {
        let Some(name) = plain(given) else {
            return Err(ModelFolderError::WeightsOutside { given: given.to_owned() });
        };
        vec![name]
    } else {
        let names = [format!("model_{given}.onnx"), format!("{given}.onnx")];
        places.iter().flat_map(|place| names.each_ref().map(|name| format!("{place}{name}"))).collect()
    };
    for name in candidates {
        let path = folder.join(&name);
        if let Some(file) = source::open(&path)? {
            return Ok(Some((name, path, file)));
        }
    }
    Ok(None)
}

/// A path within a folder in its shortest form. None for one that leads elsewhere.
pub(super) fn plain(path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains(['\\', '\0']) {
        return None;
    }
    let parts: Vec<_> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let is_inside = !parts.is_empty() && !parts.contains(&"..");
    is_inside.then(|| parts.join("/"))
}

fn has_extension(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "onnx")
}

/// The graphs of the places, in order.
fn graphs(folder: &Path, places: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for place in places {
        let entries = fs::read_dir(folder.join(place)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        found.extend(names.filter(|name| has_extension(name)).map(|name| format!("{place}{name}")));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The short or long name that is nearest to one that is not there.
fn suggestion(given: &str, found: &[String]) -> Option<String> {
    let short = found.iter().filter_map(|name| {
        let stem = name.rsplit('/').next()?.strip_suffix(".onnx")?;
        Some(stem.strip_prefix("model_").unwrap_or(stem))
    });
    let known = short.chain(found.iter().map(String::as_str));
    nearest(given, known).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_plain_or_refused() {
        for (path, expected) in [
            ("onnx/model.onnx", Some("onnx/model.onnx")),
            ("./onnx//./model.onnx", Some("onnx/model.onnx")),
            ("../model.onnx", None),
            ("onnx/../../model.onnx", None),
            ("/model.onnx", None),
            ("onnx\\model.onnx", None),
            ("./", None),
        ] {
            assert_eq!(plain(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn what_was_meant_is_suggested() {
        let found = ["onnx/model_fp16.onnx", "onnx/model_quantized.onnx"].map(str::to_owned);
        assert_eq!(suggestion("fp61", &found).as_deref(), Some("fp16"));
        assert_eq!(suggestion("quantised", &found).as_deref(), Some("quantized"));
        assert_eq!(suggestion("onnx/model_fp32.onnx", &found).as_deref(), Some("onnx/model_fp16.onnx"));
        assert_eq!(suggestion("zzz", &found), None);
    }
}
