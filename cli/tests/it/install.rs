//! `install.sh`, run by every shell there is here, against a release that the real tools made.
//!
//! The C program `minisign` is looked for where `ENCODERFILE_MINISIGN` says, and on `PATH` (`tools/minisign.sh` gets it);
//! tests that need it print that they are skipped where it is not.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use encoderfile_testing::{Fault, Server, SigningKey, build_executable, compress, program_archive};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::sandbox::{HOST, Said, VERSION, flip, runtime};

/// What the script may call. Not `minisign`, which a test adds.
const TOOLS: [&str; 25] = [
    "awk",
    "cat",
    "chmod",
    "cp",
    "curl",
    "find",
    "getconf",
    "grep",
    "head",
    "id",
    "ldd",
    "mkdir",
    "mktemp",
    "mv",
    "rm",
    "sed",
    "sh",
    "sha256sum",
    "shasum",
    "sysctl",
    "tar",
    "tr",
    "uname",
    "wc",
    "zstd",
];

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../install.sh")
}

/// Where a program is on this machine's `PATH`.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[expect(clippy::print_stdout, reason = "a test that was not made should not look like one that was")]
fn minisign() -> Option<PathBuf> {
    let found = std::env::var_os("ENCODERFILE_MINISIGN").map(PathBuf::from).or_else(|| find("minisign"));
    if found.is_none() {
        println!("skipped: minisign is not on PATH, and ENCODERFILE_MINISIGN is not set");
    }
    found
}

/// A release with the command line in it, signed; made once.
struct Signed {
    folder: TempDir,
}

impl Signed {
    fn get() -> &'static Self {
        static SIGNED: OnceLock<Signed> = OnceLock::new();
        SIGNED.get_or_init(|| {
            let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            let tool = build_executable("encoderfile-release");
            let run = |arguments: &[&OsStr]| {
                let output = Command::new(&tool).args(arguments).current_dir(folder.path()).output().unwrap();
                assert!(output.status.success(), "{arguments:?}: {output:?}");
            };
            fs::write(folder.path().join("NOTICES.md"), "notices\n").unwrap();
            let text =
                |texts: &[&'static str]| texts.iter().map(|text| OsStr::new(*text)).collect::<Vec<_>>();
            run(&text(&["keygen", "--out", "keys"]));
            let mut pack = text(&["pack", "--level=1", "--out=release", "--third-party=NOTICES.md"]);
            pack.extend(text(&["--cli-third-party=NOTICES.md", "--target", HOST, "--runtime"]));
            pack.extend([
                runtime().as_os_str(),
                OsStr::new("--cli"),
                OsStr::new(env!("CARGO_BIN_EXE_encoderfile")),
            ]);
            run(&pack);
            run(&text(&["index", "--version", VERSION, "release"]));
            run(&text(&["sign", "release", "--key=keys/encoderfile.key"]));
            Self { folder }
        })
    }

    fn public_key(&self) -> PathBuf {
        self.folder.path().join("keys/encoderfile.pub")
    }
}

/// A machine with few programs, an empty home, and a copy of the release on a mirror.
struct Machine {
    folder: TempDir,
    server: Server,
}

