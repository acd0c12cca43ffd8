//! Downloads from a server that misbehaves.

use std::fs;
use std::time::Duration;

use encoderfile_registry::{Error, Registry, RegistryConfig};
use encoderfile_testing::{Fault, Server, archive_name};

use crate::bench::{Bench, Diary, LINUX, VERSION, block_on, config, runtime};

fn archive() -> String {
    archive_name(LINUX.triple())
}

fn ranges(bench: &Bench) -> Vec<Option<String>> {
    bench.server.requests(&archive()).iter().map(|request| request.headers.get("range").cloned()).collect()
}

#[test]
fn a_broken_connection_is_continued_and_not_begun_again() {
    let bench = Bench::new();
    bench.server.misbehave(&archive(), Fault::CutAfter(100_000), 2);
    let diary = Diary::default();
    block_on(bench.registry().fetch(LINUX, &VERSION, false, &diary)).unwrap();
    bench.fetch_whole();
    let requests = bench.server.requests(&archive());
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[1].headers["range"], "bytes=100000-");
    assert_eq!(requests[2].headers["range"], "bytes=200000-");
    let sent: u64 = requests.iter().map(|request| request.sent).sum();
    assert_eq!(sent, bench.archive().len() as u64);
    let total = bench.archive().len();
    let told = diary.lines();
    assert_eq!(told.iter().filter(|line| line.starts_with("retrying: ")).count(), 2, "{told:?}");
    assert!(told.contains(&format!("started {} at 100000 of {total}", archive())), "{told:?}");
    assert_eq!(told.last().unwrap(), "downloaded");
}

#[test]
fn what_one_run_left_the_next_continues() {
    let bench = Bench::new();
    bench.server.misbehave(&archive(), Fault::CutAfter(50_000), usize::MAX);
    let error = bench.fetch().unwrap_err();
    assert_eq!(error.exit_code(), 5, "{error}");
    // Three tries, each continuing the one before.
    assert_eq!(bench.partial().unwrap().metadata().unwrap().len(), 150_000);
    bench.server.behave();
    bench.fetch_whole();
    assert_eq!(ranges(&bench).last().unwrap().as_deref(), Some("bytes=150000-"));
}

#[test]
fn a_stalled_connection_is_given_up_and_continued() {
    let bench = Bench::new();
    bench.server.misbehave(&archive(), Fault::StallAfter(70_000), 1);
    let mut impatient = bench.config();
    impatient.network.idle_timeout = Duration::from_millis(300);
    let diary = Diary::default();
    block_on(Registry::new(impatient).fetch(LINUX, &VERSION, false, &diary)).unwrap();
    let retries: Vec<_> = diary.lines().into_iter().filter(|line| line.starts_with("retrying: ")).collect();
    assert!(matches!(&retries[..], [line] if line.ends_with("`: operation timed out")), "{retries:?}");
    assert!(bench.fetch_whole().was_cached);
    assert_eq!(ranges(&bench), [None, Some("bytes=70000-".to_owned())]);
}

#[test]
fn a_server_without_ranges_is_asked_once_and_heard_from_the_start() {
    let bench = Bench::new();
    bench.server.misbehave(&archive(), Fault::CutAfter(70_000), 1);
    bench.server.misbehave(&archive(), Fault::NoRanges, 1);
    bench.fetch_whole();
    assert_eq!(bench.archive_downloads(), 2);
}

#[test]
fn a_range_that_begins_elsewhere_is_not_appended() {
    let continued = || Some("bytes=70000-".to_owned());
    for (start, expected) in [(0, vec![None, continued()]), (50_000, vec![None, continued(), None])] {
        let bench = Bench::new();
        bench.server.misbehave(&archive(), Fault::CutAfter(70_000), 1);
        bench.server.misbehave(&archive(), Fault::WrongRange(start), 1);
        bench.fetch_whole();
        assert_eq!(ranges(&bench), expected);
    }
}

#[test]
fn failures_that_may_pass_are_tried_again() {
    for status in [408, 429, 500, 502, 503] {
        let bench = Bench::new();
        bench.server.misbehave(&archive(), Fault::Status(status, vec![]), 2);
        bench.server.misbehave("base-index.json", Fault::Status(status, vec![]), 2);
        bench.fetch_whole();
        assert_eq!(bench.archive_downloads(), 3);
        assert_eq!(bench.server.requests("base-index.json").len(), 3);
    }
}

