//! What is written is read back, and lies where the specification says.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use encoderfile_format::{
    ALIGNMENT, ArtifactKind, Base, Content, Description, Digest, Edit, Encoderfile, Footer, ModelType,
    Outcome, Part, Payload, PoolingMode, Prompt, SentencePooling, Setting, SourceFile, WEIGHTS_ALIGNMENT,
    write,
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
    prop_oneof![prop::sample::select(vec![100, 110, 120, 130, 140]), 161_u32..18999]
}

fn kind(number: u32) -> ArtifactKind {
    let known = ArtifactKind::KNOWN.into_iter().find(|kind| kind.number() == number);
    known.unwrap_or(ArtifactKind::Other(number))
}

pub(crate) fn any_payload() -> impl Strategy<Value = Payload> {
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
    let pooling = (vec(modes, 0..7), any::<bool>(), any::<bool>());
    let pooling = pooling.prop_map(|(modes, normalize, exclude_prompt)| SentencePooling {
        modes,
        normalize,
        exclude_prompt,
    });
    let source = (any::<String>(), any::<u64>(), any::<[u8; 32]>()).prop_map(|(name, length, sha256)| {
        let sha256 = Digest::from(sha256);
        SourceFile { name, length, sha256 }
    });
    let prompt = (any::<String>(), any::<String>()).prop_map(|(name, text)| Prompt { name, text });
    let setting = (any::<String>(), any::<String>(), any::<String>());
    let setting = setting.prop_map(|(key, value, source)| Setting { key, value, source });
    let edit = (any::<u64>(), any::<u64>(), vec(any::<u8>(), 0..9));
    let edit = edit.prop_map(|(offset, length, replacement)| Edit { offset, length, replacement });
    let lists = (vec(prompt, 0..3), prop::option::of("[a-z]+"), vec(setting, 0..4), vec(edit, 0..4));
    let texts = (any::<String>(), any::<String>());
    let description = (model_type, texts, prop::option::of(pooling), vec(source, 0..4), lists);
    let description =
        description.prop_map(|(model_type, (name, version), sentence_pooling, sources, lists)| {
            let (prompts, default_prompt_name, settings, tokenizer_edits) = lists;
            Description {
                sentence_pooling,
                prompts,
                default_prompt_name,
                settings,
                sources,
                tokenizer_edits,
                ..Description::new(model_type, name, version)
            }
        });
    let repeated = prop::sample::select(vec![ArtifactKind::ExternalData, ArtifactKind::Source]);
    let named = btree_map("[a-z]{1,9}(/[a-z]{1,9})?", (repeated, content(70_000)), 0..4);
    let parts = (btree_map(number(), content(70_000), 0..6), named);
    let parts = parts.prop_map(|(single, named)| {
        let single = single.into_iter().map(|(number, bytes)| Part::bytes(kind(number), bytes));
        let named = named.into_iter().map(|(name, (kind, bytes))| {
            // A part of a name is a folder, which no other name is.
            Part { name: Some(format!("{name}.bin")), ..Part::bytes(kind, bytes) }
        });
        single.chain(named).collect::<Vec<_>>()
    });
    (description, parts).prop_map(|(description, parts)| Payload { description, parts, ..payload(&[]) })
}

/// The bytes of each artifact, and the same payload with every second of them in a file.
fn to_files(payload: &mut Payload, folder: &Path) -> HashMap<(ArtifactKind, Option<String>), Vec<u8>> {
    let mut contents = HashMap::new();
    for (index, part) in payload.parts.iter_mut().enumerate() {
        let Content::Bytes(bytes) = &part.content else { panic!("made of bytes") };
        let bytes = bytes.clone();
        if index % 2 == 0 {
            let path = folder.join(index.to_string());
            let file = create(&path, &bytes);
            part.content = Content::File { path, file };
        }
        contents.insert((part.kind, part.name.clone()), bytes);
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
        prop_assert_eq!(&manifest.description, &payload.description);
        prop_assert_eq!(manifest.writer.as_ref(), Some(&payload.writer));
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
                ArtifactKind::Weights | ArtifactKind::ExternalData => WEIGHTS_ALIGNMENT,
                _ => ALIGNMENT,
            };
            prop_assert_eq!(artifact.offset, (end as u64).next_multiple_of(alignment));
            let start = usize::try_from(artifact.offset).unwrap();
            prop_assert!(bytes[end..start].iter().all(|&byte| byte == 0));
            end = usize::try_from(artifact.end()).unwrap();
            let expected = &contents[&(artifact.kind, artifact.name.clone())];
            prop_assert_eq!(&bytes[start..end], expected);
            prop_assert_eq!(artifact.sha256, Digest::of(expected));
            prop_assert_eq!(&file.read_artifact(artifact).unwrap(), expected);
            let extracted = folder.path().join("extracted");
            file.extract(artifact, &extracted).unwrap();
            prop_assert_eq!(&fs::read(&extracted).unwrap(), expected);
        }
        prop_assert_eq!(end as u64 + Footer::LENGTH, file.length());
        let kinds: Vec<_> = manifest.artifacts.iter().map(|artifact| artifact.kind.is_mapped()).collect();
        prop_assert!(kinds.is_sorted(), "what is mapped stands last");
        for finding in file.verify().unwrap() {
            prop_assert!(matches!(finding.outcome, Outcome::Intact { .. }), "{:?}", finding);
        }

        let again = write(&base, &payload, &output).unwrap();
        prop_assert_eq!(fs::read(again.path()).unwrap(), &bytes[..]);

        // From the file itself, on another base binary and back.
        let extracted = folder.path().join("base again");
        file.extract_base(&extracted).unwrap();
        prop_assert_eq!(fs::read(&extracted).unwrap(), base_bytes);
        let other_path = folder.path().join("other");
        let other_file = create(&other_path, b"another base");
        let moved = |file: &Encoderfile, base: &Base<'_>, is_verified| {
            let payload = Payload::of(file, &output, payload.writer.clone(), is_verified).unwrap();
            write(base, &payload, &folder.path().join("moved")).unwrap()
        };
        let other = moved(&file, &self::base(&other_path, &other_file), false);
        let back = moved(&other.open().unwrap(), &base, true);
        prop_assert_eq!(fs::read(back.path()).unwrap(), bytes);
    }
}