impl Machine {
    fn new() -> Self {
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let release = folder.path().join("dist").join(format!("v{VERSION}"));
        fs::create_dir_all(&release).unwrap();
        for entry in fs::read_dir(Signed::get().folder.path().join("release")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), release.join(entry.file_name())).unwrap();
        }
        let server = Server::start(&folder.path().join("dist"));
        let machine = Self { folder, server };
        fs::create_dir(machine.path("tools")).unwrap();
        TOOLS.iter().filter_map(|name| find(name)).for_each(|program| machine.has(&program));
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn release(&self, file: &str) -> PathBuf {
        self.path("dist").join(format!("v{VERSION}")).join(file)
    }

    fn archive(&self) -> PathBuf {
        self.release(&format!("encoderfile-{HOST}.tar.zst"))
    }

    /// Puts another program into the release.
    fn replaces_program(&self, program: &[u8]) {
        self.replaces_archive(&program_archive("encoderfile", program));
    }

    /// Puts another archive into the release.
    fn replaces_archive(&self, bytes: &[u8]) {
        fs::write(self.archive(), bytes).unwrap();
        let index = self.release("base-index.json");
        let mut value: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
        let entry = &mut value["targets"][HOST]["cli"];
        entry["size"] = bytes.len().into();
        entry["sha256"] = hex::encode(Sha256::digest(bytes)).into();
        fs::write(&index, format!("{value:#}\n")).unwrap();
    }

    fn has(&self, program: &Path) {
        symlink(program, self.path("tools").join(program.file_name().unwrap())).unwrap();
    }

    fn lacks(&self, name: &str) {
        let _ = fs::remove_file(self.path("tools").join(name));
    }

    /// A program that prints a text instead of doing its work.
    fn has_instead(&self, name: &str, text: &str) {
        self.has_script(name, &format!("echo '{text}'"));
    }

    /// A script instead of the program.
    fn has_script(&self, name: &str, script: &str) {
        self.lacks(name);
        let file = self.path("tools").join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, shell: &[&str], arguments: &[&str]) -> Command {
        let mut command = Command::new(find(shell[0]).unwrap());
        command.args(&shell[1..]).arg(script()).args(arguments).env_clear().stdin(Stdio::null());
        command
            .env("PATH", self.path("tools"))
            .env("HOME", self.path("home"))
            .current_dir(self.folder.path());
        command
    }

    /// From the mirror, this version.
    fn install(&self, arguments: &[&str]) -> Said {
        let mirror = ["--source", &self.server.url(), "--version", VERSION];
        self.command(&["sh"], &[&mirror[..], arguments].concat()).output().unwrap().into()
    }

    fn installed(&self) -> PathBuf {
        self.path("home/.local/bin/encoderfile")
    }

    #[track_caller]
    fn works(&self) {
        let output = Command::new(self.installed()).arg("--version").output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("encoderfile {VERSION}\n"));
        self.is_tidy(&["encoderfile"]);
    }

    /// Nothing but this is where it installs to.
    #[track_caller]
    fn is_tidy(&self, expected: &[&str]) {
        let folder = self.installed();
        let Ok(entries) = fs::read_dir(folder.parent().unwrap()) else {
            assert!(expected.is_empty());
            return;
        };
        let names: Vec<OsString> = entries.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, expected);
    }
}

fn key() -> String {
    Signed::get().public_key().to_str().unwrap().to_owned()
}

#[test]
fn a_signed_release_is_installed_by_every_shell() {
    let Some(minisign) = minisign() else { return };
    for shell in [&["sh"][..], &["dash"], &["bash"], &["busybox", "sh"], &["zsh"]] {
        if find(shell[0]).is_none() {
            continue;
        }
        let machine = Machine::new();
        machine.has(&minisign);
        let (url, key) = (machine.server.url(), key());
        let arguments = ["--source", &url, "--version", VERSION, "--trusted-key", &key];
        let said: Said = machine.command(shell, &arguments).output().unwrap().into();
        let said = said.ok();
        assert!(
            said.stderr.contains("verified: signatures of index and archive by RW"),
            "{shell:?} {said:?}"
        );
        assert!(!said.stderr.contains("warning"), "{shell:?} {said:?}");
        assert!(said.stderr.contains("hint: ") && said.stderr.contains("is not on PATH"), "{said:?}");
        machine.works();
    }
}

#[test]
fn without_minisign_it_says_what_is_not_proven() {
    let machine = Machine::new();
    let said = machine.install(&[]).ok();
    assert!(said.stderr.contains("verified: SHA-256 of the archive, from the release's index"), "{said:?}");
    assert!(said.stderr.contains("warning: no signature was checked, since no key is known"), "{said:?}");
    machine.works();

    // Who names a key wants it to count.
    let said = machine.install(&["--trusted-key", &key()]);
    said.failed(1, &["`minisign` is not installed", "hint: "]);
}

