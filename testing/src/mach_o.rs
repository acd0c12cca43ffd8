//! Mach-O executables, put together by hand: nobody runs them, but they have all that is moved when a model is put into them.

mod fixups;
mod rules;
mod signature;

pub use rules::{tables, violations};
pub use signature::{SignatureOptions, sign_again};

/// The processor that an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processor {
    /// Apple silicon, pages of 16 KiB.
    Arm64,
    /// Intel, pages of 4 KiB.
    X86_64,
}

/// How pointers are told to the loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fixups {
    /// `LC_DYLD_INFO_ONLY`, which counts nothing.
    Info,
    /// Chained fixups whose list of segments has room for one more.
    ChainedWithRoom,
    /// Chained fixups whose list of segments has none.
    ChainedWithoutRoom,
}

/// What an image is to be like.
#[derive(Debug, Clone)]
pub struct MachO {
    /// Its processor.
    pub processor: Processor,
    /// Its fixups.
    pub fixups: Fixups,
    /// Zero bytes behind the load commands.
    pub header_pad: usize,
    /// Its signature, if it has one.
    pub signature: Option<SignatureOptions>,
    /// The bytes of its section `__const`, such as a stamp.
    pub content: Vec<u8>,
    /// The oldest macOS that it is for.
    pub macos: (u32, u32),
    /// Libraries that it loads besides the one that all do.
    pub libraries: Vec<String>,
    /// Where it looks for libraries.
    pub search_paths: Vec<String>,
    /// Flags of its header besides the usual ones.
    pub flags: u32,
    /// Whether it has all that may stand in `__LINKEDIT`, instead of what is usual, and sections of which nothing is stored.
    pub has_every_table: bool,
}

impl MachO {
    /// An image as linkers make it: signed for Apple silicon, unsigned for Intel.
    pub fn new(processor: Processor, fixups: Fixups) -> Self {
        let signature = (processor == Processor::Arm64).then(SignatureOptions::default);
        let content = b"read-only data".to_vec();
        let (libraries, search_paths) = (Vec::new(), Vec::new());
        let (header_pad, macos, flags, has_every_table) = (0x400, (13, 0), 0, false);
        Self {
            processor,
            fixups,
            header_pad,
            signature,
            content,
            macos,
            libraries,
            search_paths,
            flags,
            has_every_table,
        }
    }

    /// Its bytes.
    pub fn build(&self) -> Vec<u8> {
        let page = match self.processor {
            Processor::Arm64 => 0x4000,
            Processor::X86_64 => 0x1000,
        };
        // Segments with chains: `__DATA`, and one more where the list of them is to be full.
        let data: &[&str] = match self.fixups {
            Fixups::ChainedWithoutRoom => &["__DATA_CONST", "__DATA"],
            Fixups::Info | Fixups::ChainedWithRoom => &["__DATA"],
        };
        let probe = self.commands(page, data, 0, 0);
        let text_start = 32 + probe.bytes.len() + self.header_pad;
        let text_end = (text_start + self.content.len() + 64).next_multiple_of(page);
        let linkedit = text_end + data.len() * page;
        let built = self.commands(page, data, text_start, linkedit);
        let cpu = match self.processor {
            Processor::Arm64 => 0x0100_000c,
            Processor::X86_64 => 0x0100_0007,
        };
        let commands = u32_of(built.bytes.len());
        let mut image = words(&[0xfeed_facf, cpu, 0, 2, built.count, commands, 0x0020_0085 | self.flags, 0]);
        image.extend(&built.bytes);
        image.resize(text_start, 0);
        image.extend(&self.content);
        image.resize(text_end, 0xc3);
        for index in 0..data.len() {
            let end = image.len() + page;
            image.extend([b'd', u8::try_from(index).expect("few")].repeat(page / 4));
            image.resize(end, 0);
        }
        image.extend(&built.linkedit);
        if let Some(options) = &self.signature {
            signature::append(&mut image, options, text_end);
        }
        image
    }

