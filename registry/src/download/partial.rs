//! A download that is not complete yet, kept so that the next run continues it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use crate::cache::ignore_missing;
use crate::cache::lock::{Mode, has_no_locks, try_lock};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::progress::Progress;

const BUFFER: usize = 256 << 10;
const PAUSE: Duration = Duration::from_millis(20);
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// The bytes that are here so far, and their hash.
#[derive(Debug)]
pub(crate) struct Partial {
    file: File,
    path: PathBuf,
    length: u64,
    hasher: Sha256,
}

impl Partial {
    /// Opens or creates the partial file, as its only writer: the same archive may be listed by two signers, whose entry
    /// locks differ. What it already holds, up to `size` bytes, is hashed.
    pub(crate) async fn open(
        path: &Path,
        size: u64,
        timeout: Option<Duration>,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let start = Instant::now();
        let mut told = false;
        let file = loop {
            let file = open(path)?;
            match try_lock(&file, Mode::Exclusive) {
                // Whoever held it before may have finished and deleted it.
                Ok(()) if is_at(&file, path) => break file,
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) if has_no_locks(&error) => {
                    // Without locks nobody else may know the file.
                    let own = path.with_extension(std::process::id().to_string());
                    let mut partial = Self { file: open(&own)?, path: own, length: 0, hasher: Sha256::new() };
                    partial.clear()?;
                    return Ok(partial);
                }
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
            }
            if timeout.is_some_and(|timeout| start.elapsed() >= timeout) {
                return Err(Error::LockTimeout {
                    path: path.to_owned(),
                    holder: None,
                    waited: start.elapsed(),
                });
            }
            // For a moment, nobody wants to know.
            if !told && start.elapsed() > WORTH_TELLING {
                progress.waiting(None);
                told = true;
            }
            tokio::time::sleep(PAUSE).await;
        };
        let mut partial = Self { file, path: path.to_owned(), length: 0, hasher: Sha256::new() };
        partial.take_stock(size)?;
        Ok(partial)
    }

    fn take_stock(&mut self, size: u64) -> Result<()> {
        let present = self.file.metadata().map_err(Error::io("read", &self.path))?.len();
        if present > size {
            return self.clear();
        }
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = self.file.read(&mut buffer).map_err(Error::io("read", &self.path))?;
            if count == 0 {
                return Ok(());
            }
            self.hasher.update(&buffer[..count]);
            self.length += count as u64;
        }
    }

    /// How many bytes are here.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The hash of the bytes that are here.
    pub(crate) fn digest(&self) -> Digest {
        Digest::from_hasher(self.hasher.clone())
    }

    /// Adds the next bytes.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io("write", &self.path))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Starts over.
    pub(crate) fn clear(&mut self) -> Result<()> {
        self.file.set_len(0).map_err(Error::io("truncate", &self.path))?;
        self.file.rewind().map_err(Error::io("write", &self.path))?;
        self.hasher = Sha256::new();
        self.length = 0;
        Ok(())
    }

    /// The bytes, from the first.
    pub(crate) fn reader(&self) -> Result<File> {
        let mut file = self.file.try_clone().map_err(Error::io("read", &self.path))?;
        file.seek(SeekFrom::Start(0)).map_err(Error::io("read", &self.path))?;
        Ok(file)
    }

    /// Deletes the file: its bytes were used, or were found to be wrong.
    pub(crate) fn remove(self) -> Result<()> {
        ignore_missing(std::fs::remove_file(&self.path)).map_err(Error::io("remove", &self.path))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // As in `Lock`.
        let _ = fs4::FileExt::unlock(&self.file);
    }
}

/// Never through a link: what is written here is written nowhere else.
fn open(path: &Path) -> Result<File> {
    let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(no_follow)
        .open(path);
    file.map_err(Error::io("open", path))
}

pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}
