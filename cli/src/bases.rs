//! The registry of base binaries, as flags, environment and configuration file make it.

use std::future::Future;
use std::path::{self, PathBuf};
use std::time::Duration;

use directories::ProjectDirs;
use encoderfile_registry::{BaseBinary, Digest, Host, Pin, Registry, RegistryConfig, Source, Target, Wanted};
use semver::Version;
use tokio::runtime::Runtime;

use crate::args;
use crate::config_file::ConfigFile;
use crate::error::Error;
use crate::interrupt;
use crate::progress::{Lines, Voice};
use crate::sources::{SOURCE_VARIABLE, sources, variable};
use crate::terminal::Terminal;

/// The registry of base binaries, with what a command needs to wait for it.
pub(crate) struct Bases {
    pub(crate) registry: Registry,
    pub(crate) terminal: Terminal,
    runtime: Runtime,
    /// The flags that make another command see the same cache, sources and keys.
    flags: String,
}

impl Bases {
    pub(crate) fn open(global: &args::Global, terminal: Terminal) -> Result<Self, Error> {
        Self::with_release(global, None, terminal)
    }

    /// For a command that may look for a version.
    pub(crate) fn with_release(
        global: &args::Global,
        release: Option<&args::Release>,
        terminal: Terminal,
    ) -> Result<Self, Error> {
        let file = ConfigFile::read(global.config.as_deref())?;
        let sources = sources(global, &file)?;
        for source in &sources {
            terminal.detail("Source", &source.source);
            for key in source.trusted_keys.iter() {
                terminal.detail("Key", format_args!("{} ({})", key.id, key.origin));
            }
        }
        let mut config = RegistryConfig::with_sources(cache_dir(global, &file)?, sources);
        config.offline = global.no_download || file.no_download;
        config.allow_downgrade = release.is_some_and(|release| release.allow_downgrade);
        let seconds = |flag: Option<u64>, file: Option<u64>| flag.or(file).map(Duration::from_secs);
        if let Some(timeout) = seconds(global.lock_timeout, file.lock_timeout) {
            config.lock_timeout = Some(timeout);
        }
        let network = &mut config.network;
        network.connect_timeout =
            seconds(global.connect_timeout, file.connect_timeout).unwrap_or(network.connect_timeout);
        network.idle_timeout =
            seconds(global.idle_timeout, file.idle_timeout).unwrap_or(network.idle_timeout);
        network.retries = global.retries.or(file.retries).unwrap_or(network.retries);
        terminal.detail("Cache", config.cache_dir.display());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::Runtime)?;
        Ok(Self { registry: Registry::new(config), runtime, terminal, flags: flags(global) })
    }

    /// Waits for something that is no download, or of which nothing would be left.
    pub(crate) fn wait<T>(
        &self,
        future: impl Future<Output = encoderfile_registry::Result<T>>,
    ) -> Result<T, Error> {
        self.wait_for(&Lines::new(self.terminal), future)?.map_err(|error| self.error(error))
    }

    /// Waits for something that does its work in one go, which a signal ends with the whole program.
    pub(crate) fn wait_through<T>(
        &self,
        future: impl Future<Output = encoderfile_registry::Result<T>>,
    ) -> Result<T, Error> {
        self.runtime.block_on(future).map_err(|error| self.error(error))
    }

    /// Waits for downloads, which a signal interrupts so that they can be continued.
    pub(crate) fn wait_for<T>(&self, lines: &Lines, future: impl Future<Output = T>) -> Result<T, Error> {
        let result = self.runtime.block_on(interrupt::unless_interrupted(future));
        result.ok_or_else(|| Error::Interrupted { incomplete: lines.incomplete() })
    }

    /// What stops the program, with the flags that its hint has to repeat.
    pub(crate) fn error(&self, error: encoderfile_registry::Error) -> Error {
        Error::Registry { error: Box::new(error), flags: self.flags.clone() }
    }

    /// The command that fetches a base binary, with its index, into this cache.
    pub(crate) fn fetch_command(&self, target: Target, version: &Version) -> String {
        encoderfile_registry::fetch_command(target, version, &self.flags)
    }

    /// Nothing in the cache is what a command asks for that uses no network.
    pub(crate) fn none_cached(&self, target: Target, wanted: Wanted) -> Error {
        let pre = if wanted.pre_releases { " --pre" } else { "" };
        let flags = format!("{pre}{}", self.flags);
        Error::NoneCached { target, requirement: wanted.requirement, flags }
    }

    /// What is told while something is waited for that has no line of its own.
    pub(crate) fn voice(&self) -> Voice {
        Voice::new(self.terminal)
    }

    /// The version that is meant, which is told where it was not named.
    pub(crate) fn resolve(&self, wanted: &Wanted) -> Result<Version, Error> {
        let version = self.wait(self.registry.resolve(wanted, &self.voice()))?;
        self.tell_version(wanted, &version);
        Ok(version)
    }

    /// As [`resolve`](Self::resolve), content with what is cached where a range allows it.
    pub(crate) fn resolve_for_build(&self, wanted: &Wanted, targets: &[Target]) -> Result<Version, Error> {
        let version = self.wait(self.registry.resolve_for_build(wanted, targets, &self.voice()))?;
        self.tell_version(wanted, &version);
        Ok(version)
    }

    fn tell_version(&self, wanted: &Wanted, version: &Version) {
        let asked = wanted.requirement.to_string();
        if asked != version.to_string() {
            self.terminal.status("Resolved", format_args!("{asked} to {version}"));
        }
    }

    /// The base binary for a build: cached, or downloaded now; with a pin, that one and no other. Its bytes are for the build
    /// to check.
    pub(crate) fn ensure(
        &self,
        target: Target,
        version: &Version,
        pin: Option<&Pin>,
    ) -> Result<BaseBinary, Error> {
        let lines = Lines::new(self.terminal);
        // `UnknownTarget` is the only error: no target is this machine's. Whatever is built is then for another machine, whose
        // floor is not ours to check, so nothing is left unchecked without it.
        let host = Host::detect().ok();
        let line = lines.line(target);
        let base = self.wait_for(&lines, async {
            match pin {
                Some(pin) => self.registry.ensure_pinned(pin, host.as_ref(), &line).await,
                None => self.registry.ensure(target, version, host.as_ref(), &line).await,
            }
        })?;
        base.map_err(|error| self.error(error))
    }

    /// Takes a base binary out of use that turned out to have other bytes.
    pub(crate) fn quarantine(&self, base: BaseBinary, found: Digest) -> Error {
        self.terminal.detail("Quarantine", base.path.display());
        self.error(base.quarantine(found))
    }
}

