//! Base binaries for encoderfiles: which file, for which target, from which release, proven by which signature.

mod digest;
mod index;
mod target;

pub use digest::{Digest, InvalidDigest};
pub use index::{
    ArchiveFile, BaseIndex, BinaryFile, Floor, INDEX_NAME, IndexError, InvalidPlatformVersion,
    MAX_INDEX_SIZE, PROJECT, PlatformVersion, RUNTIME_MEMBER, SCHEMA, SIGNATURE_SUFFIX, TargetEntry,
    archive_trusted_comment, cli_archive_name, runtime_archive_name, trusted_comment,
};
pub use target::{Architecture, ObjectFormat, Target, UnknownTarget};
