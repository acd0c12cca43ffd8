//! Key pairs.

use std::fs;
use std::process::Command;

use crate::{Workshop, error_of, installed, refuse, succeed};

#[test]
fn a_pair_is_made_once() {
    let workshop = Workshop::new();
    let report = workshop.run(&["keygen", "--out=keys"]);
    assert_eq!(workshop.names("keys"), ["encoderfile.key", "encoderfile.pub"]);
    let public = String::from_utf8(workshop.read("keys/encoderfile.pub")).unwrap();
    let key_id =
        public.lines().next().unwrap().strip_prefix("untrusted comment: minisign public key: ").unwrap();
    assert!(report.starts_with(&format!("key id:     {key_id}\n")), "{report}");
    assert!(report.contains("not encrypted"), "{report}");

    let before = workshop.read("keys/encoderfile.key");
    let error = workshop.refuse(1, &["keygen", "--out=keys"]);
    assert!(error.starts_with("error: key file `keys/encoderfile.key` exists already\nhint: "), "{error}");
    assert_eq!(workshop.read("keys/encoderfile.key"), before);

    // Half a pair is as precious as a whole one.
    fs::remove_file(workshop.path("keys/encoderfile.key")).unwrap();
    workshop.refuse(1, &["keygen", "--out=keys"]);
    assert_eq!(workshop.names("keys"), ["encoderfile.pub"]);
}

#[test]
#[cfg(unix)]
fn nobody_else_reads_the_secret_key() {
    use std::os::unix::fs::PermissionsExt as _;

    let workshop = Workshop::new();
    workshop.run(&["keygen", "--out=keys"]);
    let mode = fs::metadata(workshop.path("keys/encoderfile.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_password_encrypts_the_secret_key() {
    let workshop = Workshop::new();
    let mut keygen = workshop.tool(&["keygen", "--out=keys"]);
    succeed(keygen.env("ENCODERFILE_KEY_PASSWORD", "correct horse"));
    workshop.pack(encoderfile_registry::Target::X86_64LinuxGnu, false);
    workshop.run(&["index", "--version", crate::VERSION, "dist"]);

    let sign = ["sign", "dist", "--key=keys/encoderfile.key"];
    let error = workshop.refuse(1, &sign);
    assert!(error.contains("is encrypted, and `ENCODERFILE_KEY_PASSWORD` is not set"), "{error}");
    let error = refuse(1, workshop.tool(&sign).env("ENCODERFILE_KEY_PASSWORD", "wrong"));
    assert!(error.contains("Wrong password"), "{error}");
    assert_eq!(workshop.names("dist").len(), 2, "no signature was left");
    succeed(workshop.tool(&sign).env("ENCODERFILE_KEY_PASSWORD", "correct horse"));
}

#[test]
fn an_empty_password_is_a_mistake() {
    let workshop = Workshop::new();
    let error = refuse(2, workshop.tool(&["keygen", "--out=keys"]).env("ENCODERFILE_KEY_PASSWORD", ""));
    assert!(error.contains("set but empty"), "{error}");
    assert!(!workshop.path("keys").exists());
}

/// What git of this repository ignores.
const IGNORED: &[u8] = include_bytes!("../../../.gitignore");

#[test]
fn a_secret_key_that_git_would_commit_is_warned_of() {
    if !installed("git") {
        return;
    }
    let workshop = Workshop::new();
    // Nobody's own settings.
    let alone = |command: &mut Command| {
        command.env("HOME", workshop.path("home")).env("GIT_CONFIG_NOSYSTEM", "1");
        command.env_remove("XDG_CONFIG_HOME").env_remove("GIT_CONFIG_GLOBAL");
        command.output().unwrap()
    };
    let told = |out: &str, git_dir: Option<&str>| {
        let mut keygen = workshop.tool(&["keygen", "--out", out]);
        let output = alone(keygen.envs(git_dir.map(|directory| ("GIT_DIR", directory))));
        assert!(output.status.success());
        error_of(&output)
    };
    assert_eq!(told("outside", None), "");
    for name in ["open", "ignoring"] {
        let output = alone(Command::new("git").args(["init", "--quiet"]).arg(workshop.path(name)));
        assert!(output.status.success(), "{}", error_of(&output));
    }
    let warning = told("open/a/b", None);
    let expected = "warning: secret key `open/a/b/encoderfile.key` is in the git work tree `";
    assert!(warning.starts_with(expected), "{warning}");
    assert!(warning.contains("/open`, and not ignored: it must never be committed\nhint: "), "{warning}");
    // As in a checkout of this repository.
    workshop.write("ignoring/.gitignore", IGNORED);
    assert_eq!(told("ignoring/anywhere", None), "");
    // Which repository a shell is at does not matter.
    assert_eq!(told("ignoring/elsewhere", workshop.path("open/.git").to_str()), "");
    // Further work trees have a file there.
    fs::create_dir(workshop.path("linked")).unwrap();
    workshop.write("linked/.git", b"gitdir: /nowhere\n");
    assert_ne!(told("linked/keys", None), "");
}
