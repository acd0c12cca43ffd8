//! What a graph takes and gives, and where its weights stand.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use super::{OnnxError, field};
use crate::WireError;
use crate::wire::{Value, fields};

/// The type of a tensor's elements (`TensorProto.DataType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ElementType {
    /// 32-bit floating point.
    Float,
    /// 16-bit floating point.
    Float16,
    /// 16-bit floating point with the exponent of 32-bit, "brain" floating point.
    BFloat16,
    /// 64-bit floating point.
    Double,
    /// 32-bit integer.
    Int32,
    /// 64-bit integer.
    Int64,
    /// Truth values.
    Bool,
    /// Texts, which have no raw form.
    String,
    /// Another number of `TensorProto.DataType`.
    Other(u64),
}

impl ElementType {
    fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Float,
            6 => Self::Int32,
            7 => Self::Int64,
            8 => Self::String,
            9 => Self::Bool,
            10 => Self::Float16,
            11 => Self::Double,
            16 => Self::BFloat16,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Float => "float32",
            Self::Float16 => "float16",
            Self::BFloat16 => "bfloat16",
            Self::Double => "float64",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Other(number) => return f.pad(&format!("data type {number}")),
        })
    }
}

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

/// Where the values of an initializer stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitializerData {
    /// As raw bytes at this range of the model.
    Raw(Range<usize>),
    /// In another file, named relative to the model's folder.
    External {
        /// That file.
        location: String,
    },
    /// In the typed fields of the message.
    Typed,
}

/// A constant of the graph: usually, a weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initializer {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub element_type: ElementType,
    /// Its shape.
    pub dimensions: Vec<u64>,
    /// Where its values stand.
    pub data: InitializerData,
}

/// A set of operators that a model uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorSet {
    /// Empty for ONNX's own.
    pub domain: String,
    /// Its version.
    pub version: u64,
}

/// What can be told of a model without decoding its weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The operators it uses.
    pub operator_sets: Vec<OperatorSet>,
    /// What a caller must feed, in the graph's order: initializers that old models also list as inputs are left out.
    pub inputs: Vec<TensorInfo>,
    /// What the graph gives, in its order.
    pub outputs: Vec<TensorInfo>,
    /// The constants of the main graph.
    pub initializers: Vec<Initializer>,
}

impl Model {
    /// Walks a model. Only names, shapes and tags are touched, not the weights.
    ///
    /// # Errors
    /// See [`OnnxError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, OnnxError> {
        let mut operator_sets = Vec::new();
        let mut ir_version = None;
        for item in fields(bytes, 0..bytes.len()) {
            let item = item?;
            match item.number {
                field::model::IR_VERSION => ir_version = Some(item.varint()?),
                field::model::OPSET_IMPORT => operator_sets.push(operator_set(bytes, item.bytes()?)?),
                _ => {}
            }
        }
        if ir_version.is_none() {
            return Err(OnnxError::NotOnnx { missing: "IR version" });
        }
        let graph = graph_range(bytes)?;
        // Exporters write the operator sets last, so this is also how a model that was cut behind its graph is told.
        if operator_sets.is_empty() {
            return Err(OnnxError::NotOnnx { missing: "operator set" });
        }
        let (mut inputs, mut outputs, mut initializers) = (Vec::new(), Vec::new(), Vec::new());
        for item in fields(bytes, graph) {
            let item = item?;
            match item.number {
                field::graph::INPUT => inputs.push(tensor_info(bytes, item.bytes()?)?),
                field::graph::OUTPUT => outputs.push(tensor_info(bytes, item.bytes()?)?),
                field::graph::INITIALIZER => initializers.push(initializer(bytes, item.bytes()?)?),
                _ => {}
            }
        }
        let constants: HashSet<&str> =
            initializers.iter().map(|initializer| initializer.name.as_str()).collect();
        inputs.retain(|input: &TensorInfo| !constants.contains(input.name.as_str()));
        Ok(Self { operator_sets, inputs, outputs, initializers })
    }

    /// The files besides the model that hold values of its initializers.
    pub fn external_files(&self) -> Vec<&str> {
        let mut files: Vec<_> = self
            .initializers
            .iter()
            .filter_map(|initializer| match &initializer.data {
                InitializerData::External { location } => Some(location.as_str()),
                InitializerData::Raw(_) | InitializerData::Typed => None,
            })
            .collect();
        files.sort_unstable();
        files.dedup();
        files
    }
}

