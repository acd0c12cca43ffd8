//! What `--help` shows.

use crate::sandbox::{Said, Sandbox};

#[test]
fn help_of_every_command() {
    let sandbox = Sandbox::new();
    let commands = [
        "",
        "build",
        "inspect",
        "verify",
        "extract",
        "diff",
        "base",
        "base list",
        "base fetch",
        "base path",
        "base verify",
        "base remove",
        "base prune",
        "base export",
        "base import",
        "base dir",
        "base size",
        "completions",
        "man",
    ];
    for command in commands {
        let arguments = command.split_whitespace().chain(["--help"]);
        let help = Said::from(sandbox.bare_command().args(arguments).output().unwrap()).ok().stdout;
        let (_, examples) = help.split_once("Examples:").unwrap_or_default();
        let long = examples.lines().find(|line| line.chars().count() > 80);
        assert_eq!(long, None, "it would be wrapped on most terminals");
        insta::assert_snapshot!(format!("help {command}").trim().replace(' ', "_"), help);
    }
}

#[test]
fn no_command_shows_the_help_and_is_a_usage_error() {
    let said = Said::from(Sandbox::new().bare_command().output().unwrap());
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("Usage: encoderfile"), "{said:?}");
}

#[test]
fn version_is_the_workspaces() {
    let said = Said::from(Sandbox::new().bare_command().arg("--version").output().unwrap()).ok();
    assert_eq!(said.stdout, format!("encoderfile {}\n", env!("CARGO_PKG_VERSION")));
}
