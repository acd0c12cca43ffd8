//! The running file: this base binary with the model behind it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use encoderfile_format::{Artifact, ArtifactKind, Description, Encoderfile, Manifest, ModelType, Transform};

use crate::error::Error;

/// The running file, open, with its manifest read.
pub(crate) struct Executable {
    path: PathBuf,
    file: Encoderfile,
    /// Device and inode.
    identity: (u64, u64),
}

impl Executable {
    /// Opens the running executable itself, which is the right file even where another one has its path by now.
    pub(crate) fn open() -> Result<Self, Error> {
        let path = canonical_path().map_err(Error::OwnFile)?;
        let opened = if cfg!(target_os = "linux") { Path::new("/proc/self/exe") } else { &path };
        let file = File::open(opened).map_err(Error::OwnFile)?;
        let identity = identity(&file.metadata().map_err(Error::OwnFile)?);
        match Encoderfile::open(file) {
            Ok(file) => match file.check_manifest() {
                Ok(()) => Ok(Self { path, file, identity }),
                Err(source) => Err(Error::File { path, source: Box::new(source) }),
            },
            // Without a footer it is a base binary, if it ends where the base binary does.
            Err(encoderfile_format::Error::NoPayload) => match File::open(opened) {
                Ok(file) if encoderfile_format::is_image_followed(&file) => Err(Error::NoEnd { path }),
                _ => Err(Error::NoModel),
            },
            Err(source) => Err(Error::File { path, source: Box::new(source) }),
        }
    }

    /// Where the file was found; another one may be there by now.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> &Encoderfile {
        &self.file
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        self.file.manifest()
    }

    /// One line that names the model.
    pub(crate) fn description(&self) -> String {
        let Description { name, version, model_type, .. } = &self.manifest().description;
        format!("{name} {version} ({model_type})")
    }

    /// Whether the path still leads to the running file.
    pub(crate) fn is_at_its_path(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| identity(&metadata) == self.identity)
    }

    /// Where an artifact lies.
    pub(crate) fn artifact(&self, kind: ArtifactKind) -> Result<&Artifact, Error> {
        self.file.artifact(kind).map_err(|source| self.read_error(kind.to_string(), source))
    }

    /// Reads an artifact and verifies its digest.
    pub(crate) fn read(&self, kind: ArtifactKind) -> Result<Vec<u8>, Error> {
        let artifact = self.artifact(kind)?;
        self.file.read_artifact(artifact).map_err(|source| self.artifact_error(artifact, source))
    }

    /// Verifies the digests of all that is mapped, weights and external data, in constant memory.
    pub(crate) fn check_weights(&self) -> Result<(), Error> {
        let mut mapped = self.manifest().artifacts.iter().filter(|artifact| artifact.kind.is_mapped());
        mapped.try_for_each(|artifact| {
            self.file.check(artifact).map_err(|source| self.artifact_error(artifact, source))
        })
    }

    pub(crate) fn artifact_error(&self, artifact: &Artifact, source: encoderfile_format::Error) -> Error {
        self.read_error(artifact.label(), source)
    }

    fn read_error(&self, artifact: String, source: encoderfile_format::Error) -> Error {
        Error::Artifact { path: self.path.clone(), artifact, source: Box::new(source) }
    }

    /// An error of an artifact that is undamaged, but not what it should be.
    pub(crate) fn content_error(
        &self,
        kind: ArtifactKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        Error::Content { path: self.path.clone(), kind, source: source.into() }
    }

    /// Refuses what this version cannot run, before anything is loaded.
    pub(crate) fn check_supported(&self) -> Result<(), Error> {
        match self.manifest().description.model_type {
            ModelType::Embedding
            | ModelType::SentenceEmbedding
            | ModelType::SequenceClassification
            | ModelType::TokenClassification => {}
            other => return Err(Error::Task(other)),
        }
        if self.manifest().artifact(ArtifactKind::Transform).is_none() {
            return Ok(());
        }
        let transform = Transform::decode(&self.read(ArtifactKind::Transform)?)
            .map_err(|source| self.content_error(ArtifactKind::Transform, source))?;
        Err(Error::Transform(transform.transform_type))
    }
}

/// Free of symlinks, as a path in the model's external data has to be.
fn canonical_path() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        fs::read_link("/proc/self/exe")
    } else {
        std::env::current_exe()?.canonicalize()
    }
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
