//! Which base binaries a build takes: those that its lockfile pins, or new ones, which it pins.

use std::path::{Path, PathBuf};

use encoderfile_registry::{BaseBinary, Lockfile, Pin, Requirement, Target, Wanted};
use semver::Version;

use crate::args;
use crate::bases::{Bases, default_version};
use crate::error::Error;

/// The lockfile of a build.
pub(crate) struct Pins {
    /// None: a build without a build file, which pins nothing.
    path: Option<PathBuf>,
    lockfile: Option<Lockfile>,
    mode: Mode,
}

/// What may happen to the lockfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Pins are kept as long as they are what is asked for.
    Keep,
    /// No pin changes, and none is added.
    Locked,
    /// All pins of the build are made anew.
    Update,
}

/// The version of the base binary that somebody asked for, if any.
pub(crate) struct Asked {
    pub(crate) requirement: Option<Requirement>,
    pub(crate) pre_releases: bool,
}

impl Asked {
    /// Without a wish, it is this program's own version.
    fn wanted(&self) -> Wanted {
        let requirement = self.requirement.clone().unwrap_or_else(|| default_version().into());
        Wanted { requirement, pre_releases: self.pre_releases }
    }

    /// Whether a pin will do. Without a wish, every pin does: that is what it is for.
    fn admits(&self, version: &Version) -> bool {
        self.requirement.as_ref().is_none_or(|requirement| requirement.allows(version, true))
    }
}

impl Pins {
    /// `is_given` is whether the base binary is a file that the user named, which no lockfile pins.
    pub(crate) fn open(
        arguments: &args::Build,
        path: Option<PathBuf>,
        is_given: bool,
    ) -> Result<Self, Error> {
        let is_locked = arguments.locked || arguments.frozen;
        let mode = match (is_locked, arguments.update_base) {
            (true, _) => Mode::Locked,
            (false, true) => Mode::Update,
            (false, false) => Mode::Keep,
        };
        if is_locked && is_given {
            return Err(Error::UnpinnedPath);
        }
        if is_locked && path.is_none() {
            return Err(Error::NoLockfile);
        }
        let lockfile = path.as_deref().map(Lockfile::read).transpose()?.flatten();
        Ok(Self { path, lockfile, mode })
    }

    /// The base binaries, in the order of the targets; from the cache, or downloaded now.
    pub(crate) fn bases(
        &self,
        asked: &Asked,
        targets: &[Target],
        bases: &Bases,
    ) -> Result<Vec<BaseBinary>, Error> {
        let pins = targets.iter().map(|&target| self.pin(asked, target)).collect::<Result<Vec<_>, _>>()?;
        let unpinned = targets.iter().zip(&pins).filter(|(_, pin)| pin.is_none());
        let unpinned: Vec<_> = unpinned.map(|(target, _)| *target).collect();
        let version =
            if unpinned.is_empty() { None } else { Some(self.version(asked, &pins, &unpinned, bases)?) };
        let found = targets.iter().zip(pins).map(|(&target, pin)| {
            let version = pin.map_or(version.as_ref(), |pin| Some(&pin.version));
            bases.ensure(target, version.expect("resolved for targets without a pin"), pin)
        });
        found.collect()
    }

    /// The pin that counts for a target.
    fn pin(&self, asked: &Asked, target: Target) -> Result<Option<&Pin>, Error> {
        let pin = self.lockfile.as_ref().and_then(|lockfile| lockfile.pins.get(&target));
        let reason = match (pin, self.mode) {
            (_, Mode::Update) => return Ok(None),
            (Some(pin), _) if asked.admits(&pin.version) => return Ok(Some(pin)),
            (_, Mode::Keep) => return Ok(None),
            (Some(pin), Mode::Locked) => {
                let asked = asked.wanted().requirement;
                format!("it pins {} for `{target}`, and {asked} is asked for", pin.version)
            }
            (None, Mode::Locked) if self.lockfile.is_none() => "it does not exist".to_owned(),
            (None, Mode::Locked) => format!("it pins nothing for `{target}`"),
        };
        Err(Error::WouldChange { path: self.path.clone().unwrap_or_default(), reason })
    }

    /// The version for the targets without a pin: that of the others where it will do, so that one build has one version.
    fn version(
        &self,
        asked: &Asked,
        pins: &[Option<&Pin>],
        unpinned: &[Target],
        bases: &Bases,
    ) -> Result<Version, Error> {
        let pinned =
            pins.iter().flatten().map(|pin| &pin.version).filter(|version| asked.admits(version)).max();
        match (pinned, self.mode) {
            (Some(version), _) => Ok(version.clone()),
            (None, Mode::Update) => bases.resolve(&asked.wanted()),
            (None, _) => bases.resolve_for_build(&asked.wanted(), unpinned),
        }
    }

    /// Pins what was built on.
    pub(crate) fn record(&self, pins: &[Pin], bases: &Bases) -> Result<(), Error> {
        let Some(path) = self.path.as_deref().filter(|_| self.mode != Mode::Locked) else { return Ok(()) };
        Lockfile::update(path, pins.iter().cloned()).map_err(|error| bases.error(error))?;
        for pin in pins {
            self.tell(pin, path, bases);
        }
        Ok(())
    }

    fn tell(&self, pin: &Pin, path: &Path, bases: &Bases) {
        let (target, version, path) = (pin.target, &pin.version, path.display());
        match self.lockfile.as_ref().and_then(|lockfile| lockfile.pins.get(&target)) {
            Some(before) if before == pin => {}
            Some(before) if before.version == pin.version => {
                bases.terminal.status(
                    "Locked",
                    format_args!("{target} {version} with other bytes than before in {path}"),
                );
            }
            Some(before) => {
                bases.terminal.status(
                    "Locked",
                    format_args!("{target} {version} instead of {} in {path}", before.version),
                );
            }
            None => bases.terminal.status("Locked", format_args!("{target} {version} in {path}")),
        }
    }
}
