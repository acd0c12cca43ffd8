//! Why a file cannot be read as an encoderfile.

use std::io;

use crate::artifact::label;
use crate::manifest::MANIFEST_LIMIT;
use crate::{ArtifactKind, Digest, FORMAT_VERSION, MachOError, WireError};

/// Why a file cannot be read as an encoderfile. Offsets and lengths are bytes of the whole file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
    /// Pipes, directories and devices have no last 32 bytes.
    #[error("not a regular file, but a pipe, a folder or a device: a file's end is read first")]
    NotAFile,
    /// No footer: a base binary without a model, a file that was cut, or another kind of file.
    #[error("no encoderfile footer in its last 32 bytes")]
    NoPayload,
    /// The header of a Mach-O image is damaged, so that nobody knows whether there is a segment with a model.
    #[error("its Mach-O header is damaged")]
    MachO(#[source] MachOError),
    /// A universal file of Mach-O images, put together of files each of which may hold a model.
    #[error("it is a universal file for several processors, which may be made of several encoderfiles")]
    Universal,
    /// The segment of a Mach-O image that the model is in reaches beyond the file, or has no room for a footer.
    #[error("the segment `__ENCFILE` is said to be bytes {start}..{end} of a file that has {file_length}")]
    Segment {
        /// Its first byte.
        start: u64,
        /// One past its last byte.
        end: u64,
        /// The length of the file.
        file_length: u64,
    },
    /// The code signature of a Mach-O image stands before the model, and does not cover it.
    #[error(
        "the code signature starts at byte {signature}, before the segment `__ENCFILE` ends, at byte {end}"
    )]
    SegmentNotSigned {
        /// Where the signature starts.
        signature: u64,
        /// One past the segment's last byte.
        end: u64,
    },
    /// The segment of a Mach-O image that the model is in does not end with a footer.
    #[error("the segment `__ENCFILE` has no encoderfile footer in its last 32 bytes, at byte {offset}")]
    SegmentFooter {
        /// Where it should start.
        offset: u64,
    },
    /// The footer in the segment and the one at the end of the file are not the same.
    #[error("the footer at byte {second} is not the one that is signed, at byte {first}")]
    Footers {
        /// Where the one in the segment starts.
        first: u64,
        /// Where the one at the end starts.
        second: u64,
    },
    /// What was changed in the base binary cannot be undone.
    #[error(
        "the manifest at byte {offset} tells of changes to another base binary than the one that is there"
    )]
    BaseEdits {
        /// Where the manifest starts.
        offset: u64,
    },
    /// A format of the future.
    #[error("format version {found}, where this program reads version {FORMAT_VERSION}")]
    FormatVersion {
        /// The footer's version.
        found: u32,
    },
    /// Flags that version 1 does not have.
    #[error("footer flags {found:#x}, where version 1 has exactly 0x1 (the manifest is protobuf)")]
    Flags {
        /// The footer's flags.
        found: u32,
    },
    /// The footer places the manifest outside of the file.
    #[error(
        "the footer places the manifest at byte {offset}, {length} bytes long, but only bytes 0..{end} can hold it"
    )]
    ManifestRange {
        /// The footer's manifest offset.
        offset: u64,
        /// The footer's manifest length.
        length: u64,
        /// Where the footer starts.
        end: u64,
    },
    /// The manifest is larger than any real one.
    #[error("the footer says that the manifest has {length} bytes, the limit is {MANIFEST_LIMIT}")]
    ManifestSize {
        /// The footer's manifest length.
        length: u64,
    },
    /// The manifest is not a protobuf message.
    #[error("the manifest at byte {offset} is damaged")]
    ManifestWire {
        /// Where the manifest starts.
        offset: u64,
        /// What is wrong, and at which byte of the manifest.
        #[source]
        source: WireError,
    },
    /// The manifest is a protobuf message, but not this one.
    #[error("the manifest at byte {offset} is damaged")]
    ManifestDecode {
        /// Where the manifest starts.
        offset: u64,
        /// The decoder's reason.
        #[source]
        source: prost::DecodeError,
    },
    /// More fields than any real manifest has.
    #[error("the manifest at byte {offset} has more than {limit} fields")]
    ManifestFields {
        /// Where the manifest starts.
        offset: u64,
        /// The most that are read.
        limit: usize,
    },
    /// More fields than any real message within a manifest has.
    #[error("field {number} of the manifest at byte {offset} has more than {limit} fields in it")]
    MessageFields {
        /// Where the manifest starts.
        offset: u64,
        /// The number of the message's field.
        number: u32,
        /// The most that are read.
        limit: usize,
    },
    /// A pooling mode of the future: leaving it out would give other vectors.
    #[error("sentence pooling mode {number}, which this program does not know")]
    PoolingMode {
        /// Its number.
        number: i32,
    },
    /// The manifest's bytes are not those that were written.
    #[error("the manifest (bytes {offset}..{}) is damaged: its bytes do not have the digest that it holds", offset + length)]
    ManifestDigest {
        /// Its first byte.
        offset: u64,
        /// Its length.
        length: u64,
    },
    /// A SHA-256 that has not 32 bytes.
    #[error("the manifest's sha256 of {of} has {length} bytes instead of 32")]
    DigestLength {
        /// What it is the digest of.
        of: String,
        /// Its length.
        length: usize,
    },
    /// An artifact lies outside of the room between manifest and footer.
    #[error(
        "{kind} claims {length} bytes from byte {offset}, but artifacts lie within bytes {}..{}", 
        room.start, room.end
    )]
    ArtifactRange {
        /// Which artifact.
        kind: ArtifactKind,
        /// Claimed start (saturated where it overflows).
        offset: u64,
        /// Claimed length.
        length: u64,
        /// Where artifacts may lie.
        room: std::ops::Range<u64>,
    },
    /// Two artifacts share bytes.
    #[error("{first} and {second} overlap at byte {offset}")]
    ArtifactOverlap {
        /// The artifact that starts first.
        first: ArtifactKind,
        /// The one that starts within it.
        second: ArtifactKind,
        /// Where the second starts.
        offset: u64,
    },
    /// Artifacts that are files have these files' names, by which those of one kind are told apart.
    #[error("{kind} has the name {name:?}, which is no file's within a folder, or that of another artifact")]
    ArtifactName {
        /// Which artifact.
        kind: ArtifactKind,
        /// Its name.
        name: String,
    },
    /// The file has no such artifact.
    #[error("there is no {kind} in it")]
    NoArtifact {
        /// Which artifact.
        kind: ArtifactKind,
    },
    /// An artifact is too large to be read into memory.
    #[error("{} has {length} bytes, of which at most {limit} are read into memory", label(*kind, name.as_deref()))]
    ArtifactSize {
        /// Which artifact.
        kind: ArtifactKind,
        /// Its name, if it has one.
        name: Option<String>,
        /// Its length.
        length: u64,
        /// The most that is read.
        limit: u64,
    },
    /// An artifact's bytes are not those that were written.
    #[error(
        "{} (bytes {offset}..{}) is damaged: expected sha256 {expected}, found {found}",
        label(*kind, name.as_deref()),
        offset + length
    )]
    ArtifactDigest {
        /// Which artifact.
        kind: ArtifactKind,
        /// Its name, if it has one.
        name: Option<String>,
        /// Its first byte.
        offset: u64,
        /// Its length.
        length: u64,
        /// What the manifest says.
        expected: Digest,
        /// What the bytes are.
        found: Digest,
    },
    /// An artifact is intact, but its content is not what it should be.
    #[error("{kind} cannot be read")]
    ArtifactContent {
        /// Which artifact.
        kind: ArtifactKind,
        /// The decoder's reason.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Whether the bytes are not what a writer wrote, as against a file of another kind or one that cannot be read.
    pub const fn is_damage(&self) -> bool {
        !matches!(
            self,
            Self::Read { .. }
                | Self::NotAFile
                | Self::Universal
                | Self::NoPayload
                | Self::FormatVersion { .. }
                | Self::NoArtifact { .. }
        )
    }
}
