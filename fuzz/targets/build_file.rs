//! `encoderfile.yml`.
#![no_main]

use std::path::Path;

use encoderfile::BuildFile;
use encoderfile_fuzz::tell;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match BuildFile::parse(bytes, Path::new("models/encoderfile.yml")) {
        Ok(file) => {
            let plain = [&file.path, &file.output_path, &file.base_binary_path, &file.cache_dir];
            assert!(plain.into_iter().flatten().all(|path| path.starts_with("models") || path.is_absolute()));
        }
        Err(error) => {
            tell(&error);
            assert!(error.hint().is_none_or(|hint| !hint.is_empty()));
            let message = error.to_string();
            let is_safe = |letter: char| !letter.is_control() || letter == '\n';
            assert!(message.chars().all(is_safe), "{message:?} is printed on a terminal");
        }
    }
});
