//! What executables for Linux are linked with.

use serde_json::json;

use super::{LINUX, check, refuse};
use crate::executable::{DT_RUNPATH, Elf};
use crate::{VERSION, base_binary};

fn good() -> Elf {
    Elf::new(LINUX).needs("memcpy", (2, 17))
}

#[test]
fn libraries_that_not_every_system_has_are_refused_by_name() {
    let usual = ["libgcc_s.so.1", "libstdc++.so.6", "ld-linux-x86-64.so.2", "libm.so.6"];
    let executable = usual.iter().fold(good(), |elf, library| elf.library(library)).build();
    let facts = check(LINUX, &executable);
    assert_eq!(facts["parts"][0]["libraries"], json!([&["libc.so.6"][..], &usual].concat()));

    let bad = good().library("libz.so.1").library("libssl.so.3").build();
    let error = refuse(LINUX, &bad);
    let expected = "error: `program` is linked with what others do not have\n  library: libz.so.1\n  \
                    library: libssl.so.3\n  cause:   the executable itself needs libraries that not every system has\n";
    assert!(error.starts_with(expected), "{error}");
    // One inside is loaded too.
    let error = refuse(LINUX, &base_binary(LINUX, VERSION, &[&good().build(), &bad]));
    assert!(error.contains("the library embedded at byte "), "{error}");
    assert!(error.contains("  library: libz.so.1\n"), "{error}");
}

#[test]
fn search_paths_are_refused() {
    const DT_RPATH: u64 = 15;
    for tag in [DT_RPATH, DT_RUNPATH] {
        let error = refuse(LINUX, &good().dynamic(tag, "/home/me/lib").build());
        assert!(error.contains("  path:  /home/me/lib\n"), "{error}");
        // What lies beside the executable is anybody's.
        refuse(LINUX, &good().dynamic(tag, "$ORIGIN").build());
    }
    // A library that is loaded out of an executable has nothing beside it, and the pinned ones look there.
    let embedded =
        |path| base_binary(LINUX, VERSION, &[&good().build(), &good().dynamic(DT_RUNPATH, path).build()]);
    check(LINUX, &embedded("$ORIGIN"));
    refuse(LINUX, &embedded("$ORIGIN/../lib"));
}

#[test]
fn executable_stacks_are_refused() {
    for stack in [Some(7), None] {
        let error = refuse(LINUX, &good().stack(stack).build());
        assert!(error.contains("the executable itself asks for an executable stack\n"), "{error}");
        let library = good().stack(stack).build();
        let error = refuse(LINUX, &base_binary(LINUX, VERSION, &[&good().build(), &library]));
        assert!(error.contains("the library embedded at byte "), "{error}");
    }
}
