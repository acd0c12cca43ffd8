//! Values in files beside the model: which files, whether they hold them, and skeletons that point into another file.

use std::cell::RefCell;

use encoderfile_format::onnx::{
    Model, OnnxError, Place, check_external, check_location, externalize, inline_beyond_main_graph,
};
use proptest::prelude::*;

use super::{external_data, small, tensor, thin};
use crate::protobuf::{self, bytes, integer, varint};

/// A model, given its graph's and its own fields.
fn model(graph: &[u8], others: &[u8]) -> Vec<u8> {
    let operator_set = bytes(8, &integer(2, 17));
    [integer(1, 8), bytes(7, graph), operator_set, others.to_vec()].concat()
}

/// A model of one initializer.
fn one(data_type: u64, dimensions: &[u64], entries: &[(&str, &str)]) -> Vec<u8> {
    let dimensions: Vec<u8> = dimensions.iter().flat_map(|&size| integer(1, size)).collect();
    let fields = [dimensions, integer(2, data_type), bytes(8, b"weight"), external_data(entries)];
    model(&bytes(5, &fields.concat()), &[])
}

/// A field within each message on the way to a tensor that no specification has.
fn unknown() -> Vec<u8> {
    bytes(2000, b"unknown")
}

/// How many tensors [`everywhere`] has.
const PLACES: usize = 13;

/// A model with a tensor of 16 bytes in each place where one may stand, all with the data that `data` gives for a number.
fn everywhere(data: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let tensor = |index: usize| tensor(&format!("t{index}"), 1, &[unknown(), data(index)].concat());
    let sparse = |fields: &[(u32, usize)]| -> Vec<u8> {
        fields.iter().flat_map(|&(number, index)| bytes(number, &tensor(index))).chain(unknown()).collect()
    };
    let attribute = |field: Vec<u8>| bytes(5, &[bytes(1, b"value"), unknown(), field].concat());
    let node = |attributes: &[Vec<u8>]| [bytes(4, b"If"), attributes.concat(), unknown()].concat();
    let initializer = |index| [unknown(), bytes(5, &tensor(index))].concat();
    let deep = bytes(1, &node(&[attribute(bytes(6, &initializer(2)))]));
    let graph = [
        bytes(1, &node(&[attribute(bytes(6, &initializer(1))), attribute(bytes(11, &deep))])),
        bytes(1, &node(&[attribute(bytes(5, &tensor(3)))])),
        bytes(1, &node(&[attribute(bytes(10, &tensor(4))), attribute(bytes(22, &sparse(&[(1, 5)])))])),
        bytes(1, &node(&[attribute(bytes(23, &sparse(&[(2, 6)])))])),
        initializer(0),
        bytes(15, &sparse(&[(1, 7), (2, 8)])),
    ];
    let default = [bytes(1, b"value"), bytes(5, &tensor(9))].concat();
    let function = [bytes(7, &node(&[attribute(bytes(5, &tensor(10)))])), bytes(11, &default), unknown()];
    let training = [bytes(1, &initializer(11)), bytes(2, &initializer(12))];
    model(&graph.concat(), &[bytes(25, &function.concat()), bytes(20, &training.concat())].concat())
}

fn file(index: usize) -> String {
    format!("weights {index:02}")
}

/// [`everywhere`] with one file per tensor, which starts at its number.
fn files_everywhere() -> Vec<u8> {
    everywhere(|index| external_data(&[("location", &file(index)), ("offset", &index.to_string())]))
}

#[test]
fn files_are_found_wherever_tensors_stand() {
    let parsed = Model::parse(&files_everywhere()).unwrap();
    let expected: Vec<_> = (0..PLACES).map(file).collect();
    assert_eq!(parsed.external_files(), expected);
}

