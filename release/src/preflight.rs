//! Whether a checkout may be released under a tag: what nobody can repair once the release is out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use encoderfile_registry::{InvalidKeyId, KeyError, KeyId, TrustedKeys};
use semver::Version;
use serde::Deserialize;

use crate::changelog;
use crate::error::Error;

const MANIFEST: &str = "Cargo.toml";
const CHANGELOG: &str = "CHANGELOG.md";
const TRUSTED_KEYS: &str = "registry/trusted-keys.pub";
const REVOKED_KEYS: &str = "registry/revoked-keys.txt";
const INSTALLER: &str = "install.sh";

/// Why a checkout must not be released.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PreflightError {
    #[error("tag `{tag}` is not that of the workspace's version")]
    Tag { tag: String, version: Version },
    #[error("cannot read the workspace's version in `{}`", .path.display())]
    Manifest { path: PathBuf, source: Box<toml::de::Error> },
    #[error("`{}` has no section for version {version}", .path.display())]
    NoSection { path: PathBuf, version: Version },
    #[error("the section for version {version} in `{}` is empty", .path.display())]
    EmptySection { path: PathBuf, version: Version },
    #[error("no project key is compiled in")]
    TrustedKeys { source: KeyError },
    #[error("cannot read the revoked keys in `{}`", .path.display())]
    RevokedKeys { path: PathBuf, source: InvalidKeyId },
    #[error("every key in `{}` is revoked", .path.display())]
    AllRevoked { path: PathBuf },
    #[error("signing key {key_id} is not compiled in")]
    UnknownKey { key_id: KeyId, compiled_in: BTreeSet<KeyId> },
    #[error("signing key {key_id} is revoked")]
    RevokedKey { key_id: KeyId },
    #[error("`{}` has other keys than `{TRUSTED_KEYS}`", .path.display())]
    Installer { path: PathBuf, expected: BTreeSet<String>, found: BTreeSet<String> },
}

impl PreflightError {
    pub(crate) fn details(&self) -> Vec<(&'static str, String)> {
        let list = |keys: &BTreeSet<String>| match keys.len() {
            0 => "none".to_owned(),
            _ => keys.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
        };
        match self {
            Self::Tag { tag, version } => vec![("expected", format!("v{version}")), ("found", tag.clone())],
            Self::UnknownKey { compiled_in, .. } => {
                vec![("compiled in", list(&compiled_in.iter().map(ToString::to_string).collect()))]
            }
            Self::Installer { expected, found, .. } => {
                vec![("expected", list(expected)), ("found", list(found))]
            }
            _ => Vec::new(),
        }
    }

    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Tag { .. } => "set `version` in Cargo.toml before the tag is made".to_owned(),
            Self::NoSection { version, .. } => {
                format!("give what is below `## [Unreleased]` the heading `## [{version}] - DATE`")
            }
            Self::TrustedKeys { .. } | Self::AllRevoked { .. } | Self::UnknownKey { .. } => {
                format!(
                    "add the public half of the signing key to {TRUSTED_KEYS}, or nobody will believe the release"
                )
            }
            Self::RevokedKey { .. } => "sign with another key".to_owned(),
            Self::Installer { .. } => {
                format!("write the keys of {TRUSTED_KEYS} into PROJECT_KEYS, one a line")
            }
            _ => return None,
        };
        Some(hint)
    }
}

/// Checks the checkout `directory`, and that clients will know the key `key_id`. Returns the release's notes.
pub(crate) fn preflight(directory: &Path, tag: &str, key_id: Option<KeyId>) -> Result<String, Error> {
    let version = workspace_version(&directory.join(MANIFEST))?;
    if tag != format!("v{version}") {
        return Err(PreflightError::Tag { tag: tag.to_owned(), version }.into());
    }
    let path = directory.join(CHANGELOG);
    let changelog = read(&path)?;
    let section = changelog::section(&changelog, &version)
        .ok_or_else(|| PreflightError::NoSection { path: path.clone(), version: version.clone() })?;
    if section.is_empty() {
        return Err(PreflightError::EmptySection { path, version }.into());
    }
    check_keys(directory, key_id)?;
    Ok(section.to_owned())
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(Error::io("read", path))
}

fn workspace_version(path: &Path) -> Result<Version, Error> {
    #[derive(Deserialize)]
    struct Manifest {
        workspace: Workspace,
    }
    #[derive(Deserialize)]
    struct Workspace {
        package: Package,
    }
    #[derive(Deserialize)]
    struct Package {
        version: Version,
    }
    let manifest: Manifest = toml::from_str(&read(path)?)
        .map_err(|source| PreflightError::Manifest { path: path.to_owned(), source: Box::new(source) })?;
    Ok(manifest.workspace.package.version)
}

fn check_keys(directory: &Path, key_id: Option<KeyId>) -> Result<(), Error> {
    let path = directory.join(TRUSTED_KEYS);
    let text = read(&path)?;
    let mut keys = TrustedKeys::none();
    keys.add(&path.to_string_lossy()).map_err(|source| PreflightError::TrustedKeys { source })?;
    let revoked = directory.join(REVOKED_KEYS);
    for line in key_lines(&read(&revoked)?) {
        let malformed = |source| PreflightError::RevokedKeys { path: revoked.clone(), source };
        keys.revoke(line.parse().map_err(malformed)?);
    }
    let compiled_in: BTreeSet<KeyId> = keys.iter().map(|key| key.id).collect();
    match key_id {
        Some(key_id) if keys.is_revoked(key_id) => return Err(PreflightError::RevokedKey { key_id }.into()),
        Some(key_id) if !compiled_in.contains(&key_id) => {
            return Err(PreflightError::UnknownKey { key_id, compiled_in }.into());
        }
        _ if compiled_in.is_empty() => return Err(PreflightError::AllRevoked { path }.into()),
        _ => {}
    }

    let expected = key_lines(&text).into_iter().filter(|line| !line.starts_with("untrusted comment:"));
    let expected: BTreeSet<String> = expected.map(str::to_owned).collect();
    let path = directory.join(INSTALLER);
    let found = installer_keys(&read(&path)?);
    if found != expected {
        return Err(PreflightError::Installer { path, expected, found }.into());
    }
    Ok(())
}

fn key_lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// What stands between the quotes behind `PROJECT_KEYS=`.
fn installer_keys(script: &str) -> BTreeSet<String> {
    let keys = script.split_once("\nPROJECT_KEYS='").and_then(|(_, rest)| rest.split_once('\''));
    keys.map(|(keys, _)| keys.split_whitespace().map(str::to_owned).collect()).unwrap_or_default()
}
