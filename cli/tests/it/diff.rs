//! `diff`: what changed between two files.

use std::fs;

use encoderfile_format::{ArtifactKind, Content, Part, Prompt, Setting, Transform, TransformType};
use serde_json::json;

use crate::parts::{BASE, bytes, integer, payload, write_file};
use crate::sandbox::Sandbox;

fn transform(source: &str) -> Part {
    let transform = Transform {
        transform_type: TransformType::Lua,
        source: source.to_owned(),
        libraries: Some(vec!["math".to_owned()]),
    };
    Part::bytes(ArtifactKind::Transform, transform.encode())
}

/// A graph with tensors: name, dimensions, raw bytes.
fn graph_with(tensors: &[(&str, u64, &[u8])]) -> Vec<u8> {
    let tensors = tensors.iter().map(|(name, dimension, raw)| {
        let tensor =
            [integer(1, *dimension), integer(2, 1), bytes(8, name.as_bytes()), bytes(9, raw)].concat();
        bytes(5, &tensor)
    });
    let graph = tensors.collect::<Vec<_>>().concat();
    [integer(1, 8), bytes(7, &graph), bytes(8, &integer(2, 17))].concat()
}

/// Two files that differ in everything that can differ.
fn two(sandbox: &Sandbox) {
    let setting = |value: &str| Setting {
        key: "tokenizer.max_length".to_owned(),
        value: value.to_owned(),
        source: "config.json".to_owned(),
    };
    let mut old = payload();
    old.description.settings.push(setting("512"));
    old.description.prompts.push(Prompt { name: "query".to_owned(), text: "Q: ".to_owned() });
    old.parts[2].content =
        Content::Bytes(graph_with(&[("gone", 1, &[0; 4]), ("grown", 1, &[0; 4]), ("same", 2, &[0; 8])]));
    old.parts.push(transform("function Postprocess(arr)\n  return arr\nend"));
    write_file(&sandbox.path("old"), &old, BASE, None);

    let mut new = payload();
    "2".clone_into(&mut new.description.version);
    new.description.settings.push(setting("256"));
    let config = br#"{"id2label":{"0":"NO","1":"MAYBE","2":"YES"}}"#;
    let tokenizer = r#"{"tokenizer":{"model":{"vocab":{"a":0,"b":1}},"added_tokens":[{"id":2,"content":"[X]"}]},"config":{"padding":null,"truncation":null}}"#;
    new.parts[0].content = Content::Bytes(config.to_vec());
    new.parts[1].content = Content::Bytes(tokenizer.into());
    new.parts[2].content =
        Content::Bytes(graph_with(&[("grown", 2, &[0; 8]), ("new", 1, &[1; 4]), ("same", 2, &[1; 8])]));
    new.parts.push(transform("function Postprocess(arr)\n  return arr:softmax(2)\nend"));
    let source =
        Part { name: Some("config.json".to_owned()), ..Part::bytes(ArtifactKind::Source, b"{}".to_vec()) };
    new.parts.push(source);
    write_file(&sandbox.path("new"), &new, b"another base", Some("0123456789ABCDEF"));
}

#[test]
fn what_changed_is_shown() {
    let sandbox = Sandbox::new();
    two(&sandbox);
    let text = sandbox.run(["diff", "old", "new"]).ok().stdout;
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    insta::assert_snapshot!("diff", text);
}

#[test]
fn what_changed_is_told_to_programs() {
    let sandbox = Sandbox::new();
    two(&sandbox);
    let report = sandbox.run(["diff", "--json", "old", "new"]).ok().json();
    assert_eq!(report["same"], false);
    let fields = report["fields"].as_array().unwrap();
    assert!(fields.contains(&json!({"field": "version", "old": "1", "new": "2"})), "{report:#}");
    assert!(fields.contains(&json!({"field": "base key", "new": "0123456789ABCDEF"})), "{report:#}");
    assert_eq!(
        report["labels"],
        json!([{"field": "label 1", "old": "YES", "new": "MAYBE"}, {"field": "label 2", "new": "YES"}])
    );
    let tokenizer = &report["tokenizer"]["change"];
    assert_eq!(tokenizer["vocabulary"], json!([1, 2]));
    assert_eq!(tokenizer["tokens_added"], json!(["[X] (2)"]));
    assert_eq!(tokenizer["keys"], json!(["added_tokens", "model"]));
    let weights = &report["weights"]["change"];
    assert_eq!(weights["added"], json!([{"name": "new", "type": "float32[1]", "length": 4}]));
    assert_eq!(weights["removed"][0]["name"], "gone");
    assert_eq!(weights["changed"][0][1], json!({"name": "grown", "type": "float32[2]", "length": 8}));
    assert_eq!(weights["alike"], 1);
    let source =
        report["artifacts"].as_array().unwrap().iter().find(|change| change["kind"] == "source").unwrap();
    assert_eq!(source["new"]["length"], 2);
    assert!(source.get("old").is_none());
}

#[test]
fn the_exit_code_is_asked_for() {
    let sandbox = Sandbox::new();
    two(&sandbox);
    fs::copy(sandbox.path("old"), sandbox.path("copy")).unwrap();
    assert_eq!(sandbox.run(["diff", "--exit-code", "old", "copy"]).ok().stdout, "no differences\n");
    assert_eq!(sandbox.run(["diff", "--json", "old", "copy"]).ok().json()["same"], true);
    let said = sandbox.run(["diff", "--exit-code", "old", "new"]);
    assert_eq!((said.code, said.stderr.as_str()), (1, ""));
    sandbox.run(["diff", "old", "missing"]).failed(1, &["cannot open `missing`"]);
}

#[test]
fn values_that_differ_are_told_from_shapes() {
    let sandbox = Sandbox::new();
    let file = |name: &str, raw: &[u8]| {
        let mut payload = payload();
        payload.parts[2].content = Content::Bytes(graph_with(&[("weight", 1, raw)]));
        write_file(&sandbox.path(name), &payload, BASE, None);
    };
    file("old", &[1; 4]);
    file("new", &[2; 4]);
    let text = sandbox.run(["diff", "old", "new"]).ok().stdout;
    assert!(text.contains("1 tensor has the same name, type and shape: values differ"), "{text}");
}

#[test]
fn only_what_is_gone_and_new_has_a_colour() {
    let sandbox = Sandbox::new();
    two(&sandbox);
    let text = sandbox.run(["diff", "--color", "always", "old", "new"]).ok().stdout;
    assert!(text.contains("\u{1b}[31m- version"), "{text:?}");
    assert!(text.contains("\u{1b}[32m+ version"), "{text:?}");
}