#[test]
fn each_tensor_is_checked_wherever_it_stands() {
    let model = files_everywhere();
    let length = |name: &str| name[name.len() - 2..].parse::<u64>().unwrap() + 16;
    let asked = RefCell::new(Vec::new());
    let files = |name: &str| {
        asked.borrow_mut().push(name.to_owned());
        Some(length(name))
    };
    check_external(&model, &files).unwrap();
    asked.borrow_mut().sort();
    assert_eq!(asked.into_inner(), (0..PLACES).map(file).collect::<Vec<_>>());
    for index in 0..PLACES {
        let (name, tensor) = (file(index), format!("t{index}"));
        let missing = check_external(&model, &|file| (file != name).then(|| length(file))).unwrap_err();
        let is_named =
            matches!(&missing, OnnxError::NoFile { tensor: t, file } if (t, file) == (&tensor, &name));
        assert!(is_named, "{missing}");
        let short = check_external(&model, &|file| Some(length(file) - u64::from(file == name))).unwrap_err();
        let expected = format!(
            "the tensor `{tensor}` needs 16 bytes from byte {index} on of the file `{name}`, which has {}",
            index + 15
        );
        assert_eq!(short.to_string(), expected);
    }
}

#[test]
fn external_tensors_are_rewritten_wherever_they_stand() {
    // Long enough that every message around a tensor needs a longer length.
    let location = "x".repeat(200);
    let place = Place { location: &location, offset: 7_000_000 };
    let names: Vec<_> = (0..PLACES).map(file).collect();
    let start = |index: usize| (1 << 40) + 1000 * index as u64;
    let files: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(index, name)| (name.as_str(), start(index)..start(index) + 16 + index as u64))
        .collect();
    let skeleton = externalize(&files_everywhere(), &place, &files, 0).unwrap();
    let expected = everywhere(|index| {
        let offset = (start(index) + index as u64).to_string();
        external_data(&[("location", &location), ("offset", &offset), ("length", "16")])
    });
    assert!(skeleton == expected, "not the same model with other external data");
    for left_out in 0..PLACES {
        let mut files = files.clone();
        files.remove(left_out);
        let error = externalize(&files_everywhere(), &place, &files, 0).unwrap_err();
        assert!(
            matches!(&error, OnnxError::NoFile { file, .. } if *file == names[left_out]),
            "{left_out}: {error}"
        );
        let mut files = files_with_end(&names, start, left_out);
        let error = externalize(&files_everywhere(), &place, &files, 0).unwrap_err();
        assert!(matches!(error, OnnxError::OutsideFile { .. }), "{left_out}: {error}");
        files[left_out].1.end = 0;
        assert!(
            externalize(&files_everywhere(), &place, &files, 0).is_err(),
            "a range that ends before it starts"
        );
    }
}

#[test]
fn values_beyond_the_main_graph_are_inlined() {
    let names: Vec<_> = (0..PLACES).map(file).collect();
    let contents: Vec<Vec<u8>> = (0..PLACES)
        .map(|index| (0..16 + index).map(|at| u8::try_from(16 * index + at).unwrap_or(0)).collect())
        .collect();
    let files: Vec<_> = names.iter().map(String::as_str).zip(contents.iter().map(Vec::as_slice)).collect();
    let inlined = inline_beyond_main_graph(&files_everywhere(), &files).unwrap();
    let expected = everywhere(|index| match index {
        0 => external_data(&[("location", &file(0)), ("offset", "0")]),
        _ => bytes(9, &contents[index][index..]),
    });
    assert!(inlined == expected, "not the same model with the values in it");
    for short in 0..PLACES {
        let mut files = files.clone();
        files[short].1 = &files[short].1[1..];
        let error = inline_beyond_main_graph(&files_everywhere(), &files).unwrap_err();
        assert!(matches!(error, OnnxError::OutsideFile { .. }), "{short}: {error}");
        files.remove(short);
        let error = inline_beyond_main_graph(&files_everywhere(), &files).unwrap_err();
        assert!(matches!(error, OnnxError::NoFile { .. }), "{short}: {error}");
    }
}

