//! Runs a new file once, before it takes its name.

use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What the model is asked: one text, any language.
const TEXT: &str = "Hello, world!";
/// How often a start is tried again while another process still holds the new file open for writing: a process that
/// forks elsewhere inherits the handle for a moment (rust-lang/rust#114554).
const BUSY_TRIES: u32 = 20;

/// Why the new file is not good.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrialError {
    #[error("the new file cannot be started")]
    Start(#[source] io::Error),
    #[error("the new file does not answer: {status}\n{}", indent(stderr))]
    Failed { status: ExitStatus, stderr: String },
    #[error("the new file's answer is not JSON")]
    Answer(#[source] serde_json::Error),
}

fn indent(text: &str) -> String {
    let lines: Vec<_> = text.lines().take(20).map(|line| format!("  | {line}")).collect();
    lines.join("\n")
}

/// Asks for one answer and returns how long it took.
pub(crate) fn run(file: &Path) -> Result<Duration, TrialError> {
    let start = Instant::now();
    let output = answer(file).map_err(TrialError::Start)?;
    let elapsed = start.elapsed();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(TrialError::Failed { status: output.status, stderr });
    }
    serde_json::from_slice::<serde_json::Value>(&output.stdout).map_err(TrialError::Answer)?;
    Ok(elapsed)
}

fn answer(file: &Path) -> io::Result<std::process::Output> {
    let mut tries = 0;
    loop {
        let mut command = Command::new(file);
        // A pipe that is closed at once: a bare root file system has no /dev/null.
        command.args(["infer", "--format", "jsonl", TEXT]).stdin(Stdio::piped());
        match command.output() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES => {
                tries += 1;
                thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
}
