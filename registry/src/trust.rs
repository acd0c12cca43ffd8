//! Whose signatures count, and what a signature must say.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use minisign_verify::{PublicKey, Signature};
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::index::{BaseIndex, IndexError, PROJECT, trusted_comment};

/// The project's public keys. Several, so that one can be rotated while older clients still know the other.
const COMPILED_IN: &str = include_str!("../trusted-keys.pub");
/// Ids of keys that the project, or somebody whose key it knew, has lost.
const REVOKED: &str = include_str!("../revoked-keys.txt");
/// Algorithm (2 bytes) and key id (8 bytes), at the start of a minisign public key and of a signature.
const HEAD: usize = 10;
/// Longer files are no key files.
const MAX_KEY_FILE: u64 = 64 << 10;

/// Id of a minisign key: 16 upper-case hexadecimal digits, as `minisign` prints it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(u64);

impl KeyId {
    /// From the base64 line of a public key or a signature.
    fn of_base64(line: &str) -> Option<Self> {
        let bytes = BASE64.decode(line.trim()).ok()?;
        let id = bytes.get(2..HEAD)?.try_into().ok()?;
        Some(Self(u64::from_le_bytes(id)))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A text that is not a key id.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{found}` is not a key id: expected 16 upper-case hexadecimal digits{}", self.suggestion())]
pub struct InvalidKeyId {
    /// The text.
    pub found: String,
}

impl InvalidKeyId {
    /// Some tools print key ids in lower case.
    fn suggestion(&self) -> String {
        let upper = self.found.to_ascii_uppercase();
        upper.parse::<KeyId>().map_or_else(|_| String::new(), |id| format!("; did you mean `{id}`?"))
    }
}

impl FromStr for KeyId {
    type Err = InvalidKeyId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // One spelling only: key ids are directory names in the cache.
        let id = u64::from_str_radix(text, 16).ok().map(Self).filter(|id| id.to_string() == text);
        id.ok_or_else(|| InvalidKeyId { found: text.chars().take(80).collect() })
    }
}

impl TryFrom<String> for KeyId {
    type Error = InvalidKeyId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.to_string()
    }
}

/// A public key that the user named cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Neither a key nor a readable file.
    #[error("cannot read trusted key `{path}`: neither a minisign public key nor a readable file")]
    Unreadable {
        /// What the user gave.
        path: String,
        /// Why the file cannot be read.
        source: std::io::Error,
    },
    /// A file or text without a public key in it.
    #[error("no usable minisign public key in `{origin}`: {reason}")]
    Malformed {
        /// Where the text came from.
        origin: String,
        /// What was found and what was expected.
        reason: String,
    },
}

/// A public key and where it came from.
#[derive(Clone, Debug)]
pub struct TrustedKey {
    /// The key's id.
    pub id: KeyId,
    /// Where it came from: `compiled in`, a path, or `given`.
    pub origin: String,
    key: PublicKey,
}

/// What the signatures of a key count for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// They are believed.
    Trusted,
    /// Nobody has said that they are to be believed.
    Unknown,
    /// They are not believed, whoever says that they are.
    Revoked,
}

/// The keys whose signatures count, and those that no longer do, whoever trusts them.
#[derive(Clone, Debug, Default)]
pub struct TrustedKeys {
    keys: Vec<TrustedKey>,
    revoked: BTreeSet<KeyId>,
}

impl TrustedKeys {
    /// No keys at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// The project's own keys. There may be none yet.
    pub fn compiled_in() -> Result<Self, KeyError> {
        let mut keys = Self::none();
        keys.add_text(COMPILED_IN, "compiled in")?;
        for line in REVOKED.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let malformed = |error: InvalidKeyId| KeyError::Malformed {
                origin: "compiled in".to_owned(),
                reason: error.to_string(),
            };
            keys.revoke(line.parse().map_err(malformed)?);
        }
        Ok(keys)
    }

    /// Takes a key out, now and whenever it is added again: what it signed counts no more.
    pub fn revoke(&mut self, key_id: KeyId) {
        self.revoked.insert(key_id);
    }

    /// The keys and the revocations of both.
    pub fn extend(&mut self, other: &Self) {
        self.revoked.extend(&other.revoked);
        for key in &other.keys {
            if !self.keys.iter().any(|known| known.key == key.key) {
                self.keys.push(key.clone());
            }
        }
    }

    /// Adds what `--trusted-key` takes: a minisign public key in base64, or the path of a file that holds one or several.
    pub fn add(&mut self, file_or_key: &str) -> Result<(), KeyError> {
        if PublicKey::from_base64(file_or_key.trim()).is_ok() {
            return self.add_line(file_or_key, "given");
        }
        let unreadable = |source| KeyError::Unreadable { path: file_or_key.to_owned(), source };
        let path = Path::new(file_or_key);
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > MAX_KEY_FILE {
            let reason = format!("{size} bytes are too many for a key file");
            return Err(KeyError::Malformed { origin: file_or_key.to_owned(), reason });
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let before = self.keys.len();
        self.add_text(&text, file_or_key)?;
        if self.keys.len() == before && !text.lines().any(is_key_line) {
            let reason = "the file holds no key".to_owned();
            return Err(KeyError::Malformed { origin: file_or_key.to_owned(), reason });
        }
        Ok(())
    }

    /// Adds every key of a text in the form of a minisign public key file; `#` starts a comment.
    fn add_text(&mut self, text: &str, origin: &str) -> Result<(), KeyError> {
        text.lines().filter(|line| is_key_line(line)).try_for_each(|line| self.add_line(line, origin))
    }

    fn add_line(&mut self, line: &str, origin: &str) -> Result<(), KeyError> {
        let malformed = |reason: String| KeyError::Malformed { origin: origin.to_owned(), reason };
        let key = PublicKey::from_base64(line.trim()).map_err(|error| malformed(error.to_string()))?;
        let id = KeyId::of_base64(line).ok_or_else(|| malformed("it has no key id".to_owned()))?;
        if !self.keys.iter().any(|known| known.key == key) {
            self.keys.push(TrustedKey { id, origin: origin.to_owned(), key });
        }
        Ok(())
    }

    /// The keys that are not revoked, the project's own first.
    pub fn iter(&self) -> impl Iterator<Item = &TrustedKey> {
        self.keys.iter().filter(|key| !self.revoked.contains(&key.id))
    }

    /// Whether there is no key at all, not even a revoked one.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The revocations alone.
    #[must_use]
    pub fn revocations(&self) -> Self {
        Self { keys: Vec::new(), revoked: self.revoked.clone() }
    }

    /// Whether what this key signed counts no more.
    pub fn is_revoked(&self, key_id: KeyId) -> bool {
        self.revoked.contains(&key_id)
    }

    /// Checks that `signature` is a prehashed signature of `bytes` by one of the keys. Returns who signed, and the trusted
    /// comment, which the signature covers.
    pub fn verify(&self, bytes: &[u8], signature: &str) -> Result<(KeyId, String), TrustError> {
        if self.is_empty() {
            return Err(TrustError::NoKeys);
        }
        let decoded = Signature::decode(signature)
            .map_err(|error| TrustError::Malformed { reason: error.to_string() })?;
        let key_id = signature.lines().nth(1).and_then(KeyId::of_base64);
        let key_id = key_id.ok_or_else(|| TrustError::Malformed { reason: "it has no key id".to_owned() })?;
        if self.is_revoked(key_id) {
            return Err(TrustError::Revoked { key_id });
        }
        let mut result =
            Err(TrustError::UnknownKey { key_id, trusted: self.iter().map(|key| key.id).collect() });
        // An id is only 64 bits that its owner chooses: two keys may share one.
        for trusted in self.iter().filter(|trusted| trusted.id == key_id) {
            result = match trusted.key.verify(bytes, &decoded, false) {
                Ok(()) => return Ok((key_id, decoded.trusted_comment().to_owned())),
                Err(minisign_verify::Error::UnexpectedAlgorithm) => Err(TrustError::Legacy { key_id }),
                Err(_) => Err(TrustError::BadSignature { key_id }),
            };
        }
        result
    }
}

fn is_key_line(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#') && !line.starts_with("untrusted comment:")
}

/// Why a release is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// There is no key to check against.
    #[error("no trusted key: this version was built without a project key, and none was given")]
    NoKeys,
    /// Not a signature.
    #[error("the signature is not a minisign signature: {reason}")]
    Malformed {
        /// What was expected.
        reason: String,
    },
    /// Signed by somebody else.
    #[error("signed by key {key_id}, which is not trusted{}", list(.trusted))]
    UnknownKey {
        /// Who signed.
        key_id: KeyId,
        /// Whose signatures count.
        trusted: Vec<KeyId>,
    },
    /// Signed with a key that its owner no longer vouches for.
    #[error("signed by key {key_id}, which is revoked")]
    Revoked {
        /// Who signed.
        key_id: KeyId,
    },
    /// Made over the document itself and not over its hash, as minisign did before version 0.8.
    #[error(
        "the signature by key {key_id} is in the legacy form, which is not accepted: sign with `minisign -H`"
    )]
    Legacy {
        /// Who signed.
        key_id: KeyId,
    },
    /// Other bytes, or not signed by the key it names.
    #[error("the signature by key {key_id} does not match the bytes")]
    BadSignature {
        /// Who is said to have signed.
        key_id: KeyId,
    },
    /// A genuine signature of something else, such as another release.
    #[error("the signature is for something else\n  expected: {expected}\n  found:    {found}")]
    WrongComment {
        /// The trusted comment of what was asked for.
        expected: String,
        /// The trusted comment that was signed.
        found: String,
    },
    /// The document speaks of another release.
    #[error("the index is of version {found}, not {expected}")]
    WrongVersion {
        /// What was asked for.
        expected: Version,
        /// What the document says.
        found: Version,
    },
    /// The document speaks of another project.
    #[error("the index is of project `{found}`, not `{PROJECT}`")]
    WrongProject {
        /// What the document says.
        found: String,
    },
    /// Signed, but no index.
    #[error("the signed document cannot be used")]
    Index(#[from] IndexError),
}

