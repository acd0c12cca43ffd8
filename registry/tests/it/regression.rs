//! Faults that other tools shipped, each kept away by a test. Where another file's test does it, that file is named.
//!
//! - the connection closes early and nobody notices (pkg-fetch#195): `download.rs`, and `no_length` here
//! - an archive longer than promised, a bomb, a member named `../x`, a link: `download.rs`, and unit tests of `archive`
//! - a token that follows a redirect (octokit/core.js#415) or reaches a mirror (setup-uv#878), and an API whose limit hits
//!   although it was not needed (binstall#1229): `github.rs`
//! - custom certificates and proxies (deno#15921, deno#24719): `proxies.rs`
//! - one lock for the whole cache (uv): `concurrency.rs`, `other_entries_do_not_wait`
//! - lock files opened read-only (uv#18061), file systems without locks (uv#9050): unit tests of `lock`
//! - a signature that does not say what it signs (binstall), one key that cannot be rotated (corepack#612): `trust.rs`
//! - libc detection (binstall#1999, binstall#1379, uv#8635, mise): unit tests of `host`

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use encoderfile_registry::{Error, Registry, RegistryConfig};
use encoderfile_testing::{Fault, archive_name, compress};

use crate::bench::{ARM, Bench, Diary, LINUX, VERSION, block_on, fetch, files, flip_a_byte};
use crate::concurrency::{limited_process, process_with};

fn archive() -> String {
    archive_name(LINUX.triple())
}

/// Leaves a partial download of these bytes.
fn leave_partial(bench: &Bench, bytes: &[u8]) {
    bench.server.misbehave(&archive(), Fault::CutAfter(10), usize::MAX);
    bench.fetch().unwrap_err();
    bench.server.behave();
    fs::write(bench.partial().unwrap(), bytes).unwrap();
}

/// rustup#1854: a partial file that is already complete, for which the server answers 416 for ever.
#[test]
fn complete_partial() {
    let bench = Bench::new();
    leave_partial(&bench, &bench.archive());
    let before = bench.archive_downloads();
    bench.fetch_whole();
    assert_eq!(bench.archive_downloads(), before, "there was nothing left to ask for");
}

/// rustup#1854, the other way: a server that answers 416 although bytes are missing.
#[test]
fn range_not_satisfiable() {
    let bench = Bench::new();
    leave_partial(&bench, &bench.archive()[..1000]);
    bench.server.misbehave(&archive(), Fault::Status(416, vec![]), 1);
    bench.fetch_whole();
}

/// rustup#4448: a failure of the network deletes what was downloaded.
#[test]
fn failure_keeps_the_partial() {
    let bench = Bench::new();
    bench.server.misbehave(&archive(), Fault::CutAfter(20_000), 1);
    bench.server.misbehave(&archive(), Fault::Status(503, vec![]), usize::MAX);
    assert_eq!(bench.fetch().unwrap_err().exit_code(), 5);
    assert_eq!(bench.partial().unwrap().metadata().unwrap().len(), 20_000);
}

/// uv: a bad file is kept and poisons every later run.
#[test]
fn poisoned_partial() {
    let bench = Bench::new();
    let mut damaged = bench.archive();
    damaged[500] ^= 1;
    for bytes in [&damaged[..1000], &damaged, &[&damaged[..], b"longer"].concat()] {
        leave_partial(&bench, bytes);
        bench.fetch_whole();
        fs::remove_dir_all(bench.cache()).unwrap();
    }
}

/// uv, rustup#4830: wrong bytes are stored, or even reported as success.
#[test]
fn wrong_bytes() {
    let bench = Bench::new();
    let mut other = bench.archive();
    other[500] ^= 1;
    bench.server.misbehave(&archive(), Fault::Body(other, vec![]), 1);
    let error = bench.fetch().unwrap_err();
    assert!(matches!(error, Error::WrongBytes { .. }) && error.exit_code() == 4, "{error}");
    assert_eq!(bench.partial(), None);
    assert!(!bench.binary().exists());
    bench.fetch_whole();
}

