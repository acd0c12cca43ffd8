//! The commands of `encoderfile base`, on small releases.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use encoderfile_testing::{Fault, Release};
use serde_json::{Value, json};

use crate::sandbox::{HOST, Said, flip};
use crate::shelf::{Shelf, TARGETS};

fn versions(listed: &Value) -> Vec<&str> {
    let entries = listed.as_array().unwrap().iter();
    let mut versions: Vec<_> = entries.map(|entry| entry["version"].as_str().unwrap()).collect();
    versions.dedup();
    versions
}

fn count(listed: &Value, cached: bool) -> usize {
    listed.as_array().unwrap().iter().filter(|entry| entry["cached"] == cached).count()
}

#[test]
fn list_knows_without_a_network_what_the_cache_knows() {
    let shelf = Shelf::with(&["0.3.0"]);
    shelf.run(&["base", "fetch", "--runtime-version", "0.3.0"]).ok();
    let listed = shelf.run_alone(&["base", "list", "--json", "--runtime-version", "0.3.0"]).ok().json();
    assert_eq!((count(&listed, true), count(&listed, false)), (1, 3), "{listed}");
    assert!(listed.as_array().unwrap().iter().all(|entry| entry["key_id"] == shelf.key.id()));
    let table = shelf.run_alone(&["base", "list"]).ok().stdout;
    insta::with_settings!({filters => vec![(r"[0-9A-F]{16}", "[KEY]")]}, {
        insta::assert_snapshot!("base_list", table);
    });
    assert!(table.lines().all(|line| line.len() <= 80), "{table}");
}

#[test]
fn list_remote_shows_what_the_sources_have() {
    let shelf = Shelf::with(&["0.1.0", "0.2.0", "0.3.0-rc.1"]);
    shelf.run(&["base", "fetch", "--runtime-version", "0.2.0"]).ok();
    let listed = shelf.run(&["base", "list", "--remote", "--json"]).ok().json();
    assert_eq!(versions(&listed), ["0.2.0", "0.1.0"]);
    assert_eq!(count(&listed, true), 1);
    let with_pre = shelf.run(&["base", "list", "--remote", "--pre", "--json"]).ok().json();
    assert_eq!(versions(&with_pre), ["0.3.0-rc.1", "0.2.0", "0.1.0"]);
    let some = shelf.run(&["base", "list", "--remote", "--json", "--runtime-version", "<0.2"]).ok().json();
    assert_eq!(versions(&some), ["0.1.0"]);
    let table = shelf.run(&["base", "list", "--remote", "--target", TARGETS[0]]).ok().stdout;
    insta::assert_snapshot!("base_list_remote", table);

    shelf.run(&["base", "list", "--remote", "--offline"]).failed(3, &["downloads are turned off"]);
    shelf.run_alone(&["base", "list", "--remote"]).failed(3, &["nowhere", "does not exist"]);
}

#[test]
fn fetch_takes_requirements_and_says_what_they_came_to() {
    let shelf = Shelf::with(&["0.1.0", "0.2.0", "0.2.1", "0.3.0-rc.1"]);
    for (requirement, version) in [("latest", "0.2.1"), ("^0.1", "0.1.0"), ("^0.3.0-rc.0", "0.3.0-rc.1")] {
        let said = shelf.run(&["base", "fetch", "--json", "--runtime-version", requirement]).ok();
        assert_eq!(said.json()[0]["version"], version);
        assert!(said.stderr.contains(&format!("{requirement} to {version}")), "{}", said.stderr);
    }
    let pre = shelf.run(&["base", "fetch", "--json", "--runtime-version", "latest", "--pre"]).ok().json();
    assert_eq!(pre[0]["version"], "0.3.0-rc.1");
    shelf.run(&["base", "fetch", "--runtime-version", "^0.3"]).failed(3, &["no release satisfies", "--pre"]);
    shelf.run(&["base", "fetch", "--runtime-version", "v0.2.0"]).failed(2, &["did you mean `0.2.0`?"]);

    fs::remove_dir_all(shelf.dist().join("v0.2.1")).unwrap();
    let latest = ["base", "fetch", "--runtime-version", "latest"];
    shelf.run(&latest).failed(4, &["found: 0.2.0", "seen:  0.2.1", "--allow-downgrade"]);
    shelf.run(&[&latest[..], &["--allow-downgrade"]].concat()).ok();
    shelf
        .run_alone(&["base", "path", "--runtime-version", "^7"])
        .failed(3, &["satisfies `^7`", &format!("base fetch --target {HOST} --runtime-version '^7'`")]);
    shelf
        .run_alone(&["base", "fetch", "--runtime-version", "^7", "--offline"])
        .failed(3, &["no release satisfies `^7`", "base fetch --runtime-version '^7'`"]);
    // Without a network, the cache decides.
    shelf.run_alone(&["base", "remove", "--runtime-version", "0.3.0-rc.1"]).ok();
    let path = shelf.run_alone(&["base", "path", "--runtime-version", "latest", "--offline"]).ok().stdout;
    assert!(path.contains("/0.2.1/"), "{path}");
}

