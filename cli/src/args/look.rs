//! The arguments of the commands that look into a file.

use std::path::PathBuf;

use clap::{Args, ValueHint};

const INSPECT_HELP: &str = "\
Examples:
  encoderfile inspect my-model.encoderfile
  encoderfile inspect --json my-model.encoderfile | jq .artifacts

Only the beginning of what a file holds is read, so it takes no time whatever
the file's size; whether the bytes are intact is for `encoderfile verify`.";

#[derive(Debug, Args)]
#[command(after_help = INSPECT_HELP)]
pub(crate) struct Inspect {
    /// Encoderfile or base binary, for any machine
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const VERIFY_HELP: &str = "\
Examples:
  encoderfile verify my-model.encoderfile
  encoderfile verify --trusted-key release.pub my-model.encoderfile

Every byte is compared with the digests in the file, what it holds is read as
the runtime would read it, and the base binary is compared with the release's
signed index, if that is in the cache. In a file for macOS, each page is also
compared with the code signature. The network is never used.";

#[derive(Debug, Args)]
#[command(after_help = VERIFY_HELP)]
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
  encoderfile extract my-model.encoderfile -o my-model
  encoderfile build -f my-model/encoderfile.yml      the same bytes again
  encoderfile extract my-model.encoderfile -o parts --artifact weights

The folder holds the model's files under their own names, the base binary
(encoderfile-runtime) and encoderfile.yml, from which the file can be built
again. With --artifact it holds only what was named, byte for byte:
a kind (weights, tokenizer, model_config, transform, source, external_data),
a file (config.json), or base.";

#[derive(Debug, Args)]
#[command(after_help = EXTRACT_HELP)]
pub(crate) struct Extract {
    /// Encoderfile
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Folder to write to; it is created
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: PathBuf,
    /// Only this artifact, as it stands in the file (repeatable)
    #[arg(long = "artifact", value_name = "NAME")]
    pub(crate) artifacts: Vec<String>,
    /// Replace files that are there
    #[arg(long)]
    pub(crate) force: bool,
}

const DIFF_HELP: &str = "\
Examples:
  encoderfile diff old.encoderfile new.encoderfile
  encoderfile diff --exit-code old.encoderfile new.encoderfile && echo the same

What is compared is what the files say they hold: their digests, not each byte.
Whether the bytes are intact is for `encoderfile verify`.";

#[derive(Debug, Args)]
#[command(after_help = DIFF_HELP)]
pub(crate) struct Diff {
    /// Encoderfile
    #[arg(value_name = "A", value_hint = ValueHint::FilePath)]
    pub(crate) old: PathBuf,
    /// Encoderfile to compare with it
    #[arg(value_name = "B", value_hint = ValueHint::FilePath)]
    pub(crate) new: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// End with 1 where they differ
    #[arg(long)]
    pub(crate) exit_code: bool,
}
