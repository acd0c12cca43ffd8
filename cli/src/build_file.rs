//! `encoderfile.yml`.

mod error;
mod forms;
mod model;
mod place;
#[cfg(test)]
mod tests;
mod tokenizer;
mod transform;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use encoderfile_format::{ModelType, PoolingMode};
use encoderfile_registry::Requirement;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};
use serde_saphyr::options::MergeKeyPolicy;

pub use error::BuildFileError;
use forms::{Filled, Flag, Name, OneOrMany, RequirementText, Several, list, via};
pub use model::ModelFiles;
use model::{ModelPath, Pooling, Task};
pub use place::Place;
use place::{KeyPath, Source};
pub use tokenizer::{PadStrategy, TokenizerSettings, TruncationSide, TruncationStrategy};
pub use transform::{LuaLib, Transform};
use transform::{MAX_TRANSFORM, WrittenTransform};

/// The only key at the top.
const TOP: &str = "encoderfile";
/// The longest build file, in bytes.
const MAX_LENGTH: u64 = 1 << 20;
/// Where the schema is published.
const SCHEMA_ID: &str =
    "https://raw.githubusercontent.com/encoderfile/encoderfile/main/encoderfile.schema.json";

/// What the build file says. Paths are relative to the working folder: those of the file are resolved while it is read.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
#[schemars(description = "What to build. Paths are relative to this file.")]
#[schemars(extend("dependentRequired" = {"lua_libs": ["transform"], "validate_transform": ["transform"]}))]
pub struct BuildFile {
    /// The model's name. Without it, the folder's.
    #[serde(default, deserialize_with = "via::<Filled, _, _>")]
    #[schemars(with = "Option<Filled>")]
    pub name: Option<String>,
    /// The model's version.
    #[serde(default, deserialize_with = "via::<Filled, _, _>")]
    #[schemars(with = "Option<Filled>")]
    pub version: Option<String>,
    /// The model: its folder, or its files one by one. Relative to this file, as all paths.
    #[serde(default, rename = "path")]
    written_path: Option<ModelPath>,
    /// The model folder.
    #[serde(skip)]
    pub path: Option<PathBuf>,
    /// The model's files, where they are named one by one in place of a folder.
    #[serde(skip)]
    pub model_files: Option<ModelFiles>,
    /// What the model answers. Without it, what the model's files say.
    #[serde(default, deserialize_with = "via::<Name<Task>, _, _>")]
    #[schemars(with = "Option<Task>")]
    pub model_type: Option<ModelType>,
    /// The graph within the model folder: a file, or the short name of a variant such as `fp16`.
    #[serde(default, deserialize_with = "via::<Filled, _, _>")]
    #[schemars(with = "Option<Filled>")]
    pub weights: Option<String>,
    /// How the vectors of a text's tokens become one; several are concatenated. Without it, sentence-transformers' files decide.
    #[serde(default, deserialize_with = "list::<OneOrMany<Name<Pooling>>, _, _>")]
    #[schemars(with = "Option<OneOrMany<Pooling>>")]
    pub pooling: Vec<PoolingMode>,
    /// Whether the vector of a text is scaled to length 1. Without it, sentence-transformers' files decide.
    #[serde(default, deserialize_with = "via::<Flag, _, _>")]
    #[schemars(with = "Option<Flag>")]
    pub normalize: Option<bool>,
    /// Texts that are put before an input, by the name under which they are asked for.
    pub prompts: Option<BTreeMap<String, String>>,
    /// The prompt of inputs for which none is named.
    #[serde(default, deserialize_with = "via::<Filled, _, _>")]
    #[schemars(with = "Option<Filled>")]
    pub default_prompt_name: Option<String>,
    /// Padding and truncation, where they are to be others than the model's files say.
    pub tokenizer: Option<TokenizerSettings>,
    /// Post-processing of the outputs in Lua: the program itself, or a mapping with its `path`.
    #[serde(default, deserialize_with = "via::<WrittenTransform, _, _>")]
    #[schemars(with = "Option<WrittenTransform>")]
    pub transform: Option<Transform>,
    /// The libraries of Lua that the transform may use.
    #[serde(default, deserialize_with = "list::<Several<Name<LuaLib>>, _, _>")]
    #[schemars(with = "Option<Several<LuaLib>>")]
    pub lua_libs: Vec<LuaLib>,
    /// As encoderfile 0.7 has it. This version runs no transform, and so tries none.
    #[serde(default, deserialize_with = "via::<Flag, _, _>")]
    #[schemars(with = "Option<Flag>")]
    pub validate_transform: Option<bool>,
    /// The file to write. Without it, `{name}.encoderfile` in the working folder.
    #[serde(default, deserialize_with = "via::<Filled, _, _>")]
    #[schemars(with = "Option<Filled>")]
    pub output_path: Option<PathBuf>,
    /// The target triple to build for, or a list of them. Without it, this machine's.
    #[serde(default, deserialize_with = "list::<OneOrMany<Filled>, _, _>")]
    #[schemars(with = "Option<OneOrMany<Filled>>", example = "x86_64-unknown-linux-gnu")]
    pub target: Vec<String>,
    /// The version of the base binary: `0.2.0`, a range such as `^0.2`, or `latest`. Without it, this program's.
    #[serde(default, deserialize_with = "via::<RequirementText, _, _>")]
    #[schemars(with = "Option<String>")]
    pub runtime_version: Option<Requirement>,
    /// A base binary to use in place of a release's.
    #[serde(default, deserialize_with = "via::<Filled, _, _>")]
    #[schemars(with = "Option<Filled>")]
    pub base_binary_path: Option<PathBuf>,
    /// Where base binaries are kept. Without it, the platform's cache folder.
    #[serde(default, deserialize_with = "via::<Filled, _, _>")]
    #[schemars(with = "Option<Filled>")]
    pub cache_dir: Option<PathBuf>,
}

