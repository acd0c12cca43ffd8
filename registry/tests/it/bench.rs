//! What every test needs: a release, a server, a cache, a registry.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use encoderfile_registry::{
    BaseBinary, Error, Fetched, NetworkConfig, Progress, Registry, RegistryConfig, Source, Target,
    TrustedKeys,
};
use encoderfile_testing::{Release, Server, SigningKey, archive_name};
use semver::Version;
use tempfile::TempDir;

pub(crate) const LINUX: Target = Target::X86_64LinuxGnu;
pub(crate) const ARM: Target = Target::Aarch64LinuxGnu;
pub(crate) const VERSION: Version = Version::new(0, 2, 0);

/// A release of two targets, served on loopback, and an empty cache.
pub(crate) struct Bench {
    pub(crate) directory: TempDir,
    pub(crate) key: SigningKey,
    pub(crate) release: Release,
    pub(crate) server: Server,
    pub(crate) runtime: Vec<u8>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with_runtime(runtime(300_000))
    }

    pub(crate) fn with_runtime(runtime: Vec<u8>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = SigningKey::generate();
        let root = directory.path().join("www");
        let other = self::runtime(1000);
        let runtimes: [(&str, &[u8]); 2] = [(LINUX.triple(), &runtime), (ARM.triple(), &other)];
        let release = Release::write(&root, &VERSION.to_string(), &runtimes, &key);
        let server = Server::start(&root);
        Self { directory, key, release, server, runtime }
    }

    pub(crate) fn www(&self) -> PathBuf {
        self.directory.path().join("www")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    pub(crate) fn keys(&self) -> TrustedKeys {
        let mut keys = TrustedKeys::none();
        keys.add(&self.key.public()).unwrap();
        keys
    }

    pub(crate) fn config(&self) -> RegistryConfig {
        self.config_with(self.keys())
    }

    pub(crate) fn config_with(&self, keys: TrustedKeys) -> RegistryConfig {
        config(&self.cache(), &self.server.url(), keys)
    }

    pub(crate) fn registry(&self) -> Registry {
        Registry::new(self.config())
    }

    pub(crate) fn offline(&self) -> Registry {
        Registry::new(RegistryConfig { offline: true, ..self.config() })
    }

    pub(crate) fn fetch(&self) -> Result<Fetched, Error> {
        fetch(&self.registry())
    }

    /// Fetches, and looks at the result as a whole: the right bytes, the right mode, nothing else left behind.
    pub(crate) fn fetch_whole(&self) -> Fetched {
        let fetched = self.fetch().unwrap();
        self.assert_whole(&fetched.base);
        fetched
    }

    pub(crate) fn assert_whole(&self, base: &BaseBinary) {
        use std::os::unix::fs::PermissionsExt as _;
        assert!(std::fs::read(&base.path).unwrap() == self.runtime, "other bytes than the release has");
        assert_eq!(base.path.metadata().unwrap().permissions().mode() & 0o777, 0o555);
        let leftovers = files(&self.cache()).into_iter().filter(|path| {
            let path = path.to_str().unwrap();
            path.contains(".tmp-") || path.contains("/partial/") || path.contains(".corrupt")
        });
        assert_eq!(leftovers.collect::<Vec<_>>(), Vec::<PathBuf>::new());
    }

    /// The one partial download.
    pub(crate) fn partial(&self) -> Option<PathBuf> {
        files(&self.cache().join("base/v1/partial")).pop()
    }

    pub(crate) fn archive(&self) -> Vec<u8> {
        std::fs::read(self.release.archive(LINUX.triple())).unwrap()
    }

    pub(crate) fn archive_downloads(&self) -> usize {
        self.server.requests(&archive_name(LINUX.triple())).len()
    }

    /// Where the fetched base binary of `LINUX` lies.
    pub(crate) fn binary(&self) -> PathBuf {
        let entry = format!("base/v1/{}/{VERSION}/{LINUX}/encoderfile-runtime", self.key.id());
        self.cache().join(entry)
    }
}

pub(crate) fn config(cache: &Path, source: &str, keys: TrustedKeys) -> RegistryConfig {
    let source = Source::parse(source, false).unwrap();
    let mut config = RegistryConfig::new(cache.to_owned(), source, keys);
    config.network =
        NetworkConfig { retries: 2, backoff: Duration::from_millis(1), ..NetworkConfig::default() };
    config
}

pub(crate) fn fetch(registry: &Registry) -> Result<Fetched, Error> {
    block_on(registry.fetch(LINUX, &VERSION, false, &()))
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

/// Bytes that do not compress, the same every time.
pub(crate) fn runtime(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Every file under a directory, ordered.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(items) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut found: Vec<PathBuf> = items
        .flat_map(|item| {
            let path = item.unwrap().path();
            if path.is_dir() && !path.is_symlink() { files(&path) } else { vec![path] }
        })
        .collect();
    found.sort();
    found
}

pub(crate) fn flip_a_byte(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let mode = path.metadata().unwrap().permissions();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, mode).unwrap();
}

/// Writes down what it is told.
#[derive(Default)]
pub(crate) struct Diary(pub(crate) Mutex<Vec<String>>);

impl Diary {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn note(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

impl Progress for Diary {
    fn waiting(&self, holder: Option<u32>) {
        self.note(format!("waiting for {holder:?}"));
    }

    fn started(&self, file: &str, position: u64, total: u64) {
        self.note(format!("started {file} at {position} of {total}"));
    }

    fn retrying(&self, error: &Error, _: Duration) {
        self.note(format!("retrying: {error}"));
    }

    fn warning(&self, message: &str) {
        self.note(format!("warning: {message}"));
    }

    fn downloaded(&self) {
        self.note("downloaded".to_owned());
    }
}
