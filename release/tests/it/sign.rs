//! Signatures.

use std::fs;
use std::process::Command;

use encoderfile_registry::{INDEX_NAME, Target};
use minisign_verify::{PublicKey, Signature};

use crate::{VERSION, Workshop, installed, succeed};

const SIGN: [&str; 3] = ["sign", "dist", "--key=keys/encoderfile.key"];

/// Checks all signatures of a release as any user could, and returns the names of the signed files.
fn verify(workshop: &Workshop, public_key: &str) -> Vec<String> {
    let key = PublicKey::from_file(workshop.path(public_key)).unwrap();
    let names = workshop.names("dist");
    let mut signed = Vec::new();
    for name in names.iter().filter(|name| !name.ends_with(".minisig")) {
        let signature = Signature::from_file(workshop.path(format!("dist/{name}.minisig"))).unwrap();
        // Not the old form of signatures, which is of the whole file and not of its hash.
        key.verify(&workshop.read(format!("dist/{name}")), &signature, false).unwrap();
        let expected = match name.as_str() {
            INDEX_NAME => format!("encoderfile base-index v{VERSION}"),
            archive => format!("encoderfile {archive} v{VERSION}"),
        };
        assert_eq!(signature.trusted_comment(), expected);
        signed.push(name.clone());
    }
    assert_eq!(names.len(), 2 * signed.len(), "{names:?}");
    signed
}

#[test]
fn every_file_is_signed() {
    let workshop = Workshop::new();
    workshop.release();
    let report = workshop.run(&SIGN);
    let signed = verify(&workshop, "keys/encoderfile.pub");
    assert_eq!(
        signed,
        [
            "base-index.json",
            "encoderfile-runtime-aarch64-apple-darwin.tar.zst",
            "encoderfile-runtime-x86_64-unknown-linux-gnu.tar.zst",
            "encoderfile-x86_64-unknown-linux-gnu.tar.zst"
        ]
    );
    for name in signed {
        assert!(report.contains(&format!("\n  dist/{name}.minisig\n")), "{report}");
    }
    // Signing again, with another key, replaces the signatures.
    workshop.run(&["keygen", "--out=new"]);
    workshop.run(&["sign", "dist", "--key=new/encoderfile.key"]);
    verify(&workshop, "new/encoderfile.pub");
    // Indexing again, at another time, leaves no signature of another document.
    succeed(workshop.tool(&["index", "--version", VERSION, "dist"]).env("SOURCE_DATE_EPOCH", "1767323045"));
    assert!(!workshop.path("dist/base-index.json.minisig").exists());
    workshop.run(&SIGN);
    verify(&workshop, "keys/encoderfile.pub");
    // At the same time it is the same document, and the signature is as good as before.
    succeed(workshop.tool(&["index", "--version", VERSION, "dist"]).env("SOURCE_DATE_EPOCH", "1767323045"));
    verify(&workshop, "keys/encoderfile.pub");
}

#[test]
fn what_is_signed_already_keeps_its_signatures() {
    let workshop = Workshop::new();
    workshop.release();
    workshop.run(&["keygen", "--out=new"]);
    let both = ["sign", "dist", "--key=keys/encoderfile.key", "--key=new/encoderfile.key"];
    let signatures = || {
        let names = workshop.names("dist").into_iter().filter(|name| name.ends_with(".minisig"));
        names.map(|name| (workshop.read(format!("dist/{name}")), name)).collect::<Vec<_>>()
    };
    workshop.run(&both);
    let before = signatures();
    let report = workshop.run(&both);
    assert_eq!(signatures(), before);
    assert_eq!(report.matches(".minisig (kept)\n").count(), before.len(), "{report}");

    // One that is damaged, one that says something else, one with more in it, and one of another key are made anew.
    let path = |name: &str| format!("dist/{name}.minisig");
    let (index, linux) = (path(INDEX_NAME), path("encoderfile-runtime-x86_64-unknown-linux-gnu.tar.zst"));
    let (cli, mac) = (
        path("encoderfile-x86_64-unknown-linux-gnu.tar.zst"),
        path("encoderfile-runtime-aarch64-apple-darwin.tar.zst"),
    );
    let mut damaged = workshop.read(&index);
    let end = damaged.len() - 20;
    damaged[end] ^= 1;
    workshop.write(&index, &damaged);
    let secret = String::from_utf8(workshop.read("keys/encoderfile.key")).unwrap();
    let secret = minisign::SecretKeyBox::from_string(&secret).unwrap().into_unencrypted_secret_key().unwrap();
    let bytes = workshop.read(linux.strip_suffix(".minisig").unwrap());
    let other = minisign::sign(None, &secret, &bytes[..], Some("encoderfile v0.2.0"), None).unwrap();
    workshop.write(&linux, other.into_string().as_bytes());
    let longer = [&workshop.read(&cli)[..], b"more\n"].concat();
    workshop.write(&cli, &longer);
    let foreign =
        before.iter().find(|(_, name)| name.starts_with("encoderfile-runtime-aarch64-apple-darwin.tar.zst."));
    workshop.write(&mac, &foreign.unwrap().0);
    let report = workshop.run(&SIGN);
    assert!(!report.contains("(kept)"), "{report}");
    verify(&workshop, "keys/encoderfile.pub");
    assert_eq!(String::from_utf8(workshop.read(&cli)).unwrap().lines().count(), 4);
}

