//! Encoderfiles out of the built base binary and a model of `testing/models`.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use encoderfile_format::{
    ArtifactKind, Base, Content, Description, ModelConfig, ModelType, Part, Payload, SentencePooling,
    TokenizerArtifact, TokenizerSettings, Tool,
};
use serde_json::Value;
use serde_json::value::to_raw_value;
use tempfile::TempDir;

/// Held while an executable is written and while one is started: a process that another thread forks meanwhile would
/// inherit the descriptor that is open for writing, and the system refuses to run such a file.
static WRITING: Mutex<()> = Mutex::new(());

/// The files beside `model.onnx` that may hold its tensors.
const EXTERNAL_FILES: [&str; 2] = ["model.onnx_data", "model.onnx_data_1"];

/// The executable under test, without a model.
pub(crate) fn base_binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_encoderfile-runtime"))
}

/// An encoderfile in a directory of its own.
pub(crate) struct Assembled {
    pub(crate) directory: TempDir,
    pub(crate) path: PathBuf,
}

/// What `reference.json` says: texts, and what Python's onnxruntime makes of them.
pub(crate) struct Reference {
    pub(crate) inputs: Vec<String>,
    pub(crate) results: Vec<Value>,
}

pub(crate) fn model_folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testing/models").join(name)
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

pub(crate) fn reference(name: &str) -> Reference {
    let reference = json(&model_folder(name).join("reference.json"));
    let inputs = reference["inputs"].as_array().unwrap();
    Reference {
        inputs: inputs.iter().map(|input| input.as_str().unwrap().to_owned()).collect(),
        results: reference["results"].as_array().unwrap().clone(),
    }
}

/// An encoderfile of a model, as `encoderfile build` makes it.
pub(crate) fn assemble(model: &str) -> Assembled {
    assemble_with(model, |_| {})
}

/// The same, with a change.
pub(crate) fn assemble_with(model: &str, change: impl FnOnce(&mut Payload)) -> Assembled {
    let folder = model_folder(model);
    let reference = json(&folder.join("reference.json"));
    let model_type: ModelType = reference["task"].as_str().unwrap().parse().unwrap();
    let raw = |value: Value| Some(to_raw_value(&value).unwrap());
    let tokenizer_json = fs::read_to_string(folder.join("tokenizer.json")).unwrap();
    let settings = TokenizerSettings {
        padding: raw(serde_json::json!({
            "strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"
        })),
        truncation: raw(serde_json::json!({
            "direction": "Right", "max_length": reference["max_length"], "strategy": "LongestFirst", "stride": 0
        })),
    };
    let (tokenizer, _) = TokenizerArtifact::new(&tokenizer_json, settings).unwrap();
    let config = ModelConfig::from_json(&fs::read(folder.join("config.json")).unwrap()).unwrap().to_json();
    let weights = folder.join("model.onnx");
    let mut description = Description::new(model_type, model, "1.0");
    if model_type == ModelType::SentenceEmbedding {
        description.sentence_pooling =
            Some(SentencePooling { normalize: true, ..SentencePooling::default() });
    }
    let weights = Part {
        kind: ArtifactKind::Weights,
        name: Some("model.onnx".to_owned()),
        content: Content::File { file: File::open(&weights).unwrap(), path: weights },
    };
    let mut parts = vec![
        weights,
        Part::bytes(ArtifactKind::ModelConfig, config),
        Part::bytes(ArtifactKind::Tokenizer, tokenizer.to_json()),
    ];
    for name in EXTERNAL_FILES.into_iter().filter(|name| folder.join(name).exists()) {
        let bytes = fs::read(folder.join(name)).unwrap();
        let part = Part::bytes(ArtifactKind::ExternalData, bytes);
        parts.push(Part { name: Some(name.to_owned()), ..part });
    }
    let writer = Tool { name: "test".to_owned(), version: "0".to_owned() };
    let mut payload = Payload { description, writer, parts };
    change(&mut payload);
    write(&payload)
}

/// Puts a payload on the base binary under test.
pub(crate) fn write(payload: &Payload) -> Assembled {
    let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("model.encoderfile");
    let base = Base {
        path: base_binary(),
        file: &File::open(base_binary()).unwrap(),
        target: String::new(),
        version: String::new(),
        key_id: None,
        expected: None,
    };
    writing(|| encoderfile_format::write(&base, payload, &path).unwrap().persist().unwrap());
    Assembled { directory, path }
}

