//! Where releases come from. A source is never trusted: it only has to have the right bytes.

pub(crate) mod catalog;
pub(crate) mod github;
pub(crate) mod release;
pub(crate) mod token;

use std::path::{Path, PathBuf};
use std::{fmt, io};

use semver::Version;
use url::{Host, Url};

use crate::index::INDEX_NAME;
use crate::source::github::api::ApiError;
use crate::source::token::Token;

/// The repository of the project's own releases.
pub const DEFAULT_REPOSITORY: &str = "encoderfile/encoderfile";
/// The server of the project's own releases.
pub const DEFAULT_SERVER: &str = "https://github.com";
/// The API of [`DEFAULT_SERVER`].
const DEFAULT_API: &str = "https://api.github.com";
/// Where a GitHub Enterprise server has its API.
const ENTERPRISE_API: [&str; 2] = ["api", "v3"];

/// Where releases come from.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// GitHub releases by their plain download URLs, which cost no API call and know no rate limit. The API is asked for
    /// what has no plain URL: the list of releases, and the files of private repositories.
    GitHub(GitHubRepository),
    /// Any web server with the layout `{base}/v{version}/{file}`.
    Mirror {
        /// What the layout starts from.
        base: Url,
        /// Whether plain HTTP was explicitly allowed.
        allow_http: bool,
    },
    /// A directory with the layout `{path}/v{version}/{file}`, or one that holds the files of a release itself.
    Directory {
        /// The directory.
        path: PathBuf,
    },
}

/// A repository at GitHub, or at a GitHub Enterprise server.
#[derive(Clone, PartialEq, Eq)]
pub struct GitHubRepository {
    /// Where people look at it.
    pub server: Url,
    /// Where programs ask.
    pub api: Url,
    /// `owner/name`.
    pub repository: String,
    /// A secret of the API's host.
    pub token: Option<Token>,
}

impl GitHubRepository {
    /// The repository that `config` names, or else the project's own.
    pub fn new(config: &GitHubConfig) -> Result<Self, SourceError> {
        let repository = config.repository.as_deref().unwrap_or(DEFAULT_REPOSITORY);
        let plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        match repository.split('/').collect::<Vec<_>>()[..] {
            [owner, name] if plain(owner) && plain(name) => {}
            _ => return Err(SourceError::Repository { found: repository.to_owned() }),
        }
        let server = base_url(config.server_url.as_deref().unwrap_or(DEFAULT_SERVER), false)?;
        let api = match &config.api_url {
            Some(api) => base_url(api, false)?,
            None if server.host_str() == Some("github.com") => base_url(DEFAULT_API, false)?,
            None => join(&server, ENTERPRISE_API),
        };
        Ok(Self { server, api, repository: repository.to_owned(), token: config.token.clone() })
    }

    /// Both parts of its name.
    pub fn owner_and_name(&self) -> (&str, &str) {
        self.repository.split_once('/').expect("checked when it was made")
    }

    /// An answer's addresses may lead where its redirects may: to HTTPS, or from this machine to itself.
    pub fn check_address(&self, url: &Url) -> Result<(), ApiError> {
        let local = || url.scheme() == "http" && self.api.scheme() == "http" && is_loopback(url);
        if url.scheme() == "https" || local() {
            return Ok(());
        }
        let reason = format!("it leads to `{}`, which is not HTTPS", redacted(url));
        Err(ApiError::Unusable { reason })
    }

    /// Whether a token for the one is a token for the other.
    pub fn is_at_same_server(&self, other: &Self) -> bool {
        (self.server.origin(), self.api.origin()) == (other.server.origin(), other.api.origin())
    }
}

/// What the user may change about the default source. The program reads the environment; this crate does not.
#[derive(Clone, Debug, Default)]
pub struct GitHubConfig {
    /// `GITHUB_SERVER_URL`.
    pub server_url: Option<String>,
    /// `GITHUB_API_URL`. Otherwise the API that belongs to the server.
    pub api_url: Option<String>,
    /// `ENCODERFILE_GITHUB_REPO`.
    pub repository: Option<String>,
    /// `GH_TOKEN` or `GITHUB_TOKEN`: a secret of the API's host.
    pub token: Option<Token>,
}

/// One file of a source.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// To be downloaded.
    Url {
        /// The address.
        url: Url,
        /// Whether plain HTTP is allowed, beyond loopback.
        allow_http: bool,
    },
    /// To be downloaded from GitHub's API, which redirects to where the bytes are.
    Asset {
        /// The address at the API.
        url: Url,
        /// For the API's host alone.
        token: Option<Token>,
    },
    /// To be copied.
    Path(PathBuf),
}

/// A source that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Not a URL.
    #[error("`{text}` is not a usable URL")]
    Url {
        /// What was given.
        text: String,
        /// Why not.
        source: url::ParseError,
    },
    /// A URL of a kind that is not supported.
    #[error("cannot use source `{url}`: {reason}")]
    Unsupported {
        /// What was given, without a password.
        url: String,
        /// Why not.
        reason: &'static str,
    },
    /// Not `owner/name`.
    #[error("`{found}` is not a GitHub repository: expected `owner/name`")]
    Repository {
        /// What was given.
        found: String,
    },
}

