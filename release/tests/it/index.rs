//! The index.

use std::fs;

use encoderfile_registry::{Digest, Floor, PlatformVersion, Target};

use crate::executable::Elf;
use crate::{VERSION, Workshop, base_binary, runtime, succeed};

const LINUX: Target = Target::X86_64LinuxGnu;
const ARM_LINUX: Target = Target::Aarch64LinuxGnu;
const MAC: Target = Target::Aarch64AppleDarwin;

fn glibc(minor: u32) -> Floor {
    Floor::Glibc(PlatformVersion::new(2, minor))
}

#[test]
fn an_index_says_what_the_archives_hold() {
    let workshop = Workshop::new();
    workshop.pack(LINUX, true);
    workshop.pack(MAC, false);
    let mut command = workshop.tool(&["index", "--version", VERSION, "dist"]);
    succeed(command.env("SOURCE_DATE_EPOCH", "1767323045"));
    let bytes = workshop.read("dist/base-index.json");

    let index = workshop.index();
    assert_eq!(index.version.to_string(), VERSION);
    assert_eq!(index.published.to_string(), "2026-01-02T03:04:05Z");
    assert_eq!(index.targets.len(), 2);
    let entry = &index.targets[&LINUX];
    let archive = workshop.read("dist/encoderfile-runtime-x86_64-unknown-linux-gnu.tar.zst");
    assert_eq!(entry.archive.name, "encoderfile-runtime-x86_64-unknown-linux-gnu.tar.zst");
    assert_eq!((entry.archive.size, entry.archive.sha256), (archive.len() as u64, Digest::of(&archive)));
    let binary = runtime(LINUX, VERSION);
    assert_eq!((entry.binary.size, entry.binary.sha256), (binary.len() as u64, Digest::of(&binary)));
    assert_eq!(entry.floor, glibc(17));
    assert_eq!(entry.format_versions, [1]);
    assert_eq!(entry.onnxruntime_version, "1.23.2");
    let cli = workshop.read("dist/encoderfile-x86_64-unknown-linux-gnu.tar.zst");
    let entry = entry.cli.as_ref().unwrap();
    assert_eq!((entry.size, entry.sha256), (cli.len() as u64, Digest::of(&cli)));
    assert_eq!(index.targets[&MAC].floor, Floor::Macos(PlatformVersion::new(13, 0)));
    assert_eq!(index.targets[&MAC].cli, None);

    // Again, with the index already there.
    succeed(&mut command);
    assert_eq!(workshop.read("dist/base-index.json"), bytes);
}

#[test]
fn the_same_time_gives_the_same_index() {
    let workshop = Workshop::new();
    workshop.pack(LINUX, false);
    let index = |time: &str| {
        let mut command = workshop.tool(&["index", "--version", VERSION, "--published", time, "dist"]);
        // What is given counts.
        succeed(command.env("SOURCE_DATE_EPOCH", "1"));
        workshop.read("dist/base-index.json")
    };
    let bytes = index("2026-01-02T05:04:05+02:00");
    assert_eq!(workshop.index().published.to_string(), "2026-01-02T03:04:05Z");
    assert_eq!(index("1767323045"), bytes);
    let error = workshop.refuse(2, &["index", "--version", VERSION, "--published=today", "dist"]);
    assert!(error.contains("expected seconds since 1970, such as 1767323045, or a time such as "), "{error}");
}

#[test]
fn the_report_says_what_holds_the_floor_up() {
    let workshop = Workshop::new();
    workshop.pack(LINUX, false);
    let report = workshop.run(&["index", "--version", VERSION, "dist"]);
    let expected = "floor: glibc 2.17, because of the executable itself: memcpy@GLIBC_2.17\n";
    assert!(report.contains(expected), "{report}");
    assert!(report.contains(", 1 embedded libraries\n"), "{report}");
}

