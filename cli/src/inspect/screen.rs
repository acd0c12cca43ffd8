//! What `inspect` shows to people: one screen, a line per fact, digests whole, so that they can be compared.

use std::path::Path;

use encoderfile_format::{ModelType, PoolingMode, SentencePooling, Setting};

use super::report::{
    ArtifactReport, BaseBinaryReport, BaseReport, ChangeReport, LIMIT, NeedsReport, Report, SettingReport,
    TOKENIZER,
};
use crate::terminal::{printable, size};

/// Columns of the values.
const WIDTH: usize = 66;
/// Settings that have a line of their own.
const SHOWN: [&str; 6] = ["model_type", "pooling", "normalize", "prompts", "default_prompt_name", LIMIT];
/// The most files that are shown.
const MOST_FILES: usize = 40;

/// Lines of a key and a value. What stands in them is the file's: it may be anything, of any length.
struct Screen {
    lines: Vec<String>,
}

impl Screen {
    fn new(path: &Path, title: &str) -> Self {
        Self { lines: vec![format!("{}  ({title})", printable(&path.display().to_string()))] }
    }

    fn line(&mut self, key: &str, value: &str) {
        self.lines.push(format!("  {key:<11} {}", clipped(value)).trim_end().to_owned());
    }

    /// As many lines as the items need, if those are not too many.
    fn items(&mut self, key: &str, items: &[String]) {
        for (position, line) in wrapped(items, 3).iter().enumerate() {
            self.line(if position == 0 { key } else { "" }, line);
        }
    }

    fn file(&mut self, name: &str, length: u64, sha256: &str) {
        self.lines.push(format!("  {:<64} {:>10}", clipped(name), size(length)));
        self.lines.push(format!("    sha256 {sha256}"));
    }

    fn blank(&mut self, heading: &str) {
        self.lines.push(String::new());
        self.lines.push(format!("  {heading}"));
    }
}

pub(super) fn encoderfile(path: &Path, report: &Report<'_>) -> String {
    let title = format!("{}, {} of them the base binary", size(report.length), size(report.base.length));
    let mut screen = Screen::new(path, &title);
    screen.line("model", [report.name, report.version].join(" ").trim());
    model(&mut screen, report);
    screen.line("needs", &needs(report.needs.as_ref()));
    screen.line("base", &base(&report.base));
    if let Some(sha256) = report.base.sha256 {
        screen.lines.push(format!("    sha256 {sha256}"));
    }
    if let Some(change) = &report.base.changed {
        screen.line("changed", "it holds the model in a segment; the sha256 is the original's");
        screen.line("signature", &code_signature(change));
    }
    if report.base.model_is_behind_code_signature {
        screen.line("signature", "does not cover the model, which lies behind it");
    }
    let writer = report.writer.map_or_else(
        || "not recorded, as by encoderfile 0.7".to_owned(),
        |writer| format!("{} {}", writer.name, writer.version),
    );
    screen.line("written by", &format!("{writer}; format version {}", report.format_version));
    files(&mut screen, report);
    screen.lines.join("\n")
}

/// What the model answers, and what was decided of it.
fn model(screen: &mut Screen, report: &Report<'_>) {
    screen.line("task", &format!("{}{}", report.model_type, because(report, "model_type")));
    match report.sentence_pooling {
        Some(pooling) => {
            screen.line("pooling", &format!("{}{}", pooling_words(pooling, ""), because(report, "pooling")));
        }
        None if report.model_type == ModelType::SentenceEmbedding => {
            screen.line("pooling", "mean, as nothing else is recorded");
        }
        None => {}
    }
    match report.settings.iter().find(|setting| setting.key == LIMIT) {
        Some(limit) if limit.value.text() == "null" => {
            screen.line("limit", "none: long texts are not truncated");
        }
        Some(limit) => {
            screen.line("limit", &format!("{} tokens{}", limit.value.text(), because(report, LIMIT)));
        }
        None if report.settings.is_empty() => {}
        None => screen.line("limit", "none: long texts are not truncated"),
    }
    if !report.prompts.is_empty() {
        screen.items("prompts", &prompts(report));
    }
    if let Some(labels) = &report.labels.labels {
        screen.line("labels", &shortened(labels));
    }
    if let Some(error) = &report.labels.labels_error {
        screen.line("labels", error);
    }
    if let Some(transform) = &report.transform {
        let text = match (&transform.error, &transform.language, transform.lines) {
            (None, Some(language), Some(lines)) => {
                let plural = if lines == 1 { "" } else { "s" };
                let libraries = match transform.libraries.as_deref() {
                    None => String::new(),
                    Some([]) => ", no libraries".to_owned(),
                    Some(libraries) => format!(", with {}", libraries.join(", ")),
                };
                format!("{language}, {lines} line{plural}{libraries}")
            }
            (error, ..) => error.clone().unwrap_or_default(),
        };
        screen.line("transform", &text);
    }
    let others =
        report.settings.iter().filter(|setting| !SHOWN.contains(&setting.key) && is_worth_a_word(setting));
    let others: Vec<_> = others
        .map(|setting| {
            let value = clipped(&setting.value.text());
            format!("{} {value}{}", clipped(setting.key), because(report, setting.key))
        })
        .collect();
    screen.items("settings", &others);
}

