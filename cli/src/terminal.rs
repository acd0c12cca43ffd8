//! What people see: status lines on standard error, results on standard output.

use std::fmt::Display;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::args::{Color, Global};
use crate::error::Error;

const VERB: Style = AnsiColor::Green.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// How much is said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    quiet: bool,
    verbose: bool,
    /// Whether progress bars may be drawn; they are hidden by themselves where standard error is no terminal.
    pub(crate) progress: bool,
}

impl Terminal {
    pub(crate) fn new(global: &Global) -> Self {
        match global.color {
            Color::Auto => {}
            Color::Always => colorchoice::ColorChoice::Always.write_global(),
            Color::Never => colorchoice::ColorChoice::Never.write_global(),
        }
        Self { quiet: global.quiet, verbose: global.verbose, progress: !global.quiet && !global.no_progress }
    }

    /// A line such as `   Wrote minilm.encoderfile`.
    pub(crate) fn status(self, verb: &str, message: impl Display) {
        if !self.quiet {
            // Nobody to tell is no reason to stop.
            let _ = writeln!(anstream::stderr(), "{VERB}{verb:>9}{VERB:#} {message}");
        }
    }

    /// A status line for those who asked for the whole story.
    pub(crate) fn detail(self, verb: &str, message: impl Display) {
        if self.verbose {
            self.status(verb, message);
        }
    }

    pub(crate) fn warning(self, message: impl Display) {
        if !self.quiet {
            let _ = writeln!(anstream::stderr(), "{WARNING}warning{WARNING:#}: {message}");
        }
    }
}

/// Writes a result. A reader that went away (`| head`) is not a fault.
pub(crate) fn result(text: impl Display) -> Result<(), Error> {
    let mut out = anstream::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Stdout(error)),
        _ => Ok(()),
    }
}

/// Writes a result that is no text, such as a bundle or a script.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Stdout(error)),
        _ => Ok(()),
    }
}

/// Writes a result as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Error> {
    result(serde_json::to_string_pretty(value).expect("maps have string keys"))
}

/// Writes an error: what failed, then why, level by level, then what to do next.
pub(crate) fn error(error: &Error) {
    let mut lines = vec![format!("{ERROR}error{ERROR:#}: {error}")];
    let mut shown = error.to_string();
    let mut source = error.cause();
    while let Some(cause) = source {
        let message = cause.to_string();
        // Libraries repeat their causes in their own text.
        if !shown.contains(&message) {
            lines.push(format!("  cause: {}", message.trim_end().replace('\n', "\n  ")));
        }
        shown = message;
        source = cause.source();
    }
    if let Some(hint) = error.hint() {
        lines.push(format!("{HINT}hint{HINT:#}: {hint}"));
    }
    let _ = writeln!(anstream::stderr(), "{}", lines.join("\n"));
}

/// A text of somebody else's, with nothing in it that a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() || is_invisible(letter) {
            printable.extend(letter.escape_default());
        } else {
            printable.push(letter);
        }
    }
    printable
}

/// Whether a letter only changes how others are shown: their order, or their line.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A size for people, such as `90.4 MB`.
pub(crate) fn size(bytes: u64) -> String {
    humansize::format_size(bytes, humansize::DECIMAL.decimal_places(1))
}
