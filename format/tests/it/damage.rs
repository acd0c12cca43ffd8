//! No byte of a file can change unnoticed.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use encoderfile_format::{
    ArtifactKind, Description, Digest, Edit, Encoderfile, Error, ModelType, Outcome, Part, Payload,
    PoolingMode, Prompt, SentencePooling, Setting, SourceFile, Subject,
};
use proptest::prelude::*;

use crate::memory::peak;
use crate::round_trip::any_payload;
use crate::sample::{BASE, open, payload, small, written};

const MASKS: [u8; 3] = [0x01, 0x80, 0xff];

fn is_noticed(file: &File) -> bool {
    match Encoderfile::open(file.try_clone().unwrap()) {
        Err(_) => true,
        Ok(file) => file.verify().unwrap().iter().any(encoderfile_format::Finding::is_damage),
    }
}

fn assert_flips_are_noticed(bytes: &[u8], positions: impl Iterator<Item = usize>) {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(bytes, 0).unwrap();
    assert!(!is_noticed(&file), "the file is intact");
    let mut count = 0;
    for position in positions {
        for mask in MASKS {
            file.write_all_at(&[bytes[position] ^ mask], position as u64).unwrap();
            assert!(is_noticed(&file), "byte {position} with mask {mask:#04x}");
            count += 1;
        }
        file.write_all_at(&bytes[position..=position], position as u64).unwrap();
    }
    assert!(count > 1000, "only {count} flips");
}

#[test]
fn every_flipped_byte_is_noticed() {
    let bytes = small();
    assert_flips_are_noticed(&bytes, 0..bytes.len());
}

/// A payload with all that a description can have, and artifacts of all kinds but those that are mapped.
fn described() -> Payload {
    let text = str::to_owned;
    let setting = |key, value, source| Setting { key: text(key), value: text(value), source: text(source) };
    let named = |name, bytes: &[u8]| Part {
        name: Some(text(name)),
        ..Part::bytes(ArtifactKind::Source, bytes.to_vec())
    };
    let kinds = [
        ArtifactKind::Transform,
        ArtifactKind::ModelConfig,
        ArtifactKind::Tokenizer,
        ArtifactKind::ImagePreprocessor,
        ArtifactKind::Other(1234),
    ];
    let mut parts: Vec<_> = kinds.into_iter().map(|kind| Part::bytes(kind, b"content".to_vec())).collect();
    parts.extend([named("config.json", b"{}"), named("1_Pooling/config.json", b"[]")]);
    let description = Description {
        sentence_pooling: Some(SentencePooling {
            modes: vec![PoolingMode::Cls, PoolingMode::Mean],
            normalize: true,
            exclude_prompt: true,
        }),
        prompts: vec![
            Prompt { name: text("query"), text: text("query: ") },
            Prompt { name: text("none"), text: String::new() },
        ],
        default_prompt_name: Some(text("query")),
        settings: vec![
            setting("tokenizer.max_length", "256", "tokenizer.json"),
            setting("normalize", "true", Setting::GIVEN),
        ],
        sources: vec![SourceFile { name: text("tokenizer.json"), length: 70_000, sha256: Digest::of(b"") }],
        tokenizer_edits: vec![
            Edit { offset: 300, length: 4, replacement: b"null".to_vec() },
            Edit { offset: 700, length: 0, replacement: b"\n".to_vec() },
        ],
        ..Description::new(ModelType::SentenceEmbedding, "tiny", "1.2.3")
    };
    Payload { description, parts, ..payload(&[]) }
}

#[test]
fn every_flipped_bit_of_a_described_file_is_noticed() {
    let bytes = written(BASE, &described());
    assert_eq!(open(&bytes).unwrap().manifest().description, described().description);
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    for (position, &byte) in bytes.iter().enumerate() {
        for bit in 0..8 {
            file.write_all_at(&[byte ^ 1 << bit], position as u64).unwrap();
            assert!(is_noticed(&file), "bit {bit} of byte {position}");
        }
        file.write_all_at(&[byte], position as u64).unwrap();
    }
    assert!(!is_noticed(&file));
}