#[test]
fn a_signature_can_be_required() {
    let machine = Machine::new();
    let said = machine.install(&["--require-signature"]);
    said.failed(
        1,
        &["no signature can be checked, since no key is known", "hint: name one with `--trusted-key`"],
    );
    // As it will be once the project has a key.
    let (text, key) = (fs::read_to_string(script()).unwrap(), fs::read_to_string(key()).unwrap());
    let key = key.lines().find(|line| line.starts_with("RW")).unwrap();
    let (before, after) = text.split_once("\nPROJECT_KEYS='").unwrap();
    let after = after.split_once('\'').unwrap().1;
    fs::write(machine.path("install.sh"), format!("{before}\nPROJECT_KEYS='{key}'{after}")).unwrap();
    let install = |arguments: &[&str]| {
        let mut command = Command::new(find("sh").unwrap());
        command
            .arg("install.sh")
            .args(["--source", &machine.server.url(), "--version", VERSION])
            .args(arguments);
        command.current_dir(machine.folder.path()).env_clear().stdin(Stdio::null());
        let output = command.env("PATH", machine.path("tools")).env("HOME", machine.path("home")).output();
        Said::from(output.unwrap())
    };
    install(&["--require-signature"]).failed(1, &["since `minisign` is not installed", "hint: install it: "]);
    assert!(machine.server.requests("").is_empty());
    let said = install(&[]).ok();
    assert!(
        said.stderr.contains("warning: no signature was checked, since `minisign` is not installed"),
        "{said:?}"
    );
    let Some(minisign) = minisign() else { return };
    machine.has(&minisign);
    let said = install(&["--require-signature"]).ok();
    assert!(said.stderr.contains("verified: signatures of index and archive by RW"), "{said:?}");
}

/// It is there and does not start, which is not to be taken for a signature that does not hold.
#[test]
fn a_minisign_that_does_not_start_is_told_with_its_own_words() {
    let machine = Machine::new();
    machine.has_script(
        "minisign",
        "echo 'minisign: libsodium.so.23: cannot open shared object file' >&2; exit 127",
    );
    let words = "`minisign` does not run here (minisign: libsodium.so.23: cannot open shared object file)";
    machine.install(&["--trusted-key", &key()]).failed(1, &["no signature can be checked", words]);
    assert!(machine.server.requests("").is_empty());
}

#[test]
fn the_latest_release_is_found_without_an_api() {
    let machine = Machine::new();
    let releases = machine.path("dist/somebody/encoderfile/releases");
    fs::create_dir_all(releases.join("download")).unwrap();
    fs::create_dir_all(releases.join("latest")).unwrap();
    let folder = machine.path("dist").join(format!("v{VERSION}"));
    symlink(&folder, releases.join(format!("download/v{VERSION}"))).unwrap();
    symlink(&folder, releases.join("latest/download")).unwrap();
    let mut command = machine.command(&["sh"], &[]);
    command.env("GITHUB_SERVER_URL", machine.server.url());
    command.env("ENCODERFILE_GITHUB_REPO", "somebody/encoderfile");
    let said = Said::from(command.output().unwrap()).ok();
    assert!(said.stderr.contains(&format!("installed encoderfile {VERSION}")), "{said:?}");
    machine.works();
    // The archive is that of the version which the index has named, whatever is the latest by now.
    let archive = format!("/releases/download/v{VERSION}/encoderfile-{HOST}.tar.zst");
    assert_eq!(machine.server.requests(&archive).len(), 1);
}

/// Runners of GitHub Enterprise set it, whether that server has the release or not.
#[test]
fn a_server_that_the_environment_names_is_told_where_it_has_no_release() {
    let machine = Machine::new();
    let url = machine.server.url();
    let install = || {
        let mut command = machine.command(&["sh"], &[]);
        Said::from(command.env("GITHUB_SERVER_URL", &url).output().unwrap())
    };
    let hint = format!("GITHUB_SERVER_URL is `{url}`: `env -u GITHUB_SERVER_URL …` takes the release from");
    install().failed(3, &["/encoderfile/encoderfile/releases/latest/download/base-index.json", &hint]);
    machine.server.misbehave("base-index.json", Fault::Status(401, Vec::new()), 1);
    install().failed(5, &["401", &hint]);
    machine.server.misbehave("base-index.json", Fault::Body(b"<!doctype html>\n".to_vec(), Vec::new()), 1);
    install().failed(4, &["is not the index of a release", &hint]);
    // A mirror has nothing to do with it.
    let mut command = machine.command(&["sh"], &["--source", &url, "--version", "9.9.9"]);
    let said = Said::from(command.env("GITHUB_SERVER_URL", &url).output().unwrap());
    assert!(!said.stderr.contains("GITHUB_SERVER_URL"), "{said:?}");
    said.failed(3, &["hint: is there such a release?"]);
}

#[test]
fn a_directory_is_a_source_too() {
    let machine = Machine::new();
    let folder = machine.path("dist").join(format!("v{VERSION}"));
    let said =
        machine.command(&["sh"], &["--source", folder.to_str().unwrap(), "--to", "bin"]).output().unwrap();
    Said::from(said).ok();
    assert!(machine.path("bin/encoderfile").is_file());
    let said = machine.command(&["sh"], &["--source", "dist"]).output().unwrap();
    Said::from(said)
        .failed(2, &["does not say which release is the latest", "hint: name one with `--version`"]);
}

