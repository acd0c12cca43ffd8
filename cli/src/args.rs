//! The command line, as `--help` shows it.
#![expect(clippy::struct_excessive_bools, reason = "flags are what they are")]

mod base;
mod build;
mod look;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

pub(crate) use base::{
    Base, BaseDir, BaseExport, BaseFetch, BaseImport, BaseList, BasePath, BasePrune, BaseRemove, BaseSize,
    BaseVerify, Release, Selection, Wish,
};
pub(crate) use build::{Build, Rebase};
pub(crate) use look::{Diff, Extract, Inspect, Verify};

const EXAMPLES: &str = "\
Examples:
  encoderfile build ./my-model              one file for this machine
  ./my-model.encoderfile infer \"hello\"      run it
  encoderfile inspect my-model.encoderfile  what is inside, where it came from";

const EXIT_CODES: &str = "\
Exit codes:
  0 done   1 failed   2 usage   3 not available   4 verification failed
  5 network   6 lock timeout   130 interrupted";

/// The variables that are read, and what they say.
pub(crate) const VARIABLES: [(&str, &str); 11] = [
    ("ENCODERFILE_CACHE_DIR", "where base binaries are kept (--cache-dir)"),
    ("ENCODERFILE_NO_DOWNLOAD", "never touch the network (--no-download)"),
    ("ENCODERFILE_BASE_BINARY_BASE_URL", "one mirror or folder, no other (--source)"),
    ("ENCODERFILE_TRUSTED_KEYS", "keys or files, by commas (--trusted-key)"),
    ("ENCODERFILE_REVOKED_KEYS", "ids of lost keys (--revoked-key)"),
    ("ENCODERFILE_CONFIG", "the configuration file (--config)"),
    ("ENCODERFILE_GITHUB_REPO", "owner/name of the GitHub repository"),
    ("GITHUB_SERVER_URL", "another GitHub server"),
    ("GITHUB_API_URL", "the API of that server"),
    ("GH_TOKEN, GITHUB_TOKEN", "access token of that API"),
    ("HTTPS_PROXY, NO_PROXY", "proxies, as curl has them"),
];

/// What `base --help` says of the variables.
fn environment() -> String {
    let lines = VARIABLES.map(|(name, meaning)| format!("\n  {name:32}  {meaning}"));
    format!("Environment (flags win):{}", lines.concat())
}

/// The longest wait that can be asked for: eleven days.
pub(crate) const MAX_SECONDS: u64 = 1_000_000;

/// Build one executable file from an encoder model, and look into such files.
#[derive(Debug, Parser)]
#[command(name = "encoderfile", version, propagate_version = false)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
#[command(subcommand_required = true, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: Global,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build an encoderfile from a model folder
    Build(Build),
    /// Put an encoderfile's model on another base binary
    Rebase(Rebase),
    /// Show what is inside an encoderfile
    Inspect(Inspect),
    /// Check every byte of an encoderfile, and where its base binary comes from
    Verify(Verify),
    /// Write what an encoderfile was built from into a folder
    Extract(Extract),
    /// Show what changed between two encoderfiles
    Diff(Diff),
    /// Manage base binaries: the pre-built runtimes that models are appended to
    #[command(subcommand, after_long_help = environment())]
    Base(Base),
    /// Print a shell's completion script
    Completions(Completions),
    /// Print the manual page, or write the pages of all commands
    Man(Man),
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Where base binaries are kept [default: the platform's cache folder]
    #[arg(long, global = true, value_name = "DIR", env = "ENCODERFILE_CACHE_DIR", hide_env_values = true)]
    #[arg(value_hint = ValueHint::DirPath, value_parser = any_path())]
    pub(crate) cache_dir: Option<PathBuf>,

    /// Use only what is cached; the network is not touched
    #[arg(
        long,
        global = true,
        visible_alias = "offline",
        env = "ENCODERFILE_NO_DOWNLOAD",
        hide_env_values = true
    )]
    #[arg(value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) no_download: bool,

    /// Where releases come from: an https URL with `v{version}/` below it, or a folder
    /// [default: the project's GitHub releases]
    #[arg(
        long,
        global = true,
        value_name = "URL|DIR",
        env = "ENCODERFILE_BASE_BINARY_BASE_URL",
        hide_env_values = true
    )]
    pub(crate) source: Option<String>,

    /// Allow plain http for a source that is not on this machine
    #[arg(long, global = true, hide_short_help = true)]
    pub(crate) allow_http: bool,

    /// Public key that releases may be signed with: a file, or the key itself (repeatable)
    #[arg(
        long = "trusted-key",
        global = true,
        value_name = "KEY",
        env = "ENCODERFILE_TRUSTED_KEYS",
        hide_env_values = true
    )]
    #[arg(value_delimiter = ',')]
    pub(crate) trusted_keys: Vec<String>,

    /// Key that no longer counts, whoever trusts it: its id (repeatable)
    #[arg(
        long = "revoked-key",
        global = true,
        value_name = "KEY_ID",
        env = "ENCODERFILE_REVOKED_KEYS",
        hide_env_values = true
    )]
    #[arg(value_delimiter = ',', hide_short_help = true)]
    pub(crate) revoked_keys: Vec<String>,

    /// Configuration file [default: config.toml in the platform's configuration folder]
    #[arg(long, global = true, value_name = "FILE", env = "ENCODERFILE_CONFIG", hide_env_values = true)]
    #[arg(value_hint = ValueHint::FilePath, value_parser = any_path(), hide_short_help = true)]
    pub(crate) config: Option<PathBuf>,

    /// Longest wait for another process that installs the same base binary [default: 600]
    #[arg(long, global = true, value_name = "SECONDS", hide_short_help = true)]
    #[arg(value_parser = clap::value_parser!(u64).range(..=MAX_SECONDS))]
    pub(crate) lock_timeout: Option<u64>,

    /// Longest wait for a connection [default: 10]
    #[arg(long, global = true, value_name = "SECONDS", hide_short_help = true)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    pub(crate) connect_timeout: Option<u64>,

    /// Longest wait for the next byte of a download [default: 30]
    #[arg(long, global = true, value_name = "SECONDS", hide_short_help = true)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    pub(crate) idle_timeout: Option<u64>,

    /// How often a download that fails is tried again, without progress in between [default: 3]
    #[arg(long, global = true, value_name = "N", hide_short_help = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(..=1000))]
    pub(crate) retries: Option<u32>,

    /// Say less: only errors and results
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Say more: where each thing was found
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,

    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,

    /// Draw no progress bars
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
}

