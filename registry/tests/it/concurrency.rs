//! Many at once, and some of them killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::time::Duration;

use encoderfile_registry::{Error, Registry, RegistryConfig, Source, TrustedKeys};
use encoderfile_testing::{Fault, archive_name};

use crate::bench::{ARM, Bench, Diary, LINUX, VERSION, block_on, fetch};

fn archive() -> String {
    archive_name(LINUX.triple())
}

#[test]
fn sixteen_threads_on_a_cold_cache_make_one_download() {
    let bench = Bench::new();
    let start = Barrier::new(16);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let registry = bench.registry();
                start.wait();
                let base = block_on(registry.ensure(LINUX, &VERSION, None, &())).unwrap();
                base.verify().unwrap();
            });
        }
    });
    assert_eq!(bench.archive_downloads(), 1);
    assert!(bench.fetch_whole().was_cached);
}

#[test]
fn sixteen_processes_on_a_cold_cache_make_one_download() {
    let bench = Bench::new();
    let processes: Vec<_> = (0..16).map(|_| process(&bench)).collect();
    for process in processes {
        let output = process.wait_with_output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("exit code 0"), "{output:?}");
    }
    assert_eq!(bench.archive_downloads(), 1);
    assert!(bench.fetch_whole().was_cached);
}

#[test]
fn a_killed_process_blocks_nobody_and_its_bytes_are_used() {
    let bench = Bench::new();
    bench.server.misbehave(&archive(), Fault::StallAfter(120_000), 1);
    let mut victim = process(&bench);
    // Killed in the middle of the archive: once its first bytes are on the disk.
    bench.server.wait_for(&archive(), 1);
    while bench.partial().is_none_or(|partial| partial.metadata().unwrap().len() == 0) {
        std::thread::yield_now();
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    let arrived = bench.partial().unwrap().metadata().unwrap().len();
    assert!(!bench.fetch_whole().was_cached);
    let requests = bench.server.requests(&archive());
    assert_eq!(requests.last().unwrap().headers["range"], format!("bytes={arrived}-"));
}

#[test]
fn a_waiter_says_for_whom_it_waits_and_looks_again_afterwards() {
    let bench = Bench::new();
    bench.server.misbehave(&archive(), Fault::Hold, 1);
    let diary = Diary::default();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| bench.fetch().unwrap());
        bench.server.wait_for(&archive(), 1);
        let second =
            scope.spawn(|| block_on(bench.registry().fetch(LINUX, &VERSION, false, &diary)).unwrap());
        while diary.lines().is_empty() {
            std::thread::yield_now();
        }
        bench.server.release();
        assert!(!first.join().unwrap().was_cached);
        assert!(second.join().unwrap().was_cached);
    });
    assert_eq!(diary.lines(), [format!("waiting for Some({})", std::process::id())]);
    assert_eq!(bench.archive_downloads(), 1);
}

#[test]
fn a_lock_timeout_is_an_error_of_its_own() {
    let bench = Bench::new();
    bench.server.misbehave(&archive(), Fault::Hold, 1);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| bench.fetch().unwrap());
        bench.server.wait_for(&archive(), 1);
        let impatient = RegistryConfig { lock_timeout: Some(Duration::ZERO), ..bench.config() };
        let error = fetch(&Registry::new(impatient)).unwrap_err();
        assert!(matches!(error, Error::LockTimeout { .. }) && error.exit_code() == 6, "{error}");
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        bench.server.release();
        first.join().unwrap();
    });
}

/// uv: one lock for the whole cache makes unrelated work queue.
#[test]
fn other_entries_do_not_wait() {
    let bench = Bench::new();
    bench.server.misbehave(&archive(), Fault::Hold, 1);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| bench.fetch().unwrap());
        bench.server.wait_for(&archive(), 1);
        let impatient = RegistryConfig { lock_timeout: Some(Duration::ZERO), ..bench.config() };
        block_on(Registry::new(impatient).fetch(ARM, &VERSION, false, &())).unwrap();
        bench.server.release();
        first.join().unwrap();
    });
}

#[test]
fn nothing_is_replaced_while_a_build_reads() {
    let bench = Bench::new();
    let reader = bench.fetch_whole().base;
    let also = block_on(bench.registry().locate(LINUX, &VERSION, &())).unwrap();
    let impatient = RegistryConfig { lock_timeout: Some(Duration::ZERO), ..bench.config() };
    let error = block_on(Registry::new(impatient.clone()).fetch(LINUX, &VERSION, true, &())).unwrap_err();
    assert_eq!(error.exit_code(), 6, "{error}");
    drop((reader, also));
    block_on(Registry::new(impatient).fetch(LINUX, &VERSION, true, &())).unwrap();
}

/// Two processes that want the same two entries each got one, kept it, and waited to write the other's.
#[test]
fn nobody_waits_to_write_what_somebody_holds_and_has_written() {
    let bench = Bench::new();
    bench.server.misbehave(&archive(), Fault::Hold, 1);
    let diary = Diary::default();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| bench.fetch().unwrap());
        bench.server.wait_for(&archive(), 1);
        let second = scope.spawn(|| {
            let config = RegistryConfig { lock_timeout: Some(Duration::from_secs(20)), ..bench.config() };
            block_on(Registry::new(config).fetch(LINUX, &VERSION, false, &diary))
        });
        while diary.lines().is_empty() {
            std::thread::yield_now();
        }
        bench.server.release();
        let held = first.join().unwrap();
        assert!(second.join().unwrap().unwrap().was_cached);
        drop(held);
    });
}

const CHILD_CACHE: &str = "REGISTRY_TEST_CACHE";
const CHILD_SOURCE: &str = "REGISTRY_TEST_SOURCE";
const CHILD_KEY: &str = "REGISTRY_TEST_KEY";

/// Another process that fetches: this same program, with [`fetching_process`] as its only test.
fn process(bench: &Bench) -> Child {
    fetching(bench, Command::new(std::env::current_exe().unwrap()))
}

/// The same, with more variables.
pub(crate) fn process_with(bench: &Bench, variables: &[(&str, &Path)]) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.envs(variables.iter().copied());
    fetching(bench, command)
}

/// The same, unable to write files of more than so many blocks (of 512 or 1024 bytes).
pub(crate) fn limited_process(bench: &Bench, blocks: u32) -> Child {
    let mut shell = Command::new("sh");
    // An error instead of a signal, as on a full disk.
    shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
    shell.arg(std::env::current_exe().unwrap());
    fetching(bench, shell)
}

fn fetching(bench: &Bench, mut command: Command) -> Child {
    command.args(["--exact", "concurrency::fetching_process", "--nocapture"]);
    command
        .env(CHILD_CACHE, bench.cache())
        .env(CHILD_SOURCE, bench.server.url())
        .env(CHILD_KEY, bench.key.public());
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// What [`process`] runs; alone it has nothing to do.
#[test]
fn fetching_process() {
    let Ok(cache) = std::env::var(CHILD_CACHE) else { return };
    let mut keys = TrustedKeys::none();
    keys.add(&std::env::var(CHILD_KEY).unwrap()).unwrap();
    let source = Source::parse(&std::env::var(CHILD_SOURCE).unwrap(), false).unwrap();
    let registry = Registry::new(RegistryConfig::new(cache.into(), source, keys));
    match fetch(&registry) {
        Ok(_) => println!("exit code 0"),
        Err(error) => println!("exit code {}: {error}", error.exit_code()),
    }
}
