//! A release, looked at by somebody who believes nobody.

use std::fs;

use encoderfile_registry::Target;

use crate::executable::{self, Elf};
use crate::{VERSION, Workshop, base_binary, runtime};

const LINUX: Target = Target::X86_64LinuxGnu;
const VERIFY: [&str; 3] = ["verify", "dist", "--trusted-key=keys/encoderfile.pub"];

fn signed() -> Workshop {
    let workshop = Workshop::new();
    workshop.release();
    workshop.run(&["sign", "dist", "--key=keys/encoderfile.key"]);
    workshop
}

/// An archive in the form of a release's, whatever its binary is.
fn archive(binary: &[u8], notices: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, mode, bytes) in
        [("encoderfile-runtime", 0o755, binary), ("LICENSE", 0o644, b"x"), ("THIRD_PARTY.md", 0o644, notices)]
    {
        let mut header = tar::Header::new_ustar();
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, bytes).unwrap();
    }
    zstd::encode_all(&archive.into_inner().unwrap()[..], 1).unwrap()
}

/// Puts another archive in the place of the one for Linux, has the index say its digest, lets `edit` change what the index
/// says, and signs it all: somebody who has the key, and makes a mistake or worse.
fn refuse_insider(archive: &[u8], edit: impl Fn(&mut serde_json::Value)) -> String {
    let workshop = signed();
    let name = format!("dist/encoderfile-runtime-{LINUX}.tar.zst");
    workshop.write(&name, archive);
    let mut index: serde_json::Value =
        serde_json::from_slice(&workshop.read("dist/base-index.json")).unwrap();
    let entry = &mut index["targets"][LINUX.triple()];
    entry["archive"]["size"] = archive.len().into();
    entry["archive"]["sha256"] = encoderfile_registry::Digest::of(archive).to_string().into();
    edit(entry);
    workshop.write("dist/base-index.json", index.to_string().as_bytes());
    workshop.run(&["sign", "dist", "--key=keys/encoderfile.key"]);
    workshop.refuse(4, &VERIFY)
}

#[test]
fn what_is_in_order_is_told() {
    let workshop = signed();
    let report = workshop.run(&VERIFY);
    let comment = String::from_utf8(workshop.read("keys/encoderfile.pub")).unwrap();
    let id = comment.lines().next().unwrap().rsplit(' ').next().unwrap();
    insta::assert_snapshot!("verify", report.replace(id, "0123456789ABCDEF"));
    // The key itself instead of its file.
    let key = comment.lines().nth(1).unwrap();
    assert_eq!(workshop.run(&["verify", "dist", "--trusted-key", key]), report);
}

#[test]
fn one_bit_anywhere_is_refused() {
    let workshop = signed();
    for name in workshop.names("dist") {
        let path = format!("dist/{name}");
        let good = workshop.read(&path);
        let mut bad = good.clone();
        // In a signature, behind the comment that nobody signed.
        let position = if name.ends_with(".minisig") { good.len() - 20 } else { good.len() / 2 };
        bad[position] ^= 1;
        workshop.write(&path, &bad);
        workshop.refuse(4, &VERIFY);
        fs::remove_file(workshop.path(&path)).unwrap();
        workshop.refuse(if name == "base-index.json" { 1 } else { 4 }, &VERIFY);
        workshop.write(&path, &good);
    }
    workshop.write("dist/more.txt", b"");
    workshop.refuse(4, &VERIFY);
    fs::remove_file(workshop.path("dist/more.txt")).unwrap();
    let other = "dist/encoderfile-aarch64-apple-darwin.tar.zst.minisig";
    workshop.write(other, &workshop.read("dist/base-index.json.minisig"));
    let error = workshop.refuse(4, &VERIFY);
    assert!(
        error.starts_with(&format!("error: `{other}` is a signature of a file that is not there\n")),
        "{error}"
    );
    fs::remove_file(workshop.path(other)).unwrap();
    workshop.run(&VERIFY);
}

