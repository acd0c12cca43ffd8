//! `encoderfile base path`.

use std::path::PathBuf;

use encoderfile_registry::Target;
use serde::Serialize;

use super::Identity;
use crate::args;
use crate::bases::Bases;
use crate::error::Error;
use crate::terminal;

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    identity: Identity,
    path: PathBuf,
}

pub(super) fn run(arguments: &args::BasePath, bases: &Bases) -> Result<(), Error> {
    let target = match &arguments.target {
        Some(name) => name.parse()?,
        None => Target::host()?,
    };
    let wanted = arguments.release.wanted();
    let version = bases.registry.resolve_cached(&wanted, target).map_err(|error| bases.error(error))?;
    let version = version.ok_or_else(|| bases.none_cached(target, wanted))?;
    let base =
        bases.wait(async { bases.registry.locate(target, &version, &bases.voice()).await?.verify() })?;
    if !arguments.json {
        return terminal::result(base.path.display());
    }
    terminal::json(&Report { identity: Identity::of(&base), path: base.path.clone() })
}
