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
    /// Tensors that the ONNX model keeps in a file of their own, byte for byte. There may be several.
    ExternalData,
    /// A configuration file of the model folder, byte for byte. There may be several.
    Source,
    /// An artifact that this version does not know.
    Other(u32),
}

impl ArtifactKind {
    /// All that this version knows, by field number.
    pub const KNOWN: [Self; 7] = [
        Self::Weights,
        Self::Transform,
        Self::ModelConfig,
        Self::Tokenizer,
        Self::ImagePreprocessor,
        Self::ExternalData,
        Self::Source,
    ];

    /// The field number in `EncoderfileManifest`.
    pub const fn number(self) -> u32 {
        match self {
            Self::Weights => 100,
            Self::Transform => 110,
            Self::ModelConfig => 120,
            Self::Tokenizer => 130,
            Self::ImagePreprocessor => 140,
            Self::ExternalData => 150,
            Self::Source => 160,
            Self::Other(number) => number,
        }
    }

    /// Whether a file may have several, told apart by their names.
    pub const fn is_repeated(self) -> bool {
        matches!(self, Self::ExternalData | Self::Source)
    }

    /// Whether it may be as large as a model, and is mapped in place.
    pub const fn is_mapped(self) -> bool {
        matches!(self, Self::Weights | Self::ExternalData)
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
            Self::ExternalData => "external_data",
            Self::Source => "source",
            Self::Other(number) => return f.pad(&format!("artifact_{number}")),
        })
    }
}

/// A checked byte range of the file: it lies between manifest and footer and overlaps no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// What it is.
    pub kind: ArtifactKind,
    /// Where it is an input file byte for byte: that file's path within the model folder, with slashes.
    pub name: Option<String>,
    /// First byte, from the start of the file.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// SHA-256 of its bytes, as the manifest says.
    pub sha256: Digest,
}

impl Artifact {
    /// What people call it: its kind, and its name where there may be several of that kind.
    pub fn label(&self) -> String {
        label(self.kind, self.name.as_deref())
    }

    /// One past the last byte.
    pub const fn end(&self) -> u64 {
        self.offset + self.length
    }
}

/// See [`Artifact::label`].
pub(crate) fn label(kind: ArtifactKind, name: Option<&str>) -> String {
    match name.filter(|_| kind.is_repeated()) {
        // The name is whatever the file says.
        Some(name) => format!("{kind} `{}`", name.escape_debug()),
        None => kind.to_string(),
    }
}