#[test]
fn minisign_accepts_what_is_signed() {
    let workshop = Workshop::new();
    workshop.release();
    workshop.run(&SIGN);
    if !installed("minisign") {
        return;
    }
    for name in verify(&workshop, "keys/encoderfile.pub") {
        let mut minisign = Command::new("minisign");
        minisign.arg("-V").arg("-p").arg(workshop.path("keys/encoderfile.pub"));
        let report = succeed(minisign.arg("-m").arg(workshop.path(format!("dist/{name}"))));
        let subject = if name == INDEX_NAME { "base-index" } else { &name };
        let expected = format!(
            "Signature and comment signature verified\nTrusted comment: encoderfile {subject} v{VERSION}\n"
        );
        assert_eq!(report, expected);
    }
}

#[test]
fn keys_of_minisign_are_accepted() {
    let workshop = Workshop::new();
    workshop.release();
    if !installed("minisign") {
        return;
    }
    let mut minisign = Command::new("minisign");
    minisign
        .args(["-G", "-W", "-p"])
        .arg(workshop.path("other.pub"))
        .arg("-s")
        .arg(workshop.path("other.key"));
    succeed(&mut minisign);
    workshop.run(&["sign", "dist", "--key=other.key"]);
    verify(&workshop, "other.pub");

    // Such a key carries no checksum: one flipped bit of it must show all the same.
    let text = String::from_utf8(workshop.read("other.key")).unwrap();
    let (comment, key) = text.trim_end().split_once('\n').unwrap();
    // In the seed, and in the public key behind it.
    for position in [100, 150] {
        let other = if &key[position..=position] == "A" { "B" } else { "A" };
        let damaged = format!("{comment}\n{}{other}{}\n", &key[..position], &key[position + 1..]);
        workshop.write("damaged.key", damaged.as_bytes());
        let error = workshop.refuse(1, &["sign", "dist", "--key=damaged.key"]);
        assert!(error.starts_with("error: cannot sign `dist/base-index.json`\n"), "{error}");
    }
}

#[test]
fn two_keys_sign_side_by_side() {
    let workshop = Workshop::new();
    workshop.release();
    workshop.run(&["keygen", "--out=new"]);
    let report = workshop.run(&["sign", "dist", "--key=keys/encoderfile.key", "--key=new/encoderfile.key"]);
    let id = |key: &str| {
        let text = String::from_utf8(workshop.read(format!("{key}/encoderfile.pub"))).unwrap();
        text.lines().next().unwrap().rsplit(' ').next().unwrap().to_owned()
    };
    let (old, new) = (id("keys"), id("new"));
    assert!(report.starts_with(&format!("signed with key {old} and {new}\n")), "{report}");
    let files: Vec<_> =
        workshop.names("dist").into_iter().filter(|name| !name.ends_with(".minisig")).collect();
    assert_eq!(workshop.names("dist").len(), 3 * files.len());
    let has_minisign = installed("minisign");
    for name in &files {
        for (key, signature) in
            [("keys", format!("dist/{name}.minisig")), ("new", format!("dist/{name}.{new}.minisig"))]
        {
            let public = PublicKey::from_file(workshop.path(format!("{key}/encoderfile.pub"))).unwrap();
            let decoded = Signature::from_file(workshop.path(&signature)).unwrap();
            public.verify(&workshop.read(format!("dist/{name}")), &decoded, false).unwrap();
            if has_minisign {
                let mut minisign = Command::new("minisign");
                minisign.arg("-V").arg("-p").arg(workshop.path(format!("{key}/encoderfile.pub")));
                minisign.arg("-x").arg(workshop.path(&signature));
                succeed(minisign.arg("-m").arg(workshop.path(format!("dist/{name}"))));
            }
        }
    }
    // A key that is not named any more vouches for nothing, and indexing anew leaves no signature of what was.
    workshop.run(&["sign", "dist", "--key=new/encoderfile.key"]);
    verify(&workshop, "new/encoderfile.pub");
    workshop.run(&["sign", "dist", "--key=keys/encoderfile.key", "--key=new/encoderfile.key"]);
    succeed(workshop.tool(&["index", "--version", VERSION, "dist"]).env("SOURCE_DATE_EPOCH", "1767323045"));
    let left = workshop.names("dist").into_iter().filter(|name| name.starts_with("base-index.json."));
    assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new());

    let error =
        workshop.refuse(2, &["sign", "dist", "--key=new/encoderfile.key", "--key=new/encoderfile.key"]);
    assert!(error.starts_with(&format!("error: key {new} is named twice\n")), "{error}");
}

