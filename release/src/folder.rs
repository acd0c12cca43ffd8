//! The directory of a release.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use encoderfile_registry::{INDEX_NAME, SIGNATURE_SUFFIX, Target, cli_archive_name, runtime_archive_name};

use crate::error::Error;

/// The archives that a release's directory holds.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Archives with base binaries; at least one.
    pub(crate) runtimes: BTreeMap<Target, PathBuf>,
    /// Archives with the command line, for targets that have a base binary too.
    pub(crate) clis: BTreeMap<Target, PathBuf>,
}

impl Folder {
    /// Looks at `directory`, where nothing may lie that is not part of a release. Hidden files do not count.
    pub(crate) fn open(directory: &Path) -> Result<Self, Error> {
        let mut folder = Self { runtimes: BTreeMap::new(), clis: BTreeMap::new() };
        let mut unknown = Vec::new();
        for entry in directory.read_dir().map_err(Error::io("read directory", directory))? {
            let entry = entry.map_err(Error::io("read directory", directory))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            let path = entry.path();
            let signed = name.strip_suffix(SIGNATURE_SUFFIX).unwrap_or(&name);
            let of_target = |archive_name: fn(Target) -> String| {
                Target::ALL.into_iter().find(|&target| archive_name(target) == signed)
            };
            let (archives, target) = if let Some(target) = of_target(runtime_archive_name) {
                (&mut folder.runtimes, Some(target))
            } else if let Some(target) = of_target(cli_archive_name) {
                (&mut folder.clis, Some(target))
            } else {
                (&mut folder.runtimes, None)
            };
            let is_file = entry.file_type().is_ok_and(|file_type| file_type.is_file());
            match target {
                Some(target) if is_file && signed == name => {
                    archives.insert(target, path);
                }
                Some(_) if is_file => {}
                None if is_file && signed == INDEX_NAME => {}
                _ => unknown.push(name),
            }
        }
        if !unknown.is_empty() {
            unknown.sort();
            return Err(Error::UnknownFiles { directory: directory.to_owned(), names: unknown });
        }
        if folder.runtimes.is_empty() {
            return Err(Error::NoArchives { directory: directory.to_owned() });
        }
        for (&target, path) in &folder.clis {
            if !folder.runtimes.contains_key(&target) {
                return Err(Error::CliWithoutRuntime { path: path.clone(), target });
            }
        }
        Ok(folder)
    }
}
