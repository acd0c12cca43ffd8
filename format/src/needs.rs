//! What a base binary needs of the system that runs it, read from its headers without running it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use memchr::{memchr, memmem};
use object::elf::{self, FileHeader64};
use object::macho::{self, MachHeader64};
use object::read::elf::{Dyn as _, FileHeader as _, SectionHeader as _, SectionTable};
use object::read::macho::{LoadCommandVariant, MachHeader as _};
use object::{Endianness, FileKind, ReadCache, ReadRef};

use crate::{Architecture, Container};

/// Beyond these sizes, an executable is none that this project has built, and is not looked into.
const SEARCH_LIMIT: u64 = 128 << 20;
const LIBRARIES_LIMIT: usize = 8;
const TABLE_LIMIT: u64 = 64 << 10;
const STRINGS_LIMIT: u64 = 4 << 20;
const ENTRIES_LIMIT: usize = 4096;
const NAME_LIMIT: usize = 256;

/// How much is searched at once.
const BUFFER: usize = 256 << 10;
/// Bytes of a header that tell what it is the header of.
const HEADER: usize = 64;

/// Version of a system's interface, such as glibc 2.34 or macOS 13.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SystemVersion {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number, not shown where it is 0.
    pub patch: u32,
}

impl SystemVersion {
    /// The glibc that has what carries this symbol version, such as `GLIBC_2.34`. None for a version that is no release of
    /// glibc's; `Ok` with none inside for one that is not glibc's at all.
    ///
    /// # Errors
    /// The rest of the name, where it is glibc's and no release.
    pub fn of_symbol_version(name: &str) -> Result<Option<Self>, &str> {
        match name.strip_prefix("GLIBC_") {
            None => Ok(None),
            // Not a symbol: a way of packing relocations that older loaders do not know.
            Some("ABI_DT_RELR") => Ok(Some(Self { major: 2, minor: 36, patch: 0 })),
            Some(number) => Self::parse(number).map(Some).ok_or(number),
        }
    }

    /// The oldest macOS that a Mach-O image asks for, if it says one.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn deployment_target<'data>(data: impl ReadRef<'data>) -> object::Result<Option<Self>> {
        let header = MachHeader64::<Endianness>::parse(data, 0)?;
        let endian = header.endian()?;
        let mut commands = header.load_commands(endian, data, 0)?;
        while let Some(command) = commands.next()? {
            let version = match command.variant()? {
                LoadCommandVariant::BuildVersion(build, _)
                    if build.platform.get(endian) == macho::PLATFORM_MACOS =>
                {
                    build.minos.get(endian).0
                }
                LoadCommandVariant::VersionMin(minimum) if command.cmd() == macho::LC_VERSION_MIN_MACOSX => {
                    minimum.version.get(endian).0
                }
                _ => continue,
            };
            let (major, minor, patch) = (version >> 16, version >> 8 & 0xff, version & 0xff);
            return Ok(Some(Self { major, minor, patch }));
        }
        Ok(None)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|part| part.parse().ok());
        let (major, minor) = (numbers.next()??, numbers.next()??);
        let patch = numbers.next().unwrap_or(Some(0))?;
        numbers.next().is_none().then_some(Self { major, minor, patch })
    }
}

impl fmt::Display for SystemVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch == 0 { Ok(()) } else { write!(f, ".{}", self.patch) }
    }
}

/// What an executable needs of the system that runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// Which system.
    pub container: Container,
    /// Which processor.
    pub architecture: Architecture,
    /// The oldest glibc (ELF) or macOS (Mach-O) that has all that the executable and the libraries inside it ask for.
    /// None where that cannot be told.
    pub floor: Option<SystemVersion>,
    /// The shared libraries that Linux has to have besides those of glibc, such as `libstdc++.so.6`.
    pub libraries: Vec<String>,
}

