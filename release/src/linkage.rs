//! What an executable is linked with: only what every system of its target has, found where the system has it.

use encoderfile_registry::{ObjectFormat, Target};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};
use object::read::macho::{LoadCommandVariant, MachHeader as _};
use object::{Endianness, elf, macho};

use crate::part::Part;

/// glibc's own parts, and the two libraries of GCC that every distribution with glibc installs or offers as a matter of course.
const LINUX_LIBRARIES: [&str; 10] = [
    "ld-linux-aarch64.so.1",
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "librt.so.1",
    "libstdc++.so.6",
    "libutil.so.1",
];
/// What every macOS has.
const MACOS_LIBRARIES: [&str; 5] = [
    "/usr/lib/libSystem.B.dylib",
    "/usr/lib/libc++.1.dylib",
    "/usr/lib/libc++abi.dylib",
    "/usr/lib/libiconv.2.dylib",
    "/usr/lib/libobjc.A.dylib",
];
const MACOS_FRAMEWORKS: &str = "/System/Library/Frameworks/";
/// Where ONNX Runtime's library looks for its optional parts: beside itself, which for one loaded out of an executable is
/// nowhere (`memfd`) or a directory that holds it alone.
const BESIDE_ITSELF: [&str; 2] = ["$ORIGIN", "@loader_path"];
/// What a part is linked with.
#[derive(Debug)]
pub(crate) struct Linkage {
    /// The libraries that it has the loader load, in its own order.
    pub(crate) libraries: Vec<String>,
}

/// Why an executable is not one that can be given to others.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LinkageError {
    #[error("{part} cannot be read")]
    Unreadable { part: Part, source: object::Error },
    #[error("{part} needs libraries that not every system has")]
    Foreign { part: Part, libraries: Vec<String> },
    #[error("{part} has a search path for libraries of its own")]
    SearchPath { part: Part, paths: Vec<String> },
    #[error("{part} asks for an executable stack")]
    ExecutableStack { part: Part },
}

impl LinkageError {
    pub(crate) fn details(&self) -> Vec<(&'static str, String)> {
        let labelled = |label, values: &[String]| values.iter().map(|value| (label, value.clone())).collect();
        match self {
            Self::Foreign { libraries, .. } => labelled("library", libraries),
            Self::SearchPath { paths, .. } => labelled("path", paths),
            _ => Vec::new(),
        }
    }

    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Foreign { .. } => Some("link it statically, or do without it"),
            Self::SearchPath { .. } => Some("link it without `-rpath`"),
            Self::ExecutableStack { .. } => {
                Some("mark its assembly with `.note.GNU-stack`, or link it with `-z noexecstack`")
            }
            Self::Unreadable { .. } => None,
        }
    }
}

/// Examines a part of an executable for `target`.
pub(crate) fn examine(bytes: &[u8], part: Part, target: Target) -> Result<Linkage, LinkageError> {
    let unreadable = |source| LinkageError::Unreadable { part, source };
    let found = match target.object_format() {
        ObjectFormat::Elf => elf_linkage(bytes).map_err(unreadable)?,
        ObjectFormat::MachO => macho_linkage(bytes).map_err(unreadable)?,
    };
    let foreign: Vec<String> =
        found.libraries.iter().filter(|library| !is_everywhere(library, target)).cloned().collect();
    if !foreign.is_empty() {
        return Err(LinkageError::Foreign { part, libraries: foreign });
    }
    let is_library = part != Part::Executable;
    let mut paths = found.paths;
    paths.retain(|path| !(is_library && BESIDE_ITSELF.contains(&path.as_str())));
    if !paths.is_empty() {
        return Err(LinkageError::SearchPath { part, paths });
    }
    if found.executable_stack {
        return Err(LinkageError::ExecutableStack { part });
    }
    Ok(Linkage { libraries: found.libraries })
}

fn is_everywhere(library: &str, target: Target) -> bool {
    match target.object_format() {
        ObjectFormat::Elf => LINUX_LIBRARIES.contains(&library),
        ObjectFormat::MachO => {
            MACOS_LIBRARIES.contains(&library)
                || library.strip_prefix(MACOS_FRAMEWORKS).is_some_and(|rest| !rest.contains("/../"))
        }
    }
}

/// What the headers say, not yet judged.
#[derive(Debug, Default)]
struct Found {
    libraries: Vec<String>,
    paths: Vec<String>,
    executable_stack: bool,
}

fn elf_linkage(bytes: &[u8]) -> object::Result<Found> {
    let header = elf::FileHeader64::<Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, bytes)?;
    let mut found = Found::default();
    if let Some((entries, link)) = sections.dynamic(endian, bytes)? {
        let strings = sections.strings(endian, bytes, link)?;
        for entry in entries {
            let into = match entry.tag(endian) {
                elf::DT_NULL => break,
                elf::DT_NEEDED | elf::DT_AUXILIARY | elf::DT_FILTER => &mut found.libraries,
                elf::DT_RPATH | elf::DT_RUNPATH => &mut found.paths,
                _ => continue,
            };
            let name = u32::try_from(entry.val(endian)).ok().and_then(|offset| strings.get(offset).ok());
            into.push(String::from_utf8_lossy(name.unwrap_or(b"(unreadable)")).into_owned());
        }
    }
    // Without a word about it, the loader takes the old default, which is executable.
    let mut stack = header.program_headers(endian, bytes)?.iter();
    let stack = stack.rfind(|segment| segment.p_type(endian) == elf::PT_GNU_STACK);
    found.executable_stack = stack.is_none_or(|stack| stack.p_flags(endian).contains(elf::PF_X));
    Ok(found)
}

fn macho_linkage(bytes: &[u8]) -> object::Result<Found> {
    let header = macho::MachHeader64::<Endianness>::parse(bytes, 0)?;
    let endian = header.endian()?;
    let mut found = Found {
        executable_stack: header.flags(endian).contains(macho::MH_ALLOW_STACK_EXECUTION),
        ..Found::default()
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut commands = header.load_commands(endian, bytes, 0)?;
    while let Some(command) = commands.next()? {
        match command.variant()? {
            LoadCommandVariant::Dylib(dylib) => {
                found.libraries.push(text(command.string(endian, dylib.dylib.name)?));
            }
            LoadCommandVariant::Rpath(path) => found.paths.push(text(command.string(endian, path.path)?)),
            LoadCommandVariant::DyldEnvironment(environment) => {
                found.paths.push(text(command.string(endian, environment.name)?));
            }
            _ => {}
        }
    }
    Ok(found)
}
