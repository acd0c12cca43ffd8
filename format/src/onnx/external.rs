//! Tensors whose values stand in files beside the model.
//!
//! Source: `ExternalData.md` of the ONNX specification.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use super::OnnxError;
use super::tensor::{Initializer, InitializerData};
use super::tree::{self, Message, Visitor};
use crate::wire::Field;

/// Checks the external data of a model, wherever in it the tensors stand: the files have names that can be trusted, see
/// [`check_location`], and each tensor lies within its file and is as long as its shape and type ask for.
///
/// `files` gives the length of a file, none for one that does not exist. It is asked once per file, after its name was
/// checked.
///
/// # Errors
/// See [`OnnxError`].
pub fn check_external(model: &[u8], files: &dyn Fn(&str) -> Option<u64>) -> Result<(), OnnxError> {
    let mut lengths = HashMap::new();
    each_external(model, &mut |tensor, location| {
        let file_length = if let Some(&length) = lengths.get(location) {
            length
        } else {
            check_location(&tensor.name, location)?;
            let length = files(location);
            lengths.insert(location.to_owned(), length);
            length
        };
        let file_length = file_length.ok_or_else(|| no_file(tensor, location))?;
        extent(tensor, file_length).map(drop)
    })
}

/// Whether a file's name in a model can be trusted to be a file of the model's folder: relative, in ONNX's notation with
/// `/`, and never leaving the folder. `tensor` is for the message.
///
/// # Errors
/// [`OnnxError::Location`].
pub fn check_location(tensor: &str, location: &str) -> Result<(), OnnxError> {
    let reason = if location.is_empty() {
        "it is empty"
    } else if location.contains(['\\', '\0']) {
        "it has a backslash or a NUL in it"
    } else if location.starts_with('/') {
        "it is absolute"
    } else if location.split('/').any(|part| part == "..") {
        "it leaves the model's folder"
    } else if location.split('/').any(str::is_empty) || location.split('/').next_back() == Some(".") {
        "it does not end in a file's name, or has an empty part"
    } else {
        return Ok(());
    };
    let (tensor, location) = (tensor.to_owned(), location.to_owned());
    Err(OnnxError::Location { tensor, location, reason })
}

/// The names of all files in which tensors of a model lie, in order, without any check of them.
pub(super) fn locations(model: &[u8]) -> Result<Vec<String>, OnnxError> {
    let mut locations = BTreeSet::new();
    each_external(model, &mut |_, location| {
        if !locations.contains(location) {
            locations.insert(location.to_owned());
        }
        Ok(())
    })?;
    Ok(locations.into_iter().collect())
}

/// Where in its file of the given length an external tensor lies.
pub(super) fn extent(tensor: &Initializer, file_length: u64) -> Result<Range<u64>, OnnxError> {
    let InitializerData::External { location, offset, length } = &tensor.data else {
        return Ok(0..0);
    };
    let (name, file, offset) = (tensor.name.clone(), location.clone(), *offset);
    let size = tensor.size()?;
    // Both ONNX Runtime and the `onnx` package read a length of 0 as none.
    let length = length.filter(|&length| length != 0);
    let length = match (length, size) {
        (Some(length), Some(expected)) if length != expected => {
            return Err(OnnxError::ExternalLength { tensor: name, file, length, expected });
        }
        (Some(length), _) | (None, Some(length)) => length,
        (None, None) => file_length.saturating_sub(offset),
    };
    match offset.checked_add(length) {
        Some(end) if end <= file_length => Ok(offset..end),
        _ => Err(OnnxError::OutsideFile { tensor: name, file, offset, length, file_length }),
    }
}

pub(super) fn no_file(tensor: &Initializer, location: &str) -> OnnxError {
    OnnxError::NoFile { tensor: tensor.name.clone(), file: location.to_owned() }
}

type Visit<'a> = &'a mut dyn FnMut(&Initializer, &str) -> Result<(), OnnxError>;

/// Visits all external tensors of a model, with their file.
fn each_external(model: &[u8], visit: Visit<'_>) -> Result<(), OnnxError> {
    struct Each<'a> {
        model: &'a [u8],
        visit: Visit<'a>,
    }

    impl Visitor for Each<'_> {
        fn tensor(&mut self, _: Message, _: &Field, content: Range<usize>) -> Result<(), OnnxError> {
            let tensor = Initializer::read(self.model, content)?;
            match &tensor.data {
                InitializerData::External { location, .. } => (self.visit)(&tensor, location),
                InitializerData::Raw(_) | InitializerData::Typed => Ok(()),
            }
        }
    }

    tree::walk(model, &mut Each { model, visit })
}
