//! What is not published, and what is never touched.

use std::fs;

use encoderfile_registry::INDEX_NAME;
use encoderfile_testing::Fault;
use serde_json::json;

use super::{Hub, REPOSITORY, SIGN, signed};
use crate::Workshop;

const KEY: &str = "--trusted-key=keys/encoderfile.pub";
const ANY_TARGETS: &str = "--allow-missing-targets";
const ARCHIVE: &str = "encoderfile-runtime-x86_64-unknown-linux-gnu.tar.zst";

#[test]
fn what_is_published_is_never_touched() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    hub.publish(&[]);
    let changes = hub.changes();
    let refuse = |expected: &str| {
        for arguments in [&[][..], &["--draft"], &["--dry-run"]] {
            let error = hub.refuse(4, arguments);
            let first = "error: `v0.3.0` is published already, and is not what is in the folder\n";
            assert!(error.starts_with(first), "{error}");
            assert!(error.contains(&format!("  url:  {}\n", hub.url())), "{error}");
            assert!(error.contains(expected), "{error}");
            assert!(error.contains("hint: what is published is never replaced: "), "{error}");
        }
        assert_eq!(hub.changes(), changes);
    };

    let good = fs::read(hub.file(ARCHIVE)).unwrap();
    let mut bad = good.clone();
    bad[0] ^= 1;
    fs::write(hub.file(ARCHIVE), &bad).unwrap();
    refuse(&format!("  file: {ARCHIVE} is sha256 "));
    assert_eq!(fs::read(hub.file(ARCHIVE)).unwrap(), bad);
    fs::remove_file(hub.file(ARCHIVE)).unwrap();
    refuse(&format!("  file: {ARCHIVE} is missing\n"));
    assert!(!hub.file(ARCHIVE).exists());
    fs::write(hub.file(ARCHIVE), &good).unwrap();
    fs::write(hub.file("late.txt"), b"").unwrap();
    refuse("  file: late.txt is there, and not in the folder\n");
    fs::remove_file(hub.file("late.txt")).unwrap();
    hub.publish(&[]);

    // The same release, indexed at another time.
    workshop.run(&["index", "--version=0.3.0", "dist"]);
    workshop.run(&["keygen", "--out=new"]);
    workshop.run(&["sign", "dist", "--key=new/encoderfile.key"]);
    fs::copy(workshop.path("new/encoderfile.pub"), workshop.path("keys/encoderfile.pub")).unwrap();
    refuse(&format!("  file: {ARCHIVE}.minisig is sha256 "));
}

#[test]
fn a_published_signature_is_as_good_only_if_it_says_the_same() {
    let workshop = signed();
    workshop.run(&["keygen", "--out=other"]);
    let hub = Hub::new(&workshop);
    hub.publish(&[]);
    let key = |path: &str| {
        let text = String::from_utf8(workshop.read(path)).unwrap();
        minisign::SecretKeyBox::from_string(&text).unwrap().into_unencrypted_secret_key().unwrap()
    };
    let (ours, other) = (key("keys/encoderfile.key"), key("other/encoderfile.key"));
    let bytes = workshop.read(format!("dist/{ARCHIVE}"));
    let comment = format!("encoderfile {ARCHIVE} v0.3.0");
    let signature = |key, bytes: &[u8], comment: &str| {
        minisign::sign(None, key, bytes, Some(comment), None).unwrap().into_string()
    };
    let name = format!("{ARCHIVE}.minisig");
    let publish = |signature: &str, keys: &[&str]| {
        fs::write(hub.file(&name), signature).unwrap();
        hub.command(keys).output().unwrap()
    };
    let good = signature(&ours, &bytes, &comment);
    assert!(publish(&good, &[]).status.success());
    let longer = format!("{good}{}", "\n".repeat(4096));
    for bad in [
        signature(&ours, &bytes[1..], &comment),
        signature(&ours, &bytes, "encoderfile v0.2.0"),
        signature(&other, &bytes, &comment),
        longer,
        "text\n".to_owned(),
        String::new(),
    ] {
        // Trusting both keys does not make one of them the other.
        for keys in [&[][..], &["--trusted-key=other/encoderfile.pub"]] {
            let error = hub.checked_refusal(4, &publish(&bad, keys));
            assert!(error.contains(&format!("\n  file: {name} is ")), "{error}");
        }
    }

    // A good signature of what was published does not excuse what was.
    fs::write(hub.file(&name), &good).unwrap();
    fs::write(hub.file(ARCHIVE), &bytes[1..]).unwrap();
    let error = hub.refuse(4, &[]);
    assert!(error.contains(&format!("\n  file: {ARCHIVE} is ")), "{error}");
    assert!(!error.contains(&format!("  file: {name}")), "{error}");
}

