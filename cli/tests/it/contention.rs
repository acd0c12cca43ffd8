//! Many command lines at once, on one cache.

use std::process::{Child, Command, Stdio};
use std::thread;

use encoderfile_testing::Fault;
use serde_json::Value;

use crate::bench::{Bench, TARGETS, archive, unfinished, wait_until};
use crate::sandbox::{HOST, Said};

const ROUNDS: usize = 20;

fn start(mut command: Command, arguments: &[&str]) -> Child {
    // A failure rather than a test without end.
    command.args(["--lock-timeout", "60"]);
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What each of them fetched, which succeeded.
fn fetched(processes: Vec<Child>) -> Vec<Value> {
    let output = |process: Child| Said::from(process.wait_with_output().unwrap()).ok().json();
    processes.into_iter().map(output).collect()
}

/// How often a process of these downloaded this target itself.
fn installations(reports: &[Value], target: &str) -> usize {
    let entries = reports.iter().flat_map(|report| report.as_array().unwrap());
    entries.filter(|entry| entry["target"] == target && entry["was_cached"] == false).count()
}

#[test]
fn sixty_four_processes_on_a_cold_cache_make_one_download() {
    for round in 0..ROUNDS {
        let bench = Bench::new(300_000);
        let is_held = round % 2 == 0;
        if is_held {
            // So that the last process, too, finds nothing in the cache.
            bench.server.misbehave(&archive(), Fault::Hold, 1);
        }
        let processes: Vec<_> =
            (0..64).map(|_| start(bench.command(), &["base", "fetch", "--json"])).collect();
        if is_held {
            wait_until("64 requests for the index", || bench.server.requests("base-index.json").len() == 64);
            bench.server.release();
        }
        let reports = fetched(processes);
        assert_eq!(reports.len(), 64);
        assert_eq!(bench.downloads(), 1, "round {round}");
        assert_eq!(installations(&reports, HOST), 1, "round {round}");
        assert_eq!(unfinished(&bench.sandbox.cache()), Vec::<std::path::PathBuf>::new());
    }
}

#[test]
fn eight_processes_that_fetch_all_targets_download_each_once() {
    let bench = Bench::new(300_000);
    for round in 1..=ROUNDS {
        let processes: Vec<_> =
            (0..8).map(|_| start(bench.command(), &["base", "fetch", "--all", "--json"])).collect();
        let reports = fetched(processes);
        assert_eq!(bench.downloads(), 4 * round);
        for target in TARGETS {
            let name = encoderfile_testing::archive_name(target);
            assert_eq!(bench.server.requests(&name).len(), round, "{target}");
            assert_eq!(installations(&reports, target), 1, "round {round}: {target}");
        }
        bench.run(["base", "verify"]).ok();
        bench.forget_cache();
    }
}

#[test]
fn commands_of_all_kinds_at_once_only_ever_miss_what_is_not_there() {
    const COMMANDS: [&[&str]; 9] = [
        &["fetch", "--json"],
        &["fetch", "--all"],
        &["fetch", "--force"],
        &["list", "--json"],
        &["path"],
        &["verify", "--json"],
        &["remove", "--all"],
        &["prune", "--keep", "0"],
        &["size", "--json"],
    ];
    let bench = Bench::new(100_000);
    thread::scope(|scope| {
        for arguments in COMMANDS {
            let bench = &bench;
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    let said = bench.run(["--lock-timeout", "60", "base"].iter().chain(arguments));
                    assert!(matches!(said.code, 0 | 3), "{arguments:?}: {said:?}");
                    assert!(!said.stderr.contains("damaged"), "{arguments:?}: {said:?}");
                }
            });
        }
    });
    bench.run(["base", "fetch", "--all"]).ok();
    let verified = bench.run(["base", "verify", "--json"]).ok().json();
    assert_eq!(verified.as_array().unwrap().len(), 4);
    bench.run(["base", "prune"]).ok();
    assert_eq!(unfinished(&bench.sandbox.cache()), Vec::<std::path::PathBuf>::new());
}

/// Each wants to write what the others read, and must not wait for one while it keeps another.
#[test]
fn processes_that_replace_all_targets_do_not_block_each_other() {
    let bench = Bench::new(300_000);
    for round in 1..=ROUNDS {
        let arguments = ["base", "fetch", "--all", "--force", "--json"];
        let processes: Vec<_> = (0..4).map(|_| start(bench.command(), &arguments)).collect();
        assert_eq!(fetched(processes).len(), 4);
        assert_eq!(bench.downloads(), 16 * round);
    }
    bench.run(["base", "verify"]).ok();
}