#[test]
fn only_trusted_keys_count() {
    let workshop = signed();
    workshop.run(&["keygen", "--out=other"]);
    let error = workshop.refuse(4, &["verify", "dist", "--trusted-key=other/encoderfile.pub"]);
    assert!(error.starts_with("error: `dist/base-index.json` is not to be believed\n"), "{error}");
    assert!(error.contains("which is not trusted (trusted: "), "{error}");
    workshop.refuse(2, &["verify", "dist", "--trusted-key=absent.pub"]);

    // Side by side, either is enough, and neither excuses what does not hold.
    workshop.run(&["sign", "dist", "--key=keys/encoderfile.key", "--key=other/encoderfile.key"]);
    workshop.run(&VERIFY);
    workshop.run(&["verify", "dist", "--trusted-key=other/encoderfile.pub"]);
    let both =
        ["verify", "dist", "--trusted-key=keys/encoderfile.pub", "--trusted-key=other/encoderfile.pub"];
    assert!(workshop.run(&both).lines().next().unwrap().contains(" and "));
    let further =
        workshop.names("dist").into_iter().find(|name| name.len() == "base-index.json.minisig".len() + 17);
    let further = format!("dist/{}", further.unwrap());
    let archive = workshop.names("dist").into_iter().find(|name| name.ends_with(".zst.minisig")).unwrap();
    // A signature of another file by the same key.
    workshop.write(&further, &workshop.read(format!("dist/{archive}")));
    workshop.refuse(4, &both);
}

#[test]
fn a_signature_of_another_release_is_refused() {
    let workshop = signed();
    let name = format!("dist/encoderfile-runtime-{LINUX}.tar.zst");
    let key = "keys/encoderfile.key";
    // The same archive, signed as one of another version by the same key.
    let text = String::from_utf8(workshop.read(key)).unwrap();
    let secret = minisign::SecretKeyBox::from_string(&text).unwrap().into_unencrypted_secret_key().unwrap();
    let comment = format!("encoderfile encoderfile-runtime-{LINUX}.tar.zst v0.2.0");
    let signature =
        minisign::sign(None, &secret, &workshop.read(&name)[..], Some(&comment), None).unwrap().into_string();
    workshop.write(&format!("{name}.minisig"), signature.as_bytes());
    let error = workshop.refuse(4, &VERIFY);
    assert!(error.contains("the signature is for something else"), "{error}");
}

#[test]
fn who_has_the_key_is_not_believed_either() {
    let good = runtime(LINUX, VERSION);
    let none = |_: &mut serde_json::Value| {};
    let with = |binary: &[u8]| {
        let (size, sha256) = (binary.len(), encoderfile_registry::Digest::of(binary).to_string());
        move |entry: &mut serde_json::Value| {
            entry["binary"] = serde_json::json!({"size": size, "sha256": sha256});
        }
    };
    // Another binary than the index says.
    let other = [&good[..], b"more"].concat();
    assert!(
        refuse_insider(&archive(&other, b"x"), none).contains("is not what the index says of it: size\n")
    );
    let mut other = good.clone();
    *other.last_mut().unwrap() ^= 1;
    assert!(refuse_insider(&archive(&other, b"x"), none).contains("the index says of it: sha256\n"));
    // Another version, another floor, another ONNX Runtime.
    let older = runtime(LINUX, "0.2.0");
    assert!(refuse_insider(&archive(&older, b"x"), with(&older)).contains("the index says of it: version\n"));
    let newer = base_binary(LINUX, VERSION, &[&executable::for_target(LINUX, (2, 34))]);
    let error = refuse_insider(&archive(&newer, b"x"), with(&newer));
    assert!(error.contains("of it: floor\n  expected: glibc 2.17\n  found:    glibc 2.34\n"), "{error}");
    let error = refuse_insider(&archive(&good, b"x"), |entry| entry["onnxruntime_version"] = "1.24.0".into());
    assert!(error.contains("of it: ONNX Runtime\n"), "{error}");
    let error =
        refuse_insider(&archive(&good, b"x"), |entry| entry["format_versions"] = serde_json::json!([1, 2]));
    assert!(error.contains("of it: format versions\n"), "{error}");
    // What `check` refuses, and notices that say nothing.
    let bad = Elf::new(LINUX).needs("memcpy", (2, 17)).library("libz.so.1").build();
    let bad = base_binary(LINUX, VERSION, &[&bad]);
    assert!(refuse_insider(&archive(&bad, b"x"), with(&bad)).contains("  library: libz.so.1\n"));
    assert!(refuse_insider(&archive(&good, b"\n"), none).contains("its notices are empty\n"));
}
