//! The manifest: what the model is, and where its artifacts lie.

mod message;

use std::collections::HashSet;
use std::ops::Range;

use prost::Message as _;

use crate::proto::manifest as proto;
use crate::{
    Artifact, ArtifactKind, Description, Digest, Edit, Error, ModelType, Prompt, SentencePooling, Setting,
    SourceFile, Tool, UnknownField, wire,
};

/// Largest manifest that is read, in bytes.
pub const MANIFEST_LIMIT: u64 = 16 << 20;

/// Most fields that a manifest may have. A field of two bytes can become dozens in memory, and the largest models need a
/// few hundred.
const FIELD_LIMIT: usize = 4096;

/// Most fields that a message within a manifest may have, known or not. All are read, even those of which only the last counts.
const MESSAGE_FIELD_LIMIT: usize = 64;

/// Field of the manifest that holds the pooling.
const POOLING_FIELD: u32 = 6;
/// Field of the manifest that holds its own digest.
const DIGEST_FIELD: u32 = 49;
/// The fields that `proto::EncoderfileManifest` has.
const KNOWN_FIELDS: [u32; 19] =
    [1, 2, 3, 4, 5, POOLING_FIELD, 7, 8, 9, 10, 11, DIGEST_FIELD, 100, 110, 120, 130, 140, 150, 160];
/// Those of them below the artifacts that are messages.
const MESSAGE_FIELDS: [u32; 7] = [4, 5, POOLING_FIELD, 7, 8, 10, 11];
/// Longest name of a file within a model folder, in bytes: that of Linux for a whole path.
const NAME_LIMIT: usize = 4096;
/// Fields from here on are artifacts.
const FIRST_ARTIFACT_FIELD: u32 = 100;

/// The base binary that a file starts with, as the writer knew it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseProvenance {
    /// Rust target triple.
    pub target: String,
    /// Version of the runtime.
    pub version: String,
    /// SHA-256 of the base binary alone, as it was before it was changed.
    pub sha256: Digest,
    /// Key id of the signature that vouched for it; none for a base binary that was given by path.
    pub key_id: Option<String>,
    /// What turns the base binary, as it stands in the file, back into the one that has the digest. Empty where it was not
    /// changed.
    pub edits: Vec<Edit>,
}

/// What the model is, and where its artifacts lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// What the file says of its model.
    pub description: Description,
    /// The base binary, where the writer recorded it.
    pub base: Option<BaseProvenance>,
    /// The program that wrote the file, where it said so.
    pub writer: Option<Tool>,
    /// In the order in which they lie in the file.
    pub artifacts: Vec<Artifact>,
}

impl Manifest {
    /// The first artifact of a kind.
    pub fn artifact(&self, kind: ArtifactKind) -> Option<&Artifact> {
        self.artifacts.iter().find(|artifact| artifact.kind == kind)
    }

    /// All artifacts of a kind.
    pub fn artifacts_of(&self, kind: ArtifactKind) -> impl Iterator<Item = &Artifact> {
        self.artifacts.iter().filter(move |artifact| artifact.kind == kind)
    }

