//! Completions and manual pages.

use std::fs;

use crate::sandbox::Sandbox;
use crate::shelf::TARGETS;

#[test]
fn completions_know_the_target_triples() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = sandbox.bare_command().args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(script.stdout).unwrap();
        assert!(script.contains("runtime-version") && script.contains("completions"), "{shell}");
        if ["bash", "zsh", "fish"].contains(&shell) {
            assert!(TARGETS.iter().all(|triple| script.contains(triple)), "{shell}");
        }
    }
}

#[test]
fn a_triple_that_is_none_still_gets_its_advice() {
    let sandbox = Sandbox::new();
    for command in [&["base", "fetch"][..], &["base", "list"], &["base", "path"], &["base", "remove"]] {
        let output = sandbox.bare_command().args(command).args(["--target", "linux/arm64"]).output().unwrap();
        let said = crate::sandbox::Said::from(output);
        said.failed(3, &["unknown target `linux/arm64`", "did you mean `aarch64-unknown-linux-gnu`?"]);
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let sandbox = Sandbox::new();
    let page = sandbox.bare_command().arg("man").output().unwrap().stdout;
    assert!(String::from_utf8(page).unwrap().contains(".TH encoderfile 1"));
    assert!(sandbox.bare_command().args(["man", "-o", "man1", "-q"]).status().unwrap().success());
    let pages = fs::read_dir(sandbox.path("man1")).unwrap();
    let mut pages: Vec<_> = pages.map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    pages.sort();
    assert!(pages.contains(&"encoderfile-base-fetch.1".to_owned()), "{pages:?}");
    let fetch = fs::read_to_string(sandbox.path("man1/encoderfile-base-fetch.1")).unwrap();
    assert!(TARGETS.iter().all(|triple| fetch.contains(&triple.replace('-', "\\-"))), "{fetch}");
}