impl From<OneOrMany<Filled>> for Vec<String> {
    fn from(OneOrMany(texts): OneOrMany<Filled>) -> Self {
        texts.into_iter().map(Into::into).collect()
    }
}

/// What `encoderfile build` builds: `encoderfile.yml`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
#[schemars(title = "Encoderfile build file", extend("$id" = SCHEMA_ID))]
struct Document {
    /// The file to build.
    #[serde(deserialize_with = "not_nothing")]
    encoderfile: BuildFile,
}

fn not_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BuildFile, D::Error> {
    let file = Option::deserialize(deserializer)?;
    file.ok_or_else(|| serde::de::Error::invalid_type(serde::de::Unexpected::Unit, &"a mapping"))
}

/// Strict, since other programs read the file too: what they would take for something else is an error. And small, so that no
/// file of a megabyte grows into more.
fn parser_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 16,
            flow_nesting_limit: 16,
            max_nodes: 10_000,
            max_events: 50_000,
            max_anchors: 16,
            max_aliases: 16,
            max_total_scalar_bytes: 4 << 20,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 10_000 },
        merge_keys: MergeKeyPolicy::Error,
        no_schema: true,
        strict_booleans: true,
        strict_indentation: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

impl BuildFile {
    /// Reads a build file, and the transform that it names.
    pub fn read(path: &Path) -> Result<Self, BuildFileError> {
        let cannot_read = |source| BuildFileError::Read { path: path.to_owned(), source };
        let Some(bytes) = read_bounded(path, MAX_LENGTH).map_err(cannot_read)? else {
            return Err(BuildFileError::TooLong { path: path.to_owned() });
        };
        let mut file = Self::parse(&bytes, path)?;
        if let Some(Transform { path: Some(transform), source }) = &mut file.transform {
            // The bytes have been parsed.
            let text = str::from_utf8(&bytes).unwrap_or_default();
            *source = read_transform(transform, Source { path, text })?;
        }
        Ok(file)
    }

