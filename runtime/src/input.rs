//! The texts: from arguments, or one a line from a file or standard input.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;

use crate::cli;
use crate::error::Error;

/// Where a text comes from, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The n-th text on the command line, counted from 1.
    Argument(u64),
    /// A line of a file, counted from 1.
    Line { file: Arc<str>, line: u64 },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(number) => write!(f, "input {number}"),
            Self::Line { file, line } => write!(f, "{file}:{line}"),
        }
    }
}

/// A text to run the model on.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) place: Place,
    pub(crate) text: String,
}

/// All texts of a run, in their order.
pub(crate) struct Texts {
    source: Source,
    /// Found while a batch was collected, told after that batch.
    failure: Option<Error>,
}

enum Source {
    Arguments(std::vec::IntoIter<Text>),
    Lines {
        lines: Receiver<Result<Text, Error>>,
        /// Whether a batch waits until it is full: where lines are written by someone who may be waiting for the
        /// answer to the last one, it must not.
        waits: bool,
    },
}

impl Texts {
    /// Checks the arguments, or opens the file and starts to read it.
    pub(crate) fn open(options: &cli::Infer) -> Result<Self, Error> {
        let limit = options.max_text_bytes.get();
        let source = match options.input.as_deref() {
            Some(path) if path == Path::new("-") => standard_input(options)?,
            Some(path) => {
                let open = |source| Error::InputOpen { path: path.to_owned(), source };
                let file = File::open(path).map_err(open)?;
                let metadata = file.metadata().map_err(open)?;
                if metadata.is_dir() {
                    return Err(open(io::ErrorKind::IsADirectory.into()));
                }
                lines(file, path.display().to_string().into(), metadata.is_file(), options)?
            }
            None if options.texts.is_empty() => {
                if io::stdin().is_terminal() {
                    return Err(Error::NoText);
                }
                standard_input(options)?
            }
            None => {
                let argument = |(number, text): (u64, &OsString)| {
                    check(text.clone().into_vec(), Place::Argument(number), limit)
                };
                let texts = (1..).zip(&options.texts).map(argument).collect::<Result<Vec<_>, _>>()?;
                Source::Arguments(texts.into_iter())
            }
        };
        Ok(Self { source, failure: None })
    }

