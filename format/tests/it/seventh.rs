//! Files as encoderfile 0.7 writes them: artifacts right behind the manifest and each other, the weights first, none of
//! the additions.

use std::fmt::Write as _;

use encoderfile_format::{
    ArtifactKind, Description, Digest, ModelConfig, ModelType, Outcome, Subject, Transform, TransformType,
};

use crate::protobuf::{self, fields};
use crate::sample::{BASE, assembled, open, payload, written};

const WEIGHTS: &[u8] = b"not really an ONNX model";
const TRANSFORM: &[u8] = b"\x08\x01\x12\x19function Postprocess(arr)";
const MODEL_CONFIG: &[u8] = b"{\"model_type\":\"bert\"}";
const TOKENIZER: &[u8] = b"{\"tokenizer\":{},\"config\":{\"padding\":null,\"truncation\":null}}";

/// A manifest as 0.7 writes it, digit by digit: fields in ascending order, offsets counted from the manifest.
fn manifest_hex(places: [u64; 4]) -> String {
    let contents = [WEIGHTS, TRANSFORM, MODEL_CONFIG, TOKENIZER];
    // Field numbers 100, 110, 120 and 130 with wire type 2.
    let tags = ["a206", "f206", "c207", "9208"];
    let mut text = "0802 1207636c61737369661a05312e322e33".replace(' ', "");
    for ((tag, offset), content) in tags.into_iter().zip(places).zip(contents) {
        let length = content.len() as u64;
        let digest = Digest::of(content);
        write!(text, "{tag}3409{}11{}1a20{digest}", little(offset), little(length)).unwrap();
    }
    text
}

fn little(number: u64) -> String {
    hex::encode(number.to_le_bytes())
}

fn file() -> Vec<u8> {
    let contents = [WEIGHTS, TRANSFORM, MODEL_CONFIG, TOKENIZER];
    let mut end = manifest_hex([0; 4]).len() as u64 / 2;
    let places = contents.map(|content| {
        let offset = end;
        end += content.len() as u64;
        offset
    });
    assembled(&hex::decode(manifest_hex(places)).unwrap(), &contents.concat())
}

#[test]
fn such_a_file_is_read() {
    let bytes = file();
    let file = open(&bytes).unwrap();
    let manifest = file.manifest();
    assert_eq!((&manifest.base, &manifest.writer), (&None, &None));
    let expected = Description::new(ModelType::SequenceClassification, "classif", "1.2.3");
    assert_eq!(manifest.description, expected);
    assert_eq!(file.base_length(), BASE.len() as u64);

    let weights = file.artifact(ArtifactKind::Weights).unwrap();
    assert_eq!(weights.offset, (BASE.len() + file.manifest_bytes().len()) as u64);
    assert_ne!(weights.offset % 64, 0, "this file is not aligned");
    assert_eq!(file.read(ArtifactKind::Weights).unwrap(), WEIGHTS);
    assert_eq!(file.read(ArtifactKind::ModelConfig).unwrap(), MODEL_CONFIG);
    assert_eq!(file.read(ArtifactKind::Tokenizer).unwrap(), TOKENIZER);
    let config = ModelConfig::from_json(MODEL_CONFIG).unwrap();
    assert_eq!(config.model_type.as_deref(), Some("bert"));
    let transform = Transform::decode(&file.read(ArtifactKind::Transform).unwrap()).unwrap();
    let expected = Transform {
        transform_type: TransformType::Lua,
        source: "function Postprocess(arr)".to_owned(),
        libraries: None,
    };
    assert_eq!(transform, expected);
}

#[test]
fn verify_says_what_such_a_file_does_not_prove() {
    let findings = open(&file()).unwrap().verify().unwrap();
    assert_eq!(findings.len(), 7);
    for finding in findings {
        let is_expected = match finding.subject {
            Subject::Base | Subject::Manifest => finding.outcome == Outcome::NotRecorded,
            Subject::Padding => finding.outcome == Outcome::Intact { sha256: None } && finding.length == 0,
            _ => matches!(finding.outcome, Outcome::Intact { sha256: Some(_) }),
        };
        assert!(is_expected, "{finding:?}");
        assert!(!finding.is_damage());
    }
    let mut damaged = file();
    let position = damaged.len() - 33;
    damaged[position] ^= 1;
    let findings = open(&damaged).unwrap().verify().unwrap();
    let damage: Vec<_> = findings.iter().filter(|finding| finding.is_damage()).collect();
    assert_eq!(damage.len(), 1);
    assert_eq!(damage[0].subject, Subject::Artifact { kind: ArtifactKind::Tokenizer, name: None });
}

#[test]
fn without_the_additions_a_manifest_is_what_0_7_writes() {
    let mut payload = payload(&[
        (ArtifactKind::Tokenizer, TOKENIZER),
        (ArtifactKind::ModelConfig, MODEL_CONFIG),
        (ArtifactKind::Transform, TRANSFORM),
        (ArtifactKind::Weights, WEIGHTS),
    ]);
    payload.description = Description::new(ModelType::SequenceClassification, "classif", "1.2.3");
    let file = open(&written(BASE, &payload)).unwrap();
    let manifest = file.manifest_bytes();
    let mut shared = Vec::new();
    let mut additions = Vec::new();
    for field in fields(manifest) {
        match field.number {
            4..=49 => additions.push(field.number),
            _ => shared.extend_from_slice(&manifest[field.span]),
        }
    }
    assert_eq!(additions, [4, 5, 49]);
    let place = |kind| file.artifact(kind).unwrap().offset - file.base_length();
    let places = [
        place(ArtifactKind::Weights),
        place(ArtifactKind::Transform),
        place(ArtifactKind::ModelConfig),
        place(ArtifactKind::Tokenizer),
    ];
    assert_eq!(hex::encode(&shared), manifest_hex(places));
    assert_eq!(protobuf::fields(&shared).len(), 7);
}
