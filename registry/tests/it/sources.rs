//! Several sources, in order, each with its own keys.

use std::fs;
use std::path::PathBuf;

use encoderfile_registry::{
    Error, Fetched, NetworkConfig, Registry, RegistryConfig, Source, TrustError, TrustedKeys, TrustedSource,
};
use encoderfile_testing::{Fault, Release, SigningKey};

use crate::bench::{Bench, Diary, LINUX, VERSION, block_on, flip_a_byte, runtime};

/// A folder with releases, signed by a key of its own.
struct Shelf {
    folder: tempfile::TempDir,
    key: SigningKey,
}

impl Shelf {
    fn with(versions: &[&str]) -> Self {
        let shelf = Self { folder: tempfile::tempdir().unwrap(), key: SigningKey::generate() };
        for version in versions {
            Release::write(shelf.folder.path(), version, &[(LINUX.triple(), &runtime(5000))], &shelf.key);
        }
        shelf
    }

    fn source(&self) -> TrustedSource {
        source(self.folder.path().to_str().unwrap(), &self.key)
    }

    fn index(&self, version: &str) -> PathBuf {
        self.folder.path().join(format!("v{version}/base-index.json"))
    }
}

fn source(place: &str, key: &SigningKey) -> TrustedSource {
    let mut trusted_keys = TrustedKeys::none();
    trusted_keys.add(&key.public()).unwrap();
    TrustedSource { source: Source::parse(place, false).unwrap(), trusted_keys }
}

fn registry(bench: &Bench, sources: Vec<TrustedSource>) -> Registry {
    let mut config = RegistryConfig::with_sources(bench.cache(), sources);
    config.network = NetworkConfig { retries: 0, ..NetworkConfig::default() };
    Registry::new(config)
}

fn fetch(registry: &Registry, diary: &Diary) -> Result<Fetched, Error> {
    block_on(registry.fetch(LINUX, &VERSION, false, diary))
}

#[test]
fn the_first_that_has_the_version_serves_it() {
    let bench = Bench::new();
    let (without, with) = (Shelf::with(&["0.1.0"]), Shelf::with(&["0.2.0"]));
    let sources = vec![without.source(), with.source(), source(&bench.server.url(), &bench.key)];
    let diary = Diary::default();
    let fetched = fetch(&registry(&bench, sources), &diary).unwrap();
    assert_eq!(fetched.base.key_id.to_string(), with.key.id());
    assert_eq!(bench.server.requests("").len(), 0);
    assert_eq!(diary.lines().iter().filter(|line| line.starts_with("warning")).count(), 0);
}

#[test]
fn no_source_has_it_and_all_are_named() {
    let bench = Bench::new();
    let (one, two) = (Shelf::with(&["0.1.0"]), Shelf::with(&[]));
    let error = fetch(&registry(&bench, vec![one.source(), two.source()]), &Diary::default()).unwrap_err();
    assert!(matches!(&error, Error::NoSuchRelease { locations, .. } if locations.len() == 2), "{error}");
}

#[test]
fn a_bad_signature_never_falls_through() {
    let bench = Bench::new();
    let good = || source(&bench.server.url(), &bench.key);

    let changed = Shelf::with(&["0.2.0"]);
    flip_a_byte(&changed.index("0.2.0"));
    let error = fetch(&registry(&bench, vec![changed.source(), good()]), &Diary::default()).unwrap_err();
    assert!(matches!(error, Error::Untrusted { .. }) && error.exit_code() == 4, "{error}");

    // The other source's key does not count at this one.
    let strange = Shelf::with(&["0.2.0"]);
    let place = strange.folder.path().to_str().unwrap();
    let sources = vec![source(place, &SigningKey::generate()), strange.source(), good()];
    let error = fetch(&registry(&bench, sources), &Diary::default()).unwrap_err();
    let Error::Untrusted { source, .. } = error else { panic!("{error}") };
    assert!(matches!(*source, TrustError::UnknownKey { .. }), "{source}");

    let unsigned = Shelf::with(&["0.2.0"]);
    fs::remove_file(unsigned.folder.path().join("v0.2.0/base-index.json.minisig")).unwrap();
    let error = fetch(&registry(&bench, vec![unsigned.source(), good()]), &Diary::default()).unwrap_err();
    assert!(matches!(error, Error::NoSuchFile { .. }), "{error}");
    assert_eq!(bench.server.requests("").len(), 0);
}

#[test]
fn a_source_that_cannot_be_asked_is_passed_over_and_told_of() {
    let bench = Bench::new();
    let shelf = Shelf::with(&["0.2.0"]);
    bench.server.misbehave("base-index.json", Fault::Status(503, vec![]), usize::MAX);
    let gone = bench.directory.path().join("unmounted");
    let sources = || {
        let gone = source(gone.to_str().unwrap(), &bench.key);
        vec![gone, source(&bench.server.url(), &bench.key), shelf.source()]
    };
    let diary = Diary::default();
    let fetched = fetch(&registry(&bench, sources()), &diary).unwrap();
    assert_eq!(fetched.base.key_id.to_string(), shelf.key.id());
    let warnings: Vec<_> = diary.lines().into_iter().filter(|line| line.starts_with("warning")).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("unmounted") && warnings[1].contains("503"), "{warnings:?}");

    // Nobody has it, and the first reason counts: it may be there.
    fs::remove_dir_all(bench.cache()).unwrap();
    fs::remove_dir_all(shelf.folder.path().join("v0.2.0")).unwrap();
    let mut sources = sources();
    sources.remove(0);
    let error = fetch(&registry(&bench, sources), &Diary::default()).unwrap_err();
    assert_eq!(error.exit_code(), 5, "{error}");
}

#[test]
fn the_cache_believes_the_keys_of_every_source() {
    let bench = Bench::new();
    let shelf = Shelf::with(&["0.2.0"]);
    fetch(&registry(&bench, vec![shelf.source()]), &Diary::default()).unwrap();
    let both = registry(&bench, vec![source(&bench.server.url(), &bench.key), shelf.source()]);
    let base = block_on(both.locate(LINUX, &VERSION, &())).unwrap();
    assert_eq!(base.key_id.to_string(), shelf.key.id());
    assert!(block_on(bench.registry().locate(LINUX, &VERSION, &())).is_err());
}
