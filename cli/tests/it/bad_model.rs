//! Models that would not answer, or not as in Python, and what is said about each before anything is written.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::model_folder::{build, edit, rename};
use crate::sandbox::{Said, Sandbox};

/// Builds the copy of a model after a change to it.
fn with(model: &str, change: impl FnOnce(&Path), flags: &[&str]) -> Said {
    let sandbox = Sandbox::new();
    change(&sandbox.model(model));
    let said = build(&sandbox, &[&["model"], flags].concat());
    if said.code != 0 {
        assert_eq!(sandbox.leftovers(), [""; 0], "something half-written stays");
    }
    said
}

/// Builds a model by a build file with more keys.
fn with_keys(model: &str, keys: &str) -> Said {
    let sandbox = Sandbox::new();
    sandbox.model(model);
    let path = sandbox.path("model/encoderfile.yml");
    fs::write(path, format!("encoderfile:\n  path: .\n{keys}")).unwrap();
    build(&sandbox, &["-f", "model/encoderfile.yml"])
}

/// Sets a key of a JSON file of the model.
fn set(file: &str, key: &str, value: Value) -> impl FnOnce(&Path) {
    let (file, key) = (file.to_owned(), key.to_owned());
    move |model| edit(&model.join(file), |content| content[key] = value)
}

fn write(file: &str, text: &str) -> impl FnOnce(&Path) {
    let (file, text) = (file.to_owned(), text.to_owned());
    move |model| fs::write(model.join(file), text).unwrap()
}

#[test]
fn graphs_that_are_not_there() {
    let several = |model: &Path| {
        fs::copy(model.join("model.onnx"), model.join("model_fp16.onnx")).unwrap();
        rename(model, "model.onnx", "onnx/model_int8.onnx");
    };
    with("embedding", several, &[]).failed(
        1,
        &[
            "no model.onnx",
            "but several others: model_fp16.onnx, onnx/model_int8.onnx",
            "--weights model_fp16.onnx",
        ],
    );
    with("embedding", several, &["--weights", "fp61"]).failed(
        1,
        &["no graph `fp61`", "only model_fp16.onnx, onnx/model_int8.onnx", "did you mean `fp16`?"],
    );
    with("embedding", |_| {}, &["--weights", "zzz"])
        .failed(1, &["no graph `zzz`", "only model.onnx", "hint: give a path within the model folder"]);
    with("embedding", |_| {}, &["--weights", "../model.onnx"])
        .failed(1, &["the graph `../model.onnx` is not within the model folder", "hint: "]);
}

#[test]
fn files_in_place_of_the_model_s() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n";
    with("embedding", write("model.onnx", pointer), &[])
        .failed(1, &["`model/model.onnx`", "the pointer that Git LFS leaves", "git lfs pull"]);
    with("embedding", write("model.onnx", "<!DOCTYPE html>"), &[])
        .failed(1, &["`model/model.onnx`", "a web page", "hint: download the file itself"]);
    with("embedding", write("tokenizer.json", pointer), &[]).failed(
        1,
        &[
            "`model/tokenizer.json` is not the model's file, but the pointer that Git LFS leaves",
            "git lfs pull",
        ],
    );
    with("embedding", write("config.json", ""), &[])
        .failed(1, &["`model/config.json` is not the model's file, the file is empty"]);
    with("embedding", write("config.json", &" ".repeat((16 << 20) + 1)), &[])
        .failed(1, &["`model/config.json` is larger than 16.8 MB", "hint: "]);
    let latin = |model: &Path| fs::write(model.join("tokenizer.json"), b"{\"\xe9\": 1}").unwrap();
    with("embedding", latin, &[])
        .failed(1, &["`model/tokenizer.json` is not text in UTF-8, from byte 2 on", "hint: "]);
}

#[test]
fn tokenizers_that_only_python_can_load() {
    let slow = |model: &Path| {
        rename(model, "tokenizer.json", "vocab.txt");
        fs::write(model.join("sentencepiece.bpe.model"), "x").unwrap();
    };
    with("embedding", slow, &[]).failed(
        1,
        &[
            "no tokenizer.json in the model folder `model`, only sentencepiece.bpe.model, vocab.txt",
            "use_fast=True",
        ],
    );
}

