//! What is read of nodes: the embedding table, and the operators that a graph needs.

use encoderfile_format::onnx::{EmbeddingTable, Model, OnnxError, OperatorError};

use super::{COMMITTED, committed, value_info};
use crate::protobuf::{bytes, integer};

fn node(operator: &str, domain: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|input| bytes(1, input.as_bytes())).collect();
    let fields = [
        inputs,
        bytes(2, output.as_bytes()),
        bytes(2, b"another output"),
        bytes(4, operator.as_bytes()),
        bytes(7, domain.as_bytes()),
    ];
    fields.concat()
}

fn with_integer(node: Vec<u8>, name: &str, value: u64) -> Vec<u8> {
    let attribute = [bytes(1, name.as_bytes()), integer(3, value)].concat();
    [node, bytes(5, &attribute)].concat()
}

fn table(name: &str, dimensions: &[u64]) -> Vec<u8> {
    let dimensions: Vec<u8> = dimensions.iter().flat_map(|&size| integer(1, size)).collect();
    bytes(5, &[dimensions, integer(2, 1), bytes(8, name.as_bytes())].concat())
}

fn graph(nodes: &[Vec<u8>]) -> Vec<u8> {
    let nodes: Vec<u8> = nodes.iter().flat_map(|node| bytes(1, node)).collect();
    [nodes, table("words", &[1000, 8]), table("positions", &[64, 8]), table("number", &[])].concat()
}

fn model_of(ir_version: u64, sets: &[(&str, u64)], graph: &[u8], functions: &[Vec<u8>]) -> Vec<u8> {
    let sets = sets.iter().flat_map(|(domain, version)| {
        bytes(8, &[bytes(1, domain.as_bytes()), integer(2, *version)].concat())
    });
    let functions = functions.iter().flat_map(|function| bytes(25, function));
    let head = [integer(1, ir_version), bytes(7, graph)].concat();
    head.into_iter().chain(sets).chain(functions).collect()
}

fn model(nodes: &[Vec<u8>]) -> Vec<u8> {
    let graph = [bytes(11, &value_info("input_ids")), graph(nodes)].concat();
    model_of(8, &[("", 17)], &graph, &[])
}

/// A model in which everything that is read of nodes occurs.
pub(super) fn with_lookups() -> Vec<u8> {
    let branch = node("Identity", "", &["a"], "b");
    let condition = [node("If", "", &["c"], "d"), bytes(5, &bytes(6, &bytes(1, &branch)))].concat();
    let nodes = [
        with_integer(node("Cast", "", &["input_ids"], "ids"), "to", 7),
        node("Identity", "", &["words"], "table"),
        with_integer(node("Gather", "ai.onnx", &["table", "ids"], "vectors"), "axis", 0),
        condition,
        node("F", "local", &["x"], "y"),
    ];
    let function = [bytes(1, b"F"), bytes(10, b"local"), bytes(7, &node("Abs", "", &["x"], "y"))].concat();
    let graph = [bytes(11, &value_info("input_ids")), graph(&nodes)].concat();
    model_of(8, &[("", 17), ("local", 1)], &graph, &[function])
}

fn rows(nodes: &[Vec<u8>]) -> Option<(String, u64)> {
    let table = Model::parse(&model(nodes)).unwrap().embedding_table();
    table.map(|EmbeddingTable { name, rows }| (name, rows))
}

#[test]
fn embedding_tables_of_real_models_are_found() {
    for (name, _) in COMMITTED {
        let table = Model::parse(&committed(name)).unwrap().embedding_table().unwrap();
        assert_eq!(table.rows, 387, "{name}: {}", table.name);
        assert!(table.name.ends_with("word_embeddings.weight"), "{name}: {}", table.name);
    }
}

