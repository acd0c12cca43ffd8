//! How long it takes to refuse a file that was made to do harm, and how much memory: `cargo bench -p encoderfile-format
//! --bench hostile`. Each file is opened by a process of its own, three times; the slowest and largest count.
#![allow(clippy::print_stdout, reason = "it prints what it measures")]
#![allow(clippy::unwrap_used, reason = "it stops at what it did not expect")]

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use encoderfile_format::Encoderfile;

#[path = "../tests/it/hostile/files.rs"]
mod files;
#[path = "../tests/it/protobuf.rs"]
#[expect(dead_code, reason = "tests also read what is written")]
mod protobuf;
#[path = "../tests/it/sample.rs"]
#[expect(dead_code, reason = "tests also write whole files")]
mod sample;

fn main() {
    // Cargo adds `--bench`.
    let file = std::env::args().skip(1).find(|text| text != "--bench");
    match file {
        Some(file) => open(Path::new(&file)),
        None => measure(),
    }
}

/// What the process that opens a file says: microseconds, and the most kilobytes that it held at once.
fn open(path: &Path) {
    let began = Instant::now();
    let error = Encoderfile::open(File::open(path).unwrap()).unwrap_err();
    let message = error.to_string();
    let elapsed = began.elapsed();
    assert!(!message.is_empty());
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.map_or("0", |peak| peak.trim().trim_end_matches(" kB"));
    println!("{} {peak}", elapsed.as_micros());
}

fn measure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.encoderfile");
    println!("{:<66} {:>9} {:>9}", "file", "time", "memory");
    for hostile in files::files() {
        // A new one each time, so that nothing is left of the one before.
        let file = File::create(&path).unwrap();
        hostile.write_to(&file);
        let error = Encoderfile::open(File::open(&path).unwrap()).unwrap_err();
        assert!((hostile.is_expected)(&error), "{}: {error:?}", hostile.name);
        let [mut time, mut memory] = [0_u64; 2];
        for _ in 0..3 {
            let output = Command::new(std::env::current_exe().unwrap()).arg(&path).output().unwrap();
            assert!(output.status.success(), "{}: {output:?}", hostile.name);
            let text = String::from_utf8(output.stdout).unwrap();
            let numbers: Vec<u64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
            (time, memory) = (time.max(numbers[0]), memory.max(numbers[1]));
        }
        let time = Duration::from_micros(time).as_secs_f64() * 1000.0;
        println!("{:<66} {time:>6.2} ms {:>6} MB", hostile.name, memory.div_ceil(1024));
    }
}
