//! The index and the floor in it.

use std::fs;

use encoderfile_format::Stamp;
use encoderfile_registry::{Digest, Floor, PlatformVersion, Target};

use crate::executable::{Elf, MH_DYLIB, mach_o};
use crate::{VERSION, Workshop, runtime, succeed};

const LINUX: Target = Target::X86_64LinuxGnu;
const ARM_LINUX: Target = Target::Aarch64LinuxGnu;
const MAC: Target = Target::Aarch64AppleDarwin;

fn pack(workshop: &Workshop, target: Target, runtime: &[u8]) {
    workshop.write("runtime", runtime);
    let arguments = ["pack", "--level=1", "--target", target.triple(), "--runtime=runtime", "--out=dist"];
    workshop.run(&[&arguments[..], &["--third-party=NOTICES.md"]].concat());
}

/// A base binary made of `parts`, the first of which is the executable.
fn base_binary(target: Target, parts: &[&[u8]]) -> Vec<u8> {
    let stamp = Stamp {
        version: VERSION.to_owned(),
        target: target.triple().to_owned(),
        format_versions: vec![1, 2],
        onnxruntime_version: "1.23.2".to_owned(),
    };
    [parts.concat(), stamp.encode()].concat()
}

/// The floor that is measured of a base binary, and what the tool says of it.
fn floor(target: Target, parts: &[&[u8]]) -> (Floor, String) {
    let workshop = Workshop::new();
    pack(&workshop, target, &base_binary(target, parts));
    let report = workshop.run(&["index", "--version", VERSION, "dist"]);
    (workshop.index().targets[&target].floor, report)
}

fn refuse_floor(target: Target, parts: &[&[u8]]) -> String {
    let workshop = Workshop::new();
    pack(&workshop, target, &base_binary(target, parts));
    let error = workshop.refuse(4, &["index", "--version", VERSION, "dist"]);
    assert_eq!(workshop.names("dist").len(), 1, "no index was written");
    error
}

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
fn the_floor_is_the_newest_version_that_any_part_needs() {
    let old =
        Elf::new(LINUX).needs("memcpy", (2, 17)).needs("getrandom", (2, 25)).needs("read", (2, 9)).build();
    let new = Elf::new(LINUX).needs("memcpy", (2, 17)).needs("pthread_create", (2, 34)).build();

    let (measured, report) = floor(LINUX, &[&old]);
    assert_eq!(measured, glibc(25));
    assert!(
        report.contains("floor: glibc 2.25, because of the executable itself: getrandom@GLIBC_2.25\n"),
        "{report}"
    );
    assert!(report.contains(", 0 embedded libraries\n"), "{report}");

    // An embedded library counts wherever it starts.
    for padding in [&b""[..], b"1", b"12345"] {
        let (measured, report) = floor(LINUX, &[&old, padding, &new, &old]);
        assert_eq!(measured, glibc(34));
        let offset = old.len() + padding.len();
        let expected =
            format!("because of the library embedded at byte {offset}: pthread_create@GLIBC_2.34\n");
        assert!(report.contains(&expected), "{report}");
        assert!(report.contains(", 2 embedded libraries\n"), "{report}");
    }
    // One of another processor is data.
    let foreign = Elf::new(ARM_LINUX).needs("pthread_create", (2, 34)).build();
    assert_eq!(floor(LINUX, &[&old, &foreign]).0, glibc(25));
    // Neither is a magic number, which code that reads ELF files has in it.
    assert_eq!(
        floor(LINUX, &[&old, b"\x7fELF\x02\x01\x01 is how it starts, and then there is more, and more"]).0,
        glibc(25)
    );
}

#[test]
fn what_the_loader_forgives_does_not_count() {
    let elf = Elf::new(LINUX)
        .needs("memcpy", (2, 17))
        .needs_version("gnu_get_libc_version", "GLIBC_2.38", true)
        .needs_version("_Unwind_Resume", "GCC_9.0", false)
        .build();
    assert_eq!(floor(LINUX, &[&elf]).0, glibc(17));
}

