//! `encoderfile.lock`: which base binaries a project is built on, to the byte.
//!
//! A version can be tagged again, and signed again, with other bytes. The lockfile notices: it pins what the signed index
//! said when the project was built first. It is made for review, so the same pins always give the same bytes.

pub(crate) mod pin;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use toml::Spanned;

use crate::cache::lock::{Mode, has_no_locks, try_lock};
use crate::cache::{ignore_missing, is_missing};
use crate::error::{Error, Result};
use crate::lockfile::pin::Pin;
use crate::target::Target;

/// File name of the lockfile, beside `encoderfile.yml`.
pub const LOCKFILE_NAME: &str = "encoderfile.lock";

/// The form that this version reads and writes.
const FORM: i64 = 1;
/// A lockfile is a kilobyte.
const MAX_SIZE: u64 = 1 << 20;
const HEAD: &str = "# The base binaries that this project is built on, pinned by `encoderfile build`.\n\
    # Commit this file. `encoderfile build --update-base` moves the pins.\n";
/// Temporary files end so, as those of encoderfiles do. Nobody else names a file so, which matters since they are removed.
const TEMPORARY_SUFFIX: &str = ".encoderfile-partial";
/// Random characters before that.
const RANDOM: usize = 6;
/// How long to wait for other builds of the same project, which need a moment each.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);

/// The pins of a project, at most one for each target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lockfile {
    /// By target.
    pub pins: BTreeMap<Target, Pin>,
}

/// Why a text is not a usable lockfile. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LockfileError {
    /// No lockfile is that long.
    #[error("it has more than {MAX_SIZE} bytes")]
    TooLong,
    /// Git left both sides of a merge in it.
    #[error("line {line} is a conflict marker of git: a merge was not finished")]
    Conflict {
        /// The line of the first marker.
        line: usize,
    },
    /// A form that this version does not know.
    #[error(
        "line {line}, column {column}: it was made by a later version of encoderfile (form {found}, this one reads {FORM})"
    )]
    LaterVersion {
        /// The document's form.
        found: i64,
        /// Where.
        line: usize,
        /// Where.
        column: usize,
    },
    /// Two pins for one target.
    #[error("line {line}, column {column}: `{target}` is pinned twice")]
    DuplicateTarget {
        /// The target.
        target: Target,
        /// Where it is pinned again.
        line: usize,
        /// Where it is pinned again.
        column: usize,
    },
    /// Not text, not TOML, or not of this form.
    #[error("line {line}, column {column}: {reason}")]
    Malformed {
        /// Where.
        line: usize,
        /// Where.
        column: usize,
        /// What was found and what was expected.
        reason: String,
    },
}

impl LockfileError {
    pub(crate) const fn hint(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => {
                "choose the pins of one side, or delete the file and run `encoderfile build`, which pins anew"
            }
            Self::LaterVersion { .. } => "use the version of encoderfile that wrote it, or a later one",
            _ => "restore it from version control, or delete it and run `encoderfile build`, which pins anew",
        }
    }
}

impl Lockfile {
    /// The lockfile at `path`; `None` where there is none. [`Error::Lockfile`] where it cannot be used.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        match read_bytes(path)? {
            Some(bytes) => parse_at(path, &bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Reads the text of a lockfile.
    pub fn parse(bytes: &[u8]) -> Result<Self, LockfileError> {
        if bytes.len() as u64 > MAX_SIZE {
            return Err(LockfileError::TooLong);
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
                let (line, column) = position(&valid, valid.len());
                return Err(LockfileError::Malformed { line, column, reason: "it is not text".to_owned() });
            }
        };
        let is_marker =
            |line: &str| ["<<<<<<<", "|||||||", ">>>>>>>"].iter().any(|marker| line.starts_with(marker));
        if let Some(index) = text.lines().position(is_marker) {
            return Err(LockfileError::Conflict { line: index + 1 });
        }
        let malformed = |error: toml::de::Error| {
            let (line, column) = position(text, error.span().map_or(0, |span| span.start));
            LockfileError::Malformed { line, column, reason: error.message().to_owned() }
        };
        // The form first: a later one must be called that, and not an unknown key.
        let head: Head = toml::from_str(text).map_err(malformed)?;
        let (line, column) = position(text, head.version.span().start);
        match head.version.into_inner() {
            FORM => {}
            found if found > FORM => return Err(LockfileError::LaterVersion { found, line, column }),
            found => {
                let reason = format!("`{found}` is not the version of a lockfile: expected {FORM}");
                return Err(LockfileError::Malformed { line, column, reason });
            }
        }
        let document: Document = toml::from_str(text).map_err(malformed)?;
        let mut pins = BTreeMap::new();
        for pin in document.base {
            let (line, column) = position(text, pin.span().start);
            let pin = pin.into_inner();
            let target = pin.target;
            if pins.insert(target, pin).is_some() {
                return Err(LockfileError::DuplicateTarget { target, line, column });
            }
        }
        Ok(Self { pins })
    }

