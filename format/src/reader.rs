//! Opens an encoderfile.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::copy::{Piece, hash_range};
use crate::frame::{Place, pieces};
use crate::{Artifact, ArtifactKind, Digest, Error, Footer, MANIFEST_LIMIT, Manifest};

/// The most of an artifact that [`Encoderfile::read`] takes into memory: several times the largest tokenizers. A sparse
/// file can claim any length without holding it.
const READ_LIMIT: u64 = 256 << 20;

/// An open encoderfile: footer and manifest are read and checked, artifacts are not yet.
#[derive(Debug)]
pub struct Encoderfile {
    file: File,
    length: u64,
    footer: Footer,
    footer_offset: u64,
    /// The segment that the payload is in, if it is in one.
    segment: Option<Range<u64>>,
    is_behind_signature: bool,
    /// The base binary, as it was before it was changed.
    base: Vec<Piece>,
    manifest_bytes: Vec<u8>,
    manifest: Manifest,
}

impl Encoderfile {
    /// Reads footer and manifest and checks every offset and length against the real length of the file before
    /// anything is allocated for it.
    ///
    /// # Errors
    /// [`Error::NoPayload`] for a file without a footer, such as a base binary; else what is wrong and where.
    pub fn open(file: File) -> Result<Self, Error> {
        let metadata = file.metadata().map_err(|source| Error::Read { offset: 0, length: 0, source })?;
        if !metadata.is_file() {
            return Err(Error::NotAFile);
        }
        let length = metadata.len();
        let place = Place::find(&file, length)?;
        let (manifest_bytes, manifest, base) = read_manifest(&file, &place).map_err(|error| match error {
            // The last part's footer counts from its own start.
            error if error.is_damage() && place.is_universal => Error::Universal,
            error => error,
        })?;
        let Place { segment, is_behind_signature, footer, footer_offset, .. } = place;
        Ok(Self {
            file,
            length,
            footer,
            footer_offset,
            segment,
            is_behind_signature,
            base,
            manifest_bytes,
            manifest,
        })
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Length of the whole file in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The footer.
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest as it stands in the file.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.manifest_bytes
    }

    /// Length in bytes of the base binary, as it was before it was changed.
    pub fn base_length(&self) -> u64 {
        self.base.iter().map(Piece::length).sum()
    }

    /// The segment of a Mach-O image that the payload is in: its bytes in the file. None where the payload stands behind the
    /// executable.
    pub fn segment(&self) -> Option<Range<u64>> {
        self.segment.clone()
    }

    /// Whether the payload stands behind a Mach-O image, and so behind its code signature, as encoderfile 0.7 writes files for
    /// macOS: `codesign --verify --strict` refuses them, and macOS 27 does not start them.
    pub const fn is_behind_code_signature(&self) -> bool {
        self.is_behind_signature
    }

    pub(crate) fn base_pieces(&self) -> &[Piece] {
        &self.base
    }

    /// The first byte of the footer.
    pub(crate) fn footer_offset(&self) -> u64 {
        self.footer_offset
    }

    /// Where an artifact lies.
    ///
    /// # Errors
    /// [`Error::NoArtifact`]
    pub fn artifact(&self, kind: ArtifactKind) -> Result<&Artifact, Error> {
        self.manifest.artifact(kind).ok_or(Error::NoArtifact { kind })
    }

    /// Reads the artifact of a kind into memory and verifies its digest.
    ///
    /// # Errors
    /// [`Error::NoArtifact`], and those of [`read_artifact`](Self::read_artifact).
    pub fn read(&self, kind: ArtifactKind) -> Result<Vec<u8>, Error> {
        self.read_artifact(self.artifact(kind)?)
    }

    /// Reads one of this file's artifacts into memory and verifies its digest.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::ArtifactDigest`]; [`Error::ArtifactSize`] for more than 256 MiB, unless it is the weights
    /// or external data.
    pub fn read_artifact(&self, artifact: &Artifact) -> Result<Vec<u8>, Error> {
        let &Artifact { kind, offset, length, .. } = artifact;
        if !kind.is_mapped() && length > READ_LIMIT {
            return Err(Error::ArtifactSize { kind, name: artifact.name.clone(), length, limit: READ_LIMIT });
        }
        let mut bytes = Vec::new();
        let no_memory = |_| Error::Read { offset, length, source: io::ErrorKind::OutOfMemory.into() };
        bytes.try_reserve_exact(to_usize(length)).map_err(no_memory)?;
        bytes.resize(to_usize(length), 0);
        read_at(&self.file, offset, &mut bytes)?;
        check_digest(artifact, Digest::of(&bytes))?;
        Ok(bytes)
    }

    /// Verifies the digest of one of this file's artifacts in constant memory.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::ArtifactDigest`]
    pub fn check(&self, artifact: &Artifact) -> Result<(), Error> {
        check_digest(artifact, self.hash(artifact.offset, artifact.length)?)
    }

    /// The digest of a byte range of the file.
    pub(crate) fn hash(&self, offset: u64, length: u64) -> Result<Digest, Error> {
        hash_range(&self.file, offset, length).map_err(|source| Error::Read { offset, length, source })
    }
}

/// The manifest, as it stands in the file and decoded, and the pieces of the base binary.
fn read_manifest(file: &File, place: &Place) -> Result<(Vec<u8>, Manifest, Vec<Piece>), Error> {
    let (Footer { manifest_offset, manifest_length }, end) = (place.footer, place.footer_offset);
    if manifest_length > MANIFEST_LIMIT {
        return Err(Error::ManifestSize { length: manifest_length });
    }
    let manifest_end =
        manifest_offset.checked_add(manifest_length).filter(|manifest_end| *manifest_end <= end);
    // Between the start of a segment and the manifest, nothing would vouch for the bytes.
    let is_first = place.segment.as_ref().is_none_or(|segment| segment.start == manifest_offset);
    let Some(manifest_end) = manifest_end.filter(|_| is_first) else {
        return Err(Error::ManifestRange { offset: manifest_offset, length: manifest_length, end });
    };
    let mut bytes = vec![0; to_usize(manifest_length)];
    read_at(file, manifest_offset, &mut bytes)?;
    let manifest = Manifest::decode(&bytes, manifest_offset, &(manifest_end..end))?;
    let edits = manifest.base.as_ref().map_or(&[][..], |base| &base.edits);
    let base = pieces(&place.image, edits).filter(|_| place.segment.is_some() || edits.is_empty());
    let base = base.ok_or(Error::BaseEdits { offset: manifest_offset })?;
    Ok((bytes, manifest, base))
}

pub(crate) fn check_digest(artifact: &Artifact, found: Digest) -> Result<(), Error> {
    if found == artifact.sha256 {
        return Ok(());
    }
    let &Artifact { kind, ref name, offset, length, sha256: expected } = artifact;
    Err(Error::ArtifactDigest { kind, name: name.clone(), offset, length, expected, found })
}

pub(crate) fn read_at(file: &File, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
    let length = buffer.len() as u64;
    file.read_exact_at(buffer, offset).map_err(|source| Error::Read { offset, length, source })
}

/// A length that was checked against a file's.
fn to_usize(length: u64) -> usize {
    usize::try_from(length).expect("all targets have 64-bit addresses")
}
