//! Taking things out of the cache, beside others that put them in.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use encoderfile_registry::{
    EntryId, Error, KeyId, Leftover, LeftoverKind, Reclaimed, Registry, RegistryConfig, Target, TrustedKeys,
};
use encoderfile_testing::{Fault, archive_name};

use crate::bench::{ARM, Bench, Diary, LINUX, VERSION, block_on, config, fetch, files, flip_a_byte};

fn id(bench: &Bench, target: Target) -> EntryId {
    EntryId { key_id: bench.key.id().parse().unwrap(), version: VERSION, target }
}

fn remove(registry: &Registry, id: &EntryId) -> Result<u64, Error> {
    block_on(registry.remove(id, &()))
}

fn remove_leftover(registry: &Registry, leftover: &Leftover) -> Reclaimed {
    block_on(registry.remove_leftover(leftover)).unwrap()
}

fn fetch_arm(bench: &Bench) {
    block_on(bench.registry().fetch(ARM, &VERSION, false, &())).unwrap();
}

/// The one leftover, of this kind.
fn only(registry: &Registry, kind: LeftoverKind) -> Leftover {
    let mut leftovers = registry.leftovers().unwrap();
    assert!(matches!(&leftovers[..], [leftover] if leftover.kind == kind), "{leftovers:?}");
    leftovers.remove(0)
}

/// Files and directories under `base/v1`, without the lock files and what was seen, which stay.
fn left(bench: &Bench) -> Vec<String> {
    fn walk(directory: &Path, root: &Path, found: &mut Vec<String>) {
        for item in fs::read_dir(directory).unwrap() {
            let path = item.unwrap().path();
            found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            if path.is_dir() {
                walk(&path, root, found);
            }
        }
    }
    let root = bench.cache().join("base/v1");
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    found.retain(|path| !path.starts_with("locks") && !path.starts_with("seen"));
    found.sort();
    found
}

fn entry_lock(bench: &Bench, target: Target) -> File {
    let name = format!("{}-{VERSION}-{target}.lock", bench.key.id());
    File::options().read(true).write(true).open(bench.cache().join("base/v1/locks").join(name)).unwrap()
}

#[test]
fn a_removed_base_binary_leaves_nothing_but_lock_files() {
    let bench = Bench::new();
    bench.fetch_whole();
    let entry = bench.binary().parent().unwrap().to_owned();
    fs::write(entry.join(".tmp-dead"), "half").unwrap();
    fs::write(entry.join("encoderfile-runtime.corrupt"), "bad").unwrap();
    fs::write(entry.with_file_name(".tmp-dead"), "half").unwrap();
    let everything: u64 = files(&bench.cache().join("base/v1").join(bench.key.id()))
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .sum();
    let locks = || -> Vec<_> {
        let inode = |path: &std::path::PathBuf| (path.clone(), path.metadata().unwrap().ino());
        files(&bench.cache().join("base/v1/locks")).iter().map(inode).collect()
    };
    let before = locks();
    assert_eq!(remove(&bench.offline(), &id(&bench, LINUX)).unwrap(), everything);
    assert_eq!(left(&bench), ["partial"]);
    assert_eq!(locks(), before);
    assert_eq!(bench.offline().list_cached().unwrap().len(), 0);
    // Again is no error, and what never was there makes no lock files.
    assert_eq!(remove(&bench.offline(), &id(&bench, LINUX)).unwrap(), 0);
    assert_eq!(remove(&bench.offline(), &id(&bench, ARM)).unwrap(), 0);
    assert_eq!(locks(), before);
    assert!(!bench.fetch_whole().was_cached);
}

#[test]
fn a_cache_that_does_not_exist_has_nothing_and_stays_away() {
    let bench = Bench::new();
    let registry = bench.offline();
    assert_eq!(remove(&registry, &id(&bench, LINUX)).unwrap(), 0);
    assert_eq!(registry.leftovers().unwrap().len(), 0);
    assert_eq!(registry.usage().unwrap().bytes(), 0);
    assert!(!bench.cache().exists());
}

