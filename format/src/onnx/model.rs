//! What a graph takes and gives, and where its weights stand.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use super::tensor::RANK_LIMIT;
use super::{ElementType, EmbeddingTable, Initializer, OnnxError, OperatorError, field};
use super::{embedding, external, operators};
use crate::wire::fields;

/// No graph has more constants, and none has more inputs, outputs or operator sets; more are damage, and would only take
/// memory.
const INITIALIZERS_LIMIT: usize = 1 << 18;
const LIST_LIMIT: usize = 1 << 12;

/// One dimension of a declared shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dimension {
    /// A number.
    Fixed(u64),
    /// A name, such as `batch`; empty where the model leaves it open.
    Named(String),
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "{size}"),
            Self::Named(name) if name.is_empty() => f.write_str("?"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// An input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// None for what is not a tensor.
    pub element_type: Option<ElementType>,
    /// None where the model declares no shape.
    pub shape: Option<Vec<Dimension>>,
}

impl fmt::Display for TensorInfo {
    /// As in `logits float32[batch, 3]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name is the model author's: it may hold anything.
        write!(f, "{}", self.name.escape_debug())?;
        if let Some(element_type) = self.element_type {
            write!(f, " {element_type}")?;
        }
        if let Some(shape) = &self.shape {
            let dimensions: Vec<_> = shape.iter().map(ToString::to_string).collect();
            write!(f, "[{}]", dimensions.join(", "))?;
        }
        Ok(())
    }
}

/// A set of operators that a model uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorSet {
    /// Empty for ONNX's own.
    pub domain: String,
    /// Its version.
    pub version: u64,
}

impl OperatorSet {
    pub(super) fn read(bytes: &[u8], range: Range<usize>) -> Result<Self, OnnxError> {
        let mut set = Self { domain: String::new(), version: 0 };
        for item in fields(bytes, range) {
            let item = item?;
            match item.number {
                field::operator_set::DOMAIN => set.domain = text(bytes, item.bytes()?)?,
                field::operator_set::VERSION => set.version = item.varint()?,
                _ => {}
            }
        }
        Ok(set)
    }
}

/// What can be told of a model without decoding its weights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model {
    /// The version of ONNX's intermediate representation that it is written in.
    pub ir_version: u64,
    /// The operators it uses.
    pub operator_sets: Vec<OperatorSet>,
    /// What a caller must feed, in the graph's order: initializers that old models also list as inputs are left out.
    pub inputs: Vec<TensorInfo>,
    /// What the graph gives, in its order.
    pub outputs: Vec<TensorInfo>,
    /// The constants of the main graph.
    pub initializers: Vec<Initializer>,
    /// See [`Model::external_files`].
    pub(crate) external_files: Vec<String>,
    /// Index of the initializer that is the embedding table.
    pub(crate) embedding_table: Option<usize>,
    /// What is wrong with the operators of nodes and functions.
    pub(crate) operator_error: Option<OperatorError>,
}