/// What the packager decided, and what is other than in most models.
fn is_worth_a_word(setting: &SettingReport<'_>) -> bool {
    const USUAL: [(&str, &str); 5] = [
        ("weights", "\"model.onnx\""),
        ("tokenizer.pad_strategy", "\"batch_longest\""),
        ("tokenizer.truncation_side", "\"right\""),
        ("tokenizer.truncation_strategy", "\"longest_first\""),
        ("tokenizer.stride", "0"),
    ];
    setting.source == Setting::GIVEN || !USUAL.contains(&(setting.key, &setting.value.text()))
}

fn prompts(report: &Report<'_>) -> Vec<String> {
    let name = |prompt: &encoderfile_format::Prompt| {
        let is_default = report.default_prompt_name == Some(prompt.name.as_str());
        format!("{}{}", clipped(&prompt.name), if is_default { " (the default)" } else { "" })
    };
    report.prompts.iter().map(name).collect()
}

/// Who says so, if it is recorded.
fn because(report: &Report<'_>, key: &str) -> String {
    let setting = report.settings.iter().find(|setting| setting.key == key);
    let source = setting.map(|setting| match setting.source {
        Setting::GIVEN => "as given".to_owned(),
        Setting::DEFAULT => "the default".to_owned(),
        TOKENIZER => "as the tokenizer has it".to_owned(),
        file => clipped(file),
    });
    source.map(|source| format!(" ({source})")).unwrap_or_default()
}

/// The files that were published, to be compared, and what else there is.
fn files(screen: &mut Screen, report: &Report<'_>) {
    let (files, others): (Vec<_>, Vec<_>) = report.artifacts.iter().partition(|artifact| artifact.is_file);
    let mut files: Vec<_> = files.into_iter().map(|file| (name(file), file.length, file.sha256)).collect();
    // The largest first: it is what people look for.
    files.sort_by_key(|(_, length, _)| std::cmp::Reverse(*length));
    let sources = report.sources.iter().filter(|source| !files.iter().any(|file| file.0 == source.name));
    let mut files: Vec<_> = files
        .iter()
        .cloned()
        .chain(sources.map(|source| (source.name.clone(), source.length, source.sha256)))
        .collect();
    files.sort_by_key(|(_, length, _)| std::cmp::Reverse(*length));
    if !files.is_empty() {
        screen.blank("its files, to compare with the publisher's");
    }
    for (name, length, sha256) in files.iter().take(MOST_FILES) {
        screen.file(name, *length, &sha256.to_string());
    }
    if files.len() > MOST_FILES {
        screen.lines.push(format!("  … and {} more: see `--json`", files.len() - MOST_FILES));
    }
    let others: Vec<_> =
        others.iter().map(|artifact| format!("{} {}", name(artifact), size(artifact.length))).collect();
    if !others.is_empty() {
        screen.lines.push(String::new());
        screen.items("also holds", &others);
    }
    if !report.unknown_fields.is_empty() {
        let numbers: Vec<_> = report.unknown_fields.iter().map(|field| field.number.to_string()).collect();
        screen.line("unknown", &format!("fields of the manifest, ignored: {}", shortened(&numbers)));
    }
}

fn name(artifact: &ArtifactReport<'_>) -> String {
    artifact.name.map_or_else(|| artifact.kind.clone(), str::to_owned)
}

/// Such as `mean pooling, normalised`.
pub(crate) fn pooling_text(pooling: &SentencePooling) -> String {
    pooling_words(pooling, " pooling")
}

fn pooling_words(pooling: &SentencePooling, noun: &str) -> String {
    let name = |mode: &PoolingMode| match mode {
        PoolingMode::Cls => "cls",
        PoolingMode::Max => "max",
        PoolingMode::Mean => "mean",
        PoolingMode::MeanSqrtLen => "mean_sqrt_len",
        PoolingMode::WeightedMean => "weighted_mean",
        PoolingMode::LastToken => "last_token",
    };
    let mut modes: Vec<_> = pooling.modes.iter().take(8).map(name).collect();
    if modes.len() < pooling.modes.len() {
        modes.push("…");
    }
    let normalize = if pooling.normalize { ", normalised" } else { "" };
    let prompt = if pooling.exclude_prompt { ", without the prompt" } else { "" };
    format!("{}{noun}{normalize}{prompt}", modes.join(" + "))
}