/// What the executable needs that the first `length` bytes of a file are: a base binary, whether or not a model stands behind
/// it. Memory is constant and time is bounded, whatever the bytes are. None for what is no executable of a kind that this
/// format knows.
///
/// The release tool measures the same more thoroughly, and its word is signed: this is for files whose release is not at hand.
pub fn needs(file: &File, length: u64) -> Option<Needs> {
    let cache = ReadCache::new(file);
    let container = match FileKind::parse(cache.range(0, length)).ok()? {
        FileKind::Elf64 => Container::Elf,
        FileKind::MachO64 => Container::MachO,
        _ => return None,
    };
    let mut demand = Demand::default();
    let architecture = demand.add(container, cache.range(0, length))?;
    let mut is_complete = length <= SEARCH_LIMIT;
    if is_complete {
        // What cannot be read is not known.
        let found =
            embedded_libraries(ReadAt { file, position: 0 }.take(length), container, LIBRARIES_LIMIT + 1);
        is_complete = found.as_ref().is_ok_and(|found| found.len() <= LIBRARIES_LIMIT);
        let found = found.unwrap_or_default();
        for start in found.into_iter().take(LIBRARIES_LIMIT) {
            is_complete &= demand.add(container, cache.range(start, length - start)) == Some(architecture);
        }
    }
    // Where one part is not known, the oldest system is not known either.
    let floor = demand.floor.filter(|_| is_complete && demand.is_complete);
    Some(Needs { container, architecture, floor, libraries: demand.libraries.into_iter().collect() })
}

/// Reads a file from its start, wherever its own position is.
struct ReadAt<'a> {
    file: &'a File,
    position: u64,
}

impl Read for ReadAt<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

/// What the parts of an executable ask for together.
struct Demand {
    floor: Option<SystemVersion>,
    libraries: BTreeSet<String>,
    is_complete: bool,
}

impl Default for Demand {
    fn default() -> Self {
        Self { floor: None, libraries: BTreeSet::new(), is_complete: true }
    }
}

