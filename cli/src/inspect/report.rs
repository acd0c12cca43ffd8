//! What `inspect --json` prints.

use std::borrow::Cow;

use encoderfile_format::{
    Architecture, Artifact, ArtifactKind, Container, Digest, Encoderfile, FORMAT_VERSION, ModelType, Needs,
    Prompt, SentencePooling, Setting, SourceFile, Tool, UnknownField, code_signature, needs,
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::content::{self, TokenizerView};

/// What is read for a line that people are told, so that it takes no time: far more than most files have there.
const READ_LIMIT: u64 = 2 << 20;

/// What is printed of an encoderfile. Offsets and lengths are bytes of the whole file.
#[derive(Debug, Serialize)]
pub(crate) struct Report<'a> {
    pub(crate) format_version: u32,
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) model_type: ModelType,
    pub(crate) length: u64,
    pub(crate) base: BaseReport<'a>,
    /// None where the base binary is no executable that this program knows.
    pub(crate) needs: Option<NeedsReport>,
    pub(crate) manifest: ManifestReport,
    pub(crate) artifacts: Vec<ArtifactReport<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sentence_pooling: Option<&'a SentencePooling>,
    #[serde(flatten)]
    pub(crate) labels: Labels,
    pub(crate) prompts: &'a [Prompt],
    pub(crate) default_prompt_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) transform: Option<TransformReport>,
    pub(crate) settings: Vec<SettingReport<'a>>,
    pub(crate) sources: &'a [SourceFile],
    pub(crate) writer: Option<&'a Tool>,
    pub(crate) unknown_fields: &'a [UnknownField],
}

/// The base binary. Only its length is known of a file whose writer recorded nothing.
#[derive(Debug, Serialize)]
pub(crate) struct BaseReport<'a> {
    pub(crate) target: Option<&'a str>,
    pub(crate) version: Option<&'a str>,
    pub(crate) sha256: Option<Digest>,
    pub(crate) length: u64,
    pub(crate) key_id: Option<&'a str>,
    /// What became of it when the model was put into it; none where the model stands behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) changed: Option<ChangeReport>,
    /// Whether it is signed, as all executables for macOS are, and the model stands behind that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) model_is_behind_code_signature: bool,
}

/// How a Mach-O base binary was changed. Its digest and length are those of the original.
#[derive(Debug, Serialize)]
pub(crate) struct ChangeReport {
    /// The segment that holds the model.
    pub(crate) segment: RangeReport,
    /// The code signature of the file as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code_signature: Option<CodeSignatureReport>,
}

#[derive(Debug, Serialize)]
pub(crate) struct RangeReport {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct CodeSignatureReport {
    pub(crate) identifier: String,
    /// Whether nobody vouches for it.
    pub(crate) ad_hoc: bool,
    pub(crate) flags: u32,
    pub(crate) page_size: u64,
}

impl ChangeReport {
    /// A signature that cannot be read is for `verify` to report.
    fn of(encoderfile: &Encoderfile) -> Option<Self> {
        let segment = encoderfile.segment()?;
        let signature = code_signature(encoderfile.file()).ok().flatten();
        let signature = signature.map(|signature| CodeSignatureReport {
            ad_hoc: signature.is_ad_hoc(),
            identifier: signature.identifier,
            flags: signature.flags,
            page_size: signature.page_size,
        });
        let segment = RangeReport { offset: segment.start, length: segment.end - segment.start };
        Some(Self { segment, code_signature: signature })
    }
}

/// What the base binary needs of the system.
#[derive(Debug, Serialize)]
pub(crate) struct NeedsReport {
    /// `linux` or `macos`.
    pub(crate) system: &'static str,
    pub(crate) architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) glibc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) macos: Option<String>,
    pub(crate) libraries: Vec<String>,
}

impl From<Needs> for NeedsReport {
    fn from(needs: Needs) -> Self {
        let floor = needs.floor.map(|floor| floor.to_string());
        let (system, glibc, macos) = match needs.container {
            Container::Elf => ("linux", floor, None),
            Container::MachO => ("macos", None, floor),
        };
        let architecture = match needs.architecture {
            Architecture::X86_64 => "x86_64",
            Architecture::Aarch64 => "aarch64",
        };
        Self { system, architecture: architecture.to_owned(), glibc, macos, libraries: needs.libraries }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct ManifestReport {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct ArtifactReport<'a> {
    pub(crate) kind: String,
    /// Where it is a file of the model folder byte for byte: that file's path there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'a str>,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) sha256: Digest,
    /// Whether people have the same file to compare it with.
    #[serde(skip)]
    pub(crate) is_file: bool,
}

/// The labels in order, as the configuration of the model says.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Labels {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) labels: Option<Vec<String>>,
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) labels_error: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct TransformReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) libraries: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lines: Option<usize>,
    /// Why it cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// A decision. Files that record none (those of encoderfile 0.7) still have a limit, which stands in the tokenizer.
#[derive(Debug, Serialize)]
pub(crate) struct SettingReport<'a> {
    pub(crate) key: &'a str,
    pub(crate) value: Value<'a>,
    pub(crate) source: &'a str,
}

