//! Putting a downloaded base binary into the cache, so that any crash leaves a state that the next call repairs.
//!
//! The steps, all under the exclusive lock of the entry, which the system drops with its holder:
//!
//! | | step | after a crash here |
//! |---|---|---|
//! | 1 | remove leftovers (`.tmp-*`, what was damaged) | what was there before, if anything |
//! | 2 | complete `partial/<sha256>`, check its hash | the next run continues it; wrong bytes were deleted |
//! | 3 | unpack into a temporary file in the entry, check size and hash, mode 0555, fsync | a leftover, removed by step 1 |
//! | 4 | store index and signature, under the index lock: signature, then index; note the version as seen | an unused signature or index |
//! | 5 | remove the old receipt, rename the temporary file to `encoderfile-runtime`, fsync the directory | a whole binary without a receipt: not installed |
//! | 6 | write the receipt beside its place, fsync, rename | the receipt is there or not; if it is, so is all it speaks of |
//! | 7 | delete the partial file | the next fetch deletes it |
//!
//! "Installed" means a receipt that agrees with the signed index. What is installed already stays so until its successor is
//! whole (step 5): a download that fails takes nothing away. Since the receipt is written last and removed first, and everything it speaks of was on the disk before its own rename, no crash can leave a receipt for an unfinished
//! installation. Readers hold the shared lock, so nothing is replaced under them. What a disk or a user does to the bytes
//! afterwards is found where they are used, since every use hashes them.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use jiff::Timestamp;

use crate::archive::{UnpackError, unpack};
use crate::cache::lock::{Lock, Mode};
use crate::cache::{Cache, EntryId, Receipt, ignore_missing, persist, replace, temporary_beside};
use crate::error::{Error, Result};
use crate::index::TargetEntry;
use crate::progress::Progress;
use crate::trust::SignedIndex;

/// Archives are read in pieces of this size.
const BUFFER: usize = 256 << 10;

/// Refuses to begin what the disk has no room for. A file system that does not say how much room it has is believed.
pub(crate) fn check_space(cache: &Cache, missing: u64, entry: &TargetEntry) -> Result<()> {
    let needed = missing.saturating_add(entry.binary.size);
    match fs4::statvfs(cache.root()) {
        Ok(stats) if stats.total_space() > 0 && stats.available_space() < needed => {
            Err(Error::NoSpace { path: cache.root().to_owned(), needed, available: stats.available_space() })
        }
        _ => Ok(()),
    }
}

/// Step 3: the unpacked binary as a finished temporary file beside its place.
pub(crate) fn unpack_binary(
    cache: &Cache,
    id: &EntryId,
    entry: &TargetEntry,
    archive: File,
) -> Result<tempfile::NamedTempFile> {
    let path = cache.binary(id);
    let mut file = temporary_beside(&path)?;
    let archive = BufReader::with_capacity(BUFFER, archive);
    match unpack(archive, &entry.binary, file.as_file_mut()) {
        Ok(()) => Ok(file),
        Err(UnpackError::Write(error)) => Err(Error::io("write", &path)(error)),
        Err(UnpackError::Archive(reason)) => {
            Err(Error::BadArchive { target: id.target, version: id.version.clone(), reason })
        }
    }
}

/// Step 4.
pub(crate) async fn store_index(
    cache: &Cache,
    signed: &SignedIndex,
    timeout: Option<std::time::Duration>,
    progress: &dyn Progress,
) -> Result<()> {
    let lock = cache.index_lock(signed.key_id, &signed.index.version);
    let _lock = Lock::acquire(&lock, Mode::Exclusive, timeout, progress).await?;
    cache.write_index(signed)?;
    cache.note_seen(signed.key_id, &signed.index.version)
}

/// Steps 5 and 6.
pub(crate) fn commit(
    cache: &Cache,
    id: &EntryId,
    entry: &TargetEntry,
    source: String,
    binary: tempfile::NamedTempFile,
) -> Result<()> {
    let receipt = Receipt {
        target: id.target,
        version: id.version.clone(),
        key_id: id.key_id,
        archive_sha256: entry.archive.sha256,
        binary: entry.binary.clone(),
        source,
        installed: Timestamp::now(),
    };
    let path = cache.receipt(id);
    ignore_missing(fs::remove_file(&path)).map_err(Error::io("remove", &path))?;
    persist(binary, 0o555, &cache.binary(id))?;
    write_receipt(&path, &receipt)
}

fn write_receipt(path: &Path, receipt: &Receipt) -> Result<()> {
    let json =
        serde_json::to_string_pretty(receipt).map_err(|error| Error::io("write", path)(error.into()))?;
    replace(path, format!("{json}\n").as_bytes())
}
