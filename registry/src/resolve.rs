//! From a target and a version to a base binary that may be used.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use semver::Version;
use tokio::sync::Mutex;

use crate::base_binary::BaseBinary;
use crate::cache::lock::{Lock, Mode};
use crate::cache::{Cache, EntryId};
use crate::config::RegistryConfig;
use crate::digest::Digest;
use crate::download::Downloader;
use crate::error::{Error, Result, with_reasons};
use crate::index::BinaryFile;
use crate::progress::Progress;
use crate::source::release::Release;
use crate::target::Target;
use crate::trust::{KeyId, SignedIndex, Standing, TrustError, TrustedKeys};

/// Base binaries: those in the cache, and those that a source has.
#[derive(Debug)]
pub struct Registry {
    pub(crate) config: RegistryConfig,
    pub(crate) cache: Cache,
    pub(crate) downloader: Downloader,
    /// Whose signatures count in the cache: those of any source.
    pub(crate) trusted_keys: TrustedKeys,
    /// Releases that were looked for, so that each is found once, however many of its targets are fetched.
    pub(crate) found: Mutex<HashMap<Version, Arc<Release>>>,
}

/// A base binary that is in the cache, as its receipt describes it. Nothing is verified.
#[derive(Clone, Debug)]
pub struct CachedEntry {
    /// What it is.
    pub id: EntryId,
    /// The file.
    pub path: PathBuf,
    /// Length and digest when it was installed.
    pub binary: BinaryFile,
    /// SHA-256 of the archive that it was unpacked from.
    pub archive_sha256: Digest,
    /// Where the archive came from.
    pub source: String,
    /// When it was installed.
    pub installed: Timestamp,
}

impl Registry {
    /// Nothing is read, created or connected to yet.
    pub fn new(config: RegistryConfig) -> Self {
        let cache = Cache::new(config.cache_dir.clone());
        let downloader = Downloader::new(config.network.clone());
        let trusted_keys = config.trusted_keys();
        Self { config, cache, downloader, trusted_keys, found: Mutex::default() }
    }

    /// The settings.
    pub fn config(&self) -> &RegistryConfig {
        &self.config
    }

    /// The base binary in the cache, without any network: the index there is verified again, the bytes of the file are
    /// not. [`Error::NotCached`] where there is none.
    pub async fn locate(
        &self,
        target: Target,
        version: &Version,
        progress: &dyn Progress,
    ) -> Result<BaseBinary> {
        self.locate_signed_by(|_| true, target, version, progress).await
    }