/// Where the only graph stands.
pub(super) fn graph_range(bytes: &[u8]) -> Result<Range<usize>, OnnxError> {
    let mut graph = None;
    for item in fields(bytes, 0..bytes.len()) {
        let item = item?;
        if item.number == field::model::GRAPH && graph.replace(item.bytes()?).is_some() {
            return Err(OnnxError::SeveralGraphs);
        }
    }
    graph.ok_or(OnnxError::NotOnnx { missing: "graph" })
}

fn text(bytes: &[u8], range: Range<usize>) -> Result<String, OnnxError> {
    let offset = range.start;
    let text = std::str::from_utf8(&bytes[range]).map_err(|_| OnnxError::Text { offset })?;
    Ok(text.to_owned())
}

fn operator_set(bytes: &[u8], range: Range<usize>) -> Result<OperatorSet, OnnxError> {
    let mut set = OperatorSet { domain: String::new(), version: 0 };
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
                        shape.push(dimension(bytes, item.bytes()?)?);
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

fn initializer(bytes: &[u8], range: Range<usize>) -> Result<Initializer, OnnxError> {
    let mut name = String::new();
    let mut element_type = ElementType::Other(0);
    let mut dimensions = Vec::new();
    let (mut raw, mut is_external, mut location) = (None, false, String::new());
    for item in fields(bytes, range) {
        let item = item?;
        match item.number {
            field::tensor::DIMENSIONS => match &item.value {
                Value::Bytes(range) => packed(bytes, range.clone(), &mut dimensions)?,
                _ => dimensions.push(item.varint()?),
            },
            field::tensor::DATA_TYPE => element_type = ElementType::from_number(item.varint()?),
            field::tensor::NAME => name = text(bytes, item.bytes()?)?,
            field::tensor::RAW_DATA => raw = Some(item.bytes()?),
            field::tensor::DATA_LOCATION => is_external = item.varint()? == field::tensor::EXTERNAL,
            field::tensor::EXTERNAL_DATA => {
                let (key, value) = entry(bytes, item.bytes()?)?;
                if key == "location" {
                    location = value;
                }
            }
            _ => {}
        }
    }
    let data = match raw {
        _ if is_external => InitializerData::External { location },
        Some(range) => InitializerData::Raw(range),
        None => InitializerData::Typed,
    };
    Ok(Initializer { name, element_type, dimensions, data })
}

/// Reads packed variable-length integers.
fn packed(bytes: &[u8], range: Range<usize>, into: &mut Vec<u64>) -> Result<(), WireError> {
    let mut position = range.start;
    while position < range.end {
        let mut value = 0_u64;
        let start = position;
        loop {
            let shift = 7 * (position - start);
            let byte = bytes[..range.end].get(position).filter(|_| shift < 64);
            let byte = *byte.ok_or(WireError::Varint { offset: start })?;
            position += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        into.push(value);
    }
    Ok(())
}

fn entry(bytes: &[u8], range: Range<usize>) -> Result<(String, String), OnnxError> {
    let (mut key, mut value) = (String::new(), String::new());
    for item in fields(bytes, range) {
        let item = item?;
        match item.number {
            field::entry::KEY => key = text(bytes, item.bytes()?)?,
            field::entry::VALUE => value = text(bytes, item.bytes()?)?,
            _ => {}
        }
    }
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn element_types_have_the_numbers_of_the_specification() {
        let name = |number| ElementType::from_number(number).to_string();
        assert_eq!([1, 10, 11, 16].map(name), ["float32", "float16", "float64", "bfloat16"]);
        assert_eq!([6, 7, 8, 9, 17].map(name), ["int32", "int64", "string", "bool", "data type 17"]);
    }
}
