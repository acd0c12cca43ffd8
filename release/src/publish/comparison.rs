//! Whether what is at GitHub is what is in the folder.

use std::fmt;

use encoderfile_registry::{Digest, TrustedKeys};
use octocrab::models::repos::Asset;

use crate::publish::PublishError;
use crate::publish::files::File;
use crate::publish::repository::Repository;

/// Longer files are no signatures.
const LONGEST_SIGNATURE: usize = 4096;

/// What became of a file.
pub(crate) enum Judgement {
    /// It is not there.
    Missing,
    /// It is there: name, size and SHA-256.
    Equal,
    /// Something else is there.
    Different { found: String },
}

/// A file that is not there as it is in the folder.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub(crate) name: String,
    pub(crate) found: String,
}

impl Difference {
    pub(crate) fn of(file: &File, judgement: &Judgement) -> Option<Self> {
        let found = match judgement {
            Judgement::Equal => return None,
            Judgement::Missing => "missing".to_owned(),
            Judgement::Different { found } => {
                format!("{found}, not {} bytes, sha256 {}", file.bytes.len(), file.sha256)
            }
        };
        Some(Self { name: file.name.clone(), found })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.name, self.found)
    }
}

/// Judges all files.
pub(crate) async fn judge_all<'a>(
    repository: &Repository<'_>,
    files: &'a [File],
    remote: &[Asset],
) -> Result<Vec<(&'a File, Judgement)>, PublishError> {
    let mut judgements = Vec::new();
    for file in files {
        let asset = remote.iter().find(|asset| asset.name == file.name);
        judgements.push((file, judge(repository, file, asset).await?));
    }
    Ok(judgements)
}

/// Judges a file. Where the server tells no digest, the bytes themselves do.
pub(crate) async fn judge(
    repository: &Repository<'_>,
    file: &File,
    asset: Option<&Asset>,
) -> Result<Judgement, PublishError> {
    let Some(asset) = asset else { return Ok(Judgement::Missing) };
    let different = |found: String| Ok(Judgement::Different { found });
    if asset.state != "uploaded" {
        return different("half uploaded".to_owned());
    }
    if u64::try_from(asset.size) != Ok(file.bytes.len() as u64) {
        return different(format!("{} bytes", asset.size));
    }
    let told = asset.digest.as_deref().and_then(|digest| digest.strip_prefix("sha256:")?.parse().ok());
    let found: Digest = match told {
        Some(digest) => digest,
        None => match repository.download_digest(asset, file.bytes.len()).await? {
            Some(digest) => digest,
            None => return different("of another length than it is said to have".to_owned()),
        },
    };
    if found == file.sha256 { Ok(Judgement::Equal) } else { different(format!("sha256 {found}")) }
}

/// Whether `asset` is another signature of the same file, with the same trusted comment and by the same key: as good as the one in
/// the folder, although its bytes are others.
pub(crate) async fn is_as_good(
    repository: &Repository<'_>,
    file: &File,
    asset: &Asset,
    keys: &TrustedKeys,
) -> Result<bool, PublishError> {
    let Some(signs) = &file.signs else { return Ok(false) };
    let size = usize::try_from(asset.size).ok().filter(|size| *size <= LONGEST_SIGNATURE);
    let Some(size) = size.filter(|_| asset.state == "uploaded") else { return Ok(false) };
    let bytes = repository.download(asset, size).await?;
    Ok(bytes.is_some_and(|bytes| signs.is_said_by(&bytes, keys)))
}

/// The names that are there and not in the folder.
pub(crate) fn strangers(files: &[File], remote: &[Asset]) -> Vec<String> {
    let strangers = remote.iter().filter(|asset| files.iter().all(|file| file.name != asset.name));
    strangers.map(|asset| asset.name.clone()).collect()
}
