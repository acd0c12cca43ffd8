//! The archives of a release: written so that the same files give the same bytes, and read without trusting them.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use encoderfile_registry::Digest;
use sha2::{Digest as _, Sha256};

use crate::error::Error;

/// Name of the project's licence in an archive.
pub(crate) const LICENSE_MEMBER: &str = "LICENSE";
/// Name of the notices in an archive.
pub(crate) const NOTICES_MEMBER: &str = "THIRD_PARTY.md";

/// 8 MiB, the largest window that every zstd decoder accepts (RFC 8878, 3.1.1.1.2).
const WINDOW_LOG: u32 = 23;
/// More than any release's file; an archive is not trusted to say when it ends.
const UNPACKED_LIMIT: u64 = 1 << 30;
const BLOCK: u64 = 512;

/// A file to put into an archive.
pub(crate) struct Member<'a> {
    pub(crate) name: &'a str,
    pub(crate) mode: u32,
    pub(crate) bytes: &'a [u8],
}

/// Writes a `.tar.zst` that depends on nothing but the arguments: no clock, no user, no thread.
pub(crate) fn write<W: Write>(out: W, members: &[Member<'_>], mtime: u64, level: i32) -> io::Result<W> {
    let mut encoder = zstd::Encoder::new(out, level)?;
    encoder.window_log(WINDOW_LOG)?;
    encoder.include_checksum(true)?;
    let size: u64 =
        members.iter().map(|member| BLOCK + (member.bytes.len() as u64).next_multiple_of(BLOCK)).sum();
    // Two empty blocks end a tar.
    encoder.set_pledged_src_size(Some(size + 2 * BLOCK))?;
    let mut builder = tar::Builder::new(encoder);
    for member in members {
        let mut header = tar::Header::new_ustar();
        header.set_path(member.name)?;
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(member.bytes.len() as u64);
        header.set_mode(member.mode);
        header.set_mtime(mtime);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        builder.append(&header, member.bytes)?;
    }
    builder.into_inner()?.finish()
}

/// An archive that was read whole.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) size: u64,
    pub(crate) sha256: Digest,
    /// The content of the first member.
    pub(crate) binary: Vec<u8>,
    /// The content of the last.
    pub(crate) notices: String,
}

/// Reads the archive at `path`, which must hold `binary`, the licence and the notices, in this order, and nothing else.
pub(crate) fn read(path: &Path, binary: &str) -> Result<Unpacked, Error> {
    unpack(File::open(path).map_err(Error::io("read", path))?, path, binary)
}

/// The same for one that is open, or in memory. `path` is what messages call it.
pub(crate) fn unpack(archive: impl Read, path: &Path, binary: &str) -> Result<Unpacked, Error> {
    let invalid = |reason: String| Error::Archive { path: path.to_owned(), reason };
    let unreadable = |error: io::Error| invalid(error.to_string());

    let mut decoder = zstd::Decoder::new(Hashing::new(archive)).map_err(unreadable)?.single_frame();
    decoder.window_log_max(WINDOW_LOG).map_err(unreadable)?;
    let mut archive = tar::Archive::new(decoder.take(UNPACKED_LIMIT));
    let mut expected = [binary, LICENSE_MEMBER, NOTICES_MEMBER].into_iter();
    let mut content = Vec::new();
    let mut notices = Vec::new();
    for entry in archive.entries().map_err(unreadable)?.raw(true) {
        let mut entry = entry.map_err(unreadable)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some(expected) = expected.next() else {
            return Err(invalid(format!("`{}` is one member too many", name.escape_debug())));
        };
        if name != expected {
            return Err(invalid(format!("expected member `{expected}`, found `{}`", name.escape_debug())));
        }
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(invalid(format!("member `{name}` is not a regular file")));
        }
        let executable = name == binary;
        let mode = entry.header().mode().map_err(unreadable)?;
        if mode != if executable { 0o755 } else { 0o644 } {
            return Err(invalid(format!("member `{name}` has mode {mode:o}")));
        }
        if executable {
            entry.read_to_end(&mut content).map_err(unreadable)?;
        } else if name == NOTICES_MEMBER {
            entry.read_to_end(&mut notices).map_err(unreadable)?;
        }
    }
    if let Some(missing) = expected.next() {
        return Err(invalid(format!("member `{missing}` is missing")));
    }

    // What stands behind the last member: to be hashed, and to be nothing but padding.
    let mut decoder = archive.into_inner();
    let mut rest = Vec::new();
    decoder.by_ref().take(1 << 20).read_to_end(&mut rest).map_err(unreadable)?;
    if rest.iter().any(|byte| *byte != 0) {
        return Err(invalid("there is data behind the last member".into()));
    }
    if decoder.limit() == 0 {
        return Err(invalid(format!("more than {UNPACKED_LIMIT} bytes unpacked")));
    }
    let mut reader: BufReader<Hashing<_>> = decoder.into_inner().finish();
    let trailing = io::copy(&mut reader, &mut io::sink()).map_err(Error::io("read", path))?;
    if trailing != 0 {
        return Err(invalid(format!("{trailing} bytes stand behind the compressed data")));
    }
    let Hashing { hasher, size, .. } = reader.into_inner();
    let notices =
        String::from_utf8(notices).map_err(|_| invalid(format!("member `{NOTICES_MEMBER}` is not text")))?;
    Ok(Unpacked { size, sha256: Digest::from_hasher(hasher), binary: content, notices })
}

