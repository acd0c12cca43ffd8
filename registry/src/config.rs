//! What a registry is told.

use std::path::PathBuf;
use std::time::Duration;

use crate::client::NetworkConfig;
use crate::source::Source;
use crate::trust::TrustedKeys;

/// Everything that decides where base binaries come from, and where they go.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// The cache's root. It is created when something is installed.
    pub cache_dir: PathBuf,
    /// Where releases come from.
    pub source: Source,
    /// Whose signatures count.
    pub trusted_keys: TrustedKeys,
    /// Whether nothing may be downloaded.
    pub offline: bool,
    /// How patient downloads are.
    pub network: NetworkConfig,
    /// How long to wait for another process; `None` is for ever.
    pub lock_timeout: Option<Duration>,
}

impl RegistryConfig {
    /// The usual settings, for a cache, a source and the keys to trust.
    pub fn new(cache_dir: PathBuf, source: Source, trusted_keys: TrustedKeys) -> Self {
        let lock_timeout = Some(Duration::from_mins(10));
        Self {
            cache_dir,
            source,
            trusted_keys,
            offline: false,
            network: NetworkConfig::default(),
            lock_timeout,
        }
    }
}
