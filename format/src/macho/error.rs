//! Why a Mach-O image cannot be read, or cannot take a model; why a code signature does not hold.

use std::io;

use crate::Digest;

/// Why a Mach-O image cannot be read, or cannot take a model. Offsets and lengths are bytes of the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachOError {
    /// The system could not read.
    #[error("cannot read bytes {offset}..{}", offset.saturating_add(*length))]
    Read {
        /// First byte.
        offset: u64,
        /// Number of bytes.
        length: u64,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// It is of another kind, or for several processors at once.
    #[error("{}", if *is_fat { "a universal file for several processors, where one for a single processor is needed" } else { "not a 64-bit Mach-O image" })]
    NotThin64 {
        /// Whether it is for several processors.
        is_fat: bool,
    },
    /// It is for another processor.
    #[error("a Mach-O image for the processor {found:#x}, which is neither x86_64 nor arm64")]
    Architecture {
        /// The number of its processor.
        found: u32,
    },
    /// The load commands are not what their sizes say.
    #[error("the load commands are damaged at byte {offset}")]
    Commands {
        /// Where.
        offset: u64,
    },
    /// A library, an object file or the like.
    #[error("a Mach-O file of type {found}, where executables have type 2")]
    NotExecutable {
        /// Its type.
        found: u32,
    },
    /// It holds a model, or the place of one.
    #[error("it has a segment `__ENCFILE` already")]
    HasModel,
    /// The parts of the file do not lie as linkers place them.
    #[error("its segments cannot be moved: {what}")]
    Segments {
        /// What is other than usual.
        what: &'static str,
    },
    /// A load command that may hold an offset, which would have to be changed.
    #[error(
        "the load command {kind:#x} at byte {offset} is not known, and may point to what has to be moved"
    )]
    UnknownCommand {
        /// What it calls itself.
        kind: u32,
        /// Where it stands.
        offset: u64,
    },
    /// A load command points to somewhere else than to `__LINKEDIT`.
    #[error(
        "the load command field at byte {offset} points to byte {value}, which does not lie in `__LINKEDIT`"
    )]
    Pointer {
        /// Where the field stands.
        offset: u64,
        /// What it points to.
        value: u64,
    },
    /// There is no room for load commands.
    #[error("there are {found} free bytes behind its load commands, and {needed} are needed")]
    Room {
        /// Zero bytes there.
        found: u64,
        /// Bytes of the load commands that are added.
        needed: u64,
    },
    /// The signature that is there cannot be read.
    #[error("its code signature cannot be read")]
    Signature(#[source] Box<CodeSignatureError>),
    /// Whoever vouches for it would not vouch for the new file.
    #[error("it is signed as `{identifier}` {why}, which would be lost: the new file is signed ad hoc")]
    SignatureLost {
        /// What the signer calls it.
        identifier: String,
        /// What would be lost.
        why: &'static str,
    },
    /// The chained fixups count segments, and are not built as this program knows them.
    #[error("its chained fixups cannot be extended: at byte {offset}, {what}")]
    Fixups {
        /// Where.
        offset: u64,
        /// What is other than known.
        what: &'static str,
    },
    /// Offsets in a Mach-O file have 32 bits.
    #[error(
        "the file would have {length} bytes, and a Mach-O file has less than 4 GiB, with room for the next signature"
    )]
    TooLarge {
        /// Bytes that it would have.
        length: u64,
    },
}

impl MachOError {
    pub(super) fn read(offset: u64, length: u64, source: io::Error) -> Self {
        Self::Read { offset, length, source }
    }
}

/// Why a code signature does not hold. Offsets are bytes of the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodeSignatureError {
    /// The image that it should be in cannot be read.
    #[error(transparent)]
    Image(#[from] MachOError),
    /// The system could not read.
    #[error("cannot read bytes {offset}..{}", offset.saturating_add(*length))]
    Read {
        /// First byte.
        offset: u64,
        /// Number of bytes.
        length: u64,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// There is none.
    #[error("it has no code signature")]
    Missing,
    /// The signature does not end with the file, so something is not covered by it.
    #[error("the code signature ends at byte {end}, but the file has {length} bytes")]
    NotLast {
        /// Where the signature ends.
        end: u64,
        /// The length of the file.
        length: u64,
    },
    /// It is not built as signatures are.
    #[error("the code signature is damaged at byte {offset}: {what}")]
    Damaged {
        /// Where.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// There is no directory of SHA-256 digests, the only ones that are computed here.
    #[error("the code signature has no SHA-256 digests")]
    NoSha256,
    /// There is a directory of digests that the system may prefer, and that are not computed here.
    #[error("the code signature has digests of kind {kind}, which this program does not know")]
    OtherDigests {
        /// Its number in `cs_blobs.h`.
        kind: u8,
    },
    /// Something before the signature is not covered by it.
    #[error("the code signature covers bytes 0..{limit}, but stands at byte {offset}")]
    Limit {
        /// One past the last byte that it covers.
        limit: u64,
        /// Where it stands.
        offset: u64,
    },
    /// A part of the signature is not what its directory says.
    #[error("part {slot} of the code signature is damaged: expected sha256 {expected}, found {found}")]
    Slot {
        /// The number of the part.
        slot: u32,
        /// What the directory says.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// There is a part of the signature that its directory says nothing of, so that anybody can have put it there.
    #[error("part {slot} of the code signature is not covered by it")]
    NotCovered {
        /// The number of the part.
        slot: u32,
    },
    /// A part of the signature is gone.
    #[error("part {slot} of the code signature, with sha256 {expected}, is not there any more")]
    Lost {
        /// The number of the part.
        slot: u32,
        /// What the directory says.
        expected: Digest,
    },
    /// A page of the file is not what was signed.
    #[error(
        "page {page} (bytes {start}..{end}) is not what was signed: expected sha256 {expected}, found {found}"
    )]
    Page {
        /// Its number.
        page: u64,
        /// Its first byte.
        start: u64,
        /// One past its last byte.
        end: u64,
        /// What the signature says.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
}

impl CodeSignatureError {
    pub(super) fn read(offset: u64, length: u64, source: io::Error) -> Self {
        Self::Read { offset, length, source }
    }

    /// Whether the file could not be read, as against one whose signature does not hold.
    pub const fn is_read(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::Image(MachOError::Read { .. }))
    }
}
