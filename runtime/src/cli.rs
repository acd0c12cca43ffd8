//! The command line.

use std::ffi::OsString;
use std::num::{IntErrorKind, NonZeroUsize};
use std::path::PathBuf;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
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
/// No more processors than this make one model faster, but each thread takes memory.
const MOST_THREADS: usize = 256;

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

Prompts:
  Some models of the task sentence_embedding were trained with a text before
  each input that says what it is for, such as `query: `. Where such a model
  names prompts, `--prompt-name NAME` puts one before every text, and without
  the option its default prompt stands there, if it has one. `--prompt TEXT` is
  any other text; a space between it and the input is part of it. Prompts count
  towards the model's limit.

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

    /// Largest number of texts that the model gets at once, from 1 to 1024
    #[arg(long, value_name = "N", default_value = "8", value_parser = number(MOST_TEXTS))]
    pub(crate) batch_size: NonZeroUsize,

    /// Longest text that is accepted, in bytes
    #[arg(long, value_name = "BYTES", default_value = "1048576", value_parser = number(usize::MAX))]
    pub(crate) max_text_bytes: NonZeroUsize,

    /// Threads that the model runs on, from 1 to 256 [default: as many as there are processors, at most 16]
    #[arg(long, value_name = "N", value_parser = number(MOST_THREADS))]
    pub(crate) threads: Option<NonZeroUsize>,

    /// Put the model's prompt of that name before every text [default: the model's default prompt, if it has one]
    #[arg(long, value_name = "NAME", conflicts_with = "prompt")]
    pub(crate) prompt_name: Option<String>,

    /// Put TEXT before every text (`""`: nothing, not even the model's default prompt)
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) prompt: Option<String>,

    /// Verify the SHA-256 of weights and external data before they are used
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

/// Reads a number from 1 to `most`.
fn number(most: usize) -> impl Fn(&str) -> Result<NonZeroUsize, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = match text.parse::<i128>() {
            Ok(number) => number,
            Err(error) if *error.kind() == IntErrorKind::PosOverflow => i128::MAX,
            Err(error) if *error.kind() == IntErrorKind::NegOverflow => i128::MIN,
            Err(_) => return Err("it must be a whole number".to_owned()),
        };
        if number < 1 {
            return Err("it must be at least 1".to_owned());
        }
        let number = usize::try_from(number).ok().filter(|number| *number <= most);
        number.and_then(NonZeroUsize::new).ok_or_else(|| format!("it must be at most {most}"))
    }
}

/// Adds how to run the model on a text, where a text was given without a command.
pub(crate) fn with_tip(mut error: clap::Error, name: &str) -> clap::Error {
    let is_near_a_command = error.get(ContextKind::SuggestedSubcommand).is_some();
    if error.kind() == ErrorKind::InvalidSubcommand && !is_near_a_command {
        let text = match error.get(ContextKind::InvalidSubcommand) {
            Some(ContextValue::String(text)) if is_plain(text) => text.as_str(),
            _ => "some text",
        };
        let tip = StyledStr::from(format!("to run the model on a text: {name} infer \"{text}\""));
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

/// Whether a text is short, and stands for itself within a shell's double quotes.
fn is_plain(text: &str) -> bool {
    text.chars().count() <= 60
        && !text.chars().any(|character| character.is_control() || "\"\\$`!".contains(character))
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

    #[test]
    fn numbers_are_bounded_and_the_bound_is_told() {
        let parse = number(256);
        for (text, number) in [("1", 1), ("256", 256), ("+16", 16)] {
            assert_eq!(parse(text).unwrap().get(), number);
        }
        let huge = "9".repeat(60);
        for (text, reason) in [
            ("0", "it must be at least 1"),
            ("-3", "it must be at least 1"),
            (&format!("-{huge}"), "it must be at least 1"),
            ("257", "it must be at most 256"),
            (&huge, "it must be at most 256"),
            ("", "it must be a whole number"),
            ("1.5", "it must be a whole number"),
            ("many", "it must be a whole number"),
        ] {
            assert_eq!(parse(text).unwrap_err(), reason, "{text}");
        }
    }

    fn error(arguments: &[&str]) -> String {
        let arguments = ["model"].iter().chain(arguments);
        with_tip(Arguments::try_parse_from(arguments).unwrap_err(), "model").to_string()
    }

    #[test]
    fn a_text_without_a_command_gets_a_tip() {
        let tip = "\n\n  tip: to run the model on a text: model infer";
        for (text, shown) in [("hello", "hello"), ("two words", "two words"), ("$HOME `x`", "some text")] {
            let error = error(&[text]);
            assert!(error.contains(&format!("{tip} \"{shown}\"\n")), "{error}");
        }
        assert!(error(&["infre"]).contains("'infer'") && !error(&["infre"]).contains(tip));
        assert!(!error(&["infer", "--format", "xml"]).contains("tip: to run"));
    }
}
