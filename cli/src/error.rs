//! Everything that stops the program: its message, its exit code, and what to do next.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use encoderfile_format::{BaseError, FORMAT_VERSION, MachOError, WriteError};
use encoderfile_registry::{InvalidKeyId, Requirement, Target};
use semver::Version;

use crate::build_file::BuildFileError;
use crate::config_file::ConfigFileError;
use crate::model::{GivenError, ModelError, ModelFolderError, TokenizerError};
use crate::terminal::size;
use crate::trial::TrialError;

/// What stops the program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{error}")]
    Registry { error: Box<encoderfile_registry::Error>, flags: String },
    #[error(transparent)]
    Target(#[from] encoderfile_registry::UnknownTarget),
    #[error(transparent)]
    ConfigFile(#[from] ConfigFileError),
    #[error("{variable} holds no access token: expected visible characters only")]
    Token { variable: String },
    #[error("cannot revoke a key")]
    RevokedKey(#[source] InvalidKeyId),
    #[error("cannot keep base binaries in `{}`: its name is not UTF-8", path.display())]
    CacheFolderName { path: PathBuf },
    #[error("interrupted{}", show_incomplete(incomplete))]
    Interrupted { incomplete: BTreeMap<Target, (u64, u64)> },
    #[error(transparent)]
    BuildFile(#[from] BuildFileError),
    #[error("the build file `{}` has no `path`, and no MODEL_DIR was given", path.display())]
    NoModelFolder { path: PathBuf },
    #[error("nothing to build: no MODEL_DIR, no `--file`, and no `encoderfile.yml` in the working folder")]
    NothingToBuild,
    #[error(
        "base binary for `{target}` {version} reads files of format {versions:?}, and this program writes format {FORMAT_VERSION}"
    )]
    FormatVersion { target: Target, version: Version, versions: Vec<u32> },
    #[error("`--locked` needs a lockfile, and a build without a build file has none")]
    NoLockfile,
    #[error(
        "`--locked` cannot hold for the base binary given with `--base-binary-path`: the lockfile does not pin it"
    )]
    UnpinnedPath,
    #[error("`{}` would change, which `--locked` and `--frozen` forbid\n  cause: {reason}", path.display())]
    WouldChange { path: PathBuf, reason: String },
    #[error("a model cannot be named {name:?}")]
    Name { name: String },
    #[error(transparent)]
    ModelFolder(#[from] ModelFolderError),
    #[error(transparent)]
    Given(#[from] GivenError),
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
    #[error("`{}` is a base binary: no model is appended to it", path.display())]
    NoModel { path: PathBuf },
    #[error("the base binary `{}` is version {found}, but {wanted} is asked for", path.display())]
    BaseVersion { path: PathBuf, found: String, wanted: Requirement },
    #[error("`{}` is damaged: {}", path.display(), parts.join(", "))]
    Damaged { path: PathBuf, parts: Vec<String> },
    #[error("`{}` is what its writer recorded, but does not make sense\n  cause: {}", path.display(), reasons.join("\n  cause: "))]
    Content { path: PathBuf, reasons: Vec<String> },
    /// What `diff --exit-code` ends with. It has been told.
    #[error("the files differ")]
    Differ,
    #[error("`{}` is a link, which may lead out of the folder", path.display())]
    OutputIsLink { path: PathBuf },
    #[error("`{}` names two files `{name}`", path.display())]
    SameName { path: PathBuf, name: String },
    #[error("cannot extract from `{}`", path.display())]
    Extract { path: PathBuf, source: Box<WriteError> },
    #[error("`{}` has no artifact `{name}`, only {}", path.display(), known.join(", "))]
    NoSuchArtifact { path: PathBuf, name: String, known: Vec<String>, suggestion: Option<String> },
    #[error("`{}` is there already", path.display())]
    OutputExists { path: PathBuf },
    #[error("no base binary for `{target}` in the cache satisfies `{requirement}`")]
    NoneCached { target: Target, requirement: Requirement, flags: String },
    #[error("cannot write `{}`", path.display())]
    Output { path: PathBuf, source: io::Error },
    #[error("`--older-than` is longer than there has been time")]
    TooLongAgo,
    #[error("will not write a bundle to a terminal")]
    BundleToTerminal,
    #[error("cannot create the folder `{}`", path.display())]
    CreateFolder { path: PathBuf, source: io::Error },
    #[error("this system has no cache folder for this user")]
    NoCacheFolder,
    #[error("cannot wait for downloads")]
    Runtime(#[source] io::Error),
    #[error("cannot write to standard output")]
    Stdout(#[source] io::Error),
}

/// What to do where a file is no base binary.
fn base_binary_hint(error: &BaseError) -> &'static str {
    let usual = "a base binary is the file `encoderfile-runtime` of a release, or `cargo build -p encoderfile-runtime --release`";
    match error {
        BaseError::CutOff => "copy it again, or build it anew",
        BaseError::HasPayload => "give the bare `encoderfile-runtime`",
        BaseError::MachO(error) => mach_o_hint(error).unwrap_or(usual),
        _ => usual,
    }
}

/// What to do where a file cannot be written.
fn write_hint(error: &WriteError) -> Option<&'static str> {
    Some(match error {
        WriteError::OutputIsInput { .. } => "choose another `--output`",
        WriteError::Damaged { .. } => "get the file again from where it came",
        WriteError::OutputIsFolder { .. } => "give the file's whole path with `--output`",
        WriteError::MachO { source, .. } => return mach_o_hint(source),
        WriteError::InputChanged { .. } => "build again when nothing writes to it",
        WriteError::Output { source, .. } => match source.kind() {
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
    })
}

/// What to do with a universal file.
const LIPO: &str =
    "take the file of one processor out of it, on a Mac with `lipo -thin arm64 FILE -output FILE`";

/// What to do where a base binary for macOS takes no model.
fn mach_o_hint(error: &MachOError) -> Option<&'static str> {
    Some(match error {
        MachOError::NotThin64 { is_fat: true } => LIPO,
        MachOError::HasModel => {
            "give the bare `encoderfile-runtime`; `encoderfile extract` takes it out of a file"
        }
        MachOError::Room { .. } => "link it with more room: `-C link-arg=-Wl,-headerpad,0x400` for Rust",
        MachOError::SignatureLost { .. } | MachOError::Signature(_) => {
            "take one that is signed ad hoc, and sign the new file on a Mac: `codesign -f -s IDENTITY FILE`"
        }
        MachOError::UnknownCommand { .. } | MachOError::Segments { .. } | MachOError::Fixups { .. } => {
            "take the base binary of a release, or link it with Apple's linker or LLVM's"
        }
        MachOError::TooLarge { .. } => "take smaller weights, such as those of half precision",
        _ => return None,
    })
}

fn show_incomplete(incomplete: &BTreeMap<Target, (u64, u64)>) -> String {
    let line = |(target, (here, total)): (&Target, &(u64, u64))| {
        format!("\n  kept: {} of {} for {target}", size(*here), size(*total))
    };
    incomplete.iter().map(line).collect()
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
            Self::Target(_) | Self::NoModel { .. } | Self::NoneCached { .. } | Self::FormatVersion { .. } => {
                3
            }
            Self::Interrupted { .. } => 130,
            Self::ConfigFile(_)
            | Self::RevokedKey(_)
            | Self::CacheFolderName { .. }
            | Self::Token { .. }
            | Self::BundleToTerminal
            | Self::TooLongAgo
            | Self::NothingToBuild
            | Self::NoLockfile
            | Self::UnpinnedPath
            | Self::NoModelFolder { .. }
            | Self::NoSuchArtifact { .. }
            | Self::Name { .. } => 2,
            Self::Damaged { .. }
            | Self::Content { .. }
            | Self::BaseBinary { source: BaseError::CutOff, .. } => 4,
            Self::Format { source, .. } if source.is_damage() => 4,
            Self::Write(error) | Self::Extract { source: error, .. } => match **error {
                WriteError::BaseDigest { .. }
                | WriteError::Damaged { .. }
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
            Self::ConfigFile(error) => return error.hint(),
            Self::Interrupted { incomplete } if !incomplete.is_empty() => {
                "run the same command again, which continues what has begun"
            }
            Self::ModelFolder(error) => return error.hint(),
            Self::Given(error) => return Some(error.hint()),
            Self::NothingToBuild => "name the folder of a model: `encoderfile build ./my-model`",
            Self::FormatVersion { .. } => {
                "take another release with `--runtime-version`, or the program of that release"
            }
            Self::NoLockfile => "name the build file with `--file`, or a lockfile with `--lockfile`",
            Self::UnpinnedPath => "leave out one of the two",
            Self::WouldChange { .. } => {
                "build without `--locked` where the lockfile may change, and commit it; `--update-base` moves its pins"
            }
            Self::NoModelFolder { .. } => "add `path: MODEL_DIR` below `encoderfile:`",
            Self::Model { source, .. } => return Some(source.hint()),
            Self::Tokenizer(error) => return Some(error.hint()),
            Self::BaseBinary { source, .. } => base_binary_hint(source),
            Self::BaseTarget { found, .. } => return Some(format!("build for it with `--target {found}`")),
            Self::Trial { source: TrialError::Start(_), .. } => {
                "the folder must be on a file system that programs may be started from, and the system must have the loader \
                 and libraries that the base binary needs; with `--no-check` it is built all the same"
            }
            Self::Trial { .. } => {
                "its model folder has a fault that only running it shows; with `--no-check` it is built all the same"
            }
            Self::Name { .. } => "give a name with `--name`, or with `name` in the build file",
            Self::Output { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "its folder does not exist: make it with `mkdir -p`"
            }
            Self::Open { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "make it readable, for example with `chmod +r`"
            }
            Self::Open { source, .. } if source.kind() == io::ErrorKind::NotFound => "check the path",
            Self::Write(error) => write_hint(error)?,
            Self::Format { source, .. } if source.is_damage() => "get the file again from where it came",
            Self::Format { source, path } => match **source {
                encoderfile_format::Error::NoPayload => {
                    "it is no encoderfile, or its end is missing: compare its size with the original's"
                }
                encoderfile_format::Error::Universal => LIPO,
                encoderfile_format::Error::NotAFile if path.is_dir() => {
                    "name the file itself; a model folder is for `encoderfile build`"
                }
                encoderfile_format::Error::NotAFile => "write it to a file first",
                _ => return None,
            },
            Self::Damaged { .. } => "get the file again from where it came",
            Self::NoModel { .. } => "`encoderfile build MODEL_DIR` makes one file of it and a model",
            Self::BaseVersion { .. } => {
                "leave out `runtime_version`, or give the base binary of that version"
            }
            Self::NoSuchArtifact { suggestion: Some(name), .. } => {
                return Some(format!("did you mean `{name}`?"));
            }
            Self::Content { .. } => {
                "the program that wrote it is at fault: build it again, or get another file"
            }
            Self::OutputIsLink { .. } => "choose another folder with `--output`",
            Self::SameName { .. } => "take them out one by one with `--artifact`",
            Self::OutputExists { .. } => "choose another name, or replace it with `--force`",
            Self::NoneCached { target, requirement, flags } => {
                let command =
                    format!("encoderfile base fetch --target {target} --runtime-version '{requirement}'");
                return Some(format!("fetch one, while there is a network, with `{command}{flags}`"));
            }
            Self::BundleToTerminal => "name a file with `--output`, or pipe it into another program",
            Self::NoCacheFolder | Self::CacheFolderName { .. } => "name another with `--cache-dir`",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
