//! `base-index.json`: the signed document that says what a release holds.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;
use crate::target::{ObjectFormat, Target};
use crate::trust::KeyId;

/// File name of the index in a release and in the cache.
pub const INDEX_NAME: &str = "base-index.json";
/// What the name of a signature adds to the name of the file it signs.
pub const SIGNATURE_SUFFIX: &str = ".minisig";
/// How the names of documents end that say what a program is made of, in the specification's own way.
pub const SBOM_SUFFIX: &str = ".cdx.json";
/// Name of the base binary, inside its archive and in the cache.
pub const RUNTIME_MEMBER: &str = "encoderfile-runtime";
/// The `project` of every index that this crate accepts.
pub const PROJECT: &str = "encoderfile";
/// The `schema` that this crate reads and writes.
pub const SCHEMA: u32 = 1;
/// An index is a few kilobytes; a longer document is refused before it is parsed.
pub const MAX_INDEX_SIZE: u64 = 1 << 20;

/// File name of the archive that holds the base binary for `target`.
pub fn runtime_archive_name(target: Target) -> String {
    format!("encoderfile-runtime-{target}.tar.zst")
}

/// File name of the archive that holds the command line for `target`.
pub fn cli_archive_name(target: Target) -> String {
    format!("encoderfile-{target}.tar.zst")
}

/// File name of the document that says what the base binary for `target` is made of.
pub fn runtime_sbom_name(target: Target) -> String {
    format!("encoderfile-runtime-{target}{SBOM_SUFFIX}")
}

/// File name of the document that says what the command line for `target` is made of.
pub fn cli_sbom_name(target: Target) -> String {
    format!("encoderfile-{target}{SBOM_SUFFIX}")
}

/// File name of the signature of `file` by `key`, where another key's has the plain name `{file}.minisig`.
///
/// A release that two keys have signed is there for those who trust the old key and for those who trust the new one.
pub fn further_signature_name(file: &str, key: KeyId) -> String {
    format!("{file}.{key}{SIGNATURE_SUFFIX}")
}

/// The trusted comment that the index's signature must carry, so that an old release cannot be replayed as a new one.
pub fn trusted_comment(version: &Version) -> String {
    format!("encoderfile base-index v{version}")
}

/// The trusted comment of an archive's own signature, for people who check one by hand with `minisign -V`.
pub fn archive_trusted_comment(file_name: &str, version: &Version) -> String {
    format!("encoderfile {file_name} v{version}")
}

/// What a release holds, per target.
///
/// Unknown fields and targets are ignored, so that later releases can add some without a new schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseIndex {
    /// Version of this document's form, [`SCHEMA`].
    pub schema: u32,
    /// Whose base binaries these are, [`PROJECT`].
    pub project: String,
    /// The release.
    pub version: Version,
    /// When the release was made (RFC 3339).
    pub published: Timestamp,
    /// What there is for each target.
    #[serde(deserialize_with = "known_targets")]
    pub targets: BTreeMap<Target, TargetEntry>,
}

/// What a release holds for one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetEntry {
    /// The archive with the base binary.
    pub archive: ArchiveFile,
    /// The base binary itself, unpacked.
    pub binary: BinaryFile,
    /// The oldest system that the base binary runs on.
    pub floor: Floor,
    /// Versions of the encoderfile format that the base binary reads.
    pub format_versions: Vec<u32>,
    /// Version of the ONNX Runtime inside.
    pub onnxruntime_version: String,
    /// The archive with the command line, where the release has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cli: Option<ArchiveFile>,
    /// What the base binary is made of, where the release says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sbom: Option<ArchiveFile>,
    /// What the command line is made of, where the release says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cli_sbom: Option<ArchiveFile>,
}

/// A file of the release, beside the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveFile {
    /// File name, without any directory.
    pub name: String,
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 of the whole file.
    pub sha256: Digest,
}

/// A file inside an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinaryFile {
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 of the whole file.
    pub sha256: Digest,
}

/// The oldest system that a base binary runs on: `{"glibc": "2.34"}` or `{"macos": "13.0"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Floor {
    /// The newest glibc symbol version that the binary needs.
    Glibc(PlatformVersion),
    /// The deployment target.
    Macos(PlatformVersion),
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glibc(version) => write!(f, "glibc {version}"),
            Self::Macos(version) => write!(f, "macOS {version}"),
        }
    }
}

/// Version of a platform, such as `2.34` or `13.0`: numbers, not a semantic version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlatformVersion {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number, not written where it is 0.
    pub patch: u32,
}

impl PlatformVersion {
    /// `major.minor`.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor, patch: 0 }
    }
}

impl fmt::Display for PlatformVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch == 0 { Ok(()) } else { write!(f, ".{}", self.patch) }
    }
}

