//! A manifest, wherever it may stand.
#![no_main]

use encoderfile_format::{Footer, Manifest};
use encoderfile_fuzz::tell;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let length = bytes.len() as u64;
    let last = u64::MAX - Footer::LENGTH;
    // At the start of a small file, behind a base binary, and at the very end of what an offset can count.
    for (offset, end) in [(0, length + 1000), (27_009_336, 1 << 32), (last - length - 1000, last)] {
        let room = offset + length..end;
        let manifest = match Manifest::decode(bytes, offset, &room) {
            Ok(manifest) => manifest,
            Err(error) => {
                tell(&error);
                continue;
            }
        };
        let mut position = room.start;
        for artifact in &manifest.artifacts {
            assert!(artifact.offset >= position, "they overlap, or lie before the room");
            position = artifact.end();
        }
        assert!(position <= room.end);
        let description = &manifest.description;
        assert!(description.unknown_fields.iter().all(|field| field.encoded.len() == field.length));
        let prompt = description.default_prompt();
        assert!(prompt.is_none_or(|text| description.prompts.iter().any(|prompt| prompt.text == text)));
    }
});