/// pkg-fetch#195: the body ends early, and since it has no length, only the index knows.
#[test]
fn no_length() {
    let bench = Bench::new();
    bench.server.misbehave(&archive(), Fault::NoLength(1000), 1);
    bench.fetch_whole();
    let requests = bench.server.requests(&archive());
    assert_eq!(requests[1].headers["range"], "bytes=1000-");
}

/// An HTML page with status 200 in the place of a file: a login page, a proxy's error.
#[test]
fn html_with_200() {
    let page = || {
        let kind = vec![("Content-Type", "text/html; charset=utf-8".to_owned())];
        Fault::Body(b"<!doctype html><title>Sign in</title>".to_vec(), kind)
    };
    for path in ["base-index.json", "base-index.json.minisig", &archive()] {
        let bench = Bench::new();
        bench.server.misbehave(path, page(), usize::MAX);
        let error = bench.fetch().unwrap_err();
        assert_eq!(error.exit_code(), 4, "{error}");
        assert!(error.to_string().contains("HTML page"), "{error}");
        assert_eq!(bench.partial(), None);
    }
}

/// A body that was transparently gzipped, or otherwise compressed by a helpful proxy. The bytes are never decoded, and the message says what happened.
#[test]
fn compressed_on_the_way() {
    let bench = Bench::new();
    let body = compress(&bench.archive());
    let encoding = vec![("Content-Encoding", "zstd".to_owned())];
    bench.server.misbehave(&archive(), Fault::Body(body, encoding), usize::MAX);
    let error = bench.fetch().unwrap_err();
    assert_eq!(error.exit_code(), 4, "{error}");
    assert!(error.to_string().contains("Content-Encoding: zstd"), "{error}");
    // A server that takes the file's own compression for an encoding sends the right bytes.
    let bench = Bench::new();
    let encoding = vec![("Content-Encoding", "zstd".to_owned())];
    bench.server.misbehave(&archive(), Fault::Body(bench.archive(), encoding), usize::MAX);
    bench.fetch_whole();
}

/// uv#11878: lock files that are deleted while others wait on them. They stay the same files.
#[test]
fn lock_files_stay() {
    let bench = Bench::new();
    bench.fetch_whole();
    let inodes = || -> Vec<_> {
        files(&bench.cache().join("base/v1/locks"))
            .iter()
            .map(|path| path.metadata().unwrap().ino())
            .collect()
    };
    let before = inodes();
    assert_eq!(before.len(), 2);
    block_on(bench.registry().fetch(LINUX, &VERSION, true, &())).unwrap();
    flip_a_byte(&bench.binary());
    bench.fetch_whole();
    assert_eq!(inodes(), before);
}

/// uv#12665: files in a shared cache that only their owner can read.
#[test]
fn others_may_read() {
    let bench = Bench::new();
    bench.fetch_whole();
    for path in files(&bench.cache().join("base/v1").join(bench.key.id())) {
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        let expected = if path.ends_with("encoderfile-runtime") { 0o555 } else { 0o644 };
        assert_eq!(mode, expected, "{}", path.display());
    }
}

/// uv#20675: temporary files left behind by Ctrl-C or a full disk.
#[test]
fn leftovers_are_reclaimed() {
    let bench = Bench::new();
    bench.fetch_whole();
    let entry = bench.binary().parent().unwrap().to_owned();
    // As a process leaves it that dies between its steps.
    fs::remove_file(entry.join("receipt.json")).unwrap();
    fs::write(entry.join(".tmp-dead"), "half").unwrap();
    fs::write(entry.parent().unwrap().join(".tmp-dead"), "half").unwrap();
    fs::remove_file(entry.parent().unwrap().join("base-index.json")).unwrap();
    assert!(!bench.fetch_whole().was_cached);
}

/// The last step of an installation that a crash can cut off: the partial is still there.
#[test]
fn partial_of_a_finished_installation() {
    let bench = Bench::new();
    leave_partial(&bench, &bench.archive());
    let partial = bench.partial().unwrap();
    bench.fetch_whole();
    fs::write(&partial, bench.archive()).unwrap();
    assert!(bench.fetch_whole().was_cached);
}

