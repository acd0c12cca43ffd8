//! A model without its large weights.

use std::collections::HashMap;
use std::ops::Range;

use super::external::{check_location, extent, no_file};
use super::rewrite::{rewrite, without_values};
use super::tensor::{Initializer, InitializerData};
use super::tree::Message;
use super::{ElementType, OnnxError, field};
use crate::wire::{put_bytes, put_integer};

/// Where a model stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The file that holds it, relative to the folder that ONNX Runtime is given.
    pub location: &'a str,
    /// The byte of that file at which it starts.
    pub offset: u64,
}

/// Builds the skeleton of a model that stands at `place`, together with its external `files`, each by the name that the
/// model has for it and its range of bytes in the file at `place`.
///
/// Each initializer of the main graph with at least `threshold` bytes of raw data points at them as external data. Each
/// tensor that is external already, wherever in the model it stands, points into the file at `place` instead of its own,
/// and says its length. What else their external data said (a checksum of the file, say) is dropped, as it does not hold
/// for the file at `place`. Everything else, known or not, stays as it is: raw data in graphs within the graph, and what
/// is stored in typed fields, stay inline.
///
/// # Errors
/// See [`OnnxError`]. What [`check_external`](super::check_external) refuses is refused here too.
pub fn externalize(
    model: &[u8],
    place: &Place<'_>,
    files: &[(&str, Range<u64>)],
    threshold: usize,
) -> Result<Vec<u8>, OnnxError> {
    let files = files.iter().map(|(name, range)| (*name, range.clone())).collect();
    let skeleton = Skeleton { place, files, threshold };
    rewrite(model, &mut |kind, tensor, content| {
        let Some(target) = skeleton.target(kind, tensor)? else {
            return Ok(None);
        };
        external_tensor(model, content, place.location, &target).map(Some)
    })
}

/// Decides which tensors point where.
struct Skeleton<'a> {
    place: &'a Place<'a>,
    files: HashMap<&'a str, Range<u64>>,
    threshold: usize,
}

impl Skeleton<'_> {
    /// The range of the file that a tensor is to point at, if it does not stay as it is.
    fn target(&self, kind: Message, tensor: &Initializer) -> Result<Option<Range<u64>>, OnnxError> {
        match &tensor.data {
            InitializerData::External { location, .. } => {
                check_location(&tensor.name, location)?;
                let file = self.files.get(location.as_str()).ok_or_else(|| no_file(tensor, location))?;
                let extent = extent(tensor, file.end.saturating_sub(file.start))?;
                Ok(Some(file.start + extent.start..file.start + extent.end))
            }
            InitializerData::Raw(raw)
                if kind == Message::Weight
                    && raw.len() >= self.threshold
                    && tensor.element_type != ElementType::String =>
            {
                let Place { location, offset } = *self.place;
                let start = offset.checked_add(raw.start as u64);
                let range = start.and_then(|start| Some(start..start.checked_add(raw.len() as u64)?));
                let outside = || OnnxError::OutsideFile {
                    tensor: tensor.name.clone(),
                    file: location.to_owned(),
                    offset,
                    length: raw.end as u64,
                    file_length: u64::MAX,
                };
                range.map(Some).ok_or_else(outside)
            }
            InitializerData::Raw(_) | InitializerData::Typed => Ok(None),
        }
    }
}

/// The tensor at `tensor` without its values, pointing at a range of a file.
fn external_tensor(
    model: &[u8],
    tensor: Range<usize>,
    location: &str,
    target: &Range<u64>,
) -> Result<Vec<u8>, OnnxError> {
    let mut out = without_values(model, tensor)?;
    let entries = [
        ("location", location.to_owned()),
        ("offset", target.start.to_string()),
        ("length", (target.end - target.start).to_string()),
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
