//! Thousands of lines, one answer at a time, and readers that stop early.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::assemble::{answer, assemble, read_line, run, run_with_input, spawn, text};

fn lines(number: usize) -> String {
    let mut lines = String::new();
    for line in 0..number {
        writeln!(lines, "number {line} is a line of the text").unwrap();
    }
    lines
}

/// Peak resident memory of a process in KiB, its anonymous part.
fn anonymous_kib(status: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn results_stand_in_the_order_of_the_lines() {
    let file = assemble("sequence_classification");
    let path = file.write("lines.txt", lines(200).as_bytes());
    let output = run(file.command().args(["infer", "--input"]).arg(&path));
    let all = answer(&output);
    let all = all["results"].as_array().unwrap();
    assert_eq!(all.len(), 200);
    for number in [0, 7, 8, 101, 199] {
        let single = file.infer(&[&format!("number {number} is a line of the text")]);
        crate::assemble::assert_close(&all[number], &single["results"][0]);
    }
}

#[test]
fn a_file_gives_the_same_bytes_every_time() {
    let file = assemble("sequence_classification");
    let path = file.write("lines.txt", lines(100).as_bytes());
    let once = || run(file.command().args(["infer", "--input"]).arg(&path)).stdout;
    assert_eq!(once(), once());
}

#[test]
fn standard_input_by_default_and_by_name() {
    let file = assemble("sequence_classification");
    let expected = file.infer(&["a text"]);
    for arguments in [&["infer"][..], &["infer", "--input", "-"], &["infer", "-i-"]] {
        assert_eq!(answer(&run_with_input(file.command().args(arguments), b"a text\r\n")), expected);
    }
    let none = answer(&run_with_input(file.command().arg("infer"), b""));
    assert_eq!(none["results"], Value::Array(Vec::new()));
}

/// Writes one line, waits for its answer, writes the next: nothing may be held back.
#[test]
fn a_co_process_is_answered_line_by_line() {
    let file = assemble("sequence_classification");
    let mut command = file.command();
    command.args(["infer", "--format", "jsonl"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = spawn(&mut command);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    for number in 0..20 {
        writeln!(stdin, "line {number}").unwrap();
        stdin.flush().unwrap();
        let answer: Value = serde_json::from_str(&read_line(&mut stdout)).unwrap();
        assert_eq!(answer["logits"].as_array().unwrap().len(), 3);
    }
    drop(stdin);
    assert_eq!(read_line(&mut stdout), "");
    assert!(child.wait().unwrap().success());
}

/// 5,000 lines take as much memory as 500: measured while the process still runs, from its own account.
#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_number_of_lines() {
    let file = assemble("embedding");
    let peak_after = |number: usize| {
        let mut command = file.command();
        command.args(["infer", "--format", "jsonl"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn(&mut command);
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
        let status = std::thread::scope(|scope| {
            // The pipe stays open until the last answer was read.
            let (done, wait) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || {
                stdin.write_all(lines(number).as_bytes()).unwrap();
                wait.recv().unwrap();
            });
            for _ in 0..number {
                assert!(read_line(&mut stdout).starts_with('{'));
            }
            let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
            done.send(()).unwrap();
            status
        });
        assert!(child.wait().unwrap().success());
        anonymous_kib(&status)
    };
    let (few, many) = (peak_after(500), peak_after(5_000));
    assert!(many < few + 4096, "{few} KiB after 500 lines, {many} KiB after 5,000");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let file = assemble("embedding");
    for format in ["json", "jsonl"] {
        let mut command = file.command();
        command.args(["infer", "--format", format]);
        let mut child = spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()));
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || drop(stdin.write_all(lines(20_000).as_bytes())));
        let mut some = [0; 100];
        child.stdout.take().unwrap().read_exact(&mut some).unwrap();
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert_eq!(text(&output.stderr), "");
        assert!(output.status.success(), "{}", output.status);
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let file = assemble("embedding");
    let script = "exec \"$0\" infer 'some text' >/dev/full";
    let output = run(Command::new("sh").args(["-c", script]).arg(&file.path));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).starts_with("error: cannot write to standard output\n  cause: No space left"),
        "{output:?}"
    );
}
