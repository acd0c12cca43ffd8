//! `encoderfile diff`: what changed between two encoderfiles.

mod artifacts;
mod fields;
mod screen;
mod tokenizer;
mod transform;
mod weights;

use encoderfile_format::{ArtifactKind, Encoderfile};
use serde::Serialize;

use self::artifacts::ArtifactChange;
use self::fields::FieldChange;
use self::tokenizer::TokenizerChange;
use self::weights::WeightsChange;
use crate::args;
use crate::content::ContentError;
use crate::error::Error;
use crate::files::open_encoderfile;
use crate::terminal;

/// What `diff --json` prints. What did not change is left out.
#[derive(Debug, Serialize)]
struct Difference {
    same: bool,
    /// What the manifests say of model, settings, base binary and writer.
    fields: Vec<FieldChange>,
    artifacts: Vec<ArtifactChange>,
    /// Recorded files that are no artifacts.
    sources: Vec<ArtifactChange>,
    labels: Vec<FieldChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transform: Option<Found<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokenizer: Option<Found<TokenizerChange>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<Found<WeightsChange>>,
}

/// What was found in two artifacts, or why nothing was.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Found<T> {
    #[serde(rename = "change")]
    Change(T),
    NotCompared(String),
}

impl<T> From<Result<T, ContentError>> for Found<T> {
    fn from(result: Result<T, ContentError>) -> Self {
        match result {
            Ok(change) => Self::Change(change),
            Err(error) => Self::NotCompared(error.to_string()),
        }
    }
}

pub(crate) fn run(arguments: &args::Diff) -> Result<(), Error> {
    let (old, new) = (open_encoderfile(&arguments.old)?, open_encoderfile(&arguments.new)?);
    let difference = Difference::between(&old, &new);
    if arguments.json {
        terminal::json(&difference)?;
    } else {
        terminal::result(screen::text(&arguments.old, &arguments.new, &difference))?;
    }
    if arguments.exit_code && !difference.same { Err(Error::Differ) } else { Ok(()) }
}

impl Difference {
    fn between(old: &Encoderfile, new: &Encoderfile) -> Self {
        let (before, after) = (old.manifest(), new.manifest());
        let fields = fields::between(old, new);
        let artifacts = artifacts::between(before, after);
        let sources = artifacts::between_sources(before, after);
        let has_changed = |kind| artifacts.iter().any(|change| change.kind == kind);
        let labels = if has_changed(ArtifactKind::ModelConfig)
            || before.description.model_type != after.description.model_type
        {
            fields::between_labels(old, new)
        } else {
            Vec::new()
        };
        let both =
            |kind| has_changed(kind).then(|| Some((before.artifact(kind)?, after.artifact(kind)?))).flatten();
        let transform = has_changed(ArtifactKind::Transform).then(|| transform::between(old, new).into());
        let tokenizer = both(ArtifactKind::Tokenizer)
            .map(|(before, after)| tokenizer::between((old, before), (new, after)).into());
        let weights = both(ArtifactKind::Weights)
            .map(|(before, after)| weights::between((old, before), (new, after)).into());
        // Artifacts differ wherever anything in them does.
        let same = fields.is_empty() && artifacts.is_empty() && sources.is_empty();
        Self { same, fields, artifacts, sources, labels, transform, tokenizer, weights }
    }
}
