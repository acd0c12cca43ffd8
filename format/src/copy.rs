//! Appends byte ranges to a new file while other threads hash what has arrived and bring it to the disk.
//!
//! The kernel copies where it can (`copy_file_range`, which shares blocks on file systems that can), and every byte of an
//! input is read once. The digests are those of what stands in the new file, even when somebody changes an input meanwhile.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use sha2::Digest as _;

use crate::Digest;
use crate::macho::PageHashes;

/// Bytes that are copied before the next part may be hashed.
const CHUNK: u64 = 1 << 20;

/// Size of a hasher's buffer: what it reads is still in the processor's cache when it is hashed.
const BUFFER: usize = 256 << 10;

/// Bytes that are copied before the disk is set to work on them.
const FLUSH: u64 = 8 << 20;

/// Threads that hash. One digest is computed by one thread, so others serve weights and the rest at once; that of a base binary
/// with a payload inside is complete only at the end.
const HASHERS: usize = 3;

/// The digest of `length` bytes from `offset` on.
///
/// # Errors
/// The system's; `UnexpectedEof` where the file is shorter.
pub(crate) fn hash_range(file: &File, offset: u64, length: u64) -> io::Result<Digest> {
    let mut hasher = RangeHasher::new(offset, length);
    hasher.advance(file, offset + length)?;
    Ok(hasher.finish())
}

/// A part of what has one digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Bytes of the file.
    File(Range<u64>),
    /// Others.
    Bytes(Vec<u8>),
}

impl Piece {
    pub(crate) const fn length(&self) -> u64 {
        match self {
            Self::File(range) => range.end - range.start,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

/// The digest of pieces, one behind the other.
///
/// # Errors
/// Those of [`hash_range`], and where.
pub(crate) fn hash_pieces(file: &File, pieces: &[Piece]) -> Result<Digest, (Range<u64>, io::Error)> {
    let mut hasher = RangeHasher::new(0, 0);
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => hasher.hasher.update(bytes),
            Piece::File(range) => {
                hasher.go_on(range);
                hasher.advance(file, range.end).map_err(|error| (range.clone(), error))?;
            }
        }
    }
    Ok(hasher.finish())
}

/// Hashes a range of a file piece by piece, as it becomes available.
struct RangeHasher {
    position: u64,
    end: u64,
    hasher: sha2::Sha256,
    buffer: Vec<u8>,
}

impl RangeHasher {
    fn new(offset: u64, length: u64) -> Self {
        let size = usize::try_from(length).map_or(BUFFER, |length| length.min(BUFFER));
        Self { position: offset, end: offset + length, hasher: sha2::Sha256::new(), buffer: vec![0; size] }
    }

    /// Goes on with another range.
    fn go_on(&mut self, range: &Range<u64>) {
        (self.position, self.end) = (range.start, range.end);
        let length = range.end - range.start;
        let size = usize::try_from(length).map_or(BUFFER, |length| length.min(BUFFER));
        if self.buffer.len() < size {
            self.buffer.resize(size, 0);
        }
    }

    /// Hashes what lies before `available`.
    fn advance(&mut self, file: &File, available: u64) -> io::Result<()> {
        let end = available.min(self.end);
        while self.position < end {
            let size =
                usize::try_from(end - self.position).map_or(BUFFER, |left| left.min(self.buffer.len()));
            file.read_exact_at(&mut self.buffer[..size], self.position)?;
            self.hasher.update(&self.buffer[..size]);
            self.position += size as u64;
        }
        Ok(())
    }

    fn finish(self) -> Digest {
        Digest::from(<[u8; Digest::LENGTH]>::from(self.hasher.finalize()))
    }
}

/// Why [`Appender::copy`] stopped.
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

/// Which of the digests that [`append`] returns is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hashed(usize);

/// The digests of all ranges that were to be hashed.
pub(crate) struct Digests(Vec<Digest>);

impl Digests {
    pub(crate) fn get(&self, hashed: Hashed) -> Digest {
        self.0[hashed.0]
    }
}

/// Runs `content`, which appends to the empty `file`, and returns what it returned with the digests that it asked for. With
/// `page_hashes`, those of all pages but the late ones are written into the file.
///
/// # Errors
/// Those of `content`; `failed` is made of those of the other threads, which only ever fail on `file`.
pub(crate) fn append<T, E>(
    file: &File,
    page_hashes: Option<&PageHashes>,
    content: impl FnOnce(&mut Appender<'_>) -> Result<T, E>,
    failed: impl Fn(io::Error) -> E,
) -> Result<(T, Digests), E> {
    let progress = Progress::default();
    let (flush, flushes) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let synchroniser = scope.spawn(move || flushes.into_iter().try_for_each(|()| file.sync_data()));
        let hashers = [(); HASHERS].map(|()| scope.spawn(|| progress.hash(file)));
        let pages = page_hashes.map(|hashes| scope.spawn(|| progress.hash_pages(file, hashes)));
        let mut appender = Appender { file, position: 0, flushed: 0, count: 0, flush, progress: &progress };
        let result = content(&mut appender);
        let count = appender.count;
        drop(appender);
        progress.finish(result.is_err());
        let mut digests = vec![None; count];
        for hasher in hashers {
            for (index, digest) in hasher.join().expect("hashing does not panic").map_err(&failed)? {
                digests[index] = Some(digest);
            }
        }
        if let Some(pages) = pages {
            pages.join().expect("hashing does not panic").map_err(&failed)?;
        }
        synchroniser.join().expect("flushing does not panic").map_err(&failed)?;
        let result = result?;
        let digests = digests.into_iter().map(|digest| digest.expect("all that was asked for was appended"));
        Ok((result, Digests(digests.collect())))
    })
}

