//! A model without the bytes of its weights.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::os::unix::fs::FileExt as _;

use memmap2::{MmapMut, MmapOptions};

use super::field;

/// A tensor's values are left out from this length on, in bytes.
const WEIGHT: u64 = 4096;
/// Bytes that are read at a time while looking for what to keep.
const WINDOW: usize = 4096;
/// Most bytes that are kept: dozens of times what the largest models have besides their weights.
const LIMIT: u64 = 256 << 20;
/// Bytes that are kept of a field that cannot be read: they show what is wrong with it, or what stands there instead.
const FAULT: u64 = 512;

/// A model in which the values of large tensors read as zeros and take no memory; everything else stands where it stands
/// in the file. What can be told of a model without decoding its weights can be told of its outline.
///
/// A map of the file would do as well, but for the pages that the system puts into it around those that are touched.
#[derive(Debug)]
pub struct Outline {
    /// None for a model without bytes, which cannot be mapped.
    bytes: Option<MmapMut>,
}

impl Outline {
    /// Reads the outline of the model that stands at `offset` in a file, `length` bytes long. What is no model has an outline
    /// that shows why.
    ///
    /// # Errors
    /// The system's; `FileTooLarge` where more than 256 MiB are no weights.
    pub fn read(file: &File, offset: u64, length: u64) -> io::Result<Self> {
        if length == 0 {
            return Ok(Self { bytes: None });
        }
        let size = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = MmapOptions::new().len(size).no_reserve_swap().map_anon()?;
        let window = Vec::with_capacity(WINDOW);
        let mut reader = Reader {
            file,
            offset,
            length,
            window,
            window_start: 0,
            bytes: &mut bytes,
            kept: 0,
            pending: 0..0,
        };
        reader.message(0..length, Level::Model)?;
        reader.keep_pending()?;
        Ok(Self { bytes: Some(bytes) })
    }
}

impl Deref for Outline {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or_default()
    }
}

/// What kind of message is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Model,
    Graph,
    Tensor,
}

struct Reader<'a> {
    file: &'a File,
    /// Where the model starts in the file. All other positions are the model's.
    offset: u64,
    length: u64,
    window: Vec<u8>,
    window_start: u64,
    bytes: &'a mut [u8],
    kept: u64,
    /// What is to be kept, and is read when something else is.
    pending: Range<u64>,
}

impl Reader<'_> {
    /// Keeps a message but for its weights, and as far as it can be read: nobody will read on from there.
    fn message(&mut self, range: Range<u64>, level: Level) -> io::Result<()> {
        let Range { start: mut position, end } = range;
        while position < end {
            let Some((number, header_end, field_end)) = self.field(position, end)? else {
                return self.keep(position..end.min(position.saturating_add(FAULT)));
            };
            let inner = match (level, number) {
                (Level::Model, field::model::GRAPH) => Some(Level::Graph),
                (Level::Graph, field::graph::INITIALIZER) => Some(Level::Tensor),
                _ => None,
            };
            let payload = header_end..field_end;
            match inner {
                Some(level) => {
                    self.keep(position..payload.start)?;
                    self.message(payload, level)?;
                }
                None if level == Level::Tensor && payload.end - payload.start >= WEIGHT => {
                    self.keep(position..payload.start)?;
                }
                None => self.keep(position..payload.end)?,
            }
            position = field_end;
        }
        Ok(())
    }

    /// The field at a position: its number, where its value starts if that is a length-delimited one, and where it ends.
    fn field(&mut self, position: u64, end: u64) -> io::Result<Option<(u32, u64, u64)>> {
        let Some((tag, value)) = self.varint(position, end)? else { return Ok(None) };
        let (start, length) = match tag & 7 {
            0 => {
                let Some((_, next)) = self.varint(value, end)? else { return Ok(None) };
                (next, 0)
            }
            1 => (value, 8),
            2 => {
                let Some((length, start)) = self.varint(value, end)? else { return Ok(None) };
                (start, length)
            }
            5 => (value, 4),
            _ => return Ok(None),
        };
        let field_end = start.checked_add(length).filter(|field_end| *field_end <= end);
        // A number that is too large is as bad as a length that is: the walk finds it in what is kept, and says so.
        let number = u32::try_from(tag >> 3).ok();
        Ok(number.zip(field_end).map(|(number, field_end)| (number, start, field_end)))
    }

    /// A variable-length integer, and where the next byte is.
    fn varint(&mut self, position: u64, end: u64) -> io::Result<Option<(u64, u64)>> {
        let mut value = 0;
        for (index, shift) in (0..10).zip((0..).step_by(7)) {
            let position = position + index;
            if position >= end {
                return Ok(None);
            }
            let byte = self.byte(position)?;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok(Some((value, position + 1)));
            }
        }
        Ok(None)
    }

    /// The byte at a position within the model.
    fn byte(&mut self, position: u64) -> io::Result<u8> {
        // None is no error: the position is not within the window, which is then moved.
        let index = |start: u64| usize::try_from(position.checked_sub(start)?).ok();
        if let Some(byte) = index(self.window_start).and_then(|index| self.window.get(index)) {
            return Ok(*byte);
        }
        let size = usize::try_from(self.length - position).map_or(WINDOW, |left| left.min(WINDOW));
        self.window.resize(size, 0);
        self.window_start = position;
        self.file.read_exact_at(&mut self.window, self.offset + position)?;
        Ok(self.window[0])
    }

    fn keep(&mut self, range: Range<u64>) -> io::Result<()> {
        if self.pending.end != range.start {
            self.keep_pending()?;
            self.pending.start = range.start;
        }
        self.pending.end = range.end;
        Ok(())
    }

    fn keep_pending(&mut self) -> io::Result<()> {
        let Range { start, end } = self.pending.clone();
        self.kept += end - start;
        if self.kept > LIMIT {
            let message = format!("a model with more than {LIMIT} bytes besides its weights");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        let index = |position| usize::try_from(position).expect("bounded by the length of what is mapped");
        self.file.read_exact_at(&mut self.bytes[index(start)..index(end)], self.offset + start)?;
        self.pending = end..end;
        Ok(())
    }
}
