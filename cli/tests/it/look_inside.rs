//! `inspect` and `verify`.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use encoderfile_format::{ArtifactKind, Content, Edit, Part, SourceFile, UnknownField};
use encoderfile_testing::model_folder;
use serde_json::Value;
use sha2::Digest as _;

use crate::parts::{BASE, bytes, integer, payload, write_file};
use crate::sandbox::{HOST, Release, Said, Sandbox, VERSION, flip, runtime};

fn sha256(bytes: &[u8]) -> String {
    hex::encode(sha2::Sha256::digest(bytes))
}

#[test]
fn inspect_tells_the_truth() {
    let sandbox = Sandbox::new();
    let file = fs::read(sandbox.build("sequence_classification")).unwrap();
    let report = sandbox.run(["inspect", "--json", "model.encoderfile"]).ok().json();
    assert_eq!(report["format_version"], 1);
    assert_eq!(report["name"], "sequence_classification");
    assert_eq!(report["model_type"], "sequence_classification");
    assert_eq!(report["labels"], serde_json::json!(["NEGATIVE", "NEUTRAL", "POSITIVE"]));
    assert_eq!(report["length"], file.len());

    let base = fs::read(runtime()).unwrap();
    assert_eq!(report["base"]["target"], HOST);
    assert_eq!(report["base"]["version"], VERSION);
    assert_eq!(report["base"]["length"], base.len());
    assert_eq!(report["base"]["sha256"], sha256(&base));
    assert!(file.starts_with(&base));

    let artifacts = report["artifacts"].as_array().unwrap();
    for artifact in artifacts {
        let number = |key: &str| usize::try_from(artifact[key].as_u64().unwrap()).unwrap();
        let (offset, length) = (number("offset"), number("length"));
        assert_eq!(artifact["sha256"], sha256(&file[offset..offset + length]));
    }
    let weights = artifacts.iter().find(|artifact| artifact["kind"] == "weights").unwrap();
    let model = fs::read(model_folder("sequence_classification").join("model.onnx")).unwrap();
    assert_eq!(weights["sha256"], sha256(&model));
}

#[test]
fn inspect_for_people() {
    let sandbox = Sandbox::new();
    sandbox.build("sentence_embedding");
    let text = sandbox.run(["inspect", "model.encoderfile"]).ok().stdout;
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    assert!(text.lines().count() <= 30, "{text}");
    insta::with_settings!({filters => variable()}, { insta::assert_snapshot!("inspect", text) });
}

/// What depends on the build of the runtime.
fn variable() -> Vec<(&'static str, &'static str)> {
    vec![
        (r"(sha256 )[0-9a-f]{64}\b", "$1[sha256]"),
        (r"[0-9.]+ MB", "[size]"),
        (r"(base +ok +)\d+ bytes", "$1[size]"),
        (r"(padding +ok +)\d+ bytes", "$1[size]"),
        (r"glibc [0-9.]+", "glibc [floor]"),
        (r"(Linux|macOS) on \w+", "[system]"),
        (HOST, "[target]"),
        (r"\b[0-9A-F]{16}\b", "[key]"),
    ]
}

#[test]
fn files_of_the_other_project_are_shown() {
    let sandbox = Sandbox::new();
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../testing/interop/sequence_classification_lua.encoderfile");
    fs::copy(path, sandbox.path("old.encoderfile")).unwrap();
    insta::assert_snapshot!("inspect_other", sandbox.run(["inspect", "old.encoderfile"]).ok().stdout);
    insta::assert_snapshot!("verify_other", sandbox.run(["verify", "old.encoderfile"]).ok().stdout);
    let report = sandbox.run(["inspect", "--json", "old.encoderfile"]).ok().json();
    assert_eq!(report["transform"]["language"], "Lua");
    assert_eq!(report["settings"][0]["value"], 64);
    assert_eq!(report["needs"], Value::Null);
}

#[test]
fn what_a_file_needs_is_what_its_release_says() {
    let sandbox = Sandbox::new();
    sandbox.build("embedding");
    let index = Release::get().dist().join(format!("v{VERSION}/base-index.json"));
    let index: Value = serde_json::from_slice(&fs::read(index).unwrap()).unwrap();
    let floor = &index["targets"][HOST]["floor"];
    let report = sandbox.run(["inspect", "--json", "model.encoderfile"]).ok().json();
    let system = if HOST.ends_with("darwin") { "macos" } else { "glibc" };
    assert_eq!(report["needs"][system], floor[system], "{report:#}");
    assert_eq!(report["needs"]["architecture"], HOST.split('-').next().unwrap());
}

