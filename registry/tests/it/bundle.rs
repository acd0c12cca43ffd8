//! Over an air gap and back: bundles that are right, and bundles that are wrong in every way.

use std::fs;
use std::io::{Read as _, Write};
use std::path::PathBuf;

use encoderfile_registry::{
    BaseBinary, Error, ExportReport, Fetched, Registry, RegistryConfig, Target, TrustError, TrustedKeys,
};
use encoderfile_testing::{Release, SigningKey};
use semver::Version;

use crate::bench::{ARM, Bench, Diary, LINUX, VERSION, block_on, config, files, flip_a_byte, runtime};

const FILE: tar::EntryType = tar::EntryType::Regular;

/// A cache with both targets, a bundle of it, and another cache without any source.
struct Gap {
    bench: Bench,
    bundle: Vec<u8>,
}

impl Gap {
    fn new() -> Self {
        Self::with(Bench::new())
    }

    /// Short enough to be cut and changed everywhere.
    fn small() -> Self {
        Self::with(Bench::with_runtime(runtime(700)))
    }

    fn with(bench: Bench) -> Self {
        let bases = [LINUX, ARM].map(|target| fetched(&bench, target));
        let mut bundle = Vec::new();
        export(&bench, &bases, &mut bundle).unwrap();
        Self { bench, bundle }
    }

    fn beyond(&self) -> PathBuf {
        self.bench.directory.path().join("beyond")
    }

    fn registry(&self) -> Registry {
        let config = config(&self.beyond(), "/nonexistent", self.bench.keys());
        Registry::new(RegistryConfig { offline: true, ..config })
    }

    fn import(&self, bundle: &[u8]) -> Result<Vec<Fetched>, Error> {
        block_on(self.registry().import(bundle, "b.bundle", &()))
    }

    fn binary(&self, target: Target) -> PathBuf {
        let name = format!("base/v1/{}/{VERSION}/{target}/encoderfile-runtime", self.bench.key.id());
        self.beyond().join(name)
    }

    /// The names and contents of the bundle's members.
    fn members(&self) -> Vec<(String, Vec<u8>)> {
        let mut archive = tar::Archive::new(zstd::Decoder::new(&*self.bundle).unwrap());
        let members = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
        });
        members.collect()
    }

    /// The bundle, changed, must be refused, with a reason that says this; nothing is installed.
    fn refused(&self, reason: &str, change: impl FnOnce(&mut Vec<(String, Vec<u8>)>)) {
        let mut members = self.members();
        change(&mut members);
        self.refused_bytes(reason, &pack(&members));
    }

    fn refused_bytes(&self, expected: &str, bundle: &[u8]) {
        let error = self.import(bundle).unwrap_err();
        let Error::BadBundle { reason, origin, .. } = &error else { panic!("{error:?}") };
        assert!(reason.contains(expected), "{error} should say {expected}");
        assert_eq!((origin.as_str(), error.exit_code()), ("b.bundle", 4));
        assert!(error.hint("").unwrap().contains("export"));
        self.assert_nothing_installed();
    }

    fn assert_nothing_installed(&self) {
        assert_eq!(self.registry().list_cached().unwrap().len(), 0);
        let found = files(&self.beyond());
        let binaries = found.iter().filter(|path| {
            let path = path.to_str().unwrap();
            path.contains("encoderfile-runtime") || path.contains(".tmp-")
        });
        assert_eq!(binaries.count(), 0, "{found:?}");
    }
}

fn fetched(bench: &Bench, target: Target) -> BaseBinary {
    block_on(bench.registry().fetch(target, &VERSION, false, &())).unwrap().base
}

fn export(bench: &Bench, bases: &[BaseBinary], out: impl Write) -> Result<ExportReport, Error> {
    block_on(bench.offline().export(bases, out, &()))
}