#[test]
fn weights_that_are_not_all_there() {
    let missing = |model: &Path| fs::remove_file(model.join("model.onnx_data_1")).unwrap();
    with("external_data", missing, &[]).failed(
        1,
        &[
            "cannot use the model `model/model.onnx`",
            "in the file `model.onnx_data_1`, which is missing",
            "hint: copy the file",
        ],
    );
    let cut = |model: &Path| {
        let file = fs::File::options().write(true).open(model.join("model.onnx_data")).unwrap();
        file.set_len(1000).unwrap();
    };
    with("external_data", cut, &[])
        .failed(1, &["of the file `model.onnx_data`, which has 1000", "hint: is that file complete?"]);
    let folder = |model: &Path| {
        fs::remove_file(model.join("model.onnx_data")).unwrap();
        fs::create_dir(model.join("model.onnx_data")).unwrap();
    };
    with("external_data", folder, &[]).failed(1, &["cannot read `model/model.onnx_data`"]);
    // Names of the same length, so that the graph stays whole.
    let renamed = |name: &'static [u8; 15]| {
        move |model: &Path| {
            let path = model.join("model.onnx");
            let mut bytes = fs::read(&path).unwrap();
            let mut start = 0;
            while let Some(found) = bytes[start..].windows(15).position(|text| text == b"model.onnx_data") {
                start += found + 15;
                bytes[start - 15..start].copy_from_slice(name);
            }
            fs::write(path, bytes).unwrap();
        }
    };
    with("external_data", renamed(b"../../../weight"), &[])
        .failed(1, &["`../../../weight", "it leaves the model's folder", "hint: save the model anew"]);
    let json = |model: &Path| {
        renamed(b"./././onnx/data")(model);
        for name in ["model.onnx_data", "model.onnx_data_1"] {
            rename(model, name, &name.replace("model.onnx_data", "onnx/data"));
        }
    };
    with("external_data", json, &[]).ok();
}

#[test]
fn operators_that_the_runtime_does_not_have() {
    let version = |model: &Path| {
        let path = model.join("model.onnx");
        let mut bytes = fs::read(&path).unwrap();
        // `ir_version`, the first field.
        assert_eq!(bytes[0], 8);
        bytes[1] = 99;
        fs::write(path, bytes).unwrap();
    };
    with("embedding", version, &[])
        .failed(1, &["cannot use the model `model/model.onnx`", "IR version 99", "hint: "]);
}

#[test]
fn labels_that_contradict_each_other() {
    let contradictions = [
        ("id2label", json!({"0": "A", "2": "B"}), "`id2label` has no label for 1, but one for 2"),
        ("label2id", json!({"NEGATIVE": 1}), "`label2id` gives `NEGATIVE` the number 1, which is `NEUTRAL`"),
        (
            "label2id",
            json!({"OTHER": 3}),
            "`label2id` gives `OTHER` the number 3, which `id2label` does not have",
        ),
        ("num_labels", json!(2), "`num_labels` is 2, but 3 are named"),
    ];
    for (key, value, text) in contradictions {
        with("sequence_classification", set("config.json", key, value), &[]).failed(
            1,
            &["the labels in `model/config.json` contradict each other", text, "hint: correct `id2label`"],
        );
    }
}

#[test]
fn tokenizers_of_another_model() {
    let more = |model: &Path| {
        edit(&model.join("tokenizer.json"), |tokenizer| {
            tokenizer["model"]["vocab"]["unheard"] = json!(5000);
        });
    };
    with("embedding", more, &[]).failed(
        1,
        &[
            "cannot use the model `model/model.onnx`",
            "has 387 rows",
            "the token `unheard` with the id 5000",
            "hint: ",
        ],
    );
    // No result depends on it.
    let said = with("embedding", set("config.json", "vocab_size", json!(400)), &[]).ok();
    let warning = "warning: config.json says `vocab_size` 400, but model.onnx has vectors for 387 tokens";
    assert!(said.stderr.contains(warning), "{}", said.stderr);
    with("embedding", set("tokenizer_config.json", "pad_token", json!("<pad>")), &[])
        .failed(1, &["`tokenizer_config.json` names the padding token `<pad>`, which", "hint: "]);
    let own = |model: &Path| {
        edit(&model.join("tokenizer.json"), |tokenizer| tokenizer["padding"]["pad_id"] = json!(9));
        edit(&model.join("tokenizer_config.json"), |config| config["pad_token"] = Value::Null);
        fs::remove_file(model.join("special_tokens_map.json")).unwrap();
    };
    with("sentence_embedding", own, &[])
        .failed(1, &["`model/tokenizer.json` pads with `[PAD]` as 9, but that token has the id 0", "hint: "]);
}

