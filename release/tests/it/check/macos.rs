//! What executables for macOS are linked with, their signatures, and whether a model can be put into them.

use encoderfile_registry::Target;
use encoderfile_testing::mach_o::{MachO, SignatureOptions};
use serde_json::{Value, json};

use super::{MAC, check, refuse};
use crate::executable::{dylib, mach_o};
use crate::{VERSION, macos_base_binary};

const INTEL: Target = Target::X86_64AppleDarwin;

fn loading(library: &str) -> Vec<u8> {
    MachO { libraries: vec![library.to_owned()], ..mach_o(MAC) }.build()
}

#[test]
fn libraries_that_not_every_system_has_are_refused_by_name() {
    let framework = "/System/Library/Frameworks/CoreML.framework/Versions/A/CoreML";
    let facts = check(MAC, &loading(framework));
    assert_eq!(facts["parts"][0]["libraries"], json!(["/usr/lib/libSystem.B.dylib", framework]));
    assert_eq!((&facts["container"], &facts["architecture"]), (&json!("Mach-O"), &json!("aarch64")));
    for library in [
        "/opt/homebrew/lib/libssl.3.dylib",
        "@rpath/libonnxruntime.1.23.2.dylib",
        "/System/Library/Frameworks/../../../opt/lib/x.dylib",
    ] {
        let error = refuse(MAC, &loading(library));
        assert!(error.contains(&format!("  library: {library}\n")), "{error}");
    }
}

#[test]
fn search_paths_and_executable_stacks_are_refused() {
    let searching = MachO { search_paths: vec!["@loader_path".to_owned()], ..mach_o(MAC) };
    let error = refuse(MAC, &searching.build());
    assert!(error.contains("  path:  @loader_path\n"), "{error}");
    let error = refuse(MAC, &MachO { flags: 0x20000, ..mach_o(MAC) }.build());
    assert!(error.contains("asks for an executable stack\n"), "{error}");
    // As the pinned libraries have it.
    let library = |path| dylib(MAC, "@rpath/x.dylib", (11, 0), Some(path));
    check(MAC, &macos_base_binary(MAC, VERSION, mach_o(MAC), &[&library("@loader_path")]));
    let error = refuse(MAC, &macos_base_binary(MAC, VERSION, mach_o(MAC), &[&library("/opt/lib")]));
    assert!(error.contains("  path:  /opt/lib\n"), "{error}");
}

#[test]
fn a_base_binary_has_room_for_a_model() {
    let base = |header_pad| macos_base_binary(MAC, VERSION, MachO { header_pad, ..mach_o(MAC) }, &[]);
    let facts = check(MAC, &base(0x400));
    assert_eq!(facts["macos"]["header_room"], 0x400);
    let error = refuse(MAC, &base(8));
    assert!(error.starts_with("error: no model can be put into `program`\n"), "{error}");
    assert!(error.contains("hint: link it with `-Wl,-headerpad,0x1000`\n"), "{error}");
    // The command line gets no model.
    check(MAC, &MachO { header_pad: 8, ..mach_o(MAC) }.build());
}

#[test]
fn a_signature_that_does_not_hold_is_refused() {
    for program in [mach_o(MAC).build(), macos_base_binary(MAC, VERSION, mach_o(MAC), &[])] {
        let facts = check(MAC, &program);
        assert_eq!(facts["macos"]["signature"]["ad_hoc"], true);
        let mut bad = program;
        // In the text segment, behind whatever else is looked at.
        let middle = bad.windows(8).rposition(|window| window == [0xc3; 8]).unwrap();
        bad[middle] ^= 1;
        let error = refuse(MAC, &bad);
        assert!(error.starts_with("error: the code signature of `program` does not hold\n"), "{error}");
        assert!(error.contains("hint: sign it again with `codesign"), "{error}");
    }
}

#[test]
fn only_intels_processors_run_what_is_not_signed() {
    let unsigned = |target| MachO { signature: None, ..mach_o(target) }.build();
    assert_eq!(check(INTEL, &unsigned(INTEL))["macos"]["signature"], Value::Null);
    let error = refuse(MAC, &unsigned(MAC));
    assert!(error.starts_with("error: the code signature of `program` does not hold\n"), "{error}");
    let signature = Some(SignatureOptions::default());
    let signed = check(INTEL, &MachO { signature, ..mach_o(INTEL) }.build());
    assert!(signed["macos"]["signature"]["identifier"].is_string(), "{signed}");
}
