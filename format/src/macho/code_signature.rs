//! The code signature that an image holds: what it says of itself, and whether the image is what was signed.
//!
//! A signature is a "super blob" of several blobs, each with a number (its slot). The code directory holds a hash of each page
//! of the file and of each other blob; whoever signs with an identity signs the code directory.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use object::macho;

use super::CodeSignatureError as Error;
use super::bytes::{big_u32_at, big_u64_at};
use super::image::{Image, LINKEDIT};
use super::pages::Pages;
use crate::Digest;
use crate::copy::hash_range;

/// The most blobs of a signature, and the most digests of them: Apple's have about ten.
const BLOBS_LIMIT: u32 = 64;
/// Slots that hold entitlements, as text and in DER.
const ENTITLEMENTS: [u32; 2] = [macho::CSSLOT_ENTITLEMENTS.0, macho::CSSLOT_DER_ENTITLEMENTS.0];
/// Slots of the constraints of launching it, and of what libraries it may load.
const CONSTRAINTS: [u32; 4] = [
    macho::CSSLOT_LAUNCH_CONSTRAINT_SELF.0,
    macho::CSSLOT_LAUNCH_CONSTRAINT_PARENT.0,
    macho::CSSLOT_LAUNCH_CONSTRAINT_RESPONSIBLE.0,
    macho::CSSLOT_LIBRARY_CONSTRAINT.0,
];
/// Slots of blobs that the directory holds digests of. Slot 0 is the directory itself; from 0x1000 on, there are further
/// directories and what signs them.
const SPECIAL: Range<u32> = 1..macho::CSSLOT_ALTERNATE_CODEDIRECTORIES;
/// The slot `cdRepSpecificSlot` of Apple's `codedirectory.h`.
const REP_SPECIFIC: u32 = 6;
/// Those whose digests are of something that stands elsewhere, for a bundle or a disk image: `Info.plist`, resources,
/// and what an application or the kind of file decides.
const ELSEWHERE: [u32; 4] =
    [macho::CSSLOT_INFOSLOT.0, macho::CSSLOT_RESOURCEDIR.0, macho::CSSLOT_APPLICATION.0, REP_SPECIFIC];
/// What stands for the digest of a blob that there is not.
const NOTHING: Digest = Digest::new([0; Digest::LENGTH]);
/// Length of a blob without content.
const EMPTY_BLOB: u32 = 8;
/// Length of a set of requirements with none in it, as `codesign` writes it.
const NO_REQUIREMENTS: u32 = 12;
/// Longest identifier, in bytes.
const IDENTIFIER_LIMIT: u64 = 1024;

/// What a code signature says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeSignature {
    /// Its first byte in the file: the signature covers all before it.
    pub offset: u64,
    /// The bytes that are set aside for it.
    pub length: u64,
    /// One past the last byte of its parts: what is left of the bytes that are set aside is covered by nothing.
    pub end: u64,
    /// What the signer calls the program.
    pub identifier: String,
    /// Flags of `cs_blobs.h`, such as 0x2 (ad hoc), 0x10000 (hardened runtime) and 0x20000 (signed by a linker).
    pub flags: u32,
    /// Whether somebody vouches for it with a certificate. Else it is *ad hoc*: it only shows that nothing was changed.
    pub has_identity: bool,
    /// Whether it asks for special rights.
    pub has_entitlements: bool,
    /// Whether it has requirements (more than none at all), or says by whom and from where the program may be started.
    pub has_requirements: bool,
    /// How many bytes each of its hashes is of.
    pub page_size: u64,
    /// The directory whose SHA-256 digests are compared.
    directory: Directory,
    /// All parts, the directory among them.
    blobs: Vec<Blob>,
}

/// A part of a signature, by its place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Blob {
    slot: u32,
    range: Range<u64>,
}

/// A code directory.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Directory {
    flags: u32,
    pages: Pages,
    /// Where the hash of page 0 stands. Those of the blobs stand before it, backwards.
    hashes: u64,
    special_count: u32,
    identifier: String,
}

