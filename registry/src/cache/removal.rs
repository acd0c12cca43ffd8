//! Taking base binaries out of the cache, beside other processes that install, read and remove.
//!
//! The steps of a removal. Its exclusive locks are those that an installation takes, in the same order, and never two at
//! once:
//!
//! | | step | under the lock of | after a crash here |
//! |---|---|---|---|
//! | 1 | remove the receipt | the entry | a whole binary without a receipt: not installed, a [half entry](crate::LeftoverKind) |
//! | 2 | remove the binary, what is quarantined, temporary files, the directory | the entry | less of the same |
//! | 3 | remove index, then signature, if nothing needs them | the index | an index, or a signature alone: an unused index |
//! | 4 | remove the directories of release and key, if they are empty | none | empty directories |
//!
//! What a crash leaves is in nobody's way: an installation overwrites it, and [`Registry::leftovers`] finds it. After a
//! power cut the receipt may be back without its binary, which counts as not installed too.
//!
//! **Readers** hold the shared lock of the entry, so step 1 waits for them. Who waits for that lock in turn looks again once
//! it has it, and finds nothing. A reader without a lock, of the index in step 3, finds index and signature or takes them
//! for absent, because both must be there.
//!
//! **Installers of the same entry** wait for its lock or are waited for. They make its directory only once they hold the
//! lock, so that a removal that they waited for has not taken it away again.
//!
//! **Installers of another target of the same release** need the index that step 3 removes. They hold the lock of their
//! own entry from before they make its directory until its receipt is written, and store the index in between, under the
//! index lock. Step 3 holds the index lock too, and keeps the index if any directory of the release has a receipt or a
//! lock that is held, looked for in the reverse order. So an installer that has stored the index already is seen by its
//! lock; one that has not will store it after step 3; and nobody can get from the one to the other meanwhile. The locks
//! of other entries are tried, never waited for, so no two removals can wait for each other. Where locks cannot be told,
//! the index stays.
//!
//! **Directories** are removed only where they are empty, which the file system decides. An installer that sees one go while
//! it makes another inside makes it again; once its own is there, none above it is empty.
//!
//! **Lock files** stay for ever: whoever waits on a deleted one waits for nobody.

use std::fs;
use std::io;
use std::path::Path;

use semver::Version;

use crate::cache::lock::{Lock, Mode, cannot_write, is_free};
use crate::cache::{Cache, EntryId, RECEIPT_NAME, TEMPORARY_PREFIX, ignore_missing, is_missing};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::resolve::Registry;
use crate::trust::KeyId;

impl Registry {
    /// Removes a base binary from the cache, with the index of its release if no other target needs it, and returns how
    /// many bytes that freed. Waits for whoever reads or installs it, as an installation does.
    ///
    /// What is not there is removed already: 0, and no error, so that two processes may remove the same. Half an entry is
    /// removed like a whole one. [`Error::ReadOnlyCache`] where this user may not write.
    pub async fn remove(&self, id: &EntryId, progress: &dyn Progress) -> Result<u64> {
        self.try_remove(id, progress).await.map_err(|error| explain_read_only(&self.cache, error))
    }

    async fn try_remove(&self, id: &EntryId, progress: &dyn Progress) -> Result<u64> {
        let timeout = self.config.lock_timeout;
        let mut freed = 0;
        // What is not there should not make lock files.
        if exists(&self.cache.entry(id)) {
            let lock = self.cache.entry_lock(id);
            let _lock = Lock::acquire(&lock, Mode::Exclusive, timeout, progress).await?;
            freed += remove_entry(&self.cache, id)?;
        }
        if exists(&self.cache.release(id.key_id, &id.version))
            && !is_release_used(&self.cache, id.key_id, &id.version)?
        {
            let lock = self.cache.index_lock(id.key_id, &id.version);
            let lock = Lock::acquire(&lock, Mode::Exclusive, timeout, progress).await?;
            freed += remove_unused_index(&self.cache, id.key_id, &id.version, &lock)?;
        }
        Ok(freed)
    }
}

