//! What people see on standard error. It looks like what the command line `encoderfile` writes.

use std::fmt::{self, Display, Write as _};
use std::io::Write as _;

use anstyle::{AnsiColor, Style};

use crate::error::Error;

const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// A text without control characters: names come from models of strangers, and a terminal obeys escape sequences.
pub(crate) struct Printable<'a>(pub(crate) &'a str);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_debug())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Writes a warning. One that nobody can read is no reason to stop.
pub(crate) fn warning(message: impl Display) {
    let message = message.to_string();
    let _ = writeln!(anstream::stderr(), "{WARNING}warning{WARNING:#}: {}", Printable(&message));
}

/// Writes an error. Nothing is left to report to where standard error is closed.
pub(crate) fn error(error: &Error) {
    let _ = write!(anstream::stderr(), "{}", report(error));
}

/// What failed, then why, level by level, then what to do next.
fn report(error: &Error) -> String {
    let mut shown = error.to_string();
    let mut lines = vec![format!("{ERROR}error{ERROR:#}: {}", Printable(&shown))];
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let message = cause.to_string();
        // Libraries repeat their causes in their own text.
        if !shown.contains(&message) {
            // They also write more than one line.
            let cause: Vec<_> = message.trim().lines().map(|line| Printable(line).to_string()).collect();
            lines.push(format!("  cause: {}", cause.join("\n  ")));
        }
        shown = message;
        source = cause.source();
    }
    if let Error::NoCommand { usage, name, .. } = error {
        lines.push(format!("\n{usage}\n\nFor example: {name} infer \"some text\"\nMore: {name} --help"));
    }
    if let Some(hint) = error.hint() {
        lines.push(format!("{HINT}hint{HINT:#}: {}", Printable(&hint)));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn control_characters_are_escaped_and_nothing_else_is() {
        let text = Printable("a\u{1b}[31m\r\n\u{7f}\u{9b}\té 名 \"'\\").to_string();
        assert_eq!(text, "a\\u{1b}[31m\\r\\n\\u{7f}\\u{9b}\\té 名 \"'\\");
    }

    #[test]
    fn neither_a_message_nor_its_causes_reach_the_terminal_as_they_are() {
        let source = io::Error::other("one\u{1b}]0;\u{7}\ntwo\u{9b}");
        let text = report(&Error::InputOpen { path: PathBuf::from("f\u{1b}[2J\nhint: x"), source });
        let text = anstream::adapter::strip_str(&text).to_string();
        let expected =
            "error: cannot open `f\\u{1b}[2J\\nhint: x`\n  cause: one\\u{1b}]0;\\u{7}\n  two\\u{9b}\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_cause_that_was_told_already_is_left_out() {
        let reason = |text: &str| Error::Content {
            path: PathBuf::from("f"),
            kind: encoderfile_format::ArtifactKind::Tokenizer,
            source: text.into(),
        };
        let text = report(&reason("its tokenizer")) + &report(&reason("other"));
        let text = anstream::adapter::strip_str(&text).to_string();
        let first = "error: `f`: its tokenizer cannot be used\n";
        assert_eq!(text, format!("{first}{first}  cause: other\n"));
    }
}