impl Source {
    /// GitHub releases, of the project itself unless `config` says otherwise.
    pub fn github(config: &GitHubConfig) -> Result<Self, SourceError> {
        GitHubRepository::new(config).map(Self::GitHub)
    }

    /// What `--source` takes: a URL is a mirror, everything else is a directory. Plain HTTP needs `allow_http` unless the
    /// server is on this machine.
    pub fn parse(text: &str, allow_http: bool) -> Result<Self, SourceError> {
        if text.is_empty() {
            return Err(SourceError::Unsupported { url: String::new(), reason: "it is empty" });
        }
        if !text.contains("://") {
            return Ok(Self::Directory { path: PathBuf::from(text) });
        }
        if text.starts_with("file://") {
            let url = parse_url(text)?;
            let unsupported =
                |()| SourceError::Unsupported { url: redacted(&url), reason: "not a local path" };
            return Ok(Self::Directory { path: url.to_file_path().map_err(unsupported)? });
        }
        Ok(Self::Mirror { base: base_url(text, allow_http)?, allow_http })
    }

    /// Where this source has `file` of the release `version`.
    pub fn locate(&self, version: &Version, file: &str) -> Location {
        let tag = format!("v{version}");
        match self {
            Self::GitHub(GitHubRepository { server, repository, .. }) => {
                let url = join(server, repository.split('/').chain(["releases", "download", &tag, file]));
                Location::Url { url, allow_http: false }
            }
            Self::Mirror { base, allow_http } => {
                Location::Url { url: join(base, [&*tag, file]), allow_http: *allow_http }
            }
            Self::Directory { path } => Location::Path(release_directory(path, &tag).join(file)),
        }
    }

    /// Whether it may be a private repository, which nobody has shown a token for.
    pub(crate) fn may_be_private(&self) -> bool {
        matches!(self, Self::GitHub(GitHubRepository { token: None, .. }))
    }

    /// Why nothing at all can be here, where that shows without looking for a file.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let Self::Directory { path } = self else { return None };
        match std::fs::metadata(path) {
            Ok(metadata) if !metadata.is_dir() => Some("is not a directory"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some("does not exist"),
            // Another failure is told, with its reason, by what reads a file there.
            _ => None,
        }
    }
}

/// A directory may be one release. The versioned form wins, so that a `dist` with several releases never mixes them.
fn release_directory(path: &Path, tag: &str) -> PathBuf {
    let versioned = path.join(tag);
    if !versioned.join(INDEX_NAME).exists() && path.join(INDEX_NAME).exists() {
        return path.to_owned();
    }
    versioned
}

fn parse_url(text: &str) -> Result<Url, SourceError> {
    Url::parse(text).map_err(|source| {
        // What does not parse may still hold a password.
        let text = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
        SourceError::Url { text: text.chars().take(200).collect(), source }
    })
}

fn base_url(text: &str, allow_http: bool) -> Result<Url, SourceError> {
    let url = parse_url(text)?;
    let refuse = |reason| Err(SourceError::Unsupported { url: redacted(&url), reason });
    match url.scheme() {
        "https" => {}
        "http" if allow_http || is_loopback(&url) => {}
        "http" => {
            return refuse("plain HTTP is only for this machine: use HTTPS, or allow it with `--allow-http`");
        }
        _ => return refuse("expected an https:// URL or a directory"),
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("file names are appended to it, so it cannot have a query or fragment");
    }
    Ok(url)
}

pub(crate) fn join<'a>(base: &Url, segments: impl IntoIterator<Item = &'a str>) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// Whether the server is on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The URL without a user name, password, or query, any of which may be a secret.
pub fn redacted(url: &Url) -> String {
    let mut url = url.clone();
    if !url.username().is_empty() || url.password().is_some() {
        // Fails only for URLs that can have neither.
        let _ = url.set_password(None);
        let _ = url.set_username("redacted");
    }
    if url.query().is_some() {
        url.set_query(Some("redacted"));
    }
    url.to_string()
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GitHub(GitHubRepository { server, repository, .. }) => {
                f.write_str(&redacted(&join(server, repository.split('/').chain(["releases"]))))
            }
            Self::Mirror { base, .. } => f.write_str(&redacted(base)),
            Self::Directory { path } => write!(f, "{}", path.display()),
        }
    }
}

// Written by hand, because that of a URL has its password.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GitHub(at) => at.fmt(f),
            Self::Mirror { base, allow_http } => f
                .debug_struct("Mirror")
                .field("base", &redacted(base))
                .field("allow_http", allow_http)
                .finish(),
            Self::Directory { path } => f.debug_struct("Directory").field("path", path).finish(),
        }
    }
}

