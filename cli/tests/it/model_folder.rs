//! Models in every layout in which they are found, and what is recorded of each decision.

use std::fs::{self, File};
use std::path::Path;

use encoderfile_format::{ArtifactKind, Encoderfile, PoolingMode, Prompt, TokenizerArtifact};
use serde_json::{Value, json};

use crate::sandbox::{Said, Sandbox, runtime};

/// Builds what stands in the sandbox, without running it.
pub(crate) fn build(sandbox: &Sandbox, what: &[&str]) -> Said {
    let mut command = sandbox.command();
    command.args(["build", "-o", "out", "--no-check", "--base-binary-path"]).arg(runtime()).args(what);
    command.output().unwrap().into()
}

fn open(sandbox: &Sandbox) -> Encoderfile {
    Encoderfile::open(File::open(sandbox.path("out")).unwrap()).unwrap()
}

/// Changes a JSON file.
pub(crate) fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

pub(crate) fn rename(model: &Path, from: &str, to: &str) {
    let to = model.join(to);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::rename(model.join(from), to).unwrap();
}

fn copy(model: &Path, from: &str, to: &str) {
    let to = model.join(to);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(model.join(from), to).unwrap();
}

/// The names of the artifacts of a kind.
fn names(file: &Encoderfile, kind: ArtifactKind) -> Vec<String> {
    let artifacts = file.manifest().artifacts.iter().filter(|artifact| artifact.kind == kind);
    artifacts.map(|artifact| artifact.name.clone().unwrap()).collect()
}

