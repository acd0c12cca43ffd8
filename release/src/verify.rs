//! What somebody does who believes nobody: a release is looked at again from its files alone.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use encoderfile_registry::{
    ArchiveFile, BaseIndex, Floor, INDEX_NAME, KeyId, RUNTIME_MEMBER, SignedIndex, Target, TrustError,
    TrustedKeys, archive_trusted_comment,
};
use semver::Version;

use crate::archive::{self, Unpacked};
use crate::check::{self, Facts};
use crate::error::Error;
use crate::folder::Folder;
use crate::pack::CLI_MEMBER;
use crate::sbom;
use crate::sign::indexed_files;

/// A release in which all is as it should be.
pub(crate) struct Verified {
    version: Version,
    key_ids: BTreeSet<KeyId>,
    programs: Vec<VerifiedProgram>,
}

/// A program of the release.
struct VerifiedProgram {
    target: Target,
    name: &'static str,
    floor: Floor,
    onnxruntime: Option<String>,
    /// How many components its SBOM names.
    components: Option<usize>,
}

/// Verifies the release in `directory` as one that the owner of a trusted key made: the project's own keys where none is given.
pub(crate) fn verify(directory: &Path, trusted_keys: &[String]) -> Result<Verified, Error> {
    let keys = keys(trusted_keys).map_err(|source| Error::TrustedKey { source })?;
    let folder = Folder::open(directory)?;
    let index_path = directory.join(INDEX_NAME);
    let bytes = std::fs::read(&index_path).map_err(Error::io("read", &index_path))?;
    // Whose version it is, the signature has to say too.
    let invalid = |source| Error::Index { path: index_path.clone(), source };
    let version = BaseIndex::parse(&bytes).map_err(invalid)?.version;
    let mut key_ids = BTreeSet::new();
    let mut index = None;
    let index_signers = signers(&folder, &index_path, |signature| {
        let signed = SignedIndex::verify(&keys, bytes.clone(), signature, &version)?;
        index = Some(signed.index);
        Ok(signed.key_id)
    })?;
    key_ids.extend(index_signers);
    let index = index.expect("somebody signed it");

    let files = indexed_files(&folder, directory, &index)?;
    for (path, bytes) in &files {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(encoderfile_registry::SBOM_SUFFIX) {
            continue;
        }
        let expected = archive_trusted_comment(&name, &version);
        let archive_signers = signers(&folder, path, |signature| {
            let signature = String::from_utf8(signature)
                .map_err(|_| TrustError::Malformed { reason: "it is not text".to_owned() })?;
            let (key_id, found) = keys.verify(bytes, &signature)?;
            if found != expected {
                return Err(TrustError::WrongComment { expected: expected.clone(), found });
            }
            Ok(key_id)
        })?;
        key_ids.extend(archive_signers);
    }

    let file = |file: &ArchiveFile| {
        let found = files.iter().find(|(path, _)| path.ends_with(&file.name));
        found.expect("all files of the index are there")
    };
    let mut programs = Vec::new();
    for (&target, entry) in &index.targets {
        let (path, bytes) = file(&entry.archive);
        let unpacked = archive::unpack(bytes.as_slice(), path, RUNTIME_MEMBER)?;
        let facts = check::base_binary(&unpacked.binary, path, target)?;
        let stamp = facts.stamp.as_ref().expect("a base binary has one");
        let found = [
            ("size", entry.binary.size.to_string(), facts.size.to_string()),
            ("sha256", entry.binary.sha256.to_string(), facts.sha256.to_string()),
            ("version", version.to_string(), stamp.version.clone()),
            ("floor", entry.floor.to_string(), facts.floor.to_string()),
            (
                "format versions",
                format!("{:?}", entry.format_versions),
                format!("{:?}", stamp.format_versions),
            ),
            ("ONNX Runtime", entry.onnxruntime_version.clone(), stamp.onnxruntime_version.clone()),
        ];
        compare(path, found)?;
        programs.push(program(path, &facts, &version, &unpacked, entry.sbom.as_ref().map(file))?);
        if let Some(cli) = &entry.cli {
            let (path, bytes) = file(cli);
            let unpacked = archive::unpack(bytes.as_slice(), path, CLI_MEMBER)?;
            let facts = check::command_line(&unpacked.binary, path, target)?;
            programs.push(program(path, &facts, &version, &unpacked, entry.cli_sbom.as_ref().map(file))?);
        }
    }
    Ok(Verified { version, key_ids, programs })
}

