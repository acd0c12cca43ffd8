//! A server in the shape of GitHub.

use encoderfile_testing::{Fault, GitHub};
use serde_json::{Value, json};

use crate::client::{Folder, Response, get, request};

const TOKEN: &[(&str, &str)] = &[("Authorization", "Bearer right")];

/// Releases with these tags, each with one asset.
fn github(tags: &[&str]) -> (Folder, GitHub) {
    let folder = Folder::new();
    for tag in tags {
        folder.write(&format!("{tag}/file.txt"), format!("text of {tag}").as_bytes());
    }
    let github = GitHub::start(folder.path(), "owner/name");
    (folder, github)
}

fn api(github: &GitHub, path: &str, headers: &[(&str, &str)]) -> Response {
    get(&format!("{}/repos/owner/name{path}", github.api_url()), headers)
}

fn download(github: &GitHub, tag: &str, headers: &[(&str, &str)]) -> Response {
    get(&format!("{}/owner/name/releases/download/{tag}/file.txt", github.server_url()), headers)
}

fn tags(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|release| release["tag_name"].as_str().unwrap()).collect()
}

#[test]
fn a_list_has_pages_with_links() {
    let all: Vec<String> = (0..65).map(|patch| format!("v0.1.{patch}")).collect();
    let (_folder, github) = github(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let list = format!("{}/repositories/1296269/releases", github.api_url());

    let first = api(&github, "/releases", &[]);
    assert_eq!(tags(&first.json()), all.iter().rev().take(30).collect::<Vec<_>>());
    assert_eq!(first.link("next"), Some(&*format!("{list}?page=2")));
    assert_eq!(first.link("last"), Some(&*format!("{list}?page=3")));
    assert_eq!((first.link("prev"), first.link("first")), (None, None));

    let mut seen = tags(&first.json()).len();
    let mut page = first;
    while let Some(next) = page.link("next") {
        page = get(next, &[]);
        seen += tags(&page.json()).len();
    }
    assert_eq!(seen, 65);
    assert_eq!(page.link("prev"), Some(&*format!("{list}?page=2")));
    assert_eq!(page.link("first"), Some(&*format!("{list}?page=1")));
    assert_eq!(page.link("last"), None);

    let second = api(&github, "/releases?per_page=20&page=2", &[]);
    assert_eq!(tags(&second.json())[0], "v0.1.44");
    assert_eq!(second.link("next"), Some(&*format!("{list}?per_page=20&page=3")));
    assert_eq!(tags(&api(&github, "/releases?per_page=1000", &[]).json()).len(), 65);
    assert_eq!(api(&github, "/releases?page=9", &[]).json(), json!([]));
}

#[test]
fn a_page_has_no_more_than_a_hundred() {
    let all: Vec<String> = (0..101).map(|patch| format!("v0.1.{patch}")).collect();
    let (_folder, github) = github(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let page = api(&github, "/releases?per_page=1000", &[]);
    assert_eq!(tags(&page.json()).len(), 100);
    assert!(page.link("next").unwrap().ends_with("?per_page=100&page=2"));
}

#[test]
fn the_newest_comes_first_whatever_its_version() {
    let (folder, github) = github(&["docs-1", "v0.10.0", "v0.9.0", "v0.10.0-rc.1", "v0.10.0-rc.10"]);
    folder.write("v0.9.1/file.txt", b"text");
    let list = api(&github, "/releases", &[]).json();
    assert_eq!(tags(&list), ["v0.9.1", "v0.10.0", "v0.10.0-rc.10", "v0.10.0-rc.1", "v0.9.0", "docs-1"]);
    let dates: Vec<_> = list.as_array().unwrap().iter().map(|item| item["created_at"].as_str()).collect();
    assert!(dates.is_sorted_by(|newer, older| newer > older), "{dates:?}");
    let numbers = |list: &Value| list[5]["id"].clone();
    folder.write("v0.1.0/file.txt", b"text");
    assert_eq!(numbers(&list), api(&github, "/releases", &[]).json()[6]["id"]);
}

#[test]
fn one_release_is_found_in_four_ways() {
    let (_folder, github) = github(&["v0.1.0", "v0.2.0-rc.1"]);
    github.prerelease("v0.2.0-rc.1");
    let list = api(&github, "/releases", &[]).json();
    assert_eq!((&list[0]["prerelease"], &list[1]["prerelease"]), (&json!(true), &json!(false)));
    let release = &list[1];
    assert_eq!(api(&github, "/releases/latest", &[]).json(), *release);
    assert_eq!(api(&github, "/releases/tags/v0.1.0", &[]).json(), *release);
    assert_eq!(api(&github, &format!("/releases/{}", release["id"]), &[]).json(), *release);
    assert_eq!(get(release["url"].as_str().unwrap(), &[]).json(), *release);
    assert_eq!(get(release["assets_url"].as_str().unwrap(), &[]).json(), release["assets"]);

    let missing = api(&github, "/releases/tags/v0.3.0", &[]);
    assert_eq!((missing.status, &missing.json()["message"]), (404, &json!("Not Found")));
    assert_eq!(missing.json()["status"], "404");
    for path in ["/repos/owner/other/releases", "/repos/owner/name", "/"] {
        assert_eq!(get(&format!("{}{path}", github.api_url()), &[]).status, 404, "{path}");
    }
}

#[test]
fn a_release_has_what_clients_need() {
    let (_folder, github) = github(&["v0.1.0"]);
    let release = &api(&github, "/releases", &[]).json()[0];
    let strings = |value: &Value, names: &[&str]| {
        for name in names {
            assert!(value[name].is_string(), "{name} of {value}");
        }
    };
    strings(release, &["url", "html_url", "assets_url", "upload_url", "tarball_url", "zipball_url", "body"]);
    strings(release, &["node_id", "tag_name", "target_commitish", "name", "created_at", "published_at"]);
    let asset = &release["assets"][0];
    strings(asset, &["url", "browser_download_url", "node_id", "state", "content_type", "created_at"]);
    assert_eq!((&asset["name"], &asset["size"]), (&json!("file.txt"), &json!(14)));
    let digest = "sha256:4e509f4adc61d19f576fa7912ab974420c70b3e69f22b65513c79355389f8711";
    assert_eq!((&asset["updated_at"], &asset["digest"]), (&release["created_at"], &json!(digest)));
    for user in [&release["author"], &asset["uploader"]] {
        strings(user, &["login", "node_id", "avatar_url", "gravatar_id", "url", "html_url", "type"]);
        strings(user, &["followers_url", "following_url", "gists_url", "starred_url", "subscriptions_url"]);
        strings(user, &["organizations_url", "repos_url", "events_url", "received_events_url"]);
        assert!(user["id"].is_u64() && user["site_admin"].is_boolean(), "{user}");
    }
}

#[test]
fn a_download_is_redirected_to_the_storage_which_knows_ranges() {
    let (_folder, github) = github(&["v0.1.0"]);
    let asset = &api(&github, "/releases/latest", &[]).json()["assets"][0];
    let by_web = get(asset["browser_download_url"].as_str().unwrap(), &[]);
    let by_api = get(asset["url"].as_str().unwrap(), &[("Accept", "application/octet-stream")]);
    assert_eq!(get(asset["url"].as_str().unwrap(), &[]).json(), *asset);
    for redirect in [by_web, by_api] {
        assert_eq!(redirect.status, 302);
        let location = &*redirect.headers["location"];
        assert!(location.starts_with(&github.assets.url()), "{location}");
        assert!(location.ends_with(&format!("/file.txt?sp=r&sv=2018-11-09&sig={}", GitHub::SIGNATURE)));
        assert_eq!(get(location, &[]).body, b"text of v0.1.0");
        let part = get(location, &[("Range", "bytes=8-")]);
        assert_eq!((part.status, &*part.headers["content-range"]), (206, "bytes 8-13/14"));
        assert_eq!(part.body, b"v0.1.0");
        assert_eq!(get(location, TOKEN).status, 400);
        assert_eq!(get(location.split_once('?').unwrap().0, &[]).status, 403);
    }
    let tokens = github.assets.requests("/file.txt").into_iter();
    assert_eq!(tokens.filter(|request| request.headers.contains_key("authorization")).count(), 2);
    assert_eq!(download(&github, "v0.2.0", &[]).status, 404);
    assert_eq!(download(&github, "..", &[]).status, 404);
}

#[test]
fn a_private_repository_is_there_for_its_token_alone() {
    let (_folder, github) = github(&["v0.1.0"]);
    github.private("right");
    for path in ["/releases", "/releases/latest", "/releases/tags/v0.1.0", "/releases/assets/9000000"] {
        assert_eq!(api(&github, path, &[]).status, 404, "{path}");
        for wrong in ["Bearer wrong", "token", "Basic right"] {
            let refused = api(&github, path, &[("Authorization", wrong)]);
            assert_eq!((refused.status, &refused.json()["message"]), (401, &json!("Bad credentials")));
        }
        assert_eq!(api(&github, path, TOKEN).status, 200, "{path}");
        assert_eq!(api(&github, path, &[("Authorization", "token right")]).status, 200, "{path}");
    }
    assert_eq!(download(&github, "v0.1.0", &[]).status, 404);
    assert_eq!(download(&github, "v0.1.0", TOKEN).status, 404);
    let accept = ("Accept", "application/octet-stream");
    assert_eq!(api(&github, "/releases/assets/9000000", &[accept]).status, 404);
    assert_eq!(api(&github, "/releases/assets/9000000", &[accept, TOKEN[0]]).status, 302);
}

#[test]
fn a_token_that_nobody_knows_is_refused_where_none_is_needed() {
    let (_folder, github) = github(&["v0.1.0"]);
    assert_eq!(api(&github, "/releases", TOKEN).status, 401);
    assert_eq!(download(&github, "v0.1.0", TOKEN).status, 302);
    github.token("right");
    assert_eq!(api(&github, "/releases", TOKEN).status, 200);
    assert_eq!(api(&github, "/releases", &[]).status, 200);
}

#[test]
fn a_draft_is_hidden() {
    let (_folder, github) = github(&["v0.1.0", "v0.2.0"]);
    github.token("right");
    let id = api(&github, "/releases/latest", &[]).json()["id"].clone();
    github.draft("v0.2.0");
    assert_eq!(tags(&api(&github, "/releases", &[]).json()), ["v0.1.0"]);
    let list = api(&github, "/releases", TOKEN).json();
    assert_eq!(tags(&list), ["v0.2.0", "v0.1.0"]);
    assert_eq!((&list[0]["draft"], &list[0]["published_at"]), (&json!(true), &Value::Null));
    for headers in [&[], TOKEN] {
        assert_eq!(api(&github, "/releases/latest", headers).json()["tag_name"], "v0.1.0");
        assert_eq!(api(&github, "/releases/tags/v0.2.0", headers).status, 404);
        assert_eq!(download(&github, "v0.2.0", headers).status, 404);
    }
    let asset = list[0]["assets"][0]["url"].as_str().unwrap();
    assert_eq!((get(asset, &[]).status, get(asset, TOKEN).status), (404, 200));
    let number = format!("/releases/{id}");
    assert_eq!((api(&github, &number, &[]).status, api(&github, &number, TOKEN).status), (404, 200));

    github.publish("v0.2.0");
    assert_eq!(api(&github, "/releases/latest", &[]).json()["tag_name"], "v0.2.0");
    assert_eq!(download(&github, "v0.2.0", &[]).status, 302);
}

#[test]
fn what_is_left_of_the_rate_limit_is_told_until_nothing_is() {
    let (_folder, github) = github(&["v0.1.0"]);
    github.rate_limit(2, 1_900_000_000);
    for (path, status, remaining) in
        [("/releases", 200, "1"), ("/releases/tags/none", 404, "0"), ("/releases", 403, "0")]
    {
        let answer = api(&github, path, &[]);
        assert_eq!((answer.status, &*answer.headers["x-ratelimit-remaining"]), (status, remaining));
        assert_eq!(answer.headers["x-ratelimit-limit"], "60");
        assert_eq!(answer.headers["x-ratelimit-used"], if remaining == "1" { "59" } else { "60" });
        assert_eq!(answer.headers["x-ratelimit-reset"], "1900000000");
        assert_eq!(answer.headers["x-ratelimit-resource"], "core");
    }
    let message = api(&github, "/releases", &[]).json()["message"].clone();
    assert!(message.as_str().unwrap().starts_with("API rate limit exceeded for "), "{message}");
    assert_eq!(download(&github, "v0.1.0", &[]).status, 302, "downloads cost no call");
    github.rate_limit(1, 1_900_000_000);
    assert_eq!(api(&github, "/releases", &[]).status, 200);
}

#[test]
fn a_secondary_rate_limit_says_when_to_come_again() {
    let (_folder, github) = github(&["v0.1.0"]);
    github.secondary_rate_limit(7, 2);
    for _ in 0..2 {
        let refused = api(&github, "/releases", &[]);
        assert_eq!((refused.status, &*refused.headers["retry-after"]), (429, "7"));
        assert_ne!(refused.headers["x-ratelimit-remaining"], "0");
        assert!(refused.json()["message"].as_str().unwrap().contains("secondary rate limit"));
    }
    assert_eq!(api(&github, "/releases", &[]).status, 200);
}

#[test]
fn a_former_name_leads_to_the_present_one() {
    let (_folder, github) = github(&["v0.1.0"]);
    github.moved_to("new/home");
    let moved = api(&github, "/releases?per_page=5", &[]);
    let location = format!("{}/repositories/1296269/releases?per_page=5", github.api_url());
    assert_eq!((moved.status, &moved.headers["location"]), (301, &location));
    assert_eq!(moved.json()["url"], location);
    let list = get(&location, &[]).json();
    assert_eq!(tags(&list), ["v0.1.0"]);
    assert_eq!(list[0]["url"], format!("{}/repos/new/home/releases/5000000", github.api_url()));
    assert_eq!(get(&format!("{}/repos/New/Home/releases", github.api_url()), &[]).json(), list);

    let moved = download(&github, "v0.1.0", &[]);
    assert_eq!(moved.status, 301);
    assert_eq!(get(&moved.headers["location"], &[]).status, 302);

    github.private("right");
    assert_eq!(api(&github, "/releases", &[]).status, 404, "not even where it went");
    assert_eq!(download(&github, "v0.1.0", &[]).status, 404);
}

#[test]
fn faults_strike_each_host_and_cost_no_call() {
    let (_folder, github) = github(&["v0.1.0"]);
    github.rate_limit(1, 1_900_000_000);
    github.api.misbehave("/releases", Fault::Status(502, vec![]), 1);
    github.web.misbehave("/file.txt", Fault::Status(503, vec![]), 1);
    github.assets.misbehave("/file.txt", Fault::CutAfter(4), 1);
    assert_eq!(api(&github, "/releases", &[]).status, 502);
    assert_eq!(api(&github, "/releases", &[]).status, 200);
    assert_eq!(github.api.requests("/releases").len(), 2);
    assert_eq!(download(&github, "v0.1.0", &[]).status, 503);
    let location = download(&github, "v0.1.0", &[]).headers["location"].clone();
    assert_eq!(get(&location, &[]).body, b"text");
    assert_eq!(get(&location, &[]).body, b"text of v0.1.0");
}

#[test]
fn the_api_wants_a_get_with_a_name() {
    let (_folder, github) = github(&["v0.1.0"]);
    let url = format!("{}/repos/owner/name/releases", github.api_url());
    assert_eq!(request("GET", &url, &[]).status, 403);
    assert_eq!(request("POST", &url, &[("User-Agent", "test")]).status, 404);
}
