//! Maps its own file and compares every page with what is read, as a base binary for `sized_payload`:
//!
//!     cargo run -p encoderfile-format --example sized_payload -- target/debug/examples/map_itself LENGTH OUTPUT
//!     ./OUTPUT
//!
//! A runtime maps weights out of its own file. macOS compares each page that is touched with the code signature, and stops the
//! program where one is not what was signed.
#![expect(clippy::print_stdout, reason = "this talks to a person")]

use std::env;
use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// Pages of any of today's machines lie within one of these.
const PART: usize = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let file = File::open(env::current_exe()?)?;
    #[expect(unsafe_code, reason = "the map is what is tried")]
    // SAFETY: the map is read-only. Were the file truncated meanwhile, this program would be stopped by a signal.
    let map = unsafe { memmap2::Mmap::map(&file)? };
    let mut read = vec![0; PART];
    for (offset, mapped) in (0..).step_by(PART).zip(map.chunks(PART)) {
        let read = &mut read[..mapped.len()];
        file.read_exact_at(read, offset)?;
        if mapped != read {
            return Err(format!("what is mapped of bytes {offset}.. is not what is read").into());
        }
    }
    println!("{} bytes are mapped as they are read", map.len());
    Ok(())
}
