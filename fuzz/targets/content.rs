//! Small messages: the artifacts `transform` and `model_config`, and the stamp of a base binary.
#![no_main]

use encoderfile_format::{Digest, ModelConfig, Stamp, Transform};
use encoderfile_fuzz::tell;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match Transform::decode(bytes) {
        Ok(transform) => assert_eq!(Transform::decode(&transform.encode()), Ok(transform)),
        Err(error) => tell(&error),
    }
    match ModelConfig::from_json(bytes) {
        Ok(config) => {
            let again = ModelConfig::from_json(&config.to_json()).expect("what is written is read");
            assert_eq!(again, config);
        }
        Err(error) => tell(&error),
    }
    check_stamp(Stamp::find(bytes));
    // No fuzzer finds a digest.
    if let Ok(length) = u32::try_from(bytes.len()) {
        let digest = Digest::of(bytes);
        let magic = b"\0ENCODERFILE-RT\0";
        check_stamp(Stamp::find(&[magic, &length.to_le_bytes()[..], bytes, digest.as_bytes()].concat()));
    }
});

fn check_stamp(stamp: Option<Stamp>) {
    // One byte of room, as a list of one number is a byte longer when it is written.
    if let Some(stamp) = stamp.filter(|stamp| stamp.version.len() + stamp.target.len() < 2000) {
        assert_eq!(Stamp::find(&stamp.encode()), Some(stamp));
    }
}