/// An archive of another tool, with an executable in it that `pack` refuses.
#[test]
fn what_pack_refuses_is_not_indexed() {
    let workshop = Workshop::new();
    fs::create_dir(workshop.path("dist")).unwrap();
    let bad = Elf::new(LINUX).needs("__isoc23_strtol", (2, 38)).build();
    let binary = base_binary(LINUX, VERSION, &[&bad]);
    let mut archive = tar::Builder::new(Vec::new());
    let members = [
        ("encoderfile-runtime", 0o755, &binary[..]),
        ("LICENSE", 0o644, b"x"),
        ("THIRD_PARTY.md", 0o644, b"x"),
    ];
    for (name, mode, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, bytes).unwrap();
    }
    let archive = zstd::encode_all(&archive.into_inner().unwrap()[..], 1).unwrap();
    workshop.write(&format!("dist/encoderfile-runtime-{LINUX}.tar.zst"), &archive);
    let error = workshop.refuse(4, &["index", "--version", VERSION, "dist"]);
    assert!(error.contains("needs glibc 2.38, newer than 2.36\n"), "{error}");
    assert_eq!(workshop.names("dist").len(), 1, "no index was written");
}

#[test]
fn another_version_is_refused() {
    let workshop = Workshop::new();
    workshop.pack(LINUX, false);
    let error = workshop.refuse(4, &["index", "--version=0.4.0", "dist"]);
    assert!(error.contains("says of itself that it has another version\n"), "{error}");
    assert!(error.contains("  expected: 0.4.0\n  found:    0.3.0\n"), "{error}");
}

#[test]
fn an_archive_under_another_targets_name_is_refused() {
    let workshop = Workshop::new();
    workshop.pack(LINUX, false);
    let name = |target| workshop.path(format!("dist/encoderfile-runtime-{target}.tar.zst"));
    fs::rename(name(LINUX), name(ARM_LINUX)).unwrap();
    let error = workshop.refuse(4, &["index", "--version", VERSION, "dist"]);
    assert!(error.contains("says of itself that it is for another target"), "{error}");
}

#[test]
fn files_that_are_not_of_a_release_are_refused() {
    let workshop = Workshop::new();
    workshop.pack(LINUX, true);
    workshop.write("dist/.hidden", b"");
    workshop.run(&["index", "--version", VERSION, "dist"]);
    workshop.write("dist/notes.txt", b"");
    workshop.write("dist/encoderfile-runtime-riscv64gc-unknown-linux-gnu.tar.zst", b"");
    fs::create_dir(workshop.path("dist/encoderfile-aarch64-apple-darwin.tar.zst")).unwrap();
    let error = workshop.refuse(4, &["index", "--version", VERSION, "dist"]);
    assert!(error.contains("  file: notes.txt\n"), "{error}");
    assert!(error.contains("  file: encoderfile-runtime-riscv64gc-unknown-linux-gnu.tar.zst\n"), "{error}");
    assert!(error.contains("  file: encoderfile-aarch64-apple-darwin.tar.zst\n"), "{error}");
    assert!(!error.contains("hidden"), "{error}");
}

#[test]
fn a_release_is_of_base_binaries() {
    let workshop = Workshop::new();
    fs::create_dir(workshop.path("dist")).unwrap();
    let error = workshop.refuse(1, &["index", "--version", VERSION, "dist"]);
    assert!(error.starts_with("error: `dist` holds no archive of a base binary\n"), "{error}");
    workshop.refuse(1, &["index", "--version", VERSION, "absent"]);

    workshop.pack(LINUX, true);
    workshop.pack(MAC, true);
    fs::remove_file(workshop.path(format!("dist/encoderfile-runtime-{LINUX}.tar.zst"))).unwrap();
    let error = workshop.refuse(4, &["index", "--version", VERSION, "dist"]);
    assert!(error.contains("has no base binary beside it"), "{error}");
}

#[test]
fn a_damaged_archive_is_refused() {
    let workshop = Workshop::new();
    workshop.pack(LINUX, false);
    let name = format!("dist/encoderfile-runtime-{LINUX}.tar.zst");
    let good = workshop.read(&name);
    for position in [0, 4, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[position] ^= 0x40;
        workshop.write(&name, &bad);
        let error = workshop.refuse(4, &["index", "--version", VERSION, "dist"]);
        assert!(error.contains("is not a release archive\n"), "byte {position}: {error}");
    }
}