/// A model with a number below 128 wherever it has a dimension of that name, at the same length.
pub(crate) fn fix_dimension(model: &[u8], name: &str, size: u8) -> Vec<u8> {
    // `dim_param`, field 2, becomes `dim_value`, field 1, given as often as it takes to fill the place: the last one counts.
    let named = [&[0x12, u8::try_from(name.len()).unwrap()], name.as_bytes()].concat();
    let mut fixed = [0x08, size].repeat(named.len() / 2);
    if named.len() % 2 == 1 {
        // A number may be written with a byte more than it needs.
        fixed.pop();
        fixed.extend([size | 0x80, 0x00]);
    }
    let mut model = model.to_vec();
    let mut found = 0;
    while let Some(position) = model.windows(named.len()).position(|window| window == named) {
        model[position..position + named.len()].copy_from_slice(&fixed);
        found += 1;
    }
    assert_ne!(found, 0, "no dimension `{name}`");
    model
}

/// Replaces the bytes of an artifact.
pub(crate) fn replace(payload: &mut Payload, kind: ArtifactKind, bytes: Vec<u8>) {
    payload.parts.retain(|part| part.kind != kind);
    payload.parts.push(Part::bytes(kind, bytes));
}

/// Does something to an executable's file, see [`WRITING`].
pub(crate) fn writing<T>(change: impl FnOnce() -> T) -> T {
    let _guard = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    change()
}

/// Starts a command, see [`WRITING`].
pub(crate) fn spawn(command: &mut Command) -> Child {
    let _guard = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    command.spawn().unwrap()
}

/// Runs a command to its end, with `input` on its standard input.
pub(crate) fn run_with_input(command: &mut Command, input: &[u8]) -> Output {
    let mut child = spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // Whoever stops early does not read it all.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    })
}

pub(crate) fn run(command: &mut Command) -> Output {
    run_with_input(command, b"")
}

impl Assembled {
    pub(crate) fn command(&self) -> Command {
        Command::new(&self.path)
    }

    /// Runs `infer` with arguments, expecting success without a word on standard error.
    pub(crate) fn infer(&self, arguments: &[&str]) -> Value {
        let output = run(self.command().arg("infer").args(arguments));
        assert_eq!(text(&output.stderr), "");
        answer(&output)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// The document that a successful run printed.
pub(crate) fn answer(output: &Output) -> Value {
    assert!(output.status.success(), "{}\n{}", output.status, text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn results(output: &Output) -> Vec<Value> {
    answer(output)["results"].as_array().unwrap().clone()
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Asserts an exit code and what standard error says, to the letter. `{path}` stands for the file's path.
#[track_caller]
pub(crate) fn assert_fails(output: &Output, code: i32, expected: &str) {
    assert_eq!(text(&output.stderr), expected);
    assert_eq!(output.status.code(), Some(code));
}

/// Compares two JSON values, numbers within 1e-5.
#[track_caller]
pub(crate) fn assert_close(found: &Value, expected: &Value) {
    assert_within(found, expected, 1e-5);
}

/// Compares two JSON values, numbers within a tolerance.
#[track_caller]
pub(crate) fn assert_within(found: &Value, expected: &Value, tolerance: f64) {
    if let Err(difference) = close(found, expected, tolerance) {
        panic!("{difference}");
    }
}

fn close(found: &Value, expected: &Value, tolerance: f64) -> Result<(), String> {
    match (found, expected) {
        (Value::Number(found), Value::Number(expected)) => {
            let (found, expected) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
            let is_close = (found - expected).abs() <= tolerance;
            is_close.then_some(()).ok_or_else(|| format!("{found} is not {expected}"))
        }
        (Value::Array(found), Value::Array(expected)) if found.len() == expected.len() => {
            let mut pairs = found.iter().zip(expected);
            pairs.try_for_each(|(found, expected)| close(found, expected, tolerance))
        }
        (Value::Object(found), Value::Object(expected)) if found.len() == expected.len() => {
            expected.iter().try_for_each(|(key, expected)| match found.get(key) {
                Some(found) => close(found, expected, tolerance).map_err(|error| format!("{key}: {error}")),
                None => Err(format!("no {key}")),
            })
        }
        _ if found == expected => Ok(()),
        _ => Err(format!("{found} is not {expected}")),
    }
}

/// Reads one line, as someone who waits for an answer does.
pub(crate) fn read_line(from: &mut impl Read) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while from.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}
