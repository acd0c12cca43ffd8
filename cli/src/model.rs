//! From a model as it is found to the artifacts of a file: what is there, what it says, and whether it all fits.

mod folder;
mod given;
mod graph;
mod sentence_transformers;
mod source;
mod tokenizer;
mod weights;

use std::path::PathBuf;

use encoderfile_format::{
    ArtifactKind, Content, Description, ModelType, OutputKind, Part, Prompt, SentencePooling, Setting,
    Transform, TransformType,
};
use serde_json::{Map, Value};
use tokenizers::PaddingStrategy;

use crate::error::Error;
use crate::inspect::pooling_text;
use crate::suggestion::nearest;
use crate::terminal::{Terminal, printable};
use folder::Model;
use given::Decided;
use graph::Graph;

pub(crate) use folder::{ModelFolderError, TASKS};
pub(crate) use given::{Given, GivenError, GivenTokenizer, GivenTransform};
pub(crate) use graph::ModelError;
pub(crate) use tokenizer::TokenizerError;

/// Where the files of a model are.
#[derive(Debug)]
pub(crate) enum ModelFiles {
    /// In a folder, laid out as Hugging Face, optimum or sentence-transformers do it.
    Folder(PathBuf),
    /// One by one, wherever they are.
    Paths(ModelPaths),
}

/// The files of a model that does not lie in one folder.
#[derive(Debug)]
pub(crate) struct ModelPaths {
    pub(crate) config: PathBuf,
    pub(crate) weights: PathBuf,
    pub(crate) tokenizer: PathBuf,
    pub(crate) tokenizer_config: Option<PathBuf>,
    /// Only models of images have it.
    pub(crate) preprocessor_config: Option<PathBuf>,
}

impl ModelFiles {
    /// The model's default name: that of its folder, or, in Hugging Face's cache, that of its repository.
    pub(crate) fn name(&self) -> String {
        let folder = match self {
            Self::Folder(path) => path.clone(),
            Self::Paths(paths) => paths.config.parent().map(PathBuf::from).unwrap_or_default(),
        };
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        let folder = std::fs::canonicalize(&folder).unwrap_or(folder);
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        let repository = || {
            let snapshots = folder.parent().filter(|parent| parent.ends_with("snapshots"))?;
            let repository = snapshots.parent()?.file_name()?.to_str()?.strip_prefix("models--")?;
            repository.rsplit("--").next().map(str::to_owned)
        };
        repository().or(name).unwrap_or_else(|| "model".to_owned())
    }

    /// Where the file of a name within the model folder is.
    pub(crate) fn path_of(&self, name: &str) -> Option<PathBuf> {
        match self {
            Self::Folder(folder) => Some(folder.join(name)),
            Self::Paths(paths) => match name {
                "config.json" => Some(paths.config.clone()),
                "tokenizer.json" => Some(paths.tokenizer.clone()),
                "tokenizer_config.json" => paths.tokenizer_config.clone(),
                _ => None,
            },
        }
    }
}

/// What a file is made of besides the base binary.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) description: Description,
    pub(crate) parts: Vec<Part>,
    /// Whether it has a transform, so that the runtime of this version refuses to run it.
    pub(crate) has_transform: bool,
}

