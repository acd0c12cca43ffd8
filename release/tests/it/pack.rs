//! Archives.

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime};

use encoderfile_format::{Footer, Stamp};
use encoderfile_registry::{Digest, Target};

use crate::{VERSION, Workshop, executable, installed, runtime, succeed};

const TARGET: Target = Target::X86_64LinuxGnu;
const ARCHIVE: &str = "dist/encoderfile-runtime-x86_64-unknown-linux-gnu.tar.zst";

fn refuse_runtime(workshop: &Workshop, bytes: &[u8]) -> String {
    workshop.write("runtime", bytes);
    let arguments =
        ["pack", "--target", TARGET.triple(), "--runtime=runtime", "--third-party=NOTICES.md", "--out=dist"];
    let error = workshop.refuse(4, &arguments);
    assert!(!workshop.path("dist").exists(), "nothing was written");
    error
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let workshop = Workshop::new();
    workshop.pack(TARGET, true);
    let elsewhere = Workshop::new();
    elsewhere.runtime("runtime", TARGET);
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let file = fs::File::options().write(true).open(elsewhere.path("runtime")).unwrap();
    file.set_modified(old).unwrap();
    elsewhere.pack(TARGET, true);

    assert_eq!(workshop.names("dist"), elsewhere.names("dist"));
    for name in workshop.names("dist") {
        let path = format!("dist/{name}");
        assert_eq!(workshop.read(&path), elsewhere.read(&path), "{name}");
    }

    // Again over what is there.
    let before = workshop.read(ARCHIVE);
    workshop.pack(TARGET, false);
    assert_eq!(workshop.read(ARCHIVE), before);
}

#[test]
fn the_report_says_what_was_written() {
    let workshop = Workshop::new();
    workshop.runtime("runtime", TARGET);
    let report = workshop.run(&[
        "pack",
        "--target",
        TARGET.triple(),
        "--runtime=runtime",
        "--third-party=NOTICES.md",
        "--out=dist",
    ]);
    let bytes = workshop.read(ARCHIVE);
    let (size, sha256) = (bytes.len(), Digest::of(&bytes));
    assert_eq!(report, format!("{ARCHIVE}\n  size:   {size}\n  sha256: {sha256}\n"));
}

#[test]
fn archives_are_what_other_tools_expect() {
    let workshop = Workshop::new();
    workshop.pack(TARGET, true);
    if !(installed("tar") && installed("zstd")) {
        return;
    }
    succeed(Command::new("zstd").args(["--test", "--quiet"]).arg(workshop.path(ARCHIVE)));
    let list = |archive: &str| {
        let mut zstd = Command::new("zstd");
        let archive = workshop.path(archive);
        succeed(zstd.args(["-q", "-d", "-f"]).arg(&archive).arg("-o").arg(workshop.path("unpacked.tar")));
        let mut tar = Command::new("tar");
        let listing =
            succeed(tar.arg("-tvf").arg(workshop.path("unpacked.tar")).env("TZ", "UTC").env("LC_ALL", "C"));
        let words = listing.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        words.collect::<Vec<_>>()
    };
    let size = workshop.read("runtime").len();
    let license = include_str!("../../../LICENSE").len();
    let mut expected = [
        format!("-rwxr-xr-x 0/0 {size} 1970-01-01 00:00 encoderfile-runtime"),
        format!("-rw-r--r-- 0/0 {license} 1970-01-01 00:00 LICENSE"),
        "-rw-r--r-- 0/0 23 1970-01-01 00:00 THIRD_PARTY.md".to_owned(),
    ];
    // BSD's tar shows the owners and the date in another form.
    if cfg!(target_os = "linux") {
        assert_eq!(list(ARCHIVE), expected);
        let size = workshop.read("cli").len();
        expected[0] = format!("-rwxr-xr-x 0/0 {size} 1970-01-01 00:00 encoderfile");
        assert_eq!(list("dist/encoderfile-x86_64-unknown-linux-gnu.tar.zst"), expected);
    }
    list(ARCHIVE);
    fs::create_dir(workshop.path("unpacked")).unwrap();
    succeed(
        Command::new("tar")
            .arg("-xf")
            .arg(workshop.path("unpacked.tar"))
            .arg("-C")
            .arg(workshop.path("unpacked")),
    );
    assert_eq!(workshop.read("unpacked/encoderfile-runtime"), workshop.read("runtime"));
    assert_eq!(workshop.read("unpacked/THIRD_PARTY.md"), workshop.read("NOTICES.md"));
}

#[test]
fn source_date_epoch_is_the_time_of_every_member() {
    let workshop = Workshop::new();
    workshop.runtime("runtime", TARGET);
    let arguments =
        ["pack", "--target", TARGET.triple(), "--runtime=runtime", "--third-party=NOTICES.md", "--out=dist"];
    succeed(workshop.tool(&arguments).env("SOURCE_DATE_EPOCH", "1767323045"));
    let unpacked = zstd::decode_all(&workshop.read(ARCHIVE)[..]).unwrap();
    for entry in tar::Archive::new(&unpacked[..]).entries().unwrap() {
        assert_eq!(entry.unwrap().header().mtime().unwrap(), 1_767_323_045);
    }
    let error = crate::refuse(2, workshop.tool(&arguments).env("SOURCE_DATE_EPOCH", "yesterday"));
    assert!(error.starts_with("error: `SOURCE_DATE_EPOCH` is not a time: `yesterday`\n"), "{error}");
}

