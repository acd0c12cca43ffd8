//! GitHub's API.
//!
//! `octocrab` knows it. It is carried by the HTTP client that downloads everything else, so that proxies, certificates,
//! time-outs and the rules for redirects are the same for both, and an answer's headers say when a rate limit resets.

use bytes::Bytes;
use octocrab::service::middleware::base_uri::BaseUriLayer;
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LINK};
use reqwest::{Body, Client, Response, StatusCode};
use url::Url;

use crate::download::connection::ConnectionError;
use crate::source::{GitHubRepository, redacted};

/// The form of answers that this was written for.
const API_VERSION: &str = "2022-11-28";
const MEDIA_TYPE: &str = "application/vnd.github+json";
/// A hundred releases with eight files each are a megabyte.
const MAX_ANSWER: usize = 16 << 20;

/// Why GitHub's API has not done what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// No connection, or one that broke: nobody knows what came of the request.
    #[error("cannot reach `{url}`: {source}")]
    Connection {
        /// What was asked, without passwords.
        url: String,
        /// Why not.
        #[source]
        source: ConnectionError,
    },
    /// An answer other than success.
    #[error("`{url}` answered {status}")]
    Refused {
        /// What was asked, without passwords.
        url: String,
        /// The HTTP status.
        status: StatusCode,
        /// The headers of the answer.
        headers: Box<HeaderMap>,
        /// The body of the answer, where there is one.
        body: Bytes,
        /// Whether a token was sent.
        authenticated: bool,
    },
    /// An answer that cannot be used.
    #[error("cannot use what the API answers: {reason}")]
    Unusable {
        /// What is wrong with it.
        reason: String,
    },
}

impl ApiError {
    /// Why a request by [`github_api`] failed.
    pub fn of(error: octocrab::Error) -> Self {
        let unusable = |reason: String| Self::Unusable { reason };
        match error {
            octocrab::Error::Service { source, .. } => match source.downcast::<Self>() {
                Ok(error) => *error,
                Err(error) => unusable(error.to_string()),
            },
            octocrab::Error::Json { source, .. } => unusable(source.to_string()),
            error => unusable(error.to_string()),
        }
    }
}

/// The API of a repository's server, asked by `client`. What goes wrong is an [`ApiError`].
///
/// The token is sent to the API's host, and to that of `uploads` if there is one: the caller has made sure that it belongs
/// to the same server. It must be made inside of a Tokio runtime, and be used there.
pub fn github_api(
    client: &Client,
    at: &GitHubRepository,
    uploads: Option<&Url>,
) -> Result<Octocrab, ApiError> {
    let base = at.api.as_str().parse();
    let base =
        base.map_err(|error: http::uri::InvalidUri| ApiError::Unusable { reason: error.to_string() })?;
    let (client, at, uploads) = (client.clone(), at.clone(), uploads.cloned());
    let carry = tower::service_fn(move |request| carry(client.clone(), at.clone(), uploads.clone(), request));
    let builder = OctocrabBuilder::new_empty().with_service(carry).with_layer(&BaseUriLayer::new(base));
    let Ok(api) = builder.with_auth(AuthState::None).build();
    Ok(api)
}

/// Sends what octocrab asks, and gives it the answer if it is a good one.
async fn carry(
    client: Client,
    at: GitHubRepository,
    uploads: Option<Url>,
    request: http::Request<OctoBody>,
) -> Result<http::Response<OctoBody>, ApiError> {
    let (head, body) = request.into_parts();
    let url = Url::parse(&head.uri.to_string())
        .map_err(|error| ApiError::Unusable { reason: error.to_string() })?;
    at.check_address(&url)?;
    let mut asked = client
        .request(head.method, url.clone())
        .header(ACCEPT, MEDIA_TYPE)
        .header("x-github-api-version", HeaderValue::from_static(API_VERSION));
    // What has no type has no body.
    if let Some(kind) = head.headers.get(CONTENT_TYPE) {
        asked = asked.header(CONTENT_TYPE, kind).body(Body::wrap(body));
    }
    // The address of a next page is the server's word.
    let is_ours = |own: &Url| url.origin() == own.origin();
    let token = at.token.as_ref().filter(|_| is_ours(&at.api) || uploads.as_ref().is_some_and(is_ours));
    if let Some(token) = token {
        asked = asked.header(AUTHORIZATION, token.authorization());
    }
    let broken = |error| ApiError::Connection { url: redacted(&url), source: ConnectionError::new(error) };
    let mut response = asked.send().await.map_err(broken)?;
    let status = response.status();
    if !status.is_success() {
        let headers = Box::new(std::mem::take(response.headers_mut()));
        // What it says may help. What it should be and is not must not hide the status.
        let body = body_of(response).await.ok().and_then(Result::ok).unwrap_or_default();
        let (url, authenticated) = (redacted(&url), token.is_some());
        return Err(ApiError::Refused { url, status, headers, body, authenticated });
    }
    let mut answer = http::Response::builder().status(status);
    if let Some(next) = next_page(response.headers()) {
        answer = answer.header(LINK, next);
    }
    let body = body_of(response).await.map_err(broken)??;
    Ok(answer.body(OctoBody::from(body)).expect("a status and headers that were an answer before"))
}

/// The one link that octocrab needs. A relation that it does not know it would print.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let links = headers.get(LINK)?.to_str().ok()?;
    let is_next = |part: &str| matches!(part.trim(), r#"rel="next""# | "rel=next");
    let url = links.split('<').find_map(|link| {
        let (url, parameters) = link.split_once('>')?;
        parameters.trim().trim_end_matches(',').split(';').any(is_next).then_some(url)
    })?;
    // Where it would cut the address.
    let url = url.replace(';', "%3B").replace(',', "%2C");
    Some(format!(r#"<{url}>; rel="next""#))
}

async fn body_of(mut response: Response) -> reqwest::Result<Result<Bytes, ApiError>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_ANSWER {
            let reason = format!("it is longer than {MAX_ANSWER} bytes");
            return Ok(Err(ApiError::Unusable { reason }));
        }
    }
    Ok(Ok(bytes.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octocrab_sees_the_next_page_and_nothing_that_it_would_print() {
        let next = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, text.parse().unwrap());
            next_page(&headers)
        };
        let expected = Some(r#"<https://h/r?page=3>; rel="next""#.to_owned());
        assert_eq!(
            next(
                r#"<https://h/r?page=1>; rel="prev", <https://h/r?page=3>; rel="next", <https://h/r?page=9>; rel="last""#
            ),
            expected
        );
        assert_eq!(next(r#"<https://h/r?page=3>; rel=next; rel="evil""#), expected);
        assert_eq!(
            next("<https://h/;rel=evil>; rel=next").unwrap(),
            r#"<https://h/%3Brel=evil>; rel="next""#
        );
        for text in [
            "",
            r#"<https://h/r>; rel="canonical""#,
            "rel=next",
            "<https://h/r; rel=next",
            "<a>; rel=nextish",
        ] {
            assert_eq!(next(text), None, "{text}");
        }
    }
}