#[test]
fn an_immutable_release_is_published_like_any_other() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    hub.github.immutable_releases();
    // What was published although the answer got lost cannot be changed any more.
    hub.github.api.misbehave_after("", 6, Fault::LoseAnswer, 1);
    hub.publish(&[]);
    hub.assert_published();
    assert_eq!(hub.ask("/releases/latest")["immutable"], true);
    hub.publish(&[]);
}

#[test]
fn a_folder_that_is_not_complete_is_not_published() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    for name in workshop.names("dist").iter().filter(|name| name.ends_with(".minisig")) {
        let path = format!("dist/{name}");
        let good = workshop.read(&path);
        fs::remove_file(workshop.path(&path)).unwrap();
        let error = hub.refuse(4, &[]);
        let signed = path.strip_suffix(".minisig").unwrap();
        assert!(error.starts_with(&format!("error: `{signed}` has no signature\nhint: sign ")), "{error}");
        workshop.write(&path, b"text\n");
        let error = hub.refuse(4, &[]);
        let expected = format!(
            "error: `{signed}` is not to be believed\n  cause: the signature is not a minisign signature: "
        );
        assert!(error.starts_with(&expected), "{error}");
        let other = if name.contains("darwin") {
            "base-index.json"
        } else {
            "encoderfile-runtime-aarch64-apple-darwin.tar.zst"
        };
        workshop.write(&path, &workshop.read(format!("dist/{other}.minisig")));
        let error = hub.refuse(4, &[]);
        assert!(error.starts_with(&format!("error: `{signed}` is not to be believed\n")), "{error}");
        workshop.write(&path, &good);
    }
    let good = workshop.read(format!("dist/{ARCHIVE}"));
    workshop.write(&format!("dist/{ARCHIVE}"), &good[1..]);
    assert!(hub.refuse(4, &[]).contains("does not match its index\n"));
    workshop.write(&format!("dist/{ARCHIVE}"), &good);
    workshop.write("dist/passwords.txt", b"");
    assert!(hub.refuse(4, &[]).contains("  file: passwords.txt\n"));
    fs::remove_file(workshop.path("dist/passwords.txt")).unwrap();
    fs::remove_file(workshop.path("dist").join(INDEX_NAME)).unwrap();
    assert!(hub.refuse(1, &[]).contains("base-index.json"));
    assert_eq!(hub.requests().len(), 0, "nobody was asked");
}

#[test]
fn a_changelog_has_a_section_for_the_version() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    workshop.write("CHANGELOG.md", b"# Changelog\n## [Unreleased]\n- Much.\n## [0.2.0]\n- More.\n");
    let error = hub.refuse(4, &["--notes=CHANGELOG.md"]);
    assert_eq!(
        error,
        "error: changelog `CHANGELOG.md` has no section for 0.3.0\n\
         hint: give it a heading `## [0.3.0]` and say what is new\n"
    );
    hub.refuse(1, &["--notes=absent.md"]);
    assert_eq!(hub.requests().len(), 0);
    workshop.write("notes.md", b"Much is new.\n");
    hub.publish(&["--notes=notes.md"]);
    assert_eq!(hub.sent("POST")["body"], "Much is new.");
}

#[test]
fn a_draft_with_other_files_is_not_published() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    hub.publish(&["--draft"]);
    let changes = hub.changes();
    let extra = hub.root.path().join(&hub.releases()[0]).join("passwords.txt");
    fs::write(&extra, b"").unwrap();
    let url = hub.draft_url();
    let error = hub.refuse(4, &[]);
    assert_eq!(
        error,
        format!(
            "error: draft `{url}` has files that are not in the folder\n  file: passwords.txt\nhint: all files of a release \
             are published: delete these from the draft, or delete the draft\n"
        )
    );
    assert_eq!(hub.changes(), changes);
    fs::remove_file(extra).unwrap();
    hub.publish(&[]);
}

#[test]
fn of_several_drafts_none_is_chosen() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    for _ in 0..2 {
        hub.send(reqwest::Method::POST, "/releases", Some(&json!({"tag_name": "v0.3.0", "draft": true})));
    }
    let changes = hub.changes();
    let error = hub.refuse(1, &[]);
    assert!(
        error.starts_with("error: there are several drafts of `v0.3.0`\n  draft: http://127.0.0.1:"),
        "{error}"
    );
    assert_eq!(error.matches("  draft: ").count(), 2, "{error}");
    assert_eq!(hub.changes(), changes);
}

