//! ONNX models: what is read of them, and the skeletons that are made of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use encoderfile_format::onnx::{
    Dimension, ElementType, InitializerData, Model, OnnxError, Place, TensorInfo, externalize,
};
use encoderfile_format::{ModelInput, ModelType, Signature};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::protobuf::{bytes, fields, integer};

mod external;
mod graph;
mod outline;

const GRAPH: u32 = 7;
const INITIALIZER: u32 = 5;
const RAW_DATA: u32 = 9;
const EXTERNAL_DATA: u32 = 13;
const DATA_LOCATION: u32 = 14;

fn committed(name: &str) -> Vec<u8> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testing/models");
    fs::read(models.join(name).join("model.onnx")).unwrap()
}

const COMMITTED: [(&str, ModelType); 6] = [
    ("embedding", ModelType::Embedding),
    ("sentence_embedding", ModelType::SentenceEmbedding),
    ("sequence_classification", ModelType::SequenceClassification),
    ("token_classification", ModelType::TokenClassification),
    ("no_token_type_ids", ModelType::SequenceClassification),
    ("reordered_inputs", ModelType::Embedding),
];

fn shown(tensors: &[TensorInfo]) -> Vec<String> {
    tensors.iter().map(ToString::to_string).collect()
}

#[test]
fn inputs_and_outputs_of_real_models_are_read() {
    let ids = |names: &[&str]| -> Vec<String> {
        let shape = "int64[batch_size, sequence_length]";
        names.iter().map(|name| format!("{name} {shape}")).collect()
    };
    let all = ids(&["input_ids", "attention_mask", "token_type_ids"]);
    let two = ids(&["input_ids", "attention_mask"]);
    let reordered = ids(&["token_type_ids", "attention_mask", "input_ids"]);
    let vectors = "last_hidden_state float32[batch_size, sequence_length, 32]";
    let expected = [
        ("embedding", &all, vectors),
        ("sentence_embedding", &all, vectors),
        ("sequence_classification", &all, "logits float32[batch_size, 3]"),
        ("token_classification", &all, "logits float32[batch_size, sequence_length, 7]"),
        ("no_token_type_ids", &two, "logits float32[batch_size, 3]"),
        ("reordered_inputs", &reordered, vectors),
    ];
    for (name, inputs, output) in expected {
        let model = Model::parse(&committed(name)).unwrap();
        assert_eq!(&shown(&model.inputs), inputs, "{name}");
        assert_eq!(shown(&model.outputs), [output], "{name}");
        assert_eq!(model.operator_sets.len(), 1, "{name}");
        assert!(model.operator_sets[0].domain.is_empty(), "{name}");
        assert!(model.operator_sets[0].version >= 11, "{name}");
        assert_eq!(model.external_files(), Vec::<&str>::new(), "{name}");
    }
}

#[test]
fn real_models_fit_their_tasks() {
    for (name, task) in COMMITTED {
        let model = Model::parse(&committed(name)).unwrap();
        let signature = Signature::of(&model, task).unwrap();
        let has_segments = signature.inputs.iter().any(|(input, _)| *input == ModelInput::TokenTypeIds);
        assert_eq!(has_segments, name != "no_token_type_ids", "{name}");
    }
}

#[test]
fn initializers_are_found_where_they_stand() {
    let bytes = committed("embedding");
    let model = Model::parse(&bytes).unwrap();
    let words = model
        .initializers
        .iter()
        .find(|initializer| initializer.name == "embeddings.word_embeddings.weight")
        .unwrap();
    assert_eq!(words.element_type, ElementType::Float);
    assert_eq!(words.dimensions, [387, 32]);
    let InitializerData::Raw(range) = &words.data else { panic!("{:?}", words.data) };
    assert_eq!(range.len(), 387 * 32 * 4);
    // Tag and length of `raw_data` stand right before it.
    let head = [0x4a, 0x80, 0x83, 0x03];
    assert_eq!(bytes[range.start - 4..range.start], head);
}

/// The skeleton of a model whose external data, if it has any, is in `model.onnx_data`.
fn thin(model: &[u8], location: &str, offset: u64, threshold: usize) -> Result<Vec<u8>, OnnxError> {
    externalize(model, &Place { location, offset }, &[("model.onnx_data", 5000..5016)], threshold)
}

