//! A base binary that a model is put into: what it has to be like, and what becomes of it.
//!
//! A segment is inserted in front of `__LINKEDIT`, the last one. It is not mapped, so the image is as large in memory as it was,
//! and nothing of it moves there: only places in the file change, which stand in load commands. What is changed is kept, as
//! edits of the manifest, so that the original can be given back.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use object::macho;

use super::ad_hoc::AdHoc;
use super::bytes::{put_u32, put_u64};
use super::fixups::Repair;
use super::image::{HEADER, Image, LINKEDIT, MODEL_SEGMENT, SEGMENT_COMMAND, Segment, TEXT};
use super::pages::PageHashes;
use super::room::{self, SIGNATURE_COMMAND};
use super::{CodeSignature, MachOError, offsets};
use crate::{Edit, Footer, Layout, MANIFEST_LIMIT};

/// The identifier of a base binary that has no signature yet.
const IDENTIFIER: &str = "encoderfile-runtime";
/// Flags of a signature that a new one has, too.
const KEPT_FLAGS: u32 = macho::CS_ADHOC.0 | macho::CS_LINKER_SIGNED.0;
/// The part of the address space that `__LINKEDIT` takes is a multiple of this, on any processor.
const MEMORY_PAGE: u64 = 0x4000;
/// What a signature by somebody needs beside its hashes: 18,000 bytes for whom, and some more for what `codesign` adds.
const ANOTHER_SIGNATURE: u64 = 64 << 10;
/// Signatures start, and end, at a multiple of this.
const SIGNATURE_ALIGNMENT: u64 = 16;

/// Whether a model can be put into a Mach-O executable.
///
/// # Errors
/// What stands in the way: see [`MachOError`].
pub fn check_mach_o_base(file: &File) -> Result<(), MachOError> {
    BaseImage::read(file).map(drop)
}

/// A base binary that has been looked through.
#[derive(Debug)]
pub(crate) struct BaseImage {
    image: Image,
    linkedit: Segment,
    /// `__TEXT` in the file.
    text: Range<u64>,
    /// One past the last byte that is kept: where the old signature starts, or the end.
    content_end: u64,
    /// The old signature, with all that is set aside for it.
    signature: Vec<u8>,
    identifier: String,
    repair: Option<Repair>,
    /// Places in the header of what points into `__LINKEDIT`.
    pointers: Vec<usize>,
}

/// What a base binary becomes for a payload of a certain length.
#[derive(Debug)]
pub(crate) struct Insertion {
    /// The new header with its load commands, in place of as many bytes.
    pub(crate) header: Vec<u8>,
    /// Where the signature stands: all before it is signed.
    pub(crate) signature_offset: u64,
    /// What the signature starts with.
    pub(crate) signature_head: Vec<u8>,
    /// What follows that.
    pub(crate) page_hashes: PageHashes,
    /// Length of the whole file, the footer at its end included.
    pub(crate) file_length: u64,
}

impl Insertion {
    /// Signs a file that is complete but for its signature and the hashes of its late pages.
    pub(crate) fn sign(&self, file: &File, footer: &Footer) -> io::Result<()> {
        self.page_hashes.store(file, self.page_hashes.late(), &mut Vec::new())?;
        file.write_all_at(&self.signature_head, self.signature_offset)?;
        file.write_all_at(&footer.encode(), self.file_length - Footer::LENGTH)
    }
}

/// What stands behind the segment: bytes of the base binary, or others.
pub(crate) enum Part<'a> {
    Base(Range<u64>),
    Bytes(&'a [u8]),
}

impl BaseImage {
    /// Reads a base binary and makes sure that all that has to be changed in it is known.
    pub(crate) fn read(file: &File) -> Result<Self, MachOError> {
        let image = Image::read(file)?;
        if image.file_type != macho::MH_EXECUTE.0 {
            return Err(MachOError::NotExecutable { found: image.file_type });
        }
        if image.segment(MODEL_SEGMENT).is_some() {
            return Err(MachOError::HasModel);
        }
        let linkedit = check_segments(&image)?.clone();
        let text = image.segment(TEXT).map(|text| text.offset..text.end());
        let text = text.ok_or(MachOError::Segments { what: "there is no `__TEXT`" })?;
        let signature =
            CodeSignature::read(file, &image).map_err(|source| MachOError::Signature(Box::new(source)))?;
        let (content_end, identifier) = match &signature {
            Some(signature) => {
                check_signature(signature, &image, &linkedit)?;
                (signature.offset, signature.identifier.clone())
            }
            None => (image.length, IDENTIFIER.to_owned()),
        };
        let pointers = offsets::of(&image)?;
        for &place in &pointers {
            let value = u64::from(image.word(place));
            if value != 0 && !(linkedit.offset..=content_end).contains(&value) {
                return Err(MachOError::Pointer { offset: place as u64, value });
            }
        }
        let repair = Repair::of(file, &image, &(linkedit.offset..content_end))?;
        let room = room::of(file, &image)?;
        if room.found < room.needed {
            return Err(MachOError::Room { found: room.found, needed: room.needed });
        }
        let length = image.length - content_end;
        let mut signature = vec![0; usize::try_from(length).expect("it was bounded")];
        file.read_exact_at(&mut signature, content_end)
            .map_err(|source| MachOError::read(content_end, length, source))?;
        Ok(Self { image, linkedit, text, content_end, signature, identifier, repair, pointers })
    }

