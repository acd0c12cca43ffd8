//! One payload on one or several base binaries: written, tried, and named when all of them are good.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use encoderfile_format::{
    ArtifactKind, Base, BaseError, Digest, Draft, Encoderfile, FORMAT_VERSION, Payload, Stamp, Tool,
    WriteError, inspect_base, is_image_followed, write,
};
use encoderfile_registry::{BaseBinary, Requirement, Target};
use serde::Serialize;

use crate::bases::Bases;
use crate::error::Error;
use crate::files::open;
use crate::terminal::{Terminal, size};
use crate::trial;

/// What `--json` prints of each file.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    path: PathBuf,
    target: String,
    length: u64,
    base: BaseReport,
    /// None for a file without weights.
    weights_sha256: Option<Digest>,
    /// Milliseconds from start to answer; none where the file was not run.
    check_milliseconds: Option<u128>,
}

#[derive(Debug, Serialize)]
struct BaseReport {
    version: String,
    sha256: Digest,
    key_id: Option<String>,
}

/// This program, as the manifest names it.
pub(crate) fn this_tool() -> Tool {
    Tool { name: env!("CARGO_PKG_NAME").to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
}

/// A base binary that can be built on.
pub(crate) struct Foundation {
    path: PathBuf,
    file: File,
    target: String,
    version: String,
    /// The release that it belongs to; none for a file that the user named.
    release: Option<BaseBinary>,
}

impl Foundation {
    /// A base binary that the user named: not cached, not downloaded, still checked. It has to be for all of the targets, and
    /// of a version that was asked for.
    pub(crate) fn at_path(
        path: &Path,
        targets: &[Target],
        requirement: Option<&Requirement>,
        terminal: Terminal,
    ) -> Result<Self, Error> {
        let file = open(path)?;
        let facts =
            inspect_base(&file).map_err(|source| Error::BaseBinary { path: path.to_owned(), source })?;
        if is_image_followed(&file) {
            return Err(Error::BaseBinary { path: path.to_owned(), source: BaseError::CutOff });
        }
        let Stamp { target, version, .. } = facts.stamp;
        if let Some(&wanted) = targets.iter().find(|wanted| wanted.triple() != target) {
            return Err(Error::BaseTarget { path: path.to_owned(), found: target, wanted });
        }
        let allows = |wanted: &&Requirement| version.parse().is_ok_and(|found| wanted.allows(&found, true));
        if let Some(wanted) = requirement.filter(|wanted| !allows(wanted)) {
            return Err(Error::BaseVersion { path: path.to_owned(), found: version, wanted: wanted.clone() });
        }
        terminal.status("Base", format_args!("{target} {version} ({})", path.display()));
        Ok(Self { path: path.to_owned(), file, target, version, release: None })
    }

    /// A base binary of a signed release, which is hashed while it is copied.
    pub(crate) fn of_release(found: BaseBinary, terminal: Terminal) -> Result<Self, Error> {
        let message = format_args!("{} {} (signed by {})", found.target, found.version, found.key_id);
        terminal.status("Base", message);
        if !found.entry.format_versions.contains(&FORMAT_VERSION) {
            let versions = found.entry.format_versions.clone();
            return Err(Error::FormatVersion { target: found.target, version: found.version, versions });
        }
        Ok(Self {
            path: found.path.clone(),
            file: open(&found.path)?,
            target: found.target.triple().to_owned(),
            version: found.version.to_string(),
            release: Some(found),
        })
    }

    fn base(&self) -> Base<'_> {
        let release = self.release.as_ref();
        Base {
            path: &self.path,
            file: &self.file,
            target: self.target.clone(),
            version: self.version.clone(),
            key_id: release.map(|release| release.key_id.to_string()),
            expected: release.map(|release| Digest::from(*release.sha256.as_bytes())),
        }
    }

    fn is_for_this_machine(&self) -> bool {
        Target::host().is_ok_and(|host| host.triple() == self.target)
    }
}

/// Whether a new file answers once before it gets its name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trial {
    /// Where this machine can run it.
    Run,
    /// The user does not want it.
    Unwanted,
    /// It could not answer, and why.
    Impossible(&'static str),
}

/// Why a file with a transform is not tried.
pub(crate) const TRANSFORM: &str = "it has a transform, which this version's runtime does not run";

/// Where files go, and what is done with them before.
pub(crate) struct Assembly<'a> {
    /// The file's path; with several targets, their triples are added to its name.
    pub(crate) output: PathBuf,
    /// What was read besides the artifacts that are files: the output may be none of it.
    pub(crate) inputs: Vec<PathBuf>,
    pub(crate) trial: Trial,
    /// Where the base binaries come from, unless the user named one.
    pub(crate) bases: Option<&'a Bases>,
    pub(crate) terminal: Terminal,
}

