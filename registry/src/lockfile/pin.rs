//! Which base binary it is, to the byte.

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::base_binary::BaseBinary;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::index::TargetEntry;
use crate::target::Target;
use crate::trust::KeyId;

/// One base binary, to the byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Pin {
    /// The platform.
    pub target: Target,
    /// The release.
    pub version: Version,
    /// Who signed its index.
    pub key_id: KeyId,
    /// SHA-256 of the archive that is downloaded.
    pub archive_sha256: Digest,
    /// SHA-256 of the base binary.
    pub binary_sha256: Digest,
}

impl Pin {
    fn new(target: Target, version: &Version, key_id: KeyId, entry: &TargetEntry) -> Self {
        Self {
            target,
            version: version.clone(),
            key_id,
            archive_sha256: entry.archive.sha256,
            binary_sha256: entry.binary.sha256,
        }
    }

    /// Whether what `key_id` signed for the pinned version and target is what is pinned. [`Error::PinMismatch`] says which
    /// of the facts differ.
    pub fn check(&self, key_id: KeyId, entry: &TargetEntry) -> Result<()> {
        let found = Self::new(self.target, &self.version, key_id, entry);
        if found == *self {
            return Ok(());
        }
        Err(Error::PinMismatch { pinned: Box::new(self.clone()), found: Box::new(found) })
    }
}

impl BaseBinary {
    /// What a lockfile says of it.
    pub fn pin(&self) -> Pin {
        Pin::new(self.target, &self.version, self.key_id, &self.entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{ArchiveFile, BinaryFile, Floor, PlatformVersion};

    fn entry(archive: &str, binary: &str) -> TargetEntry {
        TargetEntry {
            archive: ArchiveFile { name: "a".to_owned(), size: 1, sha256: Digest::of(archive.as_bytes()) },
            binary: BinaryFile { size: 1, sha256: Digest::of(binary.as_bytes()) },
            floor: Floor::Glibc(PlatformVersion::new(2, 34)),
            format_versions: vec![1],
            onnxruntime_version: "1.23.2".to_owned(),
            cli: None,
            sbom: None,
            cli_sbom: None,
        }
    }

    fn key(last: char) -> KeyId {
        format!("0123456789ABCDE{last}").parse().unwrap()
    }

    #[test]
    fn a_check_says_which_facts_differ() {
        let target = Target::X86_64LinuxGnu;
        let pin = Pin::new(target, &Version::new(0, 2, 0), key('F'), &entry("archive", "binary"));
        pin.check(key('F'), &entry("archive", "binary")).unwrap();
        for (found_key, archive, binary, lines) in [
            ('E', "archive", "binary", &["key id"][..]),
            ('F', "other", "binary", &["archive sha256"]),
            ('F', "archive", "other", &["binary sha256"]),
            ('E', "other", "other", &["key id", "archive sha256", "binary sha256"]),
        ] {
            let error = pin.check(key(found_key), &entry(archive, binary)).unwrap_err();
            assert_eq!(error.exit_code(), 4);
            let message = error.to_string();
            assert!(message.starts_with("release 0.2.0 for `x86_64-unknown-linux-gnu` is not"), "{message}");
            let named: Vec<_> = message
                .lines()
                .filter_map(|line| line.strip_prefix("  expected: "))
                .map(|line| line.rsplit_once(' ').unwrap().0)
                .collect();
            assert_eq!(named, lines, "{message}");
            assert!(error.hint("").unwrap().contains("`encoderfile build --update-base`"));
        }
    }
}
