//! A model without its large weights.

use std::collections::HashMap;
use std::ops::Range;

use super::external::{check_location, extent, no_file};
use super::tensor::{Initializer, InitializerData};
use super::tree::{self, Message, Visitor};
use super::{ElementType, OnnxError, field};
use crate::wire::{Field, fields, put_bytes, put_integer, put_varint};

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
    let root = Open::default();
    let mut skeleton = Skeleton { model, place, files, threshold, patches: Vec::new(), open: vec![root] };
    tree::walk(model, &mut skeleton)?;
    Ok(skeleton.write())
}

/// A change of the model: these bytes stand in place of a range.
struct Patch {
    range: Range<usize>,
    bytes: Vec<u8>,
}

/// A message that the walk is in.
#[derive(Default)]
struct Open {
    number: u32,
    /// Index of the patch that is kept free for its tag and length.
    patch: usize,
    length: usize,
    /// Bytes that patches have taken from its content, and brought into it.
    removed: usize,
    added: usize,
}

/// Collects changes in the order of their bytes, so that the model is copied once, however deep they stand.
struct Skeleton<'a> {
    model: &'a [u8],
    place: &'a Place<'a>,
    files: HashMap<&'a str, Range<u64>>,
    threshold: usize,
    patches: Vec<Patch>,
    /// The messages that the walk is in, the whole model first.
    open: Vec<Open>,
}

impl Visitor for Skeleton<'_> {
    fn enter(&mut self, field: &Field, content: &Range<usize>) {
        let patch = self.patches.len();
        self.patches.push(Patch { range: field.span.start..content.start, bytes: Vec::new() });
        self.open.push(Open { number: field.number, patch, length: content.len(), removed: 0, added: 0 });
    }

    fn leave(&mut self) {
        let open = self.open.pop().expect("left as often as entered");
        if self.patches.len() == open.patch + 1 {
            self.patches.pop();
            return;
        }
        let header = &mut self.patches[open.patch];
        put_varint(&mut header.bytes, u64::from(open.number) << 3 | 2);
        put_varint(&mut header.bytes, (open.length - open.removed + open.added) as u64);
        let (removed, added) = (header.range.len(), header.bytes.len());
        self.count(open.removed + removed, open.added + added);
    }

    fn tensor(&mut self, kind: Message, field: &Field, content: Range<usize>) -> Result<(), OnnxError> {
        let tensor = Initializer::read(self.model, content.clone())?;
        let Some(target) = self.target(kind, &tensor)? else {
            return Ok(());
        };
        let tensor = external_tensor(self.model, content, self.place.location, &target)?;
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, field.number, &tensor);
        self.count(field.span.len(), bytes.len());
        self.patches.push(Patch { range: field.span.clone(), bytes });
        Ok(())
    }
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

    fn count(&mut self, removed: usize, added: usize) {
        let open = self.open.last_mut().expect("the whole model is never left");
        open.removed += removed;
        open.added += added;
    }

    /// The model with all changes.
    fn write(self) -> Vec<u8> {
        let Open { removed, added, .. } = self.open[0];
        let mut out = Vec::with_capacity(self.model.len() - removed + added);
        let mut position = 0;
        for Patch { range, bytes } in self.patches {
            out.extend_from_slice(&self.model[position..range.start]);
            out.extend_from_slice(&bytes);
            position = range.end;
        }
        out.extend_from_slice(&self.model[position..]);
        out
    }
}

/// The tensor at `tensor` without its values, pointing at a range of a file.
fn external_tensor(
    model: &[u8],
    tensor: Range<usize>,
    location: &str,
    target: &Range<u64>,
) -> Result<Vec<u8>, OnnxError> {
    let mut out = Vec::new();
    for item in fields(model, tensor) {
        let Field { number, span, .. } = item?;
        let replaced = [field::tensor::RAW_DATA, field::tensor::EXTERNAL_DATA, field::tensor::DATA_LOCATION];
        if !replaced.contains(&number) {
            out.extend_from_slice(&model[span]);
        }
    }
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
