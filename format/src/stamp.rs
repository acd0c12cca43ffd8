//! The identity of a base binary, found in its bytes without running it.

use memchr::memmem;
use prost::Message;

use crate::Digest;
use crate::proto::stamp::RuntimeStamp;

/// Starts a stamp. Other programs that look for stamps contain these bytes too, which is why a digest follows.
const MAGIC: &[u8; 16] = b"\0ENCODERFILE-RT\0";
/// Stamps are a few dozen bytes; more is not one.
const LIMIT: usize = 4096;

/// What a base binary says of itself: [`encode`](Stamp::encode)d into its read-only data when it is built.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Stamp {
    /// Version of `encoderfile-runtime`.
    pub version: String,
    /// Rust target triple.
    pub target: String,
    /// Versions of the file format that it reads.
    pub format_versions: Vec<u32>,
    /// Version of the embedded ONNX Runtime.
    pub onnxruntime_version: String,
}

impl Stamp {
    /// The bytes to embed: magic, length (u32, little-endian), protobuf `RuntimeStamp`, SHA-256 of the latter.
    ///
    /// # Panics
    /// If the fields are longer than 4096 bytes together.
    pub fn encode(&self) -> Vec<u8> {
        let message = RuntimeStamp {
            version: self.version.clone(),
            target: self.target.clone(),
            format_versions: self.format_versions.clone(),
            onnxruntime_version: self.onnxruntime_version.clone(),
        };
        let body = message.encode_to_vec();
        assert!(body.len() <= LIMIT, "a stamp has at most {LIMIT} bytes");
        let length = u32::try_from(body.len()).expect("bounded above");
        [MAGIC, &length.to_le_bytes()[..], &body, Digest::of(&body).as_bytes()].concat()
    }

    /// Reads a stamp that starts with the first byte. None if there is none, or if it is damaged.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        if length > LIMIT {
            return None;
        }
        let (body, rest) = rest.split_at_checked(length)?;
        let digest: &[u8; Digest::LENGTH] = rest.first_chunk()?;
        if Digest::of(body).as_bytes() != digest {
            return None;
        }
        let message = RuntimeStamp::decode(body).ok()?;
        Some(Self {
            version: message.version,
            target: message.target,
            format_versions: message.format_versions,
            onnxruntime_version: message.onnxruntime_version,
        })
    }

    /// Finds the first stamp in an executable of any architecture.
    pub fn find(executable: &[u8]) -> Option<Self> {
        memmem::find_iter(executable, MAGIC).find_map(|start| Self::decode(&executable[start..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp() -> Stamp {
        Stamp {
            version: "0.1.0".into(),
            target: "aarch64-apple-darwin".into(),
            format_versions: vec![1],
            onnxruntime_version: "1.23.2".into(),
        }
    }

    #[test]
    fn a_stamp_is_found_behind_the_magic_of_a_scanner() {
        let mut bytes = b"some code ".to_vec();
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[0xff; 40]);
        bytes.extend_from_slice(&stamp().encode());
        bytes.extend_from_slice(b" more");
        assert_eq!(Stamp::find(&bytes), Some(stamp()));
    }

    #[test]
    fn a_damaged_stamp_is_none() {
        let good = stamp().encode();
        assert_eq!(Stamp::decode(&good), Some(stamp()));
        for length in 0..good.len() {
            assert_eq!(Stamp::find(&good[..length]), None, "cut to {length}");
        }
        for position in 0..good.len() {
            let mut bad = good.clone();
            bad[position] ^= 1;
            assert_eq!(Stamp::find(&bad), None, "byte {position}");
        }
    }
}
