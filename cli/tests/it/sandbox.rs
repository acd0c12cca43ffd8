//! A place of its own for each test: folder, cache, home, and a release shared by all.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use encoderfile_testing::build_executable;
use serde_json::Value;
use tempfile::TempDir;

/// The target that this machine runs.
pub(crate) const HOST: &str = if cfg!(target_os = "macos") {
    if cfg!(target_arch = "aarch64") { "aarch64-apple-darwin" } else { "x86_64-apple-darwin" }
} else if cfg!(target_arch = "aarch64") {
    "aarch64-unknown-linux-gnu"
} else {
    "x86_64-unknown-linux-gnu"
};

/// The version that this workspace releases.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The base binary, built once.
pub(crate) fn runtime() -> &'static Path {
    static RUNTIME: OnceLock<PathBuf> = OnceLock::new();
    RUNTIME.get_or_init(|| build_executable("encoderfile-runtime"))
}

/// A release of this workspace's base binary, packed and signed by `encoderfile-release`, once for all tests.
pub(crate) struct Release {
    folder: TempDir,
}

impl Release {
    pub(crate) fn get() -> &'static Self {
        static RELEASE: OnceLock<Release> = OnceLock::new();
        RELEASE.get_or_init(|| {
            let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            let tool = build_executable("encoderfile-release");
            let notices = folder.path().join("THIRD_PARTY.md");
            fs::write(&notices, "notices\n").unwrap();
            let dist = folder.path().join("dist").join(format!("v{VERSION}"));
            let run = |arguments: &[&OsStr]| {
                let output = Command::new(&tool).args(arguments).output().unwrap();
                assert!(
                    output.status.success(),
                    "{arguments:?}: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
            };
            let text = OsStr::new;
            let (runtime, dist) = (runtime().as_os_str(), dist.as_os_str());
            let key = folder.path().join("encoderfile.key");
            run(&[text("keygen"), text("--out"), folder.path().as_os_str()]);
            // Quick rather than small.
            let third_party = [text("--third-party"), notices.as_os_str(), text("--level"), text("3")];
            let pack =
                [text("pack"), text("--target"), text(HOST), text("--runtime"), runtime, text("--out"), dist];
            run(&[&pack[..], &third_party[..]].concat());
            run(&[text("index"), text("--version"), text(VERSION), dist]);
            run(&[text("sign"), dist, text("--key"), key.as_os_str()]);
            Self { folder }
        })
    }

    /// The folder with `v{version}/` in it.
    pub(crate) fn dist(&self) -> PathBuf {
        self.folder.path().join("dist")
    }

    pub(crate) fn public_key(&self) -> PathBuf {
        self.folder.path().join("encoderfile.pub")
    }

    /// A copy that a test may damage.
    pub(crate) fn copy_to(&self, folder: &Path) -> PathBuf {
        let copy = folder.join("dist").join(format!("v{VERSION}"));
        fs::create_dir_all(&copy).unwrap();
        for entry in fs::read_dir(self.dist().join(format!("v{VERSION}"))).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
        copy
    }
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// It failed with this exit code, and each of these texts stands in its message.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, texts: &[&str]) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        for text in texts {
            assert!(self.stderr.contains(text), "`{text}` is not in:\n{}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A folder, with a cache and a home in it that nobody else knows.
pub(crate) struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.path("cache")
    }

    /// The command line, without anything of the user's environment, trusting this workspace's release.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.bare_command();
        command.env("ENCODERFILE_TRUSTED_KEYS", Release::get().public_key());
        command
    }

    /// The command line, without anything of the user's environment.
    pub(crate) fn bare_command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_encoderfile"));
        command
            .env_clear()
            .env("HOME", self.path("home"))
            .env("ENCODERFILE_CACHE_DIR", self.cache())
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Said {
        self.command().args(arguments).output().unwrap().into()
    }

    /// Builds a small model on this workspace's base binary.
    pub(crate) fn build(&self, model: &str) -> PathBuf {
        let output = self.path("model.encoderfile");
        let folder = encoderfile_testing::model_folder(model);
        let arguments = [
            OsStr::new("build"),
            folder.as_os_str(),
            OsStr::new("--base-binary-path"),
            runtime().as_os_str(),
            OsStr::new("-o"),
            output.as_os_str(),
        ];
        self.run(arguments).ok();
        output
    }

    /// A copy of a small model that a test may damage.
    pub(crate) fn model(&self, name: &str) -> PathBuf {
        let copy = self.path("model");
        copy_folder(&encoderfile_testing::model_folder(name), &copy);
        copy
    }

    /// Everything in the sandbox that is no input: what a failed command must not leave.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> =
            names.filter(|name| !["model", "cache", "home", "dist"].contains(&&**name)).collect();
        names.sort();
        names
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Changes one bit of a file.
pub(crate) fn flip(path: &Path, position: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[position] ^= 1;
    // A cached file is read-only.
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
}
