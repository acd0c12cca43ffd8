//! Opens the files that commands are given.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use encoderfile_format::Encoderfile;

use crate::error::Error;

/// Opens a file that is to be read.
pub(crate) fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|source| Error::Open { path: path.to_owned(), source })
}

/// Opens an encoderfile.
pub(crate) fn open_encoderfile(path: &Path) -> Result<Encoderfile, Error> {
    open_any_encoderfile(path)?.map_err(|source| Error::format(path, source))
}

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
