//! What goes wrong on the way, and passes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use encoderfile_testing::Fault;

use super::{Hub, signed};

/// 2100-01-01
const FAR: u64 = 4_102_444_800;
const ARCHIVE: &str = "encoderfile-runtime-aarch64-apple-darwin.tar.zst";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_half_uploaded_file_is_deleted_and_uploaded_again() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    hub.github.uploads.misbehave_after("", 3, Fault::CutRequestAfter(10), 1);
    hub.refuse(5, &["--retries=0"]);
    let halves = hub.changes();
    let told = hub.publish(&[]);
    hub.assert_published();
    assert_eq!(told.matches("kept ").count(), 3, "{told}");
    assert_eq!(told.matches("replacing ").count(), 1, "{told}");
    assert!(told.contains(", which is half uploaded\n"), "{told}");
    assert_eq!(hub.changes().iter().filter(|change| change.starts_with("DELETE ")).count(), 1, "{halves:?}");

    // By the same run, wherever it breaks.
    for after in 0..workshop.names("dist").len() {
        let hub = Hub::new(&workshop);
        hub.github.uploads.misbehave_after("", after, Fault::CutRequestAfter(10), 1);
        let told = hub.publish(&[]);
        hub.assert_published();
        assert_eq!(told.matches("half uploaded").count(), 1, "{told}");
    }
}

#[test]
fn an_upload_that_stalls_is_given_up_and_tried_again() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    hub.github.uploads.misbehave_after("", 1, Fault::StallRequestAfter(10), 1);
    hub.github.api.misbehave_after("", 3, Fault::StallRequestAfter(0), 1);
    let told = hub.publish(&["--timeout=1"]);
    hub.assert_published();
    assert_eq!(told.matches(": nothing happens for 1 s: trying again in ").count(), 2, "{told}");

    let hub = Hub::new(&workshop);
    hub.github.uploads.misbehave("", Fault::StallRequestAfter(10), 1);
    let error = hub.refuse(5, &["--timeout=1", "--retries=0"]);
    assert!(error.contains("error: cannot upload `encoderfile-"), "{error}");
    assert!(error.contains("  sent: "), "{error}");
}

#[test]
fn what_arrives_with_other_bytes_is_uploaded_again() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    hub.github.corrupt(ARCHIVE, 2);
    let told = hub.publish(&[]);
    hub.assert_published();
    assert_eq!(told.matches(&format!("`{ARCHIVE}` did not arrive as it was sent: it is sha256 ")).count(), 2);

    let hub = Hub::new(&workshop);
    hub.github.corrupt(ARCHIVE, 100);
    let error = hub.refuse(4, &["--retries=1"]);
    assert!(error.contains("did not arrive as it was sent\n  found: sha256 "), "{error}");
    hub.draft_url();
}

#[test]
fn what_a_draft_has_otherwise_is_replaced() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    hub.publish(&["--draft"]);
    let draft = hub.root.path().join(&hub.releases()[0]);
    fs::write(draft.join(ARCHIVE), b"short").unwrap();
    let mut index = workshop.read("dist/base-index.json");
    index[0] ^= 1;
    fs::write(draft.join("base-index.json"), index).unwrap();
    let told = hub.publish(&[]);
    hub.assert_published();
    assert!(told.contains(&format!("replacing {ARCHIVE}, which is 5 bytes\n")), "{told}");
    assert!(told.contains("replacing base-index.json, which is sha256 "), "{told}");
    assert_eq!(told.matches("replacing ").count(), 2, "{told}");
}

#[test]
fn what_comes_between_reading_back_and_the_end_is_seen() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    // The list that is read back is the one after all uploads.
    hub.github.api.misbehave_after("/assets", 1, Fault::Hold, 1);
    let mut command = hub.command(&[]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    hub.github.api.wait_for("/assets", 2);
    let draft = hub.root.path().join(&hub.releases()[0]);
    fs::write(draft.join(ARCHIVE), b"other").unwrap();
    fs::remove_file(draft.join("base-index.json.minisig")).unwrap();
    fs::write(draft.join("passwords.txt"), b"").unwrap();
    hub.github.api.release();
    let error = hub.checked_refusal(4, &child.wait_with_output().unwrap());
    assert!(error.contains("\nerror: draft `http://127.0.0.1:"), "{error}");
    for line in [
        &*format!("  file: {ARCHIVE} is 5 bytes, not "),
        "  file: base-index.json.minisig is missing\n",
        "  file: passwords.txt is there, and not in the folder\n",
    ] {
        assert!(error.contains(line), "{error}");
    }
    hub.draft_url();
}

