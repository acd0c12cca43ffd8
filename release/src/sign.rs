//! Signatures of a release's files.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use encoderfile_registry::{
    BaseIndex, Digest, INDEX_NAME, KeyId, PROJECT, SBOM_SUFFIX, SIGNATURE_SUFFIX, archive_trusted_comment,
    further_signature_name, trusted_comment,
};
use minisign::{SecretKey, SecretKeyBox};

use crate::error::Error;
use crate::folder::Folder;
use crate::keygen::{Password, key_id};
use crate::output::OutputFile;

/// The signatures that a release has now.
pub(crate) struct Signed {
    key_ids: Vec<String>,
    /// With whether it was there before.
    signatures: Vec<(PathBuf, bool)>,
}

/// Signs the index and all archives of `directory` with the secret keys in the files `keys`. The first key's signatures have
/// the plain names; `password` gives the password of the key at an index.
pub(crate) fn sign(
    directory: &Path,
    keys: &[PathBuf],
    password: impl Fn(usize) -> Result<Password, Error>,
) -> Result<Signed, Error> {
    let mut secret_keys: Vec<(KeyId, SecretKey)> = Vec::new();
    for (index, path) in keys.iter().enumerate() {
        let secret_key = secret_key(path, password(index)?)?;
        let id: KeyId = key_id(secret_key.keynum()).parse().expect("eight bytes in hexadecimal are a key id");
        if let Some(other) = secret_keys.iter().position(|(known, _)| *known == id) {
            let paths = [keys[other].clone(), path.clone()];
            return Err(Error::SameKey { key_id: id.to_string(), paths });
        }
        secret_keys.push((id, secret_key));
    }
    let (folder, files) = release_files(directory)?;

    let (mut signatures, mut outputs) = (Vec::new(), Vec::new());
    for (index, (id, secret_key)) in secret_keys.iter().enumerate() {
        for (path, bytes, comment) in &files {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let name = match index {
                0 => format!("{name}{SIGNATURE_SUFFIX}"),
                _ => further_signature_name(&name, *id),
            };
            let place = directory.join(name);
            // A new signature has other bytes, and is no better: what is published already would seem to be something else.
            // It is made all the same: a damaged key is to be noticed.
            let signature = signature(secret_key, path, bytes, comment)?;
            let is_kept = is_signed(secret_key, &place, bytes, comment);
            if !is_kept {
                let mut output = OutputFile::create(&place, 0o644)?;
                output.write_all(signature.as_bytes()).map_err(Error::io("write", &place))?;
                outputs.push(output);
            }
            signatures.push((place, is_kept));
        }
    }
    let is_kept = |path: &PathBuf| signatures.iter().any(|(kept, is_kept)| *is_kept && kept == path);
    replace(folder.signatures.into_values().flatten().filter(|path| !is_kept(path)), outputs)?;
    Ok(Signed { key_ids: secret_keys.into_iter().map(|(id, _)| id.to_string()).collect(), signatures })
}

/// Removes the signatures of other bytes, and of keys that were not named and vouch for a release that their owner did not make,
/// before it gives the new ones their names: stopped in between, what is left is not signed, instead of signed by several.
fn replace(stale: impl Iterator<Item = PathBuf>, outputs: Vec<OutputFile>) -> Result<(), Error> {
    for path in stale {
        std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    }
    outputs.into_iter().try_for_each(OutputFile::commit)
}

/// What is in a release: each file that gets a signature, with its bytes and its trusted comment.
type SignedFiles = Vec<(PathBuf, Vec<u8>, String)>;

/// Reads a release and checks that its index describes it. The same bytes are checked and signed, so that nobody can change a
/// file in between.
fn release_files(directory: &Path) -> Result<(Folder, SignedFiles), Error> {
    let index_path = directory.join(INDEX_NAME);
    let document = std::fs::read(&index_path).map_err(Error::io("read", &index_path))?;
    let index =
        BaseIndex::parse(&document).map_err(|source| Error::Index { path: index_path.clone(), source })?;
    if index.project != PROJECT {
        return Err(Error::IndexProject { path: index_path, found: index.project });
    }
    let folder = Folder::open(directory)?;
    let mut files = vec![(index_path, document, trusted_comment(&index.version))];
    for (path, bytes) in indexed_files(&folder, directory, &index)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // The index vouches for what is about the archives.
        if !name.ends_with(SBOM_SUFFIX) {
            files.push((path, bytes, archive_trusted_comment(&name, &index.version)));
        }
    }
    Ok((folder, files))
}

/// Reads all files that the index of a release names, which must be those that are there, with these bytes.
pub(crate) fn indexed_files(
    folder: &Folder,
    directory: &Path,
    index: &BaseIndex,
) -> Result<Vec<(PathBuf, Vec<u8>)>, Error> {
    let Folder { runtimes, clis, runtime_sboms, cli_sboms, .. } = folder;
    let mut present: Vec<_> =
        [runtimes, clis, runtime_sboms, cli_sboms].into_iter().flat_map(BTreeMap::values).collect();
    present.sort();
    let entries = index.targets.values();
    let indexed: Vec<_> = entries
        .flat_map(|entry| {
            std::iter::once(&entry.archive).chain(&entry.cli).chain(&entry.sbom).chain(&entry.cli_sbom)
        })
        .collect();
    for file in &indexed {
        if !present.contains(&&directory.join(&file.name)) {
            return Err(Error::Missing { directory: directory.to_owned(), name: file.name.clone() });
        }
    }
    let mut files = Vec::new();
    for path in present {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(file) = indexed.iter().find(|file| file.name == name) else {
            return Err(Error::NotIndexed { directory: directory.to_owned(), name });
        };
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let (expected, found) = ((file.size, file.sha256), (bytes.len() as u64, Digest::of(&bytes)));
        if expected != found {
            return Err(Error::Mismatch { path: path.clone(), expected, found });
        }
        files.push((path.clone(), bytes));
    }
    Ok(files)
}

