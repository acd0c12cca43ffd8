//! Faults that were found once, each named.

use std::fs;
use std::process::Command;

use crate::sandbox::{Release, Said, Sandbox, runtime};

fn build(sandbox: &Sandbox, arguments: &[&str]) -> Said {
    let mut command = sandbox.command();
    command.args(["build", "model", "--base-binary-path"]).arg(runtime()).args(arguments);
    command.output().unwrap().into()
}

/// Files of the user that merely look temporary were removed.
#[test]
fn the_users_files_beside_the_output_stay() {
    let sandbox = Sandbox::new();
    sandbox.model("embedding");
    for name in [".out.notes.tmp", ".out.encoderfile.tmp", ".out.abcdef.encoderfile-partial.bak"] {
        fs::write(sandbox.path(name), "precious").unwrap();
    }
    build(&sandbox, &["-o", "out"]).ok();
    assert_eq!(sandbox.leftovers().len(), 4);
}

/// A name with a slash was taken for a path, an empty one gave a hidden file.
#[test]
fn a_name_is_no_path() {
    let sandbox = Sandbox::new();
    sandbox.model("embedding");
    build(&sandbox, &["--name", "../org/model"]).ok();
    assert_eq!(sandbox.leftovers(), ["..-org-model.encoderfile"]);
    for name in ["", " ", "a\u{1b}[31mb"] {
        build(&sandbox, &["--name", name]).failed(2, &["a model cannot be named", "--name"]);
    }
}

/// A limit that no text fits into was only noticed by the new file itself.
#[test]
fn a_limit_that_no_text_fits_into_is_refused() {
    for limit in [0, 1, 2] {
        let sandbox = Sandbox::new();
        let model = sandbox.model("sentence_embedding");
        let settings = format!("{{\"max_seq_length\": {limit}}}");
        fs::write(model.join("sentence_bert_config.json"), settings).unwrap();
        build(&sandbox, &["-o", "out", "--no-check"])
            .failed(1, &[&format!("{limit} tokens are too few"), "sentence_bert_config.json", "hint: "]);
        assert_eq!(sandbox.leftovers(), [""; 0]);
    }
}

/// Opening a pipe waits for its writer.
#[test]
fn a_pipe_is_no_model() {
    let sandbox = Sandbox::new();
    let weights = sandbox.model("embedding").join("model.onnx");
    fs::remove_file(&weights).unwrap();
    assert!(Command::new("mkfifo").arg(&weights).status().unwrap().success());
    build(&sandbox, &["-o", "out"]).failed(1, &["cannot read `model/model.onnx`", "not a regular file"]);
    fs::remove_file(&weights).unwrap();
    fs::create_dir(&weights).unwrap();
    build(&sandbox, &["-o", "out"]).failed(1, &["cannot read `model/model.onnx`", "is a directory"]);
}

/// A padding token of -1, which stands for none, refused the whole model.
#[test]
fn numbers_that_mean_none_are_no_fault() {
    let sandbox = Sandbox::new();
    let path = sandbox.model("embedding").join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["pad_token_id"] = (-1).into();
    config["image_size"] = serde_json::json!([224, 224]);
    fs::write(&path, config.to_string()).unwrap();
    build(&sandbox, &["-o", "out"]).ok();
}

/// The positions of `RoBERTa` models begin behind the padding token.
#[test]
fn positions_that_no_text_can_have_are_not_counted() {
    let sandbox = Sandbox::new();
    let model = sandbox.model("embedding");
    let path = model.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["model_type"] = "roberta".into();
    config["pad_token_id"] = 1.into();
    config["max_position_embeddings"] = 50.into();
    fs::write(&path, config.to_string()).unwrap();
    let said = build(&sandbox, &["-o", "out"]).ok();
    assert!(said.stderr.contains("Limit 48 tokens (config.json)"), "{}", said.stderr);
}

/// The command that a hint names looked into another cache, at another source.
#[test]
fn the_command_in_a_hint_works_as_it_stands() {
    let sandbox = Sandbox::new();
    sandbox.model("embedding");
    let dist = Release::get().dist();
    let key = Release::get().public_key();
    let mut command = sandbox.command();
    command.env_remove("ENCODERFILE_TRUSTED_KEYS").env_remove("ENCODERFILE_CACHE_DIR");
    command.args(["build", "model", "--no-download", "--cache-dir", "a cache", "--source"]).arg(&dist);
    let said = Said::from(command.arg("--trusted-key").arg(&key).output().unwrap()).failed(3, &["hint: "]);
    let hinted = said.stderr.split('`').find(|part| part.starts_with("encoderfile base fetch")).unwrap();

    let mut shell = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_encoderfile");
    shell.env_clear().env("HOME", sandbox.path("home")).current_dir(sandbox.path(""));
    shell.args(["-c", &hinted.replacen("encoderfile", program, 1)]);
    Said::from(shell.output().unwrap()).ok();
    command.args(["-o", "out"]);
    Said::from(command.output().unwrap()).ok();
}

/// A name in a foreign file could write to the terminal as it liked.
#[test]
fn a_foreign_name_does_not_reach_the_terminal_as_it_is() {
    let sandbox = Sandbox::new();
    let file = sandbox.build("embedding");
    let mut bytes = fs::read(&file).unwrap();
    let base = fs::metadata(runtime()).unwrap().len();
    let at = usize::try_from(base).unwrap();
    // Field 2, the name, follows the two bytes of field 1.
    assert_eq!(&bytes[at + 4..at + 9], b"embed");
    bytes[at + 4..at + 9].copy_from_slice(b"\x1b[31m");
    fs::write(&file, bytes).unwrap();
    let said = sandbox.run(["inspect", "model.encoderfile"]).ok();
    assert!(!said.stdout.contains('\u{1b}') && said.stdout.contains("\\u{1b}[31m"), "{}", said.stdout);
}

/// Footer and manifest are as much a part of the file as the rest.
#[test]
fn damage_that_keeps_a_file_from_being_read_is_damage() {
    let sandbox = Sandbox::new();
    let file = sandbox.build("embedding");
    let bytes = fs::read(&file).unwrap();
    for from_end in [20, 12, 4] {
        let mut damaged = bytes.clone();
        let at = damaged.len() - from_end;
        damaged[at] ^= 0x80;
        fs::write(&file, damaged).unwrap();
        sandbox.run(["verify", "model.encoderfile"]).failed(4, &["cannot be read as an encoderfile"]);
    }
}

/// An encoderfile without its end was taken for a base binary.
#[test]
fn a_cut_encoderfile_is_no_base_binary() {
    let sandbox = Sandbox::new();
    let file = sandbox.build("embedding");
    let bytes = fs::read(&file).unwrap();
    fs::write(sandbox.path("cut"), &bytes[..bytes.len() - 5]).unwrap();
    sandbox.run(["inspect", "cut"]).failed(4, &["`cut` is damaged: its end is missing", "hint: "]);
    sandbox.model("embedding");
    sandbox
        .run(["build", "model", "-o", "out", "--base-binary-path", "cut"])
        .failed(4, &["cannot use `cut` as a base binary", "whose end is missing or damaged"]);
}
