//! The executable image: the part of a file that the system runs, by its own headers. A model lies behind it.

use std::fs::File;

use object::elf::FileHeader64;
use object::macho::MachHeader64;
use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _};
use object::read::macho::{LoadCommandVariant, MachHeader as _};
use object::{Endianness, FileKind, ReadCache, ReadRef};

/// Whether anything lies behind the executable image of an ELF or Mach-O file: without a footer, that is an encoderfile
/// whose end is missing. Reads headers only; a file that has none that can be read is not judged.
pub fn is_image_followed(file: &File) -> bool {
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    end(file).is_some_and(|end| end < length)
}

/// The byte behind the image of an ELF or Mach-O file.
fn end(file: &File) -> Option<u64> {
    let data = &ReadCache::new(file);
    match FileKind::parse(data).ok()? {
        FileKind::Elf64 => elf_end(data).ok(),
        FileKind::MachO64 => macho_end(data).ok(),
        _ => None,
    }
}

/// What `strip` leaves ends with the section headers; without any, with the last segment.
fn elf_end<'data>(data: impl ReadRef<'data>) -> object::Result<u64> {
    let header = FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, data)?;
    let sections = header.section_headers(endian, data)?;
    let headers = (header.e_shoff(endian), sections.len() as u64 * u64::from(header.e_shentsize(endian)));
    let ranges = segments.iter().map(|segment| segment.file_range(endian));
    let ranges =
        ranges.chain(sections.iter().filter_map(|section| section.file_range(endian))).chain([headers]);
    Ok(ranges.map(|(offset, size)| offset.saturating_add(size)).max().unwrap_or(0))
}

/// The last segment is `__LINKEDIT`, with the signature at its end.
fn macho_end<'data>(data: impl ReadRef<'data>) -> object::Result<u64> {
    let header = MachHeader64::<Endianness>::parse(data, 0)?;
    let endian = header.endian()?;
    let mut commands = header.load_commands(endian, data, 0)?;
    let mut end = 0;
    while let Some(command) = commands.next()? {
        if let LoadCommandVariant::Segment64(segment, _) = command.variant()? {
            end = end.max(segment.fileoff.get(endian).saturating_add(segment.filesize.get(endian)));
        }
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[track_caller]
    fn assert_all_image(mut bytes: Vec<u8>) {
        assert_eq!(end(&file(&bytes)), Some(bytes.len() as u64));
        assert!(!is_image_followed(&file(&bytes)));
        bytes.push(b'x');
        assert!(is_image_followed(&file(&bytes)));
    }

    #[test]
    fn an_executable_ends_with_its_image() {
        assert_all_image(fs::read(std::env::current_exe().unwrap()).unwrap());
    }

    #[test]
    fn a_mach_o_image_ends_with_its_last_segment() {
        let mut bytes = Vec::new();
        // Magic, CPU type and subtype, file type, number of commands, their size, flags, reserved.
        for word in [0xfeed_facf, 0x0100_000c, 0, 2, 2, 2 * 72, 0, 0_u32] {
            bytes.extend(word.to_le_bytes());
        }
        let segments: [(&[u8; 16], u64, u64); 2] =
            [(b"__TEXT\0\0\0\0\0\0\0\0\0\0", 0, 0x200), (b"__LINKEDIT\0\0\0\0\0\0", 0x200, 0x34)];
        for (name, offset, size) in segments {
            // LC_SEGMENT_64 and its size, name, address and size in memory, range in the file, four numbers without use here.
            bytes.extend([0x19_u32, 72].map(u32::to_le_bytes).concat());
            bytes.extend(name);
            bytes.extend([0, 0, offset, size, 0, 0].map(u64::to_le_bytes).concat());
        }
        bytes.resize(0x234, 0);
        assert_all_image(bytes);
    }

    #[test]
    fn what_is_no_executable_is_not_judged() {
        assert!(!is_image_followed(&file(&[b'x'; 100])));
        assert!(!is_image_followed(&file(b"")));
        assert!(!is_image_followed(&file(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0")));
    }
}
