//! A server in the shape of GitHub, whose releases are made through its API.

use std::fs;

use encoderfile_testing::{Fault, GitHub};
use serde_json::{Value, json};

use crate::client::{Folder, Response, get, send};

const WRITER: [(&str, &str); 3] =
    [("User-Agent", "test"), ("Authorization", "Bearer right"), ("Content-Type", "application/json")];

fn github() -> (Folder, GitHub) {
    let folder = Folder::new();
    let github = GitHub::start(folder.path(), "owner/name");
    github.token("right");
    (folder, github)
}

fn write(method: &str, url: &str, body: &Value) -> Response {
    send(method, url, &WRITER, body.to_string().as_bytes()).unwrap()
}

fn create(github: &GitHub, body: &Value) -> Response {
    write("POST", &format!("{}/repos/owner/name/releases", github.api_url()), body)
}

fn draft(github: &GitHub) -> Value {
    let created =
        create(github, &json!({"tag_name": "v0.1.0", "name": "first", "body": "All.", "draft": true}));
    assert_eq!(created.status, 201);
    created.json()
}

fn upload_url(release: &Value, name: &str) -> String {
    let template = release["upload_url"].as_str().unwrap();
    format!("{}?name={name}", template.strip_suffix("{?name,label}").unwrap())
}

fn upload(release: &Value, name: &str, bytes: &[u8]) -> Option<Response> {
    send("POST", &upload_url(release, name), &WRITER, bytes)
}

fn latest(github: &GitHub) -> Response {
    get(&format!("{}/repos/owner/name/releases/latest", github.api_url()), &[])
}

#[test]
fn a_draft_becomes_a_release_with_its_files() {
    let (folder, github) = github();
    let release = draft(&github);
    assert_eq!(
        (&release["draft"], &release["name"], &release["body"]),
        (&json!(true), &json!("first"), &json!("All."))
    );
    assert!(release["upload_url"].as_str().unwrap().starts_with(&github.uploads.url()));
    let asset = upload(&release, "file.txt", b"text of v0.1.0").unwrap();
    assert_eq!(asset.status, 201);
    let digest = "sha256:4e509f4adc61d19f576fa7912ab974420c70b3e69f22b65513c79355389f8711";
    assert_eq!((&asset.json()["state"], &asset.json()["digest"]), (&json!("uploaded"), &json!(digest)));
    assert_eq!(latest(&github).status, 404);
    assert!(!folder.path().join("v0.1.0").exists());

    let url = release["url"].as_str().unwrap();
    let published = write("PATCH", url, &json!({"draft": false})).json();
    assert_eq!((&published["id"], &published["draft"]), (&release["id"], &json!(false)));
    assert_eq!(latest(&github).json(), published);
    assert_eq!(fs::read(folder.path().join("v0.1.0/file.txt")).unwrap(), b"text of v0.1.0");
    let newest = format!("{}/owner/name/releases/latest/download/file.txt", github.server_url());
    let location = &get(&newest, &[]).headers["location"];
    assert_eq!(*location, format!("{}/owner/name/releases/download/v0.1.0/file.txt", github.server_url()));

    let again = create(&github, &json!({"tag_name": "v0.1.0", "draft": true}));
    assert_eq!((again.status, &again.json()["errors"][0]["code"]), (422, &json!("already_exists")));
}

#[test]
fn an_upload_that_breaks_off_leaves_half_an_asset() {
    let (_folder, github) = github();
    let release = draft(&github);
    let assets = || get(release["assets_url"].as_str().unwrap(), &[("Authorization", "Bearer right")]).json();
    github.uploads.misbehave("", Fault::CutRequestAfter(4), 1);
    assert!(upload(&release, "file.txt", b"text of v0.1.0").is_none());
    assert_eq!((&assets()[0]["state"], &assets()[0]["digest"]), (&json!("starter"), &Value::Null));
    let taken = upload(&release, "file.txt", b"text of v0.1.0").unwrap();
    assert_eq!((taken.status, &taken.json()["errors"][0]["code"]), (422, &json!("already_exists")));

    let half = assets()[0].clone();
    assert_eq!(send("DELETE", half["url"].as_str().unwrap(), &WRITER, b"").unwrap().status, 204);
    assert_eq!(send("DELETE", half["url"].as_str().unwrap(), &WRITER, b"").unwrap().status, 404);
    github.uploads.misbehave("", Fault::LoseRequest, 1);
    assert!(upload(&release, "file.txt", b"text of v0.1.0").is_none());
    assert_eq!(assets(), json!([]));
    github.uploads.misbehave_after("", 1, Fault::LoseAnswer, 1);
    assert_eq!(upload(&release, "other.txt", b"text").unwrap().status, 201);
    assert!(upload(&release, "file.txt", b"text of v0.1.0").is_none());
    assert_eq!(assets()[0]["state"], "uploaded");
    assert_ne!(assets()[0]["id"], half["id"]);
    assert_eq!(github.uploads.requests("").last().unwrap().body, b"text of v0.1.0");
}

