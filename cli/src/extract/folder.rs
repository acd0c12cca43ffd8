//! The folder that is written to, and nothing outside of it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use encoderfile_format::{Pending, create_beside};

use super::Output;
use crate::error::Error;

/// A folder to write to. Names come from the file: they are relative and never lead upwards, which its reader has checked;
/// links that lie in the folder could still lead out of it.
pub(super) struct Folder<'a> {
    path: &'a Path,
}

impl<'a> Folder<'a> {
    /// Creates the folder. Unless `force` is set, none of the outputs may be there.
    pub(super) fn create(path: &'a Path, force: bool, outputs: &[Output<'_>]) -> Result<Self, Error> {
        let places = outputs.iter().map(|output| path.join(&output.name));
        if let Some(existing) = places.filter(|_| !force).find(|place| fs::symlink_metadata(place).is_ok()) {
            return Err(Error::OutputExists { path: existing });
        }
        fs::create_dir_all(path).map_err(|source| Error::CreateFolder { path: path.to_owned(), source })?;
        Ok(Self { path })
    }

    /// Where the file of a name is to be written, its subfolders made.
    pub(super) fn place(&self, name: &str) -> Result<PathBuf, Error> {
        let mut place = self.path.to_owned();
        let (folders, file) = name.rsplit_once('/').map_or(("", name), |(folders, file)| (folders, file));
        for part in folders.split('/').filter(|part| !part.is_empty()) {
            place.push(part);
            let is_link = |metadata: fs::Metadata| metadata.file_type().is_symlink();
            if fs::symlink_metadata(&place).is_ok_and(is_link) {
                return Err(Error::OutputIsLink { path: place });
            }
            match fs::create_dir(&place) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::CreateFolder { path: place, source: error });
                }
                _ => {}
            }
        }
        place.push(file);
        Ok(place)
    }
}

/// Writes a file from its parts, which appears whole or not at all, and is not the one that is read.
pub(super) fn write(target: &Path, parts: &[&[u8]], input: &File) -> Result<u64, Error> {
    let failed = |source| Error::Output { path: target.to_owned(), source };
    if let (Ok(there), Ok(input)) = (fs::metadata(target), input.metadata())
        && (there.dev(), there.ino()) == (input.dev(), input.ino())
    {
        return Err(failed(io::Error::other("it is the file that is read")));
    }
    let mut file = create_beside(target).map_err(failed)?;
    for part in parts {
        file.write_all(part).map_err(failed)?;
    }
    Pending::new(file, target, 0o644).and_then(Pending::persist).map_err(failed)?;
    Ok(parts.iter().map(|part| part.len() as u64).sum())
}
