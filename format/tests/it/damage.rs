//! No byte of a file can change unnoticed.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use encoderfile_format::{ArtifactKind, Encoderfile, Error, Outcome, Subject};

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
