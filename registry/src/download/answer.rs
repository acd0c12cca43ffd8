//! What a source answers when it is asked for a file, and whether asking again may help.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    HeaderMap, RANGE,
};
use reqwest::{Client, Response, StatusCode};
use url::Url;

use crate::download::connection::ConnectionError;
use crate::download::rate_limit::RateLimit;
use crate::error::{Error, Result};
use crate::source::Location;
use crate::source::token::Token;

const BUFFER: usize = 256 << 10;

/// How one try ended, if not well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The next try may succeed. The server may have said when.
    Passing { error: Box<Error>, pause: Option<Duration> },
    /// The bytes that are here do not fit what the server has: ask for all of them.
    Restart,
    /// The source does not have the file.
    Missing,
    /// No try will succeed.
    Final(Box<Error>),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(Box::new(error))
    }
}

/// What a source answers.
pub(crate) struct Answer {
    pub(crate) body: Body,
    pub(crate) place: Place,
    /// What is odd about it.
    pub(crate) note: Option<String>,
}

/// A file that is being read.
pub(crate) enum Body {
    Http(Box<Response>),
    File(File, PathBuf),
}

/// Asks a server for the file from `offset` on.
pub(crate) async fn open_url(
    client: &Client,
    location: &Location,
    url: &Url,
    token: Option<&Token>,
    offset: u64,
) -> Result<Answer, Failure> {
    let mut request = client.get(url.clone()).header(ACCEPT_ENCODING, "identity");
    if matches!(location, Location::Asset { .. }) {
        // Without it, the API answers with a description of the file.
        request = request.header(ACCEPT, "application/octet-stream");
    }
    // The client leaves it out again when it is redirected to another host.
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, token.authorization());
    }
    if offset > 0 {
        request = request.header(RANGE, format!("bytes={offset}-"));
    }
    let response = request.send().await.map_err(|error| network(location, error))?;
    let headers = response.headers();
    let place = match response.status() {
        StatusCode::OK => {
            Place { start: 0, total: header(headers, &CONTENT_LENGTH).and_then(|text| text.parse().ok()) }
        }
        StatusCode::PARTIAL_CONTENT if offset > 0 => {
            header(headers, &CONTENT_RANGE).and_then(Place::of_content_range).ok_or(Failure::Restart)?
        }
        // Ours is as long as the server's file, or longer, and still not the signed one.
        StatusCode::RANGE_NOT_SATISFIABLE if offset > 0 => return Err(Failure::Restart),
        StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Failure::Missing),
        status => {
            let authenticated = matches!(location, Location::Asset { .. }).then_some(token.is_some());
            return Err(refused(location, status, headers, authenticated));
        }
    };
    let note = oddity(headers);
    Ok(Answer { body: Body::Http(Box::new(response)), place, note })
}

/// Which part of the file an answer holds.
pub(crate) struct Place {
    pub(crate) start: u64,
    pub(crate) total: Option<u64>,
}

impl Place {
    /// `bytes 100-199/200` or `bytes 100-199/*`
    fn of_content_range(text: &str) -> Option<Self> {
        let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (start, _) = range.split_once('-')?;
        let total = if total == "*" { None } else { Some(total.parse().ok()?) };
        Some(Self { start: start.parse().ok()?, total })
    }
}

impl Body {
    /// The next bytes.
    pub(crate) async fn next(&mut self, location: &Location) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Http(response) => response.chunk().await.map_err(|error| network(location, error)),
            Self::File(file, path) => {
                // A copy can be interrupted like a download.
                tokio::task::yield_now().await;
                let mut chunk = vec![0; BUFFER];
                let count = file.read(&mut chunk).map_err(Error::io("read", path))?;
                chunk.truncate(count);
                Ok((count > 0).then(|| chunk.into()))
            }
        }
    }
}

/// Opens a file of a directory at `offset`.
pub(crate) fn open_file(path: PathBuf, offset: u64) -> Result<Answer, Failure> {
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Failure::Missing),
        Err(error) => return Err(Error::io("read", &path)(error).into()),
    };
    let metadata = file.metadata().map_err(Error::io("read", &path))?;
    if !metadata.is_file() {
        return Err(Error::io("read", &path)(io::Error::other("not a regular file")).into());
    }
    if offset > metadata.len() {
        return Err(Failure::Restart);
    }
    file.seek(SeekFrom::Start(offset)).map_err(Error::io("read", &path))?;
    let place = Place { start: offset, total: Some(metadata.len()) };
    Ok(Answer { body: Body::File(file, path), place, note: None })
}

/// Whether a broken connection may stand the next time.
pub(crate) fn network(location: impl Display, error: reqwest::Error) -> Failure {
    broken(location, ConnectionError::new(error))
}

/// The same, of what is known already.
pub(crate) fn broken(location: impl Display, source: ConnectionError) -> Failure {
    let passing = source.may_pass();
    let error = Box::new(Error::Network { location: location.to_string(), source });
    if passing { Failure::Passing { error, pause: None } } else { Failure::Final(error) }
}

/// Any answer that is neither the file nor "not found". `authenticated` is whether GitHub's API got a token.
pub(crate) fn refused(
    location: impl Display,
    status: StatusCode,
    headers: &HeaderMap,
    authenticated: Option<bool>,
) -> Failure {
    let RateLimit { retry_after: asked, is_exhausted, reset } = RateLimit::of(status, headers);
    let location = location.to_string();
    if is_exhausted && asked.is_none() {
        return Error::RateLimited { location, status, reset, authenticated }.into();
    }
    let detail = asked.map(|asked| format!(", try again in {} s", asked.as_secs())).unwrap_or_default();
    let error = Box::new(Error::Status { location, status, detail });
    let passing = match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::FORBIDDEN => asked.is_some(),
        status => status.is_server_error(),
    };
    if passing { Failure::Passing { error, pause: asked } } else { Failure::Final(error) }
}

/// What explains wrong bytes: a login page, or a helpful proxy.
fn oddity(headers: &HeaderMap) -> Option<String> {
    if let Some(encoding) = header(headers, &CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
        return Some(format!(
            "the server sent it with `Content-Encoding: {encoding}`, which was not asked for"
        ));
    }
    header(headers, &CONTENT_TYPE)
        .filter(|kind| kind.starts_with("text/html"))
        .map(|_| "the server answered with an HTML page, perhaps a login or an error page".to_owned())
}

fn header<'a>(headers: &'a HeaderMap, name: &reqwest::header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_range_says_where_the_bytes_belong() {
        let place = Place::of_content_range("bytes 100-199/200").unwrap();
        assert_eq!((place.start, place.total), (100, Some(200)));
        assert_eq!(Place::of_content_range("bytes 0-9/*").unwrap().total, None);
        for text in ["", "bytes", "bytes */200", "bytes a-b/c", "lines 1-2/3", "bytes 1-2"] {
            assert!(Place::of_content_range(text).is_none(), "{text}");
        }
    }
}