fn header(name: &str, kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    // As raw bytes: the library itself refuses to write a name such as `../x`.
    let (prefix, name) = if name.len() > 100 { name.rsplit_once('/').unwrap() } else { ("", name) };
    let ustar = header.as_ustar_mut().unwrap();
    ustar.name[..name.len()].copy_from_slice(name.as_bytes());
    ustar.prefix[..prefix.len()].copy_from_slice(prefix.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    header
}

fn pack_typed(members: &[(String, tar::EntryType, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, bytes) in members {
        builder.append(&header(name, *kind, bytes.len() as u64), &**bytes).unwrap();
    }
    zstd::encode_all(&*builder.into_inner().unwrap(), 3).unwrap()
}

fn pack(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let typed = members.iter().map(|(name, bytes)| (name.clone(), FILE, bytes.clone()));
    pack_typed(&typed.collect::<Vec<_>>())
}

#[test]
fn a_bundle_carries_base_binaries_to_where_there_is_no_network() {
    let gap = Gap::new();
    let fetched = gap.import(&gap.bundle).unwrap();
    let found: Vec<_> = fetched.iter().map(|fetched| (fetched.base.target, fetched.was_cached)).collect();
    assert_eq!(found, [(ARM, false), (LINUX, false)]);
    assert_eq!(fs::read(&fetched[1].base.path).unwrap(), gap.bench.runtime);
    drop(fetched);
    let registry = gap.registry();
    block_on(registry.ensure(LINUX, &VERSION, None, &())).unwrap().verify().unwrap();
    let entries = registry.list_cached().unwrap();
    assert!(entries.iter().all(|entry| entry.source == "bundle b.bundle"), "{entries:?}");
    // All that a download leaves, in the same places with the same modes, and nothing else.
    let tree = |cache: PathBuf| -> Vec<_> {
        use std::os::unix::fs::PermissionsExt as _;
        files(&cache)
            .iter()
            .map(|path| {
                let mode = path.metadata().unwrap().permissions().mode();
                (path.strip_prefix(&cache).unwrap().to_owned(), mode)
            })
            .collect()
    };
    assert_eq!(tree(gap.beyond()), tree(gap.bench.cache()));
    // And on to the next machine, byte by byte the same.
    let bases = [LINUX, ARM].map(|target| block_on(registry.locate(target, &VERSION, &())).unwrap());
    let mut again = Vec::new();
    let report = block_on(registry.export(&bases, &mut again, &())).unwrap();
    assert!(again == gap.bundle);
    assert_eq!(report.bytes, again.len() as u64);
    assert_eq!(report.exported.iter().map(|id| id.target).collect::<Vec<_>>(), [ARM, LINUX]);
}

#[test]
fn members_are_ordered_whatever_the_order_of_the_base_binaries() {
    let gap = Gap::new();
    let key = gap.bench.key.id();
    let names: Vec<_> = gap.members().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "encoderfile-bundle".to_owned(),
            format!("{key}/0.2.0/base-index.json"),
            format!("{key}/0.2.0/base-index.json.minisig"),
            format!("{key}/0.2.0/{ARM}/encoderfile-runtime"),
            format!("{key}/0.2.0/{LINUX}/encoderfile-runtime"),
        ]
    );
    let mut other = Vec::new();
    export(&gap.bench, &[ARM, LINUX, ARM].map(|target| fetched(&gap.bench, target)), &mut other).unwrap();
    assert!(other == gap.bundle);
}

#[test]
fn several_releases_go_into_one_bundle() {
    let bench = Bench::new();
    Release::write(&bench.www(), "0.10.0", &[(LINUX.triple(), b"the next")], &bench.key);
    let later = Version::new(0, 10, 0);
    let next = block_on(bench.registry().fetch(LINUX, &later, false, &())).unwrap().base;
    let bases = [next, fetched(&bench, LINUX)];
    let mut bundle = Vec::new();
    export(&bench, &bases, &mut bundle).unwrap();
    let gap = Gap { bench, bundle };
    let versions =
        gap.import(&gap.bundle).unwrap().into_iter().map(|fetched| fetched.base.version.to_string());
    assert_eq!(versions.collect::<Vec<_>>(), ["0.2.0", "0.10.0"]);
}

#[test]
fn a_bundle_of_nothing_is_one_too() {
    let gap = Gap::new();
    let mut bundle = Vec::new();
    assert_eq!(export(&gap.bench, &[], &mut bundle).unwrap().exported, []);
    assert_eq!(gap.import(&bundle).unwrap().len(), 0);
}