#[test]
fn no_more_is_inlined_than_a_message_can_hold() {
    // Without a type that has a size, a tensor is all of its file.
    let tensor = tensor("weight", 99, &external_data(&[("location", "file")]));
    let node = bytes(5, &[bytes(1, b"value"), bytes(5, &tensor)].concat());
    let model = model(&bytes(1, &node), &[]);
    // Memory that nobody touches takes no room.
    let error = inline_beyond_main_graph(&model, &[("file", &vec![0; 1 << 31])]).unwrap_err();
    assert!(matches!(error, OnnxError::TooMany { .. }), "{error}");
}

/// The files of [`files_everywhere`], one of them a byte short.
fn files_with_end(
    names: &[String],
    start: impl Fn(usize) -> u64,
    short: usize,
) -> Vec<(&str, std::ops::Range<u64>)> {
    let end = |index| start(index) + 16 + index as u64 - u64::from(index == short);
    names.iter().enumerate().map(|(index, name)| (name.as_str(), start(index)..end(index))).collect()
}

#[test]
fn raw_data_beyond_the_main_graph_stays() {
    let model = everywhere(|_| bytes(9, &[7; 16]));
    let skeleton = thin(&model, "here", 0, 16).unwrap();
    let expected = everywhere(|index| {
        if index > 0 {
            return bytes(9, &[7; 16]);
        }
        let offset = model.windows(2).position(|pair| pair == b"t0").unwrap() + 2 + unknown().len() + 2;
        external_data(&[("location", "here"), ("offset", &offset.to_string()), ("length", "16")])
    });
    assert!(skeleton == expected);
}

#[test]
fn what_does_not_hold_for_the_new_file_is_dropped() {
    let entries = [("location", "w"), ("offset", "8"), ("length", "16"), ("checksum", "abc"), ("new", "1")];
    let place = Place { location: "here", offset: 0 };
    let skeleton = externalize(&one(1, &[4], &entries), &place, &[("w", 100..124)], 0).unwrap();
    assert_eq!(skeleton, one(1, &[4], &[("location", "here"), ("offset", "108"), ("length", "16")]));
    // Entries without the mark that they hold are no external data.
    let unmarked: Vec<u8> = external_data(&[("location", "../x"), ("offset", "x")]);
    let unmarked = &unmarked[..unmarked.len() - integer(14, 1).len()];
    let unmarked = model(&bytes(5, &tensor("t", 1, unmarked)), &[]);
    assert_eq!(externalize(&unmarked, &place, &[], 0).unwrap(), unmarked);
    assert_eq!(Model::parse(&unmarked).unwrap().external_files(), Vec::<&str>::new());
}

/// What a skeleton says of the place of one tensor, in a file of 100 bytes.
fn shifted(data_type: u64, dimensions: &[u64], entries: &[(&str, &str)]) -> Result<(u64, u64), OnnxError> {
    let entries = [&[("location", "w")], entries].concat();
    let model = one(data_type, dimensions, &entries);
    let checked = check_external(&model, &|_| Some(100));
    let place = Place { location: "here", offset: 0 };
    let skeleton = externalize(&model, &place, &[("w", 1000..1100)], 0);
    assert_eq!(checked.is_ok(), skeleton.is_ok());
    let skeleton = skeleton?;
    let parsed = Model::parse(&skeleton).unwrap();
    let encoderfile_format::onnx::InitializerData::External { offset, length, .. } =
        parsed.initializers[0].data
    else {
        panic!("{:?}", parsed.initializers)
    };
    Ok((offset, length.unwrap()))
}

#[test]
fn a_length_comes_from_the_model_its_shapes_or_the_file() {
    let place =
        |data_type, dimensions: &[u64], entries: &[_]| shifted(data_type, dimensions, entries).unwrap();
    assert_eq!(place(1, &[5, 5], &[]), (1000, 100));
    assert_eq!(place(1, &[5, 2], &[("offset", "60"), ("length", "40")]), (1060, 40));
    assert_eq!(place(1, &[], &[("offset", "96")]), (1096, 4), "a single number");
    assert_eq!(place(10, &[3], &[]), (1000, 6), "float16");
    assert_eq!(place(22, &[3, 3], &[]), (1000, 5), "int4, packed");
    assert_eq!(place(1, &[0, u64::MAX, u64::MAX], &[("offset", "100"), ("length", "0")]), (1100, 0));
    assert_eq!(place(1, &[2], &[("length", "0")]), (1000, 8), "0 says nothing");
    assert_eq!(place(99, &[7], &[("offset", "30")]), (1030, 70), "a type that nobody knows");
    assert_eq!(place(99, &[7], &[("offset", "30"), ("length", "7")]), (1030, 7));
}

