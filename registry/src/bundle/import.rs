//! Reading a [bundle](crate::bundle) into the cache.
//!
//! Nothing in a bundle decides where anything is written: a member's name is parsed into what it names, the index that was
//! verified says how long it is and what its bytes are, and the cache says where it goes. The steps and locks are those of
//! [`install`], so that a crash in the middle leaves what a crash of a download leaves.

use std::collections::BTreeSet;
use std::io::{self, Read};

use semver::Version;

use crate::bundle::{Member, Reader};
use crate::cache::install;
use crate::cache::lock::{Lock, Mode};
use crate::cache::{EntryId, temporary_beside};
use crate::error::{Error, Result, with_reasons};
use crate::fetch::Fetched;
use crate::index::{MAX_INDEX_SIZE, TargetEntry};
use crate::progress::Progress;
use crate::resolve::Registry;
use crate::trust::{KeyId, SignedIndex};

/// A signature is less than a kilobyte.
const MAX_SIGNATURE_SIZE: u64 = 64 << 10;

/// How far the release is that members are read of.
enum Release {
    None,
    Unsigned { key_id: KeyId, version: Version, bytes: Vec<u8> },
    Signed(SignedIndex),
}

/// What a base binary of the bundle came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Installed,
    /// It was there, and its bytes were right.
    WasIntact,
    /// Somebody else installed it, perhaps just now.
    WasInstalled,
}

impl Registry {
    /// Puts the base binaries of a bundle into the cache. Needs no network, and so works offline too. `origin` is where the
    /// bundle came from, for messages and receipts.
    ///
    /// The bundle is read once, from its beginning to its end, and believed as little as a download: [`Error::Untrusted`]
    /// where no trusted key signed it, [`Error::BadBundle`] where it is anything but a whole bundle. What is in the cache
    /// already is verified and kept, or repaired. If something fails in the middle, what was installed before stays: each
    /// base binary was proven on its own.
    pub async fn import(
        &self,
        bundle: impl Read,
        origin: &str,
        progress: &dyn Progress,
    ) -> Result<Vec<Fetched>> {
        let mut reader = Reader::open(bundle, origin)?;
        let mut seen = BTreeSet::from([Member::Head]);
        let mut imported = Vec::new();
        let mut release = Release::None;
        while let Some(member) = reader.next_member()? {
            if !seen.insert(member.clone()) {
                return Err(reader.bad("it holds a member twice"));
            }
            release = match (release, member) {
                (Release::None | Release::Signed(_), Member::Index(key_id, version)) => {
                    Release::Unsigned { key_id, version, bytes: reader.small(MAX_INDEX_SIZE)? }
                }
                (Release::Unsigned { key_id, version, bytes }, member)
                    if member == Member::Signature(key_id, version.clone()) =>
                {
                    Release::Signed(self.believe(&mut reader, origin, key_id, &version, bytes)?)
                }
                (Release::Signed(signed), Member::Binary(id))
                    if (id.key_id, &id.version) == (signed.key_id, &signed.index.version) =>
                {
                    let outcome = self.import_binary(&mut reader, origin, &id, &signed, progress).await?;
                    imported.push((id, outcome));
                    Release::Signed(signed)
                }
                _ => return Err(reader.bad("it holds a member in the wrong place")),
            };
        }
        if matches!(release, Release::Unsigned { .. }) {
            return Err(reader.bad("its last index has no signature"));
        }
        // Not sooner, so that no lock is held while another is waited for.
        let mut fetched = Vec::new();
        for (id, outcome) in imported {
            let base = self.open(&id, progress).await?;
            let base = base.map_or_else(|| Err(self.not_cached(id.target, &id.version)?), Ok)?;
            let base = if outcome == Outcome::WasInstalled { base.verify()? } else { base };
            fetched.push(Fetched { base, was_cached: outcome != Outcome::Installed });
        }
        Ok(fetched)
    }

    /// Verifies an index as if it had been downloaded.
    fn believe(
        &self,
        reader: &mut Reader<impl Read>,
        origin: &str,
        key_id: KeyId,
        version: &Version,
        bytes: Vec<u8>,
    ) -> Result<SignedIndex> {
        let signature = reader.small(MAX_SIGNATURE_SIZE)?;
        match SignedIndex::verify(&self.trusted_keys, bytes, signature, version) {
            Ok(signed) if signed.key_id == key_id => Ok(signed),
            Ok(signed) => {
                Err(reader.bad(&format!("an index is signed by key {}, not {key_id}", signed.key_id)))
            }
            Err(source) if !source.is_damage() => Err(Error::Untrusted {
                version: version.clone(),
                location: format!("{} in {origin}", Member::Index(key_id, version.clone())),
                cached: false,
                note: None,
                source: Box::new(source),
            }),
            Err(error) => {
                let reason = std::error::Error::source(&error).map(|source| format!(": {source}"));
                let reason = reason.unwrap_or_default();
                Err(reader.bad(&format!("an index cannot be trusted: {error}{reason}")))
            }
        }
    }

    async fn import_binary(
        &self,
        reader: &mut Reader<impl Read>,
        origin: &str,
        id: &EntryId,
        signed: &SignedIndex,
        progress: &dyn Progress,
    ) -> Result<Outcome> {
        let Some(entry) = signed.index.targets.get(&id.target) else {
            return Err(reader.bad("it holds a base binary that its index does not list"));
        };
        let no_output = Error::io("read", origin.as_ref());
        if self.is_intact(id, entry, progress).await? {
            reader.copy(&entry.binary, &mut io::sink(), no_output, progress)?;
            return Ok(Outcome::WasIntact);
        }
        let timeout = self.config.lock_timeout;
        let lock = Lock::acquire(&self.cache.entry_lock(id), Mode::Exclusive, timeout, progress).await?;
        self.cache.create(id)?;
        if self.cache.is_installed(id, entry)? {
            reader.copy(&entry.binary, &mut io::sink(), no_output, progress)?;
            install::store_index(&self.cache, signed, timeout, progress).await?;
            return Ok(Outcome::WasInstalled);
        }
        if lock.is_real() {
            self.cache.reclaim(id)?;
        }
        install::check_space(&self.cache, 0, entry)?;
        let path = self.cache.binary(id);
        let mut binary = temporary_beside(&path)?;
        reader.copy(&entry.binary, binary.as_file_mut(), Error::io("write", &path), progress)?;
        install::store_index(&self.cache, signed, timeout, progress).await?;
        install::commit(&self.cache, id, entry, format!("bundle {origin}"), binary)?;
        Ok(Outcome::Installed)
    }

    /// Whether the cache has it already, with an index that says the same and with the right bytes.
    async fn is_intact(&self, id: &EntryId, entry: &TargetEntry, progress: &dyn Progress) -> Result<bool> {
        let verified = match self.open(id, progress).await {
            Ok(Some(base)) if base.entry == *entry => base.verify().map(|_| true),
            Ok(_) => Ok(false),
            Err(error) => Err(error),
        };
        match verified {
            Err(error @ (Error::Corrupt { .. } | Error::Untrusted { .. })) => {
                progress.warning(&format!("the cache is damaged, importing again: {}", with_reasons(&error)));
                Ok(false)
            }
            verified => verified,
        }
    }
}