#[test]
fn a_dry_run_downloads_nothing() {
    let shelf = Shelf::with(&["0.2.0"]);
    let server = shelf.serve();
    let plan = |arguments: &[&str]| {
        let fetch = ["base", "fetch", "--runtime-version", "0.2.0", "--dry-run", "--source"];
        shelf.run(&[&fetch[..], &[&*server.url()], arguments].concat()).ok()
    };
    let planned = plan(&["--all", "--json"]).json();
    assert_eq!(planned.as_array().unwrap().len(), 4);
    assert_eq!(planned[0]["download_length"], planned[0]["archive_length"]);
    assert!(!shelf.sandbox.cache().exists() && server.requests(".tar.zst").is_empty());

    shelf.run(&["base", "fetch", "--runtime-version", "0.2.0", "--target", TARGETS[1]]).ok();
    let said = plan(&["--all"]).stdout;
    assert_eq!(said.matches("would download").count(), 3, "{said}");
    assert!(said.contains(&format!("cached: {} 0.2.0", TARGETS[1])), "{said}");
    let forced = plan(&["--all", "--force", "--json"]).json();
    assert!(forced.as_array().unwrap().iter().all(|plan| plan["cached"] == false));
}

#[test]
fn verify_proves_everything_and_one_command_repairs() {
    let shelf = Shelf::with(&["0.1.0", "0.2.0"]);
    for version in ["0.1.0", "0.2.0"] {
        shelf.run(&["base", "fetch", "--all", "--runtime-version", version]).ok();
    }
    let verified = shelf.run_alone(&["base", "verify", "--all", "--json"]).ok().json();
    assert_eq!(verified.as_array().unwrap().len(), 8);
    flip(&shelf.cached("0.1.0", TARGETS[0]), 7);
    flip(&shelf.cached("0.2.0", TARGETS[2]), 7);

    // The others are verified all the same, and each fault is told.
    let said = shelf.run_alone(&["base", "verify", "--json"]);
    assert_eq!(said.code, 4);
    let reports = said.json();
    let invalid = |report: &&Value| report["valid"] == false;
    assert_eq!(reports.as_array().unwrap().iter().filter(invalid).count(), 2, "{reports}");
    for (version, target) in [("0.1.0", TARGETS[0]), ("0.2.0", TARGETS[2])] {
        let repair = format!("encoderfile base fetch --target {target} --runtime-version {version}");
        assert!(said.stderr.contains(&repair), "{}", said.stderr);
        shelf.run(&["base", "fetch", "--target", target, "--runtime-version", version]).ok();
    }
    shelf.run_alone(&["base", "verify"]).ok();
    // What nobody has mended stays a failure, also when it was told before.
    flip(&shelf.cached("0.1.0", TARGETS[0]), 7);
    for _ in 0..2 {
        shelf.run_alone(&["base", "verify"]).failed(4, &["0.1.0", TARGETS[0], "base fetch"]);
    }
    let listed = shelf.run_alone(&["base", "list", "--cached", "--json"]).ok().json();
    let damaged: Vec<_> =
        listed.as_array().unwrap().iter().filter(|entry| entry["damaged"] == true).collect();
    assert_eq!(damaged.len(), 1, "{listed}");
    assert!(shelf.run_alone(&["base", "list"]).ok().stdout.contains(" damaged  "));
    shelf.run(&["base", "fetch", "--target", TARGETS[0], "--runtime-version", "0.1.0"]).ok();
    shelf.run_alone(&["base", "verify"]).ok();
    let some = ["base", "verify", "--json", "--target", HOST, "--runtime-version", "^0.1"];
    assert_eq!(shelf.run_alone(&some).ok().json().as_array().unwrap().len(), 1);
}

