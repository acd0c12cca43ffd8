//! Writing a [bundle](crate::bundle).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write};

use semver::Version;
use sha2::{Digest as _, Sha256};

use crate::base_binary::BaseBinary;
use crate::bundle::{Member, Writer};
use crate::cache::EntryId;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::index::TargetEntry;
use crate::progress::Progress;
use crate::resolve::Registry;
use crate::target::Target;
use crate::trust::KeyId;

/// Base binaries were hardly compressed by more, and take much longer.
const LEVEL: i32 = 9;
/// Well below what a reader allows.
const WINDOW_LOG: u32 = 23;
const BUFFER: usize = 256 << 10;

/// What a bundle holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportReport {
    /// The base binaries, in the order of the bundle.
    pub exported: Vec<EntryId>,
    /// The length of the bundle.
    pub bytes: u64,
}

impl Registry {
    /// Writes base binaries from the cache, with their signed indexes, as one bundle for [`import`](Self::import). The same
    /// base binaries give the same bytes, whatever their order.
    ///
    /// Each is hashed while it is copied. One with other bytes than its index promises is taken out of use, and the export
    /// fails with [`Error::Corrupt`]; after any error, what `out` was given so far is no bundle.
    pub async fn export(
        &self,
        bases: &[BaseBinary],
        out: impl Write,
        progress: &dyn Progress,
    ) -> Result<ExportReport> {
        let mut releases: BTreeMap<(KeyId, &Version), BTreeMap<Target, &BaseBinary>> = BTreeMap::new();
        for base in bases {
            releases.entry((base.key_id, &base.version)).or_default().insert(base.target, base);
        }
        let cannot_write = |source| Error::WriteBundle { source };
        let mut encoder =
            zstd::Encoder::new(Counted { inner: out, bytes: 0 }, LEVEL).map_err(cannot_write)?;
        encoder.include_checksum(true).map_err(cannot_write)?;
        encoder.window_log(WINDOW_LOG).map_err(cannot_write)?;
        let mut writer = Writer::new(encoder).map_err(cannot_write)?;
        let mut exported = Vec::new();
        for ((key_id, version), bases) in releases {
            // Read and verified again: the release may have been signed again since a base binary was opened.
            let signed = self.cached_index(key_id, version, progress).await?;
            let index = signed.as_ref().map(|signed| &signed.index.targets);
            let is_listed = |base: &BaseBinary| {
                let entry: Option<&TargetEntry> = index.and_then(|targets| targets.get(&base.target));
                entry.is_some_and(|entry| entry.binary == base.entry.binary)
            };
            if let Some(other) = bases.values().find(|base| !is_listed(base)) {
                return Err(self.not_cached(other.target, version)?);
            }
            let Some(signed) = signed else { continue };
            let index = Member::Index(key_id, version.clone());
            writer.small(&index, &signed.bytes).map_err(cannot_write)?;
            let signature = Member::Signature(key_id, version.clone());
            writer.small(&signature, signed.signature.as_bytes()).map_err(cannot_write)?;
            for base in bases.values() {
                copy(base, &mut writer)?;
                exported.push(base.id());
            }
        }
        let mut counted = writer.finish().and_then(zstd::Encoder::finish).map_err(cannot_write)?;
        counted.flush().map_err(cannot_write)?;
        Ok(ExportReport { exported, bytes: counted.bytes })
    }
}

fn copy(base: &BaseBinary, writer: &mut Writer<impl Write>) -> Result<()> {
    let cannot_write = |source| Error::WriteBundle { source };
    let file = File::open(&base.path).map_err(Error::io("read", &base.path))?;
    // One byte more is enough to differ.
    let mut file = file.take(base.size.saturating_add(1));
    writer.begin(&Member::Binary(base.id()), base.size).map_err(cannot_write)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                hasher.update(&buffer[..count]);
                writer.bytes(&buffer[..count]).map_err(cannot_write)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read", &base.path)(error)),
        }
    }
    let found = Digest::from_hasher(hasher);
    if found != base.sha256 {
        return Err(base.take_out_of_use(found));
    }
    writer.end(base.size).map_err(cannot_write)
}

/// Counts what goes through.
struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buffer)?;
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
