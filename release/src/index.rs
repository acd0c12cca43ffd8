//! The index of a release, made from its archives alone.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use encoderfile_registry::{
    ArchiveFile, BaseIndex, BinaryFile, Digest, INDEX_NAME, PROJECT, RUNTIME_MEMBER, SCHEMA, Target,
    TargetEntry, cli_archive_name, runtime_archive_name,
};
use jiff::Timestamp;
use semver::Version;

use crate::archive::Unpacked;
use crate::check::Facts;
use crate::error::Error;
use crate::floor::MeasuredFloor;
use crate::folder::Folder;
use crate::pack::CLI_MEMBER;
use crate::source_date::source_date;
use crate::{archive, check, output, sbom};

/// The index that was written.
pub(crate) struct Indexed {
    path: PathBuf,
    targets: BTreeMap<Target, (TargetEntry, MeasuredFloor)>,
}

/// Writes the index of the release `version` into `directory`, with the time `published`, or else that of the environment or the
/// clock.
pub(crate) fn index(
    directory: &Path,
    version: &Version,
    published: Option<Timestamp>,
) -> Result<Indexed, Error> {
    let published = match published.map_or_else(source_date, |time| Ok(Some(time)))? {
        Some(time) => time,
        // Whole seconds: a release is no more exact than that.
        None => Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default(),
    };
    let folder = Folder::open(directory)?;
    let mut targets = BTreeMap::new();
    for (&target, path) in &folder.runtimes {
        let unpacked = archive::read(path, RUNTIME_MEMBER)?;
        let facts = check::base_binary(&unpacked.binary, path, target)?;
        let stamp = facts.stamp.clone().expect("a base binary has one");
        if stamp.version != version.to_string() {
            let expected = version.clone();
            return Err(Error::WrongVersion { path: path.clone(), expected, found: stamp.version });
        }
        let sbom = sbom_entry(folder.runtime_sboms.get(&target), &facts, version, &unpacked)?;
        let mut cli_sbom = None;
        let cli = match folder.clis.get(&target) {
            Some(path) => {
                let unpacked = archive::read(path, CLI_MEMBER)?;
                let facts = check::command_line(&unpacked.binary, path, target)?;
                cli_sbom = sbom_entry(folder.cli_sboms.get(&target), &facts, version, &unpacked)?;
                let (size, sha256) = (unpacked.size, unpacked.sha256);
                Some(ArchiveFile { name: cli_archive_name(target), size, sha256 })
            }
            None => None,
        };
        let entry = TargetEntry {
            archive: ArchiveFile {
                name: runtime_archive_name(target),
                size: unpacked.size,
                sha256: unpacked.sha256,
            },
            binary: BinaryFile { size: facts.size, sha256: facts.sha256 },
            floor: facts.floor,
            format_versions: stamp.format_versions,
            onnxruntime_version: stamp.onnxruntime_version,
            cli,
            sbom,
            cli_sbom,
        };
        targets.insert(target, (entry, facts.measured));
    }

    let path = directory.join(INDEX_NAME);
    let index = BaseIndex {
        schema: SCHEMA,
        project: PROJECT.to_owned(),
        version: version.clone(),
        published,
        targets: targets.iter().map(|(&target, (entry, _))| (target, entry.clone())).collect(),
    };
    let document = index.to_json().map_err(|source| Error::Index { path: path.clone(), source })?;
    if !fs::read(&path).is_ok_and(|existing| existing == document.as_bytes()) {
        // A signature of another document is worse than none: it looks as if this one had been tampered with.
        for signature in folder.signatures.get(INDEX_NAME).into_iter().flatten() {
            fs::remove_file(signature).map_err(Error::io("remove", signature))?;
        }
        output::write(&path, 0o644, document.as_bytes())?;
    }
    Ok(Indexed { path, targets })
}

/// What the index says of an SBOM, which must be about the program at hand.
fn sbom_entry(
    path: Option<&PathBuf>,
    facts: &Facts,
    version: &Version,
    unpacked: &Unpacked,
) -> Result<Option<ArchiveFile>, Error> {
    let Some(path) = path else { return Ok(None) };
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    sbom::check(&bytes, facts, &version.to_string(), &unpacked.notices)
        .map_err(|source| Error::Sbom { path: path.clone(), source: Box::new(source) })?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Some(ArchiveFile { name, size: bytes.len() as u64, sha256: Digest::of(&bytes) }))
}

impl fmt::Display for Indexed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        for (target, (entry, measured)) in &self.targets {
            let MeasuredFloor { floor, part, symbols, needs } = measured;
            let libraries = needs.len() - 1;
            let (archive, binary) = (entry.archive.size, entry.binary.size);
            write!(
                f,
                "\n  {target}\n    size:  {archive} packed, {binary} unpacked, {libraries} embedded libraries"
            )?;
            write!(f, "\n    floor: {floor}, because of {part}")?;
            if let Some((first, others)) = symbols.split_first() {
                write!(f, ": {first}")?;
                if !others.is_empty() {
                    write!(f, " and {} more", others.len())?;
                }
            }
        }
        Ok(())
    }
}
