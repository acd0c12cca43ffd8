//! The command line of `encoderfile build` and `encoderfile rebase`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use encoderfile_format::{LENGTH_LIMIT, ModelType, PoolingMode};

use super::Release;

pub(crate) const BUILD_HELP: &str = "\
Examples:
  encoderfile build ./my-model                       for this machine
  encoderfile build ./my-model -o search --target aarch64-unknown-linux-gnu
  encoderfile build -f encoderfile.yml               what the file says
  encoderfile build --locked --no-download           in CI: pinned and cached
  encoderfile build --update-base --runtime-version '^0.1'
  encoderfile build ./my-model --base-binary-path ./encoderfile-runtime

encoderfile.yml, these keys and more (the README has all of them), every one but
`path` may be left out:
  encoderfile:
    path: ./my-model                 # relative to this file
    name: my-model
    version: 1.0.0
    model_type: sentence_embedding
    output_path: ./my-model.encoderfile
    target: x86_64-unknown-linux-gnu # or a list
    runtime_version: ^0.1            # of the base binary; or latest, or 0.1.0
    base_binary_path: ./encoderfile-runtime
    cache_dir: ./cache

encoderfile.lock, beside the build file, pins the base binary of each target:
version, key, digests. Commit it.";

#[derive(Debug, Args)]
#[command(after_help = BUILD_HELP)]
pub(crate) struct Build {
    /// Model folder, as Hugging Face lays one out: model.onnx, config.json, tokenizer.json
    #[arg(value_name = "MODEL_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) model_dir: Option<PathBuf>,

    /// Build file [default without a model folder: ./encoderfile.yml]
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

    /// The graph within the model folder: a file, or a variant such as fp16 or quantized [default: model.onnx]
    #[arg(long, value_name = "NAME")]
    pub(crate) weights: Option<String>,

    /// How token vectors become one vector (repeatable: concatenated) [default: what sentence-transformers' files say]
    #[arg(long, value_name = "MODE", value_parser = pooling_parser())]
    pub(crate) pooling: Vec<PoolingMode>,

    /// Whether sentence embeddings are scaled to length 1 [default: what sentence-transformers' files say]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) normalize: Option<bool>,

    /// Longest input in tokens, special ones included [default: what the model's files say]
    #[arg(long, value_name = "TOKENS", value_parser = token_count_parser())]
    pub(crate) max_length: Option<usize>,

    /// Target triple to build for (repeatable) [default: this machine's]
    #[arg(long = "target", id = "targets", value_name = "TRIPLE")]
    pub(crate) targets: Vec<String>,

    /// Use this base binary instead of a release's; nothing is downloaded or cached
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) base_binary_path: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) release: Release,

    /// Fail if the lockfile would change: every base binary is the one that is pinned there
    #[arg(long)]
    pub(crate) locked: bool,

    /// As `--locked --no-download`
    #[arg(long)]
    pub(crate) frozen: bool,

    /// Look for the base binary anew and move its pin in the lockfile
    #[arg(long, conflicts_with_all = ["locked", "frozen"])]
    pub(crate) update_base: bool,

    /// Lockfile [default: encoderfile.lock beside the build file]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) lockfile: Option<PathBuf>,

    /// Do not run the new file once before it takes its name
    #[arg(long)]
    pub(crate) no_check: bool,

    /// Print what was built as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The tasks that can be built, by the names that encoderfile.yml has for them.
fn model_type_parser() -> impl clap::builder::TypedValueParser<Value = ModelType> {
    use clap::builder::TypedValueParser as _;
    let names = crate::model::TASKS.map(|task| task.to_string());
    clap::builder::PossibleValuesParser::new(names)
        .map(|name| name.parse::<ModelType>().expect("one of the possible values"))
}

/// The ways to pool, by the names that encoderfile.yml has for them.
fn pooling_parser() -> impl clap::builder::TypedValueParser<Value = PoolingMode> {
    use clap::builder::TypedValueParser as _;
    clap::builder::PossibleValuesParser::new(PoolingMode::ALL.map(|mode| mode.to_string()))
        .map(|name| name.parse::<PoolingMode>().expect("one of the possible values"))
}

/// Numbers of tokens as encoderfile.yml takes them.
fn token_count_parser() -> impl clap::builder::TypedValueParser<Value = usize> {
    use clap::builder::TypedValueParser as _;
    clap::value_parser!(u32)
        .range(1..=i64::try_from(LENGTH_LIMIT).expect("a million"))
        .map(|count| usize::try_from(count).expect("all targets have 64-bit addresses"))
}

const REBASE_HELP: &str = "\
Examples:
  encoderfile rebase search -o new                 on this program's release
  encoderfile rebase search -o new --runtime-version latest
  encoderfile rebase search -o arm --target aarch64-unknown-linux-gnu

The model, its name and its settings stay as they are, to the byte; every
artifact is verified while it is copied. Files of encoderfile 0.7 can be given
too.";

#[derive(Debug, Args)]
#[command(after_help = REBASE_HELP)]
pub(crate) struct Rebase {
    /// Encoderfile
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// The file to write
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,

    /// Target triple to put it on (repeatable) [default: the file's]
    #[arg(long = "target", id = "targets", value_name = "TRIPLE")]
    pub(crate) targets: Vec<String>,

    /// Use this base binary instead of a release's; nothing is downloaded or cached
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "runtime_version")]
    pub(crate) base_binary_path: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) release: Release,

    /// Do not run the new file once before it takes its name
    #[arg(long)]
    pub(crate) no_check: bool,

    /// Print what was written as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
