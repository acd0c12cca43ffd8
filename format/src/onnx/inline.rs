//! A model with the values of some external tensors in it.

use std::collections::HashMap;

use super::external::{check_location, extent, no_file};
use super::rewrite::{rewrite, without_values};
use super::tensor::InitializerData;
use super::tree::Message;
use super::{OnnxError, field};
use crate::wire::put_bytes;

/// No message of protobuf is longer. A few bytes can ask for the same large range again and again.
const LIMIT: usize = (1 << 31) - 1;

/// Copies a model, with the values of each external tensor that is no initializer of the main graph in it, as raw data.
/// `files` are the external files, each by the name that the model has for it.
///
/// ONNX Runtime takes external files from memory too, but from there only initializers of the main graph.
///
/// # Errors
/// See [`OnnxError`]. What [`check_external`](super::check_external) refuses is refused here too, also of the initializers
/// that stay external.
pub fn inline_beyond_main_graph(model: &[u8], files: &[(&str, &[u8])]) -> Result<Vec<u8>, OnnxError> {
    let files: HashMap<_, _> = files.iter().copied().collect();
    let mut room = LIMIT;
    rewrite(model, &mut |kind, tensor, content| {
        let InitializerData::External { location, .. } = &tensor.data else {
            return Ok(None);
        };
        check_location(&tensor.name, location)?;
        let file = files.get(location.as_str()).ok_or_else(|| no_file(tensor, location))?;
        let range = extent(tensor, file.len() as u64)?;
        if kind == Message::Weight {
            return Ok(None);
        }
        let index = |position| usize::try_from(position).expect("it is within a slice");
        let values = &file[index(range.start)..index(range.end)];
        let too_many = OnnxError::TooMany { what: "bytes of external data in inner graphs", limit: LIMIT };
        room = room.checked_sub(values.len()).ok_or(too_many)?;
        let mut out = without_values(model, content)?;
        put_bytes(&mut out, field::tensor::RAW_DATA, values);
        Ok(Some(out))
    })
}
