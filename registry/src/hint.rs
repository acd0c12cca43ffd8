//! What to do next, for each error.

use semver::Version;

use crate::error::Error;
use crate::target::Target;
use crate::trust::TrustError;

const DAMAGED: &str =
    "nothing was installed: the source, or something on the way, changed the release; use another `--source`";

impl Error {
    /// What to do next, for the `hint:` line. A command in it ends with `options`, such as ` --cache-dir DIR`: what the
    /// command needs to mean the same cache, keys and source. Empty where the defaults are meant.
    #[expect(clippy::too_many_lines, reason = "one arm for each error")]
    pub fn hint(&self, options: &str) -> Option<String> {
        let hint = match self {
            Self::UnknownTarget(error) => error.hint(),
            Self::NotCached { untrusted, .. } if untrusted.iter().any(|(_, is_revoked)| !is_revoked) => {
                "if you know from elsewhere that the key is the publisher's, add it with `--trusted-key FILE-OR-KEY`".to_owned()
            }
            Self::NotCached { target, version, .. } => {
                format!("fetch it, while there is a network, with `{}`", fetch_command(*target, version, options))
            }
            Self::Offline { .. } => "run it again without `--offline` and `--no-download`".to_owned(),
            Self::Untrusted { version, cached: true, source, .. } if source.is_damage() => {
                format!("repair the cache with `encoderfile base fetch --runtime-version {version}{options}`")
            }
            Self::OfflineList => "leave out `--remote`, or run it again without `--offline` and `--no-download`".to_owned(),
            Self::NoSuchRelease { may_be_private: true, .. } => format!(
                "`encoderfile base list --remote{options}` shows which there are; a private repository needs a token in GITHUB_TOKEN"
            ),
            Self::NoVersion { only_pre_releases: true, .. } => {
                "there are pre-releases that would do: allow them with `--pre`".to_owned()
            }
            Self::NoVersion { offline: true, requirement, .. } => {
                let command = format!("encoderfile base fetch --runtime-version '{requirement}'{options}");
                format!("fetch one, while there is a network, with `{command}`")
            }
            Self::NoSuchRelease { .. } | Self::NoVersion { .. } => {
                format!("`encoderfile base list --remote{options}` shows which there are")
            }
            Self::Downgrade { .. } => {
                "the source may be an outdated mirror, or hide a release; use it all the same with `--allow-downgrade`"
                    .to_owned()
            }
            Self::NoList { .. } => format!(
                "name the version itself; or list the mirror's versions there, as in `[\"{}\"]`",
                env!("CARGO_PKG_VERSION")
            ),
            Self::NoRepository { authenticated: true, .. } => {
                "check the name, and that the token in GH_TOKEN or GITHUB_TOKEN may read this repository".to_owned()
            }
            Self::NoRepository { .. } => {
                "check the name in ENCODERFILE_GITHUB_REPO; a private repository needs a token in GITHUB_TOKEN".to_owned()
            }
            Self::RateLimited { authenticated: Some(false), .. } => {
                "GitHub answers 60 requests an hour without a token and 5000 with one: set GITHUB_TOKEN; \
                 or name the version itself, which needs no request to the API"
                    .to_owned()
            }
            Self::RateLimited { authenticated: Some(true), .. } => {
                "wait until then; or name the version itself, which needs no request to the API in a public repository"
                    .to_owned()
            }
            Self::RateLimited { authenticated: None, .. } => {
                "wait until then, or use another `--source`".to_owned()
            }
            Self::Status { status, .. } if *status == reqwest::StatusCode::UNAUTHORIZED => {
                "check the token in GH_TOKEN or GITHUB_TOKEN: it may have expired".to_owned()
            }
            Self::NoSuchSource { .. } => "check the directory that `--source`, ENCODERFILE_BASE_BINARY_BASE_URL or config.toml names; \
                 the address of a server begins with `https://`"
                .to_owned(),
            Self::NoSuchFile { .. } => {
                "the release may still be being uploaded or mirrored; try again later or use another `--source`".to_owned()
            }
            Self::NoSuchTarget { .. } | Self::HostTooOld { .. } => {
                "build the runtime for that system, and give its file to `encoderfile build` with `--base-binary-path`".to_owned()
            }
            Self::Untrusted { source, .. } => match &**source {
                TrustError::NoKeys => {
                    "name the key that signs your releases with `--trusted-key FILE-OR-KEY` or ENCODERFILE_TRUSTED_KEYS"
                        .to_owned()
                }
                TrustError::Revoked { .. } => {
                    "do not use what this key has signed: its publisher has to sign the release with another".to_owned()
                }
                TrustError::UnknownKey { key_id, .. } => format!(
                    "if you know from elsewhere that key {key_id} is the publisher's, add it with `--trusted-key FILE-OR-KEY`"
                ),
                _ => DAMAGED.to_owned(),
            },
            Self::WrongBytes { .. } | Self::WrongLength { .. } => DAMAGED.to_owned(),
            Self::Corrupt { id, .. } | Self::Quarantined { id, .. } => {
                format!("fetch it again with `{}`", fetch_command(id.target, &id.version, options))
            }
            Self::UnusableAnswer { .. } => "name the version itself, or use another `--source`".to_owned(),
            Self::Network { .. } | Self::Status { .. } | Self::Incomplete { .. } => {
                "run the same command again, which continues an archive that has begun; or use another `--source`".to_owned()
            }
            Self::LockTimeout { .. } => "try again when the other process is done, or raise `--lock-timeout`".to_owned(),
            Self::NoSpace { .. } => "make room, or name another directory with `--cache-dir`".to_owned(),
            Self::ReadOnlyCache { .. } => {
                "run it again as the user that the cache belongs to, or name another directory with `--cache-dir`".to_owned()
            }
            Self::Lockfile { source, .. } => source.hint().to_owned(),
            Self::WriteLockfile { .. } => {
                "what was built stays, but is not pinned: build again when there is room and leave to write, or name another \
                 file with `--lockfile`"
                    .to_owned()
            }
            Self::PinMismatch { .. } => "the release was signed again with other bytes, or by another key: find out why, \
                 then move the pin on purpose with `encoderfile build --update-base`"
                .to_owned(),
            Self::BadBundle { .. } => "export it again with `encoderfile base export`".to_owned(),
            // What is only read may be the source's.
            Self::Io { action, .. } if *action != "read" => "name another directory with `--cache-dir`".to_owned(),
            Self::WriteBundle { .. } | Self::Io { .. } | Self::Source(_) | Self::Key(_) | Self::BadArchive { .. } => return None,
        };
        Some(hint)
    }
}

/// The command that puts a base binary into the cache, and repairs one that is damaged. It ends with `options`, as the
/// commands of [`Error::hint`] do.
pub fn fetch_command(target: Target, version: &Version, options: &str) -> String {
    format!("encoderfile base fetch --target {target} --runtime-version {version}{options}")
}