impl Demand {
    /// Adds an executable or a library, and tells its processor. None where it is for another one, or is damaged.
    fn add<'data>(&mut self, container: Container, data: impl ReadRef<'data>) -> Option<Architecture> {
        match container {
            Container::Elf => self.add_elf(data).ok()?,
            Container::MachO => self.add_macho(data).ok()?,
        }
    }

    fn add_elf<'data>(&mut self, data: impl ReadRef<'data>) -> object::Result<Option<Architecture>> {
        let header = FileHeader64::<Endianness>::parse(data)?;
        let endian = header.endian()?;
        let architecture = match header.e_machine(endian) {
            elf::EM_X86_64 => Architecture::X86_64,
            elf::EM_AARCH64 => Architecture::Aarch64,
            _ => return Ok(None),
        };
        // More than 65,279 sections are counted elsewhere.
        if header.e_shnum.get(endian) == 0 {
            self.is_complete = false;
            return Ok(Some(architecture));
        }
        let sections = header.sections(endian, data)?;
        self.add_versions(&sections, endian, data)?;
        self.add_libraries(&sections, endian, data)?;
        Ok(Some(architecture))
    }

    /// Adds the newest version of glibc in `verneed`, which the loader insists on.
    fn add_versions<'data, R: ReadRef<'data>>(
        &mut self,
        sections: &SectionTable<'data, FileHeader64<Endianness>, R>,
        endian: Endianness,
        data: R,
    ) -> object::Result<()> {
        let Some(section) = sections.iter().find(|section| section.sh_type(endian) == elf::SHT_GNU_VERNEED)
        else {
            return Ok(());
        };
        let strings = self.strings(sections, section.sh_link(endian), endian, data)?;
        if section.sh_size(endian) > TABLE_LIMIT {
            self.is_complete = false;
            return Ok(());
        }
        let Some((mut needs, _)) = section.gnu_verneed(endian, data)? else {
            return Ok(());
        };
        let mut count = 0;
        while let Some((_, mut entries)) = needs.next()? {
            while let Some(entry) = entries.next()? {
                count += 1;
                if count > ENTRIES_LIMIT {
                    self.is_complete = false;
                    return Ok(());
                }
                if entry.vna_flags.get(endian).contains(elf::VER_FLG_WEAK) {
                    continue;
                }
                match string(strings, entry.vna_name.get(endian).into()).map(SystemVersion::of_symbol_version)
                {
                    Some(Ok(version)) => self.floor = self.floor.max(version),
                    Some(Err(_)) => self.is_complete = false,
                    // A name that cannot be read was never taken for one of glibc's.
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn add_libraries<'data, R: ReadRef<'data>>(
        &mut self,
        sections: &SectionTable<'data, FileHeader64<Endianness>, R>,
        endian: Endianness,
        data: R,
    ) -> object::Result<()> {
        let Some(section) = sections.iter().find(|section| section.sh_type(endian) == elf::SHT_DYNAMIC)
        else {
            return Ok(());
        };
        let strings = self.strings(sections, section.sh_link(endian), endian, data)?;
        if section.sh_size(endian) > TABLE_LIMIT {
            return Ok(());
        }
        let Some((entries, _)) = section.dynamic(endian, data)? else {
            return Ok(());
        };
        for entry in entries.iter().filter(|entry| entry.tag(endian) == elf::DT_NEEDED) {
            let name = string(strings, entry.val(endian)).filter(|name| !is_of_glibc(name));
            if let Some(name) = name.filter(|_| self.libraries.len() < ENTRIES_LIMIT) {
                self.libraries.insert(name.to_owned());
            }
        }
        Ok(())
    }

    /// The strings of a table, if it is of any sensible size.
    fn strings<'data, R: ReadRef<'data>>(
        &mut self,
        sections: &SectionTable<'data, FileHeader64<Endianness>, R>,
        link: u32,
        endian: Endianness,
        data: R,
    ) -> object::Result<&'data [u8]> {
        let section = sections.section(object::SectionIndex(link as usize))?;
        if section.sh_size(endian) > STRINGS_LIMIT {
            self.is_complete = false;
            return Ok(&[]);
        }
        section.data(endian, data)
    }

    fn add_macho<'data>(&mut self, data: impl ReadRef<'data>) -> object::Result<Option<Architecture>> {
        let header = MachHeader64::<Endianness>::parse(data, 0)?;
        let endian = header.endian()?;
        let architecture = match header.cputype(endian) {
            macho::CPU_TYPE_X86_64 => Architecture::X86_64,
            macho::CPU_TYPE_ARM64 => Architecture::Aarch64,
            _ => return Ok(None),
        };
        if u64::from(header.sizeofcmds(endian)) > TABLE_LIMIT {
            self.is_complete = false;
            return Ok(Some(architecture));
        }
        self.floor = self.floor.max(SystemVersion::deployment_target(data)?);
        Ok(Some(architecture))
    }
}

fn string(strings: &[u8], offset: u64) -> Option<&str> {
    let rest = strings.get(usize::try_from(offset).ok()?..)?;
    let end = memchr(0, &rest[..rest.len().min(NAME_LIMIT)])?;
    std::str::from_utf8(&rest[..end]).ok()
}

/// Whether a library is a part of glibc itself, whose version says enough.
fn is_of_glibc(name: &str) -> bool {
    const PARTS: [&str; 7] =
        ["libc.so.", "libm.so.", "libdl.so.", "libpthread.so.", "librt.so.", "ld-linux", "libutil.so."];
    PARTS.iter().any(|part| name.starts_with(part))
}

/// Where shared libraries of the executable's own kind start inside it, up to `most` of them. Reads the executable once, from
/// its first byte on, in constant memory.
///
/// # Errors
/// Those of the reader.
pub fn embedded_libraries(
    mut executable: impl Read,
    container: Container,
    most: usize,
) -> io::Result<Vec<u64>> {
    let magic: &[u8] = match container {
        // With the class (64 bits), the byte order and the version, as all targets have them.
        Container::Elf => b"\x7fELF\x02\x01\x01",
        Container::MachO => b"\xcf\xfa\xed\xfe",
    };
    let finder = memmem::Finder::new(magic);
    let mut found = Vec::new();
    let mut buffer = Vec::with_capacity(BUFFER + HEADER);
    let mut own = [0; HEADER];
    let mut start = 0;
    loop {
        let wanted = BUFFER + HEADER - buffer.len();
        let is_last = executable.by_ref().take(wanted as u64).read_to_end(&mut buffer)? < wanted;
        if start == 0
            && let Some(header) = buffer.first_chunk()
        {
            own = *header;
        }
        for position in finder.find_iter(&buffer) {
            let at = start + position as u64;
            let header = &buffer[position..];
            // What starts in the last bytes is found again with the next ones.
            let is_seen_once = position < BUFFER || is_last;
            if at != 0 && is_seen_once && header.len() >= HEADER && is_library(header, &own, container) {
                found.push(at);
                if found.len() == most {
                    return Ok(found);
                }
            }
        }
        if is_last {
            return Ok(found);
        }
        buffer.drain(..BUFFER);
        start += BUFFER as u64;
    }
}

/// Whether a header is that of a shared library for the processor of the executable with the header `own`.
fn is_library(header: &[u8], own: &[u8], container: Container) -> bool {
    match container {
        // Type ET_DYN, the same machine, version 1, and a header of 64 bytes.
        Container::Elf => {
            header[16..18] == [3, 0]
                && header[18..20] == own[18..20]
                && header[20..24] == [1, 0, 0, 0]
                && header[52..54] == [64, 0]
        }
        // The same processor, and type MH_DYLIB.
        Container::MachO => header[4..8] == own[4..8] && header[12..16] == [6, 0, 0, 0],
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn of(bytes: &[u8]) -> Option<Needs> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        needs(&file, bytes.len() as u64)
    }

    fn this_test() -> Vec<u8> {
        fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn this_test_needs_the_system_that_runs_it() {
        let needs = of(&this_test()).unwrap();
        assert_eq!(needs.architecture.to_string(), std::env::consts::ARCH);
        if cfg!(target_os = "linux") {
            assert_eq!(needs.container, Container::Elf);
            assert!(needs.libraries.contains(&"libgcc_s.so.1".to_owned()), "{needs:?}");
            assert!(needs.libraries.iter().all(|name| !name.starts_with("libc.")), "{needs:?}");
        }
        assert!(needs.floor.unwrap().major >= 2);
    }

    #[test]
    fn what_is_inside_counts_too() {
        // A library of Mach-O that needs macOS 13.3.1 inside an executable that needs 11.0.
        let part = |kind: u32, version: u32| {
            let words = [0xfeed_facf, 0x0100_000c, 0, kind, 1, 24, 0, 0, 0x32, 24, 1, version, 0, 0_u32];
            words.map(u32::to_le_bytes).concat()
        };
        let mut bytes = part(2, 0x000b_0000);
        assert_eq!(of(&bytes).unwrap().floor.unwrap().to_string(), "11.0");
        // Where one buffer ends.
        bytes.resize(BUFFER - 3, 0);
        bytes.extend(part(6, 0x000d_0301));
        bytes.resize(BUFFER + 100, 0);
        let needs = of(&bytes).unwrap();
        assert_eq!((needs.container, needs.architecture), (Container::MachO, Architecture::Aarch64));
        assert_eq!(needs.floor.unwrap().to_string(), "13.3.1");
    }

    #[test]
    fn what_is_no_executable_needs_nothing() {
        assert_eq!(of(b""), None);
        assert_eq!(of(b"#!/bin/sh\necho base\n"), None);
        assert_eq!(of(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"), None);
    }

    #[test]
    fn too_many_libraries_leave_the_floor_open() {
        let mut bytes = this_test();
        let mut header = bytes[..64].to_vec();
        header[16] = 3;
        for _ in 0..=LIBRARIES_LIMIT {
            bytes.extend(&header);
        }
        assert_eq!(of(&bytes).unwrap().floor, None);
    }

    proptest! {
        #[test]
        fn damaged_headers_are_no_reason_to_panic(changes in prop::collection::vec((0_usize..4096, any::<u8>()), 1..8)) {
            let mut bytes = this_test();
            bytes.truncate(1 << 20);
            for (position, value) in changes {
                bytes[position] = value;
            }
            let _any = of(&bytes);
        }
    }
}