impl Model {
    /// Walks a model. Only names, shapes and tags are touched, not the weights.
    ///
    /// # Errors
    /// See [`OnnxError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, OnnxError> {
        let (mut operator_sets, mut functions) = (Vec::new(), Vec::new());
        let mut ir_version = None;
        for item in fields(bytes, 0..bytes.len()) {
            let item = item?;
            match item.number {
                field::model::IR_VERSION => ir_version = Some(item.varint()?),
                field::model::OPSET_IMPORT => {
                    let set = OperatorSet::read(bytes, item.bytes()?)?;
                    push(&mut operator_sets, set, "operator sets", LIST_LIMIT)?;
                }
                field::model::FUNCTION => functions.push(item.bytes()?),
                _ => {}
            }
        }
        let Some(ir_version) = ir_version else {
            return Err(OnnxError::NotOnnx { missing: "IR version" });
        };
        let graph = graph_range(bytes)?;
        // Exporters write the operator sets last, so this is also how a model that was cut behind its graph is told.
        if operator_sets.is_empty() {
            return Err(OnnxError::NotOnnx { missing: "operator set" });
        }
        let (mut inputs, mut outputs, mut initializers) = (Vec::new(), Vec::new(), Vec::new());
        for item in fields(bytes, graph.clone()) {
            let item = item?;
            match item.number {
                field::graph::INPUT => {
                    push(&mut inputs, tensor_info(bytes, item.bytes()?)?, "inputs", LIST_LIMIT)?;
                }
                field::graph::OUTPUT => {
                    push(&mut outputs, tensor_info(bytes, item.bytes()?)?, "outputs", LIST_LIMIT)?;
                }
                field::graph::INITIALIZER => {
                    let initializer = Initializer::read(bytes, item.bytes()?)?;
                    push(&mut initializers, initializer, "initializers", INITIALIZERS_LIMIT)?;
                }
                _ => {}
            }
        }
        let constants: HashSet<&str> =
            initializers.iter().map(|initializer: &Initializer| initializer.name.as_str()).collect();
        inputs.retain(|input: &TensorInfo| !constants.contains(input.name.as_str()));
        Ok(Self {
            ir_version,
            operator_sets,
            external_files: external::locations(bytes)?,
            embedding_table: embedding::find(bytes, graph.clone(), &inputs, &initializers)?,
            operator_error: operators::find(bytes, graph, functions)?,
            inputs,
            outputs,
            initializers,
        })
    }

    /// The files besides the model that hold values of its tensors, wherever in it those stand, in the order of their
    /// names. The names are the model's: [`check_location`](super::check_location) says whether one can be trusted.
    pub fn external_files(&self) -> Vec<&str> {
        self.external_files.iter().map(String::as_str).collect()
    }

    /// The initializer that the token ids of the input `input_ids` index in the main graph, where there is one: the one
    /// with the fewest rows where there are several, since no id may exceed it.
    pub fn embedding_table(&self) -> Option<EmbeddingTable> {
        let table = self.initializers.get(self.embedding_table?)?;
        Some(EmbeddingTable { name: table.name.clone(), rows: *table.dimensions.first()? })
    }
}

fn push<T>(list: &mut Vec<T>, item: T, what: &'static str, limit: usize) -> Result<(), OnnxError> {
    if list.len() == limit {
        return Err(OnnxError::TooMany { what, limit });
    }
    list.push(item);
    Ok(())
}

/// Where the only graph stands.
fn graph_range(bytes: &[u8]) -> Result<Range<usize>, OnnxError> {
    let mut graph = None;
    for item in fields(bytes, 0..bytes.len()) {
        let item = item?;
        if item.number == field::model::GRAPH && graph.replace(item.bytes()?).is_some() {
            return Err(OnnxError::SeveralGraphs);
        }
    }
    graph.ok_or(OnnxError::NotOnnx { missing: "graph" })
}

pub(super) fn text(bytes: &[u8], range: Range<usize>) -> Result<String, OnnxError> {
    let offset = range.start;
    let text = std::str::from_utf8(&bytes[range]).map_err(|_| OnnxError::Text { offset })?;
    Ok(text.to_owned())
}

fn tensor_info(bytes: &[u8], range: Range<usize>) -> Result<TensorInfo, OnnxError> {
    let mut info = TensorInfo { name: String::new(), element_type: None, shape: None };
    for item in fields(bytes, range) {
        let item = item?;
        match item.number {
            field::value_info::NAME => info.name = text(bytes, item.bytes()?)?,
            field::value_info::TYPE => {
                for item in fields(bytes, item.bytes()?) {
                    let item = item?;
                    if item.number == field::type_::TENSOR {
                        tensor_type(bytes, item.bytes()?, &mut info)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(info)
}

fn tensor_type(bytes: &[u8], range: Range<usize>, info: &mut TensorInfo) -> Result<(), OnnxError> {
    for item in fields(bytes, range) {
        let item = item?;
        match item.number {
            field::tensor_type::ELEMENT => info.element_type = Some(ElementType::from_number(item.varint()?)),
            field::tensor_type::SHAPE => {
                let mut shape = Vec::new();
                for item in fields(bytes, item.bytes()?) {
                    let item = item?;
                    if item.number == field::shape::DIMENSION {
                        let dimension = dimension(bytes, item.bytes()?)?;
                        push(&mut shape, dimension, "dimensions of a shape", RANK_LIMIT)?;
                    }
                }
                info.shape = Some(shape);
            }
            _ => {}
        }
    }
    Ok(())
}

fn dimension(bytes: &[u8], range: Range<usize>) -> Result<Dimension, OnnxError> {
    let mut dimension = Dimension::Named(String::new());
    for item in fields(bytes, range) {
        let item = item?;
        match item.number {
            field::dimension::VALUE => dimension = Dimension::Fixed(item.varint()?),
            field::dimension::PARAMETER => dimension = Dimension::Named(text(bytes, item.bytes()?)?),
            _ => {}
        }
    }
    Ok(dimension)
}