impl TrustError {
    /// Whether the signature may well be genuine, by a key that does not count here: another one's may.
    pub(crate) const fn is_of_another_key(&self) -> bool {
        matches!(self, Self::UnknownKey { .. } | Self::Revoked { .. })
    }

    /// Whether other bytes would be believed: fetching again may help. Otherwise it is a matter of keys.
    pub(crate) const fn is_damage(&self) -> bool {
        !matches!(self, Self::NoKeys | Self::UnknownKey { .. } | Self::Revoked { .. })
    }
}

fn list(ids: &[KeyId]) -> String {
    if ids.is_empty() {
        return String::new();
    }
    format!(" (trusted: {})", ids.iter().map(KeyId::to_string).collect::<Vec<_>>().join(", "))
}

/// An index whose signature was verified, with the bytes that prove it.
#[derive(Clone, Debug)]
pub struct SignedIndex {
    /// The document.
    pub index: BaseIndex,
    /// Who signed it.
    pub key_id: KeyId,
    /// The signed bytes.
    pub bytes: Vec<u8>,
    /// The signature, as `minisign` writes it.
    pub signature: String,
}

impl SignedIndex {
    /// Believes `bytes` to be the index of `version` only if a trusted key says so: signature first, then its trusted
    /// comment, then the document.
    pub fn verify(
        keys: &TrustedKeys,
        bytes: Vec<u8>,
        signature: Vec<u8>,
        version: &Version,
    ) -> Result<Self, TrustError> {
        let signature = String::from_utf8(signature)
            .map_err(|_| TrustError::Malformed { reason: "it is not text".to_owned() })?;
        let (key_id, found) = keys.verify(&bytes, &signature)?;
        let expected = trusted_comment(version);
        if found != expected {
            return Err(TrustError::WrongComment { expected, found });
        }
        let index = BaseIndex::parse(&bytes)?;
        if index.version != *version {
            return Err(TrustError::WrongVersion { expected: version.clone(), found: index.version });
        }
        if index.project != PROJECT {
            return Err(TrustError::WrongProject { found: index.project });
        }
        Ok(Self { index, key_id, bytes, signature })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The key pair and signature of minisign's own documentation.
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const SIGNATURE: &str = "untrusted comment: signature from minisign secret key\n\
        RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
        trusted comment: timestamp:1633700835\tfile:test\tprehashed\n\
        wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==\n";

    fn keys() -> TrustedKeys {
        let mut keys = TrustedKeys::none();
        keys.add(KEY).unwrap();
        keys
    }

    #[test]
    fn key_ids_are_written_as_minisign_prints_them() {
        let id = keys().iter().next().unwrap().id;
        assert_eq!(id.to_string(), "E7620F1842B4E81F");
        assert_eq!("E7620F1842B4E81F".parse::<KeyId>().unwrap(), id);
        for text in
            ["", "e7620f1842b4e81f", "E7620F1842B4E81", "+7620F1842B4E81F", "E7620F1842B4E81F0", "../.."]
        {
            assert!(text.parse::<KeyId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_id_in_lower_case_is_refused_with_the_spelling_that_counts() {
        let told = |text: &str| text.parse::<KeyId>().unwrap_err().to_string();
        let expected = "is not a key id: expected 16 upper-case hexadecimal digits";
        assert_eq!(
            told("e7620f1842B4E81F"),
            format!("`e7620f1842B4E81F` {expected}; did you mean `E7620F1842B4E81F`?")
        );
        for text in ["", "e7620f1842b4e81", "e7620f1842b4e81f0", "+7620f1842b4e81f", "ours.pub"] {
            assert_eq!(told(text), format!("`{text}` {expected}"));
        }
    }

    #[test]
    fn a_signature_counts_only_for_its_bytes_and_its_key() {
        let (id, comment) = keys().verify(b"test", SIGNATURE).unwrap();
        assert_eq!(id.to_string(), "E7620F1842B4E81F");
        assert_eq!(comment, "timestamp:1633700835\tfile:test\tprehashed");
        assert!(matches!(keys().verify(b"tesT", SIGNATURE), Err(TrustError::BadSignature { .. })));
        let moved = SIGNATURE.replace("file:test", "file:best");
        assert!(matches!(keys().verify(b"test", &moved), Err(TrustError::BadSignature { .. })));
        assert!(matches!(TrustedKeys::none().verify(b"test", SIGNATURE), Err(TrustError::NoKeys)));
        let mut other = TrustedKeys::none();
        other.add("RWRWYTRT0HXRHrxLJvLz1Xwcpf9F4hU6Qx0yAUqLtZ5ch5eaGfoGrjRH").unwrap();
        assert!(matches!(other.verify(b"test", SIGNATURE), Err(TrustError::UnknownKey { .. })));
        assert!(matches!(keys().verify(b"test", "<!doctype html>"), Err(TrustError::Malformed { .. })));
    }

    #[test]
    fn a_revoked_key_counts_no_more_whoever_adds_it() {
        let mut keys = keys();
        let id = keys.iter().next().unwrap().id;
        keys.revoke(id);
        keys.add(KEY).unwrap();
        assert_eq!(keys.iter().count(), 0);
        assert!(
            matches!(keys.verify(b"test", SIGNATURE), Err(TrustError::Revoked { key_id }) if key_id == id)
        );
        let mut all = self::keys();
        all.extend(&keys);
        assert!(matches!(all.verify(b"test", SIGNATURE), Err(TrustError::Revoked { .. })));
    }

    #[test]
    fn a_signature_without_prehashing_is_refused_although_it_is_genuine() {
        // Made by `minisign -S -l`, which still writes what minisign wrote before version 0.8.
        let mut keys = TrustedKeys::none();
        keys.add("RWTTf4UjBu1HpjDt3OInr41C7eNA3ans7ud6h2ME2QkzSvoQnj0UiJRz").unwrap();
        let signature = "untrusted comment: signature from minisign secret key\n\
            RWTTf4UjBu1Hpm6FHpgP5TJu5F1oP4KS1Kkvc1kh1iO17RoaLbbwo2hSVNw5fcCW3zTY821roHaW/DXvuKyN1d8nOeqO7SseHg0=\n\
            trusted comment: encoderfile base-index v0.2.0\n\
            +1q0D02JYysvI7e6aZhzXzJbjwKsCzVlBqsucbEk2qZvke0UtZxlFOQgClGM6wGAMG9RtJ0VKuoG9jPpjaTZAA==\n";
        assert!(matches!(keys.verify(b"legacy", signature), Err(TrustError::Legacy { .. })));
    }

    #[test]
    fn key_files_hold_several_keys_and_comments() {
        let mut keys = TrustedKeys::none();
        keys.add_text(&format!("# ours\nuntrusted comment: minisign public key\n{KEY}\n\n{KEY}\n"), "test")
            .unwrap();
        assert_eq!(keys.iter().count(), 1);
        assert!(keys.add_text("not a key\n", "test").is_err());
        assert!(matches!(keys.add("/nonexistent/key.pub"), Err(KeyError::Unreadable { .. })));
        let empty = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(keys.add(empty.path().to_str().unwrap()), Err(KeyError::Malformed { .. })));
        TrustedKeys::compiled_in().unwrap();
    }
}
