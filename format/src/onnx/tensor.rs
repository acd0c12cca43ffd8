//! Tensors that stand in a model, and where their values stand.

use std::ops::Range;

use super::model::text;
use super::{ElementType, OnnxError, field};
use crate::WireError;
use crate::wire::{Value, fields};

/// No tensor has more dimensions; more are damage, and would only take memory.
pub(super) const RANK_LIMIT: usize = 64;

/// Where the values of an initializer stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitializerData {
    /// As raw bytes at this range of the model.
    Raw(Range<usize>),
    /// In another file, as ONNX's document on external data has it. Nothing of it is checked by [`Model::parse`], see
    /// [`check_external`].
    ///
    /// [`Model::parse`]: super::Model::parse
    /// [`check_external`]: super::check_external
    External {
        /// That file, named relative to the model's folder.
        location: String,
        /// Byte of the file at which they start, 0 where the model says none.
        offset: u64,
        /// How many bytes they are, where the model says it.
        length: Option<u64>,
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

impl Initializer {
    /// Reads the `TensorProto` at `range`, without its values.
    pub(super) fn read(bytes: &[u8], range: Range<usize>) -> Result<Self, OnnxError> {
        let mut name = String::new();
        let mut element_type = ElementType::Other(0);
        let mut dimensions = Vec::new();
        let mut raw = None;
        let mut is_external = false;
        let (mut location, mut offset, mut length) = (String::new(), None, None);
        for item in fields(bytes, range) {
            let item = item?;
            match item.number {
                field::tensor::DIMENSIONS => match &item.value {
                    Value::Bytes(range) => packed(bytes, range.clone(), &mut dimensions)?,
                    _ => push_dimension(&mut dimensions, item.varint()?)?,
                },
                field::tensor::DATA_TYPE => element_type = ElementType::from_number(item.varint()?),
                field::tensor::NAME => name = text(bytes, item.bytes()?)?,
                field::tensor::RAW_DATA => raw = Some(item.bytes()?),
                field::tensor::DATA_LOCATION => is_external = item.varint()? == field::tensor::EXTERNAL,
                field::tensor::EXTERNAL_DATA => {
                    let (key, value) = entry(bytes, item.bytes()?)?;
                    match key.as_str() {
                        "location" => location = value,
                        "offset" => offset = Some(value),
                        "length" => length = Some(value),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        let number = |key, text: Option<String>| text.map(|text| decimal(&name, key, text)).transpose();
        let data = match raw {
            _ if is_external => {
                let offset = number("offset", offset)?.unwrap_or(0);
                InitializerData::External { location, offset, length: number("length", length)? }
            }
            Some(range) => InitializerData::Raw(range),
            None => InitializerData::Typed,
        };
        Ok(Self { name, element_type, dimensions, data })
    }

    /// How many bytes the values are in raw form, where their shape and type say it.
    pub(super) fn size(&self) -> Result<Option<u64>, OnnxError> {
        let Some(bits) = self.element_type.bits() else {
            return Ok(None);
        };
        if self.dimensions.contains(&0) {
            return Ok(Some(0));
        }
        let bits =
            self.dimensions.iter().try_fold(u128::from(bits), |bits, &size| bits.checked_mul(size.into()));
        let size = bits.and_then(|bits| u64::try_from(bits.div_ceil(8)).ok());
        size.map(Some).ok_or_else(|| OnnxError::TooLarge { tensor: self.name.clone() })
    }
}

/// Numbers in external data are decimal texts, without sign or space.
fn decimal(tensor: &str, key: &'static str, text: String) -> Result<u64, OnnxError> {
    let number = Some(&text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    number.and_then(|text| text.parse().ok()).ok_or_else(|| OnnxError::ExternalNumber {
        tensor: tensor.to_owned(),
        key,
        value: text,
    })
}

fn push_dimension(dimensions: &mut Vec<u64>, size: u64) -> Result<(), OnnxError> {
    if dimensions.len() == RANK_LIMIT {
        return Err(OnnxError::TooMany { what: "dimensions of a tensor", limit: RANK_LIMIT });
    }
    dimensions.push(size);
    Ok(())
}

/// Reads packed variable-length integers.
fn packed(bytes: &[u8], range: Range<usize>, into: &mut Vec<u64>) -> Result<(), OnnxError> {
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
        push_dimension(into, value)?;
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
