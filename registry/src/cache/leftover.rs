//! What processes left in the cache that died or found something damaged.
//!
//! None of it is in anybody's way, and the next installation of the same base binary clears up after its predecessor. This
//! finds the rest. Whether a living process still uses it is what its lock says, which is tried and never waited for.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::OFlags;
use semver::Version;

use crate::cache::lock::{Lock, Mode, cannot_write, has_no_locks, is_free, try_lock};
use crate::cache::removal::{
    exists, explain_read_only, file_names, remove_empty_directories, remove_file, remove_unused_index,
};
use crate::cache::{Cache, EntryId, RECEIPT_NAME, TEMPORARY_PREFIX, is_missing, names};
use crate::download::partial::is_at;
use crate::error::{Error, Result};
use crate::resolve::Registry;
use crate::target::Target;
use crate::trust::KeyId;

/// Something in the cache that is neither installed nor needed by what is.
#[derive(Clone, Debug)]
pub struct Leftover {
    /// What it is.
    pub kind: LeftoverKind,
    /// The file, or the directory of half an entry.
    pub path: PathBuf,
    /// What removing it frees.
    pub bytes: u64,
    /// When it was written last.
    pub modified: Timestamp,
    /// Whether a living process used it when it was found, or that could not be told.
    pub in_use: bool,
    place: Place,
}

/// The kinds of [`Leftover`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LeftoverKind {
    /// A download that the next fetch would continue.
    InterruptedDownload,
    /// A file that was being written.
    TemporaryFile,
    /// A base binary with wrong bytes, kept to be looked at.
    Quarantined,
    /// An installation or a removal that was not finished.
    HalfEntry,
    /// A signed index without any base binary.
    UnusedIndex,
}

/// What became of a [`Leftover`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reclaimed {
    /// It is gone, by this call or before, or has become part of an installation; so many bytes were freed.
    Freed(u64),
    /// A living process uses it, or that cannot be told: it stays.
    InUse,
}

/// Where it lies, and so which lock is its.
#[derive(Clone, Debug)]
enum Place {
    Partial { name: String },
    FileOfEntry { id: EntryId, name: String },
    Entry { id: EntryId },
    FileOfRelease { key_id: KeyId, version: Version, name: String },
    Index { key_id: KeyId, version: Version },
}

impl Place {
    fn path(&self, cache: &Cache) -> PathBuf {
        match self {
            Self::Partial { name } => cache.partials().join(name),
            Self::FileOfEntry { id, name } => cache.entry(id).join(name),
            Self::Entry { id } => cache.entry(id),
            Self::FileOfRelease { key_id, version, name } => cache.release(*key_id, version).join(name),
            Self::Index { key_id, version } => cache.index(*key_id, version),
        }
    }

    /// None where the file is its own lock.
    fn lock(&self, cache: &Cache) -> Option<PathBuf> {
        match self {
            Self::Partial { .. } => None,
            Self::FileOfEntry { id, .. } | Self::Entry { id } => Some(cache.entry_lock(id)),
            Self::FileOfRelease { key_id, version, .. } | Self::Index { key_id, version } => {
                Some(cache.index_lock(*key_id, version))
            }
        }
    }
}

impl Registry {
    /// Finds what can be removed without removing any base binary. Changes and waits for nothing; what a living process
    /// uses is listed with [`in_use`](Leftover::in_use).
    pub fn leftovers(&self) -> Result<Vec<Leftover>> {
        let mut found = Vec::new();
        for name in file_names(&self.cache.partials())? {
            self.add(&mut found, LeftoverKind::InterruptedDownload, Place::Partial { name })?;
        }
        for key_id in names::<KeyId>(&self.cache.base())? {
            for version in names::<Version>(&self.cache.key(key_id))? {
                self.leftovers_of_release(&mut found, key_id, &version)?;
            }
        }
        Ok(found)
    }

