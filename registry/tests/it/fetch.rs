//! The straight way: fetch, find, use, verify; and what a cache may be like.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use encoderfile_registry::{
    Digest, Error, Floor, Host, Platform, PlatformVersion, Registry, RegistryConfig, TrustedKeys,
    fetch_command,
};
use encoderfile_testing::{Release, SigningKey};

use crate::bench::{ARM, Bench, LINUX, VERSION, block_on, config, fetch, files, flip_a_byte};

#[test]
fn a_fetched_base_binary_is_used_without_the_source() {
    let bench = Bench::new();
    let fetched = bench.fetch_whole();
    assert!(!fetched.was_cached);
    assert_eq!(fetched.base.path, bench.binary());
    assert_eq!(fetched.base.key_id.to_string(), bench.key.id());
    assert_eq!(fetched.base.sha256, Digest::of(&bench.runtime));
    drop(fetched);

    fs::remove_dir_all(bench.www()).unwrap();
    let before = bench.server.requests("").len();
    let again = bench.fetch_whole();
    assert!(again.was_cached);
    let located = block_on(bench.offline().locate(LINUX, &VERSION, &())).unwrap();
    located.verify().unwrap();
    block_on(bench.offline().ensure(LINUX, &VERSION, None, &())).unwrap();
    assert_eq!(bench.server.requests("").len(), before);
}

#[test]
fn what_the_design_says_lies_in_the_cache_and_nothing_else() {
    let bench = Bench::new();
    bench.fetch_whole();
    let (key, cache) = (bench.key.id(), bench.cache());
    let mut expected = vec![
        "CACHEDIR.TAG".to_owned(),
        format!("base/v1/{key}/0.2.0/base-index.json"),
        format!("base/v1/{key}/0.2.0/base-index.json.minisig"),
        format!("base/v1/{key}/0.2.0/{LINUX}/encoderfile-runtime"),
        format!("base/v1/{key}/0.2.0/{LINUX}/receipt.json"),
        format!("base/v1/seen/{key}/0.2.0"),
        format!("base/v1/locks/{key}-0.2.0-{LINUX}.lock"),
        format!("base/v1/locks/{key}-0.2.0.lock"),
    ];
    expected.sort();
    let mut found: Vec<_> = files(&cache)
        .iter()
        .map(|path| path.strip_prefix(&cache).unwrap().to_str().unwrap().to_owned())
        .collect();
    found.sort();
    assert_eq!(found, expected);
    assert!(
        fs::read_to_string(cache.join("CACHEDIR.TAG"))
            .unwrap()
            .starts_with("Signature: 8a477f597d28d172789f06886806bc55")
    );
    assert_eq!(fs::read(bench.release.index()).unwrap(), fs::read(cache.join(&expected[1])).unwrap());
}

#[test]
fn offline_and_not_cached_names_the_command() {
    let bench = Bench::new();
    let error = block_on(bench.offline().ensure(LINUX, &VERSION, None, &())).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    let command = "encoderfile base fetch --target x86_64-unknown-linux-gnu --runtime-version 0.2.0";
    let hint = error.hint("").unwrap();
    assert!(hint.contains(&format!("`{command}`")), "{hint}");
    let hint = error.hint(" --cache-dir c").unwrap();
    assert!(hint.contains(&format!("`{command} --cache-dir c`")), "{hint}");
    assert!(!bench.cache().exists(), "looking must not create anything");
    let error = fetch(&bench.offline()).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    bench.fetch_whole();
    let error = block_on(bench.offline().fetch(LINUX, &VERSION, true, &())).unwrap_err();
    assert!(matches!(error, Error::Offline { .. }), "{error}");
}

#[test]
fn a_directory_is_a_source_in_both_forms() {
    let bench = Bench::new();
    for source in [bench.www(), bench.release.directory.clone()] {
        let cache = tempfile::tempdir().unwrap();
        let fetched =
            fetch(&Registry::new(config(cache.path(), source.to_str().unwrap(), bench.keys()))).unwrap();
        assert_eq!(fs::read(&fetched.base.path).unwrap(), bench.runtime);
        assert!(files(&cache.path().join("base/v1/partial")).is_empty());
    }
    assert_eq!(bench.server.requests("").len(), 0);
}