#[test]
fn what_is_there_is_kept_even_while_it_is_used_and_what_is_damaged_is_repaired() {
    let gap = Gap::new();
    let users = gap.import(&gap.bundle).unwrap();
    let impatient = || {
        let config = config(&gap.beyond(), "/nonexistent", gap.bench.keys());
        Registry::new(RegistryConfig { lock_timeout: Some(std::time::Duration::ZERO), ..config })
    };
    let again = block_on(impatient().import(&*gap.bundle, "b", &())).unwrap();
    assert!(again.iter().all(|fetched| fetched.was_cached));
    drop((users, again));

    flip_a_byte(&gap.binary(LINUX));
    let diary = Diary::default();
    let repaired = block_on(gap.registry().import(&*gap.bundle, "b", &diary)).unwrap();
    assert_eq!(repaired.iter().map(|fetched| fetched.was_cached).collect::<Vec<_>>(), [true, false]);
    assert_eq!(fs::read(gap.binary(LINUX)).unwrap(), gap.bench.runtime);
    let warnings: Vec<_> = diary.lines().into_iter().filter(|line| line.starts_with("warning")).collect();
    assert!(
        matches!(&warnings[..], [line] if line.starts_with("warning: the cache is damaged, importing again: ")),
        "{warnings:?}"
    );
    drop(repaired);

    flip_a_byte(&gap.binary(LINUX).parent().unwrap().with_file_name("base-index.json"));
    let repaired = gap.import(&gap.bundle).unwrap();
    assert!(repaired.iter().all(|fetched| fetched.was_cached));
    block_on(gap.registry().locate(LINUX, &VERSION, &())).unwrap().verify().unwrap();
}

#[test]
fn a_kept_base_binary_excuses_no_damage_in_the_bundle() {
    let gap = Gap::new();
    gap.import(&gap.bundle).unwrap();
    let mut members = gap.members();
    members[4].1[0] ^= 1;
    let error = gap.import(&pack(&members)).unwrap_err();
    assert!(matches!(error, Error::BadBundle { .. }), "{error}");
    assert_eq!(gap.registry().list_cached().unwrap().len(), 2);
}

#[test]
fn progress_speaks_of_each_base_binary() {
    let gap = Gap::new();
    let diary = Diary::default();
    block_on(gap.registry().import(&*gap.bundle, "b", &diary)).unwrap();
    let key = gap.bench.key.id();
    assert_eq!(
        diary.lines(),
        [
            format!("started {key}/0.2.0/{ARM}/encoderfile-runtime at 0 of 1000"),
            "downloaded".to_owned(),
            format!("started {key}/0.2.0/{LINUX}/encoderfile-runtime at 0 of 300000"),
            "downloaded".to_owned(),
        ]
    );
}

#[test]
fn an_untrusted_key_is_named_and_nothing_is_installed() {
    let gap = Gap::new();
    let mut other = TrustedKeys::none();
    other.add(&SigningKey::generate().public()).unwrap();
    for keys in [TrustedKeys::none(), other] {
        let none = keys.is_empty();
        let registry = Registry::new(config(&gap.beyond(), "/nonexistent", keys));
        let error = block_on(registry.import(&*gap.bundle, "b.bundle", &())).unwrap_err();
        assert_eq!(error.exit_code(), 4);
        assert!(error.hint("").unwrap().contains("--trusted-key"), "{error}");
        let Error::Untrusted { source, location, .. } = error else { panic!("{error}") };
        assert!(location.contains("b.bundle"), "{location}");
        match *source {
            TrustError::NoKeys => assert!(none),
            TrustError::UnknownKey { key_id, .. } => assert_eq!(key_id.to_string(), gap.bench.key.id()),
            other => panic!("{other}"),
        }
        assert!(!gap.beyond().exists());
    }
}

#[test]
fn an_index_must_be_signed_by_the_key_and_for_the_version_that_its_name_says() {
    let gap = Gap::new();
    let (key, other) = (gap.bench.key.id(), SigningKey::generate());
    let rename = |from: &str, to: &str| {
        let mut members = gap.members();
        for (name, _) in &mut members {
            *name = name.replace(from, to);
        }
        pack(&members)
    };
    gap.refused_bytes(&format!("signed by key {key}, not {}", other.id()), &rename(&key, &other.id()));
    gap.refused_bytes("the signature is for something else", &rename("0.2.0", "0.3.0"));
    gap.refused("does not match the bytes", |members| members[1].1[10] ^= 1);
    gap.refused("cannot be trusted", |members| members[2].1.truncate(50));
    gap.refused("has 2000000 bytes", |members| members[1].1.resize(2_000_000, b' '));
    gap.refused("has 100000 bytes", |members| members[2].1.resize(100_000, b' '));
    assert!(!gap.beyond().exists());
}

