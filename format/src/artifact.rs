//! Artifacts: the byte ranges behind the manifest.

use std::fmt;

use crate::Digest;

/// What an artifact is, by its field number in the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ArtifactKind {
    /// The ONNX model, byte for byte as it was published.
    Weights,
    /// Post-processing of the outputs.
    Transform,
    /// What `config.json` says of labels and sizes.
    ModelConfig,
    /// `tokenizer.json` with the effective padding and truncation.
    Tokenizer,
    /// Image pre-processing.
    ImagePreprocessor,
    /// An artifact that this version does not know.
    Other(u32),
}

impl ArtifactKind {
    /// All that this version knows, by field number.
    pub const KNOWN: [Self; 5] =
        [Self::Weights, Self::Transform, Self::ModelConfig, Self::Tokenizer, Self::ImagePreprocessor];

    /// The field number in `EncoderfileManifest`.
    pub const fn number(self) -> u32 {
        match self {
            Self::Weights => 100,
            Self::Transform => 110,
            Self::ModelConfig => 120,
            Self::Tokenizer => 130,
            Self::ImagePreprocessor => 140,
            Self::Other(number) => number,
        }
    }
}

impl fmt::Display for ArtifactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Weights => "weights",
            Self::Transform => "transform",
            Self::ModelConfig => "model_config",
            Self::Tokenizer => "tokenizer",
            Self::ImagePreprocessor => "image_preprocessor",
            Self::Other(number) => return f.pad(&format!("artifact_{number}")),
        })
    }
}

/// A checked byte range of the file: it lies between manifest and footer and overlaps no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// What it is.
    pub kind: ArtifactKind,
    /// First byte, from the start of the file.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// SHA-256 of its bytes, as the manifest says.
    pub sha256: Digest,
}

impl Artifact {
    /// One past the last byte.
    pub const fn end(&self) -> u64 {
        self.offset + self.length
    }
}
