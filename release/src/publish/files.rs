//! What is to be published, as it is in the folder.

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use encoderfile_registry::{Digest, INDEX_NAME, KeyId, SIGNATURE_SUFFIX, Target, TrustedKeys};
use semver::Version;

use crate::error::Error;
use crate::publish::PublishError;
use crate::verify::{Verified, VerifiedFile, VerifiedSignature, verify};

/// The files of a release, which are complete.
pub(crate) struct Files {
    pub(crate) version: Version,
    /// In the order in which they are uploaded: the index, which vouches for the others, after them, its signature last.
    pub(crate) list: Vec<File>,
}

/// One of them. What was verified is what is uploaded, whoever changes the file meanwhile.
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) bytes: Bytes,
    pub(crate) sha256: Digest,
    /// What it signs, if it is a signature.
    pub(crate) signs: Option<Signs>,
}

/// What a signature says, and of what.
pub(crate) struct Signs {
    bytes: Bytes,
    comment: String,
    key_id: KeyId,
}

impl Signs {
    /// Whether `other` says the same by the same key. Signing twice gives two such.
    pub(crate) fn is_said_by(&self, other: &[u8], keys: &TrustedKeys) -> bool {
        let Ok(other) = std::str::from_utf8(other) else { return false };
        keys.verify(&self.bytes, other).is_ok_and(|said| said == (self.key_id, self.comment.clone()))
    }
}

impl Files {
    /// Reads and verifies a directory as `verify` does, and more strictly where nobody could repair it later.
    pub(crate) fn read(directory: &Path, keys: &TrustedKeys, may_lack_targets: bool) -> Result<Self, Error> {
        let verified = verify(directory, keys)?;
        let missing = missing(&verified);
        if !may_lack_targets && !missing.is_empty() {
            return Err(PublishError::MissingPrograms { missing }.into());
        }
        let mut list: Vec<File> = Vec::new();
        for VerifiedFile { path, bytes, comment, signatures } in verified.files {
            let file = File::new(&path, bytes);
            let plain = format!("{}{SIGNATURE_SUFFIX}", file.name);
            if comment.is_some() && !signatures.iter().any(|signature| name(&signature.path) == plain) {
                return Err(PublishError::NoPlainSignature { path }.into());
            }
            for VerifiedSignature { path, bytes, signer } in signatures {
                // `verify` looks past keys that it does not know. Here it would give others what nobody has checked.
                let key_id = signer
                    .map_err(|source| Error::Untrusted { path: path.clone(), source: Box::new(source) })?;
                let comment = comment.clone().expect("what is signed has a comment");
                let signs = Signs { bytes: file.bytes.clone(), comment, key_id };
                list.push(File { signs: Some(signs), ..File::new(&path, bytes) });
            }
            list.push(file);
        }
        list.sort_by_cached_key(|file| (rank(&file.name), file.name.clone()));
        Ok(Self { version: verified.version, list })
    }
}

/// The programs that the release does not have: what it has for one target, it is to have for all.
fn missing(verified: &Verified) -> Vec<String> {
    let names: BTreeSet<&str> = verified.programs.iter().map(|program| program.name).collect();
    let is_there = |name: &str, target: Target| {
        verified.programs.iter().any(|program| program.name == name && program.target == target)
    };
    let all = Target::ALL.into_iter().flat_map(|target| names.iter().map(move |&name| (name, target)));
    let missing = all.filter(|(name, target)| !is_there(name, *target));
    missing.map(|(name, target)| format!("{name} for {target}")).collect()
}

impl File {
    fn new(path: &Path, bytes: Vec<u8>) -> Self {
        Self { name: name(path), sha256: Digest::of(&bytes), bytes: bytes.into(), signs: None }
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn rank(name: &str) -> u8 {
    match name.strip_prefix(INDEX_NAME) {
        Some("") => 1,
        Some(rest) if rest == SIGNATURE_SUFFIX => 3,
        // Further signatures of it.
        Some(_) => 2,
        None => 0,
    }
}
