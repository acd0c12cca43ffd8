//! Chained fixups, as linkers lay them out: header, list of segments, chains of each, imports, their names.

use super::{u32_of, words};

/// Fixups of an image with `count` segments, of which those with the numbers `chains` have some. Where the list of segments
/// ends at a multiple of eight, there is no room behind it.
pub(super) fn chained(count: usize, chains: &[usize], page: usize, linkedit: usize) -> Vec<u8> {
    let list = 32;
    let first = (4 + 4 * count).next_multiple_of(8);
    let mut entries = vec![0; count];
    let mut described = Vec::new();
    for &chain in chains {
        entries[chain] = u32_of(first + described.len());
        // Size, page size, pointer format 6, place of the segment, nothing, one page, which starts with a pointer.
        described.extend(words(&[24]));
        described.extend([u16::try_from(page).expect("64 KiB at most"), 6].map(u16::to_le_bytes).concat());
        described.extend((linkedit as u64).to_le_bytes());
        described.extend(words(&[0]));
        described.extend([1_u16, 0].map(u16::to_le_bytes).concat());
    }
    let imports = list + first + described.len();
    let names = imports + 4;
    let mut bytes = words(&[0, u32_of(list), u32_of(imports), u32_of(names), 1, 1, 0, 0]);
    bytes.extend(words(&[u32_of(count)]));
    bytes.extend(words(&entries));
    bytes.resize(list + first, 0);
    bytes.extend(described);
    bytes.extend(words(&[0x0000_0201]));
    bytes.extend(b"\0_puts\0");
    bytes
}