/// Each field of a message but those of the given numbers, in order.
fn kept<'a>(message: &'a [u8], left_out: &[u32]) -> Vec<&'a [u8]> {
    fields(message)
        .into_iter()
        .filter(|field| !left_out.contains(&field.number))
        .map(|field| &message[field.span])
        .collect()
}

fn only(message: &[u8], number: u32) -> Vec<&[u8]> {
    fields(message)
        .into_iter()
        .filter(|field| field.number == number)
        .map(|field| &message[field.value])
        .collect()
}

/// The entries of a tensor's `external_data`.
fn external(tensor: &[u8]) -> BTreeMap<String, String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    only(tensor, EXTERNAL_DATA)
        .into_iter()
        .map(|entry| (text(only(entry, 1)[0]), text(only(entry, 2)[0])))
        .collect()
}

/// Compares a skeleton with its model, field by field, and returns how many tensors stand outside of it.
fn assert_same_model(model: &[u8], skeleton: &[u8], file_offset: u64, threshold: usize) -> usize {
    assert_eq!(kept(model, &[GRAPH]), kept(skeleton, &[GRAPH]));
    let (graph, thin_graph) = (only(model, GRAPH)[0], only(skeleton, GRAPH)[0]);
    assert_eq!(kept(graph, &[INITIALIZER]), kept(thin_graph, &[INITIALIZER]));
    let (tensors, thin) = (only(graph, INITIALIZER), only(thin_graph, INITIALIZER));
    assert_eq!(tensors.len(), thin.len());
    let mut moved = 0;
    for (tensor, thin) in tensors.into_iter().zip(thin) {
        let raw = only(tensor, RAW_DATA);
        if raw.first().is_none_or(|raw| raw.len() < threshold) {
            assert_eq!(tensor, thin);
            continue;
        }
        let replaced = [RAW_DATA, EXTERNAL_DATA, DATA_LOCATION];
        assert_eq!(kept(tensor, &replaced), kept(thin, &replaced));
        assert_eq!(only(thin, RAW_DATA).len(), 0);
        let location: Vec<_> = fields(thin)
            .iter()
            .filter(|field| field.number == DATA_LOCATION)
            .map(|field| field.integer)
            .collect();
        assert_eq!(location, [1]);
        let place = external(thin);
        assert_eq!(place["location"], "model.encoderfile");
        let offset: u64 = place["offset"].parse().unwrap();
        let length: usize = place["length"].parse().unwrap();
        let start = usize::try_from(offset - file_offset).unwrap();
        assert_eq!(&model[start..start + length], raw[0]);
        moved += 1;
    }
    moved
}

#[test]
fn a_skeleton_points_at_the_bytes_that_it_leaves_out() {
    const FILE_OFFSET: u64 = 65536 * 700;
    for (name, _) in COMMITTED {
        let model = committed(name);
        for (threshold, expected) in [(0, None), (1024, Some(14)), (8192, Some(6)), (49537, Some(0))] {
            let skeleton = thin(&model, "model.encoderfile", FILE_OFFSET, threshold).unwrap();
            let moved = assert_same_model(&model, &skeleton, FILE_OFFSET, threshold);
            let all = Model::parse(&model).unwrap().initializers.len();
            assert_eq!(moved, expected.unwrap_or(all), "{name} from {threshold} bytes on");
            if moved == 0 {
                assert_eq!(skeleton, model);
            }
            let parsed = Model::parse(&skeleton).unwrap();
            assert_eq!(parsed.outputs, Model::parse(&model).unwrap().outputs);
            let files = parsed.external_files();
            assert_eq!(files.len(), usize::from(moved > 0), "{name}: {files:?}");
        }
        let thin = thin(&model, "model.encoderfile", FILE_OFFSET, 1024).unwrap();
        assert!(thin.len() < model.len() / 3, "{name}: {} bytes", thin.len());
    }
}

fn tensor(name: &str, data_type: u64, data: &[u8]) -> Vec<u8> {
    let fields = [integer(1, 4), integer(2, data_type), bytes(8, name.as_bytes()), data.to_vec()];
    fields.concat()
}

fn value_info(name: &str) -> Vec<u8> {
    let shape = bytes(2, &[bytes(1, &bytes(2, b"batch")), bytes(1, &integer(1, 4))].concat());
    let type_ = bytes(1, &[integer(1, 1), shape].concat());
    [bytes(1, name.as_bytes()), bytes(2, &type_)].concat()
}