/// A crash before the receipt: a whole binary without one was never installed.
#[test]
fn no_receipt() {
    for receipt in [None, Some(""), Some("{"), Some("{\"target\": 1}")] {
        let bench = Bench::new();
        bench.fetch_whole();
        let path = bench.binary().with_file_name("receipt.json");
        match receipt {
            None => fs::remove_file(&path).unwrap(),
            Some(text) => fs::write(&path, text).unwrap(),
        }
        assert_eq!(block_on(bench.offline().locate(LINUX, &VERSION, &())).unwrap_err().exit_code(), 3);
        assert!(!bench.fetch_whole().was_cached);
    }
}

/// encoderfile 0.7: a cached file is trusted because it exists; its mode is checked, its bytes are not.
#[test]
fn cached_bytes_are_not_trusted() {
    let bench = Bench::new();
    for damage in [
        |path: &std::path::Path| flip_a_byte(path),
        |path: &std::path::Path| fs::write(path, "").unwrap(),
        |path: &std::path::Path| fs::write(path, vec![0; 400_000]).unwrap(),
    ] {
        bench.fetch_whole();
        damage(&bench.binary());
        let located = block_on(bench.offline().locate(LINUX, &VERSION, &())).unwrap();
        assert_eq!(located.verify().unwrap_err().exit_code(), 4);
        assert!(!bench.fetch_whole().was_cached);
    }
}

/// A repair that nobody hears of: what damaged the cache once may do it again.
#[test]
fn silent_repair() {
    let bench = Bench::new();
    bench.fetch_whole();
    let told = || {
        let diary = Diary::default();
        block_on(bench.registry().fetch(LINUX, &VERSION, false, &diary)).unwrap();
        diary.lines().into_iter().filter(|line| line.starts_with("warning: ")).collect::<Vec<_>>()
    };
    assert_eq!(told(), Vec::<String>::new());

    flip_a_byte(&bench.binary());
    let lines = told();
    assert!(
        matches!(&lines[..], [line] if line.starts_with("warning: the cache is damaged, fetching again: cached")
            && line.contains(bench.binary().to_str().unwrap())),
        "{lines:?}"
    );
    assert_eq!(told(), Vec::<String>::new());

    let index = bench.binary().parent().unwrap().with_file_name("base-index.json");
    flip_a_byte(&index);
    let lines = told();
    assert!(
        matches!(&lines[..], [line] if line.contains(index.to_str().unwrap()) && line.contains("\n  cause: ")),
        "{lines:?}"
    );
}

/// A cached binary that is a link to something else is not what was installed.
#[test]
fn a_link_in_the_cache() {
    let bench = Bench::new();
    bench.fetch_whole();
    fs::remove_file(bench.binary()).unwrap();
    std::os::unix::fs::symlink("/bin/ls", bench.binary()).unwrap();
    assert_eq!(block_on(bench.offline().locate(LINUX, &VERSION, &())).unwrap_err().exit_code(), 3);
    bench.fetch_whole();
    assert!(!bench.binary().is_symlink());
}

/// A release tagged again with other bytes: what is cached for it no longer counts, and is not called corrupt either.
#[test]
fn re_tagged_release() {
    let bench = Bench::new();
    bench.fetch_whole();
    let other: &[u8] = b"the other bytes";
    let runtimes = [(LINUX.triple(), other), (ARM.triple(), other)];
    encoderfile_testing::Release::write(&bench.www(), "0.2.0", &runtimes, &bench.key);
    // As long as nobody asks the source, the cache is right.
    assert!(bench.fetch_whole().was_cached);
    block_on(bench.registry().fetch(ARM, &VERSION, false, &())).unwrap();
    assert_eq!(block_on(bench.offline().locate(LINUX, &VERSION, &())).unwrap_err().exit_code(), 3);
    let again = bench.fetch().unwrap();
    assert!(!again.was_cached);
    assert_eq!(fs::read(&again.base.path).unwrap(), other);
    again.base.verify().unwrap();
}

