//! What the kernel, the loader and `codesign` of macOS insist on, as far as it can be checked elsewhere. Nothing here is shared
//! with what writes such files: it is another reading of the same sources (xnu `mach_loader.c`, `ubc_subr.c`; dyld
//! `MachOFile.cpp`, `MachOAnalyzer.cpp`; Security `macho++.cpp`, `singlediskrep.cpp`; cctools `checkout.c`).

use sha2::{Digest as _, Sha256};

/// What a thin 64-bit executable breaks.
///
/// # Panics
/// Where the bytes end too early to be one.
pub fn violations(image: &[u8]) -> Vec<String> {
    let mut rules = Rules::default();
    let page = if le(image, 4) == 0x0100_000c { 0x4000 } else { 0x1000 };
    rules.check(le(image, 0) == 0xfeed_facf && le(image, 12) == 2, "no thin executable");
    let header = Header::read(image, &mut rules);
    segments(image, &header, page, &mut rules);
    linkedit(image, &header, &mut rules);
    if let Some((offset, length)) = header.chains {
        chains(image, index(offset), index(length), &header, &mut rules);
    }
    match header.signature {
        None => rules.check(false, "there is no signature"),
        Some((offset, length)) => {
            signature(image, index(offset), length, page, &header.segments[1], &mut rules);
        }
    }
    rules.broken
}

/// What load commands point to in `__LINKEDIT`, as it was read from there: the number of the command, and the bytes. What changes
/// when a segment is added is left out: the signature, and the chained fixups.
///
/// # Panics
/// Where the bytes end too early to be an executable.
pub fn tables(image: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut tables = Vec::new();
    let mut at = 32;
    for _ in 0..le(image, 16) {
        let (command, length) = (le(image, at), le(image, at + 4));
        // Fields with an offset, and how many bytes each of what the next field counts has.
        let fields: &[(usize, u32)] = match command {
            0x2 => &[(8, 16), (16, 1)],
            0xb => &[(32, 8), (40, 56), (48, 4), (56, 4), (64, 8), (72, 8)],
            0x22 | 0x8000_0022 => &[(8, 1), (16, 1), (24, 1), (32, 1), (40, 1)],
            0x1e | 0x26 | 0x29 | 0x2b | 0x2e | 0x36 | 0x37 | 0x38 | 0x8000_0033 => &[(8, 1)],
            _ => &[],
        };
        for (field, size) in fields {
            let start = le(image, at + field) as usize;
            tables
                .push((command, image[start..start + (le(image, at + field + 4) * size) as usize].to_vec()));
        }
        at += length as usize;
    }
    tables
}

/// The rules that are broken.
#[derive(Default)]
struct Rules {
    broken: Vec<String>,
}

impl Rules {
    fn check(&mut self, holds: bool, text: impl Into<String>) {
        if !holds {
            self.broken.push(text.into());
        }
    }
}

struct Segment {
    name: String,
    address: u64,
    memory: u64,
    offset: u64,
    stored: u64,
    rights: (u32, u32),
}

