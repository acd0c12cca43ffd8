//! Renewing the pins of ONNX Runtime, out of a folder of small wheels that pip takes for its index.

use std::fs;
use std::io::{Cursor, Write as _};
use std::process::Command;

use encoderfile_registry::{Digest, ObjectFormat, Target};

use crate::{Workshop, executable, refuse, succeed};

const VERSION: &str = "1.99.0";
const COMMAND: [&str; 4] = ["pin-onnxruntime", "--version", VERSION, "--file=pins.toml"];

/// The platform in a wheel's name, and the one that is pinned.
const PLATFORMS: [(Target, &str, &str); 4] = [
    (Target::X86_64LinuxGnu, "manylinux_2_28_x86_64.manylinux_2_34_x86_64", "manylinux_2_28_x86_64"),
    (Target::Aarch64LinuxGnu, "manylinux_2_28_aarch64", "manylinux_2_28_aarch64"),
    (Target::X86_64AppleDarwin, "macosx_13_0_x86_64", "macosx_13_0_x86_64"),
    (Target::Aarch64AppleDarwin, "macosx_14_0_arm64", "macosx_14_0_arm64"),
];

fn library_name(target: Target) -> String {
    match target.object_format() {
        ObjectFormat::Elf => format!("onnxruntime/capi/libonnxruntime.so.{VERSION}"),
        ObjectFormat::MachO => format!("onnxruntime/capi/libonnxruntime.{VERSION}.dylib"),
    }
}

/// Puts a wheel with `library` into the index, and returns its name and its bytes.
fn wheel(workshop: &Workshop, target: Target, platform: &str, library: &[u8]) -> (String, Vec<u8>) {
    let name = format!("onnxruntime-{VERSION}-cp311-cp311-{platform}.whl");
    let information = format!("onnxruntime-{VERSION}.dist-info");
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let metadata = format!("Metadata-Version: 2.1\nName: onnxruntime\nVersion: {VERSION}\n");
    let tags = format!("Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp311-cp311-{platform}\n");
    let members = [
        (library_name(target), library),
        (format!("{information}/METADATA"), metadata.as_bytes()),
        (format!("{information}/WHEEL"), tags.as_bytes()),
        (format!("{information}/RECORD"), b""),
    ];
    for (name, bytes) in members {
        archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    let bytes = archive.finish().unwrap().into_inner();
    fs::create_dir_all(workshop.path("wheels")).unwrap();
    workshop.write(&format!("wheels/{name}"), &bytes);
    (name, bytes)
}

/// A workshop with the wheels of all targets and a copy of the pins; None, with a word about it, without pip.
fn prepared() -> Option<Workshop> {
    if !Command::new("python3")
        .args(["-m", "pip", "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
    {
        eprintln!("pip: not installed, so nothing is fetched with it");
        return None;
    }
    let workshop = Workshop::new();
    workshop.write("pins.toml", include_bytes!("../../onnxruntime.toml"));
    for (target, platform, _) in PLATFORMS {
        wheel(&workshop, target, platform, &executable::onnxruntime(target, VERSION));
    }
    Some(workshop)
}

fn tool(workshop: &Workshop) -> Command {
    let mut command = workshop.tool(&COMMAND);
    // Nothing of the user's own, and no index on any network.
    command.env("PIP_CONFIG_FILE", "/dev/null").env("PIP_NO_INDEX", "1").env("PIP_NO_CACHE_DIR", "1");
    command.env("PIP_FIND_LINKS", workshop.path("wheels"));
    command
}

#[test]
fn the_pins_are_renewed_and_everything_else_stays() {
    let Some(workshop) = prepared() else { return };
    let report = succeed(&mut tool(&workshop));
    assert!(report.contains("  version\n    before: 1.23.2\n    now:    1.99.0\n"), "{report}");
    let before = include_str!("../../onnxruntime.toml");
    let after = String::from_utf8(workshop.read("pins.toml")).unwrap();
    let pins: toml::Table = after.parse().unwrap();
    assert_eq!((pins["version"].as_str(), pins["python"].as_str()), (Some(VERSION), Some("3.11")));
    for (target, platform, pinned) in PLATFORMS {
        let library = executable::onnxruntime(target, VERSION);
        let (name, bytes) = wheel(&workshop, target, platform, &library);
        let pin = &pins["target"][target.triple()];
        assert_eq!(pin["platform"].as_str(), Some(pinned));
        assert_eq!(pin["wheel"].as_str(), Some(name.as_str()));
        assert_eq!(pin["wheel_sha256"].as_str(), Some(Digest::of(&bytes).to_string().as_str()));
        assert_eq!(pin["library"].as_str(), Some(library_name(target).as_str()));
        assert_eq!(pin["library_sha256"].as_str(), Some(Digest::of(&library).to_string().as_str()));
    }
    // Comments, order and blank lines are those that were there.
    let others = |text: &str| {
        let lines = text.lines().filter(|line| line.starts_with(['#', '[']) || line.is_empty());
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(others(&after), others(before));
    assert_eq!(after.lines().count(), before.lines().count());

    // Again: not a byte is other.
    let report = succeed(&mut tool(&workshop));
    assert_eq!(report, "pins.toml: nothing has changed\n");
    assert_eq!(String::from_utf8(workshop.read("pins.toml")).unwrap(), after);
}

#[test]
fn one_target_without_a_library_leaves_all_as_it_was() {
    let Some(workshop) = prepared() else { return };
    let before = workshop.read("pins.toml");
    let refused = |expected: &str| {
        let error = refuse(1, &mut tool(&workshop));
        assert!(error.contains(expected), "{error}");
        assert_eq!(workshop.read("pins.toml"), before);
    };
    let (target, platform, _) = PLATFORMS[2];
    // Another version inside, another platform inside, no library at all, no wheel at all.
    let (name, _) = wheel(&workshop, target, platform, &executable::onnxruntime(target, "1.98.0"));
    refused("  found: 1.98.0\n");
    wheel(&workshop, target, platform, &executable::onnxruntime(Target::X86_64LinuxGnu, VERSION));
    refused("is not for this target\n");
    wheel(&workshop, Target::X86_64LinuxGnu, platform, b"");
    refused("holds no ONNX Runtime library\n");
    fs::remove_file(workshop.path(format!("wheels/{name}"))).unwrap();
    refused("error: cannot pin ONNX Runtime 1.99.0 for `x86_64-apple-darwin`\n");
    refused("pip found no wheel\n");
}
