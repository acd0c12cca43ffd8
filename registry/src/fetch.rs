//! From a source into the cache.

use std::sync::Arc;
use std::time::Duration;

use semver::Version;

use crate::base_binary::BaseBinary;
use crate::cache::EntryId;
use crate::cache::install;
use crate::cache::lock::{Lock, Mode};
use crate::config::TrustedSource;
use crate::download::partial::Partial;
use crate::error::{Error, Result, with_reasons};
use crate::host::Host;
use crate::index::{ArchiveFile, INDEX_NAME, TargetEntry};
use crate::lockfile::pin::Pin;
use crate::progress::Progress;
use crate::resolve::{Registry, run_blocking};
use crate::source::release::Release;
use crate::target::Target;
use crate::trust::KeyId;

/// How often a base binary is installed that somebody else takes away before it can be held.
const MAX_ATTEMPTS: usize = 16;

/// What a fetch came to.
#[derive(Debug)]
pub struct Fetched {
    /// The base binary, ready for use.
    pub base: BaseBinary,
    /// Whether it was in the cache already.
    pub was_cached: bool,
}

/// What a fetch would do.
#[derive(Clone, Debug)]
pub struct PlannedFetch {
    /// What it is.
    pub id: EntryId,
    /// The archive that would be downloaded.
    pub archive: ArchiveFile,
    /// How many bytes of the archive an interrupted download has left here.
    pub present: u64,
    /// Whether it is in the cache, so that nothing would be downloaded.
    pub is_cached: bool,
    /// Which source has it, without passwords; none where only the cache was looked at.
    pub source: Option<String>,
}

impl PlannedFetch {
    /// Bytes that would be downloaded.
    pub const fn remaining(&self) -> u64 {
        if self.is_cached { 0 } else { self.archive.size.saturating_sub(self.present) }
    }
}

/// What is to be installed.
#[derive(Clone, Copy)]
struct Order<'a> {
    target: Target,
    version: &'a Version,
    /// What it has to be, to the byte.
    pin: Option<&'a Pin>,
    /// The machine that it must run on, if it is for that machine's target.
    host: Option<&'a Host>,
    /// Also where it is installed.
    force: bool,
}

impl Order<'_> {
    /// Whether what `key_id` signed is what is wanted, and starts where it must. Known before anything is downloaded.
    fn check(&self, key_id: KeyId, entry: &TargetEntry) -> Result<()> {
        if let Some(pin) = self.pin {
            pin.check(key_id, entry)?;
        }
        match self.host {
            Some(host) if host.target == self.target && !host.admits(entry.floor) => Err(Error::HostTooOld {
                target: self.target,
                version: self.version.clone(),
                floor: entry.floor,
                found: host.platform,
            }),
            _ => Ok(()),
        }
    }
}

impl Registry {
    /// The base binary, from the cache or, if it is not there, from the source. For `host`, a base binary that would not
    /// start there is refused before it is downloaded. Bytes in the cache are not verified again: see [`BaseBinary`].
    pub async fn ensure(
        &self,
        target: Target,
        version: &Version,
        host: Option<&Host>,
        progress: &dyn Progress,
    ) -> Result<BaseBinary> {
        self.ensure_ordered(Order { target, version, pin: None, host, force: false }, progress).await
    }

    /// As [`ensure`](Self::ensure), but this base binary and no other, to the byte. [`Error::PinMismatch`] where the
    /// release was signed again, by another key or with other bytes; then nothing is downloaded.
    pub async fn ensure_pinned(
        &self,
        pin: &Pin,
        host: Option<&Host>,
        progress: &dyn Progress,
    ) -> Result<BaseBinary> {
        let order = Order { target: pin.target, version: &pin.version, pin: Some(pin), host, force: false };
        self.ensure_ordered(order, progress).await
    }

    async fn ensure_ordered(&self, order: Order<'_>, progress: &dyn Progress) -> Result<BaseBinary> {
        let Order { target, version, pin, .. } = order;
        let may_have_signed = |key_id| pin.is_none_or(|pin| pin.key_id == key_id);
        match self.locate_signed_by(may_have_signed, target, version, progress).await {
            Ok(base) => {
                order.check(base.key_id, &base.entry)?;
                Ok(base)
            }
            Err(Error::NotCached { .. }) if !self.config.offline => {
                Ok(self.install(order, progress).await?.base)
            }
            Err(error) => Err(error),
        }
    }