/// uv#6036, bun#25346: a rename across devices. The cache lies on another device than `TMPDIR`, as far as this machine
/// has two, and a `TMPDIR` that is nowhere changes nothing.
#[test]
fn the_cache_is_on_another_device() {
    let bench = Bench::new();
    let device = |path: &Path| path.metadata().map(|metadata| metadata.dev());
    let here = device(&std::env::temp_dir()).unwrap();
    let elsewhere = [Path::new("/dev/shm"), Path::new(env!("CARGO_TARGET_TMPDIR"))];
    for root in elsewhere.into_iter().filter(|root| device(root).is_ok_and(|device| device != here)) {
        let root = tempfile::tempdir_in(root).unwrap();
        let registry = Registry::new(RegistryConfig { cache_dir: root.path().to_owned(), ..bench.config() });
        bench.assert_whole(&fetch(&registry).unwrap().base);
        let base = block_on(registry.fetch(LINUX, &VERSION, true, &())).unwrap().base;
        bench.assert_whole(&base);
    }

    let nowhere = bench.directory.path().join("nowhere");
    let output = process_with(&bench, &[("TMPDIR", &nowhere)]).wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("exit code 0"), "{output:?}");
    assert!(bench.fetch_whole().was_cached);
}

/// uv#6036, bun#25346, on one device: every temporary file is made beside its target, and none is left elsewhere.
#[test]
fn nothing_is_written_outside_the_cache() {
    let bench = Bench::new();
    let elsewhere = || {
        let mut found = files(bench.directory.path());
        found.retain(|path| !path.starts_with(bench.cache()));
        found
    };
    let before = elsewhere();
    bench.fetch_whole();
    assert_eq!(elsewhere(), before);
}

/// chmod after the final rename: a crash between the two leaves an entry that is never executable. Whoever looks while it
/// is installed over and over sees a whole, executable file, or none.
#[test]
fn what_has_its_name_has_its_mode() {
    let bench = Bench::new();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut looks = 0;
            while !is_done.load(Ordering::Relaxed) {
                let Ok(file) = fs::File::open(bench.binary()) else { continue };
                let metadata = file.metadata().unwrap();
                assert_eq!(metadata.permissions().mode() & 0o777, 0o555);
                assert_eq!(metadata.len(), bench.runtime.len() as u64);
                looks += 1;
            }
            looks
        });
        for _ in 0..50 {
            block_on(bench.registry().fetch(LINUX, &VERSION, true, &())).unwrap();
            if watcher.is_finished() {
                break;
            }
        }
        is_done.store(true, Ordering::Relaxed);
        assert!(watcher.join().unwrap() > 0, "nobody looked");
    });
}

/// aqua#3951, rust#114554: running a file that was just written. A child that another thread forks has it open for writing
/// until it runs its own program, which takes moments; nothing else may keep it open.
#[test]
fn a_fetched_binary_runs_while_other_threads_fork() {
    const TRIES: u32 = 10_000;
    let program = ["/bin/true", "/usr/bin/true"].iter().find_map(|path| fs::read(path).ok()).unwrap();
    let bench = Bench::with_runtime(program);
    let is_done = AtomicBool::new(false);
    let run = |path: &Path| {
        for _ in 0..TRIES {
            match Command::new(path).status() {
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
                status => return status.map(|status| status.success()),
            }
        }
        Ok(false)
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    Command::new("true").status().unwrap();
                }
            });
        }
        let fetched = || block_on(bench.registry().fetch(LINUX, &VERSION, true, &())).unwrap().base;
        let failed = (0..50).map(|_| run(&fetched().path)).find(|result| !matches!(result, Ok(true)));
        is_done.store(true, Ordering::Relaxed);
        assert!(failed.is_none(), "{failed:?}");
    });
}

