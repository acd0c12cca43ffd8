//! `encoderfile base`: what is cached, fetching more, and finding a verified file.

use std::env;
use std::future::Future;
use std::path::{self, PathBuf};
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use directories::ProjectDirs;
use encoderfile_registry::{
    BaseBinary, Digest, Fetched, GitHubConfig, Host, Registry, RegistryConfig, Source, Target, TrustedKeys,
};
use semver::Version;
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::args;
use crate::error::Error;
use crate::progress::Lines;
use crate::terminal::{self, Terminal, size};

/// The registry of base binaries, with what a command needs to wait for it.
pub(crate) struct Bases {
    registry: Registry,
    runtime: Runtime,
    terminal: Terminal,
    /// The flags that make another command see the same cache, source and keys.
    flags: String,
}

impl Bases {
    pub(crate) fn open(global: &args::Global, terminal: Terminal) -> Result<Self, Error> {
        let mut trusted_keys = TrustedKeys::compiled_in().map_err(encoderfile_registry::Error::from)?;
        for key in &global.trusted_keys {
            trusted_keys.add(key).map_err(encoderfile_registry::Error::from)?;
        }
        let source = source(global)?;
        terminal.detail("Source", &source);
        let mut config = RegistryConfig::new(cache_dir(global)?, source, trusted_keys);
        config.offline = global.no_download;
        if let Some(seconds) = global.lock_timeout {
            config.lock_timeout = Some(Duration::from_secs(seconds));
        }
        terminal.detail("Cache", config.cache_dir.display());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::Runtime)?;
        Ok(Self { registry: Registry::new(config), runtime, terminal, flags: flags(global) })
    }

    fn wait<T>(&self, future: impl Future<Output = encoderfile_registry::Result<T>>) -> Result<T, Error> {
        self.runtime.block_on(future).map_err(|error| self.error(error))
    }

    /// What stops the program, with the flags that its hint has to repeat.
    fn error(&self, error: encoderfile_registry::Error) -> Error {
        Error::Registry { error: Box::new(error), flags: self.flags.clone() }
    }

    /// The base binary for a build: cached, or downloaded now. Its bytes are for the build to check.
    pub(crate) fn ensure(&self, target: Target, version: &Version) -> Result<BaseBinary, Error> {
        let lines = Lines::new(self.terminal);
        // The only error is that no base binary is for this machine: no floor to check, and others can be built for.
        let host = Host::detect().ok();
        self.wait(self.registry.ensure(target, version, host.as_ref(), &lines.line(target)))
    }

    /// Takes a base binary out of use that turned out to have other bytes.
    pub(crate) fn quarantine(&self, base: BaseBinary, found: Digest) -> Error {
        self.terminal.detail("Quarantine", base.path.display());
        self.error(base.quarantine(found))
    }
}

/// The flags, or what stood in the environment or the build file for them, as a shell takes them.
fn flags(global: &args::Global) -> String {
    let cache_dir = global.cache_dir.iter().map(|path| ("--cache-dir", path.display().to_string()));
    let source = global.source.iter().map(|source| ("--source", source.clone()));
    let keys = global.trusted_keys.iter().map(|key| ("--trusted-key", key.clone()));
    let words = cache_dir.chain(source).chain(keys);
    let words: Vec<_> =
        words.map(|(flag, value)| [" ", flag, " ", &shell_words::quote(&value)].concat()).collect();
    words.concat()
}

/// The cache's root: as given, or the platform's.
fn cache_dir(global: &args::Global) -> Result<PathBuf, Error> {
    if let Some(path) = &global.cache_dir {
        // Paths that are printed are for scripts, which may run elsewhere.
        return path::absolute(path).map_err(|source| Error::Open { path: path.clone(), source });
    }
    let folders = ProjectDirs::from("", "", "encoderfile").ok_or(Error::NoCacheFolder)?;
    Ok(folders.cache_dir().to_owned())
}

fn source(global: &args::Global) -> Result<Source, Error> {
    let source = match &global.source {
        Some(text) => Source::parse(text, global.allow_http),
        None => Source::github(&GitHubConfig {
            server_url: variable("GITHUB_SERVER_URL"),
            repository: variable("ENCODERFILE_GITHUB_REPO"),
        }),
    };
    source.map_err(|error| encoderfile_registry::Error::from(error).into())
}

/// An environment variable that is set to something.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The release that belongs to this program.
pub(crate) fn default_version() -> Version {
    env!("CARGO_PKG_VERSION").parse().expect("a package's version is a semantic version")
}