/// The fields of a tensor that is external.
fn external_data(entries: &[(&str, &str)]) -> Vec<u8> {
    let entry = |(key, value): &(&str, &str)| {
        bytes(EXTERNAL_DATA, &[bytes(1, key.as_bytes()), bytes(2, value.as_bytes())].concat())
    };
    entries.iter().flat_map(entry).chain(integer(DATA_LOCATION, 1)).collect()
}

/// A small model with one tensor of each kind, fields that nobody knows, and the graph last.
fn small() -> Vec<u8> {
    let external = external_data(&[("location", "model.onnx_data"), ("offset", "0")]);
    let tensors = [
        tensor("raw", 1, &bytes(9, &[1; 16])),
        tensor("unknown fields", 1, &[bytes(9, &[2; 16]), bytes(99, b"new")].concat()),
        tensor("texts", 8, &bytes(9, &[3; 16])),
        tensor("elsewhere", 1, &external),
        tensor("both", 1, &[bytes(9, &[4; 16]), external.clone()].concat()),
        tensor("typed", 1, &bytes(4, &[0; 16])),
        [tensor("packed", 1, &bytes(9, &[5; 16])), bytes(1, &[200, 1, 3])].concat(),
    ];
    // A constant within a subgraph: attribute 6 of a node is a graph.
    let inner = bytes(5, &tensor("inner", 1, &bytes(9, &[6; 16])));
    let node = bytes(1, &bytes(5, &bytes(6, &inner)));
    let mut graph = [node, bytes(11, &value_info("input")), bytes(11, &value_info("raw"))].concat();
    for tensor in &tensors {
        graph.extend_from_slice(&bytes(INITIALIZER, tensor));
    }
    graph.extend_from_slice(&bytes(12, &value_info("output")));
    graph.extend_from_slice(&bytes(77, b"unknown"));
    let operator_set = [bytes(1, b""), integer(2, 17)].concat();
    [integer(1, 8), bytes(66, b"unknown"), bytes(8, &operator_set), bytes(GRAPH, &graph)].concat()
}

#[test]
fn tensors_of_each_kind_are_told_apart() {
    let bytes = small();
    let model = Model::parse(&bytes).unwrap();
    // `raw` is an initializer that is also listed as an input: nobody has to feed it.
    assert_eq!(shown(&model.inputs), ["input float32[batch, 4]"]);
    assert_eq!(shown(&model.outputs), ["output float32[batch, 4]"]);
    let shape = model.inputs[0].shape.as_deref().unwrap();
    assert_eq!(shape, [Dimension::Named("batch".to_owned()), Dimension::Fixed(4)]);
    let by_name = |name: &str| {
        let mut all = model.initializers.iter();
        all.find(|initializer| initializer.name == name).unwrap()
    };
    let InitializerData::Raw(range) = &by_name("raw").data else { panic!("raw data") };
    assert_eq!(bytes[range.clone()], [1; 16]);
    assert_eq!(by_name("texts").element_type, ElementType::String);
    let location = "model.onnx_data".to_owned();
    let expected = InitializerData::External { location, offset: 0, length: None };
    assert_eq!(by_name("elsewhere").data, expected);
    assert_eq!(by_name("typed").data, InitializerData::Typed);
    assert_eq!(by_name("packed").dimensions, [4, 200, 3]);
    assert_eq!(model.external_files(), ["model.onnx_data"]);
}