/// `mv` moves into a directory, and into one that a link leads to, and calls that a success.
#[test]
fn a_directory_in_the_programs_place_is_refused_before_anything_is_downloaded() {
    let machine = Machine::new();
    fs::create_dir_all(machine.path("plain/encoderfile")).unwrap();
    fs::create_dir_all(machine.path("linked")).unwrap();
    symlink(machine.path("plain"), machine.path("linked/encoderfile")).unwrap();
    for to in ["plain", "linked"] {
        let said = machine.install(&["--to", to]);
        said.failed(1, &["/encoderfile`: there is a directory of that name", "hint: remove it"]);
    }
    assert!(machine.server.requests("").is_empty());
    // A link to a file gives way to the program, and the file stays.
    fs::write(machine.path("file"), "text").unwrap();
    fs::remove_file(machine.path("linked/encoderfile")).unwrap();
    symlink(machine.path("file"), machine.path("linked/encoderfile")).unwrap();
    machine.install(&["--to", "linked"]).ok();
    assert!(machine.path("linked/encoderfile").symlink_metadata().unwrap().is_file());
    assert_eq!(fs::read_to_string(machine.path("file")).unwrap(), "text");
}

/// Of runs that were killed: their own folders, when nobody can be at work there any more.
#[test]
fn what_killed_runs_left_is_removed_after_a_day() {
    let machine = Machine::new();
    let bin = machine.path("home/.local/bin");
    let days_ago = |name: &str, days: u64| {
        let time = SystemTime::now() - Duration::from_hours(24 * days) - Duration::from_mins(1);
        fs::File::open(bin.join(name)).unwrap().set_modified(time).unwrap();
    };
    for name in
        [".encoderfile-install.oldone", ".encoderfile-install.newone", ".encoderfile-install.oldones", "kept"]
    {
        fs::create_dir_all(bin.join(name)).unwrap();
        fs::write(bin.join(name).join("file"), "text").unwrap();
    }
    fs::write(bin.join(".encoderfile-install.a_file"), "text").unwrap();
    symlink("kept", bin.join(".encoderfile-install.a_link")).unwrap();
    days_ago(".encoderfile-install.oldone", 1);
    days_ago(".encoderfile-install.newone", 0);
    days_ago(".encoderfile-install.oldones", 9);
    days_ago(".encoderfile-install.a_file", 9);
    days_ago("kept", 9);
    machine.install(&[]).ok();
    let mut left: Vec<_> = fs::read_dir(&bin).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(
        left,
        [
            ".encoderfile-install.a_file",
            ".encoderfile-install.a_link",
            ".encoderfile-install.newone",
            ".encoderfile-install.oldones",
            "encoderfile",
            "kept"
        ]
    );
    assert!(bin.join("kept/file").is_file());
}

#[test]
fn it_says_what_the_name_stands_for_on_path() {
    let machine = Machine::new();
    let installed = |to: &str, path: &[PathBuf]| {
        let (url, tools) = (machine.server.url(), machine.path("tools"));
        let arguments = ["--source", &url, "--version", VERSION, "--to", to];
        let path = std::env::join_paths(path.iter().chain([&tools])).unwrap();
        let output = machine.command(&["sh"], &arguments).env("PATH", path).output().unwrap();
        Said::from(output).ok().stderr
    };
    // However the directory is written.
    fs::create_dir(machine.path("home")).unwrap();
    let bin = machine.path("bin");
    for to in ["bin", "bin/", "home/../bin//"] {
        let said = installed(to, &[]);
        assert!(
            said.contains(&format!("hint: `{0}` is not on PATH: export PATH=\"{0}:", bin.display())),
            "{said}"
        );
        let said = installed(to, &[machine.path("bin/")]);
        assert!(!said.contains("PATH"), "{said}");
    }
    symlink(&bin, machine.path("link")).unwrap();
    let said = installed("bin", &[machine.path("link")]);
    assert!(!said.contains("PATH"), "{said}");

    machine.has_instead("encoderfile", "an old one");
    let other = machine.path("tools/encoderfile");
    let said = installed("bin", std::slice::from_ref(&bin));
    assert!(!said.contains("PATH"), "{said}");
    let said = installed("bin", &[]);
    let warning = format!("warning: another `encoderfile` comes first on PATH: {}\nhint: ", other.display());
    assert!(said.contains(&warning), "{said}");
}

