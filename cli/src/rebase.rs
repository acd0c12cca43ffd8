//! `encoderfile rebase`: the model of a file on another base binary.

use encoderfile_format::{ArtifactKind, Encoderfile, Payload};
use encoderfile_registry::Target;

use crate::args;
use crate::assembly::{Assembly, Foundation, TRANSFORM, Trial, this_tool};
use crate::bases::{Bases, parse_targets};
use crate::error::Error;
use crate::files::open_encoderfile;
use crate::terminal::{self, Terminal};

pub(crate) fn run(arguments: &args::Rebase, global: &args::Global, terminal: Terminal) -> Result<(), Error> {
    let path = &arguments.file;
    let file = open_encoderfile(path)?;
    let targets = parse_targets(&arguments.targets)?;
    let description = &file.manifest().description;
    let model = format!("{} {}: {}", description.name, description.version, description.model_type);
    terminal.status("Model", terminal::printable(&model));
    let payload = Payload::of(&file, path, this_tool(), false)
        .map_err(|source| Error::Open { path: path.clone(), source })?;
    let mut assembly = Assembly {
        output: arguments.output.clone(),
        inputs: Vec::new(),
        trial: trial(arguments, &file),
        bases: None,
        terminal,
    };
    let reports = if let Some(base) = &arguments.base_binary_path {
        assembly.assemble(payload, vec![Foundation::at_path(base, &targets, None, terminal)?])?
    } else {
        let bases = Bases::with_release(global, Some(&arguments.release), terminal)?;
        let targets = if targets.is_empty() { vec![own_target(&file)?] } else { targets };
        let version = bases.resolve_for_build(&arguments.release.wanted(), &targets)?;
        let found = targets.into_iter().map(|target| bases.ensure(target, &version, None));
        let found = found.collect::<Result<Vec<_>, _>>()?;
        let foundations = found.into_iter().map(|base| Foundation::of_release(base, terminal));
        let foundations = foundations.collect::<Result<_, _>>()?;
        assembly.bases = Some(&bases);
        assembly.assemble(payload, foundations)?
    };
    if arguments.json { terminal::json(&reports) } else { Ok(()) }
}

/// The target that the file was made for; this machine's where it does not say.
fn own_target(file: &Encoderfile) -> Result<Target, Error> {
    match &file.manifest().base {
        Some(base) => Ok(base.target.parse()?),
        None => Ok(Target::host()?),
    }
}

/// Whether the new file can be asked.
fn trial(arguments: &args::Rebase, file: &Encoderfile) -> Trial {
    if arguments.no_check {
        Trial::Unwanted
    } else if file.manifest().artifact(ArtifactKind::Transform).is_some() {
        Trial::Impossible(TRANSFORM)
    } else {
        Trial::Run
    }
}
