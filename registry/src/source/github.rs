//! GitHub's API, for what plain download URLs cannot give: which releases there are, and the files of private repositories.
//!
//! `octocrab` knows the API. It is carried by the HTTP client that downloads everything else, so that proxies,
//! certificates, time-outs and the rules for redirects are the same for both, and an answer's headers say when a rate limit
//! resets.

use std::fmt;

use bytes::Bytes;
use octocrab::service::middleware::base_uri::BaseUriLayer;
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder, Page, models::repos::Release};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, LINK};
use reqwest::{Client, Response};
use url::Url;

use crate::download::answer::{Failure, network, refused};
use crate::error::Error;
use crate::source::{GitHubRepository, is_loopback, join, redacted};

/// The form of answers that this was written for.
const API_VERSION: &str = "2022-11-28";
const MEDIA_TYPE: &str = "application/vnd.github+json";
/// A hundred releases with eight files each are a megabyte.
const MAX_ANSWER: usize = 16 << 20;
/// As many as the API gives at once.
const PER_PAGE: u8 = 100;
/// Ten thousand releases: the API itself gives no more.
const MAX_PAGES: usize = 100;

/// All releases, drafts left out, in the order in which the API has them.
pub(crate) async fn releases(client: &Client, at: &GitHubRepository) -> Result<Vec<Release>, Failure> {
    let (api, (owner, name)) = (api(client, at)?, owner_and_name(at));
    let failure = |error| failure(error, at);
    let first = api.repos(owner, name).releases().list().per_page(PER_PAGE).send().await;
    let mut page: Page<Release> = first.map_err(failure)?;
    let mut releases = page.take_items();
    for _ in 1..MAX_PAGES {
        let Some(next) = api.get_page(&page.next).await.map_err(failure)? else { break };
        page = next;
        releases.extend(page.take_items());
    }
    releases.retain(|release| !release.draft);
    Ok(releases)
}

/// The release with this tag, if it is published.
pub(crate) async fn release(client: &Client, at: &GitHubRepository, tag: &str) -> Result<Release, Failure> {
    let (api, (owner, name)) = (api(client, at)?, owner_and_name(at));
    api.repos(owner, name).releases().get_by_tag(tag).await.map_err(|error| failure(error, at))
}

fn owner_and_name(at: &GitHubRepository) -> (&str, &str) {
    at.repository.split_once('/').expect("checked when it was made")
}

/// Where a person would look for the repository at the API, without a password.
fn location(at: &GitHubRepository) -> String {
    redacted(&join(&at.api, ["repos"].into_iter().chain(at.repository.split('/')).chain(["releases"])))
}

/// An answer's addresses may lead where its redirects may: to HTTPS, or from this machine to itself.
pub(crate) fn check_address(url: &Url, at: &GitHubRepository) -> Result<(), Failure> {
    let local = || url.scheme() == "http" && at.api.scheme() == "http" && is_loopback(url);
    if url.scheme() == "https" || local() {
        return Ok(());
    }
    Err(unusable(at, &format_args!("it leads to `{}`, which is not HTTPS", redacted(url))))
}

fn api(client: &Client, at: &GitHubRepository) -> Result<Octocrab, Failure> {
    let (client, at) = (client.clone(), at.clone());
    let base = at.api.as_str().parse().map_err(|error| unusable(&at, &error))?;
    let carry = tower::service_fn(move |request| carry(client.clone(), at.clone(), request));
    let builder = OctocrabBuilder::new_empty().with_service(carry).with_layer(&BaseUriLayer::new(base));
    let Ok(api) = builder.with_auth(AuthState::None).build();
    Ok(api)
}

/// Sends what octocrab asks, and gives it the answer if it is a good one.
async fn carry(
    client: Client,
    at: GitHubRepository,
    request: http::Request<OctoBody>,
) -> Result<http::Response<OctoBody>, Refusal> {
    let url = Url::parse(&request.uri().to_string()).map_err(|error| Refusal(unusable(&at, &error)))?;
    check_address(&url, &at).map_err(Refusal)?;
    let mut asked = client
        .get(url.clone())
        .header(ACCEPT, MEDIA_TYPE)
        .header("x-github-api-version", HeaderValue::from_static(API_VERSION));
    // The address of a next page is the server's word.
    let token = at.token.as_ref().filter(|_| url.origin() == at.api.origin());
    if let Some(token) = token {
        asked = asked.header(AUTHORIZATION, token.authorization());
    }
    let response = asked.send().await.map_err(|error| Refusal(network(redacted(&url), error)))?;
    let status = response.status();
    if !status.is_success() {
        return Err(Refusal(match status.as_u16() {
            404 | 410 => Failure::Missing,
            _ => refused(location(&at), status, response.headers(), Some(token.is_some())),
        }));
    }
    let mut answer = http::Response::builder().status(status);
    if let Some(next) = next_page(response.headers()) {
        answer = answer.header(LINK, next);
    }
    let body = body(response, &at).await.map_err(Refusal)?;
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

async fn body(mut response: Response, at: &GitHubRepository) -> Result<Bytes, Failure> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| network(location(at), error))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_ANSWER {
            return Err(unusable(at, &format_args!("it is longer than {MAX_ANSWER} bytes")));
        }
    }
    Ok(bytes.into())
}

fn unusable(at: &GitHubRepository, reason: &dyn fmt::Display) -> Failure {
    Error::UnusableAnswer { location: location(at), reason: reason.to_string() }.into()
}

/// A failure on its way through octocrab.
#[derive(Debug, thiserror::Error)]
#[error("the request failed")]
struct Refusal(Failure);

fn failure(error: octocrab::Error, at: &GitHubRepository) -> Failure {
    match error {
        octocrab::Error::Service { source, .. } => match source.downcast::<Refusal>() {
            Ok(refusal) => refusal.0,
            Err(error) => unusable(at, &error),
        },
        octocrab::Error::Json { source, .. } => unusable(at, &source),
        error => unusable(at, &error),
    }
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