    /// As [`fetch`](Self::fetch), for this very machine: what would not start here is not downloaded.
    pub async fn fetch_for(
        &self,
        host: &Host,
        version: &Version,
        force: bool,
        progress: &dyn Progress,
    ) -> Result<Fetched> {
        let order = Order { target: host.target, version, pin: None, host: Some(host), force };
        self.fetch_ordered(order, progress).await
    }

    /// Puts the base binary into the cache. One that is there is verified, bytes included, and repaired if it is damaged;
    /// with `force`, it is downloaded in any case.
    pub async fn fetch(
        &self,
        target: Target,
        version: &Version,
        force: bool,
        progress: &dyn Progress,
    ) -> Result<Fetched> {
        self.fetch_ordered(Order { target, version, pin: None, host: None, force }, progress).await
    }

    async fn fetch_ordered(&self, order: Order<'_>, progress: &dyn Progress) -> Result<Fetched> {
        let Order { target, version, force, .. } = order;
        if !force {
            let cached = match self.locate(target, version, progress).await {
                Ok(base) => run_blocking(move || base.verify()).await,
                Err(error) => Err(error),
            };
            match cached {
                Ok(base) => {
                    self.remove_used_partial(&base.entry).await;
                    return Ok(Fetched { base, was_cached: true });
                }
                Err(Error::NotCached { .. } | Error::NoSuchTarget { .. }) if !self.config.offline => {}
                Err(error @ (Error::Corrupt { .. } | Error::Untrusted { .. })) if !self.config.offline => {
                    progress
                        .warning(&format!("the cache is damaged, fetching again: {}", with_reasons(&error)));
                }
                Err(error) => return Err(error),
            }
        }
        let Fetched { base, was_cached } = self.install(order, progress).await?;
        // Somebody else installed it, perhaps long ago.
        let base = if was_cached { run_blocking(move || base.verify()).await? } else { base };
        Ok(Fetched { base, was_cached })
    }

    /// What [`fetch`](Self::fetch) would do, without doing it. The bytes of what is cached are not verified.
    pub async fn plan_fetch(
        &self,
        target: Target,
        version: &Version,
        force: bool,
        progress: &dyn Progress,
    ) -> Result<PlannedFetch> {
        let cached = match self.locate(target, version, progress).await {
            Ok(base) => Ok(Some(base)),
            Err(Error::NotCached { .. } | Error::Untrusted { .. }) if !self.config.offline => Ok(None),
            Err(error) => Err(error),
        }?;
        if let Some(base) = cached.filter(|_| !force) {
            let id = EntryId { key_id: base.key_id, version: base.version, target };
            let archive = base.entry.archive;
            return Ok(PlannedFetch { id, archive, present: 0, is_cached: true, source: None });
        }
        if self.config.offline {
            return Err(Error::Offline { target, version: version.clone() });
        }
        let release = self.find_release(version, progress).await?;
        let archive = release.entry(target)?.archive.clone();
        let present = std::fs::metadata(self.cache.partial(archive.sha256)).map_or(0, |file| file.len());
        let present = present.min(archive.size);
        let id = EntryId { key_id: release.signed.key_id, version: version.clone(), target };
        let source = Some(release.source().to_string());
        Ok(PlannedFetch { id, archive, present, is_cached: false, source })
    }

    /// The release at the first source that has it.
    pub(crate) async fn find_release(
        &self,
        version: &Version,
        progress: &dyn Progress,
    ) -> Result<Arc<Release>> {
        let mut found = self.found.lock().await;
        if let Some(release) = found.get(version) {
            return Ok(Arc::clone(release));
        }
        let find = async |at: &TrustedSource| Release::find(at, version, &self.downloader, progress).await;
        let Some(release) = self.first_source(progress, find).await? else {
            let sources = self.config.sources.iter();
            let locations =
                sources.clone().map(|at| at.source.locate(version, INDEX_NAME).to_string()).collect();
            let may_be_private = sources.clone().any(|at| at.source.may_be_private());
            return Err(Error::NoSuchRelease { version: version.clone(), locations, may_be_private });
        };
        // Best effort, and only where there is a cache: looking makes none.
        if self.cache.root().exists() {
            let _ = self.cache.note_seen(release.signed.key_id, version);
        }
        let release = Arc::new(release);
        found.insert(version.clone(), Arc::clone(&release));
        Ok(release)
    }