#[test]
fn missing_releases_targets_and_files_are_three_different_errors() {
    let bench = Bench::new();
    let registry = bench.registry();
    let later = semver::Version::new(9, 9, 9);
    let error = block_on(registry.fetch(LINUX, &later, false, &())).unwrap_err();
    assert!(matches!(error, Error::NoSuchRelease { .. }) && error.exit_code() == 3, "{error}");
    assert!(error.to_string().contains("/v9.9.9/base-index.json"), "{error}");

    let mac = encoderfile_registry::Target::Aarch64AppleDarwin;
    let error = block_on(registry.fetch(mac, &VERSION, false, &())).unwrap_err();
    assert!(matches!(error, Error::NoSuchTarget { .. }) && error.exit_code() == 3, "{error}");
    assert!(error.to_string().contains("aarch64-unknown-linux-gnu, x86_64-unknown-linux-gnu"), "{error}");

    fs::remove_file(bench.release.archive(LINUX.triple())).unwrap();
    let error = fetch(&registry).unwrap_err();
    assert!(matches!(error, Error::NoSuchFile { .. }) && error.exit_code() == 3, "{error}");
}

#[test]
fn a_source_that_is_not_there_is_not_taken_for_one_without_the_release() {
    let bench = Bench::new();
    let file = bench.directory.path().join("file");
    fs::write(&file, "mine").unwrap();
    for (path, problem) in
        [(bench.directory.path().join("absent"), "does not exist"), (file, "is not a directory")]
    {
        let registry = Registry::new(config(&bench.cache(), path.to_str().unwrap(), bench.keys()));
        let error = fetch(&registry).unwrap_err();
        assert!(matches!(error, Error::NoSuchSource { .. }) && error.exit_code() == 3, "{error}");
        let message = format!("cannot look for releases: source `{}` {problem}", path.display());
        assert_eq!(error.to_string(), message);
        assert!(error.hint("").unwrap().contains("`--source`"));
    }
    // A directory that is there, without the release.
    let registry =
        Registry::new(config(&bench.cache(), bench.directory.path().to_str().unwrap(), bench.keys()));
    let error = fetch(&registry).unwrap_err();
    let location = bench.directory.path().join("v0.2.0/base-index.json");
    assert_eq!(error.to_string(), format!("no release 0.2.0 at `{}`", location.display()));
}

#[test]
fn a_host_below_the_floor_stops_before_the_archive() {
    let bench = Bench::new();
    let registry = bench.registry();
    for (platform, found) in
        [(Platform::Glibc(PlatformVersion::new(2, 5)), "glibc 2.5"), (Platform::Musl, "musl")]
    {
        let host = Host { target: LINUX, platform };
        let error = block_on(registry.ensure(LINUX, &VERSION, Some(&host), &())).unwrap_err();
        assert!(matches!(error, Error::HostTooOld { .. }) && error.exit_code() == 3, "{error}");
        let message = format!("{error} {}", error.hint("").unwrap());
        assert!(
            ["glibc 2.17", found, "--base-binary-path"].iter().all(|part| message.contains(part)),
            "{message}"
        );
        // For another machine it is none of this one's business.
        block_on(registry.ensure(ARM, &VERSION, Some(&host), &())).unwrap();
    }
    assert_eq!(bench.archive_downloads(), 0);
    // Cached or not makes no difference.
    let host = Host { target: LINUX, platform: Platform::Musl };
    let base = bench.fetch_whole().base;
    assert_eq!(base.entry.floor, Floor::Glibc(PlatformVersion::new(2, 17)));
    assert!(block_on(registry.ensure(LINUX, &VERSION, Some(&host), &())).is_err());
}

