//! From a requirement to a version: newest, ranges, pre-releases, and never back.

use std::fs;

use encoderfile_registry::{Error, Registry, RegistryConfig, Requirement, Target, Wanted};
use encoderfile_testing::{Fault, Release};

use crate::bench::{ARM, Bench, LINUX, block_on};

fn wanted(requirement: &str) -> Wanted {
    Wanted { requirement: requirement.parse().unwrap(), pre_releases: false }
}

fn resolve(registry: &Registry, requirement: &str) -> Result<String, Error> {
    block_on(registry.resolve(&wanted(requirement), &())).map(|version| version.to_string())
}

/// A mirror with these versions, beside the bench's own 0.2.0.
fn mirror(versions: &[&str]) -> Bench {
    let bench = Bench::new();
    for version in versions {
        Release::write(&bench.www(), version, &[(LINUX.triple(), version.as_bytes())], &bench.key);
    }
    list(&bench, versions);
    bench
}

fn list(bench: &Bench, versions: &[&str]) {
    let versions: Vec<_> = versions.iter().copied().chain(["0.2.0"]).collect();
    fs::write(bench.www().join("versions.json"), serde_json::to_string(&versions).unwrap()).unwrap();
}

fn directory(bench: &Bench) -> Registry {
    Registry::new(crate::bench::config(&bench.cache(), bench.www().to_str().unwrap(), bench.keys()))
}

#[test]
fn mirrors_and_directories_have_newest_versions_too() {
    let bench = mirror(&["0.1.0", "0.2.10", "0.3.0", "0.4.0-rc.1"]);
    for registry in [bench.registry(), directory(&bench)] {
        for (requirement, expected) in
            [("latest", "0.3.0"), ("^0.2", "0.2.10"), ("<0.2", "0.1.0"), ("^0.4.0-rc.1", "0.4.0-rc.1")]
        {
            assert_eq!(resolve(&registry, requirement).unwrap(), expected, "{requirement}");
        }
        let any = Wanted { requirement: Requirement::Latest, pre_releases: true };
        assert_eq!(block_on(registry.resolve(&any, &())).unwrap().to_string(), "0.4.0-rc.1");
        let error = resolve(&registry, "^0.4").unwrap_err();
        assert!(matches!(error, Error::NoVersion { only_pre_releases: true, .. }), "{error}");
        assert!(error.hint("").unwrap().contains("--pre"));
        let error = resolve(&registry, "^7").unwrap_err();
        assert!(error.to_string().contains("0.3.0, 0.2.10, 0.2.0, 0.1.0"), "{error}");
        assert_eq!(error.exit_code(), 3);
    }
}

#[test]
fn one_version_is_not_looked_for() {
    let bench = Bench::new();
    assert_eq!(resolve(&bench.registry(), "0.9.9").unwrap(), "0.9.9");
    assert_eq!(bench.server.requests("").len(), 0);
}

#[test]
fn a_mirror_without_a_list_says_what_to_do() {
    let bench = Bench::new();
    let error = resolve(&bench.registry(), "latest").unwrap_err();
    assert!(matches!(error, Error::NoList { .. }) && error.exit_code() == 3, "{error}");
    for body in ["<!doctype html>", "[\"new\"]", "{}"] {
        bench.server.misbehave("versions.json", Fault::Body(body.into(), vec![]), 1);
        let error = resolve(&bench.registry(), "latest").unwrap_err();
        assert!(matches!(error, Error::UnusableAnswer { .. }), "{error}");
    }
}

#[test]
fn latest_never_goes_back_unless_told_to() {
    let bench = mirror(&["0.3.0"]);
    let registry = bench.registry();
    assert_eq!(resolve(&registry, "latest").unwrap(), "0.3.0");
    block_on(registry.fetch(LINUX, &"0.3.0".parse().unwrap(), false, &())).unwrap();

    // The source hides 0.3.0; that it is also gone from the cache changes nothing.
    list(&bench, &["0.1.0"]);
    let key = bench.cache().join("base/v1").join(bench.key.id());
    fs::remove_dir_all(key.join("0.3.0")).unwrap();
    let error = resolve(&bench.registry(), "latest").unwrap_err();
    let Error::Downgrade { found, seen, .. } = &error else { panic!("{error}") };
    assert_eq!((found.to_string(), seen.to_string()), ("0.2.0".to_owned(), "0.3.0".to_owned()));
    assert_eq!(error.exit_code(), 4);
    assert!(error.hint("").unwrap().contains("--allow-downgrade"));
    // What was seen would not have done here.
    assert_eq!(resolve(&bench.registry(), "^0.2").unwrap(), "0.2.0");
    let allowed = Registry::new(RegistryConfig { allow_downgrade: true, ..bench.config() });
    assert_eq!(resolve(&allowed, "latest").unwrap(), "0.2.0");
}