fn keys(given: &[String]) -> Result<TrustedKeys, encoderfile_registry::KeyError> {
    let compiled_in = TrustedKeys::compiled_in()?;
    if given.is_empty() {
        return Ok(compiled_in);
    }
    let mut keys = compiled_in.revocations();
    given.iter().try_for_each(|key| keys.add(key))?;
    Ok(keys)
}

/// Who signed a file: at least one whose signatures count. One that does not hold is an error even if another does.
fn signers(
    folder: &Folder,
    path: &Path,
    mut verify: impl FnMut(Vec<u8>) -> Result<KeyId, TrustError>,
) -> Result<Vec<KeyId>, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let signatures = folder.signatures.get(name.as_ref()).map(Vec::as_slice).unwrap_or_default();
    let mut signers = Vec::new();
    let mut unknown = None;
    for signature in signatures {
        let bytes = std::fs::read(signature).map_err(Error::io("read", signature))?;
        match verify(bytes) {
            Ok(key_id) => signers.push(key_id),
            // Of the other key, while one takes the place of another.
            Err(source @ (TrustError::UnknownKey { .. } | TrustError::Revoked { .. })) => {
                unknown.get_or_insert(source);
            }
            Err(source) => return Err(Error::Untrusted { path: path.to_owned(), source: Box::new(source) }),
        }
    }
    match unknown {
        _ if !signers.is_empty() => Ok(signers),
        Some(source) => Err(Error::Untrusted { path: path.to_owned(), source: Box::new(source) }),
        None => Err(Error::Unsigned { path: path.to_owned() }),
    }
}

fn compare<const N: usize>(path: &Path, found: [(&'static str, String, String); N]) -> Result<(), Error> {
    for (what, expected, found) in found {
        if expected != found {
            return Err(Error::Disagrees { path: path.to_owned(), what, expected, found });
        }
    }
    Ok(())
}

fn program(
    path: &Path,
    facts: &Facts,
    version: &Version,
    unpacked: &Unpacked,
    sbom: Option<&(PathBuf, Vec<u8>)>,
) -> Result<VerifiedProgram, Error> {
    if unpacked.notices.trim().is_empty() {
        let reason = "its notices are empty".to_owned();
        return Err(Error::Archive { path: path.to_owned(), reason });
    }
    let components = match sbom {
        Some((path, bytes)) => Some(
            sbom::check(bytes, facts, &version.to_string(), &unpacked.notices)
                .map_err(|source| Error::Sbom { path: path.clone(), source: Box::new(source) })?,
        ),
        None => None,
    };
    let onnxruntime = facts.onnxruntime.as_ref().map(|library| {
        let kind = if library.pin.is_some() { "pinned" } else { "another's" };
        format!("{} ({kind})", library.version)
    });
    let (target, name, floor) = (facts.target, facts.program.name(), facts.floor);
    Ok(VerifiedProgram { target, name, floor, onnxruntime, components })
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signers: Vec<_> = self.key_ids.iter().map(KeyId::to_string).collect();
        writeln!(f, "release {}, signed by {}\n", self.version, signers.join(" and "))?;
        let header = ["TARGET", "PROGRAM", "FLOOR", "ONNX RUNTIME", "SBOM COMPONENTS"].map(str::to_owned);
        let rows = self.programs.iter().map(|program| {
            let sbom = match program.components {
                Some(count) => count.to_string(),
                None => "none".to_owned(),
            };
            let library = program.onnxruntime.clone().unwrap_or_else(|| "none".to_owned());
            [program.target.to_string(), program.name.to_owned(), program.floor.to_string(), library, sbom]
        });
        let rows: Vec<_> = std::iter::once(header).chain(rows).collect();
        for row in &rows {
            let cells = row.iter().enumerate().map(|(column, cell)| {
                let width = rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
                format!("{cell:width$}")
            });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        write!(
            f,
            "\nall as the index says: signatures, sizes, digests, what each program is and what it needs"
        )
    }
}
