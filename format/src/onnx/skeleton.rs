//! A model without its large weights.

use std::ops::Range;

use super::model::graph_range;
use super::{OnnxError, field};
use crate::wire::{Field, fields, put_bytes, put_integer};

/// `TensorProto.DataType.STRING`: such tensors have no raw data.
const STRING: u64 = 8;

/// Builds the skeleton of a model: each initializer of the main graph with at least `threshold` bytes of raw data points
/// at them as external data, `location` being the file that holds the model from byte `file_offset` on. Everything else,
/// known or not, stays as it is.
///
/// Initializers of subgraphs, and those stored in typed fields, stay inline.
///
/// # Errors
/// See [`OnnxError`].
pub fn externalize(
    model: &[u8],
    location: &str,
    file_offset: u64,
    threshold: usize,
) -> Result<Vec<u8>, OnnxError> {
    let graph = graph_range(model)?;
    let mut skeleton = Vec::new();
    for item in fields(model, graph) {
        let item = item?;
        let raw = match item.number {
            field::graph::INITIALIZER => raw_data(model, item.bytes()?)?,
            _ => None,
        };
        match raw {
            Some(raw) if raw.len() >= threshold => {
                let place = Place { location, offset: file_offset + raw.start as u64, length: raw.len() };
                let tensor = external_tensor(model, item.bytes()?, &place)?;
                put_bytes(&mut skeleton, field::graph::INITIALIZER, &tensor);
            }
            _ => skeleton.extend_from_slice(&model[item.span]),
        }
    }
    let mut out = Vec::with_capacity(skeleton.len() + 4096);
    for item in fields(model, 0..model.len()) {
        let item = item?;
        match item.number {
            field::model::GRAPH => put_bytes(&mut out, field::model::GRAPH, &skeleton),
            _ => out.extend_from_slice(&model[item.span]),
        }
    }
    Ok(out)
}

/// Where the raw data of a tensor stands, if that is how it is stored.
fn raw_data(model: &[u8], tensor: Range<usize>) -> Result<Option<Range<usize>>, OnnxError> {
    let mut raw = None;
    for item in fields(model, tensor) {
        let item = item?;
        match item.number {
            field::tensor::RAW_DATA => raw = Some(item.bytes()?),
            field::tensor::DATA_LOCATION if item.varint()? == field::tensor::EXTERNAL => return Ok(None),
            field::tensor::DATA_TYPE if item.varint()? == STRING => return Ok(None),
            _ => {}
        }
    }
    Ok(raw)
}

struct Place<'a> {
    location: &'a str,
    offset: u64,
    length: usize,
}

fn external_tensor(model: &[u8], tensor: Range<usize>, place: &Place<'_>) -> Result<Vec<u8>, OnnxError> {
    let mut out = Vec::new();
    for item in fields(model, tensor) {
        let Field { number, span, .. } = item?;
        let replaced = [field::tensor::RAW_DATA, field::tensor::EXTERNAL_DATA, field::tensor::DATA_LOCATION];
        if !replaced.contains(&number) {
            out.extend_from_slice(&model[span]);
        }
    }
    let entries = [
        ("location", place.location.to_owned()),
        ("offset", place.offset.to_string()),
        ("length", place.length.to_string()),
    ];
    for (key, value) in entries {
        let mut entry = Vec::new();
        put_bytes(&mut entry, field::entry::KEY, key.as_bytes());
        put_bytes(&mut entry, field::entry::VALUE, value.as_bytes());
        put_bytes(&mut out, field::tensor::EXTERNAL_DATA, &entry);
    }
    put_integer(&mut out, field::tensor::DATA_LOCATION, field::tensor::EXTERNAL);
    Ok(out)
}
