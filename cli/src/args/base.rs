//! The command line of `encoderfile base`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use encoderfile_registry::{Requirement, Wanted};
use jiff::Span;

use crate::bases::default_version;

#[derive(Debug, Subcommand)]
pub(crate) enum Base {
    /// List base binaries: those that are cached, and those that are known
    List(BaseList),
    /// Download base binaries into the cache
    Fetch(BaseFetch),
    /// Print the path of a verified, cached base binary
    Path(BasePath),
    /// Check cached base binaries again: signature, index, every byte; offline
    Verify(BaseVerify),
    /// Remove base binaries from the cache
    Remove(BaseRemove),
    /// Remove what is not needed any more: interrupted downloads, old versions
    Prune(BasePrune),
    /// Write base binaries into one file, for machines without a network
    Export(BaseExport),
    /// Install the base binaries of an exported file
    Import(BaseImport),
    /// Print the cache's folder
    Dir(BaseDir),
    /// Print how much room the cache takes
    Size(BaseSize),
}

/// Which release.
#[derive(Debug, Args)]
pub(crate) struct Release {
    /// Version of the base binary: 0.1.0, a range such as '^0.1', or latest [default: this program's]
    #[arg(long, value_name = "REQUIREMENT")]
    pub(crate) runtime_version: Option<Requirement>,

    /// Let a pre-release answer a range or `latest`
    #[arg(long)]
    pub(crate) pre: bool,

    /// Let a range or `latest` go back to an older release than this cache has seen
    #[arg(long, hide_short_help = true)]
    pub(crate) allow_downgrade: bool,
}

impl Release {
    /// What was asked for, or this program's own version.
    pub(crate) fn wanted(&self) -> Wanted {
        let requirement = self.runtime_version.clone().unwrap_or_else(|| default_version().into());
        Wanted { requirement, pre_releases: self.pre }
    }
}

/// Base binaries of a release.
#[derive(Debug, Args)]
pub(crate) struct Wish {
    /// Target triple (repeatable) [default: this machine's]
    #[arg(long = "target", id = "targets", value_name = "TRIPLE", conflicts_with = "all")]
    pub(crate) targets: Vec<String>,

    /// All targets of the release
    #[arg(long)]
    pub(crate) all: bool,

    #[command(flatten)]
    pub(crate) release: Release,
}

/// Some of what is cached.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Only this target (repeatable)
    #[arg(long = "target", id = "targets", value_name = "TRIPLE")]
    pub(crate) targets: Vec<String>,

    /// Only these versions: 0.1.0, or a range such as '<0.2'
    #[arg(long, value_name = "REQUIREMENT")]
    pub(crate) runtime_version: Option<Requirement>,
}

const LIST_HELP: &str = "\
Examples:
  encoderfile base list                              cached and known, offline
  encoderfile base list --remote                     what the sources have
  encoderfile base list --cached --json              for programs";

