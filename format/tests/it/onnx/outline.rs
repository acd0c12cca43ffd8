//! An outline tells of a model what the whole model tells.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use encoderfile_format::onnx::{InitializerData, Model, Outline, check_external};
use proptest::prelude::*;

/// The outline of a model that stands somewhere in a file.
fn outline(model: &[u8]) -> Outline {
    const BEFORE: &[u8] = b"something else";
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[BEFORE, model, b"and more"].concat()).unwrap();
    Outline::read(&file, BEFORE.len() as u64, model.len() as u64).unwrap()
}

/// All that is told of a model.
fn told(bytes: &[u8]) -> String {
    let model = Model::parse(bytes).map(|model| {
        let operators = model.check_operators();
        format!("{model:?} {:?} {:?} {operators:?}", model.external_files(), model.embedding_table())
    });
    format!("{model:?} {:?}", check_external(bytes, &|_| Some(1 << 20)))
}

fn model(name: &str) -> Vec<u8> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testing/models");
    std::fs::read(models.join(name).join("model.onnx")).unwrap()
}

#[test]
fn what_is_no_weight_stands_where_it_stood() {
    for name in ["embedding", "sequence_classification", "external_data"] {
        let whole = model(name);
        let outline = outline(&whole);
        assert_eq!(outline.len(), whole.len());
        assert_eq!(told(&outline), told(&whole), "{name}");
        let weights = Model::parse(&whole).unwrap().initializers;
        let weights = weights.into_iter().filter_map(|initializer| match initializer.data {
            InitializerData::Raw(range) if range.len() >= 4096 => Some(range),
            _ => None,
        });
        let weights: Vec<_> = weights.collect();
        assert!(weights.iter().all(|range| outline[range.clone()].iter().all(|byte| *byte == 0)), "{name}");
        let mut without = whole.clone();
        for range in weights {
            without[range].fill(0);
        }
        assert!(*outline == *without, "{name}: something else is missing");
    }
}

#[test]
fn a_model_that_ends_early_is_an_error_of_the_system() {
    let whole = model("embedding");
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&whole[..1000]).unwrap();
    let error = Outline::read(&file, 0, whole.len() as u64).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(Outline::read(&file, 0, 0).unwrap().is_empty());
    assert!(Outline::read(&File::open("/").unwrap(), 0, 10).is_err());
}

/// A graph without weights, as large as a file can claim to be: its bytes would all have to be kept.
#[test]
fn more_than_any_graph_has_is_not_kept() {
    let length = 1_u64 << 33;
    let mut file = tempfile::tempfile().unwrap();
    // Field 2 (the producer's name), with the length that is left.
    file.write_all(&[0x12, 0xfa, 0xff, 0xff, 0xff, 0x1f]).unwrap();
    file.set_len(length).unwrap();
    let error = Outline::read(&file, 0, length).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::FileTooLarge);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damage_is_told_as_of_the_whole_model(
        position in any::<prop::sample::Index>(), value: u8, length in any::<prop::sample::Index>(), is_cut: bool,
    ) {
        let mut whole = model("external_data");
        let position = position.index(whole.len().min(3000));
        whole[position] = value;
        if is_cut {
            whole.truncate(length.index(whole.len()));
        }
        prop_assert_eq!(told(&outline(&whole)), told(&whole));
    }
}
