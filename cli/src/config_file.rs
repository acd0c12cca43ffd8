//! `config.toml`: what holds for every command of this user.

use std::path::{Path, PathBuf};
use std::{fs, io};

use directories::ProjectDirs;
use encoderfile_registry::{GitHubConfig, KeyId, Source, SourceError, Token, TrustedKeys};
use serde::Deserialize;

use crate::args::MAX_SECONDS;
use crate::suggestion::nearest;

const NAME: &str = "config.toml";

/// What the configuration file says. Paths are resolved against its folder while it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ConfigFile {
    pub(crate) cache_dir: Option<PathBuf>,
    #[serde(default)]
    pub(crate) no_download: bool,
    /// Public keys, files or keys, that count at every source without keys of its own.
    #[serde(default)]
    pub(crate) trusted_keys: Vec<String>,
    #[serde(default)]
    pub(crate) revoked_keys: Vec<KeyId>,
    /// In seconds, as the other times.
    pub(crate) lock_timeout: Option<u64>,
    pub(crate) connect_timeout: Option<u64>,
    pub(crate) idle_timeout: Option<u64>,
    pub(crate) retries: Option<u32>,
    /// In the order in which they are asked.
    #[serde(default, rename = "source")]
    pub(crate) sources: Vec<SourceTable>,
}

/// One `[[source]]`: exactly one of `github`, `url` and `directory`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct SourceTable {
    /// `owner/name`.
    github: Option<String>,
    server_url: Option<String>,
    api_url: Option<String>,
    /// Name of the environment variable that holds this server's token, in the place of `GITHUB_TOKEN`.
    pub(crate) token_variable: Option<String>,
    url: Option<String>,
    #[serde(default)]
    allow_http: bool,
    directory: Option<PathBuf>,
    /// If there are any, only these and those of `--trusted-key` count for what comes from here.
    #[serde(default)]
    pub(crate) trusted_keys: Vec<String>,
}

/// Why the configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigFileError {
    #[error("cannot read the configuration file `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot use the configuration file `{}`, line {line}, column {column}\n  cause: {message}", path.display())]
    Invalid { path: PathBuf, line: usize, column: usize, message: String, suggestion: Option<String> },
    #[error("cannot use the configuration file `{}`: `{key}` has to be from {least} to {MAX_SECONDS} seconds", path.display())]
    Seconds { path: PathBuf, key: &'static str, least: u64 },
    #[error("cannot use source {number} of the configuration file `{}`: {reason}", path.display())]
    Source { path: PathBuf, number: usize, reason: String },
}

impl ConfigFileError {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Invalid { suggestion: Some(name), .. } => Some(format!("did you mean `{name}`?")),
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("check the path in `--config` or ENCODERFILE_CONFIG".to_owned())
            }
            Self::Source { .. } => Some(
                "a source has one of `github = \"owner/name\"`, `url = \"https://…\"` and `directory = \"…\"`".to_owned(),
            ),
            _ => None,
        }
    }
}

impl ConfigFile {
    /// Where it is unless another place is named: the platform's configuration folder.
    pub(crate) fn default_path() -> Option<PathBuf> {
        ProjectDirs::from("", "", "encoderfile").map(|folders| folders.config_dir().join(NAME))
    }

    /// Reads the file that was named, or the one in the default place, which may be missing.
    pub(crate) fn read(named: Option<&Path>) -> Result<Self, ConfigFileError> {
        let Some(path) = named.map(Path::to_owned).or_else(Self::default_path) else {
            return Ok(Self::default());
        };
        let text = match fs::read_to_string(&path) {
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            result => result.map_err(|source| ConfigFileError::Read { path: path.clone(), source })?,
        };
        let mut file: Self = toml::from_str(&text).map_err(|error| invalid(&path, &text, &error))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let folders = file.sources.iter_mut().map(|source| &mut source.directory);
        for path in folders.chain([&mut file.cache_dir]).flatten() {
            *path = folder.join(&path);
        }
        let keys = file.sources.iter_mut().map(|source| &mut source.trusted_keys);
        for key in keys.chain([&mut file.trusted_keys]).flatten() {
            // A key, or the path of a file with keys.
            if TrustedKeys::none().add(key).is_err() {
                *key = folder.join(&*key).display().to_string();
            }
        }
        let seconds = [
            ("lock-timeout", file.lock_timeout, 0),
            ("connect-timeout", file.connect_timeout, 1),
            ("idle-timeout", file.idle_timeout, 1),
        ];
        for (key, value, least) in seconds {
            if value.is_some_and(|value| !(least..=MAX_SECONDS).contains(&value)) {
                return Err(ConfigFileError::Seconds { path, key, least });
            }
        }
        for (index, source) in file.sources.iter().enumerate() {
            source.check().map_err(|reason| ConfigFileError::Source {
                path: path.clone(),
                number: index + 1,
                reason,
            })?;
        }
        Ok(file)
    }
}