/// Whether a file is what its code signature was made of: every page, and every part of the signature, is compared with the
/// digest that is held, and nothing may lie behind. Reads the file once, in constant memory. What an identity's certificate is
/// worth is not asked.
///
/// # Errors
/// See [`CodeSignatureError`](Error).
pub fn verify_code_signature(file: &File) -> Result<CodeSignature, Error> {
    let image = Image::read(file)?;
    let signature = CodeSignature::read(file, &image)?.ok_or(Error::Missing)?;
    let end = signature.offset + signature.length;
    let linkedit_end = image.segment(LINKEDIT).map_or(end, super::image::Segment::end);
    if end != image.length || linkedit_end != image.length {
        return Err(Error::NotLast { end: end.min(linkedit_end), length: image.length });
    }
    signature.verify(file)?;
    Ok(signature)
}

/// What the code signature of a file says, whether it holds or not. None where there is none.
///
/// # Errors
/// Where it cannot be read.
pub fn code_signature(file: &File) -> Result<Option<CodeSignature>, Error> {
    CodeSignature::read(file, &Image::read(file)?)
}

impl CodeSignature {
    /// Whether nobody vouches for it: anybody can make such a signature.
    pub const fn is_ad_hoc(&self) -> bool {
        !self.has_identity
    }

    /// Whether it is of the kind that linkers make, and this program: ad hoc, and to be replaced without being asked.
    pub(crate) const fn is_as_linkers_sign(&self) -> bool {
        self.flags & macho::CS_LINKER_SIGNED.0 != 0 && !self.has_identity
    }

    /// Reads the signature of an image. None where it has none.
    pub(crate) fn read(file: &File, image: &Image) -> Result<Option<Self>, Error> {
        let mut commands = image.commands_of(macho::LC_CODE_SIGNATURE);
        let Some(command) = commands.next() else { return Ok(None) };
        if let Some(second) = commands.next() {
            return Err(Error::Damaged { offset: second.at as u64, what: "it is a second one" });
        }
        let offset = u64::from(image.word(command.at + 8));
        let length = u64::from(image.word(command.at + 12));
        if offset + length > image.length {
            return Err(Error::Damaged { offset: command.at as u64, what: "it reaches beyond the file" });
        }
        let (end, blobs) = blobs(file, offset, length)?;
        let mut directories = blobs.iter().filter(|blob| is_directory(blob.slot)).filter_map(|blob| {
            let directory = Directory::read(file, &blob.range).transpose()?;
            Some(directory.map(|directory| (blob.range.start, directory)))
        });
        let (_, directory) = directories.next().ok_or(Error::NoSha256)??;
        if let Some(second) = directories.next() {
            return Err(Error::Damaged { offset: second?.0, what: "a second directory has SHA-256 digests" });
        }
        let has_longer = |wanted: u32, least: u32| {
            blobs.iter().any(|Blob { slot, range }| *slot == wanted && range.end - range.start > least.into())
        };
        let has = |wanted| has_longer(wanted, EMPTY_BLOB);
        Ok(Some(Self {
            offset,
            length,
            end,
            identifier: directory.identifier.clone(),
            flags: directory.flags,
            has_identity: has(macho::CSSLOT_SIGNATURESLOT.0),
            has_entitlements: ENTITLEMENTS.into_iter().any(has),
            has_requirements: CONSTRAINTS.into_iter().any(has)
                || has_longer(macho::CSSLOT_REQUIREMENTS.0, NO_REQUIREMENTS),
            page_size: directory.pages.size(),
            directory,
            blobs,
        }))
    }

    /// Compares all that the directory holds digests of.
    pub(crate) fn verify(&self, file: &File) -> Result<(), Error> {
        let Directory { pages, hashes, .. } = self.directory;
        if pages.limit != self.offset {
            return Err(Error::Limit { limit: pages.limit, offset: self.offset });
        }
        self.verify_parts(file)?;
        let failed = |bytes: Range<u64>, source| Error::read(bytes.start, bytes.end - bytes.start, source);
        let compare = |first: u64, found: &[Digest]| {
            let expected = digests(file, hashes + first * Digest::LENGTH as u64, found.len())?;
            for (page, (expected, found)) in (first..).zip(expected.into_iter().zip(found.iter().copied())) {
                if expected != found {
                    let Range { start, end } = pages.range(page);
                    return Err(Error::Page { page, start, end, expected, found });
                }
            }
            Ok(())
        };
        pages.hash(file, 0..pages.count(), &mut Vec::new(), failed, compare)
    }