/// A path that may be empty: see [`Global::without_empty`].
fn any_path() -> impl clap::builder::TypedValueParser<Value = PathBuf> {
    use clap::builder::TypedValueParser as _;
    clap::builder::OsStringValueParser::new().map(PathBuf::from)
}

impl Global {
    /// What is set but empty, as variables without a value are in CI, is as if it were not set.
    pub(crate) fn without_empty(mut self) -> Self {
        self.cache_dir = self.cache_dir.filter(|path| !path.as_os_str().is_empty());
        self.config = self.config.filter(|path| !path.as_os_str().is_empty());
        self.source = self.source.filter(|source| !source.is_empty());
        self.trusted_keys.retain(|key| !key.is_empty());
        self.revoked_keys.retain(|key| !key.is_empty());
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

const COMPLETIONS_HELP: &str = "\
Examples:
  encoderfile completions bash > /etc/bash_completion.d/encoderfile
  encoderfile completions zsh > ~/.zfunc/_encoderfile
  encoderfile completions fish > ~/.config/fish/completions/encoderfile.fish";

#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_HELP)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

const MAN_HELP: &str = "\
Examples:
  encoderfile man | man -l -
  encoderfile man --output ~/.local/share/man/man1";

#[derive(Debug, Args)]
#[command(after_help = MAN_HELP)]
pub(crate) struct Man {
    /// Folder to write the pages of all commands to
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: Option<PathBuf>,
}

/// What the completion scripts and the manual are made of: the command line, with the target triples as possible values.
/// They are not possible values when arguments are read, so that a triple that is none gets the advice that it needs.
pub(crate) fn documented() -> clap::Command {
    fn with_triples(mut command: clap::Command) -> clap::Command {
        let takes_target = command.get_arguments().any(|argument| argument.get_id() == "targets");
        if takes_target {
            let triples = encoderfile_registry::Target::ALL.map(encoderfile_registry::Target::triple);
            command = command.mut_arg("targets", |argument| {
                argument.value_parser(clap::builder::PossibleValuesParser::new(triples))
            });
        }
        command.mut_args(in_full).mut_subcommands(with_triples)
    }
    use clap::CommandFactory as _;
    // The manual has a section of its own for exit codes.
    with_triples(Arguments::command()).after_help(EXAMPLES)
}

/// The manual leaves out what is hidden from the short help, variables whose values are not shown, and aliases.
fn in_full(argument: clap::Arg) -> clap::Arg {
    let Some(help) = argument.get_long_help().or(argument.get_help()) else { return argument };
    let mut notes = vec![help.to_string()];
    notes.extend(argument.get_env().map(|variable| format!("[env: {}]", variable.display())));
    let aliases = argument.get_visible_aliases().unwrap_or_default();
    notes.extend(aliases.iter().map(|alias| format!("[alias: --{alias}]")));
    argument.long_help(notes.join(" ")).hide_short_help(false)
}
