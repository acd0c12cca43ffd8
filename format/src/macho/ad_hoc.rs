//! The code signature of a new file: ad hoc, as linkers make it. It shows that nothing was changed, and nobody vouches for it.

use std::ops::Range;

use object::macho;

use super::pages::Pages;
use crate::{Architecture, Digest};

/// Version of the code directory: the first with the place of the executable segment, as linkers write it.
const VERSION: u32 = macho::CS_SUPPORTSEXECSEG.0;
/// Length of the super blob's header with one entry.
const SUPER_BLOB: u32 = 20;
/// Length of a code directory's header in this version.
const DIRECTORY: u32 = 88;

/// A signature of one code directory.
#[derive(Debug)]
pub(super) struct AdHoc<'a> {
    /// What the program is called.
    pub(super) identifier: &'a str,
    /// What is signed.
    pub(super) pages: Pages,
    /// The segment `__TEXT`, which has the code that may run.
    pub(super) text: Range<u64>,
}

impl AdHoc<'_> {
    /// The pages of a file whose signature starts at a byte. Those of 16 KiB, where the processor has them, need a fourth of
    /// the hashes, which the kernel reads when the program starts.
    pub(super) const fn pages(architecture: Architecture, limit: u64) -> Pages {
        let shift = match architecture {
            Architecture::X86_64 => 12,
            Architecture::Aarch64 => 14,
        };
        Pages { shift, limit }
    }

    /// Bytes before the hashes.
    pub(super) const fn head_length(&self) -> u64 {
        SUPER_BLOB as u64 + self.hash_offset()
    }

    /// Length of the whole.
    pub(super) const fn length(&self) -> u64 {
        self.head_length() + self.pages.count() * Digest::LENGTH as u64
    }

    /// The first hash, from the start of the directory.
    const fn hash_offset(&self) -> u64 {
        DIRECTORY as u64 + self.identifier.len() as u64 + 1
    }

    /// What stands before the hashes.
    pub(super) fn head(&self) -> Vec<u8> {
        let word = |number: u64| u32::try_from(number).expect("a signed file has less than 4 GiB");
        let length = self.length();
        let flags = macho::CS_ADHOC.0 | macho::CS_LINKER_SIGNED.0;
        let words = [
            macho::CSMAGIC_EMBEDDED_SIGNATURE,
            word(length),
            1,
            macho::CSSLOT_CODEDIRECTORY.0,
            SUPER_BLOB,
            macho::CSMAGIC_CODEDIRECTORY,
            word(length) - SUPER_BLOB,
            VERSION,
            flags,
            word(self.hash_offset()),
            DIRECTORY,
            0,
            word(self.pages.count()),
            word(self.pages.limit),
            u32::from_be_bytes([32, macho::CS_HASHTYPE_SHA256.0, 0, self.pages.shift]),
            // Scatter vector, team and the large limit, with what stands between them: none.
            0,
            0,
            0,
            0,
            0,
            0,
        ];
        let text = [self.text.start, self.text.end - self.text.start, macho::CS_EXECSEG_MAIN_BINARY.0];
        let mut head = words.map(u32::to_be_bytes).concat();
        head.extend(text.map(u64::to_be_bytes).concat());
        head.extend(self.identifier.bytes());
        head.push(0);
        head
    }
}
