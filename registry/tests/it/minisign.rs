//! Interoperation with the C program `minisign`, which a user may check our releases with, and a mirror may sign its own
//! with. It is looked for where `ENCODERFILE_MINISIGN` says, and on `PATH`; `tools/minisign.sh` gets it. Without it these
//! tests print that they are skipped.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use encoderfile_registry::{Error, Registry, TrustError, TrustedKeys};
use encoderfile_testing::{Release, SigningKey, archive_name, build_executable};

use crate::bench::{LINUX, VERSION, config, fetch, runtime};

/// What to call; none, with a message, where there is no such program.
#[expect(clippy::print_stdout, reason = "a test that was not made should not look like one that was")]
fn program() -> Option<OsString> {
    let named = std::env::var_os("ENCODERFILE_MINISIGN");
    let program = named.clone().unwrap_or_else(|| "minisign".into());
    // Without arguments it prints how it is used, whatever its version.
    match Command::new(&program).output() {
        Ok(_) => Some(program),
        Err(error) if named.is_some() => panic!("ENCODERFILE_MINISIGN, {}: {error}", program.display()),
        Err(error) => {
            println!("skipped: minisign is not on PATH ({error}), and ENCODERFILE_MINISIGN is not set");
            None
        }
    }
}

/// Runs it in a folder, with names relative to it.
fn run(program: &OsString, folder: &Path, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).current_dir(folder).output().unwrap()
}

#[track_caller]
fn run_well(program: &OsString, folder: &Path, arguments: &[&str]) -> String {
    let output = run(program, folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// `file`, signed as `file.minisig`, is what `key` signed with this trusted comment, and one bit more is not.
#[track_caller]
fn accepted(program: &OsString, folder: &Path, key: &Path, file: &str, comment: &str) {
    let arguments = ["-V", "-H", "-p", key.to_str().unwrap(), "-m", file];
    let said = run_well(program, folder, &arguments);
    let expected = format!("Trusted comment: {comment}\n");
    assert!(said.contains(&expected), "`{expected}` is not in {said}");

    let path = folder.join(file);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, [&bytes[..], b"x"].concat()).unwrap();
    assert!(!run(program, folder, &arguments).status.success(), "{file} with a byte more");
    fs::write(&path, bytes).unwrap();
}

fn release(folder: &Path, key: &SigningKey) -> Release {
    Release::write(folder, &VERSION.to_string(), &[(LINUX.triple(), &runtime(1000))], key)
}

#[test]
fn minisign_accepts_what_a_test_release_is_signed_with() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::generate();
    let release = release(folder.path(), &key);
    let public = folder.path().join("key.pub");
    fs::write(&public, format!("untrusted comment: a key\n{}\n", key.public())).unwrap();
    let comment = format!("encoderfile base-index v{VERSION}");
    accepted(&program, &release.directory, &public, "base-index.json", &comment);
}

#[test]
fn minisign_accepts_what_a_real_release_is_signed_with() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let release = release(folder.path(), &SigningKey::generate());
    fs::remove_file(release.signature()).unwrap();
    let tool = build_executable("encoderfile-release");
    let run_tool = |arguments: &[&str]| {
        let output = Command::new(&tool).args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    };
    run_tool(&["keygen", "--out", "."]);
    run_tool(&["sign", release.directory.to_str().unwrap(), "--key", "encoderfile.key"]);

    let public = folder.path().join("encoderfile.pub");
    let comment = format!("encoderfile base-index v{VERSION}");
    accepted(&program, &release.directory, &public, "base-index.json", &comment);
    let archive = archive_name(LINUX.triple());
    let said =
        run_well(&program, &release.directory, &["-V", "-p", public.to_str().unwrap(), "-m", &archive]);
    assert!(said.contains(&archive) && said.contains(&format!("v{VERSION}")), "{said}");
}

/// A release that `minisign` itself signs, with a key that it made, and what a fetch of it comes to.
fn fetch_signed_with(program: &OsString, options: &[&str], comment: &str) -> Result<(), Error> {
    let folder = tempfile::tempdir().unwrap();
    run_well(program, folder.path(), &["-G", "-W", "-p", "key.pub", "-s", "key"]);
    let release = release(&folder.path().join("dist"), &SigningKey::generate());
    fs::remove_file(release.signature()).unwrap();
    let key = folder.path().join("key");
    let arguments = ["-S", "-W", "-s", key.to_str().unwrap(), "-m", "base-index.json", "-t", comment];
    run_well(program, &release.directory, &[&arguments[..], options].concat());

    let mut keys = TrustedKeys::none();
    keys.add(folder.path().join("key.pub").to_str().unwrap()).unwrap();
    let source = folder.path().join("dist");
    let registry = Registry::new(config(&folder.path().join("cache"), source.to_str().unwrap(), keys));
    let fetched = fetch(&registry)?;
    assert_eq!(fs::read(&fetched.base.path).unwrap(), runtime(1000));
    Ok(())
}

fn refusal(result: Result<(), Error>) -> TrustError {
    match result.unwrap_err() {
        Error::Untrusted { source, .. } => *source,
        error => panic!("{error}"),
    }
}

#[test]
fn what_minisign_signs_is_accepted() {
    let Some(program) = program() else { return };
    fetch_signed_with(&program, &[], &format!("encoderfile base-index v{VERSION}")).unwrap();
}

#[test]
fn what_minisign_signs_as_something_else_is_refused() {
    let Some(program) = program() else { return };
    let refused = refusal(fetch_signed_with(&program, &[], "encoderfile base-index v0.3.0"));
    assert!(matches!(refused, TrustError::WrongComment { .. }), "{refused}");
}

#[test]
fn what_minisign_signs_in_the_legacy_form_is_refused() {
    let Some(program) = program() else { return };
    let refused =
        refusal(fetch_signed_with(&program, &["-l"], &format!("encoderfile base-index v{VERSION}")));
    assert!(matches!(refused, TrustError::Legacy { .. }), "{refused}");
}
