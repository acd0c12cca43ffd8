//! What a server answers, and how it goes wrong on its way.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;

use crate::server::{Fault, Shared};

/// What a handler answers to a request. The length is added when it is sent.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers, without `Content-Length` and `Content-Range`.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub content: Content,
}

/// The body of a [`Reply`].
#[derive(Clone, Debug)]
pub enum Content {
    /// These bytes, whatever range was asked for.
    Bytes(Vec<u8>),
    /// A file, or the part of it that was asked for (then with status 206, or 416 where it is past the end); an empty
    /// 404 where there is no such file.
    File(PathBuf),
}

impl Reply {
    /// An answer without headers and body.
    pub fn empty(status: u16) -> Self {
        Self::bytes(status, Vec::new())
    }

    /// An answer with these bytes.
    pub fn bytes(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), content: Content::Bytes(body.into()) }
    }

    /// A file, with ranges.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { status: 200, headers: Vec::new(), content: Content::File(path.into()) }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

type Headers = Vec<(&'static str, String)>;

/// One answer, on a connection that closes after it.
pub(crate) struct Answer<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) stream: &'a TcpStream,
    /// The request's place in the list of requests.
    pub(crate) number: usize,
}

impl Answer<'_> {
    /// An answer whose length is right.
    pub(crate) fn whole(&mut self, status: u16, headers: Headers, body: &[u8]) -> std::io::Result<()> {
        self.head(status, headers, Some(body.len() as u64))?;
        self.body(body)
    }

    /// A reply, spoilt by `fault` where it has status 200.
    pub(crate) fn reply(
        &mut self,
        reply: Reply,
        range: Option<u64>,
        fault: Option<&Fault>,
    ) -> std::io::Result<()> {
        let Reply { status, headers, content } = reply;
        let (body, range) = match content {
            Content::Bytes(bytes) => (bytes, None),
            Content::File(path) => match std::fs::read(path) {
                Ok(bytes) => (bytes, range),
                Err(_) => return self.whole(404, Vec::new(), &[]),
            },
        };
        if status != 200 {
            return self.whole(status, headers, &body);
        }
        let size = body.len() as u64;
        match fault {
            Some(Fault::LongerLength(more)) => {
                self.head(200, headers, Some(size + more))?;
                self.body(&body)
            }
            Some(Fault::NoRanges) => self.whole(200, headers, &body),
            Some(Fault::WrongRange(start)) => self.part(headers, &body, Some(*start), None),
            Some(Fault::Endless) => {
                self.head(200, headers, None)?;
                loop {
                    self.body(&[7; 4096])?;
                }
            }
            Some(Fault::NoLength(bytes)) => {
                self.head(200, headers, None)?;
                self.body(first(&body, *bytes))
            }
            fault => self.part(headers, &body, range, fault),
        }
    }

    /// As a server should, up to the point where `fault` strikes.
    fn part(
        &mut self,
        mut headers: Headers,
        body: &[u8],
        range: Option<u64>,
        fault: Option<&Fault>,
    ) -> std::io::Result<()> {
        let size = body.len() as u64;
        let start = range.unwrap_or(0);
        if start >= size && range.is_some() {
            return self.whole(416, vec![("Content-Range", format!("bytes */{size}"))], &[]);
        }
        let rest = &body[usize::try_from(start).unwrap_or(body.len())..];
        if range.is_some() {
            headers.push(("Content-Range", format!("bytes {start}-{}/{size}", size - 1)));
        }
        self.head(if range.is_some() { 206 } else { 200 }, headers, Some(rest.len() as u64))?;
        match fault {
            Some(Fault::CutAfter(bytes)) => self.body(first(rest, *bytes)),
            Some(Fault::StallAfter(bytes)) => {
                self.body(first(rest, *bytes))?;
                self.shared.wait_while(|state| !state.stopped);
                Ok(())
            }
            _ => self.body(rest),
        }
    }

    fn head(&mut self, status: u16, mut headers: Headers, length: Option<u64>) -> std::io::Result<()> {
        headers.extend(length.map(|length| ("Content-Length", length.to_string())));
        let headers: String = headers.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
        write!(self.stream, "HTTP/1.1 {status} Status\r\nConnection: close\r\n{headers}\r\n")
    }

    fn body(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        // Before they are sent: who has all bytes must find them counted.
        self.shared.lock().requests[self.number].sent += bytes.len() as u64;
        self.stream.write_all(bytes)
    }
}

fn first(bytes: &[u8], count: u64) -> &[u8] {
    &bytes[..usize::try_from(count).map_or(bytes.len(), |count| count.min(bytes.len()))]
}
