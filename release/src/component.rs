//! What a program is made of, and under which licences: the one list from which notices and SBOM are written.
//!
//! The list is the closure of the program's normal dependencies for its target, with the features that the whole workspace
//! turns on: rather one name too many than one too few.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};
use clap::ValueEnum;
use encoderfile_registry::{Digest, Target};
use serde::{Deserialize, Serialize};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
pub(crate) enum Program {
    /// The base binary
    #[value(name = "encoderfile-runtime")]
    #[serde(rename = "encoderfile-runtime")]
    Runtime,
    /// The command line
    #[value(name = "encoderfile")]
    #[serde(rename = "encoderfile")]
    Cli,
}

impl Program {
    /// Name of the program and of its package.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Runtime => "encoderfile-runtime",
            Self::Cli => "encoderfile",
        }
    }
}

/// Whose parts to list.
pub(crate) struct Notices<'a> {
    pub(crate) program: Program,
    pub(crate) target: Target,
    /// Version of the ONNX Runtime in the base binary; the pinned one if not given.
    pub(crate) onnxruntime_version: Option<Cow<'a, str>>,
    /// Of the library in the base binary, where it is at hand.
    pub(crate) onnxruntime_sha256: Option<Digest>,
    /// `Cargo.toml` of the workspace, instead of the one around the current directory.
    pub(crate) manifest_path: Option<&'a Path>,
    /// The options, if there are any, that take notices as files in place of all that is to be generated.
    pub(crate) instead: Option<&'static str>,
}

/// Something that a program is made of.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) version: String,
    /// An SPDX expression; none where only a text says it.
    pub(crate) licence: Option<String>,
    pub(crate) origin: Origin,
    /// The component's name in all the world (package URL).
    pub(crate) purl: String,
    /// Of the crate's archive as Cargo.lock has it, or of ONNX Runtime's library.
    pub(crate) sha256: Option<Digest>,
    /// The package URLs of what it is linked from itself.
    pub(crate) dependencies: BTreeSet<String>,
    /// File names and contents.
    pub(crate) texts: Vec<(String, String)>,
}

/// Where a component comes from.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    Url(String),
    /// It says nothing of itself: its name is all there is to look it up by.
    Crate,
}

/// A program and all that it is made of.
#[derive(Debug)]
pub(crate) struct Composition {
    pub(crate) program: Program,
    pub(crate) target: Target,
    /// Of others, in the order of their names, ONNX Runtime first.
    pub(crate) components: Vec<Component>,
    /// The package URLs of those that the project's own code uses.
    pub(crate) direct: BTreeSet<String>,
}

/// Lists what a program is made of. Names no path of this machine and holds no time.
pub(crate) fn compose(notices: &Notices<'_>) -> Result<Composition, Error> {
    let metadata = metadata(notices)?;
    let checksums = checksums(&metadata.workspace_root.join("Cargo.lock").into_std_path_buf())?;
    let (packages, mut direct) = dependencies(&metadata, notices)?;
    let mut components = Vec::new();
    for (package, dependencies) in packages {
        let sha256 = checksums.get(&(package.name.to_string(), package.version.to_string())).copied();
        components.push(component(package, dependencies, sha256)?);
    }
    components.sort();
    if notices.program == Program::Runtime {
        let library = onnxruntime(notices, &metadata)?;
        direct.insert(library.purl.clone());
        components.insert(0, library);
    }
    Ok(Composition { program: notices.program, target: notices.target, components, direct })
}

/// What Cargo.lock says of the crates' archives, by name and version.
fn checksums(path: &Path) -> Result<HashMap<(String, String), Digest>, Error> {
    #[derive(Deserialize)]
    struct Lock {
        #[serde(default)]
        package: Vec<Locked>,
    }

    #[derive(Deserialize)]
    struct Locked {
        name: String,
        version: String,
        checksum: Option<Digest>,
    }

    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let lock: Lock =
        toml::from_str(&text).map_err(|source| Error::CargoLock { path: path.to_owned(), source })?;
    let known = lock
        .package
        .into_iter()
        .filter_map(|Locked { name, version, checksum }| Some(((name, version), checksum?)));
    Ok(known.collect())
}

/// The package URL of a crate. A plus has a meaning of its own in URLs.
fn crate_purl(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version.to_string().replace('+', "%2B"))
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

/// Packages, each with the package URLs of its own dependencies.
type Dependencies<'a> = Vec<(&'a Package, BTreeSet<String>)>;

/// The packages of others that the program is linked from, and those of them that the project's own packages name.
fn dependencies<'a>(
    metadata: &'a Metadata,
    notices: &Notices<'_>,
) -> Result<(Dependencies<'a>, BTreeSet<String>), Error> {
    let program = notices.program;
    let no_package = || Error::NoPackage { name: program.name().to_owned(), instead: notices.instead };
    let packages: HashMap<&PackageId, &Package> =
        metadata.packages.iter().map(|package| (&package.id, package)).collect();
    let resolve = metadata.resolve.as_ref().ok_or_else(no_package)?;
    let nodes: HashMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let root = metadata.workspace_packages().into_iter().find(|package| *package.name == program.name());

    let normal = |id: &PackageId| -> Vec<&'a PackageId> {
        let dependencies = nodes.get(id).map(|node| node.deps.as_slice()).unwrap_or_default();
        let normal = dependencies
            .iter()
            .filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
        normal.map(|dependency| &dependency.pkg).collect()
    };
    let mut pending = vec![&root.ok_or_else(no_package)?.id];
    let mut seen = BTreeSet::new();
    while let Some(id) = pending.pop() {
        if seen.insert(id) {
            pending.extend(normal(id));
        }
    }
    // Packages without a source are the workspace's own, under the project's licence.
    let of_others = |id: &PackageId| packages.get(id).copied().filter(|package| package.source.is_some());
    let purls = |id: &PackageId| normal(id).into_iter().filter_map(of_others).map(crate_purl).collect();
    let mut found = Vec::new();
    let mut direct = BTreeSet::new();
    for id in seen {
        let purls: BTreeSet<String> = purls(id);
        match of_others(id) {
            Some(package) => found.push((package, purls)),
            None => direct.extend(purls),
        }
    }
    Ok((found, direct))
}

fn component(
    package: &Package,
    dependencies: BTreeSet<String>,
    sha256: Option<Digest>,
) -> Result<Component, Error> {
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
        Some(expression) => Some(expression.replace('/', " OR ").replace("  ", " ")),
        None if texts.is_empty() => return Err(Error::NoLicence { name, version }),
        None => None,
    };
    let origin = package.repository.clone().or_else(|| package.homepage.clone());
    let origin = origin.map_or(Origin::Crate, Origin::Url);
    Ok(Component { name, version, licence, origin, purl: crate_purl(package), sha256, dependencies, texts })
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
        purl: format!("pkg:pypi/onnxruntime@{version}"),
        version,
        licence: Some("MIT".to_owned()),
        origin: Origin::Url("https://github.com/microsoft/onnxruntime".to_owned()),
        sha256: notices.onnxruntime_sha256,
        dependencies: BTreeSet::new(),
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

#[cfg(test)]
mod tests {
    use super::*;

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
