//! Small releases of bytes that nobody runs: for what is about finding, fetching and keeping base binaries.

use std::path::{Path, PathBuf};
use std::process::Command;

use encoderfile_testing::{Release, Server, SigningKey};

use crate::sandbox::{Said, Sandbox};

/// All targets, in the order of their triples.
pub(crate) const TARGETS: [&str; 4] =
    ["aarch64-apple-darwin", "aarch64-unknown-linux-gnu", "x86_64-apple-darwin", "x86_64-unknown-linux-gnu"];

/// Releases in a folder, a key that signs them, and a sandbox that trusts the key.
pub(crate) struct Shelf {
    pub(crate) sandbox: Sandbox,
    pub(crate) key: SigningKey,
}

impl Shelf {
    /// A release of each version, for all targets.
    pub(crate) fn with(versions: &[&str]) -> Self {
        let shelf = Self { sandbox: Sandbox::new(), key: SigningKey::generate() };
        for version in versions {
            shelf.release(version, &|target| format!("{target} {version}").repeat(100));
        }
        shelf
    }

    /// Writes a release with these bytes for each target.
    pub(crate) fn release(&self, version: &str, bytes: &dyn Fn(&str) -> String) -> Release {
        let runtimes = TARGETS.map(|target| (target, bytes(target).into_bytes()));
        let runtimes: Vec<(&str, &[u8])> =
            runtimes.iter().map(|(target, bytes)| (*target, &bytes[..])).collect();
        Release::write(&self.dist(), version, &runtimes, &self.key)
    }

    /// The folder with `v{version}/` in it.
    pub(crate) fn dist(&self) -> PathBuf {
        self.sandbox.path("dist")
    }

    /// The command line, trusting the key and knowing of no release.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.sandbox.bare_command();
        command.env("ENCODERFILE_TRUSTED_KEYS", self.key.public());
        command
    }

    /// Runs it, with the folder as the source.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        let mut command = self.command();
        command.env("ENCODERFILE_BASE_BINARY_BASE_URL", self.dist());
        command.args(arguments).output().unwrap().into()
    }

    /// Runs it, with a source that is not there.
    pub(crate) fn run_alone(&self, arguments: &[&str]) -> Said {
        let mut command = self.command();
        command.env("ENCODERFILE_BASE_BINARY_BASE_URL", self.sandbox.path("nowhere"));
        command.args(arguments).output().unwrap().into()
    }

    pub(crate) fn serve(&self) -> Server {
        Server::start(&self.dist())
    }

    /// Where a fetched base binary lies.
    pub(crate) fn cached(&self, version: &str, target: &str) -> PathBuf {
        let entry = format!("base/v1/{}/{version}/{target}/encoderfile-runtime", self.key.id());
        self.sandbox.cache().join(entry)
    }

    /// Writes a file of the sandbox.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.sandbox.path(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }
}
