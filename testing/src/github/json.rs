//! Releases and their assets in the API's words.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Hosts;
use super::repository::{AssetEntry, ReleaseEntry, untagged};

/// A release of the repository `name`, which is `owner/name`. Not every server tells digests.
pub(super) fn release(hosts: &Hosts, name: &str, release: &ReleaseEntry, digests: bool) -> Value {
    let Hosts { web, api, uploads, .. } = hosts;
    let ReleaseEntry { id, tag, marks, .. } = release;
    let url = format!("{api}/repos/{name}/releases/{id}");
    let assets: Vec<_> =
        release.assets.iter().map(|item| asset(hosts, name, release, item, digests)).collect();
    json!({
        "url": url,
        "assets_url": format!("{url}/assets"),
        "upload_url": format!("{uploads}/repos/{name}/releases/{id}/assets{{?name,label}}"),
        "html_url": format!("{web}/{name}/releases/tag/{}", public_tag(release)),
        "id": id,
        "author": user(hosts),
        "node_id": format!("RE_{id}"),
        "tag_name": tag,
        "target_commitish": marks.commit.as_deref().unwrap_or("main"),
        "name": marks.name.as_ref().unwrap_or(tag),
        "draft": marks.draft,
        "immutable": release.is_immutable,
        "prerelease": marks.prerelease,
        "created_at": time(release),
        "updated_at": time(release),
        "published_at": (!marks.draft).then(|| time(release)),
        "assets": assets,
        "tarball_url": format!("{api}/repos/{name}/tarball/{tag}"),
        "zipball_url": format!("{api}/repos/{name}/zipball/{tag}"),
        "body": marks.body.clone().unwrap_or_else(|| format!("What is new in {tag}.")),
    })
}

/// An asset of a release of the repository `name`, which is `owner/name`.
pub(super) fn asset(
    hosts: &Hosts,
    name: &str,
    release: &ReleaseEntry,
    asset: &AssetEntry,
    digests: bool,
) -> Value {
    let Hosts { web, api, .. } = hosts;
    let AssetEntry { id, name: file, path, is_whole } = asset;
    // Empty where somebody has just deleted it.
    let bytes = std::fs::read(path).unwrap_or_default();
    json!({
        "url": format!("{api}/repos/{name}/releases/assets/{id}"),
        "id": id,
        "node_id": format!("RA_{id}"),
        "name": file,
        "label": "",
        "uploader": user(hosts),
        "content_type": "application/octet-stream",
        "state": if *is_whole { "uploaded" } else { "starter" },
        "size": bytes.len(),
        "digest": (digests && *is_whole).then(|| format!("sha256:{}", hex::encode(Sha256::digest(&bytes)))),
        "download_count": 0,
        "created_at": time(release),
        "updated_at": time(release),
        "browser_download_url": format!("{web}/{name}/releases/download/{}/{file}", public_tag(release)),
    })
}

/// A draft's tag does not exist yet.
fn public_tag(release: &ReleaseEntry) -> String {
    if release.marks.draft { untagged(release.id) } else { release.tag.clone() }
}

/// A day for each release, in their order.
fn time(release: &ReleaseEntry) -> String {
    let (year, month, day) = (2020 + release.age / 336, release.age / 28 % 12 + 1, release.age % 28 + 1);
    format!("{year}-{month:02}-{day:02}T12:00:00Z")
}

fn user(hosts: &Hosts) -> Value {
    let Hosts { web, api, .. } = hosts;
    let url = format!("{api}/users/octocat");
    json!({
        "login": "octocat",
        "id": 583_231,
        "node_id": "MDQ6VXNlcjU4MzIzMQ==",
        "avatar_url": format!("{web}/octocat.png"),
        "gravatar_id": "",
        "url": url,
        "html_url": format!("{web}/octocat"),
        "followers_url": format!("{url}/followers"),
        "following_url": format!("{url}/following{{/other_user}}"),
        "gists_url": format!("{url}/gists{{/gist_id}}"),
        "starred_url": format!("{url}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{url}/subscriptions"),
        "organizations_url": format!("{url}/orgs"),
        "repos_url": format!("{url}/repos"),
        "events_url": format!("{url}/events{{/privacy}}"),
        "received_events_url": format!("{url}/received_events"),
        "type": "User",
        "user_view_type": "public",
        "site_admin": false,
    })
}
