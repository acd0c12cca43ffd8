//! From a requirement to one version.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _};
use semver::Version;

use crate::config::TrustedSource;
use crate::error::{Error, Result, with_reasons};
use crate::progress::Progress;
use crate::requirement::Requirement;
use crate::resolve::Registry;
use crate::source::Source;
use crate::source::catalog::{self, ListedRelease};
use crate::source::release::Release;
use crate::target::Target;
use crate::trust::TrustedKeys;

/// How many indexes of one source are read at once.
const AT_ONCE: usize = 8;

/// A version requirement, and whether pre-releases may answer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What is wanted.
    pub requirement: Requirement,
    /// Whether pre-releases will do although the requirement names none.
    pub pre_releases: bool,
}

impl Wanted {
    /// Whether this version would do.
    pub fn allows(&self, version: &Version) -> bool {
        self.requirement.allows(version, self.pre_releases)
    }

    fn allows_release(&self, release: &ListedRelease) -> bool {
        // A source may call a release a pre-release whose version does not say so.
        let unmarked = release.pre_release && release.version.pre.is_empty();
        self.allows(&release.version) && (self.pre_releases || !unmarked)
    }
}

impl From<Version> for Wanted {
    fn from(version: Version) -> Self {
        Self { requirement: version.into(), pre_releases: false }
    }
}

impl Registry {
    /// The version that is meant: the newest that is allowed, of the first source that has one; when offline, of the cache.
    /// One that is named exactly is not looked for.
    ///
    /// A source may hide its newest release. What that can do is bounded: a release older than one that this cache has seen,
    /// and that would do as well, is [`Error::Downgrade`].
    pub async fn resolve(&self, wanted: &Wanted, progress: &dyn Progress) -> Result<Version> {
        if let Requirement::Exact(version) = &wanted.requirement {
            return Ok(version.clone());
        }
        let mut known = Vec::new();
        if self.config.offline {
            if let Some(version) = self.newest_cached(wanted, &[])? {
                let cache = self.config.cache_dir.display().to_string();
                self.check_downgrade(wanted, &version, &self.trusted_keys, cache)?;
                return Ok(version);
            }
            known.extend(self.list_cached()?.into_iter().map(|entry| entry.id.version));
        } else {
            let newest = async |at: &TrustedSource| {
                let releases = catalog::releases(&at.source, &self.downloader, progress).await?;
                let allowed = releases.iter().filter(|release| wanted.allows_release(release));
                let newest = allowed.map(|release| release.version.clone()).max();
                known.extend(releases.into_iter().map(|release| release.version));
                Ok(newest.map(|version| (version, at.clone())))
            };
            if let Some((version, at)) = self.first_source(progress, newest).await? {
                self.check_downgrade(wanted, &version, &at.trusted_keys, at.source.to_string())?;
                return Ok(version);
            }
        }
        known.sort_unstable_by(|a, b| b.cmp(a));
        known.dedup();
        let pre_releases = Wanted { pre_releases: true, ..wanted.clone() };
        let only_pre_releases = known.iter().any(|version| pre_releases.allows(version));
        let (requirement, offline) = (Box::new(wanted.requirement.clone()), self.config.offline);
        Err(Error::NoVersion { requirement, known, only_pre_releases, offline })
    }

    /// The version for a build: as [`resolve`](Self::resolve), but a range is content with what is cached for all of the
    /// targets, unless the cache has seen a newer one that would do.
    pub async fn resolve_for_build(
        &self,
        wanted: &Wanted,
        targets: &[Target],
        progress: &dyn Progress,
    ) -> Result<Version> {
        if matches!(wanted.requirement, Requirement::Range(_))
            && let Some(version) = self.newest_cached(wanted, targets)?
            && self.newest_seen(wanted, &self.trusted_keys)? <= Some(version.clone())
        {
            return Ok(version);
        }
        self.resolve(wanted, progress).await
    }

    /// As [`resolve`](Self::resolve), from the cache alone, for one target; `None` where nothing there is allowed.
    pub fn resolve_cached(&self, wanted: &Wanted, target: Target) -> Result<Option<Version>> {
        if let Requirement::Exact(version) = &wanted.requirement {
            return Ok(Some(version.clone()));
        }
        let Some(version) = self.newest_cached(wanted, &[target])? else { return Ok(None) };
        let cache = self.config.cache_dir.display().to_string();
        self.check_downgrade(wanted, &version, &self.trusted_keys, cache)?;
        Ok(Some(version))
    }