    /// Parses a build file of this path, which need not exist. The file of a transform is not read.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, BuildFileError> {
        if bytes.len() as u64 > MAX_LENGTH {
            return Err(BuildFileError::TooLong { path: path.to_owned() });
        }
        let text = str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            let line = before.split(|byte| *byte == b'\n').count();
            let line = u32::try_from(line).unwrap_or(0);
            BuildFileError::NotUtf8 { place: Place { path: path.to_owned(), line, column: 0 } }
        })?;
        let source = Source { path, text };
        let mut track = serde_path_to_error::Track::new();
        let parsed = serde_saphyr::with_deserializer_from_str_with_options(text, parser_options(), |yaml| {
            Document::deserialize(serde_path_to_error::Deserializer::new(yaml, &mut track))
        });
        let Document { encoderfile: mut file } =
            parsed.map_err(|error| BuildFileError::from_yaml(source, track.path().into(), &error))?;
        file.check(source)?;
        file.resolve(path.parent().unwrap_or(Path::new("")));
        Ok(file)
    }

    /// The JSON Schema of build files, for editors and for other programs.
    pub fn schema() -> serde_json::Value {
        // Every key may be left out, and what holds then is no value that it could have.
        let without_defaults = RecursiveTransform(|schema: &mut Schema| {
            schema.remove("default");
        });
        let settings = SchemaSettings::draft2020_12().with_transform(without_defaults);
        let mut schema = SchemaGenerator::new(settings).into_root_schema_for::<Document>();
        let mut ordered = serde_json::Map::new();
        for key in ["$schema", "$id", "title", "description"] {
            ordered.extend(schema.remove(key).map(|value| (key.to_owned(), value)));
        }
        ordered.extend(schema.as_object().cloned().unwrap_or_default());
        ordered.into()
    }

    /// What no single key can say.
    fn check(&self, source: Source<'_>) -> Result<(), BuildFileError> {
        let useless =
            |keys: &[&str], reason: &str| Err(BuildFileError::useless(source, keys, reason.to_owned()));
        if self.transform.is_none() {
            let reason = "there is no `transform` that it could belong to";
            if !self.lua_libs.is_empty() {
                return useless(&[TOP, "lua_libs"], reason);
            }
            if self.validate_transform.is_some() {
                return useless(&[TOP, "validate_transform"], reason);
            }
        }
        if self.weights.is_some() && matches!(self.written_path, Some(ModelPath::Files(_))) {
            return useless(&[TOP, "weights"], "`path` names the graph already, with `model_weights_path`");
        }
        let tokenizer = self.tokenizer.as_ref();
        let lengths = tokenizer.and_then(|tokenizer| tokenizer.stride.zip(tokenizer.max_length));
        match lengths {
            Some((stride, max_length)) if stride >= max_length => {
                let reason = format!("{stride} is not smaller than `max_length`, which is {max_length}");
                useless(&[TOP, "tokenizer", "stride"], &reason)
            }
            _ => Ok(()),
        }
    }

    /// Makes all paths relative to the working folder.
    fn resolve(&mut self, folder: &Path) {
        match self.written_path.take() {
            Some(ModelPath::Folder(path)) => self.path = Some(path),
            Some(ModelPath::Files(files)) => self.model_files = Some(files),
            None => {}
        }
        let transform = self.transform.as_mut().and_then(|transform| transform.path.as_mut());
        let plain = [&mut self.path, &mut self.output_path, &mut self.base_binary_path, &mut self.cache_dir];
        let files = self.model_files.iter_mut().flat_map(ModelFiles::paths_mut);
        for path in plain.into_iter().flatten().chain(transform).chain(files) {
            *path = folder.join(&path);
        }
    }
}

/// The file's bytes; none if there are more than `limit`.
fn read_bounded(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

fn read_transform(path: &Path, build_file: Source<'_>) -> Result<String, BuildFileError> {
    let keys = [TOP, "transform", "path"];
    let useless = |reason: &str| {
        let reason = format!("`{}` {reason}", path.display());
        Err(BuildFileError::useless(build_file, &keys, reason))
    };
    let bytes = read_bounded(path, MAX_TRANSFORM).map_err(|source| {
        let place = build_file.place_of(&KeyPath::of(&keys)).unwrap_or_else(|| build_file.place(None));
        BuildFileError::Transform { place, file: path.to_owned(), source }
    })?;
    let Some(bytes) = bytes else {
        return useless(&format!("is longer than {MAX_TRANSFORM} bytes"));
    };
    match str::from_utf8(&bytes).map(str::trim) {
        Err(_) => useless("is not UTF-8"),
        Ok("") => useless("is empty"),
        Ok(program) => Ok(program.to_owned()),
    }
}