impl fmt::Debug for GitHubRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, api, repository, token } = self;
        f.debug_struct("GitHubRepository")
            .field("server", &redacted(server))
            .field("api", &redacted(api))
            .field("repository", repository)
            .field("token", token)
            .finish()
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { url, .. } | Self::Asset { url, .. } => f.write_str(&redacted(url)),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url_of(source: &Source) -> String {
        source.locate(&Version::new(0, 2, 0), INDEX_NAME).to_string()
    }

    #[test]
    fn github_is_a_plain_download_url() {
        let source = Source::github(&GitHubConfig::default()).unwrap();
        assert_eq!(
            url_of(&source),
            "https://github.com/encoderfile/encoderfile/releases/download/v0.2.0/base-index.json"
        );
        let config = GitHubConfig {
            server_url: Some("https://ghe.example.com/".to_owned()),
            repository: Some("acme/models".to_owned()),
            ..GitHubConfig::default()
        };
        assert_eq!(
            url_of(&Source::github(&config).unwrap()),
            "https://ghe.example.com/acme/models/releases/download/v0.2.0/base-index.json"
        );
        for repository in ["", "acme", "acme/a/b", "../x", "acme/", "a b/c"] {
            let config = GitHubConfig { repository: Some(repository.to_owned()), ..GitHubConfig::default() };
            assert!(Source::github(&config).is_err(), "{repository}");
        }
    }

    #[test]
    fn a_mirror_is_https_or_this_machine() {
        for (text, expected) in [
            ("https://m.example.com/e", "https://m.example.com/e/v0.2.0/base-index.json"),
            ("https://m.example.com/e/", "https://m.example.com/e/v0.2.0/base-index.json"),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v0.2.0/base-index.json"),
            ("http://[::1]:8000/a", "http://[::1]:8000/a/v0.2.0/base-index.json"),
            ("http://localhost/a%20b", "http://localhost/a%20b/v0.2.0/base-index.json"),
        ] {
            assert_eq!(url_of(&Source::parse(text, false).unwrap()), expected);
        }
        for text in [
            "http://m.example.com",
            "ftp://m.example.com",
            "https://m/?a=b",
            "https://",
            "",
            "http://localhost.evil",
        ] {
            assert!(Source::parse(text, false).is_err(), "{text}");
        }
        assert!(Source::parse("http://m.example.com", true).is_ok());
    }

    #[test]
    fn a_server_has_its_own_api() {
        for (server, api, expected) in [
            (None, None, "https://api.github.com/"),
            (Some("https://github.com/"), None, "https://api.github.com/"),
            (Some("https://ghe.example.com"), None, "https://ghe.example.com/api/v3"),
            (Some("https://ghe.example.com/"), None, "https://ghe.example.com/api/v3"),
            (Some("https://ghe.example.com:8443/git/"), None, "https://ghe.example.com:8443/git/api/v3"),
            (Some("https://github.com.example.com"), None, "https://github.com.example.com/api/v3"),
            (Some("https://ghe.example.com"), Some("https://api.example.com"), "https://api.example.com/"),
            (None, Some("https://api.example.com/v3"), "https://api.example.com/v3"),
        ] {
            let [server_url, api_url] = [server, api].map(|url| url.map(str::to_owned));
            let config = GitHubConfig { server_url, api_url, ..GitHubConfig::default() };
            let Source::GitHub(at) = Source::github(&config).unwrap() else { unreachable!() };
            assert_eq!(at.api.as_str(), expected, "{server:?} {api:?}");
        }
    }

    #[test]
    fn secrets_in_urls_are_not_shown() {
        let source = Source::parse("https://me:hunter2@m.example.com/e", false).unwrap();
        let location = source.locate(&Version::new(0, 2, 0), INDEX_NAME);
        assert!(!format!("{source:?} {location:?}").contains("hunter2"));
        assert_eq!(source.to_string(), "https://redacted@m.example.com/e");
        assert!(!url_of(&source).contains("hunter2"));
        let error = Source::parse("http://me:hunter2@m.example.com/e", false).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        let error = Source::parse("https://me:hunter2@:x", false).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn a_directory_is_a_tree_of_releases_or_one_release() {
        let folder = tempfile::tempdir().unwrap();
        let source = Source::parse(folder.path().to_str().unwrap(), false).unwrap();
        let location = |source: &Source| source.locate(&Version::new(0, 2, 0), INDEX_NAME);
        assert_eq!(location(&source), Location::Path(folder.path().join("v0.2.0").join(INDEX_NAME)));
        std::fs::write(folder.path().join(INDEX_NAME), "").unwrap();
        assert_eq!(location(&source), Location::Path(folder.path().join(INDEX_NAME)));
        std::fs::create_dir(folder.path().join("v0.2.0")).unwrap();
        std::fs::write(folder.path().join("v0.2.0").join(INDEX_NAME), "").unwrap();
        assert_eq!(location(&source), Location::Path(folder.path().join("v0.2.0").join(INDEX_NAME)));
    }
}
