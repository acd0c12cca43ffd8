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

/// The variables of README's table.
fn variables() -> Vec<&'static str> {
    let (_, table) = include_str!("../../../README.md").split_once("| variable |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let variables: Vec<_> =
        rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2)).collect();
    assert!(variables.contains(&"ENCODERFILE_CACHE_DIR") && variables.contains(&"GH_TOKEN"), "{variables:?}");
    variables
}

#[test]
fn every_option_of_every_page_is_described() {
    let sandbox = Sandbox::new();
    assert!(sandbox.bare_command().args(["man", "-o", "man1", "-q"]).status().unwrap().success());
    for page in fs::read_dir(sandbox.path("man1")).unwrap().map(|page| page.unwrap().path()) {
        let text = fs::read_to_string(&page).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let terms: Vec<_> = lines.windows(3).filter(|lines| lines[0] == ".TP").collect();
        assert!(terms.iter().any(|term| term[1].contains("\\-\\-allow\\-http")), "{}", page.display());
        for term in terms {
            assert!(!term[2].is_empty() && !term[2].starts_with('.'), "{}: {term:?}", page.display());
        }
        assert!(text.contains("[env: ENCODERFILE_CACHE_DIR]"), "{}", page.display());
        assert!(text.contains("[alias: \\-\\-offline]"), "{}", page.display());
    }
}

#[test]
fn the_manual_and_the_help_name_every_variable() {
    let sandbox = Sandbox::new();
    let said = |arguments: &[&str]| {
        String::from_utf8(sandbox.bare_command().args(arguments).output().unwrap().stdout).unwrap()
    };
    let page = said(&["man"]);
    let (_, environment) = page.split_once("\n.SH ENVIRONMENT\n").unwrap();
    let help = said(&["base", "--help"]);
    let (_, help) = help.split_once("\nEnvironment").unwrap();
    for variable in variables() {
        assert!(environment.contains(variable) && help.contains(variable), "{variable}");
    }
    assert_eq!(help.lines().find(|line| line.chars().count() > 80), None, "it would be wrapped");
    for section in ["FILES", "\"EXIT STATUS\""] {
        assert!(page.contains(&format!("\n.SH {section}\n")), "{section}");
    }
    assert!(!page.contains("\\-help(1)"), "there is no such page: {page}");
}
