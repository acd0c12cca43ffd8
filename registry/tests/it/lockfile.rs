//! Pins: what a project was built on, and whether it still is that.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::Barrier;

use encoderfile_registry::{Digest, Error, LOCKFILE_NAME, Lockfile, LockfileError, Pin, SignedIndex, Target};
use encoderfile_testing::{Release, SigningKey};

use crate::bench::{Bench, LINUX, VERSION, block_on};

fn path(bench: &Bench) -> PathBuf {
    bench.directory.path().join(LOCKFILE_NAME)
}

fn pin(target: Target) -> Pin {
    Pin {
        target,
        version: VERSION,
        key_id: "0123456789ABCDEF".parse().unwrap(),
        archive_sha256: Digest::of(b"archive"),
        binary_sha256: Digest::of(b"binary"),
    }
}

fn index(bench: &Bench) -> SignedIndex {
    block_on(bench.registry().index(&VERSION, &())).unwrap()
}

#[test]
fn a_base_binary_is_pinned_to_what_was_signed_and_downloaded() {
    let bench = Bench::new();
    let base = bench.fetch_whole().base;
    let pin = base.pin();
    assert_eq!((pin.target, &pin.version), (LINUX, &VERSION));
    assert_eq!(pin.key_id.to_string(), bench.key.id());
    assert_eq!(pin.archive_sha256, Digest::of(&bench.archive()));
    assert_eq!(pin.binary_sha256, Digest::of(&bench.runtime));
    pin.check(base.key_id, &base.entry).unwrap();
    assert!(Lockfile::read(&path(&bench)).unwrap().is_none());
    assert!(Lockfile::update(&path(&bench), [pin.clone()]).unwrap());
    assert_eq!(Lockfile::read(&path(&bench)).unwrap().unwrap().pins[&LINUX], pin);
}

#[test]
fn a_release_that_was_tagged_again_is_noticed_although_it_is_signed() {
    let bench = Bench::new();
    let pin = bench.fetch_whole().base.pin();
    let signed = index(&bench);
    pin.check(signed.key_id, &signed.index.targets[&LINUX]).unwrap();
    Release::write(&bench.www(), "0.2.0", &[(LINUX.triple(), b"other bytes")], &bench.key);
    let signed = index(&bench);
    let error = pin.check(signed.key_id, &signed.index.targets[&LINUX]).unwrap_err();
    assert!(matches!(error, Error::PinMismatch { .. }) && error.exit_code() == 4, "{error}");
    let message = error.to_string();
    for expected in [pin.binary_sha256, Digest::of(b"other bytes"), pin.archive_sha256] {
        assert!(message.contains(&expected.to_string()), "{message}");
    }
    assert!(!message.contains("key id"), "{message}");
}

#[test]
fn the_same_bytes_by_another_key_are_noticed() {
    let bench = Bench::new();
    let pin = bench.fetch_whole().base.pin();
    let entry = index(&bench).index.targets[&LINUX].clone();
    let stranger = SigningKey::generate().id();
    let error = pin.check(stranger.parse().unwrap(), &entry).unwrap_err().to_string();
    let lines = format!("\n  expected: key id {}\n  found:    key id {stranger}", bench.key.id());
    assert!(error.ends_with(&lines), "{error}");
}

#[test]
fn an_update_that_changes_nothing_does_not_touch_the_file() {
    let bench = Bench::new();
    assert!(Lockfile::update(&path(&bench), [pin(LINUX)]).unwrap());
    let metadata = fs::metadata(path(&bench)).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o644);
    assert!(!Lockfile::update(&path(&bench), [pin(LINUX)]).unwrap());
    assert!(!Lockfile::update(&path(&bench), []).unwrap());
    assert_eq!(fs::metadata(path(&bench)).unwrap().ino(), metadata.ino());
    // Other bytes with the same meaning are made canonical.
    let canonical = fs::read(path(&bench)).unwrap();
    fs::write(path(&bench), [b"# mine\n", &*canonical].concat()).unwrap();
    assert!(Lockfile::update(&path(&bench), [pin(LINUX)]).unwrap());
    assert_eq!(fs::read(path(&bench)).unwrap(), canonical);
}

