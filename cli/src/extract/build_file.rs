//! The build file that builds the same file again.

use std::fmt::Write as _;
use std::path::Path;

use encoderfile_format::{ArtifactKind, Encoderfile, Manifest, ModelType, SentencePooling, Setting};
use encoderfile_registry::Target;
use serde_json::{Value, json};

use super::outputs::{self, BASE, TRANSFORM, weights_name};
use super::tokenizer;
use crate::content::{PaddingStrategy, TokenizerView};
use crate::error::Error;

/// Whether the files that were read for the model are in the file. In those of encoderfile 0.7 they are not.
pub(super) fn has_sources(manifest: &Manifest) -> bool {
    manifest.artifacts_of(ArtifactKind::Source).next().is_some()
}

/// Whether building again gives the same bytes, where the base binary is the same.
pub(super) fn is_exact(manifest: &Manifest) -> bool {
    has_sources(manifest) && manifest.base.is_some()
}

/// A build file. Values are written as JSON, which YAML includes.
pub(super) fn write(path: &Path, file: &Encoderfile) -> Result<String, Error> {
    let manifest = file.manifest();
    let description = &manifest.description;
    let mut yaml = Yaml::new();
    for (key, text) in [("name", &description.name), ("version", &description.version)] {
        if !text.trim().is_empty() {
            yaml.line(1, key, &json!(text));
        }
    }
    yaml.line(1, "path", &json!("."));
    let tokenizer =
        if has_sources(manifest) { given(&mut yaml, manifest) } else { recorded(&mut yaml, path, file)? };
    if !tokenizer.is_empty() {
        yaml.open(1, "tokenizer");
        for (key, value) in &tokenizer {
            yaml.line(2, key, value);
        }
    }
    if let Some(artifact) = manifest.artifact(ArtifactKind::Transform) {
        let transform = outputs::transform(path, file, artifact)?;
        yaml.open(1, "transform");
        yaml.line(2, "path", &json!(TRANSFORM));
        if let Some(libraries) = transform.libraries.filter(|libraries| !libraries.is_empty()) {
            yaml.line(1, "lua_libs", &json!(libraries));
        }
    }
    yaml.line(1, "output_path", &json!(format!("./{}.encoderfile", file_stem(&description.name))));
    base(&mut yaml, manifest);
    Ok(yaml.text)
}

/// What the packager said: all else stands in the files that were read. Gives what is said of the tokenizer.
fn given(yaml: &mut Yaml, manifest: &Manifest) -> Vec<(String, Value)> {
    let mut tokenizer = Vec::new();
    let given = manifest.description.settings.iter().filter(|setting| setting.source == Setting::GIVEN);
    for setting in given {
        let value = serde_json::from_str(&setting.value).unwrap_or_else(|_| json!(setting.value));
        match setting.key.strip_prefix("tokenizer.") {
            Some(key) => tokenizer.push((key.to_owned(), value)),
            None => yaml.line(1, &setting.key, &value),
        }
    }
    tokenizer
}

/// What holds, whoever said it: the files that said so are not there.
fn recorded(yaml: &mut Yaml, path: &Path, file: &Encoderfile) -> Result<Vec<(String, Value)>, Error> {
    let manifest = file.manifest();
    let description = &manifest.description;
    yaml.line(1, "model_type", &json!(description.model_type.to_string()));
    if let Some(weights) = manifest.artifact(ArtifactKind::Weights).filter(|weights| weights.name.is_some()) {
        yaml.line(1, "weights", &json!(weights_name(weights)));
    }
    if description.model_type == ModelType::SentenceEmbedding {
        let default = SentencePooling::default();
        let pooling = description.sentence_pooling.as_ref().unwrap_or(&default);
        yaml.line(1, "pooling", &json!(pooling.modes));
        yaml.line(1, "normalize", &json!(pooling.normalize));
        let prompts = description.prompts.iter().map(|prompt| (prompt.name.clone(), json!(prompt.text)));
        let prompts: serde_json::Map<_, _> = prompts.collect();
        if !prompts.is_empty() {
            yaml.line(1, "prompts", &Value::Object(prompts));
        }
        if let Some(name) = &description.default_prompt_name {
            yaml.line(1, "default_prompt_name", &json!(name));
        }
    }
    if manifest.artifact(ArtifactKind::Tokenizer).is_none() {
        return Ok(Vec::new());
    }
    let bytes = tokenizer(file).map_err(|source| Error::format(path, source))?;
    let view = TokenizerView::of(&bytes).map_err(|error| Error::Content {
        path: path.to_owned(),
        reasons: vec![format!("tokenizer: {error}")],
    })?;
    let mut keys = Vec::new();
    if let Some(padding) = view.config.padding {
        let strategy = match padding.strategy {
            PaddingStrategy::BatchLongest => json!("batch_longest"),
            PaddingStrategy::Fixed(length) => json!({ "fixed": length }),
        };
        keys.push(("pad_strategy".to_owned(), strategy));
    }
    if let Some(truncation) = view.config.truncation {
        keys.extend([
            ("truncation_side".to_owned(), json!(truncation.direction.to_string())),
            ("truncation_strategy".to_owned(), json!(truncation.strategy.to_string())),
            ("max_length".to_owned(), json!(truncation.max_length)),
            ("stride".to_owned(), json!(truncation.stride)),
        ]);
    }
    Ok(keys)
}

