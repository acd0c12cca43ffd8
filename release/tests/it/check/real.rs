//! Executables of real compilers.

use std::fs;
use std::process::Command;

use encoderfile_registry::Target;
use serde_json::{Value, json};

use super::{LINUX, MAC};
use crate::{Workshop, installed, succeed};

/// Compiles C in the workshop. False, with a word about it, where there is no compiler.
fn compile(workshop: &Workshop, arguments: &[&str]) -> bool {
    if !(cfg!(target_os = "linux") && installed("cc")) {
        return false;
    }
    succeed(Command::new("cc").args(arguments).current_dir(workshop.path("")));
    true
}

fn refuse(workshop: &Workshop, file: &str) -> String {
    let target = Target::host().unwrap();
    workshop.refuse(4, &["check", file, "--target", target.triple()])
}

#[test]
fn the_runtime_of_this_workspace_holds_the_pinned_library() {
    let runtime = encoderfile_testing::build_executable("encoderfile-runtime");
    let workshop = Workshop::new();
    let host = Target::host().unwrap();
    let facts = workshop.run(&["check", runtime.to_str().unwrap(), "--target", host.triple()]);
    let facts: Value = serde_json::from_str(&facts).unwrap();
    assert_eq!(facts["program"], "encoderfile-runtime");
    // Somebody's own library is none of the pinned ones.
    if std::env::var_os("ENCODERFILE_ONNXRUNTIME_LIB").is_none() {
        let pins = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/onnxruntime.toml")).unwrap();
        let pins: toml::Table = pins.parse().unwrap();
        let pin = &pins["target"][host.triple()];
        let expected = json!({
            "version": pins["version"].as_str(),
            "target": host.triple(),
            "wheel": pin["wheel"].as_str(),
            "library": pin["library"].as_str(),
        });
        assert_eq!(facts["onnxruntime"]["pin"], expected);
        assert_eq!(facts["onnxruntime"]["sha256"], pin["library_sha256"].as_str().unwrap());
    }
}

#[test]
fn a_shared_library_of_ones_own_is_refused() {
    let workshop = Workshop::new();
    workshop.write("own.c", b"int own(void) { return 3; }");
    workshop.write("main.c", b"int own(void); int main(void) { return own(); }");
    if !compile(&workshop, &["-shared", "-fPIC", "-o", "libown.so", "own.c"]) {
        return;
    }
    compile(&workshop, &["-o", "linked", "main.c", "-L.", "-lown"]);
    assert!(refuse(&workshop, "linked").contains("  library: libown.so\n"));
    compile(&workshop, &["-o", "found", "main.c", "own.c", "-Wl,-rpath,/opt/lib"]);
    assert!(refuse(&workshop, "found").contains("  path:  /opt/lib\n"));
    compile(&workshop, &["-o", "stack", "main.c", "own.c", "-Wl,-z,execstack"]);
    assert!(refuse(&workshop, "stack").contains("asks for an executable stack\n"));
    compile(&workshop, &["-o", "good", "main.c", "own.c"]);
    workshop.run(&["check", "good", "--target", Target::host().unwrap().triple()]);
}

/// The linker sees a C library of a later glibc, as it does on a newer distribution.
#[test]
fn a_symbol_of_a_later_glibc_is_refused() {
    let workshop = Workshop::new();
    workshop.write(
        "libc.c",
        b"long __isoc23_strtol(const char *s, char **e, int b) { return 0; }\nvoid __libc_start_main(void) {}",
    );
    workshop.write("libc.map", b"GLIBC_2.34 { __libc_start_main; }; GLIBC_2.38 { __isoc23_strtol; };");
    workshop.write(
        "main.c",
        b"long __isoc23_strtol(const char *, char **, int);\n\
          int main(int n, char **v) { return (int)__isoc23_strtol(v[0], 0, 10); }",
    );
    let library = ["-shared", "-fPIC", "-nostdlib", "-Wl,-soname,libc.so.6", "-Wl,--version-script=libc.map"];
    if !compile(&workshop, &[&library[..], &["-o", "later.so", "libc.c"]].concat()) {
        return;
    }
    compile(&workshop, &["-o", "new", "main.c", "./later.so"]);
    let error = refuse(&workshop, "new");
    assert!(error.contains("needs glibc 2.38, newer than 2.36\n"), "{error}");
    assert!(error.contains("  symbol: __isoc23_strtol@GLIBC_2.38\n"), "{error}");
}

#[test]
fn a_real_executable_of_another_processor_is_refused() {
    let workshop = Workshop::new();
    let host = Target::host().unwrap();
    let other = if host == LINUX { MAC } else { LINUX };
    let tool = env!("CARGO_BIN_EXE_encoderfile-release");
    let error = workshop.refuse(4, &["check", tool, "--target", other.triple()]);
    assert!(error.contains(&format!("is not an executable for `{other}`\n")), "{error}");
}
