//! What makes and changes releases.

use serde::Deserialize;
use serde_json::json;

use super::api::{error, guarded, json};
use super::repository::{Edit, Name, ReleaseEntry, Repository};
use super::{Site, json};
use crate::answer::Reply;
use crate::request::Request;

/// Longer names are refused (and characters that need escapes would be replaced, which nothing here tries).
const LONGEST_NAME: usize = 255;

/// The host for uploads.
pub(super) fn uploads(site: &Site, request: &Request) -> Reply {
    guarded(site, request, |site, repository, request, has_token| {
        let segments = request.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let ["repos", owner, name, "releases", id, "assets"] = segments[..] else { return None };
        if request.method != "POST" || repository.is_called(owner, name)? != Name::Present {
            return None;
        }
        Some(upload(site, repository, request, id, has_token).unwrap_or_else(|refusal| refusal))
    })
}

/// What changes a release, at the API host: `route` is what follows the repository's name.
pub(super) fn change(
    site: &Site,
    repository: &mut Repository,
    request: &Request,
    route: &[&str],
    has_token: bool,
) -> Option<Reply> {
    let changed = match (&*request.method, route) {
        ("POST", ["releases"]) => create(site, repository, request, has_token),
        ("PATCH", ["releases", id]) => edit(site, repository, request, id, has_token),
        ("DELETE", ["releases", "assets", id]) => delete_asset(repository, id, has_token),
        _ => return None,
    };
    Some(changed.unwrap_or_else(|refusal| refusal))
}

/// The body of a request to create or change a release.
#[derive(Deserialize)]
struct Fields {
    tag_name: Option<String>,
    target_commitish: Option<String>,
    name: Option<String>,
    body: Option<String>,
    draft: Option<bool>,
    prerelease: Option<bool>,
    make_latest: Option<String>,
}

impl Fields {
    fn read(request: &Request) -> Result<Self, Reply> {
        serde_json::from_slice(&request.body)
            .map_err(|_| error(400, "Problems parsing JSON", "releases/releases"))
    }

    fn into_edit(self) -> Edit {
        Edit {
            tag: self.tag_name,
            name: self.name,
            body: self.body,
            commit: self.target_commitish,
            draft: self.draft,
            prerelease: self.prerelease,
            make_latest: self.make_latest.is_none_or(|text| text == "true"),
        }
    }
}

fn create(
    site: &Site,
    repository: &mut Repository,
    request: &Request,
    has_token: bool,
) -> Result<Reply, Reply> {
    may_write(repository, has_token)?;
    let fields = Fields::read(request)?;
    may_name_a_commit(repository, &fields)?;
    let Some(tag) = &fields.tag_name else { return Err(invalid("Release", "tag_name", "missing_field")) };
    if is_published(repository, tag) {
        return Err(invalid("Release", "tag_name", "already_exists"));
    }
    let folder = repository.create(fields.into_edit());
    Ok(told(site, repository, 201, &folder))
}

fn edit(
    site: &Site,
    repository: &mut Repository,
    request: &Request,
    id: &str,
    has_token: bool,
) -> Result<Reply, Reply> {
    may_write(repository, has_token)?;
    let release = find(repository, id)?;
    let fields = Fields::read(request)?;
    may_name_a_commit(repository, &fields)?;
    let tag = fields.tag_name.as_ref().unwrap_or(&release.tag);
    if release.is_immutable && fields.tag_name.is_some() {
        return Err(error(422, "Cannot change the tag of an immutable release", "releases/releases"));
    }
    if release.marks.draft && fields.draft == Some(false) && is_published(repository, tag) {
        return Err(invalid("Release", "tag_name", "already_exists"));
    }
    let folder = repository.edit(&release.folder, fields.into_edit());
    Ok(told(site, repository, 200, &folder))
}

