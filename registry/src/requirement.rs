//! Which release is wanted: one version, the newest, or the newest of a range.

use std::fmt;
use std::str::FromStr;

use semver::{BuildMetadata, Op, Prerelease, Version, VersionReq};

/// A version that is wanted, as `--runtime-version` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Requirement {
    /// `0.2.0`: this version and no other. It is found without a list of releases.
    Exact(Version),
    /// `latest`: the newest.
    Latest,
    /// `^0.2`, `0.2`, `>=0.2, <0.4`: the newest that Cargo's version requirement allows.
    Range(VersionReq),
}

/// A text that is no version requirement.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "`{found}` is not a version requirement: expected a version (`0.2.0`), a range (`^0.2`, `>=0.2, <0.4`) or `latest`{}",
    .suggestion.as_ref().map(|text| format!("; did you mean `{text}`?")).unwrap_or_default()
)]
pub struct InvalidRequirement {
    /// The text.
    pub found: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl Requirement {
    /// Whether this version would do. Pre-releases do only where the requirement names one of the same version, as with
    /// Cargo, or with `pre_releases`.
    pub fn allows(&self, version: &Version, pre_releases: bool) -> bool {
        match self {
            Self::Exact(exact) => version == exact,
            Self::Latest => pre_releases || version.pre.is_empty(),
            Self::Range(range) => {
                let of_release = || range.matches(&Version { pre: Prerelease::EMPTY, ..version.clone() });
                range.matches(version) || (pre_releases && of_release())
            }
        }
    }

    /// The newest version that would do.
    pub fn newest(&self, versions: impl IntoIterator<Item = Version>, pre_releases: bool) -> Option<Version> {
        versions.into_iter().filter(|version| self.allows(version, pre_releases)).max()
    }
}

impl From<Version> for Requirement {
    fn from(version: Version) -> Self {
        Self::Exact(version)
    }
}

impl FromStr for Requirement {
    type Err = InvalidRequirement;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text == "latest" {
            return Ok(Self::Latest);
        }
        if let Ok(version) = text.parse() {
            return Ok(Self::Exact(version));
        }
        if let Ok(range) = text.parse::<VersionReq>() {
            return Ok(one_version(&range).map_or(Self::Range(range), Self::Exact));
        }
        // The tag of a release is its version with a `v` before it.
        let plain = text.strip_prefix(['v', 'V']).filter(|plain| plain.parse::<Self>().is_ok());
        let latest = text.eq_ignore_ascii_case("latest") || text.eq_ignore_ascii_case("newest");
        let suggestion = if latest { Some("latest") } else { plain };
        let found = text.chars().take(80).collect();
        Err(InvalidRequirement { found, suggestion: suggestion.map(str::to_owned) })
    }
}

/// `=0.2.0` is a version.
fn one_version(range: &VersionReq) -> Option<Version> {
    match &range.comparators[..] {
        [only] if only.op == Op::Exact => Some(Version {
            major: only.major,
            minor: only.minor?,
            patch: only.patch?,
            pre: only.pre.clone(),
            build: BuildMetadata::EMPTY,
        }),
        _ => None,
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(version) => write!(f, "{version}"),
            Self::Latest => f.write_str("latest"),
            Self::Range(range) => write!(f, "{range}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newest(requirement: &str, pre_releases: bool) -> Option<String> {
        let versions = ["0.1.0", "0.2.0", "0.2.9", "0.2.10", "0.3.0-rc.1", "0.3.0-rc.2", "1.0.0-alpha"];
        let versions = versions.map(|version| version.parse().unwrap());
        let requirement: Requirement = requirement.parse().unwrap();
        requirement.newest(versions, pre_releases).map(|version| version.to_string())
    }

    #[test]
    fn the_newest_that_is_allowed() {
        for (requirement, expected) in [
            ("latest", Some("0.2.10")),
            ("^0.2", Some("0.2.10")),
            ("0.2", Some("0.2.10")),
            ("~0.2.3", Some("0.2.10")),
            ("<0.2.10", Some("0.2.9")),
            (">=0.1, <0.2", Some("0.1.0")),
            ("*", Some("0.2.10")),
            ("0.2.0", Some("0.2.0")),
            ("=0.2.9", Some("0.2.9")),
            ("^0.3", None),
            ("0.9.0", None),
        ] {
            assert_eq!(newest(requirement, false).as_deref(), expected, "{requirement}");
        }
    }

    #[test]
    fn pre_releases_only_when_they_are_asked_for() {
        assert_eq!(newest("^0.3.0-rc.1", false).as_deref(), Some("0.3.0-rc.2"));
        assert_eq!(newest("0.3.0-rc.1", false).as_deref(), Some("0.3.0-rc.1"));
        assert_eq!(newest("^0.3", true).as_deref(), Some("0.3.0-rc.2"));
        assert_eq!(newest("latest", true).as_deref(), Some("1.0.0-alpha"));
        assert_eq!(newest("^0.2", true).as_deref(), Some("0.2.10"));
        assert_eq!(newest("<0.3.0", true).as_deref(), Some("0.2.10"));
    }

    #[test]
    fn one_version_needs_no_list() {
        for text in ["0.2.0", "=0.2.0", " 0.2.0 "] {
            assert_eq!(text.parse::<Requirement>().unwrap(), Version::new(0, 2, 0).into(), "{text}");
        }
    }

    #[test]
    fn what_is_no_requirement_is_said_with_what_was_meant() {
        for (text, suggestion) in
            [("v0.2.0", Some("0.2.0")), ("Latest", Some("latest")), ("", None), ("new", None), ("^", None)]
        {
            let error = text.parse::<Requirement>().unwrap_err();
            assert_eq!(error.suggestion.as_deref(), suggestion, "{text}");
        }
    }
}