    /// Encodes the manifest for a file in which it starts at `offset`, its own digest still zero: [`seal`] comes last.
    pub(crate) fn encode(&self, offset: u64) -> Vec<u8> {
        let place = |artifact: &Artifact| proto::Artifact {
            offset: artifact.offset - offset,
            length: artifact.length,
            sha256: artifact.sha256.as_bytes().to_vec(),
            name: artifact.name.clone().unwrap_or_default(),
        };
        let artifact = |kind| self.artifact(kind).map(place);
        let artifacts = |kind| self.artifacts_of(kind).map(place).collect();
        let description = &self.description;
        let mut encoded = proto::EncoderfileManifest {
            model_type: description.model_type.number(),
            name: description.name.clone(),
            version: description.version.clone(),
            base: self.base.as_ref().map(BaseProvenance::to_proto),
            writer: self
                .writer
                .as_ref()
                .map(|tool| proto::Writer { name: tool.name.clone(), version: tool.version.clone() }),
            sentence_pooling: description.sentence_pooling.as_ref().map(SentencePooling::to_proto),
            sources: description.sources.iter().map(SourceFile::to_proto).collect(),
            prompts: description.prompts.iter().map(Prompt::to_proto).collect(),
            default_prompt_name: description.default_prompt_name.clone().unwrap_or_default(),
            settings: description.settings.iter().map(Setting::to_proto).collect(),
            tokenizer_edits: description.tokenizer_edits.iter().map(Edit::to_proto).collect(),
            manifest_sha256: vec![0; Digest::LENGTH],
            weights: artifact(ArtifactKind::Weights),
            transform: artifact(ArtifactKind::Transform),
            model_config: artifact(ArtifactKind::ModelConfig),
            tokenizer: artifact(ArtifactKind::Tokenizer),
            image_preprocessor: artifact(ArtifactKind::ImagePreprocessor),
            external_data: artifacts(ArtifactKind::ExternalData),
            source: artifacts(ArtifactKind::Source),
        }
        .encode_to_vec();
        let others = self.artifacts.iter().filter(|artifact| matches!(artifact.kind, ArtifactKind::Other(_)));
        let mut others: Vec<_> = others
            .map(|artifact| {
                let mut field = Vec::new();
                wire::put_bytes(&mut field, artifact.kind.number(), &place(artifact).encode_to_vec());
                (artifact.kind.number(), field)
            })
            .collect();
        let unknown = description.unknown_fields.iter();
        others.extend(unknown.map(|field| (field.number, field.encoded.clone())));
        others.sort_by_key(|(number, _)| *number);
        encoded.extend(others.into_iter().flat_map(|(_, field)| field));
        encoded
    }

    /// Decodes the manifest that starts at byte `offset` of a file. `room` is where artifacts may lie.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn decode(bytes: &[u8], offset: u64, room: &Range<u64>) -> Result<Self, Error> {
        check_fields(bytes, offset)?;
        let message = proto::EncoderfileManifest::decode(bytes)
            .map_err(|source| Error::ManifestDecode { offset, source })?;
        let single = [
            (ArtifactKind::Weights, message.weights),
            (ArtifactKind::Transform, message.transform),
            (ArtifactKind::ModelConfig, message.model_config),
            (ArtifactKind::Tokenizer, message.tokenizer),
            (ArtifactKind::ImagePreprocessor, message.image_preprocessor),
        ];
        let repeated =
            [(ArtifactKind::ExternalData, message.external_data), (ArtifactKind::Source, message.source)];
        let single = single.into_iter().filter_map(|(kind, artifact)| Some((kind, artifact?)));
        let repeated = repeated
            .into_iter()
            .flat_map(|(kind, artifacts)| artifacts.into_iter().map(move |artifact| (kind, artifact)));
        let artifacts = single.chain(repeated);
        let mut artifacts = artifacts
            .map(|(kind, artifact)| check_artifact(kind, artifact, offset, room))
            .collect::<Result<Vec<_>, _>>()?;
        let unknown_fields = unknown_fields(bytes, offset, room, &mut artifacts)?;
        check_artifacts(&mut artifacts)?;
        let sentence_pooling = message.sentence_pooling.map(SentencePooling::from_proto).transpose()?;
        let sources = message.sources.into_iter().map(SourceFile::from_proto);
        Ok(Self {
            description: Description {
                model_type: ModelType::from_number(message.model_type),
                name: message.name,
                version: message.version,
                sentence_pooling,
                prompts: message.prompts.into_iter().map(Prompt::from_proto).collect(),
                default_prompt_name: Some(message.default_prompt_name).filter(|name| !name.is_empty()),
                settings: message.settings.into_iter().map(Setting::from_proto).collect(),
                sources: sources.collect::<Result<_, _>>()?,
                tokenizer_edits: message.tokenizer_edits.into_iter().map(Edit::from_proto).collect(),
                unknown_fields,
            },
            base: message.base.map(BaseProvenance::from_proto).transpose()?,
            writer: message.writer.map(|tool| Tool { name: tool.name, version: tool.version }),
            artifacts,
        })
    }
}

