//! Small files that are written part by part, and bytes that nobody's writer writes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use encoderfile_format::{ArtifactKind, Base, Description, Digest, ModelType, Part, Payload, Tool, write};

use crate::sandbox::HOST;

/// The base binary of files that nobody runs.
pub(crate) const BASE: &[u8] = b"#!/bin/sh\n";

/// A tokenizer, as it is stored, that is of no use but well-formed.
pub(crate) const TOKENIZER: &str =
    r#"{"tokenizer":{"model":{"vocab":{"a":0}}},"config":{"padding":null,"truncation":null}}"#;

/// The smallest graph that is one.
pub(crate) fn graph() -> Vec<u8> {
    let set = integer(2, 17);
    [integer(1, 8), bytes(7, &bytes(2, b"graph")), bytes(8, &set)].concat()
}

/// Everything that a file has to have, of a classification with two labels.
pub(crate) fn payload() -> Payload {
    let config = br#"{"model_type":"bert","id2label":{"0":"NO","1":"YES"}}"#;
    let mut weights = Part::bytes(ArtifactKind::Weights, graph());
    weights.name = Some("model.onnx".to_owned());
    Payload {
        description: Description::new(ModelType::SequenceClassification, "tiny", "1"),
        writer: Tool { name: "encoderfile".to_owned(), version: "0.1.0".to_owned() },
        parts: vec![
            Part::bytes(ArtifactKind::ModelConfig, config.to_vec()),
            Part::bytes(ArtifactKind::Tokenizer, TOKENIZER.as_bytes().to_vec()),
            weights,
        ],
    }
}

/// Writes a payload behind [`BASE`], which is said to be a release signed by `key_id`.
pub(crate) fn write_file(path: &Path, payload: &Payload, base_bytes: &[u8], key_id: Option<&str>) -> PathBuf {
    let base_path = path.with_extension("base");
    fs::write(&base_path, base_bytes).unwrap();
    let base = Base {
        path: &base_path,
        file: &File::open(&base_path).unwrap(),
        target: HOST.to_owned(),
        version: "0.1.0".to_owned(),
        key_id: key_id.map(str::to_owned),
        expected: None,
    };
    let path = write(&base, payload, path).unwrap().persist().unwrap();
    fs::remove_file(base_path).unwrap();
    path
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut encoded = Vec::new();
    while value >= 0x80 {
        encoded.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    encoded.push(u8::try_from(value).unwrap());
    encoded
}

/// A field of protobuf that is a number.
pub(crate) fn integer(number: u32, value: u64) -> Vec<u8> {
    [varint(u64::from(number) << 3), varint(value)].concat()
}

/// A field of protobuf that has a length.
pub(crate) fn bytes(number: u32, content: &[u8]) -> Vec<u8> {
    [varint(u64::from(number) << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

/// The place of an artifact, the offset counted from the manifest.
pub(crate) fn artifact(number: u32, offset: u64, length: u64, sha256: Digest) -> Vec<u8> {
    let fixed = |number: u8, value: u64| [vec![number << 3 | 1], value.to_le_bytes().to_vec()].concat();
    bytes(number, &[fixed(1, offset), fixed(2, length), bytes(3, sha256.as_bytes())].concat())
}

pub(crate) fn footer(manifest_offset: u64, manifest_length: u64) -> Vec<u8> {
    let numbers = [manifest_offset.to_le_bytes(), manifest_length.to_le_bytes()].concat();
    [b"ENCFILE\0\x01\0\0\0".to_vec(), numbers, vec![1, 0, 0, 0]].concat()
}
