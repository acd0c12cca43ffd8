//! Weights in place: the model as ONNX Runtime gets it, with large tensors pointing into the running file.

use std::ops::Range;
use std::path::Path;

use encoderfile_format::{Artifact, ArtifactKind, onnx};
use memmap2::{Mmap, MmapOptions};

use crate::error::Error;
use crate::executable::Executable;
use crate::external::ExternalFile;

/// Tensors from this size on (in bytes) stay in the file. Smaller ones cost less in the skeleton than as a mapping.
const THRESHOLD: usize = 1024;

/// The model without its large tensors, and the folder that their locations are relative to.
pub(crate) struct Skeleton {
    pub(crate) model: Vec<u8>,
    pub(crate) folder: String,
}

/// What a detached model calls the file that its external tensors are in.
pub(crate) const DETACHED: &str = "external_data";

/// The model with its external tensors in one file that has no path.
pub(crate) struct Detached {
    pub(crate) model: Vec<u8>,
    /// The file called [`DETACHED`].
    pub(crate) file: Mmap,
}

/// Maps the model. It is read from the page cache, and no page is copied.
pub(crate) fn model(executable: &Executable) -> Result<Mmap, Error> {
    let weights = executable.artifact(ArtifactKind::Weights)?;
    map(executable, weights, weights.offset..weights.end())
}

/// Maps a range of the running file, which lies in artifacts, `first` and those behind it.
fn map(executable: &Executable, first: &Artifact, range: Range<u64>) -> Result<Mmap, Error> {
    let Range { start: offset, end } = range;
    let length = end - offset;
    let too_large = |_| executable.content_error(first.kind, "larger than the address space");
    let length_in_memory = usize::try_from(length).map_err(too_large)?;
    let mut options = MmapOptions::new();
    options.offset(offset).len(length_in_memory);
    // SAFETY: the file is the executable that runs. Linux refuses to open it for writing (ETXTBSY), and replacing or deleting
    // it leaves this inode as it is; elsewhere, whoever overwrites a running executable breaks its code just the same. The
    // range was checked against the file's length when it was opened.
    #[expect(unsafe_code, reason = "mapping a file is unsafe, and the point of this module")]
    let mapped = unsafe { options.map(executable.file().file()) };
    mapped.map_err(|source| {
        executable.artifact_error(first, encoderfile_format::Error::Read { offset, length, source })
    })
}

/// Builds the skeleton, or says why the weights cannot be reached through the path of the running file.
pub(crate) fn skeleton(
    executable: &Executable,
    weights: &[u8],
    files: &[ExternalFile<'_>],
) -> Result<Skeleton, Error> {
    let path = executable.path();
    let name = path.file_name().and_then(|name| name.to_str());
    let folder = path.parent().and_then(Path::to_str);
    let (Some(name), Some(folder)) = (name, folder) else {
        return Err(Error::Mapping("the path of the running file is not UTF-8"));
    };
    if !executable.is_at_its_path() {
        return Err(Error::Mapping("another file, or none, has the path of the running file"));
    }
    let place = onnx::Place { location: name, offset: executable.artifact(ArtifactKind::Weights)?.offset };
    let range = |artifact: &Artifact| artifact.offset..artifact.end();
    let files: Vec<_> = files.iter().map(|file| (file.location.as_str(), range(file.artifact))).collect();
    let model = onnx::externalize(weights, &place, &files, THRESHOLD)
        .map_err(|source| executable.content_error(ArtifactKind::Weights, source))?;
    Ok(Skeleton { model, folder: folder.to_owned() })
}

/// Takes the names of its files from a model, so that nothing on disk can be meant by them.
pub(crate) fn detached(
    executable: &Executable,
    weights: &[u8],
    files: &[ExternalFile<'_>],
) -> Result<Detached, Error> {
    let unusable = |source| executable.content_error(ArtifactKind::Weights, source);
    let weights_artifact = executable.artifact(ArtifactKind::Weights)?;
    let artifacts = || files.iter().map(|file| file.artifact);
    let first = artifacts().min_by_key(|artifact| artifact.offset).unwrap_or(weights_artifact);
    let end = artifacts().map(Artifact::end).max().unwrap_or(first.offset);
    let file = map(executable, first, first.offset..end)?;

    let range = |artifact: &Artifact| artifact.offset - first.offset..artifact.end() - first.offset;
    let ranges: Vec<_> = files.iter().map(|file| (file.location.as_str(), range(file.artifact))).collect();
    let index = |position| usize::try_from(position).expect("it is within a mapping");
    let contents: Vec<_> =
        ranges.iter().map(|(name, range)| (*name, &file[index(range.start)..index(range.end)])).collect();
    let model = onnx::inline_beyond_main_graph(weights, &contents).map_err(unusable)?;
    let place = onnx::Place { location: DETACHED, offset: 0 };
    let model = onnx::externalize(&model, &place, &ranges, usize::MAX).map_err(unusable)?;
    Ok(Detached { model, file })
}