/// A text that is not a platform's version.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{found}` is not a platform version: expected two or three numbers such as `2.34`")]
pub struct InvalidPlatformVersion {
    /// The text.
    pub found: String,
}

impl FromStr for PlatformVersion {
    type Err = InvalidPlatformVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidPlatformVersion { found: text.chars().take(80).collect() };
        // `u32::from_str` would also take a sign.
        let number = |part: &str| match part.parse::<u32>() {
            Ok(number) if part.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
            _ => Err(invalid()),
        };
        let numbers = text.split('.').map(number).collect::<Result<Vec<_>, _>>()?;
        match numbers[..] {
            [major, minor] => Ok(Self { major, minor, patch: 0 }),
            [major, minor, patch] => Ok(Self { major, minor, patch }),
            _ => Err(invalid()),
        }
    }
}

impl TryFrom<String> for PlatformVersion {
    type Error = InvalidPlatformVersion;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PlatformVersion> for String {
    fn from(version: PlatformVersion) -> Self {
        version.to_string()
    }
}

/// Why a document is not a usable index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// Longer than [`MAX_INDEX_SIZE`].
    #[error("index has {size} bytes, more than the {MAX_INDEX_SIZE} allowed")]
    TooLong {
        /// Length in bytes.
        size: u64,
    },
    /// Not JSON, or not of this form.
    #[error("index is not a valid document")]
    Json {
        /// Where and why.
        #[from]
        source: serde_json::Error,
    },
    /// A form that this version does not know.
    #[error("index has schema {found}, this version reads schema {SCHEMA}")]
    Schema {
        /// The document's.
        found: u64,
    },
    /// A value that the form allows and the content does not.
    #[error("index has an invalid {field}: {reason}")]
    Value {
        /// Path of the field in the document.
        field: String,
        /// What was found and what was expected.
        reason: String,
    },
}

impl BaseIndex {
    /// Reads and checks a document. The caller has verified its signature; here it must only make sense.
    pub fn parse(bytes: &[u8]) -> Result<Self, IndexError> {
        #[derive(Deserialize)]
        struct Head {
            schema: u64,
        }

        let size = bytes.len() as u64;
        if size > MAX_INDEX_SIZE {
            return Err(IndexError::TooLong { size });
        }
        // The schema first: a later form must be called that, and not a missing field.
        let head: Head = serde_json::from_slice(bytes)?;
        if head.schema != u64::from(SCHEMA) {
            return Err(IndexError::Schema { found: head.schema });
        }
        let index: Self = serde_json::from_slice(bytes)?;
        index.validate()?;
        Ok(index)
    }

    /// The document as it is signed and published: pretty, in a fixed order, one line feed at the end.
    pub fn to_json(&self) -> Result<String, IndexError> {
        self.validate()?;
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    fn validate(&self) -> Result<(), IndexError> {
        let value = |field: &str, reason: String| Err(IndexError::Value { field: field.to_owned(), reason });
        if self.project.is_empty() || self.project.len() > 100 {
            return value("project", "expected a name of at most 100 bytes".to_owned());
        }
        for (target, entry) in &self.targets {
            let field = |name: &str| format!("targets.{target}.{name}");
            let further = [("cli", &entry.cli), ("sbom", &entry.sbom), ("cli_sbom", &entry.cli_sbom)];
            let further = further.into_iter().filter_map(|(name, file)| Some((name, file.as_ref()?)));
            for (name, archive) in std::iter::once(("archive", &entry.archive)).chain(further) {
                if !is_plain_file_name(&archive.name) {
                    let reason = format!("`{}` is not a plain file name", archive.name.escape_debug());
                    return value(&field(&format!("{name}.name")), reason);
                }
                if archive.size == 0 {
                    return value(&field(&format!("{name}.size")), "it is never empty".to_owned());
                }
            }
            if entry.binary.size == 0 {
                return value(&field("binary.size"), "a base binary is never empty".to_owned());
            }
            match (target.object_format(), entry.floor) {
                (ObjectFormat::Elf, Floor::Glibc(_)) | (ObjectFormat::MachO, Floor::Macos(_)) => {}
                (_, floor) => return value(&field("floor"), format!("{floor} is no floor for this target")),
            }
            if entry.format_versions.is_empty() {
                return value(&field("format_versions"), "expected at least one".to_owned());
            }
        }
        Ok(())
    }
}

/// A name that cannot leave its directory on any platform, nor hide in a log line.
fn is_plain_file_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    !name.is_empty() && name.len() <= 200 && !name.starts_with(['.', '-']) && name.bytes().all(plain)
}

