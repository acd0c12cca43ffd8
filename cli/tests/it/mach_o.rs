//! Files for macOS, built on any machine: the model is in the executable, whose new signature covers it.

use std::fs::{self, File};

use encoderfile_format::{Base, Encoderfile, FORMAT_VERSION, Payload, Stamp, Tool, write};
use encoderfile_testing::mach_o::{Fixups, MachO, Processor, SignatureOptions, violations};

use crate::sandbox::{Said, Sandbox, VERSION, flip};

/// A Mach-O executable with the stamp of a base binary, of which no byte is ever run.
fn image(processor: Processor) -> MachO {
    let processor_name = match processor {
        Processor::Arm64 => "aarch64",
        Processor::X86_64 => "x86_64",
    };
    let stamp = Stamp {
        version: VERSION.to_owned(),
        target: format!("{processor_name}-apple-darwin"),
        format_versions: vec![FORMAT_VERSION],
        onnxruntime_version: "1.23.2".to_owned(),
    };
    MachO { content: stamp.encode(), ..MachO::new(processor, Fixups::ChainedWithoutRoom) }
}

/// A sandbox with a model, and a base binary called `base`.
fn sandbox(image: &MachO) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.model("sentence_embedding");
    fs::write(sandbox.path("base"), image.build()).unwrap();
    sandbox
}

fn build(sandbox: &Sandbox) -> Said {
    sandbox.run(["build", "model", "-o", "out", "--base-binary-path", "base"])
}

/// bun#39758, bun#32159: a Mach-O file with data behind its signature is killed when it starts.
#[test]
fn a_file_for_macos_is_signed_and_can_be_taken_apart() {
    for processor in [Processor::Arm64, Processor::X86_64] {
        let sandbox = sandbox(&image(processor));
        let said = build(&sandbox).ok();
        assert!(!said.stderr.contains("warning"), "{}", said.stderr);
        let bytes = fs::read(sandbox.path("out")).unwrap();
        assert_eq!(violations(&bytes), [""; 0]);

        sandbox.run(["verify", "out"]).ok();
        sandbox.run(["extract", "out", "-o", "parts"]).ok();
        let base = fs::read(sandbox.path("base")).unwrap();
        assert!(fs::read(sandbox.path("parts/encoderfile-runtime")).unwrap() == base);
        sandbox.run(["build", "-f", "parts/encoderfile.yml", "--no-check", "-o", "again"]).ok();
        assert!(fs::read(sandbox.path("again")).unwrap() == bytes, "built again, it is the same");
        sandbox.run(["rebase", "out", "--base-binary-path", "base", "-o", "rebased"]).ok();
        assert!(fs::read(sandbox.path("rebased")).unwrap() == bytes);
        sandbox
            .run(["build", "model", "-o", "second", "--base-binary-path", "out"])
            .failed(1, &["cannot use `out` as a base binary", "it already holds a model"]);
    }
}

#[test]
fn what_was_changed_is_told() {
    let sandbox = sandbox(&image(Processor::Arm64));
    build(&sandbox).ok();
    let base = fs::metadata(sandbox.path("base")).unwrap().len();
    let report = sandbox.run(["inspect", "--json", "out"]).ok().json();
    assert_eq!(report["base"]["length"], base);
    assert_eq!(report["base"]["changed"]["segment"]["offset"], report["manifest"]["offset"]);
    let signature = &report["base"]["changed"]["code_signature"];
    assert_eq!(signature["identifier"], "encoderfile-runtime-test");
    assert_eq!(signature["ad_hoc"], true);
    assert_eq!(report["needs"]["macos"], "13.0");
    // The image is put together for these tests, and may change with them.
    let filters =
        [("sha256 [0-9a-f]{64}", "sha256 [sha256]"), (r"\b\d+ bytes", "[size]"), (r"[0-9.]+ kB", "[size]")];
    let (inspected, verified) = (sandbox.run(["inspect", "out"]).ok(), sandbox.run(["verify", "out"]).ok());
    insta::with_settings!({filters => filters}, {
        insta::assert_snapshot!("mach_o_inspect", inspected.stdout);
        insta::assert_snapshot!("mach_o_verify", verified.stdout);
    });
}