#[test]
fn verify_does_not_believe_a_key_that_is_not_trusted_any_more() {
    let shelf = Shelf::with(&["0.2.0"]);
    shelf.run(&["base", "fetch", "--runtime-version", "0.2.0"]).ok();
    let key = shelf.key.id();
    shelf.run_alone(&["base", "verify", "--revoked-key", &key]).failed(4, &["revoked"]);
    let fetch = ["base", "fetch", "--runtime-version", "0.2.0", "--revoked-key", &key];
    let said = shelf.run(&fetch).failed(4, &["which is revoked"]);
    assert!(!said.stderr.contains("--trusted-key") && !said.stderr.contains("repair"), "{}", said.stderr);
    shelf
        .run_alone(&["base", "path", "--runtime-version", "0.2.0", "--revoked-key", &key])
        .failed(3, &["is revoked"]);
    let list = |more: &[&str]| shelf.run_alone(&[&["base", "list", "--cached"], more].concat()).ok().stdout;
    assert!(list(&["--revoked-key", &key]).contains(&format!("{key} (revoked)")));
    assert!(!list(&[]).contains('('));
}

#[test]
fn remove_takes_what_is_named_and_nothing_else() {
    let shelf = Shelf::with(&["0.1.0", "0.2.0"]);
    for version in ["0.1.0", "0.2.0"] {
        shelf.run(&["base", "fetch", "--all", "--runtime-version", version]).ok();
    }
    let cached = || shelf.run_alone(&["base", "list", "--cached", "--json"]).ok().json();
    shelf.run_alone(&["base", "remove"]).failed(2, &["--target", "--all"]);
    let dry = shelf.run_alone(&["base", "remove", "--all", "--dry-run"]).ok().stdout;
    assert_eq!(dry.matches("would remove").count(), 8, "{dry}");
    assert_eq!(cached().as_array().unwrap().len(), 8);

    shelf.run_alone(&["base", "remove", "--target", TARGETS[0], "--runtime-version", "<0.2"]).ok();
    assert_eq!(cached().as_array().unwrap().len(), 7);
    let removed = shelf.run_alone(&["base", "remove", "--runtime-version", "0.1.0", "--json"]).ok().json();
    assert_eq!(removed["base_binaries"].as_array().unwrap().len(), 3);
    assert_eq!(versions(&cached()), ["0.2.0"]);
    shelf.run_alone(&["base", "remove", "--all"]).ok();
    assert_eq!(cached(), json!([]));
    let again = shelf.run_alone(&["base", "remove", "--all"]).ok();
    assert!(again.stderr.contains("nothing of this is cached"), "{}", again.stderr);
}

#[test]
fn prune_keeps_the_newest_and_removes_leftovers() {
    let shelf = Shelf::with(&["0.1.0", "0.2.0", "0.3.0"]);
    for version in ["0.1.0", "0.2.0", "0.3.0"] {
        shelf.run(&["base", "fetch", "--runtime-version", version]).ok();
    }
    let cached = || shelf.run_alone(&["base", "list", "--cached", "--json"]).ok().json();
    let partial = shelf.sandbox.cache().join("base/v1/partial").join("0".repeat(64));
    fs::write(&partial, "begun").unwrap();

    let dry = shelf.run_alone(&["base", "prune", "--keep", "1", "--dry-run", "--json"]).ok().json();
    assert_eq!(versions(&dry["base_binaries"]), ["0.1.0", "0.2.0"]);
    assert_eq!(dry["leftovers"][0]["kind"], "interrupted download");
    assert!(partial.exists());

    // Nothing but leftovers goes without being asked for.
    shelf.run_alone(&["base", "prune"]).ok();
    assert!(!partial.exists());
    assert_eq!(versions(&cached()), ["0.3.0", "0.2.0", "0.1.0"]);
    shelf.run_alone(&["base", "prune", "--keep", "1", "--older-than", "30d"]).ok();
    assert_eq!(versions(&cached()).len(), 3);
    shelf.run_alone(&["base", "prune", "--keep", "2"]).ok();
    assert_eq!(versions(&cached()), ["0.3.0", "0.2.0"]);
    shelf.run_alone(&["base", "prune", "--older-than", "0s"]).ok();
    assert_eq!(cached(), json!([]));
    for (time, reason) in [("soon", "30d"), ("-3d", "has passed"), ("99999y", "")] {
        shelf.run_alone(&["base", "prune", &format!("--older-than={time}")]).failed(2, &[reason]);
    }
}

