//! Writes an encoderfile: base binary, manifest, artifacts, footer.

use std::fs::{self, File};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::atomic::{Pending, create_beside, is_same_file};
use crate::copy::{CopyError, copy_hashed};
use crate::manifest::{check_fields, is_free_number, seal};
use crate::reader::check_digest;
use crate::{
    Artifact, ArtifactKind, BaseProvenance, Digest, Encoderfile, Error, Footer, Layout, MANIFEST_LIMIT,
    Manifest, ModelType, SentencePooling, SourceFile, Tool,
};

/// The base binary that a file is to start with.
#[derive(Debug)]
pub struct Base<'a> {
    /// For messages.
    pub path: &'a Path,
    /// Open for reading.
    pub file: &'a File,
    /// Rust target triple.
    pub target: String,
    /// Version of the runtime.
    pub version: String,
    /// Key id of the signature that vouches for it, if one does.
    pub key_id: Option<String>,
    /// What the signed index says. The copy is compared with it.
    pub expected: Option<Digest>,
}

/// The bytes of an artifact.
#[derive(Debug)]
pub enum Content {
    /// In memory.
    Bytes(Vec<u8>),
    /// A whole file, open for reading.
    File {
        /// For messages.
        path: PathBuf,
        /// Open for reading.
        file: File,
    },
}

