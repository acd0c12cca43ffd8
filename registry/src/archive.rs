//! The archive of a base binary: a zstd-compressed tar, of which exactly one member is used.
//!
//! Nothing in the archive decides where anything is written: the one member is found by its name and its bytes go to a
//! writer that the caller opened. Paths, links and devices are never followed.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::index::{BinaryFile, RUNTIME_MEMBER};

/// The largest window (as a power of two) that an archive may need for unpacking: 16 MiB of memory. zstd's levels up to 19
/// need 8 MiB.
pub const MAX_WINDOW_LOG: u32 = 24;
/// What an archive may hold beside the base binary: licences, and the padding of tar itself.
const MAX_EXTRA: u64 = 16 << 20;
const BUFFER: usize = 128 << 10;

/// Why an archive cannot be unpacked.
#[derive(Debug)]
pub(crate) enum UnpackError {
    /// The archive's fault.
    Archive(String),
    /// The output's fault.
    Write(io::Error),
}

/// Copies the member [`RUNTIME_MEMBER`] of `archive` to `output`, if it is what `expected` says.
pub(crate) fn unpack(
    archive: impl Read,
    expected: &BinaryFile,
    output: &mut impl Write,
) -> Result<(), UnpackError> {
    let unreadable = |error: io::Error| UnpackError::Archive(format!("not a readable zstd archive: {error}"));
    let mut decoder = zstd::Decoder::new(archive).map_err(unreadable)?;
    decoder.window_log_max(MAX_WINDOW_LOG).map_err(unreadable)?;
    let limit = expected.size.saturating_add(MAX_EXTRA);
    let mut archive = tar::Archive::new(Bounded { inner: decoder, left: limit });
    let mut found = false;
    for member in archive.entries().map_err(unreadable)? {
        let mut member = member.map_err(unreadable)?;
        if *member.path_bytes() != *RUNTIME_MEMBER.as_bytes() {
            continue;
        }
        if found {
            return Err(UnpackError::Archive(format!("it holds `{RUNTIME_MEMBER}` twice")));
        }
        if !member.header().entry_type().is_file() {
            return Err(UnpackError::Archive(format!("`{RUNTIME_MEMBER}` in it is not a regular file")));
        }
        if member.size() != expected.size {
            let reason =
                format!("`{RUNTIME_MEMBER}` in it has {} bytes, not {}", member.size(), expected.size);
            return Err(UnpackError::Archive(reason));
        }
        let sha256 = copy(&mut member, output)?;
        if sha256 != expected.sha256 {
            let reason = format!("`{RUNTIME_MEMBER}` in it has sha256 {sha256}, not {}", expected.sha256);
            return Err(UnpackError::Archive(reason));
        }
        found = true;
    }
    if found { Ok(()) } else { Err(UnpackError::Archive(format!("it holds no `{RUNTIME_MEMBER}`"))) }
}

fn copy(input: &mut impl Read, output: &mut impl Write) -> Result<Digest, UnpackError> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(Digest::from_hasher(hasher)),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                output.write_all(&buffer[..count]).map_err(UnpackError::Write)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(UnpackError::Archive(format!("it is damaged: {error}"))),
        }
    }
}

/// Fails, instead of ending, where more comes than was promised.
pub(crate) struct Bounded<R> {
    pub(crate) inner: R,
    pub(crate) left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other("it unpacks to more than its index promises"))?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Member<'a> = (&'a str, tar::EntryType, &'a [u8]);

    fn header(name: &str, kind: tar::EntryType, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        // As raw bytes: the library itself refuses to write a name such as `../x`.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(size);
        header.set_cksum();
        header
    }

    fn archive(members: &[Member<'_>]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, bytes) in members {
            builder.append(&header(name, *kind, bytes.len() as u64), *bytes).unwrap();
        }
        zstd::encode_all(&*builder.into_inner().unwrap(), 3).unwrap()
    }

    fn expected(bytes: &[u8]) -> BinaryFile {
        BinaryFile { size: bytes.len() as u64, sha256: Digest::of(bytes) }
    }

    fn unpacked(archive: &[u8], wanted: &[u8]) -> Result<Vec<u8>, String> {
        let mut output = Vec::new();
        match unpack(archive, &expected(wanted), &mut output) {
            Ok(()) => Ok(output),
            Err(UnpackError::Archive(reason)) => Err(reason),
            Err(UnpackError::Write(error)) => panic!("{error}"),
        }
    }

    const FILE: tar::EntryType = tar::EntryType::Regular;

    /// A member named `../x`, a link, a device.
    #[test]
    fn one_member_is_taken_and_everything_else_is_passed_over() {
        let archive = archive(&[
            ("LICENSE", FILE, b"text"),
            ("../encoderfile-runtime", FILE, b"evil"),
            ("/encoderfile-runtime", FILE, b"evil"),
            ("sub/encoderfile-runtime", FILE, b"evil"),
            (RUNTIME_MEMBER, FILE, b"binary"),
            ("device", tar::EntryType::Char, b""),
            ("THIRD_PARTY.md", FILE, b"text"),
        ]);
        assert_eq!(unpacked(&archive, b"binary").unwrap(), b"binary");
    }

    #[test]
    fn a_member_that_is_not_exactly_the_promised_file_is_refused() {
        let cases: [(&[Member<'_>], &str); 6] = [
            (&[("LICENSE", FILE, b"text")], "holds no"),
            (&[(RUNTIME_MEMBER, FILE, b"binarx")], "sha256"),
            (&[(RUNTIME_MEMBER, FILE, b"binary+")], "7 bytes, not 6"),
            (&[(RUNTIME_MEMBER, FILE, b"binary"), (RUNTIME_MEMBER, FILE, b"binary")], "twice"),
            (&[(RUNTIME_MEMBER, tar::EntryType::Symlink, b"")], "not a regular file"),
            (&[(RUNTIME_MEMBER, tar::EntryType::Char, b"")], "not a regular file"),
        ];
        for (members, reason) in cases {
            let error = unpacked(&archive(members), b"binary").unwrap_err();
            assert!(error.contains(reason), "{error} should say {reason}");
        }
    }

    /// A decompression bomb.
    #[test]
    fn a_bomb_is_stopped() {
        let bomb = vec![0; usize::try_from(MAX_EXTRA).unwrap() + (1 << 20)];
        let error =
            unpacked(&archive(&[("zeros", FILE, &bomb), (RUNTIME_MEMBER, FILE, b"b")]), b"b").unwrap_err();
        assert!(error.contains("more than its index promises"), "{error}");
    }

    #[test]
    fn a_window_that_needs_much_memory_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(MAX_WINDOW_LOG + 2).unwrap();
        // Longer than the window, and of unknown length, or zstd would write a smaller one.
        io::copy(&mut io::repeat(7).take(80 << 20), &mut encoder).unwrap();
        assert!(unpacked(&encoder.finish().unwrap(), b"b").is_err());
    }

    #[test]
    fn cut_anywhere_it_is_an_error() {
        let whole = archive(&[("LICENSE", FILE, b"text"), (RUNTIME_MEMBER, FILE, b"binary")]);
        for length in 0..whole.len() - 1 {
            assert!(unpacked(&whole[..length], b"binary").is_err(), "{length}");
        }
    }
}
