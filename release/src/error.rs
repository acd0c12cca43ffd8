//! What can go wrong, what a person is told about it, and the exit code.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use encoderfile_format::{BaseError, CodeSignatureError, MachOError};
use encoderfile_registry::{Digest, INDEX_NAME, IndexError, KeyError, Target, TrustError};
use semver::Version;

use crate::floor::FloorError;
use crate::linkage::LinkageError;
use crate::onnxruntime::OnnxRuntimeError;
use crate::pin::PinError;
use crate::preflight::PreflightError;
use crate::publish::PublishError;
use crate::sbom::SbomError;

/// Why a command stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    #[error("cannot {action} `{}`", .path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },

    #[error("key file `{}` exists already", .path.display())]
    KeyExists { path: PathBuf },
    #[error("`{variable}` is set but empty")]
    EmptyPassword { variable: String },
    #[error("`{variable}` is not UTF-8")]
    PasswordNotText { variable: String },
    #[error("key {key_id} is named twice")]
    SameKey { key_id: String, paths: [PathBuf; 2] },
    #[error("cannot make a key pair")]
    GenerateKey { source: minisign::PError },
    #[error("secret key `{}` is encrypted, and `{variable}` is {state}", .path.display())]
    PasswordMissing { path: PathBuf, variable: String, state: &'static str },
    #[error("cannot decrypt secret key `{}` with the password in `{variable}`", .path.display())]
    EncryptedKey { path: PathBuf, variable: String, source: minisign::PError },
    #[error("cannot use secret key `{}`", .path.display())]
    SecretKey { path: PathBuf, source: minisign::PError },
    #[error("cannot sign `{}`", .path.display())]
    Sign { path: PathBuf, source: minisign::PError },
    #[error("the new signature of `{}` does not verify", .path.display())]
    Unverified { path: PathBuf, source: minisign_verify::Error },

    #[error("`{}` is not a base binary", .path.display())]
    NotABaseBinary { path: PathBuf, source: BaseError },
    #[error("`{}` is not an executable for `{target}`", .path.display())]
    WrongPlatform { path: PathBuf, target: Target, found: String },
    #[error("base binary `{}` says of itself that it is for another target", .path.display())]
    WrongTarget { path: PathBuf, expected: Target, found: String },
    #[error("base binary `{}` says of itself that it has another version", .path.display())]
    WrongVersion { path: PathBuf, expected: Version, found: String },
    #[error("`{}` is a base binary, not the command line", .path.display())]
    RuntimeAsCli { path: PathBuf },
    #[error("cannot measure the oldest system that `{}` runs on", .path.display())]
    Floor { path: PathBuf, source: FloorError },

    #[error("`{}` is linked with what others do not have", .path.display())]
    Linkage { path: PathBuf, source: LinkageError },
    #[error("no model can be put into `{}`", .path.display())]
    MachO { path: PathBuf, source: Box<MachOError> },
    #[error("the code signature of `{}` does not hold", .path.display())]
    CodeSignature { path: PathBuf, source: Box<CodeSignatureError> },
    #[error("`{}` does not hold the ONNX Runtime that it should", .path.display())]
    OnnxRuntime { path: PathBuf, source: OnnxRuntimeError },
    #[error("`{}` holds a shared library, and is no base binary: it has no stamp", .path.display())]
    LibraryInCli { path: PathBuf, offset: u64 },

    #[error("`{}` is not a release archive", .path.display())]
    Archive { path: PathBuf, reason: String },
    #[error("`{}` holds no archive of a base binary", .directory.display())]
    NoArchives { directory: PathBuf },
    #[error("`{}` holds files that do not belong to a release", .directory.display())]
    UnknownFiles { directory: PathBuf, names: Vec<String> },
    #[error("`{}` has no base binary beside it", .path.display())]
    CliWithoutRuntime { path: PathBuf, target: Target },

    #[error("`{}` is about a program that is not there", .path.display())]
    SbomWithoutArchive { path: PathBuf },

    #[error("`{}` does not tell what its program is made of", .path.display())]
    Sbom { path: PathBuf, source: Box<SbomError> },
    #[error("`{}` is a signature of a file that is not there", .path.display())]
    SignatureOfNothing { path: PathBuf },
    #[error("`{}` has no signature", .path.display())]
    Unsigned { path: PathBuf },
    #[error("`{}` is not to be believed", .path.display())]
    Untrusted { path: PathBuf, source: Box<TrustError> },
    #[error("cannot use the keys that are trusted")]
    TrustedKey { source: KeyError },
    #[error("`{}` is not what the index says of it: {what}", .path.display())]
    Disagrees { path: PathBuf, what: &'static str, expected: String, found: String },

    #[error("`{}` is not a valid index", .path.display())]
    Index { path: PathBuf, source: IndexError },
    #[error("`{}` is the index of another project's release", .path.display())]
    IndexProject { path: PathBuf, found: String },
    #[error("file `{name}` of `{}` is not in its index", .directory.display())]
    NotIndexed { directory: PathBuf, name: String },
    #[error("file `{name}` is in the index of `{}` but not there", .directory.display())]
    Missing { directory: PathBuf, name: String },
    #[error("file `{}` does not match its index", .path.display())]
    Mismatch { path: PathBuf, expected: (u64, Digest), found: (u64, Digest) },

    #[error("cannot read the workspace's dependencies")]
    Metadata { instead: Option<&'static str>, source: cargo_metadata::Error },
    #[error("the workspace has no package `{name}`")]
    NoPackage { name: String, instead: Option<&'static str> },
    #[error("dependency `{name}` {version} has no licence")]
    NoLicence { name: String, version: String },
    #[error("the notices of ONNX Runtime {version} for `{target}` are not there")]
    NoNotices { version: String, target: Target, path: PathBuf },
    #[error("cannot read `{}`", .path.display())]
    CargoLock { path: PathBuf, source: toml::de::Error },
    #[error("cannot pin ONNX Runtime {version}{}", for_target(*.target))]
    Pin { path: PathBuf, version: String, target: Option<Target>, source: Box<PinError> },
    #[error("cannot read the pinned ONNX Runtime version in `{}`", .path.display())]
    Pins { path: PathBuf, source: toml::de::Error },

    #[error(transparent)]
    Preflight(#[from] PreflightError),
    #[error(transparent)]
    Publish(#[from] PublishError),

    #[error("`SOURCE_DATE_EPOCH` is not a time: `{found}`")]
    SourceDateEpoch { found: String },
}

impl Error {
    /// For `map_err`: the same file operation may fail for many reasons, all of them told by the system.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// Labelled values that belong to the message.
    pub(crate) fn details(&self) -> Vec<(&'static str, String)> {
        let pair = |expected: String, found: String| vec![("expected", expected), ("found", found)];
        match self {
            Self::WrongPlatform { found, .. } => vec![("found", found.clone())],
            Self::WrongTarget { expected, found, .. } => pair(expected.to_string(), found.clone()),
            Self::WrongVersion { expected, found, .. } => pair(expected.to_string(), found.clone()),
            Self::Archive { reason, .. } => vec![("reason", reason.clone())],
            Self::SameKey { paths, .. } => {
                paths.iter().map(|path| ("key", path.display().to_string())).collect()
            }
            Self::UnknownFiles { names, .. } => names.iter().map(|name| ("file", name.clone())).collect(),
            Self::IndexProject { found, .. } => pair(encoderfile_registry::PROJECT.to_owned(), found.clone()),
            Self::Mismatch { expected, found, .. } => {
                let text = |(size, sha256): &(u64, Digest)| format!("{size} bytes, sha256 {sha256}");
                pair(text(expected), text(found))
            }
            Self::NoNotices { path, .. } => vec![("expected", path.display().to_string())],
            Self::SourceDateEpoch { .. } => {
                vec![("expected", "seconds since 1970, such as 1767323045".to_owned())]
            }
            Self::Floor { source, .. } => source.details(),
            Self::Publish(error) => error.details(),
            Self::Preflight(error) => error.details(),
            Self::Linkage { source, .. } => source.details(),
            Self::Sbom { source, .. } => source.details(),
            Self::Pin { path, source, .. } => {
                let mut details = vec![("file", path.display().to_string())];
                details.extend(source.details());
                details
            }
            Self::Disagrees { expected, found, .. } => pair(expected.clone(), found.clone()),
            Self::OnnxRuntime { source, .. } => source.details(),
            Self::LibraryInCli { offset, .. } => vec![("offset", offset.to_string())],
            _ => Vec::new(),
        }
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::KeyExists { .. } => "choose another directory; a key that has signed a release must not be lost".into(),
            Self::EmptyPassword { variable } => format!("set {variable} to a password, or unset it for a secret key without encryption"),
            Self::PasswordMissing { variable, .. } => {
                format!("set {variable} to the password that the key was made with, or take a key without one")
            }
            Self::EncryptedKey { variable, .. } => format!(
                "compare {variable} with the password that the key was made with, and see that no line end or blank came with it; if \
                 it is right, the key is damaged: take its other copy"
            ),
            Self::SecretKey { .. } => {
                "a secret key is two lines, made by `encoderfile-release keygen` or `minisign -G`: compare it with its other copy".into()
            }
            Self::NotABaseBinary { .. } | Self::WrongTarget { .. } | Self::WrongPlatform { .. } => {
                "a base binary is made by `cargo build -p encoderfile-runtime --release`, on its own platform or with \
                 `--target`"
                    .into()
            }
            Self::WrongVersion { .. } => "pack the base binaries of this version, or index them as theirs".into(),
            Self::RuntimeAsCli { .. } => "give it as `--runtime`, and the `encoderfile` executable as `--cli`".into(),
            Self::Floor { source, .. } => return source.hint(),
            Self::Publish(error) => return error.hint(),
            Self::Preflight(error) => return error.hint(),
            Self::Linkage { source, .. } => source.hint()?.into(),
            Self::MachO { source, .. } if matches!(**source, MachOError::Room { .. }) => {
                "link it with `-Wl,-headerpad,0x1000`".into()
            }
            Self::CodeSignature { .. } => {
                "sign it again with `codesign --force --sign -`, after everything else that changes it".into()
            }
            Self::LibraryInCli { .. } => {
                "a base binary keeps its stamp whatever is stripped from it; only the runtime holds ONNX Runtime".into()
            }
            Self::Archive { .. } => "make it again with `encoderfile-release pack`".into(),
            Self::NoArchives { .. } => "make them with `encoderfile-release pack --out` this directory".into(),
            Self::Sbom { .. } => "pack the program again with `encoderfile-release pack`".into(),
            Self::Pin { .. } => {
                "an official wheel for every target has to be in pip's index; `PIP_INDEX_URL` names another one".into()
            }
            Self::Unsigned { .. } => "sign it with `encoderfile-release sign`".into(),
            Self::Untrusted { source, .. } if matches!(**source, TrustError::NoKeys) => {
                "name the key with `--trusted-key FILE-OR-KEY`".into()
            }
            Self::Untrusted { .. } => {
                "compare the key with the one that the project shows elsewhere, and the files with another source's".into()
            }
            Self::SbomWithoutArchive { .. } | Self::SignatureOfNothing { .. } => "remove it, or pack that program too".into(),
            Self::UnknownFiles { .. } => "move them away: all of a release's files are published".into(),
            Self::CliWithoutRuntime { target, .. } => {
                format!("pack both: `encoderfile-release pack --target {target} --runtime FILE --cli FILE`")
            }
            Self::NotIndexed { .. } | Self::Missing { .. } | Self::Mismatch { .. } => format!(
                "if the archives are as they should be, write {INDEX_NAME} again with `encoderfile-release index`"
            ),
            Self::Io { path, source, .. }
                if source.kind() == io::ErrorKind::NotFound && path.ends_with(INDEX_NAME) =>
            {
                "make it with `encoderfile-release index --version VERSION` on this directory".into()
            }
            Self::Metadata { instead, .. } | Self::NoPackage { instead, .. } => {
                let hint = "run it inside the workspace or name its Cargo.toml with `--manifest-path`";
                match instead {
                    Some(options) => format!("{hint}; or give the notices as files: `{options}`"),
                    None => hint.into(),
                }
            }
            Self::NoLicence { .. } => "do without it, or ask its authors for a licence".into(),
            Self::NoNotices { target, .. } => format!(
                "`cargo build -p encoderfile-runtime --release --target {target}` fetches them; or give the notices \
                 as a file (`pack --third-party FILE`)"
            ),
            _ => return None,
        };
        Some(hint)
    }

    /// 0 is done, 1 failed, 2 usage, 4 a check that did not hold, 5 network.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::EmptyPassword { .. }
            | Self::PasswordNotText { .. }
            | Self::SameKey { .. }
            | Self::TrustedKey { .. }
            | Self::SourceDateEpoch { .. } => 2,
            Self::Unverified { .. }
            | Self::NotABaseBinary { .. }
            | Self::WrongPlatform { .. }
            | Self::WrongTarget { .. }
            | Self::WrongVersion { .. }
            | Self::RuntimeAsCli { .. }
            | Self::Floor { .. }
            | Self::Linkage { .. }
            | Self::MachO { .. }
            | Self::CodeSignature { .. }
            | Self::OnnxRuntime { .. }
            | Self::LibraryInCli { .. }
            | Self::Archive { .. }
            | Self::UnknownFiles { .. }
            | Self::CliWithoutRuntime { .. }
            | Self::SbomWithoutArchive { .. }
            | Self::Sbom { .. }
            | Self::SignatureOfNothing { .. }
            | Self::Unsigned { .. }
            | Self::Untrusted { .. }
            | Self::Disagrees { .. }
            | Self::Index { .. }
            | Self::IndexProject { .. }
            | Self::NotIndexed { .. }
            | Self::Missing { .. }
            | Self::Mismatch { .. }
            | Self::NoLicence { .. }
            | Self::Preflight(_) => 4,
            Self::Publish(error) => error.exit_code(),
            _ => 1,
        }
    }

    /// The whole message: what, on what, why, and what to do next.
    pub(crate) fn report(&self) -> String {
        let mut report = format!("error: {self}\n");
        let mut details = self.details();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            details.push(("cause", error.to_string().trim().replace('\n', "\n    ")));
            source = error.source();
        }
        let width = details.iter().map(|(label, _)| label.len()).max().unwrap_or_default() + 1;
        for (label, value) in details {
            let label = format!("{label}:");
            let _ = writeln!(report, "  {label:width$} {value}");
        }
        if let Some(hint) = self.hint() {
            let _ = writeln!(report, "hint: {hint}");
        }
        report
    }
}

fn for_target(target: Option<Target>) -> String {
    target.map(|target| format!(" for `{target}`")).unwrap_or_default()
}
