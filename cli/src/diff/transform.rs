//! What changed in a transform.

use std::time::Duration;

use encoderfile_format::{Encoderfile, Transform};
use similar::TextDiff;

use crate::content::{self, ContentError};

/// After this time, what is left is told as changed in one piece.
const PATIENCE: Duration = Duration::from_millis(100);

/// A unified diff of the texts, language and libraries in front of them.
pub(super) fn between(old: &Encoderfile, new: &Encoderfile) -> Result<String, ContentError> {
    let text = |file| content::transform(file).map_or(Ok(String::new()), |transform| Ok(text(&transform?)));
    let (old, new): (Result<_, ContentError>, Result<_, ContentError>) = (text(old), text(new));
    let (old, new) = (old?, new?);
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(&old, &new);
    Ok(diff.unified_diff().context_radius(2).missing_newline_hint(false).to_string())
}

fn text(transform: &Transform) -> String {
    let libraries = transform.libraries.as_ref();
    let libraries = libraries.map(|libraries| format!(", libraries: {}", libraries.join(" ")));
    let language = content::language(transform);
    format!("-- {language}{}\n{}\n", libraries.unwrap_or_default(), transform.source.trim_end())
}
