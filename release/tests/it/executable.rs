//! The smallest executables that say what base binaries say to the loader, for every target on every host.

use encoderfile_registry::{Architecture, ObjectFormat, Target};

/// An executable for `target`: on Linux it needs the glibc version `glibc`, on macOS it is for 13.0.
pub(crate) fn for_target(target: Target, glibc: (u32, u32)) -> Vec<u8> {
    match target.object_format() {
        ObjectFormat::Elf => Elf::new(target).needs("memcpy", glibc).build(),
        ObjectFormat::MachO => mach_o(target, MH_EXECUTE, (13, 0)),
    }
}

/// An ELF file with symbol versions.
pub(crate) struct Elf {
    machine: u16,
    needs: Vec<(String, String, u16)>,
    with_sections: bool,
}

impl Elf {
    pub(crate) fn new(target: Target) -> Self {
        let machine = match target.architecture() {
            Architecture::X86_64 => 62,
            Architecture::Aarch64 => 183,
        };
        Self { machine, needs: Vec::new(), with_sections: true }
    }

    /// Needs `symbol` in the version of a glibc.
    pub(crate) fn needs(self, symbol: &str, (major, minor): (u32, u32)) -> Self {
        self.needs_version(symbol, &format!("GLIBC_{major}.{minor}"), false)
    }

    /// Needs `symbol` in `version`, or would like to (`VER_FLG_WEAK`).
    pub(crate) fn needs_version(mut self, symbol: &str, version: &str, weak: bool) -> Self {
        self.needs.push((symbol.to_owned(), version.to_owned(), if weak { 2 } else { 0 }));
        self
    }

    /// Loses its section table, by which the versions are found.
    pub(crate) fn without_sections(mut self) -> Self {
        self.with_sections = false;
        self
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut strings = b"\0libc.so.6\0".to_vec();
        let mut add = |text: &str| {
            let offset = u32::try_from(strings.len()).unwrap();
            strings.extend_from_slice(text.as_bytes());
            strings.push(0);
            offset
        };
        let mut symbols = vec![0; 24];
        let mut symbol_versions = vec![0, 0];
        let mut versions = Vec::new();
        for (index, (symbol, version, flags)) in self.needs.iter().enumerate() {
            let other = u16::try_from(index).unwrap() + 2;
            // A global, undefined function.
            symbols.extend_from_slice(&add(symbol).to_le_bytes());
            symbols.push(0x12);
            symbols.extend_from_slice(&[0; 19]);
            symbol_versions.extend_from_slice(&other.to_le_bytes());
            versions.extend_from_slice(&[0; 4]);
            versions.extend_from_slice(&flags.to_le_bytes());
            versions.extend_from_slice(&other.to_le_bytes());
            versions.extend_from_slice(&add(version).to_le_bytes());
            let next: u32 = if index + 1 == self.needs.len() { 0 } else { 16 };
            versions.extend_from_slice(&next.to_le_bytes());
        }
        let count = u16::try_from(self.needs.len()).unwrap();
        let mut needed = Vec::new();
        needed.extend_from_slice(&1u16.to_le_bytes());
        needed.extend_from_slice(&count.to_le_bytes());
        // The file `libc.so.6`; the versions right behind; no other file.
        for number in [1u32, 16, 0] {
            needed.extend_from_slice(&number.to_le_bytes());
        }
        needed.extend_from_slice(&versions);

        // Type, link, info, entry size, content. The strings are those of the sections too, whose names are all empty.
        let mut sections = vec![
            (3u32, 0u32, 0u32, 0u64, strings),
            (11, 1, 1, 24, symbols),
            (0x6fff_ffff, 2, 0, 2, symbol_versions),
            (6, 1, 0, 16, vec![0; 16]),
        ];
        if count != 0 {
            sections.push((0x6fff_fffe, 1, 1, 0, needed));
        }
        let mut contents = Vec::new();
        let mut headers = vec![0; 64];
        for (kind, link, info, entry_size, content) in sections {
            let offset = 64 + 56 + contents.len() as u64;
            headers.extend_from_slice(&[0; 4]);
            headers.extend_from_slice(&kind.to_le_bytes());
            headers.extend_from_slice(&[0; 16]);
            headers.extend_from_slice(&offset.to_le_bytes());
            headers.extend_from_slice(&(content.len() as u64).to_le_bytes());
            headers.extend_from_slice(&link.to_le_bytes());
            headers.extend_from_slice(&info.to_le_bytes());
            headers.extend_from_slice(&8u64.to_le_bytes());
            headers.extend_from_slice(&entry_size.to_le_bytes());
            contents.extend_from_slice(&content);
            contents.resize(contents.len().next_multiple_of(8), 0);
        }
        let section_count = if self.with_sections { u16::try_from(headers.len() / 64).unwrap() } else { 0 };
        let section_offset = if self.with_sections { 64 + 56 + contents.len() as u64 } else { 0 };

        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        for half in [3, self.machine] {
            file.extend_from_slice(&u16::to_le_bytes(half));
        }
        file.extend_from_slice(&1u32.to_le_bytes());
        // Entry, program headers, section headers.
        for offset in [0, 64, section_offset] {
            file.extend_from_slice(&offset.to_le_bytes());
        }
        file.extend_from_slice(&0u32.to_le_bytes());
        for half in [64, 56, 1, 64, section_count, u16::from(self.with_sections)] {
            file.extend_from_slice(&u16::to_le_bytes(half));
        }
        // PT_DYNAMIC.
        file.extend_from_slice(&2u32.to_le_bytes());
        file.resize(64 + 56, 0);
        file.extend_from_slice(&contents);
        if self.with_sections {
            file.extend_from_slice(&headers);
        }
        file
    }
}

pub(crate) const MH_EXECUTE: u32 = 2;
pub(crate) const MH_DYLIB: u32 = 6;

/// A Mach-O file of a kind, for a macOS from `minimum` on.
pub(crate) fn mach_o(target: Target, kind: u32, minimum: (u32, u32)) -> Vec<u8> {
    let (processor, model) = match target.architecture() {
        Architecture::X86_64 => (0x0100_0007, 3),
        Architecture::Aarch64 => (0x0100_000c, 0),
    };
    let version = minimum.0 << 16 | minimum.1 << 8;
    // Header: magic, processor, model, kind, one command of 24 bytes, flags, reserved.
    let header = [0xfeed_facf, processor, model, kind, 1, 24, 0, 0];
    // LC_BUILD_VERSION for macOS: minimum, SDK, no tools.
    let command = [0x32u32, 24, 1, version, 15 << 16, 0];
    // Room for what real files have behind their commands.
    header.iter().chain(&command).chain(&[0; 16]).flat_map(|word| word.to_le_bytes()).collect()
}