#[test]
fn what_was_never_verified_was_never_seen() {
    let bench = mirror(&["9.0.0"]);
    // Somebody lists a release that does not exist, to block all others.
    fs::remove_dir_all(bench.www().join("v9.0.0")).unwrap();
    assert_eq!(resolve(&bench.registry(), "latest").unwrap(), "9.0.0");
    block_on(bench.registry().fetch(LINUX, &"9.0.0".parse().unwrap(), false, &())).unwrap_err();
    list(&bench, &[]);
    assert_eq!(resolve(&bench.registry(), "latest").unwrap(), "0.2.0");
}

#[test]
fn offline_the_cache_is_all_there_is() {
    let bench = mirror(&["0.2.5", "0.3.0"]);
    let error = resolve(&bench.offline(), "latest").unwrap_err();
    assert!(matches!(error, Error::NoVersion { offline: true, .. }) && error.exit_code() == 3, "{error}");
    for version in ["0.2.0", "0.2.5"] {
        block_on(bench.registry().fetch(LINUX, &version.parse().unwrap(), false, &())).unwrap();
    }
    let before = bench.server.requests("").len();
    for requirement in ["latest", "^0.2", "*"] {
        assert_eq!(resolve(&bench.offline(), requirement).unwrap(), "0.2.5", "{requirement}");
    }
    // A build is content with what is cached for all of its targets, and asks otherwise.
    let build = |targets: &[Target]| {
        block_on(bench.registry().resolve_for_build(&wanted(">=0.2"), targets, &())).unwrap().to_string()
    };
    assert_eq!(build(&[LINUX]), "0.2.5");
    assert_eq!(bench.server.requests("").len(), before);
    assert_eq!(build(&[LINUX, ARM]), "0.3.0");
}

#[test]
fn the_list_of_releases_says_what_each_has() {
    let bench = mirror(&["0.1.0", "0.3.0-rc.1"]);
    for registry in [bench.registry(), directory(&bench)] {
        let releases = block_on(registry.releases(&())).unwrap();
        let versions: Vec<_> = releases.iter().map(|release| release.version.to_string()).collect();
        assert_eq!(versions, ["0.3.0-rc.1", "0.2.0", "0.1.0"]);
        assert_eq!(
            releases.iter().map(|release| release.pre_release).collect::<Vec<_>>(),
            [true, false, false]
        );
        assert_eq!(releases[1].archives[&LINUX], bench.archive().len() as u64);
        assert_eq!(releases[1].published.unwrap().to_string(), "2026-01-02T03:04:05Z");
    }
    let error = block_on(bench.offline().releases(&())).unwrap_err();
    assert!(matches!(error, Error::OfflineList) && error.exit_code() == 3, "{error}");
}

#[test]
fn a_known_release_is_what_the_cache_can_prove() {
    let bench = mirror(&["0.1.0"]);
    let registry = bench.registry();
    let known = |version: &str| {
        let known = block_on(registry.known_release(&version.parse().unwrap(), &())).unwrap();
        known.iter().map(|signed| signed.index.version.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(known("0.1.0"), [""; 0]);
    block_on(registry.fetch(LINUX, &"0.1.0".parse().unwrap(), false, &())).unwrap();
    assert_eq!(known("0.1.0"), ["0.1.0"]);
    assert_eq!(known("0.2.0"), [""; 0]);
    // Nobody has to be asked, and what nobody trusted has signed is not known.
    let alone = |keys| crate::bench::config(&bench.cache(), "/nowhere", keys);
    let version = "0.1.0".parse().unwrap();
    let registry = Registry::new(alone(bench.keys()));
    assert_eq!(block_on(registry.known_release(&version, &())).unwrap().len(), 1);
    let registry = Registry::new(alone(encoderfile_registry::TrustedKeys::default()));
    assert_eq!(block_on(registry.known_release(&version, &())).unwrap().len(), 0);
}
