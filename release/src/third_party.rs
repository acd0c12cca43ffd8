//! `THIRD_PARTY.md`: what a program is made of, and under which licences.
//!
//! The list is the closure of the program's normal dependencies for its target, with the features that the whole workspace
//! turns on: rather one name too many than one too few.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};
use clap::ValueEnum;
use encoderfile_registry::Target;
use serde::Deserialize;

use crate::error::Error;

/// How the names of files with licences and notices start, in upper case.
const LICENCE_NAMES: [&str; 7] =
    ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE", "AUTHORS"];
/// Extensions of texts; anything else behind a dot is part of a name such as `LICENSE.Apache-2.0`, or of a program.
const NOT_TEXTS: [&str; 10] = ["rs", "c", "h", "py", "sh", "json", "toml", "yml", "yaml", "html"];
/// Directories of a package that do not end in a program.
const NOT_BUILT: [&str; 8] = ["target", "tests", "test", "testdata", "examples", "benches", "fuzz", "doc"];
/// Bundled C libraries keep their licence in their own directory, this deep at most.
const DEPTH: usize = 4;
/// Where the runtime's build script puts ONNX Runtime, and which version it takes.
const PINS: &str = "release/onnxruntime.toml";

/// How Cargo's and Rustup's errors start.
const ERROR: &str = "error: ";
/// What Rustup writes above a backtrace.
const BACKTRACE: &str = "Stack backtrace:";
/// Enough for the message and its causes.
const MESSAGE_LINES: usize = 6;

/// A program of the workspace that releases hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Program {
    /// The base binary
    #[value(name = "encoderfile-runtime")]
    Runtime,
    /// The command line
    #[value(name = "encoderfile")]
    Cli,
}

impl Program {
    /// Name of the program and of its package.
    fn name(self) -> &'static str {
        match self {
            Self::Runtime => "encoderfile-runtime",
            Self::Cli => "encoderfile",
        }
    }
}

/// Which notices to generate.
pub(crate) struct Notices<'a> {
    pub(crate) program: Program,
    pub(crate) target: Target,
    /// Version of the ONNX Runtime in the base binary; the pinned one if not given.
    pub(crate) onnxruntime_version: Option<Cow<'a, str>>,
    /// `Cargo.toml` of the workspace, instead of the one around the current directory.
    pub(crate) manifest_path: Option<&'a Path>,
    /// The options, if there are any, that take notices as files in place of all that is to be generated.
    pub(crate) instead: Option<&'static str>,
}

/// Something that a program is made of.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Component {
    name: String,
    version: String,
    licence: String,
    origin: String,
    /// File names and contents.
    texts: Vec<(String, String)>,
}

/// Generates the document. It names no path of this machine and holds no time.
pub(crate) fn generate(notices: &Notices<'_>) -> Result<String, Error> {
    let metadata = metadata(notices)?;
    let mut components = Vec::new();
    for package in dependencies(&metadata, notices)? {
        components.push(component(package)?);
    }
    components.sort();
    if notices.program == Program::Runtime {
        components.insert(0, onnxruntime(notices, &metadata)?);
    }
    Ok(render(notices.program, notices.target, &components))
}

fn metadata(notices: &Notices<'_>) -> Result<Metadata, Error> {
    let mut command = MetadataCommand::new();
    if let Some(path) = notices.manifest_path {
        command.manifest_path(path);
    }
    let options = ["--locked", "--filter-platform", notices.target.triple()];
    command.other_options(options.map(str::to_owned));
    command.exec().map_err(|source| Error::Metadata { instead: notices.instead, source: essence(source) })
}

/// Cargo's own message, without what it says before it and without the backtrace that Rustup puts behind it.
fn essence(error: cargo_metadata::Error) -> cargo_metadata::Error {
    let cargo_metadata::Error::CargoMetadata { stderr } = error else { return error };
    let start = if stderr.starts_with(ERROR) { Some(0) } else { stderr.find("\nerror: ").map(|at| at + 1) };
    let message = start.map_or(&*stderr, |at| &stderr[at + ERROR.len()..]);
    let lines = message.lines().map(str::trim_end).filter(|line| !line.is_empty());
    let lines: Vec<_> = lines.take_while(|line| *line != BACKTRACE).take(MESSAGE_LINES).collect();
    cargo_metadata::Error::CargoMetadata { stderr: lines.join("\n") }
}

