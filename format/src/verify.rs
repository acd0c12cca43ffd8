//! Checks every byte of a file that something vouches for.

use std::fmt;
use std::thread;

use crate::artifact::label;
use crate::copy::hash_pieces;
use crate::macho::{self, CodeSignature, CodeSignatureError, MachOError};
use crate::reader::read_at;
use crate::{ArtifactKind, Digest, Encoderfile, Error, Footer, manifest};

/// What a [`Finding`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// The base binary, as it was before it was changed.
    Base,
    /// The code signature of a Mach-O image, which covers all that stands before it, and the room that is left behind it.
    CodeSignature,
    /// The manifest's own bytes.
    Manifest,
    /// The zero bytes between manifest, artifacts and footer.
    Padding,
    /// An artifact.
    Artifact {
        /// What it is.
        kind: ArtifactKind,
        /// The file that it is byte for byte, if it is one.
        name: Option<String>,
    },
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.pad("base"),
            Self::CodeSignature => f.pad("code signature"),
            Self::Manifest => f.pad("manifest"),
            Self::Padding => f.pad("padding"),
            Self::Artifact { kind, name } => f.pad(&label(*kind, name.as_deref())),
        }
    }
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The bytes are those that the file vouches for.
    Intact {
        /// Their digest; none for padding.
        sha256: Option<Digest>,
    },
    /// The file holds nothing to compare the bytes with (as those of encoderfile 0.7).
    NotRecorded,
    /// The bytes are others.
    Damaged {
        /// The digest that the file holds.
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// The writer recorded a digest, but it is not there any more.
    DigestLost,
    /// The code signature holds: every page is what was signed.
    Signed {
        /// Whether somebody vouches for it with a certificate. What that is worth is not known here.
        has_identity: bool,
    },
    /// The code signature does not hold.
    NotSigned {
        /// Why.
        reason: String,
    },
    /// The code signature does not cover the payload, which lies behind it, as encoderfile 0.7 puts it.
    NotSignedFor,
    /// A byte of the padding is not zero.
    NotZero {
        /// Which byte of the file.
        offset: u64,
    },
}

/// One line of the report of [`Encoderfile::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub subject: Subject,
    /// First byte in the file; of padding, the manifest's end.
    pub offset: u64,
    /// Length in bytes; of padding, all of it together; of a base binary that was changed, that of the original.
    pub length: u64,
    /// What was found out.
    pub outcome: Outcome,
}

impl Finding {
    /// Whether the file is not what was written.
    pub fn is_damage(&self) -> bool {
        matches!(
            self.outcome,
            Outcome::Damaged { .. }
                | Outcome::DigestLost
                | Outcome::NotZero { .. }
                | Outcome::NotSigned { .. }
        )
    }
}

impl Encoderfile {
    /// Hashes base, manifest and artifacts, looks at the padding, and compares the pages of a Mach-O image with its code
    /// signature, in constant memory.
    ///
    /// # Errors
    /// Only where the file cannot be read; damage is a finding.
    pub fn verify(&self) -> Result<Vec<Finding>, Error> {
        if self.segment().is_none() {
            let mut findings = self.verify_content()?;
            if self.is_behind_code_signature() {
                let offset = self.footer().manifest_offset;
                let length = self.length() - offset;
                let (subject, outcome) = (Subject::CodeSignature, Outcome::NotSignedFor);
                findings.push(Finding { subject, offset, length, outcome });
            }
            return Ok(findings);
        }
        // Every byte has two digests, which takes twice as long unless both are computed at once.
        thread::scope(|scope| {
            let signature = scope.spawn(|| self.verify_code_signature());
            let mut findings = self.verify_content()?;
            findings.push(signature.join().expect("hashing does not panic")?);
            Ok(findings)
        })
    }

    fn verify_content(&self) -> Result<Vec<Finding>, Error> {
        let mut findings = vec![self.verify_base()?, self.verify_manifest(), self.verify_padding()?];
        for artifact in &self.manifest().artifacts {
            findings.push(Finding {
                subject: Subject::Artifact { kind: artifact.kind, name: artifact.name.clone() },
                offset: artifact.offset,
                length: artifact.length,
                outcome: compare(artifact.sha256, self.hash(artifact.offset, artifact.length)?),
            });
        }
        Ok(findings)
    }