#[test]
fn wget_will_do() {
    let Some(wget) = find("wget") else { return };
    let machine = Machine::new();
    machine.lacks("curl");
    machine.install(&[]).failed(1, &["neither `curl` nor `wget` is installed"]);
    machine.has(&wget);
    machine.install(&[]).ok();
    machine.works();
    // What the server says is not what `wget` makes of it: any error ends it in the same way.
    machine.server.misbehave(".tar.zst", Fault::Status(503, Vec::new()), 1);
    machine
        .install(&[])
        .failed(5, &["cannot download http://", "ERROR 503", "hint: nothing was installed; run it again"]);
    fs::remove_file(machine.archive()).unwrap();
    machine.install(&[]).failed(3, &["there is no http://", "ERROR 404", "hint: is there such a release?"]);
}

/// GNU's `wget` follows any redirection. One that says so, and gets from the mirror's folder what it is asked for.
#[test]
fn wget_is_not_led_away_from_https() {
    let machine = Machine::new();
    machine.lacks("curl");
    let (arguments, folder) =
        (["--source", "https://mirror.example", "--version", VERSION], machine.path("dist"));
    for (location, good) in [
        ("Location: https://cdn.example/file", true),
        ("location: /file", true),
        ("Location: http://cdn.example/file", false),
        ("location: ftp://cdn.example/file", false),
    ] {
        machine.has_script(
            "wget",
            &format!(
                "[ \"$1\" != --version ] || {{ echo 'GNU Wget 1.21.3 built on linux-gnu.'; exit; }}\n\
                 for last; do :; done\nprintf '  HTTP/1.1 302 Found\\n  {location}\\n  HTTP/1.1 200 OK\\n' >&2\n\
                 exec cat \"{}/${{last#https://mirror.example/}}\"",
                folder.display()
            ),
        );
        let said = Said::from(machine.command(&["sh"], &arguments).output().unwrap());
        if good {
            said.ok();
        } else {
            said.failed(5, &["base-index.json: redirected to ", "//cdn.example/file, which is not HTTPS"]);
        }
    }
}

/// `BusyBox` has a `wget` that believes any certificate. This one does the rest with `curl`.
#[test]
fn a_wget_that_believes_any_certificate_needs_a_signature() {
    let (Some(minisign), Some(curl)) = (minisign(), find("curl")) else { return };
    let machine = Machine::new();
    machine.lacks("curl");
    machine.has_script(
        "wget",
        &format!(
            "[ \"$*\" != --version ] || {{ echo 'BusyBox v1.36.1 multi-call binary.' >&2; exit 1; }}\n\
             [ \"$1 $2 $3 $4 $5\" = '-q -T 60 -O -' ] || exit 1\n\
             '{}' -sf \"$6\" || {{ echo 'wget: server returned error: HTTP/1.1 404 Not Found' >&2; exit 1; }}",
            curl.display()
        ),
    );
    // On this machine there are no certificates.
    machine.install(&[]).ok();
    machine.works();
    let https = machine.server.url().replace("http:", "https:");
    let arguments = ["--version", VERSION, "--source", &https];
    let said = machine.command(&["sh"], &arguments).output().unwrap();
    Said::from(said).failed(1, &["may not verify certificates", "hint: install `curl`, or `minisign` and"]);
    machine.has(&minisign);
    let said = machine.command(&["sh"], &arguments).output().unwrap();
    Said::from(said).failed(1, &["may not verify certificates"]);
    // It goes on: there is nothing that speaks TLS.
    let key = key();
    let said =
        machine.command(&["sh"], &[&arguments[..], &["--trusted-key", &key]].concat()).output().unwrap();
    Said::from(said).failed(3, &["there is no https://127.0.0.1:", "404 Not Found"]);
    machine.install(&["--trusted-key", &key]).ok();
}

