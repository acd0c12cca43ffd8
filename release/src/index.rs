//! The index of a release, made from its archives alone.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use encoderfile_registry::{
    ArchiveFile, BaseIndex, BinaryFile, Digest, INDEX_NAME, PROJECT, RUNTIME_MEMBER, SCHEMA,
    SIGNATURE_SUFFIX, Target, TargetEntry, cli_archive_name, runtime_archive_name,
};
use jiff::Timestamp;
use semver::Version;

use crate::error::Error;
use crate::floor::{self, MeasuredFloor};
use crate::folder::Folder;
use crate::pack::CLI_MEMBER;
use crate::source_date::source_date;
use crate::{archive, executable, output};

/// The index that was written.
pub(crate) struct Indexed {
    path: PathBuf,
    targets: BTreeMap<Target, (TargetEntry, MeasuredFloor)>,
}

/// Writes the index of the release `version` into `directory`.
pub(crate) fn index(directory: &Path, version: &Version) -> Result<Indexed, Error> {
    let published = match source_date()? {
        Some(time) => time,
        // Whole seconds: a release is no more exact than that.
        None => Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default(),
    };
    let folder = Folder::open(directory)?;
    let mut targets = BTreeMap::new();
    for (&target, path) in &folder.runtimes {
        let unpacked = archive::read(path, RUNTIME_MEMBER)?;
        let stamp = executable::base_binary_in(&unpacked.binary, path, target)?;
        if stamp.version != version.to_string() {
            let expected = version.clone();
            return Err(Error::WrongVersion { path: path.clone(), expected, found: stamp.version });
        }
        let measured = floor::measure(&unpacked.binary, target)
            .map_err(|source| Error::Floor { path: path.clone(), source })?;
        let cli = match folder.clis.get(&target) {
            Some(path) => {
                let unpacked = archive::read(path, CLI_MEMBER)?;
                executable::command_line(&unpacked.binary, path, target)?;
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
            binary: BinaryFile { size: unpacked.binary.len() as u64, sha256: Digest::of(&unpacked.binary) },
            floor: measured.floor,
            format_versions: stamp.format_versions,
            onnxruntime_version: stamp.onnxruntime_version,
            cli,
        };
        targets.insert(target, (entry, measured));
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
        let signature = directory.join(format!("{INDEX_NAME}{SIGNATURE_SUFFIX}"));
        match fs::remove_file(&signature) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &signature)(error));
            }
            _ => output::write(&path, 0o644, document.as_bytes())?,
        }
    }
    Ok(Indexed { path, targets })
}

impl fmt::Display for Indexed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        for (target, (entry, measured)) in &self.targets {
            let MeasuredFloor { floor, part, symbols, libraries } = measured;
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
