//! When to ask again, as an answer that refuses says it.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// What the headers of an answer say of asking again.
///
/// The headers are those of RFC 9110 and of
/// <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How long to wait before.
    pub retry_after: Option<Duration>,
    /// Whether this was refused because nothing is left of what may be asked.
    pub is_exhausted: bool,
    /// When the limit is lifted, if it is exhausted.
    pub reset: Option<Timestamp>,
}

impl RateLimit {
    /// Reads the headers of an answer with this status.
    pub fn of(status: StatusCode, headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let retry_after = text(RETRY_AFTER.as_str()).and_then(|text| pause_of(text, Timestamp::now()));
        let is_limited = matches!(status, StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS);
        let is_exhausted = is_limited && text("x-ratelimit-remaining") == Some("0");
        let reset = text("x-ratelimit-reset").filter(|_| is_exhausted).and_then(|text| text.parse().ok());
        let reset = reset.and_then(|seconds| Timestamp::from_second(seconds).ok());
        Self { retry_after, is_exhausted, reset }
    }
}

/// `Retry-After`: seconds or a date (RFC 9110, 10.2.3).
fn pause_of(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

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
