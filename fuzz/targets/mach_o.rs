//! A Mach-O image: what can be read of it, and, where a model can be put into it, that file. The input is the length of what
//! starts its first page (two bytes), that, and what follows the page.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use encoderfile_format::{
    ArtifactKind, Base, Description, Digest, Finding, ModelType, Part, Payload, Tool, check_mach_o_base,
    header_room, verify_code_signature, write,
};
use encoderfile_fuzz::{file, tell};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("there is a temporary folder"));

/// Segments start with a page, whose end holds nothing of interest.
const PAGE: usize = 0x1000;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_first_chunk() else { return };
    let (start, end) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(PAGE).min(rest.len()));
    let mut bytes = start.to_vec();
    bytes.resize(PAGE, 0);
    bytes.extend(end);
    let image = file(&bytes);
    if let Err(error) = verify_code_signature(&image) {
        tell(&error);
    }
    if let Err(error) = check_mach_o_base(&image) {
        return tell(&error);
    }
    let room = header_room(&image).expect("it was read");
    assert!(room.found >= room.needed);
    let path = PathBuf::from("base");
    let (target, version) = ("aarch64-apple-darwin".to_owned(), "0.1.0".to_owned());
    let base = Base { path: &path, file: &image, target, version, key_id: None, expected: None };
    let payload = Payload {
        description: Description::new(ModelType::Embedding, "tiny", "1"),
        writer: Tool { name: "fuzz".to_owned(), version: "1".to_owned() },
        parts: vec![Part::bytes(ArtifactKind::Tokenizer, bytes[..bytes.len() / 2].to_vec())],
    };
    let draft = match write(&base, &payload, &FOLDER.path().join("output")) {
        Ok(draft) => draft,
        Err(error) => return tell(&error),
    };
    let written = draft.open().expect("what is written is read");
    let findings = written.verify().expect("it can be read");
    assert!(!findings.iter().any(Finding::is_damage), "{findings:?}");
    let recorded = written.manifest().base.as_ref().expect("it is recorded");
    assert_eq!(recorded.sha256, Digest::of(&bytes));
    let restored = FOLDER.path().join("restored");
    written.extract_base(&restored).expect("the original is given back");
    assert_eq!(fs::read(restored).expect("it was just written"), bytes);
});
