//! The parts of an executable that the loader is asked for one by one: itself, and the libraries in its bytes.

use std::fmt;

use encoderfile_format::{Container, embedded_libraries};
use encoderfile_registry::{ObjectFormat, Target};
use object::read::ReadRef;
use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _};
use object::read::macho::{LoadCommandVariant, MachHeader as _};
use object::{Endianness, elf, macho};

/// A part of an executable with demands of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The executable itself.
    Executable,
    /// A shared library in its bytes, from this one on.
    Library(usize),
}

impl Part {
    /// Where it starts.
    pub(crate) fn start(self) -> usize {
        match self {
            Self::Executable => 0,
            Self::Library(offset) => offset,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Executable => f.write_str("the executable itself"),
            Self::Library(offset) => write!(f, "the library embedded at byte {offset}"),
        }
    }
}

/// All parts of `binary`, an executable for `target`, with their bytes and all that follow them.
pub(crate) fn parts(binary: &[u8], target: Target) -> Vec<(Part, &[u8])> {
    let container = match target.object_format() {
        ObjectFormat::Elf => Container::Elf,
        ObjectFormat::MachO => Container::MachO,
    };
    let embedded = embedded_libraries(binary, container, usize::MAX).expect("memory can be read");
    let embedded = embedded.into_iter().map(|start| usize::try_from(start).expect("it is in memory"));
    let parts = std::iter::once(Part::Executable).chain(embedded.map(Part::Library));
    parts.map(|part| (part, &binary[part.start()..])).collect()
}

/// How many of `bytes` belong to the image that starts with them: up to the end of what its headers name last.
pub(crate) fn length(bytes: &[u8], target: Target) -> object::Result<u64> {
    match target.object_format() {
        ObjectFormat::Elf => elf_length(bytes),
        ObjectFormat::MachO => macho_length(bytes),
    }
}

fn elf_length(bytes: &[u8]) -> object::Result<u64> {
    let header = elf::FileHeader64::<Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, bytes)?;
    let table = header.e_shoff.get(endian) + 64 * sections.len() as u64;
    let contents = sections.iter().filter_map(|section| section.file_range(endian));
    let segments = header.program_headers(endian, bytes)?.iter().map(|segment| segment.file_range(endian));
    let ends = contents.chain(segments).map(|(start, length)| start.saturating_add(length));
    Ok(ends.fold(table, u64::max))
}

fn macho_length(bytes: &[u8]) -> object::Result<u64> {
    let header = macho::MachHeader64::<Endianness>::parse(bytes, 0)?;
    let endian = header.endian()?;
    let mut commands = header.load_commands(endian, bytes, 0)?;
    let mut end = 0;
    while let Some(command) = commands.next()? {
        if let LoadCommandVariant::Segment64(segment, _) = command.variant()? {
            end = end.max(segment.fileoff.get(endian).saturating_add(segment.filesize.get(endian)));
        }
    }
    Ok(end)
}

/// The bytes of the image that `bytes` start with. None where there are fewer than its headers say.
pub(crate) fn image(bytes: &[u8], target: Target) -> object::Result<Option<&[u8]>> {
    let length = length(bytes, target)?;
    Ok(bytes.read_bytes_at(0, length).ok())
}