/// Checks the model, the tokenizer and the configuration, decides what is left open, and says what was found.
pub(crate) fn prepare(
    files: &ModelFiles,
    given: &Given,
    name: &str,
    version: &str,
    terminal: Terminal,
) -> Result<Prepared, Error> {
    let mut model = Model::read(files, given)?;
    let graph = graph::check(&model)?;
    let sentences = sentences(&model, &graph, given)?;
    let tokenizer = tokenizer::prepare(&mut model, &graph, given)?;

    let (task, because) = (model.task.value, model.task.because());
    terminal.status("Model", format_args!("{name} {version}: {task} ({because})"));
    tell_weights(&model, &graph, terminal);
    if let Some(sentences) = &sentences {
        sentences.tell(terminal);
    }
    match &tokenizer.limit {
        Some(limit) => {
            terminal.status("Limit", format_args!("{} tokens ({})", limit.value, limit.because()));
        }
        None => terminal.status("Limit", "none: no file gives one, so long texts are not truncated"),
    }
    if let PaddingStrategy::Fixed(length) = tokenizer.strategy.value {
        terminal.status("Padding", format_args!("to {length} tokens ({})", tokenizer.strategy.because()));
    }
    if let Some(warning) = &tokenizer.warning {
        terminal.warning(printable(warning));
    }

    let mut description = Description {
        sources: model.sources,
        tokenizer_edits: tokenizer.edits,
        ..Description::new(task, name, version)
    };
    let task = Decided::by(task, &model.task.source);
    description.settings.extend([task.setting("model_type"), model.weights.name.setting("weights")]);
    if let Some(sentences) = sentences {
        sentences.describe(&mut description);
    }
    description.settings.extend(tokenizer.settings);

    let mut parts = vec![
        Part::bytes(ArtifactKind::ModelConfig, model.stored_config.to_json()),
        Part::bytes(ArtifactKind::Tokenizer, tokenizer.artifact),
    ];
    if let Some(transform) = &given.transform {
        terminal.warning(
            "the transform is stored, but this version's runtime does not run one: the file will refuse to answer",
        );
        let (source, libraries) = (transform.source.clone(), transform.libraries.clone());
        let transform = Transform { transform_type: TransformType::Lua, source, libraries };
        parts.push(Part::bytes(ArtifactKind::Transform, transform.encode()));
    }
    parts.extend(model.parts);
    let file =
        |kind, name, path, file| Part { kind, name: Some(name), content: Content::File { path, file } };
    let weights = model.weights;
    parts.push(file(ArtifactKind::Weights, weights.name.value, weights.path, weights.file));
    let external = graph.external.into_iter();
    parts.extend(external.map(|(name, path, opened)| file(ArtifactKind::ExternalData, name, path, opened)));
    Ok(Prepared { description, parts, has_transform: given.transform.is_some() })
}

/// Says which graph is built, unless it is the usual one.
fn tell_weights(model: &Model<'_>, graph: &Graph, terminal: Terminal) {
    let weights = &model.weights;
    let external: Vec<_> = graph.external.iter().map(|(name, _, _)| name.as_str()).collect();
    let name = printable(&weights.name.value);
    let because = if weights.is_only_one { "the only one" } else { weights.name.because() };
    let is_usual = because == "the default" && external.is_empty();
    let with = match external.as_slice() {
        [] => String::new(),
        [one] => format!(", with {}", printable(one)),
        [first, .., last] => {
            format!(", with {} files from {} to {}", external.len(), printable(first), printable(last))
        }
    };
    if is_usual {
        terminal.detail("Weights", format_args!("{name} ({because})"));
    } else {
        terminal.status("Weights", format_args!("{name}{with} ({because})"));
    }
    if !weights.others.is_empty() {
        let others = printable(&weights.others.join(", "));
        terminal.detail("Others", format_args!("{others}: choose one with `--weights`"));
    }
}

/// What is decided for sentence embeddings.
struct Sentences {
    modes: Decided<Vec<encoderfile_format::PoolingMode>>,
    normalize: Decided<bool>,
    exclude_prompt: bool,
    /// The output that the graph has pooled itself.
    pooled: Option<String>,
    prompts: Decided<Vec<Prompt>>,
    default_prompt_name: Option<Decided<String>>,
}

