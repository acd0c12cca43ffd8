//! What `diff` shows to people: a line for what was, a line for what is.

use std::fmt::Write as _;
use std::path::Path;

use anstyle::{AnsiColor, Style};

use super::artifacts::{ArtifactChange, Bytes};
use super::tokenizer::TokenizerChange;
use super::weights::{Tensor, WeightsChange};
use super::{Difference, Found};
use crate::inspect::clipped;
use crate::terminal::{printable, size};

const OLD: Style = AnsiColor::Red.on_default();
const NEW: Style = AnsiColor::Green.on_default();
/// Most lines that are shown of one kind.
const MOST: usize = 12;
/// Most lines of a transform.
const MOST_TRANSFORM: usize = 60;

struct Screen {
    text: String,
    /// Columns of the keys.
    width: usize,
}

impl Screen {
    fn line(&mut self, style: Style, sign: char, key: &str, value: &str) {
        let line = format!("{sign} {key:<width$}  {value}", width = self.width);
        writeln!(self.text, "{style}{}{style:#}", line.trim_end()).expect("strings take everything");
    }

    fn removed(&mut self, key: &str, value: &str) {
        self.line(OLD, '-', key, value);
    }

    fn added(&mut self, key: &str, value: &str) {
        self.line(NEW, '+', key, value);
    }

    fn plain(&mut self, key: &str, value: &str) {
        self.line(Style::new(), ' ', key, value);
    }

    fn more(&mut self, count: usize, what: &str) {
        if count > MOST {
            self.plain("", &format!("… and {} more {what}: see `--json`", count - MOST));
        }
    }
}

pub(super) fn text(old: &Path, new: &Path, difference: &Difference) -> String {
    let name = |path: &Path| printable(&path.display().to_string());
    let heading = format!("{OLD}--- {}{OLD:#}\n{NEW}+++ {}{NEW:#}\n", name(old), name(new));
    if difference.same {
        return "no differences".to_owned();
    }
    let keys = difference.fields.iter().chain(&difference.labels).map(|change| clipped(&change.field));
    let keys = keys.chain(difference.artifacts.iter().chain(&difference.sources).map(label));
    let width = keys.map(|key| key.chars().count()).max().unwrap_or(0).clamp(10, 30);
    let mut screen = Screen { text: heading, width };
    for (changes, what) in [(&difference.fields, "values"), (&difference.labels, "labels")] {
        for change in changes.iter().take(MOST) {
            let key = clipped(&change.field);
            if let Some(old) = &change.old {
                screen.removed(&key, &value(old));
            }
            if let Some(new) = &change.new {
                screen.added(&key, &value(new));
            }
        }
        screen.more(changes.len(), what);
    }
    for changes in [&difference.sources, &difference.artifacts] {
        for change in changes.iter().take(MOST) {
            let key = label(change);
            if let Some(old) = change.old {
                screen.removed(&key, &bytes(old));
            }
            if let Some(new) = change.new {
                screen.added(&key, &bytes(new));
            }
        }
        screen.more(changes.len(), "files");
    }
    found(&mut screen, "in tokenizer", difference.tokenizer.as_ref(), tokenizer);
    found(&mut screen, "in weights", difference.weights.as_ref(), weights);
    found(&mut screen, "in transform", difference.transform.as_ref(), |screen, diff| transform(screen, diff));
    screen.text.trim_end().to_owned()
}

/// What there is of a value on one line; of a digest, what tells it from others.
fn value(text: &str) -> String {
    let is_digest = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_digest { format!("{}…", &text[..16]) } else { clipped(text) }
}

fn label(change: &ArtifactChange) -> String {
    change.name.as_deref().map_or_else(|| change.kind.to_string(), clipped)
}

fn bytes(bytes: Bytes) -> String {
    format!("{:>9}  sha256 {}…", size(bytes.length), &bytes.sha256.to_string()[..16])
}

fn found<T>(screen: &mut Screen, key: &str, found: Option<&Found<T>>, show: impl Fn(&mut Screen, &T)) {
    match found {
        None => {}
        Some(Found::Change(change)) => {
            screen.text.push('\n');
            screen.plain(key, "");
            show(screen, change);
        }
        Some(Found::NotCompared(reason)) => {
            screen.text.push('\n');
            screen.plain(key, &format!("not compared: {}", clipped(reason)));
        }
    }
}

fn tokenizer(screen: &mut Screen, change: &TokenizerChange) {
    if let [Some(old), Some(new)] = change.vocabulary
        && old != new
    {
        screen.removed("vocabulary", &old.to_string());
        screen.added("vocabulary", &new.to_string());
    }
    for token in change.tokens_removed.iter().take(MOST) {
        screen.removed("token", &clipped(token));
    }
    screen.more(change.tokens_removed.len(), "tokens");
    for token in change.tokens_added.iter().take(MOST) {
        screen.added("token", &clipped(token));
    }
    screen.more(change.tokens_added.len(), "tokens");
    let keys: Vec<_> = change.keys.iter().take(MOST).map(|key| clipped(key)).collect();
    if keys.is_empty() {
        screen.plain("", "tokenizer.json is the same: only padding or truncation changed");
    } else {
        screen.plain("changed", &keys.join(", "));
    }
}

fn weights(screen: &mut Screen, change: &WeightsChange) {
    for [old, new] in &change.graph {
        for line in old.iter().filter(|line| !new.contains(line)).take(MOST) {
            screen.removed("graph", &clipped(line));
        }
        for line in new.iter().filter(|line| !old.contains(line)).take(MOST) {
            screen.added("graph", &clipped(line));
        }
    }
    let tensor = |tensor: &Tensor| {
        let length = tensor.length.map(|length| format!(", {}", size(length))).unwrap_or_default();
        format!("{} {}{length}", clipped(&tensor.name), tensor.form)
    };
    for [old, new] in change.changed.iter().take(MOST) {
        screen.removed("tensor", &tensor(old));
        screen.added("tensor", &tensor(new));
    }
    screen.more(change.changed.len(), "changed");
    for old in change.removed.iter().take(MOST) {
        screen.removed("tensor", &tensor(old));
    }
    screen.more(change.removed.len(), "removed");
    for new in change.added.iter().take(MOST) {
        screen.added("tensor", &tensor(new));
    }
    screen.more(change.added.len(), "added");
    let is_alike = change.changed.is_empty() && change.removed.is_empty() && change.added.is_empty();
    let count = change.alike;
    let alike = if count == 1 { "1 tensor has".to_owned() } else { format!("{count} tensors have") };
    let rest = if is_alike { ": values differ" } else { "" };
    screen.plain("", &format!("{alike} the same name, type and shape{rest}"));
}

fn transform(screen: &mut Screen, diff: &str) {
    let lines: Vec<_> = diff.lines().collect();
    for line in lines.iter().take(MOST_TRANSFORM) {
        let style = match line.chars().next() {
            Some('-') => OLD,
            Some('+') => NEW,
            _ => Style::new(),
        };
        writeln!(screen.text, "{style}{}{style:#}", clipped(line)).expect("strings take everything");
    }
    if lines.len() > MOST_TRANSFORM {
        screen.plain("", &format!("… and {} more lines: see `--json`", lines.len() - MOST_TRANSFORM));
    }
}
