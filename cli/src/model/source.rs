//! Reads the small files of a model and keeps account of them.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use encoderfile_format::{ArtifactKind, Content, Digest, Part, SourceFile};
use serde::de::DeserializeOwned;

use super::ModelFiles;
use super::folder::ModelFolderError;
use crate::files::open_regular;

/// Largest configuration file that is read, in bytes: it becomes a part of the file that is built.
pub(super) const CONFIGURATION_LIMIT: u64 = 16 << 20;
/// Largest `tokenizer.json`: ten times the largest that is known.
const TOKENIZER_LIMIT: u64 = 256 << 20;

/// What is often found in place of a model's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LooksLike {
    GitLfsPointer,
    WebPage,
    Nothing,
}

impl LooksLike {
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let start = bytes[..bytes.len().min(512)].trim_ascii_start();
        if start.starts_with(b"version https://git-lfs.github.com/") {
            Some(Self::GitLfsPointer)
        } else if start.starts_with(b"<") {
            Some(Self::WebPage)
        } else if bytes.is_empty() {
            Some(Self::Nothing)
        } else {
            None
        }
    }

    pub(super) const fn hint(self) -> &'static str {
        match self {
            Self::GitLfsPointer => "fetch the file itself with `git lfs pull` in its folder",
            Self::WebPage => "download the file itself: was the address the page that shows it?",
            Self::Nothing => "copy the file again from the model",
        }
    }
}

impl fmt::Display for LooksLike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GitLfsPointer => "but the pointer that Git LFS leaves in its place",
            Self::WebPage => "but a web page or XML",
            Self::Nothing => "the file is empty",
        })
    }
}

/// Reads the files of a model. Names are paths within the model folder, with slashes.
pub(super) struct Reader<'a> {
    files: &'a ModelFiles,
    /// The configuration files that were read, in that order.
    pub(super) parts: Vec<Part>,
    /// `tokenizer.json`, which is not stored as it is.
    pub(super) sources: Vec<SourceFile>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(files: &'a ModelFiles) -> Self {
        Self { files, parts: Vec::new(), sources: Vec::new() }
    }

    /// Where a file lies.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.files.path_of(name).unwrap_or_else(|| PathBuf::from(name))
    }

    /// A configuration file, if there is one.
    fn optional(&mut self, name: &str) -> Result<Option<Vec<u8>>, ModelFolderError> {
        let Some(path) = self.files.path_of(name) else { return Ok(None) };
        let Some(bytes) = read(&path, CONFIGURATION_LIMIT)? else { return Ok(None) };
        // A file that two modules share is stored once.
        if !self.parts.iter().any(|part| part.name.as_deref() == Some(name)) {
            let content = Content::Bytes(bytes.clone());
            self.parts.push(Part { kind: ArtifactKind::Source, name: Some(name.to_owned()), content });
        }
        Ok(Some(bytes))
    }

    pub(super) fn required(&mut self, name: &str) -> Result<Vec<u8>, ModelFolderError> {
        match self.optional(name)? {
            Some(bytes) => Ok(bytes),
            None => Err(self.missing(name)),
        }
    }

    pub(super) fn optional_json<T: DeserializeOwned>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, ModelFolderError> {
        self.optional(name)?.map(|bytes| parse(&self.path(name), &bytes)).transpose()
    }

    /// `tokenizer.json`. It is named as a source, but only stored as the tokenizer that is made from it.
    pub(super) fn tokenizer(&mut self, name: &str) -> Result<String, ModelFolderError> {
        let path = self.path(name);
        let Some(bytes) = read(&path, TOKENIZER_LIMIT)? else { return Err(self.missing(name)) };
        let (length, sha256) = (bytes.len() as u64, Digest::of(&bytes));
        self.sources.push(SourceFile { name: name.to_owned(), length, sha256 });
        String::from_utf8(bytes).map_err(|error| {
            let invalid = error.utf8_error().valid_up_to();
            ModelFolderError::Utf8 { path, offset: invalid }
        })
    }

    fn missing(&self, name: &str) -> ModelFolderError {
        match self.files {
            ModelFiles::Folder(folder) => ModelFolderError::missing(folder, name),
            ModelFiles::Paths(_) => {
                let path = self.path(name);
                ModelFolderError::Read { path, source: io::ErrorKind::NotFound.into() }
            }
        }
    }
}

/// Opens a file that need not be there. A link that leads nowhere is a fault.
pub(super) fn open(path: &Path) -> Result<Option<File>, ModelFolderError> {
    match open_regular(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
                return Err(ModelFolderError::DanglingLink { path: path.to_owned() });
            }
            Ok(None)
        }
        Err(source) => Err(ModelFolderError::Read { path: path.to_owned(), source }),
    }
}

fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, ModelFolderError> {
    let Some(file) = open(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| ModelFolderError::Read { path: path.to_owned(), source })?;
    if bytes.len() as u64 > limit {
        return Err(ModelFolderError::TooLarge { path: path.to_owned(), limit });
    }
    match LooksLike::of(&bytes) {
        Some(looks_like) => Err(ModelFolderError::Instead { path: path.to_owned(), looks_like }),
        None => Ok(Some(bytes)),
    }
}

pub(super) fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, ModelFolderError> {
    serde_json::from_slice(bytes).map_err(|source| ModelFolderError::Json { path: path.to_owned(), source })
}