#[test]
fn what_sentence_transformers_would_do_otherwise() {
    for module in ["Dense", "CNN", "WordWeights", "Router", "LSTM", "WeightedLayerPooling"] {
        let add = |model: &Path| {
            edit(&model.join("modules.json"), |modules| {
                let r#type = format!("sentence_transformers.models.{module}");
                modules[2] = json!({"idx": 2, "name": "2", "path": "2", "type": r#type});
            });
        };
        with("sentence_embedding", add, &[]).failed(
            1,
            &["`model/modules.json` asks for", &format!("the module `{module}`"), "not supported"],
        );
    }
    let module = |number: usize, key: &'static str, value: &'static str| {
        move |model: &Path| edit(&model.join("modules.json"), |modules| modules[number][key] = json!(value))
    };
    with("sentence_embedding", module(0, "type", "custom_st.Transformer"), &[])
        .failed(1, &["the module `custom_st.Transformer`"]);
    with("sentence_embedding", module(1, "path", "../1_Pooling"), &[])
        .failed(1, &["the path `../1_Pooling`"]);
    with("sentence_embedding", module(1, "path", "elsewhere"), &[])
        .failed(1, &["no elsewhere/config.json in the model folder"]);
    let no_pooling = |model: &Path| {
        edit(&model.join("modules.json"), |modules| {
            modules.as_array_mut().unwrap().remove(1);
        });
    };
    with("sentence_embedding", no_pooling, &[]).failed(1, &["no module `Pooling`"]);
    with("sentence_embedding", no_pooling, &["--pooling", "cls"]).ok();
    let pooling = |key, value| set("1_Pooling/config.json", key, value);
    with("sentence_embedding", pooling("pooling_mode_median", json!(true)), &[])
        .failed(1, &["`model/1_Pooling/config.json` asks for the pooling mode `pooling_mode_median`"]);
    with("sentence_embedding", pooling("word_embedding_dimension", json!(768)), &[]).failed(
        1,
        &[
            "`1_Pooling/config.json` says that a token's vector has 768 values",
            "has 32",
            "hint: are both files",
        ],
    );
    let sparse = r#"{"model_type": "SparseEncoder"}"#;
    with("sentence_embedding", write("config_sentence_transformers.json", sparse), &[])
        .failed(1, &["a model of the class `SparseEncoder`"]);
}

#[test]
fn texts_in_lower_case() {
    let asks = || set("sentence_bert_config.json", "do_lower_case", json!(true));
    with("sentence_embedding", asks(), &[]).ok();
    let cased = |model: &Path| {
        asks()(model);
        edit(&model.join("tokenizer.json"), |tokenizer| tokenizer["normalizer"]["lowercase"] = json!(false));
    };
    with("sentence_embedding", cased, &[]).failed(
        1,
        &["`model/sentence_bert_config.json` asks for texts in lower case", "hint: put the normalizer"],
    );
}

#[test]
fn prompts_that_are_not_there() {
    let config = r#"{"prompts": {"query": "q: "}, "default_prompt_name": "passage"}"#;
    with("sentence_embedding", write("config_sentence_transformers.json", config), &[])
        .failed(1, &["has the default prompt `passage`, but no prompt of that name", "hint: "]);
    with("sentence_embedding", write("config_sentence_transformers.json", r#"{"prompts": {"a": 1}}"#), &[])
        .failed(1, &["the prompt `a`, which is no text"]);
    let keys = "  prompts: {query: 'q: '}\n  default_prompt_name: qeury\n";
    with_keys("sentence_embedding", keys)
        .failed(1, &["`default_prompt_name` is `qeury`, but there is no prompt", "did you mean `query`?"]);
    with_keys("sentence_embedding", "  default_prompt_name: query\n")
        .failed(1, &["there is no prompt of that name", "hint: the model has no prompts"]);
}

#[test]
fn what_was_given_and_cannot_hold() {
    for (keys, texts) in [
        (
            "  pooling: cls\n",
            ["`pooling` was given, but only the task sentence_embedding", "hint: leave it out"],
        ),
        ("  normalize: true\n", ["`normalize` was given", "this model answers embedding"]),
        ("  prompts: {a: b}\n", ["`prompts` was given", "hint: "]),
        ("  default_prompt_name: a\n", ["`default_prompt_name` was given", "hint: "]),
        (
            "  tokenizer: {max_length: 65}\n",
            [
                "`tokenizer.max_length` is 65, but `max_position_embeddings` in `model/./config.json` allows 64",
                "hint: give at most 64",
            ],
        ),
        (
            "  tokenizer: {pad_strategy: {fixed: 65}}\n",
            ["`tokenizer.pad_strategy` asks for 65 tokens", "hint: give at most 64, or `batch_longest`"],
        ),
        ("  tokenizer: {max_length: 2}\n", ["2 tokens are too few for a text", "hint: give a larger"]),
        ("  tokenizer: {max_length: 8, stride: 7}\n", ["8 tokens are too few for a text", "hint: "]),
        (
            "  tokenizer: {truncation_strategy: only_second}\n",
            ["no task takes a second text", "longest_first"],
        ),
    ] {
        with_keys("embedding", keys).failed(1, &texts);
    }
}

#[test]
fn models_of_images() {
    with("embedding", set("config.json", "architectures", json!(["ViTForImageClassification"])), &[]).failed(
        1,
        &["images are not supported", "ViTForImageClassification", "hint: only the tasks of text"],
    );
    let sandbox = Sandbox::new();
    sandbox.model("embedding");
    let file = "encoderfile:
  name: m
  path:
    model_config_path: model/config.json
    model_weights_path: model/model.onnx
    tokenizer_path: model/tokenizer.json
    preprocessor_config_path: model/config.json
";
    fs::write(sandbox.path("model/encoderfile.yml"), file.replace("model/", "")).unwrap();
    build(&sandbox, &["-f", "model/encoderfile.yml"])
        .failed(1, &["images are not supported", "`preprocessor_config_path`", "hint: "]);
}

/// Its only output is a vector per text, so nothing is left to pool.
#[test]
fn graphs_that_pool_by_themselves() {
    let task = ["--model-type", "sentence_embedding"];
    let said = with("sequence_classification", |_| {}, &task).ok();
    assert!(said.stderr.contains("Pooling by the graph (its output `logits`)"), "{}", said.stderr);
    with("sequence_classification", |_| {}, &[&task[..], &["--pooling", "cls"]].concat()).failed(
        1,
        &["`pooling` was given, but the graph `model/model.onnx` pools by itself", "hint: leave it out"],
    );
    let exclude_prompt = |model: &Path| {
        let modules = r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
            {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]"#;
        fs::write(model.join("modules.json"), modules).unwrap();
        fs::create_dir(model.join("1_Pooling")).unwrap();
        fs::write(model.join("1_Pooling/config.json"), r#"{"include_prompt": false}"#).unwrap();
    };
    with("sequence_classification", exclude_prompt, &[]).failed(
        1,
        &[
            "it pools by itself, so a prompt's tokens cannot be left out, as `1_Pooling/config.json`",
            "hint: export",
        ],
    );
}

/// A reranker that sentence-transformers saved is no sentence embedding, though it has modules.
#[test]
fn rerankers_are_classified_by_their_architecture() {
    let reranker = |model: &Path| {
        fs::write(model.join("config_sentence_transformers.json"), r#"{"model_type": "CrossEncoder"}"#)
            .unwrap();
        fs::write(
            model.join("modules.json"),
            r#"[{"path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"}]"#,
        )
        .unwrap();
    };
    let said = with("sequence_classification", reranker, &[]).ok();
    assert!(said.stderr.contains("sequence_classification (config.json)"), "{}", said.stderr);
}