/// The flags that make another command mean the same, as a shell takes them. What came from the environment is there for
/// that command too. A password in a source's address is left out, so that no log shows it.
fn flags(global: &args::Global) -> String {
    let mut words = Vec::new();
    let mut add = |flag: &str, variable_name: &str, value: String| {
        if variable(variable_name).as_ref() != Some(&value) {
            words.push(format!(" {flag} {}", shell_words::quote(&value)));
        }
    };
    if let Some(path) = &global.config {
        add("--config", "ENCODERFILE_CONFIG", path.display().to_string());
    }
    if let Some(path) = &global.cache_dir {
        add("--cache-dir", "ENCODERFILE_CACHE_DIR", path.display().to_string());
    }
    if let Some(text) = global.source.as_ref().filter(|text| variable(SOURCE_VARIABLE).as_ref() != Some(text))
    {
        let source = Source::parse(text, true).map_or_else(|_| "URL".to_owned(), |source| source.to_string());
        let has_secret = text.contains("://") && text.contains('@');
        add("--source", SOURCE_VARIABLE, if has_secret { source } else { text.clone() });
    }
    let of_environment = |name: &str, value: &str| {
        variable(name).is_some_and(|values| values.split(',').any(|known| known == value))
    };
    for key in global.trusted_keys.iter().filter(|key| !of_environment("ENCODERFILE_TRUSTED_KEYS", key)) {
        words.push(format!(" --trusted-key {}", shell_words::quote(key)));
    }
    for key in global.revoked_keys.iter().filter(|key| !of_environment("ENCODERFILE_REVOKED_KEYS", key)) {
        words.push(format!(" --revoked-key {}", shell_words::quote(key)));
    }
    if global.allow_http {
        words.push(" --allow-http".to_owned());
    }
    words.concat()
}

/// The cache's root: as given, or the platform's.
fn cache_dir(global: &args::Global, file: &ConfigFile) -> Result<PathBuf, Error> {
    let path = if let Some(path) = global.cache_dir.as_ref().or(file.cache_dir.as_ref()) {
        // Paths that are printed are for scripts, which may run elsewhere.
        path::absolute(path).map_err(|source| Error::Open { path: path.clone(), source })?
    } else {
        let folders = ProjectDirs::from("", "", "encoderfile").ok_or(Error::NoCacheFolder)?;
        folders.cache_dir().to_owned()
    };
    // Neither JSON nor a message could name it, and a script would be given another path.
    if path.to_str().is_some() { Ok(path) } else { Err(Error::CacheFolderName { path }) }
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

/// The targets that were named, or this machine's.
pub(crate) fn targets_or_host(names: &[String]) -> Result<Vec<Target>, Error> {
    if names.is_empty() { Ok(vec![Target::host()?]) } else { parse_targets(names) }
}