/// Leaves out the targets that this version does not know, whatever their entries look like.
fn known_targets<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<Target, TargetEntry>, D::Error> {
    let all = BTreeMap::<String, serde_json::Value>::deserialize(deserializer)?;
    let known = all.into_iter().filter_map(|(triple, entry)| Some((triple.parse::<Target>().ok()?, entry)));
    known
        .map(|(target, entry)| match serde_json::from_value(entry) {
            Ok(entry) => Ok((target, entry)),
            Err(error) => Err(serde::de::Error::custom(format_args!("targets.{target}: {error}"))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> BaseIndex {
        let entry = |target, floor| TargetEntry {
            archive: ArchiveFile {
                name: runtime_archive_name(target),
                size: 10,
                sha256: Digest::of(b"archive"),
            },
            binary: BinaryFile { size: 20, sha256: Digest::of(b"binary") },
            floor,
            format_versions: vec![1],
            onnxruntime_version: "1.23.2".to_owned(),
            cli: None,
            sbom: None,
            cli_sbom: None,
        };
        let linux = Target::X86_64LinuxGnu;
        let mac = Target::Aarch64AppleDarwin;
        BaseIndex {
            schema: SCHEMA,
            project: PROJECT.to_owned(),
            version: Version::new(0, 2, 0),
            published: "2026-01-02T03:04:05Z".parse().unwrap(),
            targets: BTreeMap::from([
                (linux, entry(linux, Floor::Glibc(PlatformVersion::new(2, 34)))),
                (mac, entry(mac, Floor::Macos(PlatformVersion::new(13, 0)))),
            ]),
        }
    }

    #[test]
    fn round_trips_with_the_documented_words() {
        let json = index().to_json().unwrap();
        assert_eq!(BaseIndex::parse(json.as_bytes()).unwrap(), index());
        assert_eq!(BaseIndex::parse(json.as_bytes()).unwrap().to_json().unwrap(), json);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["published"], "2026-01-02T03:04:05Z");
        assert_eq!(value["targets"]["x86_64-unknown-linux-gnu"]["floor"]["glibc"], "2.34");
        assert_eq!(value["targets"]["aarch64-apple-darwin"]["floor"]["macos"], "13.0");
        assert_eq!(
            value["targets"]["aarch64-apple-darwin"]["archive"]["name"],
            "encoderfile-runtime-aarch64-apple-darwin.tar.zst"
        );
    }

    #[test]
    fn what_a_later_release_adds_is_ignored() {
        let mut value = serde_json::to_value(index()).unwrap();
        value["new_field"] = 1.into();
        value["targets"]["riscv64gc-unknown-linux-gnu"] = "whatever".into();
        value["targets"]["x86_64-unknown-linux-gnu"]["signed_by"] = "x".into();
        assert_eq!(BaseIndex::parse(value.to_string().as_bytes()).unwrap(), index());
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        let linux = "x86_64-unknown-linux-gnu";
        let edits: [(&str, serde_json::Value); 12] = [
            ("/schema", 2.into()),
            ("/schema", "1".into()),
            ("/version", "0.2".into()),
            ("/published", "yesterday".into()),
            ("/targets/LINUX/archive/name", "../evil.tar.zst".into()),
            ("/targets/LINUX/archive/name", "a\\b".into()),
            ("/targets/LINUX/archive/name", "..".into()),
            ("/targets/LINUX/archive/size", 0.into()),
            ("/targets/LINUX/archive/size", (-1).into()),
            ("/targets/LINUX/archive/sha256", "abc".into()),
            ("/targets/LINUX/floor", serde_json::json!({"macos": "13.0"})),
            ("/targets/LINUX/format_versions", serde_json::json!([])),
        ];
        for (pointer, new) in edits {
            let mut value = serde_json::to_value(index()).unwrap();
            *value.pointer_mut(&pointer.replace("LINUX", linux)).unwrap() = new.clone();
            assert!(BaseIndex::parse(value.to_string().as_bytes()).is_err(), "{pointer} = {new}");
        }
    }

    #[test]
    fn refuses_a_long_document_and_a_later_schema_by_name() {
        let long = vec![b' '; usize::try_from(MAX_INDEX_SIZE).unwrap() + 1];
        assert!(matches!(BaseIndex::parse(&long), Err(IndexError::TooLong { .. })));
        assert!(matches!(BaseIndex::parse(br#"{"schema": 7}"#), Err(IndexError::Schema { found: 7 })));
    }

    #[test]
    fn platform_versions_compare_as_numbers() {
        let version = |text: &str| text.parse::<PlatformVersion>().unwrap();
        assert!(version("2.9") < version("2.34"));
        assert!(version("13.0") < version("13.0.1"));
        assert_eq!(version("13.0.1").to_string(), "13.0.1");
        for text in ["2", "", "2.", "2.x", "+2.3", "1.2.3.4", "99999999999.1"] {
            assert!(text.parse::<PlatformVersion>().is_err(), "{text}");
        }
    }
}
