//! The oldest system that an executable runs on.

use encoderfile_registry::Target;
use encoderfile_testing::mach_o::MachO;
use serde_json::{Value, json};

use super::{ARM_LINUX, LINUX, MAC, check, refuse};
use crate::executable::{Elf, dylib, mach_o};
use crate::{VERSION, base_binary, macos_base_binary};

/// The facts about a base binary made of `parts`, the first of which is the executable.
fn facts(target: Target, parts: &[&[u8]]) -> Value {
    check(target, &base_binary(target, VERSION, parts))
}

fn floor(target: Target, parts: &[&[u8]]) -> Value {
    facts(target, parts)["floor"].take()
}

fn refuse_floor(target: Target, parts: &[&[u8]]) -> String {
    refuse(target, &base_binary(target, VERSION, parts))
}

fn glibc(minor: u32) -> Value {
    json!({"glibc": format!("2.{minor}")})
}

#[test]
fn it_is_the_newest_version_that_any_part_needs() {
    let old =
        Elf::new(LINUX).needs("memcpy", (2, 17)).needs("getrandom", (2, 25)).needs("read", (2, 9)).build();
    let new = Elf::new(LINUX).needs("memcpy", (2, 17)).needs("pthread_create", (2, 34)).build();

    let alone = facts(LINUX, &[&old]);
    assert_eq!(alone["floor"], glibc(25));
    assert_eq!(alone["parts"][0]["floor_symbols"], json!(["getrandom@GLIBC_2.25"]));

    // An embedded library counts wherever it starts.
    for padding in [&b""[..], b"1", b"12345"] {
        let facts = facts(LINUX, &[&old, padding, &new, &old]);
        assert_eq!(facts["floor"], glibc(34));
        let part = &facts["parts"][1];
        assert_eq!(part["offset"], old.len() + padding.len());
        assert_eq!(part["floor_symbols"], json!(["pthread_create@GLIBC_2.34"]));
        let floors: Vec<_> = (0..3).map(|index| facts["parts"][index]["floor"].clone()).collect();
        assert_eq!(floors, [glibc(25), glibc(34), glibc(25)]);
    }
    // One of another processor is data.
    let foreign = Elf::new(ARM_LINUX).needs("pthread_create", (2, 34)).build();
    assert_eq!(floor(LINUX, &[&old, &foreign]), glibc(25));
    // Neither is a magic number, which code that reads ELF files has in it.
    let text = b"\x7fELF\x02\x01\x01 is how it starts, and then there is more, and more";
    assert_eq!(floor(LINUX, &[&old, text]), glibc(25));
}

#[test]
fn what_the_loader_forgives_does_not_count() {
    let elf = Elf::new(LINUX)
        .needs("memcpy", (2, 17))
        .needs_version("gnu_get_libc_version", "GLIBC_2.38", true)
        .needs_version("_Unwind_Resume", "GCC_9.0", false)
        .build();
    assert_eq!(floor(LINUX, &[&elf]), glibc(17));
}

#[test]
fn packed_relocations_need_their_loader() {
    let elf = Elf::new(LINUX).needs("memcpy", (2, 17)).needs_version("", "GLIBC_ABI_DT_RELR", false).build();
    assert_eq!(floor(LINUX, &[&elf]), glibc(36));
}

#[test]
fn a_need_for_a_newer_glibc_is_refused_by_its_symbol() {
    let good = Elf::new(ARM_LINUX).needs("memcpy", (2, 36)).build();
    let bad = Elf::new(ARM_LINUX).needs("memcpy", (2, 17)).needs("__isoc23_strtol", (2, 38)).build();
    assert_eq!(floor(ARM_LINUX, &[&good]), glibc(36));
    for parts in [&[&bad[..]][..], &[&good, &bad], &[&bad, &good]] {
        let error = refuse_floor(ARM_LINUX, parts);
        assert!(error.contains("needs glibc 2.38, newer than 2.36\n"), "{error}");
        assert!(error.contains("  symbol: __isoc23_strtol@GLIBC_2.38\n"), "{error}");
        assert!(error.contains("hint: build it in `debian:bookworm`"), "{error}");
    }
    // The command line's is measured too.
    assert!(refuse(ARM_LINUX, &bad).contains("needs glibc 2.38, newer than 2.36\n"));
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
    let cut = [&base_binary(LINUX, VERSION, &[&good])[..], &good[..200]].concat();
    assert!(refuse(LINUX, &cut).contains("cannot be read"));
}

#[test]
fn on_macos_it_is_the_deployment_target() {
    let facts = |parts: &[&[u8]]| {
        let image = MachO { macos: (12, 0), ..mach_o(MAC) };
        check(MAC, &macos_base_binary(MAC, VERSION, image, parts))
    };
    let library = |target| dylib(target, "@rpath/x.dylib", (13, 4), None);
    assert_eq!(facts(&[])["floor"], json!({"macos": "12.0"}));
    let with_library = facts(&[b"123", &library(MAC)]);
    assert_eq!(with_library["floor"], json!({"macos": "13.4"}));
    assert_eq!(with_library["parts"][1]["floor"], json!({"macos": "13.4"}));
    assert_eq!(with_library["parts"][2]["floor"], json!({"macos": "11.0"}));
    assert_eq!(facts(&[&library(Target::X86_64AppleDarwin)])["floor"], json!({"macos": "12.0"}));
}

/// Real files, measured by binutils too.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn it_is_what_readelf_says() {
    use encoderfile_registry::PlatformVersion;

    use crate::{Workshop, succeed};

    if !crate::installed("readelf") {
        return;
    }
    let target = Target::host().unwrap();
    // Its libraries are not ours to judge.
    for path in ["/bin/true", env!("CARGO_BIN_EXE_encoderfile-release")] {
        let listing = succeed(std::process::Command::new("readelf").arg("-VW").arg(path).env("LC_ALL", "C"));
        let needed = listing.split("Version needs section").nth(1).unwrap();
        let versions =
            needed.split("Name: GLIBC_").skip(1).map(|rest| rest.split_whitespace().next().unwrap());
        let newest = versions.map(|version| version.parse::<PlatformVersion>().unwrap()).max().unwrap();

        let workshop = Workshop::new();
        let mut check = workshop.tool(&["check", path, "--target", target.triple()]);
        if newest > PlatformVersion::new(2, 36) {
            let error = crate::refuse(4, &mut check);
            assert!(error.contains(&format!("needs glibc {newest},")), "{error}");
        } else {
            let facts: Value = serde_json::from_str(&succeed(&mut check)).unwrap();
            assert_eq!(facts["floor"]["glibc"], newest.to_string(), "{path}");
        }
    }
}
