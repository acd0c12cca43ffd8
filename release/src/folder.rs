//! The directory of a release.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use encoderfile_registry::{
    INDEX_NAME, KeyId, SIGNATURE_SUFFIX, Target, cli_archive_name, cli_sbom_name, runtime_archive_name,
    runtime_sbom_name,
};

use crate::error::Error;

/// How a target's file of one kind is called.
type Naming = fn(Target) -> String;

/// The files that a release's directory holds.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    /// Archives with base binaries; at least one.
    pub(crate) runtimes: BTreeMap<Target, PathBuf>,
    /// Archives with the command line, for targets that have a base binary too.
    pub(crate) clis: BTreeMap<Target, PathBuf>,
    /// What base binaries are made of, where it is told.
    pub(crate) runtime_sboms: BTreeMap<Target, PathBuf>,
    /// What the command lines are made of, where it is told.
    pub(crate) cli_sboms: BTreeMap<Target, PathBuf>,
    /// Signatures, by the name of the file that they are of: the plain one, and those of further keys.
    pub(crate) signatures: BTreeMap<String, Vec<PathBuf>>,
}

impl Folder {
    /// Looks at `directory`, where nothing may lie that is not part of a release. Hidden files do not count.
    pub(crate) fn open(directory: &Path) -> Result<Self, Error> {
        let mut folder = Self::default();
        let mut unknown = Vec::new();
        for entry in directory.read_dir().map_err(Error::io("read directory", directory))? {
            let entry = entry.map_err(Error::io("read directory", directory))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            let is_file = entry.file_type().is_ok_and(|file_type| file_type.is_file());
            if !(is_file && folder.add(&name, entry.path())) {
                unknown.push(name);
            }
        }
        if !unknown.is_empty() {
            unknown.sort();
            return Err(Error::UnknownFiles { directory: directory.to_owned(), names: unknown });
        }
        if folder.runtimes.is_empty() {
            return Err(Error::NoArchives { directory: directory.to_owned() });
        }
        let lonely = |files: &BTreeMap<Target, PathBuf>, with: &BTreeMap<Target, PathBuf>| {
            let mut lonely = files.iter().filter(|(target, _)| !with.contains_key(target));
            lonely.next().map(|(&target, path)| (path.clone(), target))
        };
        if let Some((path, target)) = lonely(&folder.clis, &folder.runtimes) {
            return Err(Error::CliWithoutRuntime { path, target });
        }
        let sboms = [(&folder.runtime_sboms, &folder.runtimes), (&folder.cli_sboms, &folder.clis)];
        if let Some((path, _)) = sboms.into_iter().find_map(|(sboms, archives)| lonely(sboms, archives)) {
            return Err(Error::SbomWithoutArchive { path });
        }
        folder.signatures.values_mut().for_each(|paths| paths.sort());
        Ok(folder)
    }

    /// Takes a file in by its name. False if no release has one of this name.
    fn add(&mut self, name: &str, path: PathBuf) -> bool {
        if name == INDEX_NAME {
            return true;
        }
        let kinds: [(Naming, &mut BTreeMap<Target, PathBuf>); 4] = [
            (runtime_archive_name, &mut self.runtimes),
            (cli_archive_name, &mut self.clis),
            (runtime_sbom_name, &mut self.runtime_sboms),
            (cli_sbom_name, &mut self.cli_sboms),
        ];
        for (name_for, files) in kinds {
            if let Some(target) = Target::ALL.into_iter().find(|&target| name_for(target) == name) {
                files.insert(target, path);
                return true;
            }
        }
        let Some(signed) = name.strip_suffix(SIGNATURE_SUFFIX).map(without_key_id) else { return false };
        let has_signature = |target| [runtime_archive_name(target), cli_archive_name(target)];
        if signed != INDEX_NAME
            && !Target::ALL.into_iter().any(|target| has_signature(target).contains(&signed.to_owned()))
        {
            return false;
        }
        self.signatures.entry(signed.to_owned()).or_default().push(path);
        true
    }
}

/// The name without the id of the key, which the signatures of further keys have in theirs.
fn without_key_id(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((file, id)) if id.parse::<KeyId>().is_ok() => file,
        _ => name,
    }
}
