//! Texts that cannot be used, each with the error that names it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use serde_json::Value;

use crate::assemble::{assemble, assert_fails, results, run, run_with_input, text};

#[test]
fn an_argument_is_named_by_its_number() {
    let file = assemble("embedding");
    assert_fails(
        &run(file.command().args(["infer", "one", ""])),
        1,
        "error: input 2: empty text\nhint: leave it out\n",
    );
    assert_fails(
        &run(file.command().args(["infer", "one"]).arg(OsStr::from_bytes(b"caf\xe9"))),
        1,
        "error: input 2: not UTF-8, byte 3 of the text is 0xe9\nhint: convert it, for example with `iconv -t UTF-8`\n",
    );
    assert_fails(
        &run(file.command().args(["infer", "--max-text-bytes", "3", "one", "three"])),
        1,
        "error: input 2: text is longer than 3 bytes\n\
         hint: split the text, or raise the limit with `--max-text-bytes`\n",
    );
}

#[test]
fn a_line_is_named_by_its_file_and_number() {
    let file = assemble("embedding");
    let check = |bytes: &[u8], expected: &str| {
        let path = file.write("lines.txt", bytes);
        let output = run(file.command().args(["infer", "--input"]).arg(&path));
        assert_fails(&output, 1, &format!("error: {}:{expected}", path.display()));
    };
    check(b"one\n\nthree\n", "2: empty text\nhint: leave empty lines out\n");
    check(
        b"one\ntwo\nth\xffree\n",
        "3: not UTF-8, byte 2 of the text is 0xff\nhint: convert it, for example with `iconv -t UTF-8`\n",
    );
    let mut long = b"short\n".to_vec();
    long.resize(10 << 20, b'x');
    check(
        &long,
        "2: text is longer than 1048576 bytes\n\
         hint: split the text, or raise the limit with `--max-text-bytes`\n",
    );
    let output = run_with_input(file.command().arg("infer"), b"\n");
    assert_fails(&output, 1, "error: <stdin>:1: empty text\nhint: leave empty lines out\n");
}

#[test]
fn answers_before_a_bad_line_are_written() {
    let file = assemble("sequence_classification");
    let output = run_with_input(file.command().args(["infer", "--format", "jsonl"]), b"one\ntwo\n\nfour\n");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout).lines().count(), 2);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let file = assemble("embedding");
    assert_fails(
        &run(file.command().args(["infer", "--input", "/nonexistent/lines"])),
        1,
        "error: cannot open `/nonexistent/lines`\n  cause: No such file or directory (os error 2)\n",
    );
    assert_fails(
        &run(file.command().args(["infer", "--input", "/"])),
        1,
        "error: cannot open `/`\n  cause: is a directory\n",
    );
}

#[test]
fn a_truncated_text_is_reported_and_marked() {
    let file = assemble("sentence_embedding");
    let long = "one two three ".repeat(40);
    let output = run(file.command().args(["infer", "short", &long]));
    assert_eq!(text(&output.stderr), "warning: input 2: 122 tokens, truncated to 32\n");
    let results = results(&output);
    assert_eq!(results[0].get("truncated"), None);
    assert_eq!(results[1]["truncated"], true);
}

#[test]
fn many_truncated_texts_are_counted() {
    let file = assemble("sentence_embedding");
    let long = "one two three ".repeat(40);
    let lines = format!("{long}\n").repeat(9);
    let output = run_with_input(file.command().args(["infer", "--format", "jsonl"]), lines.as_bytes());
    let warnings: Vec<_> = text(&output.stderr).lines().collect();
    assert_eq!(warnings.len(), 6);
    assert_eq!(warnings[0], "warning: <stdin>:1: 122 tokens, truncated to 32");
    assert_eq!(warnings[5], "warning: 4 more texts were truncated");
    let all_marked = |line| serde_json::from_str::<Value>(line).unwrap()["truncated"] == true;
    assert!(text(&output.stdout).lines().all(all_marked));
}

/// One megabyte without a space, then a kilobyte of each kind of character: nothing of it may take the process down.
#[test]
fn strange_texts_get_an_answer() {
    let file = assemble("embedding");
    let texts = [
        "x".repeat(1 << 20),
        "\u{0}".repeat(3) + "a",
        "\u{301}\u{200d}\u{feff}".to_owned(),
        "👩‍👩‍👧‍👧".repeat(1000),
        "[CLS] [SEP] [PAD] [UNK] [MASK]".to_owned(),
        "\u{10ffff}\u{fffd}".to_owned(),
    ];
    let output = run_with_input(file.command().arg("infer"), texts.join("\n").as_bytes());
    assert_eq!(results(&output).len(), texts.len(), "{}", text(&output.stderr));
}
