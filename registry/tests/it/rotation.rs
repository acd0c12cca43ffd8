//! One key takes the place of another: releases that both have signed, and clients that trust only one of them.

use std::fs;

use encoderfile_registry::{Error, Registry, RegistryConfig, TrustError, TrustedKeys};
use encoderfile_testing::SigningKey;

use crate::bench::{Bench, LINUX, VERSION, block_on, fetch, flip_a_byte};

/// A release signed by the bench's own key, and by a new one beside it.
fn rotated() -> (Bench, SigningKey) {
    let bench = Bench::new();
    let new = SigningKey::generate();
    bench.release.sign_beside(&new);
    (bench, new)
}

fn trusting(keys: &[&SigningKey]) -> TrustedKeys {
    let mut trusted = TrustedKeys::none();
    for key in keys {
        trusted.add(&key.public()).unwrap();
    }
    trusted
}

fn revoking(mut keys: TrustedKeys, key: &SigningKey) -> TrustedKeys {
    keys.revoke(key.id().parse().unwrap());
    keys
}

/// The key under which the release is in the cache after a fetch.
fn fetched_by(bench: &Bench, keys: &TrustedKeys) -> String {
    let registry = Registry::new(bench.config_with(keys.clone()));
    let fetched = fetch(&registry).unwrap();
    bench.assert_whole(&fetched.base);
    fetched.base.key_id.to_string()
}

#[test]
fn who_trusts_either_key_gets_the_release() {
    let (bench, new) = rotated();
    assert_eq!(fetched_by(&bench, &trusting(&[&bench.key])), bench.key.id());
    let beside = format!("base-index.json.{}.minisig", new.id());
    assert_eq!(bench.server.requests(&beside).len(), 0, "the first signature was enough");

    let (bench, new) = rotated();
    let keys = trusting(&[&new]);
    assert_eq!(fetched_by(&bench, &keys), new.id());
    // The signature that was believed is the one that stays, so that all can be proven again without the source.
    let entry = bench.cache().join(format!("base/v1/{}/{VERSION}", new.id()));
    let kept = fs::read(entry.join("base-index.json.minisig")).unwrap();
    assert_eq!(kept, fs::read(bench.release.signature_beside(&new)).unwrap());
    let offline = Registry::new(RegistryConfig { offline: true, ..bench.config_with(keys) });
    let base = block_on(offline.ensure(LINUX, &VERSION, None, &())).unwrap();
    assert_eq!(base.key_id.to_string(), new.id());
}

#[test]
fn a_revoked_key_does_not_stand_in_the_new_ones_way() {
    let (bench, new) = rotated();
    let keys = revoking(trusting(&[&bench.key, &new]), &bench.key);
    assert_eq!(fetched_by(&bench, &keys), new.id());

    // Nor does the new one help once it is revoked.
    let (bench, new) = rotated();
    let keys = revoking(revoking(trusting(&[&bench.key, &new]), &bench.key), &new);
    let error = fetch(&Registry::new(bench.config_with(keys))).unwrap_err();
    let Error::Untrusted { source, .. } = error else { panic!("{error}") };
    assert!(
        matches!(*source, TrustError::Revoked { key_id } if key_id.to_string() == bench.key.id()),
        "{source}"
    );
}

#[test]
fn who_trusts_neither_key_is_told_of_the_first() {
    let (bench, _) = rotated();
    let other = SigningKey::generate();
    let error = fetch(&Registry::new(bench.config_with(trusting(&[&other])))).unwrap_err();
    assert_eq!(error.exit_code(), 4, "{error}");
    let Error::Untrusted { source, .. } = error else { panic!("{error}") };
    let TrustError::UnknownKey { key_id, trusted } = *source else { panic!("{source}") };
    assert_eq!(key_id.to_string(), bench.key.id());
    assert_eq!(trusted.iter().map(ToString::to_string).collect::<Vec<_>>(), [other.id()]);
    assert_eq!(bench.archive_downloads(), 0);
}

#[test]
fn a_further_signature_proves_as_much_as_the_first() {
    let untrusted = |damage: &dyn Fn(&Bench, &SigningKey)| {
        let (bench, new) = rotated();
        damage(&bench, &new);
        let error = fetch(&Registry::new(bench.config_with(trusting(&[&new])))).unwrap_err();
        assert_eq!(error.exit_code(), 4, "{error}");
        assert_eq!(bench.archive_downloads(), 0);
        assert!(!bench.cache().exists());
    };
    // Damaged; of another release; of another file's name; of another document.
    untrusted(&|bench, new| flip_a_byte(&bench.release.signature_beside(new)));
    untrusted(&|bench, new| {
        let index = fs::read(bench.release.index()).unwrap();
        let signature = new.sign(&index, "encoderfile base-index v0.1.0");
        fs::write(bench.release.signature_beside(new), signature).unwrap();
    });
    untrusted(&|bench, new| {
        let signature = new.sign(b"{}", "encoderfile base-index v0.2.0");
        fs::write(bench.release.signature_beside(new), signature).unwrap();
    });
    // Where the first signature is of a trusted key but does not hold, nothing else is asked for.
    let (bench, new) = rotated();
    let index = fs::read_to_string(bench.release.index()).unwrap();
    fs::write(bench.release.index(), index.replace("1.23.2", "1.23.3")).unwrap();
    let error = fetch(&Registry::new(bench.config_with(trusting(&[&bench.key, &new])))).unwrap_err();
    let Error::Untrusted { source, .. } = error else { panic!("{error}") };
    assert!(matches!(*source, TrustError::BadSignature { .. }), "{source}");
}
