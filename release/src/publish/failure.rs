//! How one request ended, if not well, and whether another may end better.

use std::time::Duration;

use encoderfile_registry::{ApiError, GitHubRepository, RateLimit};
use jiff::Timestamp;
use serde::Deserialize;

use crate::publish::{Commit, PublishError};

/// What GitHub asks for where a refusal for too many requests at a time says nothing of when to come again.
const SECONDARY_PAUSE: Duration = Duration::from_mins(1);
/// More of what a server says is not worth reading.
const LONGEST_SAYING: usize = 500;

/// A failure.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: PublishError,
    pub(crate) retry: Retry,
}

/// Whether the next try may succeed.
#[derive(Debug)]
pub(crate) enum Retry {
    /// It will not.
    Never,
    /// It may. The server may have said when.
    Later(Option<Duration>),
}

impl Failure {
    /// A failure that may pass.
    pub(crate) fn passing(error: PublishError) -> Self {
        Self { error, retry: Retry::Later(None) }
    }

    /// The failure of a request that named a commit: that takes a right more, where the commit changes workflows.
    pub(crate) fn of_naming(mut self, named: Option<&Commit>) -> Self {
        if let PublishError::Forbidden { needs: Some(needs), named: names, .. } = &mut self.error
            && needs.contains("workflows=write")
        {
            *names = named.cloned();
        }
        self
    }

    /// What a request comes to that was to `action` at the repository.
    pub(crate) fn of(error: ApiError, action: &str, at: &GitHubRepository) -> Self {
        let action = action.to_owned();
        match error {
            ApiError::Connection { url, source } => {
                let retry = if source.may_pass() { Retry::Later(None) } else { Retry::Never };
                Self { error: PublishError::Connection { action, url, source }, retry }
            }
            ApiError::Refused { url, status, headers, body, .. } => {
                let answer = Answer { status, headers: &headers, said: said(&body) };
                answer.failure(action, url, at)
            }
            error => Self::passing(PublishError::Unusable { action, reason: error.to_string() }),
        }
    }
}

/// An answer other than success.
struct Answer<'a> {
    status: reqwest::StatusCode,
    headers: &'a reqwest::header::HeaderMap,
    /// What it says of itself.
    said: Said,
}

impl Answer<'_> {
    fn failure(self, action: String, url: String, at: &GitHubRepository) -> Failure {
        let Self { status, headers, said } = self;
        let RateLimit { retry_after, is_exhausted, reset } = RateLimit::of(status, headers);
        let is_limited = matches!(status.as_u16(), 403 | 429);
        let answer = match &said.text {
            Some(text) => format!("{status}: {text}"),
            None => status.to_string(),
        };
        let repository = at.repository.clone();
        let never = |error| Failure { error, retry: Retry::Never };
        if is_limited && (is_exhausted || retry_after.is_some() || said.is_of_secondary_limit()) {
            let until_reset = reset.map(|reset| {
                // Their clock may be behind ours.
                let pause = reset.duration_since(Timestamp::now()) + jiff::SignedDuration::from_secs(1);
                Duration::try_from(pause).unwrap_or(Duration::from_secs(1))
            });
            let pause = retry_after.or(until_reset).unwrap_or(SECONDARY_PAUSE);
            let error = PublishError::RateLimited { action, answer, reset, pause };
            return Failure { error, retry: Retry::Later(Some(pause)) };
        }
        match status.as_u16() {
            300..=399 => {
                let location = headers.get("location").and_then(|text| text.to_str().ok());
                never(PublishError::Moved { action, repository, to: location.map(printable) })
            }
            401 => never(PublishError::Unauthorized { url, answer }),
            404 => never(PublishError::NotFound { action, repository, answer }),
            403 => {
                let needs = headers.get("x-accepted-github-permissions").and_then(|text| text.to_str().ok());
                let needs = needs.map(printable);
                never(PublishError::Forbidden { action, repository, answer, needs, named: None })
            }
            408 | 429 | 500.. => {
                let error = PublishError::Status { action, url, answer };
                Failure { error, retry: Retry::Later(retry_after) }
            }
            // Made by the request before, whose answer got lost; or by somebody else.
            422 if said.exists_already => Failure::passing(PublishError::Rejected { action, answer }),
            _ => never(PublishError::Rejected { action, answer }),
        }
    }
}

/// What the body of a refusal says.
#[derive(Default)]
struct Said {
    text: Option<String>,
    exists_already: bool,
}

impl Said {
    fn is_of_secondary_limit(&self) -> bool {
        self.text.as_ref().is_some_and(|text| text.to_lowercase().contains("secondary rate limit"))
    }
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
    #[serde(default)]
    errors: Vec<Fault>,
}

/// Either is documented.
#[derive(Deserialize)]
#[serde(untagged)]
enum Fault {
    Text(String),
    Field {
        #[serde(default)]
        code: String,
        field: Option<String>,
        message: Option<String>,
    },
}

fn said(body: &[u8]) -> Said {
    let Ok(Refusal { message, errors }) = serde_json::from_slice(body) else { return Said::default() };
    let exists_already =
        errors.iter().any(|fault| matches!(fault, Fault::Field { code, .. } if code == "already_exists"));
    let faults = errors.into_iter().map(|fault| match fault {
        Fault::Text(text) => text,
        Fault::Field { message: Some(message), .. } => message,
        Fault::Field { code, field, .. } => format!("{} {code}", field.unwrap_or_default()).trim().to_owned(),
    });
    let faults: Vec<String> = faults.collect();
    let text = if faults.is_empty() { message } else { format!("{message} ({})", faults.join(", ")) };
    Said { text: Some(printable(&text)), exists_already }
}

/// A server's words, fit for a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(LONGEST_SAYING).collect()
}