/// The fields that this version does not know. Those that are artifacts are added to the others: artifacts of the future
/// have the shape of today's; what has not is merely ignored.
fn unknown_fields(
    bytes: &[u8],
    offset: u64,
    room: &Range<u64>,
    artifacts: &mut Vec<Artifact>,
) -> Result<Vec<UnknownField>, Error> {
    let mut unknown = Vec::new();
    for field in wire::fields(bytes, 0..bytes.len()) {
        let field = field.map_err(|source| Error::ManifestWire { offset, source })?;
        let number = field.number;
        if KNOWN_FIELDS.contains(&number) {
            continue;
        }
        if number >= FIRST_ARTIFACT_FIELD
            && let wire::Value::Bytes(range) = field.value
            && is_small_message(bytes, range.clone())
            && let Ok(artifact) = proto::Artifact::decode(&bytes[range])
            && artifact.sha256.len() == Digest::LENGTH
        {
            artifacts.push(check_artifact(ArtifactKind::Other(number), artifact, offset, room)?);
        } else {
            let encoded = bytes[field.span].to_vec();
            unknown.push(UnknownField { number, length: encoded.len(), encoded });
        }
    }
    Ok(unknown)
}

/// Brings artifacts into the order of the file, in which none may share a byte with another. Names are those of files in
/// one folder, and repeated artifacts have them.
fn check_artifacts(artifacts: &mut [Artifact]) -> Result<(), Error> {
    artifacts.sort_by_key(|artifact| (artifact.offset, artifact.length));
    for pair in artifacts.windows(2) {
        if pair[1].offset < pair[0].end() {
            let (first, second) = (pair[0].kind, pair[1].kind);
            return Err(Error::ArtifactOverlap { first, second, offset: pair[1].offset });
        }
    }
    let mut names = HashSet::new();
    for artifact in artifacts.iter() {
        let is_good = match &artifact.name {
            Some(name) => is_relative_name(name) && names.insert(name),
            None => !artifact.kind.is_repeated(),
        };
        if !is_good {
            let name = artifact.name.as_deref().map(shortened).unwrap_or_default();
            return Err(Error::ArtifactName { kind: artifact.kind, name });
        }
    }
    Ok(())
}

/// Whether a name is that of a file within a folder: parts between slashes, none of which leads elsewhere.
pub(crate) fn is_relative_name(name: &str) -> bool {
    name.len() <= NAME_LIMIT
        && !name.contains(['\\', '\0'])
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// What an error says of a name that may fill the whole manifest.
fn shortened(name: &str) -> String {
    name[..name.floor_char_boundary(NAME_LIMIT)].to_owned()
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
        let number = field.number;
        let wire::Value::Bytes(range) = field.value else {
            continue;
        };
        if !is_message(number) {
            continue;
        }
        for (count, field) in wire::fields(bytes, range).enumerate() {
            field.map_err(|source| Error::ManifestWire { offset, source })?;
            if count == MESSAGE_FIELD_LIMIT {
                return Err(Error::MessageFields { offset, number, limit: MESSAGE_FIELD_LIMIT });
            }
        }
    }
    Ok(())
}

/// Whether a field of the manifest is a message that this version knows.
fn is_message(number: u32) -> bool {
    MESSAGE_FIELDS.contains(&number) || number >= FIRST_ARTIFACT_FIELD && KNOWN_FIELDS.contains(&number)
}

/// Whether bytes could be a message with as few fields as an artifact has, now or in the future.
fn is_small_message(bytes: &[u8], range: Range<usize>) -> bool {
    let mut fields = wire::fields(bytes, range).enumerate();
    fields.all(|(count, field)| count < MESSAGE_FIELD_LIMIT && field.is_ok())
}

/// Whether an artifact that this version does not know may have this field number.
pub(crate) fn is_free_number(number: u32) -> bool {
    // Protobuf keeps 19000 to 19999 for itself.
    (FIRST_ARTIFACT_FIELD..=wire::LAST_FIELD).contains(&number)
        && !KNOWN_FIELDS.contains(&number)
        && !(19000..20000).contains(&number)
}

fn digest(bytes: &[u8], of: &str) -> Result<Digest, Error> {
    Digest::try_from(bytes).map_err(|_| Error::DigestLength { of: shortened(of), length: bytes.len() })
}

fn check_artifact(
    kind: ArtifactKind,
    artifact: proto::Artifact,
    manifest_offset: u64,
    room: &Range<u64>,
) -> Result<Artifact, Error> {
    let length = artifact.length;
    let offset = manifest_offset.checked_add(artifact.offset);
    let end = offset.and_then(|offset| offset.checked_add(length));
    match (offset, end) {
        (Some(offset), Some(end)) if offset >= room.start && end <= room.end => {
            let sha256 = digest(&artifact.sha256, &kind.to_string())?;
            let name = Some(artifact.name).filter(|name| !name.is_empty());
            Ok(Artifact { kind, name, offset, length, sha256 })
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
