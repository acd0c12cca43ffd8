//! The API host.

use serde_json::Value;

use super::downloads::redirect;
use super::pages::page;
use super::repository::{Name, Repository};
use super::{Site, json, writing};
use crate::answer::Reply;
use crate::request::Request;

/// The API host.
pub(super) fn api(site: &Site, request: &Request) -> Reply {
    guarded(site, request, answer)
}

/// What `answer` says, in the limits of what may be asked, and to nobody who has a wrong token.
pub(super) fn guarded(
    site: &Site,
    request: &Request,
    answer: fn(&Site, &mut Repository, &Request, bool) -> Option<Reply>,
) -> Reply {
    if request.headers.get("user-agent").is_none_or(String::is_empty) {
        let message = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header";
        return Reply::bytes(403, message).with("Content-Type", "text/html");
    }
    let mut repository = site.repository();
    let allowed = repository.limits.spend().and_then(|()| has_token(&repository, request));
    let reply = allowed.and_then(|has_token| {
        answer(site, &mut repository, request, has_token)
            .ok_or_else(|| error(404, "Not Found", "releases/releases"))
    });
    repository.limits.tell(reply.unwrap_or_else(|refusal| refusal))
}

/// A body of JSON.
pub(super) fn json(status: u16, body: &Value) -> Reply {
    Reply::bytes(status, body.to_string()).with("Content-Type", "application/json; charset=utf-8")
}

/// An error as the API tells it, documented at `place`.
pub(super) fn error(status: u16, message: &str, place: &str) -> Reply {
    let documentation = format!("https://docs.github.com/rest/{place}");
    json(
        status,
        &serde_json::json!({
            "message": message,
            "documentation_url": documentation,
            "status": status.to_string(),
        }),
    )
}

/// Whether the request bears the token. One that bears another is refused, even where it needs none.
fn has_token(repository: &Repository, request: &Request) -> Result<bool, Reply> {
    let Some(authorization) = request.headers.get("authorization") else { return Ok(false) };
    let token = authorization
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token"));
    match (token, &repository.token) {
        (Some((_, token)), Some(right)) if token == right => Ok(true),
        _ => Err(error(401, "Bad credentials", "")),
    }
}

/// The answer, where there is what is asked for and it may be seen.
fn answer(site: &Site, repository: &mut Repository, request: &Request, has_token: bool) -> Option<Reply> {
    if repository.private && !has_token {
        return None;
    }
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let route = match segments[..] {
        ["repos", owner, name, ref route @ ..] => match repository.is_called(owner, name)? {
            Name::Present => route,
            Name::Former => return Some(moved(site, request, owner, name)),
        },
        ["repositories", Repository::ID, ref route @ ..] => route,
        _ => return None,
    };

    if request.method != "GET" {
        return writing::change(site, repository, request, route, has_token);
    }
    let (hosts, name, digests) = (site.hosts(), repository.name().to_owned(), repository.digests);
    let list = |place: &str| format!("{}/repositories/{}/{place}", hosts.api, Repository::ID);
    if let ["git", ref git @ ..] = *route {
        let (at, tags) = (format!("{}/repos/{name}", hosts.api), repository.tags());
        return match *git {
            ["ref", "tags", wanted] => {
                Some(json(200, &tags.iter().find(|tag| tag.name == wanted)?.reference(&at)))
            }
            ["tags", sha] => Some(json(200, &tags.iter().find_map(|tag| tag.object(&at, sha))?)),
            _ => None,
        };
    }
    let mut releases = repository.releases();
    releases.retain(|release| has_token || !release.marks.draft);
    let mut published = releases.iter().filter(|release| !release.marks.draft);
    let release = |release| Some(json(200, &json::release(hosts, &name, release, digests)));
    let by_id = |id: &str| releases.iter().find(|release| release.id.to_string() == id);
    match *route {
        ["releases"] => {
            let releases: Vec<_> =
                releases.iter().map(|release| json::release(hosts, &name, release, digests)).collect();
            Some(page(&list("releases"), &request.query, &releases))
        }
        ["releases", "latest"] => release(repository.latest(&releases)?),
        ["releases", "tags", tag] => release(published.find(|release| release.tag == tag)?),
        ["releases", "assets", id] => {
            let mut assets =
                releases.iter().flat_map(|release| release.assets.iter().map(move |asset| (release, asset)));
            let (release, asset) = assets.find(|(_, asset)| asset.id.to_string() == id)?;
            let accepted = request.headers.get("accept");
            if accepted.is_some_and(|accepted| accepted.contains("application/octet-stream")) {
                return Some(redirect(hosts, &release.folder, &asset.name));
            }
            Some(json(200, &json::asset(hosts, &name, release, asset, digests)))
        }
        ["releases", id, "assets"] => {
            let release = by_id(id)?;
            let assets = release.assets.iter();
            let assets: Vec<_> =
                assets.map(|asset| json::asset(hosts, &name, release, asset, digests)).collect();
            Some(page(&list(&format!("releases/{id}/assets")), &request.query, &assets))
        }
        ["releases", id] => release(by_id(id)?),
        _ => None,
    }
}

/// From a former name to the number, which never changes.
fn moved(site: &Site, request: &Request, owner: &str, name: &str) -> Reply {
    let api = &site.hosts().api;
    let rest = request.target.strip_prefix(&format!("/repos/{owner}/{name}")).unwrap_or_default();
    let location = format!("{api}/repositories/{}{rest}", Repository::ID);
    let body = serde_json::json!({
        "message": "Moved Permanently",
        "url": location,
        "documentation_url": "https://docs.github.com/rest/guides/best-practices-for-using-the-rest-api#follow-redirects",
    });
    json(301, &body).with("Location", location)
}
