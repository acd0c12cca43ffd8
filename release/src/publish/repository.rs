//! The repository, as GitHub's API has it.

use std::time::Duration;

use encoderfile_registry::{
    ApiError, ConnectionError, Digest, GitHubRepository, client_builder, github_api, redacted,
};
use octocrab::models::repos::{Asset, Release};
use octocrab::repos::releases::MakeLatest;
use octocrab::{Octocrab, Page};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, LOCATION};
use reqwest::{Client, Response, redirect};
use semver::Version;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::publish::PublishError;
use crate::publish::failure::{Failure, Retry};
use crate::publish::journal::Journal;
use crate::publish::patience::Patience;
use crate::publish::tag::Commit;

/// As many as the API gives at once.
const PER_PAGE: u8 = 100;
/// Ten thousand releases: the API itself gives no more.
const MAX_PAGES: usize = 100;
/// Tags of tags of tags: more than anybody has made.
const MAX_TAGS: usize = 10;
/// From the API to the storage, and what a storage may do.
const MAX_REDIRECTS: usize = 5;

/// A repository that is asked and changed.
pub(crate) struct Repository<'a> {
    pub(crate) at: GitHubRepository,
    /// It follows no redirect: what changes something is not to be done somewhere else.
    pub(crate) client: Client,
    pub(crate) patience: Patience<'a>,
    api: Octocrab,
}

impl<'a> Repository<'a> {
    pub(crate) fn new(at: GitHubRepository, patience: Patience<'a>) -> Result<Self, PublishError> {
        let client = client_builder(&patience.network).redirect(redirect::Policy::none()).build();
        let client = client.map_err(|error| PublishError::Client { source: ConnectionError::new(error) })?;
        let api = github_api(&client, &at, None).map_err(|error| Failure::of(error, "start", &at).error)?;
        Ok(Self { at, client, patience, api })
    }

