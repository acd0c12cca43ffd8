//! The nodes of a graph, read where they lie.

use std::ops::Range;

use super::{OnnxError, field};
use crate::wire::fields;

/// A node, with as many of its inputs as anything here asks for.
#[derive(Debug, Default)]
pub(super) struct Node<'a> {
    pub(super) name: &'a [u8],
    pub(super) operator: &'a [u8],
    /// Empty for ONNX's own operators, which a model may also call `ai.onnx`.
    pub(super) domain: &'a [u8],
    pub(super) overload: &'a [u8],
    pub(super) inputs: [&'a [u8]; 3],
    /// Its first output.
    pub(super) output: &'a [u8],
    range: Range<usize>,
}

impl<'a> Node<'a> {
    /// Reads the `NodeProto` at `range`, without its attributes.
    pub(super) fn read(bytes: &'a [u8], range: Range<usize>) -> Result<Self, OnnxError> {
        let mut node = Self { range: range.clone(), ..Self::default() };
        let (mut inputs, mut outputs) = (0, 0);
        for item in fields(bytes, range) {
            let item = item?;
            let text = |item: &crate::wire::Field| item.bytes().map(|range| &bytes[range]);
            match item.number {
                field::node::INPUT => {
                    if let Some(input) = node.inputs.get_mut(inputs) {
                        *input = text(&item)?;
                    }
                    inputs += 1;
                }
                field::node::OUTPUT => {
                    if outputs == 0 {
                        node.output = text(&item)?;
                    }
                    outputs += 1;
                }
                field::node::NAME => node.name = text(&item)?,
                field::node::OPERATOR => node.operator = text(&item)?,
                field::node::DOMAIN => node.domain = text(&item)?,
                field::node::OVERLOAD => node.overload = text(&item)?,
                _ => {}
            }
        }
        if node.domain == super::operators::ALIAS.as_bytes() {
            node.domain = b"";
        }
        Ok(node)
    }

    /// The graphs in its attributes.
    pub(super) fn graphs(&self, bytes: &[u8]) -> impl Iterator<Item = Result<Range<usize>, OnnxError>> {
        let attributes = fields(bytes, self.range.clone());
        let attributes = attributes.filter(|item| is_field(item, &[field::node::ATTRIBUTE]));
        attributes.flat_map(move |attribute| {
            let range = attribute.and_then(|attribute| attribute.bytes());
            // An error goes on as the only item.
            let (range, error) = match range {
                Ok(range) => (range, None),
                Err(error) => (0..0, Some(Err(error.into()))),
            };
            let graphs = fields(bytes, range)
                .filter(|item| is_field(item, &[field::attribute::GRAPH, field::attribute::GRAPHS]))
                .map(|item| Ok(item?.bytes()?));
            error.into_iter().chain(graphs)
        })
    }

    /// The integer attribute of a name, 0 where there is none.
    pub(super) fn integer(&self, bytes: &[u8], name: &str) -> Result<u64, OnnxError> {
        for item in fields(bytes, self.range.clone()) {
            let item = item?;
            if item.number != field::node::ATTRIBUTE {
                continue;
            }
            let (mut is_named, mut value) = (false, 0);
            for item in fields(bytes, item.bytes()?) {
                let item = item?;
                match item.number {
                    field::attribute::NAME => is_named = bytes[item.bytes()?] == *name.as_bytes(),
                    field::attribute::INTEGER => value = item.varint()?,
                    _ => {}
                }
            }
            if is_named {
                return Ok(value);
            }
        }
        Ok(0)
    }
}

fn is_field(item: &Result<crate::wire::Field, crate::WireError>, numbers: &[u32]) -> bool {
    item.as_ref().map_or(true, |item| numbers.contains(&item.number))
}

/// The nodes of the graph or function at `range`, whose field of nodes has this number.
pub(super) fn nodes(
    bytes: &[u8],
    range: Range<usize>,
    number: u32,
) -> impl Iterator<Item = Result<Node<'_>, OnnxError>> {
    fields(bytes, range)
        .filter(move |item| is_field(item, &[number]))
        .map(move |item| Node::read(bytes, item?.bytes()?))
}
