//! `encoderfile build`: a model folder becomes one file.

use std::path::{Path, PathBuf};
use std::time::Instant;

use encoderfile_format::{
    ArtifactKind, Base, BaseError, Digest, Draft, FORMAT_VERSION, ModelType, Payload, Stamp, Tool, WriteError,
    inspect_base, is_image_followed, write,
};
use encoderfile_registry::{BaseBinary, LOCKFILE_NAME, Requirement, Target};
use serde::Serialize;

use crate::args;
use crate::bases::{Bases, parse_targets};
use crate::build_file::BuildFile;
use crate::error::Error;
use crate::files::open;
use crate::model::{self, Given, ModelFiles, Prepared};
use crate::pins::{Asked, Pins};
use crate::terminal::{self, Terminal, size};
use crate::trial;

const BUILD_FILE_NAME: &str = "encoderfile.yml";
/// The version of a model that nobody gave one.
const DEFAULT_VERSION: &str = "0.1.0";

/// What `build --json` prints of each file.
#[derive(Debug, Serialize)]
struct Report {
    path: PathBuf,
    target: String,
    length: u64,
    base: BaseReport,
    weights_sha256: Digest,
    /// Milliseconds from start to answer; none where the file was not run.
    check_milliseconds: Option<u128>,
}

#[derive(Debug, Serialize)]
struct BaseReport {
    version: String,
    sha256: Digest,
    key_id: Option<String>,
}

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
    check: bool,
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
    let Prepared { description, parts } = model::prepare(&files, &given, &name, &plan.version, terminal)?;
    let payload = Payload { description, writer: writer(), parts };
    let job = Job { plan: &plan, name: &name, payload: &payload, terminal };
    let reports = if let Some(path) = &plan.base_binary_path {
        vec![job.build_on_path(path)?]
    } else {
        let bases = Bases::with_release(global, Some(&arguments.release), terminal)?;
        let targets = if plan.targets.is_empty() { vec![Target::host()?] } else { plan.targets.clone() };
        let asked = Asked { requirement: plan.requirement.clone(), pre_releases: arguments.release.pre };
        // All of them first: what cannot be had should not leave half of the files built.
        let found = pins.bases(&asked, &targets, &bases)?;
        let new_pins: Vec<_> = found.iter().map(BaseBinary::pin).collect();
        let built = found.into_iter().map(|base| job.build_on_release(&bases, base));
        let reports = built.collect::<Result<Vec<_>, _>>()?;
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

/// This program, as files record it.
fn writer() -> Tool {
    Tool { name: env!("CARGO_PKG_NAME").to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
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
        check: !arguments.no_check,
    })
}

/// What is appended to each base binary.
struct Job<'a> {
    plan: &'a Plan,
    name: &'a str,
    payload: &'a Payload,
    terminal: Terminal,
}

impl Job<'_> {
    /// `{name}.encoderfile`, with the target in the name where there are several.
    fn output(&self, target: &str) -> PathBuf {
        // A name such as `sentence-transformers/all-MiniLM-L6-v2` is no path.
        let default = || PathBuf::from(format!("{}.encoderfile", self.name.replace('/', "-")));
        let output = self.plan.output.clone().unwrap_or_else(default);
        if self.plan.targets.len() < 2 {
            return output;
        }
        let stem = output.file_stem().unwrap_or_default().to_string_lossy();
        let extension = output.extension().map(|extension| format!(".{}", extension.to_string_lossy()));
        output.with_file_name(format!("{stem}-{target}{}", extension.unwrap_or_default()))
    }

    /// Builds on a base binary that the user gave: not cached, not downloaded, still checked.
    fn build_on_path(&self, path: &Path) -> Result<Report, Error> {
        let file = open(path)?;
        let facts =
            inspect_base(&file).map_err(|source| Error::BaseBinary { path: path.to_owned(), source })?;
        if is_image_followed(&file) {
            return Err(Error::BaseBinary { path: path.to_owned(), source: BaseError::CutOff });
        }
        let Stamp { target, version, .. } = facts.stamp;
        if let Some(&wanted) = self.plan.targets.iter().find(|wanted| wanted.triple() != target) {
            return Err(Error::BaseTarget { path: path.to_owned(), found: target, wanted });
        }
        self.terminal.status("Base", format_args!("{target} {version} ({})", path.display()));
        let base = Base { path, file: &file, target, version, key_id: None, expected: None };
        let (start, output) = (Instant::now(), self.output(&base.target));
        let draft = write(&base, self.payload, &output)?;
        self.finish(draft, &output, start)
    }

    /// Builds on a base binary of a signed release, which is hashed while it is copied.
    fn build_on_release(&self, bases: &Bases, found: BaseBinary) -> Result<Report, Error> {
        let message = format_args!("{} {} (signed by {})", found.target, found.version, found.key_id);
        self.terminal.status("Base", message);
        if !found.entry.format_versions.contains(&FORMAT_VERSION) {
            let versions = found.entry.format_versions.clone();
            return Err(Error::FormatVersion { target: found.target, version: found.version, versions });
        }
        let file = open(&found.path)?;
        let base = Base {
            path: &found.path,
            file: &file,
            target: found.target.triple().to_owned(),
            version: found.version.to_string(),
            key_id: Some(found.key_id.to_string()),
            expected: Some(Digest::from(*found.sha256.as_bytes())),
        };
        let (start, output) = (Instant::now(), self.output(&base.target));
        let draft = write(&base, self.payload, &output);
        if let Err(WriteError::BaseDigest { found: digest, .. }) = draft {
            return Err(bases.quarantine(found, encoderfile_registry::Digest::from(*digest.as_bytes())));
        }
        self.finish(draft?, &output, start)
    }

    /// Runs the new file where this machine can, and gives it its name.
    fn finish(&self, draft: Draft, output: &Path, start: Instant) -> Result<Report, Error> {
        let encoderfile = draft.open()?;
        let written = start.elapsed();
        let base = encoderfile.manifest().base.as_ref().expect("the writer records the base binary");
        let mut check_milliseconds = None;
        if self.plan.check && Target::host().is_ok_and(|host| host.triple() == base.target) {
            let elapsed = trial::run(draft.path())
                .map_err(|source| Error::Trial { output: output.to_owned(), source })?;
            let milliseconds = elapsed.as_millis();
            self.terminal.status("Check", format_args!("it answers, {milliseconds} ms from start to answer"));
            check_milliseconds = Some(milliseconds);
        } else if self.plan.check {
            self.terminal.detail("Check", "not run: it is built for another machine");
        }
        if base.target.ends_with("-apple-darwin") {
            self.terminal.warning(
                "the file is not signed, and macOS runs only signed files: sign it there, `codesign -s - FILE`",
            );
        }
        let weights = encoderfile.artifact(ArtifactKind::Weights).map_err(WriteError::ReadBack)?;
        let report = Report {
            path: output.to_owned(),
            target: base.target.clone(),
            length: encoderfile.length(),
            base: BaseReport {
                version: base.version.clone(),
                sha256: base.sha256,
                key_id: base.key_id.clone(),
            },
            weights_sha256: weights.sha256,
            check_milliseconds,
        };
        draft.persist()?;
        let seconds = written.as_secs_f64();
        let message = format_args!("{} ({}) in {seconds:.2} s", output.display(), size(report.length));
        self.terminal.status("Built", message);
        Ok(report)
    }
}