#[test]
fn a_name_that_is_taken_meanwhile_is_looked_at_again() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    hub.github.uploads.misbehave("", Fault::Hold, 1);
    let mut command = hub.command(&[]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    hub.github.uploads.wait_for("", 1);
    // As if an upload before had succeeded, and the server had been slow to list it.
    let name = hub.github.uploads.requests("")[0].query["name"].clone();
    let draft = hub.root.path().join(&hub.releases()[0]);
    fs::write(draft.join(&name), workshop.read(format!("dist/{name}"))).unwrap();
    hub.github.uploads.release();
    let output = child.wait_with_output().unwrap();
    let told = hub.checked(&output);
    assert!(output.status.success(), "{told}");
    let refused = format!(
        "cannot upload `{name}`: the request is refused (422 Unprocessable Entity: Validation Failed (name already_exists)): \
         trying again in "
    );
    assert!(told.contains(&refused), "{told}");
    assert!(told.contains(&format!("uploaded {name} ")), "{told}");
    hub.assert_published();
}

#[test]
fn a_rate_limit_that_lasts_says_when_it_resets() {
    let workshop = signed();
    for allowed in [0, 1, 5] {
        let hub = Hub::new(&workshop);
        hub.github.rate_limit(allowed, FAR);
        let error = hub.refuse(5, &[]);
        assert!(error.contains(": too many requests\n"), "{error}");
        assert!(error.contains("  answer: 403 Forbidden: API rate limit exceeded for 127.0.0.1."), "{error}");
        assert!(error.contains("  resets: 2100-01-01T00:00:00Z (in "), "{error}");
        assert!(error.ends_with(
            "hint: wait until then, and run the same command again: it goes on where it stopped\n"
        ));
        assert_eq!(hub.requests().len() as u64, allowed + 1, "it is not asked again in vain");
        hub.github.rate_limit(5000, FAR);
        hub.publish(&[]);
        hub.assert_published();
    }
}

#[test]
fn a_rate_limit_that_resets_soon_is_waited_for() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    hub.github.rate_limit(2, now() + 1);
    let mut command = hub.command(&[]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let told = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut told = told.inspect(|line| {
        if line.contains(": too many requests (403 Forbidden: API rate limit exceeded") {
            assert!(line.ends_with(" s"), "{line}");
            hub.github.rate_limit(5000, FAR);
        }
    });
    assert_eq!(told.by_ref().filter(|line| line.contains("too many requests")).count(), 1);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    hub.assert_published();
}

#[test]
fn a_secondary_rate_limit_is_heeded() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    hub.github.secondary_rate_limit(1, 2);
    let told = hub.publish(&[]);
    assert_eq!(told.matches("): trying again in 1.0 s\n").count(), 2, "{told}");
    hub.assert_published();

    let hub = Hub::new(&workshop);
    hub.github.secondary_rate_limit(3600, 1);
    let error = hub.refuse(5, &[]);
    assert!(error.contains("  wait:   3600 s\n"), "{error}");
    assert_eq!(hub.requests().len(), 1);
}

#[test]
fn without_digests_the_bytes_themselves_are_read_back() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    hub.github.without_digests();
    hub.github.corrupt(ARCHIVE, 1);
    let told = hub.publish(&[]);
    hub.assert_published();
    assert_eq!(told.matches("did not arrive").count(), 1, "{told}");
    let downloads = hub.github.assets.requests("").len();
    assert!(downloads > 2 * workshop.names("dist").len(), "{downloads}");

    // A download that breaks is tried again, too.
    hub.github.assets.misbehave("", Fault::CutAfter(10), 2);
    hub.github.api.misbehave_after("", 3, Fault::Status(503, vec![]), 1);
    let told = hub.publish(&[]);
    assert_eq!(told.matches("trying again").count(), 3, "{told}");
}
