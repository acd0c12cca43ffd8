//! Files that appear under their name whole or not at all.

use std::fs::Permissions;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::Error;

/// A file that is written beside its place and then renamed into it. Dropped before that, it leaves nothing behind.
pub(crate) struct OutputFile {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
}

impl OutputFile {
    /// Starts the file that is to be `path`, whose directory is made if it is missing.
    ///
    /// `mode` holds the Unix permission bits, from which the process's umask takes away.
    pub(crate) fn create(path: &Path, mode: u32) -> Result<Self, Error> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(directory).map_err(Error::io("create directory", directory))?;
        // A leading dot: what a killed run leaves is neither published nor taken for an archive.
        let file = tempfile::Builder::new()
            .prefix(".encoderfile-release-")
            .permissions(permissions(mode))
            .tempfile_in(directory)
            .map_err(Error::io("write in directory", directory))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// Gives the file its name, taking the place of what was there.
    pub(crate) fn commit(self) -> Result<(), Error> {
        let path = self.path.clone();
        let file = self.synced().map_err(Error::io("write", &path))?;
        file.persist(&path).map_err(|error| Error::io("write", &path)(error.error))?;
        Ok(())
    }

    /// Gives the file its name, which must be free.
    pub(crate) fn commit_new(self) -> Result<(), Error> {
        let path = self.path.clone();
        let file = self.synced().map_err(Error::io("write", &path))?;
        match file.persist_noclobber(&path) {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::KeyExists { path })
            }
            Err(error) => Err(Error::io("write", &path)(error.error)),
        }
    }

    fn synced(self) -> io::Result<NamedTempFile> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        Ok(file)
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes `bytes` as the file `path`.
pub(crate) fn write(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), Error> {
    let mut output = OutputFile::create(path, mode)?;
    output.write_all(bytes).map_err(Error::io("write", path))?;
    output.commit()
}

fn permissions(mode: u32) -> Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    Permissions::from_mode(mode)
}
