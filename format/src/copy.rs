//! Copies and hashes byte ranges in constant memory.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::mpsc;
use std::thread;

use sha2::Digest as _;

use crate::Digest;

/// Bytes that are copied before the next part may be hashed, and the size of the hasher's buffer.
const CHUNK: usize = 1 << 20;

/// Bytes that are copied before the disk is set to work on them.
const FLUSH: u64 = 32 << 20;

/// The digest of `length` bytes from `offset` on.
///
/// # Errors
/// The system's; `UnexpectedEof` where the file is shorter.
pub(crate) fn hash_range(file: &File, offset: u64, length: u64) -> io::Result<Digest> {
    let mut hasher = RangeHasher::new(offset, length);
    hasher.advance(file, offset + length)?;
    Ok(hasher.finish())
}

/// Hashes a range of a file piece by piece, as it becomes available.
struct RangeHasher {
    left: Range<u64>,
    hasher: sha2::Sha256,
    buffer: Vec<u8>,
}

impl RangeHasher {
    fn new(offset: u64, length: u64) -> Self {
        let size = usize::try_from(length).map_or(CHUNK, |length| length.min(CHUNK));
        Self { left: offset..offset + length, hasher: sha2::Sha256::new(), buffer: vec![0; size] }
    }

    /// Hashes what lies before `available`.
    fn advance(&mut self, file: &File, available: u64) -> io::Result<()> {
        let end = available.min(self.left.end);
        while self.left.start < end {
            let size =
                usize::try_from(end - self.left.start).map_or(CHUNK, |left| left.min(self.buffer.len()));
            file.read_exact_at(&mut self.buffer[..size], self.left.start)?;
            self.hasher.update(&self.buffer[..size]);
            self.left.start += size as u64;
        }
        Ok(())
    }

    fn finish(self) -> Digest {
        Digest::from(<[u8; Digest::LENGTH]>::from(self.hasher.finalize()))
    }
}

/// Copies all `length` bytes of `input` to `output` at its current position (`offset`), and returns the digest of what
/// then stands there.
///
/// The kernel copies where it can (`copy_file_range`, by way of [`io::copy`]), while a second thread hashes what has
/// arrived and a third one brings it to the disk, so that little is left to do when the file is synchronised. Every byte
/// of the input is read once, and the digest is that of the output even when somebody changes the input meanwhile.
///
/// # Errors
/// [`CopyError`] tells input from output.
pub(crate) fn copy_hashed(
    input: &File,
    length: u64,
    output: &mut File,
    offset: u64,
) -> Result<Digest, CopyError> {
    let written = output.try_clone().map_err(CopyError::Write)?;
    let on_disk = output.try_clone().map_err(CopyError::Write)?;
    let (sender, receiver) = mpsc::channel::<u64>();
    let (flush_sender, flush_receiver) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let synchroniser =
            scope.spawn(move || flush_receiver.into_iter().try_for_each(|()| on_disk.sync_data()));
        let hasher = scope.spawn(move || {
            let mut hasher = RangeHasher::new(offset, length);
            for available in receiver {
                hasher.advance(&written, available)?;
            }
            Ok::<_, io::Error>(hasher.finish())
        });
        let mut copied = 0;
        let mut next_flush = FLUSH;
        while copied < length {
            let wanted = (length - copied).min(CHUNK as u64);
            let count =
                io::copy(&mut input.take(wanted), output).map_err(|source| CopyError::new(input, source))?;
            if count == 0 {
                return Err(CopyError::Shrunk { expected: length, found: copied });
            }
            copied += count;
            if sender.send(offset + copied).is_err() {
                break;
            }
            if copied >= next_flush {
                next_flush = copied + FLUSH;
                if flush_sender.send(()).is_err() {
                    break;
                }
            }
        }
        drop((sender, flush_sender));
        synchroniser.join().expect("flushing does not panic").map_err(CopyError::Write)?;
        hasher.join().expect("hashing does not panic").map_err(CopyError::Write)
    })
}

/// Why [`copy_hashed`] stopped.
#[derive(Debug)]
pub(crate) enum CopyError {
    Read(io::Error),
    Write(io::Error),
    /// The input became shorter while it was read.
    Shrunk {
        expected: u64,
        found: u64,
    },
}

impl CopyError {
    /// [`io::copy`] does not say which side failed: an input that cannot be read now could not be read then.
    fn new(mut input: &File, source: io::Error) -> Self {
        let read = input.stream_position().and_then(|position| input.read_at(&mut [0], position));
        match read {
            Ok(_) => Self::Write(source),
            Err(_) => Self::Read(source),
        }
    }
}