    fn leftovers_of_release(
        &self,
        found: &mut Vec<Leftover>,
        key_id: KeyId,
        version: &Version,
    ) -> Result<()> {
        let release = self.cache.release(key_id, version);
        for target in names::<Target>(&release)? {
            self.leftovers_of_entry(found, &EntryId { key_id, version: version.clone(), target })?;
        }
        for name in file_names(&release)?.into_iter().filter(|name| name.starts_with(TEMPORARY_PREFIX)) {
            let place = Place::FileOfRelease { key_id, version: version.clone(), name };
            self.add(found, LeftoverKind::TemporaryFile, place)?;
        }
        // Last, so that who removes them in this order finds the directories empty.
        let index = [self.cache.index(key_id, version), self.cache.signature(key_id, version)];
        if index.iter().any(|path| exists(path)) && self.has_no_entries(key_id, version)? {
            self.add(found, LeftoverKind::UnusedIndex, Place::Index { key_id, version: version.clone() })?;
        }
        Ok(())
    }

    fn leftovers_of_entry(&self, found: &mut Vec<Leftover>, id: &EntryId) -> Result<()> {
        let all = file_names(&self.cache.entry(id))?;
        let quarantined = self.cache.quarantined(id);
        for name in &all {
            let kind = if name.starts_with(TEMPORARY_PREFIX) {
                LeftoverKind::TemporaryFile
            } else if quarantined.ends_with(name) {
                LeftoverKind::Quarantined
            } else {
                continue;
            };
            self.add(found, kind, Place::FileOfEntry { id: id.clone(), name: name.clone() })?;
        }
        let half = all.is_empty() || exists(&self.cache.binary(id)) || exists(&self.cache.receipt(id));
        if half && self.cache.read_receipt(id)?.is_none() {
            self.add(found, LeftoverKind::HalfEntry, Place::Entry { id: id.clone() })?;
        }
        Ok(())
    }

