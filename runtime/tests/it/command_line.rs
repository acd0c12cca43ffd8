//! What people see: help, version, usage errors, a base binary without a model.

use std::process::Command;

use crate::assemble::{assemble, assert_fails, base_binary, run, text};

#[test]
fn a_base_binary_says_what_it_is() {
    let expected = format!(
        "error: this is a base binary of Encoderfile, version {}: no model is appended to it\n\
         hint: `encoderfile build MODEL_DIR` makes one file of it and a model\n",
        env!("CARGO_PKG_VERSION")
    );
    for arguments in [&[][..], &["infer", "text"], &["infer"]] {
        let output = run(Command::new(base_binary()).args(arguments));
        assert_fails(&output, 3, &expected);
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn the_version_names_target_and_onnx_runtime() {
    let file = assemble("embedding");
    for mut command in [Command::new(base_binary()), file.command()] {
        let output = run(command.arg("--version"));
        let stdout = text(&output.stdout);
        let lines: Vec<_> = stdout.lines().collect();
        assert_eq!(lines[0], concat!("encoderfile-runtime ", env!("CARGO_PKG_VERSION")));
        assert!(lines[1].starts_with("target ") && lines[1].contains(std::env::consts::ARCH), "{stdout}");
        assert!(lines[2].starts_with("ONNX Runtime 1."), "{stdout}");
        assert!(output.status.success() && output.stderr.is_empty());
    }
}

#[test]
fn the_stamp_is_found_in_the_executable() {
    let stamp = encoderfile_format::Stamp::find(&std::fs::read(base_binary()).unwrap()).unwrap();
    assert_eq!(stamp.version, env!("CARGO_PKG_VERSION"));
    assert!(stamp.format_versions.contains(&encoderfile_format::FORMAT_VERSION));
}

#[test]
fn without_a_command_it_names_its_model() {
    let output = run(&mut assemble("embedding").command());
    assert_fails(
        &output,
        2,
        "error: `embedding 1.0 (embedding)` needs a command\n\
         \n\
         Usage: model.encoderfile [COMMAND]\n\
         \n\
         For example: model.encoderfile infer \"some text\"\n\
         More: model.encoderfile --help\n",
    );
}

#[test]
fn help_describes_the_results() {
    let output = run(Command::new(base_binary()).args(["infer", "--help"]));
    let help = text(&output.stdout);
    for part in [
        "--input",
        "--format",
        "--batch-size",
        "--max-text-bytes",
        "start and end count characters",
        "truncated",
    ] {
        assert!(help.contains(part), "{part} is not in:\n{help}");
    }
    assert!(!help.contains("--weights"), "meant for measurements only");
    assert!(output.status.success());
}

#[test]
fn numbers_are_bounded() {
    let file = assemble("embedding");
    for (option, value, reason) in [
        ("--threads", "257", "it must be at most 256"),
        ("--threads", "0", "it must be at least 1"),
        ("--batch-size", "1025", "it must be at most 1024"),
        ("--batch-size", "0", "it must be at least 1"),
        ("--max-text-bytes", "0", "it must be at least 1"),
    ] {
        let output = run(file.command().args(["infer", option, value, "x"]));
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.starts_with(&format!("error: invalid value '{value}' for '{option} <")), "{stderr}");
        assert!(stderr.contains(&format!(">': {reason}\n")), "{stderr}");
    }
}

#[test]
fn a_text_without_a_command_gets_a_tip() {
    assert_fails(
        &run(assemble("embedding").command().arg("hello")),
        2,
        "error: unrecognized subcommand 'hello'\n\
         \n  \
         tip: to run the model on a text: model.encoderfile infer \"hello\"\n\
         \n\
         Usage: model.encoderfile [COMMAND]\n\
         \n\
         For more information, try '--help'.\n",
    );
}

#[test]
fn wrong_usage_is_refused_before_anything_is_loaded() {
    let file = assemble("embedding");
    for arguments in [
        &["infer", "--batch-size", "0", "x"][..],
        &["infer", "--format", "xml", "x"],
        &["infer", "x", "--input", "f"],
        &["serve?"],
    ] {
        let output = run(file.command().args(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).starts_with("error: "), "{arguments:?}");
    }
}