/// A decision as it is recorded: its value and its source.
fn setting(file: &Encoderfile, key: &str) -> Option<(String, String)> {
    let setting = file.manifest().description.setting(key)?;
    Some((setting.value.clone(), setting.source.clone()))
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with what may be missing")]
fn said_by(value: &str, source: &str) -> Option<(String, String)> {
    Some((value.to_owned(), source.to_owned()))
}

/// Padding and truncation that the runtime will apply.
fn tokenizer(file: &Encoderfile) -> (Value, Value) {
    let artifact = TokenizerArtifact::from_json(&file.read(ArtifactKind::Tokenizer).unwrap()).unwrap();
    let tokenizer: Value = serde_json::from_str(artifact.tokenizer.get()).unwrap();
    (tokenizer["padding"].clone(), tokenizer["truncation"].clone())
}

#[test]
fn graphs_are_found_where_exporters_put_them() {
    type Change = fn(&Path);
    let onnx: Change = |model| rename(model, "model.onnx", "onnx/model.onnx");
    let variants: Change = |model| {
        for name in ["onnx/model.onnx", "onnx/model_int8.onnx", "onnx/model_O4.onnx", "q4.onnx"] {
            copy(model, "model.onnx", name);
        }
    };
    let only: Change = |model| rename(model, "model.onnx", "onnx/model_quantized.onnx");
    for (change, flags, weights, source, said) in [
        ((|_| {}) as Change, &[][..], "model.onnx", "default", ""),
        (onnx, &[], "onnx/model.onnx", "default", ""),
        (variants, &[], "model.onnx", "default", ""),
        (
            variants,
            &["--weights", "int8"],
            "onnx/model_int8.onnx",
            "given",
            "onnx/model_int8.onnx (as given)",
        ),
        (variants, &["--weights", "model_O4"], "onnx/model_O4.onnx", "given", "(as given)"),
        (variants, &["--weights", "q4"], "q4.onnx", "given", "q4.onnx (as given)"),
        (variants, &["--weights", "./onnx/model.onnx"], "onnx/model.onnx", "given", "(as given)"),
        (only, &[], "onnx/model_quantized.onnx", "default", "onnx/model_quantized.onnx (the only one)"),
    ] {
        let sandbox = Sandbox::new();
        change(&sandbox.model("embedding"));
        let built = build(&sandbox, &[&["model"], flags].concat()).ok();
        let file = open(&sandbox);
        assert_eq!(names(&file, ArtifactKind::Weights), [weights], "{flags:?}");
        assert_eq!(setting(&file, "weights"), said_by(&json!(weights).to_string(), source));
        assert!(built.stderr.contains(said), "`{said}` is not in:\n{}", built.stderr);
        assert_eq!(built.stderr.contains("Weights"), !said.is_empty(), "{}", built.stderr);
    }
}

#[test]
fn a_short_name_and_a_path_give_the_same_bytes() {
    let sandbox = Sandbox::new();
    copy(&sandbox.model("embedding"), "model.onnx", "onnx/model_fp16.onnx");
    build(&sandbox, &["model", "--weights", "fp16"]).ok();
    let by_name = fs::read(sandbox.path("out")).unwrap();
    build(&sandbox, &["model", "--weights", "onnx/model_fp16.onnx"]).ok();
    assert!(by_name == fs::read(sandbox.path("out")).unwrap());
}

#[test]
fn other_graphs_are_told_to_those_who_ask() {
    let sandbox = Sandbox::new();
    copy(&sandbox.model("embedding"), "model.onnx", "onnx/model_fp16.onnx");
    assert!(!build(&sandbox, &["model"]).ok().stderr.contains("fp16"));
    assert!(build(&sandbox, &["model", "-v"]).ok().stderr.contains("Others onnx/model_fp16.onnx"));
}

/// Its files are links to others that are named by their digests.
#[cfg(unix)]
#[test]
fn a_snapshot_of_hugging_face_s_cache_is_a_model_folder() {
    let sandbox = Sandbox::new();
    let model = sandbox.model("external_data");
    let cache = sandbox.path("model/models--org--some-model");
    let snapshot = cache.join("snapshots/0123456789abcdef");
    fs::create_dir_all(&snapshot).unwrap();
    for (number, entry) in fs::read_dir(&model).unwrap().enumerate() {
        let path = entry.unwrap().path();
        if path.is_file() {
            rename(&cache, path.to_str().unwrap(), &format!("blobs/{number}"));
            let link = snapshot.join(path.file_name().unwrap());
            std::os::unix::fs::symlink(format!("../../blobs/{number}"), link).unwrap();
        }
    }
    build(&sandbox, &[snapshot.to_str().unwrap()]).ok();
    let file = open(&sandbox);
    assert_eq!(file.manifest().description.name, "some-model");
    assert_eq!(names(&file, ArtifactKind::ExternalData), ["model.onnx_data", "model.onnx_data_1"]);
    for folder in [cache.clone(), cache.join("blobs")] {
        build(&sandbox, &[folder.to_str().unwrap()])
            .failed(1, &["is Hugging Face's cache of a model", "hint: ", "snapshots/0123456789abcdef`"]);
    }
    fs::remove_file(cache.join("blobs").read_dir().unwrap().next().unwrap().unwrap().path()).unwrap();
    build(&sandbox, &[snapshot.to_str().unwrap()]).failed(1, &["is a link to a file that does not exist"]);
}

#[test]
fn weights_beside_the_graph_keep_their_names() {
    let sandbox = Sandbox::new();
    let model = sandbox.model("external_data");
    for name in ["model.onnx", "model.onnx_data", "model.onnx_data_1"] {
        rename(&model, name, &format!("onnx/{name}"));
    }
    let said = build(&sandbox, &["model"]).ok();
    assert!(said.stderr.contains("onnx/model.onnx, with 2 files from"), "{}", said.stderr);
    let file = open(&sandbox);
    let external = ["onnx/model.onnx_data", "onnx/model.onnx_data_1"];
    assert_eq!(names(&file, ArtifactKind::ExternalData), external);
    for artifact in &file.manifest().artifacts {
        let name = artifact.name.as_deref().filter(|name| external.contains(name));
        if let Some(name) = name {
            assert!(file.read_artifact(artifact).unwrap() == fs::read(model.join(name)).unwrap());
        }
    }
}

#[test]
fn files_may_be_named_one_by_one() {
    let sandbox = Sandbox::new();
    let model = sandbox.model("external_data");
    build(&sandbox, &["model", "--name", "m"]).ok();
    let by_folder = names(&open(&sandbox), ArtifactKind::ExternalData);
    rename(&model, "config.json", "a/some.json");
    rename(&model, "tokenizer.json", "b/tokens.json");
    rename(&model, "model.onnx", "encoder.onnx");
    let file = "encoderfile:
  name: m
  path:
    model_config_path: model/a/some.json
    model_weights_path: model/encoder.onnx
    tokenizer_path: model/b/tokens.json
";
    fs::write(sandbox.path("model/encoderfile.yml"), file.replace("model/", "")).unwrap();
    build(&sandbox, &["-f", "model/encoderfile.yml"]).ok();
    let file = open(&sandbox);
    assert_eq!(names(&file, ArtifactKind::Weights), ["model.onnx"]);
    assert_eq!(names(&file, ArtifactKind::ExternalData), by_folder);
    // The tokenizer's configuration was not named, so it does not count.
    assert_eq!(names(&file, ArtifactKind::Source), ["config.json"]);
    assert_eq!(file.manifest().description.sources[0].name, "tokenizer.json");
}

/// As sentence-transformers before version 2 laid folders out.
#[test]
fn the_encoder_may_be_in_a_subfolder() {
    let sandbox = Sandbox::new();
    let model = sandbox.model("sentence_embedding");
    for name in [
        "config.json",
        "model.onnx",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "sentence_bert_config.json",
    ] {
        rename(&model, name, &format!("0_Transformer/{name}"));
    }
    edit(&model.join("modules.json"), |modules| modules[0]["path"] = json!("0_Transformer/"));
    let said = build(&sandbox, &["model"]).ok();
    assert!(said.stderr.contains("32 tokens (0_Transformer/sentence_bert_config.json)"), "{}", said.stderr);
    let file = open(&sandbox);
    assert_eq!(names(&file, ArtifactKind::Weights), ["0_Transformer/model.onnx"]);
    assert_eq!(file.manifest().description.sources[0].name, "0_Transformer/tokenizer.json");
    assert!(names(&file, ArtifactKind::Source).contains(&"0_Transformer/config.json".to_owned()));
}

#[test]
fn the_files_that_decide_are_kept_as_they_are() {
    let sandbox = Sandbox::new();
    let model = sandbox.model("sentence_embedding");
    build(&sandbox, &["model"]).ok();
    let file = open(&sandbox);
    let sources = file.manifest().artifacts.iter().filter(|artifact| artifact.kind == ArtifactKind::Source);
    let mut seen = Vec::new();
    for artifact in sources {
        let name = artifact.name.as_deref().unwrap();
        assert!(file.read_artifact(artifact).unwrap() == fs::read(model.join(name)).unwrap(), "{name}");
        seen.push(name);
    }
    seen.sort_unstable();
    let expected = [
        "1_Pooling/config.json",
        "config.json",
        "modules.json",
        "sentence_bert_config.json",
        "special_tokens_map.json",
        "tokenizer_config.json",
    ];
    assert_eq!(seen, expected);
    let artifact = TokenizerArtifact::from_json(&file.read(ArtifactKind::Tokenizer).unwrap()).unwrap();
    let original = artifact.original(&file.manifest().description.tokenizer_edits).unwrap();
    assert!(original == fs::read(model.join("tokenizer.json")).unwrap());
}

#[test]
fn every_way_of_pooling_is_recorded() {
    use PoolingMode::{Cls, LastToken, Max, Mean, MeanSqrtLen, WeightedMean};
    let flags = |names: &[&str]| {
        let flags = names.iter().map(|name| (format!("pooling_mode_{name}"), json!(true)));
        Value::Object(flags.collect())
    };
    for (config, modes, said) in [
        (flags(&["cls_token"]), vec![Cls], "cls pooling"),
        (flags(&["max_tokens"]), vec![Max], "max pooling"),
        (flags(&["mean_tokens"]), vec![Mean], "mean pooling"),
        (flags(&["mean_sqrt_len_tokens"]), vec![MeanSqrtLen], ""),
        (flags(&["weightedmean_tokens"]), vec![WeightedMean], ""),
        (flags(&["lasttoken"]), vec![LastToken], ""),
        (
            flags(&["lasttoken", "mean_tokens", "weightedmean_tokens", "cls_token"]),
            vec![Cls, Mean, WeightedMean, LastToken],
            "cls + mean + ",
        ),
        (json!({"pooling_mode": "mean_sqrt_len_tokens"}), vec![MeanSqrtLen], ""),
        (json!({"pooling_mode": ["max", "cls"], "embedding_dimension": 32}), vec![Max, Cls], "max + cls"),
    ] {
        let sandbox = Sandbox::new();
        let model = sandbox.model("sentence_embedding");
        fs::write(model.join("1_Pooling/config.json"), config.to_string()).unwrap();
        let built = build(&sandbox, &["model"]).ok();
        assert!(built.stderr.contains(said), "`{said}` is not in:\n{}", built.stderr);
        let file = open(&sandbox);
        let pooling = file.manifest().description.sentence_pooling.clone().unwrap();
        assert_eq!((&pooling.modes, pooling.normalize, pooling.exclude_prompt), (&modes, true, false));
        let value = serde_json::to_string(&modes).unwrap();
        assert_eq!(setting(&file, "pooling"), said_by(&value, "1_Pooling/config.json"));
        assert_eq!(setting(&file, "normalize"), said_by("true", "modules.json"));
    }
}

#[test]
fn without_sentence_transformers_files_the_mean_is_taken() {
    let sandbox = Sandbox::new();
    sandbox.model("embedding");
    build(&sandbox, &["model", "--model-type", "sentence_embedding"]).ok();
    let file = open(&sandbox);
    assert_eq!(setting(&file, "model_type"), said_by("\"sentence_embedding\"", "given"));
    assert_eq!(setting(&file, "pooling"), said_by("[\"mean\"]", "default"));
    assert_eq!(setting(&file, "normalize"), said_by("false", "default"));
}

#[test]
fn prompts_are_kept_with_the_one_that_is_the_default() {
    let sandbox = Sandbox::new();
    let model = sandbox.model("sentence_embedding");
    // As versions 3 and 5 of sentence-transformers write it.
    let config = json!({
        "__version__": {"sentence_transformers": "5.1.2"},
        "model_type": "SentenceTransformer",
        "prompts": {"query": "query: ", "document": ""},
        "default_prompt_name": "query",
        "similarity_fn_name": "cosine",
    });
    fs::write(model.join("config_sentence_transformers.json"), config.to_string()).unwrap();
    edit(&model.join("1_Pooling/config.json"), |config| config["include_prompt"] = json!(false));
    let said = build(&sandbox, &["model"]).ok();
    let line = "Prompts query, by default query (config_sentence_transformers.json)";
    assert!(said.stderr.contains(line), "{}", said.stderr);
    let file = open(&sandbox);
    let description = &file.manifest().description;
    let prompt = |name: &str, text: &str| Prompt { name: name.to_owned(), text: text.to_owned() };
    assert_eq!(description.prompts, [prompt("query", "query: "), prompt("document", "")]);
    assert_eq!(description.default_prompt(), Some("query: "));
    assert!(description.sentence_pooling.as_ref().unwrap().exclude_prompt);
    let by = "config_sentence_transformers.json";
    assert_eq!(setting(&file, "default_prompt_name"), said_by("\"query\"", by));
    assert_eq!(setting(&file, "prompts"), said_by(r#"{"query":"query: ","document":""}"#, by));
}

/// Version 6 of sentence-transformers keeps the limit with the tokenizer's configuration.
#[test]
fn the_limit_is_the_one_that_python_applies() {
    for (settings, architecture, limit, source) in [
        (json!({"max_seq_length": 32}), "bert", "32", "sentence_bert_config.json"),
        (json!({"max_seq_length": 512}), "bert", "64", "config.json"),
        (json!({"transformer_task": "feature-extraction"}), "bert", "40", "tokenizer_config.json"),
        (json!({"max_seq_length": null}), "bert", "40", "tokenizer_config.json"),
        (json!({"max_seq_length": 512}), "roberta", "63", "config.json"),
    ] {
        let sandbox = Sandbox::new();
        let model = sandbox.model("sentence_embedding");
        fs::write(model.join("sentence_bert_config.json"), settings.to_string()).unwrap();
        edit(&model.join("tokenizer_config.json"), |config| config["model_max_length"] = json!(40));
        edit(&model.join("config.json"), |config| config["model_type"] = json!(architecture));
        build(&sandbox, &["model"]).ok();
        let file = open(&sandbox);
        assert_eq!(setting(&file, "tokenizer.max_length"), said_by(limit, source), "{settings}");
        assert_eq!(tokenizer(&file).1["max_length"].to_string(), limit);
    }
}

#[test]
fn what_is_given_holds_before_the_folder_s_files() {
    let sandbox = Sandbox::new();
    sandbox.model("sentence_embedding");
    let file = "encoderfile:
  path: model
  pooling: [cls, max]
  normalize: false
  prompts: {passage: 'passage: ', query: 'query: '}
  default_prompt_name: passage
  tokenizer:
    pad_strategy: {fixed: 48}
    truncation_side: left
    truncation_strategy: only_first
    max_length: 40
    stride: 4
";
    fs::write(sandbox.path("encoderfile.yml"), file).unwrap();
    let said = build(&sandbox, &["-f", "encoderfile.yml"]).ok();
    for line in [
        "Pooling cls + max pooling (as given)",
        "Prompts passage, query, by default passage (as given)",
        "Limit 40 tokens (as given)",
        "Padding to 48 tokens (as given)",
    ] {
        assert!(said.stderr.contains(line), "`{line}` is not in:\n{}", said.stderr);
    }
    let file = open(&sandbox);
    for (key, value) in [
        ("pooling", r#"["cls","max"]"#),
        ("normalize", "false"),
        ("prompts", r#"{"passage":"passage: ","query":"query: "}"#),
        ("default_prompt_name", r#""passage""#),
        ("tokenizer.pad_strategy", r#"{"fixed":48}"#),
        ("tokenizer.truncation_side", r#""left""#),
        ("tokenizer.truncation_strategy", r#""only_first""#),
        ("tokenizer.max_length", "40"),
        ("tokenizer.stride", "4"),
    ] {
        assert_eq!(setting(&file, key), said_by(value, "given"), "{key}");
    }
    let (padding, truncation) = tokenizer(&file);
    assert_eq!(padding["strategy"], json!({"Fixed": 48}));
    let expected = json!({"direction": "Left", "max_length": 40, "strategy": "OnlyFirst", "stride": 4});
    assert_eq!(truncation, expected);
}

#[test]
fn what_nobody_gave_is_recorded_with_the_file_that_says_it() {
    let sandbox = Sandbox::new();
    let model = sandbox.model("embedding");
    edit(&model.join("tokenizer_config.json"), |config| {
        config["padding_side"] = json!("left");
        config["truncation_side"] = json!("left");
    });
    build(&sandbox, &["model"]).ok();
    let file = open(&sandbox);
    for (key, value, source) in [
        ("model_type", r#""embedding""#, "config.json"),
        ("weights", r#""model.onnx""#, "default"),
        ("tokenizer.pad_strategy", r#""batch_longest""#, "default"),
        ("tokenizer.truncation_side", r#""left""#, "tokenizer_config.json"),
        ("tokenizer.max_length", "64", "tokenizer.json"),
    ] {
        assert_eq!(setting(&file, key), said_by(value, source), "{key}");
    }
    assert_eq!(setting(&file, "pooling"), None);
    assert_eq!(tokenizer(&file).0["direction"], "Left");
}

#[test]
fn the_padding_token_is_the_one_that_python_takes() {
    type Change = fn(&Path);
    let take_away: Change = |model| {
        edit(&model.join("tokenizer_config.json"), |config| config["pad_token"] = Value::Null);
    };
    let by_config: Change = |model| {
        let token = json!({"content": "[MASK]", "__type": "AddedToken"});
        edit(&model.join("tokenizer_config.json"), |config| config["pad_token"] = token);
    };
    let by_map: Change = |model| {
        edit(&model.join("tokenizer_config.json"), |config| config["pad_token"] = Value::Null);
        edit(&model.join("special_tokens_map.json"), |map| map["pad_token"] = json!({"content": "[SEP]"}));
    };
    for (change, token, id) in [(take_away, "[PAD]", 0), (by_config, "[MASK]", 4), (by_map, "[SEP]", 3)] {
        let sandbox = Sandbox::new();
        change(&sandbox.model("sentence_embedding"));
        build(&sandbox, &["model"]).ok();
        let (padding, _) = tokenizer(&open(&sandbox));
        assert_eq!((&padding["pad_token"], &padding["pad_id"]), (&json!(token), &json!(id)));
    }
}

/// The runtime refuses such a file, so nothing can be tried.
#[test]
fn a_transform_is_stored_and_not_tried() {
    let sandbox = Sandbox::new();
    sandbox.model("sequence_classification");
    let file = "encoderfile:
  path: model
  transform: 'function Postprocess(x) return x end'
  lua_libs: [math]
";
    fs::write(sandbox.path("encoderfile.yml"), file).unwrap();
    let mut command = sandbox.command();
    command.args(["build", "-f", "encoderfile.yml", "-o", "out", "--base-binary-path"]).arg(runtime());
    let said = Said::from(command.output().unwrap()).ok();
    assert!(said.stderr.contains("the transform is stored, but"), "{}", said.stderr);
    let bytes = open(&sandbox).read(ArtifactKind::Transform).unwrap();
    let transform = encoderfile_format::Transform::decode(&bytes).unwrap();
    assert_eq!(transform.source, "function Postprocess(x) return x end");
    assert_eq!(transform.libraries, Some(vec!["math".to_owned()]));
}