#[test]
fn a_request_that_is_refused_is_not_sent_again() {
    let workshop = signed();
    for (step, what) in [(2, "create the release `v0.3.0`"), (6, "publish `v0.3.0`")] {
        let hub = Hub::new(&workshop);
        hub.github.api.misbehave_after("", step, Fault::Status(422, vec![]), 1);
        let error = hub.refuse(1, &[]);
        assert!(
            error.ends_with(&format!(
                "error: cannot {what}: the request is refused\n  answer: 422 Unprocessable Entity\n"
            )),
            "{error}"
        );
        assert_eq!(hub.github.api.requests("").len(), step + 1);
    }
}

#[test]
fn a_token_that_may_not_write_is_told_what_it_needs() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    hub.github.read_only();
    let error = hub.refuse(1, &[]);
    assert!(
        error.starts_with(
            "error: the token may not create the release `v0.3.0`\n  \
             repository: acme/models\n  \
             answer:     403 Forbidden: Resource not accessible by personal access token\n  \
             needs:      contents=write\n\
             hint: the token needs write access to the repository's contents ("
        ),
        "{error}"
    );
    assert_eq!(hub.changes().len(), 1, "it is not tried again");

    // Nobody learns whether there is a repository that is not for them.
    let error = hub.refuse_command(
        1,
        hub.workshop
            .tool(&["publish", "dist", "--repo=acme/other", KEY, ANY_TARGETS])
            .env("GH_TOKEN", super::TOKEN)
            .env("GITHUB_API_URL", hub.github.api_url()),
    );
    assert!(
        error.starts_with(
            "error: cannot list the releases of `acme/other`: there is nothing, or nothing for this token\n  \
             repository: acme/other\n  \
             answer:     404 Not Found: Not Found\n\
             hint: check the repository's name; the token needs write access"
        ),
        "{error}"
    );
}

#[test]
fn a_token_is_needed_and_must_be_right() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    for arguments in [&[][..], &["--dry-run"]] {
        for unset in [None, Some("")] {
            let mut command = hub.command(arguments);
            command.env_remove("GITHUB_TOKEN");
            command.envs(unset.map(|value| ("GITHUB_TOKEN", value)));
            let error = hub.refuse_command(2, &mut command);
            assert!(
                error.starts_with("error: no access token in `GH_TOKEN` or `GITHUB_TOKEN`\nhint: set `GITHUB_TOKEN`: the token needs write access"),
                "{error}"
            );
        }
    }
    let error = hub.refuse_command(2, hub.command(&[]).env("GH_TOKEN", "two words"));
    assert!(error.starts_with("error: cannot use `GH_TOKEN`\n"), "{error}");
    assert!(!error.contains("two words"), "{error}");
    assert_eq!(hub.requests().len(), 0);
    let error = hub.refuse_command(1, hub.command(&[]).env("GH_TOKEN", "wrong"));
    assert!(error.contains("` does not accept the token\n"), "{error}");
    assert!(error.contains("  answer: 401 Unauthorized: Bad credentials\n"), "{error}");
    for repository in ["acme", "acme/a/b", "../x"] {
        let error = hub.refuse_command(
            2,
            workshop.tool(&["publish", "dist", "--repo", repository, KEY, ANY_TARGETS]).env("GH_TOKEN", "x"),
        );
        assert!(error.contains("is not a GitHub repository: expected `owner/name`"), "{error}");
    }
}

#[test]
fn a_repository_that_has_moved_is_to_be_named_anew() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    hub.github.moved_to("new/home");
    let error = hub.refuse(1, &[]);
    let expected = format!(
        "error: cannot list the releases of `{REPOSITORY}`: repository `{REPOSITORY}` has another address now\n"
    );
    assert!(error.starts_with(&expected), "{error}");
    assert!(error.contains("  found: http://127.0.0.1:"), "{error}");
}

#[test]
fn what_was_never_signed_is_not_published() {
    let workshop = Workshop::new();
    workshop.release();
    let hub = Hub::new(&workshop);
    assert!(hub.refuse(4, &[]).contains("`dist/base-index.json` has no signature\n"));
    workshop.run(&SIGN);
    hub.publish(&[]);
}
