//! What programs are made of, for programs that read it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use encoderfile_registry::{Digest, Target};
use serde_json::{Value, json};

use crate::third_party::workspace;
use crate::{VERSION, Workshop, executable, runtime, succeed};

const TARGET: Target = Target::X86_64LinuxGnu;
const RUNTIME_SBOM: &str = "dist/encoderfile-runtime-x86_64-unknown-linux-gnu.cdx.json";
const CLI_SBOM: &str = "dist/encoderfile-x86_64-unknown-linux-gnu.cdx.json";

/// Packs both programs in a workspace with one dependency.
fn packed() -> Workshop {
    let workshop = workspace("license = \"MIT\"", Some("Be kind."));
    let notices = workshop.path("target/onnxruntime/1.23.2/x86_64-unknown-linux-gnu");
    fs::create_dir_all(&notices).unwrap();
    for name in ["LICENSE", "ThirdPartyNotices.txt"] {
        fs::write(notices.join(name), "Be kind.").unwrap();
    }
    workshop.write("program", &runtime(TARGET, VERSION));
    workshop.write("cli-program", &executable::for_target(TARGET, (2, 17)));
    pack(&workshop);
    workshop
}

fn pack(workshop: &Workshop) {
    let arguments =
        ["pack", "--level=1", "--target", TARGET.triple(), "--runtime=program", "--cli=cli-program"];
    succeed(
        workshop.tool(&[&arguments[..], &["--out=dist"]].concat()).env("SOURCE_DATE_EPOCH", "1767323045"),
    );
}

fn document(workshop: &Workshop, name: &str) -> Value {
    serde_json::from_slice(&workshop.read(name)).unwrap()
}

#[test]
fn it_names_what_the_program_is_linked_from() {
    let workshop = packed();
    let sbom = document(&workshop, CLI_SBOM);
    assert_eq!((&sbom["bomFormat"], &sbom["specVersion"]), (&json!("CycloneDX"), &json!("1.5")));
    assert_eq!(sbom["metadata"]["timestamp"], "2026-01-02T03:04:05Z");
    let subject = &sbom["metadata"]["component"];
    assert_eq!((&subject["name"], &subject["version"]), (&json!("encoderfile"), &json!(VERSION)));
    assert_eq!(subject["hashes"][0]["content"], Digest::of(&workshop.read("cli-program")).to_string());
    // The one that it is linked from, not the one that it is built with, nor the one of another platform.
    let components = sbom["components"].as_array().unwrap();
    assert_eq!(components.len(), 1, "{components:?}");
    assert_eq!(components[0]["purl"], "pkg:cargo/linked@1.2.3");
    assert_eq!(components[0]["licenses"], json!([{"expression": "MIT"}]));
    let lock: toml::Table = String::from_utf8(workshop.read("Cargo.lock")).unwrap().parse().unwrap();
    let locked = lock["package"].as_array().unwrap();
    let locked = locked.iter().find(|package| package["name"].as_str() == Some("linked")).unwrap();
    let checksum = locked["checksum"].as_str().unwrap();
    assert_eq!(components[0]["hashes"], json!([{"alg": "SHA-256", "content": checksum}]));
    let root = subject["bom-ref"].as_str().unwrap();
    let edges = json!([
        {"ref": root, "dependsOn": ["pkg:cargo/linked@1.2.3"]},
        {"ref": "pkg:cargo/linked@1.2.3", "dependsOn": []},
    ]);
    assert_eq!(sbom["dependencies"], edges);

    let sbom = document(&workshop, RUNTIME_SBOM);
    let library = &sbom["components"][0];
    assert_eq!((&library["name"], &library["version"]), (&json!("ONNX Runtime"), &json!("1.23.2")));
    let sha256 = Digest::of(&executable::onnxruntime(TARGET, "1.23.2")).to_string();
    assert_eq!(library["hashes"][0]["content"], sha256);
}

#[test]
fn the_same_parts_give_the_same_document() {
    let workshop = packed();
    let before = [workshop.read(CLI_SBOM), workshop.read(RUNTIME_SBOM)];
    pack(&workshop);
    assert_eq!([workshop.read(CLI_SBOM), workshop.read(RUNTIME_SBOM)], before);
    let serial = |name| document(&workshop, name)["serialNumber"].clone();
    assert_ne!(serial(CLI_SBOM), serial(RUNTIME_SBOM));
    // Where the notices come from elsewhere, nobody knows what they were made from.
    let arguments = ["pack", "--level=1", "--target", TARGET.triple(), "--runtime=program", "--out=dist"];
    workshop.run(&[&arguments[..], &["--third-party=NOTICES.md"]].concat());
    assert!(!workshop.path(RUNTIME_SBOM).exists(), "that of an earlier run is gone");
}