#[test]
fn a_bundle_crosses_the_air_gap_and_proves_itself() {
    let shelf = Shelf::with(&["0.2.0"]);
    let export = ["base", "export", "--all", "--runtime-version", "0.2.0", "-o", "bundle"];
    let exported = shelf.run(&[&export[..], &["--json"]].concat()).ok().json();
    assert_eq!(exported["base_binaries"].as_array().unwrap().len(), 4);
    shelf.run(&export).failed(1, &["`bundle` is there already", "--force"]);
    let bytes = fs::read(shelf.sandbox.path("bundle")).unwrap();
    shelf.run(&[&export[..], &["--force"]].concat()).ok();
    assert!(bytes == fs::read(shelf.sandbox.path("bundle")).unwrap(), "the same bytes every time");

    let import = |cache: &str, file: &str| {
        shelf.run_alone(&["base", "import", file, "--offline", "--cache-dir", cache])
    };
    import("far", "bundle").ok();
    let verified = shelf.run_alone(&["base", "verify", "--json", "--cache-dir", "far"]).ok().json();
    assert_eq!(verified.as_array().unwrap().len(), 4);
    let listed = shelf.run_alone(&["base", "list", "--cached", "--json", "--cache-dir", "far"]).ok().json();
    assert_eq!(listed[0]["source"], "bundle bundle");

    // Another key, other bytes, another file: nothing is believed.
    let mut strange = shelf.sandbox.bare_command();
    strange.args(["base", "import", "bundle", "--cache-dir", "strange"]);
    Said::from(strange.output().unwrap()).failed(4, &["no trusted key", "--trusted-key"]);
    let revoked = ["base", "import", "bundle", "--cache-dir", "revoked", "--revoked-key", &shelf.key.id()];
    let said = shelf.run_alone(&revoked).failed(4, &["which is revoked"]);
    assert!(!said.stderr.contains("export it again"), "{}", said.stderr);
    flip(&shelf.sandbox.path("bundle"), bytes.len() / 2);
    import("damaged", "bundle").failed(4, &["bundle `bundle` cannot be imported"]);
    fs::write(shelf.sandbox.path("text"), "hello").unwrap();
    import("damaged", "text").failed(4, &["`text` cannot be imported", "base export"]);
    import("damaged", "absent").failed(1, &["cannot open `absent`"]);
    assert_eq!(
        shelf.run_alone(&["base", "list", "--cached", "--json", "--cache-dir", "damaged"]).json(),
        json!([])
    );
}

#[test]
fn a_bundle_goes_through_a_pipe() {
    let shelf = Shelf::with(&["0.2.0"]);
    let bundle = shelf
        .command()
        .env("ENCODERFILE_BASE_BINARY_BASE_URL", shelf.dist())
        .args(["base", "export", "--runtime-version", "0.2.0", "-o", "-"])
        .output()
        .unwrap();
    assert!(bundle.status.success());
    let mut import = shelf.command();
    import.args(["base", "import", "-", "--json", "--cache-dir", "far"]);
    let mut child = import.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&bundle.stdout).unwrap();
    let said = Said::from(child.wait_with_output().unwrap()).ok();
    assert_eq!(said.json()[0]["target"], HOST);
}

#[test]
fn dir_and_size_say_where_and_how_much() {
    let shelf = Shelf::with(&["0.2.0"]);
    let empty = shelf.run(&["base", "size", "--json"]).ok().json();
    assert_eq!(empty["length"], 0);
    assert!(!shelf.sandbox.cache().exists(), "looking makes nothing");
    shelf.run(&["base", "fetch", "--runtime-version", "0.2.0"]).ok();
    let size = shelf.run(&["base", "size", "--json"]).ok().json();
    let length = fs::metadata(shelf.cached("0.2.0", HOST)).unwrap().len();
    assert_eq!(size["base_binaries"], json!({"count": 1, "length": length}));
    assert!(shelf.run(&["base", "size"]).ok().stdout.contains("1 base binary"));
    let dir = shelf.run(&["base", "dir"]).ok().stdout;
    assert_eq!(dir.trim_end(), shelf.sandbox.cache().to_str().unwrap());
    assert_eq!(shelf.run(&["base", "dir", "--json"]).ok().json()["path"], dir.trim_end());
}

#[test]
fn quiet_is_silent_and_verbose_tells_the_whole_story() {
    let shelf = Shelf::with(&["0.2.0"]);
    let fetch = ["base", "fetch", "--runtime-version", "0.2.0", "--force"];
    let quiet = shelf.run(&[&fetch[..], &["-q"]].concat()).ok();
    assert_eq!((&*quiet.stdout, &*quiet.stderr), ("", ""));
    let verbose = shelf.run(&[&fetch[..], &["-v"]].concat()).ok().stderr;
    let dist = shelf.dist();
    for part in
        ["Source", "Key", "Cache", "signed by", "downloading", dist.to_str().unwrap(), &shelf.key.id()]
    {
        assert!(verbose.contains(part), "`{part}` is not in:\n{verbose}");
    }
}

