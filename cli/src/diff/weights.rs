//! What changed in the graph and its weights, by names, types and shapes: no value is read.

use std::collections::{BTreeMap, BTreeSet};

use encoderfile_format::onnx::{Initializer, InitializerData, Model};
use encoderfile_format::{Artifact, Encoderfile};
use serde::Serialize;

use crate::content::{self, ContentError};

/// What changed in a graph. Where nothing did, the digests say that values are others.
#[derive(Debug, Serialize)]
pub(super) struct WeightsChange {
    /// Inputs, outputs, versions of operators: before and after.
    pub(super) graph: Vec<[Vec<String>; 2]>,
    pub(super) added: Vec<Tensor>,
    pub(super) removed: Vec<Tensor>,
    /// Tensors of the same name with another type or shape: before and after.
    pub(super) changed: Vec<[Tensor; 2]>,
    /// How many tensors have the same name, type and shape in both.
    pub(super) alike: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Tensor {
    pub(super) name: String,
    /// As in `float32[2, 3]`.
    #[serde(rename = "type")]
    pub(super) form: String,
    /// Length in bytes, where it is known without reading it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) length: Option<u64>,
}

pub(super) fn between(
    old: (&Encoderfile, &Artifact),
    new: (&Encoderfile, &Artifact),
) -> Result<WeightsChange, ContentError> {
    let model = |(file, artifact)| -> Result<Model, ContentError> {
        Ok(Model::parse(&content::outline(file, artifact)?)?)
    };
    let (old, new) = (model(old)?, model(new)?);
    let lists = |model: &Model| {
        let text =
            |infos: &[encoderfile_format::onnx::TensorInfo]| infos.iter().map(ToString::to_string).collect();
        let sets = model.operator_sets.iter().map(|set| {
            let domain = if set.domain.is_empty() { "ai.onnx" } else { &set.domain };
            format!("{domain} {}", set.version)
        });
        [text(&model.inputs), text(&model.outputs), sets.collect::<Vec<_>>()]
    };
    let graph = lists(&old).into_iter().zip(lists(&new)).filter(|(old, new)| old != new);
    let graph = graph.map(|(old, new)| [old, new]).collect();

    let tensors = |model: &Model| -> BTreeMap<String, Tensor> {
        model.initializers.iter().map(|initializer| (initializer.name.clone(), tensor(initializer))).collect()
    };
    let (old, new) = (tensors(&old), tensors(&new));
    let mut change =
        WeightsChange { graph, added: Vec::new(), removed: Vec::new(), changed: Vec::new(), alike: 0 };
    for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        match (old.get(name), new.get(name)) {
            (Some(old), Some(new)) if old.form == new.form => change.alike += 1,
            (Some(old), Some(new)) => change.changed.push([old.clone(), new.clone()]),
            (Some(old), None) => change.removed.push(old.clone()),
            (None, new) => change.added.extend(new.cloned()),
        }
    }
    Ok(change)
}

fn tensor(initializer: &Initializer) -> Tensor {
    let dimensions: Vec<_> = initializer.dimensions.iter().map(ToString::to_string).collect();
    let length = match &initializer.data {
        InitializerData::Raw(range) => Some(range.len() as u64),
        InitializerData::External { length, .. } => *length,
        InitializerData::Typed => None,
    };
    let form = format!("{}[{}]", initializer.element_type, dimensions.join(", "));
    Tensor { name: initializer.name.clone(), form, length }
}