fn delete_asset(repository: &mut Repository, id: &str, has_token: bool) -> Result<Reply, Reply> {
    may_write(repository, has_token)?;
    let releases = repository.releases();
    let mut assets =
        releases.iter().flat_map(|release| release.assets.iter().map(move |asset| (release, asset)));
    let Some((release, asset)) = assets.find(|(_, asset)| asset.id.to_string() == id) else {
        return Err(error(404, "Not Found", "releases/assets#delete-a-release-asset"));
    };
    if release.is_immutable {
        return Err(error(422, "Cannot delete asset from an immutable release", "releases/assets"));
    }
    repository.remove(&release.folder, &asset.name);
    Ok(Reply::empty(204))
}

fn upload(
    site: &Site,
    repository: &mut Repository,
    request: &Request,
    id: &str,
    has_token: bool,
) -> Result<Reply, Reply> {
    may_write(repository, has_token)?;
    let release = find(repository, id)?;
    let name = request.query.get("name").filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME);
    let Some(name) = name else { return Err(invalid("ReleaseAsset", "name", "missing_field")) };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    assert!(name.bytes().all(plain), "GitHub would give the asset `{name}` another name");
    if release.is_immutable {
        return Err(error(422, "Cannot upload assets to an immutable release.", "releases/assets"));
    }
    if !request.headers.contains_key("content-length") || !request.headers.contains_key("content-type") {
        return Err(error(
            400,
            "Bad Content-Length or Content-Type",
            "releases/assets#upload-a-release-asset",
        ));
    }
    if release.assets.iter().any(|asset| asset.name == *name) {
        return Err(invalid("ReleaseAsset", "name", "already_exists"));
    }
    repository.store(&release.folder, name, request.is_whole.then_some(&*request.body));
    let release = find(repository, id)?;
    let asset = release.assets.iter().find(|asset| asset.name == *name).expect("it was stored");
    let asset = json::asset(site.hosts(), repository.name(), &release, asset, repository.digests);
    Ok(json(201, &asset))
}

fn find(repository: &mut Repository, id: &str) -> Result<ReleaseEntry, Reply> {
    let release = repository.releases().into_iter().find(|release| release.id.to_string() == id);
    release.ok_or_else(|| error(404, "Not Found", "releases/releases"))
}

fn is_published(repository: &mut Repository, tag: &str) -> bool {
    repository.releases().iter().any(|release| release.tag == tag && !release.marks.draft)
}

/// The release in `folder`, as an answer.
fn told(site: &Site, repository: &mut Repository, status: u16, folder: &str) -> Reply {
    let releases = repository.releases();
    let release = releases.iter().find(|release| release.folder == folder).expect("it was just made");
    json(status, &json::release(site.hosts(), repository.name(), release, repository.digests))
}

/// Who shows no token does not learn what there is to write to.
fn may_write(repository: &Repository, has_token: bool) -> Result<(), Reply> {
    let place = "releases/releases#create-a-release";
    if !has_token {
        return Err(error(404, "Not Found", place));
    }
    if repository.read_only {
        return Err(error(403, "Resource not accessible by personal access token", place)
            .with("x-accepted-github-permissions", "contents=write"));
    }
    Ok(())
}

/// A commit that changes workflows may be tagged only by who may change workflows, and the field alone counts.
fn may_name_a_commit(repository: &Repository, fields: &Fields) -> Result<(), Reply> {
    if repository.guards_workflows && fields.target_commitish.is_some() {
        let place = "releases/releases#create-a-release";
        return Err(error(403, "Resource not accessible by integration", place)
            .with("x-accepted-github-permissions", "contents=write; contents=write,workflows=write"));
    }
    Ok(())
}

fn invalid(resource: &str, field: &str, code: &str) -> Reply {
    let body = json!({
        "message": "Validation Failed",
        "errors": [{"resource": resource, "code": code, "field": field}],
        "documentation_url": "https://docs.github.com/rest/releases/releases#create-a-release",
        "status": "422",
    });
    json(422, &body)
}