    fn verify_code_signature(&self) -> Result<Finding, Error> {
        let (length, outcome) = match macho::verify_code_signature(self.file()) {
            Ok(signature) => match self.first_nonzero_behind(&signature)? {
                Some(offset) => (self.length(), Outcome::NotZero { offset }),
                None => (signature.offset, Outcome::Signed { has_identity: signature.has_identity }),
            },
            Err(
                CodeSignatureError::Read { offset, length, source }
                | CodeSignatureError::Image(MachOError::Read { offset, length, source }),
            ) => return Err(Error::Read { offset, length, source }),
            Err(error) => (self.length(), Outcome::NotSigned { reason: error.to_string() }),
        };
        Ok(Finding { subject: Subject::CodeSignature, offset: 0, length, outcome })
    }

    /// The first byte behind a signature, but for the footer, that is not zero. As it was written, there is none; what a program
    /// that signed the file again leaves there is its own affair.
    fn first_nonzero_behind(&self, signature: &CodeSignature) -> Result<Option<u64>, Error> {
        if !signature.is_as_linkers_sign() {
            return Ok(None);
        }
        let footer = self.length() - Footer::LENGTH;
        let mut last = [0; 32];
        read_at(self.file(), footer, &mut last)?;
        self.first_nonzero(signature.end, if Footer::is_one(&last) { footer } else { self.length() })
    }

    fn verify_base(&self) -> Result<Finding, Error> {
        let length = self.base_length();
        let outcome = match &self.manifest().base {
            Some(base) => {
                let found = hash_pieces(self.file(), self.base_pieces());
                compare(
                    base.sha256,
                    found.map_err(|(range, source)| Error::Read {
                        offset: range.start,
                        length: range.end - range.start,
                        source,
                    })?,
                )
            }
            None => Outcome::NotRecorded,
        };
        Ok(Finding { subject: Subject::Base, offset: 0, length, outcome })
    }

    /// Verifies the manifest's own digest, where it has one.
    ///
    /// # Errors
    /// [`Error::ManifestDigest`]
    pub fn check_manifest(&self) -> Result<(), Error> {
        let Finding { offset, length, .. } = match self.verify_manifest() {
            finding if finding.is_damage() => finding,
            _ => return Ok(()),
        };
        Err(Error::ManifestDigest { offset, length })
    }

    /// Compares the manifest's bytes with the digest that it holds of itself.
    fn verify_manifest(&self) -> Finding {
        let outcome = match manifest::own_digests(self.manifest_bytes()) {
            Some((recorded, found)) => compare(recorded, found),
            // A writer that leaves its name also leaves the digest: a manifest that lost it was changed.
            None if self.manifest().writer.is_some() => Outcome::DigestLost,
            None => Outcome::NotRecorded,
        };
        let footer = self.footer();
        let (offset, length) = (footer.manifest_offset, footer.manifest_length);
        Finding { subject: Subject::Manifest, offset, length, outcome }
    }

    fn verify_padding(&self) -> Result<Finding, Error> {
        let start = self.footer().manifest_offset + self.footer().manifest_length;
        let footer_offset = self.footer_offset();
        let starts = self.manifest().artifacts.iter().map(|artifact| artifact.offset).chain([footer_offset]);
        let ends = [start].into_iter().chain(self.manifest().artifacts.iter().map(crate::Artifact::end));
        let clean = Outcome::Intact { sha256: None };
        let (mut length, mut outcome) = (0, clean.clone());
        for (gap_start, gap_end) in ends.zip(starts) {
            length += gap_end - gap_start;
            if outcome == clean
                && let Some(offset) = self.first_nonzero(gap_start, gap_end)?
            {
                outcome = Outcome::NotZero { offset };
            }
        }
        Ok(Finding { subject: Subject::Padding, offset: start, length, outcome })
    }

    fn first_nonzero(&self, mut start: u64, end: u64) -> Result<Option<u64>, Error> {
        let mut buffer = [0; 4096];
        while start < end {
            let size = usize::try_from(end - start).map_or(buffer.len(), |left| left.min(buffer.len()));
            read_at(self.file(), start, &mut buffer[..size])?;
            if let Some(position) = buffer[..size].iter().position(|&byte| byte != 0) {
                return Ok(Some(start + position as u64));
            }
            start += size as u64;
        }
        Ok(None)
    }
}

fn compare(expected: Digest, found: Digest) -> Outcome {
    if expected == found {
        Outcome::Intact { sha256: Some(found) }
    } else {
        Outcome::Damaged { expected, found }
    }
}
