//! What a person is shown.

use crate::Workshop;

#[test]
fn help_of_every_command() {
    let workshop = Workshop::new();
    insta::assert_snapshot!("help", workshop.run(&["--help"]));
    let making = ["keygen", "pin-onnxruntime", "preflight", "check", "pack", "index", "sign"];
    for command in [&making[..], &["verify", "publish", "third-party"]].concat() {
        insta::assert_snapshot!(format!("help_{command}"), workshop.run(&[command, "--help"]));
    }
}

#[test]
fn usage_errors_have_their_own_code() {
    let workshop = Workshop::new();
    workshop.refuse(2, &[]);
    workshop.refuse(2, &["pack"]);
    workshop.refuse(2, &["index", "--version", "v1", "dist"]);
    let error = workshop.refuse(2, &["pack", "--target=linux/arm64", "--runtime=x", "--out=y"]);
    assert!(error.contains("did you mean `aarch64-unknown-linux-gnu`?"), "{error}");
}