    pub(crate) fn journal(&self) -> &'a Journal {
        self.patience.journal
    }

    /// All releases, and the one with this tag: the published one, or else the only draft.
    pub(crate) async fn find(&self, tag: &str) -> Result<(Vec<Release>, Option<Release>), PublishError> {
        let releases = self.releases().await?;
        let mut found: Vec<Release> =
            releases.iter().filter(|release| release.tag_name == tag).cloned().collect();
        if let Some(published) = found.iter().position(|release| !release.draft) {
            return Ok((releases, Some(found.swap_remove(published))));
        }
        if found.len() > 1 {
            let urls = found.iter().map(|release| release.html_url.to_string()).collect();
            return Err(PublishError::SeveralDrafts { tag: tag.to_owned(), urls });
        }
        Ok((releases, found.pop()))
    }

    /// All releases, drafts too: only the list has those.
    async fn releases(&self) -> Result<Vec<Release>, PublishError> {
        let (owner, name) = self.at.owner_and_name();
        let action = format!("list the releases of `{}`", self.at.repository);
        self.patience
            .persist(async || {
                let first = self.api.repos(owner, name);
                let first = first.releases();
                self.pages(&action, first.list().per_page(PER_PAGE).send()).await
            })
            .await
    }

    /// The commit that a tag names, if there is such a tag.
    pub(crate) async fn tagged_commit(&self, tag: &str) -> Result<Option<Commit>, PublishError> {
        let (owner, name) = self.at.owner_and_name();
        let action = format!("look up the tag `{tag}`");
        self.patience
            .persist(async || {
                let reference = format!("/repos/{owner}/{name}/git/ref/tags/{tag}");
                let pointer = match self.answer(&action, self.api.get(reference, None::<&()>)).await? {
                    Err(ApiError::Refused { status, .. }) if status == 404 => return Ok(None),
                    answer => answer.map_err(|error| Failure::of(error, &action, &self.at))?,
                };
                let Pointer { mut object } = pointer;
                // A tag with a message is an object of its own, which points to what is tagged.
                for _ in 0..MAX_TAGS {
                    if object.kind != "tag" {
                        break;
                    }
                    let next = format!("/repos/{owner}/{name}/git/tags/{}", object.sha);
                    object = self.ask::<Pointer>(&action, self.api.get(next, None::<&()>)).await?.object;
                }
                let commit = object.sha.parse().ok().filter(|_| object.kind == "commit");
                commit.map(Some).ok_or_else(|| {
                    let found = format!("{} {}", object.kind, object.sha);
                    Failure {
                        error: PublishError::NoCommit { tag: tag.to_owned(), found },
                        retry: Retry::Never,
                    }
                })
            })
            .await
    }

    /// The files of a release, half uploaded ones too.
    pub(crate) async fn assets(&self, release: &Release) -> Result<Vec<Asset>, PublishError> {
        let (owner, name) = self.at.owner_and_name();
        let action = format!("list the files of `{}`", release.tag_name);
        self.patience
            .persist(async || {
                let first = self.api.repos(owner, name);
                let first = first.releases();
                self.pages(&action, first.assets(release.id.0).per_page(PER_PAGE).send()).await
            })
            .await
    }

    /// Makes a draft. Twice done, there are two.
    pub(crate) async fn create(
        &self,
        tag: &str,
        version: &Version,
        notes: Option<&str>,
        commit: Option<&Commit>,
    ) -> Result<Release, Failure> {
        let (owner, name) = self.at.owner_and_name();
        let action = format!("create the release `{tag}`");
        let (repository, notes) = (self.api.repos(owner, name), notes.unwrap_or_default());
        let releases = repository.releases();
        let mut release = releases.create(tag).name(tag).body(notes).draft(true);
        release = release.prerelease(!version.pre.is_empty()).make_latest(MakeLatest::False);
        if let Some(commit) = commit {
            release = release.target_commitish(commit.as_str());
        }
        self.ask(&action, release.send()).await.map_err(|failure| failure.of_naming(commit))
    }

    /// Publishes a draft.
    pub(crate) async fn publish(
        &self,
        draft: &Release,
        version: &Version,
        commit: Option<&Commit>,
        is_latest: bool,
    ) -> Result<Release, PublishError> {
        let (owner, name) = self.at.owner_and_name();
        let action = format!("publish `{}`", draft.tag_name);
        let (repository, id) = (self.api.repos(owner, name), draft.id.0);
        let releases = repository.releases();
        let mut failures = 0;
        loop {
            let make_latest = if is_latest { MakeLatest::True } else { MakeLatest::False };
            let mut release = releases.update(id).draft(false).prerelease(!version.pre.is_empty());
            release = release.tag_name(&draft.tag_name).make_latest(make_latest);
            if let Some(commit) = commit {
                release = release.target_commitish(commit.as_str());
            }
            let failure = match self.ask(&action, release.send()).await {
                Ok(release) if !release.draft => return Ok(release),
                Ok(_) => {
                    let reason = "it is still a draft".to_owned();
                    Failure::passing(PublishError::Unusable { action: action.clone(), reason })
                }
                Err(failure) => failure.of_naming(commit),
            };
            self.patience.pause(&mut failures, failure).await?;
            // The answer may have been lost, and what is published may be impossible to change.
            let action = format!("look at `{}`", draft.tag_name);
            let found = self.patience.persist(async || self.ask(&action, releases.get(id)).await).await?;
            if !found.draft {
                return Ok(found);
            }
        }
    }

    /// Deletes a file of a draft. One that is gone already is as good.
    pub(crate) async fn delete(&self, asset: &Asset) -> Result<(), PublishError> {
        let (owner, name) = self.at.owner_and_name();
        let action = format!("delete `{}`", asset.name);
        self.patience
            .persist(async || {
                let repository = self.api.repos(owner, name);
                let assets = repository.release_assets();
                match self.answer(&action, assets.delete(asset.id.0)).await? {
                    Err(ApiError::Refused { status, .. }) if status == 404 => Ok(()),
                    Err(error) => Err(Failure::of(error, &action, &self.at)),
                    Ok(()) => Ok(()),
                }
            })
            .await
    }

    /// The digest of a file, by downloading it; nothing if it is not `size` bytes long.
    pub(crate) async fn download_digest(
        &self,
        asset: &Asset,
        size: usize,
    ) -> Result<Option<Digest>, PublishError> {
        let action = format!("download `{}`", asset.name);
        self.patience
            .persist(async || {
                let mut hasher = Sha256::new();
                let is_whole = self.try_download(&action, &asset.url, size, |chunk| hasher.update(chunk));
                Ok(is_whole.await?.then(|| Digest::from_hasher(hasher)))
            })
            .await
    }

    /// The bytes of a file, which are to be few; nothing if it is not as long as it is said to be.
    pub(crate) async fn download(&self, asset: &Asset, size: usize) -> Result<Option<Vec<u8>>, PublishError> {
        let action = format!("download `{}`", asset.name);
        self.patience
            .persist(async || {
                let mut bytes = Vec::new();
                let is_whole =
                    self.try_download(&action, &asset.url, size, |chunk| bytes.extend_from_slice(chunk));
                Ok(is_whole.await?.then_some(bytes))
            })
            .await
    }

    /// Gives a file to `take`, chunk by chunk, as long as it is not longer than `size`. Whether it is just as long.
    async fn try_download(
        &self,
        action: &str,
        url: &Url,
        size: usize,
        mut take: impl FnMut(&[u8]),
    ) -> Result<bool, Failure> {
        let mut response = self.open(action, url.clone()).await?;
        let mut length = 0;
        loop {
            let chunk = self.in_time(action, response.chunk()).await?;
            let chunk = chunk.map_err(|error| self.broken(action, url, error))?;
            let Some(chunk) = chunk else { return Ok(length == size) };
            length += chunk.len();
            if length > size {
                return Ok(false);
            }
            take(&chunk);
        }
    }

    /// Asks for the bytes of a file, which the API redirects to. Only the API gets the token.
    async fn open(&self, action: &str, mut url: Url) -> Result<Response, Failure> {
        let failure = |error| Failure::of(error, action, &self.at);
        for _ in 0..=MAX_REDIRECTS {
            self.at.check_address(&url).map_err(failure)?;
            let mut request = self.client.get(url.clone());
            request = request.header(ACCEPT, "application/octet-stream").header(ACCEPT_ENCODING, "identity");
            let token = self.at.token.as_ref().filter(|_| url.origin() == self.at.api.origin());
            if let Some(token) = token {
                request = request.header(AUTHORIZATION, token.authorization());
            }
            let response = self.in_time(action, request.send()).await?;
            let response = response.map_err(|error| self.broken(action, &url, error))?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            let location = response.headers().get(LOCATION).and_then(|text| text.to_str().ok());
            let next = location.and_then(|text| url.join(text).ok()).filter(|_| status.is_redirection());
            let Some(next) = next else {
                let headers = Box::new(response.headers().clone());
                let (url, body) = (redacted(&url), bytes::Bytes::new());
                let authenticated = token.is_some();
                return Err(failure(ApiError::Refused { url, status, headers, body, authenticated }));
            };
            url = next;
        }
        Err(failure(ApiError::Unusable { reason: "too many redirects".to_owned() }))
    }

    fn broken(&self, action: &str, url: &Url, error: reqwest::Error) -> Failure {
        let source = ConnectionError::new(error);
        Failure::of(ApiError::Connection { url: redacted(url), source }, action, &self.at)
    }

    /// A list, page by page.
    async fn pages<T: DeserializeOwned>(
        &self,
        action: &str,
        first: impl Future<Output = octocrab::Result<Page<T>>>,
    ) -> Result<Vec<T>, Failure> {
        let mut page = self.ask(action, first).await?;
        let mut items = page.take_items();
        for _ in 1..MAX_PAGES {
            let Some(next) = self.ask(action, self.api.get_page(&page.next)).await? else { break };
            page = next;
            items.extend(page.take_items());
        }
        Ok(items)
    }

    /// What a request comes to.
    async fn ask<T>(
        &self,
        action: &str,
        request: impl Future<Output = octocrab::Result<T>>,
    ) -> Result<T, Failure> {
        self.answer(action, request).await?.map_err(|error| Failure::of(error, action, &self.at))
    }

    /// What a request comes to, in time.
    async fn answer<T>(
        &self,
        action: &str,
        request: impl Future<Output = octocrab::Result<T>>,
    ) -> Result<Result<T, ApiError>, Failure> {
        Ok(self.in_time(action, request).await?.map_err(ApiError::of))
    }

    async fn in_time<T>(&self, action: &str, request: impl Future<Output = T>) -> Result<T, Failure> {
        let patience: Duration = self.patience.network.idle_timeout;
        tokio::time::timeout(patience, request).await.map_err(|_| {
            let action = action.to_owned();
            Failure::passing(PublishError::Stalled { action, patience, sent: None })
        })
    }
}

/// What a reference, or a tag with a message, points to.
#[derive(Deserialize)]
struct Pointer {
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    #[serde(rename = "type")]
    kind: String,
    sha: String,
}