/// The base binary: the release that it is of, else the file beside the build file.
fn base(yaml: &mut Yaml, manifest: &Manifest) {
    let Some(base) = &manifest.base else {
        yaml.comment(&format!(
            "{BASE} is what the file began with; which base binary that is was not recorded"
        ));
        return;
    };
    if base.target.parse::<Target>().is_ok() {
        yaml.line(1, "target", &json!(base.target));
    }
    if base.key_id.is_some() {
        yaml.line(1, "runtime_version", &json!(base.version));
        yaml.comment(&format!("or, where that release is not to be had, `base_binary_path: ./{BASE}`"));
    } else {
        yaml.line(1, "base_binary_path", &json!(format!("./{BASE}")));
    }
}

/// A name such as `sentence-transformers/all-MiniLM-L6-v2` is no file's.
fn file_stem(name: &str) -> String {
    let plain =
        |letter: char| if letter.is_alphanumeric() || "._-+ ".contains(letter) { letter } else { '-' };
    let stem: String = name.trim().chars().take(60).map(plain).collect();
    if stem.is_empty() { "model".to_owned() } else { stem }
}

struct Yaml {
    text: String,
}

impl Yaml {
    fn new() -> Self {
        Self { text: "encoderfile:\n".to_owned() }
    }

    fn open(&mut self, depth: usize, key: &str) {
        self.put(format_args!("{:1$}{key}:", "", 2 * depth, key = text(key)));
    }

    fn line(&mut self, depth: usize, key: &str, value: &Value) {
        self.put(format_args!("{:1$}{key}: {value}", "", 2 * depth, key = text(key), value = flow(value)));
    }

    fn comment(&mut self, comment: &str) {
        self.put(format_args!("  # {comment}"));
    }

    fn put(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("strings take everything");
    }
}

/// A key, in quotes if it is anything but a word.
fn text(key: &str) -> String {
    let is_word = !key.is_empty() && key.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
    if is_word { key.to_owned() } else { quoted(key) }
}

/// JSON, with spaces behind the colons, as YAML wants them.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}: {}", text(key), flow(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A text in quotes. YAML wants more letters escaped than JSON does.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            letter
                if letter.is_control()
                    || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{fe00}'..='\u{feff}') =>
            {
                write!(quoted, "\\u{:04x}", u32::from(letter)).expect("strings take everything");
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::build_file::BuildFile;

    fn parsed(text: &str) -> BuildFile {
        BuildFile::parse(text.as_bytes(), Path::new("encoderfile.yml"))
            .unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[test]
    fn values_of_every_kind_are_read_as_they_were_written() {
        let mut yaml = Yaml::new();
        yaml.line(1, "name", &json!("a: b # c\u{1}\u{7f}\u{2028}\u{feff}\"\\\n\t😀"));
        yaml.line(1, "normalize", &json!(true));
        yaml.line(1, "pooling", &json!(["cls", "max"]));
        yaml.line(1, "prompts", &json!({"query": "query: ", "": "", "a b": "{x}: [y]"}));
        yaml.open(1, "tokenizer");
        yaml.line(2, "pad_strategy", &json!({"fixed": 128}));
        let file = parsed(&yaml.text);
        assert_eq!(file.name.unwrap(), "a: b # c\u{1}\u{7f}\u{2028}\u{feff}\"\\\n\t😀");
        assert_eq!(file.normalize, Some(true));
        assert_eq!(file.pooling.len(), 2);
        let prompts = file.prompts.unwrap();
        assert_eq!(prompts["query"], "query: ");
        assert_eq!(prompts["a b"], "{x}: [y]");
        assert_eq!(prompts[""], "");
        assert!(file.tokenizer.unwrap().pad_strategy.is_some());
    }

    #[test]
    fn names_of_files_are_plain() {
        assert_eq!(file_stem("org/all-MiniLM-L6-v2"), "org-all-MiniLM-L6-v2");
        assert_eq!(file_stem("../\u{1b}[2J"), "..---2J");
        assert_eq!(file_stem(" "), "model");
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_it_was_written(text in "\\PC*", other in any::<String>()) {
            for text in [text, other].iter().filter(|text| !text.trim().is_empty()) {
                let mut yaml = Yaml::new();
                yaml.line(1, "name", &json!(text));
                prop_assert_eq!(&parsed(&yaml.text).name.unwrap(), text);
            }
        }
    }
}