    async fn install(&self, order: Order<'_>, progress: &dyn Progress) -> Result<Fetched> {
        let Order { target, version, force, .. } = order;
        if self.config.offline {
            return Err(Error::Offline { target, version: version.clone() });
        }
        let release = self.find_release(version, progress).await?;
        let signed = &release.signed;
        let entry = release.entry(target)?;
        order.check(signed.key_id, entry)?;
        let id = EntryId { key_id: signed.key_id, version: version.clone(), target };
        let (mut was_cached, mut force) = (true, force);
        for _ in 0..MAX_ATTEMPTS {
            was_cached &= self.install_locked(&id, &release, entry, force, progress).await?;
            // The lock is shared from here on. Between the two, somebody may have come to remove it, or to replace it:
            // then it is there soon, or is to be had once more.
            if let Some(base) = self.open(&id, progress).await? {
                return Ok(Fetched { base, was_cached });
            }
            force = false;
        }
        Err(self.not_cached(target, version)?)
    }

    /// What a process left that died after its installation was complete. Not in the way of anybody who uses it.
    async fn remove_used_partial(&self, entry: &TargetEntry) {
        let path = self.cache.partial(entry.archive.sha256);
        if path.exists()
            && let Ok(partial) = Partial::open(&path, entry.archive.size, Some(Duration::ZERO), &()).await
        {
            let _ = partial.remove();
        }
    }

    /// Makes what is installed this release's. Not if somebody has removed it meanwhile.
    async fn adopt(
        &self,
        id: &EntryId,
        release: &Release,
        entry: &TargetEntry,
        progress: &dyn Progress,
    ) -> Result<bool> {
        let timeout = self.config.lock_timeout;
        // As long as this is held, the receipt stays, and with it the index. The wait for whoever installed it was told of
        // already, and is almost over.
        let _lock = Lock::acquire(&self.cache.entry_lock(id), Mode::Shared, timeout, &()).await?;
        if !self.cache.is_installed(id, entry)? {
            return Ok(false);
        }
        install::store_index(&self.cache, &release.signed, timeout, progress).await?;
        Ok(true)
    }

    /// Returns whether another process had installed it meanwhile.
    async fn install_locked(
        &self,
        id: &EntryId,
        release: &Release,
        entry: &TargetEntry,
        force: bool,
        progress: &dyn Progress,
    ) -> Result<bool> {
        let timeout = self.config.lock_timeout;
        let lock = loop {
            // Whoever wants two entries may hold one while waiting for the other, and so may whoever it waits for. So
            // nobody waits to write what somebody else has written.
            let is_needless = || Ok(!force && self.cache.is_installed(id, entry)?);
            let path = self.cache.entry_lock(id);
            let lock = Lock::acquire_unless(&path, Mode::Exclusive, timeout, progress, is_needless).await?;
            match lock {
                Some(lock) => break lock,
                None if self.adopt(id, release, entry, progress).await? => return Ok(true),
                None => {}
            }
        };
        // Not before the lock is held, under which somebody else may have removed them.
        self.cache.create(id)?;
        if !force && self.cache.is_installed(id, entry)? {
            install::store_index(&self.cache, &release.signed, timeout, progress).await?;
            return Ok(true);
        }
        if lock.is_real() {
            self.cache.reclaim(id)?;
        }
        let partial =
            Partial::open(&self.cache.partial(entry.archive.sha256), entry.archive.size, timeout, progress)
                .await?;
        install::check_space(&self.cache, entry.archive.size - partial.length(), entry)?;
        let location = release.locate(&entry.archive)?;
        progress.detail(&format!("downloading {location}"));
        let partial =
            self.downloader.complete(&location, &entry.archive, &id.version, partial, progress).await?;
        let unpacked = {
            let (cache, id, entry, archive) =
                (self.cache.clone(), id.clone(), entry.clone(), partial.reader()?);
            run_blocking(move || install::unpack_binary(&cache, &id, &entry, archive)).await
        };
        let binary = match unpacked {
            Ok(binary) => binary,
            Err(error) => {
                // The same archive would fail again; after a full disk it would not.
                if matches!(error, Error::BadArchive { .. }) {
                    partial.remove()?;
                }
                return Err(error);
            }
        };
        if let Some(before) = self.cache.read_receipt(id)?.filter(|receipt| receipt.binary != entry.binary) {
            progress.warning(&format!(
                "release {} was signed again with other bytes for `{}`\n  before: sha256 {}\n  now:    sha256 {}",
                id.version, id.target, before.binary.sha256, entry.binary.sha256
            ));
        }
        install::store_index(&self.cache, &release.signed, timeout, progress).await?;
        install::commit(&self.cache, id, entry, release.source().to_string(), binary)?;
        partial.remove()?;
        Ok(false)
    }
}