#[test]
fn the_window_is_one_that_every_decoder_accepts() {
    let workshop = Workshop::new();
    // Longer than the window, and different in every place.
    let mut bytes = runtime(TARGET, VERSION);
    let noise = (0..5_000_000u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes());
    bytes.splice(bytes.len() - 7.., noise);
    workshop.write("runtime", &bytes);
    workshop.run(&[
        "pack",
        "--level=4",
        "--target",
        TARGET.triple(),
        "--runtime=runtime",
        "--third-party=NOTICES.md",
        "--out=dist",
    ]);
    let archive = workshop.read(ARCHIVE);
    let mut decoder = zstd::Decoder::new(&archive[..]).unwrap();
    decoder.window_log_max(23).unwrap();
    std::io::copy(&mut decoder, &mut std::io::sink()).unwrap();
}

#[test]
fn what_is_no_base_binary_is_refused() {
    let workshop = Workshop::new();
    let error = refuse_runtime(&workshop, &executable::for_target(TARGET, (2, 17)));
    assert!(error.starts_with("error: `runtime` is not a base binary\n"), "{error}");
    assert!(error.contains("it carries no stamp"), "{error}");
    assert!(refuse_runtime(&workshop, b"#!/bin/sh\n").contains("not an ELF or Mach-O executable"));
    assert!(refuse_runtime(&workshop, b"").contains("not an ELF or Mach-O executable"));

    let error = workshop.refuse(
        4,
        &["pack", "--target", TARGET.triple(), "--runtime=/bin/ls", "--third-party=NOTICES.md", "--out=dist"],
    );
    assert!(error.starts_with("error: `/bin/ls` is not a base binary\n"), "{error}");
    let error = workshop.refuse(1, &["pack", "--target", TARGET.triple(), "--runtime=absent", "--out=dist"]);
    assert!(error.starts_with("error: cannot read `absent`\n"), "{error}");
}

#[test]
fn a_base_binary_of_another_target_is_refused() {
    let workshop = Workshop::new();
    for other in Target::ALL.into_iter().filter(|other| *other != TARGET) {
        let error = refuse_runtime(&workshop, &runtime(other, VERSION));
        assert!(error.contains("says of itself that it is for another target"), "{error}");
        assert!(error.contains("  expected: x86_64-unknown-linux-gnu\n"), "{error}");
        assert!(error.contains(&format!("  found:    {other}\n")), "{error}");
    }
}

#[test]
fn a_stamp_that_belongs_to_another_executable_is_refused() {
    let workshop = Workshop::new();
    let stamp = Stamp {
        version: VERSION.to_owned(),
        target: TARGET.triple().to_owned(),
        format_versions: vec![1],
        onnxruntime_version: "1.23.2".to_owned(),
    };
    let other = executable::for_target(Target::Aarch64LinuxGnu, (2, 17));
    let error = refuse_runtime(&workshop, &[other, stamp.encode()].concat());
    assert!(
        error.contains("it is stamped `x86_64-unknown-linux-gnu`, but it is a ELF executable for aarch64"),
        "{error}"
    );
}

#[test]
fn a_base_binary_that_holds_a_model_is_refused() {
    let workshop = Workshop::new();
    let mut bytes = runtime(TARGET, VERSION);
    let footer = Footer { manifest_offset: bytes.len() as u64, manifest_length: 0 };
    bytes.extend_from_slice(&footer.encode());
    let error = refuse_runtime(&workshop, &bytes);
    assert!(error.contains("it already holds a model"), "{error}");
}

#[test]
fn only_a_command_line_of_the_target_is_one() {
    let workshop = Workshop::new();
    workshop.runtime("runtime", TARGET);
    let refuse = |bytes: &[u8]| {
        workshop.write("cli", bytes);
        let arguments = ["pack", "--target", TARGET.triple(), "--runtime=runtime", "--cli=cli", "--out=dist"];
        let error = workshop.refuse(4, &arguments);
        assert!(!workshop.path("dist").exists(), "nothing was written");
        error
    };
    let error = refuse(&executable::for_target(Target::Aarch64LinuxGnu, (2, 17)));
    assert!(
        error.starts_with("error: `cli` is not an executable for `x86_64-unknown-linux-gnu`\n"),
        "{error}"
    );
    assert!(error.contains("  found: Elf Dynamic for Aarch64\n"), "{error}");
    refuse(&executable::for_target(Target::X86_64AppleDarwin, (2, 17)));
    refuse(b"#!/bin/sh\n");
    let error = refuse(&runtime(TARGET, VERSION));
    assert!(error.starts_with("error: `cli` is a base binary, not the command line\n"), "{error}");
}

#[test]
fn outside_of_a_workspace_the_options_that_are_missing_are_named() {
    let workshop = Workshop::new();
    workshop.runtime("runtime", TARGET);
    workshop.write("cli", &executable::for_target(TARGET, (2, 17)));
    let pack = ["pack", "--level=1", "--target", TARGET.triple(), "--runtime=runtime", "--out=dist"];
    let hint = |more: &[&str]| {
        let error = workshop.refuse(1, &[&pack[..], more].concat());
        assert!(!workshop.path("dist").exists(), "nothing was written");
        error.lines().find(|line| line.starts_with("hint: ")).unwrap().to_owned()
    };
    let (runtime, cli) = ("--third-party=NOTICES.md", "--cli-third-party=NOTICES.md");
    assert!(hint(&[]).ends_with(": `--third-party FILE`"));
    assert!(hint(&["--cli=cli"]).ends_with(": `--third-party FILE --cli-third-party FILE`"));
    assert!(hint(&["--cli=cli", cli]).ends_with(": `--third-party FILE`"));
    assert!(hint(&["--cli=cli", runtime]).ends_with(": `--cli-third-party FILE`"));
    workshop.run(&[&pack[..], &["--cli=cli", runtime, cli]].concat());
}