#[test]
fn the_index_vouches_for_it() {
    let workshop = packed();
    workshop.run(&["index", "--version", VERSION, "dist"]);
    let entry = workshop.index().targets[&TARGET].clone();
    for (file, name) in [(entry.sbom.unwrap(), RUNTIME_SBOM), (entry.cli_sbom.unwrap(), CLI_SBOM)] {
        let bytes = workshop.read(name);
        assert_eq!(Path::new("dist").join(&file.name), Path::new(name));
        assert_eq!((file.size, file.sha256), (bytes.len() as u64, Digest::of(&bytes)));
    }
    workshop.run(&["keygen", "--out=keys"]);
    workshop.run(&["sign", "dist", "--key=keys/encoderfile.key"]);
    assert!(
        !workshop.path(format!("{CLI_SBOM}.minisig")).exists(),
        "the index is signed, and says its digest"
    );
    let report = workshop.run(&["verify", "dist", "--trusted-key=keys/encoderfile.pub"]);
    let counts: Vec<_> = report.lines().filter(|line| line.starts_with("x86_64")).collect();
    assert!(counts.len() == 2 && counts.iter().all(|line| line.ends_with("  1")), "{report}");

    // One that was changed is neither signed nor verified.
    let text = String::from_utf8(workshop.read(CLI_SBOM)).unwrap();
    workshop.write(CLI_SBOM, text.replace("linked", "kindly").as_bytes());
    let verify = ["verify", "dist", "--trusted-key=keys/encoderfile.pub"];
    for arguments in [&["sign", "dist", "--key=keys/encoderfile.key"][..], &verify] {
        let error = workshop.refuse(4, arguments);
        let expected = format!("error: file `{CLI_SBOM}` does not match its index\n");
        assert!(error.starts_with(&expected), "{error}");
    }
    fs::remove_file(workshop.path(CLI_SBOM)).unwrap();
    let error = workshop.refuse(4, &verify);
    assert!(error.contains("is in the index of `dist` but not there\n"), "{error}");
}

#[test]
fn one_of_something_else_is_refused() {
    let workshop = packed();
    let good = String::from_utf8(workshop.read(RUNTIME_SBOM)).unwrap();
    let refuse = |from: &str, to: &str| {
        let bad = good.replace(from, to);
        assert_ne!(bad, good);
        workshop.write(RUNTIME_SBOM, bad.as_bytes());
        let error = workshop.refuse(4, &["index", "--version", VERSION, "dist"]);
        assert!(error.starts_with(&format!("error: `{RUNTIME_SBOM}` does not tell")), "{error}");
        error
    };
    let digest = |bytes: &[u8]| Digest::of(bytes).to_string();
    let binary = digest(&workshop.read("program"));
    assert!(refuse(&binary, &digest(b"other")).contains("it is about something else: sha256\n"));
    let library = digest(&executable::onnxruntime(TARGET, "1.23.2"));
    assert!(refuse(&library, &digest(b"other")).contains("something else: sha256 of ONNX Runtime\n"));
    assert!(refuse(VERSION, "0.2.0").contains("it is about something else: version\n"));
    assert!(refuse("CycloneDX", "SPDX").contains("  found:    SPDX 1.5\n"));
    assert!(refuse("{\n", "[\n").contains("it is no CycloneDX document"));
    let secret = "\"ONNX Runtime\",\n      \"version\": \"1.23.2\"";
    let error = refuse(secret, "\"Other\",\n      \"version\": \"9\"");
    assert!(error.contains("  component: Other 9\n"), "{error}");
    workshop.write(RUNTIME_SBOM, good.as_bytes());
    workshop.run(&["index", "--version", VERSION, "dist"]);
    // About a program that the release does not have.
    fs::remove_file(workshop.path(format!("dist/encoderfile-{TARGET}.tar.zst"))).unwrap();
    let error = workshop.refuse(4, &["index", "--version", VERSION, "dist"]);
    assert!(
        error.starts_with(&format!("error: `{CLI_SBOM}` is about a program that is not there\n")),
        "{error}"
    );
}

/// Those of the project's own two programs, judged by the specification's own schema.
#[test]
fn it_is_what_the_specification_says() {
    let Some(schemas) = schemas() else { return };
    let workshop = packed();
    let schema = |name: &str| -> Value {
        let text = fs::read_to_string(schemas.join(format!("{name}.SNAPSHOT.schema.json"))).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let mut registry = jsonschema::Registry::new();
    for name in ["spdx", "jsf-0.82"] {
        let place = format!("http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json");
        registry = registry.add(place, schema(name)).unwrap();
    }
    let registry = registry.prepare().unwrap();
    let validator = jsonschema::options().with_registry(&registry).build(&schema("bom-1.5")).unwrap();
    for name in [CLI_SBOM, RUNTIME_SBOM] {
        let mut sbom = document(&workshop, name);
        let errors: Vec<_> = validator.iter_errors(&sbom).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{name}");
        sbom["components"][0]["hashes"][0]["alg"] = "SHA-0".into();
        assert!(!validator.is_valid(&sbom), "the schema does judge");
    }
}

/// The schemas in the Python package `cyclonedx-python-lib`, which is not installed, only fetched and unpacked into the build directory.
fn schemas() -> Option<PathBuf> {
    const REQUIREMENT: &str = "cyclonedx-python-lib==11.0.0";
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cyclonedx");
    let schemas = directory.join("cyclonedx/schema/_res");
    if schemas.join("bom-1.5.SNAPSHOT.schema.json").is_file() {
        return Some(schemas);
    }
    let staging = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", REQUIREMENT, "--dest"]);
    let done = pip.arg(staging.path()).output().is_ok_and(|output| output.status.success());
    let Some(wheel) = staging.path().read_dir().unwrap().next().filter(|_| done) else {
        eprintln!("{REQUIREMENT}: cannot be fetched with pip, so nothing is compared with the schema");
        return None;
    };
    let wheel = fs::File::open(wheel.unwrap().path()).unwrap();
    let unpacked = staging.path().join("unpacked");
    zip::ZipArchive::new(wheel).unwrap().extract(&unpacked).unwrap();
    let _ = fs::rename(&unpacked, &directory);
    schemas.is_dir().then_some(schemas)
}
