//! Files that were made to do harm: each is refused for what is wrong with it, and takes little memory. `cargo bench -p
//! encoderfile-format --bench hostile` says how little, and how fast.

mod files;

use encoderfile_format::Encoderfile;

use crate::memory::peak;
use crate::protobuf;
use crate::sample::{assembled, open};

/// The manifest, what it was decoded into, and half as much again.
const MEMORY: usize = 40 << 20;

#[test]
fn each_is_refused_in_little_memory() {
    for hostile in files::files() {
        let file = tempfile::tempfile().unwrap();
        hostile.write_to(&file);
        let name = hostile.name;
        let (result, memory) = peak(|| {
            let error = Encoderfile::open(file).err()?;
            let message = [error.to_string(), format!("{error:?}")].concat();
            Some((error, message))
        });
        let (error, message) = result.unwrap_or_else(|| panic!("{name}: it opens"));
        assert!((hostile.is_expected)(&error), "{name}: {error:?}");
        assert!(memory < MEMORY, "{name}: {memory} bytes");
        assert!(message.len() < 20_000, "{name}: the message has {} bytes", message.len());
    }
}

#[test]
fn the_most_that_is_allowed_takes_little_memory() {
    let text = vec![b'x'; 4000];
    let size = |count: usize, field: &[u8]| field.repeat(count);
    let allowed = [
        size(4096, &protobuf::bytes(8, b"")),
        size(4096, &protobuf::bytes(10, &protobuf::bytes(2, &text))),
        size(4096, &protobuf::bytes(11, &protobuf::bytes(3, &text))),
        size(4096, &protobuf::bytes(44, &text)),
        size(4096, &protobuf::bytes(2000, &text)),
        protobuf::bytes(2, &text.repeat(4000)),
        protobuf::bytes(6, &protobuf::bytes(1, &[3; 4000])),
        size(4096, &protobuf::bytes(5, &protobuf::bytes(1, b"").repeat(64))),
    ];
    for (index, manifest) in allowed.into_iter().enumerate() {
        let bytes = assembled(&manifest, &[]);
        let (verified, memory) = peak(|| open(&bytes).map(|file| file.verify().unwrap().len()));
        assert_eq!(verified.unwrap(), 3, "{index}");
        assert!(memory < MEMORY, "{index}: {memory} bytes");
    }
}