/// What was given, else what sentence-transformers' files say. None for other tasks.
fn sentences(model: &Model<'_>, graph: &Graph, given: &Given) -> Result<Option<Sentences>, Error> {
    if model.task.value != ModelType::SentenceEmbedding {
        return Ok(None);
    }
    let output = &graph.signature.output;
    let pooled = (graph.signature.output_kind == OutputKind::SentenceVectors).then(|| output.clone());
    if let (Some(output), Some(_)) = (&pooled, &given.pooling) {
        let (path, output) = (model.weights.path.clone(), output.clone());
        return Err(GivenError::PooledGraph { path, output }.into());
    }
    let found = model.sentences.as_ref();
    let pooling = given.pooling.clone().map(Decided::given);
    let pooling = match pooling.or_else(|| found?.modes.clone()) {
        Some(pooling) => pooling,
        None if found.is_some() && pooled.is_none() => {
            let (path, what) = (model.path_of("modules.json"), "no module `Pooling`".to_owned());
            return Err(ModelFolderError::Unsupported { path, what }.into());
        }
        None => Decided::default(SentencePooling::default().modes),
    };
    let normalize = given.normalize.map(Decided::given).or_else(|| Some(found?.normalize.clone()));
    let (prompts, mut default_prompt_name) = match &given.prompts {
        Some(prompts) => (Decided::given(prompts.clone()), None),
        None => (
            found.map_or_else(|| Decided::default(Vec::new()), |found| found.prompts.clone()),
            found.and_then(|found| found.default_prompt_name.clone()),
        ),
    };
    if let Some(name) = &given.default_prompt_name {
        let known = || prompts.value.iter().map(|prompt| prompt.name.as_str());
        if !known().any(|known| known == name) {
            let suggestion = nearest(name, known()).map(str::to_owned);
            let (name, known) = (name.clone(), known().map(str::to_owned).collect());
            return Err(GivenError::NoSuchPrompt { name, known, suggestion }.into());
        }
        default_prompt_name = Some(Decided::given(name.clone()));
    }
    Ok(Some(Sentences {
        modes: pooling,
        normalize: normalize.unwrap_or_else(|| Decided::default(false)),
        exclude_prompt: found.is_some_and(|found| found.exclude_prompt.is_some()),
        pooled,
        prompts,
        default_prompt_name,
    }))
}

impl Sentences {
    fn pooling(&self) -> SentencePooling {
        SentencePooling {
            modes: self.modes.value.clone(),
            normalize: self.normalize.value,
            exclude_prompt: self.exclude_prompt,
        }
    }

    fn tell(&self, terminal: Terminal) {
        let normalized = if self.normalize.value { ", normalised" } else { "" };
        if let Some(output) = &self.pooled {
            let output = printable(output);
            terminal.status("Pooling", format_args!("by the graph{normalized} (its output `{output}`)"));
        } else {
            let (modes, normalize) = (self.modes.because(), self.normalize.because());
            let is_same = modes == normalize || self.normalize.source == Setting::DEFAULT;
            let because = if is_same { modes.to_owned() } else { format!("{modes}, {normalize}") };
            terminal.status("Pooling", format_args!("{} ({because})", pooling_text(&self.pooling())));
        }
        let prompts = self.prompts.value.iter().filter(|prompt| !prompt.text.is_empty());
        let names: Vec<_> = prompts.map(|prompt| prompt.name.as_str()).collect();
        if !names.is_empty() {
            let default = self.default_prompt_name.as_ref();
            let default = default.map_or_else(
                || ", none by default".to_owned(),
                |name| format!(", by default {}", name.value),
            );
            let message = format!("{}{default}", names.join(", "));
            terminal.status("Prompts", format_args!("{} ({})", printable(&message), self.prompts.because()));
        }
    }

    fn describe(self, description: &mut Description) {
        description.sentence_pooling = Some(self.pooling());
        description.settings.extend([self.modes.setting("pooling"), self.normalize.setting("normalize")]);
        if !self.prompts.value.is_empty() || self.prompts.source == Setting::GIVEN {
            let texts = self.prompts.value.iter();
            let texts = texts.map(|prompt| (prompt.name.clone(), Value::String(prompt.text.clone())));
            let texts = Decided::by(texts.collect::<Map<_, _>>(), &self.prompts.source);
            description.settings.push(texts.setting("prompts"));
        }
        if let Some(name) = &self.default_prompt_name {
            description.settings.push(name.setting("default_prompt_name"));
        }
        description.prompts = self.prompts.value;
        description.default_prompt_name = self.default_prompt_name.map(|name| name.value);
    }
}
