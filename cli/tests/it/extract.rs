//! `extract`: everything back, ready to be built again to the same bytes.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use encoderfile_format::{ArtifactKind, Part};
use encoderfile_testing::model_folder;

use crate::parts::{payload, write_file};
use crate::sandbox::{Release, Sandbox, VERSION, flip, runtime};

/// Builds from a build file, extracts, and builds again from what was extracted.
#[track_caller]
fn assert_comes_back(sandbox: &Sandbox, build_file: &str) {
    fs::write(sandbox.path("encoderfile.yml"), build_file).unwrap();
    sandbox.run(["build", "--no-check", "-o", "first"]).ok();
    let said = sandbox.run(["extract", "first", "-o", "parts"]).ok();
    assert!(said.stderr.contains("gives the same bytes"), "{}", said.stderr);
    for line in said.stdout.lines() {
        assert!(sandbox.path(line).is_file(), "{line}");
    }
    // Neither the model nor anything else of the first build is needed.
    fs::remove_file(sandbox.path("encoderfile.yml")).unwrap();
    let _other = fs::remove_dir_all(sandbox.path("model"));
    sandbox.run(["build", "--no-check", "-f", "parts/encoderfile.yml", "-o", "second"]).ok();
    let (first, second) =
        (fs::read(sandbox.path("first")).unwrap(), fs::read(sandbox.path("second")).unwrap());
    if first != second {
        let difference = sandbox.run(["diff", "first", "second"]).stdout;
        panic!("{difference}\n{}", fs::read_to_string(sandbox.path("parts/encoderfile.yml")).unwrap());
    }
    sandbox.run(["verify", "second"]).ok();
}

