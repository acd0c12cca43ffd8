//! Getting a file from a source: bounded, hashed on the way, resumed, tried again.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, RANGE,
    RETRY_AFTER,
};
use reqwest::{Client, Response, StatusCode, redirect};
use semver::Version;
use url::Url;

use crate::error::{Error, Result};
use crate::index::ArchiveFile;
use crate::partial::Partial;
use crate::progress::Progress;
use crate::source::{Location, is_loopback};

const BUFFER: usize = 256 << 10;
const MAX_REDIRECTS: usize = 10;
/// A try that brought this much was not in vain: the count of failures begins again.
const WORTH_COUNTING: u64 = 1 << 20;
/// A server that wants a longer pause gets an error instead, which says how long.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// How patient a download is.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// Without a single byte.
    pub idle_timeout: Duration,
    /// How often a failure that may pass is tried again, without progress in between.
    pub retries: u32,
    /// Before the first new try; doubled each time, with jitter.
    pub backoff: Duration,
    /// What to tell the server.
    pub user_agent: String,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            retries: 3,
            backoff: Duration::from_millis(250),
            user_agent: concat!("encoderfile/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Downloads from URLs and copies from directories, by the same code.
#[derive(Debug)]
pub(crate) struct Downloader {
    config: NetworkConfig,
    /// Made at the first use: it reads the system's certificates.
    client: OnceLock<Client>,
}

/// A small file, and what is odd about the answer that it came in.
pub(crate) struct Small {
    pub(crate) bytes: Vec<u8>,
    pub(crate) note: Option<String>,
}

/// How one try ended, if not well.
enum Failure {
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
struct Answer {
    body: Body,
    place: Place,
    /// What is odd about it.
    note: Option<String>,
}

/// A file that is being read.
enum Body {
    Http(Box<Response>),
    File(File, PathBuf),
}

impl Downloader {
    pub(crate) fn new(config: NetworkConfig) -> Self {
        Self { config, client: OnceLock::new() }
    }

    /// Reads a whole file of at most `limit` bytes into memory; `None` where the source does not have it.
    pub(crate) async fn small(
        &self,
        location: &Location,
        limit: u64,
        progress: &dyn Progress,
    ) -> Result<Option<Small>> {
        let mut failures = 0;
        loop {
            let (error, pause) = match self.try_small(location, limit).await {
                Ok(small) => return Ok(Some(small)),
                Err(Failure::Missing) => return Ok(None),
                Err(Failure::Final(error)) => return Err(*error),
                Err(Failure::Passing { error, pause }) => (error, pause),
                Err(Failure::Restart) => continue,
            };
            failures += 1;
            self.pause(failures, *error, pause, progress).await?;
        }
    }

    async fn try_small(&self, location: &Location, limit: u64) -> Result<Small, Failure> {
        let Answer { mut body, note, .. } = self.open(location, 0).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next(location).await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > limit {
                let found = format!("more than {limit} bytes");
                let error =
                    Error::WrongLength { location: location.to_string(), expected: limit, found, note };
                return Err(error.into());
            }
        }
        Ok(Small { bytes, note })
    }

    /// Completes `partial` to the signed length and hash. A network failure leaves what is there for the next run; bytes
    /// that prove wrong are deleted.
    pub(crate) async fn complete(
        &self,
        location: &Location,
        archive: &ArchiveFile,
        version: &Version,
        mut partial: Partial,
        progress: &dyn Progress,
    ) -> Result<Partial> {
        let mut failures = 0;
        let mut furthest = partial.length();
        let mut leftover = partial.length() > 0;
        let mut note = None;
        loop {
            let result = if partial.length() == archive.size {
                // Complete already: a server would answer 416, for ever.
                Ok(())
            } else {
                self.try_complete(location, archive, &mut partial, &mut note, progress).await
            };
            let (error, pause) = match result {
                Ok(()) if partial.digest() == archive.sha256 => {
                    progress.downloaded();
                    return Ok(partial);
                }
                // The fault may be in what an earlier run left: once, start over.
                Ok(()) | Err(Failure::Restart) if leftover => {
                    leftover = false;
                    partial.clear()?;
                    continue;
                }
                Ok(()) | Err(Failure::Restart) => {
                    let found = partial.digest();
                    partial.remove()?;
                    let location = location.to_string();
                    return Err(Error::WrongBytes { location, expected: archive.sha256, found, note });
                }
                Err(Failure::Missing) => {
                    return Err(Error::NoSuchFile {
                        version: version.clone(),
                        location: location.to_string(),
                    });
                }
                Err(Failure::Final(error)) => {
                    if matches!(*error, Error::WrongLength { .. }) {
                        partial.remove()?;
                    }
                    return Err(*error);
                }
                Err(Failure::Passing { error, pause }) => (error, pause),
            };
            leftover = partial.length() > 0;
            // Measured from the furthest ever, so that a server that always breaks at one place cannot hold us.
            if partial.length() >= furthest.saturating_add(WORTH_COUNTING) {
                furthest = partial.length();
                failures = 0;
            }
            failures += 1;
            self.pause(failures, *error, pause, progress).await?;
        }
    }

    async fn try_complete(
        &self,
        location: &Location,
        archive: &ArchiveFile,
        partial: &mut Partial,
        note: &mut Option<String>,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let wrong_length = |found: String, note: &Option<String>| {
            let (location, note) = (location.to_string(), note.clone());
            Error::WrongLength { location, expected: archive.size, found, note }
        };
        let Answer { mut body, place, note: odd } = self.open(location, partial.length()).await?;
        *note = odd;
        match place {
            Place { start, total } if start == partial.length() => {
                if let Some(total) = total.filter(|total| *total != archive.size) {
                    // The rest of another file: only the whole of it can be judged.
                    if start > 0 {
                        return Err(Failure::Restart);
                    }
                    return Err(wrong_length(format!("{total} bytes"), note).into());
                }
            }
            // A server without ranges sends everything.
            Place { start: 0, .. } => partial.clear()?,
            Place { .. } => return Err(Failure::Restart),
        }
        progress.started(&archive.name, partial.length(), archive.size);
        while let Some(chunk) = body.next(location).await? {
            if partial.length() + chunk.len() as u64 > archive.size {
                return Err(wrong_length("more".to_owned(), note).into());
            }
            partial.append(&chunk)?;
            progress.advanced(partial.length());
        }
        if partial.length() < archive.size {
            let (received, expected) = (partial.length(), archive.size);
            let error = Error::Incomplete { location: location.to_string(), received, expected };
            return Err(Failure::Passing { error: Box::new(error), pause: None });
        }
        Ok(())
    }

    /// Waits before the next try, or gives up.
    async fn pause(
        &self,
        failures: u32,
        error: Error,
        asked: Option<Duration>,
        progress: &dyn Progress,
    ) -> Result<()> {
        if failures > self.config.retries || asked.is_some_and(|asked| asked > LONGEST_PAUSE) {
            return Err(error);
        }
        // Many clients that failed at one moment should not come back at one moment.
        let backoff = self.config.backoff.saturating_mul(1 << (failures - 1).min(10));
        let delay = asked.unwrap_or_else(|| backoff.mul_f64(0.5 + fastrand::f64() / 2.0).min(LONGEST_PAUSE));
        tracing::debug!(?error, ?delay, "trying again");
        progress.retrying(&error, delay);
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// Asks for the file from `offset` on. Says which part of it comes, and what is odd about the answer.
    async fn open(&self, location: &Location, offset: u64) -> Result<Answer, Failure> {
        match location {
            Location::Path(path) => open_file(path.clone(), offset),
            Location::Url { url, allow_http } => self.open_url(location, url, *allow_http, offset).await,
        }
    }

    async fn open_url(
        &self,
        location: &Location,
        url: &Url,
        allow_http: bool,
        offset: u64,
    ) -> Result<Answer, Failure> {
        let client = self.client(allow_http).map_err(|error| network(location, error))?;
        let mut request = client.get(url.clone()).header(ACCEPT_ENCODING, "identity");
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        tracing::debug!(%location, offset, "download");
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
            status => return Err(refused(location, status, headers)),
        };
        let note = oddity(headers);
        Ok(Answer { body: Body::Http(Box::new(response)), place, note })
    }

    fn client(&self, allow_http: bool) -> reqwest::Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // Fails only where the program has chosen a provider already, which is then used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(&self.config.user_agent)
            .connect_timeout(self.config.connect_timeout)
            .read_timeout(self.config.idle_timeout)
            .referer(false)
            .redirect(redirect::Policy::custom(move |attempt| follow(attempt, allow_http)))
            .build()?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// Which part of the file an answer holds.
struct Place {
    start: u64,
    total: Option<u64>,
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
    async fn next(&mut self, location: &Location) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Http(response) => response.chunk().await.map_err(|error| network(location, error)),
            Self::File(file, path) => {
                let mut chunk = vec![0; BUFFER];
                let count = file.read(&mut chunk).map_err(Error::io("read", path))?;
                chunk.truncate(count);
                Ok((count > 0).then(|| chunk.into()))
            }
        }
    }
}

