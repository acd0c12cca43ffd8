//! What keeps a release from being made by mistake.

use std::fs;

use crate::Workshop;

const COMMAND: [&str; 3] = ["preflight", "--tag=v0.3.0", "--directory=checkout"];

/// A checkout that is ready for version 0.3.0, and its key's public half and id.
struct Checkout {
    workshop: Workshop,
    public: String,
    key_id: String,
}

impl Checkout {
    fn new() -> Self {
        let workshop = Workshop::new();
        workshop.run(&["keygen", "--out=keys"]);
        let text = String::from_utf8(workshop.read("keys/encoderfile.pub")).unwrap();
        let (comment, public) = text.trim().split_once('\n').unwrap();
        let checkout = Self {
            public: public.to_owned(),
            key_id: comment.rsplit(' ').next().unwrap().to_owned(),
            workshop,
        };
        fs::create_dir_all(checkout.workshop.path("checkout/registry")).unwrap();
        checkout.write("Cargo.toml", "[workspace.package]\nversion = \"0.3.0\"\n");
        let changelog =
            "# Changelog\n\n## [Unreleased]\n\n## [0.3.0] - 2026-01-02\n\n### Added\n- A thing.\n";
        checkout.write("CHANGELOG.md", changelog);
        checkout.write("registry/trusted-keys.pub", &format!("# ours\n{text}"));
        checkout.write("registry/revoked-keys.txt", "# none\n");
        checkout.write("install.sh", &format!("#!/bin/sh\nPROJECT_KEYS='{public}'\n"));
        checkout
    }

    fn write(&self, name: &str, text: &str) {
        self.workshop.write(&format!("checkout/{name}"), text.as_bytes());
    }

    fn refused(&self, texts: &[&str]) {
        let error = self.workshop.refuse(4, &COMMAND);
        for text in texts {
            assert!(error.contains(text), "`{text}` is not in {error}");
        }
    }
}

#[test]
fn a_checkout_that_is_ready_gives_its_notes() {
    let checkout = Checkout::new();
    assert_eq!(checkout.workshop.run(&COMMAND), "### Added\n- A thing.\n");
    let with_key = [&COMMAND[..], &["--key-id", &checkout.key_id]].concat();
    assert_eq!(checkout.workshop.run(&with_key), "### Added\n- A thing.\n");
}

#[test]
fn the_tag_is_that_of_the_version() {
    let checkout = Checkout::new();
    checkout.write("Cargo.toml", "[workspace.package]\nversion = \"0.3.1\"\n");
    checkout.refused(&["tag `v0.3.0` is not that of the workspace's version", "expected: v0.3.1", "hint: "]);
}

#[test]
fn the_changelog_has_something_to_say() {
    let checkout = Checkout::new();
    checkout.write("CHANGELOG.md", "## [Unreleased]\n- A thing.\n");
    checkout.refused(&["has no section for version 0.3.0", "`## [0.3.0] - DATE`"]);
    checkout.write("CHANGELOG.md", "## [0.3.0]\n\n## [0.2.0]\n- A thing.\n");
    checkout.refused(&["the section for version 0.3.0 in", "is empty"]);
}

#[test]
fn clients_will_know_the_key() {
    let checkout = Checkout::new();
    let other = [&COMMAND[..], &["--key-id=0123456789ABCDEF"]].concat();
    let error = checkout.workshop.refuse(4, &other);
    assert!(error.contains("signing key 0123456789ABCDEF is not compiled in"), "{error}");
    assert!(error.contains(&format!("compiled in: {}", checkout.key_id)), "{error}");

    checkout.write("registry/trusted-keys.pub", "# none yet\n");
    checkout.refused(&["no project key is compiled in", "hint: add the public half"]);
}

#[test]
fn a_revoked_key_signs_nothing() {
    let checkout = Checkout::new();
    checkout.write("registry/revoked-keys.txt", &format!("{}\n", checkout.key_id));
    checkout.refused(&["every key in", "is revoked"]);
    let with_key = [&COMMAND[..], &["--key-id", &checkout.key_id]].concat();
    let error = checkout.workshop.refuse(4, &with_key);
    assert!(error.contains(&format!("signing key {} is revoked", checkout.key_id)), "{error}");
}

#[test]
fn the_installer_has_the_same_keys() {
    let checkout = Checkout::new();
    checkout.write("install.sh", "#!/bin/sh\nPROJECT_KEYS=''\n");
    checkout.refused(&["has other keys than", &format!("expected: {}", checkout.public), "found:    none"]);
}

/// In this checkout, whether there is a project key yet or not: the rest of what `preflight` reads is where it looks.
#[test]
fn this_checkout_is_laid_out_as_expected() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let script = fs::read_to_string(format!("{root}/install.sh")).unwrap();
    let keys = fs::read_to_string(format!("{root}/registry/trusted-keys.pub")).unwrap();
    let (_, rest) = script.split_once("\nPROJECT_KEYS='").expect("the installer's keys");
    let known: Vec<&str> = rest.split_once('\'').unwrap().0.split_whitespace().collect();
    let trusted: Vec<&str> = keys.lines().filter(|line| line.starts_with("RW")).collect();
    assert_eq!(known, trusted);
}