#[test]
fn another_target_keeps_the_index_and_the_last_one_takes_it_along() {
    let bench = Bench::new();
    bench.fetch_whole();
    fetch_arm(&bench);
    remove(&bench.offline(), &id(&bench, LINUX)).unwrap();
    block_on(bench.offline().locate(ARM, &VERSION, &())).unwrap().verify().unwrap();
    assert_eq!(bench.offline().leftovers().unwrap().len(), 0);
    remove(&bench.offline(), &id(&bench, ARM)).unwrap();
    assert_eq!(left(&bench), ["partial"]);
}

#[test]
fn a_target_of_a_later_version_keeps_the_index() {
    let bench = Bench::new();
    bench.fetch_whole();
    let release = bench.binary().parent().unwrap().parent().unwrap().to_owned();
    let later = release.join("riscv64gc-unknown-linux-gnu");
    fs::create_dir(&later).unwrap();
    fs::write(later.join("receipt.json"), "{}").unwrap();
    remove(&bench.offline(), &id(&bench, LINUX)).unwrap();
    assert!(release.join("base-index.json").exists());
    assert_eq!(bench.offline().leftovers().unwrap().len(), 0);
    // Being installed counts as well.
    fs::remove_file(later.join("receipt.json")).unwrap();
    let lock = format!("base/v1/locks/{}-{VERSION}-riscv64gc-unknown-linux-gnu.lock", bench.key.id());
    let lock = File::create(bench.cache().join(lock)).unwrap();
    lock.lock().unwrap();
    let leftover = only(&bench.offline(), LeftoverKind::UnusedIndex);
    assert!(leftover.in_use);
    assert_eq!(remove_leftover(&bench.offline(), &leftover), Reclaimed::InUse);
    assert_eq!(remove(&bench.offline(), &id(&bench, LINUX)).unwrap(), 0);
    assert!(release.join("base-index.json").exists());
    lock.unlock().unwrap();
    assert!(remove(&bench.offline(), &id(&bench, LINUX)).unwrap() > 0);
    assert!(!release.join("base-index.json").exists());
}

#[test]
fn an_installer_of_another_target_keeps_the_index() {
    let bench = Bench::new();
    fetch_arm(&bench);
    bench.server.misbehave(&archive_name(LINUX.triple()), Fault::Hold, 1);
    std::thread::scope(|scope| {
        let installer = scope.spawn(|| bench.fetch().unwrap());
        bench.server.wait_for(&archive_name(LINUX.triple()), 1);
        remove(&bench.offline(), &id(&bench, ARM)).unwrap();
        let kept = bench.binary().parent().unwrap().with_file_name("base-index.json").exists();
        let leftovers = bench.offline().leftovers().unwrap();
        bench.server.release();
        installer.join().unwrap().base.verify().unwrap();
        assert!(kept);
        // The download, the entry and the index: all of them are the installer's.
        assert_eq!(leftovers.len(), 3, "{leftovers:?}");
        for leftover in &leftovers {
            assert!(leftover.in_use, "{leftover:?}");
        }
    });
    assert!(bench.fetch_whole().was_cached);
}

#[test]
fn a_removal_waits_for_readers_and_says_for_whom_it_gave_up() {
    let bench = Bench::new();
    let reader = bench.fetch_whole().base;
    let impatient = Registry::new(RegistryConfig { lock_timeout: Some(Duration::ZERO), ..bench.config() });
    let error = remove(&impatient, &id(&bench, LINUX)).unwrap_err();
    assert_eq!(error.exit_code(), 6, "{error}");
    let reader = reader.verify().unwrap();
    let diary = Diary::default();
    std::thread::scope(|scope| {
        let removal = scope.spawn(|| block_on(bench.offline().remove(&id(&bench, LINUX), &diary)).unwrap());
        while diary.lines().is_empty() {
            std::thread::yield_now();
        }
        assert!(bench.binary().exists());
        drop(reader);
        assert!(removal.join().unwrap() > 300_000);
    });
    assert!(!bench.binary().exists());
}

