//! The files. The benchmark `hostile` measures the same ones.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use encoderfile_format::{ArtifactKind, Error, MANIFEST_LIMIT};

use crate::protobuf::{bytes, fixed64, integer};
use crate::sample::{BASE, assembled, footer, raw_artifact};

/// A file that was made to do harm.
pub(crate) struct Hostile {
    pub(crate) name: &'static str,
    /// The first of its bytes, made when they are needed: all files together are large.
    content: Box<dyn Fn() -> Vec<u8>>,
    /// Where it ends, and in what. What is between is not even on the disk.
    end: Option<(u64, Vec<u8>)>,
    pub(crate) is_expected: fn(&Error) -> bool,
}

impl Hostile {
    pub(crate) fn write_to(&self, file: &File) {
        file.write_all_at(&(self.content)(), 0).unwrap();
        if let Some((offset, bytes)) = &self.end {
            file.write_all_at(bytes, *offset).unwrap();
        }
    }
}

const SHA256: [u8; 32] = [0; 32];
const TIB: u64 = 1 << 40;
/// As many bytes as the largest manifest may have.
const FULL: usize = 16 << 20;

fn whole(name: &'static str, content: Vec<u8>, is_expected: fn(&Error) -> bool) -> Hostile {
    Hostile { name, content: Box::new(move || content.clone()), end: None, is_expected }
}

/// A file whose manifest is made when it is needed.
fn made(
    name: &'static str,
    manifest: impl Fn() -> Vec<u8> + 'static,
    is_expected: fn(&Error) -> bool,
) -> Hostile {
    let content = Box::new(move || assembled(&manifest(), &[0]));
    Hostile { name, content, end: None, is_expected }
}

/// A manifest that is as large as one may be, of the same bytes again and again.
fn full(name: &'static str, field: Vec<u8>, is_expected: fn(&Error) -> bool) -> Hostile {
    made(name, move || field.repeat(FULL / field.len()), is_expected)
}

/// One message that fills the manifest, of the same bytes again and again.
fn filled(name: &'static str, number: u32, field: Vec<u8>, is_expected: fn(&Error) -> bool) -> Hostile {
    made(name, move || bytes(number, &field.repeat((FULL - 16) / field.len())), is_expected)
}

/// One artifact of 100 bytes of room, which starts with the room.
fn placed(
    name: &'static str,
    offset: impl FnOnce(u64) -> u64,
    length: u64,
    is_expected: fn(&Error) -> bool,
) -> Hostile {
    let size = raw_artifact(100, 0, 0, &SHA256).len() as u64;
    let manifest = raw_artifact(100, offset(size), length, &SHA256);
    whole(name, assembled(&manifest, &[0; 100]), is_expected)
}

fn is_manifest_range(error: &Error) -> bool {
    matches!(error, Error::ManifestRange { .. })
}

fn is_manifest_size(error: &Error) -> bool {
    matches!(error, Error::ManifestSize { .. })
}

fn is_artifact_range(error: &Error) -> bool {
    matches!(error, Error::ArtifactRange { kind: ArtifactKind::Weights, .. })
}

fn is_too_many(error: &Error) -> bool {
    matches!(error, Error::ManifestFields { limit: 4096, .. })
}

fn is_too_many_within(error: &Error) -> bool {
    matches!(error, Error::MessageFields { limit: 64, .. })
}

/// Every way to lie about places and sizes, and every way to make much of little.
pub(crate) fn files() -> Vec<Hostile> {
    let mut files = footers();
    files.extend(places());
    files.extend(manifests());
    files
}

fn footers() -> Vec<Hostile> {
    let only = |offset, length| [BASE, &footer(offset, length)].concat();
    let end = BASE.len() as u64;
    let sparse = |name, length| Hostile {
        name,
        content: Box::new(Vec::new),
        end: Some((2 * length, footer(0, length))),
        is_expected: is_manifest_size,
    };
    vec![
        whole("manifest offset that overflows", only(u64::MAX, 8), is_manifest_range),
        whole("manifest offset of 2^63", only(1 << 63, 8), is_manifest_range),
        whole("manifest that reaches into the footer", only(end - 1, 2), is_manifest_range),
        whole("manifest behind the footer", only(end + 32, 0), is_manifest_range),
        whole("manifest length of 2^63", only(0, 1 << 63), is_manifest_size),
        whole("manifest length of 2^64 - 1", only(end, u64::MAX), is_manifest_size),
        sparse("manifest of 1 GiB, all there", 1 << 30),
        sparse("manifest of 1 TiB, all there", TIB),
        Hostile {
            name: "manifest of 16 MiB that nobody wrote",
            content: Box::new(Vec::new),
            end: Some((MANIFEST_LIMIT, footer(0, MANIFEST_LIMIT))),
            is_expected: |error| matches!(error, Error::ManifestWire { .. }),
        },
    ]
}

