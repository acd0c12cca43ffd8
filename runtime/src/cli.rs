//! The command line.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// One file that holds an encoder model and everything that it takes to run it.
#[derive(Debug, Parser)]
#[command(disable_version_flag = true, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Print the runtime's version, its target and the version of ONNX Runtime
    #[arg(short = 'V', long)]
    pub(crate) version: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the model on texts and print the results as JSON
    Infer(Infer),
}

/// However large a batch may be, no more texts than this are held at a time.
const MOST_TEXTS: usize = 1024;

const INFER_HELP: &str = "\
Results:
  One JSON document, {\"results\": [...], \"model_id\": \"...\"}, or with
  `--format jsonl` one result a line, as soon as it is known. Results stand in
  the order of the texts. What each one is depends on the model's task:

  embedding
    {\"embeddings\": [{\"embedding\": [...], \"token_info\": {...}}]}
  sentence_embedding
    {\"embedding\": [...]}
  sequence_classification
    {\"logits\": [...], \"scores\": [...],
     \"predicted_index\": 0, \"predicted_label\": \"...\"}
  token_classification
    {\"tokens\": [{\"token_info\": {...}, \"scores\": [...],
                 \"label\": \"...\", \"score\": 0.9}]}

  `logits` are the model's numbers, `scores` are probabilities. `token_info` is
  {\"token\", \"token_id\", \"start\", \"end\"}; start and end count characters
  (Unicode scalar values) of the text. Special tokens, such as [CLS], are left
  out. The result for a text longer than the model's limit has
  \"truncated\": true, and standard error says so.

Exit status:
  0 done, 1 failed, 2 wrong usage, 3 no model in this file, 4 damaged file";

/// Texts come from the arguments, or one a line from a file or standard input.
#[derive(Debug, Args)]
#[command(after_long_help = INFER_HELP, after_help = "`--help` describes the results.")]
pub(crate) struct Infer {
    /// Texts to run the model on; none: one a line from standard input
    #[arg(value_name = "TEXT", conflicts_with = "input")]
    pub(crate) texts: Vec<OsString>,

    /// Read texts from FILE, one a line (`-`: standard input)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    /// How results are written
    #[arg(short, long, value_enum, default_value_t = Format::Json)]
    pub(crate) format: Format,

    /// Largest number of texts that the model gets at once
    #[arg(long, value_name = "N", default_value = "8")]
    pub(crate) batch_size: NonZeroUsize,

    /// Longest text that is accepted, in bytes
    #[arg(long, value_name = "BYTES", default_value = "1048576")]
    pub(crate) max_text_bytes: NonZeroUsize,

    /// Threads that the model runs on [default: as many as there are processors, at most 16]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,

    /// Verify the weights' SHA-256 before they are used
    #[arg(long)]
    pub(crate) verify: bool,

    /// How the weights get into memory, for measurements
    #[arg(long, value_enum, default_value_t = Weights::Auto, hide = true)]
    pub(crate) weights: Weights,
}

impl Infer {
    /// How many texts are looked at together, to find those of like length. Bounds the memory of a run.
    pub(crate) fn window(&self) -> usize {
        self.batch_size.get().saturating_mul(4).min(MOST_TEXTS)
    }
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One document
    Json,
    /// One result a line, as they come
    Jsonl,
}

/// How the weights get into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Weights {
    /// Mapped where the file can be mapped by its path, else copied
    Auto,
    /// Mapped, or not at all
    Map,
    /// Copied
    Copy,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
