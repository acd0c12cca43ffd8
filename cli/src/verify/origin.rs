//! Where the base binary of a file comes from, as far as signed indexes in the cache prove it.

use encoderfile_format::BaseProvenance;
use encoderfile_registry::{Digest, KeyId, Standing, Target};
use semver::Version;
use serde::Serialize;

use crate::bases::Bases;
use crate::error::Error;
use crate::inspect::clipped;

/// Where a base binary comes from.
#[derive(Debug, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub(super) enum Origin {
    /// A trusted key signed for its bytes.
    Release { target: Target, version: Version, key_id: KeyId },
    /// A trusted key signed for other bytes than those that it is said to have signed for.
    Contradicted { target: Target, version: Version, key_id: KeyId, expected: Digest, found: Digest },
    /// Nothing is known that would prove or refute what the file says.
    Unknown {
        reason: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
}

impl Origin {
    pub(super) fn not_recorded() -> Self {
        Self::unknown("its writer recorded nothing of it")
    }

    pub(super) fn damaged() -> Self {
        Self::unknown("it is damaged")
    }

    fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown { reason: reason.into(), hint: None }
    }

    pub(super) fn proven(&self) -> Option<String> {
        match self {
            Self::Release { target, version, key_id } => {
                Some(format!("the base binary is release {version} for {target}, signed by {key_id}"))
            }
            Self::Contradicted { .. } | Self::Unknown { .. } => None,
        }
    }

    pub(super) fn not_proven(&self) -> Option<String> {
        match self {
            Self::Release { .. } => None,
            Self::Contradicted { target, version, key_id, expected, .. } => Some(format!(
                "the base binary is NOT release {version} for {target}, of which {key_id} signed that it has sha256 {expected}"
            )),
            Self::Unknown { reason, .. } => Some(format!("where the base binary comes from: {reason}")),
        }
    }

    pub(super) fn hint(&self) -> Option<&str> {
        match self {
            Self::Unknown { hint, .. } => hint.as_deref(),
            Self::Release { .. } | Self::Contradicted { .. } => None,
        }
    }
}

/// Compares the digest of an intact base binary with the signed indexes in the cache. The network is not touched.
pub(super) fn of(base: &BaseProvenance, bases: Option<&Bases>) -> Result<Origin, Error> {
    let (Ok(target), Ok(version)) = (base.target.parse::<Target>(), base.version.parse::<Version>()) else {
        let (version, target) = (clipped(&base.version), clipped(&base.target));
        return Ok(Origin::unknown(format!("there are no releases of `{version}` for `{target}`")));
    };
    let Some(bases) = bases else {
        return Ok(Origin::unknown("this user has no cache with signed indexes"));
    };
    let found = Digest::from(*base.sha256.as_bytes());
    let known = bases.wait(bases.registry.known_release(&version, &bases.voice()))?;
    let known: Vec<_> = known
        .iter()
        .filter_map(|signed| Some((signed.key_id, signed.index.targets.get(&target)?.binary.sha256)))
        .collect();
    if let Some(&(key_id, _)) = known.iter().find(|(_, sha256)| *sha256 == found) {
        return Ok(Origin::Release { target, version, key_id });
    }
    let Some(text) = &base.key_id else {
        // It was never said to be a release's: who builds a runtime gives it a version, too.
        let but = if known.is_empty() { "" } else { ", and is not that release's" };
        return Ok(Origin::unknown(format!("it was given by path{but}")));
    };
    let Ok(recorded) = text.parse::<KeyId>() else {
        return Ok(Origin::unknown(format!("`{}` is no key id", clipped(text))));
    };
    if let Some(&(key_id, expected)) = known.iter().find(|(key_id, _)| *key_id == recorded) {
        return Ok(Origin::Contradicted { target, version, key_id, expected, found });
    }
    Ok(match bases.registry.standing(recorded) {
        Standing::Revoked => Origin::unknown(format!("the key {recorded} that signed it has been revoked")),
        Standing::Unknown => Origin::Unknown {
            reason: format!("the key {recorded} that signed it is not trusted here"),
            hint: Some(
                "if you know from elsewhere that the key is the publisher's, add it with `--trusted-key FILE-OR-KEY`"
                    .to_owned(),
            ),
        },
        Standing::Trusted => Origin::Unknown {
            reason: format!("the signed index of release {version} is not in the cache"),
            hint: Some(format!("fetch it, while there is a network, with `{}`", bases.fetch_command(target, &version))),
        },
    })
}
