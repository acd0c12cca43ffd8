//! What is known of the repository: names, numbers, who may see what.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::limits::Limits;

/// The repository.
pub(super) struct Repository {
    root: PathBuf,
    /// `owner/name`, first the one it was made with, last the one it has.
    names: Vec<String>,
    pub(super) private: bool,
    pub(super) token: Option<String>,
    pub(super) limits: Limits,
    marks: HashMap<String, Marks>,
    /// All tags that were ever seen, in the order in which they came: numbers stay what they are.
    tags: Vec<String>,
    /// All assets that were ever seen, likewise: tag and name.
    assets: Vec<(String, String)>,
}

/// What a folder does not tell of a release.
#[derive(Clone, Copy, Default)]
pub(super) struct Marks {
    pub(super) draft: bool,
    pub(super) prerelease: bool,
}

/// A release.
pub(super) struct ReleaseEntry {
    /// The how-manieth that was made, from 0.
    pub(super) age: usize,
    pub(super) id: usize,
    pub(super) tag: String,
    pub(super) marks: Marks,
    pub(super) assets: Vec<AssetEntry>,
}

/// A file of a release.
pub(super) struct AssetEntry {
    pub(super) id: usize,
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// Which of the repository's names was used.
#[derive(PartialEq, Eq)]
pub(super) enum Name {
    Present,
    Former,
}

impl Repository {
    pub(super) const ID: &str = "1296269";

    pub(super) fn new(root: &Path, name: &str) -> Self {
        let mut repository = Self {
            root: root.to_owned(),
            names: Vec::new(),
            private: false,
            token: None,
            limits: Limits::default(),
            marks: HashMap::new(),
            tags: Vec::new(),
            assets: Vec::new(),
        };
        repository.rename(name);
        repository.releases();
        repository
    }

    pub(super) fn rename(&mut self, name: &str) {
        assert_eq!(name.matches('/').count(), 1, "`{name}` is not of the form `owner/name`");
        self.names.push(name.to_owned());
    }

    /// The present name, `owner/name`.
    pub(super) fn name(&self) -> &str {
        self.names.last().expect("it was made with a name")
    }

    /// Whether this is a name of the repository. GitHub's names know no case.
    pub(super) fn is_called(&self, owner: &str, name: &str) -> Option<Name> {
        let asked = format!("{owner}/{name}");
        if self.name().eq_ignore_ascii_case(&asked) {
            return Some(Name::Present);
        }
        self.names.iter().any(|name| name.eq_ignore_ascii_case(&asked)).then_some(Name::Former)
    }

    pub(super) fn mark(&mut self, tag: &str, change: impl FnOnce(&mut Marks)) {
        assert!(self.root.join(tag).is_dir(), "there is no release with the tag `{tag}`");
        change(self.marks.entry(tag.to_owned()).or_default());
    }

    /// The releases as the folder has them now, newest first.
    pub(super) fn releases(&mut self) -> Vec<ReleaseEntry> {
        let mut present: Vec<String> =
            items(&self.root).into_iter().filter(|(_, path)| path.is_dir()).map(|(tag, _)| tag).collect();
        present.sort_by_cached_key(|tag| age(tag));
        let mut releases: Vec<ReleaseEntry> = present.into_iter().map(|tag| self.release(tag)).collect();
        releases.sort_by_key(|release| std::cmp::Reverse(release.age));
        releases
    }

    fn release(&mut self, tag: String) -> ReleaseEntry {
        let age = number(&mut self.tags, tag.clone());
        let files = items(&self.root.join(&tag)).into_iter().filter(|(_, path)| path.is_file());
        let assets = files.map(|(name, path)| {
            let id = 9_000_000 + number(&mut self.assets, (tag.clone(), name.clone()));
            AssetEntry { id, name, path }
        });
        let assets = assets.collect();
        let marks = self.marks.get(&tag).copied().unwrap_or_default();
        ReleaseEntry { age, id: 5_000_000 + age, tag, marks, assets }
    }
}

/// Where `item` is among `known`, at the end if it was not there yet.
fn number<T: PartialEq>(known: &mut Vec<T>, item: T) -> usize {
    known.iter().position(|known| *known == item).unwrap_or_else(|| {
        known.push(item);
        known.len() - 1
    })
}

/// What is in a folder, by name; nothing where there is no folder.
fn items(folder: &Path) -> Vec<(String, PathBuf)> {
    let items = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut items: Vec<_> =
        items.map(|item| (item.file_name().to_string_lossy().into_owned(), item.path())).collect();
    items.sort();
    items
}

/// Orders tags by their versions: numbers as numbers, a prerelease before its release, no version before any.
fn age(tag: &str) -> (Vec<u64>, bool, Vec<u64>, String) {
    let numbers = |text: &str| {
        text.split(|letter: char| !letter.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
    };
    match tag.split_once('-') {
        Some((version, prerelease)) => (numbers(version), false, numbers(prerelease), tag.to_owned()),
        None => (numbers(tag), true, Vec::new(), tag.to_owned()),
    }
}