/// The packages of others that the program is linked from.
fn dependencies<'a>(metadata: &'a Metadata, notices: &Notices<'_>) -> Result<Vec<&'a Package>, Error> {
    let program = notices.program;
    let no_package = || Error::NoPackage { name: program.name().to_owned(), instead: notices.instead };
    let packages: HashMap<&PackageId, &Package> =
        metadata.packages.iter().map(|package| (&package.id, package)).collect();
    let resolve = metadata.resolve.as_ref().ok_or_else(no_package)?;
    let nodes: HashMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let root = metadata.workspace_packages().into_iter().find(|package| *package.name == program.name());

    let mut pending = vec![&root.ok_or_else(no_package)?.id];
    let mut seen = BTreeSet::new();
    while let Some(id) = pending.pop() {
        if seen.insert(id)
            && let Some(node) = nodes.get(id)
        {
            let normal = node.deps.iter().filter(|dependency| {
                dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
            });
            pending.extend(normal.map(|dependency| &dependency.pkg));
        }
    }
    // Packages without a source are the workspace's own, under the project's licence.
    let all = seen.into_iter().filter_map(|id| packages.get(id).copied());
    Ok(all.filter(|package| package.source.is_some()).collect())
}

fn component(package: &Package) -> Result<Component, Error> {
    let manifest = package.manifest_path.as_std_path();
    let directory = manifest.parent().unwrap_or(manifest);
    let mut texts = texts(directory).map_err(Error::io("read", directory))?;
    if let Some(path) = package.license_file() {
        let name = path.file_name().unwrap_or_default().to_owned();
        if !texts.iter().any(|(found, _)| *found == name) {
            texts.push((name, read_text(path.as_std_path()).map_err(Error::io("read", path.as_std_path()))?));
        }
    }
    let (name, version) = (package.name.to_string(), package.version.to_string());
    let licence = match &package.license {
        // The slash is how old packages write OR.
        Some(expression) => expression.replace('/', " OR ").replace("  ", " "),
        None if texts.is_empty() => return Err(Error::NoLicence { name, version }),
        None => "see its text".to_owned(),
    };
    let origin = package.repository.clone().or_else(|| package.homepage.clone());
    // Where it says nothing of itself, its name is all there is to look it up by.
    let origin = origin.unwrap_or_else(|| format!("the crate `{name}`"));
    Ok(Component { name, version, licence, origin, texts })
}

/// ONNX Runtime, with what its own build ships of notices.
fn onnxruntime(notices: &Notices<'_>, metadata: &Metadata) -> Result<Component, Error> {
    let version = match &notices.onnxruntime_version {
        Some(version) => version.to_string(),
        None => pinned_version(&metadata.workspace_root.join(PINS).into_std_path_buf())?,
    };
    let path = metadata.target_directory.join("onnxruntime").join(&version).join(notices.target.triple());
    let path = path.into_std_path_buf();
    let mut texts = Vec::new();
    for name in ["LICENSE", "ThirdPartyNotices.txt"] {
        match read_text(&path.join(name)) {
            Ok(text) => texts.push((name.to_owned(), text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoNotices { version, target: notices.target, path: path.join(name) });
            }
            Err(error) => return Err(Error::io("read", &path.join(name))(error)),
        }
    }
    Ok(Component {
        name: "ONNX Runtime".to_owned(),
        version,
        licence: "MIT".to_owned(),
        origin: "https://github.com/microsoft/onnxruntime".to_owned(),
        texts,
    })
}

fn pinned_version(path: &Path) -> Result<String, Error> {
    #[derive(Deserialize)]
    struct Pins {
        version: String,
    }

    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let pins: Pins = toml::from_str(&text).map_err(|source| Error::Pins { path: path.to_owned(), source })?;
    Ok(pins.version)
}

/// The licences and notices in a package, by their path in it.
fn texts(directory: &Path) -> io::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    collect_texts(directory, "", DEPTH, &mut found)?;
    found.sort();
    found.into_iter().map(|(name, path)| Ok((name, read_text(&path)?))).collect()
}

fn collect_texts(
    directory: &Path,
    prefix: &str,
    depth: usize,
    found: &mut Vec<(String, PathBuf)>,
) -> io::Result<()> {
    for entry in directory.read_dir()? {
        let entry = entry?;
        let file_name = entry.file_name().to_string_lossy().into_owned();
        let name = format!("{prefix}{file_name}");
        let kind = entry.file_type()?;
        if kind.is_file() && is_licence_name(&file_name) {
            found.push((name, entry.path()));
        } else if kind.is_dir()
            && depth > 0
            && !file_name.starts_with('.')
            && !NOT_BUILT.contains(&file_name.as_str())
        {
            collect_texts(&entry.path(), &format!("{name}/"), depth - 1, found)?;
        }
    }
    Ok(())
}

fn is_licence_name(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    LICENCE_NAMES.iter().any(|start| upper.starts_with(start))
        && !extension.is_some_and(|extension| NOT_TEXTS.contains(&extension.as_str()))
}

