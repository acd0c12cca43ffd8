//! What executables for macOS are linked with, and the room that a model needs in them.

use serde_json::json;

use super::{MAC, check, refuse};
use crate::executable::MachO;
use crate::{VERSION, base_binary};

#[test]
fn libraries_that_not_every_system_has_are_refused_by_name() {
    let framework = "/System/Library/Frameworks/CoreML.framework/Versions/A/CoreML";
    let good = MachO::executable(MAC).library_at("/usr/lib/libc++.1.dylib").library_at(framework).build();
    let facts = check(MAC, &good);
    let libraries = json!(["/usr/lib/libSystem.B.dylib", "/usr/lib/libc++.1.dylib", framework]);
    assert_eq!(facts["parts"][0]["libraries"], libraries);
    assert_eq!((&facts["container"], &facts["architecture"]), (&json!("Mach-O"), &json!("aarch64")));
    for library in [
        "/opt/homebrew/lib/libssl.3.dylib",
        "@rpath/libonnxruntime.1.23.2.dylib",
        "/System/Library/Frameworks/../../../opt/lib/x.dylib",
    ] {
        let error = refuse(MAC, &MachO::executable(MAC).library_at(library).build());
        assert!(error.contains(&format!("  library: {library}\n")), "{error}");
    }
}

#[test]
fn search_paths_and_executable_stacks_are_refused() {
    let error = refuse(MAC, &MachO::executable(MAC).search_path("@loader_path").build());
    assert!(error.contains("  path:  @loader_path\n"), "{error}");
    let error = refuse(MAC, &MachO::executable(MAC).flags(0x20000).build());
    assert!(error.contains("asks for an executable stack\n"), "{error}");
    // As the pinned libraries have it.
    let library = MachO::library(MAC, "@rpath/x.dylib").search_path("@loader_path").build();
    check(MAC, &base_binary(MAC, VERSION, &[&MachO::executable(MAC).build(), &library]));
}

#[test]
fn a_model_needs_room_behind_the_load_commands() {
    assert_eq!(check(MAC, &MachO::executable(MAC).room(88).build())["header_room"], 88);
    let error = refuse(MAC, &MachO::executable(MAC).room(87).build());
    assert!(
        error.contains("it has 87 bytes of room behind its load commands, and a model needs 88\n"),
        "{error}"
    );
    assert!(error.contains("hint: link it with `-Wl,-headerpad,0x1000`\n"), "{error}");
    // A library inside gets no model.
    let library = MachO::library(MAC, "@rpath/x.dylib").room(0).build();
    check(MAC, &base_binary(MAC, VERSION, &[&MachO::executable(MAC).build(), &library]));
}