#[test]
fn builds_at_once_lose_no_pins() {
    let bench = Bench::new();
    for _ in 0..20 {
        let start = Barrier::new(Target::ALL.len());
        std::thread::scope(|scope| {
            for target in Target::ALL {
                let (start, path) = (&start, path(&bench));
                scope.spawn(move || {
                    start.wait();
                    assert!(Lockfile::update(&path, [pin(target)]).unwrap());
                });
            }
        });
        let pins = Lockfile::read(&path(&bench)).unwrap().unwrap().pins;
        assert!(pins.into_keys().eq(Target::ALL));
        fs::remove_file(path(&bench)).unwrap();
    }
    let left: Vec<_> =
        fs::read_dir(bench.directory.path()).unwrap().map(|item| item.unwrap().file_name()).collect();
    assert_eq!(left, ["www"]);
}

#[test]
fn a_lockfile_that_cannot_be_used_is_named_and_stays_as_it_is() {
    let bench = Bench::new();
    let text = "version = 1\n<<<<<<< HEAD\n";
    fs::write(path(&bench), text).unwrap();
    for error in [
        Lockfile::read(&path(&bench)).unwrap_err(),
        Lockfile::update(&path(&bench), [pin(LINUX)]).unwrap_err(),
    ] {
        let Error::Lockfile { source: LockfileError::Conflict { line: 2 }, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(error.to_string(), format!("cannot use lockfile `{}`", path(&bench).display()));
        assert_eq!(error.exit_code(), 1);
        assert!(error.hint("").unwrap().contains("one side"));
    }
    assert_eq!(fs::read_to_string(path(&bench)).unwrap(), text);
    let file = fs::OpenOptions::new().write(true).open(path(&bench)).unwrap();
    file.set_len(1 << 40).unwrap();
    let error = Lockfile::read(&path(&bench)).unwrap_err();
    assert!(matches!(error, Error::Lockfile { source: LockfileError::TooLong, .. }), "{error}");
}

#[test]
fn a_link_stays_a_link() {
    let bench = Bench::new();
    let real = bench.directory.path().join("shared.lock");
    Lockfile::update(&real, [pin(LINUX)]).unwrap();
    let directory = bench.directory.path().join("project");
    fs::create_dir(&directory).unwrap();
    let link = directory.join(LOCKFILE_NAME);
    std::os::unix::fs::symlink("../shared.lock", &link).unwrap();
    assert!(Lockfile::update(&link, [pin(Target::Aarch64AppleDarwin)]).unwrap());
    assert!(link.is_symlink());
    assert_eq!(Lockfile::read(&real).unwrap().unwrap().pins.len(), 2);
}

#[test]
fn a_directory_that_is_not_there_is_an_error_that_names_it() {
    let bench = Bench::new();
    let path = bench.directory.path().join("absent").join(LOCKFILE_NAME);
    assert!(Lockfile::read(&path).unwrap().is_none());
    let error = Lockfile::update(&path, [pin(LINUX)]).unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("absent"), "{error}");
}

#[test]
fn a_pinned_base_binary_comes_from_the_cache_or_the_source_and_is_no_other() {
    let bench = Bench::new();
    let pin = bench.fetch_whole().base.pin();
    let ensure = |pin: &Pin| block_on(bench.registry().ensure_pinned(pin, None, &()));
    let mismatch = |pin: &Pin| {
        let error = ensure(pin).unwrap_err();
        assert!(matches!(error, Error::PinMismatch { .. }) && error.exit_code() == 4, "{error}");
    };
    assert_eq!(ensure(&pin).unwrap().pin(), pin);
    let other = Pin { binary_sha256: Digest::of(b"other"), ..pin.clone() };
    mismatch(&other);

    fs::remove_dir_all(bench.cache()).unwrap();
    let downloads = bench.archive_downloads();
    mismatch(&other);
    // The same bytes under another key are not what was pinned.
    let stranger = Pin { key_id: SigningKey::generate().id().parse().unwrap(), ..pin.clone() };
    mismatch(&stranger);
    assert_eq!(bench.archive_downloads(), downloads, "known before anything is downloaded");
    assert_eq!(ensure(&pin).unwrap().pin(), pin);

    // The release is tagged again, properly signed.
    Release::write(&bench.www(), &VERSION.to_string(), &[(LINUX.triple(), b"other bytes")], &bench.key);
    assert_eq!(ensure(&pin).unwrap().pin(), pin, "the cache still has what was pinned");
    block_on(bench.registry().fetch(LINUX, &VERSION, true, &())).unwrap();
    mismatch(&pin);
    let offline = block_on(bench.offline().ensure_pinned(&stranger, None, &())).unwrap_err();
    assert!(matches!(offline, Error::NotCached { .. }), "{offline}");
}
