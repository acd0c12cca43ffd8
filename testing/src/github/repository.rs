//! What is known of the repository: names, numbers, who may see what.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::limits::Limits;
use super::tags::Tag;

/// The repository.
#[expect(clippy::struct_excessive_bools, reason = "settings that do not depend on one another")]
pub(super) struct Repository {
    root: PathBuf,
    /// `owner/name`, first the one it was made with, last the one it has.
    names: Vec<String>,
    pub(super) private: bool,
    pub(super) token: Option<String>,
    /// Whether the token may only read.
    pub(super) read_only: bool,
    /// Whether what is published can never be changed.
    pub(super) immutable: bool,
    /// Whether assets have digests, which older servers do not know.
    pub(super) digests: bool,
    /// Whether who names a commit needs a right that the token does not have.
    pub(super) guards_workflows: bool,
    pub(super) limits: Limits,
    /// Those that were made. A release that was there at the start has one too, at [`Repository::HEAD`].
    tags: Vec<Tag>,
    /// The folder of the release that was declared the latest.
    latest: Option<String>,
    /// By folder.
    marks: HashMap<String, Marks>,
    /// All folders that were ever seen, in the order in which they came: numbers stay what they are.
    folders: Vec<String>,
    /// All assets that were ever seen, likewise: folder and name.
    assets: Vec<(String, String)>,
    /// The assets whose upload broke off.
    halves: HashSet<(String, String)>,
    /// By name: how often an asset is still to be stored with a wrong byte in it.
    pub(super) corruptions: BTreeMap<String, u64>,
}

/// What a folder does not tell of a release.
#[derive(Clone, Default)]
pub(super) struct Marks {
    pub(super) draft: bool,
    pub(super) prerelease: bool,
    /// Published as one that is not to be the latest.
    never_latest: bool,
    /// Otherwise it is the folder's name.
    tag: Option<String>,
    pub(super) name: Option<String>,
    pub(super) body: Option<String>,
    pub(super) commit: Option<String>,
}

/// What a request to create or change a release says of it.
#[derive(Default)]
pub(super) struct Edit {
    pub(super) tag: Option<String>,
    pub(super) name: Option<String>,
    pub(super) body: Option<String>,
    pub(super) commit: Option<String>,
    pub(super) draft: Option<bool>,
    pub(super) prerelease: Option<bool>,
    pub(super) make_latest: bool,
}

/// A release.
pub(super) struct ReleaseEntry {
    /// The how-manieth that was made, from 0.
    pub(super) age: usize,
    pub(super) id: usize,
    pub(super) folder: String,
    pub(super) tag: String,
    pub(super) marks: Marks,
    pub(super) is_immutable: bool,
    pub(super) assets: Vec<AssetEntry>,
}

/// A file of a release.
pub(super) struct AssetEntry {
    pub(super) id: usize,
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// Otherwise its upload broke off, and there is no file.
    pub(super) is_whole: bool,
}

/// Which of the repository's names was used.
#[derive(PartialEq, Eq)]
pub(super) enum Name {
    Present,
    Former,
}

impl Repository {
    pub(super) const ID: &str = "1296269";
    /// The newest commit of the default branch, which is tagged where nobody names one.
    pub(super) const HEAD: &str = "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d";

    pub(super) fn new(root: &Path, name: &str) -> Self {
        let mut repository = Self {
            root: root.to_owned(),
            names: Vec::new(),
            private: false,
            token: None,
            read_only: false,
            immutable: false,
            digests: true,
            guards_workflows: false,
            limits: Limits::default(),
            tags: Vec::new(),
            latest: None,
            marks: HashMap::new(),
            folders: Vec::new(),
            assets: Vec::new(),
            halves: HashSet::new(),
            corruptions: BTreeMap::new(),
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

    pub(super) fn mark(&mut self, folder: &str, change: impl FnOnce(&mut Marks)) {
        assert!(self.root.join(folder).is_dir(), "there is no release with the tag `{folder}`");
        change(self.marks.entry(folder.to_owned()).or_default());
    }

    /// Makes a tag, or moves it.
    pub(super) fn set_tag(&mut self, tag: Tag) {
        self.remove_tag(&tag.name);
        self.tags.push(tag);
    }

    pub(super) fn remove_tag(&mut self, name: &str) {
        self.tags.retain(|tag| tag.name != name);
    }

    /// All tags: no release is published without one.
    pub(super) fn tags(&mut self) -> Vec<Tag> {
        let mut tags = self.tags.clone();
        for release in self.releases().into_iter().filter(|release| !release.marks.draft) {
            if !tags.iter().any(|tag| tag.name == release.tag) {
                tags.push(Tag { name: release.tag, commit: Self::HEAD.to_owned(), objects: 0 });
            }
        }
        tags
    }

    /// The releases as the folder has them now, newest first.
    pub(super) fn releases(&mut self) -> Vec<ReleaseEntry> {
        let mut present: Vec<String> =
            items(&self.root).into_iter().filter(|(_, path)| path.is_dir()).map(|(name, _)| name).collect();
        present.sort_by_cached_key(|folder| age(folder));
        let mut releases: Vec<ReleaseEntry> =
            present.into_iter().map(|folder| self.release(folder)).collect();
        releases.sort_by_key(|release| std::cmp::Reverse(release.age));
        releases
    }

    /// The latest of `releases`: the one that was declared so, else the newest.
    pub(super) fn latest<'a>(&self, releases: &'a [ReleaseEntry]) -> Option<&'a ReleaseEntry> {
        let mut stable = releases.iter().filter(|release| !release.marks.draft && !release.marks.prerelease);
        let declared = stable.clone().find(|release| Some(&release.folder) == self.latest.as_ref());
        declared.or_else(|| stable.find(|release| !release.marks.never_latest))
    }

