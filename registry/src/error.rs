//! What can go wrong, with the exit code and the advice that belong to it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use semver::Version;

use crate::cache::EntryId;
use crate::digest::Digest;
use crate::download::connection::ConnectionError;
use crate::host::Platform;
use crate::index::Floor;
use crate::lockfile::LockfileError;
use crate::lockfile::pin::Pin;
use crate::requirement::Requirement;
use crate::source::SourceError;
use crate::target::{Target, UnknownTarget};
use crate::trust::{KeyError, KeyId, TrustError};

/// Why a base binary cannot be had.
///
/// `Display` is one error's own message; the reasons below it are its [`source`](std::error::Error::source) chain. What to
/// do next is [`hint`](Self::hint). Locations are shown without passwords.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A target without base binaries.
    #[error(transparent)]
    UnknownTarget(#[from] UnknownTarget),
    /// A source that cannot be used.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A trusted key that cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),

    /// Not in the cache, and nothing may be downloaded.
    #[error("base binary for `{target}` {version} is not in the cache{}", show_untrusted(.untrusted))]
    NotCached {
        /// What was asked for.
        target: Target,
        /// What was asked for.
        version: Version,
        /// Keys under which it is in the cache, none of which is trusted, and whether they are revoked.
        untrusted: Vec<(KeyId, bool)>,
    },
    /// To be downloaded again, but nothing may be downloaded.
    #[error("cannot fetch the base binary for `{target}` {version} again: downloads are turned off")]
    Offline {
        /// What was asked for.
        target: Target,
        /// What was asked for.
        version: Version,
    },
    /// The list of releases is at the sources, and nothing may be downloaded.
    #[error("cannot list the releases of a source: downloads are turned off")]
    OfflineList,
    /// No source has such a release.
    #[error("no release {version} at {}", quoted(.locations))]
    NoSuchRelease {
        /// What was asked for.
        version: Version,
        /// Where it was looked for.
        locations: Vec<String>,
        /// Whether one of these is a repository that may be private, for which there is no token.
        may_be_private: bool,
    },
    /// No release satisfies the requirement.
    #[error("no release satisfies `{requirement}`{}", list_known(.known))]
    NoVersion {
        /// What was asked for.
        requirement: Box<Requirement>,
        /// What there is, newest first.
        known: Vec<Version>,
        /// Whether there are pre-releases that would do.
        only_pre_releases: bool,
        /// Whether only the cache was looked at.
        offline: bool,
    },
    /// The newest release that a source has is older than one that was here before.
    #[error(
        "`{requirement}` would go back to an older release than this cache has seen\n  found: {found}, at {location}\n  seen:  {seen}"
    )]
    Downgrade {
        /// What was asked for.
        requirement: Box<Requirement>,
        /// The newest that is allowed and that the source has.
        found: Version,
        /// The newest that is allowed and that was here.
        seen: Box<Version>,
        /// Where it was looked for.
        location: String,
    },
    /// A mirror that does not say which versions it has.
    #[error("cannot tell which versions there are: no list at `{location}`")]
    NoList {
        /// Where the list would be.
        location: String,
    },
    /// No repository, or none that may be seen.
    #[error("no repository `{repository}` at `{location}`")]
    NoRepository {
        /// `owner/name`.
        repository: String,
        /// Where it was looked for.
        location: String,
        /// Whether a token was sent.
        authenticated: bool,
    },
    /// The source itself is not there.
    #[error("cannot look for releases: source `{location}` {problem}")]
    NoSuchSource {
        /// The source.
        location: String,
        /// What is wrong with it, to follow its name.
        problem: &'static str,
    },
    /// The release has nothing for this target.
    #[error("release {version} has no base binary for `{target}`{}", list_available(.available))]
    NoSuchTarget {
        /// What was asked for.
        target: Target,
        /// The release.
        version: Version,
        /// What it has.
        available: Vec<Target>,
    },
    /// The source does not have a file that belongs to the release.
    #[error("a file of release {version} is not at `{location}`")]
    NoSuchFile {
        /// The release.
        version: Version,
        /// Where the file should be.
        location: String,
    },
    /// The base binary does not start on this machine.
    #[error("base binary for `{target}` {version} does not run here\n  needs: {floor}\n  found: {found}")]
    HostTooOld {
        /// What was asked for.
        target: Target,
        /// What was asked for.
        version: Version,
        /// The oldest system that it runs on.
        floor: Floor,
        /// This machine's.
        found: Platform,
    },

    /// An index that no trusted key vouches for.
    #[error("cannot trust release {version}\n  index: {location}{}", show_note(.note.as_ref()))]
    Untrusted {
        /// What was asked for.
        version: Version,
        /// Where the index came from.
        location: String,
        /// Whether that is the cache.
        cached: bool,
        /// What is odd about the answer that the index came in.
        note: Option<String>,
        /// Why not.
        #[source]
        source: Box<TrustError>,
    },
    /// A download with other bytes than the signed index promises.
    #[error("`{location}` is not the file that was signed\n  expected: sha256 {expected}\n  found:    sha256 {found}{}", show_note(.note.as_ref()))]
    WrongBytes {
        /// Where the file came from.
        location: String,
        /// The signed digest.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
        /// What is odd about the answer that the file came in.
        note: Option<String>,
    },
    /// A download that is longer or shorter than the signed index promises.
    #[error("`{location}` is not the file that was signed\n  expected: {expected} bytes\n  found:    {found}{}", show_note(.note.as_ref()))]
    WrongLength {
        /// Where the file came from.
        location: String,
        /// The signed length.
        expected: u64,
        /// What came.
        found: String,
        /// What is odd about the answer that the file came in.
        note: Option<String>,
    },
    /// An archive with the signed hash, but without a usable base binary in it.
    #[error("archive for `{target}` {version} cannot be unpacked: {reason}")]
    BadArchive {
        /// What was asked for.
        target: Target,
        /// What was asked for.
        version: Version,
        /// What was found and what was expected.
        reason: String,
    },
    /// A cached base binary that was changed since it was installed.
    #[error(
        "cached base binary for `{}` {} does not match its signed index\n  file:     {}\n  expected: sha256 {expected}\n  found:    sha256 {found}{}",
        .id.target, .id.version, .path.display(), show_note(.note.as_ref())
    )]
    Corrupt {
        /// What it is.
        id: Box<EntryId>,
        /// The file.
        path: Box<Path>,
        /// The signed digest.
        expected: Digest,
        /// The digest of the file.
        found: Digest,
        /// Why it could not be taken out of use.
        note: Option<String>,
    },

    /// A base binary that was found damaged before.
    #[error("cached base binary for `{}` {} was damaged, and is out of use\n  file: {}", .id.target, .id.version, .path.display())]
    Quarantined {
        /// What it is.
        id: Box<EntryId>,
        /// The file, kept to be looked at.
        path: PathBuf,
    },

    /// No connection, or one that broke.
    #[error("cannot download `{location}`: {source}")]
    Network {
        /// What was asked for.
        location: String,
        /// Why not.
        #[source]
        source: ConnectionError,
    },
    /// An answer other than success.
    #[error("cannot download `{location}`: the server answered {status}{detail}")]
    Status {
        /// What was asked for.
        location: String,
        /// The HTTP status.
        status: reqwest::StatusCode,
        /// What else the server said, such as when a rate limit resets.
        detail: String,
    },
    /// Too many requests, for now.
    #[error("`{location}` asks to wait: the server answered {status}{}", show_reset(*.reset))]
    RateLimited {
        /// What was asked for.
        location: String,
        /// The HTTP status.
        status: reqwest::StatusCode,
        /// When the limit is lifted.
        reset: Option<Timestamp>,
        /// Whether a token was sent, where it is GitHub's API that was asked.
        authenticated: Option<bool>,
    },
    /// A list of releases that cannot be read.
    #[error("cannot use the answer of `{location}`: {reason}")]
    UnusableAnswer {
        /// What was asked for.
        location: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The connection closed before the file was complete.
    #[error("cannot download `{location}`: the connection closed after {received} of {expected} bytes")]
    Incomplete {
        /// What was asked for.
        location: String,
        /// What came.
        received: u64,
        /// The signed length.
        expected: u64,
    },

    /// Another process holds the lock for too long.
    #[error("gave up after {} s waiting for {} to release `{}`", .waited.as_secs(), show_holder(*.holder), .path.display())]
    LockTimeout {
        /// The lock file.
        path: PathBuf,
        /// The other process, where it is known.
        holder: Option<u32>,
        /// How long it was waited for.
        waited: Duration,
    },

    /// The file system refused.
    #[error("cannot {action} `{}`", .path.display())]
    Io {
        /// What was tried, to be followed by the path.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Something in the cache is to be removed, and this user may not write there.
    #[error("nothing can be removed from the cache `{}`: it cannot be written", .path.display())]
    ReadOnlyCache {
        /// The cache.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// A lockfile that cannot be used.
    #[error("cannot use lockfile `{}`", .path.display())]
    Lockfile {
        /// The lockfile.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: LockfileError,
    },
    /// A lockfile that the file system takes no new pins for.
    #[error("cannot write lockfile `{}`", .path.display())]
    WriteLockfile {
        /// The lockfile.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A release that is not the one that was pinned.
    #[error("release {} for `{}` is not the one that is pinned{}", .found.version, .found.target, show_differences(.pinned, .found))]
    PinMismatch {
        /// What the lockfile says.
        pinned: Box<Pin>,
        /// What the release is.
        found: Box<Pin>,
    },
    /// A bundle that cannot be imported.
    #[error("bundle `{origin}` cannot be imported: {reason}{}", show_member(.member.as_ref()))]
    BadBundle {
        /// Where it came from.
        origin: String,
        /// The member that it fails at.
        member: Option<String>,
        /// What was found and what was expected.
        reason: String,
    },
    /// A bundle could not be written to where it should go.
    #[error("cannot write the bundle")]
    WriteBundle {
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The disk has no room for the download and the unpacked binary.
    #[error("not enough space in `{}`\n  needed:    {needed} bytes\n  available: {available} bytes", .path.display())]
    NoSpace {
        /// The cache.
        path: PathBuf,
        /// Bytes.
        needed: u64,
        /// Bytes.
        available: u64,
    },
}

/// The result of what this crate does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// For `map_err`: what was tried on which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// The exit code of a program that stops for this: 1 failed, 2 usage, 3 not available, 4 verification failed, 5
    /// network, 6 lock timeout.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Io { .. }
            | Self::NoSpace { .. }
            | Self::ReadOnlyCache { .. }
            | Self::Lockfile { .. }
            | Self::WriteLockfile { .. }
            | Self::WriteBundle { .. } => 1,
            Self::Source(_) | Self::Key(_) => 2,
            Self::UnknownTarget(_)
            | Self::NotCached { .. }
            | Self::Offline { .. }
            | Self::OfflineList
            | Self::NoSuchRelease { .. }
            | Self::NoVersion { .. }
            | Self::NoList { .. }
            | Self::NoRepository { .. }
            | Self::NoSuchSource { .. }
            | Self::NoSuchTarget { .. }
            | Self::NoSuchFile { .. }
            | Self::HostTooOld { .. } => 3,
            Self::Untrusted { .. }
            | Self::Downgrade { .. }
            | Self::WrongBytes { .. }
            | Self::WrongLength { .. }
            | Self::BadArchive { .. }
            | Self::Corrupt { .. }
            | Self::Quarantined { .. }
            | Self::PinMismatch { .. }
            | Self::BadBundle { .. } => 4,
            Self::Network { .. }
            | Self::Status { .. }
            | Self::RateLimited { .. }
            | Self::UnusableAnswer { .. }
            | Self::Incomplete { .. } => 5,
            Self::LockTimeout { .. } => 6,
        }
    }

    /// Whether another source may help: this one cannot be asked, or cannot say what it has.
    pub(crate) const fn is_unreachable_source(&self) -> bool {
        matches!(self, Self::NoSuchSource { .. } | Self::NoList { .. } | Self::NoRepository { .. })
            || self.exit_code() == 5
    }
}

/// An error and the reasons below it, a line for each.
pub(crate) fn with_reasons(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(reason) = next {
        let message = reason.to_string();
        if !text.contains(&message) {
            text.push_str("\n  cause: ");
            text.push_str(&message);
        }
        next = reason.source();
    }
    text
}

fn quoted(locations: &[String]) -> String {
    locations.iter().map(|location| format!("`{location}`")).collect::<Vec<_>>().join(" and ")
}

fn list_known(known: &[Version]) -> String {
    const SHOWN: usize = 8;
    if known.is_empty() {
        return "\n  there is: none at all".to_owned();
    }
    let versions: Vec<_> = known.iter().take(SHOWN).map(Version::to_string).collect();
    let more = if known.len() > SHOWN { ", …" } else { "" };
    format!("\n  there is: {}{more}", versions.join(", "))
}

fn show_reset(reset: Option<Timestamp>) -> String {
    let Some(reset) = reset else { return String::new() };
    let minutes = (reset.as_second() - Timestamp::now().as_second()).max(0).unsigned_abs().div_ceil(60);
    format!(", its rate limit resets at {reset} (in {minutes} min)")
}

fn list_available(targets: &[Target]) -> String {
    if targets.is_empty() {
        return String::new();
    }
    let triples: Vec<_> = targets.iter().map(|target| target.triple()).collect();
    format!("\n  it has: {}", triples.join(", "))
}

fn show_untrusted(keys: &[(KeyId, bool)]) -> String {
    let note = |(key_id, is_revoked): &(KeyId, bool)| {
        let why = if *is_revoked { "revoked" } else { "not trusted" };
        format!("\n  note: it is there signed by {key_id}, which is {why}")
    };
    keys.iter().map(note).collect()
}

fn show_note(note: Option<&String>) -> String {
    note.map(|note| format!("\n  note: {note}")).unwrap_or_default()
}

/// Both sides of what differs, a line for each.
fn show_differences(pinned: &Pin, found: &Pin) -> String {
    let mut text = String::new();
    let facts = |pin: &Pin| {
        [
            ("version", pin.version.to_string()),
            ("key id", pin.key_id.to_string()),
            ("archive sha256", pin.archive_sha256.to_string()),
            ("binary sha256", pin.binary_sha256.to_string()),
        ]
    };
    for ((name, expected), (_, found)) in facts(pinned).into_iter().zip(facts(found)) {
        if expected != found {
            text.extend(["\n  expected: ", name, " ", &expected, "\n  found:    ", name, " ", &found]);
        }
    }
    text
}

fn show_member(member: Option<&String>) -> String {
    member.map(|member| format!("\n  member: {}", member.escape_debug())).unwrap_or_default()
}

fn show_holder(holder: Option<u32>) -> String {
    holder.map_or_else(|| "another process".to_owned(), |process| format!("process {process}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_messages_stand_in_backticks() {
        let (path, location, version) =
            (PathBuf::from("/a b"), || "/a b".to_owned(), || Version::new(0, 2, 0));
        let digest = Digest::of(b"");
        let status = reqwest::StatusCode::BAD_GATEWAY;
        for error in [
            Error::NoSuchRelease { version: version(), locations: vec![location()], may_be_private: false },
            Error::NoSuchSource { location: location(), problem: "does not exist" },
            Error::NoSuchFile { version: version(), location: location() },
            Error::WrongBytes { location: location(), expected: digest, found: digest, note: None },
            Error::WrongLength { location: location(), expected: 1, found: "more".to_owned(), note: None },
            Error::Status { location: location(), status, detail: String::new() },
            Error::Incomplete { location: location(), received: 1, expected: 2 },
            Error::LockTimeout { path: path.clone(), holder: None, waited: Duration::ZERO },
            Error::io("read", &path)(io::Error::other("damaged")),
            Error::NoSpace { path: path.clone(), needed: 2, available: 1 },
        ] {
            assert!(error.to_string().contains("`/a b`"), "{error}");
        }
    }
}
