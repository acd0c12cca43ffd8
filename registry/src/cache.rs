//! Where base binaries lie once they are here.
//!
//! ```text
//! <cache>/CACHEDIR.TAG
//! <cache>/base/v1/<key id>/<version>/base-index.json, base-index.json.minisig
//! <cache>/base/v1/<key id>/<version>/<target>/encoderfile-runtime (0555), receipt.json
//! <cache>/base/v1/partial/<sha256>
//! <cache>/base/v1/seen/<key id>/<version>
//! <cache>/base/v1/locks/<key id>-<version>[-<target>].lock
//! ```
//!
//! Every path is made by one function of [`Cache`], here and nowhere else.

pub(crate) mod install;
pub(crate) mod leftover;
pub(crate) mod lock;
pub(crate) mod prune;
pub(crate) mod removal;
pub(crate) mod usage;

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::index::{BinaryFile, INDEX_NAME, MAX_INDEX_SIZE, RUNTIME_MEMBER, SIGNATURE_SUFFIX, TargetEntry};
use crate::target::Target;
use crate::trust::{KeyId, SignedIndex};

/// Temporary files in an entry begin with this.
pub(crate) const TEMPORARY_PREFIX: &str = ".tmp-";
/// What says, in an entry, that it was installed.
pub(crate) const RECEIPT_NAME: &str = "receipt.json";
/// What a corrupt base binary is renamed to, so that it can be looked at but not used.
const QUARANTINE_SUFFIX: &str = ".corrupt";
/// <https://bford.info/cachedir/>
const CACHEDIR_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # Base binaries of encoderfile. They can be fetched again: backups may leave this directory out.\n";
/// How often a directory is created that somebody else keeps removing.
const MAX_ATTEMPTS: usize = 100;
/// A receipt is a few hundred bytes.
const MAX_RECEIPT_SIZE: u64 = 64 << 10;

/// The directory that holds base binaries.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    root: PathBuf,
}

/// Names one base binary in the cache. Keyed by who signed it, so that two mirrors of one project share it and two
/// projects never collide.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId {
    /// Who signed the index that lists it.
    pub key_id: KeyId,
    /// The release.
    pub version: Version,
    /// The platform.
    pub target: Target,
}

/// Says that an installation was finished, and of what. Written last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    /// The platform.
    pub(crate) target: Target,
    /// The release.
    pub(crate) version: Version,
    /// Who signed the index.
    pub(crate) key_id: KeyId,
    /// SHA-256 of the archive that it was unpacked from.
    pub(crate) archive_sha256: Digest,
    /// What was installed.
    pub(crate) binary: BinaryFile,
    /// Where the archive came from, without passwords.
    pub(crate) source: String,
    /// When.
    pub(crate) installed: Timestamp,
}

impl Cache {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// All that this version of the layout holds.
    pub(crate) fn base(&self) -> PathBuf {
        self.root.join("base").join("v1")
    }

    pub(crate) fn key(&self, key_id: KeyId) -> PathBuf {
        self.base().join(key_id.to_string())
    }

    pub(crate) fn release(&self, key_id: KeyId, version: &Version) -> PathBuf {
        self.key(key_id).join(version.to_string())
    }

    pub(crate) fn index(&self, key_id: KeyId, version: &Version) -> PathBuf {
        self.release(key_id, version).join(INDEX_NAME)
    }

    pub(crate) fn signature(&self, key_id: KeyId, version: &Version) -> PathBuf {
        self.release(key_id, version).join(format!("{INDEX_NAME}{SIGNATURE_SUFFIX}"))
    }

    pub(crate) fn entry(&self, id: &EntryId) -> PathBuf {
        self.release(id.key_id, &id.version).join(id.target.triple())
    }

    pub(crate) fn binary(&self, id: &EntryId) -> PathBuf {
        self.entry(id).join(RUNTIME_MEMBER)
    }

    pub(crate) fn receipt(&self, id: &EntryId) -> PathBuf {
        self.entry(id).join(RECEIPT_NAME)
    }

    pub(crate) fn quarantined(&self, id: &EntryId) -> PathBuf {
        self.entry(id).join(format!("{RUNTIME_MEMBER}{QUARANTINE_SUFFIX}"))
    }

    fn seen_directory(&self, key_id: KeyId) -> PathBuf {
        self.base().join("seen").join(key_id.to_string())
    }

    pub(crate) fn partials(&self) -> PathBuf {
        self.base().join("partial")
    }

    pub(crate) fn partial(&self, sha256: Digest) -> PathBuf {
        self.partials().join(sha256.to_string())
    }

    fn locks(&self) -> PathBuf {
        self.base().join("locks")
    }

    pub(crate) fn entry_lock(&self, id: &EntryId) -> PathBuf {
        self.entry_lock_of(id.key_id, &id.version, id.target.triple())
    }

    /// Of an entry that may be of a later version's target.
    pub(crate) fn entry_lock_of(&self, key_id: KeyId, version: &Version, target: &str) -> PathBuf {
        self.locks().join(format!("{key_id}-{version}-{target}.lock"))
    }