/// The installer made its directories before it waited for the removal, which then took them away.
#[test]
fn an_installer_that_waits_for_a_removal_makes_its_directories_afterwards() {
    let bench = Bench::new();
    bench.fetch_whole();
    let lock = entry_lock(&bench, LINUX);
    lock.lock().unwrap();
    let diary = Diary::default();
    std::thread::scope(|scope| {
        let installer =
            scope.spawn(|| block_on(bench.registry().fetch(LINUX, &VERSION, true, &diary)).unwrap());
        while diary.lines().is_empty() {
            std::thread::yield_now();
        }
        // As a removal does it that holds the lock.
        fs::remove_dir_all(bench.cache().join("base/v1").join(bench.key.id())).unwrap();
        lock.unlock().unwrap();
        assert!(!installer.join().unwrap().was_cached);
    });
    bench.fetch_whole();
}

/// Whatever the order of the steps: after each installation its base binary is there, with its index, until it is removed.
#[test]
fn installers_and_removals_of_two_targets_never_spoil_each_other() {
    let bench = Bench::with_runtime(crate::bench::runtime(2000));
    let source = bench.www();
    let registry = || Registry::new(config(&bench.cache(), source.to_str().unwrap(), bench.keys()));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..60 {
                block_on(registry().fetch(ARM, &VERSION, false, &())).unwrap();
                remove(&registry(), &id(&bench, ARM)).unwrap();
                for leftover in registry().leftovers().unwrap() {
                    remove_leftover(&registry(), &leftover);
                }
            }
        });
        for _ in 0..60 {
            let registry = registry();
            fetch(&registry).unwrap();
            block_on(registry.locate(LINUX, &VERSION, &())).unwrap().verify().unwrap();
            remove(&registry, &id(&bench, LINUX)).unwrap();
            let error = block_on(registry.locate(LINUX, &VERSION, &())).unwrap_err();
            assert!(matches!(error, Error::NotCached { .. }), "{error}");
        }
    });
    assert_eq!(left(&bench), ["partial"]);
}

#[test]
fn a_foreign_file_stays_and_is_no_obstacle() {
    let bench = Bench::new();
    bench.fetch_whole();
    let mine = bench.binary().with_file_name("notes.txt");
    fs::write(&mine, "mine").unwrap();
    remove(&bench.offline(), &id(&bench, LINUX)).unwrap();
    assert!(mine.exists() && !bench.binary().exists());
    assert_eq!(bench.offline().leftovers().unwrap().len(), 0);
    bench.fetch_whole();
}

#[test]
fn a_download_that_was_interrupted_is_a_leftover_until_somebody_continues_it() {
    let bench = Bench::new();
    bench.server.misbehave(&archive_name(LINUX.triple()), Fault::CutAfter(1000), usize::MAX);
    bench.fetch().unwrap_err();
    bench.server.behave();
    let registry = bench.offline();
    let leftovers = registry.leftovers().unwrap();
    let kinds: Vec<_> = leftovers.iter().map(|leftover| leftover.kind).collect();
    // The directory of the entry was made, too.
    assert_eq!(kinds, [LeftoverKind::InterruptedDownload, LeftoverKind::HalfEntry]);
    assert_eq!(leftovers[0].path, bench.partial().unwrap());
    assert_eq!(leftovers[0].bytes, bench.partial().unwrap().metadata().unwrap().len());
    assert!(!leftovers[0].in_use && !leftovers[1].in_use);

    let busy = File::open(&leftovers[0].path).unwrap();
    busy.lock().unwrap();
    assert!(registry.leftovers().unwrap()[0].in_use);
    assert_eq!(remove_leftover(&registry, &leftovers[0]), Reclaimed::InUse);
    busy.unlock().unwrap();
    assert_eq!(remove_leftover(&registry, &leftovers[0]), Reclaimed::Freed(leftovers[0].bytes));
    assert_eq!(remove_leftover(&registry, &leftovers[0]), Reclaimed::Freed(0));
    assert_eq!(remove_leftover(&registry, &leftovers[1]), Reclaimed::Freed(0));
    assert_eq!(left(&bench), ["partial"]);
    bench.fetch_whole();
}