fn open_file(path: PathBuf, offset: u64) -> Result<Answer, Failure> {
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

/// Never from HTTPS to plain HTTP, and to plain HTTP elsewhere only where that was allowed.
fn follow(attempt: redirect::Attempt<'_>, allow_http: bool) -> redirect::Action {
    if attempt.previous().len() > MAX_REDIRECTS {
        return attempt.error("too many redirects");
    }
    let from_http = attempt.previous().last().is_some_and(|url| url.scheme() == "http");
    match attempt.url().scheme() {
        "https" => attempt.follow(),
        "http" if from_http && (allow_http || is_loopback(attempt.url())) => attempt.follow(),
        _ => attempt.error("the server redirects to plain HTTP"),
    }
}

/// Whether a broken connection may stand the next time.
fn network(location: &Location, error: reqwest::Error) -> Failure {
    let passing = !error.is_builder() && !error.is_redirect() && !is_about_certificates(&error);
    // The URL after redirects may hold a signature that is a secret.
    let error = Box::new(Error::Network { location: location.to_string(), source: error.without_url() });
    if passing { Failure::Passing { error, pause: None } } else { Failure::Final(error) }
}

fn is_about_certificates(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match inner {
            Some(inner) if inner.is::<rustls::Error>() => return true,
            _ if error.is::<rustls::Error>() => return true,
            _ => {}
        }
        next = error.source();
    }
    false
}