#[test]
fn list_and_verify_tell_what_is_there_and_whether_it_is_right() {
    let bench = Bench::new();
    assert_eq!(bench.registry().list_cached().unwrap().len(), 0);
    bench.fetch_whole();
    block_on(bench.registry().fetch(ARM, &VERSION, false, &())).unwrap();
    let registry = bench.offline();
    let entries = registry.list_cached().unwrap();
    let listed: Vec<_> = entries.iter().map(|entry| entry.id.target).collect();
    assert_eq!(listed, [ARM, LINUX]);
    assert_eq!(entries[1].source, format!("{}/", bench.server.url()));
    for entry in &entries {
        block_on(registry.verify(entry, &())).unwrap();
    }
    flip_a_byte(&bench.binary());
    block_on(registry.verify(&entries[0], &())).unwrap();
    let error = block_on(registry.verify(&entries[1], &())).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }) && error.exit_code() == 4, "{error}");
    assert_eq!(registry.list_cached().unwrap().len(), 1);
}

#[test]
fn a_mismatch_found_by_a_build_quarantines_and_the_next_fetch_repairs() {
    let bench = Bench::new();
    let base = bench.fetch_whole().base;
    flip_a_byte(&base.path);
    let found = Digest::of(&fs::read(&base.path).unwrap());
    let path = base.path.clone();
    let error = base.quarantine(found);
    assert_eq!(error.exit_code(), 4);
    let command = fetch_command(LINUX, &VERSION, " --cache-dir c");
    assert_eq!(error.hint(" --cache-dir c").unwrap(), format!("fetch it again with `{command}`"));
    assert!(!path.exists());
    assert_eq!(block_on(bench.offline().locate(LINUX, &VERSION, &())).unwrap_err().exit_code(), 3);
    assert!(!bench.fetch_whole().was_cached);
}

#[test]
fn a_mismatch_that_cannot_be_quarantined_says_so() {
    let bench = Bench::new();
    let base = bench.fetch_whole().base;
    let receipt = base.path.with_file_name("receipt.json");
    fs::remove_file(&receipt).unwrap();
    fs::create_dir(&receipt).unwrap();
    let error = base.quarantine(Digest::of(b"other bytes"));
    assert_eq!(error.exit_code(), 4);
    let note = format!("\n  note: it stays in the cache: cannot remove `{}`\n  cause: ", receipt.display());
    assert!(error.to_string().contains(&note), "{error}");
}

#[test]
fn force_fetches_again_and_keeps_nothing_old() {
    let bench = Bench::new();
    let first = bench.fetch_whole().base.path.metadata().unwrap().ino();
    let again = block_on(bench.registry().fetch(LINUX, &VERSION, true, &())).unwrap();
    assert!(!again.was_cached);
    bench.assert_whole(&again.base);
    assert_ne!(again.base.path.metadata().unwrap().ino(), first);
    assert_eq!(bench.archive_downloads(), 2);
}

#[test]
fn two_projects_share_a_cache_and_two_mirrors_share_an_entry() {
    let bench = Bench::new();
    bench.fetch_whole();
    let mirror = config(&bench.cache(), bench.www().to_str().unwrap(), bench.keys());
    assert!(fetch(&Registry::new(mirror)).unwrap().was_cached);

    let other_key = SigningKey::generate();
    let www = tempfile::tempdir().unwrap();
    Release::write(www.path(), "0.2.0", &[(LINUX.triple(), b"another project's")], &other_key);
    let mut keys = TrustedKeys::none();
    keys.add(&other_key.public()).unwrap();
    let other = Registry::new(config(&bench.cache(), www.path().to_str().unwrap(), keys));
    // What is there is signed, but by nobody that this user trusts.
    let error = block_on(other.locate(LINUX, &VERSION, &())).unwrap_err();
    assert!(error.to_string().contains(&bench.key.id()), "{error}");
    let fetched = fetch(&other).unwrap();
    assert_eq!(fs::read(fetched.base.path).unwrap(), b"another project's");
    assert_eq!(fs::read(bench.binary()).unwrap(), bench.runtime);
}

