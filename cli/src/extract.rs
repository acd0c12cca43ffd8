//! `encoderfile extract`: what a file was built from, ready to be built again, or single artifacts byte for byte.

mod build_file;
mod folder;
mod outputs;

use encoderfile_format::Encoderfile;

use self::folder::Folder;
use self::outputs::{Output, What};
use crate::args;
use crate::content::{ContentError, TOKENIZER_LIMIT, TokenizerView};
use crate::error::Error;
use crate::files::open_encoderfile;
use crate::terminal::{self, Terminal, printable, size};

pub(crate) fn run(arguments: &args::Extract, terminal: Terminal) -> Result<(), Error> {
    let path = &arguments.file;
    let encoderfile = open_encoderfile(path)?;
    let is_whole = arguments.artifacts.is_empty();
    if is_whole {
        // Those that are taken apart, and not written as they are, have no other digest.
        let small = encoderfile.manifest().artifacts.iter().filter(|artifact| !artifact.kind.is_mapped());
        for artifact in small {
            encoderfile.check(artifact).map_err(|source| Error::format(path, source))?;
        }
    }
    let outputs = if is_whole {
        outputs::all(path, &encoderfile)?
    } else {
        outputs::chosen(path, &encoderfile, &arguments.artifacts)?
    };
    let folder = Folder::create(&arguments.output, arguments.force, &outputs)?;
    let mut total = 0;
    for output in &outputs {
        let target = folder.place(&output.name)?;
        let failed = |source| Error::Extract { path: path.clone(), source: Box::new(source) };
        total += match &output.what {
            What::Artifact(artifact) => {
                encoderfile.extract(artifact, &target).map_err(failed)?;
                artifact.length
            }
            What::Base => {
                encoderfile.extract_base(&target).map_err(failed)?;
                encoderfile.base_length()
            }
            What::Bytes(bytes) => folder::write(&target, &[bytes], encoderfile.file())?,
            What::Tokenizer => {
                let bytes = tokenizer(&encoderfile).map_err(|source| Error::format(path, source))?;
                let cannot_restore = |error: ContentError| Error::Content {
                    path: path.clone(),
                    reasons: vec![error.to_string()],
                };
                let view = TokenizerView::of(&bytes).map_err(cannot_restore)?;
                let parts = view.restored(encoderfile.manifest()).map_err(cannot_restore)?;
                folder::write(&target, &parts, encoderfile.file())?
            }
        };
        terminal::result(printable(&target.display().to_string()))?;
    }
    let folder = printable(&arguments.output.display().to_string());
    let files = if outputs.len() == 1 { "file" } else { "files" };
    terminal.status("Extracted", format_args!("{} {files} ({}) into {folder}", outputs.len(), size(total)));
    if is_whole {
        let result = if build_file::is_exact(encoderfile.manifest()) {
            "the same bytes"
        } else {
            "a file that answers equally"
        };
        let build_file = arguments.output.join(outputs::BUILD_FILE);
        let build_file = build_file.to_string_lossy();
        let command = format!("encoderfile build -f {}", shell_words::quote(&build_file));
        terminal.status("Rebuild", format_args!("`{}` gives {result}", printable(&command)));
    }
    Ok(())
}

/// The bytes of the tokenizer, verified.
fn tokenizer(encoderfile: &Encoderfile) -> Result<Vec<u8>, encoderfile_format::Error> {
    let artifact = encoderfile.artifact(encoderfile_format::ArtifactKind::Tokenizer)?;
    let (kind, name, length) = (artifact.kind, artifact.name.clone(), artifact.length);
    if length > TOKENIZER_LIMIT {
        return Err(encoderfile_format::Error::ArtifactSize { kind, name, length, limit: TOKENIZER_LIMIT });
    }
    encoderfile.read_artifact(artifact)
}
