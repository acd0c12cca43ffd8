//! What the targets share.

use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most memory that a target may hold at once: inputs of some kilobytes need far less. libFuzzer's own limits see only
/// memory that was touched, and not the large allocation that was not.
const MEMORY_LIMIT: usize = 64 << 20;

static HELD: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, but to go beyond [`MEMORY_LIMIT`] is a crash.
struct Bounded;

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

impl Bounded {
    fn take(size: usize) {
        if HELD.fetch_add(size, Ordering::Relaxed).saturating_add(size) > MEMORY_LIMIT {
            // A panic would allocate.
            std::process::abort();
        }
    }
}

// SAFETY: all memory is the system allocator's.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::take(layout.size());
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::take(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::take(size);
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Writes out an error with all its reasons, as a person would see it.
pub fn tell(error: &dyn Error) {
    let mut next = Some(error);
    while let Some(error) = next {
        let message = error.to_string();
        assert!(!message.is_empty(), "an error says something");
        next = error.source();
    }
}

/// A file that has these bytes, and no name.
pub fn file(bytes: &[u8]) -> File {
    thread_local! {
        static FILE: File = tempfile::tempfile().expect("there is a folder for temporary files");
    }
    FILE.with(|file| {
        file.set_len(0).expect("the file is open for writing");
        file.write_all_at(bytes, 0).expect("there is room for some kilobytes");
        file.try_clone().expect("few files are open")
    })
}