#[test]
fn only_the_right_token_changes_anything() {
    let (folder, github) = github();
    let release = draft(&github);
    let url = release["url"].as_str().unwrap();
    let body = br#"{"tag_name": "v0.2.0"}"#;
    for (authorization, status) in [(None, 404), (Some(("Authorization", "Bearer wrong")), 401)] {
        let headers: Vec<_> = [WRITER[0], WRITER[2]].into_iter().chain(authorization).collect();
        let list = format!("{}/repos/owner/name/releases", github.api_url());
        for (method, url) in [("POST", &*list), ("PATCH", url), ("POST", &*upload_url(&release, "file.txt"))]
        {
            assert_eq!(send(method, url, &headers, body).unwrap().status, status, "{method} {url}");
        }
    }
    github.read_only();
    let refused = create(&github, &json!({"tag_name": "v0.2.0"}));
    assert_eq!((refused.status, &*refused.headers["x-accepted-github-permissions"]), (403, "contents=write"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn the_latest_is_the_one_that_was_declared_so() {
    let (_folder, github) = github();
    let publish = |tag: &str, make_latest: &str| {
        let body = json!({"tag_name": tag, "draft": false, "make_latest": make_latest});
        assert_eq!(create(&github, &body).status, 201);
        latest(&github).json()["tag_name"].clone()
    };
    assert_eq!(publish("v0.2.0", "true"), "v0.2.0");
    assert_eq!(publish("v0.1.1", "false"), "v0.2.0");
    assert_eq!(publish("v0.3.0", "true"), "v0.3.0");
}

#[test]
fn what_is_immutable_is_so_once_it_is_published() {
    let (_folder, github) = github();
    github.immutable_releases();
    let release = draft(&github);
    upload(&release, "file.txt", b"text").unwrap();
    let published = write("PATCH", release["url"].as_str().unwrap(), &json!({"draft": false})).json();
    assert_eq!(published["immutable"], true);
    assert_eq!(upload(&release, "late.txt", b"text").unwrap().status, 422);
    let asset = published["assets"][0]["url"].as_str().unwrap();
    assert_eq!(send("DELETE", asset, &WRITER, b"").unwrap().status, 422);
    assert_eq!(write("PATCH", release["url"].as_str().unwrap(), &json!({"tag_name": "v9"})).status, 422);
}

#[test]
fn a_tag_leads_to_its_commit() {
    let (_folder, github) = github();
    let api = format!("{}/repos/owner/name", github.api_url());
    let reference = || get(&format!("{api}/git/ref/tags/v0.1.0"), &[]);
    assert_eq!(reference().status, 404);
    let commit = "0123456789abcdef0123456789abcdef01234567";
    github.tag("v0.1.0", commit);
    assert_eq!(reference().json()["ref"], "refs/tags/v0.1.0");
    assert_eq!(
        (&reference().json()["object"]["type"], &reference().json()["object"]["sha"]),
        (&json!("commit"), &json!(commit))
    );

    github.annotated_tag("v0.1.0", commit, 2);
    let mut object = reference().json()["object"].clone();
    for _ in 0..2 {
        assert_eq!(object["type"], "tag");
        let url = object["url"].as_str().unwrap();
        assert_eq!(url, format!("{api}/git/tags/{}", object["sha"].as_str().unwrap()));
        object = get(url, &[]).json()["object"].clone();
    }
    assert_eq!((&object["type"], &object["sha"]), (&json!("commit"), &json!(commit)));
    github.untag("v0.1.0");
    assert_eq!(reference().status, 404);
}

#[test]
fn publishing_tags_the_commit_that_is_named_or_the_newest() {
    let (_folder, github) = github();
    let tagged = |tag: &str| get(&format!("{}/repos/owner/name/git/ref/tags/{tag}", github.api_url()), &[]);
    let commit = "0123456789abcdef0123456789abcdef01234567";
    create(&github, &json!({"tag_name": "v0.1.0", "draft": true, "target_commitish": commit}));
    assert_eq!(tagged("v0.1.0").status, 404, "a draft tags nothing");
    create(&github, &json!({"tag_name": "v0.2.0", "target_commitish": commit, "draft": false}));
    assert_eq!(tagged("v0.2.0").json()["object"]["sha"], commit);
    create(&github, &json!({"tag_name": "v0.3.0", "draft": false}));
    assert_eq!(tagged("v0.3.0").json()["object"]["sha"], "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d");
    github.tag("v0.4.0", "1123456789abcdef0123456789abcdef01234567");
    create(&github, &json!({"tag_name": "v0.4.0", "target_commitish": commit, "draft": false}));
    assert_eq!(tagged("v0.4.0").json()["object"]["sha"], "1123456789abcdef0123456789abcdef01234567");
}

#[test]
fn who_may_not_change_workflows_names_no_commit() {
    let (_folder, github) = github();
    let release = draft(&github);
    github.guard_workflows();
    github.tag("v0.1.0", "main");
    let url = release["url"].as_str().unwrap();
    let named = json!({"tag_name": "v0.1.0", "target_commitish": "main"});
    for refused in [create(&github, &named), write("PATCH", url, &named)] {
        assert_eq!(refused.status, 403);
        assert!(refused.headers["x-accepted-github-permissions"].contains("workflows=write"));
    }
    assert_eq!(write("PATCH", url, &json!({"tag_name": "v0.1.0", "draft": false})).status, 200);
}
