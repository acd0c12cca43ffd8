//! A copy of a model in which some tensors are others.

use std::ops::Range;

use super::tensor::Initializer;
use super::tree::{self, Message, Visitor};
use super::{OnnxError, field};
use crate::wire::{Field, fields, put_bytes, put_varint};

/// Gives the message that stands in place of a tensor's, if it does not stay as it is.
type Replace<'a> =
    &'a mut dyn FnMut(Message, &Initializer, Range<usize>) -> Result<Option<Vec<u8>>, OnnxError>;

/// Copies a model, with what `replace` gives in place of tensors, wherever they stand. Everything else, known or not, stays
/// as it is.
pub(super) fn rewrite(model: &[u8], replace: Replace<'_>) -> Result<Vec<u8>, OnnxError> {
    let mut rewrite = Rewrite { model, replace, patches: Vec::new(), open: vec![Open::default()] };
    tree::walk(model, &mut rewrite)?;
    Ok(rewrite.write())
}

/// The message of a tensor without its values, and without where they are.
pub(super) fn without_values(model: &[u8], tensor: Range<usize>) -> Result<Vec<u8>, OnnxError> {
    let mut out = Vec::new();
    for item in fields(model, tensor) {
        let Field { number, span, .. } = item?;
        let removed = [field::tensor::RAW_DATA, field::tensor::EXTERNAL_DATA, field::tensor::DATA_LOCATION];
        if !removed.contains(&number) {
            out.extend_from_slice(&model[span]);
        }
    }
    Ok(out)
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
struct Rewrite<'a> {
    model: &'a [u8],
    replace: Replace<'a>,
    patches: Vec<Patch>,
    /// The messages that the walk is in, the whole model first.
    open: Vec<Open>,
}

impl Visitor for Rewrite<'_> {
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
        let Some(tensor) = (self.replace)(kind, &tensor, content)? else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, field.number, &tensor);
        self.count(field.span.len(), bytes.len());
        self.patches.push(Patch { range: field.span.clone(), bytes });
        Ok(())
    }
}

impl Rewrite<'_> {
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