    fn commands(&self, page: usize, data: &[&str], text_start: usize, linkedit: usize) -> Built {
        let base = 0x1_0000_0000;
        let text_end = linkedit.saturating_sub(data.len() * page);
        let mut built = Built::default();
        built.segment("__PAGEZERO", 0, base, 0, 0, &[]);
        let text = Area { address: base, offset: 0, size: text_end };
        let code = text_end.saturating_sub(64);
        built.segment(
            "__TEXT",
            text.address,
            text.size,
            text.offset,
            text.size,
            &[("__const", text_start, code.saturating_sub(text_start)), ("__text", code, 64)],
        );
        for (index, name) in data.iter().enumerate() {
            let offset = text_end + index * page;
            let sections = [("__data", offset, page), (ZERO_FILL, offset, 8)];
            let count = if self.has_every_table { 2 } else { 1 };
            built.segment(name, base + offset, page, offset, page, &sections[..count]);
        }

        // What `__LINKEDIT` holds, in the order in which linkers write it.
        let mut content = Vec::new();
        if self.fixups == Fixups::Info {
            let places = [8, 8, 0, 8, 8].map(|size| place(&mut content, linkedit, &vec![0x11; size]));
            let mut fields = vec![0x8000_0022, 48];
            fields.extend(places.iter().flat_map(|(offset, size)| [*offset, *size]));
            built.command(&words(&fields));
        } else {
            let count = data.len() + 3;
            let chains: Vec<_> = (2..2 + data.len()).collect();
            let (offset, size) =
                place(&mut content, linkedit, &fixups::chained(count, &chains, page, linkedit));
            built.command(&words(&[0x8000_0034, 16, offset, size]));
            let (offset, size) = place(&mut content, linkedit, &[0x22; 24]);
            built.command(&words(&[0x8000_0033, 16, offset, size]));
        }
        let (offset, size) = place(&mut content, linkedit, &[0x33; 8]);
        built.command(&words(&[0x26, 16, offset, size]));
        let data_in_code: &[u8] = if self.has_every_table { &[0x44; 16] } else { &[] };
        let (offset, size) = place(&mut content, linkedit, data_in_code);
        built.command(&words(&[0x29, 16, offset, size]));
        if self.has_every_table {
            for kind in [0x1e, 0x2b, 0x2e, 0x36, 0x37, 0x38] {
                let (offset, size) = place(&mut content, linkedit, &[kind; 24]);
                built.command(&words(&[kind.into(), 16, offset, size]));
            }
        }
        let mut symbols = Vec::new();
        for (name, kind, value) in [(2, 0x0f, base + code), (8, 0x01, 0)] {
            symbols.extend(words(&[name, kind | 0x0100]));
            symbols.extend(value.to_le_bytes());
        }
        let (symbols, _) = place(&mut content, linkedit, &symbols);
        let (indirect, _) = place(&mut content, linkedit, &words(&[1, 1]));
        let (strings, size) = place(&mut content, linkedit, b" \0_main\0_puts\0\0\0");
        built.command(&words(&[2, 24, symbols, 2, strings, size]));
        // Contents, modules, references, indirect symbols, relocations from outside and within: offset and number of each.
        let mut others = [(0, 0); 6];
        others[3] = (indirect, 2);
        if self.has_every_table {
            for (index, fill, size) in [(0, 0x71, 8), (1, 0x72, 56), (2, 0x73, 4), (4, 0x74, 8), (5, 0x75, 8)]
            {
                others[index] = (place(&mut content, linkedit, &vec![fill; 3 * size]).0, 3);
            }
        }
        let mut dynamic = vec![0xb, 80, 0, 0, 0, 1, 1, 1];
        dynamic.extend(others.iter().flat_map(|(offset, count)| [*offset, *count]));
        built.command(&words(&dynamic));

        built.command(&[&words(&[0xe, 32, 12]), &b"/usr/lib/dyld\0\0\0\0\0\0\0"[..]].concat());
        built.command(&[&words(&[0x1b, 24]), &[0x55; 16][..]].concat());
        let (major, minor) = self.macos;
        built.command(&words(&[0x32, 24, 1, major << 16 | minor << 8, 0x000d_0300, 0]));
        built.command(&words(&[0x8000_0028, 24, u32_of(code), 0, 0, 0]));
        let library = b"/usr/lib/libSystem.B.dylib\0\0\0\0\0\0";
        built.command(&[&words(&[0xc, 56, 24, 2, 0x0546_0000, 0x0001_0000]), &library[..]].concat());
        for library in &self.libraries {
            built.command(&with_text(0xc, &[24, 2, 0, 0], library));
        }
        for path in &self.search_paths {
            built.command(&with_text(0x8000_001c, &[12], path));
        }

        let mut size = content.len();
        if let Some(options) = &self.signature {
            content.resize((linkedit + content.len()).next_multiple_of(16) - linkedit, 0);
            let offset = linkedit + content.len();
            let length = options.length(offset);
            built.command(&words(&[0x1d, 16, u32_of(offset), u32_of(length)]));
            size = content.len() + length;
        }
        // In front of what was added since, where linkers have it.
        let mut segment = Built::default();
        segment.segment("__LINKEDIT", base + linkedit, size.next_multiple_of(page), linkedit, size, &[]);
        let at = built.segments_end;
        built.bytes.splice(at..at, segment.bytes);
        built.count += 1;
        built.linkedit = content;
        built
    }
}

