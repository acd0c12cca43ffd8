//! `encoderfile build`: a model folder becomes one file.

use std::path::PathBuf;

use encoderfile_format::{ModelType, Payload};
use encoderfile_registry::{BaseBinary, LOCKFILE_NAME, Requirement, Target};

use crate::args;
use crate::assembly::{Assembly, Foundation, TRANSFORM, Trial, this_tool};
use crate::bases::{Bases, parse_targets};
use crate::build_file::BuildFile;
use crate::error::Error;
use crate::model::{self, Given, ModelFiles, Prepared};
use crate::pins::{Asked, Pins};
use crate::terminal::{self, Terminal};

const BUILD_FILE_NAME: &str = "encoderfile.yml";
/// The version of a model that nobody gave one.
const DEFAULT_VERSION: &str = "0.1.0";

/// What is to be built: the flags, then the build file, then the defaults.
struct Plan {
    folder: PathBuf,
    name: Option<String>,
    version: String,
    model_type: Option<ModelType>,
    output: Option<PathBuf>,
    /// As they were named. Empty: this machine's, or that of the base binary given.
    targets: Vec<Target>,
    base_binary_path: Option<PathBuf>,
    /// Of the base binary, if somebody asked for one.
    requirement: Option<Requirement>,
    lockfile: Option<PathBuf>,
}

pub(crate) fn run(
    arguments: &args::Build,
    global: &mut args::Global,
    terminal: Terminal,
) -> Result<(), Error> {
    let plan = plan(arguments, global)?;
    let pins = Pins::open(arguments, plan.lockfile.clone(), plan.base_binary_path.is_some())?;
    let files = ModelFiles::Folder(plan.folder.clone());
    let name = plan.name.clone().unwrap_or_else(|| files.name());
    check_name(&name)?;
    let given = Given { model_type: plan.model_type, ..Given::default() };
    let Prepared { description, parts, has_transform } =
        model::prepare(&files, &given, &name, &plan.version, terminal)?;
    let payload = Payload { description, writer: this_tool(), parts };
    let mut assembly = Assembly {
        // A name such as `sentence-transformers/all-MiniLM-L6-v2` is no path.
        output: plan.output.unwrap_or_else(|| format!("{}.encoderfile", name.replace('/', "-")).into()),
        trial: match (arguments.no_check, has_transform) {
            (true, _) => Trial::Unwanted,
            (false, true) => Trial::Impossible(TRANSFORM),
            (false, false) => Trial::Run,
        },
        bases: None,
        terminal,
    };
    let reports = if let Some(path) = &plan.base_binary_path {
        assembly.assemble(payload, vec![Foundation::at_path(path, &plan.targets, terminal)?])?
    } else {
        let bases = Bases::with_release(global, Some(&arguments.release), terminal)?;
        let targets = if plan.targets.is_empty() { vec![Target::host()?] } else { plan.targets };
        let asked = Asked { requirement: plan.requirement, pre_releases: arguments.release.pre };
        let found = pins.bases(&asked, &targets, &bases)?;
        let new_pins: Vec<_> = found.iter().map(BaseBinary::pin).collect();
        let foundations = found.into_iter().map(|base| Foundation::of_release(base, terminal));
        let foundations = foundations.collect::<Result<_, _>>()?;
        assembly.bases = Some(&bases);
        let reports = assembly.assemble(payload, foundations)?;
        pins.record(&new_pins, &bases)?;
        reports
    };
    if arguments.json { terminal::json(&reports) } else { Ok(()) }
}

/// A name is shown on terminals, and is the file's name unless another is given.
fn check_name(name: &str) -> Result<(), Error> {
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        return Err(Error::Name { name: name.to_owned() });
    }
    Ok(())
}

/// The build file that was named; where no model folder was named either, the one in the working folder.
fn build_file(arguments: &args::Build) -> Result<Option<PathBuf>, Error> {
    if arguments.file.is_some() || arguments.model_dir.is_some() {
        return Ok(arguments.file.clone());
    }
    let usual = PathBuf::from(BUILD_FILE_NAME);
    if usual.exists() { Ok(Some(usual)) } else { Err(Error::NothingToBuild) }
}

fn plan(arguments: &args::Build, global: &mut args::Global) -> Result<Plan, Error> {
    let build_file = build_file(arguments)?;
    let file = build_file.as_deref().map(BuildFile::read).transpose()?.unwrap_or_default();
    let folder = arguments.model_dir.clone().or(file.path);
    let Some(folder) = folder else {
        return Err(Error::NoModelFolder { path: build_file.unwrap_or_default() });
    };
    if arguments.frozen {
        global.no_download = true;
    }
    let beside = build_file.map(|file| file.with_file_name(LOCKFILE_NAME));
    if global.cache_dir.is_none() {
        global.cache_dir = file.cache_dir;
    }
    let targets = if arguments.targets.is_empty() { file.target } else { arguments.targets.clone() };
    Ok(Plan {
        folder,
        name: arguments.name.clone().or(file.name),
        version: arguments
            .model_version
            .clone()
            .or(file.version)
            .unwrap_or_else(|| DEFAULT_VERSION.to_owned()),
        model_type: arguments.model_type.or(file.model_type),
        output: arguments.output.clone().or(file.output_path),
        targets: parse_targets(&targets)?,
        base_binary_path: arguments.base_binary_path.clone().or(file.base_binary_path),
        requirement: arguments.release.runtime_version.clone().or(file.runtime_version),
        lockfile: arguments.lockfile.clone().or(beside),
    })
}
