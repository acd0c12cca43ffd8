//! How an executable and a payload become one file: the payload behind it, or, in Mach-O, in a segment of it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::copy::{Appender, Hashed, Piece};
use crate::macho::{BaseImage, Image, Insertion, MachOError, ModelSegment, Part, is_mach_o};
use crate::reader::read_at;
use crate::{ArtifactKind, Edit, Error, Footer, Layout, WriteError};

/// A base binary, by where its payload goes.
pub(crate) enum Frame {
    /// Behind its last byte.
    Behind {
        /// Its length.
        length: u64,
    },
    /// Into a segment.
    Within(Box<BaseImage>),
}

impl Frame {
    /// Looks at a base binary of a certain length.
    pub(crate) fn of(path: &Path, file: &File, length: u64) -> Result<Self, WriteError> {
        let start = start(file, length);
        if !is_mach_o(start.map_err(|source| WriteError::Input { path: path.to_owned(), source })?) {
            return Ok(Self::Behind { length });
        }
        let image = BaseImage::read(file).map_err(|source| WriteError::mach_o(path, source))?;
        Ok(Self::Within(Box::new(image)))
    }

    /// What turns the changed base binary back into what it was.
    pub(crate) fn edits(&self, path: &Path, file: &File) -> Result<Vec<Edit>, WriteError> {
        match self {
            Self::Behind { .. } => Ok(Vec::new()),
            Self::Within(image) => image.edits(file).map_err(|source| WriteError::mach_o(path, source)),
        }
    }

    /// Where everything lies. None where the file would have more than 2⁶⁴ bytes.
    pub(crate) fn layout(&self, manifest_length: u64, artifacts: &[(ArtifactKind, u64)]) -> Option<Layout> {
        match self {
            Self::Behind { length } => Layout::new(*length, manifest_length, artifacts),
            Self::Within(image) => {
                Layout::new(image.segment_offset(), manifest_length, artifacts)?.in_segment()
            }
        }
    }

    /// What becomes of a Mach-O base binary. None for others, which stay as they are.
    pub(crate) fn insertion(
        &self,
        layout: &Layout,
        manifest_length: u64,
    ) -> Result<Option<Insertion>, MachOError> {
        match self {
            Self::Behind { .. } => Ok(None),
            Self::Within(image) => image.insertion(layout, manifest_length).map(Some),
        }
    }

    /// Appends what stands before the payload, and has the original hashed when all of it is there.
    pub(crate) fn append_head(
        &self,
        appender: &mut Appender<'_>,
        base: (&Path, &File),
        output: &Path,
        insertion: Option<(&Insertion, &Layout, &[Edit])>,
    ) -> Result<Hashed, WriteError> {
        let (path, file) = base;
        let failed = |source| WriteError::output(output, source);
        let copy_failed = |error| WriteError::copy(error, path, output);
        match (self, insertion) {
            (Self::Within(image), Some((insertion, layout, edits))) => {
                let end = image.segment_offset();
                let parts = [0..end, layout.payload_end()..insertion.signature_offset];
                let pieces = pieces(&parts, edits).expect("the edits are those of this image");
                let hashed = appender.hash_pieces(pieces);
                appender.bytes(&insertion.header).map_err(failed)?;
                let start = insertion.header.len() as u64;
                appender.copy(file, start, end - start).map_err(copy_failed)?;
                Ok(hashed)
            }
            (Self::Behind { length }, _) => {
                let hashed = appender.hash_next(*length);
                appender.copy(file, 0, *length).map_err(copy_failed)?;
                Ok(hashed)
            }
            (Self::Within(_), None) => unreachable!("a Mach-O image has an insertion"),
        }
    }

    /// Appends what stands behind the payload, up to the code signature.
    pub(crate) fn append_tail(
        &self,
        appender: &mut Appender<'_>,
        base: (&Path, &File),
        output: &Path,
        insertion: Option<&Insertion>,
    ) -> Result<(), WriteError> {
        let (Self::Within(image), Some(insertion)) = (self, insertion) else { return Ok(()) };
        let (path, file) = base;
        for part in image.tail() {
            match part {
                Part::Base(Range { start, end }) => appender
                    .copy(file, start, end - start)
                    .map_err(|error| WriteError::copy(error, path, output))?,
                Part::Bytes(bytes) => {
                    appender.bytes(bytes).map_err(|source| WriteError::output(output, source))?;
                }
            }
        }
        // Bytes, since nothing that comes behind them now would make room for them in the file.
        let padding =
            vec![0; usize::try_from(insertion.signature_offset - appender.position()).expect("a few")];
        appender.bytes(&padding).map_err(|source| WriteError::output(output, source))
    }
}

/// The first bytes of a file of a certain length; zeros where it has fewer.
fn start(file: &File, length: u64) -> io::Result<[u8; 8]> {
    let mut start = [0; 8];
    let size = usize::try_from(length).map_or(start.len(), |length| length.min(start.len()));
    file.read_exact_at(&mut start[..size], 0)?;
    Ok(start)
}

