//! The parts of the manifest as the messages of `proto/manifest.proto`, and back.

use super::{BaseProvenance, digest};
use crate::proto::manifest as proto;
use crate::{Edit, Error, PoolingMode, Prompt, SentencePooling, Setting, SourceFile};

impl BaseProvenance {
    pub(super) fn to_proto(&self) -> proto::BaseBinary {
        proto::BaseBinary {
            target: self.target.clone(),
            version: self.version.clone(),
            sha256: self.sha256.as_bytes().to_vec(),
            key_id: self.key_id.clone().unwrap_or_default(),
            edits: self.edits.iter().map(Edit::to_proto).collect(),
        }
    }

    pub(super) fn from_proto(base: proto::BaseBinary) -> Result<Self, Error> {
        Ok(Self {
            sha256: digest(&base.sha256, "the base binary")?,
            target: base.target,
            version: base.version,
            key_id: Some(base.key_id).filter(|id| !id.is_empty()),
            edits: base.edits.into_iter().map(Edit::from_proto).collect(),
        })
    }
}

impl SentencePooling {
    pub(super) fn to_proto(&self) -> proto::SentencePooling {
        proto::SentencePooling {
            modes: self.modes.iter().map(|mode| mode.proto() as i32).collect(),
            normalize: self.normalize,
            exclude_prompt: self.exclude_prompt,
        }
    }

    pub(super) fn from_proto(pooling: proto::SentencePooling) -> Result<Self, Error> {
        let modes = pooling.modes.into_iter().map(PoolingMode::from_number);
        Ok(Self {
            modes: modes.collect::<Result<_, _>>()?,
            normalize: pooling.normalize,
            exclude_prompt: pooling.exclude_prompt,
        })
    }
}

impl SourceFile {
    pub(super) fn to_proto(&self) -> proto::SourceFile {
        let sha256 = self.sha256.as_bytes().to_vec();
        proto::SourceFile { name: self.name.clone(), length: self.length, sha256 }
    }

    pub(super) fn from_proto(source: proto::SourceFile) -> Result<Self, Error> {
        let sha256 = digest(&source.sha256, &source.name)?;
        Ok(Self { name: source.name, length: source.length, sha256 })
    }
}

impl Prompt {
    pub(super) fn to_proto(&self) -> proto::Prompt {
        proto::Prompt { name: self.name.clone(), text: self.text.clone() }
    }

    pub(super) fn from_proto(prompt: proto::Prompt) -> Self {
        Self { name: prompt.name, text: prompt.text }
    }
}

impl Setting {
    pub(super) fn to_proto(&self) -> proto::Setting {
        proto::Setting { key: self.key.clone(), value: self.value.clone(), source: self.source.clone() }
    }

    pub(super) fn from_proto(setting: proto::Setting) -> Self {
        Self { key: setting.key, value: setting.value, source: setting.source }
    }
}

impl Edit {
    pub(super) fn to_proto(&self) -> proto::Edit {
        let replacement = self.replacement.clone();
        proto::Edit { offset: self.offset, length: self.length, replacement }
    }

    pub(super) fn from_proto(edit: proto::Edit) -> Self {
        Self { offset: edit.offset, length: edit.length, replacement: edit.replacement }
    }
}