#[test]
fn what_no_version_knows_yet_is_shown() {
    let sandbox = Sandbox::new();
    let mut payload = payload();
    payload.parts.push(Part::bytes(ArtifactKind::Other(170), b"new".to_vec()));
    payload.description.name = "evil\u{1b}[2J\u{202e}name\n".to_owned();
    payload.description.version = "1".repeat(1_000_000);
    let encoded = integer(30, 7);
    payload.description.unknown_fields.push(UnknownField { number: 30, length: encoded.len(), encoded });
    write_file(&sandbox.path("file"), &payload, BASE, None);
    let text = sandbox.run(["inspect", "file"]).ok().stdout;
    assert!(text.contains("artifact_170 3 B"), "{text}");
    assert!(text.contains("fields of the manifest, ignored: 30"), "{text}");
    assert!(text.contains("evil\\u{1b}[2J\\u{202e}name\\n"), "{text}");
    assert!(text.len() < 2000, "{text}");
    let report = sandbox.run(["inspect", "--json", "file"]).ok().json();
    assert_eq!(report["unknown_fields"][0]["number"], 30);
    assert_eq!(report["artifacts"].as_array().unwrap().last().unwrap()["kind"], "weights");
}

#[test]
fn a_release_is_proven_by_the_index_in_the_cache() {
    let sandbox = Sandbox::new();
    let model = sandbox.model("embedding");
    let dist = Release::get().dist();
    let dist = dist.to_str().unwrap();
    sandbox.run(["base", "fetch", "--source", dist]).ok();
    sandbox.run(["build", model.to_str().unwrap(), "-o", "file", "--no-check", "--no-download"]).ok();
    let text = sandbox.run(["verify", "file"]).ok().stdout;
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    insta::with_settings!({filters => variable()}, { insta::assert_snapshot!("verify", text) });
    let report = sandbox.run(["verify", "--json", "file"]).ok().json();
    assert_eq!((&report["intact"], &report["base"]["result"]), (&true.into(), &"release".into()));

    // Without the index, nothing is proven, but how it can be is said.
    let elsewhere = ["verify", "file", "--cache-dir", "other cache"];
    let text = sandbox.run(elsewhere).ok().stdout;
    let command = format!(
        "hint: fetch it, while there is a network, with `encoderfile base fetch --target {HOST} --runtime-version {VERSION} --cache-dir 'other cache'`"
    );
    assert!(text.contains(&command), "{text}");
    assert!(!sandbox.path("other cache").exists());
    // Nor without the key.
    let said: Said = sandbox.bare_command().args(["verify", "file"]).output().unwrap().into();
    assert!(said.ok().stdout.contains("is not trusted here"));
    let key = report["base"]["key_id"].as_str().unwrap();
    let said = sandbox.run(["verify", "file", "--revoked-key", key]).ok();
    assert!(said.stdout.contains("has been revoked"), "{}", said.stdout);
    // Nor without a home.
    let mut command = sandbox.bare_command();
    command.env_remove("HOME").env_remove("ENCODERFILE_CACHE_DIR");
    Said::from(command.args(["verify", "file"]).output().unwrap()).ok();
}

#[test]
fn another_base_binary_than_the_signed_one_is_damage() {
    let sandbox = Sandbox::new();
    let dist = Release::get().dist();
    sandbox.run(["base", "fetch", "--source", dist.to_str().unwrap()]).ok();
    let cached = sandbox.run(["base", "list", "--cached", "--json"]).ok().json();
    let key = cached[0]["key_id"].as_str().unwrap();
    // A writer can record whatever it wants: only the index says what was signed.
    write_file(&sandbox.path("forged"), &payload(), BASE, Some(key));
    let said = sandbox.run(["verify", "forged"]).failed(4, &["is damaged: base"]);
    assert!(said.stdout.contains(&format!("NOT release {VERSION}")), "{}", said.stdout);
    let report = sandbox.run(["verify", "--json", "forged"]).failed(4, &[]).json();
    assert_eq!((&report["intact"], &report["base"]["result"]), (&false.into(), &"contradicted".into()));
    // Whoever gives one by path claims nothing.
    write_file(&sandbox.path("own"), &payload(), BASE, None);
    let report = sandbox.run(["verify", "--json", "own"]).ok().json();
    assert_eq!(report["base"]["reason"], "it was given by path, and is not that release's");
}

