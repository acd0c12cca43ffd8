//! Takes a file apart: its artifacts and its base binary as files of their own.

use std::io;
use std::ops::Range;
use std::path::Path;

use crate::atomic::{Pending, create_beside};
use crate::copy::{Appender, CopyError, Piece, append};
use crate::reader::check_digest;
use crate::writer::check_output_against;
use crate::{Artifact, Digest, Encoderfile, Error, WriteError};

impl Encoderfile {
    /// Writes the bytes of one of this file's artifacts to a file of their own (mode 0644), verifying their digest on the
    /// way. The file appears whole or not at all.
    ///
    /// # Errors
    /// [`WriteError::Extract`] as [`Encoderfile::check`] would say it, [`WriteError::Output`] where it cannot be written,
    /// [`WriteError::OutputIsInput`] where it is this very file.
    pub fn extract(&self, artifact: &Artifact, output: &Path) -> Result<(), WriteError> {
        let &Artifact { offset, length, .. } = artifact;
        let pieces = [Piece::File(offset..offset + length)];
        let (pending, digest) = self.extract_pieces(&pieces, output, 0o644)?;
        check_digest(artifact, digest)?;
        pending.persist().map_err(|source| WriteError::output(output, source))?;
        Ok(())
    }

    /// Writes the base binary, as it was before it was changed, to a file of its own (mode 0755), verifying its digest where
    /// the manifest has it.
    ///
    /// # Errors
    /// As those of [`extract`](Self::extract); [`WriteError::BaseDigest`] where it is damaged.
    pub fn extract_base(&self, output: &Path) -> Result<(), WriteError> {
        let (pending, found) = self.extract_pieces(self.base_pieces(), output, 0o755)?;
        if let Some(base) = self.manifest().base.as_ref().filter(|base| base.sha256 != found) {
            return Err(WriteError::BaseDigest { path: output.to_owned(), expected: base.sha256, found });
        }
        pending.persist().map_err(|source| WriteError::output(output, source))?;
        Ok(())
    }

    fn extract_pieces(
        &self,
        pieces: &[Piece],
        output: &Path,
        mode: u32,
    ) -> Result<(Pending, Digest), WriteError> {
        // An open file has no name of its own; whatever it was opened by, it is the output's.
        check_output_against(output, [(output, self.file())].into_iter())?;
        let failed = |source| WriteError::output(output, source);
        let temporary = create_beside(output).map_err(failed)?;
        let fill = |appender: &mut Appender<'_>| {
            let hashed = appender.hash_next(pieces.iter().map(Piece::length).sum());
            for piece in pieces {
                match piece {
                    Piece::File(range) => self.copy(appender, range, output)?,
                    Piece::Bytes(bytes) => appender.bytes(bytes).map_err(failed)?,
                }
            }
            Ok(hashed)
        };
        let (hashed, digests) = append(temporary.as_file(), None, fill, failed)?;
        let pending = Pending::new(temporary, output, mode).map_err(failed)?;
        Ok((pending, digests.get(hashed)))
    }
    fn copy(&self, appender: &mut Appender<'_>, range: &Range<u64>, output: &Path) -> Result<(), WriteError> {
        let (offset, length) = (range.start, range.end - range.start);
        appender.copy(self.file(), offset, length).map_err(|error| match error {
            CopyError::Read(source) => Error::Read { offset, length, source }.into(),
            CopyError::Write(source) => WriteError::output(output, source),
            CopyError::Shrunk { .. } => {
                Error::Read { offset, length, source: io::ErrorKind::UnexpectedEof.into() }.into()
            }
        })
    }
}
