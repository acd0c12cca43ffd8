//! The walk through an ONNX model.
#![no_main]

use encoderfile_format::onnx::{
    Model, OnnxError, Outline, Place, check_external, externalize, inline_beyond_main_graph,
};
use encoderfile_format::{ModelType, Signature};
use encoderfile_fuzz::{file, tell};
use libfuzzer_sys::fuzz_target;

/// Where the files of external data begin, in the file that they all are put into.
const EXTERNAL: u64 = 1 << 40;
const PLACE: Place<'_> = Place { location: "model.encoderfile", offset: 65536 };

/// Some files are missing, and others are too short for what the model says of them.
fn length(name: &str) -> Option<u64> {
    let sum: u64 = name.bytes().map(u64::from).sum();
    (sum % 5 != 0).then_some(sum % 1000)
}

/// The file itself, of that length.
fn content(name: &str) -> Option<&'static [u8]> {
    static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
    let length = usize::try_from(length(name)?).expect("names have some kilobytes");
    Some(&ZEROS[..length])
}

/// Parses a model that is another one with some of its values elsewhere.
fn same(bytes: &[u8], model: &Model) -> Model {
    let again = Model::parse(bytes).expect("only values are put elsewhere");
    assert_eq!(again.inputs, model.inputs);
    assert_eq!(again.outputs, model.outputs);
    assert_eq!(again.operator_sets, model.operator_sets);
    assert_eq!(again.embedding_table(), model.embedding_table());
    assert_eq!(again.check_operators(), model.check_operators());
    again
}

/// What is told of a model is told of its outline.
fn outlined(bytes: &[u8], parsed: &Result<Model, OnnxError>, checked: &Result<(), OnnxError>) {
    let outline = Outline::read(&file(bytes), 0, bytes.len() as u64).expect("it is there, and small");
    assert_eq!(outline.len(), bytes.len());
    match (Model::parse(&outline), parsed) {
        (Ok(outlined), Ok(model)) => assert_eq!(outlined, *model),
        (Err(outlined), Err(error)) => assert_eq!(outlined.to_string(), error.to_string()),
        (outlined, _) => panic!("{outlined:?}, where the model is {parsed:?}"),
    }
    let told = check_external(&outline, &length).map_err(|error| error.to_string());
    assert_eq!(told, checked.as_ref().copied().map_err(ToString::to_string));
}

fuzz_target!(|bytes: &[u8]| {
    let checked = check_external(bytes, &length);
    let parsed = Model::parse(bytes);
    outlined(bytes, &parsed, &checked);
    let model = match parsed {
        Ok(model) => model,
        Err(error) => {
            tell(&error);
            // Nobody asks for it then, but it has no reason to panic.
            let _ = externalize(bytes, &PLACE, &[], 0);
            return;
        }
    };
    let tasks = ModelType::KNOWN.into_iter().chain([ModelType::Other(7)]);
    for error in tasks.filter_map(|task| Signature::of(&model, task).err()) {
        tell(&error);
    }
    if let Err(error) = model.check_operators() {
        tell(&error);
        assert!(!error.hint().is_empty());
    }
    for tensor in model.inputs.iter().chain(&model.outputs) {
        let _ = tensor.to_string();
    }
    let table = model.embedding_table();
    assert!(table.is_none_or(|table| model.initializers.iter().any(|constant| constant.name == table.name)));

    let contents = model.external_files().into_iter().filter_map(|name| Some((name, content(name)?)));
    match (inline_beyond_main_graph(bytes, &contents.collect::<Vec<_>>()), &checked) {
        (Ok(inlined), Ok(())) => drop(same(&inlined, &model)),
        (Err(error), Err(_)) => tell(&error),
        (inlined, _) => panic!("checked: {checked:?}, then: {inlined:?}"),
    }

    let files = model.external_files();
    let files = files.into_iter().filter_map(|name| Some((name, EXTERNAL..EXTERNAL + length(name)?)));
    let files: Vec<_> = files.collect();
    for threshold in [0, 64, usize::MAX] {
        match (externalize(bytes, &PLACE, &files, threshold), &checked) {
            (Ok(skeleton), Ok(())) => {
                let again = same(&skeleton, &model);
                assert!(again.external_files().iter().all(|name| *name == PLACE.location));
            }
            (Err(error), Err(_)) => tell(&error),
            (skeleton, _) => panic!("checked: {checked:?}, then: {skeleton:?}"),
        }
    }
});
