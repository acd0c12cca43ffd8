//! Whether ONNX Runtime has the operators of a model.

use std::collections::HashMap;
use std::ops::Range;

use super::node::{Node, nodes};
use super::tree::DEPTH_LIMIT;
use super::{Model, OnnxError, OperatorSet, field};
use crate::wire::fields;

/// The version of ONNX Runtime that everything here was measured with, by loading models of one node.
pub const ONNX_RUNTIME: &str = "1.23.2";

/// The newest version of ONNX's intermediate representation that ONNX Runtime 1.23.2 reads (measured: 0 to 11 load).
pub const NEWEST_IR_VERSION: u64 = 11;

/// The oldest version of ONNX's operators that is of use with ONNX Runtime 1.23.2 (measured: models of versions 1 to 6
/// load, but there is no implementation of `Add` and `Mul`).
pub const OLDEST_OPERATOR_SET: u64 = 7;

/// The newest version of ONNX's operators that ONNX Runtime 1.23.2 reads (measured: 24 and later do not load).
pub const NEWEST_OPERATOR_SET: u64 = 23;

/// Another name of ONNX's own domain, which is otherwise empty.
pub(super) const ALIAS: &str = "ai.onnx";

/// A domain that ONNX Runtime 1.23.2 knows.
struct Domain {
    name: &'static str,
    /// The versions of its operators that load (measured).
    oldest: u64,
    newest: u64,
    /// Whether it has any operator (as the Python package lists them).
    has_operators: bool,
}

const fn domain(name: &'static str, newest: u64, has_operators: bool) -> Domain {
    Domain { name, oldest: 1, newest, has_operators }
}

const DOMAINS: [Domain; 8] = [
    Domain { name: "", oldest: OLDEST_OPERATOR_SET, newest: NEWEST_OPERATOR_SET, has_operators: true },
    domain("ai.onnx.ml", 5, true),
    domain("com.microsoft", 1, true),
    domain("com.microsoft.nchwc", 1, true),
    domain("com.ms.internal.nhwc", NEWEST_OPERATOR_SET, true),
    domain("com.microsoft.experimental", 1, false),
    domain("ai.onnx.training", 1, false),
    domain("ai.onnx.preview.training", 1, false),
];

/// Why ONNX Runtime cannot run a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// A newer intermediate representation.
    #[error(
        "the model has IR version {version}, but ONNX Runtime {ONNX_RUNTIME} reads at most {NEWEST_IR_VERSION}"
    )]
    IrVersion {
        /// The model's.
        version: u64,
    },
    /// A newer or older set of operators.
    #[error(
        "the model uses version {version} of the operators of `{}`, but ONNX Runtime {ONNX_RUNTIME} has {oldest} to {newest}",
        .domain.escape_debug()
    )]
    OperatorSet {
        /// The set's domain, `ai.onnx` for ONNX's own.
        domain: String,
        /// The model's version.
        version: u64,
        /// The oldest version that works.
        oldest: u64,
        /// The newest one.
        newest: u64,
    },
    /// A node that nothing defines.
    #[error(
        "the node `{}` has the operator `{}` of `{}`, which neither ONNX Runtime {ONNX_RUNTIME} nor the model defines",
        .node.escape_debug(), .operator.escape_debug(), .domain.escape_debug()
    )]
    UnknownDomain {
        /// The node's name, or its first output where it has none.
        node: String,
        /// Its operator.
        operator: String,
        /// The operator's domain.
        domain: String,
    },
}

impl OperatorError {
    /// What the owner of the model can do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::IrVersion { .. } => {
                "save it with an older one: `m = onnx.load(IN); m.ir_version = 10; onnx.save(m, OUT)`"
            }
            Self::OperatorSet { .. } => {
                "export it with a version in between, as in `optimum-cli export onnx --opset 17`"
            }
            Self::UnknownDomain { .. } => {
                "export it without custom operators: an encoderfile has no libraries of them"
            }
        }
    }
}

impl Model {
    /// Whether the ONNX Runtime of encoderfiles, 1.23.2, has what the model asks for: its IR version, the versions of its
    /// operator sets, and, for each node that can be reached (in graphs within the graph and in functions, too), the
    /// operator's domain, unless a function of the model defines the operator.
    ///
    /// Whether there is an operator of a node's name is not checked, nor its inputs: ONNX Runtime says that best.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub fn check_operators(&self) -> Result<(), OperatorError> {
        if self.ir_version > NEWEST_IR_VERSION {
            return Err(OperatorError::IrVersion { version: self.ir_version });
        }
        self.operator_sets.iter().try_for_each(|set| check_set(set, true))?;
        self.operator_error.clone().map_or(Ok(()), Err)
    }
}

