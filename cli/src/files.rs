//! Opens the files that commands are given.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use encoderfile_format::{BaseError, Encoderfile, MachOError, inspect_base, is_image_followed};

use crate::error::Error;

/// Opens a file that is to be read.
pub(crate) fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|source| Error::Open { path: path.to_owned(), source })
}

/// Opens an encoderfile whose manifest is what was written.
pub(crate) fn open_encoderfile(path: &Path) -> Result<Encoderfile, Error> {
    let file = open_readable_encoderfile(path)?;
    file.check_manifest().map_err(|source| Error::format(path, source))?;
    Ok(file)
}

/// Opens an encoderfile, damaged or not, as long as it can be read.
pub(crate) fn open_readable_encoderfile(path: &Path) -> Result<Encoderfile, Error> {
    open_any_encoderfile(path)?.map_err(|source| match source {
        encoderfile_format::Error::NoPayload => no_payload(path),
        source => Error::format(path, source),
    })
}

/// What a file is that has no footer.
fn no_payload(path: &Path) -> Error {
    let Ok(file) = open_regular(path) else {
        return Error::format(path, encoderfile_format::Error::NoPayload);
    };
    if is_image_followed(&file) {
        return Error::Damaged { path: path.to_owned(), parts: vec![NO_END.to_owned()] };
    }
    match inspect_base(&file) {
        Ok(_) => Error::NoModel { path: path.to_owned() },
        Err(BaseError::MachO(MachOError::NotThin64 { is_fat: true })) => {
            Error::format(path, encoderfile_format::Error::Universal)
        }
        Err(_) => Error::format(path, encoderfile_format::Error::NoPayload),
    }
}

/// What is wrong with an encoderfile without a footer.
pub(crate) const NO_END: &str = "its end is missing or damaged";

/// Opens what may be an encoderfile, and says why it is none.
pub(crate) fn open_any_encoderfile(
    path: &Path,
) -> Result<Result<Encoderfile, encoderfile_format::Error>, Error> {
    // Opening a pipe would wait for its writer.
    let metadata = fs::metadata(path).map_err(|source| Error::Open { path: path.to_owned(), source })?;
    if !metadata.is_file() {
        return Ok(Err(encoderfile_format::Error::NotAFile));
    }
    Ok(Encoderfile::open(open(path)?))
}

/// Opens a regular file: opening a pipe would wait for its writer, and a folder cannot be read.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    File::open(path)
}
