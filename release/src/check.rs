//! Everything that must hold of an executable before it is given to others. `pack`, `index` and `verify` ask here too.

use std::path::Path;

use encoderfile_format::{Stamp, code_signature, header_room, verify_code_signature};
use encoderfile_registry::{Architecture, Digest, Floor, ObjectFormat, Target};
use serde::Serialize;

use crate::component::Program;
use crate::error::Error;
use crate::executable;
use crate::floor::{self, MeasuredFloor, Need};
use crate::linkage;
use crate::onnxruntime::{self, EmbeddedOnnxRuntime};
use crate::part::{Part, parts};

/// What was found out about an executable in which all is in order. Serialized, this is what `check` prints: keys are added
/// and never change.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Facts {
    /// Which of the project's programs it is.
    pub(crate) program: Program,
    /// What it is for.
    pub(crate) target: Target,
    /// Length in bytes.
    pub(crate) size: u64,
    /// Of the whole file.
    pub(crate) sha256: Digest,
    /// `ELF` or `Mach-O`.
    pub(crate) container: &'static str,
    /// `x86_64` or `aarch64`.
    pub(crate) architecture: &'static str,
    /// The oldest system that it runs on.
    pub(crate) floor: Floor,
    /// What a base binary says of itself.
    pub(crate) stamp: Option<Stamp>,
    /// The library inside a base binary.
    pub(crate) onnxruntime: Option<EmbeddedOnnxRuntime>,
    /// What only executables for macOS have.
    pub(crate) macos: Option<MacosFacts>,
    /// The executable itself, then the libraries inside it.
    pub(crate) parts: Vec<PartFacts>,
    /// Which of the parts needs the floor, and why.
    #[serde(skip)]
    pub(crate) measured: MeasuredFloor,
}

/// What was found out about an executable for macOS.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct MacosFacts {
    /// Zero bytes behind the load commands.
    pub(crate) header_room: u64,
    /// Its code signature, which holds. Intel's processors run what has none.
    pub(crate) signature: Option<SignatureFacts>,
}

/// What a code signature says.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SignatureFacts {
    /// What the signer calls the program.
    pub(crate) identifier: String,
    /// Whether nobody vouches for it with a certificate.
    pub(crate) ad_hoc: bool,
}

/// What was found out about a part of an executable.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PartFacts {
    /// `executable` or `library`.
    pub(crate) kind: &'static str,
    /// Where it starts.
    pub(crate) offset: u64,
    /// The newest glibc or macOS that it needs; none where it needs no version in particular.
    pub(crate) floor: Option<Floor>,
    /// The symbols that need it.
    pub(crate) floor_symbols: Vec<String>,
    /// The shared libraries that it needs.
    pub(crate) libraries: Vec<String>,
}

/// Checks the file `path` as `program`, or as what its stamp says that it is.
pub(crate) fn check(path: &Path, target: Target, program: Option<Program>) -> Result<Facts, Error> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let program = program.unwrap_or_else(|| match Stamp::find(&bytes) {
        Some(_) => Program::Runtime,
        None => Program::Cli,
    });
    match program {
        Program::Runtime => base_binary(&bytes, path, target),
        Program::Cli => command_line(&bytes, path, target),
    }
}

/// Checks that `bytes` are a base binary for `target`. `path` is what messages call it.
pub(crate) fn base_binary(bytes: &[u8], path: &Path, target: Target) -> Result<Facts, Error> {
    let stamp = executable::base_binary_in(bytes, path, target)?;
    let mut facts = facts(bytes, path, target, Program::Runtime)?;
    let found = onnxruntime::find(&parts(bytes, target), target, &stamp.onnxruntime_version);
    facts.onnxruntime = Some(found.map_err(|source| Error::OnnxRuntime { path: path.to_owned(), source })?);
    facts.stamp = Some(stamp);
    Ok(facts)
}

/// Checks that `bytes` are the command line for `target`.
pub(crate) fn command_line(bytes: &[u8], path: &Path, target: Target) -> Result<Facts, Error> {
    executable::command_line(bytes, path, target)?;
    let facts = facts(bytes, path, target, Program::Cli)?;
    match facts.parts.get(1) {
        Some(library) => Err(Error::LibraryInCli { path: path.to_owned(), offset: library.offset }),
        None => Ok(facts),
    }
}

/// What holds of every executable.
fn facts(bytes: &[u8], path: &Path, target: Target, program: Program) -> Result<Facts, Error> {
    let parts = parts(bytes, target);
    let linkage = parts.iter().map(|&(part, bytes)| linkage::examine(bytes, part, target));
    let linkage: Vec<_> = linkage
        .collect::<Result<_, _>>()
        .map_err(|source| Error::Linkage { path: path.to_owned(), source })?;
    let measured =
        floor::measure(&parts, target).map_err(|source| Error::Floor { path: path.to_owned(), source })?;
    let macos = match target.object_format() {
        ObjectFormat::Elf => None,
        ObjectFormat::MachO => Some(macos_facts(bytes, path, target)?),
    };
    let of_system = |need: &Need| match target.object_format() {
        ObjectFormat::Elf => Floor::Glibc(need.version),
        ObjectFormat::MachO => Floor::Macos(need.version),
    };
    let parts =
        parts.iter().zip(linkage).zip(&measured.needs).map(|((&(part, _), linkage), need)| PartFacts {
            kind: if part == Part::Executable { "executable" } else { "library" },
            offset: part.start() as u64,
            floor: need.as_ref().map(of_system),
            floor_symbols: need.as_ref().map(|need| need.symbols.clone()).unwrap_or_default(),
            libraries: linkage.libraries,
        });
    Ok(Facts {
        program,
        target,
        size: bytes.len() as u64,
        sha256: Digest::of(bytes),
        container: match target.object_format() {
            ObjectFormat::Elf => "ELF",
            ObjectFormat::MachO => "Mach-O",
        },
        architecture: match target.architecture() {
            Architecture::X86_64 => "x86_64",
            Architecture::Aarch64 => "aarch64",
        },
        floor: measured.floor,
        stamp: None,
        onnxruntime: None,
        macos,
        parts: parts.collect(),
        measured,
    })
}

/// What has to hold of an executable for macOS: its signature.
fn macos_facts(bytes: &[u8], path: &Path, target: Target) -> Result<MacosFacts, Error> {
    let file = executable::in_file(bytes, path)?;
    let unfit = |source| Error::MachO { path: path.to_owned(), source: Box::new(source) };
    let unsigned = |source| Error::CodeSignature { path: path.to_owned(), source: Box::new(source) };
    let header_room = header_room(&file).map_err(unfit)?.found;
    let may_be_unsigned = target.architecture() == Architecture::X86_64;
    let signature = match code_signature(&file).map_err(unsigned)? {
        None if may_be_unsigned => None,
        _ => Some(verify_code_signature(&file).map_err(unsigned)?),
    };
    let signature = signature
        .map(|signature| SignatureFacts { ad_hoc: signature.is_ad_hoc(), identifier: signature.identifier });
    Ok(MacosFacts { header_room, signature })
}

impl Facts {
    /// The facts as JSON, pretty.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("facts are strings, numbers and lists of them")
    }
}