fn places() -> Vec<Hostile> {
    let size = 2 * raw_artifact(100, 0, 0, &SHA256).len() as u64;
    let overlapping =
        [raw_artifact(100, size, 60, &SHA256), raw_artifact(130, size + 59, 41, &SHA256)].concat();
    vec![
        placed("artifact offset that overflows", |_| u64::MAX, 1, is_artifact_range),
        placed("artifact end that overflows", |size| size, u64::MAX, is_artifact_range),
        placed("artifact offset that wraps into the base", |_| u64::MAX - 12, 13, is_artifact_range),
        placed("artifact within the manifest", |_| 0, 8, is_artifact_range),
        placed("artifact that starts in the manifest", |size| size - 1, 8, is_artifact_range),
        placed("artifact that reaches into the footer", |size| size, 101, is_artifact_range),
        placed("artifact within the footer", |size| size + 100, 32, is_artifact_range),
        placed("artifact behind the file", |size| size + 132, 0, is_artifact_range),
        placed("artifact length of 2^63", |size| size, 1 << 63, is_artifact_range),
        placed("artifact offset of 2^63", |_| 1 << 63, 1, is_artifact_range),
        whole("artifacts that overlap", assembled(&overlapping, &[0; 100]), |error| {
            matches!(error, Error::ArtifactOverlap { .. })
        }),
    ]
}

fn manifests() -> Vec<Hostile> {
    let different = (0..10_000).flat_map(|index| raw_artifact(20_000 + index, 0, 0, &SHA256));
    // Nobody has to follow them.
    let deep = (0..1000).fold(Vec::new(), |message, _| bytes(1, &message));
    vec![
        whole("10,000 artifacts", assembled(&different.collect::<Vec<_>>(), &[]), is_too_many),
        whole(
            "10,000 artifacts of one field",
            assembled(&raw_artifact(160, 0, 0, &SHA256).repeat(10_000), &[]),
            is_too_many,
        ),
        full("16 MiB of empty source files", bytes(7, b""), is_too_many),
        full("16 MiB of empty prompts", bytes(8, b""), is_too_many),
        full("16 MiB of empty settings", bytes(10, b""), is_too_many),
        full("16 MiB of empty tokenizer edits", bytes(11, b""), is_too_many),
        full("16 MiB of empty external data", bytes(150, b""), is_too_many),
        full("16 MiB of empty sources", bytes(160, b""), is_too_many),
        full("16 MiB of empty weights, to be merged", bytes(100, b""), is_too_many),
        full("16 MiB of names, of which the last counts", bytes(2, b""), is_too_many),
        full("16 MiB of unknown integers", integer(46, 0), is_too_many),
        full("16 MiB of unknown artifacts", bytes(2000, b""), is_too_many),
        filled("16 MiB of packed pooling modes", 6, bytes(1, &[3; 64]), is_too_many),
        filled("16 MiB of pooling modes", 6, integer(1, 3), is_too_many),
        filled("16 MiB of names in a base", 4, bytes(1, b""), is_too_many_within),
        filled("16 MiB of names in an artifact", 100, bytes(4, b""), is_too_many_within),
        filled("16 MiB of offsets in an artifact", 160, fixed64(1, 1), is_too_many_within),
        filled("16 MiB of unknown fields in a setting", 10, integer(9, 0), is_too_many_within),
        filled("16 MiB of groups in a prompt", 8, vec![0x0b], |error| {
            matches!(error, Error::ManifestWire { .. })
        }),
        made(
            "an artifact with a name of 16 MiB",
            || long_name(100),
            |error| matches!(error, Error::ArtifactName { name, .. } if name.len() == 4096),
        ),
        made(
            "an unknown artifact with a name of 16 MiB",
            || long_name(2000),
            |error| matches!(error, Error::ArtifactName { name, .. } if name.len() == 4096),
        ),
        made(
            "a source file without a digest and with a name of 16 MiB",
            || long_name(7),
            |error| matches!(error, Error::DigestLength { of, .. } if of.len() == 4096),
        ),
        whole("messages within messages, a thousand deep", assembled(&bytes(4, &deep), &[]), |error| {
            matches!(error, Error::ManifestDecode { .. })
        }),
    ]
}

/// A manifest whose only artifact or source file has a name that fills the manifest.
fn long_name(number: u32) -> Vec<u8> {
    let name = vec![b'x'; FULL - 200];
    let manifest = |offset| {
        let place = [fixed64(1, offset), fixed64(2, 1), bytes(3, &SHA256), bytes(4, &name)].concat();
        bytes(number, &if number == 7 { bytes(1, &name) } else { place })
    };
    manifest(manifest(0).len() as u64)
}
