//! The tag: whose commit it is, and who makes it.

use encoderfile_testing::Fault;

use super::{COMMIT, Hub, signed};

const OTHER: &str = "1123456789abcdef0123456789abcdef01234567";

/// A repository without the tag.
fn untagged(workshop: &crate::Workshop) -> Hub<'_> {
    let hub = Hub::new(workshop);
    hub.github.untag("v0.3.0");
    hub
}

fn tagged(hub: &Hub) -> String {
    hub.ask("/git/ref/tags/v0.3.0")["object"]["sha"].as_str().unwrap().to_owned()
}

#[test]
fn where_the_tag_is_there_no_commit_is_named() {
    let workshop = signed();
    // A lightweight tag, an annotated one, and a tag of a tag.
    for objects in 0..3 {
        let hub = Hub::new(&workshop);
        hub.github.annotated_tag("v0.3.0", COMMIT, objects);
        // As it is for the token of every workflow.
        hub.github.guard_workflows();
        hub.publish(&["--target-commitish", &COMMIT.to_uppercase()]);
        hub.assert_published();
        for method in ["POST", "PATCH"] {
            assert_eq!(hub.sent(method).get("target_commitish"), None);
        }
    }
}

#[test]
fn a_tag_of_another_commit_is_refused() {
    let workshop = signed();
    for objects in 0..3 {
        let hub = Hub::new(&workshop);
        hub.github.annotated_tag("v0.3.0", OTHER, objects);
        for arguments in [&[][..], &["--draft"], &["--dry-run"]] {
            let error = hub.refuse(4, &[&["--target-commitish", COMMIT], arguments].concat());
            let expected = format!(
                "error: tag `v0.3.0` is not at the commit that is to be released\n  expected: {COMMIT}\n  found:    \
                 {OTHER}\nhint: "
            );
            assert!(error.starts_with(&expected), "{error}");
        }
        assert_eq!(hub.changes(), [""; 0]);
        // Whoever does not say which commit it should be takes the tag's word.
        hub.publish(&[]);
        hub.assert_published();
        hub.refuse(4, &["--target-commitish", COMMIT]);
    }
}

#[test]
fn a_tag_that_moves_meanwhile_is_noticed() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    hub.publish(&["--draft"]);
    hub.github.tag("v0.3.0", OTHER);
    hub.refuse(4, &["--target-commitish", COMMIT]);
    hub.github.tag("v0.3.0", COMMIT);

    // While the files are read back, the last thing before it is published.
    hub.github.api.misbehave_after("/assets", 1, Fault::Hold, 1);
    let count = hub.github.api.requests("/assets").len();
    let mut command = hub.command(&["--target-commitish", COMMIT]);
    let child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    hub.github.api.wait_for("/assets", count + 2);
    hub.github.tag("v0.3.0", OTHER);
    hub.github.api.release();
    let error = hub.checked_refusal(4, &child.wait_with_output().unwrap());
    assert!(error.contains("error: tag `v0.3.0` is not at the commit"), "{error}");
    hub.draft_url();
}

#[test]
fn without_a_tag_the_commit_has_to_be_named() {
    let workshop = signed();
    let hub = untagged(&workshop);
    for arguments in [&[][..], &["--draft"], &["--dry-run"]] {
        assert_eq!(
            hub.refuse(4, arguments),
            "error: there is no tag `v0.3.0`\nhint: push it first, or name the commit with `--target-commitish`\n"
        );
    }
    assert_eq!(hub.changes(), [""; 0]);
    for commit in ["main", &COMMIT[1..]] {
        let error = hub.refuse(2, &["--target-commitish", commit]);
        assert!(error.contains("expected the 40 hexadecimal digits of a commit"), "{error}");
    }

    let output = hub.command(&["--dry-run", "--target-commitish", COMMIT]).output().unwrap();
    let plan = String::from_utf8(output.stdout).unwrap();
    assert!(plan.contains(&format!("\ntag     {COMMIT} as `v0.3.0`\npublish `v0.3.0`, ")), "{plan}");
    hub.publish(&["--target-commitish", COMMIT]);
    hub.assert_published();
    assert_eq!(hub.sent("POST")["target_commitish"], COMMIT);
    assert_eq!(hub.sent("PATCH")["target_commitish"], COMMIT);
    assert_eq!(tagged(&hub), COMMIT);
    hub.publish(&["--target-commitish", COMMIT]);
}

#[test]
fn who_may_not_name_the_commit_is_told_to_push_the_tag() {
    let workshop = signed();
    let hub = untagged(&workshop);
    hub.github.guard_workflows();
    let error = hub.refuse(1, &["--target-commitish", COMMIT]);
    let expected = "  needs:      contents=write; contents=write,workflows=write\nhint: push a tag of ";
    assert!(error.starts_with("error: the token may not create the release `v0.3.0`\n"), "{error}");
    assert!(error.contains(&format!("{expected}{COMMIT} and run the same command again: ")), "{error}");
    hub.github.tag("v0.3.0", COMMIT);
    hub.publish(&["--target-commitish", COMMIT]);

    // A draft that was made when the token had the right, or by somebody who has it.
    let hub = untagged(&workshop);
    hub.publish(&["--draft", "--target-commitish", COMMIT]);
    hub.github.guard_workflows();
    let error = hub.refuse(1, &["--target-commitish", COMMIT]);
    assert!(error.contains("error: the token may not publish `v0.3.0`\n"), "{error}");
    assert!(error.contains("hint: push a tag of "), "{error}");
    hub.github.tag("v0.3.0", COMMIT);
    hub.publish(&["--target-commitish", COMMIT]);
    hub.assert_published();
}