#[test]
fn packed_relocations_need_their_loader() {
    let elf = Elf::new(LINUX).needs("memcpy", (2, 17)).needs_version("", "GLIBC_ABI_DT_RELR", false).build();
    assert_eq!(floor(LINUX, &[&elf]).0, glibc(36));
}

#[test]
fn a_need_for_a_newer_glibc_is_refused_by_its_symbol() {
    let good = Elf::new(ARM_LINUX).needs("memcpy", (2, 36)).build();
    let bad = Elf::new(ARM_LINUX).needs("memcpy", (2, 17)).needs("__isoc23_strtol", (2, 38)).build();
    assert_eq!(floor(ARM_LINUX, &[&good]).0, glibc(36));
    for parts in [&[&bad[..]][..], &[&good, &bad], &[&bad, &good]] {
        let error = refuse_floor(ARM_LINUX, parts);
        assert!(error.contains("needs glibc 2.38, newer than 2.36\n"), "{error}");
        assert!(error.contains("  symbol: __isoc23_strtol@GLIBC_2.38\n"), "{error}");
        assert!(error.contains("hint: build it in `debian:bookworm`"), "{error}");
    }
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let private = Elf::new(LINUX).needs_version("__libc_secret", "GLIBC_PRIVATE", false).build();
    assert!(refuse_floor(LINUX, &[&private]).contains("`GLIBC_PRIVATE`, which is no release of glibc"));
    let good = Elf::new(LINUX).needs("memcpy", (2, 17)).build();
    let blind = Elf::new(LINUX).needs("memcpy", (2, 17)).without_sections().build();
    assert!(refuse_floor(LINUX, &[&blind]).contains("the executable itself has no section table"));
    assert!(refuse_floor(LINUX, &[&good, &blind]).contains("the library embedded at byte"));
    let static_elf = Elf::new(LINUX).build();
    assert!(refuse_floor(LINUX, &[&static_elf]).contains("it names no glibc version"));
    // A library that was cut off.
    assert!(refuse_floor(LINUX, &[&good, &good[..200]]).contains("cannot be read"));
}

#[test]
fn the_floor_of_macos_is_the_deployment_target() {
    let executable = mach_o(MAC, crate::executable::MH_EXECUTE, (11, 0));
    let library = mach_o(MAC, MH_DYLIB, (13, 4));
    assert_eq!(floor(MAC, &[&executable]).0, Floor::Macos(PlatformVersion::new(11, 0)));
    let (measured, report) = floor(MAC, &[&executable, b"123", &library]);
    assert_eq!(measured, Floor::Macos(PlatformVersion::new(13, 4)));
    assert!(report.contains("floor: macOS 13.4, because of the library embedded at byte 123\n"), "{report}");
    let foreign = mach_o(Target::X86_64AppleDarwin, MH_DYLIB, (13, 4));
    assert_eq!(floor(MAC, &[&executable, &foreign]).0, Floor::Macos(PlatformVersion::new(11, 0)));
}

/// Real files, measured by binutils too.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn the_floor_is_what_readelf_says() {
    if !crate::installed("readelf") {
        return;
    }
    let target = Target::host().unwrap();
    for path in ["/bin/ls", env!("CARGO_BIN_EXE_encoderfile-release")] {
        let listing = succeed(std::process::Command::new("readelf").arg("-VW").arg(path).env("LC_ALL", "C"));
        let needed = listing.split("Version needs section").nth(1).unwrap();
        let versions =
            needed.split("Name: GLIBC_").skip(1).map(|rest| rest.split_whitespace().next().unwrap());
        let newest = versions.map(|version| version.parse::<PlatformVersion>().unwrap()).max().unwrap();

        let workshop = Workshop::new();
        pack(&workshop, target, &base_binary(target, &[&fs::read(path).unwrap()]));
        let mut index = workshop.tool(&["index", "--version", VERSION, "dist"]);
        if newest > PlatformVersion::new(2, 36) {
            let error = crate::refuse(4, &mut index);
            assert!(error.contains(&format!("needs glibc {newest},")), "{error}");
        } else {
            succeed(&mut index);
            assert_eq!(workshop.index().targets[&target].floor, Floor::Glibc(newest), "{path}");
        }
    }
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
