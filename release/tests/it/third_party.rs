//! The notices.

use std::fs;
use std::process::Command;

use crate::{Workshop, succeed};

/// A workspace with one dependency from a directory registry, so that no network and no cache is needed.
pub(crate) fn workspace(licence: &str, text: Option<&str>) -> Workshop {
    let workshop = Workshop::new();
    let files = [
        ("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"cli\", \"runtime\"]\n".to_owned()),
        (
            "cli/Cargo.toml",
            "[package]\nname = \"encoderfile\"\nversion = \"0.3.0\"\nedition = \"2024\"\n\n[dependencies]\n\
             linked = \"1\"\n\n[build-dependencies]\nbuilder = \"1\"\n\n[target.'cfg(target_os = \"macos\")'.dependencies]\n\
             apple = \"1\"\n"
                .to_owned(),
        ),
        ("cli/src/main.rs", "fn main() {}\n".to_owned()),
        (
            "runtime/Cargo.toml",
            "[package]\nname = \"encoderfile-runtime\"\nversion = \"0.3.0\"\nedition = \"2024\"\n".to_owned(),
        ),
        ("runtime/src/main.rs", "fn main() {}\n".to_owned()),
        ("release/onnxruntime.toml", "version = \"1.2.3\"\n[target.other]\nwheel = \"x\"\n".to_owned()),
        (
            ".cargo/config.toml",
            "[source.crates-io]\nreplace-with = \"vendored\"\n\n[source.vendored]\ndirectory = \"vendored\"\n".to_owned(),
        ),
    ];
    for (name, content) in files {
        add(&workshop, name, &content);
    }
    for name in ["linked", "builder", "apple"] {
        let licence = if name == "linked" { licence } else { "license = \"ISC\"" };
        let manifest =
            format!("[package]\nname = \"{name}\"\nversion = \"1.2.3\"\nedition = \"2021\"\n{licence}\n");
        add(&workshop, &format!("vendored/{name}/Cargo.toml"), &manifest);
        add(&workshop, &format!("vendored/{name}/src/lib.rs"), "");
        let checksum = format!(r#"{{"files":{{}},"package":"{}"}}"#, "ab".repeat(32));
        add(&workshop, &format!("vendored/{name}/.cargo-checksum.json"), &checksum);
    }
    if let Some(text) = text {
        add(&workshop, "vendored/linked/LICENSE", text);
    }
    lock(&workshop);
    workshop
}

fn lock(workshop: &Workshop) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    succeed(Command::new(cargo).args(["generate-lockfile", "--offline"]).current_dir(workshop.path("")));
}

