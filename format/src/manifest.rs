//! The manifest: what the model is, and where its artifacts lie.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use prost::Message as _;
use serde::{Serialize, Serializer};

use crate::proto::manifest as proto;
use crate::{Artifact, ArtifactKind, Digest, Error, wire};

/// Largest manifest that is read, in bytes.
pub const MANIFEST_LIMIT: u64 = 16 << 20;

/// Most fields that a manifest may have. A field of two bytes can become dozens in memory, and the largest models need a
/// few hundred.
const FIELD_LIMIT: usize = 4096;

/// Field of the manifest that holds the pooling.
const POOLING_FIELD: u32 = 6;
/// Field of the manifest that holds its own digest.
const DIGEST_FIELD: u32 = 49;
/// The fields that `proto::EncoderfileManifest` has.
const KNOWN_FIELDS: [u32; 13] = [1, 2, 3, 4, 5, POOLING_FIELD, 7, DIGEST_FIELD, 100, 110, 120, 130, 140];
/// Fields from here on are artifacts.
const FIRST_ARTIFACT_FIELD: u32 = 100;

/// The task that a model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ModelType {
    /// One vector per token.
    Embedding,
    /// One label per text.
    SequenceClassification,
    /// One label per token.
    TokenClassification,
    /// One vector per text.
    SentenceEmbedding,
    /// One label per image.
    ImageClassification,
    /// A task that this version does not know.
    Other(i32),
}

impl ModelType {
    /// All that this version knows.
    pub const KNOWN: [Self; 5] = [
        Self::Embedding,
        Self::SentenceEmbedding,
        Self::SequenceClassification,
        Self::TokenClassification,
        Self::ImageClassification,
    ];

    fn number(self) -> i32 {
        match self {
            Self::Embedding => proto::ModelType::Embedding as i32,
            Self::SequenceClassification => proto::ModelType::SequenceClassification as i32,
            Self::TokenClassification => proto::ModelType::TokenClassification as i32,
            Self::SentenceEmbedding => proto::ModelType::SentenceEmbedding as i32,
            Self::ImageClassification => proto::ModelType::ImageClassification as i32,
            Self::Other(number) => number,
        }
    }

    fn from_number(number: i32) -> Self {
        Self::KNOWN.into_iter().find(|known| known.number() == number).unwrap_or(Self::Other(number))
    }
}

impl fmt::Display for ModelType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Embedding => "embedding",
            Self::SequenceClassification => "sequence_classification",
            Self::TokenClassification => "token_classification",
            Self::SentenceEmbedding => "sentence_embedding",
            Self::ImageClassification => "image_classification",
            Self::Other(number) => return f.pad(&format!("model_type_{number}")),
        })
    }
}

impl FromStr for ModelType {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::KNOWN.into_iter().find(|known| known.to_string() == name).ok_or(())
    }
}

impl Serialize for ModelType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How token vectors become one vector, as sentence-transformers' `models.Pooling` defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolingMode {
    /// The first token's vector.
    Cls,
    /// The largest value of each dimension, over the tokens that the attention mask keeps.
    Max,
    /// The mean over the tokens that the attention mask keeps.
    Mean,
    /// Their sum, divided by the square root of their number.
    MeanSqrtLen,
    /// Their mean, the n-th token weighing n.
    WeightedMean,
    /// The last token that the attention mask keeps.
    LastToken,
}

impl PoolingMode {
    const ALL: [Self; 6] =
        [Self::Cls, Self::Max, Self::Mean, Self::MeanSqrtLen, Self::WeightedMean, Self::LastToken];

    fn proto(self) -> proto::sentence_pooling::Mode {
        use proto::sentence_pooling::Mode;
        match self {
            Self::Cls => Mode::Cls,
            Self::Max => Mode::Max,
            Self::Mean => Mode::Mean,
            Self::MeanSqrtLen => Mode::MeanSqrtLen,
            Self::WeightedMean => Mode::WeightedMean,
            Self::LastToken => Mode::LastToken,
        }
    }

    fn from_number(number: i32) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|mode| mode.proto() as i32 == number).ok_or(Error::PoolingMode { number })
    }
}

/// From token vectors `[tokens, hidden]` to one vector `[modes × hidden]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SentencePooling {
    /// The results are concatenated in this order.
    pub modes: Vec<PoolingMode>,
    /// Whether the vector is scaled to Euclidean length 1.
    pub normalize: bool,
}

impl Default for SentencePooling {
    /// What a file without the field means (all that encoderfile 0.7 does): the mean, as it is.
    fn default() -> Self {
        Self { modes: vec![PoolingMode::Mean], normalize: false }
    }
}

/// The base binary that a file starts with, as the writer knew it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseProvenance {
    /// Rust target triple.
    pub target: String,
    /// Version of the runtime.
    pub version: String,
    /// SHA-256 of the base binary alone: the file's bytes before the manifest.
    pub sha256: Digest,
    /// Key id of the signature that vouched for it; none for a base binary that was given by path.
    pub key_id: Option<String>,
}

