//! Writes an encoderfile: base binary, manifest, artifacts, footer.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::atomic::{Pending, create_beside, is_same_file};
use crate::copy::{Appender, Hashed, append};
use crate::frame::Frame;
use crate::manifest::{check_fields, is_free_number, is_relative_name, seal};
use crate::reader::check_digest;
use crate::{
    Artifact, ArtifactKind, BaseProvenance, Description, Digest, Edit, Encoderfile, Error, Footer,
    MANIFEST_LIMIT, Manifest, Tool, WriteError,
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
    /// An artifact of another encoderfile.
    Artifact {
        /// That file, for messages.
        path: PathBuf,
        /// Open for reading.
        file: File,
        /// Where it lies there.
        artifact: Artifact,
        /// Whether its bytes are known to have the digest that they should have. Else the copy is compared with it.
        is_verified: bool,
    },
}

/// An artifact that is to be written.
#[derive(Debug)]
pub struct Part {
    /// What it is.
    pub kind: ArtifactKind,
    /// Where it is an input file byte for byte: that file's path within the model folder, with slashes.
    pub name: Option<String>,
    /// Its bytes.
    pub content: Content,
}

impl Part {
    /// An artifact that is made here.
    pub const fn bytes(kind: ArtifactKind, bytes: Vec<u8>) -> Self {
        Self { kind, name: None, content: Content::Bytes(bytes) }
    }
}

/// What is appended to the base binary.
#[derive(Debug)]
pub struct Payload {
    /// What the file says of its model.
    pub description: Description,
    /// The program that writes.
    pub writer: Tool,
    /// One per kind, or several with different names; none of them empty.
    pub parts: Vec<Part>,
}

impl Payload {
    /// The payload of an encoderfile, to be put on another base binary. `path` is its file, for messages. With `is_verified`,
    /// the digests of its artifacts are taken as they are, as when this program has just written them; else the copies are
    /// compared with them.
    ///
    /// # Errors
    /// Where the file cannot be opened once more.
    pub fn of(file: &Encoderfile, path: &Path, writer: Tool, is_verified: bool) -> io::Result<Self> {
        let part = |artifact: &Artifact| {
            let content = Content::Artifact {
                path: path.to_owned(),
                file: file.file().try_clone()?,
                artifact: artifact.clone(),
                is_verified,
            };
            Ok(Part { kind: artifact.kind, name: artifact.name.clone(), content })
        };
        let manifest = file.manifest();
        Ok(Self {
            description: manifest.description.clone(),
            writer,
            parts: manifest.artifacts.iter().map(part).collect::<io::Result<_>>()?,
        })
    }
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
        let file = File::open(self.path()).map_err(|source| WriteError::output(&self.output, source))?;
        Encoderfile::open(file).map_err(WriteError::ReadBack)
    }

    /// Gives the file its name, in place of whatever bore it.
    ///
    /// # Errors
    /// [`WriteError::Output`]
    pub fn persist(self) -> Result<PathBuf, WriteError> {
        self.pending.persist().map_err(|source| WriteError::output(&self.output, source))
    }
}

/// Writes base, manifest, artifacts and footer into a temporary file beside `output`, reading every input once. The
/// output's name is taken only by [`Draft::persist`]: killed at any moment, the output is the old file or the new one.
///
/// # Errors
/// See [`WriteError`]; nothing is left behind.
pub fn write(base: &Base<'_>, payload: &Payload, output: &Path) -> Result<Draft, WriteError> {
    check_output(base, payload, output)?;
    check_parts(&payload.parts)?;
    let base_length = input_length(base.path, base.file)?;
    let frame = Frame::of(base.path, base.file, base_length)?;
    let edits = frame.edits(base.path, base.file)?;
    let lengths = payload.parts.iter().map(|part| Ok((part.kind, content_length(part)?)));
    let lengths = lengths.collect::<Result<Vec<_>, WriteError>>()?;

    // All numbers that are not known yet have a fixed size on the wire, so a manifest with wrong ones has the right size.
    let mut manifest = unplaced_manifest(base, payload, &lengths, edits.clone());
    let encoded = manifest.encode(0);
    let manifest_length = encoded.len() as u64;
    if manifest_length > MANIFEST_LIMIT {
        return Err(WriteError::Manifest(Error::ManifestSize { length: manifest_length }));
    }
    check_fields(&encoded, base_length).map_err(WriteError::Manifest)?;
    let layout = frame.layout(manifest_length, &lengths).ok_or(WriteError::TooLarge)?;
    let insertion = frame
        .insertion(&layout, manifest_length)
        .map_err(|source| WriteError::MachO { path: base.path.to_owned(), source })?;
    let footer = Footer { manifest_offset: layout.manifest_offset, manifest_length };

    let temporary = create_beside(output).map_err(|source| WriteError::output(output, source))?;
    let failed = |source| WriteError::output(output, source);
    let page_hashes = insertion.as_ref().map(|insertion| &insertion.page_hashes);
    let fill = |appender: &mut Appender<'_>| {
        let source = (base.path, base.file);
        let changes = insertion.as_ref().map(|insertion| (insertion, &layout, &edits[..]));
        let base_hash = frame.append_head(appender, source, output, changes)?;
        appender.skip_to(layout.manifest_offset + manifest_length);
        let mut hashes = Vec::with_capacity(lengths.len());
        for &(index, offset) in &layout.artifacts {
            appender.skip_to(offset);
            let (content, length) = (&payload.parts[index].content, lengths[index].1);
            hashes.push((index, offset, append_content(appender, content, length, output)?));
        }
        appender.skip_to(layout.footer_offset);
        appender.bytes(&footer.encode()).map_err(failed)?;
        frame.append_tail(appender, source, output, insertion.as_ref())?;
        Ok((base_hash, hashes))
    };
    let ((base_hash, hashes), digests) = append(temporary.as_file(), page_hashes, fill, failed)?;

    let sha256 = digests.get(base_hash);
    if let Some(expected) = base.expected.filter(|expected| *expected != sha256) {
        return Err(WriteError::BaseDigest { path: base.path.to_owned(), expected, found: sha256 });
    }
    manifest.base.as_mut().expect("set above").sha256 = sha256;
    for (index, offset, hash) in hashes {
        let sha256 = match hash {
            Hash::Known(digest) => digest,
            Hash::Pending(pending) => digests.get(pending),
        };
        if let Content::Artifact { path, artifact, .. } = &payload.parts[index].content {
            check_digest(artifact, sha256)
                .map_err(|source| WriteError::Damaged { path: path.clone(), source: Box::new(source) })?;
        }
        let artifact = &mut manifest.artifacts[index];
        (artifact.offset, artifact.sha256) = (offset, sha256);
    }
    let mut encoded = manifest.encode(layout.manifest_offset);
    assert_eq!(encoded.len() as u64, manifest_length, "the manifest's size does not depend on its numbers");
    seal(&mut encoded);
    temporary.as_file().write_all_at(&encoded, layout.manifest_offset).map_err(failed)?;
    if let Some(insertion) = &insertion {
        insertion.sign(temporary.as_file(), &footer).map_err(failed)?;
    }
    let pending = Pending::new(temporary, output, 0o755).map_err(failed)?;
    Ok(Draft { pending, output: output.to_owned() })
}

