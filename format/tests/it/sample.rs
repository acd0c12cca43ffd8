//! Small files, written by the crate or put together by hand.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use encoderfile_format::{
    ArtifactKind, Base, Description, Digest, Encoderfile, Error, ModelType, Part, Payload, Tool, write,
};

use crate::protobuf;

pub(crate) const BASE: &[u8] = b"a base binary";

pub(crate) fn create(path: &Path, bytes: &[u8]) -> File {
    std::fs::write(path, bytes).unwrap();
    File::open(path).unwrap()
}

/// Opens bytes as a file that has no name.
pub(crate) fn open(bytes: &[u8]) -> Result<Encoderfile, Error> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Encoderfile::open(file)
}

pub(crate) fn base<'a>(path: &'a Path, file: &'a File) -> Base<'a> {
    Base {
        path,
        file,
        target: "x86_64-unknown-linux-gnu".to_owned(),
        version: "0.1.0".to_owned(),
        key_id: Some("0123456789ABCDEF".to_owned()),
        expected: None,
    }
}

pub(crate) fn payload(artifacts: &[(ArtifactKind, &[u8])]) -> Payload {
    Payload {
        description: Description::new(ModelType::Embedding, "tiny", "1"),
        writer: Tool { name: "encoderfile".to_owned(), version: "0.1.0".to_owned() },
        parts: artifacts.iter().map(|(kind, bytes)| part(*kind, bytes)).collect(),
    }
}

/// An artifact in memory, with a name if it needs one.
pub(crate) fn part(kind: ArtifactKind, bytes: &[u8]) -> Part {
    let name = kind.is_repeated().then(|| format!("{kind}.bin"));
    Part { name, ..Part::bytes(kind, bytes.to_vec()) }
}

/// The bytes of the file that the crate writes of a base binary and a payload.
pub(crate) fn written(base_bytes: &[u8], payload: &Payload) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("base");
    let file = create(&path, base_bytes);
    let draft = write(&base(&path, &file), payload, &folder.path().join("out")).unwrap();
    std::fs::read(draft.path()).unwrap()
}

/// A file of some hundred bytes, without weights and so without their padding.
pub(crate) fn small() -> Vec<u8> {
    let artifacts: &[(ArtifactKind, &[u8])] = &[
        (ArtifactKind::ModelConfig, b"{\"model_type\":\"bert\"}"),
        (ArtifactKind::Tokenizer, b"{\"tokenizer\":{},\"config\":{}}"),
    ];
    written(BASE, &payload(artifacts))
}

pub(crate) fn footer(offset: u64, length: u64) -> Vec<u8> {
    let mut bytes = b"ENCFILE\0\x01\0\0\0".to_vec();
    bytes.extend_from_slice(&offset.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&[1, 0, 0, 0]);
    bytes
}

/// Base, manifest, whatever follows, and a footer that tells the truth.
pub(crate) fn assembled(manifest: &[u8], rest: &[u8]) -> Vec<u8> {
    let footer = footer(BASE.len() as u64, manifest.len() as u64);
    [BASE, manifest, rest, &footer].concat()
}

/// An artifact's field, the offset counting from the manifest.
pub(crate) fn artifact(number: u32, offset: u64, content: &[u8]) -> Vec<u8> {
    raw_artifact(number, offset, content.len() as u64, Digest::of(content).as_bytes())
}

pub(crate) fn raw_artifact(number: u32, offset: u64, length: u64, sha256: &[u8]) -> Vec<u8> {
    let message =
        [protobuf::fixed64(1, offset), protobuf::fixed64(2, length), protobuf::bytes(3, sha256)].concat();
    protobuf::bytes(number, &message)
}

/// An artifact's field with the name of a file.
pub(crate) fn named_artifact(number: u32, offset: u64, content: &[u8], name: &str) -> Vec<u8> {
    let sha256 = Digest::of(content);
    let message = [
        protobuf::fixed64(1, offset),
        protobuf::fixed64(2, content.len() as u64),
        protobuf::bytes(3, sha256.as_bytes()),
        protobuf::bytes(4, name.as_bytes()),
    ];
    protobuf::bytes(number, &message.concat())
}