    /// A receipt that cannot be read is part of half an entry, unless its target is a later version's.
    fn has_no_entries(&self, key_id: KeyId, version: &Version) -> Result<bool> {
        let release = self.cache.release(key_id, version);
        for name in file_names(&release)? {
            let installed = match name.parse::<Target>() {
                Ok(target) => {
                    let id = EntryId { key_id, version: version.clone(), target };
                    self.cache.read_receipt(&id)?.is_some()
                }
                Err(_) => exists(&release.join(name).join(RECEIPT_NAME)),
            };
            if installed {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn add(&self, found: &mut Vec<Leftover>, kind: LeftoverKind, place: Place) -> Result<()> {
        let path = place.path(&self.cache);
        let files = match &place {
            Place::Entry { id } => vec![self.cache.binary(id), self.cache.receipt(id)],
            Place::Index { key_id, version } => vec![path.clone(), self.cache.signature(*key_id, version)],
            _ => vec![path.clone()],
        };
        let mut all = files.iter().filter_map(|file| fs::symlink_metadata(file).ok()).collect::<Vec<_>>();
        let bytes = all.iter().map(fs::Metadata::len).sum();
        if all.is_empty() {
            // An empty directory, or gone already.
            all.extend(fs::symlink_metadata(&path));
        }
        let modified = all.iter().filter_map(|metadata| metadata.modified().ok()).max();
        let Some(modified) = modified.and_then(|time| Timestamp::try_from(time).ok()) else {
            return Ok(());
        };
        // Only files are locked, and only files are downloads.
        if matches!(place, Place::Partial { .. }) && !all.iter().all(fs::Metadata::is_file) {
            return Ok(());
        }
        let in_use = self.is_in_use(&place, &path)?;
        found.push(Leftover { kind, path, bytes, modified, in_use, place });
        Ok(())
    }

    fn is_in_use(&self, place: &Place, path: &Path) -> Result<bool> {
        let Some(lock) = place.lock(&self.cache) else {
            return Ok(matches!(PartialLock::try_acquire(path)?, PartialLock::Held));
        };
        let held = !is_free(&lock, Mode::Exclusive)?;
        match place {
            Place::Index { key_id, version } => Ok(held || self.is_being_installed(*key_id, version)?),
            _ => Ok(held),
        }
    }

    fn is_being_installed(&self, key_id: KeyId, version: &Version) -> Result<bool> {
        for name in file_names(&self.cache.release(key_id, version))? {
            if !is_free(&self.cache.entry_lock_of(key_id, version, &name), Mode::Shared)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes a leftover, if it still is one and no living process uses it. Never waits. [`Error::ReadOnlyCache`] where
    /// this user may not write.
    pub async fn remove_leftover(&self, leftover: &Leftover) -> Result<Reclaimed> {
        let reclaimed = self.try_remove_leftover(&leftover.place).await;
        reclaimed.map_err(|error| explain_read_only(&self.cache, error))
    }

    async fn try_remove_leftover(&self, place: &Place) -> Result<Reclaimed> {
        let path = place.path(&self.cache);
        let Some(lock) = place.lock(&self.cache) else {
            return match PartialLock::try_acquire(&path)? {
                PartialLock::Held => Ok(Reclaimed::InUse),
                PartialLock::Missing => Ok(Reclaimed::Freed(0)),
                PartialLock::Ours(_) => remove_file(&path).map(Reclaimed::Freed),
            };
        };
        let lock = match Lock::acquire(&lock, Mode::Exclusive, Some(Duration::ZERO), &()).await {
            Err(Error::LockTimeout { .. }) => return Ok(Reclaimed::InUse),
            lock => lock?,
        };
        if !lock.is_real() {
            return Ok(Reclaimed::InUse);
        }
        let freed = match place {
            Place::Partial { .. } => 0,
            Place::FileOfRelease { .. } => remove_file(&path)?,
            Place::FileOfEntry { id, .. } => {
                let freed = remove_file(&path)?;
                remove_empty_directories(&self.cache, id)?;
                freed
            }
            // Somebody may have finished the installation since it was found.
            Place::Entry { id } if self.cache.read_receipt(id)?.is_some() => 0,
            Place::Entry { id } => {
                let freed = remove_file(&self.cache.receipt(id))? + remove_file(&self.cache.binary(id))?;
                remove_empty_directories(&self.cache, id)?;
                freed
            }
            Place::Index { key_id, version } => {
                if self.is_being_installed(*key_id, version)? {
                    return Ok(Reclaimed::InUse);
                }
                remove_unused_index(&self.cache, *key_id, version, &lock)?
            }
        };
        Ok(Reclaimed::Freed(freed))
    }
}

/// The lock of a partial download is the file itself: see [`Partial`](crate::download::partial::Partial).
enum PartialLock {
    Ours(File),
    /// Or it cannot be told.
    Held,
    Missing,
}

impl PartialLock {
    fn try_acquire(path: &Path) -> Result<Self> {
        // Neither through a link, nor waiting for the other end of a pipe.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let open = |write| OpenOptions::new().read(true).write(write).custom_flags(flags).open(path);
        let file = match open(true) {
            Err(error) if cannot_write(&error) => open(false),
            result => result,
        };
        let file = match file {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return Ok(Self::Missing),
            Err(error) if cannot_write(&error) => return Ok(Self::Held),
            Err(error) => return Err(Error::io("open", path)(error)),
        };
        match try_lock(&file, Mode::Exclusive) {
            Ok(()) if is_at(&file, path) => Ok(Self::Ours(file)),
            Ok(()) => Ok(Self::Missing),
            Err(TryLockError::WouldBlock) => Ok(Self::Held),
            Err(TryLockError::Error(error)) if has_no_locks(&error) => Ok(Self::Held),
            Err(TryLockError::Error(error)) => Err(Error::io("lock", path)(error)),
        }
    }
}

impl Drop for PartialLock {
    fn drop(&mut self) {
        if let Self::Ours(file) = self {
            // As in `Lock`.
            let _ = fs4::FileExt::unlock(file);
        }
    }
}