/// Data type, dimensions and external data of a tensor.
type Case<'a> = (u64, &'a [u64], &'a [(&'a str, &'a str)]);

#[test]
fn values_outside_of_their_file_are_refused() {
    let far = (1_u64 << 63).to_string();
    let last = u64::MAX.to_string();
    let outside: [Case<'_>; 9] = [
        (1, &[26], &[]),
        (1, &[1], &[("offset", "97")]),
        (1, &[1], &[("offset", &far)]),
        (1, &[1], &[("offset", &last)]),
        (99, &[], &[("offset", "101")]),
        (99, &[], &[("length", "101")]),
        (99, &[], &[("length", &far)]),
        (99, &[], &[("offset", &last), ("length", &last)]),
        (2, &[1 << 63], &[("offset", &far)]),
    ];
    for (data_type, dimensions, entries) in outside {
        let error = shifted(data_type, dimensions, entries).unwrap_err();
        assert!(matches!(error, OnnxError::OutsideFile { .. }), "{entries:?}: {error}");
    }
    for length in ["15", "17", &far] {
        let error = shifted(1, &[4], &[("length", length)]).unwrap_err();
        let expected = format!(
            "the tensor `weight` has {length} bytes in the file `w`, but its shape and type ask for 16"
        );
        assert_eq!(error.to_string(), expected);
    }
    for dimensions in [&[u64::MAX][..], &[1 << 62], &[1 << 32, 1 << 32, 1 << 32, 1 << 32, 1 << 32]] {
        let error = shifted(1, dimensions, &[]).unwrap_err();
        assert!(matches!(error, OnnxError::TooLarge { .. }), "{dimensions:?}: {error}");
    }
}

#[test]
fn numbers_are_decimal() {
    for number in ["", "-1", "+1", " 1", "1 ", "0x10", "1e3", "18446744073709551616", "\u{661}"] {
        for key in ["offset", "length"] {
            let model = one(1, &[4], &[("location", "w"), (key, number)]);
            let is_expected = |error: &OnnxError| matches!(error, OnnxError::ExternalNumber { key: k, value, .. } if *k == key && value == number);
            assert!(is_expected(&Model::parse(&model).unwrap_err()), "{key} {number:?}");
            assert!(is_expected(&check_external(&model, &|_| Some(100)).unwrap_err()), "{key} {number:?}");
            assert!(is_expected(&thin(&model, "here", 0, 0).unwrap_err()), "{key} {number:?}");
        }
    }
}

#[test]
fn files_are_beside_the_model() {
    for good in ["w", "model.onnx_data", "a/b", "./w", "..w", "a..b/c..", "\u{e9}"] {
        check_location("t", good).unwrap();
    }
    for bad in
        ["", "/etc/passwd", "..", "../w", "a/../w", "a/..", "a\\b", "..\\w", "a\0b", "a/", "a//b", ".", "a/."]
    {
        let model = one(1, &[4], &[("location", bad)]);
        let never = |_: &str| -> Option<u64> { panic!("asked for {bad:?}") };
        let place = Place { location: "here", offset: 0 };
        let errors = [
            check_location("weight", bad).unwrap_err(),
            check_external(&model, &never).unwrap_err(),
            externalize(&model, &place, &[(bad, 0..16)], 0).unwrap_err(),
        ];
        for error in errors {
            assert!(
                matches!(&error, OnnxError::Location { location, .. } if location == bad),
                "{bad:?}: {error}"
            );
        }
    }
}

