//! The table that turns tokens into vectors, which says how many different tokens a graph can take.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::node::{Node, nodes};
use super::{Initializer, OnnxError, TensorInfo, field};
use crate::ModelInput;

/// The initializer that token ids index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddingTable {
    /// Its name.
    pub name: String,
    /// Its first dimension: ids from this on have no vector.
    pub rows: u64,
}

/// The graph's input that holds token ids.
const IDS: &str = ModelInput::InputIds.name();

/// How many nodes may stand between the ids or a table and the node that looks up.
const STEPS: usize = 16;

/// Finds, among the initializers, the table that ids index in the main graph: the smallest where they index several. The
/// nodes may stand in any order, as ONNX Runtime takes them.
pub(super) fn find(
    bytes: &[u8],
    graph: Range<usize>,
    inputs: &[TensorInfo],
    initializers: &[Initializer],
) -> Result<Option<usize>, OnnxError> {
    if !inputs.iter().any(|input| input.name == IDS) {
        return Ok(None);
    }
    let mut names = Names::default();
    let mut lookups = Vec::new();
    // What a node that changes only type or shape gives, to what it takes.
    let (mut ids_from, mut table_from) = (HashMap::new(), HashMap::new());
    for node in nodes(bytes, graph, field::graph::NODE) {
        let node = node?;
        let (is_for_ids, is_for_table) = match node.operator {
            b"Cast" | b"Identity" => (true, true),
            b"Unsqueeze" | b"Squeeze" | b"Reshape" => (true, false),
            b"DequantizeLinear" => (false, true),
            _ => {
                if let Some([table, ids]) = lookup(bytes, &node)? {
                    lookups.push((names.number(table), names.number(ids)));
                }
                continue;
            }
        };
        let (output, input) = (names.number(node.output), names.number(node.inputs[0]));
        if is_for_ids {
            ids_from.insert(output, input);
        }
        if is_for_table {
            table_from.insert(output, input);
        }
    }
    let ids = names.number(IDS.as_bytes());
    let tables = lookups.into_iter().filter(|&(_, from)| origin(&ids_from, from) == ids);
    let tables: HashSet<_> = tables.map(|(table, _)| origin(&table_from, table)).collect();
    let is_table = |constant: &Initializer| {
        let number = names.0.get(constant.name.as_bytes());
        !constant.dimensions.is_empty() && number.is_some_and(|number| tables.contains(number))
    };
    let found = initializers.iter().enumerate().filter(|(_, constant)| is_table(constant));
    Ok(found.min_by_key(|(_, constant)| constant.dimensions[0]).map(|(index, _)| index))
}

/// Numbers for the names of values, so that each name is read once, however long it is and however often others lead to it.
#[derive(Default)]
struct Names<'a>(HashMap<&'a [u8], usize>);

impl<'a> Names<'a> {
    fn number(&mut self, name: &'a [u8]) -> usize {
        let next = self.0.len();
        *self.0.entry(name).or_insert(next)
    }
}

/// The names of the table and of the ids, if a node looks up.
fn lookup<'a>(bytes: &[u8], node: &Node<'a>) -> Result<Option<[&'a [u8]; 2]>, OnnxError> {
    let [first, second, third] = node.inputs;
    let axis = match (node.domain, node.operator) {
        (b"", b"Gather") => "axis",
        (b"com.microsoft", b"GatherBlockQuantized") => "gather_axis",
        (b"com.microsoft", b"EmbedLayerNormalization" | b"QEmbedLayerNormalization") => {
            return Ok(Some([third, first]));
        }
        _ => return Ok(None),
    };
    // Along another axis, ids index something else than rows.
    let is_by_row = node.integer(bytes, axis)? == 0;
    Ok(is_by_row.then_some([first, second]))
}

/// Follows a value back to where it comes from.
fn origin(from: &HashMap<usize, usize>, mut value: usize) -> usize {
    for _ in 0..STEPS {
        match from.get(&value) {
            Some(&source) => value = source,
            None => break,
        }
    }
    value
}
