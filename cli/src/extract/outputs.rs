//! Which files are written.

use std::path::Path;

use encoderfile_format::{Artifact, ArtifactKind, Encoderfile, Error as FormatError, Transform};

use super::build_file;
use crate::content::{self, SMALL_LIMIT};
use crate::error::Error;
use crate::suggestion::nearest;

/// The build file that is made.
pub(super) const BUILD_FILE: &str = "encoderfile.yml";
/// The base binary, as releases name it.
pub(super) const BASE: &str = "encoderfile-runtime";
/// The program of the transform.
pub(super) const TRANSFORM: &str = "transform.lua";

/// A file to be written.
#[derive(Debug)]
pub(super) struct Output<'a> {
    /// Its path within the folder, with slashes.
    pub(super) name: String,
    pub(super) what: What<'a>,
}

/// What is in a file.
#[derive(Debug)]
pub(super) enum What<'a> {
    Artifact(&'a Artifact),
    Base,
    /// `tokenizer.json`, as the artifact was made from it.
    Tokenizer,
    Bytes(Vec<u8>),
}

impl<'a> Output<'a> {
    fn new(name: impl Into<String>, what: What<'a>) -> Self {
        Self { name: name.into(), what }
    }
}

/// All that is needed to build the file again.
pub(super) fn all<'a>(path: &Path, file: &'a Encoderfile) -> Result<Vec<Output<'a>>, Error> {
    let manifest = file.manifest();
    let mut outputs = Vec::new();
    for artifact in &manifest.artifacts {
        match artifact.kind {
            ArtifactKind::Weights => {
                outputs.push(Output::new(weights_name(artifact), What::Artifact(artifact)));
            }
            ArtifactKind::ExternalData | ArtifactKind::Source => {
                outputs
                    .push(Output::new(artifact.name.clone().unwrap_or_default(), What::Artifact(artifact)));
            }
            ArtifactKind::Tokenizer => {
                let name =
                    content::tokenizer_source(manifest).map_or("tokenizer.json", |source| &source.name);
                outputs.push(Output::new(name, What::Tokenizer));
            }
            ArtifactKind::Transform => {
                let transform = transform(path, file, artifact)?;
                outputs.push(Output::new(TRANSFORM, What::Bytes(transform.source.into_bytes())));
            }
            ArtifactKind::ModelConfig if !build_file::has_sources(manifest) => {
                let bytes = small(path, file, artifact)?;
                outputs.push(Output::new("config.json", What::Bytes(bytes)));
            }
            ArtifactKind::ModelConfig => {}
            // Nothing builds them: they are given as they are.
            _ => outputs.push(Output::new(file_name(artifact), What::Artifact(artifact))),
        }
    }
    outputs.push(Output::new(BASE, What::Base));
    let build_file = build_file::write(path, file)?;
    outputs.push(Output::new(BUILD_FILE, What::Bytes(build_file.into_bytes())));
    check_names(path, &outputs)?;
    Ok(outputs)
}

/// The artifacts of the given kinds and names, as they are.
pub(super) fn chosen<'a>(
    path: &Path,
    file: &'a Encoderfile,
    names: &[String],
) -> Result<Vec<Output<'a>>, Error> {
    let all = &file.manifest().artifacts;
    let mut chosen: Vec<&Artifact> = Vec::new();
    let mut with_base = false;
    for name in names {
        let before = chosen.len();
        let is_meant = |artifact: &&Artifact| {
            artifact.kind.to_string() == *name || artifact.name.as_deref() == Some(name.as_str())
        };
        chosen.extend(all.iter().filter(is_meant));
        if name == "base" {
            with_base = true;
        } else if chosen.len() == before {
            return Err(no_such(path, all, name));
        }
    }
    chosen.sort_by_key(|artifact| artifact.offset);
    chosen.dedup_by_key(|artifact| (artifact.offset, artifact.length, artifact.kind));
    let mut outputs: Vec<_> = chosen
        .into_iter()
        .map(|artifact| Output::new(file_name(artifact), What::Artifact(artifact)))
        .collect();
    if with_base {
        outputs.push(Output::new(BASE, What::Base));
    }
    check_names(path, &outputs)?;
    Ok(outputs)
}

fn no_such(path: &Path, all: &[Artifact], name: &str) -> Error {
    let mut known: Vec<_> = all.iter().map(|artifact| artifact.kind.to_string()).collect();
    known.push("base".to_owned());
    known.sort_unstable();
    known.dedup();
    let names = all.iter().filter_map(|artifact| artifact.name.clone());
    let all_known: Vec<_> = known.iter().cloned().chain(names).collect();
    let suggestion = nearest(name, all_known.iter().map(String::as_str)).map(crate::inspect::clipped);
    Error::NoSuchArtifact { path: path.to_owned(), name: name.to_owned(), known, suggestion }
}

/// The weights' path within the model folder.
pub(super) fn weights_name(artifact: &Artifact) -> &str {
    artifact.name.as_deref().unwrap_or("model.onnx")
}

/// The file that an artifact is written to as it is. Those that are not files of the model have this format's own encodings,
/// and names that say so.
fn file_name(artifact: &Artifact) -> String {
    match (&artifact.name, artifact.kind) {
        (Some(name), _) => name.clone(),
        (None, ArtifactKind::Weights) => weights_name(artifact).to_owned(),
        (None, kind @ ArtifactKind::Transform) => format!("{kind}.artifact.pb"),
        (None, kind @ ArtifactKind::Other(_)) => format!("{kind}.artifact"),
        (None, kind) => format!("{kind}.artifact.json"),
    }
}

/// No file may take the place of another, on systems without small and capital letters either.
fn check_names(path: &Path, outputs: &[Output<'_>]) -> Result<(), Error> {
    let mut names: Vec<_> = outputs.iter().map(|output| output.name.to_lowercase()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::SameName { path: path.to_owned(), name: crate::inspect::clipped(&pair[0]) }),
        None => Ok(()),
    }
}

/// A verified artifact that is held in memory.
pub(super) fn small(path: &Path, file: &Encoderfile, artifact: &Artifact) -> Result<Vec<u8>, Error> {
    let (kind, name, length) = (artifact.kind, artifact.name.clone(), artifact.length);
    let bytes = if length > SMALL_LIMIT {
        Err(FormatError::ArtifactSize { kind, name, length, limit: SMALL_LIMIT })
    } else {
        file.read_artifact(artifact)
    };
    bytes.map_err(|source| Error::format(path, source))
}

/// The transform, verified.
pub(super) fn transform(path: &Path, file: &Encoderfile, artifact: &Artifact) -> Result<Transform, Error> {
    let bytes = small(path, file, artifact)?;
    Transform::decode(&bytes).map_err(|error| Error::Content {
        path: path.to_owned(),
        reasons: vec![format!("{}: {error}", artifact.kind)],
    })
}
