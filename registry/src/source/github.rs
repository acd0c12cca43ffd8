//! What plain download URLs cannot give: which releases there are, and the files of private repositories.

pub(crate) mod api;

use octocrab::Page;
use octocrab::models::repos::Release;
use reqwest::Client;

use crate::download::answer::{Failure, broken, refused};
use crate::error::Error;
use crate::source::github::api::{ApiError, github_api};
use crate::source::{GitHubRepository, join, redacted};

/// As many as the API gives at once.
const PER_PAGE: u8 = 100;
/// Ten thousand releases: the API itself gives no more.
const MAX_PAGES: usize = 100;

/// All releases, drafts left out, in the order in which the API has them.
pub(crate) async fn releases(client: &Client, at: &GitHubRepository) -> Result<Vec<Release>, Failure> {
    let failure = |error| failure(ApiError::of(error), at);
    let api = github_api(client, at, None).map_err(|error| self::failure(error, at))?;
    let (owner, name) = at.owner_and_name();
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
    let api = github_api(client, at, None).map_err(|error| failure(error, at))?;
    let (owner, name) = at.owner_and_name();
    let release = api.repos(owner, name).releases().get_by_tag(tag).await;
    release.map_err(|error| failure(ApiError::of(error), at))
}

/// Where a person would look for the repository at the API, without a password.
fn location(at: &GitHubRepository) -> String {
    redacted(&join(&at.api, ["repos"].into_iter().chain(at.repository.split('/')).chain(["releases"])))
}

/// What a failed request comes to for who looks for releases.
pub(crate) fn failure(error: ApiError, at: &GitHubRepository) -> Failure {
    match error {
        ApiError::Connection { url, source } => broken(url, source),
        ApiError::Refused { status, .. } if matches!(status.as_u16(), 404 | 410) => Failure::Missing,
        ApiError::Refused { status, headers, authenticated, .. } => {
            refused(location(at), status, &headers, Some(authenticated))
        }
        ApiError::Unusable { reason } => Error::UnusableAnswer { location: location(at), reason }.into(),
    }
}