/// What is appended to the base binary.
#[derive(Debug)]
pub struct Payload {
    /// The task.
    pub model_type: ModelType,
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// The program that writes.
    pub writer: Tool,
    /// For [`ModelType::SentenceEmbedding`].
    pub sentence_pooling: Option<SentencePooling>,
    /// The input files that artifacts were made from.
    pub sources: Vec<SourceFile>,
    /// One per kind, none of them empty.
    pub artifacts: Vec<(ArtifactKind, Content)>,
}

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Writing would destroy what is to be read.
    #[error("the output `{}` is also the input `{}`", output.display(), input.display())]
    OutputIsInput {
        /// The output.
        output: PathBuf,
        /// The input that is the same file.
        input: PathBuf,
    },
    /// A folder stands in the output's place.
    #[error("the output `{}` is a folder", path.display())]
    OutputIsFolder {
        /// The output.
        path: PathBuf,
    },
    /// A device, a pipe or a socket stands in the output's place. Renaming would replace it.
    #[error("the output `{}` exists and is not a regular file", path.display())]
    OutputIsSpecial {
        /// The output.
        path: PathBuf,
    },
    /// The output's folder is missing, full or read-only.
    #[error("cannot write `{}`", path.display())]
    Output {
        /// The output.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// An input cannot be read.
    #[error("cannot read `{}`", path.display())]
    Input {
        /// The input.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// An input became shorter while it was copied.
    #[error("`{}` was changed while it was read: it had {expected} bytes, then {found}", path.display())]
    InputChanged {
        /// The input.
        path: PathBuf,
        /// Its length at the start.
        expected: u64,
        /// Bytes that could be read.
        found: u64,
    },
    /// The format has no artifacts without bytes.
    #[error("{kind} is empty")]
    EmptyArtifact {
        /// Which artifact.
        kind: ArtifactKind,
    },
    /// Two artifacts of one kind.
    #[error("there is more than one {kind}")]
    SeveralArtifacts {
        /// Which artifact.
        kind: ArtifactKind,
    },
    /// A number that is no artifact's, or that of an artifact with a name.
    #[error("an artifact cannot have the number {number}")]
    ArtifactNumber {
        /// The field number.
        number: u32,
    },
    /// Names, sources or artifacts go beyond what a reader accepts.
    #[error("no reader would accept the manifest")]
    Manifest(#[source] Error),
    /// The file would have more bytes than an offset can count.
    #[error("the file would be larger than 2^64 bytes")]
    TooLarge,
    /// The base binary is not the one that was signed.
    #[error("base binary `{}` is damaged: expected sha256 {expected}, found {found}", path.display())]
    BaseDigest {
        /// The base binary.
        path: PathBuf,
        /// What the signed index says.
        expected: Digest,
        /// What was copied.
        found: Digest,
    },
    /// What was written cannot be read back.
    #[error("the written file cannot be read back")]
    ReadBack(#[source] Error),
    /// What is to be extracted cannot be read, or is damaged.
    #[error(transparent)]
    Extract(#[from] Error),
}

/// A complete, executable file (mode 0755) that has not got its name yet. It is removed when dropped.
#[derive(Debug)]
pub struct Draft {
    pending: Pending,
    output: PathBuf,
}

impl Draft {
    /// Where it stands until [`persist`](Draft::persist): beside the output.
    pub fn path(&self) -> &Path {
        self.pending.temporary()
    }

    /// Opens it as any reader would.
    ///
    /// # Errors
    /// [`WriteError::ReadBack`]
    pub fn open(&self) -> Result<Encoderfile, WriteError> {
        let file = File::open(self.path()).map_err(|source| output_error(&self.output, source))?;
        Encoderfile::open(file).map_err(WriteError::ReadBack)
    }

    /// Gives the file its name, in place of whatever bore it.
    ///
    /// # Errors
    /// [`WriteError::Output`]
    pub fn persist(self) -> Result<PathBuf, WriteError> {
        self.pending.persist().map_err(|source| output_error(&self.output, source))
    }
}

/// Writes base, manifest, artifacts and footer into a temporary file beside `output`, reading every input once. The
/// output's name is taken only by [`Draft::persist`]: killed at any moment, the output is the old file or the new one.
///
/// # Errors
/// See [`WriteError`]; nothing is left behind.
pub fn write(base: &Base<'_>, payload: &Payload, output: &Path) -> Result<Draft, WriteError> {
    check_output(base, payload, output)?;
    let base_length = input_length(base.path, base.file)?;
    let mut lengths = Vec::with_capacity(payload.artifacts.len());
    for (kind, content) in &payload.artifacts {
        let length = match content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::File { path, file } => input_length(path, file)?,
        };
        if length == 0 {
            return Err(WriteError::EmptyArtifact { kind: *kind });
        }
        if lengths.iter().any(|(other, _)| other == kind) {
            return Err(WriteError::SeveralArtifacts { kind: *kind });
        }
        if let ArtifactKind::Other(number) = *kind
            && !is_free_number(number)
        {
            return Err(WriteError::ArtifactNumber { number });
        }
        lengths.push((*kind, length));
    }

    // All numbers that are not known yet have a fixed size on the wire, so a manifest with wrong ones has the right size.
    let mut manifest = unplaced_manifest(base, payload, &lengths);
    let encoded = manifest.encode(0);
    let manifest_length = encoded.len() as u64;
    if manifest_length > MANIFEST_LIMIT {
        return Err(WriteError::Manifest(Error::ManifestSize { length: manifest_length }));
    }
    check_fields(&encoded, base_length).map_err(WriteError::Manifest)?;
    let layout = Layout::new(base_length, manifest_length, &lengths).ok_or(WriteError::TooLarge)?;

    let mut temporary = create_beside(output).map_err(|source| output_error(output, source))?;
    let file = temporary.as_file_mut();
    let mut writer = Writer { file, position: 0, output };
    let sha256 = writer.copy(base.path, base.file, base_length)?;
    if let Some(expected) = base.expected.filter(|expected| *expected != sha256) {
        return Err(WriteError::BaseDigest { path: base.path.to_owned(), expected, found: sha256 });
    }
    if let Some(provenance) = &mut manifest.base {
        provenance.sha256 = sha256;
    }
    writer.zeros(layout.manifest_offset + manifest_length)?;
    for &(kind, offset) in &layout.artifacts {
        writer.zeros(offset)?;
        let (_, content) = payload.artifacts.iter().find(|(other, _)| *other == kind).expect("placed");
        let sha256 = match content {
            Content::Bytes(bytes) => writer.bytes(bytes)?,
            Content::File { path, file } => writer.copy(path, file, length_of(&lengths, kind))?,
        };
        let artifact = manifest.artifacts.iter_mut().find(|artifact| artifact.kind == kind).expect("placed");
        (artifact.offset, artifact.sha256) = (offset, sha256);
    }
    let footer = Footer { manifest_offset: layout.manifest_offset, manifest_length };
    writer.bytes(&footer.encode())?;

    let mut encoded = manifest.encode(layout.manifest_offset);
    assert_eq!(encoded.len() as u64, manifest_length, "the manifest's size does not depend on its numbers");
    seal(&mut encoded);
    temporary
        .as_file()
        .write_all_at(&encoded, layout.manifest_offset)
        .map_err(|source| output_error(output, source))?;
    let pending = Pending::new(temporary, output, 0o755).map_err(|source| output_error(output, source))?;
    Ok(Draft { pending, output: output.to_owned() })
}

/// The manifest with everything but offsets and digests of what is copied.
fn unplaced_manifest(base: &Base<'_>, payload: &Payload, lengths: &[(ArtifactKind, u64)]) -> Manifest {
    let unknown = Digest::from([0; Digest::LENGTH]);
    Manifest {
        model_type: payload.model_type,
        name: payload.name.clone(),
        version: payload.version.clone(),
        base: Some(BaseProvenance {
            target: base.target.clone(),
            version: base.version.clone(),
            sha256: unknown,
            key_id: base.key_id.clone(),
        }),
        writer: Some(payload.writer.clone()),
        sentence_pooling: payload.sentence_pooling.clone(),
        sources: payload.sources.clone(),
        // Offset 1, since protobuf leaves zeros out.
        artifacts: lengths
            .iter()
            .map(|&(kind, length)| Artifact { kind, offset: 1, length, sha256: unknown })
            .collect(),
        unknown_fields: Vec::new(),
    }
}

fn length_of(lengths: &[(ArtifactKind, u64)], kind: ArtifactKind) -> u64 {
    lengths.iter().find(|(other, _)| *other == kind).map(|&(_, length)| length).expect("placed")
}

fn input_length(path: &Path, file: &File) -> Result<u64, WriteError> {
    let metadata = file.metadata().map_err(|source| WriteError::Input { path: path.to_owned(), source })?;
    if !metadata.is_file() {
        return Err(WriteError::Input {
            path: path.to_owned(),
            source: io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"),
        });
    }
    Ok(metadata.len())
}

fn check_output(base: &Base<'_>, payload: &Payload, output: &Path) -> Result<(), WriteError> {
    let files = payload.artifacts.iter().filter_map(|(_, content)| match content {
        Content::File { path, file } => Some((path.as_path(), file)),
        Content::Bytes(_) => None,
    });
    check_output_against(output, files.chain([(base.path, base.file)]))
}

/// Checks that renaming a file to `output` destroys nothing but a file, and none of the inputs.
fn check_output_against<'a>(
    output: &Path,
    inputs: impl Iterator<Item = (&'a Path, &'a File)>,
) -> Result<(), WriteError> {
    // What cannot be looked at either does not exist or fails when the temporary file is made.
    let Ok(existing) = fs::metadata(output) else {
        return Ok(());
    };
    let path = || output.to_owned();
    if existing.is_dir() {
        return Err(WriteError::OutputIsFolder { path: path() });
    }
    if !existing.is_file() {
        return Err(WriteError::OutputIsSpecial { path: path() });
    }
    for (path, file) in inputs {
        let input = file.metadata().map_err(|source| WriteError::Input { path: path.to_owned(), source })?;
        if is_same_file(&existing, &input) {
            return Err(WriteError::OutputIsInput { output: output.to_owned(), input: path.to_owned() });
        }
    }
    Ok(())
}

fn output_error(output: &Path, source: io::Error) -> WriteError {
    WriteError::Output { path: output.to_owned(), source }
}

/// Appends to the temporary file and counts.
struct Writer<'a> {
    file: &'a mut File,
    position: u64,
    output: &'a Path,
}

impl Writer<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> Result<Digest, WriteError> {
        self.file.write_all(bytes).map_err(|source| output_error(self.output, source))?;
        self.position += bytes.len() as u64;
        Ok(Digest::of(bytes))
    }

    /// Appends zeros up to a position.
    fn zeros(&mut self, end: u64) -> Result<(), WriteError> {
        let zeros = io::Read::take(io::repeat(0), end - self.position);
        io::copy(&mut { zeros }, self.file).map_err(|source| output_error(self.output, source))?;
        self.position = end;
        Ok(())
    }

    /// Appends a whole file.
    fn copy(&mut self, path: &Path, mut input: &File, length: u64) -> Result<Digest, WriteError> {
        input.rewind().map_err(|source| WriteError::Input { path: path.to_owned(), source })?;
        let digest = copy_hashed(input, length, self.file, self.position).map_err(|error| match error {
            CopyError::Read(source) => WriteError::Input { path: path.to_owned(), source },
            CopyError::Write(source) => output_error(self.output, source),
            CopyError::Shrunk { expected, found } => {
                WriteError::InputChanged { path: path.to_owned(), expected, found }
            }
        })?;
        self.position += length;
        Ok(digest)
    }
}