/// Neither with a download that has no end nor with few bytes that are unpacked to very many.
#[test]
fn nobody_fills_the_disk() {
    let machine = Machine::new();
    let curl = find("curl").unwrap();
    machine.server.misbehave("base-index.json", Fault::Endless, usize::MAX);
    machine.install(&[]).failed(5, &["/base-index.json: it is larger than 1048576 bytes"]);
    machine.lacks("curl");
    if let Some(wget) = find("wget") {
        machine.has(&wget);
        machine.install(&[]).failed(5, &["/base-index.json: it is larger than 1048576 bytes"]);
    }
    machine.server.behave();
    machine.has(&curl);

    // Frames one after another are one file, this one of 300 MiB.
    machine.replaces_archive(&compress(&vec![0; 1 << 20]).repeat(300));
    machine.install(&[]).failed(4, &[".tar.zst` unpacks to more than 268435456 bytes"]);
    machine.is_tidy(&[]);
}

#[test]
fn one_flipped_byte_is_found() {
    let machine = Machine::new();
    machine.install(&[]).ok();
    let before = fs::read(machine.installed()).unwrap();
    flip(&machine.archive(), 1000);
    let said = machine.install(&[]);
    said.failed(4, &["does not match the release's index", "expected: sha256 ", "found:    sha256 "]);
    assert_eq!(fs::read(machine.installed()).unwrap(), before);
    machine.is_tidy(&["encoderfile"]);
}

#[test]
fn a_changed_index_is_found() {
    let Some(minisign) = minisign() else { return };
    let machine = Machine::new();
    machine.has(&minisign);
    let index = machine.release("base-index.json");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replacen("\"published\": \"2", "\"published\": \"1", 1)).unwrap();
    machine
        .install(&["--trusted-key", &key()])
        .failed(4, &["the signature of http://", "does not match the file: one of them was changed"]);
    machine.is_tidy(&[]);
}

#[test]
fn the_signature_of_somebody_else_counts_for_nothing() {
    let Some(minisign) = minisign() else { return };
    let machine = Machine::new();
    machine.has(&minisign);
    let other = SigningKey::generate().public();
    machine.install(&["--trusted-key", &other]).failed(4, &["is signed by key ", "which is not trusted"]);
    // Several keys, the right one among them.
    machine.install(&["--trusted-key", &other, "--trusted-key", &key()]).ok();
    machine.works();
}

