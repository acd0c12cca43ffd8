//! One release at one source: the index that proves what it holds, and where its files are.

use std::collections::BTreeMap;

use semver::Version;
use url::Url;

use crate::config::TrustedSource;
use crate::download::answer::Failure;
use crate::download::{Downloader, Small};
use crate::error::{Error, Result};
use crate::index::{
    ArchiveFile, INDEX_NAME, MAX_INDEX_SIZE, SIGNATURE_SUFFIX, TargetEntry, further_signature_name,
};
use crate::progress::Progress;
use crate::source::github;
use crate::source::{Location, Source};
use crate::target::Target;
use crate::trust::{SignedIndex, TrustError, TrustedKeys};

/// A signature is less than a kilobyte.
const MAX_SIGNATURE_SIZE: u64 = 64 << 10;

/// A release whose index was verified, and the source that has it.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    pub(crate) signed: SignedIndex,
    files: Files,
}

/// Where the files of a release are.
#[derive(Clone, Debug)]
struct Files {
    source: Source,
    version: Version,
    /// At GitHub's API, by file name. None: where the source's layout has them.
    assets: Option<BTreeMap<String, Url>>,
}

impl Release {
    /// Looks for a release at a source and believes its index only if one of the source's keys signed it as this version's;
    /// `None` where the source does not have it.
    pub(crate) async fn find(
        at: &TrustedSource,
        version: &Version,
        downloader: &Downloader,
        progress: &dyn Progress,
    ) -> Result<Option<Self>> {
        let TrustedSource { source, trusted_keys } = at;
        let location = source.locate(version, INDEX_NAME).to_string();
        let untrusted = |source, note| Error::Untrusted {
            version: version.clone(),
            location: location.clone(),
            cached: false,
            note,
            source: Box::new(source),
        };
        if trusted_keys.is_empty() {
            return Err(untrusted(TrustError::NoKeys, None));
        }
        check_exists(source)?;
        let mut files = Files { source: source.clone(), version: version.clone(), assets: None };
        let mut found = files.index_and_signature(downloader, progress).await?;
        // A GitHub Enterprise server in private mode answers with the page to log in at.
        let is_page = found.as_ref().is_some_and(|(index, signature)| index.is_page() || signature.is_page());
        if (found.is_none() || is_page)
            && let Some(assets) = assets(source, version, downloader, progress).await?
        {
            files.assets = Some(assets);
            found = files.index_and_signature(downloader, progress).await?;
        }
        let Some((index, signature)) = found else { return Ok(None) };
        let note = index.note.or(signature.note);
        let signed = match SignedIndex::verify(trusted_keys, index.bytes.clone(), signature.bytes, version) {
            Ok(signed) => signed,
            Err(error) if error.is_of_another_key() => {
                let signed = files.signed_by_another(trusted_keys, &index.bytes, downloader, progress).await;
                signed.ok_or_else(|| untrusted(error, note))?
            }
            Err(error) => return Err(untrusted(error, note)),
        };
        progress.detail(&format!("release {version} at {source}, signed by {}", signed.key_id));
        Ok(Some(Self { signed, files }))
    }

    /// What the release has for a target.
    pub(crate) fn entry(&self, target: Target) -> Result<&TargetEntry> {
        let targets = &self.signed.index.targets;
        targets.get(&target).ok_or_else(|| Error::NoSuchTarget {
            target,
            version: self.signed.index.version.clone(),
            available: targets.keys().copied().collect(),
        })
    }

    /// Where an archive of the release is.
    pub(crate) fn locate(&self, archive: &ArchiveFile) -> Result<Location> {
        self.files.locate(&archive.name).ok_or_else(|| Error::NoSuchFile {
            version: self.signed.index.version.clone(),
            location: format!("{} (file {})", self.files.source, archive.name),
        })
    }

    /// The source that has it.
    pub(crate) fn source(&self) -> &Source {
        &self.files.source
    }
}

/// What can be seen without looking for a file: a source that is not there has nothing at all.
pub(crate) fn check_exists(source: &Source) -> Result<()> {
    match source.problem() {
        Some(problem) => Err(Error::NoSuchSource { location: source.to_string(), problem }),
        None => Ok(()),
    }
}

impl Files {
    fn locate(&self, file: &str) -> Option<Location> {
        let Some(assets) = &self.assets else { return Some(self.source.locate(&self.version, file)) };
        let Source::GitHub(at) = &self.source else { return None };
        let url = assets.get(file)?.clone();
        // The address is the server's word, the token is for the API alone.
        let token = at.token.clone().filter(|_| url.origin() == at.api.origin());
        Some(Location::Asset { url, token })
    }

    async fn index_and_signature(
        &self,
        downloader: &Downloader,
        progress: &dyn Progress,
    ) -> Result<Option<(Small, Small)>> {
        let Some(at) = self.locate(INDEX_NAME) else { return Ok(None) };
        let Some(index) = downloader.small(&at, MAX_INDEX_SIZE, progress).await? else { return Ok(None) };
        let name = format!("{INDEX_NAME}{SIGNATURE_SUFFIX}");
        let Some(at) = self.locate(&name) else { return Ok(None) };
        let signature = downloader.small(&at, MAX_SIGNATURE_SIZE, progress).await?;
        let missing = || Error::NoSuchFile { version: self.version.clone(), location: at.to_string() };
        Ok(Some((index, signature.ok_or_else(missing)?)))
    }
}

impl Files {
    /// Looks for a further signature of the index, by one of the keys that count. While a key is replaced, releases are signed
    /// by both. Whatever goes wrong, the first signature's fault is the one to be told of.
    async fn signed_by_another(
        &self,
        keys: &TrustedKeys,
        index: &[u8],
        downloader: &Downloader,
        progress: &dyn Progress,
    ) -> Option<SignedIndex> {
        for key in keys.iter() {
            let Some(at) = self.locate(&further_signature_name(INDEX_NAME, key.id)) else { continue };
            let signature = match downloader.small(&at, MAX_SIGNATURE_SIZE, progress).await {
                Ok(Some(signature)) => signature,
                Ok(None) => continue,
                Err(error) => {
                    progress.detail(&format!("no signature by key {}: {error}", key.id));
                    continue;
                }
            };
            match SignedIndex::verify(keys, index.to_vec(), signature.bytes, &self.version) {
                Ok(signed) => return Some(signed),
                Err(error) => progress.detail(&format!("signature {at} does not count: {error}")),
            }
        }
        None
    }
}

/// The files of a private repository's release have addresses only at the API, and only for those who may see them.
async fn assets(
    source: &Source,
    version: &Version,
    downloader: &Downloader,
    progress: &dyn Progress,
) -> Result<Option<BTreeMap<String, Url>>> {
    let Source::GitHub(at) = source else { return Ok(None) };
    if at.token.is_none() {
        return Ok(None);
    }
    let tag = format!("v{version}");
    let ask = async || -> Result<_, Failure> {
        let release = github::release(downloader.client(source, false)?, at, &tag).await?;
        let mut addresses = release.assets.iter().map(|asset| &asset.url);
        addresses.try_for_each(|url| at.check_address(url)).map_err(|error| github::failure(error, at))?;
        Ok(release)
    };
    let release = downloader.persist(progress, ask).await?;
    Ok(release.map(|release| release.assets.into_iter().map(|asset| (asset.name, asset.url)).collect()))
}
