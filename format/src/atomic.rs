//! Files that appear whole or not at all.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

/// The folder that a path's last part lies in.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Creates a file beside `path`: a rename within one folder never crosses a file system. It is removed when dropped.
pub(crate) fn create_beside(path: &Path) -> io::Result<NamedTempFile> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // A name may have 255 bytes: 60 characters leave room for what is added, whatever they are.
    let name: String = name.chars().take(60).collect();
    tempfile::Builder::new().prefix(&format!(".{name}.")).suffix(".tmp").tempfile_in(folder(path))
}

/// A complete file that waits for its name.
#[derive(Debug)]
pub(crate) struct Pending {
    temporary: TempPath,
    path: PathBuf,
}

impl Pending {
    /// Sets the mode, brings the content to the disk and closes the file, so that it can be executed.
    pub(crate) fn new(file: NamedTempFile, path: &Path, mode: u32) -> io::Result<Self> {
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        Ok(Self { temporary: file.into_temp_path(), path: path.to_owned() })
    }

    pub(crate) fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Renames, and brings the folder's new entry to the disk.
    pub(crate) fn persist(self) -> io::Result<PathBuf> {
        self.temporary.persist(&self.path)?;
        File::open(folder(&self.path))?.sync_all()?;
        Ok(self.path)
    }
}

/// Whether two paths name one existing file.
pub(crate) fn is_same_file(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}