    /// The newest version in the cache that is allowed, signed by a trusted key, and there for all of these targets.
    fn newest_cached(&self, wanted: &Wanted, targets: &[Target]) -> Result<Option<Version>> {
        let mut cached = self.list_cached()?;
        cached.retain(|entry| self.trusted_keys.iter().any(|key| key.id == entry.id.key_id));
        let complete = |version: &Version| {
            let has = |target| cached.iter().any(|e| e.id.version == *version && e.id.target == target);
            targets.iter().all(|&target| has(target))
        };
        let versions = cached.iter().map(|entry| entry.id.version.clone());
        Ok(wanted.requirement.newest(versions.filter(complete), wanted.pre_releases))
    }

    /// Every release that the sources list, newest first. One that several have is the first source's, which would serve it.
    /// The indexes of mirrors and directories are verified; those of GitHub are not read, because its list says as much.
    pub async fn releases(&self, progress: &dyn Progress) -> Result<Vec<ListedRelease>> {
        if self.config.offline {
            return Err(Error::OfflineList);
        }
        let mut all = BTreeMap::new();
        let collect = async |at: &TrustedSource| {
            let releases = catalog::releases(&at.source, &self.downloader, progress).await?;
            let complete = releases.into_iter().map(|release| self.with_archives(at, release, progress));
            let mut complete = stream::iter(complete).buffer_unordered(AT_ONCE);
            while let Some(release) = complete.next().await {
                match release {
                    Ok(Some(release)) => {
                        all.entry(release.version.clone()).or_insert(release);
                    }
                    Ok(None) => {}
                    // Still being uploaded: not to be had, and no reason to say nothing of the others.
                    Err(error @ Error::NoSuchFile { .. }) => progress.warning(&with_reasons(&error)),
                    Err(error) => return Err(error),
                }
            }
            // None, so that the next source is asked as well.
            Ok(None::<()>)
        };
        let result = self.first_source(progress, collect).await;
        if all.is_empty() {
            result?;
        }
        Ok(all.into_values().rev().collect())
    }

    async fn with_archives(
        &self,
        at: &TrustedSource,
        mut release: ListedRelease,
        progress: &dyn Progress,
    ) -> Result<Option<ListedRelease>> {
        if matches!(at.source, Source::GitHub(_)) {
            return Ok(Some(release));
        }
        let found = Release::find(at, &release.version, &self.downloader, progress).await?;
        let Some(index) = found.map(|found| found.signed.index) else { return Ok(None) };
        release.published = Some(index.published);
        release.archives =
            index.targets.into_iter().map(|(target, entry)| (target, entry.archive.size)).collect();
        Ok(Some(release))
    }

    /// Asks the sources in order, until one has what is looked for. One that cannot be asked is told of and passed over;
    /// every other fault stops, a bad signature above all.
    pub(crate) async fn first_source<T>(
        &self,
        progress: &dyn Progress,
        mut ask: impl AsyncFnMut(&TrustedSource) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let mut unreachable = None;
        for (number, at) in self.config.sources.iter().enumerate() {
            match ask(at).await {
                Ok(None) => {}
                Err(error) if error.is_unreachable_source() => {
                    if number + 1 < self.config.sources.len() {
                        let reason = with_reasons(&error);
                        progress.warning(&format!("{reason}\n  the next source is asked instead"));
                    }
                    unreachable = unreachable.or(Some(error));
                }
                result => return result,
            }
        }
        unreachable.map_or(Ok(None), Err)
    }

    /// The newest version that would do and that was ever here, signed by one of these keys.
    fn newest_seen(&self, wanted: &Wanted, keys: &TrustedKeys) -> Result<Option<Version>> {
        let mut newest = None;
        for key in keys.iter() {
            newest = newest.max(wanted.requirement.newest(self.cache.seen(key.id)?, wanted.pre_releases));
        }
        Ok(newest)
    }

    fn check_downgrade(
        &self,
        wanted: &Wanted,
        version: &Version,
        keys: &TrustedKeys,
        location: String,
    ) -> Result<()> {
        match self.newest_seen(wanted, keys)? {
            Some(seen) if seen > *version && !self.config.allow_downgrade => Err(Error::Downgrade {
                requirement: Box::new(wanted.requirement.clone()),
                found: version.clone(),
                seen: Box::new(seen),
                location,
            }),
            _ => Ok(()),
        }
    }
}