/// Functions may be written for an old set: their nodes may all be such as have not changed since.
fn check_set(set: &OperatorSet, is_of_model: bool) -> Result<(), OperatorError> {
    let name = if set.domain == ALIAS { "" } else { &set.domain };
    let Some(&Domain { oldest, newest, .. }) = DOMAINS.iter().find(|domain| domain.name == name) else {
        return Ok(());
    };
    if set.version <= newest && (set.version >= oldest || !is_of_model) {
        return Ok(());
    }
    let domain = if name.is_empty() { ALIAS } else { name }.to_owned();
    Err(OperatorError::OperatorSet { domain, version: set.version, oldest, newest })
}

/// What a node names a function by.
#[derive(PartialEq, Eq, Hash)]
struct Key<'a> {
    domain: &'a [u8],
    name: &'a [u8],
    overload: &'a [u8],
}

struct Function {
    range: Range<usize>,
    is_reached: bool,
}

/// Finds what is wrong with the operators of nodes and functions: ONNX Runtime refuses a function that asks for operators
/// of a later version even if nothing calls it, but does not look at such a function's nodes.
pub(super) fn find(
    bytes: &[u8],
    graph: Range<usize>,
    functions: Vec<Range<usize>>,
) -> Result<Option<OperatorError>, OnnxError> {
    let mut by_key = HashMap::new();
    for range in functions {
        let mut key = Key { domain: b"", name: b"", overload: b"" };
        for item in fields(bytes, range.clone()) {
            let item = item?;
            match item.number {
                field::function::NAME => key.name = &bytes[item.bytes()?],
                field::function::DOMAIN => key.domain = &bytes[item.bytes()?],
                field::function::OVERLOAD => key.overload = &bytes[item.bytes()?],
                field::function::OPSET_IMPORT => {
                    let set = OperatorSet::read(bytes, item.bytes()?)?;
                    if let Err(error) = check_set(&set, false) {
                        return Ok(Some(error));
                    }
                }
                _ => {}
            }
        }
        if key.domain == ALIAS.as_bytes() {
            key.domain = b"";
        }
        by_key.insert(key, Function { range, is_reached: false });
    }
    let mut search = Search { bytes, functions: by_key, pending: Vec::new() };
    let mut found = search.nodes(graph, field::graph::NODE, 0)?;
    while let (None, Some(function)) = (&found, search.pending.pop()) {
        found = search.nodes(function, field::function::NODE, 0)?;
    }
    Ok(found)
}

/// The way from the main graph to all nodes that it reaches.
struct Search<'a> {
    bytes: &'a [u8],
    functions: HashMap<Key<'a>, Function>,
    /// Functions that are called, and whose nodes were not looked at yet.
    pending: Vec<Range<usize>>,
}

impl<'a> Search<'a> {
    fn nodes(
        &mut self,
        range: Range<usize>,
        number: u32,
        depth: usize,
    ) -> Result<Option<OperatorError>, OnnxError> {
        if depth > DEPTH_LIMIT {
            return Err(OnnxError::TooDeep { offset: range.start });
        }
        for node in nodes(self.bytes, range, number) {
            let node = node?;
            if !self.is_defined(&node) {
                return Ok(Some(unknown(&node)));
            }
            for graph in node.graphs(self.bytes) {
                if let Some(error) = self.nodes(graph?, field::graph::NODE, depth + 1)? {
                    return Ok(Some(error));
                }
            }
        }
        Ok(None)
    }

    /// Whether something defines the operator of a node. A function that does is looked at later.
    fn is_defined(&mut self, node: &Node<'a>) -> bool {
        let key = Key { domain: node.domain, name: node.operator, overload: node.overload };
        if let Some(function) = self.functions.get_mut(&key) {
            if !function.is_reached {
                function.is_reached = true;
                self.pending.push(function.range.clone());
            }
            return true;
        }
        DOMAINS.iter().any(|domain| domain.has_operators && domain.name.as_bytes() == node.domain)
    }
}

fn unknown(node: &Node<'_>) -> OperatorError {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let name = if node.name.is_empty() { node.output } else { node.name };
    OperatorError::UnknownDomain {
        node: text(name),
        operator: text(node.operator),
        domain: text(node.domain),
    }
}