/// A section of which nothing is stored.
const ZERO_FILL: &str = "__bss";

struct Area {
    address: usize,
    offset: usize,
    size: usize,
}

/// Load commands, and the content of `__LINKEDIT`.
#[derive(Default)]
struct Built {
    bytes: Vec<u8>,
    count: u32,
    segments_end: usize,
    linkedit: Vec<u8>,
}

impl Built {
    fn command(&mut self, bytes: &[u8]) {
        assert!(bytes.len().is_multiple_of(8), "a load command has a multiple of 8 bytes");
        self.bytes.extend(bytes);
        self.count += 1;
    }

    /// A segment and its sections: name, place in the file, length.
    fn segment(
        &mut self,
        name: &str,
        address: usize,
        memory: usize,
        offset: usize,
        size: usize,
        sections: &[(&str, usize, usize)],
    ) {
        let mut command = words(&[0x19, u32_of(72 + 80 * sections.len())]);
        command.extend(name_of(name));
        command.extend([address, memory, offset, size].map(|number| (number as u64).to_le_bytes()).concat());
        command.extend(words(&[5, 5, u32_of(sections.len()), 0]));
        for (section, start, length) in sections {
            command.extend(name_of(section));
            command.extend(name_of(name));
            let start_address = (address + start - offset) as u64;
            command.extend([start_address, *length as u64].map(u64::to_le_bytes).concat());
            // Whatever place is named of what is not stored, here within the load commands: it is none.
            let (start, kind) = if *section == ZERO_FILL { (64, 1) } else { (u32_of(*start), 0) };
            command.extend(words(&[start, 2, 0, 0, kind, 0, 0, 0]));
        }
        self.command(&command);
        self.segments_end = self.bytes.len();
    }
}

/// Adds something to `__LINKEDIT`, at a multiple of eight. Its offset in the file, and its length.
fn place(content: &mut Vec<u8>, linkedit: usize, bytes: &[u8]) -> (u32, u32) {
    content.resize(content.len().next_multiple_of(8), 0);
    let offset = linkedit + content.len();
    content.extend(bytes);
    (u32_of(offset), u32_of(bytes.len()))
}

/// A load command that ends with a text, at the offset that its first number says.
fn with_text(kind: u32, numbers: &[u32], text: &str) -> Vec<u8> {
    let size = (8 + 4 * numbers.len() + text.len() + 1).next_multiple_of(8);
    let mut command = words(&[&[kind, u32_of(size)], numbers].concat());
    command.extend(text.as_bytes());
    command.resize(size, 0);
    command
}

fn name_of(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn u32_of(number: usize) -> u32 {
    u32::try_from(number).expect("images of tests are small")
}
