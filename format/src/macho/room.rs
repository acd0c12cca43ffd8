//! The room behind the load commands, which a further one needs.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::MachOError;
use super::image::{HEADER, Image, SEGMENT_COMMAND};

/// Length of the load command `LC_CODE_SIGNATURE`.
pub(super) const SIGNATURE_COMMAND: usize = 16;

/// How much room there is behind the load commands of an image, and how much of it a model needs. Linkers are told to leave
/// more with `-headerpad`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderRoom {
    /// Zero bytes between the load commands and whatever comes first behind them.
    pub found: u64,
    /// Bytes of the load commands that are added: 72 for a segment, and 16 for a code signature where there is none yet.
    pub needed: u64,
}

/// The room behind the load commands of a Mach-O executable.
///
/// # Errors
/// Where it cannot be read as a thin 64-bit image.
pub fn header_room(file: &File) -> Result<HeaderRoom, MachOError> {
    of(file, &Image::read(file)?)
}

pub(super) fn of(file: &File, image: &Image) -> Result<HeaderRoom, MachOError> {
    let end = image.header.len() as u64;
    let sections = image.segments.iter().flat_map(|segment| image.sections(segment));
    let sections = sections.filter(|section| section.is_stored && section.offset != 0);
    let sections = sections.map(|section| u64::from(section.offset));
    // A segment without sections starts with its bytes; the one that the header is in does not.
    let segments = image.segments.iter().filter(|segment| segment.size > 0 && segment.offset > 0);
    let first = sections.chain(segments.map(|segment| segment.offset)).min().unwrap_or(image.length);
    let limit = first.min(image.length).saturating_sub(end);
    let needed = SEGMENT_COMMAND + if image.is_signed() { 0 } else { SIGNATURE_COMMAND };
    Ok(HeaderRoom { found: zeros(file, end, limit)?, needed: needed as u64 })
}

/// How many of the `limit` bytes from `start` on are zero until another comes.
fn zeros(file: &File, start: u64, limit: u64) -> Result<u64, MachOError> {
    let mut buffer = [0; 4096];
    let mut count = 0;
    while count < limit {
        let size = usize::try_from(limit - count).map_or(buffer.len(), |left| left.min(buffer.len()));
        let part = &mut buffer[..size];
        file.read_exact_at(part, start + count)
            .map_err(|source| MachOError::read(start + count, size as u64, source))?;
        if let Some(position) = part.iter().position(|byte| *byte != 0) {
            return Ok(count + position as u64);
        }
        count += size as u64;
        // More than any linker leaves: what is asked for is known by now.
        if count > HEADER as u64 * 1024 {
            break;
        }
    }
    Ok(count)
}