fn base(base: &BaseReport<'_>) -> String {
    let Some(target) = base.target else { return "not recorded which".to_owned() };
    let signed = match base.key_id {
        Some(key_id) => format!("signed by {}", clipped(key_id)),
        None => "given by path, unsigned".to_owned(),
    };
    format!("{} for {}, {signed}", clipped(base.version.unwrap_or_default()), clipped(target))
}

fn code_signature(change: &ChangeReport) -> String {
    match &change.code_signature {
        None => "none that can be read here".to_owned(),
        Some(signature) => {
            let whose = if signature.ad_hoc { "ad hoc, by nobody" } else { "with an identity, not checked" };
            format!("{whose}, as {}", clipped(&signature.identifier))
        }
    }
}

fn needs(needs: Option<&NeedsReport>) -> String {
    let Some(needs) = needs else {
        return "not known: the base binary is no 64-bit executable of Linux or macOS".to_owned();
    };
    let (system, floor) = match needs.system {
        "macos" => ("macOS", needs.macos.as_ref().map(|floor| format!("macOS {floor} or newer"))),
        _ => ("Linux", needs.glibc.as_ref().map(|floor| format!("glibc {floor} or newer"))),
    };
    let mut parts = vec![format!("{system} on {}", needs.architecture)];
    parts.push(floor.unwrap_or_else(|| "from which version on cannot be told".to_owned()));
    // Without the number of the interface, which has not changed for longer than any of these systems is old.
    let name = |library: &String| clipped(library.split(".so").next().unwrap_or_default());
    parts.extend(needs.libraries.iter().take(6).map(name));
    parts.join(", ")
}

pub(super) fn base_binary(path: &Path, report: &BaseBinaryReport) -> String {
    let base = &report.base;
    let mut screen = Screen::new(path, &size(base.length));
    screen.lines.push("  a base binary: no model is appended to it".to_owned());
    screen.line("target", &base.target);
    screen.line("version", &base.version);
    screen.line("needs", &needs(report.needs.as_ref()));
    screen.line("ONNX", &format!("ONNX Runtime {}", base.onnxruntime_version));
    let formats: Vec<_> = base.format_versions.iter().map(ToString::to_string).collect();
    screen.line("reads", &format!("files of format {}", shortened(&formats)));
    screen.lines.join("\n")
}

/// A text of the file, printable and not longer than a few lines.
pub(crate) fn clipped(text: &str) -> String {
    const MOST: usize = 160;
    let mut letters = text.chars();
    let start: String = letters.by_ref().take(MOST).collect();
    let end = if letters.next().is_some() { "…" } else { "" };
    printable(&start) + end
}

/// As many items as fit on a line.
fn shortened(items: &[String]) -> String {
    wrapped(items, 1).concat()
}

/// Items on a few lines, and how many there are where they do not fit.
fn wrapped(items: &[String], most_lines: usize) -> Vec<String> {
    let rest = format!("… ({} in all)", items.len());
    let mut lines: Vec<String> = Vec::new();
    for (position, item) in items.iter().enumerate() {
        let item = clipped(item);
        let is_last = position + 1 == items.len();
        let comma = if is_last { "" } else { "," };
        // On the last line, what says that there are more must fit, too.
        let is_last_line = lines.len() == most_lines;
        let reserve = if is_last_line && !is_last { rest.chars().count() + 1 } else { 0 };
        let width = item.chars().count() + comma.len() + reserve;
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + width <= WIDTH => {
                line.extend([" ", &item, comma]);
            }
            Some(line) if is_last_line => {
                line.extend([" ", &rest]);
                break;
            }
            _ => lines.push(format!("{item}{comma}")),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Vec<String> {
        (1..=count).map(|number| format!("number {number}")).collect()
    }

    #[test]
    fn items_fit_on_their_lines() {
        assert_eq!(wrapped(&[], 2), [""; 0]);
        assert_eq!(wrapped(&numbers(2), 1), ["number 1, number 2"]);
        let shown = wrapped(&numbers(1000), 1);
        assert_eq!(shown, ["number 1, number 2, number 3, number 4, number 5, … (1000 in all)"]);
        for count in 1..40 {
            let lines = wrapped(&numbers(count), 3);
            assert!(lines.len() <= 3 && lines.iter().all(|line| line.chars().count() <= WIDTH), "{lines:?}");
            let is_whole = lines.concat().contains(&format!("number {count}"));
            assert_ne!(is_whole, lines.concat().contains("in all"), "{lines:?}");
        }
    }

    #[test]
    fn what_the_file_says_cannot_reach_the_terminal() {
        assert_eq!(clipped("a\u{1b}[2Jb\u{202e}c"), "a\\u{1b}[2Jb\\u{202e}c");
        assert_eq!(clipped(&"x".repeat(1000)).chars().count(), 161);
    }
}
