//! The oldest system that a base binary runs on, measured from what it asks of the loader.

use std::collections::BTreeMap;

use encoderfile_format::SystemVersion;
use encoderfile_registry::{Floor, ObjectFormat, PlatformVersion, Target};
use object::read::elf::{FileHeader as _, SectionHeader as _, Sym as _};
use object::{Endianness, elf};

use crate::part::Part;

/// The newest glibc that a base binary may need: that of Debian bookworm.
pub(crate) const GLIBC_CEILING: PlatformVersion = PlatformVersion::new(2, 36);

/// What was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MeasuredFloor {
    /// The oldest system.
    pub(crate) floor: Floor,
    /// Which of the parts asks for it.
    pub(crate) part: Part,
    /// The symbols of that part which no older system has.
    pub(crate) symbols: Vec<String>,
    /// What each part asks for.
    pub(crate) needs: Vec<Option<Need>>,
}

/// The newest version that a part asks for, and its symbols that do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) version: PlatformVersion,
    pub(crate) symbols: Vec<String>,
}

/// Why there is no floor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FloorError {
    #[error("{part} cannot be read")]
    Unreadable { part: Part, source: object::Error },
    #[error("{part} has no section table that tells its symbol versions")]
    NoSections { part: Part },
    #[error("{part} needs symbol version `{version}`, which is no release of glibc")]
    UnknownVersion { part: Part, version: String, symbols: Vec<String> },
    #[error("{part} needs glibc {version}, newer than {GLIBC_CEILING}")]
    TooNew { part: Part, version: PlatformVersion, symbols: Vec<String> },
    #[error("it names no {0} version that it needs")]
    None(&'static str),
}

impl FloorError {
    pub(crate) fn details(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::TooNew { symbols, .. } | Self::UnknownVersion { symbols, .. } => {
                symbols.iter().map(|symbol| ("symbol", symbol.clone())).collect()
            }
            _ => Vec::new(),
        }
    }

    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::TooNew { .. } => Some("build it in `debian:bookworm`, as releases are".to_owned()),
            Self::NoSections { .. } => Some("strip symbols, but not the section table".to_owned()),
            _ => None,
        }
    }
}

/// Measures the parts of an executable for `target`.
pub(crate) fn measure(parts: &[(Part, &[u8])], target: Target) -> Result<MeasuredFloor, FloorError> {
    let (need, system): (fn(&[u8], Part) -> _, _) = match target.object_format() {
        ObjectFormat::Elf => (glibc_need, "glibc"),
        ObjectFormat::MachO => (macos_need, "macOS"),
    };
    let mut needs: Vec<Option<Need>> = Vec::new();
    let mut highest: Option<(Part, Need)> = None;
    for &(part, bytes) in parts {
        let need = need(bytes, part)?;
        if let Some(need) = &need
            && highest.as_ref().is_none_or(|(_, highest)| highest.version < need.version)
        {
            highest = Some((part, need.clone()));
        }
        needs.push(need);
    }
    let (part, Need { version, symbols }) = highest.ok_or(FloorError::None(system))?;
    let floor = match target.object_format() {
        ObjectFormat::Elf if version > GLIBC_CEILING => {
            return Err(FloorError::TooNew { part, version, symbols });
        }
        ObjectFormat::Elf => Floor::Glibc(version),
        ObjectFormat::MachO => Floor::Macos(version),
    };
    Ok(MeasuredFloor { floor, part, symbols, needs })
}

/// The newest glibc symbol version that the loader will insist on (`verneed`).
fn glibc_need(bytes: &[u8], part: Part) -> Result<Option<Need>, FloorError> {
    let unreadable = |source| FloorError::Unreadable { part, source };
    let Some(versions) = needed_versions(bytes).map_err(unreadable)? else {
        return Err(FloorError::NoSections { part });
    };
    let mut highest: Option<Need> = None;
    for (name, symbols) in versions {
        let version = match SystemVersion::of_symbol_version(&name) {
            Ok(Some(version)) => platform_version(version),
            Ok(None) => continue,
            Err(_) => return Err(FloorError::UnknownVersion { part, version: name, symbols }),
        };
        if highest.as_ref().is_none_or(|highest| highest.version < version) {
            let symbols = if symbols.is_empty() { vec![name] } else { symbols };
            highest = Some(Need { version, symbols });
        }
    }
    Ok(highest)
}

/// Every version in `verneed` that is not optional, with the symbols that carry it. None where a table is missing.
fn needed_versions(bytes: &[u8]) -> object::Result<Option<BTreeMap<String, Vec<String>>>> {
    let header = elf::FileHeader64::<Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, bytes)?;
    let segments = header.program_headers(endian, bytes)?;
    let is_dynamic = segments.iter().any(|segment| segment.p_type.get(endian) == elf::PT_DYNAMIC);
    if is_dynamic && !sections.iter().any(|section| section.sh_type(endian) == elf::SHT_DYNAMIC) {
        return Ok(None);
    }
    let mut versions = BTreeMap::new();
    let Some((mut needs, link)) = sections.gnu_verneed(endian, bytes)? else {
        return Ok(Some(versions));
    };
    let strings = sections.strings(endian, bytes, link)?;
    let mut names = BTreeMap::new();
    while let Some((_, mut entries)) = needs.next()? {
        while let Some(entry) = entries.next()? {
            let optional = entry.vna_flags.get(endian).contains(elf::VER_FLG_WEAK);
            if !optional {
                let name = String::from_utf8_lossy(entry.name(endian, strings)?).into_owned();
                versions.entry(name.clone()).or_insert_with(Vec::new);
                names.insert(entry.vna_other(endian).index(), name);
            }
        }
    }
    if let Some(table) = sections.versions(endian, bytes)? {
        let symbols = sections.symbols(endian, bytes, elf::SHT_DYNSYM)?;
        for (index, symbol) in symbols.enumerate() {
            let version = table.version_index(endian, index).index();
            if let Some(symbols_of_version) = names.get(&version).and_then(|name| versions.get_mut(name)) {
                let name = symbol.name(endian, symbols.strings())?;
                let version = &names[&version];
                symbols_of_version.push(format!("{}@{version}", String::from_utf8_lossy(name)));
            }
        }
    }
    for symbols in versions.values_mut() {
        symbols.sort();
    }
    Ok(Some(versions))
}

/// The deployment target.
fn macos_need(bytes: &[u8], part: Part) -> Result<Option<Need>, FloorError> {
    let version = SystemVersion::deployment_target(bytes);
    let version = version.map_err(|source| FloorError::Unreadable { part, source })?;
    Ok(version.map(|version| Need { version: platform_version(version), symbols: Vec::new() }))
}

fn platform_version(SystemVersion { major, minor, patch }: SystemVersion) -> PlatformVersion {
    PlatformVersion { major, minor, patch }
}
