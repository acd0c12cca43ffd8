//! What changed of what the manifests say, value by value.

use std::collections::{BTreeMap, BTreeSet};

use encoderfile_format::{ArtifactKind, Digest, Encoderfile, Manifest, UnknownField};
use serde::Serialize;

use crate::inspect::{Labels, pooling_text};

/// A value that one of the files has, or both in different ways.
#[derive(Debug, Serialize)]
pub(super) struct FieldChange {
    pub(super) field: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) old: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) new: Option<String>,
}

pub(super) fn between(old: &Encoderfile, new: &Encoderfile) -> Vec<FieldChange> {
    let (before, after) = (old.manifest(), new.manifest());
    let mut changes = Vec::new();
    let mut of = |field: &str, value: &dyn Fn(&Manifest) -> Option<String>| {
        changes.extend(change(field, value(before), value(after)));
    };
    of("name", &|manifest| Some(manifest.description.name.clone()));
    of("version", &|manifest| Some(manifest.description.version.clone()));
    of("model_type", &|manifest| Some(manifest.description.model_type.to_string()));
    of("pooling", &|manifest| manifest.description.sentence_pooling.as_ref().map(pooling_text));
    of("weights", &weights);
    of("default prompt", &|manifest| manifest.description.default_prompt_name.clone());
    of("base target", &|manifest| Some(manifest.base.as_ref()?.target.clone()));
    of("base version", &|manifest| Some(manifest.base.as_ref()?.version.clone()));
    of("base key", &|manifest| manifest.base.as_ref()?.key_id.clone());
    of("base sha256", &|manifest| Some(manifest.base.as_ref()?.sha256.to_string()));
    of("written by", &|manifest| {
        manifest.writer.as_ref().map(|writer| format!("{} {}", writer.name, writer.version))
    });
    of("unknown fields", &|manifest| unknown(&manifest.description.unknown_fields));
    if old.base_length() != new.base_length() {
        let bytes = |file: &Encoderfile| Some(format!("{} bytes", file.base_length()));
        changes.extend(change("base length", bytes(old), bytes(new)));
    }
    let settings = |manifest: &Manifest| {
        let settings = manifest.description.settings.iter();
        pairs(
            settings.map(|setting| (setting.key.clone(), format!("{} ({})", setting.value, setting.source))),
        )
    };
    changes.extend(between_maps(&settings(before), &settings(after)));
    let prompts = |manifest: &Manifest| {
        let prompts = manifest.description.prompts.iter();
        pairs(prompts.map(|prompt| (format!("prompt {}", prompt.name), format!("{:?}", prompt.text))))
    };
    changes.extend(between_maps(&prompts(before), &prompts(after)));
    changes
}

/// The path of the graph within the model folder, where it is recorded and not the usual one.
fn weights(manifest: &Manifest) -> Option<String> {
    let name = manifest.artifact(ArtifactKind::Weights)?.name.clone();
    name.filter(|name| name != "model.onnx")
}

/// The labels that are others, by index.
pub(super) fn between_labels(old: &Encoderfile, new: &Encoderfile) -> Vec<FieldChange> {
    let labels = |file| Labels::of(file).labels.unwrap_or_default();
    let (before, after) = (labels(old), labels(new));
    let all = (0..before.len().max(after.len())).map(|index| {
        change(&format!("label {index}"), before.get(index).cloned(), after.get(index).cloned())
    });
    all.flatten().collect()
}

fn change(field: &str, old: Option<String>, new: Option<String>) -> Option<FieldChange> {
    (old != new).then(|| FieldChange { field: field.to_owned(), old, new })
}

/// In which nothing is lost of a key that is there twice.
fn pairs(items: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let mut pairs: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in items {
        let known = pairs.entry(key).or_default();
        if !known.is_empty() {
            known.push_str(", ");
        }
        known.push_str(&value);
    }
    pairs
}

fn between_maps(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<FieldChange> {
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    keys.into_iter().filter_map(|key| change(key, old.get(key).cloned(), new.get(key).cloned())).collect()
}

fn unknown(fields: &[UnknownField]) -> Option<String> {
    let fields: Vec<_> = fields
        .iter()
        .map(|field| {
            let digest = Digest::of(&field.encoded).to_string();
            format!("{} ({} bytes, sha256 {})", field.number, field.length, &digest[..16])
        })
        .collect();
    (!fields.is_empty()).then(|| fields.join(", "))
}