#[test]
fn every_model_is_built_again_to_the_same_bytes() {
    for name in ["embedding", "external_data", "sentence_embedding", "token_classification"] {
        let sandbox = Sandbox::new();
        let model = sandbox.model(name);
        let base = runtime().display();
        assert_comes_back(&sandbox, &format!("encoderfile:\n  path: ./model\n  base_binary_path: {base}\n"));
        for entry in ["config.json", "tokenizer.json", "model.onnx"] {
            let published = fs::read(model_folder(name).join(entry)).unwrap();
            assert!(fs::read(sandbox.path("parts").join(entry)).unwrap() == published, "{name}: {entry}");
        }
        assert!(!model.exists());
        let mode = fs::metadata(sandbox.path("parts/encoderfile-runtime")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }
}

#[test]
fn what_the_packager_said_comes_back_too() {
    let sandbox = Sandbox::new();
    sandbox.model("sentence_embedding");
    fs::create_dir(sandbox.path("model/onnx")).unwrap();
    fs::rename(sandbox.path("model/model.onnx"), sandbox.path("model/onnx/model_fp16.onnx")).unwrap();
    fs::write(sandbox.path("post.lua"), "function Postprocess(arr)\n  return arr\nend\n").unwrap();
    let base = runtime().display();
    assert_comes_back(
        &sandbox,
        &format!(
            "encoderfile:
  name: org/\"Name\" # not a comment
  version: '1.0'
  path: ./model
  weights: fp16
  model_type: sentence_embedding
  pooling: [cls, weighted_mean]
  normalize: false
  prompts: {{ 'que: ry': \"query:\\t\", other: '' }}
  default_prompt_name: 'que: ry'
  tokenizer:
    pad_strategy: {{ fixed: 16 }}
    truncation_side: left
    truncation_strategy: only_first
    max_length: 16
    stride: 2
  transform: {{ path: post.lua }}
  lua_libs: [string, math]
  base_binary_path: {base}
"
        ),
    );
    let program = fs::read_to_string(sandbox.path("parts/transform.lua")).unwrap();
    assert_eq!(program, "function Postprocess(arr)\n  return arr\nend");
    assert!(sandbox.path("parts/onnx/model_fp16.onnx").is_file());
}

#[test]
fn a_release_is_named_by_its_version() {
    let sandbox = Sandbox::new();
    sandbox.model("embedding");
    let dist = Release::get().dist();
    sandbox.run(["base", "fetch", "--source", dist.to_str().unwrap()]).ok();
    assert_comes_back(&sandbox, "encoderfile:\n  path: ./model\n");
    let build_file = fs::read_to_string(sandbox.path("parts/encoderfile.yml")).unwrap();
    assert!(build_file.contains(&format!("runtime_version: \"{VERSION}\"")), "{build_file}");
}

/// Files of encoderfile 0.7 do not hold what they were made from: what is built from them answers equally.
#[test]
fn files_of_the_other_project_are_built_again() {
    let interop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testing/interop");
    let names = [
        "embedding",
        "sentence_embedding",
        "sequence_classification",
        "sequence_classification_lua",
        "token_classification",
    ];
    for name in names {
        let sandbox = Sandbox::new();
        fs::copy(interop.join(format!("{name}.encoderfile")), sandbox.path("old")).unwrap();
        let said = sandbox.run(["extract", "old", "-o", "parts"]).ok();
        assert!(said.stderr.contains("answers equally"), "{}", said.stderr);
        let base = runtime().as_os_str();
        let arguments =
            ["build", "--no-check", "-f", "parts/encoderfile.yml", "-o", "new", "--base-binary-path"];
        sandbox.run(arguments.iter().map(OsStr::new).chain([base])).ok();
        let difference = sandbox.run(["diff", "--json", "old", "new"]).ok().json();
        let changed: Vec<_> =
            difference["artifacts"].as_array().unwrap().iter().map(|change| &change["kind"]).collect();
        // The labels are the same by both numbers, which 0.7 writes in no order.
        assert!(
            changed.iter().all(|kind| *kind == "source" || *kind == "model_config"),
            "{name}: {changed:?}"
        );
        assert_eq!(difference["labels"], serde_json::json!([]), "{name}");
    }
}

#[test]
fn artifacts_are_taken_out_as_they_are() {
    let sandbox = Sandbox::new();
    let file = fs::read(sandbox.build("external_data")).unwrap();
    let report = sandbox.run(["inspect", "--json", "model.encoderfile"]).ok().json();
    for artifact in report["artifacts"].as_array().unwrap() {
        let kind = artifact["kind"].as_str().unwrap();
        let name = artifact["name"].as_str().unwrap_or(kind);
        let arguments = ["extract", "model.encoderfile", "--force", "-o", "parts", "--artifact", name];
        let listed = sandbox.run(arguments).ok().stdout;
        let number = |key: &str| usize::try_from(artifact[key].as_u64().unwrap()).unwrap();
        let expected = &file[number("offset")..number("offset") + number("length")];
        assert!(fs::read(sandbox.path(listed.trim_end())).unwrap() == expected, "{name}");
    }
    let arguments = ["--artifact", "base", "--artifact", "external_data", "--artifact", "model.onnx_data"];
    let arguments = ["extract", "model.encoderfile", "-o", "some"].into_iter().chain(arguments);
    let listed = sandbox.run(arguments).ok().stdout;
    assert_eq!(listed, "some/model.onnx_data\nsome/model.onnx_data_1\nsome/encoderfile-runtime\n");
    assert!(fs::read(sandbox.path("some/encoderfile-runtime")).unwrap() == fs::read(runtime()).unwrap());
    sandbox
        .run(["extract", "model.encoderfile", "-o", "none", "--artifact", "weigths"])
        .failed(2, &["no artifact `weigths`", "did you mean `weights`?"]);
    sandbox
        .run(["extract", "model.encoderfile", "-o", "none", "--artifact", "config.jsom"])
        .failed(2, &["did you mean `config.json`?"]);
    assert!(!sandbox.path("none").exists());
}

#[test]
fn nothing_is_replaced_unless_asked_for() {
    let sandbox = Sandbox::new();
    sandbox.build("sentence_embedding");
    fs::create_dir(sandbox.path("parts")).unwrap();
    fs::write(sandbox.path("parts/tokenizer.json"), "mine").unwrap();
    let extract = ["extract", "model.encoderfile", "-o", "parts"];
    sandbox.run(extract).failed(1, &["`parts/tokenizer.json` is there already", "--force"]);
    assert_eq!(fs::read_dir(sandbox.path("parts")).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(sandbox.path("parts/tokenizer.json")).unwrap(), "mine");
    sandbox.run([&extract[..], &["--force"]].concat()).ok();
    let published = fs::read(model_folder("sentence_embedding").join("tokenizer.json")).unwrap();
    assert!(fs::read(sandbox.path("parts/tokenizer.json")).unwrap() == published);

    // The file that is read is never replaced.
    fs::rename(sandbox.path("model.encoderfile"), sandbox.path("parts/tokenizer.json")).unwrap();
    sandbox
        .run(["extract", "parts/tokenizer.json", "-o", "parts", "--force"])
        .failed(1, &["it is the file that is read"]);
    sandbox.run(["verify", "parts/tokenizer.json"]).ok();
}

#[test]
fn nothing_outside_of_the_folder_is_written() {
    let sandbox = Sandbox::new();
    sandbox.build("sentence_embedding");
    fs::create_dir_all(sandbox.path("parts")).unwrap();
    fs::create_dir_all(sandbox.path("outside")).unwrap();
    symlink(sandbox.path("outside"), sandbox.path("parts/1_Pooling")).unwrap();
    fs::write(sandbox.path("victim"), "untouched").unwrap();
    symlink(sandbox.path("victim"), sandbox.path("parts/config.json")).unwrap();
    sandbox
        .run(["extract", "model.encoderfile", "-o", "parts", "--force"])
        .failed(1, &["`parts/1_Pooling` is a link", "hint: "]);
    assert_eq!(fs::read_dir(sandbox.path("outside")).unwrap().count(), 0);
    assert_eq!(fs::read_to_string(sandbox.path("victim")).unwrap(), "untouched");
    // The link itself is replaced, not what it points to.
    assert!(fs::symlink_metadata(sandbox.path("parts/config.json")).unwrap().is_file());
}

#[test]
fn files_do_not_take_each_others_places() {
    let sandbox = Sandbox::new();
    for name in ["encoderfile.yml", "Model.onnx", "encoderfile-runtime", "tokenizer.json"] {
        let mut payload = payload();
        let source =
            Part { name: Some(name.to_owned()), ..Part::bytes(ArtifactKind::Source, b"{}".to_vec()) };
        payload.parts.push(source);
        write_file(&sandbox.path("file"), &payload, b"base", None);
        let lower = name.to_lowercase();
        sandbox.run(["extract", "file", "-o", "parts"]).failed(1, &["names two files", &lower]);
        assert!(!sandbox.path("parts").exists(), "{name}");
        sandbox.run(["extract", "file", "-o", name, "--artifact", "source"]).ok();
    }
}

#[test]
fn what_is_damaged_is_not_given_out() {
    let sandbox = Sandbox::new();
    let path = sandbox.build("sentence_embedding");
    let report = sandbox.run(["inspect", "--json", "model.encoderfile"]).ok().json();
    for artifact in report["artifacts"].as_array().unwrap() {
        let kind = artifact["kind"].as_str().unwrap();
        let name = artifact["name"].as_str().unwrap_or(kind);
        let place = usize::try_from(artifact["offset"].as_u64().unwrap()).unwrap();
        flip(&path, place);
        let said = sandbox.run(["extract", "model.encoderfile", "-o", "parts", "--artifact", name]);
        said.failed(4, &["damaged"]);
        if !matches!(kind, "model_config") {
            sandbox.run(["extract", "model.encoderfile", "-o", "parts", "--force"]).failed(4, &["damaged"]);
        }
        let _partly = fs::remove_dir_all(sandbox.path("parts"));
        flip(&path, place);
    }
    flip(&path, 1000);
    sandbox.run(["extract", "model.encoderfile", "-o", "parts"]).failed(4, &["damaged", "sha256"]);
    assert!(!sandbox.path("parts/encoderfile-runtime").exists());
}