/// The program that wrote a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// An input file that an artifact was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceFile {
    /// Name within the model folder.
    pub name: String,
    /// Length in bytes.
    pub length: u64,
    /// SHA-256 of the file as it was published.
    pub sha256: Digest,
}

/// A field of the manifest that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnknownField {
    /// Field number.
    pub number: u32,
    /// Length of its encoding in bytes.
    pub length: usize,
}

/// What the model is, and where its artifacts lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The task.
    pub model_type: ModelType,
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// The base binary, where the writer recorded it.
    pub base: Option<BaseProvenance>,
    /// The program that wrote the file, where it said so.
    pub writer: Option<Tool>,
    /// For [`ModelType::SentenceEmbedding`]; [`SentencePooling::default`] where it is absent.
    pub sentence_pooling: Option<SentencePooling>,
    /// The input files.
    pub sources: Vec<SourceFile>,
    /// In the order in which they lie in the file.
    pub artifacts: Vec<Artifact>,
    /// What was ignored.
    pub unknown_fields: Vec<UnknownField>,
}

impl Manifest {
    /// The artifact of a kind.
    pub fn artifact(&self, kind: ArtifactKind) -> Option<&Artifact> {
        self.artifacts.iter().find(|artifact| artifact.kind == kind)
    }

    /// Encodes the manifest for a file in which it starts at `offset`, its own digest still zero: [`seal`] comes last.
    pub(crate) fn encode(&self, offset: u64) -> Vec<u8> {
        let place = |artifact: &Artifact| proto::Artifact {
            offset: artifact.offset - offset,
            length: artifact.length,
            sha256: artifact.sha256.as_bytes().to_vec(),
        };
        let artifact = |kind| self.artifact(kind).map(place);
        let mut encoded = proto::EncoderfileManifest {
            model_type: self.model_type.number(),
            name: self.name.clone(),
            version: self.version.clone(),
            base: self.base.as_ref().map(|base| proto::BaseBinary {
                target: base.target.clone(),
                version: base.version.clone(),
                sha256: base.sha256.as_bytes().to_vec(),
                key_id: base.key_id.clone().unwrap_or_default(),
            }),
            writer: self
                .writer
                .as_ref()
                .map(|tool| proto::Writer { name: tool.name.clone(), version: tool.version.clone() }),
            sentence_pooling: self.sentence_pooling.as_ref().map(|pooling| proto::SentencePooling {
                modes: pooling.modes.iter().map(|mode| mode.proto() as i32).collect(),
                normalize: pooling.normalize,
            }),
            sources: self
                .sources
                .iter()
                .map(|source| proto::SourceFile {
                    name: source.name.clone(),
                    length: source.length,
                    sha256: source.sha256.as_bytes().to_vec(),
                })
                .collect(),
            manifest_sha256: vec![0; Digest::LENGTH],
            weights: artifact(ArtifactKind::Weights),
            transform: artifact(ArtifactKind::Transform),
            model_config: artifact(ArtifactKind::ModelConfig),
            tokenizer: artifact(ArtifactKind::Tokenizer),
            image_preprocessor: artifact(ArtifactKind::ImagePreprocessor),
        }
        .encode_to_vec();
        let mut others: Vec<_> = self
            .artifacts
            .iter()
            .filter(|artifact| matches!(artifact.kind, ArtifactKind::Other(_)))
            .collect();
        others.sort_by_key(|artifact| artifact.kind.number());
        for artifact in others {
            wire::put_bytes(&mut encoded, artifact.kind.number(), &place(artifact).encode_to_vec());
        }
        encoded
    }