/// Signs `bytes`, and verifies the result with the very code by which users will.
fn signature(secret_key: &SecretKey, path: &Path, bytes: &[u8], comment: &str) -> Result<String, Error> {
    let cannot_sign = |source| Error::Sign { path: path.to_owned(), source };
    let public_key = minisign::PublicKey::from_secret_key(secret_key).map_err(cannot_sign)?;
    let untrusted = format!("signature from encoderfile release key {}", key_id(secret_key.keynum()));
    let signature = minisign::sign(Some(&public_key), secret_key, bytes, Some(comment), Some(&untrusted))
        .map_err(cannot_sign)?
        .into_string();

    match check(&public_key, &signature, bytes, comment) {
        Ok(()) => Ok(signature),
        Err(source) => Err(Error::Unverified { path: path.to_owned(), source }),
    }
}

/// Whether the file `path` is what signing would come to, but for the bytes that chance has chosen.
fn is_signed(secret_key: &SecretKey, path: &Path, bytes: &[u8], comment: &str) -> bool {
    let Ok(signature) = std::fs::read_to_string(path) else { return false };
    let Ok(public_key) = minisign::PublicKey::from_secret_key(secret_key) else { return false };
    // More lines than a signature has would be read by nobody, and published.
    signature.lines().count() == 4 && check(&public_key, &signature, bytes, comment).is_ok()
}

fn check(
    public_key: &minisign::PublicKey,
    signature: &str,
    bytes: &[u8],
    comment: &str,
) -> Result<(), minisign_verify::Error> {
    let public_key = minisign_verify::PublicKey::from_base64(&public_key.to_base64())?;
    let decoded = minisign_verify::Signature::decode(signature)?;
    public_key.verify(bytes, &decoded, false)?;
    if decoded.trusted_comment() == comment { Ok(()) } else { Err(minisign_verify::Error::InvalidSignature) }
}

/// Reads a secret key. Passwords are for keys that have one: a CI may pass one on, or an empty one, to a key that has none.
fn secret_key(path: &Path, password: Password) -> Result<SecretKey, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    // What was pasted into a form may have come with other line ends, and with empty lines.
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    let secret_key = SecretKeyBox::from(text.clone());
    if !is_encrypted(&text) {
        let secret_key = match without_checksum(&text) {
            Some(secret_key) => Ok(secret_key),
            None => secret_key.into_unencrypted_secret_key(),
        };
        return secret_key.map_err(|source| Error::SecretKey { path: path.to_owned(), source });
    }
    let Password { variable, text: password } = password;
    let path = path.to_owned();
    match password {
        // Without a password the library would ask for one on the terminal, where a release may have none.
        None => Err(Error::PasswordMissing { path, variable, state: "not set" }),
        Some(password) if password.is_empty() => {
            Err(Error::PasswordMissing { path, variable, state: "empty" })
        }
        Some(password) => secret_key.into_secret_key(Some(password)).map_err(|source| Error::EncryptedKey {
            path,
            variable,
            source,
        }),
    }
}

/// A key of `minisign -G -W`, which leaves the checksum empty, and so is refused by the library. Damage to it is noticed
/// all the same, since nothing that it signs verifies.
fn without_checksum(key: &str) -> Option<SecretKey> {
    const CHECKSUM: Range<usize> = 126..158;
    let bytes = BASE64.decode(key.lines().nth(1)?.trim()).ok()?;
    let empty = bytes.len() == CHECKSUM.end && bytes[CHECKSUM].iter().all(|byte| *byte == 0);
    if empty { SecretKey::from_bytes(&bytes).ok() } else { None }
}

/// A key starts with its algorithm `Ed` and `Sc` (for scrypt) if it is encrypted, else two zero bytes, all in base64.
fn is_encrypted(key: &str) -> bool {
    key.lines().nth(1).is_some_and(|line| line.starts_with("RWRTY"))
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signed with key {}", self.key_ids.join(" and "))?;
        self.signatures.iter().try_for_each(|(path, is_kept)| {
            let kept = if *is_kept { " (kept)" } else { "" };
            write!(f, "\n  {}{kept}", path.display())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::replace;
    use crate::output::OutputFile;

    #[test]
    fn stale_signatures_are_gone_before_there_are_new_ones() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("stale"), b"").unwrap();
        // The first new one cannot get its name, as if the run were stopped here.
        fs::create_dir(path("first")).unwrap();
        let outputs = ["first", "second"].map(|name| OutputFile::create(&path(name), 0o644).unwrap());
        replace([path("stale")].into_iter(), outputs.into()).unwrap_err();
        assert!(!path("stale").exists() && !path("second").exists());
    }
}