    /// Where the segment starts, and with it the manifest.
    pub(crate) const fn segment_offset(&self) -> u64 {
        self.linkedit.offset
    }

    fn growth(&self) -> u64 {
        self.repair.as_ref().map_or(0, Repair::growth)
    }

    fn has_signature(&self) -> bool {
        self.content_end < self.image.length
    }

    fn new_header_length(&self) -> usize {
        let signature = if self.has_signature() { 0 } else { SIGNATURE_COMMAND };
        self.image.header.len() + SEGMENT_COMMAND + signature
    }

    /// What turns the new image, without segment and signature, back into the base binary.
    pub(crate) fn edits(&self, file: &File) -> Result<Vec<Edit>, MachOError> {
        let header = self.new_header_length();
        let mut edits = vec![edit(0, header as u64, read(file, 0..header as u64)?)];
        if let Some(repair) = &self.repair {
            let Range { start, end } = repair.range;
            edits.push(edit(start, repair.replacement.len() as u64, read(file, start..end)?));
        }
        let end = self.content_end + self.growth();
        let padding = end.next_multiple_of(SIGNATURE_ALIGNMENT) - end;
        if padding > 0 || !self.signature.is_empty() {
            edits.push(edit(end, padding, self.signature.clone()));
        }
        Ok(edits)
    }

    /// What stands behind the segment, up to the padding before the signature.
    pub(crate) fn tail(&self) -> Vec<Part<'_>> {
        let (start, end) = (self.linkedit.offset, self.content_end);
        match &self.repair {
            None => vec![Part::Base(start..end)],
            Some(repair) => vec![
                Part::Base(start..repair.range.start),
                Part::Bytes(&repair.replacement),
                Part::Base(repair.range.end..end),
            ],
        }
    }

    /// The base binary with a segment of the length that the layout says.
    pub(crate) fn insertion(&self, layout: &Layout, manifest_length: u64) -> Result<Insertion, MachOError> {
        let segment = layout.manifest_offset..layout.payload_end();
        let content = self.content_end - self.linkedit.offset + self.growth();
        let too_large = || MachOError::TooLarge { length: segment.end.saturating_add(content) };
        let signature_offset = segment.end.checked_add(content).ok_or_else(too_large)?;
        let signature_offset = signature_offset.checked_next_multiple_of(SIGNATURE_ALIGNMENT);
        // Before anything is computed with it: the number of hashes is 32 bits, too.
        let signature_offset =
            signature_offset.filter(|offset| *offset <= u32::MAX.into()).ok_or_else(too_large)?;
        let signature = AdHoc {
            identifier: &self.identifier,
            pages: AdHoc::pages(self.image.architecture, signature_offset),
            text: self.text.clone(),
        };
        let signature_length = (signature.length() + Footer::LENGTH).next_multiple_of(SIGNATURE_ALIGNMENT);
        let file_length = signature_offset + signature_length;
        // Apple's tools add the next signature to the whole file before they take the old one away.
        if file_length + signature_length + ANOTHER_SIGNATURE > u32::MAX.into() {
            return Err(MachOError::TooLarge { length: file_length });
        }
        let pages = signature.pages;
        let manifest = layout.manifest_offset..layout.manifest_offset + manifest_length;
        let page_hashes = PageHashes {
            pages,
            place: signature_offset + signature.head_length(),
            late: manifest.start >> pages.shift..manifest.end.div_ceil(pages.size()),
        };
        Ok(Insertion {
            header: self.header(&segment, signature_offset, file_length),
            signature_offset,
            signature_head: signature.head(),
            page_hashes,
            file_length,
        })
    }

    fn header(&self, segment: &Range<u64>, signature_offset: u64, file_length: u64) -> Vec<u8> {
        let word = |number: u64| u32::try_from(number).expect("the file has less than 4 GiB");
        let length = segment.end - segment.start;
        let mut header = self.image.header.clone();
        for &place in &self.pointers {
            let value = u64::from(self.image.word(place));
            let inserted = self.repair.as_ref().filter(|repair| value >= repair.insertion);
            if value != 0 {
                put_u32(&mut header, place, word(value + inserted.map_or(0, Repair::growth) + length));
            }
        }
        if let Some(repair) = &self.repair {
            let old = u64::from(self.image.word(repair.length_field));
            put_u32(&mut header, repair.length_field, word(old + repair.growth()));
        }
        let linkedit = &self.linkedit;
        let size = file_length - segment.end;
        put_u64(&mut header, linkedit.at + 32, size.next_multiple_of(MEMORY_PAGE).max(linkedit.memory_size));
        put_u64(&mut header, linkedit.at + 40, segment.end);
        put_u64(&mut header, linkedit.at + 48, size);

        let mut signature = [macho::LC_CODE_SIGNATURE.0, 16, 0, 0].map(u32::to_le_bytes).concat();
        put_u32(&mut signature, 8, word(signature_offset));
        put_u32(&mut signature, 12, word(file_length - signature_offset));
        let mut count = self.image.commands.len() + 1;
        if let Some(old) = self.image.commands_of(macho::LC_CODE_SIGNATURE).next() {
            header[old.at..old.at + signature.len()].copy_from_slice(&signature);
        } else {
            header.extend(&signature);
            count += 1;
        }
        // Between the segments in memory too, where it takes no room.
        header.splice(linkedit.at..linkedit.at, segment_command(linkedit.address, segment));
        put_u32(&mut header, 16, word(count as u64));
        let commands = header.len() - HEADER;
        put_u32(&mut header, 20, word(commands as u64));
        header
    }
}

