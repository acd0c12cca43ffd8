//! A small release of all targets, served on loopback, and a sandbox whose commands use it: bytes that no machine runs, but
//! quick to make, to fetch and to hash.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use encoderfile_testing::{Release, Server, SigningKey, archive_name};

use crate::sandbox::{HOST, Said, Sandbox, VERSION};

/// All that a release has.
pub(crate) const TARGETS: [&str; 4] =
    ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "x86_64-apple-darwin", "aarch64-apple-darwin"];

/// The longest wait for something that takes moments.
const PATIENCE: Duration = Duration::from_mins(1);

/// Release, server, sandbox.
pub(crate) struct Bench {
    pub(crate) sandbox: Sandbox,
    pub(crate) server: Server,
    key: SigningKey,
    release: Release,
}

impl Bench {
    /// With base binaries of so many bytes.
    pub(crate) fn new(length: usize) -> Self {
        let sandbox = Sandbox::new();
        let key = SigningKey::generate();
        let runtimes: Vec<_> =
            (1..).zip(TARGETS).map(|(seed, target)| (target, noise(seed, length))).collect();
        let runtimes: Vec<(&str, &[u8])> =
            runtimes.iter().map(|(target, bytes)| (*target, &**bytes)).collect();
        let release = Release::write(&sandbox.path("dist"), VERSION, &runtimes, &key);
        let server = Server::start(&sandbox.path("dist"));
        Self { sandbox, server, key, release }
    }

    /// The command line with this release as its source.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.sandbox.bare_command();
        command.env("ENCODERFILE_BASE_BINARY_BASE_URL", self.server.url());
        command.env("ENCODERFILE_TRUSTED_KEYS", self.key.public());
        command
    }

    /// A program in the place of the command line, which it can run as `"$ENCODERFILE"`.
    pub(crate) fn through(&self, program: &[&str]) -> Command {
        let command = self.command();
        let mut through = Command::new(program[0]);
        through.args(&program[1..]).env_clear().stdin(Stdio::null()).current_dir(self.sandbox.path(""));
        through.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        through.env("ENCODERFILE", command.get_program());
        through.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        through
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Said {
        self.command().args(arguments).output().unwrap().into()
    }

    /// How many archives were asked for, of any target.
    pub(crate) fn downloads(&self) -> usize {
        self.server.requests(".tar.zst").len()
    }

    /// Bytes of the archive for this machine.
    pub(crate) fn archive_length(&self) -> u64 {
        self.release.archive(HOST).metadata().unwrap().len()
    }

    /// The one partial download that there is.
    pub(crate) fn partial(&self) -> Option<PathBuf> {
        files(&self.sandbox.cache().join("base/v1/partial")).pop()
    }

    pub(crate) fn forget_cache(&self) {
        fs::remove_dir_all(self.sandbox.cache()).unwrap();
    }
}

/// The name of the archive for this machine.
pub(crate) fn archive() -> String {
    archive_name(HOST)
}

/// Bytes that do not compress, the same for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    std::iter::repeat_with(|| random.next().to_le_bytes()).flatten().take(length).collect()
}

/// Numbers that are the same for the same seed: `SplitMix64`.
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// Every file under a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| if path.is_dir() && !path.is_symlink() { files(&path) } else { vec![path] })
        .collect()
}

/// Files that only a process that is not done should have.
pub(crate) fn unfinished(folder: &Path) -> Vec<PathBuf> {
    let is_unfinished = |path: &PathBuf| {
        let text = path.to_str().unwrap();
        [".tmp-", "/partial/", ".corrupt", ".encoderfile-partial"].iter().any(|part| text.contains(part))
    };
    files(folder).into_iter().filter(is_unfinished).collect()
}

/// Looks until it is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(1));
    }
}
