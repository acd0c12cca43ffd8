//! Command lines that are killed or interrupted, and what the next one makes of what they leave.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use encoderfile_testing::Fault;

use crate::bench::{Bench, Random, archive, unfinished, wait_until};
use crate::sandbox::Said;

const LENGTH: usize = 600_000;
/// Kills altogether, and those who share them.
const KILLS: usize = 200;
const WORKERS: usize = 4;
/// Sets the seed of another run.
const SEED: &str = "ENCODERFILE_TEST_SEED";

/// What is killed.
#[derive(Debug)]
struct Victim {
    arguments: &'static [&'static str],
    /// What it writes outside the cache.
    output: Option<&'static str>,
}

const VICTIMS: [Victim; 8] = [
    Victim { arguments: &["base", "fetch"], output: None },
    Victim { arguments: &["base", "fetch", "--force"], output: None },
    Victim { arguments: &["base", "fetch", "--all"], output: None },
    Victim { arguments: &["base", "remove", "--all"], output: None },
    Victim { arguments: &["base", "prune", "--keep", "0"], output: None },
    Victim {
        arguments: &["build", "model", "--no-check", "-o", "out", "--lockfile", "encoderfile.lock"],
        output: Some("out"),
    },
    Victim { arguments: &["base", "export", "--force", "-o", "exported"], output: Some("exported") },
    Victim { arguments: &["base", "import", "bundle"], output: None },
];

/// Says which run it was, should a test fail.
struct Run {
    seed: u64,
    number: usize,
    victim: &'static [&'static str],
}

impl Drop for Run {
    #[expect(clippy::print_stderr, reason = "a test says how to repeat it")]
    fn drop(&mut self) {
        if thread::panicking() {
            let Self { seed, number, victim } = self;
            eprintln!("kill {number}, of {victim:?}, with {SEED}={seed}");
        }
    }
}

fn seed() -> u64 {
    let from_time = || std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into();
    std::env::var(SEED).map_or_else(|_| from_time(), |text| text.parse().unwrap())
}

#[test]
fn whatever_is_killed_the_next_command_repairs() {
    let seed = seed();
    let killed: usize = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..WORKERS as u64).map(|worker| scope.spawn(move || kill_often(seed + worker))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    // Else they were done before.
    assert!(killed > KILLS / 10, "only {killed} were killed, with {SEED}={seed}");
    println!("{killed} of {KILLS} were killed");
}

/// Returns how many were killed before they were done.
fn kill_often(seed: u64) -> usize {
    let bench = Bench::new(LENGTH);
    bench.sandbox.model("embedding");
    bench.run(["base", "export", "-o", "bundle"]).ok();
    let mut random = Random::new(seed);
    let mut usual = VICTIMS.map(|_| None);
    let mut killed = 0;
    for number in 0..KILLS / WORKERS {
        let index = usize::try_from(random.below(VICTIMS.len() as u64)).unwrap();
        let victim = &VICTIMS[index];
        let _run = Run { seed, number, victim: victim.arguments };
        let is_cold = random.below(2) == 0;
        let prepare = || {
            let _ = fs::remove_file(bench.sandbox.path("encoderfile.lock"));
            if is_cold {
                bench.forget_cache();
            }
        };
        prepare();
        let usual: &mut [Option<Duration>; 2] = usual[index].get_or_insert([None; 2]);
        let usual = *usual[usize::from(is_cold)].get_or_insert_with(|| {
            let start = Instant::now();
            bench.run(victim.arguments).ok();
            start.elapsed()
        });
        // What has measured it has changed the cache.
        bench.run(["base", "fetch"]).ok();
        prepare();

        let process =
            bench.command().args(victim.arguments).stderr(Stdio::null()).stdout(Stdio::null()).spawn();
        let mut process = process.unwrap();
        let nanoseconds = u64::try_from(usual.as_nanos()).unwrap();
        thread::sleep(Duration::from_nanos(random.below(nanoseconds)));
        process.kill().unwrap();
        killed += usize::from(process.wait().unwrap().signal().is_some());
        assert_repaired(&bench, victim);
    }
    killed
}

fn assert_repaired(bench: &Bench, victim: &Victim) {
    bench.run(["base", "fetch"]).ok();
    bench.run(["base", "verify"]).ok();
    let pruned = bench.run(["base", "prune", "--json"]).ok().json();
    let leftovers = pruned["leftovers"].as_array().unwrap();
    assert!(leftovers.iter().all(|leftover| leftover["in_use"] == false), "{leftovers:?}");
    let left = bench.run(["base", "prune", "--dry-run", "--json"]).ok().json();
    assert_eq!(left["leftovers"], serde_json::json!([]));
    assert_eq!(unfinished(&bench.sandbox.cache()), Vec::<PathBuf>::new());

    if let Some(output) = victim.output {
        // The old file or the new one, or none if there was none.
        let is_there = bench.sandbox.path(output).exists();
        let check = if output == "out" { &["verify", "out"][..] } else { &["base", "import", output] };
        if is_there {
            bench.run(check).ok();
        }
        bench.run(victim.arguments).ok();
        bench.run(check).ok();
        assert_eq!(unfinished(&bench.sandbox.path("")), Vec::<PathBuf>::new());
    }
}

