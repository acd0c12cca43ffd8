//! What a file says of its model besides the artifacts.

use serde::{Deserialize, Serialize};

use crate::{Digest, ModelType, SentencePooling};

/// What a file says of its model besides the artifacts. It does not change when the model is put on another base binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The task.
    pub model_type: ModelType,
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// For [`ModelType::SentenceEmbedding`]; [`SentencePooling::default`] where it is absent.
    pub sentence_pooling: Option<SentencePooling>,
    /// Texts that may be put before an input.
    pub prompts: Vec<Prompt>,
    /// The name of the prompt that is put before each input unless another is asked for.
    pub default_prompt_name: Option<String>,
    /// What was decided when the file was built.
    pub settings: Vec<Setting>,
    /// The input files that artifacts were made from, where no artifact is the file itself.
    pub sources: Vec<SourceFile>,
    /// What turns the tokenizer of the artifact back into the `tokenizer.json` that it was made from: in ascending order,
    /// none within another. See [`TokenizerArtifact::original`](crate::TokenizerArtifact::original).
    pub tokenizer_edits: Vec<Edit>,
    /// What was ignored: fields that this version does not know, and that are no artifacts.
    pub unknown_fields: Vec<UnknownField>,
}

impl Description {
    /// Of a model of which nothing else is known.
    pub fn new(model_type: ModelType, name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            model_type,
            name: name.into(),
            version: version.into(),
            sentence_pooling: None,
            prompts: Vec::new(),
            default_prompt_name: None,
            settings: Vec::new(),
            sources: Vec::new(),
            tokenizer_edits: Vec::new(),
            unknown_fields: Vec::new(),
        }
    }

    /// The effective value of a key of `encoderfile.yml`, if it was recorded.
    pub fn setting(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    /// The text of the prompt that is put before each input unless another is asked for.
    pub fn default_prompt(&self) -> Option<&str> {
        self.prompt(self.default_prompt_name.as_deref()?)
    }

    /// The text of a prompt.
    pub fn prompt(&self, name: &str) -> Option<&str> {
        self.prompts.iter().find(|prompt| prompt.name == name).map(|prompt| prompt.text.as_str())
    }
}

/// A text that may be put before an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// What it is asked for by.
    pub name: String,
    /// The text.
    pub text: String,
}

/// A key of `encoderfile.yml`, its effective value, and where that came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Such as `tokenizer.max_length`.
    pub key: String,
    /// JSON.
    pub value: String,
    /// The input file that says so, [`Setting::GIVEN`] or [`Setting::DEFAULT`].
    pub source: String,
}

impl Setting {
    /// The source of what the packager said, whether by a flag or in the build file.
    pub const GIVEN: &str = "given";
    /// The source of what nobody said.
    pub const DEFAULT: &str = "default";
}

/// A replacement of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// First byte that is replaced.
    pub offset: u64,
    /// Number of bytes that are replaced.
    pub length: u64,
    /// What stands there instead.
    pub replacement: Vec<u8>,
}

impl Edit {
    /// The parts that, one behind the other, are `bytes` after all edits, which are in ascending order and none within another.
    /// None where they are not, or are those of other bytes.
    pub fn apply<'a>(edits: &'a [Self], bytes: &'a [u8]) -> Option<Vec<&'a [u8]>> {
        let mut parts = Vec::with_capacity(2 * edits.len() + 1);
        let mut copied = 0;
        for edit in edits {
            // A number that no position can be is as far beyond the bytes as any other.
            let start = usize::try_from(edit.offset).ok()?;
            parts.push(bytes.get(copied..start)?);
            parts.push(&edit.replacement);
            copied = start.checked_add(usize::try_from(edit.length).ok()?)?;
        }
        parts.push(bytes.get(copied..)?);
        Some(parts)
    }
}

/// A field of the manifest that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnknownField {
    /// Field number.
    pub number: u32,
    /// Length of its encoding in bytes.
    pub length: usize,
    /// Tag and value, as they stand in the manifest.
    #[serde(skip)]
    pub encoded: Vec<u8>,
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
