//! `tokenizer.json`, a zero byte, the padding, another zero byte, the truncation: edited, and brought back.
#![no_main]

use encoderfile_format::{Edit, TokenizerArtifact, TokenizerSettings};
use encoderfile_fuzz::tell;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let mut parts = text.split('\0');
    let original = parts.next().unwrap_or_default();
    // Settings are JSON of this program's making, so what is none of it is left out.
    let mut raw = || {
        let json = format!(r#"{{"padding":{},"truncation":null}}"#, parts.next()?);
        serde_json::from_str::<TokenizerSettings>(&json).ok()?.padding
    };
    let settings = TokenizerSettings { padding: raw(), truncation: raw() };
    let (artifact, edits) = match TokenizerArtifact::new(original, settings) {
        Ok(made) => made,
        Err(error) => return tell(&error),
    };
    assert_eq!(artifact.original(&edits).as_deref(), Some(original.as_bytes()));
    let stored = artifact.to_json();
    let again = TokenizerArtifact::from_json(&stored).expect("what is written is read");
    assert_eq!(again.to_json(), stored);
    assert_eq!(again.original(&edits).as_deref(), Some(original.as_bytes()));

    // The edits of a file that was changed.
    let moved =
        |by: u64| edits.iter().map(move |edit| Edit { offset: edit.offset.wrapping_add(by), ..edit.clone() });
    for by in [1, u64::MAX, 1 << 63] {
        let _ = artifact.original(&moved(by).collect::<Vec<_>>());
    }
    let longer = edits.iter().map(|edit| Edit { length: u64::MAX - edit.offset, ..edit.clone() });
    let _ = artifact.original(&longer.collect::<Vec<_>>());
});

/// Reads the bytes as the artifact.
fn read(bytes: &[u8]) {
    let artifact = match TokenizerArtifact::from_json(bytes) {
        Ok(artifact) => artifact,
        Err(error) => return tell(&error),
    };
    assert_eq!(artifact.original(&[]).as_deref(), Some(artifact.tokenizer.get().as_bytes()));
    let stored = artifact.to_json();
    let again = TokenizerArtifact::from_json(&stored).expect("what is written is read");
    assert_eq!(again.to_json(), stored);
}
