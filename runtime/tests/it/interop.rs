//! Files that encoderfile 0.7 wrote, on this base binary: the same answers, out of the same bytes.

use std::fs::File;
use std::path::{Path, PathBuf};

use encoderfile_format::{Digest, Encoderfile, Payload, Tool};
use serde_json::{Value, json};

use crate::assemble::{Assembled, answer, assert_fails, assert_within, json, run, write};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testing/interop").join(name)
}

/// A file's payload on the base binary under test.
fn rebased(name: &str) -> Assembled {
    let path = path(&format!("{name}.encoderfile"));
    let file = Encoderfile::open(File::open(&path).unwrap()).unwrap();
    let writer = Tool { name: "test".to_owned(), version: "0".to_owned() };
    let rebased = write(&Payload::of(&file, &path, writer, false).unwrap());

    let other = Encoderfile::open(File::open(&rebased.path).unwrap()).unwrap();
    let (artifacts, others) = (&file.manifest().artifacts, &other.manifest().artifacts);
    assert!(artifacts.len() >= 3 && artifacts.len() == others.len());
    for artifact in artifacts {
        let other_artifact = other.artifact(artifact.kind).unwrap();
        let digest = Digest::of(&file.read_artifact(artifact).unwrap());
        assert_eq!(Digest::of(&other.read_artifact(other_artifact).unwrap()), digest, "{}", artifact.kind);
    }
    rebased
}

/// Numbers of one token or text, as probabilities.
fn softmax(logits: &Value) -> Value {
    let logits: Vec<f64> = logits.as_array().unwrap().iter().map(|logit| logit.as_f64().unwrap()).collect();
    let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
    logits.iter().map(|logit| json!(logit.exp() / sum)).collect()
}

/// Where 0.7 has the model's numbers in the place of probabilities, the probabilities.
fn with_probabilities(mut result: Value) -> Value {
    if result.get("scores").is_some() {
        assert_eq!(result["scores"], result["logits"]);
        result["scores"] = softmax(&result["logits"]);
    }
    for token in result.get_mut("tokens").and_then(Value::as_array_mut).into_iter().flatten() {
        token["scores"] = softmax(&token["scores"]);
        let scores = token["scores"].as_array().unwrap().iter().map(|score| score.as_f64().unwrap());
        token["score"] = json!(scores.fold(0.0, f64::max));
    }
    result
}

fn check(name: &str) {
    let expected = json(&path(&format!("{name}.answer.json")));
    let third = "statement ".repeat(90);
    let texts = [
        "Hello world, this is an example sentence.",
        "Apple Inc. is located in Cupertino, California",
        &third,
    ];
    let file = rebased(name);
    for arguments in [&["infer", "--verify"][..], &["infer", "--weights", "copy", "--batch-size", "1"]] {
        let found = answer(&run(file.command().args(arguments).args(texts)));
        assert_eq!(found["model_id"], expected["model_id"]);
        let (found, expected) = (&found["results"], expected["results"].as_array().unwrap());
        assert_eq!(found.as_array().unwrap().len(), expected.len());
        for (number, expected) in expected.iter().enumerate() {
            let mut expected = with_probabilities(expected.clone());
            if number == 2 {
                // 0.7 does not say so.
                expected["truncated"] = json!(true);
            }
            assert_within(&found[number], &expected, 1e-4);
        }
    }
}

#[test]
fn embedding() {
    check("embedding");
}

#[test]
fn sentence_embedding() {
    check("sentence_embedding");
}

#[test]
fn sequence_classification() {
    check("sequence_classification");
}

#[test]
fn token_classification() {
    check("token_classification");
}

#[test]
fn a_lua_script_is_never_skipped() {
    let file = rebased("sequence_classification_lua");
    for arguments in [&["infer", "text"][..], &["infer", "--input", "/nonexistent"]] {
        assert_fails(
            &run(file.command().args(arguments)),
            1,
            "error: this model's results are post-processed by a Lua script, which this version cannot run\n\
             hint: build the file without `transform`, or run it with encoderfile 0.7\n",
        );
    }
}
