//! Which artifacts and recorded files are others, by their digests.

use std::collections::{BTreeMap, BTreeSet};

use encoderfile_format::{ArtifactKind, Digest, Manifest};
use serde::{Serialize, Serializer};

use crate::content::tokenizer_source;

/// An artifact, or a recorded file, that one of the files has, or both with different bytes.
#[derive(Debug, Serialize)]
pub(super) struct ArtifactChange {
    #[serde(serialize_with = "kind_name")]
    pub(super) kind: ArtifactKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) old: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) new: Option<Bytes>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Bytes {
    pub(super) length: u64,
    pub(super) sha256: Digest,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn kind_name<S: Serializer>(kind: &ArtifactKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(kind)
}

type Known = BTreeMap<(ArtifactKind, Option<String>), Vec<Bytes>>;

/// Artifacts by kind, and by name where there may be several of a kind.
pub(super) fn between(old: &Manifest, new: &Manifest) -> Vec<ArtifactChange> {
    let known = |manifest: &Manifest| {
        let mut known = Known::new();
        for artifact in &manifest.artifacts {
            let name = artifact.name.clone().filter(|_| artifact.kind.is_repeated());
            let bytes = Bytes { length: artifact.length, sha256: artifact.sha256 };
            known.entry((artifact.kind, name)).or_default().push(bytes);
        }
        known
    };
    changes(&known(old), &known(new))
}

/// The recorded files that no artifact is: in most files, `tokenizer.json` alone.
pub(super) fn between_sources(old: &Manifest, new: &Manifest) -> Vec<ArtifactChange> {
    let known = |manifest: &Manifest| {
        let is_artifact =
            |name: &str| manifest.artifacts.iter().any(|artifact| artifact.name.as_deref() == Some(name));
        let tokenizer = tokenizer_source(manifest).map(|source| &source.name);
        let mut known = Known::new();
        for source in manifest.description.sources.iter().filter(|source| !is_artifact(&source.name)) {
            let is_tokenizer = Some(&source.name) == tokenizer;
            let kind = if is_tokenizer { ArtifactKind::Tokenizer } else { ArtifactKind::Source };
            let bytes = Bytes { length: source.length, sha256: source.sha256 };
            known.entry((kind, Some(source.name.clone()))).or_default().push(bytes);
        }
        known
    };
    changes(&known(old), &known(new))
}

fn changes(old: &Known, new: &Known) -> Vec<ArtifactChange> {
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    for key in keys {
        let (kind, name) = key;
        let of = |known: &Known| known.get(key).cloned().unwrap_or_default();
        let (old, new) = (of(old), of(new));
        for index in 0..old.len().max(new.len()) {
            let (old, new) = (old.get(index).copied(), new.get(index).copied());
            if old != new {
                changes.push(ArtifactChange { kind: *kind, name: name.clone(), old, new });
            }
        }
    }
    changes
}