/// Any answer that is neither the file nor "not found".
fn refused(location: &Location, status: StatusCode, headers: &HeaderMap) -> Failure {
    let asked = header(headers, &RETRY_AFTER).and_then(|text| pause_of(text, Timestamp::now()));
    let limited = matches!(status, StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS);
    let exhausted = limited && headers.get("x-ratelimit-remaining").is_some_and(|left| left == "0");
    let reset = headers.get("x-ratelimit-reset").and_then(|reset| reset.to_str().ok()?.parse().ok());
    let reset = reset.and_then(|seconds| Timestamp::from_second(seconds).ok()).filter(|_| exhausted);
    let detail = match (reset, asked) {
        (Some(reset), _) => format!(", its rate limit resets at {reset}"),
        (None, Some(asked)) => format!(", try again in {} s", asked.as_secs()),
        (None, None) => String::new(),
    };
    let error = Box::new(Error::Status { location: location.to_string(), status, detail });
    let passing = match status {
        StatusCode::REQUEST_TIMEOUT => true,
        StatusCode::TOO_MANY_REQUESTS => reset.is_none() || asked.is_some(),
        StatusCode::FORBIDDEN => asked.is_some(),
        status => status.is_server_error(),
    };
    if passing { Failure::Passing { error, pause: asked } } else { Failure::Final(error) }
}

/// `Retry-After`: seconds or a date (RFC 9110, 10.2.3).
fn pause_of(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
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

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let seconds = |text| pause_of(text, now).map(|pause| pause.as_secs());
        assert_eq!(seconds("7"), Some(7));
        assert_eq!(seconds("Thu, 01 Jan 2026 00:00:30 GMT"), Some(30));
        assert_eq!(seconds("Wed, 31 Dec 2025 00:00:00 GMT"), Some(0));
        assert_eq!(seconds("soon"), None);
    }
}