    /// Decodes the manifest that starts at byte `offset` of a file. `room` is where artifacts may lie.
    pub(crate) fn decode(bytes: &[u8], offset: u64, room: &Range<u64>) -> Result<Self, Error> {
        check_fields(bytes, offset)?;
        let message = proto::EncoderfileManifest::decode(bytes)
            .map_err(|source| Error::ManifestDecode { offset, source })?;
        let mut artifacts = Vec::new();
        let known = [
            (ArtifactKind::Weights, message.weights),
            (ArtifactKind::Transform, message.transform),
            (ArtifactKind::ModelConfig, message.model_config),
            (ArtifactKind::Tokenizer, message.tokenizer),
            (ArtifactKind::ImagePreprocessor, message.image_preprocessor),
        ];
        for (kind, artifact) in known {
            if let Some(artifact) = artifact {
                artifacts.push(check_artifact(kind, &artifact, offset, room)?);
            }
        }
        let mut unknown_fields = Vec::new();
        for field in wire::fields(bytes, 0..bytes.len()) {
            let field = field.map_err(|source| Error::ManifestWire { offset, source })?;
            if KNOWN_FIELDS.contains(&field.number) {
                continue;
            }
            unknown_fields.push(UnknownField { number: field.number, length: field.span.len() });
            // Artifacts of the future have the shape of today's; what has not is merely ignored.
            if field.number >= FIRST_ARTIFACT_FIELD
                && let wire::Value::Bytes(range) = field.value
                && let Ok(artifact) = proto::Artifact::decode(&bytes[range])
                && artifact.sha256.len() == Digest::LENGTH
            {
                artifacts.push(check_artifact(ArtifactKind::Other(field.number), &artifact, offset, room)?);
            }
        }
        artifacts.sort_by_key(|artifact| (artifact.offset, artifact.length));
        for pair in artifacts.windows(2) {
            if pair[1].offset < pair[0].end() {
                let (first, second) = (pair[0].kind, pair[1].kind);
                return Err(Error::ArtifactOverlap { first, second, offset: pair[1].offset });
            }
        }
        let base = message.base.map(|base| {
            Ok::<_, Error>(BaseProvenance {
                sha256: digest(&base.sha256, "the base binary")?,
                target: base.target,
                version: base.version,
                key_id: Some(base.key_id).filter(|id| !id.is_empty()),
            })
        });
        let sources = message.sources.into_iter().map(|source| {
            let sha256 = digest(&source.sha256, &source.name)?;
            Ok::<_, Error>(SourceFile { name: source.name, length: source.length, sha256 })
        });
        let sentence_pooling = message.sentence_pooling.map(|pooling| {
            let modes = pooling.modes.into_iter().map(PoolingMode::from_number);
            Ok::<_, Error>(SentencePooling {
                modes: modes.collect::<Result<_, _>>()?,
                normalize: pooling.normalize,
            })
        });
        Ok(Self {
            model_type: ModelType::from_number(message.model_type),
            name: message.name,
            version: message.version,
            base: base.transpose()?,
            writer: message.writer.map(|tool| Tool { name: tool.name, version: tool.version }),
            sentence_pooling: sentence_pooling.transpose()?,
            sources: sources.collect::<Result<_, _>>()?,
            artifacts,
            unknown_fields,
        })
    }
}

/// Walks an encoded manifest before anything is allocated for what is in it.
pub(crate) fn check_fields(bytes: &[u8], offset: u64) -> Result<(), Error> {
    let mut count = 0;
    for field in wire::fields(bytes, 0..bytes.len()) {
        let field = field.map_err(|source| Error::ManifestWire { offset, source })?;
        // Packed modes have no tags: each byte can be one.
        count += if field.number == POOLING_FIELD { field.span.len() } else { 1 };
        if count > FIELD_LIMIT {
            return Err(Error::ManifestFields { offset, limit: FIELD_LIMIT });
        }
    }
    Ok(())
}

/// Whether an artifact that this version does not know may have this field number.
pub(crate) fn is_free_number(number: u32) -> bool {
    // Protobuf keeps 19000 to 19999 for itself.
    (FIRST_ARTIFACT_FIELD..=wire::LAST_FIELD).contains(&number)
        && !KNOWN_FIELDS.contains(&number)
        && !(19000..20000).contains(&number)
}

fn digest(bytes: &[u8], of: &str) -> Result<Digest, Error> {
    Digest::try_from(bytes).map_err(|_| Error::DigestLength { of: of.to_owned(), length: bytes.len() })
}

fn check_artifact(
    kind: ArtifactKind,
    artifact: &proto::Artifact,
    manifest_offset: u64,
    room: &Range<u64>,
) -> Result<Artifact, Error> {
    let length = artifact.length;
    let offset = manifest_offset.checked_add(artifact.offset);
    let end = offset.and_then(|offset| offset.checked_add(length));
    match (offset, end) {
        (Some(offset), Some(end)) if offset >= room.start && end <= room.end => {
            Ok(Artifact { kind, offset, length, sha256: digest(&artifact.sha256, &kind.to_string())? })
        }
        _ => {
            Err(Error::ArtifactRange { kind, offset: offset.unwrap_or(u64::MAX), length, room: room.clone() })
        }
    }
}

/// Where the manifest keeps its own digest. None in a file that does not use this addition.
fn digest_range(manifest: &[u8]) -> Option<Range<usize>> {
    wire::fields(manifest, 0..manifest.len())
        .filter_map(Result::ok)
        .filter(|field| field.number == DIGEST_FIELD)
        .filter_map(|field| field.bytes().ok())
        .filter(|range| range.len() == Digest::LENGTH)
        .last()
}

/// The digest that a manifest holds, and the one that its bytes have (with those 32 bytes set to zero).
pub(crate) fn own_digests(manifest: &[u8]) -> Option<(Digest, Digest)> {
    let range = digest_range(manifest)?;
    let recorded = Digest::try_from(&manifest[range.clone()]).expect("the range has 32 bytes");
    let mut zeroed = manifest.to_vec();
    zeroed[range].fill(0);
    Some((recorded, Digest::of(&zeroed)))
}

/// Writes the digest of an encoded manifest into it.
pub(crate) fn seal(manifest: &mut [u8]) {
    let range = digest_range(manifest).expect("`encode` reserves the field");
    let digest = Digest::of(manifest);
    manifest[range].copy_from_slice(digest.as_bytes());
}