#[test]
fn embedding_tables_are_found_through_nodes_that_keep_their_rows() {
    let gather = |table, ids| node("Gather", "", &[table, ids], "vectors");
    let words = Some(("words".to_owned(), 1000));
    assert_eq!(rows(&[gather("words", "input_ids")]), words);
    assert_eq!(Model::parse(&with_lookups()).unwrap().embedding_table().unwrap().rows, 1000);
    for (operator, is_for_ids, is_for_table) in [
        ("Cast", true, true),
        ("Identity", true, true),
        ("Unsqueeze", true, false),
        ("Reshape", true, false),
        ("DequantizeLinear", false, true),
        ("Shape", false, false),
        ("Transpose", false, false),
    ] {
        let ids = [node(operator, "", &["input_ids", "words"], "ids"), gather("words", "ids")];
        assert_eq!(rows(&ids), words.clone().filter(|_| is_for_ids), "{operator} of ids");
        let table = [node(operator, "", &["words", "number"], "table"), gather("table", "input_ids")];
        assert_eq!(rows(&table), words.clone().filter(|_| is_for_table), "{operator} of a table");
    }
    // ONNX Runtime takes nodes in any order.
    let nodes = [
        gather("t2", "i2"),
        node("Cast", "", &["i1"], "i2"),
        node("Cast", "", &["input_ids"], "i1"),
        node("Cast", "", &["t1"], "t2"),
        node("DequantizeLinear", "", &["words"], "t1"),
    ];
    assert_eq!(rows(&nodes), words);
    let contrib = "com.microsoft";
    let quantized = node("GatherBlockQuantized", contrib, &["words", "input_ids", "scales"], "vectors");
    assert_eq!(rows(&[quantized]), words);
    let fused =
        node("EmbedLayerNormalization", contrib, &["input_ids", "segments", "words", "positions"], "vectors");
    assert_eq!(rows(&[fused]), words);
}

#[test]
fn what_ids_do_not_index_is_no_embedding_table() {
    let gather = |table, ids| node("Gather", "", &[table, ids], "vectors");
    assert_eq!(rows(&[]), None);
    assert_eq!(rows(&[gather("words", "position_ids"), gather("computed", "input_ids")]), None);
    assert_eq!(rows(&[gather("number", "input_ids")]), None, "no rows");
    assert_eq!(rows(&[node("Gather", "other", &["words", "input_ids"], "vectors")]), None);
    assert_eq!(rows(&[with_integer(gather("words", "input_ids"), "axis", 1)]), None);
    assert_eq!(rows(&[with_integer(gather("words", "input_ids"), "batch_dims", 1)]).unwrap().1, 1000);
    let smallest = [gather("words", "input_ids"), gather("positions", "input_ids")];
    assert_eq!(rows(&smallest), Some(("positions".to_owned(), 64)), "no id may exceed the smallest");
    // Each is made of the other.
    let cycle = [node("Cast", "", &["b"], "a"), node("Cast", "", &["a"], "b"), gather("a", "b")];
    assert_eq!(rows(&cycle), None);
    let no_ids = model_of(8, &[("", 17)], &graph(&[gather("words", "input_ids")]), &[]);
    assert_eq!(Model::parse(&no_ids).unwrap().embedding_table(), None);
}

fn check(bytes: &[u8]) -> Result<(), OperatorError> {
    Model::parse(bytes).unwrap().check_operators()
}

#[test]
fn operators_of_real_models_are_there() {
    for (name, _) in COMMITTED {
        assert_eq!(check(&committed(name)), Ok(()), "{name}");
    }
    assert_eq!(check(&with_lookups()), Ok(()));
}

#[test]
fn versions_are_those_that_onnx_runtime_was_measured_to_run() {
    let version = |version| check(&model_of(version, &[("", 17)], &[], &[]));
    assert_eq!([0, 3, 10, 11].map(version), [const { Ok(()) }; 4]);
    assert_eq!(version(12), Err(OperatorError::IrVersion { version: 12 }));
    let expected = "the model has IR version 12, but ONNX Runtime 1.23.2 reads at most 11";
    assert_eq!(version(12).unwrap_err().to_string(), expected);
    for (domain, oldest, newest) in [
        ("", 7, 23),
        ("ai.onnx", 7, 23),
        ("ai.onnx.ml", 1, 5),
        ("ai.onnx.training", 1, 1),
        ("ai.onnx.preview.training", 1, 1),
        ("com.microsoft", 1, 1),
        ("com.microsoft.nchwc", 1, 1),
        ("com.microsoft.experimental", 1, 1),
        ("com.ms.internal.nhwc", 1, 23),
    ] {
        let check = |version| check(&model_of(8, &[("", 17), (domain, version)], &[], &[]));
        assert_eq!((check(oldest), check(newest)), (Ok(()), Ok(())), "{domain}");
        for version in [oldest - 1, newest + 1, u64::MAX] {
            let error = check(version).unwrap_err();
            let OperatorError::OperatorSet { domain: named, version: found, .. } = &error else {
                panic!("{error}")
            };
            assert_eq!(
                (named.as_str(), *found),
                (if domain.is_empty() { "ai.onnx" } else { domain }, version)
            );
        }
    }
    let error = check(&model_of(8, &[("", 24)], &[], &[])).unwrap_err();
    let expected =
        "the model uses version 24 of the operators of `ai.onnx`, but ONNX Runtime 1.23.2 has 7 to 23";
    assert_eq!(error.to_string(), expected);
    assert!(error.hint().contains("--opset 17"));
    // Nobody's own operators have versions that anyone could know.
    assert_eq!(check(&model_of(8, &[("", 17), ("local", u64::MAX)], &[], &[])), Ok(()));
}

