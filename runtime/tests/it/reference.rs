//! The same numbers as Python's onnxruntime, for every task, whatever the batch.

use std::fs;
use std::process::Stdio;

use encoderfile_format::{ArtifactKind, PoolingMode, SentencePooling};
use serde_json::{Map, Value, json};

use crate::assemble::{
    assemble, assemble_with, assert_close, assert_fails, fix_dimension, model_folder, reference, replace,
    results, run, run_with_input, text,
};

/// A reference result in the shape that the runtime prints.
fn expected(result: &Value) -> Value {
    let mut expected = Map::new();
    for key in ["embedding", "logits", "scores", "predicted_index", "predicted_label"] {
        if let Some(value) = result.get(key) {
            expected.insert(key.to_owned(), value.clone());
        }
    }
    if let Some(tokens) = result["tokens"].as_array() {
        let info = |token: &Value| json!({"token": token["token"], "token_id": token["token_id"], "start": token["start"], "end": token["end"]});
        let is_embedding = tokens.iter().any(|token| token.get("embedding").is_some());
        let convert = |token: &Value| {
            if is_embedding {
                json!({"embedding": token["embedding"], "token_info": info(token)})
            } else {
                let (scores, label) = (&token["scores"], &token["label"]);
                json!({"token_info": info(token), "scores": scores, "label": label, "score": token["score"]})
            }
        };
        let key = if is_embedding { "embeddings" } else { "tokens" };
        expected.insert(key.to_owned(), tokens.iter().map(convert).collect());
    }
    if result["truncated"] == true {
        expected.insert("truncated".to_owned(), Value::Bool(true));
    }
    Value::Object(expected)
}

/// Feeds all texts as arguments, in batches and one by one, and as lines; mapped and copied.
fn check(model: &str) {
    let file = assemble(model);
    let reference = reference(model);
    let ways: [&[&str]; 4] = [
        &["--weights", "map"],
        &["--batch-size", "1"],
        &["--batch-size", "3", "--verify"],
        &["--weights", "copy"],
    ];
    for arguments in ways {
        let output = run(file.command().arg("infer").args(arguments).arg("--").args(&reference.inputs));
        let results = results(&output);
        assert_eq!(results.len(), reference.results.len());
        for (found, result) in results.iter().zip(&reference.results) {
            assert_close(found, &expected(result));
        }
        let truncated = reference.results.iter().filter(|result| result["truncated"] == true).count();
        assert_eq!(text(&output.stderr).lines().count(), truncated, "{}", text(&output.stderr));
    }
    let lines = reference.inputs.join("\n");
    let output = run_with_input(
        file.command().args(["infer", "--format", "jsonl"]).stdout(Stdio::piped()),
        lines.as_bytes(),
    );
    let found: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found.len(), reference.results.len());
    for (found, result) in found.iter().zip(&reference.results) {
        assert_close(found, &expected(result));
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
fn a_model_without_token_type_ids() {
    check("no_token_type_ids");
}

#[test]
fn inputs_in_another_order() {
    check("reordered_inputs");
}

#[test]
fn a_model_with_external_data() {
    check("external_data");
}

/// Graphs exported for one text, or for texts of one length: texts are fed one by one, and padded to that length.
#[test]
fn graphs_with_fixed_dimensions() {
    let model = fs::read(model_folder("sentence_embedding").join("model.onnx")).unwrap();
    let reference = reference("sentence_embedding");
    let with = |model: Vec<u8>| {
        assemble_with("sentence_embedding", |payload| replace(payload, ArtifactKind::Weights, model))
    };
    for model in [
        fix_dimension(&model, "batch_size", 1),
        fix_dimension(&model, "sequence_length", 32),
        fix_dimension(&fix_dimension(&model, "batch_size", 1), "sequence_length", 32),
    ] {
        let output = run(with(model).command().args(["infer", "--"]).args(&reference.inputs));
        let results = results(&output);
        assert_eq!(results.len(), reference.results.len());
        for (found, result) in results.iter().zip(&reference.results) {
            assert_close(found, &expected(result));
        }
    }
    assert_fails(
        &run(with(fix_dimension(&model, "batch_size", 4)).command().args(["infer", "text"])),
        1,
        "error: the model does not fit its task\n  cause: \
         the graph's input `input_ids int64[4, sequence_length]` takes exactly 4 texts at once, where only 1 or any number will do\n\
         hint: export the model for any number of texts and tokens\n",
    );
}

/// Each mode, computed here from the token vectors of the same model, special tokens included.
#[test]
fn a_pooling_of_several_modes_is_their_concatenation() {
    let modes = vec![PoolingMode::Cls, PoolingMode::Max, PoolingMode::Mean];
    let change = |normalize, modes: Vec<_>| {
        assemble_with("sentence_embedding", |payload| {
            payload.description.sentence_pooling =
                Some(SentencePooling { modes, normalize, exclude_prompt: false });
        })
    };
    let vector = |answer: &Value| -> Vec<f64> {
        let values = answer["results"][0]["embedding"].as_array().unwrap();
        values.iter().map(|value| value.as_f64().unwrap()).collect()
    };
    let all = vector(&change(false, modes.clone()).infer(&["some text"]));
    let mut joined = Vec::new();
    for mode in modes {
        joined.extend(vector(&change(false, vec![mode]).infer(&["some text"])));
    }
    assert_eq!(all, joined);
    assert_eq!(all.len(), 3 * 32);
}

/// A file of encoderfile 0.7 says nothing of pooling: the mean, as it is.
#[test]
fn without_a_pooling_it_is_the_plain_mean() {
    let plain = assemble_with("sentence_embedding", |payload| payload.description.sentence_pooling = None);
    let mean = assemble_with("sentence_embedding", |payload| {
        payload.description.sentence_pooling = Some(SentencePooling::default());
    });
    let (plain, mean) = (plain.infer(&["some text"]), mean.infer(&["some text"]));
    assert_eq!(plain, mean);
    let length: f64 = plain["results"][0]["embedding"]
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap().powi(2))
        .sum();
    assert!((length - 1.0).abs() > 1e-3, "normalised");
}

#[test]
fn labels_have_numbers_where_the_model_names_none() {
    let file = assemble_with("sequence_classification", |payload| {
        payload.parts.retain(|part| part.kind != ArtifactKind::ModelConfig);
    });
    let answer = file.infer(&["some text"]);
    let result = &answer["results"][0];
    let index = result["predicted_index"].as_u64().unwrap();
    assert_eq!(result["predicted_label"], format!("LABEL_{index}"));
}

#[test]
fn a_document_names_the_model() {
    let answer = assemble("sequence_classification").infer(&["a", "b"]);
    assert_eq!(answer["model_id"], "sequence_classification");
    let keys: Vec<_> = answer.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["results", "model_id"]);
}