#[test]
fn one_version_signed_twice_is_noticed_by_the_lockfile() {
    let shelf = Shelf::with(&["0.2.0"]);
    shelf.sandbox.model("embedding");
    shelf.write("encoderfile.yml", "encoderfile:\n  path: model\n  name: m\n  runtime_version: ^0.2\n");
    let build = |arguments: &[&str]| shelf.run(&[&["build", "--no-check"], arguments].concat());
    build(&["--locked"]).failed(1, &["`encoderfile.lock` would change", "does not exist"]);
    build(&["--target", TARGETS[1], "--target", TARGETS[3]]).ok();
    let lock = fs::read_to_string(shelf.sandbox.path("encoderfile.lock")).unwrap();
    let (key, digest) = (shelf.key.id(), r"[0-9a-f]{64}");
    insta::with_settings!({filters => vec![(&*key, "[KEY]"), (digest, "[SHA256]")]}, {
        insta::assert_snapshot!("lockfile", lock);
    });

    // A newer release does not move the pin, and another target follows it.
    shelf.release("0.2.1", &|target| format!("{target} newer").repeat(100));
    build(&["--frozen", "--target", TARGETS[3]]).ok();
    build(&["--locked", "--target", TARGETS[0]]).failed(1, &["pins nothing for `aarch64-apple-darwin`"]);
    build(&["--target", TARGETS[3], "--target", TARGETS[0]]).ok();
    assert!(!fs::read_to_string(shelf.sandbox.path("encoderfile.lock")).unwrap().contains("0.2.1"));
    build(&["--locked", "--runtime-version", "0.2.1"]).failed(1, &["it pins 0.2.0", "0.2.1 is asked for"]);

    // The same version again, properly signed, with other bytes: from the source, and once it is in the cache.
    shelf.release("0.2.0", &|target| format!("{target} tagged again").repeat(100));
    fs::remove_dir_all(shelf.sandbox.cache()).unwrap();
    let before = fs::read(shelf.sandbox.path("encoderfile.lock")).unwrap();
    for _ in 0..2 {
        build(&["--target", HOST]).failed(4, &["archive sha256", "binary sha256", "--update-base"]);
        build(&["--target", HOST, "--locked"]).failed(4, &["--update-base"]);
        shelf.run(&["base", "fetch", "--runtime-version", "0.2.0"]).ok();
    }
    assert!(before == fs::read(shelf.sandbox.path("encoderfile.lock")).unwrap());
    let said = build(&["--target", HOST, "--update-base"]).ok();
    assert!(said.stderr.contains("0.2.1 instead of 0.2.0"), "{}", said.stderr);
    build(&["--target", HOST, "--locked"]).ok();
}

#[test]
fn a_build_without_a_build_file_pins_nothing() {
    let shelf = Shelf::with(&["0.2.0"]);
    shelf.sandbox.model("embedding");
    let build = ["build", "model", "--no-check", "--runtime-version", "0.2.0"];
    shelf.run(&build).ok();
    assert!(!shelf.sandbox.path("encoderfile.lock").exists());
    shelf.run(&[&build[..], &["--locked"]].concat()).failed(2, &["--lockfile"]);
    shelf
        .run(&[&build[..], &["--locked", "--base-binary-path", "x"]].concat())
        .failed(2, &["does not pin it"]);
    shelf.run(&[&build[..], &["--lockfile", "my.lock"]].concat()).ok();
    shelf.run(&[&build[..], &["--lockfile", "my.lock", "--frozen"]].concat()).ok();
    shelf.run(&["build"]).failed(2, &["nothing to build", "encoderfile build ./my-model"]);
}