/// Steps 1 and 2. The caller holds the exclusive lock.
fn remove_entry(cache: &Cache, id: &EntryId) -> Result<u64> {
    let mut freed = remove_file(&cache.receipt(id))?;
    freed += remove_file(&cache.binary(id))?;
    freed += remove_file(&cache.quarantined(id))?;
    let directory = cache.entry(id);
    for name in file_names(&directory)? {
        if name.starts_with(TEMPORARY_PREFIX) {
            freed += remove_file(&directory.join(name))?;
        }
    }
    remove_empty_directories(cache, id)?;
    Ok(freed)
}

/// Steps 3 and 4. `lock` is the exclusive index lock.
pub(crate) fn remove_unused_index(
    cache: &Cache,
    key_id: KeyId,
    version: &Version,
    lock: &Lock,
) -> Result<u64> {
    // Looked at under the lock, whatever was seen before.
    if !lock.is_real() || is_release_used(cache, key_id, version)? {
        return Ok(0);
    }
    let mut freed = remove_file(&cache.index(key_id, version))?;
    freed += remove_file(&cache.signature(key_id, version))?;
    let directory = cache.release(key_id, version);
    for name in file_names(&directory)? {
        if name.starts_with(TEMPORARY_PREFIX) {
            freed += remove_file(&directory.join(name))?;
        }
    }
    remove_if_empty(&directory)?;
    remove_if_empty(&cache.key(key_id))?;
    Ok(freed)
}

/// The entry's directory, and those above it. The caller holds the exclusive lock of the entry.
pub(crate) fn remove_empty_directories(cache: &Cache, id: &EntryId) -> Result<()> {
    remove_if_empty(&cache.entry(id))?;
    remove_if_empty(&cache.release(id.key_id, &id.version))?;
    remove_if_empty(&cache.key(id.key_id))
}

/// Whether anything that is installed from a release, or being installed, needs its index. Targets that only a later
/// version of this program knows count as well.
pub(crate) fn is_release_used(cache: &Cache, key_id: KeyId, version: &Version) -> Result<bool> {
    let release = cache.release(key_id, version);
    for name in file_names(&release)? {
        let entry = release.join(&name);
        // The lock first: an installer that has let go of it before has written its receipt before.
        let used = entry.is_dir()
            && (!is_free(&cache.entry_lock_of(key_id, version, &name), Mode::Shared)?
                || exists(&entry.join(RECEIPT_NAME)));
        if used {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns its length. What is not there has none.
pub(crate) fn remove_file(path: &Path) -> Result<u64> {
    let length = fs::symlink_metadata(path).map_or(0, |metadata| metadata.len());
    match fs::remove_file(path) {
        Ok(()) => Ok(length),
        Err(error) if is_missing(&error) => Ok(0),
        Err(error) => Err(Error::io("remove", path)(error)),
    }
}

fn remove_if_empty(path: &Path) -> Result<()> {
    match ignore_missing(fs::remove_dir(path)) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        result => result.map_err(Error::io("remove directory", path)),
    }
}

/// The names in a directory, ordered. No directory has no names, and neither has what is none; a name that is not text is
/// not ours.
pub(crate) fn file_names(directory: &Path) -> Result<Vec<String>> {
    let items = match fs::read_dir(directory) {
        Ok(items) => items,
        Err(error) if is_missing(&error) || error.kind() == io::ErrorKind::NotADirectory => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(Error::io("read directory", directory)(error)),
    };
    let mut names = Vec::new();
    for item in items {
        let item = item.map_err(Error::io("read directory", directory))?;
        names.extend(item.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

pub(crate) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Says of the whole cache what the file system says of one path in it.
pub(crate) fn explain_read_only(cache: &Cache, error: Error) -> Error {
    match error {
        Error::Io { source, .. } if cannot_write(&source) => {
            Error::ReadOnlyCache { path: cache.root().to_owned(), source }
        }
        error => error,
    }
}
