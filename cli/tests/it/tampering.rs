//! One flipped byte anywhere on the way, and nothing is built.

use std::fs;
use std::path::PathBuf;

use crate::sandbox::{HOST, Release, Said, Sandbox, VERSION, flip};

fn build(sandbox: &Sandbox, source: &str) -> Said {
    sandbox.run(["build", "model", "-o", "out", "--source", source])
}

#[test]
fn a_damaged_release_is_refused() {
    let archive = format!("encoderfile-runtime-{HOST}.tar.zst");
    for (name, position) in
        [(archive.as_str(), 1000), ("base-index.json", 100), ("base-index.json.minisig", 80)]
    {
        let sandbox = Sandbox::new();
        sandbox.model("embedding");
        let release = Release::get().copy_to(&sandbox.path(""));
        flip(&release.join(name), position);
        build(&sandbox, release.to_str().unwrap()).failed(4, &["error: "]);
        sandbox.run(["base", "fetch", "--source", release.to_str().unwrap()]).failed(4, &["error: "]);
        assert_eq!(sandbox.leftovers(), [""; 0], "{name}");
        let cached = sandbox.run(["base", "list", "--cached", "--json"]).ok().json();
        assert_eq!(cached, serde_json::json!([]), "{name}");
    }
}

fn cached_file(sandbox: &Sandbox) -> PathBuf {
    let path = sandbox.run(["base", "path"]).ok().stdout;
    PathBuf::from(path.trim_end())
}

#[test]
fn a_damaged_cache_is_found_and_repaired() {
    let sandbox = Sandbox::new();
    sandbox.model("embedding");
    let dist = Release::get().dist();
    let dist = dist.to_str().unwrap();
    sandbox.run(["base", "fetch", "--source", dist]).ok();

    let binary = cached_file(&sandbox);
    flip(&binary, 5000);
    sandbox.run(["build", "model", "-o", "out", "--no-download"]).failed(
        4,
        &["does not match its signed index", "expected: sha256", "found:    sha256", "base fetch"],
    );
    assert_eq!(sandbox.leftovers(), [""; 0]);
    sandbox.run(["base", "fetch", "--source", dist]).ok();
    build(&sandbox, dist).ok();

    flip(&binary, 5000);
    sandbox.run(["base", "path"]).failed(4, &["does not match its signed index"]);
}

#[test]
fn a_damaged_index_in_the_cache_is_found() {
    let sandbox = Sandbox::new();
    sandbox.model("embedding");
    let dist = Release::get().dist();
    sandbox.run(["base", "fetch", "--source", dist.to_str().unwrap()]).ok();
    let release = cached_file(&sandbox).parent().unwrap().parent().unwrap().to_owned();
    assert!(release.ends_with(VERSION));
    for name in ["base-index.json", "base-index.json.minisig"] {
        let before = fs::read(release.join(name)).unwrap();
        flip(&release.join(name), 80);
        sandbox.run(["build", "model", "-o", "out", "--no-download"]).failed(4, &["error: "]);
        fs::write(release.join(name), before).unwrap();
    }
    sandbox.run(["build", "model", "-o", "out", "--no-download"]).ok();
}
