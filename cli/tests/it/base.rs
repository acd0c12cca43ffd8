//! `encoderfile base`, and builds on what it fetched.

use std::fs;

use encoderfile_testing::{Server, model_folder};

use crate::sandbox::{HOST, Release, Said, Sandbox, VERSION, runtime};

#[test]
fn fetched_once_then_offline() {
    let sandbox = Sandbox::new();
    sandbox.model("embedding");
    let offline = || sandbox.run(["build", "model", "-o", "out", "--no-download"]);
    let command = format!("encoderfile base fetch --target {HOST} --runtime-version {VERSION}");
    offline().failed(3, &["is not in the cache", &command]);
    assert_eq!(sandbox.leftovers(), [""; 0]);

    let server = Server::start(&Release::get().dist());
    let fetched = sandbox.run(["base", "fetch", "--source", &server.url(), "--json"]).ok().json();
    assert_eq!(fetched[0]["target"], HOST);
    assert_eq!(fetched[0]["was_cached"], false);
    drop(server);

    // The server is gone.
    offline().ok();
    let built = fs::read(sandbox.path("out")).unwrap();
    assert!(built.starts_with(&fs::read(runtime()).unwrap()));
    let report = sandbox.run(["inspect", "--json", "out"]).ok().json();
    assert_eq!(report["base"]["key_id"], fetched[0]["key_id"]);
    assert_eq!(report["base"]["sha256"], fetched[0]["sha256"]);
}

#[test]
fn a_build_fetches_what_it_needs() {
    let sandbox = Sandbox::new();
    let server = Server::start(&Release::get().dist());
    for _ in 0..2 {
        let mut command = sandbox.command();
        command.arg("build").arg(model_folder("embedding")).args(["-o", "out", "--source", &server.url()]);
        Said::from(command.output().unwrap()).ok();
    }
    assert_eq!(server.requests(".tar.zst").len(), 1);
}

#[test]
fn list_and_path_agree() {
    let sandbox = Sandbox::new();
    let list = |arguments: &[&str]| sandbox.run(["base", "list"].iter().chain(arguments)).ok();
    assert_eq!(list(&["--cached", "--json"]).json(), serde_json::json!([]));
    assert!(!sandbox.cache().exists(), "looking creates nothing");
    sandbox.run(["base", "path"]).failed(3, &["is not in the cache", "base fetch"]);

    let dist = Release::get().dist();
    sandbox.run(["base", "fetch", "--source", dist.to_str().unwrap()]).ok();
    let listed = list(&["--cached", "--json"]).json();
    let path = sandbox.run(["base", "path"]).ok().stdout;
    assert_eq!(listed[0]["path"], path.trim_end());
    assert!(fs::read(path.trim_end()).unwrap() == fs::read(runtime()).unwrap());

    let table = list(&[]).stdout;
    assert!(table.lines().all(|line| line.len() <= 80), "{table}");
    assert_eq!(table.lines().count(), 5, "{table}");
    assert_eq!(list(&["--target", HOST, "--json"]).json().as_array().unwrap().len(), 1);
}

#[test]
fn a_directory_may_be_the_release_itself() {
    let sandbox = Sandbox::new();
    let release = Release::get().copy_to(&sandbox.path(""));
    sandbox.run(["base", "fetch", "--source", release.to_str().unwrap()]).ok();
}

#[test]
fn all_is_what_the_release_has() {
    let sandbox = Sandbox::new();
    let dist = Release::get().dist();
    let fetched =
        sandbox.run(["base", "fetch", "--all", "--json", "--source", dist.to_str().unwrap()]).ok().json();
    assert_eq!(fetched.as_array().unwrap().len(), 1);
    sandbox
        .run(["base", "fetch", "--target", "aarch64-apple-darwin", "--source", dist.to_str().unwrap()])
        .failed(3, &["has no base binary for `aarch64-apple-darwin`", HOST]);
}

#[test]
fn what_is_not_there_is_said() {
    let sandbox = Sandbox::new();
    let dist = Release::get().dist();
    let dist = dist.to_str().unwrap();
    sandbox
        .run(["base", "fetch", "--source", dist, "--runtime-version", "9.9.9"])
        .failed(3, &["no release 9.9.9"]);
    let gone = Server::start(&sandbox.path(""));
    let url = gone.url();
    drop(gone);
    sandbox.run(["base", "fetch", "--source", &url]).failed(5, &["cannot download", "hint: "]);
    sandbox.run(["base", "fetch", "--source", "http://mirror.example"]).failed(2, &["--allow-http"]);
    let mut command = sandbox.command();
    command.env_remove("ENCODERFILE_TRUSTED_KEYS").args(["base", "fetch", "--source", dist]);
    Said::from(command.output().unwrap()).failed(4, &["no trusted key", "--trusted-key"]);
}