#[test]
fn a_base_binary_must_be_the_signed_one() {
    let gap = Gap::new();
    gap.refused("sha256", |members| {
        members.remove(3);
        members[3].1[0] ^= 1;
    });
    gap.refused("has 1001 bytes, and not the 1000 signed", |members| members[3].1.push(0));
    gap.refused("has 0 bytes", |members| members[3].1.clear());
    gap.refused("that its index does not list", |members| {
        members[3].0 = members[3].0.replace(ARM.triple(), "aarch64-apple-darwin");
    });
}

#[test]
fn members_out_of_place_are_refused() {
    let gap = Gap::new();
    gap.refused("does not begin with `encoderfile-bundle`", |members| drop(members.remove(0)));
    gap.refused("wrong place", |members| members.swap(1, 3));
    gap.refused("wrong place", |members| members.swap(1, 2));
    gap.refused("wrong place", |members| drop(members.remove(2)));
    gap.refused("wrong place", |members| drop(members.drain(1..3)));
    gap.refused("wrong place", |members| members[2].0 = members[2].0.replace("0.2.0", "0.3.0"));
    gap.refused("no signature", |members| members.truncate(2));
    gap.refused("wrong place", |members| members[3].0 = members[3].0.replace("0.2.0", "0.3.0"));
    gap.refused("twice", |members| members.insert(1, members[0].clone()));
    gap.refused("twice", |members| {
        members.truncate(3);
        members.extend_from_within(1..3);
    });
}

#[test]
fn members_that_do_not_belong_there_are_named() {
    let gap = Gap::new();
    for name in ["../x", "/etc/passwd", "LICENSE", "a/b/c\u{7}", &"x".repeat(90)] {
        let mut members = gap.members();
        members.insert(1, (name.to_owned(), b"evil".to_vec()));
        let error = gap.import(&pack(&members)).unwrap_err();
        let Error::BadBundle { member, reason, .. } = &error else { panic!("{error}") };
        assert!(reason.contains("does not belong"), "{reason}");
        assert_eq!(member.as_deref(), Some(name));
        assert!(!error.to_string().contains('\u{7}'));
        gap.assert_nothing_installed();
    }
}

#[test]
fn only_regular_files_are_members() {
    use tar::EntryType as Kind;
    let gap = Gap::new();
    let kinds = [
        Kind::Symlink,
        Kind::Link,
        Kind::Char,
        Kind::Directory,
        Kind::GNULongName,
        Kind::XHeader,
        Kind::GNUSparse,
    ];
    for kind in kinds {
        let members = gap.members().into_iter().enumerate();
        let typed = members.map(|(index, (name, bytes))| (name, if index == 1 { kind } else { FILE }, bytes));
        gap.refused_bytes("something else than regular files", &pack_typed(&typed.collect::<Vec<_>>()));
    }
}

#[test]
fn other_files_are_not_taken_for_bundles() {
    let gap = Gap::new();
    gap.refused_bytes("does not begin as a bundle does", b"");
    gap.refused_bytes("not compressed with zstd", b"#!/bin/sh\necho hello\n");
    gap.refused_bytes("not compressed with zstd", &gap.bench.runtime);
    gap.refused_bytes("not a tar archive", &zstd::encode_all(&*gap.bench.runtime, 1).unwrap());
    // A release's own archive.
    gap.refused_bytes("does not belong", &gap.bench.archive());
    gap.refused("is of form 2", |members| members[0].1 = b"2\n".to_vec());
    gap.refused("does not say", |members| members[0].1 = b"1".to_vec());
    gap.refused("more than the 16", |members| members[0].1 = vec![b'1'; 17]);
    assert!(!gap.beyond().exists());
}

