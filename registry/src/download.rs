//! Getting a file from a source: bounded, hashed on the way, resumed, tried again.

pub(crate) mod answer;
pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod partial;
pub(crate) mod rate_limit;

use std::fmt::Display;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::Client;
use semver::Version;

use crate::download::answer::{Answer, Failure, Place, network, open_file, open_url};
use crate::download::client::{NetworkConfig, client};
use crate::download::partial::Partial;
use crate::error::{Error, Result};
use crate::index::ArchiveFile;
use crate::progress::Progress;
use crate::source::Location;

/// A try that brought this much was not in vain: the count of failures begins again.
const WORTH_COUNTING: u64 = 1 << 20;
/// A server that wants a longer pause gets an error instead, which says how long.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Downloads from URLs and copies from directories, by the same code.
#[derive(Debug)]
pub(crate) struct Downloader {
    config: NetworkConfig,
    /// Made at the first use, since it reads the system's certificates: without and with leave to use plain HTTP.
    clients: [OnceLock<Client>; 2],
}

/// A small file, and what is odd about the answer that it came in.
pub(crate) struct Small {
    pub(crate) bytes: Vec<u8>,
    pub(crate) note: Option<String>,
}

impl Small {
    /// Whether it is a web page in the place of a file.
    pub(crate) fn is_page(&self) -> bool {
        self.bytes.trim_ascii_start().starts_with(b"<")
    }
}

impl Downloader {
    pub(crate) fn new(config: NetworkConfig) -> Self {
        Self { config, clients: Default::default() }
    }

    /// Reads a whole file of at most `limit` bytes into memory; `None` where the source does not have it.
    pub(crate) async fn small(
        &self,
        location: &Location,
        limit: u64,
        progress: &dyn Progress,
    ) -> Result<Option<Small>> {
        self.persist(progress, || self.try_small(location, limit)).await
    }

    /// Tries again what may pass; `None` where what was asked for is not there.
    pub(crate) async fn persist<T>(
        &self,
        progress: &dyn Progress,
        attempt: impl AsyncFn() -> Result<T, Failure>,
    ) -> Result<Option<T>> {
        let mut failures = 0;
        loop {
            let (error, pause) = match attempt().await {
                Ok(result) => return Ok(Some(result)),
                // Nothing was asked for in parts, so there is nothing to restart.
                Err(Failure::Missing | Failure::Restart) => return Ok(None),
                Err(Failure::Final(error)) => return Err(*error),
                Err(Failure::Passing { error, pause }) => (error, pause),
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
        progress.retrying(&error, delay);
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// Asks for the file from `offset` on.
    async fn open(&self, location: &Location, offset: u64) -> Result<Answer, Failure> {
        let (url, allow_http, token) = match location {
            Location::Path(path) => return open_file(path.clone(), offset),
            Location::Url { url, allow_http } => (url, *allow_http, None),
            Location::Asset { url, token } => (url, false, token.as_ref()),
        };
        open_url(self.client(location, allow_http)?, location, url, token, offset).await
    }

    /// The client that a location is asked with.
    pub(crate) fn client(&self, location: impl Display, allow_http: bool) -> Result<&Client, Failure> {
        let made = &self.clients[usize::from(allow_http)];
        if let Some(client) = made.get() {
            return Ok(client);
        }
        let client = client(&self.config, allow_http).map_err(|error| network(location, error))?;
        Ok(made.get_or_init(|| client))
    }
}
