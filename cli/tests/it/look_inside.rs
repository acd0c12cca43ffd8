//! `inspect`, `verify` and `extract`.

use std::fs;
use std::process::Stdio;

use encoderfile_testing::model_folder;
use serde_json::Value;
use sha2::Digest as _;

use crate::sandbox::{HOST, Sandbox, VERSION, flip, runtime};

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
    // What depends on the build of the runtime.
    let settings = [
        (r"\b[0-9a-f]{64}\b", "[sha256]"),
        (r"[0-9.]+ MB", "[size]"),
        (r"at byte \d+", "at byte [offset]"),
        (HOST, "[target]"),
    ];
    insta::with_settings!({filters => settings}, { insta::assert_snapshot!("inspect", text) });
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
    let piped = sandbox.command().args(["inspect", "/dev/stdin"]).stdin(Stdio::piped()).output().unwrap();
    let stderr = String::from_utf8(piped.stderr).unwrap();
    assert!(stderr.contains("cannot come over a pipe"), "{stderr}");
}

#[test]
fn extract_gives_every_artifact_back() {
    let sandbox = Sandbox::new();
    let file = fs::read(sandbox.build("embedding")).unwrap();
    let listed = sandbox.run(["extract", "model.encoderfile", "-o", "parts"]).ok().stdout;
    let report = sandbox.run(["inspect", "--json", "model.encoderfile"]).ok().json();
    let artifacts = report["artifacts"].as_array().unwrap();
    assert_eq!(listed.lines().count(), artifacts.len());
    let names = [
        ("weights", "model.onnx"),
        ("tokenizer", "tokenizer.artifact.json"),
        ("model_config", "model_config.artifact.json"),
    ];
    for (kind, name) in names {
        let artifact = artifacts.iter().find(|artifact| artifact["kind"] == kind).unwrap();
        let number = |key: &str| usize::try_from(artifact[key].as_u64().unwrap()).unwrap();
        let expected = &file[number("offset")..number("offset") + number("length")];
        assert!(fs::read(sandbox.path("parts").join(name)).unwrap() == expected, "{name}");
    }
    sandbox.run(["extract", "model.encoderfile", "-o", "parts"]).failed(1, &["is there already", "--force"]);
    sandbox.run(["extract", "model.encoderfile", "-o", "parts", "--force"]).ok();
    sandbox.run(["extract", "model.encoderfile", "-o", "one", "--artifact", "weights"]).ok();
    assert_eq!(fs::read_dir(sandbox.path("one")).unwrap().count(), 1);
    sandbox
        .run(["extract", "model.encoderfile", "-o", "none", "--artifact", "weigths"])
        .failed(2, &["no artifact `weigths`", "did you mean `weights`?"]);
    assert!(!sandbox.path("none").exists());
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
    // A damaged artifact is not given out.
    let weights = report["artifacts"].as_array().unwrap().iter().find(|a| a["kind"] == "weights").unwrap();
    flip(&path, number(&weights["offset"]));
    sandbox.run(["extract", "model.encoderfile", "-o", "parts"]).failed(4, &["weights", "damaged"]);
    assert!(!sandbox.path("parts/model.onnx").exists());
}
