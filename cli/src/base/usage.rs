//! `encoderfile base dir` and `size`.

use std::path::PathBuf;

use encoderfile_registry::Share;
use serde::Serialize;

use crate::args;
use crate::bases::Bases;
use crate::error::Error;
use crate::terminal;

#[derive(Debug, Serialize)]
struct DirReport {
    path: PathBuf,
}

pub(super) fn dir(arguments: &args::BaseDir, bases: &Bases) -> Result<(), Error> {
    let path = &bases.registry.config().cache_dir;
    if arguments.json {
        terminal::json(&DirReport { path: path.clone() })
    } else {
        terminal::result(path.display())
    }
}

/// What `base size --json` prints, in bytes.
#[derive(Debug, Serialize)]
struct SizeReport {
    length: u64,
    base_binaries: ShareReport,
    interrupted_downloads: ShareReport,
    other: ShareReport,
}

#[derive(Debug, Serialize)]
struct ShareReport {
    count: u64,
    length: u64,
}

impl From<Share> for ShareReport {
    fn from(Share { count, bytes }: Share) -> Self {
        Self { count, length: bytes }
    }
}

pub(super) fn size(arguments: &args::BaseSize, bases: &Bases) -> Result<(), Error> {
    let usage = bases.registry.usage().map_err(|error| bases.error(error))?;
    if arguments.json {
        return terminal::json(&SizeReport {
            length: usage.bytes(),
            base_binaries: usage.base_binaries.into(),
            interrupted_downloads: usage.interrupted_downloads.into(),
            other: usage.other.into(),
        });
    }
    let counted = |share: Share, one: &str, many: &str| {
        let noun = if share.count == 1 { one } else { many };
        format!("{} in {} {noun}", terminal::size(share.bytes), share.count)
    };
    let mut parts = vec![counted(usage.base_binaries, "base binary", "base binaries")];
    if usage.interrupted_downloads.count > 0 {
        parts.push(counted(usage.interrupted_downloads, "interrupted download", "interrupted downloads"));
    }
    terminal::result(format_args!("{} ({})", terminal::size(usage.bytes()), parts.join(", ")))
}
