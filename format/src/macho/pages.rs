//! The pages of a file that a code signature holds hashes of.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use crate::Digest;

/// How much is read at once: still in the processor's cache when it is hashed, and a multiple of all sizes of pages.
const BUFFER: usize = 256 << 10;

/// A file's first bytes, cut into pages. The last one ends with the bytes and is hashed as long as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pages {
    /// Binary logarithm of a page's size.
    pub(super) shift: u8,
    /// Number of bytes.
    pub(super) limit: u64,
}

impl Pages {
    /// The sizes that code signatures have.
    pub(super) const SHIFTS: Range<u8> = 12..17;

    pub(super) const fn size(self) -> u64 {
        1 << self.shift
    }

    /// How many there are.
    pub(super) const fn count(self) -> u64 {
        self.limit.div_ceil(self.size())
    }

    /// The bytes of a page.
    pub(super) fn range(self, page: u64) -> Range<u64> {
        let start = page << self.shift;
        start..self.limit.min(start + self.size())
    }

    /// Hashes pages one after another. `take` is given the number of the first of a few, and their hashes.
    ///
    /// # Errors
    /// Those of reading, made into `E`, and of `take`.
    pub(crate) fn hash<E>(
        self,
        file: &File,
        pages: Range<u64>,
        buffer: &mut Vec<u8>,
        failed: impl Fn(Range<u64>, io::Error) -> E,
        mut take: impl FnMut(u64, &[Digest]) -> Result<(), E>,
    ) -> Result<(), E> {
        let at_once = (BUFFER >> self.shift) as u64;
        let mut first = pages.start;
        while first < pages.end {
            let end = pages.end.min(first + at_once);
            let bytes = self.range(first).start..self.range(end - 1).end;
            buffer.resize(usize::try_from(bytes.end - bytes.start).expect("at most a buffer"), 0);
            file.read_exact_at(buffer, bytes.start).map_err(|source| failed(bytes.clone(), source))?;
            take(first, &Digest::of_each(buffer.chunks(1 << self.shift)))?;
            first = end;
        }
        Ok(())
    }
}

/// The hashes of the pages of a file that is being written, which are to stand in that file.
#[derive(Debug, Clone)]
pub(crate) struct PageHashes {
    pub(super) pages: Pages,
    /// Where the hash of page 0 is to stand.
    pub(super) place: u64,
    /// The pages that are complete only when everything else is.
    pub(super) late: Range<u64>,
}

impl PageHashes {
    /// The pages that are complete as soon as their bytes are there.
    pub(crate) fn early(&self) -> [Range<u64>; 2] {
        [0..self.late.start, self.late.end..self.pages.count()]
    }

    /// The others.
    pub(crate) fn late(&self) -> Range<u64> {
        self.late.clone()
    }

    /// How many pages lie before a byte as a whole.
    pub(crate) const fn whole_before(&self, position: u64) -> u64 {
        if position >= self.pages.limit { self.pages.count() } else { position >> self.pages.shift }
    }

    /// Hashes pages, and writes the hashes to their place.
    pub(crate) fn store(&self, file: &File, pages: Range<u64>, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.pages.hash(
            file,
            pages,
            buffer,
            |_, error| error,
            |first, hashes| {
                let bytes: Vec<_> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
                file.write_all_at(&bytes, self.place + first * Digest::LENGTH as u64)
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::copy::append;

    /// Zeros that are left out are part of the file only when something stands behind them.
    #[test]
    fn pages_are_hashed_when_they_are_there() {
        let file = tempfile::tempfile().unwrap();
        let pages = Pages { shift: 12, limit: 0x4100 };
        let hashes = PageHashes { pages, place: 0x5000, late: 1..1 };
        let content = |appender: &mut crate::copy::Appender<'_>| {
            appender.bytes(b"start")?;
            appender.skip_to(0x4000);
            thread::sleep(Duration::from_millis(50));
            appender.bytes(&[7; 0x100])
        };
        append(&file, Some(&hashes), content, |error| error).unwrap();
        let mut expected = vec![0; 0x4000];
        expected[..5].copy_from_slice(b"start");
        expected.extend([7; 0x100]);
        for (page, bytes) in expected.chunks(0x1000).enumerate() {
            let mut found = [0; Digest::LENGTH];
            file.read_exact_at(&mut found, 0x5000 + (page * Digest::LENGTH) as u64).unwrap();
            assert_eq!(Digest::from(found), Digest::of(bytes), "page {page}");
        }
    }
}
