//! `encoderfile build`: a model folder becomes one file.

use std::path::PathBuf;

use encoderfile_format::{Payload, Prompt};
use encoderfile_registry::{BaseBinary, LOCKFILE_NAME, Requirement, Target};

use crate::args;
use crate::assembly::{Assembly, Foundation, TRANSFORM, Trial, this_tool};
use crate::bases::{Bases, parse_targets};
use crate::build_file::{self, BuildFile};
use crate::error::Error;
use crate::model::{self, Given, GivenTokenizer, GivenTransform, ModelFiles, ModelPaths, Prepared};
use crate::pins::{Asked, Pins};
use crate::terminal::{self, Terminal};

const BUILD_FILE_NAME: &str = "encoderfile.yml";
/// The version of a model that nobody gave one.
const DEFAULT_VERSION: &str = "0.1.0";

/// What is to be built: the flags, then the build file, then the defaults.
struct Plan {
    files: ModelFiles,
    name: Option<String>,
    version: String,
    given: Given,
    /// The build file, and the transform that it names.
    inputs: Vec<PathBuf>,
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
    let name = plan.name.unwrap_or_else(|| plan.files.name());
    check_name(&name)?;
    let prepared = model::prepare(&plan.files, &plan.given, &name, &plan.version, terminal)?;
    let Prepared { description, parts, has_transform } = prepared;
    let mut inputs = plan.inputs;
    let artifacts = parts.iter().filter_map(|part| part.name.as_deref());
    let sources = description.sources.iter().map(|source| source.name.as_str());
    inputs.extend(artifacts.chain(sources).filter_map(|name| plan.files.path_of(name)));
    let payload = Payload { description, writer: this_tool(), parts };
    let mut assembly = Assembly {
        // A name such as `sentence-transformers/all-MiniLM-L6-v2` is no path.
        output: plan.output.unwrap_or_else(|| format!("{}.encoderfile", name.replace('/', "-")).into()),
        inputs,
        trial: match (arguments.no_check, has_transform) {
            (true, _) => Trial::Unwanted,
            (false, true) => Trial::Impossible(TRANSFORM),
            (false, false) => Trial::Run,
        },
        bases: None,
        terminal,
    };
    let reports = if let Some(path) = &plan.base_binary_path {
        assembly.assemble(
            payload,
            vec![Foundation::at_path(path, &plan.targets, plan.requirement.as_ref(), terminal)?],
        )?
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
    let Some(files) = model_files(arguments, &file) else {
        return Err(Error::NoModelFolder { path: build_file.unwrap_or_default() });
    };
    let given = given(arguments, &file);
    let transform = file.transform.as_ref().and_then(|transform| transform.path.clone());
    let inputs = build_file.iter().cloned().chain(transform).collect();
    if arguments.frozen {
        global.no_download = true;
    }
    let beside = build_file.map(|file| file.with_file_name(LOCKFILE_NAME));
    if global.cache_dir.is_none() {
        global.cache_dir = file.cache_dir;
    }
    let targets = if arguments.targets.is_empty() { file.target } else { arguments.targets.clone() };
    Ok(Plan {
        files,
        name: arguments.name.clone().or(file.name),
        version: arguments
            .model_version
            .clone()
            .or(file.version)
            .unwrap_or_else(|| DEFAULT_VERSION.to_owned()),
        given,
        inputs,
        output: arguments.output.clone().or(file.output_path),
        targets: parse_targets(&targets)?,
        base_binary_path: arguments.base_binary_path.clone().or(file.base_binary_path),
        requirement: arguments.release.runtime_version.clone().or(file.runtime_version),
        lockfile: arguments.lockfile.clone().or(beside),
    })
}

/// The model folder that was named; else the folder or the files of the build file.
fn model_files(arguments: &args::Build, file: &BuildFile) -> Option<ModelFiles> {
    let folder = arguments.model_dir.as_ref().or(file.path.as_ref());
    let paths = |files: &build_file::ModelFiles| ModelPaths {
        config: files.model_config_path.clone(),
        weights: files.model_weights_path.clone(),
        tokenizer: files.tokenizer_path.clone(),
        tokenizer_config: files.tokenizer_config_path.clone(),
        preprocessor_config: files.preprocessor_config_path.clone(),
    };
    match folder {
        Some(folder) => Some(ModelFiles::Folder(folder.clone())),
        None => file.model_files.as_ref().map(|files| ModelFiles::Paths(paths(files))),
    }
}

/// What the flags say, else what the build file says.
fn given(arguments: &args::Build, file: &BuildFile) -> Given {
    let pooling = if arguments.pooling.is_empty() { &file.pooling } else { &arguments.pooling };
    let prompts = file.prompts.as_ref().map(|prompts| {
        let prompt = |(name, text): (&String, &String)| Prompt { name: name.clone(), text: text.clone() };
        prompts.iter().map(prompt).collect()
    });
    let tokenizer = file.tokenizer.clone().unwrap_or_default();
    let libraries = file.lua_libs.iter().map(|library| library.name().to_owned());
    Given {
        model_type: arguments.model_type.or(file.model_type),
        weights: arguments.weights.clone().or_else(|| file.weights.clone()),
        pooling: Some(pooling.clone()).filter(|modes| !modes.is_empty()),
        normalize: arguments.normalize.or(file.normalize),
        prompts,
        default_prompt_name: file.default_prompt_name.clone(),
        tokenizer: GivenTokenizer {
            pad_strategy: tokenizer.pad_strategy.map(Into::into),
            truncation_side: tokenizer.truncation_side.map(Into::into),
            truncation_strategy: tokenizer.truncation_strategy.map(Into::into),
            max_length: arguments.max_length.or(tokenizer.max_length),
            stride: tokenizer.stride,
        },
        transform: file.transform.as_ref().map(|transform| GivenTransform {
            source: transform.source.clone(),
            libraries: Some(libraries.collect()).filter(|libraries: &Vec<_>| !libraries.is_empty()),
        }),
    }
}