/// A graph within a graph, so many levels deep.
fn nested(levels: usize) -> Vec<u8> {
    let (mut length, mut headers) = (0, Vec::new());
    for number in [6, 5, 1].into_iter().cycle().take(3 * levels) {
        let header = [varint(number << 3 | 2), varint(length)].concat();
        length += header.len() as u64;
        headers.push(header);
    }
    model(&headers.into_iter().rev().flatten().collect::<Vec<_>>(), &[])
}

#[test]
fn graphs_within_graphs_are_bounded() {
    let good = nested(64);
    assert!(Model::parse(&good).is_ok());
    assert_eq!(thin(&good, "here", 0, 0).unwrap(), good);
    for levels in [65, 100_000] {
        let model = nested(levels);
        let errors = [
            Model::parse(&model).unwrap_err(),
            check_external(&model, &|_| None).unwrap_err(),
            thin(&model, "here", 0, 0).unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, OnnxError::TooDeep { .. }), "{levels}: {error}");
        }
    }
}

#[test]
fn what_protobuf_would_merge_is_refused() {
    // Of these two, protobuf makes one external tensor.
    let marked = tensor("t", 1, &integer(14, 1));
    let entries = external_data(&[("location", "w")]);
    let placed = tensor("t", 1, &entries[..entries.len() - integer(14, 1).len()]);
    let attribute = [bytes(5, &placed), bytes(5, &marked)].concat();
    let model = model(&bytes(1, &bytes(5, &attribute)), &[]);
    for error in [Model::parse(&model).unwrap_err(), thin(&model, "here", 0, 0).unwrap_err()] {
        assert!(matches!(error, OnnxError::Repeated { .. }), "{error}");
    }
}

#[test]
fn more_than_any_model_has_is_refused() {
    let dimensions = |count: usize| one(1, &vec![1; count], &[("location", "w")]);
    assert!(Model::parse(&dimensions(64)).is_ok());
    let packed = model(&bytes(5, &bytes(1, &[1; 65])), &[]);
    let shape = bytes(11, &bytes(2, &bytes(1, &bytes(2, &bytes(1, b"").repeat(65)))));
    let many = [
        dimensions(65),
        packed,
        model(&shape, &[]),
        model(&bytes(5, b"").repeat((1 << 18) + 1), &[]),
        model(&bytes(11, b"").repeat((1 << 12) + 1), &[]),
        model(&bytes(12, b"").repeat((1 << 12) + 1), &[]),
        model(&[], &bytes(8, b"").repeat(1 << 12)),
        model(&bytes(1, b"").repeat(1 << 22), &[]),
    ];
    for model in many {
        let error = Model::parse(&model).unwrap_err();
        assert!(matches!(error, OnnxError::TooMany { .. }), "{error}");
    }
}

/// Everything that reads foreign bytes.
fn try_all(model: &[u8]) {
    if let Ok(parsed) = Model::parse(model) {
        let _ = (parsed.external_files(), parsed.check_operators(), parsed.embedding_table());
    }
    let _ = check_external(model, &|_| Some(1 << 20));
    let names: Vec<_> = (0..PLACES).map(file).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), 500..600)).collect();
    if let Ok(skeleton) = externalize(model, &Place { location: "here", offset: 9 }, &files, 16) {
        assert!(!protobuf::fields(&skeleton).is_empty());
    }
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), &[7; 100][..])).collect();
    let _ = inline_beyond_main_graph(model, &files);
}

proptest! {
    #[test]
    fn a_changed_byte_is_no_panic(position in any::<prop::sample::Index>(), value: u8) {
        for mut model in [small(), files_everywhere(), super::graph::with_lookups()] {
            let position = position.index(model.len());
            model[position] = value;
            try_all(&model);
        }
    }

    #[test]
    fn a_cut_model_is_an_error(position in any::<prop::sample::Index>()) {
        for model in [small(), files_everywhere(), super::graph::with_lookups()] {
            let cut = &model[..position.index(model.len())];
            try_all(cut);
        }
    }
}