#[test]
fn a_page_that_is_not_what_was_signed_is_found() {
    let sandbox = sandbox(&image(Processor::Arm64));
    build(&sandbox).ok();
    let report = sandbox.run(["inspect", "--json", "out"]).ok().json();
    let weights =
        report["artifacts"].as_array().unwrap().iter().find(|part| part["kind"] == "weights").unwrap();
    let offset = weights["offset"].as_u64().unwrap();
    flip(&sandbox.path("out"), usize::try_from(offset).unwrap());
    let said = sandbox.run(["verify", "out"]).failed(4, &["is damaged: weights, code signature"]);
    let page = offset / 0x4000;
    assert!(said.stdout.contains(&format!("page {page} ")), "{}", said.stdout);
    let report = sandbox.run(["verify", "--json", "out"]).json();
    let lines = report["parts"].as_array().unwrap();
    let line = lines.iter().find(|line| line["part"] == "code signature").unwrap();
    assert_eq!(line["result"], "damaged");
}

#[test]
fn a_base_binary_that_takes_no_model_is_refused_with_the_way_out() {
    let usual = image(Processor::Arm64);
    let identity = SignatureOptions { identity: Some(b"somebody".to_vec()), ..SignatureOptions::default() };
    let cases = [
        (
            MachO { header_pad: 64, ..usual.clone() }.build(),
            "there are 64 free bytes behind its load commands, and 72 are needed",
            "hint: link it with more room",
        ),
        (
            [&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2], &usual.build()[..]].concat(),
            "a universal file for several processors",
            "lipo -thin arm64",
        ),
        (
            MachO { signature: Some(identity), ..usual }.build(),
            "it is signed as `encoderfile-runtime-test` with an identity",
            "hint: take one that is signed ad hoc",
        ),
    ];
    for (base, reason, hint) in cases {
        let sandbox = Sandbox::new();
        sandbox.model("sentence_embedding");
        fs::write(sandbox.path("base"), base).unwrap();
        let message = "cannot use `base` as a base binary";
        build(&sandbox).failed(1, &[message, reason, hint]);
        assert!(!sandbox.path("out").exists());
    }
}

/// As encoderfile 0.7 writes files for macOS, which macOS 27 does not start.
#[test]
fn a_model_behind_the_signature_is_told_with_the_way_out() {
    let image = image(Processor::Arm64);
    let sandbox = sandbox(&image);
    build(&sandbox).ok();
    // Behind bytes that are no Mach-O file, which become one.
    let (file, path) =
        (Encoderfile::open(File::open(sandbox.path("out")).unwrap()).unwrap(), sandbox.path("junk"));
    let image = image.build();
    fs::write(&path, vec![0; image.len()]).unwrap();
    let base = File::open(&path).unwrap();
    let base = Base {
        path: &path,
        file: &base,
        target: "aarch64-apple-darwin".to_owned(),
        version: VERSION.to_owned(),
        key_id: None,
        expected: None,
    };
    let writer = Tool { name: "test".to_owned(), version: "1".to_owned() };
    let payload = Payload::of(&file, &sandbox.path("out"), writer, false).unwrap();
    write(&base, &payload, &sandbox.path("behind")).unwrap().persist().unwrap();
    let mut bytes = fs::read(sandbox.path("behind")).unwrap();
    bytes[..image.len()].copy_from_slice(&image);
    fs::write(sandbox.path("behind"), &bytes).unwrap();

    let said = sandbox.run(["inspect", "behind"]).ok();
    assert!(said.stdout.contains("signature   does not cover the model"), "{}", said.stdout);
    let said = sandbox.run(["verify", "behind"]);
    for part in ["it does not cover the model", "that macOS starts it", "hint: ", "`encoderfile rebase`"] {
        assert!(said.stdout.contains(part), "{part}: {}", said.stdout);
    }
    sandbox.run(["rebase", "behind", "--base-binary-path", "base", "-o", "out", "--no-check"]).ok();
    let said = sandbox.run(["verify", "out"]).ok();
    assert!(said.stdout.contains("the code signature covers all of these bytes"), "{}", said.stdout);
}

/// A file that was signed again has no footer at its end.
#[test]
fn the_footer_that_is_signed_is_enough() {
    let sandbox = sandbox(&image(Processor::Arm64));
    build(&sandbox).ok();
    let mut bytes = fs::read(sandbox.path("out")).unwrap();
    let end = bytes.len();
    bytes[end - 32..].fill(0);
    fs::write(sandbox.path("signed"), &bytes).unwrap();
    sandbox.run(["verify", "signed"]).ok();
    bytes[end - 32..end - 24].copy_from_slice(b"ENCFILE\0");
    fs::write(sandbox.path("forged"), &bytes).unwrap();
    sandbox.run(["verify", "forged"]).failed(4, &["is not the one that is signed"]);
}