/// A complete file that waits for its name.
struct Written {
    draft: Draft,
    /// The draft, opened as any reader would.
    encoderfile: Encoderfile,
    output: PathBuf,
    is_for_this_machine: bool,
    elapsed: Duration,
}

impl Assembly<'_> {
    /// Writes a file for each base binary. The payload's inputs are read and hashed once: from the second file on, they are
    /// copied from the first. Nothing gets its name before all are good.
    pub(crate) fn assemble(
        &self,
        mut payload: Payload,
        foundations: Vec<Foundation>,
    ) -> Result<Vec<Report>, Error> {
        let is_several = foundations.len() > 1;
        let mut files: Vec<Written> = Vec::with_capacity(foundations.len());
        for foundation in foundations {
            if let Some(first) = files.first().filter(|_| files.len() == 1) {
                payload = Payload::of(&first.encoderfile, first.draft.path(), payload.writer, true)
                    .map_err(|source| Error::Open { path: first.output.clone(), source })?;
            }
            let output =
                if is_several { with_target(&self.output, &foundation.target) } else { self.output.clone() };
            self.check_output(&output)?;
            files.push(self.write(&payload, foundation, output)?);
        }
        let times = files.iter().map(|file| self.try_out(file)).collect::<Result<Vec<_>, _>>()?;
        files.into_iter().zip(times).map(|(file, time)| self.name(file, time)).collect()
    }

    /// Whether the output would replace something that was read.
    fn check_output(&self, output: &Path) -> Result<(), Error> {
        let identity = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        let Some(existing) = identity(output) else { return Ok(()) };
        match self.inputs.iter().find(|input| identity(input) == Some(existing)) {
            Some(input) => {
                let (output, input) = (output.to_owned(), input.clone());
                Err(WriteError::OutputIsInput { output, input }.into())
            }
            None => Ok(()),
        }
    }

    fn write(&self, payload: &Payload, foundation: Foundation, output: PathBuf) -> Result<Written, Error> {
        let start = Instant::now();
        let is_for_this_machine = foundation.is_for_this_machine();
        let draft = write(&foundation.base(), payload, &output);
        let draft = match (draft, foundation.release, self.bases) {
            (Err(WriteError::BaseDigest { found, .. }), Some(release), Some(bases)) => {
                let found = encoderfile_registry::Digest::from(*found.as_bytes());
                return Err(bases.quarantine(release, found));
            }
            (draft, ..) => draft?,
        };
        let encoderfile = draft.open()?;
        Ok(Written { draft, encoderfile, output, is_for_this_machine, elapsed: start.elapsed() })
    }

    /// Runs a new file where this machine can. Milliseconds from start to answer; none where it was not run.
    fn try_out(&self, file: &Written) -> Result<Option<u128>, Error> {
        match self.trial {
            Trial::Unwanted => Ok(None),
            Trial::Impossible(reason) => {
                self.terminal.status("Check", format_args!("not run: {reason}"));
                Ok(None)
            }
            Trial::Run if !file.is_for_this_machine => {
                self.terminal.detail("Check", "not run: it is built for another machine");
                Ok(None)
            }
            Trial::Run => {
                let elapsed = trial::run(file.draft.path())
                    .map_err(|source| Error::Trial { output: file.output.clone(), source })?;
                let milliseconds = elapsed.as_millis();
                let message = format_args!("it answers, {milliseconds} ms from start to answer");
                self.terminal.status("Check", message);
                Ok(Some(milliseconds))
            }
        }
    }

    /// Gives a file its name.
    fn name(&self, file: Written, check_milliseconds: Option<u128>) -> Result<Report, Error> {
        let Written { draft, encoderfile, output, elapsed, .. } = file;
        let base = encoderfile.manifest().base.as_ref().expect("the writer records the base binary");
        let weights = encoderfile.manifest().artifact(ArtifactKind::Weights);
        let report = Report {
            path: output.clone(),
            target: base.target.clone(),
            length: encoderfile.length(),
            base: BaseReport {
                version: base.version.clone(),
                sha256: base.sha256,
                key_id: base.key_id.clone(),
            },
            weights_sha256: weights.map(|weights| weights.sha256),
            check_milliseconds,
        };
        draft.persist()?;
        let seconds = elapsed.as_secs_f64();
        let message = format_args!("{} ({}) in {seconds:.2} s", output.display(), size(report.length));
        self.terminal.status("Built", message);
        Ok(report)
    }
}

/// `out/search-aarch64-unknown-linux-gnu.encoderfile` of `out/search.encoderfile`.
fn with_target(output: &Path, target: &str) -> PathBuf {
    let stem = output.file_stem().unwrap_or_default().to_string_lossy();
    let extension = output.extension().map(|extension| format!(".{}", extension.to_string_lossy()));
    output.with_file_name(format!("{stem}-{target}{}", extension.unwrap_or_default()))
}
