//! `encoderfile.yml`.

use std::fs;

use crate::sandbox::{HOST, Said, Sandbox, runtime};

/// Writes the file into a folder of its own, so that relative paths are seen to be relative to it.
fn build(sandbox: &Sandbox, yaml: &str) -> Said {
    let folder = sandbox.path("project");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("encoderfile.yml"), yaml).unwrap();
    sandbox.run(["build", "-f", "project/encoderfile.yml"])
}

#[test]
fn every_key_is_used() {
    let sandbox = Sandbox::new();
    sandbox.model("sequence_classification");
    let yaml = format!(
        "encoderfile:\n  name: mood\n  version: 2.3.4\n  path: ../model\n  model_type: sequence_classification\n  \
         output_path: mood.bin\n  target: {HOST}\n  base_binary_path: {}\n  cache_dir: unused\n",
        runtime().display()
    );
    build(&sandbox, &yaml).ok();
    let inspected = sandbox.run(["inspect", "--json", "project/mood.bin"]).ok().json();
    assert_eq!(inspected["name"], "mood");
    assert_eq!(inspected["version"], "2.3.4");
    assert_eq!(inspected["base"]["target"], HOST);
}

#[test]
fn flags_win_over_the_file() {
    let sandbox = Sandbox::new();
    sandbox.model("embedding");
    let folder = sandbox.path("project");
    fs::create_dir_all(&folder).unwrap();
    let yaml = format!(
        "encoderfile:\n  path: ../model\n  name: file\n  base_binary_path: {}\n",
        runtime().display()
    );
    fs::write(folder.join("encoderfile.yml"), yaml).unwrap();
    sandbox.run(["build", "-f", "project/encoderfile.yml", "--name", "flag"]).ok();
    assert!(sandbox.path("flag.encoderfile").exists());
}

#[test]
fn faults_name_line_and_key() {
    let sandbox = Sandbox::new();
    sandbox.model("embedding");
    build(&sandbox, "encoderfile:\n  path: ../model\n  nmae: x\n")
        .failed(1, &["unknown key `nmae`", "line 3", "did you mean `name`?"]);
    build(&sandbox, "encoderfile:\n  path: ../model\n  zzz: x\n")
        .failed(1, &["unknown key `zzz`", "the keys are: "]);
    build(&sandbox, "encoderfile:\n  path: ../model\n  model_type: sentence_embeding\n")
        .failed(1, &["unknown model_type `sentence_embeding`, did you mean `sentence_embedding`?", "line 3"]);
    build(&sandbox, "encoderfile:\n  path: [\n").failed(1, &["cannot use the build file"]);
    build(&sandbox, "encoderfile:\n  name: x\n").failed(2, &["has no `path`"]);
    build(&sandbox, "encoderfile:\n  path: ../model\n  target: linux/arm64\n")
        .failed(3, &["unknown target `linux/arm64`", "did you mean `aarch64-unknown-linux-gnu`?"]);
    sandbox.run(["build", "-f", "missing.yml"]).failed(1, &["cannot read the build file `missing.yml`"]);
    assert_eq!(sandbox.leftovers(), ["project"]);
}