/// vite-plus#1558: between the tag and the upload of its last file, a release is there and its archive is not.
#[test]
fn a_release_that_is_still_being_uploaded() {
    let bench = Bench::new();
    let files = [
        (bench.release.index(), None),
        (bench.release.signature(), Some("uploaded")),
        (bench.release.archive(LINUX.triple()), Some("uploaded")),
    ];
    for (path, hinted) in files {
        let away = bench.directory.path().join("away");
        fs::rename(&path, &away).unwrap();
        let error = bench.fetch().unwrap_err();
        assert_eq!(error.exit_code(), 3, "{error}");
        assert!(error.to_string().contains(path.file_name().unwrap().to_str().unwrap()), "{error}");
        if let Some(hinted) = hinted {
            assert!(matches!(error, Error::NoSuchFile { .. }), "{error}");
            assert!(error.hint("").unwrap().contains(hinted), "{error}");
        } else {
            assert!(matches!(error, Error::NoSuchRelease { .. }), "{error}");
        }
        fs::rename(&away, &path).unwrap();
        assert!(!bench.fetch_whole().was_cached);
        fs::remove_dir_all(bench.cache()).unwrap();
    }
}

/// bun#34330: two functions that compute the cache's paths drift apart. Whoever writes, finds, lists, plans or counts means
/// the same file, whatever the cache's path looks like.
#[test]
fn everybody_means_the_same_path() {
    let bench = Bench::new();
    for name in ["cache", "a cache", "cache/./deeper/", "up/../cache"] {
        fs::create_dir_all(bench.directory.path().join("up")).unwrap();
        let cache_dir = bench.directory.path().join(name);
        let registry = Registry::new(RegistryConfig { cache_dir: cache_dir.clone(), ..bench.config() });
        let path = fetch(&registry).unwrap().base.path;
        assert!(path.starts_with(&cache_dir), "{name}");
        assert!(block_on(registry.plan_fetch(LINUX, &VERSION, false, &())).unwrap().is_cached);
        let offline =
            Registry::new(RegistryConfig { offline: true, cache_dir: cache_dir.clone(), ..bench.config() });
        assert_eq!(block_on(offline.locate(LINUX, &VERSION, &())).unwrap().path, path);
        assert_eq!(block_on(offline.ensure(LINUX, &VERSION, None, &())).unwrap().path, path);
        let listed = offline.list_cached().unwrap();
        assert!(matches!(&listed[..], [listed] if listed.path == path), "{listed:?}");
        assert_eq!(offline.usage().unwrap().base_binaries.count, 1);
        let id = &listed[0].id;
        assert!(block_on(registry.remove(id, &())).unwrap() > 0);
        assert!(!path.exists(), "{name}");
    }
}

/// The cache directory goes away, or part of it becomes something else, while nobody looks.
#[test]
fn a_file_where_a_directory_should_be() {
    for part in ["base", "base/v1/partial", "base/v1/locks"] {
        let bench = Bench::new();
        let path = bench.cache().join(part);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "mine").unwrap();
        let error = bench.fetch().unwrap_err();
        assert!(matches!(error, Error::Io { .. }) && error.exit_code() == 1, "{part}: {error}");
        assert!(error.to_string().contains(bench.cache().to_str().unwrap()), "{error}");
    }
}

/// A link where the partial download should be: nothing is written through it.
#[test]
fn a_link_in_the_place_of_a_partial() {
    let bench = Bench::new();
    let victim = bench.directory.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    let sha256 = encoderfile_registry::Digest::of(&bench.archive());
    let partial = bench.cache().join(format!("base/v1/partial/{sha256}"));
    fs::create_dir_all(partial.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&victim, &partial).unwrap();
    assert_eq!(bench.fetch().unwrap_err().exit_code(), 1);
    assert_eq!(fs::read(&victim).unwrap(), b"mine");
}

/// A full disk, in the middle of the download and in the middle of unpacking: nothing half-written, and the next run
/// succeeds, with what was downloaded.
#[test]
fn full_disk() {
    let bench = Bench::with_runtime(vec![7; 400_000]);
    let small = Bench::new();
    for (bench, blocks) in [(&bench, 100), (&small, 100)] {
        let output = limited_process(bench, blocks).wait_with_output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("exit code 1"), "{output:?}");
        assert!(!bench.binary().exists());
        let leftovers =
            files(&bench.cache()).into_iter().filter(|path| path.to_str().unwrap().contains(".tmp-"));
        assert_eq!(leftovers.count(), 0);
        let downloads = bench.archive_downloads();
        assert_eq!(downloads, 1);
        bench.fetch_whole();
    }
    assert_eq!(bench.archive_downloads(), 1, "the archive was here already");
}
