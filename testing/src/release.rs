//! A small signed release, made without this workspace's own code: a second reading of the same rules.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use minisign::KeyPair;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const INDEX: &str = "base-index.json";

/// A throw-away key.
pub struct SigningKey {
    pair: KeyPair,
}

impl SigningKey {
    /// A new key.
    pub fn generate() -> Self {
        Self { pair: KeyPair::generate_unencrypted_keypair().expect("a key pair") }
    }

    /// The public key in base64.
    pub fn public(&self) -> String {
        self.pair.pk.to_base64()
    }

    /// The key's id, as minisign prints it.
    pub fn id(&self) -> String {
        let mut id = self.pair.pk.keynum().to_vec();
        id.reverse();
        hex::encode_upper(id)
    }

    /// A prehashed signature.
    pub fn sign(&self, bytes: &[u8], trusted_comment: &str) -> String {
        let comment = Some("test signature");
        let signature =
            minisign::sign(None, &self.pair.sk, Cursor::new(bytes), Some(trusted_comment), comment);
        signature.expect("a signature").into_string()
    }
}

/// A release folder.
#[derive(Debug)]
pub struct Release {
    /// The folder, `{root}/v{version}`.
    pub directory: PathBuf,
    /// The version.
    pub version: String,
}

impl Release {
    /// Writes `{root}/v{version}` with an archive for each target and a signed index.
    pub fn write(root: &Path, version: &str, runtimes: &[(&str, &[u8])], key: &SigningKey) -> Self {
        let release = Self { directory: root.join(format!("v{version}")), version: version.to_owned() };
        fs::create_dir_all(&release.directory).expect("a release folder");
        let mut targets = serde_json::Map::new();
        for (target, runtime) in runtimes {
            let archive = runtime_archive(runtime);
            fs::write(release.directory.join(archive_name(target)), &archive).expect("an archive");
            targets.insert((*target).to_owned(), entry(target, &archive, runtime));
        }
        release.sign(&index_json(version, &Value::Object(targets)), key);
        release
    }

    /// Replaces the index and signs it as this version's.
    pub fn sign(&self, index: &str, key: &SigningKey) {
        let comment = format!("encoderfile base-index v{}", self.version);
        self.sign_with_comment(index, key, &comment);
    }

    /// Replaces the index and signs it with any trusted comment.
    pub fn sign_with_comment(&self, index: &str, key: &SigningKey, comment: &str) {
        fs::write(self.index(), index).expect("an index");
        fs::write(self.signature(), key.sign(index.as_bytes(), comment)).expect("a signature");
    }

    /// Signs the index with a further key, beside the signature that is there.
    pub fn sign_beside(&self, key: &SigningKey) {
        let index = fs::read(self.index()).expect("an index");
        let comment = format!("encoderfile base-index v{}", self.version);
        fs::write(self.signature_beside(key), key.sign(&index, &comment)).expect("a signature");
    }

    /// Path of the index's signature by a further key.
    pub fn signature_beside(&self, key: &SigningKey) -> PathBuf {
        self.directory.join(format!("{INDEX}.{}.minisig", key.id()))
    }

    /// Reads the index, lets `edit` change it, and signs it again.
    pub fn edit_index(&self, key: &SigningKey, edit: impl FnOnce(&mut Value)) {
        let mut index =
            serde_json::from_str(&fs::read_to_string(self.index()).expect("an index")).expect("JSON");
        edit(&mut index);
        self.sign(&index.to_string(), key);
    }

    /// Path of the index.
    pub fn index(&self) -> PathBuf {
        self.directory.join(INDEX)
    }

    /// Path of the index's signature.
    pub fn signature(&self) -> PathBuf {
        self.directory.join(format!("{INDEX}.minisig"))
    }

    /// Path of the archive for a target.
    pub fn archive(&self, target: &str) -> PathBuf {
        self.directory.join(archive_name(target))
    }
}

/// The name of the archive that holds the base binary for `target`.
pub fn archive_name(target: &str) -> String {
    format!("encoderfile-runtime-{target}.tar.zst")
}

/// An index with any targets.
pub fn index_json(version: &str, targets: &Value) -> String {
    let index = json!({
        "schema": 1,
        "project": "encoderfile",
        "version": version,
        "published": "2026-01-02T03:04:05Z",
        "targets": targets,
    });
    format!("{index:#}\n")
}

fn entry(target: &str, archive: &[u8], binary: &[u8]) -> Value {
    let floor = if target.contains("apple") { json!({"macos": "11.0"}) } else { json!({"glibc": "2.17"}) };
    json!({
        "archive": {"name": archive_name(target), "size": archive.len(), "sha256": sha256(archive)},
        "binary": {"size": binary.len(), "sha256": sha256(binary)},
        "floor": floor,
        "format_versions": [1],
        "onnxruntime_version": "1.23.2",
    })
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The archive of a base binary, with the files that a real one has beside it.
pub fn runtime_archive(runtime: &[u8]) -> Vec<u8> {
    program_archive("encoderfile-runtime", runtime)
}

/// The archive of a program with that name.
pub fn program_archive(name: &str, program: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, mode, bytes) in
        [(name, 0o755, program), ("LICENSE", 0o644, b"text"), ("THIRD_PARTY.md", 0o644, b"text")]
    {
        let mut header = tar::Header::new_ustar();
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, bytes).expect("a member");
    }
    compress(&archive.into_inner().expect("an archive"))
}

/// zstd, as archives are compressed.
pub fn compress(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("compressed bytes")
}