fn unknown(node: &str, operator: &str, domain: &str) -> Result<(), OperatorError> {
    let [node, operator, domain] = [node, operator, domain].map(str::to_owned);
    Err(OperatorError::UnknownDomain { node, operator, domain })
}

#[test]
fn operators_that_nothing_defines_are_named() {
    for domain in
        ["", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"]
    {
        assert_eq!(check(&model(&[node("Some", domain, &[], "y")])), Ok(()), "{domain}");
    }
    for domain in ["ai.onnx.contrib", "ai.onnx.training", "com.microsoft.experimental", "com.microsof", "x\n"]
    {
        let nodes = [node("Abs", "", &[], "x"), node("Some", domain, &[], "y")];
        assert_eq!(check(&model(&nodes)), unknown("y", "Some", domain));
    }
    let named = [node("Some", "x\n", &[], "y"), bytes(3, b"/layer")].concat();
    let error = check(&model(&[named])).unwrap_err();
    let expected = "the node `/layer` has the operator `Some` of `x\\n`, which neither ONNX Runtime 1.23.2 nor the model defines";
    assert_eq!(error.to_string(), expected);
    assert!(error.hint().contains("without custom operators"));
    for number in [6, 11] {
        let branch = bytes(1, &node("Deep", "x", &[], "z"));
        let nodes = [[node("If", "", &[], "y"), bytes(5, &bytes(number, &branch))].concat()];
        assert_eq!(check(&model(&nodes)), unknown("z", "Deep", "x"));
    }
}

fn function(domain: &str, name: &str, version: u64, nodes: &[Vec<u8>]) -> Vec<u8> {
    let nodes: Vec<u8> = nodes.iter().flat_map(|node| bytes(7, node)).collect();
    let set = bytes(9, &[bytes(1, b""), integer(2, version)].concat());
    [bytes(1, name.as_bytes()), nodes, set, bytes(10, domain.as_bytes())].concat()
}

#[test]
fn functions_define_operators() {
    let sets = [("", 17), ("local", 1)];
    let call = |name| graph(&[node(name, "local", &["x"], "y")]);
    let check = |graph: &[u8], functions: &[Vec<u8>]| check(&model_of(8, &sets, graph, functions));
    let good = function("local", "F", 17, &[node("Abs", "", &[], "z")]);
    assert_eq!(check(&call("F"), std::slice::from_ref(&good)), Ok(()));
    assert_eq!(check(&call("G"), std::slice::from_ref(&good)), unknown("y", "G", "local"));
    let overloaded = [good.clone(), bytes(13, b"double")].concat();
    assert_eq!(check(&call("F"), std::slice::from_ref(&overloaded)), unknown("y", "F", "local"));
    let calls = graph(&[[node("F", "local", &[], "y"), bytes(8, b"double")].concat()]);
    assert_eq!(check(&calls, &[overloaded]), Ok(()));

    let outer = function("local", "F", 17, &[node("Inner", "local", &[], "z")]);
    assert_eq!(check(&call("F"), std::slice::from_ref(&outer)), unknown("z", "Inner", "local"));
    let bad = function("local", "Inner", 17, &[node("Zap", "x", &[], "w")]);
    assert_eq!(check(&call("F"), &[bad.clone(), outer]), unknown("w", "Zap", "x"));
    // ONNX Runtime does not look at the nodes of a function that nothing calls, but at its operator sets.
    assert_eq!(check(&call("F"), &[good.clone(), bad]), Ok(()));
    let newer = function("local", "G", 24, &[]);
    let error = check(&call("F"), &[good.clone(), newer]).unwrap_err();
    assert!(matches!(error, OperatorError::OperatorSet { version: 24, .. }), "{error}");
    assert_eq!(check(&call("F"), &[good, function("local", "G", 1, &[])]), Ok(()), "an older one");
    // One that calls itself is looked at once.
    let endless = function("local", "F", 17, &[node("F", "local", &[], "z")]);
    assert_eq!(check(&call("F"), &[endless]), Ok(()));
}

#[test]
fn nodes_that_are_no_messages_are_errors() {
    let graph = bytes(1, &[0xff]);
    let error = Model::parse(&model_of(8, &[("", 17)], &graph, &[])).unwrap_err();
    assert!(matches!(error, OnnxError::Wire(_)), "{error}");
}
