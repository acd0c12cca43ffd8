//! What is written is read back, and lies where the specification says.

use std::fs;

use encoderfile_format::{
    ALIGNMENT, ArtifactKind, Content, Digest, Encoderfile, Footer, ModelType, Outcome, Payload, PoolingMode,
    SentencePooling, SourceFile, WEIGHTS_ALIGNMENT, write,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use crate::sample::{base, create, payload};

fn content(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    (1..longest, any::<u8>(), any::<u8>()).prop_map(|(length, start, step)| {
        let mut byte = start;
        let next = |()| {
            byte = byte.wrapping_mul(31).wrapping_add(step);
            byte
        };
        std::iter::repeat_n((), length).map(next).collect()
    })
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![prop::sample::select(vec![100, 110, 120, 130, 140]), 150_u32..18999]
}

fn kind(number: u32) -> ArtifactKind {
    let known = ArtifactKind::KNOWN.into_iter().find(|kind| kind.number() == number);
    known.unwrap_or(ArtifactKind::Other(number))
}

fn any_payload() -> impl Strategy<Value = Payload> {
    let model_type = prop_oneof![
        prop::sample::select(ModelType::KNOWN.to_vec()),
        (22..i32::MAX).prop_map(ModelType::Other),
    ];
    let modes = prop::sample::select(vec![
        PoolingMode::Cls,
        PoolingMode::Max,
        PoolingMode::Mean,
        PoolingMode::MeanSqrtLen,
        PoolingMode::WeightedMean,
        PoolingMode::LastToken,
    ]);
    let pooling =
        (vec(modes, 0..7), any::<bool>()).prop_map(|(modes, normalize)| SentencePooling { modes, normalize });
    let source = (any::<String>(), any::<u64>(), any::<[u8; 32]>()).prop_map(|(name, length, sha256)| {
        let sha256 = Digest::from(sha256);
        SourceFile { name, length, sha256 }
    });
    let texts = (any::<String>(), any::<String>());
    let artifacts = btree_map(number(), content(70_000), 0..6);
    let parts = (model_type, texts, prop::option::of(pooling), vec(source, 0..4), artifacts);
    parts.prop_map(|(model_type, (name, version), sentence_pooling, sources, artifacts)| {
        let artifacts = artifacts.into_iter();
        Payload {
            model_type,
            name,
            version,
            sentence_pooling,
            sources,
            artifacts: artifacts.map(|(number, bytes)| (kind(number), Content::Bytes(bytes))).collect(),
            ..payload(&[])
        }
    })
}

/// The bytes of each artifact, and the same payload with every second of them in a file.
fn to_files(payload: &mut Payload, folder: &std::path::Path) -> Vec<(ArtifactKind, Vec<u8>)> {
    let mut contents = Vec::new();
    for (index, (kind, content)) in payload.artifacts.iter_mut().enumerate() {
        let Content::Bytes(bytes) = &*content else { panic!("made of bytes") };
        let bytes = bytes.clone();
        if index % 2 == 0 {
            let path = folder.join(kind.to_string());
            let file = create(&path, &bytes);
            *content = Content::File { path, file };
        }
        contents.push((*kind, bytes));
    }
    contents
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_back(mut payload in any_payload(), base_bytes in content(70_000)) {
        let folder = tempfile::tempdir().unwrap();
        let base_path = folder.path().join("base");
        let base_file = create(&base_path, &base_bytes);
        let base = base(&base_path, &base_file);
        let output = folder.path().join("output");
        let contents = to_files(&mut payload, folder.path());
        write(&base, &payload, &output).unwrap().persist().unwrap();
        let bytes = fs::read(&output).unwrap();

        let file = Encoderfile::open(fs::File::open(&output).unwrap()).unwrap();
        let manifest = file.manifest();
        prop_assert_eq!(manifest.model_type, payload.model_type);
        prop_assert_eq!(&manifest.name, &payload.name);
        prop_assert_eq!(&manifest.version, &payload.version);
        prop_assert_eq!(manifest.writer.as_ref(), Some(&payload.writer));
        prop_assert_eq!(&manifest.sentence_pooling, &payload.sentence_pooling);
        prop_assert_eq!(&manifest.sources, &payload.sources);
        let provenance = manifest.base.as_ref().unwrap();
        prop_assert_eq!(&provenance.target, &base.target);
        prop_assert_eq!(&provenance.version, &base.version);
        prop_assert_eq!(&provenance.key_id, &base.key_id);
        prop_assert_eq!(provenance.sha256, Digest::of(&base_bytes));

        prop_assert_eq!(file.length(), bytes.len() as u64);
        prop_assert_eq!(file.base_length(), base_bytes.len() as u64);
        prop_assert_eq!(&bytes[..base_bytes.len()], &base_bytes);
        prop_assert_eq!(manifest.artifacts.len(), contents.len());
        let mut end = base_bytes.len() + file.manifest_bytes().len();
        for artifact in &manifest.artifacts {
            let alignment = match artifact.kind {
                ArtifactKind::Weights => WEIGHTS_ALIGNMENT,
                _ => ALIGNMENT,
            };
            prop_assert_eq!(artifact.offset, (end as u64).next_multiple_of(alignment));
            let start = usize::try_from(artifact.offset).unwrap();
            prop_assert!(bytes[end..start].iter().all(|&byte| byte == 0));
            end = usize::try_from(artifact.end()).unwrap();
            let (_, expected) = contents.iter().find(|(kind, _)| *kind == artifact.kind).unwrap();
            prop_assert_eq!(&bytes[start..end], expected);
            prop_assert_eq!(artifact.sha256, Digest::of(expected));
            prop_assert_eq!(&file.read(artifact.kind).unwrap(), expected);
            let extracted = folder.path().join("extracted");
            file.extract(artifact.kind, &extracted).unwrap();
            prop_assert_eq!(&fs::read(&extracted).unwrap(), expected);
        }
        prop_assert_eq!(end as u64 + Footer::LENGTH, file.length());
        if let Some(artifact) = manifest.artifact(ArtifactKind::Weights) {
            prop_assert_eq!(Some(artifact), manifest.artifacts.last());
        }
        for finding in file.verify().unwrap() {
            prop_assert!(matches!(finding.outcome, Outcome::Intact { .. }), "{:?}", finding);
        }

        let again = write(&base, &payload, &output).unwrap();
        prop_assert_eq!(fs::read(again.path()).unwrap(), bytes);
    }
}