#[test]
fn every_kind_of_leftover_is_found_and_removed_and_what_is_installed_stays() {
    let bench = Bench::new();
    bench.fetch_whole();
    fetch_arm(&bench);
    let registry = bench.offline();
    assert_eq!(registry.leftovers().unwrap().len(), 0);
    let entry = bench.binary().parent().unwrap().to_owned();
    let temporary = entry.join(".tmp-dead");
    let beside = entry.with_file_name(".tmp-dead");
    fs::write(&temporary, "half").unwrap();
    fs::write(&beside, "another half").unwrap();
    flip_a_byte(&bench.binary());
    let entries = registry.list_cached().unwrap();
    block_on(registry.verify(&entries[1], &())).unwrap_err();

    let leftovers = registry.leftovers().unwrap();
    let described: Vec<_> =
        leftovers.iter().map(|found| (found.kind, found.path.clone(), found.bytes)).collect();
    assert_eq!(
        described,
        [
            (LeftoverKind::TemporaryFile, temporary, 4),
            (LeftoverKind::Quarantined, entry.join("encoderfile-runtime.corrupt"), 300_000),
            (LeftoverKind::TemporaryFile, beside, 12),
        ]
    );
    let now = jiff::Timestamp::now();
    for leftover in &leftovers {
        assert!(now.duration_since(leftover.modified).as_secs().abs() < 3600, "{leftover:?}");
        assert_eq!(remove_leftover(&registry, leftover), Reclaimed::Freed(leftover.bytes));
    }
    assert!(!entry.exists());
    assert_eq!(registry.leftovers().unwrap().len(), 0);
    block_on(registry.locate(ARM, &VERSION, &())).unwrap().verify().unwrap();
}

#[test]
fn half_an_entry_and_its_index_go_unless_it_was_finished_meanwhile() {
    for receipt in [None, Some("{")] {
        let bench = Bench::new();
        bench.fetch_whole();
        let path = bench.binary().with_file_name("receipt.json");
        fs::remove_file(&path).unwrap();
        if let Some(text) = receipt {
            fs::write(&path, text).unwrap();
        }
        let registry = bench.offline();
        let leftovers = registry.leftovers().unwrap();
        let kinds: Vec<_> = leftovers.iter().map(|leftover| leftover.kind).collect();
        assert_eq!(kinds, [LeftoverKind::HalfEntry, LeftoverKind::UnusedIndex]);
        assert!(leftovers[0].bytes >= 300_000);

        // Finished since it was found.
        fs::remove_file(&path).ok();
        bench.fetch_whole();
        for leftover in &leftovers {
            assert_eq!(remove_leftover(&registry, leftover), Reclaimed::Freed(0));
        }
        assert!(bench.fetch_whole().was_cached);

        fs::remove_file(&path).unwrap();
        let lock = entry_lock(&bench, LINUX);
        lock.lock().unwrap();
        for leftover in registry.leftovers().unwrap() {
            assert!(leftover.in_use, "{leftover:?}");
            assert_eq!(remove_leftover(&registry, &leftover), Reclaimed::InUse);
        }
        lock.unlock().unwrap();
        for leftover in registry.leftovers().unwrap() {
            assert!(matches!(remove_leftover(&registry, &leftover), Reclaimed::Freed(1..)));
        }
        assert_eq!(left(&bench), ["partial"]);
    }
}

/// A removal that dies between its last two files.
#[test]
fn a_signature_alone_is_an_unused_index() {
    let bench = Bench::new();
    bench.fetch_whole();
    let release = bench.binary().parent().unwrap().parent().unwrap().to_owned();
    fs::remove_dir_all(bench.binary().parent().unwrap()).unwrap();
    fs::remove_file(release.join("base-index.json")).unwrap();
    let leftover = only(&bench.offline(), LeftoverKind::UnusedIndex);
    assert_eq!(leftover.bytes, fs::metadata(release.join("base-index.json.minisig")).unwrap().len());
    assert_eq!(remove_leftover(&bench.offline(), &leftover), Reclaimed::Freed(leftover.bytes));
    assert_eq!(left(&bench), ["partial"]);
}

