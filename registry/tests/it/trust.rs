//! What is believed, and why nothing else is.

use std::fs;

use encoderfile_registry::{Error, Registry, TrustError, TrustedKeys};
use encoderfile_testing::{Release, SigningKey};

use crate::bench::{Bench, LINUX, VERSION, block_on, fetch, flip_a_byte};

/// The fetch must fail as untrusted, before an archive is asked for, and leave nothing.
fn refused(bench: &Bench) -> TrustError {
    let error = bench.fetch().unwrap_err();
    assert_eq!(error.exit_code(), 4, "{error}");
    assert_eq!(bench.archive_downloads(), 0);
    assert!(!bench.cache().exists());
    reason(error)
}

fn reason(error: Error) -> TrustError {
    let Error::Untrusted { source, .. } = error else { panic!("{error}") };
    *source
}

#[test]
fn one_flipped_byte_in_index_or_signature_stops_the_fetch() {
    for signature in [false, true] {
        let bench = Bench::new();
        flip_a_byte(&if signature { bench.release.signature() } else { bench.release.index() });
        let error = refused(&bench);
        assert!(
            matches!(
                error,
                TrustError::BadSignature { .. }
                    | TrustError::Malformed { .. }
                    | TrustError::UnknownKey { .. }
            ),
            "{error}"
        );
    }
}

#[test]
fn every_flipped_bit_of_a_signature_is_refused() {
    let bench = Bench::new();
    let (index, signature) =
        (fs::read(bench.release.index()).unwrap(), fs::read(bench.release.signature()).unwrap());
    let verify = |signature: Vec<u8>| {
        encoderfile_registry::SignedIndex::verify(&bench.keys(), index.clone(), signature, &VERSION)
    };
    verify(signature.clone()).unwrap();
    // The first line is the untrusted comment, and says so.
    let start = signature.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for position in start..signature.len() - 1 {
        for bit in 0..8 {
            let mut other = signature.clone();
            other[position] ^= 1 << bit;
            // A line feed may become a carriage return's neighbour and the like, but never may other content pass.
            if verify(other.clone()).is_ok() {
                let text =
                    |bytes: &[u8]| String::from_utf8_lossy(bytes).split_whitespace().collect::<String>();
                assert_eq!(text(&other), text(&signature), "byte {position}, bit {bit}");
            }
        }
    }
}

#[test]
fn a_key_that_is_not_trusted_is_named() {
    let bench = Bench::new();
    let stranger = SigningKey::generate();
    bench.release.sign(&fs::read_to_string(bench.release.index()).unwrap(), &stranger);
    let TrustError::UnknownKey { key_id, .. } = refused(&bench) else { panic!() };
    assert_eq!(key_id.to_string(), stranger.id());
}

/// A verifier that cannot verify anything is skipped instead of stopping.
#[test]
fn without_any_key_nothing_is_asked_for() {
    let bench = Bench::new();
    let registry = Registry::new(bench.config_with(TrustedKeys::none()));
    let error = fetch(&registry).unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.hint("").unwrap().contains("--trusted-key"), "{error}");
    assert_eq!(bench.server.requests("").len(), 0);
}

/// binstall: a signature that does not say which file of which version it signs can be moved to another.
#[test]
fn an_old_release_cannot_be_replayed_as_a_new_one() {
    let bench = Bench::new();
    let old = Release::write(&bench.www(), "0.1.0", &[(LINUX.triple(), b"old and vulnerable")], &bench.key);
    fs::copy(old.index(), bench.release.index()).unwrap();
    fs::copy(old.signature(), bench.release.signature()).unwrap();
    let TrustError::WrongComment { expected, found } = refused(&bench) else { panic!() };
    assert_eq!(expected, "encoderfile base-index v0.2.0");
    assert_eq!(found, "encoderfile base-index v0.1.0");
}

/// binstall: nor can the signature of another project's index, or of another kind of document.
#[test]
fn the_document_must_say_what_the_comment_says() {
    let bench = Bench::new();
    bench.release.edit_index(&bench.key, |index| index["version"] = "0.1.0".into());
    assert!(matches!(refused(&bench), TrustError::WrongVersion { .. }));
    let bench = Bench::new();
    bench.release.edit_index(&bench.key, |index| index["project"] = "other".into());
    assert!(matches!(refused(&bench), TrustError::WrongProject { .. }));
    let bench = Bench::new();
    bench.release.edit_index(&bench.key, |index| index["schema"] = 2.into());
    assert!(matches!(refused(&bench), TrustError::Index(_)));
}

/// corepack#612: one key, and when it is rotated, old clients break. Several keys count at once.
#[test]
fn a_rotated_key_overlaps_with_the_new_one() {
    let bench = Bench::new();
    let new = SigningKey::generate();
    let mut keys = bench.keys();
    keys.add(&new.public()).unwrap();
    let registry = Registry::new(bench.config_with(keys));
    fetch(&registry).unwrap();
    Release::write(&bench.www(), "0.3.0", &[(LINUX.triple(), b"signed by the new key")], &new);
    let later = semver::Version::new(0, 3, 0);
    let fetched = block_on(registry.fetch(LINUX, &later, false, &())).unwrap();
    assert_eq!(fetched.base.key_id.to_string(), new.id());
    assert_eq!(block_on(registry.locate(LINUX, &VERSION, &())).unwrap().key_id.to_string(), bench.key.id());
}

#[test]
fn what_a_revoked_key_signed_is_used_no_more_not_even_from_the_cache() {
    let bench = Bench::new();
    bench.fetch_whole();
    let mut keys = bench.keys();
    keys.revoke(bench.key.id().parse().unwrap());
    let registry = Registry::new(bench.config_with(keys));
    let error = block_on(registry.locate(LINUX, &VERSION, &())).unwrap_err();
    assert!(matches!(&error, Error::NotCached { untrusted, .. } if untrusted.len() == 1), "{error}");
    assert!(error.to_string().contains("which is revoked"), "{error}");
    let error = fetch(&registry).unwrap_err();
    assert!(!error.hint("").unwrap().contains("--trusted-key"), "{error}");
    assert!(matches!(reason(error), TrustError::Revoked { .. }));
    let mut keys = bench.keys();
    keys.add(&SigningKey::generate().public()).unwrap();
    keys.revoke(bench.key.id().parse().unwrap());
    let error = fetch(&Registry::new(bench.config_with(keys))).unwrap_err();
    assert!(matches!(reason(error), TrustError::Revoked { .. }));
}

#[test]
fn the_cached_index_is_verified_at_every_use() {
    for signature in [false, true] {
        let bench = Bench::new();
        bench.fetch_whole();
        let release = bench.binary().parent().unwrap().parent().unwrap().to_owned();
        flip_a_byte(&release.join(if signature { "base-index.json.minisig" } else { "base-index.json" }));
        for registry in [bench.offline(), bench.registry()] {
            let error = block_on(registry.ensure(LINUX, &VERSION, None, &())).unwrap_err();
            assert!(
                matches!(error, Error::Untrusted { cached: true, .. }) && error.exit_code() == 4,
                "{error}"
            );
            let command = "encoderfile base fetch --runtime-version 0.2.0 --cache-dir c";
            assert_eq!(error.hint(" --cache-dir c").unwrap(), format!("repair the cache with `{command}`"));
        }
        // Fetching is the repair, and the binary need not come again.
        bench.fetch_whole();
        assert_eq!(bench.archive_downloads(), 1);
    }
}
