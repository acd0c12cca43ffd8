//! What does not verify is not published, and nobody is asked.

use std::fs;

use encoderfile_registry::Target;

use super::{Hub, SIGN, signed};
use crate::{VERSION, Workshop};

const KEY: &str = "--trusted-key=keys/encoderfile.pub";
const ARCHIVE: &str = "encoderfile-runtime-x86_64-unknown-linux-gnu.tar.zst";

/// Refused with `code` before anything was asked.
fn refuse(hub: &Hub, code: i32, arguments: &[&str]) -> String {
    let error = hub.refuse_command(code, &mut hub.plain_command(arguments));
    assert_eq!(hub.requests().len(), 0);
    error
}

#[test]
fn only_trusted_keys_count() {
    let workshop = signed();
    workshop.run(&["keygen", "--out=other"]);
    let hub = Hub::new(&workshop);
    let error = refuse(&hub, 4, &["--allow-missing-targets", "--trusted-key=other/encoderfile.pub"]);
    assert!(
        error.starts_with("error: `dist/base-index.json` is not to be believed\n  cause: signed by key "),
        "{error}"
    );
    refuse(&hub, 2, &["--allow-missing-targets", "--trusted-key=absent.pub"]);
    // The project has no key yet.
    let error = refuse(&hub, 4, &["--allow-missing-targets"]);
    assert!(error.ends_with("hint: name the key with `--trusted-key FILE-OR-KEY`\n"), "{error}");
}

#[test]
fn a_signature_that_says_the_right_thing_has_to_hold() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    for name in ["base-index.json", ARCHIVE] {
        let path = format!("dist/{name}.minisig");
        let good = String::from_utf8(workshop.read(&path)).unwrap();
        let mut lines: Vec<&str> = good.lines().collect();
        // In the bytes of the signature, behind its key id.
        let other = if lines[1].as_bytes()[60] == b'A' { "B" } else { "A" };
        let line = format!("{}{other}{}", &lines[1][..60], &lines[1][61..]);
        lines[1] = &line;
        workshop.write(&path, (lines.join("\n") + "\n").as_bytes());
        let error = refuse(&hub, 4, &["--allow-missing-targets", KEY]);
        assert!(error.starts_with(&format!("error: `dist/{name}` is not to be believed\n")), "{error}");
        assert!(error.contains(" does not match the bytes\n"), "{error}");
        workshop.write(&path, good.as_bytes());
    }
}

#[test]
fn what_is_signed_is_looked_at_too() {
    let workshop = signed();
    let mut index: serde_json::Value =
        serde_json::from_slice(&workshop.read("dist/base-index.json")).unwrap();
    index["targets"]["x86_64-unknown-linux-gnu"]["onnxruntime_version"] = "1.24.0".into();
    workshop.write("dist/base-index.json", index.to_string().as_bytes());
    workshop.run(&SIGN);
    let error = refuse(&Hub::new(&workshop), 4, &["--allow-missing-targets", KEY]);
    assert!(error.contains("is not what the index says of it: ONNX Runtime\n"), "{error}");
}

#[test]
fn no_signature_goes_along_unchecked() {
    let workshop = signed();
    workshop.run(&["keygen", "--out=other"]);
    workshop.run(&["sign", "dist", "--key=keys/encoderfile.key", "--key=other/encoderfile.key"]);
    let hub = Hub::new(&workshop);
    // `verify` is content with one key that it knows.
    workshop.run(&["verify", "dist", KEY]);
    let error = refuse(&hub, 4, &["--allow-missing-targets", KEY]);
    assert!(
        error.starts_with("error: `dist/base-index.json.") || error.starts_with("error: `dist/encoderfile-"),
        "{error}"
    );
    assert!(error.contains(".minisig` is not to be believed\n  cause: signed by key "), "{error}");

    // The signature that older command lines know is not the further one.
    for name in workshop.names("dist").iter().filter(|name| !name.ends_with(".minisig")) {
        fs::remove_file(workshop.path(format!("dist/{name}.minisig"))).unwrap();
    }
    let error = refuse(&hub, 4, &["--allow-missing-targets", "--trusted-key=other/encoderfile.pub"]);
    assert!(error.contains("has signatures of further keys only"), "{error}");
}

#[test]
fn a_release_is_for_all_targets() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    let error = refuse(&hub, 4, &[KEY]);
    assert_eq!(
        error,
        "error: the release is not for all targets\n  \
         missing: encoderfile for aarch64-apple-darwin\n  \
         missing: encoderfile for aarch64-unknown-linux-gnu\n  \
         missing: encoderfile-runtime for aarch64-unknown-linux-gnu\n  \
         missing: encoderfile for x86_64-apple-darwin\n  \
         missing: encoderfile-runtime for x86_64-apple-darwin\n\
         hint: nothing can be added to what is published: pack them too, or leave them out for good with \
         `--allow-missing-targets`\n"
    );

    // Base binaries alone are a whole release.
    let workshop = Workshop::new();
    for target in Target::ALL {
        workshop.pack(target, false);
    }
    workshop.run(&["index", "--version", VERSION, "dist"]);
    workshop.run(&["keygen", "--out=keys"]);
    workshop.run(&SIGN);
    let hub = Hub::new(&workshop);
    let output = hub.plain_command(&[KEY]).output().unwrap();
    assert!(output.status.success(), "{}", hub.checked(&output));
    hub.assert_published();
}
