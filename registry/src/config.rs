//! What a registry is told.

use std::path::PathBuf;
use std::time::Duration;

use crate::download::client::NetworkConfig;
use crate::source::Source;
use crate::trust::TrustedKeys;

/// Everything that decides where base binaries come from, and where they go.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// The cache's root. It is created when something is installed.
    pub cache_dir: PathBuf,
    /// Where releases come from. The first that has the version serves it.
    pub sources: Vec<TrustedSource>,
    /// Whether nothing may be downloaded.
    pub offline: bool,
    /// Whether `latest` or a range may come to an older release than this cache has seen.
    pub allow_downgrade: bool,
    /// How patient downloads are.
    pub network: NetworkConfig,
    /// How long to wait for another process; `None` is for ever.
    pub lock_timeout: Option<Duration>,
}

/// A source, and whose signatures count there.
#[derive(Clone, Debug)]
pub struct TrustedSource {
    /// Where releases come from.
    pub source: Source,
    /// Whose signatures count.
    pub trusted_keys: TrustedKeys,
}

impl RegistryConfig {
    /// The usual settings, for a cache, a source and the keys to trust.
    pub fn new(cache_dir: PathBuf, source: Source, trusted_keys: TrustedKeys) -> Self {
        Self::with_sources(cache_dir, vec![TrustedSource { source, trusted_keys }])
    }

    /// The usual settings, for a cache and several sources, in the order in which they are asked.
    pub fn with_sources(cache_dir: PathBuf, sources: Vec<TrustedSource>) -> Self {
        Self {
            cache_dir,
            sources,
            offline: false,
            allow_downgrade: false,
            network: NetworkConfig::default(),
            lock_timeout: Some(Duration::from_mins(10)),
        }
    }

    /// Whose signatures count in the cache: those of any source.
    pub(crate) fn trusted_keys(&self) -> TrustedKeys {
        let mut keys = TrustedKeys::none();
        self.sources.iter().for_each(|source| keys.extend(&source.trusted_keys));
        keys
    }
}
