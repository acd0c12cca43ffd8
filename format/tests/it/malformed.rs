//! Files that are wrong in one way each, and the error that says so.

use std::fs::{self, File};
use std::io::Write as _;

use encoderfile_format::{Artifact, ArtifactKind, Digest, Encoderfile, Error, MANIFEST_LIMIT, WireError};

use crate::protobuf;
use crate::sample::{BASE, artifact, assembled, footer, named_artifact, open, raw_artifact, small};

const SHA256: [u8; 32] = [0; 32];

fn error(bytes: &[u8]) -> Error {
    open(bytes).unwrap_err()
}

#[track_caller]
fn assert_fails(bytes: &[u8], is_expected: impl FnOnce(&Error) -> bool) {
    let error = error(bytes);
    assert!(is_expected(&error), "{error:?}");
}

#[test]
fn a_file_cut_anywhere_has_no_footer() {
    let bytes = small();
    for length in 0..bytes.len() {
        assert_fails(&bytes[..length], |error| matches!(error, Error::NoPayload));
    }
}

#[test]
fn what_is_no_regular_file_is_said() {
    let (pipe, mut end) = std::io::pipe().unwrap();
    end.write_all(b"x").unwrap();
    let pipe = File::from(std::os::fd::OwnedFd::from(pipe));
    let folder = tempfile::tempdir().unwrap();
    let folder = File::open(folder.path()).unwrap();
    let device = File::open("/dev/null").unwrap();
    for file in [pipe, folder, device] {
        assert!(matches!(Encoderfile::open(file), Err(Error::NotAFile)));
    }
}

#[test]
fn the_footer_is_checked() {
    let with = |at: usize, value: u8| {
        let mut bytes = small();
        let start = bytes.len() - 32;
        bytes[start + at] = value;
        bytes
    };
    assert_fails(&with(0, b'e'), |error| matches!(error, Error::NoPayload));
    assert_fails(&with(8, 2), |error| matches!(error, Error::FormatVersion { found: 2 }));
    assert_fails(&with(28, 0), |error| matches!(error, Error::Flags { found: 0 }));
    assert_fails(&with(28, 3), |error| matches!(error, Error::Flags { found: 3 }));
}

#[test]
fn the_manifest_lies_within_the_file() {
    let place = |offset, length| [BASE, &footer(offset, length)].concat();
    let end = BASE.len() as u64;
    let outside =
        [(0, end + 1), (end, 1), (end + 1, 0), (u64::MAX, 1), (u64::MAX - 4, 8), (1 << 63, MANIFEST_LIMIT)];
    for (offset, length) in outside {
        assert_fails(&place(offset, length), |error| {
            matches!(error, Error::ManifestRange { offset: o, length: l, end: e }
            if (*o, *l, *e) == (offset, length, end))
        });
    }
    for length in [MANIFEST_LIMIT + 1, 1 << 30, 1 << 63, u64::MAX] {
        assert_fails(
            &place(0, length),
            |error| matches!(error, Error::ManifestSize { length: l } if *l == length),
        );
    }
}

#[test]
fn the_manifest_is_a_protobuf_message() {
    assert_fails(&assembled(&[0xff; 20], &[]), |error| {
        matches!(error, Error::ManifestWire { offset: 13, source: WireError::Varint { offset: 0 } })
    });
    assert_fails(&assembled(b"\x12\x7fname", &[]), |error| {
        matches!(
            error,
            Error::ManifestWire { source: WireError::Truncated { number: 2, needed: 123, left: 4, .. }, .. }
        )
    });
    // Field 0, a group, and a wire type that does not exist.
    for tag in [0x00, 0x0b, 0x0f] {
        assert_fails(&assembled(&[tag, 0, 0, 0], &[]), |error| {
            matches!(error, Error::ManifestWire { source: WireError::Tag { offset: 0 }, .. })
        });
    }
    // A name that is an integer, and one that is not UTF-8.
    assert_fails(&assembled(&protobuf::integer(2, 1), &[]), |error| {
        matches!(error, Error::ManifestDecode { offset: 13, .. })
    });
    assert_fails(&assembled(&protobuf::bytes(2, b"\xff"), &[]), |error| {
        matches!(error, Error::ManifestDecode { .. })
    });
}

#[test]
fn a_digest_has_32_bytes() {
    for length in [0, 31, 33] {
        let sha256 = vec![1; length];
        let manifest = raw_artifact(100, 80, 1, &sha256);
        assert_fails(&assembled(&manifest, &[0; 100]), |error| {
            matches!(error, Error::DigestLength { of, length: l }
            if of == "weights" && *l == length)
        });
        let base = protobuf::bytes(4, &protobuf::bytes(3, &sha256));
        assert_fails(
            &assembled(&base, &[]),
            |error| matches!(error, Error::DigestLength { length: l, .. } if *l == length),
        );
        let source = [protobuf::bytes(1, b"vocab.txt"), protobuf::bytes(3, &sha256)].concat();
        let source = protobuf::bytes(7, &source);
        assert_fails(&assembled(&source, &[]), |error| {
            matches!(error, Error::DigestLength { of, length: l }
            if of == "vocab.txt" && *l == length)
        });
    }
}