/// While one key takes the place of another, both sign: the first under the plain name, the other beside it.
#[test]
fn who_trusts_either_of_two_keys_gets_the_release() {
    let Some(minisign) = minisign() else { return };
    let machine = Machine::new();
    machine.has(&minisign);
    let tool = build_executable("encoderfile-release");
    let run = |arguments: &[&str]| {
        let output = Command::new(&tool).args(arguments).current_dir(machine.folder.path()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    };
    run(&["keygen", "--out", "new"]);
    let (release, old) =
        (format!("dist/v{VERSION}"), Signed::get().folder.path().join("keys/encoderfile.key"));
    run(&["sign", &release, "--key", old.to_str().unwrap(), "--key", "new/encoderfile.key"]);
    let id = |public: &str| {
        let text = fs::read_to_string(public).unwrap();
        text.lines().next().unwrap().rsplit(' ').next().unwrap().to_owned()
    };
    let (new, old) = (machine.path("new/encoderfile.pub").to_str().unwrap().to_owned(), key());
    let beside = format!(".{}.minisig", id(&new));

    machine.install(&["--trusted-key", &old]).ok();
    assert!(machine.server.requests(&beside).is_empty(), "the first signature is enough");
    let said = machine.install(&["--trusted-key", &new]).ok();
    assert_eq!(machine.server.requests(&beside).len(), 2, "of index and archive");
    let public = fs::read_to_string(&new).unwrap();
    let by = format!("verified: signatures of index and archive by {}", public.lines().nth(1).unwrap());
    assert!(said.stderr.contains(&by), "{said:?}");
    machine.works();

    // Neither: who signed is told, and who was asked for.
    let (other, another) = (SigningKey::generate(), SigningKey::generate());
    let keys = ["--trusted-key", &other.public(), "--trusted-key", &another.public()];
    let not_trusted = format!(
        "base-index.json is signed by key {}, which is not trusted (trusted: {}, {})",
        id(&old),
        other.id(),
        another.id()
    );
    machine
        .install(&keys)
        .failed(4, &[&not_trusted, "hint: nothing was installed; if the project has another key"]);

    // The new one beside the others, and without them.
    machine.install(&[&keys[..], &["--trusted-key", &new]].concat()).ok();
    fs::remove_file(machine.release("base-index.json.minisig")).unwrap();
    machine.install(&["--trusted-key", &new]).ok();
    let missing = format!("base-index.json.minisig nor one by key {}", id(&old));
    machine.install(&["--trusted-key", &old]).failed(3, &["there is no signature of http://", &missing]);

    flip(&machine.release("base-index.json"), 100);
    let changed = format!("by key {} does not match the file: one of them was changed", id(&new));
    machine.install(&["--trusted-key", &new]).failed(4, &[&changed]);
    fs::write(machine.release(&format!("base-index.json{beside}")), "<!doctype html>\n<p>\n").unwrap();
    machine.install(&["--trusted-key", &new]).failed(4, &["is not a minisign signature"]);
}

/// A genuine signature of something else, such as an old release, does not make it this one.
#[test]
fn a_replayed_release_is_found() {
    let Some(minisign) = minisign() else { return };
    let machine = Machine::new();
    machine.has(&minisign);
    fs::rename(machine.path("dist").join(format!("v{VERSION}")), machine.path("dist/v9.9.9")).unwrap();
    let (url, key) = (machine.server.url(), key());
    let arguments = ["--source", &url, "--version", "v9.9.9", "--trusted-key", &key];
    let said: Said = machine.command(&["sh"], &arguments).output().unwrap().into();
    said.failed(4, &["is the index of version", "not of 9.9.9"]);

    let signer = SigningKey::generate();
    let index = machine.path("dist/v9.9.9/base-index.json");
    let text = fs::read_to_string(&index).unwrap();
    let renamed = text.replacen(&format!("\"version\": \"{VERSION}\""), "\"version\": \"9.9.9\"", 1);
    fs::write(&index, &renamed).unwrap();
    let comment = format!("encoderfile base-index v{VERSION}");
    let signature = machine.path("dist/v9.9.9/base-index.json.minisig");
    fs::write(signature, signer.sign(renamed.as_bytes(), &comment)).unwrap();
    let public = signer.public();
    let arguments = ["--source", &url, "--version", "9.9.9", "--trusted-key", &public];
    let said: Said = machine.command(&["sh"], &arguments).output().unwrap().into();
    said.failed(4, &["is one of other bytes", &comment]);
    machine.is_tidy(&[]);
}

#[test]
fn what_is_not_there_is_said_to_be_missing() {
    let machine = Machine::new();
    fs::remove_file(machine.archive()).unwrap();
    machine
        .install(&[])
        .failed(3, &["there is no http://", "encoderfile-", "hint: is there such a release?"]);
    let url = machine.server.url();
    let said = machine.command(&["sh"], &["--source", &url, "--version", "0.0.7"]).output().unwrap();
    Said::from(said).failed(3, &["/v0.0.7/base-index.json"]);
    machine.is_tidy(&[]);
}

#[test]
fn a_download_that_ends_early_is_no_download() {
    let machine = Machine::new();
    machine.server.misbehave(".tar.zst", Fault::CutAfter(5000), 1);
    machine.install(&[]).failed(5, &["cannot download http://", "hint: nothing was installed"]);
    // Without a length nobody notices but who counts.
    machine.server.misbehave(".tar.zst", Fault::NoLength(5000), 1);
    machine.install(&[]).failed(4, &["has 5000 bytes, and the index says "]);
    machine.is_tidy(&[]);
    machine.install(&[]).ok();
    machine.works();
}

#[test]
#[cfg(target_os = "linux")]
fn musl_is_refused_before_anything_is_downloaded() {
    let machine = Machine::new();
    machine.lacks("getconf");
    machine.has_instead("ldd", "musl libc (x86_64)");
    let said = machine.install(&[]);
    said.failed(3, &["this system's C library is musl", "hint: use a system or an image with glibc"]);
    assert!(machine.server.requests("").is_empty());
    machine.is_tidy(&[]);
}

#[test]
#[cfg(target_os = "linux")]
fn an_old_glibc_is_told() {
    let machine = Machine::new();
    machine.has_instead("getconf", "glibc 2.9");
    let said = machine.install(&[]).ok();
    assert!(said.stderr.contains("warning: this system's glibc 2.9 is older than 2."), "{said:?}");
}

/// The program for another system, which here is one that says why it does not run.
#[test]
fn only_what_is_for_this_machine_is_tried() {
    let machine = Machine::new();
    let other =
        if HOST == "aarch64-apple-darwin" { "x86_64-unknown-linux-gnu" } else { "aarch64-apple-darwin" };
    machine.replaces_program(b"#!/bin/sh\necho 'Exec format error'\nexit 126\n");
    let index = machine.release("base-index.json");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replace(HOST, other)).unwrap();
    fs::rename(machine.archive(), machine.release(&format!("encoderfile-{other}.tar.zst"))).unwrap();
    let (url, mut arguments) = (machine.server.url(), vec!["--version", VERSION, "--target", other]);
    arguments.extend(["--source", &url]);
    let mut command = machine.command(&["sh"], &arguments);
    // Which the script has variables for.
    command.env("glibc", "2.36").env("host", other).env("tried", "yes");
    let said = Said::from(command.output().unwrap()).ok();
    assert!(said.stderr.contains(&format!("target:   {other}, which is not this machine's")), "{said:?}");
    assert!(machine.installed().is_file());
    // Nor does it matter here what this machine is.
    machine.has_instead("uname", "FreeBSD");
    machine.install(&["--target", other]).ok();

    // This machine's is tried, even if it is named.
    let machine = Machine::new();
    machine.replaces_program(b"#!/bin/sh\necho 'Exec format error'\nexit 126\n");
    for arguments in [&[][..], &["--target", HOST]] {
        let said = machine.install(arguments);
        said.failed(1, &["does not run here: Exec format error", "hint: this system has"]);
        machine.is_tidy(&[]);
    }
}

