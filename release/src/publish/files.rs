//! What is to be published, as it is in the folder.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use encoderfile_registry::{BaseIndex, Digest, INDEX_NAME, SIGNATURE_SUFFIX};
use minisign_verify::Signature;
use semver::Version;

use crate::error::Error;
use crate::publish::PublishError;
use crate::sign::release_files;

/// The files of a release, which are complete.
pub(crate) struct Files {
    pub(crate) version: Version,
    /// In the order in which they are uploaded: the index, which vouches for the others, after them, its signature last.
    pub(crate) list: Vec<File>,
}

/// One of them. What was checked is what is uploaded, whoever changes the file meanwhile.
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) bytes: Bytes,
    pub(crate) sha256: Digest,
}

impl Files {
    /// Reads a directory, whose index must describe the archives, and each of whose files must be signed.
    pub(crate) fn read(directory: &Path) -> Result<Self, Error> {
        let (_, signed) = release_files(directory)?;
        let index_path = directory.join(INDEX_NAME);
        let index = signed.iter().find(|(path, ..)| *path == index_path);
        let (_, document, _) = index.expect("the index is one of the files");
        let version =
            BaseIndex::parse(document).map_err(|source| Error::Index { path: index_path, source })?.version;
        for (path, _, comment) in &signed {
            check_signature(path, comment)?;
        }

        let mut list: Vec<File> = Vec::new();
        let mut known: Vec<PathBuf> = Vec::new();
        for (path, bytes, _) in signed {
            list.push(File::new(&path, bytes));
            known.push(path);
        }
        for entry in directory.read_dir().map_err(Error::io("read directory", directory))? {
            let path = entry.map_err(Error::io("read directory", directory))?.path();
            let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if !is_hidden && !known.contains(&path) {
                let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
                list.push(File::new(&path, bytes));
            }
        }
        list.sort_by_cached_key(|file| (rank(&file.name), file.name.clone()));
        Ok(Self { version, list })
    }
}

impl File {
    fn new(path: &Path, bytes: Vec<u8>) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { name, sha256: Digest::of(&bytes), bytes: bytes.into() }
    }
}

/// Whether the signature is there and says of itself that it is of this file of this version. Who signed is for `verify`
/// to say, which has the keys.
fn check_signature(path: &Path, comment: &str) -> Result<(), Error> {
    let mut signature = path.as_os_str().to_owned();
    signature.push(SIGNATURE_SUFFIX);
    let signature = PathBuf::from(signature);
    let text = match std::fs::read_to_string(&signature) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(PublishError::Unsigned { path: path.to_owned() }.into());
        }
        Err(error) => return Err(Error::io("read", &signature)(error)),
    };
    let malformed = |source| PublishError::NoSignature { path: signature.clone(), source };
    let found = Signature::decode(&text).map_err(malformed)?.trusted_comment().to_owned();
    if found == comment {
        return Ok(());
    }
    let expected = comment.to_owned();
    Err(PublishError::ForeignSignature { path: signature, expected, found }.into())
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
