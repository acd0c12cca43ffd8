//! What must hold of an executable before others get it.

mod floor;
mod linkage;
mod macos;
mod real;

use std::fs;

use encoderfile_format::Stamp;
use encoderfile_registry::{Digest, Target};
use serde_json::Value;

use crate::executable::{self, Elf};
use crate::{VERSION, Workshop, base_binary, runtime};

const LINUX: Target = Target::X86_64LinuxGnu;
const ARM_LINUX: Target = Target::Aarch64LinuxGnu;
const MAC: Target = Target::Aarch64AppleDarwin;

/// Checks `bytes`, in which all must be in order, and returns the facts.
fn check(target: Target, bytes: &[u8]) -> Value {
    let workshop = Workshop::new();
    workshop.write("program", bytes);
    serde_json::from_str(&workshop.run(&["check", "program", "--target", target.triple()])).unwrap()
}

/// Checks `bytes`, which must be refused, and returns the message.
fn refuse(target: Target, bytes: &[u8]) -> String {
    let workshop = Workshop::new();
    workshop.write("program", bytes);
    workshop.refuse(4, &["check", "program", "--target", target.triple()])
}

#[test]
fn the_facts_are_a_document() {
    let bytes = runtime(LINUX, VERSION);
    let facts = check(LINUX, &bytes);
    let library = executable::onnxruntime(LINUX, "1.23.2");
    let offset = executable::for_target(LINUX, (2, 17)).len();
    let expected = serde_json::json!({
        "program": "encoderfile-runtime",
        "target": "x86_64-unknown-linux-gnu",
        "size": bytes.len(),
        "sha256": Digest::of(&bytes).to_string(),
        "container": "ELF",
        "architecture": "x86_64",
        "floor": {"glibc": "2.17"},
        "stamp": {
            "version": VERSION,
            "target": "x86_64-unknown-linux-gnu",
            "format_versions": [1],
            "onnxruntime_version": "1.23.2",
        },
        "onnxruntime": {
            "version": "1.23.2",
            "offset": offset,
            "size": library.len(),
            "sha256": Digest::of(&library).to_string(),
            "pin": null,
        },
        "macos": null,
        "parts": [
            {
                "kind": "executable",
                "offset": 0,
                "floor": {"glibc": "2.17"},
                "floor_symbols": ["memcpy@GLIBC_2.17"],
                "libraries": ["libc.so.6"],
            },
            {
                "kind": "library",
                "offset": offset,
                "floor": null,
                "floor_symbols": [],
                "libraries": ["libc.so.6"],
            },
        ],
    });
    assert_eq!(facts, expected);
}

#[test]
fn the_program_is_what_the_stamp_says() {
    let facts = check(ARM_LINUX, &executable::for_target(ARM_LINUX, (2, 17)));
    assert_eq!((&facts["program"], &facts["stamp"]), (&"encoderfile".into(), &Value::Null));
    assert_eq!(facts["architecture"], "aarch64");

    let workshop = Workshop::new();
    workshop.runtime("runtime", LINUX);
    workshop.write("cli", &executable::for_target(LINUX, (2, 17)));
    let refuse = |file, program| {
        workshop.refuse(4, &["check", file, "--target", LINUX.triple(), "--program", program])
    };
    let error = refuse("runtime", "encoderfile");
    assert!(error.starts_with("error: `runtime` is a base binary, not the command line\n"), "{error}");
    let error = refuse("cli", "encoderfile-runtime");
    assert!(error.contains("not an encoderfile runtime: it carries no stamp\n"), "{error}");
}

#[test]
fn another_platform_is_refused() {
    for other in Target::ALL.into_iter().filter(|other| *other != LINUX) {
        let error = refuse(LINUX, &runtime(other, VERSION));
        assert!(error.contains("says of itself that it is for another target\n"), "{error}");
        let error = refuse(LINUX, &executable::for_target(other, (2, 17)));
        assert!(error.contains("is not an executable for `x86_64-unknown-linux-gnu`\n"), "{error}");
    }
    // The stamp of one on the executable of another.
    let other = executable::for_target(ARM_LINUX, (2, 17));
    let error = refuse(LINUX, &base_binary(LINUX, VERSION, &[&other]));
    assert!(error.contains("but it is a ELF executable for aarch64\n"), "{error}");
    refuse(LINUX, b"#!/bin/sh\n");
    refuse(LINUX, b"");
    let error = Workshop::new().refuse(1, &["check", "absent", "--target", LINUX.triple()]);
    assert!(error.starts_with("error: cannot read `absent`\n"), "{error}");
}

#[test]
fn a_base_binary_that_lost_its_stamp_is_no_command_line() {
    let mut bytes = runtime(LINUX, VERSION);
    let at = bytes.windows(14).position(|window| window == b"ENCODERFILE-RT").unwrap();
    bytes[at] ^= 1;
    let error = refuse(LINUX, &bytes);
    let expected = "error: `program` holds a shared library, and is no base binary: it has no stamp\n";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn the_library_inside_is_the_one_that_is_said() {
    let executable = executable::for_target(LINUX, (2, 17));
    let stamp = |version: &str| {
        let stamp = Stamp {
            version: VERSION.to_owned(),
            target: LINUX.triple().to_owned(),
            format_versions: vec![1],
            onnxruntime_version: version.to_owned(),
        };
        stamp.encode()
    };
    let library = executable::onnxruntime(LINUX, "1.23.2");
    let error = refuse(LINUX, &[&executable[..], &library, &stamp("1.24.0")].concat());
    assert!(error.contains("  stamp:   1.24.0\n  library: 1.23.2\n"), "{error}");
    let error = refuse(LINUX, &[&executable[..], &stamp("1.23.2")].concat());
    assert!(error.contains("no library inside it names a version of ONNX Runtime\n"), "{error}");
    let error = refuse(LINUX, &[&executable[..], &library, &library, &stamp("1.23.2")].concat());
    assert!(error.contains("more than one library"), "{error}");
    // Other libraries are none of its business.
    let other = Elf::new(LINUX).defines("OTHER_1").build();
    let facts = check(LINUX, &[&executable[..], &other, &library, &stamp("1.23.2")].concat());
    assert_eq!(facts["parts"].as_array().unwrap().len(), 3);
    assert_eq!(facts["onnxruntime"]["offset"], executable.len() + other.len());
}

/// `pack` asks the same questions, of both programs.
#[test]
fn what_is_refused_is_not_packed() {
    let workshop = Workshop::new();
    let bad = Elf::new(LINUX).needs("memcpy", (2, 17)).library("libz.so.1").build();
    workshop.write("cli", &bad);
    workshop.write("good", &runtime(LINUX, VERSION));
    workshop.write("bad", &base_binary(LINUX, VERSION, &[&bad]));
    let notices = ["--third-party=NOTICES.md", "--cli-third-party=NOTICES.md"];
    for runtime in ["--runtime=good", "--runtime=bad"] {
        let arguments = ["pack", "--target", LINUX.triple(), runtime, "--cli=cli", "--out=dist"];
        let error = workshop.refuse(4, &[&arguments[..], &notices].concat());
        assert!(error.contains("  library: libz.so.1\n"), "{error}");
        assert!(!fs::exists(workshop.path("dist")).unwrap(), "nothing was written");
    }
}
