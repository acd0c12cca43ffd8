//! Chained fixups: the loader's list of pointers to adjust, which counts the segments of the image.
//!
//! They start with a header of seven 32-bit numbers. Behind it, at `starts_offset`, stands the number of segments, and for each
//! of them where its chains are described, counted from that number; 0 where it has none. One more segment needs one more zero
//! there, in front of that of `__LINKEDIT`, which is zero too.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use object::macho;

use super::MachOError;
use super::bytes::{put_u32, u32_at};
use super::image::Image;

/// Length of `dyld_chained_fixups_header`.
const HEADER: usize = 28;
/// Places in it of what has to be moved with the bytes behind the list.
const MOVED: [usize; 2] = [8, 12];
/// The most bytes that header and list are expected to have: linkers place one behind the other.
const LIMIT: u64 = 4096;
/// What is inserted where the list has no room is a multiple of this, so that all behind it stays as aligned as it was.
const ALIGNMENT: usize = 16;

/// Bytes of the base binary that others take the place of.
#[derive(Debug)]
pub(super) struct Repair {
    /// The bytes of the base binary that are replaced.
    pub(super) range: Range<u64>,
    /// What stands there instead: as many bytes, and those that are inserted.
    pub(super) replacement: Vec<u8>,
    /// What lies at or behind this byte of the base binary moves by the bytes that are inserted.
    pub(super) insertion: u64,
    /// The place in the header of the fixups' length, which grows with them.
    pub(super) length_field: usize,
}

impl Repair {
    /// How many bytes are inserted.
    pub(super) const fn growth(&self) -> u64 {
        self.replacement.len() as u64 - (self.range.end - self.range.start)
    }

    /// What has to be repaired when a segment is inserted before the last one. None where there are no chained fixups.
    pub(super) fn of(file: &File, image: &Image, linkedit: &Range<u64>) -> Result<Option<Self>, MachOError> {
        let mut commands = image.commands_of(macho::LC_DYLD_CHAINED_FIXUPS);
        let Some(command) = commands.next() else { return Ok(None) };
        let start = u64::from(image.word(command.at + 8));
        let length = u64::from(image.word(command.at + 12));
        let unknown = |at: usize, what| MachOError::Fixups { offset: start + at as u64, what };
        if let Some(second) = commands.next() {
            return Err(MachOError::Fixups { offset: second.at as u64, what: "there are two of them" });
        }
        if length == 0 {
            return Ok(None);
        }
        if start < linkedit.start || start + length > linkedit.end {
            return Err(unknown(0, "they lie outside of `__LINKEDIT`"));
        }
        let mut bytes = vec![0; usize::try_from(length.min(LIMIT)).expect("a few thousand")];
        let size = bytes.len() as u64;
        file.read_exact_at(&mut bytes, start).map_err(|source| MachOError::read(start, size, source))?;
        let word = |at: usize| u32_at(&bytes, at).ok_or_else(|| unknown(at, "they end too early"));
        if word(0)? != 0 {
            return Err(unknown(0, "they have a version other than 0"));
        }
        let list = word(4)? as usize;
        let count = word(list)? as usize;
        let wanted = image.segments.len() + 1;
        if list < HEADER || count >= wanted {
            return Err(unknown(list, "they count other segments"));
        }
        // Where the list ends, from its start.
        let (end, wanted_end) = (4 + 4 * count, 4 + 4 * wanted);
        let entries = (0..count).map(|index| word(list + 4 + 4 * index)).collect::<Result<Vec<_>, _>>()?;
        if entries.get(wanted - 2).is_some_and(|last| *last != 0) {
            return Err(unknown(list + end - 4, "`__LINKEDIT` has fixups"));
        }
        if entries.iter().any(|entry| *entry != 0 && (*entry as usize) < end) {
            return Err(unknown(list + 4, "a segment's chains lie within the list"));
        }
        // What comes first behind the list.
        let others = MOVED.map(word).into_iter().collect::<Result<Vec<_>, _>>()?;
        let others = others.iter().map(|other| *other as usize).filter(|other| *other >= list + end);
        let first = entries.iter().filter(|entry| **entry != 0).map(|entry| list + *entry as usize);
        let first = first.chain(others).min().unwrap_or(usize::try_from(length).unwrap_or(usize::MAX));
        let is_free = first >= list + wanted_end
            && bytes.get(list + end..list + wanted_end).is_some_and(|gap| gap.iter().all(|byte| *byte == 0));
        let growth = if is_free { 0 } else { (wanted_end - end).next_multiple_of(ALIGNMENT) };
        let at = list + end;
        let old_end = if is_free { list + wanted_end } else { at };
        let mut replacement = bytes[..old_end].to_vec();
        replacement.resize(old_end + growth, 0);
        put_u32(
            &mut replacement,
            list,
            u32::try_from(wanted).expect("a segment has 72 bytes of load commands"),
        );
        let overflow = |at| unknown(at, "an offset is too large");
        let moved = |at: usize, value: u32| {
            value.checked_add(u32::try_from(growth).expect("a few")).ok_or_else(|| overflow(at))
        };
        for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| **entry != 0) {
            let place = list + 4 + 4 * index;
            put_u32(&mut replacement, place, moved(place, *entry)?);
        }
        for place in MOVED {
            let value = word(place)?;
            if value as usize >= at {
                put_u32(&mut replacement, place, moved(place, value)?);
            }
        }
        Ok(Some(Self {
            range: start..start + old_end as u64,
            replacement,
            insertion: start + at as u64,
            length_field: command.at + 12,
        }))
    }
}
