//! A bundle: signed indexes and base binaries in one file, for machines without a network.
//!
//! It is a zstd-compressed tar of regular files, in this order, with the names that the cache has:
//!
//! | member | content |
//! |---|---|
//! | `encoderfile-bundle` | the number of this form, `1`, and a line feed |
//! | `{key id}/{version}/base-index.json` | the index, as it is signed |
//! | `{key id}/{version}/base-index.json.minisig` | its signature |
//! | `{key id}/{version}/{target}/encoderfile-runtime` | a base binary that the index lists; any number of them |
//!
//! The last three again for every further release. The same base binaries give the same bytes: everything is ordered, has
//! no time and no owner. A bundle is as little trusted as a server: it proves itself by the signatures in it.

pub(crate) mod export;
pub(crate) mod import;

use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::path::PathBuf;

use semver::Version;
use sha2::{Digest as _, Sha256};

use crate::archive::{Bounded, MAX_WINDOW_LOG};
use crate::cache::EntryId;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::index::{BinaryFile, INDEX_NAME, RUNTIME_MEMBER, SIGNATURE_SUFFIX};
use crate::progress::Progress;
use crate::trust::KeyId;

/// The form that this version writes and reads.
const FORM: u32 = 1;
const HEAD_NAME: &str = "encoderfile-bundle";
const MAX_HEAD_SIZE: u64 = 16;
/// tar is made of blocks.
const BLOCK: usize = 512;
/// Padding that other programs add at the end.
const MAX_TRAILER: u64 = 1 << 20;
const BUFFER: usize = 256 << 10;

/// A member, which its name says in full.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Member {
    /// What says that this is a bundle, and of which form.
    Head,
    /// A signed index.
    Index(KeyId, Version),
    /// Its signature.
    Signature(KeyId, Version),
    /// A base binary.
    Binary(EntryId),
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str(HEAD_NAME),
            Self::Index(key_id, version) => write!(f, "{key_id}/{version}/{INDEX_NAME}"),
            Self::Signature(key_id, version) => {
                write!(f, "{key_id}/{version}/{INDEX_NAME}{SIGNATURE_SUFFIX}")
            }
            Self::Binary(id) => write!(f, "{}/{}/{}/{RUNTIME_MEMBER}", id.key_id, id.version, id.target),
        }
    }
}

impl Member {
    fn parse(name: &str) -> Option<Self> {
        let signature = format!("{INDEX_NAME}{SIGNATURE_SUFFIX}");
        // Each part has one spelling only, so each member has.
        let member = match name.split('/').collect::<Vec<_>>()[..] {
            [HEAD_NAME] => Self::Head,
            [key_id, version, INDEX_NAME] => Self::Index(key_id.parse().ok()?, version.parse().ok()?),
            [key_id, version, file] if file == signature => {
                Self::Signature(key_id.parse().ok()?, version.parse().ok()?)
            }
            [key_id, version, target, RUNTIME_MEMBER] => Self::Binary(EntryId {
                key_id: key_id.parse().ok()?,
                version: version.parse().ok()?,
                target: target.parse().ok()?,
            }),
            _ => return None,
        };
        Some(member)
    }
}

/// The uncompressed side of a bundle that is being written.
pub(crate) struct Writer<W: Write>(W);

impl<W: Write> Writer<W> {
    /// Begins a bundle.
    pub(crate) fn new(output: W) -> io::Result<Self> {
        let mut writer = Self(output);
        writer.small(&Member::Head, format!("{FORM}\n").as_bytes())?;
        Ok(writer)
    }

    /// A whole member.
    pub(crate) fn small(&mut self, member: &Member, bytes: &[u8]) -> io::Result<()> {
        self.begin(member, bytes.len() as u64)?;
        self.bytes(bytes)?;
        self.end(bytes.len() as u64)
    }

    /// Begins a member, to be followed by so many bytes.
    pub(crate) fn begin(&mut self, member: &Member, size: u64) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_path(member.to_string())?;
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(if matches!(member, Member::Binary(_)) { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size);
        header.set_cksum();
        self.0.write_all(header.as_bytes())
    }

