//! What downloads a file: the web host, and the storage to which both other hosts redirect.

use super::repository::Name;
use super::{GitHub, Hosts, Site};
use crate::answer::Reply;
use crate::request::Request;

const STORAGE: &str = "github-production-release-asset";

/// The web host: addresses of public downloads, and nothing else.
pub(super) fn web(site: &Site, request: &Request) -> Reply {
    public_download(site, request)
        .unwrap_or_else(|| Reply::bytes(404, "Not Found").with("Content-Type", "text/plain; charset=utf-8"))
}

fn public_download(site: &Site, request: &Request) -> Option<Reply> {
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (owner, name, tag, file) = match segments[..] {
        [owner, name, "releases", "download", tag, file] => (owner, name, Some(tag), file),
        [owner, name, "releases", "latest", "download", file] => (owner, name, None, file),
        _ => return None,
    };
    let mut repository = site.repository();
    // There is no token for the web host: it knows browsers by their cookies.
    let called = repository.is_called(owner, name).filter(|_| !repository.private)?;
    if called == Name::Former {
        let (web, name) = (&site.hosts().web, repository.name());
        let place = tag.map_or_else(|| "latest/download".to_owned(), |tag| format!("download/{tag}"));
        let location = format!("{web}/{name}/releases/{place}/{file}");
        return Some(Reply::empty(301).with("Location", location));
    }
    let releases = repository.releases();
    let Some(tag) = tag else {
        let (web, name, tag) = (&site.hosts().web, repository.name(), &repository.latest(&releases)?.tag);
        let location = format!("{web}/{name}/releases/download/{tag}/{file}");
        return Some(Reply::empty(302).with("Location", location));
    };
    let release = releases.iter().find(|release| release.tag == tag && !release.marks.draft)?;
    release.assets.iter().find(|asset| asset.name == file && asset.is_whole)?;
    Some(redirect(site.hosts(), &release.folder, file))
}

/// To the storage, with all that it wants to see.
pub(super) fn redirect(hosts: &Hosts, folder: &str, file: &str) -> Reply {
    let (assets, repository) = (&hosts.assets, super::Repository::ID);
    let signature = GitHub::SIGNATURE;
    let location =
        format!("{assets}/{STORAGE}/{repository}/{folder}/{file}?sp=r&sv=2018-11-09&sig={signature}");
    Reply::empty(302).with("Location", location)
}

/// The storage: an address says by its signature that it is valid, and nothing else may say so as well.
pub(super) fn storage(site: &Site, request: &Request) -> Reply {
    let refuse = |status: u16, code: &str| {
        let body = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code></Error>");
        Reply::bytes(status, body).with("Content-Type", "application/xml")
    };
    if request.headers.contains_key("authorization") {
        return refuse(400, "InvalidAuthenticationInfo");
    }
    if request.query.get("sig").map(String::as_str) != Some(GitHub::SIGNATURE) {
        return refuse(403, "AuthenticationFailed");
    }
    let segments = request.segments();
    let [_, _, folder, file] = &segments[..] else { return refuse(404, "ResourceNotFound") };
    let releases = site.repository().releases();
    let release = releases.iter().find(|release| release.folder == *folder);
    let asset = release.and_then(|release| release.assets.iter().find(|asset| asset.name == *file));
    let Some(asset) = asset else { return refuse(404, "BlobNotFound") };
    Reply::file(&asset.path)
        .with("Content-Type", "application/octet-stream")
        .with("Content-Disposition", format!("attachment; filename={file}"))
        .with("Accept-Ranges", "bytes")
}
