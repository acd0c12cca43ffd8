//! The header of a Mach-O image, its load commands and segments.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use object::macho::{self, LoadCommandType};

use super::MachOError;
use super::bytes::{big_u32_at, u32_at, u64_at};
use crate::Architecture;

/// Length of `mach_header_64`.
pub(super) const HEADER: usize = 32;
/// Length of `segment_command_64`, behind which its sections stand.
pub(super) const SEGMENT_COMMAND: usize = 72;
/// Length of `section_64`.
const SECTION: usize = 80;
/// The most bytes of load commands that are read. Linkers write a few thousand.
const COMMANDS_LIMIT: u32 = 256 << 10;

/// The segment that a model stands in.
pub(crate) const MODEL_SEGMENT: &str = "__ENCFILE";
/// The segment that holds what the loader and debuggers read, and ends with the code signature.
pub(super) const LINKEDIT: &str = "__LINKEDIT";
/// The segment that starts with the header.
pub(super) const TEXT: &str = "__TEXT";

/// A thin 64-bit image, as far as its header says.
#[derive(Debug)]
pub(crate) struct Image {
    /// Length of the file.
    pub(super) length: u64,
    pub(crate) architecture: Architecture,
    pub(super) file_type: u32,
    /// Header and load commands.
    pub(super) header: Vec<u8>,
    pub(super) commands: Vec<Command>,
    pub(super) segments: Vec<Segment>,
}

/// The segment that a model stands in, and what stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelSegment {
    /// Its bytes in the file.
    pub(crate) range: Range<u64>,
    /// One past the last byte of the image but for its signature.
    pub(crate) image_end: u64,
}

/// A load command, by its place in the header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Command {
    pub(super) kind: LoadCommandType,
    pub(super) at: usize,
    pub(super) size: usize,
}

/// What a segment's load command says.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// Where its load command stands in the header.
    pub(super) at: usize,
    pub(super) name: String,
    pub(super) address: u64,
    pub(super) memory_size: u64,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) section_count: usize,
}

/// What a section's header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section {
    /// First byte in the file.
    pub(super) offset: u32,
    pub(super) relocation_count: u32,
    /// Whether it has bytes in the file.
    pub(super) is_stored: bool,
}

/// Whether a file starts as a Mach-O file of any kind, universal ones included. `start` is its first eight bytes.
pub(crate) fn is_mach_o(start: [u8; 8]) -> bool {
    let magic = u32_at(&start, 0).expect("eight bytes");
    let thin = [macho::MH_MAGIC, macho::MH_MAGIC_64, macho::MH_CIGAM, macho::MH_CIGAM_64];
    thin.contains(&magic) || is_universal(start)
}

/// Whether a file starts as a universal one.
fn is_universal(start: [u8; 8]) -> bool {
    /// Java's class files start with the same four bytes; where universal files count processors, they have a version, of which
    /// this was the first.
    const JAVA: u32 = 45;
    let word = |at| big_u32_at(&start, at).expect("eight bytes have two words");
    matches!(word(0), macho::FAT_MAGIC | macho::FAT_MAGIC_64) && word(4) < JAVA
}

impl Image {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// [`MachOError::Read`], [`MachOError::NotThin64`], [`MachOError::Architecture`], [`MachOError::Commands`]
    pub(crate) fn read(file: &File) -> Result<Self, MachOError> {
        let length = file.metadata().map_err(|source| MachOError::read(0, 0, source))?.len();
        let mut start = [0; HEADER];
        if length < HEADER as u64 {
            return Err(MachOError::NotThin64 { is_fat: false });
        }
        file.read_exact_at(&mut start, 0).map_err(|source| MachOError::read(0, HEADER as u64, source))?;
        let word = |at| u32_at(&start, at).expect("within the header");
        if word(0) != macho::MH_MAGIC_64 {
            let start = *start.first_chunk().expect("the header is longer");
            return Err(MachOError::NotThin64 { is_fat: is_universal(start) });
        }
        let architecture = match macho::CpuType(word(4)) {
            macho::CPU_TYPE_X86_64 => Architecture::X86_64,
            macho::CPU_TYPE_ARM64 => Architecture::Aarch64,
            other => return Err(MachOError::Architecture { found: other.0 }),
        };
        let size = word(20);
        if size > COMMANDS_LIMIT || HEADER as u64 + u64::from(size) > length {
            return Err(MachOError::Commands { offset: 20 });
        }
        let mut header = vec![0; HEADER + size as usize];
        let end = header.len() as u64;
        file.read_exact_at(&mut header, 0).map_err(|source| MachOError::read(0, end, source))?;
        let commands = commands(&header, word(16))?;
        let segments = commands.iter().filter(|command| command.kind == macho::LC_SEGMENT_64);
        let segments = segments
            .map(|command| Segment::read(&header, *command))
            .collect::<Option<Vec<_>>>()
            .ok_or(MachOError::Commands { offset: HEADER as u64 })?;
        Ok(Self { length, architecture, file_type: word(12), header, commands, segments })
    }