/// How much has arrived, and what of it is to be hashed.
#[derive(Default)]
struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    written: u64,
    /// Nothing more arrives.
    is_over: bool,
    /// Nobody asks for the digests any more.
    is_given_up: bool,
    /// Number and pieces of what nobody hashes yet.
    waiting: VecDeque<(usize, Vec<Piece>)>,
}

impl Progress {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn finish(&self, is_given_up: bool) {
        self.update(|state| (state.is_over, state.is_given_up) = (true, is_given_up));
    }

    /// Waits until `found` finds something. None where it never will.
    fn wait<T>(&self, mut found: impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        let mut state = self.state();
        loop {
            if state.is_given_up {
                return None;
            }
            if let Some(found) = found(&mut state) {
                return Some(found);
            }
            if state.is_over {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Computes one digest after another until there are no more.
    fn hash(&self, file: &File) -> io::Result<Vec<(usize, Digest)>> {
        let mut digests = Vec::new();
        while let Some((number, pieces)) = self.wait(|state| state.waiting.pop_front()) {
            let mut hasher = RangeHasher::new(0, 0);
            for piece in &pieces {
                match piece {
                    Piece::Bytes(bytes) => hasher.hasher.update(bytes),
                    Piece::File(range) => {
                        hasher.go_on(range);
                        while hasher.position < hasher.end {
                            let Some(written) = self.wait_beyond(hasher.position) else { return Ok(digests) };
                            hasher.advance(file, written)?;
                        }
                    }
                }
            }
            digests.push((number, hasher.finish()));
        }
        Ok(digests)
    }

    /// Hashes the pages that are complete as soon as they have been written.
    fn hash_pages(&self, file: &File, hashes: &PageHashes) -> io::Result<()> {
        let mut buffer = Vec::new();
        for pages in hashes.early() {
            let mut next = pages.start;
            while next < pages.end {
                let is_there = |state: &mut State| {
                    Some(hashes.whole_before(state.written).min(pages.end)).filter(|end| *end > next)
                };
                let Some(end) = self.wait(is_there) else { return Ok(()) };
                hashes.store(file, next..end, &mut buffer)?;
                next = end;
            }
        }
        Ok(())
    }

    /// Waits until more than `position` bytes are there, and says how many. None where they never will be.
    fn wait_beyond(&self, position: u64) -> Option<u64> {
        self.wait(|state| Some(state.written).filter(|written| *written > position))
    }
}

/// Appends to a file.
pub(crate) struct Appender<'a> {
    file: &'a File,
    position: u64,
    flushed: u64,
    /// How many ranges are to be hashed.
    count: usize,
    flush: mpsc::Sender<()>,
    progress: &'a Progress,
}

impl Appender<'_> {
    /// How many bytes there are.
    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// Appends bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.position)?;
        self.advance(bytes.len() as u64);
        Ok(())
    }

    /// Leaves zeros up to a position. Whatever is appended next makes them part of the file, and only then can they be hashed.
    pub(crate) fn skip_to(&mut self, position: u64) {
        assert!(position >= self.position, "bytes are appended");
        self.position = position;
    }

    /// Has the next `length` bytes hashed when they have been appended.
    pub(crate) fn hash_next(&mut self, length: u64) -> Hashed {
        self.hash_pieces(vec![Piece::File(self.position..self.position + length)])
    }

    /// Has pieces of this file hashed when they have been appended.
    pub(crate) fn hash_pieces(&mut self, pieces: Vec<Piece>) -> Hashed {
        let number = self.count;
        self.count += 1;
        self.progress.update(|state| state.waiting.push_back((number, pieces)));
        Hashed(number)
    }

    /// Appends `length` bytes of `input`, from `start` on.
    pub(crate) fn copy(&mut self, input: &File, start: u64, length: u64) -> Result<(), CopyError> {
        let mut copied = 0;
        let mut buffer = Vec::new();
        while copied < length {
            let wanted = (length - copied).min(CHUNK);
            let count = match copy_in_kernel(input, start + copied, self.file, self.position, wanted) {
                Some(count) if count > 0 => count,
                // By hand, which also shows which of the two files it is that fails.
                _ => {
                    buffer.resize(usize::try_from(CHUNK).expect("a megabyte fits"), 0);
                    let part = &mut buffer[..usize::try_from(wanted).expect("at most a megabyte")];
                    let count = read_at(input, part, start + copied).map_err(CopyError::Read)?;
                    self.file.write_all_at(&part[..count], self.position).map_err(CopyError::Write)?;
                    count as u64
                }
            };
            if count == 0 {
                return Err(CopyError::Shrunk { expected: length, found: copied });
            }
            copied += count;
            self.advance(count);
        }
        Ok(())
    }

    fn advance(&mut self, count: u64) {
        self.position += count;
        self.progress.update(|state| state.written = self.position);
        if self.position - self.flushed >= FLUSH {
            self.flushed = self.position;
            // The receiver goes away when it fails, which is noticed when it is joined.
            let _failed = self.flush.send(());
        }
    }
}

/// Lets the kernel copy. None where it cannot, or says that it failed.
#[cfg(target_os = "linux")]
fn copy_in_kernel(input: &File, start: u64, output: &File, position: u64, length: u64) -> Option<u64> {
    let (mut start, mut position) = (start, position);
    let length = usize::try_from(length).ok()?;
    let count = rustix::fs::copy_file_range(input, Some(&mut start), output, Some(&mut position), length);
    count.ok().map(|count| count as u64)
}

/// No other system has it.
#[cfg(not(target_os = "linux"))]
fn copy_in_kernel(_: &File, _: u64, _: &File, _: u64, _: u64) -> Option<u64> {
    None
}

fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
