//! The last 32 bytes of an encoderfile.

use crate::Error;

/// The version of the file format that this crate reads and writes.
pub const FORMAT_VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"ENCFILE\0";
/// The manifest is protobuf: the only encoding of version 1.
const FLAG_PROTOBUF: u32 = 1;

/// Where the manifest lies: the fixed-size end of the file by which an encoderfile is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footer {
    /// The manifest's first byte, from the start of the file.
    pub manifest_offset: u64,
    /// The manifest's length in bytes.
    pub manifest_length: u64,
}

impl Footer {
    /// Length in bytes.
    pub const LENGTH: u64 = 32;

    /// The footer's bytes.
    pub fn encode(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.manifest_offset.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.manifest_length.to_le_bytes());
        bytes[28..32].copy_from_slice(&FLAG_PROTOBUF.to_le_bytes());
        bytes
    }

    /// Whether bytes start as a footer does.
    pub(crate) fn is_one(bytes: &[u8; 32]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Reads the last 32 bytes of a file. What it says of the manifest is not yet checked against the file.
    ///
    /// # Errors
    /// [`Error::NoPayload`] without the magic, [`Error::FormatVersion`] and [`Error::Flags`] where this crate cannot
    /// read on.
    pub fn decode(bytes: &[u8; 32]) -> Result<Self, Error> {
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        if &bytes[0..8] != MAGIC {
            return Err(Error::NoPayload);
        }
        let version = u32_at(8);
        if version != FORMAT_VERSION {
            return Err(Error::FormatVersion { found: version });
        }
        let flags = u32_at(28);
        if flags != FLAG_PROTOBUF {
            return Err(Error::Flags { found: flags });
        }
        Ok(Self { manifest_offset: u64_at(12), manifest_length: u64_at(20) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_specification() {
        let footer = Footer { manifest_offset: 0x1_5d, manifest_length: 0xbe };
        let bytes = footer.encode();
        let expected = "454e4346494c4500 01000000 5d01000000000000 be00000000000000 01000000";
        assert_eq!(hex::encode(bytes), expected.replace(' ', ""));
        assert_eq!(Footer::decode(&bytes).unwrap(), footer);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let good = Footer { manifest_offset: 1, manifest_length: 2 }.encode();
        let with = |at: usize, value: u8| {
            let mut bytes = good;
            bytes[at] = value;
            Footer::decode(&bytes)
        };
        assert!(matches!(with(0, 0), Err(Error::NoPayload)));
        assert!(matches!(with(8, 2), Err(Error::FormatVersion { found: 2 })));
        assert!(matches!(with(28, 0), Err(Error::Flags { found: 0 })));
        assert!(matches!(with(29, 1), Err(Error::Flags { found: 0x101 })));
    }
}