    /// The file's text: ordered by target, keys in a fixed order, one line feed at the end.
    pub fn to_toml(&self) -> String {
        let mut text = format!("{HEAD}version = {FORM}\n");
        for pin in self.pins.values() {
            let Pin { target, version, key_id, archive_sha256, binary_sha256 } = pin;
            // None of these holds a character that TOML would have escaped.
            let written = write!(
                text,
                "\n[[base]]\ntarget = \"{target}\"\nversion = \"{version}\"\nkey-id = \"{key_id}\"\n\
                 archive-sha256 = \"{archive_sha256}\"\nbinary-sha256 = \"{binary_sha256}\"\n"
            );
            written.expect("a string takes everything");
        }
        text
    }

    /// These pins, and those of `self` for other targets.
    #[must_use]
    pub fn merged(mut self, pins: impl IntoIterator<Item = Pin>) -> Self {
        self.pins.extend(pins.into_iter().map(|pin| (pin.target, pin)));
        self
    }

    /// Puts `pins` into the lockfile at `path`, which is created if it is not there, and keeps those for other targets.
    /// Returns whether the file changed: it is not touched where it says the same already.
    ///
    /// The file is read again and replaced as a whole, under a lock of its directory, so that two builds at once lose
    /// nothing, and whoever reads it meanwhile sees the old one or the new one. On a file system without locks it goes on
    /// without.
    pub fn update(path: &Path, pins: impl IntoIterator<Item = Pin>) -> Result<bool> {
        // A link stays a link, and what it leads to is replaced.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let directory = match target.parent() {
            Some(directory) if directory != Path::new("") => directory.to_owned(),
            _ => PathBuf::from("."),
        };
        let name = target.file_name().unwrap_or(LOCKFILE_NAME.as_ref()).to_string_lossy().into_owned();
        let lock = DirectoryLock::acquire(&directory)?;
        if lock.directory.is_some() {
            remove_abandoned(&directory, &name)?;
        }
        let before = read_bytes(path)?;
        let lockfile =
            before.as_deref().map_or_else(|| Ok(Self::default()), |bytes| parse_at(path, bytes))?;
        let after = lockfile.merged(pins).to_toml();
        if before.is_some_and(|before| before == after.as_bytes()) {
            return Ok(false);
        }
        write(&directory, &name, &after)
            .map_err(|source| Error::WriteLockfile { path: directory.join(&name), source })?;
        Ok(true)
    }
}

#[derive(Deserialize)]
struct Head {
    version: Spanned<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "version")]
    _version: i64,
    #[serde(default)]
    base: Vec<Spanned<Pin>>,
}

/// What the names of temporary files for this lockfile begin with.
fn prefix(name: &str) -> String {
    format!(".{name}.")
}

/// Replaces the file as a whole.
fn write(directory: &Path, name: &str, text: &str) -> io::Result<()> {
    let mut file = tempfile::Builder::new()
        .prefix(&prefix(name))
        .rand_bytes(RANDOM)
        .suffix(TEMPORARY_SUFFIX)
        .tempfile_in(directory)?;
    // The file itself: its wrapper would put the temporary name into the message.
    file.as_file_mut().write_all(text.as_bytes())?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(directory.join(name)).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

/// Removes what dead builds left. The caller holds the lock of the directory, so nobody alive writes here.
fn remove_abandoned(directory: &Path, name: &str) -> Result<()> {
    let prefix = prefix(name);
    for item in fs::read_dir(directory).map_err(Error::io("read directory", directory))?.flatten() {
        let name = item.file_name();
        let name = name.to_string_lossy();
        let random = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(TEMPORARY_SUFFIX));
        if random.is_some_and(|random| random.len() == RANDOM) {
            ignore_missing(fs::remove_file(item.path())).map_err(Error::io("remove", &item.path()))?;
        }
    }
    Ok(())
}