#[test]
fn the_configuration_file_names_sources_in_order_each_with_its_keys() {
    let (first, second) = (Shelf::with(&["0.1.0"]), Shelf::with(&["0.1.0", "0.2.0"]));
    let run = |config: &str, arguments: &[&str]| {
        first.write("config.toml", config);
        let mut command = first.sandbox.bare_command();
        command.env("ENCODERFILE_CONFIG", first.sandbox.path("config.toml")).args(arguments);
        Said::from(command.output().unwrap())
    };
    let sources = |second_key: &str| {
        format!(
            "[[source]]\ndirectory = 'dist'\ntrusted-keys = ['{}']\n\n[[source]]\ndirectory = '{}'\ntrusted-keys = ['{second_key}']\n",
            first.key.public(),
            second.dist().display()
        )
    };
    let (own, strange) = (sources(&second.key.public()), sources(&first.key.public()));
    let fetch = |version| ["base", "fetch", "--json", "--runtime-version", version];
    let key_of = |said: Said| said.ok().json()[0]["key_id"].clone();
    assert_eq!(key_of(run(&own, &fetch("0.1.0"))), first.key.id());
    assert_eq!(key_of(run(&own, &fetch("0.2.0"))), second.key.id());
    run(&strange, &["base", "fetch", "--force", "--runtime-version", "0.2.0"])
        .failed(4, &[&second.key.id(), "is not trusted"]);
    // The keys of a place hold however it is named.
    let place = second.dist();
    let named = [
        "base",
        "fetch",
        "--force",
        "--json",
        "--runtime-version",
        "0.1.0",
        "--source",
        place.to_str().unwrap(),
    ];
    assert_eq!(key_of(run(&own, &named)), second.key.id());

    let listed = run(&own, &["base", "list", "--remote", "--json"]).ok().json();
    assert_eq!(versions(&listed), ["0.2.0", "0.1.0"]);
    run("cache_dir = 'x'", &["base", "list"]).failed(2, &["line 1, column 1", "did you mean `cache-dir`?"]);
    run("no-download = true", &["base", "fetch", "--runtime-version", "9.0.0"]).failed(3, &["9.0.0"]);
    first.run(&["base", "list", "--config", "absent.toml"]).failed(2, &["absent.toml", "--config"]);
}

#[test]
fn the_configuration_folder_is_the_platforms() {
    let shelf = Shelf::with(&["0.2.0"]);
    let place = if cfg!(target_os = "macos") {
        "Library/Application Support/encoderfile"
    } else {
        ".config/encoderfile"
    };
    let config =
        format!("trusted-keys = ['{}']\n[[source]]\ndirectory = '../../../dist'\n", shelf.key.public());
    shelf.write(
        &format!("home/{place}/config.toml"),
        &config.replace("../../../dist", shelf.dist().to_str().unwrap()),
    );
    let mut command = shelf.sandbox.bare_command();
    Said::from(command.args(["base", "fetch", "--runtime-version", "latest"]).output().unwrap()).ok();
}

#[test]
fn several_failures_are_all_told() {
    let shelf = Shelf::with(&[]);
    Release::write(&shelf.dist(), "0.2.0", &[(TARGETS[0], b"only this")], &shelf.key);
    let said = shelf.run(&[
        "base",
        "fetch",
        "--runtime-version",
        "0.2.0",
        "--target",
        TARGETS[0],
        "--target",
        TARGETS[1],
        "--target",
        TARGETS[2],
    ]);
    assert_eq!(said.code, 3);
    assert_eq!(said.stderr.matches("error: ").count(), 2, "{}", said.stderr);
    assert!(shelf.cached("0.2.0", TARGETS[0]).exists(), "what works stays");
}

#[test]
fn patience_can_be_set() {
    let shelf = Shelf::with(&["0.2.0"]);
    let server = shelf.serve();
    let fetch = |more: &[&str]| {
        let fetch = ["base", "fetch", "--runtime-version", "0.2.0", "--source"];
        shelf.run(&[&fetch[..], &[&*server.url()], more].concat())
    };
    // With the usual half minute, four tries would take two.
    server.misbehave(".tar.zst", Fault::StallAfter(10), usize::MAX);
    let began = Instant::now();
    fetch(&["--idle-timeout", "1", "--retries", "1"])
        .failed(5, &["cannot download", "run the same command again"]);
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    assert_eq!(server.requests(".tar.zst").len(), 2);
    server.behave();
    for (flag, value) in [("--idle-timeout", "0"), ("--connect-timeout", "0"), ("--retries", "-1")] {
        fetch(&[&format!("{flag}={value}")]).failed(2, &[flag]);
    }

    let lock = format!("base/v1/locks/{}-0.2.0-{HOST}.lock", shelf.key.id());
    let lock = fs::File::options().read(true).write(true).open(shelf.sandbox.cache().join(lock)).unwrap();
    lock.lock().unwrap();
    fetch(&["--lock-timeout", "0"]).failed(6, &["gave up", "--lock-timeout"]);
    lock.unlock().unwrap();
    fetch(&["--lock-timeout", "0"]).ok();
}

