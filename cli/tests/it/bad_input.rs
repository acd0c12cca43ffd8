//! Everything that a folder can have wrong, and what is said about it.

use std::fs;
use std::path::Path;

use crate::sandbox::{Said, Sandbox, runtime};

/// Builds the copy of a model after a change to it.
fn build(sandbox: &Sandbox, arguments: &[&str]) -> Said {
    let mut command = sandbox.command();
    command.args(["build", "model", "-o", "out", "--base-binary-path"]).arg(runtime()).args(arguments);
    command.output().unwrap().into()
}

fn with(model: &str, change: impl FnOnce(&Path), arguments: &[&str]) -> Said {
    let sandbox = Sandbox::new();
    change(&sandbox.model(model));
    let said = build(&sandbox, arguments);
    assert_eq!(sandbox.leftovers(), [""; 0], "something half-written stays");
    said
}

#[test]
fn folders_that_are_none() {
    let sandbox = Sandbox::new();
    sandbox.run(["build", "nowhere"]).failed(1, &["cannot read the model folder `nowhere`", "No such file"]);
    fs::write(sandbox.path("file"), "x").unwrap();
    sandbox.run(["build", "file"]).failed(1, &["`file` is not a folder", "hint: "]);
    sandbox.run(["build"]).failed(2, &["MODEL_DIR"]);
}

#[test]
fn files_that_are_missing() {
    with("embedding", |model| fs::remove_file(model.join("model.onnx")).unwrap(), &[])
        .failed(1, &["no model.onnx in the model folder `model`", "optimum-cli export onnx"]);
    let rename =
        |model: &Path| fs::rename(model.join("model.onnx"), model.join("model.safetensors")).unwrap();
    with("embedding", rename, &[]).failed(1, &["no model.onnx", "only model.safetensors", "optimum-cli"]);
    with("embedding", |model| fs::remove_file(model.join("tokenizer.json")).unwrap(), &[])
        .failed(1, &["no tokenizer.json in the model folder `model`", "hint: "]);
    with("embedding", |model| fs::remove_file(model.join("config.json")).unwrap(), &[])
        .failed(1, &["no config.json in the model folder `model`", "hint: "]);
}

#[test]
fn the_graph_may_lie_where_optimum_puts_it() {
    let sandbox = Sandbox::new();
    let model = sandbox.model("embedding");
    fs::create_dir(model.join("onnx")).unwrap();
    fs::rename(model.join("model.onnx"), model.join("onnx/model.onnx")).unwrap();
    build(&sandbox, &[]).ok();
}

#[test]
fn graphs_that_are_none() {
    let truncate = |model: &Path| {
        let path = model.join("model.onnx");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    };
    with("embedding", truncate, &[]).failed(1, &["cannot use the model `model/model.onnx`", "is cut off"]);
    let text = |model: &Path| {
        fs::write(model.join("model.onnx"), "version https://git-lfs.github.com/spec/v1\n").unwrap();
    };
    with("embedding", text, &[]).failed(1, &["cannot use the model `model/model.onnx`", "hint: "]);
    with("embedding", |model| fs::write(model.join("model.onnx"), "").unwrap(), &[])
        .failed(1, &["cannot use the model `model/model.onnx`", "not an ONNX model"]);
}

#[test]
fn graphs_that_do_not_fit_the_task() {
    with("sequence_classification", |_| {}, &["--model-type", "token_classification"]).failed(
        1,
        &[
            "token_classification needs an output [batch, sequence, labels]",
            "logits float32[batch_size, 3]",
            "--model-type",
        ],
    );
    let two_labels = |model: &Path| {
        let path = model.join("config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config["id2label"] = serde_json::json!({"0": "A", "1": "B"});
        config["label2id"] = serde_json::Value::Null;
        fs::write(&path, config.to_string()).unwrap();
    };
    with("sequence_classification", two_labels, &[])
        .failed(1, &["config.json names 2 labels, but the output `logits` has 3 values"]);
}

#[test]
fn tokenizers_that_are_none() {
    let cut = |model: &Path| {
        let path = model.join("tokenizer.json");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 10]).unwrap();
    };
    with("embedding", cut, &[])
        .failed(1, &["`model/tokenizer.json` is not a tokenizer that can be loaded", "hint: "]);
}

#[test]
fn configurations_that_are_none() {
    with("embedding", |model| fs::write(model.join("config.json"), "{").unwrap(), &[])
        .failed(1, &["`model/config.json` cannot be parsed", "line 1"]);
    with("embedding", |model| fs::write(model.join("config.json"), "{}").unwrap(), &[])
        .failed(1, &["does not say which task", "--model-type"]);
    let dense = |model: &Path| {
        let module = r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
            {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]"#;
        fs::write(model.join("modules.json"), module).unwrap();
    };
    with("sentence_embedding", dense, &[]).failed(1, &["the module `Dense`", "not supported"]);
}

#[test]
fn outputs_that_cannot_be_written() {
    let sandbox = Sandbox::new();
    sandbox.model("embedding");
    let run = |output: &str| {
        let mut command = sandbox.command();
        command.args(["build", "model", "-o", output, "--base-binary-path"]).arg(runtime());
        Said::from(command.output().unwrap())
    };
    run("missing/out").failed(1, &["cannot write `missing/out`", "No such file"]);
    run("model").failed(1, &["the output `model` is a folder", "hint: "]);
    run("/dev/full/out").failed(1, &["cannot write `/dev/full/out`"]);
    let before = fs::read(sandbox.path("model/model.onnx")).unwrap();
    run("model/model.onnx").failed(1, &["is also the input `model/model.onnx`"]);
    assert!(fs::read(sandbox.path("model/model.onnx")).unwrap() == before);
}

#[test]
fn base_binaries_that_are_none() {
    let sandbox = Sandbox::new();
    sandbox.model("embedding");
    let run = |base: &str| sandbox.run(["build", "model", "-o", "out", "--base-binary-path", base]);
    run("/bin/ls").failed(1, &["cannot use `/bin/ls` as a base binary", "no stamp", "hint: "]);
    run("model/config.json").failed(1, &["not an ELF or Mach-O executable"]);
    run("missing").failed(1, &["cannot open `missing`"]);
    let built = sandbox.build("embedding");
    run(built.to_str().unwrap()).failed(1, &["it already holds a model", "hint: "]);
    fs::remove_file(built).unwrap();
    let mut command = sandbox.command();
    command.args(["build", "model", "-o", "out", "--target", "aarch64-apple-darwin", "--base-binary-path"]);
    Said::from(command.arg(runtime()).output().unwrap())
        .failed(1, &["but the file is to be built for `aarch64-apple-darwin`"]);
    assert_eq!(sandbox.leftovers(), [""; 0]);
}

#[test]
fn targets_that_are_none() {
    let sandbox = Sandbox::new();
    sandbox.model("embedding");
    sandbox.run(["build", "model", "--target", "riscv64gc-unknown-linux-gnu"]).failed(
        3,
        &["unknown target `riscv64gc-unknown-linux-gnu`", "x86_64-apple-darwin", "--base-binary-path"],
    );
}