/// The load command of a segment that is not mapped: no bytes of memory, and no rights.
fn segment_command(address: u64, segment: &Range<u64>) -> Vec<u8> {
    let mut command = vec![0; SEGMENT_COMMAND];
    put_u32(&mut command, 0, macho::LC_SEGMENT_64.0);
    put_u32(&mut command, 4, u32::try_from(SEGMENT_COMMAND).expect("a few bytes"));
    command[8..8 + MODEL_SEGMENT.len()].copy_from_slice(MODEL_SEGMENT.as_bytes());
    put_u64(&mut command, 24, address);
    put_u64(&mut command, 40, segment.start);
    put_u64(&mut command, 48, segment.end - segment.start);
    command
}

/// Checks that the segments lie one behind the other, in the file and in memory, and gives the last one, which ends the file.
fn check_segments(image: &Image) -> Result<&Segment, MachOError> {
    let fail = |what| Err(MachOError::Segments { what });
    let Some((linkedit, others)) = image.segments.split_last() else { return fail("there are none") };
    if linkedit.name != LINKEDIT || linkedit.section_count != 0 {
        return fail("the last one is not `__LINKEDIT`");
    }
    if others.iter().any(|segment| segment.name == LINKEDIT) {
        return fail("two of them are called `__LINKEDIT`");
    }
    if linkedit.end() != image.length {
        return fail("`__LINKEDIT` does not end the file");
    }
    if !linkedit.offset.is_multiple_of(image.page_size()) {
        return fail("`__LINKEDIT` does not start with a page");
    }
    if linkedit.offset < image.header.len() as u64 {
        return fail("`__LINKEDIT` holds the header");
    }
    let (mut file_end, mut memory_end) = (0, 0);
    for segment in others.iter().chain([linkedit]) {
        if segment.size > 0 && segment.offset < file_end {
            return fail("two of them share bytes, or they are not in order");
        }
        if segment.address < memory_end {
            return fail("two of them share addresses, or they are not in order");
        }
        file_end = file_end.max(segment.end());
        memory_end = segment.address.saturating_add(segment.memory_size);
        if image.sections(segment).any(|section| section.relocation_count > 0) {
            return fail("a section has relocations of its own");
        }
    }
    Ok(linkedit)
}

/// Checks that the old signature ends the file, and that a new one is as good.
fn check_signature(signature: &CodeSignature, image: &Image, linkedit: &Segment) -> Result<(), MachOError> {
    if signature.offset < linkedit.offset || signature.offset + signature.length != image.length {
        return Err(MachOError::Segments { what: "the code signature does not end the file" });
    }
    if signature.length > MANIFEST_LIMIT {
        return Err(MachOError::Segments { what: "the code signature is larger than any of its size" });
    }
    let lost = |why| Err(MachOError::SignatureLost { identifier: signature.identifier.clone(), why });
    if signature.has_identity {
        return lost("with an identity");
    }
    if signature.has_entitlements {
        return lost("with entitlements");
    }
    if signature.has_requirements {
        return lost("with requirements or constraints of its own");
    }
    if signature.flags & !KEPT_FLAGS != 0 {
        return lost("with options such as the hardened runtime");
    }
    Ok(())
}

const fn edit(offset: u64, length: u64, replacement: Vec<u8>) -> Edit {
    Edit { offset, length, replacement }
}

fn read(file: &File, range: Range<u64>) -> Result<Vec<u8>, MachOError> {
    let length = range.end - range.start;
    let mut bytes = vec![0; usize::try_from(length).expect("a few thousand")];
    file.read_exact_at(&mut bytes, range.start)
        .map_err(|source| MachOError::read(range.start, length, source))?;
    Ok(bytes)
}