/// The targets that were named, each once.
pub(crate) fn parse_targets(names: &[String]) -> Result<Vec<Target>, Error> {
    let mut targets = Vec::with_capacity(names.len());
    for name in names {
        let target = name.parse::<Target>()?;
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    Ok(targets)
}

pub(crate) fn run(command: &args::Base, global: &args::Global, terminal: Terminal) -> Result<(), Error> {
    let bases = || Bases::open(global, terminal);
    match command {
        args::Base::List(arguments) => list(arguments, &bases()?),
        args::Base::Fetch(arguments) => fetch(arguments, &bases()?),
        args::Base::Path(arguments) => path(arguments, &bases()?),
    }
}

/// A line of `base list --json`.
#[derive(Debug, Serialize)]
struct Listed {
    target: Target,
    version: Version,
    cached: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

fn list(arguments: &args::BaseList, bases: &Bases) -> Result<(), Error> {
    let only = arguments.target.as_deref().map(str::parse::<Target>).transpose()?;
    let mut listed: Vec<_> = bases
        .registry
        .list_cached()?
        .into_iter()
        .map(|entry| Listed {
            target: entry.id.target,
            version: entry.id.version,
            cached: true,
            key_id: Some(entry.id.key_id.to_string()),
            length: Some(entry.binary.size),
            sha256: Some(entry.binary.sha256),
            path: Some(entry.path),
            source: Some(entry.source),
        })
        .collect();
    if !arguments.cached {
        let version = default_version();
        for target in Target::ALL {
            if !listed.iter().any(|entry| entry.target == target && entry.version == version) {
                let version = version.clone();
                let (key_id, length, sha256, path, source) = (None, None, None, None, None);
                listed.push(Listed { target, version, cached: false, key_id, length, sha256, path, source });
            }
        }
    }
    listed.retain(|entry| only.is_none_or(|only| entry.target == only));
    listed.sort_by(|a, b| b.version.cmp(&a.version).then(a.target.cmp(&b.target)));
    if arguments.json {
        return terminal::json(&listed);
    }
    if listed.is_empty() {
        bases.terminal.status("Empty", "nothing is cached: `encoderfile base fetch` downloads a base binary");
        return Ok(());
    }
    terminal::result(table(&listed))
}

fn table(listed: &[Listed]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["TARGET", "VERSION", "SIZE", "SIGNED BY"]);
    for entry in listed {
        let length = entry.length.map_or_else(|| "not cached".to_owned(), size);
        let key_id = entry.key_id.clone().unwrap_or_default();
        table.add_row([entry.target.triple().to_owned(), entry.version.to_string(), length, key_id]);
    }
    if let Some(column) = table.column_mut(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// A line of `base fetch --json`.
#[derive(Debug, Serialize)]
struct FetchedReport {
    target: Target,
    version: Version,
    key_id: String,
    sha256: Digest,
    length: u64,
    path: PathBuf,
    was_cached: bool,
}

fn fetch(arguments: &args::BaseFetch, bases: &Bases) -> Result<(), Error> {
    let version = arguments.runtime_version.clone().unwrap_or_else(default_version);
    let targets = if arguments.all {
        let index = bases.wait(bases.registry.index(&version, &()))?.index;
        index.targets.into_keys().collect()
    } else if arguments.targets.is_empty() {
        vec![Target::host()?]
    } else {
        parse_targets(&arguments.targets)?
    };
    let lines = Lines::new(bases.terminal);
    let downloads = targets.iter().map(|&target| {
        let (lines, version) = (&lines, &version);
        async move {
            let line = lines.line(target);
            let fetched = bases.registry.fetch(target, version, arguments.force, &line).await?;
            drop(line);
            report(&fetched, bases.terminal);
            Ok::<_, encoderfile_registry::Error>(fetched)
        }
    });
    let results = bases.runtime.block_on(futures_util::future::join_all(downloads));
    let (mut fetched, mut failures) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(base) => fetched.push(base),
            Err(error) => failures.push(bases.error(error)),
        }
    }
    if let Some(last) = failures.pop() {
        failures.iter().for_each(terminal::error);
        return Err(last);
    }
    if !arguments.json {
        return Ok(());
    }
    let reports: Vec<_> = fetched
        .into_iter()
        .map(|Fetched { base, was_cached }| FetchedReport {
            target: base.target,
            version: base.version.clone(),
            key_id: base.key_id.to_string(),
            sha256: base.sha256,
            length: base.size,
            path: base.path.clone(),
            was_cached,
        })
        .collect();
    terminal::json(&reports)
}

fn report(fetched: &Fetched, terminal: Terminal) {
    let base = &fetched.base;
    let verb = if fetched.was_cached { "Cached" } else { "Fetched" };
    let message =
        format_args!("{} {} ({}, signed by {})", base.target, base.version, size(base.size), base.key_id);
    terminal.status(verb, message);
    terminal.detail("Path", base.path.display());
}

fn path(arguments: &args::BasePath, bases: &Bases) -> Result<(), Error> {
    let target = match &arguments.target {
        Some(name) => name.parse()?,
        None => Target::host()?,
    };
    let version = arguments.runtime_version.clone().unwrap_or_else(default_version);
    let base = bases.wait(async { bases.registry.locate(target, &version, &()).await?.verify() })?;
    terminal::result(base.path.display())
}