impl Encoderfile {
    /// Writes an artifact's bytes to a file of their own, verifying their digest on the way. The file appears whole or
    /// not at all.
    ///
    /// # Errors
    /// [`WriteError::Extract`] as [`Encoderfile::check`] would say it, [`WriteError::Output`] where it cannot be written,
    /// [`WriteError::OutputIsInput`] where it is this very file.
    pub fn extract(&self, kind: ArtifactKind, output: &Path) -> Result<(), WriteError> {
        let artifact = self.artifact(kind)?;
        // An open file has no name of its own; whatever it was opened by, it is the output's.
        check_output_against(output, [(output, self.file())].into_iter())?;
        let &Artifact { offset, length, .. } = artifact;
        let mut temporary = create_beside(output).map_err(|source| output_error(output, source))?;
        self.file().seek(io::SeekFrom::Start(offset)).map_err(|source| Error::Read {
            offset,
            length,
            source,
        })?;
        let file = temporary.as_file_mut();
        let digest = copy_hashed(self.file(), length, file, 0).map_err(|error| match error {
            CopyError::Read(source) => Error::Read { offset, length, source }.into(),
            CopyError::Write(source) => output_error(output, source),
            CopyError::Shrunk { .. } => {
                Error::Read { offset, length, source: io::ErrorKind::UnexpectedEof.into() }.into()
            }
        })?;
        check_digest(artifact, digest)?;
        let pending =
            Pending::new(temporary, output, 0o644).map_err(|source| output_error(output, source))?;
        pending.persist().map_err(|source| output_error(output, source))?;
        Ok(())
    }
}