#[test]
fn a_failed_replacement_takes_nothing_away() {
    let shelf = Shelf::with(&["0.2.0"]);
    shelf.run(&["base", "fetch", "--runtime-version", "0.2.0"]).ok();
    let server = shelf.serve();
    let force = ["base", "fetch", "--runtime-version", "0.2.0", "--force", "--retries", "0", "--source"];
    let faults = [
        (Fault::Body(b"other".to_vec(), vec![]), 4),
        (Fault::CutAfter(10), 5),
        (Fault::Status(404, vec![]), 3),
    ];
    for (fault, code) in faults {
        server.misbehave(".tar.zst", fault, 1);
        shelf.run(&[&force[..], &[&*server.url()]].concat()).failed(code, &[]);
        shelf.run_alone(&["base", "path", "--runtime-version", "0.2.0"]).ok();
    }
    // And one that succeeds with other bytes is told of.
    shelf.release("0.2.0", &|target| format!("{target} tagged again").repeat(100));
    let said = shelf.run(&[&force[..], &[&*server.url()]].concat()).ok();
    assert!(said.stderr.contains("was signed again with other bytes"), "{}", said.stderr);
}

#[test]
fn latest_is_one_version_also_where_it_selects() {
    let shelf = Shelf::with(&["0.1.0", "0.2.0"]);
    for version in ["0.1.0", "0.2.0"] {
        shelf.run(&["base", "fetch", "--all", "--runtime-version", version]).ok();
    }
    for command in [&["base", "list", "--cached"][..], &["base", "list", "--remote"], &["base", "verify"]] {
        let found = shelf.run(&[command, &["--runtime-version", "latest", "--json"]].concat()).ok().json();
        assert_eq!(versions(&found), ["0.2.0"], "{command:?}");
    }
    shelf.run_alone(&["base", "remove", "--runtime-version", "latest"]).ok();
    let cached = shelf.run_alone(&["base", "list", "--cached", "--json"]).ok().json();
    assert_eq!(versions(&cached), ["0.1.0"]);
    // The cache remembers, with and without a network.
    for command in [&["base", "path"][..], &["base", "fetch", "--offline"]] {
        let latest = [command, &["--runtime-version", "latest"]].concat();
        shelf.run_alone(&latest).failed(4, &["found: 0.1.0", "seen:  0.2.0"]);
        shelf.run_alone(&[&latest[..], &["--allow-downgrade"]].concat()).ok();
    }
    // A build that may look for a newer one does.
    shelf.sandbox.model("embedding");
    let build = shelf.run(&["build", "model", "--no-check", "--runtime-version", ">=0.1"]).ok();
    assert!(build.stderr.contains(">=0.1 to 0.2.0"), "{}", build.stderr);
}

#[test]
fn hints_show_no_password_and_mean_the_same() {
    let shelf = Shelf::with(&[]);
    let secret = "https://me:hunter2@mirror.example/e";
    let path = ["base", "path", "--runtime-version", "5.0.0"];
    let by_flag =
        shelf.run(&[&path[..], &["--source", secret]].concat()).failed(3, &["redacted@mirror.example"]);
    let by_variable =
        shelf.command().env("ENCODERFILE_BASE_BINARY_BASE_URL", secret).args(path).output().unwrap();
    let by_variable = Said::from(by_variable).failed(3, &["base fetch --target"]);
    for said in [by_flag, by_variable] {
        assert!(!said.stderr.contains("hunter2"), "{}", said.stderr);
    }
    let id = "E7620F1842B4E81F";
    let more = ["--source", "http://mirror.example", "--allow-http", "--revoked-key", id];
    let hint = format!("--source http://mirror.example --revoked-key {id} --allow-http`");
    shelf.run(&[&path[..], &more].concat()).failed(3, &[&hint]);
}

#[test]
fn no_flag_and_no_path_makes_a_panic() {
    use std::os::unix::ffi::OsStrExt as _;
    let shelf = Shelf::with(&["0.2.0"]);
    for flag in ["--idle-timeout", "--connect-timeout", "--lock-timeout", "--retries"] {
        let fetch = ["base", "fetch", "--runtime-version", "0.2.0", flag, "18446744073709551615"];
        shelf.run(&fetch).failed(2, &[flag]);
    }
    let odd = std::ffi::OsStr::from_bytes(b"c\xff");
    for command in [&["base", "dir"][..], &["base", "list"], &["base", "size"]] {
        for json in [&[][..], &["--json"]] {
            let output =
                shelf.command().args(command).args(json).arg("--cache-dir").arg(odd).output().unwrap();
            Said::from(output).failed(2, &["not UTF-8", "--cache-dir"]);
        }
    }
}