    /// Some of the bytes of a member.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    /// Ends a member.
    pub(crate) fn end(&mut self, size: u64) -> io::Result<()> {
        self.0.write_all(&[0; BLOCK][..padding(size)])
    }

    /// Ends the bundle.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.0.write_all(&[0; 2 * BLOCK])?;
        Ok(self.0)
    }
}

fn padding(size: u64) -> usize {
    let block = BLOCK as u64;
    usize::try_from((block - size % block) % block).expect("less than a block")
}

/// Reads a bundle, a member at a time, in constant memory. What is not exactly of the form is refused.
///
/// Links, devices, and the extensions of tar that give a member another name or length are members of another type, and
/// refused as such, so there is nothing that could lead anywhere or hide anything.
pub(crate) struct Reader<R: Read> {
    origin: String,
    input: zstd::Decoder<'static, BufReader<R>>,
    /// The name of the member that is being read, as the bundle has it.
    member: Option<String>,
    size: u64,
    left: u64,
}

impl<R: Read> Reader<R> {
    /// Recognises a bundle. `origin` is for messages.
    pub(crate) fn open(bundle: R, origin: &str) -> Result<Self> {
        let mut input = zstd::Decoder::new(bundle).map_err(|source| cannot_read(origin, source))?;
        input.window_log_max(MAX_WINDOW_LOG).map_err(|source| cannot_read(origin, source))?;
        let mut reader = Self { origin: origin.to_owned(), input, member: None, size: 0, left: 0 };
        let first = match reader.next_member() {
            Err(Error::BadBundle { reason, member, .. }) => {
                return Err(Error::BadBundle {
                    origin: origin.to_owned(),
                    member,
                    reason: format!("it does not begin as a bundle does: {reason}"),
                });
            }
            first => first?,
        };
        if first != Some(Member::Head) {
            return Err(reader.bad(&format!("it does not begin with `{HEAD_NAME}`")));
        }
        let head = reader.small(MAX_HEAD_SIZE)?;
        let form =
            std::str::from_utf8(&head).ok().and_then(|text| text.strip_suffix('\n')?.parse::<u32>().ok());
        match form {
            Some(FORM) => Ok(reader),
            Some(form) => {
                Err(reader.bad(&format!("it is of form {form}, and this version reads form {FORM}")))
            }
            None => Err(reader.bad("it does not say of which form the bundle is")),
        }
    }

    /// Goes on to the next member; `None` at the end. The one before was read to its end.
    pub(crate) fn next_member(&mut self) -> Result<Option<Member>> {
        debug_assert_eq!(self.left, 0);
        let mut block = [0; BLOCK];
        let padding = padding(self.size);
        self.exactly(&mut block[..padding])?;
        (self.member, self.size) = (None, 0);
        self.exactly(&mut block)?;
        if block == [0; BLOCK] {
            self.end()?;
            return Ok(None);
        }
        let header = tar::Header::from_byte_slice(&block);
        if header.cksum().ok() != Some(checksum(&block)) {
            return Err(self.bad("it is not a tar archive, or damaged"));
        }
        let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
        self.member = Some(name.clone());
        if header.entry_type() != tar::EntryType::Regular {
            return Err(self.bad("it holds something else than regular files"));
        }
        let Ok(size) = header.entry_size() else {
            return Err(self.bad("a member has no valid length"));
        };
        let Some(member) = Member::parse(&name) else {
            return Err(self.bad("it holds a member that does not belong into a bundle"));
        };
        (self.size, self.left) = (size, size);
        Ok(Some(member))
    }

    /// Two blocks of zeros, of which one was read, then at most padding.
    fn end(&mut self) -> Result<()> {
        let mut block = [0; BLOCK];
        self.exactly(&mut block)?;
        let mut rest = Bounded { inner: &mut self.input, left: MAX_TRAILER };
        loop {
            if block != [0; BLOCK] {
                return Err(self.bad("something follows its end"));
            }
            block = [0; BLOCK];
            match rest.read(&mut block) {
                Ok(0) => return Ok(()),
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(self.failed(error)),
                _ => {}
            }
        }
    }