/// Where the payload of a file stands that is read.
pub(crate) struct Place {
    /// The segment that it is in, if it is in one.
    pub(crate) segment: Option<Range<u64>>,
    /// Whether it lies behind a Mach-O image that is signed, which does not cover it.
    pub(crate) is_behind_signature: bool,
    /// Whether it lies behind a universal file, whose parts may be files of their own.
    pub(crate) is_universal: bool,
    /// The footer that counts, and its first byte.
    pub(crate) footer: Footer,
    pub(crate) footer_offset: u64,
    /// The bytes of the file that are the base binary, changed or not.
    pub(crate) image: [Range<u64>; 2],
}

impl Place {
    /// Finds the footer of a file of a certain length.
    pub(crate) fn find(file: &File, length: u64) -> Result<Self, Error> {
        let last = length.checked_sub(Footer::LENGTH).ok_or(Error::NoPayload)?;
        let (segment, is_signed, is_universal) = match Image::read(file) {
            Ok(image) => (image.model_segment(), image.is_signed(), false),
            Err(MachOError::Read { offset, length, source }) => {
                return Err(Error::Read { offset, length, source });
            }
            // Another container, or an image that no model is put into: it may still have one behind it.
            Err(MachOError::NotThin64 { is_fat }) => (None, is_fat, is_fat),
            Err(MachOError::Architecture { .. }) => (None, false, false),
            Err(source) => return Err(Error::MachO(source)),
        };
        let Some(ModelSegment { range, image_end }) = segment else {
            let mut bytes = [0; 32];
            read_at(file, last, &mut bytes)?;
            let footer = Footer::decode(&bytes)?;
            let image = [0..footer.manifest_offset, 0..0];
            return Ok(Self {
                segment: None,
                is_behind_signature: is_signed,
                is_universal,
                footer,
                footer_offset: last,
                image,
            });
        };
        if range.end > length || range.end - range.start < Footer::LENGTH {
            let Range { start, end } = range;
            return Err(Error::Segment { start, end, file_length: length });
        }
        if image_end < range.end {
            return Err(Error::SegmentNotSigned { signature: image_end, end: range.end });
        }
        let footer_offset = range.end - Footer::LENGTH;
        let mut bytes = [0; 32];
        read_at(file, footer_offset, &mut bytes)?;
        let footer = Footer::decode(&bytes).map_err(|error| match error {
            Error::NoPayload => Error::SegmentFooter { offset: footer_offset },
            error => error,
        })?;
        // A program that signs the file again may have taken its room; a footer that is there has to be the same.
        let mut other = [0; 32];
        read_at(file, last, &mut other)?;
        if Footer::is_one(&other) && other != bytes {
            return Err(Error::Footers { first: footer_offset, second: last });
        }
        let image = [0..range.start, range.end..image_end.min(length)];
        Ok(Self {
            segment: Some(range),
            is_behind_signature: false,
            is_universal: false,
            footer,
            footer_offset,
            image,
        })
    }
}

/// The original of a base binary: the bytes of `parts`, one behind the other, after all edits. None where the edits are not in
/// ascending order, or are those of other bytes.
pub(crate) fn pieces(parts: &[Range<u64>], edits: &[Edit]) -> Option<Vec<Piece>> {
    let total = parts.iter().map(|part| part.end - part.start).sum();
    let mut pieces = Vec::new();
    let mut position = 0;
    for edit in edits {
        keep(parts, position..edit.offset, &mut pieces)?;
        position = edit.offset.checked_add(edit.length).filter(|end| *end <= total)?;
        pieces.push(Piece::Bytes(edit.replacement.clone()));
    }
    keep(parts, position..total, &mut pieces)?;
    Some(pieces)
}

/// Adds what is kept, counted through all parts.
fn keep(parts: &[Range<u64>], kept: Range<u64>, pieces: &mut Vec<Piece>) -> Option<()> {
    if kept.start > kept.end {
        return None;
    }
    let mut before = 0;
    for part in parts {
        let length = part.end - part.start;
        let (start, end) = (kept.start.max(before), kept.end.min(before + length));
        if start < end {
            pieces.push(Piece::File(part.start + start - before..part.start + end - before));
        }
        before += length;
    }
    (kept.end <= before).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(offset: u64, length: u64, replacement: &[u8]) -> Edit {
        Edit { offset, length, replacement: replacement.to_vec() }
    }

    #[test]
    fn edits_are_counted_through_all_parts() {
        let parts = [0..10, 100..110];
        let bytes = |text: &[u8]| Piece::Bytes(text.to_vec());
        assert_eq!(pieces(&parts, &[]).unwrap(), [Piece::File(0..10), Piece::File(100..110)]);
        let edits = [edit(0, 4, b"head"), edit(8, 4, b"across"), edit(20, 0, b"end")];
        let expected =
            [bytes(b"head"), Piece::File(4..8), bytes(b"across"), Piece::File(102..110), bytes(b"end")];
        assert_eq!(pieces(&parts, &edits).unwrap(), expected);
    }

    #[test]
    fn edits_of_other_bytes_give_nothing() {
        let parts = [0..10, 100..110];
        for edits in [
            vec![edit(21, 0, b"")],
            vec![edit(20, 1, b"")],
            vec![edit(5, 2, b""), edit(6, 1, b"")],
            vec![edit(u64::MAX, 2, b"")],
            vec![edit(1, u64::MAX, b"")],
        ] {
            assert_eq!(pieces(&parts, &edits), None, "{edits:?}");
        }
    }
}