#[derive(Debug, Args)]
#[command(after_help = LIST_HELP)]
pub(crate) struct BaseList {
    /// Only those that are cached
    #[arg(long)]
    pub(crate) cached: bool,
    /// Those that the sources have
    #[arg(long, conflicts_with = "cached")]
    pub(crate) remote: bool,
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Also pre-releases, where `--remote` or `--runtime-version` would leave them out
    #[arg(long)]
    pub(crate) pre: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const FETCH_HELP: &str = "\
Examples:
  encoderfile base fetch                             for this machine
  encoderfile base fetch --all                       all targets of the release
  encoderfile base fetch --all --dry-run             what that would download
  encoderfile base fetch --runtime-version '^0.1'    the newest; or latest
  encoderfile base fetch --source ./dist             from a release's folder
  encoderfile base fetch --source https://mirror.example/e --trusted-key our.pub";

#[derive(Debug, Args)]
#[command(after_help = FETCH_HELP)]
pub(crate) struct BaseFetch {
    #[command(flatten)]
    pub(crate) wish: Wish,
    /// Download again what is cached
    #[arg(long)]
    pub(crate) force: bool,
    /// Say what would be downloaded, and download nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print what was fetched as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const PATH_HELP: &str = "\
Examples:
  encoderfile base path                              for this machine
  encoderfile base path --target aarch64-unknown-linux-gnu
  $(encoderfile base path) --version                 run it";

#[derive(Debug, Args)]
#[command(after_help = PATH_HELP)]
pub(crate) struct BasePath {
    /// Target triple [default: this machine's]
    #[arg(long = "target", id = "targets", value_name = "TRIPLE")]
    pub(crate) target: Option<String>,
    #[command(flatten)]
    pub(crate) release: Release,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const VERIFY_HELP: &str = "\
Examples:
  encoderfile base verify                            everything that is cached
  encoderfile base verify --target x86_64-unknown-linux-gnu --json

A base binary with other bytes than its index promises is taken out of use;
`base fetch` repairs it.";

#[derive(Debug, Args)]
#[command(after_help = VERIFY_HELP)]
pub(crate) struct BaseVerify {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Everything that is cached, which is what is verified unless something narrows it
    #[arg(long, conflicts_with_all = ["targets", "runtime_version"])]
    pub(crate) all: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const REMOVE_HELP: &str = "\
Examples:
  encoderfile base remove --target aarch64-apple-darwin
  encoderfile base remove --runtime-version '<0.1'
  encoderfile base remove --all --dry-run            what that would remove";

#[derive(Debug, Args)]
#[command(after_help = REMOVE_HELP)]
#[group(id = "what", required = true, multiple = true, args = ["targets", "runtime_version", "all"])]
pub(crate) struct BaseRemove {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Everything that is cached
    #[arg(long, conflicts_with_all = ["targets", "runtime_version"])]
    pub(crate) all: bool,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print what was removed as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const PRUNE_HELP: &str = "\
Examples:
  encoderfile base prune                             what interruptions left
  encoderfile base prune --keep 2                    … and older versions
  encoderfile base prune --older-than 30d            … and what is that old
  encoderfile base prune --keep 1 --older-than 30d   … and what is both";

#[derive(Debug, Args)]
#[command(after_help = PRUNE_HELP)]
pub(crate) struct BasePrune {
    /// How many versions of each target stay, the newest
    #[arg(long, value_name = "N")]
    pub(crate) keep: Option<usize>,
    /// How long ago the others were installed, such as 30d or '2 weeks'
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub(crate) older_than: Option<Span>,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print what was removed as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const EXPORT_HELP: &str = "\
Examples:
  encoderfile base export --all -o bases.tar.zst     all targets of this version
  encoderfile base export -o - | ssh HOST encoderfile base import -

What is not cached is fetched first. The file carries the signed indexes, and is
verified on arrival like a download.";

#[derive(Debug, Args)]
#[command(after_help = EXPORT_HELP)]
pub(crate) struct BaseExport {
    #[command(flatten)]
    pub(crate) wish: Wish,
    /// The file to write; `-` is standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
    /// Print what was exported as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const IMPORT_HELP: &str = "\
Examples:
  encoderfile base import bases.tar.zst
  encoderfile base import - < bases.tar.zst

Nothing is believed that a trusted key did not sign. No network is needed.";

#[derive(Debug, Args)]
#[command(after_help = IMPORT_HELP)]
pub(crate) struct BaseImport {
    /// What `base export` wrote; `-` is standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Print what was imported as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const DIR_HELP: &str = "\
Examples:
  encoderfile base dir
  du -sh \"$(encoderfile base dir)\"";

#[derive(Debug, Args)]
#[command(after_help = DIR_HELP)]
pub(crate) struct BaseDir {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const SIZE_HELP: &str = "\
Examples:
  encoderfile base size
  encoderfile base size --json                       in bytes";

#[derive(Debug, Args)]
#[command(after_help = SIZE_HELP)]
pub(crate) struct BaseSize {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn span(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|_| "expected a time such as 30d or `2 weeks`".to_owned())?;
    if span.is_negative() { Err("expected a time that has passed".to_owned()) } else { Ok(span) }
}
