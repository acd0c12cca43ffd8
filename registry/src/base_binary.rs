//! A base binary that may be used.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use semver::Version;
use sha2::{Digest as _, Sha256};

use crate::cache::lock::Lock;
use crate::cache::{Cache, EntryId};
use crate::digest::Digest;
use crate::error::{Error, Result, with_reasons};
use crate::index::TargetEntry;
use crate::target::Target;
use crate::trust::KeyId;

const BUFFER: usize = 256 << 10;

/// A base binary in the cache that a signed index vouches for. While this lives, nobody replaces or removes the file.
///
/// The bytes are for the user to check at every use: either hash them while copying, and call
/// [`quarantine`](Self::quarantine) where the hash is not [`sha256`](Self::sha256), or call [`verify`](Self::verify).
#[derive(Debug)]
pub struct BaseBinary {
    /// The file.
    pub path: PathBuf,
    /// The signed length.
    pub size: u64,
    /// The signed digest.
    pub sha256: Digest,
    /// The platform.
    pub target: Target,
    /// The release.
    pub version: Version,
    /// Who signed the index.
    pub key_id: KeyId,
    /// All that the index says of it.
    pub entry: TargetEntry,
    pub(crate) cache: Cache,
    /// Shared.
    pub(crate) _lock: Lock,
}

impl BaseBinary {
    /// Reads the whole file and compares it with the signed digest. On a mismatch the entry is quarantined.
    pub fn verify(self) -> Result<Self> {
        let found = self.hash()?;
        if found == self.sha256 { Ok(self) } else { Err(self.quarantine(found)) }
    }

    /// Takes the entry out of use, because its bytes hash to `found`, and gives the error to stop with.
    pub fn quarantine(self, found: Digest) -> Error {
        self.take_out_of_use(found)
    }

    /// As [`quarantine`](Self::quarantine), for who has it only lent.
    pub(crate) fn take_out_of_use(&self, found: Digest) -> Error {
        let id = self.id();
        // It may fail, as in a read-only cache. The next use finds the same mismatch.
        let quarantine = self.cache.quarantine(&id).map_err(|error| with_reasons(&error));
        let note = quarantine.err().map(|reason| format!("it stays in the cache: {reason}"));
        Error::Corrupt {
            id: Box::new(id),
            path: self.path.as_path().into(),
            expected: self.sha256,
            found,
            note,
        }
    }

    /// What names it in the cache.
    pub(crate) fn id(&self) -> EntryId {
        EntryId { key_id: self.key_id, version: self.version.clone(), target: self.target }
    }

    /// The digest of the file as it is.
    pub(crate) fn hash(&self) -> Result<Digest> {
        let file = File::open(&self.path).map_err(Error::io("read", &self.path))?;
        // One byte more is enough to differ.
        let mut file = file.take(self.size.saturating_add(1));
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; BUFFER];
        loop {
            match file.read(&mut buffer).map_err(Error::io("read", &self.path))? {
                0 => return Ok(Digest::from_hasher(hasher)),
                count => hasher.update(&buffer[..count]),
            }
        }
    }
}
