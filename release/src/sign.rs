//! Signatures of a release's files.

use std::fmt;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use encoderfile_registry::{
    BaseIndex, Digest, INDEX_NAME, PROJECT, SIGNATURE_SUFFIX, archive_trusted_comment, trusted_comment,
};
use minisign::{SecretKey, SecretKeyBox};

use crate::error::Error;
use crate::folder::Folder;
use crate::keygen::key_id;
use crate::output::OutputFile;

/// The signatures that were written.
pub(crate) struct Signed {
    key_id: String,
    signatures: Vec<PathBuf>,
}

/// Signs the index and all archives of `directory` with the secret key in the file `key`.
pub(crate) fn sign(directory: &Path, key: &Path, password: Option<String>) -> Result<Signed, Error> {
    let secret_key = secret_key(key, password)?;
    let files = release_files(directory)?;

    let mut outputs = Vec::new();
    for (path, bytes, comment) in &files {
        let signature = signature(&secret_key, path, bytes, comment)?;
        let path = signature_path(path);
        let mut output = OutputFile::create(&path, 0o644)?;
        output.write_all(signature.as_bytes()).map_err(Error::io("write", &path))?;
        outputs.push((path, output));
    }
    let mut signatures = Vec::new();
    for (path, output) in outputs {
        output.commit()?;
        signatures.push(path);
    }
    Ok(Signed { key_id: key_id(secret_key.keynum()), signatures })
}

/// Reads a release and checks that its index describes it: each file with its bytes and its trusted comment. The same
/// bytes are checked and signed, so that nobody can change a file in between.
pub(crate) fn release_files(directory: &Path) -> Result<Vec<(PathBuf, Vec<u8>, String)>, Error> {
    let index_path = directory.join(INDEX_NAME);
    let document = std::fs::read(&index_path).map_err(Error::io("read", &index_path))?;
    let index =
        BaseIndex::parse(&document).map_err(|source| Error::Index { path: index_path.clone(), source })?;
    if index.project != PROJECT {
        return Err(Error::IndexProject { path: index_path, found: index.project });
    }

    let folder = Folder::open(directory)?;
    let mut present: Vec<PathBuf> = folder.runtimes.into_values().chain(folder.clis.into_values()).collect();
    present.sort();
    let entries = index.targets.values();
    let indexed: Vec<_> =
        entries.flat_map(|entry| std::iter::once(&entry.archive).chain(&entry.cli)).collect();
    for archive in &indexed {
        if !present.contains(&directory.join(&archive.name)) {
            return Err(Error::Missing { directory: directory.to_owned(), name: archive.name.clone() });
        }
    }
    let mut files = vec![(index_path, document, trusted_comment(&index.version))];
    for path in present {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(archive) = indexed.iter().find(|archive| archive.name == name) else {
            return Err(Error::NotIndexed { directory: directory.to_owned(), name });
        };
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let (expected, found) = ((archive.size, archive.sha256), (bytes.len() as u64, Digest::of(&bytes)));
        if expected != found {
            return Err(Error::Mismatch { path, expected, found });
        }
        files.push((path, bytes, archive_trusted_comment(&name, &index.version)));
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

    let verify = || {
        let public_key = minisign_verify::PublicKey::from_base64(&public_key.to_base64())?;
        let decoded = minisign_verify::Signature::decode(&signature)?;
        public_key.verify(bytes, &decoded, false)?;
        if decoded.trusted_comment() == comment {
            Ok(())
        } else {
            Err(minisign_verify::Error::InvalidSignature)
        }
    };
    match verify() {
        Ok(()) => Ok(signature),
        Err(source) => Err(Error::Unverified { path: path.to_owned(), source }),
    }
}

fn secret_key(path: &Path, password: Option<String>) -> Result<SecretKey, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let secret_key = SecretKeyBox::from(text.clone());
    let secret_key = match password {
        // Without a password the library would ask for one on the terminal, where a release may have none.
        None if is_encrypted(&text) => return Err(Error::PasswordMissing { path: path.to_owned() }),
        Some(password) if is_encrypted(&text) => secret_key.into_secret_key(Some(password)),
        _ => match without_checksum(&text) {
            Some(secret_key) => Ok(secret_key),
            None => secret_key.into_unencrypted_secret_key(),
        },
    };
    secret_key.map_err(|source| Error::SecretKey { path: path.to_owned(), source })
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

fn signature_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(SIGNATURE_SUFFIX);
    name.into()
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signed with key {}", self.key_id)?;
        self.signatures.iter().try_for_each(|path| write!(f, "\n  {}", path.display()))
    }
}
