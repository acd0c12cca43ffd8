//! SHA-256 digests.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::{Serialize, Serializer};
use sha2::Digest as _;

/// Whether several digests at once are what they are one after another. The library chooses by the processor and by the number of
/// messages how it computes them, and no test has run on all of those: so it is asked in batches as large as real ones, and in
/// one that ends in the middle of a message. No two messages are the same.
static HASHES_SEVERAL: LazyLock<bool> = LazyLock::new(|| {
    let bytes: Vec<_> =
        (0_u32..64 * 4096).map(|number| number.wrapping_mul(0x9e37_79b1).to_be_bytes()[0]).collect();
    [(4096, bytes.len()), (16384, bytes.len()), (4096, 44 * 4096 + 1000)].into_iter().all(|(size, length)| {
        let messages: Vec<_> = bytes[..length].chunks(size).collect();
        Digest::of_several(&messages).into_iter().eq(messages.into_iter().map(Digest::of))
    })
});

/// A SHA-256 digest (FIPS 180-4), shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; Digest::LENGTH]);

impl Digest {
    /// Length in bytes.
    pub const LENGTH: usize = 32;

    /// A digest by its bytes.
    pub(crate) const fn new(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The digests of messages that have nothing to do with each other: several are computed at once, which takes half as long
    /// as one after another.
    pub(crate) fn of_each<'a>(messages: impl Iterator<Item = &'a [u8]>) -> Vec<Self> {
        let messages: Vec<_> = messages.collect();
        if !*HASHES_SEVERAL {
            return messages.into_iter().map(Self::of).collect();
        }
        Self::of_several(&messages)
    }

    fn of_several(messages: &[&[u8]]) -> Vec<Self> {
        let mut digests = vec![[0; Self::LENGTH]; messages.len()];
        tape_sha256::hash_many(messages, &mut digests);
        digests.into_iter().map(Self).collect()
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl From<[u8; Digest::LENGTH]> for Digest {
    fn from(bytes: [u8; Digest::LENGTH]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<&[u8]> for Digest {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        Ok(Self(bytes.try_into()?))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Why a text is not a digest.
#[derive(Debug, thiserror::Error)]
#[error("expected 64 hexadecimal digits, found `{found}`")]
pub struct ParseDigestError {
    found: String,
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; Self::LENGTH];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(ParseDigestError { found: text.to_owned() }),
        }
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_of_abc_is_the_standards_example() {
        let digest = Digest::of(b"abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse::<Digest>().unwrap(), digest);
        assert!("ba78".parse::<Digest>().is_err());
    }

    /// Two libraries compute them, of which one chooses among several ways by the processor.
    #[test]
    fn digests_of_each_are_those_of_one_after_another() {
        let bytes: Vec<_> =
            (0..700_000_u32).map(|number| (number.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect();
        assert!(*HASHES_SEVERAL, "else nothing is compared by whoever asks for several");
        for size in [1, 55, 56, 63, 64, 65, 119, 4096, 16384, 65536] {
            for count in 0..=65 {
                let part = &bytes[..bytes.len().min(count * size - usize::from(count > 0) * (size / 3))];
                let one_by_one: Vec<_> = part.chunks(size).map(Digest::of).collect();
                let messages: Vec<_> = part.chunks(size).collect();
                assert_eq!(Digest::of_several(&messages), one_by_one, "{count} of {size} bytes");
                assert_eq!(Digest::of_each(part.chunks(size)), one_by_one, "{count} of {size} bytes");
            }
        }
    }
}