#[test]
fn a_byte_that_is_left_out_is_noticed() {
    let bytes = written(BASE, &described());
    for position in 0..bytes.len() {
        let shorter = [&bytes[..position], &bytes[position + 1..]].concat();
        assert!(open(&shorter).map_or(true, |file| is_noticed(file.file())), "byte {position}");
        assert!(matches!(open(&bytes[..position]), Err(Error::NoPayload)), "cut to {position}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn damage_of_any_file_is_noticed_in_little_memory(
        payload in any_payload(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1..=u8::MAX), 24),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 8),
    ) {
        let bytes = written(BASE, &payload);
        let file = open(&bytes).unwrap();
        prop_assert!(!is_noticed(file.file()));
        let file = file.file();
        // Half of the flips are where they do the most: in the manifest and in the footer.
        let end = BASE.len() + open(&bytes).unwrap().manifest_bytes().len();
        for (count, (index, mask)) in flips.into_iter().enumerate() {
            let position = match count % 4 {
                0 | 1 => index.index(bytes.len()),
                2 => BASE.len() + index.index(end - BASE.len()),
                _ => bytes.len() - 1 - index.index(32),
            };
            file.write_all_at(&[bytes[position] ^ mask], position as u64).unwrap();
            let (noticed, memory) = peak(|| is_noticed(file));
            prop_assert!(noticed, "byte {} with mask {:#04x}", position, mask);
            prop_assert!(memory < 1 << 20, "byte {} with mask {:#04x}: {} bytes", position, mask, memory);
            file.write_all_at(&bytes[position..=position], position as u64).unwrap();
        }
        // Cut at the end, and with the footer back in its place.
        for (start, length) in cuts {
            let start = start.index(bytes.len());
            let error = open(&bytes[..start]).err();
            prop_assert!(matches!(error, Some(Error::NoPayload)), "cut to {}: {:?}", start, error);
            let length = 1 + length.index(bytes.len() - start);
            let rest = [&bytes[..start], &bytes[start + length..]].concat();
            let is_noticed = open(&rest).map_or(true, |file| is_noticed(file.file()));
            prop_assert!(is_noticed, "without {} bytes from {} on", length, start);
        }
    }
}

#[test]
fn every_flipped_byte_around_the_weights_is_noticed() {
    let artifacts: &[(ArtifactKind, &[u8])] = &[
        (ArtifactKind::Weights, &[7; 300]),
        (ArtifactKind::Tokenizer, b"{}"),
        (ArtifactKind::Other(1234), b"from the future"),
    ];
    let bytes = written(BASE, &payload(artifacts));
    // The padding is the same throughout: some of it stands for all of it.
    let padding = (1000..65536).step_by(509);
    assert_flips_are_noticed(&bytes, (0..1000).chain(padding).chain(65535..bytes.len()));
}

#[test]
fn damage_is_said_where_it_is() {
    let good = small();
    let file = open(&good).unwrap();
    let config = file.artifact(ArtifactKind::ModelConfig).unwrap().clone();
    let manifest = file.footer().manifest_offset;
    let subject_of = |position: u64| {
        let mut bytes = good.clone();
        bytes[usize::try_from(position).unwrap()] ^= 1;
        let findings = open(&bytes).unwrap().verify().unwrap();
        let damage: Vec<_> = findings.iter().filter(|finding| finding.is_damage()).collect();
        assert_eq!(damage.len(), 1, "{findings:?}");
        damage[0].clone()
    };
    assert_eq!(subject_of(0).subject, Subject::Base);
    let flipped_config = subject_of(config.offset);
    assert_eq!(flipped_config.subject, Subject::Artifact { kind: ArtifactKind::ModelConfig, name: None });
    assert_eq!((flipped_config.offset, flipped_config.length), (config.offset, config.length));
    // A byte of the manifest that is not an offset, a length or a digest: the last letter of the name.
    let name = manifest + 2 + 2 + 3;
    assert_eq!(subject_of(name).subject, Subject::Manifest);

    // The first gap: what follows it still counts.
    let gap = manifest + file.footer().manifest_length;
    assert!(gap < config.offset);
    let padding = subject_of(gap);
    assert_eq!(padding.subject, Subject::Padding);
    assert_eq!(padding.outcome, Outcome::NotZero { offset: gap });
    let clean = file.verify().unwrap();
    let clean = clean.iter().find(|finding| finding.subject == Subject::Padding).unwrap();
    assert_eq!(padding.length, clean.length, "all padding counts, damaged or not");
}

#[test]
fn a_damaged_artifact_is_not_handed_out() {
    let mut bytes = small();
    let artifact = open(&bytes).unwrap().artifact(ArtifactKind::Tokenizer).unwrap().clone();
    bytes[usize::try_from(artifact.offset).unwrap()] ^= 0x20;
    let file = open(&bytes).unwrap();
    let kind = ArtifactKind::Tokenizer;
    assert!(
        matches!(file.read(kind), Err(Error::ArtifactDigest { expected, .. }) if expected == artifact.sha256)
    );
    assert!(matches!(file.check(file.artifact(kind).unwrap()), Err(Error::ArtifactDigest { .. })));
    assert!(file.read(ArtifactKind::ModelConfig).is_ok());

    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("tokenizer.json");
    let error = file.extract(file.artifact(kind).unwrap(), &output).unwrap_err();
    assert!(matches!(error, encoderfile_format::WriteError::Extract(Error::ArtifactDigest { .. })));
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}