#[test]
fn usage_counts_every_file_once() {
    let bench = Bench::new();
    bench.fetch_whole();
    fetch_arm(&bench);
    fs::write(bench.cache().join("base/v1/partial/abc"), "1234").unwrap();
    std::os::unix::fs::symlink("/", bench.binary().with_file_name("link")).unwrap();
    let usage = bench.offline().usage().unwrap();
    assert_eq!((usage.base_binaries.count, usage.base_binaries.bytes), (2, 301_000));
    assert_eq!((usage.interrupted_downloads.count, usage.interrupted_downloads.bytes), (1, 4));
    let all = files(&bench.cache().join("base/v1"));
    let bytes: u64 = all.iter().map(|path| path.symlink_metadata().unwrap().len()).sum();
    assert_eq!(usage.bytes(), bytes);
    assert_eq!(usage.other.count + 3, all.len() as u64);
}

const CHILD_CACHE: &str = "REGISTRY_TEST_UNWRITABLE_CACHE";
const CHILD_KEY: &str = "REGISTRY_TEST_UNWRITABLE_KEY";

#[test]
fn a_cache_that_cannot_be_written_says_so_and_stays_whole() {
    let bench = Bench::new();
    bench.fetch_whole();
    fs::write(bench.cache().join("base/v1/partial/abc"), "1234").unwrap();
    let directories = || {
        let mut found = vec![bench.directory.path().to_owned()];
        let mut next = 0;
        while next < found.len() {
            let inside = fs::read_dir(&found[next]).unwrap().map(|item| item.unwrap().path());
            let inside: Vec<_> = inside.filter(|path| path.is_dir()).collect();
            found.extend(inside);
            next += 1;
        }
        found
    };
    let set_mode = |mode| {
        for directory in directories() {
            fs::set_permissions(directory, fs::Permissions::from_mode(mode)).unwrap();
        }
        for lock in files(&bench.cache().join("base/v1/locks")) {
            fs::set_permissions(lock, fs::Permissions::from_mode(mode & 0o666)).unwrap();
        }
    };
    // The superuser may write anywhere, so the other user is somebody else.
    let root = fs::metadata(bench.directory.path()).unwrap().uid() == 0;
    let program = bench.directory.path().join("other-user");
    if root {
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    }
    set_mode(0o555);
    let mut other = Command::new(if root { program } else { std::env::current_exe().unwrap() });
    other.args(["--exact", "removal::user_of_an_unwritable_cache", "--nocapture"]);
    other.env(CHILD_CACHE, bench.cache()).env(CHILD_KEY, bench.key.id());
    if root {
        other.uid(65534).gid(65534);
    }
    let output = loop {
        match other.output() {
            // Another test forked while the copy was being written.
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            output => break output.unwrap(),
        }
    };
    set_mode(0o755);
    assert!(String::from_utf8_lossy(&output.stdout).contains("refused"), "{output:?}");
    fs::remove_file(bench.cache().join("base/v1/partial/abc")).unwrap();
    assert!(bench.fetch_whole().was_cached);
}

/// The other user of [`a_cache_that_cannot_be_written_says_so_and_stays_whole`]; alone it has nothing to do.
#[test]
fn user_of_an_unwritable_cache() {
    let (Ok(cache), Ok(key)) = (std::env::var(CHILD_CACHE), std::env::var(CHILD_KEY)) else { return };
    let registry = Registry::new(config(cache.as_ref(), "/nonexistent", TrustedKeys::none()));
    let id = EntryId { key_id: key.parse::<KeyId>().unwrap(), version: VERSION, target: LINUX };
    let error = remove(&registry, &id).unwrap_err();
    assert!(matches!(error, Error::ReadOnlyCache { .. }) && error.exit_code() == 1, "{error}");
    assert!(error.to_string().contains(&format!("`{cache}`")), "{error}");
    assert!(error.hint("").unwrap().contains("--cache-dir"));
    let leftover = only(&registry, LeftoverKind::InterruptedDownload);
    let error = block_on(registry.remove_leftover(&leftover)).unwrap_err();
    assert!(matches!(error, Error::ReadOnlyCache { .. }), "{error}");
    println!("refused");
}