#[test]
fn other_systems_are_refused() {
    let machine = Machine::new();
    machine.has_instead("uname", "FreeBSD");
    machine
        .install(&[])
        .failed(3, &["there is no `encoderfile` for FreeBSD", "hint: releases are for Linux and macOS"]);
}

#[test]
fn without_zstd_it_stops_before_it_downloads() {
    let machine = Machine::new();
    machine.lacks("zstd");
    machine.has_instead("tar", "tar (GNU tar) 1.34");
    machine.install(&[]).failed(1, &["nothing here unpacks zstd", "apt-get install zstd"]);
    assert!(machine.server.requests("").is_empty());
}

#[test]
fn plain_http_is_for_this_machine_only() {
    let machine = Machine::new();
    let arguments = ["--version", VERSION, "--source"];
    for source in ["http://mirror.example", "http://127.0.0.1.example", "ftp://mirror.example"] {
        let said = machine.command(&["sh"], &[&arguments[..], &[source]].concat()).output().unwrap();
        Said::from(said).failed(2, &["is not HTTPS"]);
    }
}

/// `curl … | sh`, with a connection that breaks: whatever has come of the script does nothing.
#[test]
fn a_part_of_the_script_does_nothing() {
    let machine = Machine::new();
    let text = fs::read(script()).unwrap();
    let whole = text.trim_ascii_end().len();
    for length in (0..whole).step_by(411).chain(whole - 25..whole) {
        let part = machine.path("part.sh");
        fs::write(&part, &text[..length]).unwrap();
        let mut command = Command::new(find("sh").unwrap());
        command.arg(&part).args(["--source", &machine.server.url(), "--version", VERSION]).env_clear();
        command.env("PATH", machine.path("tools")).env("HOME", machine.path("home")).stdin(Stdio::null());
        // Where it goes if it has lost its arguments.
        command.env("GITHUB_SERVER_URL", machine.server.url()).output().unwrap();
        assert!(machine.server.requests("").is_empty(), "the first {length} bytes");
        machine.is_tidy(&[]);
    }
}

#[test]
fn usage_is_told() {
    let machine = Machine::new();
    let said = Said::from(machine.command(&["sh"], &["--help"]).output().unwrap()).ok();
    assert!(said.stdout.starts_with("Installs the command line `encoderfile`.\n\nUsage: "), "{said:?}");
    for (arguments, text) in [
        (&["--frobnicate=1"][..], "no option `--frobnicate`"),
        (&["--to"], "`--to` needs a value"),
        (&["0.1.0"], "unexpected argument `0.1.0`"),
        (&["--version=../0.1.0"], "is not a version"),
        // Not the latest: whoever writes these has lost the number on the way.
        (&["--version", "v"], "`v` is not a version"),
        (&["--version", "latest"], "`latest` is not a version"),
        (&["--version", ""], "`--version` needs a value, and it is empty"),
        (&["--require-signature=yes"], "`--require-signature` takes no value"),
        (&["--target="], "`--target` needs a value, and it is empty"),
        (&["--to=~/bin"], "no shell has expanded the tilde of `~/bin`"),
    ] {
        Said::from(machine.command(&["sh"], arguments).output().unwrap()).failed(2, &[text]);
    }
}
