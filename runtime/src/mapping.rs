//! Weights in place: the model as ONNX Runtime gets it, with large tensors pointing into the running file.

use std::path::Path;

use encoderfile_format::{Artifact, ArtifactKind, onnx};
use memmap2::{Mmap, MmapOptions};

use crate::error::Error;
use crate::executable::Executable;

/// Tensors from this size on (in bytes) stay in the file. Smaller ones cost less in the skeleton than as a mapping.
const THRESHOLD: usize = 1024;

/// The model without its large tensors, and the folder that their locations are relative to.
pub(crate) struct Skeleton {
    pub(crate) model: Vec<u8>,
    pub(crate) folder: String,
}

/// Maps the weights. They are read from the page cache, and no page is copied.
pub(crate) fn map(executable: &Executable) -> Result<Mmap, Error> {
    let kind = ArtifactKind::Weights;
    let file = executable.file();
    let &Artifact { offset, length, .. } =
        file.artifact(kind).map_err(|source| executable.artifact_error(kind, source))?;
    let too_large = |_| executable.content_error(kind, "larger than the address space");
    let length_in_memory = usize::try_from(length).map_err(too_large)?;
    let mut options = MmapOptions::new();
    options.offset(offset).len(length_in_memory);
    // SAFETY: the file is the executable that runs. Linux refuses to open it for writing (ETXTBSY), and replacing or deleting
    // it leaves this inode as it is; elsewhere, whoever overwrites a running executable breaks its code just the same. The
    // range was checked against the file's length when it was opened.
    #[expect(unsafe_code, reason = "mapping a file is unsafe, and the point of this module")]
    let mapped = unsafe { options.map(file.file()) };
    mapped.map_err(|source| {
        executable.artifact_error(kind, encoderfile_format::Error::Read { offset, length, source })
    })
}

/// Builds the skeleton, or says why the weights cannot be reached through the path of the running file.
pub(crate) fn skeleton(executable: &Executable, weights: &[u8]) -> Result<Skeleton, Error> {
    let path = executable.path();
    let name = path.file_name().and_then(|name| name.to_str());
    let folder = path.parent().and_then(Path::to_str);
    let (Some(name), Some(folder)) = (name, folder) else {
        return Err(Error::Mapping("the path of the running file is not UTF-8"));
    };
    if !executable.is_at_its_path() {
        return Err(Error::Mapping("another file, or none, has the path of the running file"));
    }
    let kind = ArtifactKind::Weights;
    let offset =
        executable.file().artifact(kind).map_err(|source| executable.artifact_error(kind, source))?.offset;
    let place = onnx::Place { location: name, offset };
    let model = onnx::externalize(weights, &place, &[], THRESHOLD)
        .map_err(|source| executable.content_error(kind, source))?;
    Ok(Skeleton { model, folder: folder.to_owned() })
}