#[test]
fn a_bomb_is_stopped_before_it_is_unpacked() {
    let gap = Gap::new();
    let bomb = |name: &str| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.write_all(header("encoderfile-bundle", FILE, 2).as_bytes()).unwrap();
        encoder.write_all(b"1\n").unwrap();
        encoder.write_all(&[0; 510]).unwrap();
        encoder.write_all(header(name, FILE, 1 << 30).as_bytes()).unwrap();
        std::io::copy(&mut std::io::repeat(0).take(1 << 26), &mut encoder).unwrap();
        encoder.finish().unwrap()
    };
    let key = gap.bench.key.id();
    gap.refused_bytes("more than the 1048576", &bomb(&format!("{key}/0.2.0/base-index.json")));
    gap.refused_bytes("wrong place", &bomb(&format!("{key}/0.2.0/{LINUX}/encoderfile-runtime")));
    // A window that needs much memory.
    let tar = zstd::decode_all(&*gap.bundle).unwrap();
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(26).unwrap();
    encoder.write_all(&tar).unwrap();
    std::io::copy(&mut std::io::repeat(0).take(80 << 20), &mut encoder).unwrap();
    gap.refused_bytes("does not begin as a bundle does", &encoder.finish().unwrap());
}

#[test]
fn cut_anywhere_it_is_an_error_and_what_was_proven_before_stays() {
    let gap = Gap::small();
    for length in (0..gap.bundle.len()).step_by(23).chain([gap.bundle.len() - 1]) {
        let error = gap.import(&gap.bundle[..length]).unwrap_err();
        assert!(matches!(error, Error::BadBundle { .. }), "{length}: {error}");
        for entry in gap.registry().list_cached().unwrap() {
            block_on(gap.registry().verify(&entry, &())).unwrap();
        }
    }
    assert_eq!(gap.registry().list_cached().unwrap().len(), 2);
    // The first of two base binaries stays where the second fails.
    let gap = Gap::new();
    let mut members = gap.members();
    members[4].1[0] ^= 1;
    gap.import(&pack(&members)).unwrap_err();
    let entries = gap.registry().list_cached().unwrap();
    assert_eq!(entries.iter().map(|entry| entry.id.target).collect::<Vec<_>>(), [ARM]);
    block_on(gap.registry().verify(&entries[0], &())).unwrap();
    assert!(!gap.import(&gap.bundle).unwrap()[1].was_cached);
}

#[test]
fn a_flipped_byte_anywhere_is_refused_or_without_effect() {
    let gap = Gap::small();
    for position in (0..gap.bundle.len()).step_by(7) {
        let mut bundle = gap.bundle.clone();
        bundle[position] ^= 0x40;
        match gap.import(&bundle) {
            Ok(fetched) => fetched.into_iter().for_each(|fetched| drop(fetched.base.verify().unwrap())),
            Err(error) => assert_eq!(error.exit_code(), 4, "{position}: {error}"),
        }
    }
}

#[test]
fn exporting_a_changed_base_binary_fails_and_takes_it_out_of_use() {
    let gap = Gap::new();
    for damage in [
        |path: &std::path::Path| flip_a_byte(path),
        |path: &std::path::Path| {
            fs::remove_file(path).unwrap();
            fs::write(path, "short").unwrap();
        },
        |path: &std::path::Path| {
            let longer = [fs::read(path).unwrap(), vec![0]].concat();
            fs::remove_file(path).unwrap();
            fs::write(path, longer).unwrap();
        },
    ] {
        let base = fetched(&gap.bench, LINUX);
        damage(&base.path);
        let error = export(&gap.bench, &[base], &mut Vec::new()).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        assert!(!gap.bench.binary().exists());
    }
}

#[test]
fn a_base_binary_of_a_release_that_was_signed_again_is_not_exported_under_the_new_index() {
    let bench = Bench::new();
    let old = fetched(&bench, LINUX);
    let other: &[u8] = b"other bytes";
    Release::write(&bench.www(), "0.2.0", &[(LINUX.triple(), other), (ARM.triple(), other)], &bench.key);
    fetched(&bench, ARM);
    let error = export(&bench, &[old], &mut Vec::new()).unwrap_err();
    assert!(matches!(error, Error::NotCached { target: LINUX, .. }), "{error}");
}

#[test]
fn an_output_that_takes_no_more_is_an_error() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let bench = Bench::new();
    let error = export(&bench, &[fetched(&bench, LINUX)], Full).unwrap_err();
    assert!(matches!(error, Error::WriteBundle { .. }) && error.exit_code() == 1, "{error}");
    assert!(bench.binary().exists());
}