/// Hashes what is read through it.
struct Hashing<R> {
    inner: R,
    hasher: Sha256,
    size: u64,
}

impl<R> Hashing<R> {
    fn new(inner: R) -> Self {
        Self { inner, hasher: Sha256::new(), size: 0 }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.size += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(binary: &[u8]) -> [Member<'_>; 3] {
        [
            Member { name: "encoderfile", mode: 0o755, bytes: binary },
            Member { name: LICENSE_MEMBER, mode: 0o644, bytes: b"free" },
            Member { name: NOTICES_MEMBER, mode: 0o644, bytes: b"thanks" },
        ]
    }

    fn refusal(bytes: &[u8]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("archive");
        std::fs::write(&path, bytes).unwrap();
        match read(&path, "encoderfile") {
            Err(Error::Archive { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("archive");
        let binary: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        let bytes = write(Vec::new(), &members(&binary), 7, 3).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        let unpacked = read(&path, "encoderfile").unwrap();
        assert_eq!(unpacked.binary, binary);
        assert_eq!((unpacked.size, unpacked.sha256), (bytes.len() as u64, Digest::of(&bytes)));
        // The exact size is promised to the decoder, so that it can refuse before it allocates.
        assert_eq!(
            zstd::zstd_safe::get_frame_content_size(&bytes).unwrap(),
            Some(512 * 3 + 400_384 + 1024 + 1024)
        );
    }

    #[test]
    fn other_members_are_refused() {
        let [binary, license, notices] = members(b"x");
        let missing = write(Vec::new(), &[binary, license], 0, 1).unwrap();
        assert_eq!(refusal(&missing), "member `THIRD_PARTY.md` is missing");

        let [binary, license, _] = members(b"x");
        let surplus = Member { name: "../x", mode: 0o644, bytes: b"" };
        let surplus = [binary, license, notices, surplus];
        // `set_path` refuses `..`, as it should.
        assert!(write(Vec::new(), &surplus, 0, 1).is_err());

        let mut swapped = members(b"x");
        swapped.swap(1, 2);
        let swapped = write(Vec::new(), &swapped, 0, 1).unwrap();
        assert_eq!(refusal(&swapped), "expected member `LICENSE`, found `THIRD_PARTY.md`");

        let mut mode = members(b"x");
        mode[0].mode = 0o4755;
        let mode = write(Vec::new(), &mode, 0, 1).unwrap();
        assert_eq!(refusal(&mode), "member `encoderfile` has mode 4755");
    }

    #[test]
    fn links_are_refused() {
        let mut builder = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).unwrap());
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o755);
        builder.append_link(&mut header, "encoderfile", "/bin/sh").unwrap();
        let bytes = builder.into_inner().unwrap().finish().unwrap();
        assert_eq!(refusal(&bytes), "member `encoderfile` is not a regular file");
    }

    #[test]
    fn damage_and_additions_are_refused() {
        let good = write(Vec::new(), &members(b"some binary"), 0, 1).unwrap();
        for length in [0, 1, good.len() / 2, good.len() - 1] {
            assert!(!refusal(&good[..length]).is_empty(), "cut to {length}");
        }
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(refusal(&longer), "1 bytes stand behind the compressed data");
        let twice = [&good[..], &good[..]].concat();
        assert!(refusal(&twice).contains("stand behind"));
        assert!(!refusal(b"not an archive at all").is_empty());
    }
}