    pub(crate) async fn locate_signed_by(
        &self,
        admitted: impl Fn(KeyId) -> bool,
        target: Target,
        version: &Version,
        progress: &dyn Progress,
    ) -> Result<BaseBinary> {
        let mut refused = None;
        for key in self.trusted_keys.iter().filter(|key| admitted(key.id)) {
            let id = EntryId { key_id: key.id, version: version.clone(), target };
            match self.open(&id, progress).await {
                Ok(Some(base)) => return Ok(base),
                Ok(None) => {}
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        match refused {
            Some(error) => Err(error),
            None => Err(self.not_cached(target, version)?),
        }
    }

    pub(crate) fn not_cached(&self, target: Target, version: &Version) -> Result<Error> {
        let mut untrusted = self.cache.signers(version, target)?;
        untrusted.retain(|signer| self.trusted_keys.iter().all(|key| key.id != *signer));
        let untrusted = untrusted.into_iter().map(|signer| (signer, self.trusted_keys.is_revoked(signer)));
        let untrusted = untrusted.collect();
        Ok(Error::NotCached { target, version: version.clone(), untrusted })
    }

    /// The releases that the cache knows: every index in it that a trusted key signed, in no particular order.
    pub async fn known_releases(&self, progress: &dyn Progress) -> Result<Vec<SignedIndex>> {
        self.known(|_| true, progress).await
    }

    /// What the cache knows of one release: its index, as each trusted key signed it whose signature is there. Usually one,
    /// or none.
    pub async fn known_release(
        &self,
        version: &Version,
        progress: &dyn Progress,
    ) -> Result<Vec<SignedIndex>> {
        self.known(|known| known == version, progress).await
    }

    async fn known(
        &self,
        is_meant: impl Fn(&Version) -> bool,
        progress: &dyn Progress,
    ) -> Result<Vec<SignedIndex>> {
        let mut known = Vec::new();
        let releases = self.cache.releases()?.into_iter().filter(|(_, version)| is_meant(version));
        for (key_id, version) in releases {
            if self.trusted_keys.iter().any(|key| key.id == key_id) {
                match self.cached_index(key_id, &version, progress).await {
                    Ok(signed) => known.extend(signed),
                    Err(error) => progress.warning(&with_reasons(&error)),
                }
            }
        }
        Ok(known)
    }

    /// The verified index of a release: from the first source that has it, or from the cache when offline.
    pub async fn index(&self, version: &Version, progress: &dyn Progress) -> Result<SignedIndex> {
        if !self.config.offline {
            return Ok(self.find_release(version, progress).await?.signed.clone());
        }
        let mut refused = None;
        for key in self.trusted_keys.iter() {
            match self.cached_index(key.id, version, progress).await {
                Ok(Some(signed)) => return Ok(signed),
                Ok(None) => {}
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        let locations = vec![self.config.cache_dir.display().to_string()];
        let version = version.clone();
        Err(refused.unwrap_or(Error::NoSuchRelease { version, locations, may_be_private: false }))
    }

    /// What is in the cache, ordered by key, version and target. Nothing is verified or locked.
    pub fn list_cached(&self) -> Result<Vec<CachedEntry>> {
        let entries = self.cache.list()?.into_iter().map(|(id, receipt)| CachedEntry {
            path: self.cache.binary(&id),
            id,
            binary: receipt.binary,
            archive_sha256: receipt.archive_sha256,
            source: receipt.source,
            installed: receipt.installed,
        });
        Ok(entries.collect())
    }

    /// What was found damaged, and taken out of use: ordered as [`list_cached`](Self::list_cached). Each is told as the
    /// [`Error::Quarantined`] that it is until it is fetched again or removed.
    pub fn list_quarantined(&self) -> Result<Vec<(EntryId, Error)>> {
        let told = |id: EntryId| {
            let path = self.cache.quarantined(&id);
            (id.clone(), Error::Quarantined { id: Box::new(id), path })
        };
        Ok(self.cache.list_quarantined()?.into_iter().map(told).collect())
    }

    /// What the signatures of a key count for.
    pub fn standing(&self, key_id: KeyId) -> Standing {
        if self.trusted_keys.is_revoked(key_id) {
            Standing::Revoked
        } else if self.trusted_keys.iter().any(|key| key.id == key_id) {
            Standing::Trusted
        } else {
            Standing::Unknown
        }
    }

    /// Proves a cached base binary again, offline: signature, index, bytes. One that fails is taken out of use.
    pub async fn verify(&self, entry: &CachedEntry, progress: &dyn Progress) -> Result<BaseBinary> {
        let EntryId { target, version, .. } = &entry.id;
        let base = self.open(&entry.id, progress).await?;
        let base = base.map_or_else(|| Err(self.not_cached(*target, version)?), Ok)?;
        run_blocking(move || base.verify()).await
    }

    /// One entry of the cache, if it is installed and its signed index says the same.
    pub(crate) async fn open(&self, id: &EntryId, progress: &dyn Progress) -> Result<Option<BaseBinary>> {
        let Some(signed) = self.cached_index(id.key_id, &id.version, progress).await? else {
            return Ok(None);
        };
        let Some(entry) = signed.index.targets.get(&id.target) else {
            return Ok(None);
        };
        // Looked at before the lock as well: what is not there should not make lock files.
        if !self.cache.is_installed(id, entry)? {
            return Ok(None);
        }
        let lock = self.cache.entry_lock(id);
        let lock = Lock::acquire(&lock, Mode::Shared, self.config.lock_timeout, progress).await?;
        if !self.cache.is_installed(id, entry)? {
            return Ok(None);
        }
        Ok(Some(BaseBinary {
            path: self.cache.binary(id),
            size: entry.binary.size,
            sha256: entry.binary.sha256,
            target: id.target,
            version: id.version.clone(),
            key_id: id.key_id,
            entry: entry.clone(),
            cache: self.cache.clone(),
            _lock: lock,
        }))
    }

    /// The index that is stored under a key, verified with that key.
    pub(crate) async fn cached_index(
        &self,
        key_id: KeyId,
        version: &Version,
        progress: &dyn Progress,
    ) -> Result<Option<SignedIndex>> {
        let read = || {
            let Some((index, signature)) = self.cache.read_index(key_id, version)? else {
                return Ok(None);
            };
            let signed = SignedIndex::verify(&self.trusted_keys, index, signature, version);
            let signed = signed.and_then(|signed| match signed.key_id {
                found if found == key_id => Ok(signed),
                found => Err(TrustError::UnknownKey { key_id: found, trusted: vec![key_id] }),
            });
            let location = self.cache.index(key_id, version).display().to_string();
            let untrusted = |source| Error::Untrusted {
                version: version.clone(),
                location,
                cached: true,
                note: None,
                source: Box::new(source),
            };
            signed.map(Some).map_err(untrusted)
        };
        match read() {
            Err(Error::Untrusted { .. }) => {
                // Index and signature are two files, which somebody may just be replacing.
                let lock = self.cache.index_lock(key_id, version);
                let _lock = Lock::acquire(&lock, Mode::Shared, self.config.lock_timeout, progress).await?;
                read()
            }
            result => result,
        }
    }
}

/// Hashing and unpacking take long enough to be in the way of other downloads.
pub(crate) async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
