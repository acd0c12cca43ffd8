//! Files that appear whole or not at all.
//!
//! What is written stands under a temporary name in the output's folder, since a rename within one folder never crosses a
//! file system. While its writer lives, it holds a shared lock; the system drops that lock however the writer ends, so
//! the next writer of the same name can tell what a dead one left and removes it.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::{NamedTempFile, TempPath};

/// Nobody else names a file so, which matters since such files are removed.
const SUFFIX: &str = ".encoderfile-partial";
/// Random characters between name and suffix.
const RANDOM: usize = 6;

/// The folder that a path's last part lies in.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What the temporary names for an output begin with.
fn prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // A name may have 255 bytes: 50 characters, which are 200 bytes at most, leave room for what is added.
    let name: String = name.chars().take(50).collect();
    format!(".{name}.")
}

/// The temporary files of this process.
static TEMPORARY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes the temporary files that this process is writing: for a program that is about to be ended by a signal. What a
/// program leaves that has no time for it, the next writer of the same output removes.
pub fn remove_temporary_files() {
    let mut paths = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
    for path in paths.drain(..) {
        let _gone_already = fs::remove_file(path);
    }
}

/// Creates a file beside `path`, which is removed when dropped, and removes what dead writers of `path` left.
pub fn create_beside(path: &Path) -> io::Result<NamedTempFile> {
    // `tempfile` would put the temporary name into the message.
    fs::metadata(folder(path))?;
    let prefix = prefix(path);
    remove_abandoned(folder(path), &prefix);
    loop {
        let file = tempfile::Builder::new()
            .prefix(&prefix)
            .rand_bytes(RANDOM)
            .suffix(SUFFIX)
            .tempfile_in(folder(path))?;
        hold(file.as_file());
        // Between its creation and its lock, another writer may have taken it for abandoned.
        if file.as_file().metadata()?.nlink() > 0 {
            TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner).push(file.path().to_owned());
            return Ok(file);
        }
    }
}

/// Marks a temporary file as somebody's. On a file system without locks nothing is marked, and nothing is removed.
fn hold(file: &File) {
    let _unsupported = file.lock_shared();
}

/// Removes temporary files that nobody holds. What cannot be looked at is left alone.
fn remove_abandoned(folder: &Path, prefix: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let random = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(SUFFIX));
        let is_ours = random.is_some_and(|random| random.chars().count() == RANDOM);
        if !is_ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else { continue };
        if file.try_lock().is_ok() {
            let _gone_already = fs::remove_file(entry.path());
        }
    }
}

/// A complete file that waits for its name.
#[derive(Debug)]
pub struct Pending {
    temporary: TempPath,
    path: PathBuf,
    /// Open for reading only, so that the file can be executed while it is held.
    _held: File,
}

impl Pending {
    /// Sets the mode, brings the content to the disk and closes the file for writing.
    pub fn new(file: NamedTempFile, path: &Path, mode: u32) -> io::Result<Self> {
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        let held = File::open(file.path())?;
        hold(&held);
        Ok(Self { temporary: file.into_temp_path(), path: path.to_owned(), _held: held })
    }

    /// Where the file is until it has its name.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Renames, and brings the folder's new entry to the disk.
    pub fn persist(self) -> io::Result<PathBuf> {
        self.temporary.persist(&self.path)?;
        // A folder that may be written to, but not read, cannot be opened: the file has its name all the same.
        if let Ok(folder) = File::open(folder(&self.path)) {
            folder.sync_all()?;
        }
        Ok(self.path)
    }
}

/// Whether two paths name one existing file.
pub(crate) fn is_same_file(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_dead_writer_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("model");
        let abandoned = folder.path().join(".model.abcdef.encoderfile-partial");
        let foreign =
            [".other.abcdef.encoderfile-partial", ".model.notes.tmp", ".model.x.abcdef.encoderfile-partial"];
        let foreign = foreign.map(|name| folder.path().join(name));
        fs::write(&abandoned, "x").unwrap();
        for path in &foreign {
            fs::write(path, "x").unwrap();
        }
        let living = create_beside(&output).unwrap();
        assert!(!abandoned.exists());
        assert!(foreign.iter().all(|path| path.exists()));

        // Neither while it is written nor while it waits for its name.
        drop(create_beside(&output).unwrap());
        assert!(living.path().exists());
        let pending = Pending::new(living, &output, 0o644).unwrap();
        drop(create_beside(&output).unwrap());
        assert!(pending.temporary().exists());
        pending.persist().unwrap();
        assert!(output.exists());
    }
}
