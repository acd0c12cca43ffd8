//! Why a file cannot be written.

use std::io;
use std::path::{Path, PathBuf};

use crate::copy::CopyError;
use crate::{ArtifactKind, Digest, Error, MachOError};

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Writing would destroy what is to be read.
    #[error("the output `{}` is also the input `{}`", output.display(), input.display())]
    OutputIsInput {
        /// The output.
        output: PathBuf,
        /// The input that is the same file.
        input: PathBuf,
    },
    /// A folder stands in the output's place.
    #[error("the output `{}` is a folder", path.display())]
    OutputIsFolder {
        /// The output.
        path: PathBuf,
    },
    /// A device, a pipe or a socket stands in the output's place. Renaming would replace it.
    #[error("the output `{}` exists and is not a regular file", path.display())]
    OutputIsSpecial {
        /// The output.
        path: PathBuf,
    },
    /// The output's folder is missing, full or read-only.
    #[error("cannot write `{}`", path.display())]
    Output {
        /// The output.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// An input cannot be read.
    #[error("cannot read `{}`", path.display())]
    Input {
        /// The input.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// An input became shorter while it was copied.
    #[error("`{}` was changed while it was read: it had {expected} bytes, then {found}", path.display())]
    InputChanged {
        /// The input.
        path: PathBuf,
        /// Its length at the start.
        expected: u64,
        /// Bytes that could be read.
        found: u64,
    },
    /// The format has no artifacts without bytes.
    #[error("{kind} is empty")]
    EmptyArtifact {
        /// Which artifact.
        kind: ArtifactKind,
    },
    /// Two artifacts of one kind.
    #[error("there is more than one {kind}")]
    SeveralArtifacts {
        /// Which artifact.
        kind: ArtifactKind,
    },
    /// A number that is no artifact's, or that of an artifact with a name.
    #[error("an artifact cannot have the number {number}")]
    ArtifactNumber {
        /// The field number.
        number: u32,
    },
    /// Names, sources or artifacts go beyond what a reader accepts.
    #[error("no reader would accept the manifest")]
    Manifest(#[source] Error),
    /// The file would have more bytes than an offset can count.
    #[error("the file would be larger than 2^64 bytes")]
    TooLarge,
    /// A model cannot be put into the base binary.
    #[error("no model can be put into the base binary `{}`", path.display())]
    MachO {
        /// The base binary.
        path: PathBuf,
        /// What stands in the way.
        #[source]
        source: MachOError,
    },
    /// The base binary is not the one that was signed.
    #[error("base binary `{}` is damaged: expected sha256 {expected}, found {found}", path.display())]
    BaseDigest {
        /// The base binary.
        path: PathBuf,
        /// What the signed index says.
        expected: Digest,
        /// What was copied.
        found: Digest,
    },
    /// An artifact that was copied from another encoderfile is not what that file says it is.
    #[error("`{}` is damaged", path.display())]
    Damaged {
        /// The other encoderfile.
        path: PathBuf,
        /// What is damaged.
        #[source]
        source: Box<Error>,
    },
    /// What was written cannot be read back.
    #[error("the written file cannot be read back")]
    ReadBack(#[source] Error),
    /// What is to be extracted cannot be read, or is damaged.
    #[error(transparent)]
    Extract(#[from] Error),
}

impl WriteError {
    /// What the system says of the output.
    pub(crate) fn output(output: &Path, source: io::Error) -> Self {
        Self::Output { path: output.to_owned(), source }
    }

    /// Why no model can be put into `base`, or why it could not be read.
    pub(crate) fn mach_o(base: &Path, error: MachOError) -> Self {
        let path = base.to_owned();
        match error {
            MachOError::Read { source, .. } => Self::Input { path, source },
            source => Self::MachO { path, source },
        }
    }

    /// What went wrong while `input` was copied to `output`.
    pub(crate) fn copy(error: CopyError, input: &Path, output: &Path) -> Self {
        let path = input.to_owned();
        match error {
            CopyError::Read(source) => Self::Input { path, source },
            CopyError::Write(source) => Self::output(output, source),
            CopyError::Shrunk { expected, found } => Self::InputChanged { path, expected, found },
        }
    }
}
