//! How much room the cache takes.

use std::fs;
use std::path::Path;

use crate::cache::is_missing;
use crate::error::{Error, Result};
use crate::resolve::Registry;

/// A number of files and their length together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many.
    pub count: u64,
    /// Their length together.
    pub bytes: u64,
}

/// What the cache holds. Every file is in exactly one share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Installed base binaries.
    pub base_binaries: Share,
    /// Interrupted downloads, to be continued.
    pub interrupted_downloads: Share,
    /// Indexes, receipts, lock files, leftovers.
    pub other: Share,
}

impl Usage {
    /// All bytes.
    pub const fn bytes(&self) -> u64 {
        self.base_binaries.bytes + self.interrupted_downloads.bytes + self.other.bytes
    }
}

impl Registry {
    /// Measures the cache. Nothing is locked: what comes and goes meanwhile is counted or not.
    pub fn usage(&self) -> Result<Usage> {
        let all = measure(&self.cache.base())?;
        let mut base_binaries = Share::default();
        for (id, _) in self.cache.list()? {
            let binary = measure(&self.cache.binary(&id))?;
            base_binaries = Share {
                count: base_binaries.count + binary.count,
                bytes: base_binaries.bytes + binary.bytes,
            };
        }
        let interrupted_downloads = measure(&self.cache.partials())?;
        let rest = |all: u64, first: u64, second: u64| all.saturating_sub(first).saturating_sub(second);
        let other = Share {
            count: rest(all.count, base_binaries.count, interrupted_downloads.count),
            bytes: rest(all.bytes, base_binaries.bytes, interrupted_downloads.bytes),
        };
        Ok(Usage { base_binaries, interrupted_downloads, other })
    }
}

/// The files at or under a path. Links are counted, never followed.
fn measure(path: &Path) -> Result<Share> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if is_missing(&error) => return Ok(Share::default()),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    if !metadata.is_dir() {
        return Ok(Share { count: 1, bytes: metadata.len() });
    }
    let items = match fs::read_dir(path) {
        Ok(items) => items,
        Err(error) if is_missing(&error) => return Ok(Share::default()),
        Err(error) => return Err(Error::io("read directory", path)(error)),
    };
    let mut share = Share::default();
    for item in items {
        let item = measure(&item.map_err(Error::io("read directory", path))?.path())?;
        share = Share { count: share.count + item.count, bytes: share.bytes + item.bytes };
    }
    Ok(share)
}
