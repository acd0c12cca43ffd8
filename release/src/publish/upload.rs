//! How files get to GitHub.

use encoderfile_registry::{ApiError, GitHubRepository, github_api, redacted};
use http::header::CONTENT_TYPE;
use octocrab::models::repos::{Asset, Release};
use octocrab::{FromResponse as _, OctoBody};
use url::Url;

use crate::publish::PublishError;
use crate::publish::body::UploadBody;
use crate::publish::comparison::{Difference, Judgement, judge};
use crate::publish::failure::Failure;
use crate::publish::files::File;
use crate::publish::journal::tell;
use crate::publish::repository::Repository;

/// Where files of a release are uploaded to: another host, but of the same server, since it gets the token.
///
/// <https://github.com> has `api.github.com` and `uploads.github.com`; an Enterprise server has both itself, or each as a
/// subdomain.
pub(crate) fn upload_address(at: &GitHubRepository, release: &Release) -> Result<Url, PublishError> {
    let action = || format!("upload files to `{}`", release.tag_name);
    // It is a template (RFC 6570) that ends with `{?name,label}`.
    let address = release.upload_url.split('{').next().unwrap_or_default();
    let url = Url::parse(address)
        .map_err(|error| PublishError::Unusable { action: action(), reason: error.to_string() })?;
    let (api, server) = (at.api.host_str().unwrap_or_default(), at.server.host_str().unwrap_or_default());
    let beside_api = api.strip_prefix("api.").map(|domain| format!("uploads.{domain}"));
    let expected = [api.to_owned(), server.to_owned(), format!("uploads.{server}")];
    let expected: Vec<String> = expected.into_iter().chain(beside_api).collect();
    let is_known = url.host_str().is_some_and(|host| expected.iter().any(|known| known == host));
    // The servers of tests differ by their ports alone.
    let is_same = url.scheme() == at.api.scheme()
        && (url.scheme() == "http" || url.port_or_known_default() == at.api.port_or_known_default());
    if is_known && is_same {
        return Ok(url);
    }
    let mut expected: Vec<String> =
        expected.into_iter().map(|host| format!("{}://{host}", at.api.scheme())).collect();
    expected.dedup();
    Err(PublishError::ForeignUploads { expected, found: redacted(&url) })
}

/// Uploads a file, unless it is there already. Of a draft, what is there and is not the file is deleted before.
pub(crate) async fn ensure_uploaded(
    repository: &Repository<'_>,
    release: &Release,
    uploads: &Url,
    file: &File,
    mut there: Option<Asset>,
) -> Result<(), PublishError> {
    let (name, size) = (&file.name, file.bytes.len());
    let mut failures = 0;
    let mut done = "kept";
    loop {
        match judge(repository, file, there.as_ref()).await? {
            Judgement::Equal => {
                tell(&format!("{done} {name} ({size} bytes)"));
                return Ok(());
            }
            Judgement::Missing => {}
            Judgement::Different { found } => {
                tell(&format!("replacing {name}, which is {found}"));
                if let Some(asset) = &there {
                    repository.delete(asset).await?;
                }
            }
        }
        done = "uploaded";
        let failure = match upload(repository, uploads, file).await {
            Ok(asset) => match judge(repository, file, Some(&asset)).await? {
                judgement @ (Judgement::Different { .. } | Judgement::Missing) => {
                    let difference = Difference::of(file, &judgement).expect("it is not equal");
                    Failure::passing(PublishError::NotStored { name: name.clone(), difference })
                }
                Judgement::Equal => {
                    tell(&format!("uploaded {name} ({size} bytes)"));
                    return Ok(());
                }
            },
            Err(failure) => failure,
        };
        repository.patience.pause(&mut failures, failure).await?;
        // Nobody knows what came of it: nothing, a half, or all of it.
        let assets = repository.assets(release).await?;
        there = assets.into_iter().find(|asset| asset.name == *name);
    }
}

/// Uploads a file, once. It may take as long as it likes, if only something happens.
async fn upload(repository: &Repository<'_>, uploads: &Url, file: &File) -> Result<Asset, Failure> {
    let at = &repository.at;
    let action = format!("upload `{}`", file.name);
    let failure = |error| Failure::of(error, &action, at);
    let mut url = uploads.clone();
    url.query_pairs_mut().append_pair("name", &file.name);
    let api = github_api(&repository.client, at, Some(uploads)).map_err(failure)?;
    let (body, mut progress) = UploadBody::new(file.bytes.clone());
    let request = http::Request::post(url.as_str()).header(CONTENT_TYPE, "application/octet-stream");
    let request = request.body(OctoBody::new(body)).expect("a URL and a header make a request");

    let answer = async {
        let answer = api.execute(request).await?;
        Asset::from_response(answer).await
    };
    tokio::pin!(answer);
    let patience = repository.patience.network.idle_timeout;
    let stalled = |sent: u64| {
        let sent = Some((sent, file.bytes.len() as u64));
        Failure::passing(PublishError::Stalled { action: action.clone(), patience, sent })
    };
    loop {
        let sent = *progress.borrow();
        tokio::select! {
            answer = &mut answer => return answer.map_err(|error| failure(ApiError::of(error))),
            changed = tokio::time::timeout(patience, progress.changed()) => match changed {
                Ok(Ok(())) => {}
                // All is sent: only the answer is still to come.
                Ok(Err(_)) => {
                    let answer = tokio::time::timeout(patience, &mut answer).await;
                    let answer = answer.map_err(|_| stalled(sent))?;
                    return answer.map_err(|error| failure(ApiError::of(error)));
                }
                Err(_) => return Err(stalled(sent)),
            },
        }
    }
}
