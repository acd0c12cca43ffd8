//! How much memory a thread takes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which counts for each thread what it holds. What another thread gives back is not seen.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(taken: usize, given_back: usize) {
    // Whoever ends a thread cannot count any more.
    let _ = HELD.try_with(|held| {
        held.set((held.get() + taken).saturating_sub(given_back));
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

#[expect(unsafe_code, reason = "allocators are unsafe to write")]
// SAFETY: all memory is the system allocator's, which gets what the caller gives.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both at once, where it is moved.
        count(size, 0);
        count(0, layout.size());
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// The most bytes that this thread holds at once, beyond those that it holds already, while it does something.
pub(crate) fn peak<T>(action: impl FnOnce() -> T) -> (T, usize) {
    let held = HELD.get();
    PEAK.set(held);
    let result = action();
    (result, PEAK.get() - held)
}

#[test]
fn what_is_allocated_is_counted() {
    let (length, peak) = peak(|| {
        let first = vec![1_u8; 1 << 20];
        let length = first.len();
        drop(first);
        length + vec![0_u8; 3 << 20].len()
    });
    assert_eq!(length, 4 << 20);
    assert!((3 << 20..4 << 20).contains(&peak), "{peak}");
}
