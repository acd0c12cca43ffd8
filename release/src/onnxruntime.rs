//! The ONNX Runtime inside a base binary, and whether it is the pinned one.

use std::collections::BTreeMap;

use encoderfile_registry::{Digest, ObjectFormat, Target};
use object::read::elf::FileHeader as _;
use object::read::macho::{LoadCommandVariant, MachHeader as _};
use object::{Endianness, elf, macho};
use serde::{Deserialize, Serialize};

use crate::part::{self, Part};

/// The pins that this tool was built with.
const PINS: &str = include_str!("../onnxruntime.toml");

/// `release/onnxruntime.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pins {
    pub(crate) version: String,
    #[expect(dead_code, reason = "it is for fetching")]
    pub(crate) python: String,
    pub(crate) target: BTreeMap<Target, Pin>,
}

/// The pinned library for a target.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pin {
    #[expect(dead_code, reason = "it is for fetching")]
    pub(crate) platform: String,
    pub(crate) wheel: String,
    #[expect(dead_code, reason = "it is for fetching")]
    pub(crate) wheel_sha256: String,
    pub(crate) library: String,
    pub(crate) library_sha256: Digest,
}

impl Pins {
    /// Those that this tool was built with.
    pub(crate) fn compiled_in() -> Self {
        toml::from_str(PINS)
            .expect("`release/onnxruntime.toml` is of this form, as every test that packs shows")
    }
}

/// The library that a base binary holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct EmbeddedOnnxRuntime {
    /// The version that the library itself names.
    pub(crate) version: String,
    /// Where it starts in the base binary.
    pub(crate) offset: u64,
    /// Length in bytes.
    pub(crate) size: u64,
    /// Of these bytes.
    pub(crate) sha256: Digest,
    /// The pinned library that it is, byte for byte; none for one of somebody's own.
    pub(crate) pin: Option<MatchingPin>,
}

/// Which pinned library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct MatchingPin {
    pub(crate) version: String,
    pub(crate) target: Target,
    pub(crate) wheel: String,
    pub(crate) library: String,
}

/// Why the ONNX Runtime inside is not what it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum OnnxRuntimeError {
    #[error("no library inside it names a version of ONNX Runtime")]
    Missing,
    #[error("more than one library inside it names a version of ONNX Runtime")]
    Several { versions: Vec<String> },
    #[error("{part} cannot be read")]
    Unreadable { part: Part, source: object::Error },
    #[error("{part} is cut off")]
    CutOff { part: Part },
    #[error("it says of itself that it holds another version than it does")]
    OtherVersion { stamped: String, found: String },
}

impl OnnxRuntimeError {
    pub(crate) fn details(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Several { versions } => {
                versions.iter().map(|version| ("version", version.clone())).collect()
            }
            Self::OtherVersion { stamped, found } => {
                vec![("stamp", stamped.clone()), ("library", found.clone())]
            }
            _ => Vec::new(),
        }
    }
}

/// Finds the library among the parts of a base binary that is stamped with the version `stamped`.
pub(crate) fn find(
    parts: &[(Part, &[u8])],
    target: Target,
    stamped: &str,
) -> Result<EmbeddedOnnxRuntime, OnnxRuntimeError> {
    let mut found = Vec::new();
    for &(part, bytes) in parts.iter().filter(|(part, _)| *part != Part::Executable) {
        let unreadable = |source| OnnxRuntimeError::Unreadable { part, source };
        let Some(version) = version(bytes, target).map_err(unreadable)? else { continue };
        let image = part::image(bytes, target).map_err(unreadable)?;
        let image = image.ok_or(OnnxRuntimeError::CutOff { part })?;
        let sha256 = Digest::of(image);
        let pins = Pins::compiled_in();
        let pin = pins.target.into_iter().find(|(_, pin)| pin.library_sha256 == sha256);
        let pin = pin.map(|(target, Pin { wheel, library, .. })| MatchingPin {
            version: pins.version,
            target,
            wheel,
            library,
        });
        let (offset, size) = (part.start() as u64, image.len() as u64);
        found.push(EmbeddedOnnxRuntime { version, offset, size, sha256, pin });
    }
    if found.len() > 1 {
        let versions = found.into_iter().map(|library| library.version).collect();
        return Err(OnnxRuntimeError::Several { versions });
    }
    let found = found.pop().ok_or(OnnxRuntimeError::Missing)?;
    if found.version != stamped {
        return Err(OnnxRuntimeError::OtherVersion { stamped: stamped.to_owned(), found: found.version });
    }
    Ok(found)
}

/// The version of ONNX Runtime that a library defines its symbols for (ELF) or is installed as (Mach-O).
pub(crate) fn version(library: &[u8], target: Target) -> object::Result<Option<String>> {
    match target.object_format() {
        ObjectFormat::Elf => elf_version(library),
        ObjectFormat::MachO => macho_version(library),
    }
}

fn elf_version(library: &[u8]) -> object::Result<Option<String>> {
    let header = elf::FileHeader64::<Endianness>::parse(library)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, library)?;
    let Some((mut definitions, link)) = sections.gnu_verdef(endian, library)? else { return Ok(None) };
    let strings = sections.strings(endian, library, link)?;
    while let Some((_, mut names)) = definitions.next()? {
        while let Some(name) = names.next()? {
            let name = String::from_utf8_lossy(name.name(endian, strings)?).into_owned();
            if let Some(version) = name.strip_prefix("VERS_") {
                return Ok(Some(version.to_owned()));
            }
        }
    }
    Ok(None)
}

fn macho_version(library: &[u8]) -> object::Result<Option<String>> {
    let header = macho::MachHeader64::<Endianness>::parse(library, 0)?;
    let endian = header.endian()?;
    let mut commands = header.load_commands(endian, library, 0)?;
    while let Some(command) = commands.next()? {
        if let LoadCommandVariant::IdDylib(dylib) = command.variant()? {
            let name = String::from_utf8_lossy(command.string(endian, dylib.dylib.name)?).into_owned();
            let file_name = name.rsplit('/').next().unwrap_or(&name);
            let version =
                file_name.strip_prefix("libonnxruntime.").and_then(|rest| rest.strip_suffix(".dylib"));
            return Ok(version.map(str::to_owned));
        }
    }
    Ok(None)
}