#[test]
fn a_cache_path_may_have_spaces_and_umlauts_and_be_a_link() {
    let bench = Bench::new();
    let odd = bench.directory.path().join("mein Häuschen 家");
    fs::create_dir(&odd).unwrap();
    std::os::unix::fs::symlink(&odd, bench.cache()).unwrap();
    bench.fetch_whole();
    assert!(odd.join("CACHEDIR.TAG").exists());
    let direct = Registry::new(RegistryConfig { cache_dir: odd, offline: true, ..bench.config() });
    block_on(direct.locate(LINUX, &VERSION, &())).unwrap();
}

#[test]
fn a_cache_path_that_is_a_file_is_a_clear_error() {
    let bench = Bench::new();
    fs::write(bench.cache(), "mine").unwrap();
    let error = bench.fetch().unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.exit_code() == 1, "{error}");
    assert!(error.to_string().contains(bench.cache().to_str().unwrap()), "{error}");
    assert_eq!(fs::read(bench.cache()).unwrap(), b"mine");
    assert_eq!(bench.archive_downloads(), 0);
}

const CHILD_CACHE: &str = "REGISTRY_TEST_READ_ONLY_CACHE";
const CHILD_KEY: &str = "REGISTRY_TEST_READ_ONLY_KEY";

#[test]
fn a_read_only_cache_serves_without_locks() {
    let bench = Bench::new();
    bench.fetch_whole();
    // As in an image: no lock was ever taken by a reader, and nothing can be created.
    fs::remove_dir_all(bench.cache().join("base/v1/locks")).unwrap();
    let mut directories = vec![bench.directory.path().to_owned()];
    while let Some(directory) = directories.pop() {
        directories.extend(
            fs::read_dir(&directory).unwrap().map(|item| item.unwrap().path()).filter(|path| path.is_dir()),
        );
        fs::set_permissions(&directory, PermissionsExt::from_mode(0o555)).unwrap();
    }
    // The superuser may write anywhere, so the reader is somebody else.
    let program = bench.directory.path().join("reader");
    let root = fs::metadata(bench.directory.path()).unwrap().uid() == 0;
    if root {
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    }
    let mut reader = Command::new(if root { program } else { std::env::current_exe().unwrap() });
    reader.args(["--exact", "fetch::reader_of_a_read_only_cache", "--nocapture"]);
    reader.env(CHILD_CACHE, bench.cache()).env(CHILD_KEY, bench.key.public());
    if root {
        reader.uid(65534).gid(65534);
    }
    let output = loop {
        match reader.output() {
            // Another test forked while the copy was being written.
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            output => break output.unwrap(),
        }
    };
    let mut directories = vec![bench.directory.path().to_owned()];
    while let Some(directory) = directories.pop() {
        fs::set_permissions(&directory, PermissionsExt::from_mode(0o755)).unwrap();
        directories.extend(
            fs::read_dir(&directory).unwrap().map(|item| item.unwrap().path()).filter(|path| path.is_dir()),
        );
    }
    let output =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.contains("served read-only"), "{output}");
}

/// The other user of [`a_read_only_cache_serves_without_locks`]; alone it has nothing to do.
#[test]
fn reader_of_a_read_only_cache() {
    let (Ok(cache), Ok(key)) = (std::env::var(CHILD_CACHE), std::env::var(CHILD_KEY)) else { return };
    let mut keys = TrustedKeys::none();
    keys.add(&key).unwrap();
    let registry = Registry::new(config(cache.as_ref(), "/nonexistent", keys));
    let fetched = fetch(&registry).unwrap();
    assert!(fetched.was_cached);
    let error = block_on(registry.fetch(ARM, &VERSION, false, &())).unwrap_err();
    assert_eq!(error.exit_code(), 3, "{error}");
    let path = fetched.base.path.clone();
    // Nothing can be put into quarantine here; the error is the same.
    assert_eq!(fetched.base.quarantine(Digest::of(b"other")).exit_code(), 4);
    assert!(path.exists());
    println!("served read-only");
}