/// At most one byte more than is allowed.
fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if is_missing(&error) => return Ok(None),
        result => result.map_err(Error::io("read", path))?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    Ok(Some(bytes))
}

fn parse_at(path: &Path, bytes: &[u8]) -> Result<Lockfile> {
    Lockfile::parse(bytes).map_err(|source| Error::Lockfile { path: path.to_owned(), source })
}

/// Line and column, from 1, of a byte of `text`.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Keeps other builds out of a directory's lockfile. The lockfile itself is replaced, so it cannot be what is locked.
struct DirectoryLock {
    directory: Option<File>,
}

impl DirectoryLock {
    fn acquire(path: &Path) -> Result<Self> {
        let directory = File::open(path).map_err(Error::io("open directory", path))?;
        let start = Instant::now();
        loop {
            match try_lock(&directory, Mode::Exclusive) {
                Ok(()) => return Ok(Self { directory: Some(directory) }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) if has_no_locks(&error) => {
                    return Ok(Self { directory: None });
                }
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
            }
            if start.elapsed() >= PATIENCE {
                return Err(Error::LockTimeout {
                    path: path.to_owned(),
                    holder: None,
                    waited: start.elapsed(),
                });
            }
            thread::sleep(PAUSE);
        }
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            // As in `Lock`.
            let _ = fs4::FileExt::unlock(directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::digest::Digest;

    const LINUX: Target = Target::X86_64LinuxGnu;
    const MAC: Target = Target::Aarch64AppleDarwin;

    fn pin(target: Target, version: &str) -> Pin {
        Pin {
            target,
            version: version.parse().unwrap(),
            key_id: "0123456789ABCDEF".parse().unwrap(),
            archive_sha256: Digest::of(b"archive"),
            binary_sha256: Digest::of(b"binary"),
        }
    }

    fn lockfile() -> Lockfile {
        Lockfile::default().merged([pin(LINUX, "0.2.0"), pin(MAC, "0.3.0-rc.1+build.5")])
    }

    fn error(text: &str) -> LockfileError {
        Lockfile::parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn the_text_is_made_for_review() {
        let archive = Digest::of(b"archive");
        let binary = Digest::of(b"binary");
        let expected = format!(
            r#"# The base binaries that this project is built on, pinned by `encoderfile build`.
# Commit this file. `encoderfile build --update-base` moves the pins.
version = 1

[[base]]
target = "aarch64-apple-darwin"
version = "0.3.0-rc.1+build.5"
key-id = "0123456789ABCDEF"
archive-sha256 = "{archive}"
binary-sha256 = "{binary}"

[[base]]
target = "x86_64-unknown-linux-gnu"
version = "0.2.0"
key-id = "0123456789ABCDEF"
archive-sha256 = "{archive}"
binary-sha256 = "{binary}"
"#
        );
        assert_eq!(lockfile().to_toml(), expected);
        assert_eq!(Lockfile::parse(expected.as_bytes()).unwrap(), lockfile());
        // As a checkout on another system may have it.
        assert_eq!(Lockfile::parse(expected.replace('\n', "\r\n").as_bytes()).unwrap(), lockfile());
    }

    #[test]
    fn no_pins_are_a_lockfile_too() {
        let empty = Lockfile::default();
        assert_eq!(Lockfile::parse(empty.to_toml().as_bytes()).unwrap(), empty);
    }

    fn any_pin(target: Target) -> impl Strategy<Value = Pin> {
        let version =
            (any::<[u64; 3]>(), "(-(0|[1-9][0-9]{0,3}|[a-zA-Z-][0-9a-zA-Z-]{0,6}))?(\\+[0-9a-zA-Z-]{1,6})?");
        let version = version.prop_map(|([a, b, c], rest)| format!("{a}.{b}.{c}{rest}").parse().unwrap());
        (version, any::<u64>(), any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(
            move |(version, key, archive, binary)| Pin {
                target,
                version,
                key_id: format!("{key:016X}").parse().unwrap(),
                archive_sha256: archive.into(),
                binary_sha256: binary.into(),
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            pins in btree_map(select(&Target::ALL[..]), 0..4_usize, 0..=4)
                .prop_flat_map(|targets| targets.into_keys().map(any_pin).collect::<Vec<_>>())
        ) {
            let lockfile = Lockfile::default().merged(pins.clone());
            let text = lockfile.to_toml();
            prop_assert_eq!(&Lockfile::parse(text.as_bytes()).unwrap(), &lockfile);
            // Whatever the order that they came in.
            let reverse = Lockfile::default().merged(pins.into_iter().rev());
            prop_assert_eq!(reverse.to_toml(), text);
        }

        #[test]
        fn whatever_a_text_is_it_is_read_or_refused(
            cut in 0..2000_usize, bytes in proptest::collection::vec(any::<u8>(), 0..8)
        ) {
            let mut text = lockfile().to_toml().into_bytes();
            let cut = cut.min(text.len());
            text.splice(cut..(cut + bytes.len()).min(text.len()), bytes);
            let _ = Lockfile::parse(&text);
        }
    }

    #[test]
    fn a_merge_keeps_other_targets_and_moves_its_own() {
        let merged = lockfile().merged([pin(LINUX, "0.4.0")]);
        assert_eq!(merged.pins[&LINUX], pin(LINUX, "0.4.0"));
        assert_eq!(merged.pins[&MAC], pin(MAC, "0.3.0-rc.1+build.5"));
    }

    #[test]
    fn each_malformed_text_has_its_error_and_its_place() {
        let text = Lockfile::default().merged([pin(MAC, "0.3.0-rc.1")]).to_toml();
        let digest = Digest::of(b"archive").to_string();
        for (from, to, line, column, reason) in [
            ("version = 1", "version = 0", 3, 11, "`0` is not the version of a lockfile"),
            ("version = 1", "version = \"1\"", 3, 11, "expected i64"),
            ("version = 1", "", 1, 1, "missing field `version`"),
            ("version = 1", "version = 1\ncolour = 2", 4, 1, "unknown field `colour`"),
            ("[[base]]", "[base]", 5, 1, "sequence"),
            ("[[base]]", "[[base", 5, 7, "unclosed"),
            ("target = \"aarch64-apple", "target = \"aarch64-aple", 6, 10, "unknown target"),
            ("target = \"aarch64-apple-darwin\"", "", 5, 1, "missing field `target`"),
            ("key-id", "key_id", 8, 1, "unknown field `key_id`"),
            ("0123456789ABCDEF", "0123456789abcdef", 8, 10, "is not a key id"),
            (&*digest, &digest[1..], 9, 18, "is not a sha256"),
            ("0.3.0-rc.1", "0.3", 7, 11, "minor version"),
            ("binary-sha256", "archive-sha256", 10, 1, "duplicate key"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            let LockfileError::Malformed { line: found_line, column: found_column, reason: found } =
                error(&changed)
            else {
                panic!("{from} {to}")
            };
            assert!(found.contains(reason), "{to}: {found}");
            assert_eq!((found_line, found_column), (line, column), "{to}: {found}");
        }
    }

    #[test]
    fn a_later_version_is_called_that_whatever_it_holds() {
        let later = "# later\nversion = 2\n[[pin]]\nplanet = \"mars\"\n";
        assert_eq!(error(later), LockfileError::LaterVersion { found: 2, line: 2, column: 11 });
        assert!(error(later).to_string().contains("made by a later version"));
    }

    #[test]
    fn a_target_that_is_pinned_twice_is_named() {
        let text = lockfile().to_toml().replace(MAC.triple(), LINUX.triple());
        assert_eq!(error(&text), LockfileError::DuplicateTarget { target: LINUX, line: 12, column: 1 });
    }

    #[test]
    fn a_merge_that_was_not_finished_is_called_that() {
        let ours = "<<<<<<< HEAD\nversion = \"0.2.0\"\n=======\nversion = \"0.3.0\"\n>>>>>>> theirs";
        let text = lockfile().to_toml().replacen("version = \"0.2.0\"", ours, 1);
        assert_eq!(error(&text), LockfileError::Conflict { line: 14 });
        assert!(error(&text).hint().contains("pins of one side"));
    }

    #[test]
    fn what_is_no_text_or_too_long_is_refused() {
        let latin = b"version = 1\n# caf\xe9\n";
        assert!(matches!(
            Lockfile::parse(latin).unwrap_err(),
            LockfileError::Malformed { line: 2, column: 6, reason } if reason == "it is not text"
        ));
        let long = vec![b'\n'; usize::try_from(MAX_SIZE).unwrap() + 1];
        assert_eq!(Lockfile::parse(&long).unwrap_err(), LockfileError::TooLong);
    }
}