/// What the load commands say.
#[derive(Default)]
struct Header {
    segments: Vec<Segment>,
    /// Name, alignment, and offset and length of what is in `__LINKEDIT`.
    pieces: Vec<(&'static str, u64, (u64, u64))>,
    signature: Option<(u64, u64)>,
    chains: Option<(u64, u64)>,
}

impl Header {
    fn read(image: &[u8], rules: &mut Rules) -> Self {
        let mut header = Self::default();
        let mut first_section = u64::MAX;
        let mut at = 32;
        for _ in 0..le(image, 16) {
            let (command, length) = (le(image, at), le(image, at + 4));
            let is_whole = length.is_multiple_of(8) && length >= 8;
            rules.check(is_whole, format!("command {command:#x} has {length} bytes"));
            let pair = |field| (u64::from(le(image, at + field)), u64::from(le(image, at + field + 4)));
            match command {
                0x19 => {
                    let (segment, first) = Segment::read(image, at, rules);
                    first_section = first_section.min(first);
                    header.segments.push(segment);
                }
                0x1d => {
                    header.signature = Some(pair(8));
                    header.pieces.push(("signature", 16, pair(8)));
                }
                0x26 | 0x1e | 0x2b | 0x2e | 0x36 | 0x37 | 0x38 | 0x8000_0033 => {
                    header.pieces.push(("table", 8, pair(8)));
                }
                0x29 => header.pieces.push(("data in code", 4, pair(8))),
                0x8000_0034 => {
                    header.chains = Some(pair(8)).filter(|(_, length)| *length > 0);
                    header.pieces.push(("chained fixups", 8, pair(8)));
                }
                0x22 | 0x8000_0022 => {
                    header.pieces.extend([8, 16, 24, 32, 40].map(|field| ("dyld info", 8, pair(field))));
                }
                2 => {
                    let (offset, symbols) = pair(8);
                    header.pieces.push(("symbols", 8, (offset, symbols * 16)));
                    header.pieces.push(("strings", 1, pair(16)));
                }
                0xb => {
                    for (field, size) in [(32, 8), (40, 56), (48, 4), (56, 4), (64, 8), (72, 8)] {
                        let (offset, count) = pair(field);
                        header.pieces.push(("dynamic symbols", 4, (offset, count * size)));
                    }
                }
                _ => {}
            }
            at += length as usize;
        }
        let is_whole = at == 32 + le(image, 20) as usize;
        rules.check(is_whole, "the commands do not have the length that they should have");
        rules.check(first_section >= at as u64, "the commands run into a section");
        header.pieces.retain(|(_, _, (_, length))| *length > 0);
        header.pieces.sort_by_key(|(_, _, (offset, _))| *offset);
        header
    }
}

impl Segment {
    /// Reads a segment, and where its first section starts in the file.
    fn read(image: &[u8], at: usize, rules: &mut Rules) -> (Self, u64) {
        let name = String::from_utf8_lossy(&image[at + 8..at + 24]).trim_end_matches('\0').to_owned();
        let [address, memory, offset, stored] = [24, 32, 40, 48].map(|field| le64(image, at + field));
        let mut first = u64::MAX;
        for number in 0..le(image, at + 64) as usize {
            let section = at + 72 + number * 80;
            let (start, length) = (le64(image, section + 32), le64(image, section + 40));
            let is_inside = start >= address && start + length <= address + memory;
            rules.check(is_inside, format!("a section leaves {name}"));
            let place = u64::from(le(image, section + 48));
            if place > 0 && !matches!(image[section + 64], 1 | 12 | 18) {
                first = first.min(place);
            }
        }
        let rights = (le(image, at + 56), le(image, at + 60));
        (Self { name, address, memory, offset, stored, rights }, first)
    }
}

fn segments(image: &[u8], header: &Header, page: u64, rules: &mut Rules) {
    let total = image.len() as u64;
    for Segment { name, memory, offset, stored, rights, .. } in &header.segments {
        rules.check(offset % page == 0, format!("{name} does not start with a page"));
        rules.check(offset + stored <= total, format!("{name} reaches beyond the file"));
        let is_unmapped = *memory == 0 && *rights == (0, 0);
        rules.check(stored <= memory || is_unmapped, format!("{name} is larger in the file than in memory"));
    }
    for pair in header.segments.windows(2) {
        let (before, next) = (&pair[0], &pair[1]);
        let name = &next.name;
        let is_behind = next.address >= before.address + before.memory;
        rules.check(is_behind, format!("{name} is not behind the one before it in memory"));
        let is_apart = before.stored == 0 || next.offset >= before.offset + before.stored;
        rules.check(is_apart, format!("{name} shares bytes of the file"));
    }
}

fn linkedit(image: &[u8], header: &Header, rules: &mut Rules) {
    let total = image.len() as u64;
    let last = header.segments.last().expect("there are segments");
    rules.check(last.name == "__LINKEDIT", "__LINKEDIT is not last");
    rules.check(last.offset + last.stored == total, "__LINKEDIT does not end with the file");
    let end = last.address + last.memory;
    let is_arm = le(image, 4) == 0x0100_000c;
    rules.check(!is_arm || end <= 0x1_7d00_0000, format!("the image ends at {end:#x}, in shared memory"));
    let mut end = last.offset;
    for (name, alignment, (offset, length)) in &header.pieces {
        rules.check(*offset >= end, format!("{name} shares bytes of __LINKEDIT"));
        rules.check(offset % alignment == 0, format!("{name} is at {offset:#x}"));
        end = offset + length;
    }
    rules.check(end == total, "something lies behind the last piece of __LINKEDIT");
    let is_last = header.pieces.last().is_some_and(|piece| piece.0 == "signature");
    rules.check(is_last, "the signature is not last");
}

fn chains(image: &[u8], start: usize, length: usize, header: &Header, rules: &mut Rules) {
    let [imports, names, count, format] = [8, 12, 16, 20].map(|field| le(image, start + field) as usize);
    // In the other formats, an import has more bytes.
    if format == 1 {
        rules.check(imports + 4 * count <= names && names <= length, "the imports do not fit");
        for number in 0..count {
            let import = le(image, start + imports + 4 * number);
            let name = names + (import >> 9) as usize;
            let rest = image[start..start + length].get(name..).unwrap_or_default();
            let is_name = rest.iter().position(|byte| *byte == 0).is_some_and(|length| length > 0);
            rules.check(is_name, format!("import {number} has no name"));
        }
    }
    let starts = start + le(image, start + 4) as usize;
    let counted = le(image, starts) as usize;
    rules.check(counted == header.segments.len(), format!("the fixups count {counted} segments"));
    for (number, Segment { name, .. }) in header.segments.iter().enumerate() {
        let chain = le(image, starts + 4 + 4 * number);
        let has_none = matches!(name.as_str(), "__PAGEZERO" | "__LINKEDIT" | "__ENCFILE");
        rules.check(!has_none || chain == 0, format!("the fixups have chains for {name}"));
        if chain > 0 {
            let described = starts + chain as usize;
            rules.check(le(image, described) >= 22, format!("the chains of {name} are not described"));
            rules.check(described.is_multiple_of(8), format!("the chains of {name} are misaligned"));
        }
    }
}

fn signature(image: &[u8], start: usize, room: u64, page: u64, text: &Segment, rules: &mut Rules) {
    rules.check(be(image, start) == 0xfade_0cc0, "the signature does not start as one");
    rules.check(u64::from(be(image, start + 4)) <= room, "the signature is longer than its room");
    let mut has_directory = false;
    for entry in 0..be(image, start + 8) as usize {
        let blob = start + be(image, start + 16 + 8 * entry) as usize;
        if be(image, start + 12 + 8 * entry) != 0 {
            continue;
        }
        has_directory = true;
        let limit = be(image, blob + 32) as usize;
        let shift = image[blob + 39];
        let size = 1 << shift;
        rules.check(
            limit == start,
            format!("{limit} bytes are signed, and {start} stand before the signature"),
        );
        rules.check(shift == 12 || (shift == 14 && page == 0x4000), format!("pages of 2^{shift} bytes"));
        rules.check(image[blob + 36..blob + 38] == [32, 2], "no SHA-256");
        let count = be(image, blob + 28) as usize;
        rules.check(count == limit.div_ceil(size), format!("{count} hashes of pages"));
        let hashes = blob + be(image, blob + 16) as usize;
        for (number, bytes) in image[..limit].chunks(size).enumerate() {
            let hash = &image[hashes + number * 32..][..32];
            rules.check(Sha256::digest(bytes).as_slice() == hash, format!("page {number} has another hash"));
        }
        let main = [64, 72, 80].map(|field| be64(image, blob + field));
        let is_text = main == [text.offset, text.stored, 1];
        rules.check(is_text, format!("the executable segment is said to be {main:?}"));
    }
    rules.check(has_directory, "there is no code directory");
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("the file is in memory")
}

fn le(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn be(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
