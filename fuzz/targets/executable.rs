//! An executable: what it needs, and whether it can serve as a base binary.
#![no_main]

use encoderfile_format::{Stamp, inspect_base, needs};
use encoderfile_fuzz::{file, tell};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let file = file(bytes);
    let length = bytes.len() as u64;
    // As in an encoderfile, whose base binary ends before the file does.
    let _ = needs(&file, length / 2);
    if let Some(needs) = needs(&file, length) {
        let _ = needs.floor.map(|floor| floor.to_string());
        assert!(needs.libraries.iter().all(|name| !name.contains('\0')));
    }
    match inspect_base(&file) {
        Ok(facts) => assert_eq!(Stamp::find(bytes), Some(facts.stamp)),
        Err(error) => tell(&error),
    }
});
