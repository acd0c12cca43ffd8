//! Renews the pins of ONNX Runtime: one command, and what it writes is what everybody's build is held to.

use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use encoderfile_registry::{Architecture, Digest, ObjectFormat, Target};
use toml_edit::{DocumentMut, Item};

use crate::error::Error;
use crate::{executable, onnxruntime, output};

/// The newest tags of platforms that are asked for; pip takes the oldest that a wheel has.
const NEWEST_GLIBC_MINOR: u32 = crate::floor::GLIBC_CEILING.minor;
const OLDEST_GLIBC_MINOR: u32 = 17;
const OLDEST_MACOS: u32 = 11;
const NEWEST_MACOS: u32 = 26;
/// More than any library of ONNX Runtime's has.
const LIBRARY_LIMIT: u64 = 1 << 30;

/// What the file said before and says now.
pub(crate) struct Pinned {
    path: PathBuf,
    changes: Vec<(String, String, String)>,
}

/// Why a library cannot be pinned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PinError {
    #[error("the file of pins cannot be edited")]
    Toml(#[from] toml_edit::TomlError),
    #[error("the file of pins has no text `{key}`")]
    NoKey { key: String },
    #[error("no Python 3 was found (`python3`, `python`)")]
    NoPython,
    #[error("`python` cannot be run")]
    Python(#[source] io::Error),
    #[error("pip found no wheel")]
    Pip { output: String },
    #[error("pip left {found} files where one wheel was expected")]
    Files { found: usize },
    #[error("wheel `{wheel}` has no platform in its name")]
    Name { wheel: String },
    #[error("wheel `{wheel}` cannot be unpacked")]
    Wheel { wheel: String, source: zip::result::ZipError },
    #[error("wheel `{wheel}` holds no ONNX Runtime library")]
    NoLibrary { wheel: String },
    #[error("library `{library}` in wheel `{wheel}` is not for this target")]
    OtherPlatform { wheel: String, library: String, found: String },
    #[error("library `{library}` in wheel `{wheel}` cannot be read")]
    Library { wheel: String, library: String, source: object::Error },
    #[error("library `{library}` in wheel `{wheel}` is of another version")]
    OtherVersion { wheel: String, library: String, found: String },
}

impl PinError {
    pub(crate) fn details(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Pip { output } => vec![("pip", output.replace('\n', "\n    "))],
            Self::OtherVersion { found, .. } | Self::OtherPlatform { found, .. } => {
                vec![("found", found.clone())]
            }
            _ => Vec::new(),
        }
    }
}

/// A wheel's library, as the file pins it.
struct Fetched {
    platform: String,
    wheel: String,
    wheel_sha256: Digest,
    library: String,
    library_sha256: Digest,
}

/// Pins `version` in the file `path` for all its targets, with the wheels of this Python, or of the one that it names now.
/// Everything else in the file stays as it is. Nothing is written unless all targets have a library.
pub(crate) fn pin(path: &Path, version: &str, python: Option<&str>) -> Result<Pinned, Error> {
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let failed = |target: Option<Target>| {
        let (path, version) = (path.to_owned(), version.to_owned());
        move |source| Error::Pin { path, version, target, source: Box::new(source) }
    };
    let mut document: DocumentMut = text.parse().map_err(PinError::from).map_err(failed(None))?;
    let python = match python {
        Some(python) => python.to_owned(),
        None => text_at(document.as_item_mut(), "python").map_err(failed(None))?.to_owned(),
    };
    let mut changes = Vec::new();
    set(document.as_item_mut(), "version", version, "", &mut changes).map_err(failed(None))?;
    set(document.as_item_mut(), "python", &python, "", &mut changes).map_err(failed(None))?;
    for target in Target::ALL {
        let Fetched { platform, wheel, wheel_sha256, library, library_sha256 } =
            fetch(target, version, &python).map_err(failed(Some(target)))?;
        let no_key = || PinError::NoKey { key: format!("target.{target}") };
        let pins = document.get_mut("target").and_then(|pins| pins.get_mut(target.triple()));
        let pin = pins.ok_or_else(no_key).map_err(failed(Some(target)))?;
        let values = [
            ("platform", platform),
            ("wheel", wheel),
            ("wheel_sha256", wheel_sha256.to_string()),
            ("library", library),
            ("library_sha256", library_sha256.to_string()),
        ];
        for (key, value) in values {
            set(pin, key, &value, target.triple(), &mut changes).map_err(failed(Some(target)))?;
        }
    }
    let new = document.to_string();
    if new != text {
        output::write(path, 0o644, new.as_bytes())?;
    }
    Ok(Pinned { path: path.to_owned(), changes })
}

fn text_at<'a>(table: &'a mut Item, key: &str) -> Result<&'a str, PinError> {
    table.get(key).and_then(Item::as_str).ok_or_else(|| PinError::NoKey { key: key.to_owned() })
}

