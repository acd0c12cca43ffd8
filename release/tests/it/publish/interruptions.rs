//! Interrupted after each step once: the next run finishes it, and the result is the same.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Output, Stdio};

use encoderfile_testing::{Fault, Server};
use rustix::process::{Pid, Signal, kill_process};

use super::{Hub, signed};

/// The hosts that are asked, and how often, in a run that nothing interrupts.
fn steps(hub: &Hub) -> [(&'static str, usize); 2] {
    hub.publish(&[]);
    let steps =
        [("api", hub.github.api.requests("").len()), ("uploads", hub.github.uploads.requests("").len())];
    assert!(steps.iter().all(|(_, count)| *count > 3), "{steps:?}");
    steps
}

fn host<'a>(hub: &'a Hub, name: &str) -> &'a Server {
    if name == "api" { &hub.github.api } else { &hub.github.uploads }
}

/// Lets `fault` strike each request once, in a repository of its own.
fn strike_each(fault: &Fault, mut then: impl FnMut(&Hub, String)) {
    let workshop = signed();
    for (name, count) in steps(&Hub::new(&workshop)) {
        for step in 0..count {
            let hub = Hub::new(&workshop);
            host(&hub, name).misbehave_after("", step, fault.clone(), 1);
            then(&hub, format!("{fault:?} at request {step} to {name}"));
            hub.assert_published();
        }
    }
}

/// Without a second try, the run fails, and another run finishes what it began.
fn next_run_finishes(fault: &Fault) {
    strike_each(fault, |hub, place| {
        let error = hub.refuse(5, &["--retries=0"]);
        assert!(error.contains("hint: run the same command again"), "{place}: {error}");
        hub.publish(&["--retries=0"]);
    });
}

/// The run itself tries again, and makes no second draft.
fn same_run_finishes(fault: &Fault) {
    strike_each(fault, |hub, place| {
        let told = hub.publish(&[]);
        assert_eq!(told.matches("trying again in").count(), 1, "{place}: {told}");
        assert!(told.contains("\nread back "), "{place}: {told}");
    });
}

#[test]
fn the_next_run_finishes_when_a_request_is_lost() {
    next_run_finishes(&Fault::LoseRequest);
}

#[test]
fn the_next_run_finishes_when_an_answer_is_lost() {
    next_run_finishes(&Fault::LoseAnswer);
}

#[test]
fn the_next_run_finishes_when_the_server_fails() {
    next_run_finishes(&Fault::Status(500, vec![]));
}

#[test]
fn the_same_run_finishes_when_a_request_is_lost() {
    same_run_finishes(&Fault::LoseRequest);
}

#[test]
fn the_same_run_finishes_when_an_answer_is_lost() {
    same_run_finishes(&Fault::LoseAnswer);
}

#[test]
fn the_same_run_finishes_when_the_server_fails() {
    same_run_finishes(&Fault::Status(502, vec![]));
}

/// Stops a run while the server holds one of its requests, which then never comes to anything.
fn stop(hub: &Hub, name: &str, step: usize, signal: Signal) -> Output {
    let server = host(hub, name);
    server.misbehave_after("", step, Fault::Hold, 1);
    let mut command = hub.command(&[]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    server.wait_for("", step + 1);
    kill_process(Pid::from_child(&child), signal).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn the_next_run_finishes_when_the_process_is_killed() {
    let workshop = signed();
    for (name, count) in steps(&Hub::new(&workshop)) {
        for step in 0..count {
            let hub = Hub::new(&workshop);
            let output = stop(&hub, name, step, Signal::KILL);
            assert_eq!(output.status.signal(), Some(Signal::KILL.as_raw()), "request {step} to {name}");
            hub.publish(&[]);
            hub.assert_published();
        }
    }
}

#[test]
fn ctrl_c_leaves_a_draft_and_says_so() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    let output = stop(&hub, "uploads", 2, Signal::INT);
    let draft = hub.draft_url();
    let told = hub.checked_refusal(130, &output);
    let expected = format!(
        "error: interrupted\n  draft: {draft}\nhint: nothing is published; run the same command again: it goes on \
         where it stopped\n"
    );
    assert!(told.ends_with(&expected), "{told}");
    hub.publish(&[]);
    hub.assert_published();
}

#[test]
fn a_signal_at_the_last_step_does_not_say_that_nothing_is_published() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    let told = hub.checked_refusal(130, &stop(&hub, "api", 6, Signal::INT));
    assert!(told.contains("\nhint: it may be published or not; run the same command again: "), "{told}");
    hub.publish(&[]);
    hub.assert_published();
}

#[test]
fn a_signal_before_anything_was_done_says_so_too() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    let output = stop(&hub, "api", 0, Signal::TERM);
    let told = hub.checked_refusal(130, &output);
    assert!(told.starts_with("error: interrupted\nhint: nothing is published; "), "{told}");
    assert_eq!(hub.releases(), [""; 0]);
}
