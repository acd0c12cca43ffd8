//! A whole file: what opens is read and verified.
#![no_main]

use encoderfile_format::{Encoderfile, Footer};
use encoderfile_fuzz::{file, tell};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let footer = bytes.last_chunk().map(|end| (end, Footer::decode(end)));
    if let Some((end, Ok(footer))) = &footer {
        assert_eq!(footer.encode(), **end);
    }
    let file = match Encoderfile::open(file(bytes)) {
        Ok(file) => file,
        Err(error) => return tell(&error),
    };
    // In Mach-O, a program that signed the file again may have taken the last one's room.
    match footer {
        Some((_, Ok(footer))) => assert_eq!(footer, *file.footer()),
        _ => assert!(file.segment().is_some()),
    }
    assert_eq!(file.length(), bytes.len() as u64);
    let findings = file.verify().expect("the file stays as it is");
    let artifacts = &file.manifest().artifacts;
    // Base, manifest and padding come first, and what there is to say of a code signature last.
    let has_signature = file.segment().is_some() || file.is_behind_code_signature();
    assert_eq!(findings.len(), 3 + artifacts.len() + usize::from(has_signature));
    for (artifact, finding) in artifacts.iter().zip(&findings[3..]) {
        assert_eq!(finding.subject.to_string(), artifact.label());
        let checked = file.check(artifact);
        match file.read_artifact(artifact) {
            Ok(content) => {
                let start = usize::try_from(artifact.offset).expect("within the file");
                assert_eq!(content, bytes[start..start + content.len()]);
                assert_eq!(content.len() as u64, artifact.length);
                assert!(checked.is_ok() && !finding.is_damage());
            }
            Err(error) => {
                assert!(checked.is_err() && finding.is_damage());
                tell(&error);
            }
        }
    }
});
