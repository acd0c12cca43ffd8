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
    for (lines, said) in [
        (
            "  nmae: x\n",
            "error: unknown key `nmae` in `project/encoderfile.yml`, line 3\nhint: did you mean `name`?\n",
        ),
        (
            "  tokenizer:\n    max_length: many\n",
            "error: cannot use `encoderfile.tokenizer.max_length` in `project/encoderfile.yml`, line 4, column 17\n  \
             found:    `many`\n  expected: a whole number from 1 to 1048576\n",
        ),
        (
            "  model_type: sentence_embeding\n",
            "error: cannot use `encoderfile.model_type` in `project/encoderfile.yml`, line 3, column 15\n  \
             found:    `sentence_embeding`\n  \
             expected: embedding, sentence_embedding, sequence_classification, token_classification\n\
             hint: did you mean `sentence_embedding`?\n",
        ),
        (
            "  version: 1.0\n",
            "error: cannot use `encoderfile.version` in `project/encoderfile.yml`, line 3, column 12\n  \
             found:    `1.0` without quotes, which YAML takes for no text\n  expected: a text\n\
             hint: put it in quotes: '1.0'\n",
        ),
        (
            "  name: [\n",
            "error: cannot use the build file `project/encoderfile.yml`, line 3, column 9\n  \
             cause: unclosed bracket '['\n",
        ),
        (
            "\tname: x\n",
            "error: cannot use the build file `project/encoderfile.yml`, line 2, column 9\n  \
             cause: while scanning a plain scalar, found a tab\nhint: indent with spaces\n",
        ),
        (
            "  lua_libs: [math]\n",
            "error: cannot use `encoderfile.lua_libs` in `project/encoderfile.yml`, line 3, column 13\n  \
             cause: there is no `transform` that it could belong to\n",
        ),
        (
            "  transform:\n    path: missing.lua\n",
            "error: cannot read the transform `project/missing.lua`, named in `project/encoderfile.yml`, line 4\n  \
             cause: No such file or directory (os error 2)\nhint: its path is relative to the build file\n",
        ),
    ] {
        let yaml = format!("encoderfile:\n  path: ../model\n{lines}");
        assert_eq!(build(&sandbox, &yaml).failed(1, &[]).stderr, said);
    }
    build(&sandbox, "encoderfile:\n  path: ../model\n  zzz: x\n")
        .failed(1, &["unknown key `zzz`", "the keys are: name, version, path,"]);
    build(&sandbox, "")
        .failed(1, &["`project/encoderfile.yml`: it is empty", "it starts with `encoderfile:`"]);
    build(&sandbox, "encoderfile:\n  name: x\n").failed(2, &["has no `path`"]);
    build(&sandbox, "encoderfile:\n  path: ../model\n  target: linux/arm64\n")
        .failed(3, &["unknown target `linux/arm64`", "did you mean `aarch64-unknown-linux-gnu`?"]);
    sandbox.run(["build", "-f", "missing.yml"]).failed(1, &["cannot read the build file `missing.yml`"]);
    assert_eq!(sandbox.leftovers(), ["project"]);
}
