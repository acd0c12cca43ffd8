//! The smallest executables that say what base binaries say to the loader, for every target on every host.

use encoderfile_registry::{Architecture, ObjectFormat, Target};
use encoderfile_testing::mach_o::{Fixups, MachO, Processor, SignatureOptions};

/// An executable for `target`: on Linux it needs the glibc version `glibc`, on macOS it is for 13.0.
pub(crate) fn for_target(target: Target, glibc: (u32, u32)) -> Vec<u8> {
    match target.object_format() {
        ObjectFormat::Elf => Elf::new(target).needs("memcpy", glibc).build(),
        ObjectFormat::MachO => mach_o(target).build(),
    }
}

/// A library that says of itself that it is ONNX Runtime in this version, and asks for nothing else.
pub(crate) fn onnxruntime(target: Target, version: &str) -> Vec<u8> {
    match target.object_format() {
        ObjectFormat::Elf => Elf::new(target).defines(&format!("VERS_{version}")).build(),
        ObjectFormat::MachO => {
            dylib(target, &format!("@rpath/libonnxruntime.{version}.dylib"), (11, 0), None)
        }
    }
}

const DT_NEEDED: u64 = 1;
pub(crate) const DT_RUNPATH: u64 = 29;

/// An ELF file with symbol versions.
pub(crate) struct Elf {
    machine: u16,
    needs: Vec<(String, String, u16)>,
    dynamic: Vec<(u64, String)>,
    defines: Option<String>,
    with_sections: bool,
    stack: Option<u32>,
}

impl Elf {
    pub(crate) fn new(target: Target) -> Self {
        let machine = match target.architecture() {
            Architecture::X86_64 => 62,
            Architecture::Aarch64 => 183,
        };
        let dynamic = vec![(DT_NEEDED, "libc.so.6".to_owned())];
        // Readable and writable.
        Self { machine, needs: Vec::new(), dynamic, defines: None, with_sections: true, stack: Some(6) }
    }

    /// Needs a library, or says another thing with a text in its dynamic section.
    pub(crate) fn library(self, name: &str) -> Self {
        self.dynamic(DT_NEEDED, name)
    }

    pub(crate) fn dynamic(mut self, tag: u64, text: &str) -> Self {
        self.dynamic.push((tag, text.to_owned()));
        self
    }

    /// Defines symbols of a version of its own.
    pub(crate) fn defines(mut self, version: &str) -> Self {
        self.defines = Some(version.to_owned());
        self
    }

    /// Wants its stack with these permissions, or says nothing about it.
    pub(crate) fn stack(mut self, permissions: Option<u32>) -> Self {
        self.stack = permissions;
        self
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

        let mut dynamic = Vec::new();
        for (tag, text) in &self.dynamic {
            dynamic.extend_from_slice(&tag.to_le_bytes());
            dynamic.extend_from_slice(&u64::from(add(text)).to_le_bytes());
        }
        dynamic.resize(dynamic.len() + 16, 0);
        // Version 1, no flags, index 2, one name, no hash; the name right behind, nothing else.
        let defined = self.defines.as_ref().map(|version| {
            let halves = [1u16, 0, 2, 1].into_iter().flat_map(u16::to_le_bytes);
            let words = [0, 20, 0, add(version), 0].into_iter().flat_map(u32::to_le_bytes);
            halves.chain(words).collect::<Vec<u8>>()
        });

        // Type, link, info, entry size, content. The strings are those of the sections too, whose names are all empty.
        let mut sections = vec![
            (3u32, 0u32, 0u32, 0u64, strings),
            (11, 1, 1, 24, symbols),
            (0x6fff_ffff, 2, 0, 2, symbol_versions),
            (6, 1, 0, 16, dynamic),
        ];
        if count != 0 {
            sections.push((0x6fff_fffe, 1, 1, 0, needed));
        }
        if let Some(defined) = defined {
            sections.push((0x6fff_fffd, 1, 1, 0, defined));
        }
        let programs = if self.stack.is_some() { 2u16 } else { 1 };
        let start = 64 + 56 * u64::from(programs);
        let mut contents = Vec::new();
        let mut headers = vec![0; 64];
        for (kind, link, info, entry_size, content) in sections {
            let offset = start + contents.len() as u64;
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
        let section_offset = if self.with_sections { start + contents.len() as u64 } else { 0 };

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
        for half in [64, 56, programs, 64, section_count, u16::from(self.with_sections)] {
            file.extend_from_slice(&u16::to_le_bytes(half));
        }
        // PT_DYNAMIC.
        file.extend_from_slice(&2u32.to_le_bytes());
        file.resize(64 + 56, 0);
        if let Some(permissions) = self.stack {
            // PT_GNU_STACK.
            file.extend_from_slice(&0x6474_e551u32.to_le_bytes());
            file.extend_from_slice(&permissions.to_le_bytes());
            file.resize(64 + 2 * 56, 0);
        }
        file.extend_from_slice(&contents);
        if self.with_sections {
            file.extend_from_slice(&headers);
        }
        file
    }
}

/// An executable for macOS as linkers make it, signed for either processor.
pub(crate) fn mach_o(target: Target) -> MachO {
    let processor = match target.architecture() {
        Architecture::X86_64 => Processor::X86_64,
        Architecture::Aarch64 => Processor::Arm64,
    };
    MachO { signature: Some(SignatureOptions::default()), ..MachO::new(processor, Fixups::ChainedWithRoom) }
}

/// The header of a library for macOS: what it is installed as, for which macOS it is, and where it looks for others.
pub(crate) fn dylib(target: Target, name: &str, macos: (u32, u32), search_path: Option<&str>) -> Vec<u8> {
    let (processor, model) = match target.architecture() {
        Architecture::X86_64 => (0x0100_0007, 3),
        Architecture::Aarch64 => (0x0100_000c, 0),
    };
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let with_text = |kind: u32, numbers: &[u32], text: &str| {
        let length = (8 + 4 * numbers.len() + text.len() + 1).next_multiple_of(8);
        let mut command = words(&[&[kind, u32::try_from(length).unwrap()], numbers].concat());
        command.extend(text.as_bytes());
        command.resize(length, 0);
        command
    };
    // LC_ID_DYLIB, LC_BUILD_VERSION, LC_RPATH.
    let mut commands = vec![with_text(0xd, &[24, 0, 0, 0], name)];
    commands.push(words(&[0x32, 24, 1, macos.0 << 16 | macos.1 << 8, 15 << 16, 0]));
    commands.extend(search_path.map(|path| with_text(0x8000_001c, &[12], path)));
    // LC_SEGMENT_64 without sections, of the header and the commands.
    let end = 32 + commands.concat().len() + 72;
    let mut segment = words(&[0x19, 72]);
    segment.extend(b"__TEXT\0\0\0\0\0\0\0\0\0\0");
    segment.extend(words(&[0, 0, 0x4000, 0, 0, 0, u32::try_from(end).unwrap(), 0, 5, 5, 0, 0]));
    commands.push(segment);
    let (count, size) = (commands.len(), commands.concat().len());
    let counts = [count, size].map(|number| u32::try_from(number).unwrap());
    // Magic, processor, model, MH_DYLIB, commands, flags, reserved.
    let mut file = words(&[0xfeed_facf, processor, model, 6, counts[0], counts[1], 0, 0]);
    file.extend(commands.concat());
    file
}
