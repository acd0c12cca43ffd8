//! What a source says it has, before anything is downloaded or believed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use semver::Version;
use serde::Serialize;

use crate::download::Downloader;
use crate::download::answer::Failure;
use crate::error::{Error, Result};
use crate::index::{INDEX_NAME, SIGNATURE_SUFFIX, runtime_archive_name};
use crate::progress::Progress;
use crate::source::github;
use crate::source::release::check_exists;
use crate::source::{GitHubRepository, Location, Source, join};
use crate::target::Target;

/// What a mirror may have beside its releases: a JSON array of their versions.
pub const VERSIONS_NAME: &str = "versions.json";
/// More than a hundred releases a year, for ten years.
const MAX_VERSIONS_SIZE: u64 = 64 << 10;
/// More versions than any project has: of a list that is longer, nothing is believed.
const MAX_VERSIONS: usize = 2000;

/// A release that a source lists. Nothing of this is signed, except where the index was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedRelease {
    /// The release.
    pub version: Version,
    /// Whether it is one only for those who ask for pre-releases.
    pub pre_release: bool,
    /// When it was published, where the source says so.
    pub published: Option<Timestamp>,
    /// The targets that it has an archive for, and the archive's length in bytes.
    pub archives: BTreeMap<Target, u64>,
    /// Which source has it, without passwords.
    pub source: String,
}

/// The releases of one source that have a signed index, in no particular order. The archives are left empty where only the
/// index would say what there is.
pub(crate) async fn releases(
    source: &Source,
    downloader: &Downloader,
    progress: &dyn Progress,
) -> Result<Vec<ListedRelease>> {
    let listed = |version: Version| ListedRelease {
        pre_release: !version.pre.is_empty(),
        version,
        published: None,
        archives: BTreeMap::new(),
        source: source.to_string(),
    };
    check_exists(source)?;
    progress.detail(&format!("asking {source} for its releases"));
    match source {
        Source::GitHub(at) => github_releases(at, source, downloader, progress).await,
        Source::Mirror { base, allow_http } => {
            let at = Location::Url { url: join(base, [VERSIONS_NAME]), allow_http: *allow_http };
            let versions = downloader.small(&at, MAX_VERSIONS_SIZE, progress).await?;
            let versions = versions.ok_or_else(|| Error::NoList { location: at.to_string() })?;
            let unusable = |reason: String| Error::UnusableAnswer { location: at.to_string(), reason };
            let versions: BTreeSet<Version> =
                serde_json::from_slice(&versions.bytes).map_err(|error| unusable(error.to_string()))?;
            if versions.len() > MAX_VERSIONS {
                return Err(unusable(format!("it lists more than {MAX_VERSIONS} versions")));
            }
            Ok(versions.into_iter().map(listed).collect())
        }
        Source::Directory { path } => Ok(directory_versions(path)?.into_iter().map(listed).collect()),
    }
}

async fn github_releases(
    at: &GitHubRepository,
    source: &Source,
    downloader: &Downloader,
    progress: &dyn Progress,
) -> Result<Vec<ListedRelease>> {
    let ask =
        async || -> Result<_, Failure> { github::releases(downloader.client(source, false)?, at).await };
    let releases = downloader.persist(progress, ask).await?;
    let releases = releases.ok_or_else(|| Error::NoRepository {
        repository: at.repository.clone(),
        location: source.to_string(),
        authenticated: at.token.is_some(),
    })?;
    let signature = format!("{INDEX_NAME}{SIGNATURE_SUFFIX}");
    let listed = releases.into_iter().filter_map(|release| {
        // Other tags, and releases that are still being made, are no releases of base binaries.
        let version: Version = release.tag_name.strip_prefix('v')?.parse().ok()?;
        let size = |name: &str| {
            let asset =
                release.assets.iter().find(|asset| asset.name == name && asset.state == "uploaded")?;
            u64::try_from(asset.size).ok()
        };
        size(INDEX_NAME).and(size(&signature))?;
        let archives =
            Target::ALL.into_iter().filter_map(|target| Some((target, size(&runtime_archive_name(target))?)));
        let published = release.published_at.and_then(|at| Timestamp::from_second(at.timestamp()).ok());
        Some(ListedRelease {
            pre_release: release.prerelease || !version.pre.is_empty(),
            published,
            archives: archives.collect(),
            source: source.to_string(),
            version,
        })
    });
    Ok(listed.collect())
}

/// The versions of `v{version}` folders with an index, and of a release that the folder itself is.
fn directory_versions(path: &Path) -> Result<Vec<Version>> {
    let mut versions = Vec::new();
    for item in std::fs::read_dir(path).map_err(Error::io("read directory", path))? {
        let item = item.map_err(Error::io("read directory", path))?;
        let name = item.file_name();
        let version = name.to_str().and_then(|name| name.strip_prefix('v')?.parse().ok());
        versions.extend(version.filter(|_| item.path().join(INDEX_NAME).exists()));
    }
    if versions.is_empty() && path.join(INDEX_NAME).exists() {
        versions.extend(claimed_version(&path.join(INDEX_NAME)));
    }
    Ok(versions)
}

/// What an index says of itself, before its signature is looked at.
fn claimed_version(index: &Path) -> Option<Version> {
    #[derive(serde::Deserialize)]
    struct Head {
        version: Version,
    }
    let head: Head = serde_json::from_slice(&std::fs::read(index).ok()?).ok()?;
    Some(head.version)
}
