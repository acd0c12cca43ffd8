//! What a base binary is, found out without running it.

use std::fmt;
use std::fs::File;
use std::io;

use object::{BinaryFormat, Object as _};

use crate::image::is_image_followed;
use crate::macho::{BaseImage, Image, is_mach_o};
use crate::{Encoderfile, Error, FORMAT_VERSION, MachOError, Stamp};

/// The container of an executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// Linux.
    Elf,
    /// macOS.
    MachO,
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Elf => "ELF",
            Self::MachO => "Mach-O",
        })
    }
}

/// The processor that an executable is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        })
    }
}

/// What was found out about a base binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseFacts {
    /// Its container.
    pub container: Container,
    /// Its processor.
    pub architecture: Architecture,
    /// What it says of itself.
    pub stamp: Stamp,
}

/// Why a file cannot serve as a base binary.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaseError {
    /// The system could not read it.
    #[error("cannot read it")]
    Read(#[from] io::Error),
    /// It is no executable of a supported kind.
    #[error("not an ELF or Mach-O executable for x86_64 or aarch64")]
    NotExecutable,
    /// It is a Mach-O file, but not one that a model can be put into.
    #[error(transparent)]
    MachO(MachOError),
    /// Nothing in it says that it is a runtime.
    #[error("not an encoderfile runtime: it carries no stamp")]
    NoStamp,
    /// The stamp and the executable disagree.
    #[error("it is stamped `{target}`, but it is a {container} executable for {architecture}")]
    StampMismatch {
        /// The stamp's target.
        target: String,
        /// The executable's container.
        container: Container,
        /// The executable's processor.
        architecture: Architecture,
    },
    /// It reads only other versions of the format.
    #[error("it reads format versions {found:?}, and this program writes version {FORMAT_VERSION}")]
    FormatVersion {
        /// The versions of its stamp.
        found: Vec<u32>,
    },
    /// It was an encoderfile once: data lies behind the executable, but no footer ends it.
    #[error("it is an encoderfile whose end is missing or damaged")]
    CutOff,
    /// It is already an encoderfile.
    #[error("it already holds a model")]
    HasPayload,
}

impl From<MachOError> for BaseError {
    fn from(error: MachOError) -> Self {
        match error {
            MachOError::Read { source, .. } => Self::Read(source),
            error => Self::MachO(error),
        }
    }
}

/// Checks that a file can serve as a base binary: an executable with the stamp of an encoderfile runtime for the same
/// container and processor, which reads this crate's format and holds no model yet; in Mach-O, one that a model can be put into.
///
/// # Errors
/// See [`BaseError`].
pub fn inspect_base(file: &File) -> Result<BaseFacts, BaseError> {
    if !file.metadata()?.is_file() {
        return Err(BaseError::NotExecutable);
    }
    match Encoderfile::open(file.try_clone()?) {
        Err(Error::NoPayload) => {}
        Err(Error::Read { source, .. }) => return Err(BaseError::Read(source)),
        Err(Error::MachO(source)) => return Err(source.into()),
        // A payload that cannot be read is one too.
        Ok(_) | Err(_) => return Err(BaseError::HasPayload),
    }
    #[expect(unsafe_code, reason = "a map lets megabytes be searched without copying them")]
    // SAFETY: the map is read-only and dropped before this function returns. Were the file truncated meanwhile, the
    // process would be stopped by a signal, as with any mapped file; nothing is written either way.
    let bytes = unsafe { memmap2::Mmap::map(file)? };
    let (container, architecture) = match bytes.first_chunk() {
        Some(start) if is_mach_o(*start) => (Container::MachO, Image::read(file)?.architecture),
        _ => (Container::Elf, elf_architecture(&bytes).ok_or(BaseError::NotExecutable)?),
    };
    let stamp = Stamp::find(&bytes).ok_or(BaseError::NoStamp)?;
    // Any libc's: a runtime for musl is as good, for those who build one.
    let system = match container {
        Container::Elf => "linux",
        Container::MachO => "darwin",
    };
    let mut parts = stamp.target.split('-');
    if parts.next() != Some(&architecture.to_string()) || !parts.any(|part| part == system) {
        return Err(BaseError::StampMismatch { target: stamp.target, container, architecture });
    }
    if !stamp.format_versions.contains(&FORMAT_VERSION) {
        return Err(BaseError::FormatVersion { found: stamp.format_versions });
    }
    if container == Container::MachO {
        if is_image_followed(file) {
            return Err(BaseError::CutOff);
        }
        BaseImage::read(file)?;
    }
    Ok(BaseFacts { container, architecture, stamp })
}

fn elf_architecture(bytes: &[u8]) -> Option<Architecture> {
    let object = object::File::parse(bytes).ok()?;
    if object.format() != BinaryFormat::Elf {
        return None;
    }
    let architecture = match object.architecture() {
        object::Architecture::X86_64 => Architecture::X86_64,
        object::Architecture::Aarch64 => Architecture::Aarch64,
        _ => return None,
    };
    // A position-independent executable is of the kind `Dynamic` in ELF.
    matches!(object.kind(), object::ObjectKind::Executable | object::ObjectKind::Dynamic)
        .then_some(architecture)
}
