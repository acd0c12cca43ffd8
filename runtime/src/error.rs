//! What can go wrong, which exit code it has, and what to do then.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use encoderfile_format::{ArtifactKind, ModelType, TaskError, TransformType};

use crate::input::Place;

/// Why the runtime stops.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// The reader of standard output went away, which is no fault.
    #[error("nobody reads standard output")]
    ReaderGone,
    #[error("cannot write to standard output")]
    Write(#[source] io::Error),

    #[error("`{model}` needs a command")]
    NoCommand { model: String, usage: String, name: String },
    #[error("no text to run the model on")]
    NoText,
    #[error("this is a base binary of Encoderfile, version {}: no model is appended to it", env!("CARGO_PKG_VERSION"))]
    NoModel,
    #[error("`{}`: the end of this file is missing or damaged", path.display())]
    NoEnd { path: PathBuf },
    #[error("the stamp of this base binary is damaged")]
    Stamp,
    #[error("cannot open the running executable")]
    OwnFile(#[source] io::Error),
    #[error("`{}` cannot be read as an encoderfile", path.display())]
    File { path: PathBuf, source: Box<encoderfile_format::Error> },
    #[error("`{}`: cannot read its {artifact}", path.display())]
    Artifact { path: PathBuf, artifact: String, source: Box<encoderfile_format::Error> },
    #[error("`{}`: its {kind} cannot be used", path.display())]
    Content { path: PathBuf, kind: ArtifactKind, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("a model of the task `{0}` cannot be run by this version")]
    Task(ModelType),
    #[error("this model's results are post-processed by {}, which this version cannot run", script(*.0))]
    Transform(TransformType),
    #[error("the model has no prompt `{name}`")]
    UnknownPrompt { name: String, known: Vec<String>, nearest: Option<String> },
    #[error("a model of the task `{0}` takes no prompt")]
    PromptTask(ModelType),
    #[error("the prompt is to be left out of the embedding, but the model pools by itself, prompt included")]
    PromptIsPooled,
    #[error("{place}: the prompt leaves no token of the text to pool")]
    NothingBesidePrompt { place: Place },

    #[error("cannot load the embedded ONNX Runtime")]
    Library(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("cannot map the weights in place: {0}")]
    Mapping(&'static str),
    #[error("ONNX Runtime cannot load the model")]
    Load(#[source] OnnxRuntimeError),
    #[error("ONNX Runtime failed to run the model")]
    Run(#[source] OnnxRuntimeError),
    #[error("the model does not fit its task")]
    Graph(#[source] TaskError),
    #[error("the model's output `{name}` has the shape {found:?}, expected {expected}")]
    OutputShape { name: String, found: Vec<i64>, expected: String },
    #[error("the model's output `{name}` has elements of type {found}, expected floating-point numbers")]
    OutputType { name: String, found: String },
    #[error("{place}: the model's output is {value}, not a number that JSON can hold")]
    NotFinite { place: Place, value: f32 },

    #[error("cannot open `{}`", path.display())]
    InputOpen { path: PathBuf, source: io::Error },
    #[error("{place}: cannot read")]
    InputRead { place: Place, source: io::Error },
    #[error("{place}: empty text")]
    EmptyText { place: Place },
    #[error("{place}: not UTF-8, byte {byte} of the text is {value:#04x}")]
    NotUtf8 { place: Place, byte: usize, value: u8 },
    #[error("{place}: text is longer than {limit} bytes")]
    TextTooLong { place: Place, limit: usize },
    #[error("{place}: cannot split the text into tokens")]
    Tokenize { place: Place, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{place}: the tokenizer finds no token in the text")]
    NoTokens { place: Place },
    #[error("{place}: {tokens} tokens, but the model takes exactly {limit}")]
    TooManyTokens { place: Place, tokens: usize, limit: usize },
}

/// What the results are post-processed by.
fn script(language: TransformType) -> Cow<'static, str> {
    match language {
        TransformType::Lua => "a Lua script".into(),
        TransformType::Other(number) => format!("a script in an unknown language (number {number})").into(),
        _ => "a script".into(),
    }
}

/// Which prompts there are instead.
fn prompts(known: &[String], nearest: Option<&str>) -> String {
    let list: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
    let other = "`--prompt TEXT` takes any text";
    match (nearest, &list[..]) {
        (_, []) => format!("it has none; {other}"),
        (Some(nearest), [_]) => format!("did you mean `{nearest}`? {other}"),
        (Some(nearest), _) => format!("did you mean `{nearest}`? It has {}; {other}", list.join(", ")),
        (None, _) => format!("it has {}; {other}", list.join(", ")),
    }
}

/// What ONNX Runtime says. `ort`'s own errors cannot outlive the library, and are not all of one type.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct OnnxRuntimeError(String);

impl<R> From<ort::Error<R>> for OnnxRuntimeError {
    fn from(error: ort::Error<R>) -> Self {
        Self(error.message().trim().to_owned())
    }
}

impl Error {
    /// The error of a failed write to standard output.
    pub(crate) fn writing(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Write(error),
        }
    }

    /// Exit codes are the command line's: 1 failed, 2 usage, 3 not available, 4 verification failed.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::NoCommand { .. } | Self::NoText | Self::UnknownPrompt { .. } | Self::PromptTask(_) => 2,
            Self::NoModel => 3,
            Self::File { source, .. } | Self::Artifact { source, .. } if source.is_damage() => 4,
            Self::NoEnd { .. } | Self::Stamp => 4,
            _ => 1,
        })
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> Option<Cow<'static, str>> {
        if let Self::UnknownPrompt { known, nearest, .. } = self {
            return Some(prompts(known, nearest.as_deref()).into());
        }
        let hint = match self {
            Self::NoText => {
                "give texts as arguments, `--input FILE` with one a line, or pipe lines in; see `infer --help`"
            }
            Self::NoModel => "`encoderfile build MODEL_DIR` makes one file of it and a model",
            Self::File { source, .. } | Self::Artifact { source, .. } if source.is_damage() => {
                "`encoderfile verify FILE` shows what is damaged; copy the file again or build it anew"
            }
            Self::NoEnd { .. } | Self::Stamp => "copy it again, or build it anew",
            Self::OwnFile(_) => "the file must be readable, and /proc must be mounted on Linux",
            Self::Transform(TransformType::Lua) => {
                "build the file without `transform`, or run it with encoderfile 0.7"
            }
            Self::Transform(_) => {
                "build the file without `transform`, or run it with the version that wrote it"
            }
            Self::PromptTask(_) => {
                "leave `--prompt` and `--prompt-name` out; `--prompt \"\"` turns a default prompt off"
            }
            Self::PromptIsPooled => {
                "run it without a prompt (`--prompt \"\"`), or build the file of a model that gives token vectors"
            }
            Self::NothingBesidePrompt { .. } => "use a shorter prompt",
            Self::Graph(error) => error.hint(),
            Self::EmptyText { place: Place::Argument(_) } => "leave it out",
            Self::EmptyText { .. } => "leave empty lines out",
            Self::NotUtf8 { .. } => "convert it, for example with `iconv -t UTF-8`",
            Self::TextTooLong { .. } => "split the text, or raise the limit with `--max-text-bytes`",
            _ => return None,
        };
        Some(hint.into())
    }
}