#[test]
fn an_artifact_lies_between_manifest_and_footer() {
    let size = raw_artifact(100, 0, 0, &SHA256).len() as u64;
    let rest = [0_u8; 100];
    let file = |number, offset, length| assembled(&raw_artifact(number, offset, length, &SHA256), &rest);
    // The room is bytes `size..size + 100`, counted from the manifest.
    assert!(open(&file(100, size, 100)).is_ok());
    assert!(open(&file(100, size + 100, 0)).is_ok());
    let outside = [
        (0, 1),
        (size - 1, 1),
        (size, 101),
        (size + 100, 1),
        (size + 100, 32),
        (size + 132, 0),
        (size, 1 << 63),
        (1 << 63, 1 << 63),
        (u64::MAX, 1),
        (u64::MAX - 12, u64::MAX),
    ];
    for (offset, length) in outside {
        assert_fails(&file(100, offset, length), |error| {
            matches!(error, Error::ArtifactRange { kind: ArtifactKind::Weights, length: l, room, .. }
            if *l == length && *room == (13 + size..13 + size + 100))
        });
        // An unknown artifact is no less dangerous.
        let error = error(&file(1500, offset, length));
        assert!(matches!(&error, Error::ArtifactRange { kind: ArtifactKind::Other(1500), .. }), "{error:?}");
    }
}

#[test]
fn artifacts_do_not_overlap() {
    let size = 2 * raw_artifact(100, 0, 0, &SHA256).len() as u64;
    let file = |first: (u64, u64), second: (u64, u64)| {
        let manifest = [
            raw_artifact(100, size + first.0, first.1, &SHA256),
            raw_artifact(130, size + second.0, second.1, &SHA256),
        ];
        assembled(&manifest.concat(), &[0; 100])
    };
    assert!(open(&file((0, 10), (10, 10))).is_ok());
    assert!(open(&file((10, 10), (0, 10))).is_ok());
    let start = 13 + size;
    assert_fails(&file((0, 10), (9, 10)), |error| {
        matches!(error, Error::ArtifactOverlap {
        first: ArtifactKind::Weights, second: ArtifactKind::Tokenizer, offset } if *offset == start + 9)
    });
    assert_fails(&file((9, 10), (0, 10)), |error| {
        matches!(
            error,
            Error::ArtifactOverlap { first: ArtifactKind::Tokenizer, second: ArtifactKind::Weights, .. }
        )
    });
    assert_fails(&file((0, 100), (40, 10)), |error| matches!(error, Error::ArtifactOverlap { .. }));
    assert_fails(&file((5, 10), (5, 10)), |error| matches!(error, Error::ArtifactOverlap { .. }));
}

#[test]
fn a_manifest_has_a_limited_number_of_fields() {
    let many = |count: u32| -> Vec<u8> {
        let fields = (0..count).flat_map(|index| raw_artifact(20_000 + index, 0, 0, &SHA256));
        fields.collect()
    };
    let full = many(10_000);
    assert_fails(&assembled(&full, &[]), |error| {
        matches!(error, Error::ManifestFields { offset: 13, limit: 4096 })
    });

    // Two bytes each: as many as a manifest of 16 MiB holds.
    let empty_sources = protobuf::bytes(7, b"").repeat((MANIFEST_LIMIT / 2) as usize);
    assert_fails(&assembled(&empty_sources, &[]), |error| matches!(error, Error::ManifestFields { .. }));
    // One byte each, without any tag.
    let modes = protobuf::bytes(6, &protobuf::bytes(1, &vec![3; 5000]));
    assert_fails(&assembled(&modes, &[]), |error| matches!(error, Error::ManifestFields { .. }));
    let fields = protobuf::integer(1, 1).repeat(4096);
    assert!(open(&assembled(&fields, &[])).is_ok());
}

#[test]
fn an_unknown_pooling_mode_is_not_left_out() {
    for number in [0, 7] {
        let pooling = protobuf::bytes(6, &protobuf::bytes(1, &[3, number]));
        assert_fails(
            &assembled(&pooling, &[]),
            |error| matches!(error, Error::PoolingMode { number: n } if *n == i32::from(number)),
        );
    }
}

