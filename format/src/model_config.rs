//! The artifact `model_config`: what the runtime needs of `config.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// The part of a Hugging Face `config.json` that is stored. Absent values are written as `null` and keys in this order,
/// so that the same configuration always gives the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// The architecture's name, such as `bert`.
    pub model_type: Option<String>,
    /// Number of labels.
    pub num_labels: Option<u32>,
    /// Label by index.
    pub id2label: Option<BTreeMap<u32, String>>,
    /// Index by label.
    pub label2id: Option<BTreeMap<String, u32>>,
    /// Image height in pixels.
    #[serde(default, deserialize_with = "lenient")]
    pub height: Option<u32>,
    /// Image width in pixels.
    #[serde(default, deserialize_with = "lenient")]
    pub width: Option<u32>,
    /// Image height and width in pixels, where they are equal.
    #[serde(default, deserialize_with = "lenient")]
    pub image_size: Option<u32>,
    /// Number of colour channels.
    #[serde(default, deserialize_with = "lenient")]
    pub num_channels: Option<u32>,
}

/// A number, where it is one: some models have lists or −1 here, and texts need none of it.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_u64().and_then(|number| number.try_into().ok()))
}

impl ModelConfig {
    /// Reads the artifact, or the same keys of a `config.json`.
    ///
    /// # Errors
    /// Where it is not JSON, or a key has another type.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The artifact's bytes.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("maps with integer and string keys are JSON")
    }

    /// The number of labels, by whichever key says it.
    pub fn label_count(&self) -> Option<usize> {
        let labels = self.id2label.as_ref().map(BTreeMap::len);
        labels.or(self.label2id.as_ref().map(BTreeMap::len)).or(self.num_labels.map(|count| count as usize))
    }

    /// The label of an index; `LABEL_{index}` where none is given, as in Hugging Face's transformers.
    pub fn label(&self, index: usize) -> String {
        let given = u32::try_from(index).ok().and_then(|index| {
            let by_id = self.id2label.as_ref().and_then(|labels| labels.get(&index).cloned());
            by_id.or_else(|| {
                let labels = self.label2id.as_ref()?;
                labels.iter().find(|(_, other)| **other == index).map(|(label, _)| label.clone())
            })
        });
        given.unwrap_or_else(|| format!("LABEL_{index}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_in_their_order() {
        let config =
            ModelConfig::from_json(br#"{"id2label": {"10": "B", "2": "A"}, "model_type": "bert", "x": 1}"#)
                .unwrap();
        let expected = concat!(
            r#"{"model_type":"bert","num_labels":null,"id2label":{"2":"A","10":"B"},"label2id":null,"#,
            r#""height":null,"width":null,"image_size":null,"num_channels":null}"#
        );
        assert_eq!(String::from_utf8(config.to_json()).unwrap(), expected);
        assert_eq!(config.label_count(), Some(2));
        assert_eq!(config.label(10), "B");
        assert_eq!(config.label(3), "LABEL_3");
    }

    #[test]
    fn image_sizes_of_other_kinds_are_no_fault() {
        let config =
            ModelConfig::from_json(br#"{"image_size": [224, 224], "height": -1, "width": 8}"#).unwrap();
        assert_eq!((config.image_size, config.height, config.width), (None, None, Some(8)));
    }

    #[test]
    fn labels_are_found_by_either_map() {
        let config = ModelConfig::from_json(br#"{"label2id": {"A": 0}}"#).unwrap();
        assert_eq!(config.label(0), "A");
    }
}