/// Starts a command, waits until it has got so many bytes of an archive that comes no further, and ends it by a signal.
fn stop_during_a_download(bench: &Bench, arguments: &[&str], bytes: u64, signal: &str) -> Said {
    bench.server.misbehave(&archive(), Fault::StallAfter(bytes), 1);
    let process = bench.command().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let process: Child = process.unwrap();
    let length = || bench.partial().and_then(|partial| partial.metadata().ok()).map(|partial| partial.len());
    wait_until("the bytes", || length() == Some(bytes));
    let kill =
        Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, &process.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let said = process.wait_with_output().unwrap().into();
    assert_eq!(length(), Some(bytes), "what was downloaded stays");
    said
}

/// The next fetch asks for what is missing, and for nothing else.
fn assert_resumed(bench: &Bench, bytes: u64) {
    let said = bench.run(["base", "fetch"]).ok();
    assert!(said.stderr.contains("Resuming"), "{}", said.stderr);
    let requests = bench.server.requests(&archive());
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].headers["range"], format!("bytes={bytes}-"));
    assert_eq!(requests.iter().map(|request| request.sent).sum::<u64>(), bench.archive_length());
    bench.run(["base", "verify"]).ok();
    assert_eq!(unfinished(&bench.sandbox.path("")), Vec::<PathBuf>::new());
}

const BUILD: [&str; 5] = ["build", "model", "--no-check", "-o", "out"];

#[test]
fn what_a_killed_download_has_is_not_downloaded_again() {
    for arguments in [&["base", "fetch"][..], &BUILD] {
        let bench = Bench::new(LENGTH);
        bench.sandbox.model("embedding");
        let said = stop_during_a_download(&bench, arguments, 234_567, "KILL");
        assert_eq!(said.code, -1);
        assert_resumed(&bench, 234_567);
    }
}

#[test]
fn an_interrupted_download_says_what_is_kept_and_is_continued() {
    for arguments in [&["base", "fetch"][..], &BUILD] {
        for signal in ["INT", "TERM"] {
            let bench = Bench::new(LENGTH);
            bench.sandbox.model("embedding");
            stop_during_a_download(&bench, arguments, 234_567, signal)
                .failed(130, &["error: interrupted", "kept: 234.6 kB of 600.", "run the same command again"]);
            assert!(!bench.sandbox.path("out").exists());
            assert_resumed(&bench, 234_567);
        }
    }
}

#[test]
fn a_connection_that_breaks_costs_no_byte() {
    let bench = Bench::new(LENGTH);
    bench.server.misbehave(&archive(), Fault::CutAfter(200_000), 2);
    let said = bench.run(["base", "fetch"]).ok();
    assert!(said.stderr.contains("trying again"), "{}", said.stderr);
    let ranges =
        bench.server.requests(&archive()).into_iter().map(|request| request.headers.get("range").cloned());
    let expected = [None, Some("bytes=200000-".to_owned()), Some("bytes=400000-".to_owned())];
    assert_eq!(ranges.collect::<Vec<_>>(), expected);
    let sent = bench.server.requests(&archive()).iter().map(|request| request.sent).sum::<u64>();
    assert_eq!(sent, bench.archive_length());
}

#[test]
fn who_is_interrupted_while_waiting_for_another_leaves_it_alone() {
    let bench = Bench::new(LENGTH);
    bench.server.misbehave(&archive(), Fault::Hold, 1);
    let start = || {
        let mut command = bench.command();
        command.args(["base", "fetch"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let first = start();
    wait_until("the first", || bench.server.requests(&archive()).len() == 1);
    let second = start();
    wait_until("the second", || bench.server.requests("base-index.json").len() == 2);
    let kill = Command::new("sh").args(["-c", "kill -s INT \"$0\"", &second.id().to_string()]).status();
    assert!(kill.unwrap().success());
    Said::from(second.wait_with_output().unwrap()).failed(130, &["interrupted"]);
    bench.server.release();
    Said::from(first.wait_with_output().unwrap()).ok();
    assert_eq!(bench.downloads(), 1);
    bench.run(["base", "verify"]).ok();
}

/// The moment is too short to be hit by chance.
#[test]
fn what_a_killed_build_left_of_a_lockfile_is_removed_and_nothing_else() {
    let bench = Bench::new(1000);
    bench.sandbox.model("embedding");
    fs::write(bench.sandbox.path(".encoderfile.lock.a1B2c3.encoderfile-partial"), "version").unwrap();
    let mine = [".encoderfile.lock.notes", ".other.lock.a1B2c3.encoderfile-partial", ".tmp-mine"];
    for name in mine {
        fs::write(bench.sandbox.path(name), "mine").unwrap();
    }
    // The lockfile is written, and then it is not: it says the same.
    for _ in 0..2 {
        bench.run(VICTIMS[5].arguments).ok();
        let left = bench.sandbox.leftovers();
        let expected = [&mine[..], &["encoderfile.lock", "out"]].concat();
        assert_eq!(left, expected);
        fs::write(bench.sandbox.path(".encoderfile.lock.D4e5F6.encoderfile-partial"), "version").unwrap();
    }
}