    pub(crate) fn index_lock(&self, key_id: KeyId, version: &Version) -> PathBuf {
        self.locks().join(format!("{key_id}-{version}.lock"))
    }

    /// Makes the directories that an installation needs.
    pub(crate) fn create(&self, id: &EntryId) -> Result<()> {
        create_directory(&self.root)?;
        // Nobody waits for the tag and everybody writes the same bytes: an empty one, left by a crash, is written again.
        let tag = self.root.join("CACHEDIR.TAG");
        if !fs::metadata(&tag).is_ok_and(|metadata| metadata.len() > 0) {
            fs::write(&tag, CACHEDIR_TAG).map_err(Error::io("write", &tag))?;
        }
        create_directory(&self.locks())?;
        create_directory(&self.partials())?;
        create_directory(&self.entry(id))
    }

    /// The stored index and its signature, where both are there. Not verified.
    pub(crate) fn read_index(&self, key_id: KeyId, version: &Version) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let Some(index) = read_bounded(&self.index(key_id, version), MAX_INDEX_SIZE)? else {
            return Ok(None);
        };
        let signature = read_bounded(&self.signature(key_id, version), MAX_INDEX_SIZE)?;
        Ok(signature.map(|signature| (index, signature)))
    }

    /// Stores a verified index. The caller holds the index lock.
    ///
    /// The signature comes first: an index without one would be taken for damage, a signature without an index is only a
    /// beginning.
    pub(crate) fn write_index(&self, signed: &SignedIndex) -> Result<()> {
        let version = &signed.index.version;
        if let Some((index, signature)) = self.read_index(signed.key_id, version)?
            && index == signed.bytes
            && signature == signed.signature.as_bytes()
        {
            return Ok(());
        }
        remove_temporary_files(&self.release(signed.key_id, version))?;
        replace(&self.signature(signed.key_id, version), signed.signature.as_bytes())?;
        replace(&self.index(signed.key_id, version), &signed.bytes)
    }

    /// Remembers that a release of this signer was here, for as long as the cache itself lasts. An empty file for each
    /// needs no lock: they are only ever made.
    pub(crate) fn note_seen(&self, key_id: KeyId, version: &Version) -> Result<()> {
        let directory = self.seen_directory(key_id);
        create_directory(&directory)?;
        let path = directory.join(version.to_string());
        File::options().append(true).create(true).open(&path).map(drop).map_err(Error::io("create", &path))
    }

    /// The releases of this signer that were ever here.
    pub(crate) fn seen(&self, key_id: KeyId) -> Result<Vec<Version>> {
        names(&self.seen_directory(key_id))
    }

    /// The receipt of an installed base binary. Without a readable receipt there is no installation.
    pub(crate) fn read_receipt(&self, id: &EntryId) -> Result<Option<Receipt>> {
        let bytes = read_bounded(&self.receipt(id), MAX_RECEIPT_SIZE)?;
        let receipt = bytes.and_then(|bytes| serde_json::from_slice::<Receipt>(&bytes).ok());
        Ok(receipt.filter(|receipt| {
            (receipt.key_id, &receipt.version, receipt.target) == (id.key_id, &id.version, id.target)
        }))
    }

    /// Whether what the index promises was installed. Its bytes are for the user of the file to check, at every use.
    pub(crate) fn is_installed(&self, id: &EntryId, entry: &TargetEntry) -> Result<bool> {
        let Some(receipt) = self.read_receipt(id)? else {
            return Ok(false);
        };
        let binary = fs::symlink_metadata(self.binary(id)).is_ok_and(|metadata| metadata.is_file());
        Ok(binary && receipt.binary == entry.binary)
    }

    /// Whose signature brought this base binary here, trusted or not.
    pub(crate) fn signers(&self, version: &Version, target: Target) -> Result<Vec<KeyId>> {
        let mut signers = names::<KeyId>(&self.base())?;
        signers.retain(|key_id| {
            self.receipt(&EntryId { key_id: *key_id, version: version.clone(), target }).exists()
        });
        Ok(signers)
    }

    /// The releases that something is stored of, ordered.
    pub(crate) fn releases(&self) -> Result<Vec<(KeyId, Version)>> {
        let mut releases = Vec::new();
        for key_id in names::<KeyId>(&self.base())? {
            let versions = names::<Version>(&self.base().join(key_id.to_string()))?;
            releases.extend(versions.into_iter().map(|version| (key_id, version)));
        }
        releases.sort_unstable();
        Ok(releases)
    }

    /// All installed base binaries, ordered. Directories and files that are none are left out.
    pub(crate) fn list(&self) -> Result<Vec<(EntryId, Receipt)>> {
        let mut found = Vec::new();
        for (key_id, version) in self.releases()? {
            for target in names::<Target>(&self.release(key_id, &version))? {
                let id = EntryId { key_id, version: version.clone(), target };
                if let Some(receipt) = self.read_receipt(&id)? {
                    found.push((id, receipt));
                }
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    /// The base binaries that were taken out of use and not installed again, ordered.
    pub(crate) fn list_quarantined(&self) -> Result<Vec<EntryId>> {
        let mut found = Vec::new();
        for (key_id, version) in self.releases()? {
            for target in names::<Target>(&self.release(key_id, &version))? {
                let id = EntryId { key_id, version: version.clone(), target };
                if self.quarantined(&id).exists() && self.read_receipt(&id)?.is_none() {
                    found.push(id);
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Takes a corrupt base binary out of use. A shared lock is enough: each step may happen twice.
    pub(crate) fn quarantine(&self, id: &EntryId) -> Result<()> {
        let receipt = self.receipt(id);
        ignore_missing(fs::remove_file(&receipt)).map_err(Error::io("remove", &receipt))?;
        let binary = self.binary(id);
        ignore_missing(fs::rename(&binary, self.quarantined(id))).map_err(Error::io("rename", &binary))
    }

    /// Removes what a dead process left in an entry. The caller holds the exclusive lock, so nobody alive writes here.
    pub(crate) fn reclaim(&self, id: &EntryId) -> Result<()> {
        remove_temporary_files(&self.entry(id))?;
        let quarantined = self.quarantined(id);
        ignore_missing(fs::remove_file(&quarantined)).map_err(Error::io("remove", &quarantined))
    }
}

/// What a dead process left. Only for a holder of the lock under which files are written here.
fn remove_temporary_files(directory: &Path) -> Result<()> {
    for item in fs::read_dir(directory).map_err(Error::io("read directory", directory))? {
        let item = item.map_err(Error::io("read directory", directory))?;
        if item.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            ignore_missing(fs::remove_file(item.path())).map_err(Error::io("remove", &item.path()))?;
        }
    }
    Ok(())
}

/// A temporary file beside `path`, so that a rename never crosses file systems.
pub(crate) fn temporary_beside(path: &Path) -> Result<tempfile::NamedTempFile> {
    let directory = path.parent().unwrap_or(Path::new("."));
    tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .tempfile_in(directory)
        .map_err(Error::io("create a file in", directory))
}

/// Gives a finished temporary file its mode and its name. All of it is on the disk before the name is. A shared cache is
/// read by others, whom the mode that temporary files are created with would shut out.
pub(crate) fn persist(file: tempfile::NamedTempFile, mode: u32, path: &Path) -> Result<()> {
    let permissions = fs::Permissions::from_mode(mode);
    file.as_file().set_permissions(permissions).map_err(Error::io("set the mode of", file.path()))?;
    file.as_file().sync_all().map_err(Error::io("write", file.path()))?;
    file.persist(path).map_err(|error| Error::io("create", path)(error.error))?;
    let directory = path.parent().unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(Error::io("write", directory))
}

/// Writes a small file so that a crash leaves the old one or the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = temporary_beside(path)?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    persist(file, 0o644, path)
}

fn create_directory(path: &Path) -> Result<()> {
    again_while_parents_go(|| fs::create_dir_all(path)).map_err(Error::io("create directory", path))
}

/// Whoever removes something removes the directories that this leaves empty, also while another makes one inside.
fn again_while_parents_go(mut create: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let mut attempts = 1;
    loop {
        match create() {
            Err(error) if attempts < MAX_ATTEMPTS && may_have_gone(&error) => attempts += 1,
            result => return result,
        }
    }
}

/// A parent was there, or not, and was not any more when it was needed or looked at.
fn may_have_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists)
}

/// The file, where it exists. One that is too long is no file of ours and counts as damaged: it is cut, and fails later.
fn read_bounded(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    Ok(Some(bytes))
}

/// The names in a directory that are of one kind. No directory has no names.
pub(crate) fn names<T: std::str::FromStr>(directory: &Path) -> Result<Vec<T>> {
    let items = match fs::read_dir(directory) {
        Ok(items) => items,
        Err(error) if is_missing(&error) => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read directory", directory)(error)),
    };
    let mut names = Vec::new();
    for item in items {
        let item = item.map_err(Error::io("read directory", directory))?;
        names.extend(item.file_name().to_str().and_then(|name| name.parse().ok()));
    }
    Ok(names)
}

pub(crate) fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

pub(crate) fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is_missing(&error) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_made_although_its_parents_keep_going() {
        let mut failures = [io::ErrorKind::NotFound, io::ErrorKind::AlreadyExists].repeat(20);
        again_while_parents_go(|| failures.pop().map_or(Ok(()), |kind| Err(kind.into()))).unwrap();
        assert_eq!(failures, []);
        // Not for ever, and not for any other reason.
        again_while_parents_go(|| Err(io::ErrorKind::NotFound.into())).unwrap_err();
        let mut calls = 0;
        let refuse = || {
            calls += 1;
            Err(io::ErrorKind::PermissionDenied.into())
        };
        again_while_parents_go(refuse).unwrap_err();
        assert_eq!(calls, 1);
    }

    #[test]
    fn a_file_in_the_place_of_a_directory_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        for path in [root.path().join("file"), root.path().join("file/inside")] {
            assert!(matches!(create_directory(&path), Err(Error::Io { .. })));
        }
    }
}
