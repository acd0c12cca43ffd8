//! Whether a file is an executable for a target.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::Path;

use encoderfile_format::{BaseError, Stamp, inspect_base};
use encoderfile_registry::{Architecture, ObjectFormat, Target};
use object::{BinaryFormat, Object as _, ObjectKind};

use crate::error::Error;

/// Checks that `bytes` are a base binary for `target`, and returns its stamp. `path` is what messages call it.
pub(crate) fn base_binary_in(bytes: &[u8], path: &Path, target: Target) -> Result<Stamp, Error> {
    base_binary(&in_file(bytes, path)?, path, target)
}

/// A file without a name for what can only look into files.
pub(crate) fn in_file(bytes: &[u8], path: &Path) -> Result<File, Error> {
    let mut file = tempfile::tempfile().map_err(Error::io("unpack", path))?;
    file.write_all(bytes).and_then(|()| file.rewind()).map_err(Error::io("unpack", path))?;
    Ok(file)
}

fn base_binary(file: &File, path: &Path, target: Target) -> Result<Stamp, Error> {
    let facts = inspect_base(file).map_err(|source| match source {
        BaseError::MachO(source) => Error::MachO { path: path.to_owned(), source: Box::new(source) },
        source => Error::NotABaseBinary { path: path.to_owned(), source },
    })?;
    if facts.stamp.target != target.triple() {
        return Err(Error::WrongTarget {
            path: path.to_owned(),
            expected: target,
            found: facts.stamp.target,
        });
    }
    Ok(facts.stamp)
}

/// Checks that `bytes` are the command line for `target`: an executable, and not a base binary.
pub(crate) fn command_line(bytes: &[u8], path: &Path, target: Target) -> Result<(), Error> {
    if let Some(found) = other_platform(bytes, target) {
        return Err(Error::WrongPlatform { path: path.to_owned(), target, found });
    }
    if Stamp::find(bytes).is_some() {
        return Err(Error::RuntimeAsCli { path: path.to_owned() });
    }
    Ok(())
}

/// What `bytes` are if they are neither an executable nor a shared library for `target`.
pub(crate) fn other_platform(bytes: &[u8], target: Target) -> Option<String> {
    let object = match object::File::parse(bytes) {
        Ok(object) => object,
        Err(error) => return Some(error.to_string()),
    };
    let format = match target.object_format() {
        ObjectFormat::Elf => BinaryFormat::Elf,
        ObjectFormat::MachO => BinaryFormat::MachO,
    };
    let architecture = match target.architecture() {
        Architecture::Aarch64 => object::Architecture::Aarch64,
        Architecture::X86_64 => object::Architecture::X86_64,
    };
    // A position-independent executable is of the kind `Dynamic` in ELF.
    let loadable = matches!(object.kind(), ObjectKind::Executable | ObjectKind::Dynamic);
    if object.format() == format && object.architecture() == architecture && loadable {
        return None;
    }
    let (format, kind, architecture) = (object.format(), object.kind(), object.architecture());
    Some(format!("{format:?} {kind:?} for {architecture:?}"))
}