#[test]
fn failures_that_stay_are_reported() {
    let bench = Bench::new();
    bench.server.misbehave(&archive(), Fault::Status(500, vec![]), usize::MAX);
    let error = bench.fetch().unwrap_err();
    assert!(matches!(error, Error::Status { .. }) && error.exit_code() == 5, "{error}");
    assert_eq!(bench.archive_downloads(), 3, "one try and two more");

    for status in [400, 401, 403, 418] {
        let bench = Bench::new();
        bench.server.misbehave(&archive(), Fault::Status(status, vec![]), usize::MAX);
        let error = bench.fetch().unwrap_err();
        assert!(error.to_string().contains(&status.to_string()) && error.exit_code() == 5, "{error}");
        assert_eq!(bench.archive_downloads(), 1);
    }
}

#[test]
fn retry_after_is_honoured_and_a_long_one_is_reported() {
    let bench = Bench::new();
    bench.server.misbehave(&archive(), Fault::Status(429, vec![("Retry-After", "0".to_owned())]), 1);
    bench.server.misbehave(&archive(), Fault::Status(403, vec![("Retry-After", "0".to_owned())]), 1);
    bench.fetch_whole();

    let bench = Bench::new();
    bench.server.misbehave(
        &archive(),
        Fault::Status(503, vec![("Retry-After", "86400".to_owned())]),
        usize::MAX,
    );
    let error = bench.fetch().unwrap_err();
    assert!(error.to_string().contains("try again in 86400 s"), "{error}");
    assert_eq!(bench.archive_downloads(), 1);
}

#[test]
fn a_rate_limit_says_when_it_resets() {
    for status in [403, 429] {
        let bench = Bench::new();
        let limit =
            vec![("X-RateLimit-Remaining", "0".to_owned()), ("X-RateLimit-Reset", "4102444800".to_owned())];
        bench.server.misbehave("base-index.json", Fault::Status(status, limit), usize::MAX);
        let error = bench.fetch().unwrap_err();
        assert!(error.to_string().contains("resets at 2100-01-01T00:00:00Z"), "{error}");
        assert_eq!(bench.server.requests("base-index.json").len(), 1);
    }
}

/// An archive longer than promised.
#[test]
fn an_endless_body_is_cut_at_the_signed_size() {
    let bench = Bench::new();
    bench.server.misbehave(&archive(), Fault::Endless, usize::MAX);
    let error = bench.fetch().unwrap_err();
    assert!(matches!(error, Error::WrongLength { .. }) && error.exit_code() == 4, "{error}");
    assert_eq!(bench.partial(), None);
    let bench = Bench::new();
    bench.server.misbehave("base-index.json", Fault::Endless, usize::MAX);
    assert_eq!(bench.fetch().unwrap_err().exit_code(), 4);
    let bench = Bench::new();
    bench.server.misbehave("base-index.json.minisig", Fault::Endless, usize::MAX);
    assert_eq!(bench.fetch().unwrap_err().exit_code(), 4);
}

#[test]
fn a_length_that_is_not_the_signed_one_is_refused_before_the_body() {
    let bench = Bench::new();
    bench.server.misbehave(&archive(), Fault::LongerLength(1), usize::MAX);
    let error = bench.fetch().unwrap_err();
    assert!(matches!(error, Error::WrongLength { .. }), "{error}");
    assert_eq!(bench.archive_downloads(), 1);
}

#[test]
fn nobody_there_is_a_network_error() {
    let bench = Bench::new();
    // A port that was just free, and is not a listener.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let registry = Registry::new(config(&bench.cache(), &format!("http://{address}"), bench.keys()));
    let diary = Diary::default();
    let error = block_on(registry.fetch(LINUX, &VERSION, false, &diary)).unwrap_err();
    assert!(matches!(error, Error::Network { .. }) && error.exit_code() == 5, "{error}");
    // One reason, the innermost, which is also all that a warning about a new try has.
    let reason = std::error::Error::source(&error).unwrap();
    assert!(reason.source().is_none(), "{:?}", reason.source());
    assert!(reason.to_string().starts_with("Connection refused"), "{reason}");
    let message = format!("cannot download `http://{address}/v0.2.0/base-index.json`: {reason}");
    assert_eq!(error.to_string(), message);
    assert_eq!(diary.lines(), vec![format!("retrying: {message}"); 2]);
    // True for the index as well, nothing of which is kept.
    let hint = error.hint("").unwrap();
    assert!(hint.contains("an archive that has begun"), "{hint}");
}

#[test]
fn an_asset_may_be_redirected_to_another_host() {
    let bench = Bench::new();
    let storage = Server::start(&bench.www());
    let location = format!("{}/v0.2.0/{}?signature=secret", storage.url(), archive());
    bench.server.misbehave(&archive(), Fault::Status(302, vec![("Location", location)]), usize::MAX);
    storage.misbehave(&archive(), Fault::CutAfter(1000), 1);
    bench.fetch_whole();
    assert_eq!(storage.requests(&archive()).len(), 2);
    assert_eq!(storage.requests(&archive())[1].headers["range"], "bytes=1000-");
}