/// Sets a text and keeps what stands around it, such as a comment.
fn set(
    table: &mut Item,
    key: &str,
    new: &str,
    of: &str,
    changes: &mut Vec<(String, String, String)>,
) -> Result<(), PinError> {
    let value = table.get_mut(key).and_then(Item::as_value_mut);
    let value = value.ok_or_else(|| PinError::NoKey { key: key.to_owned() })?;
    let old = value.as_str().ok_or_else(|| PinError::NoKey { key: key.to_owned() })?.to_owned();
    if old != new {
        let decor = value.decor().clone();
        *value = new.into();
        *value.decor_mut() = decor;
        let name = if of.is_empty() { key.to_owned() } else { format!("{of} {key}") };
        changes.push((name, old, new.to_owned()));
    }
    Ok(())
}

/// Fetches the wheel for a target with pip, which knows the user's mirrors, proxies and certificates.
fn fetch(target: Target, version: &str, python: &str) -> Result<Fetched, PinError> {
    let directory = tempfile::tempdir().map_err(PinError::Python)?;
    download(directory.path(), target, version, python)?;
    let entries = directory.path().read_dir().map_err(PinError::Python)?;
    let files: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    let [wheel_path] = &files[..] else { return Err(PinError::Files { found: files.len() }) };
    let wheel = wheel_path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // `…-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl`: the last part names the platforms, the oldest first.
    let platforms = wheel.strip_suffix(".whl").and_then(|stem| stem.rsplit('-').next());
    let platform = platforms.and_then(|tags| tags.split('.').next()).filter(|tag| tag.contains('_'));
    let platform = platform.ok_or_else(|| PinError::Name { wheel: wheel.clone() })?.to_owned();
    let bytes = fs::read(wheel_path).map_err(PinError::Python)?;
    let (library, content) = library(&bytes, &wheel, target, version)?;
    if let Some(found) = executable::other_platform(&content, target) {
        return Err(PinError::OtherPlatform { wheel, library, found });
    }
    let found = match onnxruntime::version(&content, target) {
        Ok(found) => found,
        Err(source) => return Err(PinError::Library { wheel, library, source }),
    };
    if found.as_deref() != Some(version) {
        let found = found.unwrap_or_else(|| "none".to_owned());
        return Err(PinError::OtherVersion { wheel, library, found });
    }
    let (wheel_sha256, library_sha256) = (Digest::of(&bytes), Digest::of(&content));
    Ok(Fetched { platform, wheel, wheel_sha256, library, library_sha256 })
}

fn download(directory: &Path, target: Target, version: &str, python: &str) -> Result<(), PinError> {
    let mut failure = PinError::NoPython;
    for program in ["python3", "python"] {
        let mut command = Command::new(program);
        command.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]);
        command.args(["--disable-pip-version-check", "--implementation=cp", "--python-version", python]);
        command.args(platforms(target).iter().flat_map(|platform| ["--platform", platform]));
        command.arg("--dest").arg(directory).arg(format!("onnxruntime=={version}"));
        match command.output() {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => {
                let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                return Err(PinError::Pip { output });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => failure = PinError::Python(error),
        }
    }
    Err(failure)
}

/// The tags that a wheel for a target may have, oldest system first, which pip prefers.
fn platforms(target: Target) -> Vec<String> {
    match (target.object_format(), target.architecture()) {
        (ObjectFormat::Elf, architecture) => {
            let architecture = match architecture {
                Architecture::X86_64 => "x86_64",
                Architecture::Aarch64 => "aarch64",
            };
            let versions = OLDEST_GLIBC_MINOR..=NEWEST_GLIBC_MINOR;
            versions.map(|minor| format!("manylinux_2_{minor}_{architecture}")).collect()
        }
        (ObjectFormat::MachO, architecture) => {
            let architecture = match architecture {
                Architecture::X86_64 => "x86_64",
                Architecture::Aarch64 => "arm64",
            };
            (OLDEST_MACOS..=NEWEST_MACOS).map(|major| format!("macosx_{major}_0_{architecture}")).collect()
        }
    }
}

/// Name and content of the library in a wheel.
fn library(bytes: &[u8], wheel: &str, target: Target, version: &str) -> Result<(String, Vec<u8>), PinError> {
    let unreadable = |source| PinError::Wheel { wheel: wheel.to_owned(), source };
    let name = match target.object_format() {
        ObjectFormat::Elf => format!("onnxruntime/capi/libonnxruntime.so.{version}"),
        ObjectFormat::MachO => format!("onnxruntime/capi/libonnxruntime.{version}.dylib"),
    };
    let mut archive = zip::ZipArchive::new(io::Cursor::new(bytes)).map_err(unreadable)?;
    let file = match archive.by_name(&name) {
        Ok(file) => file,
        Err(zip::result::ZipError::FileNotFound) => {
            return Err(PinError::NoLibrary { wheel: wheel.to_owned() });
        }
        Err(error) => return Err(unreadable(error)),
    };
    let mut content = Vec::new();
    file.take(LIBRARY_LIMIT).read_to_end(&mut content).map_err(|error| unreadable(error.into()))?;
    Ok((name, content))
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            return write!(f, "{}: nothing has changed", self.path.display());
        }
        write!(f, "{}", self.path.display())?;
        for (name, old, new) in &self.changes {
            write!(f, "\n  {name}\n    before: {old}\n    now:    {new}")?;
        }
        Ok(())
    }
}
