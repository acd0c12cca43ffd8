//! A manifest that is read, written on another base binary, and read again: nothing is lost.
#![no_main]

use std::fs::File;
use std::path::PathBuf;
use std::sync::LazyLock;

use encoderfile_format::{Artifact, Base, Description, Encoderfile, Footer, Payload, Tool, write};
use encoderfile_fuzz::{file, tell};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

const OLD_BASE: &[u8] = b"a base binary";
/// What lies between manifest and footer.
const ARTIFACTS: &[u8] = &[0; 4096];

static FOLDER: LazyLock<TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("there is a temporary folder"));
static BASE: LazyLock<(PathBuf, File)> = LazyLock::new(|| {
    let path = FOLDER.path().join("base");
    std::fs::write(&path, b"another base binary").expect("the folder is writable");
    let file = File::open(&path).expect("it was just written");
    (path, file)
});

fuzz_target!(|bytes: &[u8]| {
    let footer = Footer { manifest_offset: OLD_BASE.len() as u64, manifest_length: bytes.len() as u64 };
    let file = file(&[OLD_BASE, bytes, ARTIFACTS, &footer.encode()].concat());
    let file = match Encoderfile::open(file) {
        Ok(file) => file,
        Err(error) => return tell(&error),
    };
    let writer = Tool { name: "fuzz".to_owned(), version: "1".to_owned() };
    let output = FOLDER.path().join("output");
    let payload = Payload::of(&file, &output, writer, true).expect("few files are open");
    let (path, base) = &*BASE;
    let (target, version) = ("x86_64-unknown-linux-gnu".to_owned(), "0.1.0".to_owned());
    let base = Base { path, file: base, target, version, key_id: None, expected: None };
    let draft = match write(&base, &payload, &output) {
        Ok(draft) => draft,
        // A reader is kinder: artifacts may be empty.
        Err(error) => return tell(&error),
    };
    let again = draft.open().expect("what is written is read");
    assert_eq!(again.manifest().writer.as_ref(), Some(&payload.writer));
    assert_eq!(in_order(&again.manifest().description), in_order(&file.manifest().description));
    assert_eq!(contents(&again), contents(&file));
    assert!(again.check_manifest().is_ok());
});

/// What is unknown is written in the order of the numbers.
fn in_order(description: &Description) -> Description {
    let mut description = description.clone();
    description.unknown_fields.sort_by_key(|field| field.number);
    description
}

/// All of the artifacts but their places, in the order of the numbers.
fn contents(file: &Encoderfile) -> Vec<Artifact> {
    let mut artifacts = file.manifest().artifacts.clone();
    artifacts.sort_by_key(|artifact| (artifact.kind, artifact.offset));
    for artifact in &mut artifacts {
        artifact.offset = 0;
    }
    artifacts
}