impl<'a> SettingReport<'a> {
    fn of(setting: &'a Setting) -> Self {
        Self { key: &setting.key, value: Value::of(&setting.value), source: &setting.source }
    }
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Value<'a> {
    Json(&'a RawValue),
    /// A limit that is recorded in the tokenizer only.
    Number(u64),
    /// What should be JSON.
    Text(&'a str),
}

impl<'a> Value<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        serde_json::from_str(text).map_or(Self::Text(text), Self::Json)
    }

    pub(crate) fn text(&self) -> Cow<'a, str> {
        match self {
            Self::Json(raw) => raw.get().into(),
            Self::Number(number) => number.to_string().into(),
            Self::Text(text) => (*text).into(),
        }
    }
}

/// The source of a setting that nothing but the tokenizer records.
pub(crate) const TOKENIZER: &str = "tokenizer";
/// The key of the length limit.
pub(crate) const LIMIT: &str = "tokenizer.max_length";

pub(super) fn of(encoderfile: &Encoderfile) -> Report<'_> {
    let manifest = encoderfile.manifest();
    let description = &manifest.description;
    let base = manifest.base.as_ref();
    let footer = encoderfile.footer();
    Report {
        format_version: FORMAT_VERSION,
        name: &description.name,
        version: &description.version,
        model_type: description.model_type,
        length: encoderfile.length(),
        base: BaseReport {
            target: base.map(|base| base.target.as_str()),
            version: base.map(|base| base.version.as_str()),
            sha256: base.map(|base| base.sha256),
            length: encoderfile.base_length(),
            key_id: base.and_then(|base| base.key_id.as_deref()),
            changed: ChangeReport::of(encoderfile),
            model_is_behind_code_signature: encoderfile.is_behind_code_signature(),
        },
        needs: needs(encoderfile.file(), footer.manifest_offset).map(NeedsReport::from),
        manifest: ManifestReport { offset: footer.manifest_offset, length: footer.manifest_length },
        artifacts: manifest.artifacts.iter().map(artifact).collect(),
        sentence_pooling: description.sentence_pooling.as_ref(),
        labels: Labels::of(encoderfile),
        prompts: &description.prompts,
        default_prompt_name: description.default_prompt_name.as_deref(),
        transform: transform(encoderfile),
        settings: settings(encoderfile),
        sources: &description.sources,
        writer: manifest.writer.as_ref(),
        unknown_fields: &description.unknown_fields,
    }
}

fn artifact(artifact: &Artifact) -> ArtifactReport<'_> {
    ArtifactReport {
        kind: artifact.kind.to_string(),
        name: artifact.name.as_deref(),
        offset: artifact.offset,
        length: artifact.length,
        sha256: artifact.sha256,
        is_file: artifact.name.is_some() || artifact.kind == ArtifactKind::Weights,
    }
}

impl Labels {
    /// A damaged configuration is for `verify` to report.
    pub(crate) fn of(encoderfile: &Encoderfile) -> Self {
        let task = encoderfile.manifest().description.model_type;
        match content::model_config(encoderfile, READ_LIMIT) {
            None => Self::default(),
            Some(Ok(config)) => Self { labels: content::labels(task, &config), labels_error: None },
            Some(Err(error)) => Self { labels: None, labels_error: Some(error.to_string()) },
        }
    }
}

fn transform(encoderfile: &Encoderfile) -> Option<TransformReport> {
    let report = match content::transform(encoderfile)? {
        Ok(transform) => TransformReport {
            language: Some(content::language(&transform)),
            lines: Some(transform.source.lines().count()),
            libraries: transform.libraries,
            error: None,
        },
        Err(error) => {
            TransformReport { language: None, libraries: None, lines: None, error: Some(error.to_string()) }
        }
    };
    Some(report)
}

fn settings(encoderfile: &Encoderfile) -> Vec<SettingReport<'_>> {
    let manifest = encoderfile.manifest();
    let recorded = &manifest.description.settings;
    if !recorded.is_empty() {
        return recorded.iter().map(SettingReport::of).collect();
    }
    let limit = manifest.artifact(ArtifactKind::Tokenizer).and_then(|artifact| {
        let bytes = content::bytes(encoderfile, artifact, READ_LIMIT).ok()?;
        Some(TokenizerView::of(&bytes).ok()?.config.truncation?.max_length)
    });
    let setting = |limit| SettingReport { key: LIMIT, value: Value::Number(limit), source: TOKENIZER };
    limit.map(setting).into_iter().collect()
}

/// What is printed of a base binary.
#[derive(Debug, Serialize)]
pub(crate) struct BaseBinaryReport {
    pub(crate) base: StampReport,
    pub(crate) needs: Option<NeedsReport>,
}

#[derive(Debug, Serialize)]
pub(crate) struct StampReport {
    pub(crate) target: String,
    pub(crate) version: String,
    pub(crate) length: u64,
    pub(crate) format_versions: Vec<u32>,
    pub(crate) onnxruntime_version: String,
}