    /// Compares the other parts of the signature with the digests that the directory holds of them, before those of the pages and
    /// backwards.
    fn verify_parts(&self, file: &File) -> Result<(), Error> {
        let Directory { hashes, special_count, .. } = self.directory;
        let start = hashes - u64::from(special_count) * Digest::LENGTH as u64;
        let mut expected = digests(file, start, special_count as usize)?;
        expected.reverse();
        if let Some(&Blob { slot, .. }) = self.blobs.iter().find(|blob| !is_known(blob.slot)) {
            return Err(Error::NotCovered { slot });
        }
        for &Blob { slot, ref range } in self.blobs.iter().filter(|blob| SPECIAL.contains(&blob.slot)) {
            let &expected = expected.get(slot as usize - 1).ok_or(Error::NotCovered { slot })?;
            let length = range.end - range.start;
            let found = hash_range(file, range.start, length)
                .map_err(|source| Error::read(range.start, length, source))?;
            if expected != found {
                return Err(Error::Slot { slot, expected, found });
            }
        }
        for (slot, expected) in (1..).zip(expected) {
            let is_there = self.blobs.iter().any(|blob| blob.slot == slot);
            if !is_there && !ELSEWHERE.contains(&slot) && expected != NOTHING {
                return Err(Error::Lost { slot, expected });
            }
        }
        Ok(())
    }
}

/// Digests that stand in the file one behind the other.
fn digests(file: &File, offset: u64, count: usize) -> Result<Vec<Digest>, Error> {
    let bytes = bytes(file, offset, count * Digest::LENGTH)?;
    Ok(bytes.chunks_exact(Digest::LENGTH).map(|digest| digest.try_into().expect("32 bytes")).collect())
}

fn bytes(file: &File, offset: u64, length: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset).map_err(|source| Error::read(offset, length as u64, source))?;
    Ok(bytes)
}

/// Where the signature ends, and its parts, which lie within it and share no bytes.
fn blobs(file: &File, offset: u64, length: u64) -> Result<(u64, Vec<Blob>), Error> {
    let damaged = |offset, what| Error::Damaged { offset, what };
    if length < 12 {
        return Err(damaged(offset, "it is too short"));
    }
    let start = bytes(file, offset, 12)?;
    let word = |bytes: &[u8], at| big_u32_at(bytes, at).expect("enough was read");
    if word(&start, 0) != macho::CSMAGIC_EMBEDDED_SIGNATURE {
        return Err(damaged(offset, "it does not start as one"));
    }
    let (total, count) = (u64::from(word(&start, 4)), word(&start, 8));
    if count > BLOBS_LIMIT || 12 + u64::from(count) * 8 > total || total > length {
        return Err(damaged(offset + 4, "its lengths do not fit"));
    }
    let index_end = 12 + u64::from(count) * 8;
    let index = bytes(file, offset + 12, count as usize * 8)?;
    let place = |entry: &[u8]| {
        let (slot, start) = (word(entry, 0), u64::from(word(entry, 4)));
        if start < index_end || start + 8 > total {
            return Err(damaged(offset + 12, "a part lies outside of it"));
        }
        let size = u64::from(word(&bytes(file, offset + start, 8)?, 4));
        if size < EMPTY_BLOB.into() || start + size > total {
            return Err(damaged(offset + start, "a part reaches beyond its end"));
        }
        Ok(Blob { slot, range: offset + start..offset + start + size })
    };
    let blobs = index.chunks_exact(8).map(place).collect::<Result<Vec<_>, _>>()?;
    let mut ranges: Vec<_> = blobs.iter().map(|blob| &blob.range).collect();
    ranges.sort_by_key(|range| range.start);
    if let Some(pair) = ranges.windows(2).find(|pair| pair[1].start < pair[0].end) {
        return Err(damaged(pair[1].start, "two parts share bytes"));
    }
    // What it says itself of where it ends is covered by nothing.
    let end = ranges.last().map_or(offset + index_end, |last| last.end);
    Ok((end, blobs))
}