impl SourceTable {
    fn check(&self) -> Result<(), String> {
        let kinds = [self.github.is_some(), self.url.is_some(), self.directory.is_some()];
        let count = kinds.into_iter().filter(|is_given| *is_given).count();
        if count != 1 {
            let found = if count == 0 { "none" } else { "several" };
            return Err(format!("expected one of `github`, `url` and `directory`, found {found}"));
        }
        let of_github = [
            ("server-url", self.server_url.is_some()),
            ("api-url", self.api_url.is_some()),
            ("token-variable", self.token_variable.is_some()),
        ];
        match of_github.into_iter().find(|(_, is_given)| *is_given && self.github.is_none()) {
            Some((key, _)) => Err(format!("`{key}` belongs to a source with `github`")),
            None if self.allow_http && self.url.is_none() => {
                Err("`allow-http` belongs to a source with `url`".to_owned())
            }
            None => self.source(None).map(drop).map_err(|error| error.to_string()),
        }
    }

    /// The source, with this token if it is at GitHub.
    pub(crate) fn source(&self, token: Option<&Token>) -> Result<Source, SourceError> {
        if let Some(url) = &self.url {
            return Source::parse(url, self.allow_http);
        }
        if let Some(path) = &self.directory {
            return Ok(Source::Directory { path: path.clone() });
        }
        Source::github(&GitHubConfig {
            server_url: self.server_url.clone(),
            api_url: self.api_url.clone(),
            repository: self.github.clone(),
            token: token.cloned(),
        })
    }
}

fn invalid(path: &Path, text: &str, error: &toml::de::Error) -> ConfigFileError {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let message = error.message().to_owned();
    // "unknown field `a`, expected one of `b`, `c`"
    let mut names = message.split('`').skip(1).step_by(2);
    let suggestion = match (message.starts_with("unknown field"), names.next()) {
        (true, Some(unknown)) => nearest(unknown, names).map(str::to_owned),
        _ => None,
    };
    ConfigFileError::Invalid { path: path.to_owned(), line, column, message, suggestion }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ConfigFile, ConfigFileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        fs::write(&path, text).unwrap();
        ConfigFile::read(Some(&path))
    }

    #[test]
    fn a_source_is_one_thing() {
        for (text, reason) in [
            ("[[source]]", "found none"),
            ("[[source]]\nurl = 'https://a.example'\ndirectory = 'a'", "found several"),
            ("[[source]]\nurl = 'https://a.example'\napi-url = 'https://b.example'", "`api-url` belongs"),
            ("[[source]]\ndirectory = 'a'\nallow-http = true", "`allow-http` belongs"),
            ("[[source]]\nurl = 'http://a.example'", "plain HTTP"),
            ("[[source]]\ngithub = 'acme'", "owner/name"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("source 1"), "{error}");
        }
        let good =
            "[[source]]\nurl = 'http://a.example'\nallow-http = true\n[[source]]\ngithub = 'acme/models'";
        assert_eq!(read(good).unwrap().sources.len(), 2);
    }

    #[test]
    fn errors_point_at_line_and_column_and_suggest() {
        let error = read("retries = 1\n\n  cache_dir = 'a'").unwrap_err();
        assert!(error.to_string().contains("line 3, column 3"), "{error}");
        assert_eq!(error.hint().unwrap(), "did you mean `cache-dir`?");
        let error = read("retries = 'often'").unwrap_err();
        assert!(error.to_string().contains("line 1, column 11"), "{error}");
        for text in ["idle-timeout = 0", "lock-timeout = 9223372036854775807"] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("seconds"), "{error}");
        }
        let error = read("revoked-keys = ['abc']").unwrap_err();
        assert!(error.to_string().contains("16 upper-case hexadecimal digits"), "{error}");
    }

    #[test]
    fn paths_are_relative_to_the_file_and_keys_are_not_paths() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
        let text = format!("cache-dir = 'c'\ntrusted-keys = ['{key}', 'k.pub']\n[[source]]\ndirectory = 'd'");
        fs::write(&path, text).unwrap();
        let file = ConfigFile::read(Some(&path)).unwrap();
        assert_eq!(file.cache_dir.unwrap(), folder.path().join("c"));
        assert_eq!(file.trusted_keys, [key.to_owned(), folder.path().join("k.pub").display().to_string()]);
        assert_eq!(file.sources[0].directory.as_ref().unwrap(), &folder.path().join("d"));
    }
}