#[test]
fn raw_data_of_the_main_graph_is_moved_and_external_data_shifted() {
    let model = small();
    let skeleton = thin(&model, "here", 1000, 16).unwrap();
    assert_eq!(kept(&model, &[GRAPH]), kept(&skeleton, &[GRAPH]));
    let (graph, thin_graph) = (only(&model, GRAPH)[0], only(&skeleton, GRAPH)[0]);
    assert_eq!(kept(graph, &[INITIALIZER]), kept(thin_graph, &[INITIALIZER]));
    let name = |tensor: &[u8]| String::from_utf8(only(tensor, 8)[0].to_vec()).unwrap();
    let (mut moved, mut shifted) = (Vec::new(), Vec::new());
    for (tensor, thin) in only(graph, INITIALIZER).iter().zip(only(thin_graph, INITIALIZER)) {
        if *tensor == thin {
            continue;
        }
        let place = external(thin);
        assert_eq!(place["location"], "here");
        assert_eq!(only(thin, RAW_DATA).len(), 0);
        if only(tensor, EXTERNAL_DATA).is_empty() {
            moved.push(name(thin));
        } else {
            assert_eq!((place["offset"].as_str(), place["length"].as_str()), ("5000", "16"));
            shifted.push(name(thin));
        }
    }
    assert_eq!(moved, ["raw", "unknown fields", "packed"]);
    assert_eq!(shifted, ["elsewhere", "both"]);
    let unknown = only(thin_graph, INITIALIZER)[1];
    assert_eq!(only(unknown, 99), [b"new"]);
    let again = thin(&model, "here", 1000, 17).unwrap();
    assert_eq!(Model::parse(&again).unwrap().external_files(), ["here"]);
}

#[test]
fn a_model_cut_anywhere_is_an_error() {
    let model = small();
    for length in 0..model.len() {
        let error = Model::parse(&model[..length]).unwrap_err();
        let is_expected = matches!(error, OnnxError::Wire(_) | OnnxError::NotOnnx { .. });
        assert!(is_expected, "cut to {length}: {error:?}");
        let error = thin(&model[..length], "here", 0, 0).unwrap_err();
        let is_expected = matches!(error, OnnxError::Wire(_) | OnnxError::NotOnnx { missing: "graph" });
        assert!(is_expected, "cut to {length}: {error:?}");
    }
    let model = committed("embedding");
    let ends = (0..model.len()).step_by(997).chain(model.len() - 40..model.len());
    for length in ends {
        assert!(Model::parse(&model[..length]).is_err(), "cut to {length}");
    }
}

#[test]
fn what_is_no_model_is_said() {
    let graph = bytes(GRAPH, &bytes(2, b"name"));
    let operator_set = bytes(8, &integer(2, 17));
    let parse = |parts: &[&[u8]]| Model::parse(&parts.concat());
    let version: &[u8] = &integer(1, 8);
    assert!(parse(&[version, &graph, &operator_set]).is_ok());
    assert!(matches!(parse(&[&graph, &operator_set]), Err(OnnxError::NotOnnx { missing: "IR version" })));
    assert!(matches!(parse(&[version, &operator_set]), Err(OnnxError::NotOnnx { missing: "graph" })));
    assert!(matches!(parse(&[version, &graph]), Err(OnnxError::NotOnnx { missing: "operator set" })));
    let twice = [version, &graph, &graph, &operator_set];
    assert!(matches!(parse(&twice), Err(OnnxError::SeveralGraphs)));
    assert!(matches!(thin(&twice.concat(), "here", 0, 0), Err(OnnxError::SeveralGraphs)));
    assert!(matches!(parse(&[b"{\"a\": 1}"]), Err(OnnxError::Wire(_))));
    let not_text = bytes(GRAPH, &bytes(12, &bytes(1, b"\xff")));
    assert!(matches!(parse(&[version, &operator_set, &not_text]), Err(OnnxError::Text { offset: 12 })));
}

proptest! {
    #[test]
    fn any_bytes_are_an_error_or_a_model(noise in vec(any::<u8>(), 0..300)) {
        let _ = Model::parse(&noise);
        let _ = thin(&noise, "here", 0, 0);
        // Most noise fails at its first tag: the same within a graph and within a tensor goes deeper.
        for number in [1, 5, 11, 12] {
            let graph = bytes(GRAPH, &bytes(number, &noise));
            let model = [integer(1, 8), bytes(8, &integer(2, 17)), graph].concat();
            let skeleton = thin(&model, "here", 0, 0);
            match Model::parse(&model) {
                Ok(parsed) => {
                    let external = parsed.external_files();
                    for initializer in &parsed.initializers {
                        if let InitializerData::Raw(range) = &initializer.data {
                            prop_assert!(range.start <= range.end && range.end <= model.len());
                        }
                    }
                    // A name that is not checked before it is looked for.
                    let is_refused = matches!(skeleton, Err(OnnxError::Location { .. }));
                    prop_assert!(skeleton.is_ok() || is_refused && !external.is_empty());
                }
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}
