//! Base binaries for encoderfiles: which file, for which target, from which release, proven by which signature, kept in
//! which cache.
//!
//! A *release* is a signed [`BaseIndex`] and one archive per [`Target`]. It comes from a [`Source`] (GitHub, a mirror, a
//! directory), which is never trusted: only what one of the [`TrustedKeys`] signed counts. [`Registry`] puts base binaries
//! into the cache and finds them there:
//!
//! | | network | bytes hashed | for |
//! |---|---|---|---|
//! | [`Registry::locate`] | never | no | `base path` (then [`BaseBinary::verify`]) |
//! | [`Registry::ensure`] | if it is not cached | no: the caller hashes while copying | `build` |
//! | [`Registry::fetch`] | if it is not cached, or damaged | yes | `base fetch` |
//! | [`Registry::ensure_pinned`] | if it is not cached | no: the caller hashes while copying | `build` with a [`Lockfile`] |
//! | [`Registry::plan_fetch`] | if it is not cached | no | `base fetch --dry-run` |
//! | [`Registry::list_cached`], [`Registry::known_releases`] | never | no | `base list` |
//! | [`Registry::known_release`] | never | no: the caller compares | `verify` |
//! | [`Registry::releases`] | always | no | `base list --remote` |
//! | [`Registry::verify`] | never | yes | `base verify` |
//! | [`Registry::export`] | never | yes | `base export` |
//! | [`Registry::import`] | never | yes | `base import` |
//! | [`Registry::remove`] | never | no | `base remove`, `base prune` with [`select_for_pruning`] |
//! | [`Registry::leftovers`] | never | no | `base prune` with [`Registry::remove_leftover`] |
//!
//! All of them name one [`semver::Version`]; [`Registry::resolve`] finds the one that a [`Requirement`] means.
//!
//! ```no_run
//! # async fn example() -> Result<(), encoderfile_registry::Error> {
//! use encoderfile_registry::{GitHubConfig, Host, Registry, RegistryConfig, Source, Target, TrustedKeys};
//!
//! let mut keys = TrustedKeys::compiled_in()?;
//! keys.add("release-key.pub")?; // a file, or the base64 key itself
//! let source = Source::github(&GitHubConfig::default())?; // or Source::parse("https://…" or "./dist", false)?
//! let mut config = RegistryConfig::new("cache".into(), source, keys);
//! config.offline = false; // true for --no-download and --offline
//! let registry = Registry::new(config);
//!
//! let version = semver::Version::new(0, 1, 0);
//! let host = Host::detect()?;
//! let base = registry.ensure(host.target, &version, Some(&host), &()).await?;
//! // Copy `base.path`, hash on the way; `base` holds the shared lock until it is dropped. On a mismatch:
//! // return Err(base.quarantine(found));
//!
//! let fetched = registry.fetch(Target::Aarch64AppleDarwin, &version, false, &()).await?;
//! println!("{} (cached: {})", fetched.base.path.display(), fetched.was_cached);
//! # Ok(())
//! # }
//! ```
//!
//! What puts releases where this crate finds them shares its ways: [`github_api`], carried by a client of
//! [`client_builder`], and what a [`RateLimit`] says.
//!
//! Futures need a Tokio runtime with time and I/O enabled; a current-thread one is enough. Errors carry their
//! [exit code](Error::exit_code) and [hint](Error::hint); their reasons are the `source()` chain. What happens meanwhile is
//! told to a [`Progress`].

mod archive;
mod base_binary;
mod bundle;
mod cache;
mod config;
mod digest;
mod download;
mod error;
mod fetch;
mod hint;
mod host;
mod index;
mod lockfile;
mod progress;
mod requirement;
mod resolve;
mod source;
mod target;
mod trust;
mod version;

pub use archive::MAX_WINDOW_LOG;
pub use base_binary::BaseBinary;
pub use bundle::export::ExportReport;
pub use cache::EntryId;
pub use cache::leftover::{Leftover, LeftoverKind, Reclaimed};
pub use cache::prune::select_for_pruning;
pub use cache::usage::{Share, Usage};
pub use config::{RegistryConfig, TrustedSource};
pub use digest::{Digest, InvalidDigest};
pub use download::client::{NetworkConfig, client_builder};
pub use download::connection::ConnectionError;
pub use download::rate_limit::RateLimit;
pub use error::{Error, Result};
pub use fetch::{Fetched, PlannedFetch};
pub use hint::fetch_command;
pub use host::{Host, Platform};
pub use index::{
    ArchiveFile, BaseIndex, BinaryFile, Floor, INDEX_NAME, IndexError, InvalidPlatformVersion,
    MAX_INDEX_SIZE, PROJECT, PlatformVersion, RUNTIME_MEMBER, SBOM_SUFFIX, SCHEMA, SIGNATURE_SUFFIX,
    TargetEntry, archive_trusted_comment, cli_archive_name, cli_sbom_name, further_signature_name,
    runtime_archive_name, runtime_sbom_name, trusted_comment,
};
pub use lockfile::pin::Pin;
pub use lockfile::{LOCKFILE_NAME, Lockfile, LockfileError};
pub use progress::Progress;
pub use requirement::{InvalidRequirement, Requirement};
pub use resolve::{CachedEntry, Registry};
pub use source::catalog::{ListedRelease, VERSIONS_NAME};
pub use source::github::api::{ApiError, github_api};
pub use source::token::{InvalidToken, Token};
pub use source::{
    DEFAULT_REPOSITORY, DEFAULT_SERVER, GitHubConfig, GitHubRepository, Location, Source, SourceError,
    redacted,
};
pub use target::{Architecture, ObjectFormat, Target, UnknownTarget};
pub use trust::{InvalidKeyId, KeyError, KeyId, SignedIndex, Standing, TrustError, TrustedKey, TrustedKeys};
pub use version::Wanted;