#[test]
fn what_is_unknown_is_ignored_and_listed() {
    let future = b"a future artifact";
    let size = 4 + 6 + 3 + 55;
    let manifest = [
        protobuf::bytes(2, b"ab"),
        protobuf::bytes(44, b"new"),
        protobuf::integer(45, 1),
        artifact(170, size, future),
    ];
    let [name, text, flag, place] = &manifest;
    assert_eq!((name.len(), text.len(), flag.len(), place.len()), (4, 6, 3, 55));
    // Field 200 has not the shape of an artifact.
    let odd = protobuf::bytes(200, b"\x0a\x00");
    let shifted = artifact(170, size + odd.len() as u64, future);
    let manifest = [name, text, flag, &shifted, &odd].map(Vec::as_slice).concat();
    let file = open(&assembled(&manifest, future)).unwrap();
    let unknown: Vec<_> =
        file.manifest().description.unknown_fields.iter().map(|field| (field.number, field.length)).collect();
    assert_eq!(unknown, [(44, 6), (45, 3), (200, 5)]);
    assert_eq!(file.read(ArtifactKind::Other(170)).unwrap(), future);
    assert!(matches!(
        file.read(ArtifactKind::Other(200)),
        Err(Error::NoArtifact { kind: ArtifactKind::Other(200) })
    ));
    assert!(matches!(
        file.read(ArtifactKind::Weights),
        Err(Error::NoArtifact { kind: ArtifactKind::Weights })
    ));
}

#[test]
fn a_claimed_size_is_not_allocated() {
    // A sparse file of 1 TiB takes no room on the disk, and its lengths are all true.
    const LENGTH: u64 = 1 << 40;
    let size = raw_artifact(130, 0, 0, &SHA256).len() as u64;
    let manifest = raw_artifact(130, size, LENGTH, &SHA256);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&manifest).unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(size + LENGTH)).unwrap();
    file.write_all(&footer(0, size)).unwrap();
    let file = Encoderfile::open(file).unwrap();
    assert!(matches!(
        file.read(ArtifactKind::Tokenizer),
        Err(Error::ArtifactSize { kind: ArtifactKind::Tokenizer, length: LENGTH, .. })
    ));
}

#[test]
fn a_file_that_shrinks_after_it_was_opened_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, small()).unwrap();
    let file = Encoderfile::open(File::open(&path).unwrap()).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(20).unwrap();
    assert!(matches!(file.read(ArtifactKind::Tokenizer), Err(Error::Read { .. })));
    assert!(matches!(file.verify(), Err(Error::Read { .. })));
    let output = folder.path().join("extracted");
    let error = file.extract(file.artifact(ArtifactKind::Tokenizer).unwrap(), &output).unwrap_err();
    assert!(matches!(error, encoderfile_format::WriteError::Extract(Error::Read { .. })));
    assert!(!output.exists());
}

#[test]
fn a_message_says_which_bytes_and_what_was_expected() {
    let size = raw_artifact(100, 0, 0, &SHA256).len() as u64;
    let file = assembled(&raw_artifact(100, size, 500, &SHA256), &[0; 100]);
    let expected = "weights claims 500 bytes from byte 68, but artifacts lie within bytes 68..168";
    assert_eq!(error(&file).to_string(), expected);
    let mut damaged = small();
    let offset = open(&damaged).unwrap().artifact(ArtifactKind::Tokenizer).unwrap().offset;
    damaged[usize::try_from(offset).unwrap()] ^= 1;
    let file = open(&damaged).unwrap();
    let message = file.check(file.artifact(ArtifactKind::Tokenizer).unwrap()).unwrap_err().to_string();
    let digest = Digest::of(b"{\"tokenizer\":{},\"config\":{}}");
    let start =
        format!("tokenizer (bytes {offset}..{}) is damaged: expected sha256 {digest}, found ", offset + 28);
    assert!(message.starts_with(&start), "{message}");
}

#[test]
fn names_are_those_of_files_within_a_folder_and_of_one_artifact_each() {
    let content = b"x";
    let length = |name: &str| named_artifact(160, 0, content, name).len() as u64;
    let file = |names: &[(u32, &str)]| {
        let size: u64 = names.iter().map(|(_, name)| length(name)).sum();
        let place = |(index, (number, name)): (usize, &(u32, &str))| {
            named_artifact(*number, size + index as u64, content, name)
        };
        let manifest: Vec<_> = names.iter().enumerate().flat_map(place).collect();
        open(&assembled(&manifest, &content.repeat(names.len())))
    };
    let good = file(&[(160, "a"), (160, "b/c.json"), (150, "d..e"), (100, "model.onnx")]).unwrap();
    let names: Vec<_> = good.manifest().artifacts.iter().map(Artifact::label).collect();
    assert_eq!(names, ["source `a`", "source `b/c.json`", "external_data `d..e`", "weights"]);
    let long = "x".repeat(5000);
    for name in ["", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a\\b", "a\0", &long] {
        let error = file(&[(160, name)]).unwrap_err();
        assert!(
            matches!(&error, Error::ArtifactName { name: found, .. } if *found == name[..name.len().min(4096)]),
            "{name}: {error}"
        );
    }
    assert!(matches!(file(&[(100, "../model.onnx")]), Err(Error::ArtifactName { .. })));
    for (first, second) in [(160, 160), (150, 160), (100, 150)] {
        let error = file(&[(first, "same"), (second, "same")]).unwrap_err();
        assert!(matches!(error, Error::ArtifactName { .. }), "{error}");
    }
}