#[test]
fn what_digests_cannot_show_is_found() {
    let sandbox = Sandbox::new();
    let external = bytes(13, &[bytes(1, b"location"), bytes(2, b"data")].concat());
    let tensor = [integer(1, 4), integer(2, 1), bytes(8, b"t"), external, integer(14, 1)].concat();
    let outside = [integer(1, 8), bytes(7, &bytes(5, &tensor)), bytes(8, &integer(2, 17))].concat();
    let cases: [(usize, &[u8], &str); 6] = [
        (0, b"{\"id2label\": 7}", "model_config: it is not the JSON that it should be"),
        (0, b"\0\0", "model_config: it is not the JSON"),
        (1, b"{\"tokenizer\":", "tokenizer: it is not the JSON"),
        (1, b"{}", "tokenizer: it is not the JSON that it should be: missing field `tokenizer`"),
        (2, b"<html>", "weights: not a complete protobuf message"),
        (2, &outside, "weights: the tensor `t` is in the file `data`, which is missing"),
    ];
    for (part, content, expected) in cases {
        let mut payload = payload();
        payload.parts[part].content = Content::Bytes(content.to_vec());
        write_file(&sandbox.path("file"), &payload, BASE, None);
        let said = sandbox.run(["verify", "file"]).failed(4, &["is what its writer recorded", expected]);
        assert!(said.stdout.contains("BAD"), "{}", said.stdout);
        sandbox.run(["inspect", "file"]).ok();
    }
    let mut payload = payload();
    payload.description.tokenizer_edits.push(Edit { offset: 0, length: 0, replacement: b" ".to_vec() });
    let sha256 = encoderfile_format::Digest::of(b"another tokenizer");
    payload.description.sources.push(SourceFile { name: "tokenizer.json".to_owned(), length: 3, sha256 });
    write_file(&sandbox.path("file"), &payload, BASE, None);
    sandbox.run(["verify", "file"]).failed(4, &["no `tokenizer.json` that has sha256"]);
    sandbox.run(["extract", "file", "-o", "parts"]).failed(4, &["no `tokenizer.json` that has sha256"]);
    payload.parts.remove(2);
    write_file(&sandbox.path("file"), &payload, BASE, None);
    sandbox.run(["verify", "file"]).failed(4, &["weights: there is none"]);
}

#[test]
fn inspect_knows_a_base_binary() {
    let sandbox = Sandbox::new();
    let report =
        sandbox.run([std::ffi::OsStr::new("inspect"), "--json".as_ref(), runtime().as_os_str()]).ok().json();
    assert_eq!(report["base"]["target"], HOST);
    assert_eq!(report["base"]["onnxruntime_version"], "1.23.2");
}

#[test]
fn what_is_no_encoderfile_is_said() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("text"), "hello").unwrap();
    for command in ["inspect", "verify"] {
        sandbox
            .run([command, "text"])
            .failed(1, &["`text` cannot be read as an encoderfile", "footer", "hint: "]);
        sandbox.run([command, "missing"]).failed(1, &["cannot open `missing`"]);
        sandbox.run([command, "."]).failed(1, &["not a regular file"]);
    }
    fs::create_dir(sandbox.path("folder")).unwrap();
    for command in ["inspect", "verify"] {
        sandbox.run([command, "folder"]).failed(1, &["not a regular file", "hint: name the file itself"]);
        sandbox.run([command, "/dev/null"]).failed(1, &["not a regular file"]);
    }
    // Opening it would wait for somebody who writes.
    let made = std::process::Command::new("mkfifo").arg(sandbox.path("fifo")).status().unwrap();
    assert!(made.success());
    sandbox.run(["inspect", "fifo"]).failed(1, &["but a pipe, a folder or a device"]);
    let piped = sandbox.command().args(["inspect", "/dev/stdin"]).stdin(Stdio::piped()).output().unwrap();
    let stderr = String::from_utf8(piped.stderr).unwrap();
    assert!(stderr.contains("but a pipe, a folder or a device"), "{stderr}");
}

#[test]
fn damage_is_found_and_named() {
    let sandbox = Sandbox::new();
    let path = sandbox.build("embedding");
    sandbox.run(["verify", "model.encoderfile"]).ok();
    let report = sandbox.run(["inspect", "--json", "model.encoderfile"]).ok().json();
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let places = report["artifacts"].as_array().unwrap().iter().flat_map(|artifact| {
        let kind = artifact["kind"].as_str().unwrap().to_owned();
        let (offset, length) = (number(&artifact["offset"]), number(&artifact["length"]));
        [offset, offset + length / 2, offset + length - 1].map(|place| (kind.clone(), place))
    });
    let base_length = number(&report["base"]["length"]);
    let others = [("base", 0), ("base", base_length - 1), ("manifest", base_length + 6)];
    let places: Vec<_> = places.chain(others.map(|(part, place)| (part.to_owned(), place))).collect();
    for (part, place) in places {
        flip(&path, place);
        let said = sandbox.run(["verify", "--json", "model.encoderfile"]).failed(4, &["is damaged: ", &part]);
        assert_eq!(said.json()["intact"], false);
        flip(&path, place);
    }
    sandbox.run(["verify", "model.encoderfile"]).ok();
}