    /// The whole member, where it is short.
    pub(crate) fn small(&mut self, limit: u64) -> Result<Vec<u8>> {
        if self.size > limit {
            return Err(self.bad(&format!("a member has {} bytes, more than the {limit} allowed", self.size)));
        }
        let mut bytes = Vec::new();
        loop {
            let before = bytes.len();
            bytes.resize(before + usize::try_from(self.left.min(BUFFER as u64)).expect("a small number"), 0);
            match self.some(&mut bytes[before..])? {
                0 => return Ok(bytes),
                count => bytes.truncate(before + count),
            }
        }
    }

    /// Copies the member to `output`, if it is what `expected` says. `failed` makes an error of the output's.
    pub(crate) fn copy(
        &mut self,
        expected: &BinaryFile,
        output: &mut impl Write,
        failed: impl FnOnce(io::Error) -> Error,
        progress: &dyn Progress,
    ) -> Result<()> {
        if self.size != expected.size {
            let reason =
                format!("a base binary has {} bytes, and not the {} signed", self.size, expected.size);
            return Err(self.bad(&reason));
        }
        progress.started(self.member.as_deref().unwrap_or_default(), 0, self.size);
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = self.some(&mut buffer)?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            if let Err(error) = output.write_all(&buffer[..count]) {
                return Err(failed(error));
            }
            progress.advanced(self.size - self.left);
        }
        let found = Digest::from_hasher(hasher);
        if found != expected.sha256 {
            let reason = format!("a base binary has sha256 {found}, and not the {} signed", expected.sha256);
            return Err(self.bad(&reason));
        }
        progress.downloaded();
        Ok(())
    }

    /// The next bytes of the member; none at its end.
    fn some(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        loop {
            match self.input.read(&mut buffer[..most]) {
                Ok(0) => return Err(self.failed(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => {
                    self.left -= count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    fn exactly(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.input.read_exact(buffer).map_err(|error| self.failed(error))
    }

    /// The bundle's fault.
    pub(crate) fn bad(&self, reason: &str) -> Error {
        let (origin, member) = (self.origin.clone(), self.member.clone());
        Error::BadBundle { origin, member, reason: reason.to_owned() }
    }

    /// The bundle's fault or the disk's.
    fn failed(&self, error: io::Error) -> Error {
        // The decompressor's own errors have no number of the system.
        if error.raw_os_error().is_some() {
            return cannot_read(&self.origin, error);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.bad("it is cut off"),
            _ => self.bad(&format!("it is damaged, or not compressed with zstd: {error}")),
        }
    }
}

fn cannot_read(origin: &str, source: io::Error) -> Error {
    Error::Io { action: "read", path: PathBuf::from(origin), source }
}

/// The sum of a header's bytes, with spaces in the place of the sum itself.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    let own: u32 = block[148..156].iter().map(|byte| u32::from(*byte)).sum();
    sum - own + 8 * u32::from(b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789ABCDEF";

    fn written(members: &[(Member, &[u8])]) -> Vec<u8> {
        let mut writer = Writer::new(zstd::Encoder::new(Vec::new(), 1).unwrap()).unwrap();
        for (member, bytes) in members {
            writer.small(member, bytes).unwrap();
        }
        writer.finish().unwrap().finish().unwrap()
    }

    /// Names and contents, until the end or an error.
    fn read(bundle: &[u8]) -> Result<Vec<(Member, Vec<u8>)>> {
        let mut reader = Reader::open(bundle, "test")?;
        let mut members = Vec::new();
        while let Some(member) = reader.next_member()? {
            members.push((member, reader.small(10_000)?));
        }
        Ok(members)
    }

    fn members() -> Vec<(Member, Vec<u8>)> {
        [
            (format!("{KEY}/0.2.0-rc.1+b/base-index.json"), vec![1; 511]),
            (format!("{KEY}/0.2.0-rc.1+b/base-index.json.minisig"), vec![2; 512]),
            (format!("{KEY}/0.2.0-rc.1+b/aarch64-apple-darwin/encoderfile-runtime"), vec![3; 513]),
            (format!("{KEY}/0.2.0/x86_64-unknown-linux-gnu/encoderfile-runtime"), vec![]),
        ]
        .map(|(name, bytes)| (Member::parse(&name).unwrap(), bytes))
        .to_vec()
    }

    fn bundle() -> Vec<u8> {
        let members = members();
        written(&members.iter().map(|(member, bytes)| (member.clone(), &**bytes)).collect::<Vec<_>>())
    }

    #[test]
    fn members_round_trip() {
        assert_eq!(read(&bundle()).unwrap(), members());
        for (member, _) in members() {
            assert_eq!(Member::parse(&member.to_string()), Some(member));
        }
    }

    #[test]
    fn tar_itself_can_read_it() {
        let bundle = bundle();
        let mut archive = tar::Archive::new(zstd::Decoder::new(&*bundle).unwrap());
        let names = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
            entry.path().unwrap().to_str().unwrap().to_owned()
        });
        let expected = members().into_iter().map(|(member, _)| member.to_string());
        assert!(names.eq([HEAD_NAME.to_owned()].into_iter().chain(expected)));
    }

    #[test]
    fn only_the_names_of_a_bundle_are_members_in_one_spelling() {
        for name in [
            "",
            "/encoderfile-bundle",
            "encoderfile-bundle/",
            "base-index.json",
            "0123456789ABCDEF/0.2.0/base-index.json/",
            "0123456789ABCDEF/0.2.0/receipt.json",
            "0123456789ABCDEF/0.2.0/../base-index.json",
            "0123456789abcdef/0.2.0/base-index.json",
            "0123456789ABCDEF/0.2/base-index.json",
            "0123456789ABCDEF/00.2.0/base-index.json",
            "0123456789ABCDEF//base-index.json",
            "./0123456789ABCDEF/0.2.0/base-index.json",
            "../0123456789ABCDEF/0.2.0/base-index.json",
            "0123456789ABCDEF/0.2.0/riscv64gc-unknown-linux-gnu/encoderfile-runtime",
            "0123456789ABCDEF/0.2.0/../encoderfile-runtime",
            "0123456789ABCDEF/0.2.0/x86_64-unknown-linux-gnu/encoderfile-runtime.corrupt",
        ] {
            assert_eq!(Member::parse(name), None, "{name}");
        }
    }

    #[test]
    fn cut_anywhere_or_followed_by_anything_it_is_refused() {
        let whole = bundle();
        for length in 0..whole.len() {
            assert!(matches!(read(&whole[..length]), Err(Error::BadBundle { .. })), "{length}");
        }
        let tar = zstd::decode_all(&*whole).unwrap();
        for length in (0..tar.len()).step_by(97).chain([tar.len() - BLOCK, tar.len() - 1]) {
            let cut = zstd::encode_all(&tar[..length], 1).unwrap();
            assert!(matches!(read(&cut), Err(Error::BadBundle { .. })), "{length}");
        }
        assert!(matches!(read(&[&*whole, b"more"].concat()), Err(Error::BadBundle { .. })));
        let padded = |bytes: &[u8]| zstd::encode_all(&*[&*tar, bytes].concat(), 1).unwrap();
        assert_eq!(read(&padded(&[0; 10_000])).unwrap(), members());
        for rest in [&[0, 0, 1][..], &[1], &vec![0; usize::try_from(MAX_TRAILER).unwrap() + 1]] {
            assert!(matches!(read(&padded(rest)), Err(Error::BadBundle { .. })), "{}", rest.len());
        }
    }

    #[test]
    fn a_changed_byte_in_a_header_is_refused() {
        let tar = zstd::decode_all(&*bundle()).unwrap();
        for position in 0..BLOCK {
            let mut changed = tar.clone();
            changed[2 * BLOCK + position] ^= 0x10;
            let changed = zstd::encode_all(&*changed, 1).unwrap();
            // Of the sum itself, only what it says counts.
            if (148..156).contains(&position) {
                continue;
            }
            assert!(matches!(read(&changed), Err(Error::BadBundle { .. })), "{position}");
        }
    }

    #[test]
    fn a_disk_that_fails_is_not_called_a_bad_bundle() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()))
            }
        }
        let whole = bundle();
        let failing = (&whole[..20]).chain(Failing);
        assert!(matches!(Reader::open(failing, "test").err(), Some(Error::Io { .. })));
    }
}