/// All that could be printed of an error.
fn everything(error: &Error) -> String {
    let mut message = format!("{error} {error:?}");
    let mut next = std::error::Error::source(error);
    while let Some(reason) = next {
        message.push_str(&reason.to_string());
        next = reason.source();
    }
    message
}

#[test]
fn a_redirect_does_not_leave_this_machine_by_plain_http() {
    let bench = Bench::new();
    let away = "http://mirror.example.com/x".to_owned();
    bench.server.misbehave(&archive(), Fault::Status(302, vec![("Location", away)]), usize::MAX);
    let error = bench.fetch().unwrap_err();
    assert_eq!(error.exit_code(), 5);
    let message = everything(&error);
    assert!(message.contains("redirects to plain HTTP"), "{message}");
    assert_eq!(bench.archive_downloads(), 1);
}

#[test]
fn the_secrets_of_a_redirect_are_not_shown() {
    let bench = Bench::new();
    let storage = Server::start(&bench.www());
    storage.misbehave(&archive(), Fault::CutAfter(10), usize::MAX);
    // One place where nobody listens any more, one that breaks off.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for server in [format!("http://{address}"), storage.url()] {
        let signed = format!("{server}/v0.2.0/{}?signature=secret", archive());
        bench.server.behave();
        bench.server.misbehave(&archive(), Fault::Status(302, vec![("Location", signed)]), usize::MAX);
        let error = bench.fetch().unwrap_err();
        assert!(matches!(error, Error::Network { .. }), "{error}");
        let message = everything(&error);
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn redirects_in_a_circle_end() {
    let bench = Bench::new();
    let itself = format!("{}/v0.2.0/{}", bench.server.url(), archive());
    bench.server.misbehave(&archive(), Fault::Status(302, vec![("Location", itself)]), usize::MAX);
    let error = bench.fetch().unwrap_err();
    assert_eq!(error.exit_code(), 5);
    assert!(everything(&error).contains("too many redirects"), "{error:?}");
    assert_eq!(bench.archive_downloads(), 11);
}

#[test]
fn a_directory_with_other_bytes_is_refused_like_a_server() {
    let bench = Bench::new();
    let path = bench.release.archive(LINUX.triple());
    let whole = bench.archive();
    let mut flipped = whole.clone();
    flipped[100] ^= 1;
    let longer = [&whole[..], b"more"].concat();
    for bytes in [&whole[..whole.len() - 1], &longer, &flipped] {
        fs::write(&path, bytes).unwrap();
        let registry = Registry::new(config(&bench.cache(), bench.www().to_str().unwrap(), bench.keys()));
        let error = block_on(registry.fetch(LINUX, &VERSION, false, &())).unwrap_err();
        assert_eq!(error.exit_code(), 4, "{error}");
        assert_eq!(bench.partial(), None);
    }
}

#[test]
fn an_archive_that_was_signed_but_holds_something_else_is_refused() {
    let bench = Bench::new();
    let path = bench.release.archive(LINUX.triple());
    // The right file for the index, with another binary inside than the index says.
    bench.release.edit_index(&bench.key, |index| {
        let size = &mut index["targets"][LINUX.triple()]["binary"]["size"];
        *size = (size.as_u64().unwrap() - 1).into();
    });
    let error = bench.fetch().unwrap_err();
    assert!(matches!(error, Error::BadArchive { .. }) && error.exit_code() == 4, "{error}");
    assert_eq!(bench.partial(), None);
    assert!(!bench.binary().exists());
    assert!(path.exists());
}

#[test]
fn a_download_that_no_disk_can_hold_is_not_begun() {
    let bench = Bench::new();
    bench.release.edit_index(&bench.key, |index| {
        index["targets"][LINUX.triple()]["binary"]["size"] = (u64::MAX / 2).into();
    });
    let error = bench.fetch().unwrap_err();
    assert!(matches!(error, Error::NoSpace { .. }) && error.exit_code() == 1, "{error}");
    assert_eq!(bench.archive_downloads(), 0);
}

/// A transparently gzipped body: none is asked for.
#[test]
fn identity_is_asked_for_and_a_name_is_given() {
    let bench = Bench::with_runtime(runtime(1000));
    let config = RegistryConfig { ..bench.config() };
    block_on(Registry::new(config).fetch(LINUX, &VERSION, false, &())).unwrap();
    for request in bench.server.requests("") {
        assert_eq!(request.headers["accept-encoding"], "identity");
        assert!(request.headers["user-agent"].starts_with("encoderfile/"));
        assert!(!request.headers.contains_key("authorization"));
    }
}
