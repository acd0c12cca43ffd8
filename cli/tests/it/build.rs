//! `encoderfile build`, the good days.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use encoderfile_testing::model_folder;
use serde_json::{Value, json};

use crate::sandbox::{HOST, Sandbox, VERSION, runtime};

/// The texts of a model's reference, answered by a file.
fn answers(file: &std::path::Path, model: &str) -> (Value, Value) {
    let reference = fs::read(model_folder(model).join("reference.json")).unwrap();
    let reference: Value = serde_json::from_slice(&reference).unwrap();
    let texts = reference["inputs"].as_array().unwrap().iter().map(|text| text.as_str().unwrap());
    // One by one: a batch is padded, which changes the last digits.
    let results = texts.map(|text| {
        let output = Command::new(file).args(["infer", "--format", "jsonl", text]).output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    });
    (Value::Array(results.collect()), reference["results"].clone())
}

/// The largest difference between numbers at the same place.
fn largest_difference(a: &Value, b: &Value) -> f64 {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len());
            a.iter().zip(b).map(|(a, b)| largest_difference(a, b)).fold(0.0, f64::max)
        }
        (Value::Number(a), Value::Number(b)) => (a.as_f64().unwrap() - b.as_f64().unwrap()).abs(),
        _ => panic!("{a} and {b}"),
    }
}

#[test]
fn a_built_file_answers_as_python_does() {
    for (model, key) in [
        ("sentence_embedding", "embedding"),
        ("sequence_classification", "scores"),
        ("no_token_type_ids", "logits"),
    ] {
        let sandbox = Sandbox::new();
        let file = sandbox.build(model);
        let (answers, reference) = answers(&file, model);
        for (answer, expected) in answers.as_array().unwrap().iter().zip(reference.as_array().unwrap()) {
            let difference = largest_difference(&answer[key], &expected[key]);
            assert!(difference < 1e-5, "{model}: {difference}");
            assert_eq!(answer.get("truncated").unwrap_or(&json!(false)), &expected["truncated"], "{model}");
        }
        assert_eq!(answers.as_array().unwrap().len(), reference.as_array().unwrap().len());
    }
}

#[test]
fn what_was_found_is_said() {
    let sandbox = Sandbox::new();
    let said = sandbox
        .command()
        .arg("build")
        .arg(model_folder("sentence_embedding"))
        .arg("--base-binary-path")
        .arg(runtime())
        .output()
        .unwrap();
    let stderr = String::from_utf8(said.stderr).unwrap();
    for text in [
        "Model sentence_embedding 0.1.0: sentence_embedding (modules.json)",
        "Pooling mean pooling, normalised (1_Pooling/config.json, modules.json)",
        "Limit 32 tokens (sentence_bert_config.json)",
        "Check it answers",
        "Built sentence_embedding.encoderfile",
    ] {
        assert!(stderr.contains(text), "`{text}` is not in:\n{stderr}");
    }
    let file = sandbox.path("sentence_embedding.encoderfile");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn json_says_what_was_built() {
    let sandbox = Sandbox::new();
    let said = sandbox
        .command()
        .args(["build", "--json", "-q", "-o", "out"])
        .arg(model_folder("embedding"))
        .arg("--base-binary-path")
        .arg(runtime())
        .output()
        .unwrap();
    assert!(said.stderr.is_empty());
    let built: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(built[0]["path"], "out");
    assert_eq!(built[0]["target"], HOST);
    assert_eq!(built[0]["base"]["version"], VERSION);
    assert_eq!(built[0]["length"], fs::metadata(sandbox.path("out")).unwrap().len());
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let (a, b) = (Sandbox::new(), Sandbox::new());
    assert!(fs::read(a.build("embedding")).unwrap() == fs::read(b.build("embedding")).unwrap());
}

#[test]
fn an_old_file_is_replaced_while_it_runs() {
    let sandbox = Sandbox::new();
    let file = sandbox.build("embedding");
    let mut running = Command::new(&file)
        .args(["infer", "--format", "jsonl"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    sandbox.build("sequence_classification");
    drop(running.stdin.take());
    running.wait().unwrap();
    let inspected = sandbox.run(["inspect", "--json", "model.encoderfile"]).ok().json();
    assert_eq!(inspected["model_type"], "sequence_classification");
}

/// Only the new file's own answer shows that the runtime can use it, so the check must be able to fail.
#[test]
fn a_file_that_does_not_answer_is_not_built() {
    let sandbox = Sandbox::new();
    let model = sandbox.model("embedding");
    let path = model.join("tokenizer.json");
    let tokenizer = fs::read_to_string(&path).unwrap();
    // A segment that the model has no vector for: nothing but an answer shows it.
    let mut tokenizer: Value = serde_json::from_str(&tokenizer).unwrap();
    tokenizer["post_processor"]["single"][0]["SpecialToken"]["type_id"] = json!(7);
    fs::write(&path, tokenizer.to_string()).unwrap();

    let build = |extra: &[&str]| {
        let mut command = sandbox.command();
        command.arg("build").arg(&model).args(["-o", "out", "--base-binary-path"]).arg(runtime()).args(extra);
        crate::sandbox::Said::from(command.output().unwrap())
    };
    build(&[]).failed(1, &["`out` was not built", "the new file does not answer", "hint: ", "--no-check"]);
    assert_eq!(sandbox.leftovers(), [""; 0]);
    build(&["--no-check"]).ok();
}
