//! The command line, as `--help` shows it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use encoderfile_format::ModelType;
use semver::Version;

const AFTER_HELP: &str = "\
Examples:
  encoderfile build ./my-model              one file for this machine
  ./my-model.encoderfile infer \"hello\"      run it
  encoderfile inspect my-model.encoderfile  what is inside, and where it came from

Exit codes:
  0 done   1 failed   2 usage   3 not available   4 verification failed   5 network   6 lock timeout";

/// Build one executable file from an encoder model, and look into such files.
#[derive(Debug, Parser)]
#[command(name = "encoderfile", version, propagate_version = false, after_help = AFTER_HELP)]
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
    /// Show what is inside an encoderfile
    Inspect(Inspect),
    /// Check every byte of an encoderfile against the digests it holds
    Verify(Verify),
    /// Write an encoderfile's artifacts into a folder
    Extract(Extract),
    /// Manage base binaries: the pre-built runtimes that models are appended to
    #[command(subcommand)]
    Base(Base),
}

/// Options of every command.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags are what they are")]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Where base binaries are kept [default: the platform's cache folder]
    #[arg(long, global = true, value_name = "DIR", env = "ENCODERFILE_CACHE_DIR", hide_env_values = true)]
    #[arg(value_hint = ValueHint::DirPath)]
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
    #[arg(long, global = true)]
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

    /// Longest wait for another process that installs the same base binary [default: 600]
    #[arg(long, global = true, value_name = "SECONDS")]
    pub(crate) lock_timeout: Option<u64>,

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

const BUILD_HELP: &str = "\
Examples:
  encoderfile build ./my-model                       my-model.encoderfile, for this machine
  encoderfile build ./my-model -o search --target aarch64-unknown-linux-gnu
  encoderfile build -f encoderfile.yml               what the file says; flags win over it
  encoderfile build ./my-model --no-download         only with a cached base binary
  encoderfile build ./my-model --base-binary-path ./encoderfile-runtime

encoderfile.yml, every key but `path` may be left out:
  encoderfile:
    path: ./my-model                 # relative to this file
    name: my-model
    version: 1.0.0
    model_type: sentence_embedding
    output_path: ./my-model.encoderfile
    target: x86_64-unknown-linux-gnu # or a list
    base_binary_path: ./encoderfile-runtime
    cache_dir: ./cache";

#[derive(Debug, Args)]
#[command(after_help = BUILD_HELP)]
pub(crate) struct Build {
    /// Model folder, as Hugging Face lays one out: model.onnx, config.json, tokenizer.json
    #[arg(value_name = "MODEL_DIR", value_hint = ValueHint::DirPath, required_unless_present = "file")]
    pub(crate) model_dir: Option<PathBuf>,

    /// Build file
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,

    /// The file to write [default: {name}.encoderfile in the working folder]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,

    /// The model's name [default: the folder's]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// The model's version
    #[arg(long, value_name = "VERSION")]
    pub(crate) model_version: Option<String>,

    /// The task [default: what the folder's files say]
    #[arg(long, value_name = "TASK", value_parser = model_type_parser())]
    pub(crate) model_type: Option<ModelType>,

    /// Target triple to build for (repeatable) [default: this machine's]
    #[arg(long = "target", value_name = "TRIPLE")]
    pub(crate) targets: Vec<String>,

    /// Use this base binary instead of a release's; nothing is downloaded or cached
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) base_binary_path: Option<PathBuf>,

    /// Version of the base binary [default: this program's]
    #[arg(long, value_name = "VERSION", value_parser = version)]
    pub(crate) runtime_version: Option<Version>,

    /// Do not run the new file once before it takes its name
    #[arg(long)]
    pub(crate) no_check: bool,

    /// Print what was built as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn version(text: &str) -> Result<Version, String> {
    text.parse().map_err(|_| "expected a version such as 0.1.0".to_owned())
}

/// The tasks that can be built, by the names that encoderfile.yml has for them.
fn model_type_parser() -> impl clap::builder::TypedValueParser<Value = ModelType> {
    use clap::builder::TypedValueParser as _;
    let names = crate::model_folder::TASKS.map(|task| task.to_string());
    clap::builder::PossibleValuesParser::new(names)
        .map(|name| name.parse::<ModelType>().expect("one of the possible values"))
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Encoderfile or base binary
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Encoderfile
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const EXTRACT_HELP: &str = "\
Examples:
  encoderfile extract my-model.encoderfile -o parts
  encoderfile extract my-model.encoderfile -o parts --artifact weights

Files: model.onnx (weights), tokenizer.artifact.json, model_config.artifact.json, …: the artifacts, byte for byte.";

#[derive(Debug, Args)]
#[command(after_help = EXTRACT_HELP)]
pub(crate) struct Extract {
    /// Encoderfile
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Folder to write to; it is created
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: PathBuf,
    /// Only this artifact, as `inspect` names it (repeatable)
    #[arg(long = "artifact", value_name = "NAME")]
    pub(crate) artifacts: Vec<String>,
    /// Replace files that are there
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Base {
    /// List base binaries: those that are cached, and those of this version that are not
    List(BaseList),
    /// Download base binaries into the cache
    Fetch(BaseFetch),
    /// Print the path of a verified, cached base binary
    Path(BasePath),
}

#[derive(Debug, Args)]
pub(crate) struct BaseList {
    /// Only those that are cached
    #[arg(long)]
    pub(crate) cached: bool,
    /// Only this target
    #[arg(long, value_name = "TRIPLE")]
    pub(crate) target: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const FETCH_HELP: &str = "\
Examples:
  encoderfile base fetch                             for this machine
  encoderfile base fetch --all                       for all four targets
  encoderfile base fetch --source ./dist             from a folder that holds a release
  encoderfile base fetch --source https://mirror.example/encoderfile --trusted-key mirror.pub";

#[derive(Debug, Args)]
#[command(after_help = FETCH_HELP)]
pub(crate) struct BaseFetch {
    /// Target triple (repeatable) [default: this machine's]
    #[arg(long = "target", value_name = "TRIPLE", conflicts_with = "all")]
    pub(crate) targets: Vec<String>,
    /// All targets of the release
    #[arg(long)]
    pub(crate) all: bool,
    /// Version of the release [default: this program's]
    #[arg(long, value_name = "VERSION", value_parser = version)]
    pub(crate) runtime_version: Option<Version>,
    /// Download again what is cached
    #[arg(long)]
    pub(crate) force: bool,
    /// Print what was fetched as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BasePath {
    /// Target triple [default: this machine's]
    #[arg(long, value_name = "TRIPLE")]
    pub(crate) target: Option<String>,
    /// Version of the base binary [default: this program's]
    #[arg(long, value_name = "VERSION", value_parser = version)]
    pub(crate) runtime_version: Option<Version>,
}