/// Reads a text in the form in which equal licences are equal: line feeds, no trailing white space.
fn read_text(path: &Path) -> io::Result<String> {
    let bytes = fs::read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_start_matches('\u{feff}');
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    Ok(lines.join("\n").trim_matches('\n').to_owned())
}

fn render(program: Program, target: Target, components: &[Component]) -> String {
    let mut document = format!("# Third-party software in `{}` for `{target}`\n\n", program.name());
    document += "This program is linked from the components below, each under its own licence, and from the Rust \
                 standard library\n(MIT OR Apache-2.0, https://github.com/rust-lang/rust). Their licence texts and \
                 notices follow, each once.\n\n";
    document += "| component | version | licence | origin |\n|---|---|---|---|\n";
    for Component { name, version, licence, origin, .. } in components {
        let row = [name, version, licence, origin].map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(document, "| {} |", row.join(" | "));
    }

    // Texts in the order of the first component that has them. Those that differ in their line breaks alone are one.
    let mut order: Vec<&str> = Vec::new();
    let mut holders: BTreeMap<String, (usize, Vec<String>)> = BTreeMap::new();
    let mut without = Vec::new();
    for component in components {
        if component.texts.is_empty() {
            without.push(format!("{} {} ({})", component.name, component.version, component.licence));
        }
        for (file, text) in &component.texts {
            let words: Vec<&str> = text.split_whitespace().collect();
            let (_, names) = holders.entry(words.join(" ")).or_insert_with(|| {
                order.push(text);
                (order.len(), Vec::new())
            });
            names.push(format!("{} {} (`{file}`)", component.name, component.version));
        }
    }
    let mut holders: Vec<_> = holders.into_values().collect();
    holders.sort();

    if !without.is_empty() {
        document += "\n## Components that ship no text of their licence\n\n";
        for name in without {
            let _ = writeln!(document, "- {name}");
        }
    }
    document += "\n## Licence texts and notices\n";
    for (text, (_, names)) in order.into_iter().zip(holders) {
        let fence = fence(text);
        document.push('\n');
        for name in names {
            let _ = writeln!(document, "- {name}");
        }
        let _ = writeln!(document, "\n{fence}text\n{text}\n{fence}");
    }
    document
}

/// A fence that no line of `text` can close.
fn fence(text: &str) -> String {
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or_default();
    "`".repeat(longest.max(2) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(name: &str, texts: &[(&str, &str)]) -> Component {
        let texts = texts.iter().map(|&(file, text)| (file.to_owned(), text.to_owned())).collect();
        let owned = str::to_owned;
        Component {
            name: owned(name),
            version: owned("1.0.0"),
            licence: owned("MIT"),
            origin: owned("https://x"),
            texts,
        }
    }

    #[test]
    fn equal_texts_stand_once_with_all_their_holders() {
        let components = [
            component("a", &[("LICENSE-MIT", "Be kind.")]),
            component("b", &[("LICENSE", "Be\nkind."), ("NOTICE", "Made by ```b```.")]),
            component("c", &[]),
        ];
        let document = render(Program::Cli, Target::X86_64LinuxGnu, &components);
        let (_, texts) = document.split_once("## Components").unwrap();
        let expected = " that ship no text of their licence\n\n- c 1.0.0 (MIT)\n\n## Licence texts and notices\n\n\
                        - a 1.0.0 (`LICENSE-MIT`)\n- b 1.0.0 (`LICENSE`)\n\n```text\nBe kind.\n```\n\n\
                        - b 1.0.0 (`NOTICE`)\n\n````text\nMade by ```b```.\n````\n";
        assert_eq!(texts, expected);
        assert!(document.contains("| b | 1.0.0 | MIT | https://x |\n"), "{document}");
    }

    #[test]
    fn texts_are_known_by_their_names() {
        for name in ["LICENSE", "license-mit", "LICENSE.Apache-2.0", "COPYING.txt", "Notice.md", "UNLICENSE"]
        {
            assert!(is_licence_name(name), "{name}");
        }
        for name in ["license.rs", "copying.c", "README.md", "LICENSE.html"] {
            assert!(!is_licence_name(name), "{name}");
        }
    }

    #[test]
    fn bundled_libraries_are_searched_and_tests_are_not() {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("LICENSE", "ours\r\n \r\n"),
            ("lib/COPYING", "theirs"),
            ("tests/LICENSE", "not linked"),
            ("lib/a.c", ""),
        ] {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let expected = [("LICENSE", "ours"), ("lib/COPYING", "theirs")];
        assert_eq!(
            texts(directory.path()).unwrap(),
            expected.map(|(name, text)| (name.to_owned(), text.to_owned()))
        );
    }
}