#[test]
fn what_would_not_start_on_this_machine_is_not_fetched_for_it() {
    let shelf = Shelf::with(&[]);
    let release = shelf.release("0.2.0", &|target| target.repeat(100));
    release.edit_index(&shelf.key, |index| index["targets"][HOST]["floor"] = json!({"glibc": "2.99"}));
    let fetch = ["base", "fetch", "--runtime-version", "0.2.0"];
    if cfg!(target_os = "linux") {
        shelf.run(&fetch).failed(3, &["glibc 2.99", "--base-binary-path"]);
        assert!(!shelf.cached("0.2.0", HOST).exists());
        // Whoever names the target may mean another machine.
        shelf.run(&[&fetch[..], &["--target", HOST]].concat()).ok();
    }
}

#[test]
fn a_list_without_end_is_not_believed() {
    let shelf = Shelf::with(&["0.2.0"]);
    let server = shelf.serve();
    let remote = |versions: Vec<String>| {
        fs::write(shelf.dist().join("versions.json"), serde_json::to_string(&versions).unwrap()).unwrap();
        shelf.run(&["base", "list", "--remote", "--json", "--source", &server.url()])
    };
    remote((0..5000).map(|patch| format!("1.0.{patch}")).collect()).failed(5, &["more than 2000 versions"]);
    assert!(server.requests("base-index.json").is_empty());
    // One version however often, and those that are not there.
    let listed = remote(["0.2.0", "0.2.0", "0.3.0"].map(str::to_owned).to_vec()).ok();
    assert_eq!(versions(&listed.json()), ["0.2.0"]);
    assert_eq!(server.requests("base-index.json").len(), 2);
}

#[test]
fn variables_without_a_value_are_not_set() {
    let shelf = Shelf::with(&["0.2.0"]);
    let mut command = shelf.command();
    for variable in [
        "ENCODERFILE_REVOKED_KEYS",
        "ENCODERFILE_CONFIG",
        "ENCODERFILE_NO_DOWNLOAD",
        "ENCODERFILE_GITHUB_REPO",
        "GITHUB_TOKEN",
        "GITHUB_API_URL",
    ] {
        command.env(variable, "");
    }
    command.args(["base", "fetch", "--runtime-version", "0.2.0", "--source", "dist"]);
    Said::from(command.output().unwrap()).ok();
    let mut command = shelf.command();
    command
        .env("ENCODERFILE_TRUSTED_KEYS", "")
        .env("ENCODERFILE_CACHE_DIR", "")
        .env("ENCODERFILE_BASE_BINARY_BASE_URL", "");
    Said::from(command.args(["base", "list"]).output().unwrap()).ok();
}

#[test]
fn json_says_what_is_here_also_where_something_failed() {
    let shelf = Shelf::with(&[]);
    Release::write(&shelf.dist(), "0.2.0", &[(TARGETS[0], b"only this")], &shelf.key);
    let fetch = [
        "base",
        "fetch",
        "--json",
        "--runtime-version",
        "0.2.0",
        "--target",
        TARGETS[0],
        "--target",
        TARGETS[1],
    ];
    let said = shelf.run(&fetch);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert_eq!(said.json()[0]["target"], TARGETS[0]);
}

#[test]
fn a_dry_run_in_json_does_not_say_that_something_was_removed() {
    let shelf = Shelf::with(&["0.2.0"]);
    shelf.run(&["base", "fetch", "--runtime-version", "0.2.0"]).ok();
    fs::write(shelf.sandbox.cache().join("base/v1/partial").join("0".repeat(64)), "begun").unwrap();
    for command in [&["base", "remove", "--all"][..], &["base", "prune", "--older-than", "0s"]] {
        let said = shelf.run_alone(&[command, &["--dry-run", "--json"]].concat()).ok();
        assert_eq!(said.stderr, "", "{command:?}");
        assert_eq!(said.json()["base_binaries"].as_array().unwrap().len(), 1);
        assert!(shelf.cached("0.2.0", HOST).exists());
    }
}

#[test]
fn a_key_id_in_lower_case_is_refused_with_the_spelling_that_counts() {
    let shelf = Shelf::with(&[]);
    let told = |id: &str, advice: &str| {
        let said = shelf.run(&["base", "list", "--revoked-key", id]).failed(2, &["is not a key id", advice]);
        assert_eq!(said.stderr.contains("did you mean"), !advice.is_empty(), "{}", said.stderr);
    };
    told("e7620f1842b4e81f", "did you mean `E7620F1842B4E81F`?");
    told("e7620f1842b4e81", "");
    told("+7620f1842b4e81f", "");
    shelf.write("config.toml", "revoked-keys = ['e7620f1842b4e81f']\n");
    shelf.run(&["base", "list", "--config", "config.toml"]).failed(2, &["did you mean `E7620F1842B4E81F`?"]);
}
