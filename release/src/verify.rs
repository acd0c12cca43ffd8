//! What somebody does who believes nobody: a release is looked at again from its files alone.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use encoderfile_registry::{
    ArchiveFile, BaseIndex, Floor, INDEX_NAME, KeyError, KeyId, RUNTIME_MEMBER, SignedIndex, Target,
    TrustError, TrustedKeys, archive_trusted_comment, trusted_comment,
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
    pub(crate) version: Version,
    pub(crate) programs: Vec<VerifiedProgram>,
    /// All files of the release but the signatures, which each has with it.
    pub(crate) files: Vec<VerifiedFile>,
}

/// A file, with the bytes that were looked at, so that nobody can change it before they are used.
pub(crate) struct VerifiedFile {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    /// What each signature of it has to say. None for what has no signatures of its own.
    pub(crate) comment: Option<String>,
    pub(crate) signatures: Vec<VerifiedSignature>,
}

/// A signature that holds, or is by a key that does not count.
pub(crate) struct VerifiedSignature {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    pub(crate) signer: Result<KeyId, TrustError>,
}

/// A program of the release.
pub(crate) struct VerifiedProgram {
    pub(crate) target: Target,
    pub(crate) name: &'static str,
    floor: Floor,
    onnxruntime: Option<String>,
    /// How many components its SBOM names.
    components: Option<usize>,
}

/// Verifies the release in `directory` as one that the owner of one of the `keys` made.
pub(crate) fn verify(directory: &Path, keys: &TrustedKeys) -> Result<Verified, Error> {
    let folder = Folder::open(directory)?;
    let index_path = directory.join(INDEX_NAME);
    let bytes = std::fs::read(&index_path).map_err(Error::io("read", &index_path))?;
    // Whose version it is, the signature has to say too.
    let invalid = |source| Error::Index { path: index_path.clone(), source };
    let version = BaseIndex::parse(&bytes).map_err(invalid)?.version;
    let mut index = None;
    let signatures = signatures(&folder, &index_path, |signature| {
        let signed = SignedIndex::verify(keys, bytes.clone(), signature, &version)?;
        index = Some(signed.index);
        Ok(signed.key_id)
    })?;
    let index = index.expect("somebody signed it");

    let mut files = Vec::new();
    for (path, bytes) in indexed_files(&folder, directory, &index)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // The index vouches for what is about the archives.
        if name.ends_with(encoderfile_registry::SBOM_SUFFIX) {
            files.push(VerifiedFile { path, bytes, comment: None, signatures: Vec::new() });
            continue;
        }
        let expected = archive_trusted_comment(&name, &version);
        let signatures = self::signatures(&folder, &path, |signature| {
            let signature = String::from_utf8(signature)
                .map_err(|_| TrustError::Malformed { reason: "it is not text".to_owned() })?;
            let (key_id, found) = keys.verify(&bytes, &signature)?;
            if found != expected {
                return Err(TrustError::WrongComment { expected: expected.clone(), found });
            }
            Ok(key_id)
        })?;
        files.push(VerifiedFile { path, bytes, comment: Some(expected), signatures });
    }
    let comment = Some(trusted_comment(&version));
    files.push(VerifiedFile { path: index_path, bytes, comment, signatures });
    let looked_at =
        |path: &PathBuf| files.iter().flat_map(|file| &file.signatures).any(|known| known.path == *path);
    if let Some(path) = folder.signatures.values().flatten().find(|path| !looked_at(path)) {
        return Err(Error::SignatureOfNothing { path: path.clone() });
    }

    let file = |file: &ArchiveFile| {
        let found = files.iter().find(|known| known.path.ends_with(&file.name));
        found.map(|file| (&file.path, &file.bytes)).expect("all files of the index are there")
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
    Ok(Verified { version, programs, files })
}

/// The keys that count: those that are given, or the project's own where none is.
pub(crate) fn trusted_keys(given: &[String]) -> Result<TrustedKeys, Error> {
    keys(given).map_err(|source| Error::TrustedKey { source })
}

fn keys(given: &[String]) -> Result<TrustedKeys, KeyError> {
    let compiled_in = TrustedKeys::compiled_in()?;
    if given.is_empty() {
        return Ok(compiled_in);
    }
    let mut keys = compiled_in.revocations();
    given.iter().try_for_each(|key| keys.add(key))?;
    Ok(keys)
}

/// The signatures of a file: at least one by a key that counts. One that does not hold is an error even if another does.
fn signatures(
    folder: &Folder,
    path: &Path,
    mut verify: impl FnMut(Vec<u8>) -> Result<KeyId, TrustError>,
) -> Result<Vec<VerifiedSignature>, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let paths = folder.signatures.get(name.as_ref()).map(Vec::as_slice).unwrap_or_default();
    let mut signatures = Vec::new();
    for path_of_signature in paths {
        let bytes = std::fs::read(path_of_signature).map_err(Error::io("read", path_of_signature))?;
        let signer = verify(bytes.clone());
        match signer {
            // Of the other key, while one takes the place of another.
            Ok(_) | Err(TrustError::UnknownKey { .. } | TrustError::Revoked { .. }) => {}
            Err(source) => return Err(Error::Untrusted { path: path.to_owned(), source: Box::new(source) }),
        }
        signatures.push(VerifiedSignature { path: path_of_signature.clone(), bytes, signer });
    }
    if signatures.iter().any(|signature| signature.signer.is_ok()) {
        return Ok(signatures);
    }
    let path = path.to_owned();
    Err(match signatures.into_iter().find_map(|signature| signature.signer.err()) {
        Some(source) => Error::Untrusted { path, source: Box::new(source) },
        None => Error::Unsigned { path },
    })
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
    sbom: Option<(&PathBuf, &Vec<u8>)>,
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
        let signatures = self.files.iter().flat_map(|file| &file.signatures);
        let signers: BTreeSet<_> =
            signatures.filter_map(|signature| signature.signer.as_ref().ok()).map(KeyId::to_string).collect();
        let signers: Vec<_> = signers.into_iter().collect();
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
