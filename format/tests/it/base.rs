//! Which files can serve as base binaries.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use encoderfile_format::{
    ArtifactKind, BaseError, BaseFacts, Container, FORMAT_VERSION, Stamp, inspect_base, write,
};

use crate::sample::{base, payload};

const ARCHITECTURE: &str = std::env::consts::ARCH;

fn system() -> &'static str {
    if cfg!(target_os = "macos") { "apple-darwin" } else { "unknown-linux-gnu" }
}

fn stamp(target: String) -> Stamp {
    Stamp {
        version: "0.1.0".to_owned(),
        target,
        format_versions: vec![FORMAT_VERSION],
        onnxruntime_version: "1.23.2".to_owned(),
    }
}

/// This very program, which is a real executable, with something behind it.
fn executable(path: &Path, appended: &[u8]) -> File {
    fs::copy(std::env::current_exe().unwrap(), path).unwrap();
    File::options().append(true).open(path).unwrap().write_all(appended).unwrap();
    File::open(path).unwrap()
}

fn inspect(appended: &[u8]) -> Result<BaseFacts, BaseError> {
    let folder = tempfile::tempdir().unwrap();
    inspect_base(&executable(&folder.path().join("base"), appended))
}

#[test]
fn an_executable_without_a_stamp_is_refused() {
    // The scanner's own magic is in this program, and is no stamp.
    assert!(matches!(inspect(b""), Err(BaseError::NoStamp)));
    let mut damaged = stamp(format!("{ARCHITECTURE}-{}", system())).encode();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(inspect(&damaged), Err(BaseError::NoStamp)));
}

#[test]
fn a_stamped_executable_is_a_base_binary() {
    let stamp = stamp(format!("{ARCHITECTURE}-{}", system()));
    let facts = inspect(&stamp.encode()).unwrap();
    let container = if cfg!(target_os = "macos") { Container::MachO } else { Container::Elf };
    assert_eq!(facts.container, container);
    assert_eq!(facts.architecture.to_string(), ARCHITECTURE);
    assert_eq!(facts.stamp, stamp);
}

/// Whoever builds a runtime for another libc may use it.
#[test]
fn a_runtime_for_another_libc_is_a_base_binary() {
    if cfg!(target_os = "linux") {
        let stamp = stamp(format!("{ARCHITECTURE}-unknown-linux-musl"));
        assert_eq!(inspect(&stamp.encode()).unwrap().stamp, stamp);
    }
}

#[test]
fn a_stamp_for_another_target_is_refused() {
    let other_architecture = if ARCHITECTURE == "x86_64" { "aarch64" } else { "x86_64" };
    let other_system = if cfg!(target_os = "macos") { "unknown-linux-gnu" } else { "apple-darwin" };
    let targets = [
        format!("{other_architecture}-{}", system()),
        format!("{ARCHITECTURE}-{other_system}"),
        String::new(),
    ];
    for target in targets {
        let error = inspect(&stamp(target.clone()).encode()).unwrap_err();
        assert!(matches!(&error, BaseError::StampMismatch { target: t, .. } if *t == target), "{error:?}");
    }
}

#[test]
fn a_runtime_that_reads_other_formats_is_refused() {
    let future = Stamp { format_versions: vec![2, 3], ..stamp(format!("{ARCHITECTURE}-{}", system())) };
    let error = inspect(&future.encode()).unwrap_err();
    assert!(matches!(error, BaseError::FormatVersion { found } if found == [2, 3]));
}

#[test]
fn a_base_binary_with_a_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("base");
    let file = executable(&path, &stamp(format!("{ARCHITECTURE}-{}", system())).encode());
    assert!(inspect_base(&file).is_ok());
    let payload = payload(&[(ArtifactKind::Tokenizer, b"{}")]);
    let draft = write(&base(&path, &file), &payload, &folder.path().join("out")).unwrap();
    let written = File::open(draft.path()).unwrap();
    assert!(matches!(inspect_base(&written), Err(BaseError::HasPayload)));
    // One that was damaged still is no base binary.
    let mut bytes = fs::read(draft.path()).unwrap();
    let version = bytes.len() - 32 + 8;
    bytes[version] = 9;
    let damaged = folder.path().join("damaged");
    fs::write(&damaged, bytes).unwrap();
    let damaged = File::open(damaged).unwrap();
    assert!(matches!(inspect_base(&damaged), Err(BaseError::HasPayload)));
}

#[test]
fn what_is_no_executable_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let stamp = stamp(format!("{ARCHITECTURE}-{}", system())).encode();
    for bytes in [&b""[..], b"#!/bin/sh\n", b"\x7fELF", &stamp] {
        let path = folder.path().join("base");
        fs::write(&path, bytes).unwrap();
        let error = inspect_base(&File::open(&path).unwrap()).unwrap_err();
        assert!(matches!(error, BaseError::NotExecutable), "{error:?}");
    }
    for path in [folder.path(), Path::new("/dev/null")] {
        let error = inspect_base(&File::open(path).unwrap()).unwrap_err();
        assert!(matches!(error, BaseError::NotExecutable), "{error:?}");
    }
}