    /// Whether there is a code signature, good or not.
    pub(crate) fn is_signed(&self) -> bool {
        self.commands_of(macho::LC_CODE_SIGNATURE).next().is_some()
    }

    /// The first segment of a name.
    pub(super) fn segment(&self, name: &str) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.name == name)
    }

    /// The segment that a model stands in, as the load commands say: it may reach beyond the file.
    pub(crate) fn model_segment(&self) -> Option<ModelSegment> {
        let segment = self.segment(MODEL_SEGMENT)?;
        let signature = self.commands_of(macho::LC_CODE_SIGNATURE).next();
        let image_end = signature.map_or(self.length, |command| self.word(command.at + 8).into());
        Some(ModelSegment { range: segment.offset..segment.end(), image_end })
    }

    pub(super) fn commands_of(&self, kind: LoadCommandType) -> impl Iterator<Item = &Command> {
        self.commands.iter().filter(move |command| command.kind == kind)
    }

    /// The sections of a segment.
    pub(super) fn sections(&self, segment: &Segment) -> impl Iterator<Item = Section> {
        let start = segment.at + SEGMENT_COMMAND;
        (0..segment.section_count).map(move |index| {
            let at = start + index * SECTION;
            let word = |field| u32_at(&self.header, at + field).expect("the command has its sections");
            let is_zero_fill = matches!(
                macho::SectionFlags(word(64)).typ(),
                macho::S_ZEROFILL | macho::S_GB_ZEROFILL | macho::S_THREAD_LOCAL_ZEROFILL
            );
            Section { offset: word(48), relocation_count: word(60), is_stored: !is_zero_fill }
        })
    }

    /// Number at a place in the header that a command's size has been checked for.
    pub(super) fn word(&self, at: usize) -> u32 {
        u32_at(&self.header, at).expect("the size of the command was checked")
    }

    /// The pages that segments of an image for this processor start at.
    pub(super) fn page_size(&self) -> u64 {
        page_size(self.architecture)
    }
}

/// The size of a page where the processor's images run.
pub(super) const fn page_size(architecture: Architecture) -> u64 {
    match architecture {
        Architecture::X86_64 => 0x1000,
        Architecture::Aarch64 => 0x4000,
    }
}

fn commands(header: &[u8], count: u32) -> Result<Vec<Command>, MachOError> {
    let mut commands = Vec::new();
    let mut at = HEADER;
    for _ in 0..count {
        let damaged = MachOError::Commands { offset: at as u64 };
        let (Some(kind), Some(size)) = (u32_at(header, at), u32_at(header, at + 4)) else {
            return Err(damaged);
        };
        let (kind, size) = (LoadCommandType(kind), size as usize);
        if size < least(kind) || !size.is_multiple_of(8) || size > header.len() - at {
            return Err(damaged);
        }
        commands.push(Command { kind, at, size });
        at += size;
    }
    if at == header.len() { Ok(commands) } else { Err(MachOError::Commands { offset: at as u64 }) }
}

/// The least bytes of a load command, so that its fields can be read.
const fn least(kind: LoadCommandType) -> usize {
    match kind {
        macho::LC_SEGMENT_64 => SEGMENT_COMMAND,
        macho::LC_SYMTAB => 24,
        macho::LC_DYSYMTAB => 80,
        macho::LC_DYLD_INFO | macho::LC_DYLD_INFO_ONLY => 48,
        macho::LC_SEGMENT_SPLIT_INFO
        | macho::LC_CODE_SIGNATURE
        | macho::LC_FUNCTION_STARTS
        | macho::LC_DATA_IN_CODE
        | macho::LC_DYLIB_CODE_SIGN_DRS
        | macho::LC_LINKER_OPTIMIZATION_HINT
        | macho::LC_ATOM_INFO
        | macho::LC_FUNCTION_VARIANTS
        | macho::LC_FUNCTION_VARIANT_FIXUPS
        | macho::LC_DYLD_EXPORTS_TRIE
        | macho::LC_DYLD_CHAINED_FIXUPS => 16,
        _ => 8,
    }
}

impl Segment {
    fn read(header: &[u8], command: Command) -> Option<Self> {
        let Command { at, size, .. } = command;
        let name = header.get(at + 8..at + 24)?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let long = |field| u64_at(header, at + field);
        let section_count = u32_at(header, at + 64)? as usize;
        let is_whole = section_count.checked_mul(SECTION)?.checked_add(SEGMENT_COMMAND)? <= size;
        is_whole.then_some(Self {
            at,
            name: String::from_utf8_lossy(name).into_owned(),
            address: long(24)?,
            memory_size: long(32)?,
            offset: long(40)?,
            size: long(48)?,
            section_count,
        })
    }

    /// One past its last byte in the file; 2⁶⁴ − 1 where that is more than a file has.
    pub(super) const fn end(&self) -> u64 {
        self.offset.saturating_add(self.size)
    }
}
