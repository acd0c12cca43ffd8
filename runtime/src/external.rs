//! External data: the files beside the published model that hold its tensors, as artifacts of the running file.

use encoderfile_format::{Artifact, ArtifactKind, Manifest, onnx};

/// A file of tensors.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ExternalFile<'a> {
    /// What the model calls it: relative to the model's own folder.
    pub(crate) location: String,
    pub(crate) artifact: &'a Artifact,
}

/// Why the files of a model are not all there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("its tensors are in another file, `{location}`, which is not part of this one")]
pub(crate) struct MissingFile {
    location: String,
}

/// Finds the files that a model has tensors in.
pub(crate) fn files<'a>(
    manifest: &'a Manifest,
    model: &onnx::Model,
) -> Result<Vec<ExternalFile<'a>>, MissingFile> {
    let weights = manifest.artifact(ArtifactKind::Weights).and_then(|artifact| artifact.name.as_deref());
    let find = |location: &str| {
        let path = path(weights.unwrap_or_default(), location);
        let mut artifacts = manifest.artifacts_of(ArtifactKind::ExternalData);
        let artifact = artifacts.find(|artifact| artifact.name.as_deref() == Some(&path));
        let location = location.to_owned();
        match artifact {
            Some(artifact) => Ok(ExternalFile { location, artifact }),
            None => Err(MissingFile { location }),
        }
    };
    model.external_files().into_iter().map(find).collect()
}

/// The path within the model folder of what a model calls `location`. One that leaves the folder is no artifact's name.
fn path(model: &str, location: &str) -> String {
    let folder = model.rsplit_once('/').map(|(folder, _)| folder);
    let parts = location.split('/').filter(|&part| part != ".");
    folder.into_iter().chain(parts).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_relative_to_the_model() {
        assert_eq!(path("model.onnx", "model.onnx_data"), "model.onnx_data");
        assert_eq!(path("onnx/model.onnx", "model.onnx_data"), "onnx/model.onnx_data");
        assert_eq!(path("a/b/model.onnx", "./c/./data"), "a/b/c/data");
        assert_eq!(path("", "data"), "data");
        assert_eq!(path("onnx/model.onnx", "../data"), "onnx/../data");
        assert_eq!(path("model.onnx", "/data"), "/data");
    }
}