#[test]
fn each_key_may_have_its_own_password() {
    let workshop = Workshop::new();
    workshop.release();
    let (first, second) = ("ENCODERFILE_KEY_PASSWORD", "ENCODERFILE_KEY_PASSWORD_2");
    succeed(workshop.tool(&["keygen", "--out=one"]).env(first, "1"));
    succeed(workshop.tool(&["keygen", "--out=two"]).env(first, "2"));
    let sign = || workshop.tool(&["sign", "dist", "--key=one/encoderfile.key", "--key=two/encoderfile.key"]);
    succeed(sign().env(first, "1").env(second, "2"));
    let error = crate::refuse(1, sign().env(first, "1"));
    let expected = "error: cannot decrypt secret key `two/encoderfile.key` with the password in `ENCODERFILE_KEY_PASSWORD`\n";
    assert!(error.starts_with(expected), "{error}");
    let error = crate::refuse(1, sign().env(first, "1").env(second, ""));
    let expected =
        "error: secret key `two/encoderfile.key` is encrypted, and `ENCODERFILE_KEY_PASSWORD_2` is empty\n";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn an_empty_password_is_none() {
    let workshop = Workshop::new();
    workshop.release();
    let (first, second) = ("ENCODERFILE_KEY_PASSWORD", "ENCODERFILE_KEY_PASSWORD_2");
    succeed(workshop.tool(&SIGN).env(first, ""));
    verify(&workshop, "keys/encoderfile.pub");
    // As a CI passes on a secret that nobody has set, beside a key that has a password.
    succeed(workshop.tool(&["keygen", "--out=other"]).env(first, "1"));
    let mut both =
        workshop.tool(&["sign", "dist", "--key=other/encoderfile.key", "--key=keys/encoderfile.key"]);
    succeed(both.env(first, "1").env(second, ""));
    let other = ["sign", "dist", "--key=other/encoderfile.key"];
    let error = crate::refuse(1, workshop.tool(&other).env(first, ""));
    assert_eq!(
        error,
        "error: secret key `other/encoderfile.key` is encrypted, and `ENCODERFILE_KEY_PASSWORD` is empty\n\
         hint: set ENCODERFILE_KEY_PASSWORD to the password that the key was made with, or take a key without one\n"
    );
    let error = crate::refuse(1, workshop.tool(&other).env(first, "1\n"));
    assert!(error.contains("\nhint: compare ENCODERFILE_KEY_PASSWORD with the password"), "{error}");
    assert!(error.contains("no line end or blank came with it"), "{error}");
}

#[test]
fn a_key_that_was_pasted_is_accepted() {
    let workshop = Workshop::new();
    workshop.release();
    succeed(workshop.tool(&["keygen", "--out=secret"]).env("ENCODERFILE_KEY_PASSWORD", "1"));
    for directory in ["keys", "secret"] {
        let text = String::from_utf8(workshop.read(format!("{directory}/encoderfile.key"))).unwrap();
        let (comment, key) = text.trim_end().split_once('\n').unwrap();
        for pasted in [
            format!("{comment}\r\n{key}\r\n"),
            format!("{comment}\n{key}"),
            format!("\r\n{comment} \r\n\r\n  {key} \r\n\r\n"),
        ] {
            workshop.write("pasted.key", pasted.as_bytes());
            succeed(
                workshop.tool(&["sign", "dist", "--key=pasted.key"]).env("ENCODERFILE_KEY_PASSWORD", "1"),
            );
            verify(&workshop, &format!("{directory}/encoderfile.pub"));
        }
    }
}

#[test]
fn what_the_index_does_not_describe_is_not_signed() {
    let workshop = Workshop::new();
    workshop.release();
    let refuse = |expected: &str| {
        let error = workshop.refuse(4, &SIGN);
        assert!(error.contains(expected), "{error}");
        assert!(!workshop.names("dist").iter().any(|name| name.ends_with(".minisig")), "nothing was signed");
    };
    let archives = workshop.names("dist").into_iter().filter(|name| name.ends_with(".tar.zst"));
    for name in archives.map(|name| format!("dist/{name}")) {
        let good = workshop.read(&name);
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        workshop.write(&name, &bad);
        refuse("does not match its index\n  expected: ");
        workshop.write(&name, &good[..good.len() - 1]);
        refuse("does not match its index\n  expected: ");
        fs::remove_file(workshop.path(&name)).unwrap();
        let with_cli = name.ends_with("runtime-x86_64-unknown-linux-gnu.tar.zst");
        refuse(if with_cli {
            "has no base binary beside it\n"
        } else {
            "is in the index of `dist` but not there\n"
        });
        workshop.write(&name, &good);
    }
    // A file that came later, as an archive and as anything else.
    workshop.pack(Target::Aarch64AppleDarwin, true);
    refuse("file `encoderfile-aarch64-apple-darwin.tar.zst` of `dist` is not in its index\n");
    fs::remove_file(workshop.path("dist/encoderfile-aarch64-apple-darwin.tar.zst")).unwrap();
    workshop.write("dist/passwords.txt", b"");
    refuse("  file: passwords.txt\n");
    fs::remove_file(workshop.path("dist/passwords.txt")).unwrap();
    workshop.run(&SIGN);
}

#[test]
fn a_document_that_is_no_index_is_not_signed() {
    let workshop = Workshop::new();
    workshop.release();
    let document = String::from_utf8(workshop.read("dist/base-index.json")).unwrap();
    workshop.write("dist/base-index.json", b"{}");
    let error = workshop.refuse(4, &SIGN);
    assert!(error.starts_with("error: `dist/base-index.json` is not a valid index\n"), "{error}");
    let other = document.replace(r#""project": "encoderfile""#, r#""project": "decoderfile""#);
    assert_ne!(other, document);
    workshop.write("dist/base-index.json", other.as_bytes());
    let error = workshop.refuse(4, &SIGN);
    assert!(error.contains("is the index of another project's release"), "{error}");
    fs::remove_file(workshop.path("dist/base-index.json")).unwrap();
    let error = workshop.refuse(1, &SIGN);
    assert!(error.contains("hint: make it with `encoderfile-release index"), "{error}");
}

#[test]
fn what_is_no_key_is_refused() {
    let workshop = Workshop::new();
    workshop.release();
    workshop.write("text.key", b"untrusted comment: a key\nRWQ=\n");
    workshop.write("bytes.key", &[0xff; 100]);
    for key in ["--key=absent.key", "--key=text.key", "--key=bytes.key", "--key=keys/encoderfile.pub"] {
        let error = workshop.refuse(1, &["sign", "dist", key]);
        assert!(error.starts_with("error: cannot "), "{error}");
        assert!(error.contains(key.strip_prefix("--key=").unwrap()), "{error}");
    }
    // One flipped bit makes another key, which the checksum in it tells.
    let text = String::from_utf8(workshop.read("keys/encoderfile.key")).unwrap();
    let (comment, key) = text.trim_end().split_once('\n').unwrap();
    let position = key.len() / 2;
    let other = if &key[position..=position] == "A" { "B" } else { "A" };
    let damaged = format!("{comment}\n{}{other}{}\n", &key[..position], &key[position + 1..]);
    workshop.write("damaged.key", damaged.as_bytes());
    let error = workshop.refuse(1, &["sign", "dist", "--key=damaged.key"]);
    assert!(error.contains("cannot use secret key `damaged.key`"), "{error}");
}
