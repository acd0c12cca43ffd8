//! Everything that stops the program: its message, its exit code, and what to do next.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use encoderfile_format::{BaseError, TaskError, WriteError, onnx::OnnxError};
use encoderfile_registry::Target;

use crate::build_file::BuildFileError;
use crate::model_folder::ModelFolderError;
use crate::tokenizer::TokenizerError;
use crate::trial::TrialError;

/// Why a model's graph cannot be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelError {
    #[error("it is not an ONNX model{}", looks_like.map(|like| format!(", {like}")).unwrap_or_default())]
    Onnx { source: OnnxError, looks_like: Option<LooksLike> },
    #[error(transparent)]
    Task(TaskError),
    #[error("it keeps weights in the file `{file}`, which is not supported yet")]
    ExternalData { file: String },
    #[error("config.json names {labels} labels, but the output `{output}` has {width} values")]
    Labels { labels: usize, output: String, width: u64 },
}

/// What is often found in place of a model.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LooksLike {
    GitLfsPointer,
    WebPage,
    Nothing,
}

impl fmt::Display for LooksLike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GitLfsPointer => "but the pointer that Git LFS leaves in its place",
            Self::WebPage => "but a web page or XML",
            Self::Nothing => "the file is empty",
        })
    }
}

/// What stops the program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{error}")]
    Registry { error: Box<encoderfile_registry::Error>, flags: String },
    #[error(transparent)]
    Target(#[from] encoderfile_registry::UnknownTarget),
    #[error(transparent)]
    BuildFile(#[from] BuildFileError),
    #[error("the build file `{}` has no `path`, and no MODEL_DIR was given", path.display())]
    NoModelFolder { path: PathBuf },
    #[error("a model cannot be named {name:?}")]
    Name { name: String },
    #[error(transparent)]
    ModelFolder(#[from] ModelFolderError),
    #[error("cannot use the model `{}`", path.display())]
    Model { path: PathBuf, source: Box<ModelError> },
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error("cannot use `{}` as a base binary", path.display())]
    BaseBinary { path: PathBuf, source: BaseError },
    #[error("the base binary `{}` is for `{found}`, but the file is to be built for `{wanted}`", path.display())]
    BaseTarget { path: PathBuf, found: String, wanted: Target },
    #[error(transparent)]
    Write(Box<WriteError>),
    #[error("`{}` was not built", output.display())]
    Trial { output: PathBuf, source: TrialError },

    #[error("cannot open `{}`", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("`{}` cannot be read as an encoderfile", path.display())]
    Format { path: PathBuf, source: Box<encoderfile_format::Error> },
    #[error("`{}` is damaged: {}", path.display(), parts.join(", "))]
    Damaged { path: PathBuf, parts: Vec<String> },
    #[error("cannot extract from `{}`", path.display())]
    Extract { path: PathBuf, source: Box<WriteError> },
    #[error("`{}` has no artifact `{name}`, only {}", path.display(), known.join(", "))]
    NoSuchArtifact { path: PathBuf, name: String, known: Vec<String>, suggestion: Option<String> },
    #[error("`{}` is there already", path.display())]
    OutputExists { path: PathBuf },
    #[error("cannot create the folder `{}`", path.display())]
    CreateFolder { path: PathBuf, source: io::Error },
    #[error("this system has no cache folder for this user")]
    NoCacheFolder,
    #[error("cannot wait for downloads")]
    Runtime(#[source] io::Error),
    #[error("cannot write to standard output")]
    Stdout(#[source] io::Error),
}

impl From<encoderfile_registry::Error> for Error {
    fn from(error: encoderfile_registry::Error) -> Self {
        Self::Registry { error: Box::new(error), flags: String::new() }
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        Self::Write(Box::new(error))
    }
}

impl Error {
    /// Why, below the message: level by level.
    pub(crate) fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        use std::error::Error as _;
        match self {
            // Its message is the registry's own.
            Self::Registry { error, .. } => error.source(),
            _ => self.source(),
        }
    }

    pub(crate) fn format(path: &Path, source: encoderfile_format::Error) -> Self {
        Self::Format { path: path.to_owned(), source: Box::new(source) }
    }

    /// The exit code, as `--help` lists them.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Registry { error, .. } => error.exit_code(),
            Self::Target(_) => 3,
            Self::NoModelFolder { .. } | Self::NoSuchArtifact { .. } | Self::Name { .. } => 2,
            Self::Damaged { .. } | Self::BaseBinary { source: BaseError::CutOff, .. } => 4,
            Self::Format { source, .. } if source.is_damage() => 4,
            Self::Write(error) | Self::Extract { source: error, .. } => match **error {
                WriteError::BaseDigest { .. }
                | WriteError::Extract(encoderfile_format::Error::ArtifactDigest { .. }) => 4,
                _ => 1,
            },
            _ => 1,
        }
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Registry { error, flags } => return error.hint(flags),
            Self::Target(error) => return Some(error.hint()),
            Self::BuildFile(error) => return error.hint(),
            Self::ModelFolder(error) => return error.hint(),
            Self::NoModelFolder { .. } => "add `path: MODEL_DIR` below `encoderfile:`",
            Self::Model { source, .. } => match **source {
                ModelError::Onnx { looks_like: Some(LooksLike::GitLfsPointer), .. } => {
                    "fetch the model itself with `git lfs pull` in its folder"
                }
                ModelError::Onnx { .. } => {
                    "is the file complete? Compare its size and sha256 with its publisher's"
                }
                ModelError::Task(ref error) => error.hint(),
                ModelError::ExternalData { .. } => {
                    "save the model in one file, which works up to 2 GB: `onnx.save(onnx.load(IN), OUT)`"
                }
                ModelError::Labels { .. } => {
                    "correct `id2label` in config.json, or use the config.json of this model"
                }
            },
            Self::Tokenizer(TokenizerError::Limit { .. }) => "correct the limit in that file",
            Self::Tokenizer(_) => {
                "tokenizer.json must be of Hugging Face's `tokenizers`: copy it again from the model"
            }
            Self::BaseBinary { source: BaseError::CutOff, .. } => "copy it again, or build it anew",
            Self::BaseBinary { source: BaseError::HasPayload, .. } => "give the bare `encoderfile-runtime`",
            Self::BaseBinary { .. } => {
                "a base binary is the file `encoderfile-runtime` of a release, or `cargo build -p encoderfile-runtime --release`"
            }
            Self::BaseTarget { found, .. } => return Some(format!("build for it with `--target {found}`")),
            Self::Trial { .. } => {
                "its model folder has a fault that only running it shows; with `--no-check` it is built all the same"
            }
            Self::Name { .. } => "give a name with `--name`, or with `name` in the build file",
            Self::Open { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "make it readable, for example with `chmod +r`"
            }
            Self::Open { source, .. } if source.kind() == io::ErrorKind::NotFound => "check the path",
            Self::Write(error) => match **error {
                WriteError::OutputIsInput { .. } => "choose another `--output`",
                WriteError::OutputIsFolder { .. } => "give the file's whole path with `--output`",
                WriteError::InputChanged { .. } => "build again when nothing writes to it",
                WriteError::Output { ref source, .. } => match source.kind() {
                    io::ErrorKind::NotFound => "its folder does not exist: make it with `mkdir -p`",
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                        "choose a folder that you may write to with `--output`"
                    }
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                        "make room, or choose another disk with `--output`"
                    }
                    _ => return None,
                },
                _ => return None,
            },
            Self::Format { source, .. } => match **source {
                encoderfile_format::Error::NoPayload => {
                    "it is no encoderfile, or its end is missing: compare its size with the original's"
                }
                _ => return None,
            },
            Self::Damaged { .. } => "get the file again from where it came",
            Self::NoSuchArtifact { suggestion: Some(name), .. } => {
                return Some(format!("did you mean `{name}`?"));
            }
            Self::OutputExists { .. } => "choose another folder, or replace it with `--force`",
            Self::NoCacheFolder => "name one with `--cache-dir`",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