fn add(workshop: &Workshop, name: &str, content: &str) {
    let path = workshop.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn notices(workshop: &Workshop, target: &str) -> String {
    workshop.run(&["third-party", "--program=encoderfile", "--target", target, "--out=-"])
}

#[test]
fn what_is_linked_for_the_target_is_named() {
    let workshop = workspace(
        "license = \"MIT/Apache-2.0\"\nrepository = \"https://example.org/linked\"",
        Some("Be kind."),
    );
    let linux = notices(&workshop, "x86_64-unknown-linux-gnu");
    assert!(
        linux.starts_with("# Third-party software in `encoderfile` for `x86_64-unknown-linux-gnu`\n"),
        "{linux}"
    );
    assert!(
        linux.contains("| linked | 1.2.3 | MIT OR Apache-2.0 | https://example.org/linked |\n"),
        "{linux}"
    );
    assert!(linux.contains("\n- linked 1.2.3 (`LICENSE`)\n\n```text\nBe kind.\n```\n"), "{linux}");
    assert!(!linux.contains("builder") && !linux.contains("apple"), "{linux}");
    assert!(!linux.contains(workshop.path("").to_str().unwrap()), "{linux}");
    let mac = notices(&workshop, "aarch64-apple-darwin");
    assert!(mac.contains("| apple | 1.2.3 | ISC | the crate `apple` |\n"), "{mac}");
    assert!(mac.contains("\n- apple 1.2.3 (ISC)\n"), "{mac}");

    // The same from another directory, and in another workspace of the same content.
    let elsewhere = workspace(
        "license = \"MIT/Apache-2.0\"\nrepository = \"https://example.org/linked\"",
        Some("Be kind."),
    );
    assert_eq!(notices(&elsewhere, "x86_64-unknown-linux-gnu"), linux);
    let report = workshop.run(&[
        "third-party",
        "--program=encoderfile",
        "--target=x86_64-unknown-linux-gnu",
        "--manifest-path=cli/Cargo.toml",
        "--out=notices/THIRD_PARTY.md",
    ]);
    assert_eq!(report, "notices/THIRD_PARTY.md\n");
    assert_eq!(
        String::from_utf8(workshop.read("notices/THIRD_PARTY.md")).unwrap().trim_end(),
        linux.trim_end()
    );
}

#[test]
fn a_dependency_without_a_licence_is_refused() {
    let arguments = ["third-party", "--program=encoderfile", "--target=x86_64-unknown-linux-gnu"];
    let workshop = workspace("", None);
    let error = workshop.refuse(4, &arguments);
    assert!(error.starts_with("error: dependency `linked` 1.2.3 has no licence\n"), "{error}");
    assert!(!workshop.path("THIRD_PARTY.md").exists());
    // A text without an expression is a licence.
    workspace("", Some("Be kind.")).run(&arguments);
}

#[test]
fn a_missing_workspace_or_program_is_an_error() {
    let error = Workshop::new()
        .refuse(1, &["third-party", "--program=encoderfile", "--target=x86_64-unknown-linux-gnu"]);
    assert!(error.starts_with("error: cannot read the workspace's dependencies\n"), "{error}");
    let hint = "hint: run it inside the workspace or name its Cargo.toml with `--manifest-path`\n";
    assert!(error.ends_with(hint), "{error}");
    let workshop = workspace("license = \"MIT\"", None);
    let manifest = "[package]\nname = \"other\"\nversion = \"0.3.0\"\nedition = \"2024\"\n";
    add(&workshop, "runtime/Cargo.toml", manifest);
    lock(&workshop);
    let error = workshop.refuse(1, &RUNTIME);
    assert!(error.starts_with("error: the workspace has no package `encoderfile-runtime`\n"), "{error}");
    assert!(error.ends_with(hint), "{error}");
}

#[test]
fn the_cause_is_cargos_message_without_what_is_around_it() {
    let workshop = Workshop::new();
    let said = "warning: something else\nerror: no toolchain is installed\nhelp: install one\n\n\
                Stack backtrace:\n   0: rustup::main\n             at ./main.rs:58:16\n";
    add(&workshop, "said", said);
    // With `sh` for Cargo, `cargo metadata` is this script.
    add(&workshop, "metadata", "cat said >&2; exit 1\n");
    let arguments = ["third-party", "--program=encoderfile", "--target=x86_64-unknown-linux-gnu"];
    let told = || crate::refuse(1, workshop.tool(&arguments).env("CARGO", "sh"));
    let expected = "  cause: `cargo metadata` exited with an error: no toolchain is installed\n    \
                    help: install one\nhint: ";
    let error = told();
    assert!(error.contains(expected), "{error}");
    add(&workshop, "said", "it fell over\n");
    let error = told();
    assert!(error.contains("exited with an error: it fell over\nhint: "), "{error}");
}

const RUNTIME: [&str; 4] =
    ["third-party", "--program=encoderfile-runtime", "--target=x86_64-unknown-linux-gnu", "--out=-"];

#[test]
fn a_base_binary_comes_with_the_notices_of_onnx_runtime() {
    let workshop = workspace("license = \"MIT\"", None);
    let error = workshop.refuse(1, &RUNTIME);
    let expected = "error: the notices of ONNX Runtime 1.2.3 for `x86_64-unknown-linux-gnu` are not there\n";
    assert!(error.starts_with(expected), "{error}");
    assert!(error.contains("target/onnxruntime/1.2.3/x86_64-unknown-linux-gnu/LICENSE\n"), "{error}");

    let directory = "target/onnxruntime/1.2.3/x86_64-unknown-linux-gnu";
    add(&workshop, &format!("{directory}/LICENSE"), "Permission is granted.\r\n");
    add(&workshop, &format!("{directory}/ThirdPartyNotices.txt"), "\u{feff}Made with Eigen.");
    let document = workshop.run(&RUNTIME);
    assert!(
        document.contains("| ONNX Runtime | 1.2.3 | MIT | https://github.com/microsoft/onnxruntime |\n"),
        "{document}"
    );
    let texts = "- ONNX Runtime 1.2.3 (`LICENSE`)\n\n```text\nPermission is granted.\n```\n\n\
                 - ONNX Runtime 1.2.3 (`ThirdPartyNotices.txt`)\n\n```text\nMade with Eigen.\n```\n";
    assert!(document.ends_with(texts), "{document}");
}