    /// The next texts, at most `size`; none at the end.
    pub(crate) fn next(&mut self, size: usize) -> Result<Vec<Text>, Error> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let (lines, waits) = match &mut self.source {
            Source::Arguments(texts) => return Ok(texts.take(size).collect()),
            Source::Lines { lines, waits } => (lines, *waits),
        };
        let mut batch = Vec::new();
        while batch.len() < size {
            let line = if waits || batch.is_empty() {
                lines.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                lines.try_recv()
            };
            match line {
                Ok(Ok(text)) => batch.push(text),
                Ok(Err(error)) if batch.is_empty() => return Err(error),
                Ok(Err(error)) => {
                    self.failure = Some(error);
                    break;
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        Ok(batch)
    }
}

fn standard_input(options: &cli::Infer) -> Result<Source, Error> {
    use std::os::fd::AsFd;
    let place = || Place::Line { file: "<stdin>".into(), line: 1 };
    let input = io::stdin().as_fd().try_clone_to_owned();
    let file = File::from(input.map_err(|source| Error::InputRead { place: place(), source })?);
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    lines(file, "<stdin>".into(), is_file, options)
}

/// Reads lines in a thread of their own, no further ahead than the next batches.
fn lines(file: File, name: Arc<str>, waits: bool, options: &cli::Infer) -> Result<Source, Error> {
    let limit = options.max_text_bytes.get();
    let (sender, lines) = mpsc::sync_channel(options.window());
    let first = Place::Line { file: Arc::clone(&name), line: 1 };
    let read = move || {
        let mut reader = BufReader::with_capacity(1 << 16, file);
        for line in 1.. {
            let place = Place::Line { file: Arc::clone(&name), line };
            let Some(text) = read_line(&mut reader, place, limit).transpose() else {
                break;
            };
            let is_last = text.is_err();
            // The other end is gone only when the run has failed already.
            if sender.send(text).is_err() || is_last {
                break;
            }
        }
    };
    let builder = thread::Builder::new().name("input".to_owned());
    builder.spawn(read).map_err(|source| Error::InputRead { place: first, source })?;
    Ok(Source::Lines { lines, waits })
}

/// Reads a line without its end (`\n` or `\r\n`), never more than `limit` and a few bytes of it. None at the end.
fn read_line(reader: &mut impl BufRead, place: Place, limit: usize) -> Result<Option<Text>, Error> {
    const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
    let mut bytes = Vec::new();
    let most = limit.saturating_add(BYTE_ORDER_MARK.len() + "\r\n".len());
    let mut limited = reader.take(most as u64);
    if let Err(source) = limited.read_until(b'\n', &mut bytes) {
        return Err(Error::InputRead { place, source });
    }
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    if matches!(place, Place::Line { line: 1, .. }) && bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    check(bytes, place, limit).map(Some)
}

/// Makes a text of bytes, if they are one.
fn check(bytes: Vec<u8>, place: Place, limit: usize) -> Result<Text, Error> {
    if bytes.len() > limit {
        return Err(Error::TextTooLong { place, limit });
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.trim().is_empty() => Err(Error::EmptyText { place }),
        Ok(text) => Ok(Text { place, text }),
        Err(error) => {
            let byte = error.utf8_error().valid_up_to();
            let value = error.as_bytes().get(byte).copied().unwrap_or_default();
            Err(Error::NotUtf8 { place, byte, value })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: u64) -> Place {
        Place::Line { file: "f".into(), line }
    }

    fn read_all(mut bytes: &[u8], limit: usize) -> Vec<Result<String, Error>> {
        let mut texts = Vec::new();
        for line in 1.. {
            match read_line(&mut bytes, place(line), limit) {
                Ok(Some(text)) => texts.push(Ok(text.text)),
                Ok(None) => break,
                Err(error) => {
                    texts.push(Err(error));
                    break;
                }
            }
        }
        texts
    }

    #[test]
    fn lines_end_in_any_of_the_usual_ways() {
        let texts: Vec<_> =
            read_all(b"\xef\xbb\xbfone\r\ntwo\n three \nlast", 100).into_iter().map(Result::unwrap).collect();
        assert_eq!(texts, ["one", "two", " three ", "last"]);
        assert!(read_all(b"", 100).is_empty());
    }

    #[test]
    fn a_line_as_long_as_the_limit_is_taken_and_one_byte_more_is_not() {
        for end in ["", "\n", "\r\n"] {
            for mark in ["", "\u{feff}"] {
                let line = format!("{mark}12345{end}");
                assert_eq!(*read_all(line.as_bytes(), 5)[0].as_ref().unwrap(), "12345");
                let error = read_all(line.as_bytes(), 4).pop().unwrap().unwrap_err();
                assert!(matches!(error, Error::TextTooLong { limit: 4, .. }), "{error}");
            }
        }
    }

    #[test]
    fn no_more_of_a_line_is_read_than_the_limit_allows() {
        let mut reader = BufReader::with_capacity(16, io::repeat(b'x'));
        let error = read_line(&mut reader, place(1), 1000).unwrap_err();
        assert!(matches!(error, Error::TextTooLong { .. }));
    }

    #[test]
    fn bad_lines_are_named() {
        let error = |bytes| read_all(bytes, 100).pop().unwrap().unwrap_err().to_string();
        assert_eq!(error(b"a\n\nb"), "f:2: empty text");
        assert_eq!(error(b"a\n \t\nb"), "f:2: empty text");
        assert_eq!(error(b"a\nb\ncaf\xe9\n"), "f:3: not UTF-8, byte 3 of the text is 0xe9");
    }

    #[test]
    fn texts_before_a_bad_one_come_first() {
        let (sender, lines) = mpsc::sync_channel(8);
        for text in ["a", "b"] {
            sender.send(Ok(Text { place: place(1), text: text.to_owned() })).unwrap();
        }
        sender.send(Err(Error::EmptyText { place: place(3) })).unwrap();
        drop(sender);
        let mut texts = Texts { source: Source::Lines { lines, waits: true }, failure: None };
        assert_eq!(texts.next(8).unwrap().len(), 2);
        assert!(matches!(texts.next(8), Err(Error::EmptyText { .. })));
        assert!(texts.next(8).unwrap().is_empty());
    }

    #[test]
    fn a_batch_of_a_pipe_does_not_wait_for_more() {
        let (sender, lines) = mpsc::sync_channel(8);
        sender.send(Ok(Text { place: place(1), text: "a".to_owned() })).unwrap();
        let mut texts = Texts { source: Source::Lines { lines, waits: false }, failure: None };
        assert_eq!(texts.next(8).unwrap().len(), 1);
        drop(sender);
    }
}