/// The digest of what was appended, or where it will be found.
enum Hash {
    Known(Digest),
    Pending(Hashed),
}

/// Appends as many bytes as there is room for. A file that has another length by now was changed meanwhile.
fn append_content(
    appender: &mut Appender<'_>,
    content: &Content,
    length: u64,
    output: &Path,
) -> Result<Hash, WriteError> {
    match content {
        Content::Bytes(bytes) => {
            appender.bytes(bytes).map_err(|source| WriteError::output(output, source))?;
            Ok(Hash::Known(Digest::of(bytes)))
        }
        Content::File { path, file } => {
            let pending = appender.hash_next(length);
            appender.copy(file, 0, length).map_err(|error| WriteError::copy(error, path, output))?;
            let (expected, found) = (length, input_length(path, file)?);
            if expected != found {
                return Err(WriteError::InputChanged { path: path.clone(), expected, found });
            }
            Ok(Hash::Pending(pending))
        }
        Content::Artifact { path, file, artifact, is_verified } => {
            let &Artifact { offset, sha256, .. } = artifact;
            let hash =
                if *is_verified { Hash::Known(sha256) } else { Hash::Pending(appender.hash_next(length)) };
            appender.copy(file, offset, length).map_err(|error| WriteError::copy(error, path, output))?;
            Ok(hash)
        }
    }
}

fn content_length(part: &Part) -> Result<u64, WriteError> {
    let length = match &part.content {
        Content::Bytes(bytes) => bytes.len() as u64,
        Content::File { path, file } => input_length(path, file)?,
        Content::Artifact { artifact, .. } => artifact.length,
    };
    if length == 0 { Err(WriteError::EmptyArtifact { kind: part.kind }) } else { Ok(length) }
}

/// Checks kinds and names as a reader will.
fn check_parts(parts: &[Part]) -> Result<(), WriteError> {
    let mut names = HashSet::new();
    for (index, Part { kind, name, .. }) in parts.iter().enumerate() {
        if !kind.is_repeated()
            && !matches!(kind, ArtifactKind::Other(_))
            && parts[..index].iter().any(|other| other.kind == *kind)
        {
            return Err(WriteError::SeveralArtifacts { kind: *kind });
        }
        if let ArtifactKind::Other(number) = *kind
            && !is_free_number(number)
        {
            return Err(WriteError::ArtifactNumber { number });
        }
        let is_good = match name {
            Some(name) => is_relative_name(name) && names.insert(name),
            None => !kind.is_repeated(),
        };
        if !is_good {
            let name = name.clone().unwrap_or_default();
            return Err(WriteError::Manifest(Error::ArtifactName { kind: *kind, name }));
        }
    }
    Ok(())
}

/// The manifest with everything but offsets and digests of what is copied.
fn unplaced_manifest(
    base: &Base<'_>,
    payload: &Payload,
    lengths: &[(ArtifactKind, u64)],
    edits: Vec<Edit>,
) -> Manifest {
    let unknown = Digest::from([0; Digest::LENGTH]);
    // Offset 1, since protobuf leaves zeros out.
    let artifact = |(part, &(kind, length)): (&Part, &(ArtifactKind, u64))| Artifact {
        kind,
        name: part.name.clone(),
        offset: 1,
        length,
        sha256: unknown,
    };
    Manifest {
        description: payload.description.clone(),
        base: Some(BaseProvenance {
            target: base.target.clone(),
            version: base.version.clone(),
            sha256: unknown,
            key_id: base.key_id.clone(),
            edits,
        }),
        writer: Some(payload.writer.clone()),
        artifacts: payload.parts.iter().zip(lengths).map(artifact).collect(),
    }
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
    let files = payload.parts.iter().filter_map(|part| match &part.content {
        Content::File { path, file } | Content::Artifact { path, file, .. } => Some((path.as_path(), file)),
        Content::Bytes(_) => None,
    });
    check_output_against(output, files.chain([(base.path, base.file)]))
}

/// Checks that renaming a file to `output` destroys nothing but a file, and none of the inputs.
pub(crate) fn check_output_against<'a>(
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