    fn release(&mut self, folder: String) -> ReleaseEntry {
        let age = number(&mut self.folders, folder.clone());
        let files = items(&self.root.join(&folder)).into_iter().filter(|(_, path)| path.is_file());
        let halves = self.halves.iter().filter(|(of, _)| *of == folder);
        let halves = halves.map(|(_, name)| (name.clone(), self.root.join(&folder).join(name)));
        let mut files: Vec<_> = files.chain(halves).collect();
        files.sort();
        let assets = files.into_iter().map(|(name, path)| {
            let key = (folder.clone(), name.clone());
            let is_whole = !self.halves.contains(&key);
            AssetEntry { id: 9_000_000 + number(&mut self.assets, key), name, path, is_whole }
        });
        let assets = assets.collect();
        let marks = self.marks.get(&folder).cloned().unwrap_or_default();
        let tag = marks.tag.clone().unwrap_or_else(|| folder.clone());
        let is_immutable = self.immutable && !marks.draft;
        ReleaseEntry { age, id: id(age), folder, tag, marks, is_immutable, assets }
    }

    /// Makes a release, and returns its folder. A draft's is not called by its tag, of which there may be several drafts.
    pub(super) fn create(&mut self, edit: Edit) -> String {
        self.releases();
        let folder = untagged(id(self.folders.len()));
        fs::create_dir(self.root.join(&folder)).expect("a folder for the release");
        self.folders.push(folder.clone());
        self.mark(&folder, |marks| marks.draft = true);
        self.edit(&folder, edit)
    }

    /// Changes a release, and returns its folder, which gets the tag's name when it is published.
    pub(super) fn edit(&mut self, folder: &str, edit: Edit) -> String {
        let Edit { tag, name, body, commit, draft, prerelease, make_latest } = edit;
        let mut publishes = false;
        self.mark(folder, |marks| {
            marks.tag = tag.or_else(|| marks.tag.take());
            marks.name = name.or_else(|| marks.name.take());
            marks.body = body.or_else(|| marks.body.take());
            marks.commit = commit.or_else(|| marks.commit.take());
            marks.prerelease = prerelease.unwrap_or(marks.prerelease);
            publishes = marks.draft && draft == Some(false);
            marks.draft = draft.unwrap_or(marks.draft);
            if publishes {
                marks.never_latest = !make_latest;
            }
        });
        let tag = self.marks[folder].tag.clone().filter(|_| publishes);
        let folder = match tag {
            Some(tag) => {
                if !self.tags.iter().any(|known| known.name == tag) {
                    let commit = self.marks[folder].commit.clone();
                    let commit = commit.unwrap_or_else(|| Self::HEAD.to_owned());
                    self.set_tag(Tag { name: tag.clone(), commit, objects: 0 });
                }
                self.rename_folder(folder, tag)
            }
            None => folder.to_owned(),
        };
        if publishes && make_latest {
            self.latest = Some(folder.clone());
        }
        folder
    }

    fn rename_folder(&mut self, from: &str, to: String) -> String {
        fs::rename(self.root.join(from), self.root.join(&to)).expect("no other release with this tag");
        let marks = self.marks.remove(from);
        self.marks.extend(marks.map(|marks| (to.clone(), marks)));
        let folders = self.folders.iter_mut().chain(self.assets.iter_mut().map(|(folder, _)| folder));
        folders.filter(|folder| *folder == from).for_each(|folder| folder.clone_from(&to));
        let halves = std::mem::take(&mut self.halves).into_iter();
        self.halves =
            halves.map(|(of, name)| if of == from { (to.clone(), name) } else { (of, name) }).collect();
        to
    }

    /// Stores an asset; without bytes, one whose upload broke off.
    pub(super) fn store(&mut self, folder: &str, name: &str, bytes: Option<&[u8]>) {
        let Some(bytes) = bytes else {
            self.halves.insert((folder.to_owned(), name.to_owned()));
            return;
        };
        let mut bytes = bytes.to_owned();
        if let Some(times) = self.corruptions.get_mut(name).filter(|times| **times > 0)
            && let Some(byte) = bytes.first_mut()
        {
            *times -= 1;
            *byte ^= 1;
        }
        fs::write(self.root.join(folder).join(name), bytes).expect("an asset");
    }

    /// Removes an asset.
    pub(super) fn remove(&mut self, folder: &str, name: &str) {
        if !self.halves.remove(&(folder.to_owned(), name.to_owned())) {
            fs::remove_file(self.root.join(folder).join(name)).expect("an asset");
        }
        // Who uploads it again makes another asset.
        for (_, known) in self.assets.iter_mut().filter(|(of, known)| *of == folder && *known == name) {
            known.push_str(" (deleted)");
        }
    }
}

fn id(age: usize) -> usize {
    5_000_000 + age
}

/// The name that a draft has in addresses.
pub(super) fn untagged(id: usize) -> String {
    format!("untagged-{id:020x}")
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
