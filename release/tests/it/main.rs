//! Drives the real executable, and judges what it makes with other people's tools where they are installed.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "these are tests, helpers included")]

mod check;
mod executable;
mod help;
mod index;
mod keygen;
mod pack;
mod pin;
mod preflight;
mod publish;
mod sbom;
mod sign;
mod third_party;
mod verify;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use encoderfile_format::Stamp;
use encoderfile_registry::{BaseIndex, INDEX_NAME, ObjectFormat, Target};
use encoderfile_testing::mach_o::MachO;
use tempfile::TempDir;

/// The version that the tests' releases have.
const VERSION: &str = "0.3.0";

/// A directory with everything that a release is made of.
struct Workshop {
    directory: TempDir,
}

impl Workshop {
    fn new() -> Self {
        let workshop = Self { directory: tempfile::tempdir().unwrap() };
        workshop.write("NOTICES.md", b"# Third-party software\n");
        workshop
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// The names in a directory of the workshop, hidden ones included, sorted.
    fn names(&self, directory: &str) -> Vec<String> {
        let entries = self.path(directory).read_dir().unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The tool, run in the workshop with nothing in its environment that would change what it does.
    fn tool(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_encoderfile-release"));
        command.args(arguments).current_dir(self.directory.path());
        let own = [
            "SOURCE_DATE_EPOCH",
            "ENCODERFILE_KEY_PASSWORD",
            "ENCODERFILE_KEY_PASSWORD_2",
            "CARGO_TARGET_DIR",
        ];
        let of_github = ["GH_TOKEN", "GITHUB_TOKEN", "GITHUB_API_URL", "GITHUB_SERVER_URL"];
        let proxies = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
        for variable in [&own[..], &of_github, &proxies].concat() {
            command.env_remove(variable);
        }
        command
    }

    /// Runs the tool, which must succeed, and returns what it prints.
    fn run(&self, arguments: &[&str]) -> String {
        succeed(&mut self.tool(arguments))
    }

    /// Runs the tool, which must fail with `code`, and returns the message.
    fn refuse(&self, code: i32, arguments: &[&str]) -> String {
        refuse(code, &mut self.tool(arguments))
    }

    /// A base binary for `target` with the floor glibc 2.17 or macOS 13.0.
    fn runtime(&self, name: &str, target: Target) -> PathBuf {
        self.runtime_of(name, target, VERSION)
    }

    fn runtime_of(&self, name: &str, target: Target, version: &str) -> PathBuf {
        self.write(name, &runtime(target, version))
    }

    /// Packs a base binary and, with `cli`, a command line into `dist`.
    fn pack(&self, target: Target, cli: bool) {
        self.runtime("runtime", target);
        self.write("cli", &executable::for_target(target, (2, 17)));
        let triple = target.triple();
        let mut arguments = vec!["pack", "--level=1", "--target", triple, "--runtime=runtime", "--out=dist"];
        arguments.push("--third-party=NOTICES.md");
        if cli {
            arguments.extend(["--cli=cli", "--cli-third-party=NOTICES.md"]);
        }
        self.run(&arguments);
    }

    /// A release of two targets, indexed and ready to be signed with `keys/encoderfile.key`.
    fn release(&self) {
        self.pack(Target::X86_64LinuxGnu, true);
        self.pack(Target::Aarch64AppleDarwin, false);
        self.run(&["index", "--version", VERSION, "dist"]);
        self.run(&["keygen", "--out=keys"]);
    }

    fn index(&self) -> BaseIndex {
        BaseIndex::parse(&self.read(Path::new("dist").join(INDEX_NAME))).unwrap()
    }
}

/// The bytes of a base binary: an executable with ONNX Runtime and the stamp somewhere in its middle.
fn runtime(target: Target, version: &str) -> Vec<u8> {
    match target.object_format() {
        ObjectFormat::Elf => base_binary(target, version, &[&executable::for_target(target, (2, 17))]),
        ObjectFormat::MachO => macos_base_binary(target, version, executable::mach_o(target), &[]),
    }
}

/// A base binary for Linux made of `parts`, the first of which is the executable.
fn base_binary(target: Target, version: &str, parts: &[&[u8]]) -> Vec<u8> {
    [parts.concat(), inside(target, version)].concat()
}

/// A base binary for macOS, where everything stands inside of the executable, with `parts` in front of the rest.
fn macos_base_binary(target: Target, version: &str, image: MachO, parts: &[&[u8]]) -> Vec<u8> {
    MachO { content: [parts.concat(), inside(target, version)].concat(), ..image }.build()
}

/// What a base binary is known by.
fn inside(target: Target, version: &str) -> Vec<u8> {
    let stamp = Stamp {
        version: version.to_owned(),
        target: target.triple().to_owned(),
        format_versions: vec![1],
        onnxruntime_version: "1.23.2".to_owned(),
    };
    let library = executable::onnxruntime(target, &stamp.onnxruntime_version);
    [library, stamp.encode(), b"the end".to_vec()].concat()
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", error_of(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn refuse(code: i32, command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{}", error_of(&output));
    assert_eq!(output.stdout, b"", "{command:?}");
    error_of(&output)
}

fn error_of(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Whether another tool can be run here. Where it cannot, its test says so and leaves the judgement to the crates.
fn installed(tool: impl AsRef<OsStr>) -> bool {
    let installed = Command::new(&tool).arg("--version").output().is_ok();
    if !installed {
        eprintln!("{}: not installed, so nothing is checked with it", tool.as_ref().display());
    }
    installed
}
