//! `encoderfile extract`: an encoderfile's artifacts, byte for byte.

use std::fs;
use std::path::PathBuf;

use encoderfile_format::{Artifact, ArtifactKind};

use crate::args;
use crate::error::Error;
use crate::files::open_encoderfile;
use crate::suggestion::nearest;
use crate::terminal::{self, Terminal};

/// The file that an artifact is written to. Only the weights are the user's file again; the others have this format's
/// own encodings, and names that say so.
fn file_name(kind: ArtifactKind) -> String {
    match kind {
        ArtifactKind::Weights => "model.onnx".to_owned(),
        ArtifactKind::Transform => "transform.artifact.pb".to_owned(),
        ArtifactKind::Other(_) => format!("{kind}.artifact"),
        _ => format!("{kind}.artifact.json"),
    }
}

pub(crate) fn run(arguments: &args::Extract, terminal: Terminal) -> Result<(), Error> {
    let path = &arguments.file;
    let encoderfile = open_encoderfile(path)?;
    let all = &encoderfile.manifest().artifacts;
    let mut chosen: Vec<&Artifact> = Vec::new();
    for name in &arguments.artifacts {
        let artifact = all.iter().find(|artifact| artifact.kind.to_string() == *name);
        chosen.push(artifact.ok_or_else(|| {
            let known: Vec<_> = all.iter().map(|artifact| artifact.kind.to_string()).collect();
            let suggestion = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
            Error::NoSuchArtifact { path: path.clone(), name: name.clone(), known, suggestion }
        })?);
    }
    if chosen.is_empty() {
        chosen.extend(all);
    }
    let outputs: Vec<(&Artifact, PathBuf)> = chosen
        .into_iter()
        .map(|artifact| (artifact, arguments.output.join(file_name(artifact.kind))))
        .collect();
    if !arguments.force
        && let Some((_, existing)) = outputs.iter().find(|(_, output)| output.exists())
    {
        return Err(Error::OutputExists { path: existing.clone() });
    }
    fs::create_dir_all(&arguments.output)
        .map_err(|source| Error::CreateFolder { path: arguments.output.clone(), source })?;
    for (artifact, output) in outputs {
        encoderfile
            .extract(artifact.kind, &output)
            .map_err(|source| Error::Extract { path: path.clone(), source: Box::new(source) })?;
        terminal.detail("Wrote", format_args!("{} (sha256 {})", output.display(), artifact.sha256));
        terminal::result(output.display())?;
    }
    Ok(())
}