/// Whether a slot holds a code directory: one, and others for systems that know other digests.
fn is_directory(slot: u32) -> bool {
    slot == macho::CSSLOT_CODEDIRECTORY.0 || macho::CsSlot(slot).is_alternate_codedirectory()
}

/// Whether a slot is a directory's, one that a directory has a digest of, or what somebody vouches with: the signature, who it is,
/// and a notary's ticket.
fn is_known(slot: u32) -> bool {
    const VOUCHING: [u32; 3] =
        [macho::CSSLOT_SIGNATURESLOT.0, macho::CSSLOT_IDENTIFICATIONSLOT.0, macho::CSSLOT_TICKETSLOT.0];
    is_directory(slot) || SPECIAL.contains(&slot) || VOUCHING.contains(&slot)
}

impl Directory {
    /// Reads a code directory. None where its digests are no SHA-256.
    fn read(file: &File, range: &Range<u64>) -> Result<Option<Self>, Error> {
        let damaged = |at: u64, what| Error::Damaged { offset: range.start + at, what };
        let length = range.end - range.start;
        // The longest that is known here: up to the flags of the executable segment.
        let head = bytes(file, range.start, usize::try_from(length.min(88)).expect("a few bytes"))?;
        let word = |at| big_u32_at(&head, at).ok_or_else(|| damaged(0, "the directory is too short"));
        let [hash_size, hash_type, _, shift] = word(36)?.to_be_bytes();
        if word(0)? != macho::CSMAGIC_CODEDIRECTORY {
            return Err(damaged(0, "the directory does not start as one"));
        }
        match macho::CsHashType(hash_type) {
            macho::CS_HASHTYPE_SHA256 => {}
            // For systems that know no other.
            macho::CS_HASHTYPE_SHA1 | macho::CS_HASHTYPE_SHA256_TRUNCATED => return Ok(None),
            _ => return Err(Error::OtherDigests { kind: hash_type }),
        }
        if usize::from(hash_size) != Digest::LENGTH || !Pages::SHIFTS.contains(&shift) {
            return Err(damaged(36, "its digests or pages have a size that they cannot have"));
        }
        let mut limit = u64::from(word(32)?);
        if word(8)? >= macho::CS_SUPPORTSCODELIMIT64.0 {
            let large = big_u64_at(&head, 56).ok_or_else(|| damaged(0, "the directory is too short"))?;
            limit = if large == 0 { limit } else { large };
        }
        if word(8)? >= macho::CS_SUPPORTSSCATTER.0 && word(44)? != 0 {
            return Err(damaged(44, "its digests are not of pages one behind the other"));
        }
        let (hash_offset, special_count) = (u64::from(word(16)?), word(24)?);
        if special_count > BLOBS_LIMIT {
            return Err(damaged(24, "it has digests of more parts than there are"));
        }
        let pages = Pages { shift, limit };
        if pages.count() != u64::from(word(28)?) {
            return Err(damaged(28, "it has not as many digests as pages"));
        }
        let (before, behind) = (u64::from(special_count) * 32, pages.count() * 32);
        if hash_offset < before || hash_offset + behind > length {
            return Err(damaged(16, "its digests lie outside of it"));
        }
        let at = u64::from(word(20)?);
        let room = length.saturating_sub(at).min(IDENTIFIER_LIMIT);
        let text = bytes(file, range.start + at, usize::try_from(room).expect("it is bounded"))?;
        let end = text.iter().position(|byte| *byte == 0);
        let identifier = end.and_then(|end| String::from_utf8(text[..end].to_vec()).ok());
        let identifier = identifier.ok_or_else(|| damaged(20, "it names no program"))?;
        let hashes = range.start + hash_offset;
        Ok(Some(Self { flags: word(12)?, pages, hashes, special_count, identifier }))
    }
}
