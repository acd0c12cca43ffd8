//! `encoderfile rebase`, and builds for several targets at once: one payload on other base binaries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use encoderfile_testing::model_folder;

use crate::bench::{Bench, TARGETS};
use crate::sandbox::{HOST, Said, Sandbox, VERSION, flip, runtime};

/// A release whose base binaries are for no machine, and files built on them.
fn bench() -> Bench {
    let bench = Bench::new(100_000);
    bench.sandbox.model("sentence_embedding");
    bench
}

fn build(bench: &Bench, target: &str, output: &str) -> PathBuf {
    bench.run(["build", "model", "--no-check", "--target", target, "-o", output]).ok();
    bench.sandbox.path(output)
}

fn digests(sandbox: &Sandbox, file: &Path) -> Vec<String> {
    let inspected = sandbox.run([Path::new("inspect"), Path::new("--json"), file]).ok().json();
    let digest = |artifact: &serde_json::Value| artifact["sha256"].as_str().unwrap().to_owned();
    let mut digests: Vec<_> = inspected["artifacts"].as_array().unwrap().iter().map(digest).collect();
    digests.sort();
    digests
}

#[test]
fn another_base_binary_gives_the_file_that_a_build_for_it_gives() {
    let bench = bench();
    let first = build(&bench, TARGETS[0], "first");
    for target in TARGETS {
        let built = build(&bench, target, "built");
        bench.run(["rebase", "first", "--no-check", "--target", target, "-o", "rebased"]).ok();
        assert!(fs::read(bench.sandbox.path("rebased")).unwrap() == fs::read(built).unwrap(), "{target}");
    }
    // Without a target it is the file's own.
    bench.run(["rebase", "first", "--no-check", "-o", "again"]).ok();
    assert!(fs::read(bench.sandbox.path("again")).unwrap() == fs::read(first).unwrap());
}

#[test]
fn several_targets_in_one_call_are_the_files_of_several_calls() {
    let bench = bench();
    let mut several = vec!["build", "model", "--no-check", "-o", "all.encoderfile"];
    let mut rebased = vec!["rebase", "one", "--no-check", "-o", "moved"];
    for target in TARGETS {
        several.extend(["--target", target]);
        rebased.extend(["--target", target]);
    }
    bench.run(several).ok();
    build(&bench, TARGETS[1], "one");
    bench.run(rebased).ok();
    for target in TARGETS {
        let one = fs::read(build(&bench, target, "alone")).unwrap();
        for file in [format!("all-{target}.encoderfile"), format!("moved-{target}")] {
            assert!(fs::read(bench.sandbox.path(&file)).unwrap() == one, "{file}");
            bench.run(["verify", &file]).ok();
        }
    }
}

#[test]
fn of_several_files_none_gets_its_name_before_all_are_good() {
    let bench = bench();
    let targets = TARGETS.map(|target| ["--target", target]).concat();
    bench.run([&["base", "fetch", "--all"][..]].concat()).ok();
    let list = bench.run(["base", "list", "--cached", "--json"]).ok().json();
    let damaged = list.as_array().unwrap().iter().find(|base| base["target"] == TARGETS[3]).unwrap();
    flip(Path::new(damaged["path"].as_str().unwrap()), 5000);
    let said =
        bench.run([&["build", "model", "--no-check", "--no-download", "-o", "out"][..], &targets].concat());
    said.failed(4, &[TARGETS[3], "hint: fetch it again"]);
    assert_eq!(bench.sandbox.leftovers(), [""; 0]);
}

#[test]
fn the_new_file_answers_as_the_old_one_did() {
    let sandbox = Sandbox::new();
    let file = sandbox.build("token_classification");
    let rebase = |output: &str| {
        let mut command = sandbox.command();
        command.arg("rebase").arg(&file).args(["-o", output, "--base-binary-path"]).arg(runtime());
        Said::from(command.output().unwrap())
    };
    let said = rebase("moved").ok();
    for text in
        ["Model token_classification 0.1.0: token_classification", "Base", "Check it answers", "Built moved"]
    {
        assert!(said.stderr.contains(text), "`{text}` is not in:\n{}", said.stderr);
    }
    let moved = sandbox.path("moved");
    assert_eq!(digests(&sandbox, &moved), digests(&sandbox, &file));
    let answer =
        |file: &Path| Command::new(file).args(["infer", "Ada lives in Paris"]).output().unwrap().stdout;
    assert_eq!(answer(&moved), answer(&file));
    rebase(file.to_str().unwrap()).failed(1, &["is also the input", "hint: choose another `--output`"]);
}

#[test]
fn damage_does_not_travel() {
    let sandbox = Sandbox::new();
    let file = sandbox.build("embedding");
    let inspected = sandbox.run([Path::new("inspect"), Path::new("--json"), &file]).ok().json();
    let weights =
        inspected["artifacts"].as_array().unwrap().iter().find(|artifact| artifact["kind"] == "weights");
    let offset = usize::try_from(weights.unwrap()["offset"].as_u64().unwrap()).unwrap();
    let length = usize::try_from(inspected["base"]["length"].as_u64().unwrap()).unwrap();
    // The weights; a letter of the manifest that is no artifact's.
    for (position, text) in [(offset + 1000, "weights"), (length + 5, "manifest")] {
        flip(&file, position);
        let mut command = sandbox.command();
        command.arg("rebase").arg(&file).args(["-o", "moved", "--base-binary-path"]).arg(runtime());
        Said::from(command.output().unwrap()).failed(4, &["is damaged", text]);
        assert_eq!(sandbox.leftovers(), ["model.encoderfile"]);
        flip(&file, position);
    }
    let other = TARGETS.into_iter().find(|target| *target != HOST).unwrap();
    let mut command = sandbox.command();
    command
        .arg("rebase")
        .arg(&file)
        .args(["--target", other, "-o", "moved", "--base-binary-path"])
        .arg(runtime());
    Said::from(command.output().unwrap()).failed(1, &["is for", other]);
    sandbox
        .run([
            Path::new("rebase"),
            &model_folder("embedding").join("model.onnx"),
            Path::new("-o"),
            Path::new("x"),
        ])
        .failed(1, &["no encoderfile footer"]);
}

#[test]
fn a_named_base_binary_is_of_the_version_that_is_asked_for() {
    let sandbox = Sandbox::new();
    let model = sandbox.model("embedding");
    let build = |extra: &[&str]| {
        let mut command = sandbox.command();
        command
            .arg("build")
            .arg(&model)
            .args(["--no-check", "-o", "out", "--base-binary-path"])
            .arg(runtime());
        Said::from(command.args(extra).output().unwrap())
    };
    build(&["--runtime-version", "9.9.9"]).failed(1, &["is version", "9.9.9 is asked for", "hint: "]);
    assert_eq!(sandbox.leftovers(), [""; 0]);
    build(&["--runtime-version", VERSION]).ok();
}
