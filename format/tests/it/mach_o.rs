//! Models inside of Mach-O executables, which are signed anew.

mod real;

use std::fs::{self, File};
use std::path::Path;

use encoderfile_format::{
    ArtifactKind, Base, BaseError, Content, Digest, Draft, Encoderfile, Error, Finding, Footer, MachOError,
    Outcome, Part, Payload, Stamp, Subject, WriteError, check_mach_o_base, header_room, inspect_base,
    is_image_followed, verify_code_signature, write,
};
use encoderfile_testing::mach_o::{
    Fixups, MachO, Processor, SignatureOptions, sign_again, tables, violations,
};
use proptest::prelude::*;

use crate::protobuf;
use crate::sample::{assembled, base, create, open, payload};

const PROCESSORS: [Processor; 2] = [Processor::Arm64, Processor::X86_64];
const FIXUPS: [Fixups; 3] = [Fixups::Info, Fixups::ChainedWithRoom, Fixups::ChainedWithoutRoom];

fn every_kind() -> impl Iterator<Item = MachO> {
    let signatures = [None, Some(SignatureOptions::default())];
    let kinds =
        PROCESSORS.into_iter().flat_map(|processor| FIXUPS.map(|fixups| MachO::new(processor, fixups)));
    let kinds = kinds
        .flat_map(|image| [false, true].map(|has_every_table| MachO { has_every_table, ..image.clone() }));
    kinds.flat_map(move |image| signatures.clone().map(|signature| MachO { signature, ..image.clone() }))
}

/// A file with the weights given, and the base binary that it was made of.
struct Scene {
    folder: tempfile::TempDir,
    original: Vec<u8>,
}

impl Scene {
    fn new(image: &MachO) -> Self {
        Self::of(image.build())
    }

    fn of(original: Vec<u8>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        create(&folder.path().join("base"), &original);
        Self { folder, original }
    }

    fn write(&self, payload: &Payload) -> Result<Draft, WriteError> {
        let path = self.folder.path().join("base");
        let file = File::open(&path).unwrap();
        let base = Base { target: "aarch64-apple-darwin".to_owned(), ..base(&path, &file) };
        write(&base, payload, &self.folder.path().join("out"))
    }

    fn written(&self, weights: &[u8]) -> Vec<u8> {
        let parts: &[(ArtifactKind, &[u8])] = &[(ArtifactKind::Weights, weights)];
        let draft = self.write(&payload(if weights.is_empty() { &[] } else { parts })).unwrap();
        fs::read(draft.path()).unwrap()
    }

    fn file(&self, bytes: &[u8]) -> File {
        create(&self.folder.path().join("file"), bytes)
    }

    fn open(&self, bytes: &[u8]) -> Result<Encoderfile, Error> {
        Encoderfile::open(self.file(bytes))
    }

    /// Checks that the file is what it should be in every respect.
    #[track_caller]
    fn assert_good(&self, bytes: &[u8], weights: &[u8]) {
        assert_eq!(violations(bytes), [""; 0]);
        assert!(tables(bytes) == tables(&self.original), "what load commands point to is the same");
        let file = self.open(bytes).unwrap();
        let signature = verify_code_signature(file.file()).unwrap();
        assert!(signature.is_ad_hoc());
        assert!(!is_image_followed(file.file()));
        if !weights.is_empty() {
            assert_eq!(file.read(ArtifactKind::Weights).unwrap(), weights);
            assert_eq!(file.artifact(ArtifactKind::Weights).unwrap().offset % 65536, 0);
        }
        let findings = file.verify().unwrap();
        assert!(findings.iter().all(|finding| !finding.is_damage()), "{findings:?}");
        let signed = findings.iter().find(|finding| finding.subject == Subject::CodeSignature).unwrap();
        assert_eq!(signed.outcome, Outcome::Signed { has_identity: false });
        assert_eq!(signed.length, signature.offset);
        let segment = file.segment().unwrap();
        assert_eq!(file.footer().manifest_offset, segment.start);
        assert_eq!((segment.end - segment.start) % 0x4000, 0);
        assert_eq!(bytes[bytes.len() - 32..], file.footer().encode());
        let inner = usize::try_from(segment.end).unwrap();
        assert_eq!(bytes[inner - 32..inner], file.footer().encode());
        assert!(bytes.len().is_multiple_of(16));

        assert_eq!(file.base_length(), self.original.len() as u64);
        assert_eq!(file.manifest().base.as_ref().unwrap().sha256, Digest::of(&self.original));
        let restored = self.folder.path().join("restored");
        file.extract_base(&restored).unwrap();
        assert!(fs::read(restored).unwrap() == self.original, "the base binary is given back");
    }
}

#[test]
fn the_images_of_these_tests_keep_the_rules() {
    for image in every_kind().filter(|image| image.signature.is_some()) {
        assert_eq!(violations(&image.build()), [""; 0], "{image:?}");
    }
}

#[test]
fn a_model_of_any_length_is_put_into_any_kind() {
    for image in every_kind() {
        let scene = Scene::new(&image);
        for length in [0, 1, 0x4000 - 1, 0x4000, 0x4000 + 1, 65536, 300_000] {
            let weights: Vec<u8> = (0_u32..length).map(|index| (index % 251) as u8).collect();
            let bytes = scene.written(&weights);
            scene.assert_good(&bytes, &weights);
        }
    }
}

#[test]
fn a_model_of_megabytes_is_signed_while_it_is_copied() {
    let weights = vec![0x5a; 5_000_000];
    for processor in PROCESSORS {
        let scene = Scene::new(&MachO::new(processor, Fixups::ChainedWithoutRoom));
        scene.assert_good(&scene.written(&weights), &weights);
    }
}

#[test]
fn equal_inputs_give_equal_bytes() {
    let scene = Scene::new(&MachO::new(Processor::X86_64, Fixups::Info));
    assert!(scene.written(b"weights") == scene.written(b"weights"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_payload_may_have_any_length(
        weights in prop::collection::vec(any::<u8>(), 1..100_000),
        pad in 88_usize..0x800,
        content in 0_usize..70_000,
        is_arm: bool,
        fixups in 0_usize..3,
        is_signed: bool,
        page_shift in 12_u8..15,
    ) {
        let image = MachO {
            header_pad: pad.next_multiple_of(8),
            content: vec![b'c'; content],
            signature: is_signed.then(|| SignatureOptions { page_shift, ..SignatureOptions::default() }),
            ..MachO::new(PROCESSORS[usize::from(is_arm)], FIXUPS[fixups])
        };
        let scene = Scene::new(&image);
        scene.assert_good(&scene.written(&weights), &weights);
    }
}

/// Every byte before the signature, in steps that meet header, code, manifest, weights, both footers and tables.
#[test]
fn one_changed_byte_is_found_wherever_it_is() {
    let scene = Scene::new(&MachO::new(Processor::Arm64, Fixups::ChainedWithoutRoom));
    let bytes = scene.written(&[7; 1000]);
    let signature = verify_code_signature(&scene.file(&bytes)).unwrap();
    let end = usize::try_from(signature.offset).unwrap();
    let is_found = |position: usize| {
        let mut changed = bytes.clone();
        changed[position] ^= 0x10;
        let is_signed = position < end;
        assert_eq!(verify_code_signature(&scene.file(&changed)).is_err(), is_signed, "byte {position}");
        match scene.open(&changed) {
            Err(error) => !matches!(error, Error::Read { .. }),
            Ok(file) => file.verify().unwrap().iter().any(Finding::is_damage),
        }
    };
    for position in (0..2048).step_by(8).chain((0..end).step_by(997)).chain(end - 600..end) {
        assert!(is_found(position), "byte {position}");
    }
    // The footer behind the signature is not signed, and has to be the same.
    assert!(is_found(bytes.len() - 10));
}

#[test]
fn the_signed_footer_counts() {
    let scene = Scene::new(&MachO::new(Processor::Arm64, Fixups::Info));
    let bytes = scene.written(b"weights");
    // A program that signed it again needed the room.
    let mut other = bytes.clone();
    let end = other.len();
    other[end - 32..].fill(0);
    assert_eq!(scene.open(&other).unwrap().read(ArtifactKind::Weights).unwrap(), b"weights");
    assert!(verify_code_signature(&scene.file(&other)).is_ok());

    other[end - 32..].copy_from_slice(&bytes[end - 32..]);
    other[end - 20] ^= 1;
    assert!(matches!(scene.open(&other), Err(Error::Footers { .. })));

    let segment = scene.open(&bytes).unwrap().segment().unwrap();
    let mut other = bytes.clone();
    other[usize::try_from(segment.end).unwrap() - 32] = b'X';
    assert!(matches!(scene.open(&other), Err(Error::SegmentFooter { .. })));
    // A signature that holds, of what comes before the model.
    let command = bytes.windows(8).position(|window| window == [0x1d, 0, 0, 0, 16, 0, 0, 0]).unwrap();
    let mut other = bytes.clone();
    other[command + 8..command + 12].copy_from_slice(&u32::try_from(segment.start).unwrap().to_le_bytes());
    assert!(matches!(scene.open(&other), Err(Error::SegmentNotSigned { .. })));
    let cut = &bytes[..usize::try_from(segment.end).unwrap() - 1];
    assert!(matches!(scene.open(cut), Err(Error::Segment { .. })));
    let cut = &bytes[..bytes.len() - 1];
    let file = scene.open(cut).unwrap();
    assert!(file.verify().unwrap().iter().any(Finding::is_damage));
}

#[test]
fn data_behind_the_signature_is_found() {
    let scene = Scene::new(&MachO::new(Processor::Arm64, Fixups::Info));
    let mut bytes = scene.written(b"weights");
    bytes.extend(b"appended");
    assert!(is_image_followed(&scene.file(&bytes)));
    let findings = scene.open(&bytes).unwrap().verify().unwrap();
    assert!(findings.iter().any(|finding| matches!(&finding.outcome, Outcome::NotSigned { reason } if reason.contains("ends at byte"))), "{findings:?}");
}

#[test]
fn changes_that_are_not_those_of_the_base_binary_are_refused() {
    let scene = Scene::new(&MachO::new(Processor::Arm64, Fixups::Info));
    let bytes = scene.written(b"weights");
    let mut other = bytes.clone();
    let name = other.windows(9).position(|window| window == b"__ENCFILE").unwrap();
    other[name] = b'x';
    assert!(matches!(scene.open(&other), Err(Error::BaseEdits { .. })));

    // Where nothing was changed, there is nothing to undo, not even no bytes.
    let base = |edits: &[u8]| {
        let fields = [protobuf::bytes(1, b"x"), protobuf::bytes(3, &[0; 32]), edits.to_vec()];
        protobuf::bytes(4, &fields.concat())
    };
    assert!(open(&assembled(&base(b""), b"")).is_ok());
    let error = open(&assembled(&base(&protobuf::bytes(5, b"")), b"")).unwrap_err();
    assert!(matches!(error, Error::BaseEdits { .. }), "{error:?}");
}

#[test]
fn a_base_binary_with_a_model_takes_no_second_one() {
    let stamp = stamp("aarch64-apple-darwin");
    let image = MachO { content: stamp.encode(), ..MachO::new(Processor::Arm64, Fixups::ChainedWithRoom) };
    let scene = Scene::new(&image);
    assert_eq!(inspect_base(&scene.file(&scene.original)).unwrap().stamp, stamp);
    let bytes = scene.written(b"weights");
    assert!(matches!(inspect_base(&scene.file(&bytes)), Err(BaseError::HasPayload)));
    let error = Scene::of(bytes).write(&payload(&[])).unwrap_err();
    assert!(matches!(error, WriteError::MachO { source: MachOError::HasModel, .. }), "{error:?}");
}

fn stamp(target: &str) -> Stamp {
    Stamp {
        version: "0.1.0".to_owned(),
        target: target.to_owned(),
        format_versions: vec![1],
        onnxruntime_version: "1.23.2".to_owned(),
    }
}

#[test]
fn a_base_binary_that_takes_no_model_is_not_one() {
    let stamped = |target| MachO {
        content: stamp(target).encode(),
        ..MachO::new(Processor::Arm64, Fixups::ChainedWithRoom)
    };
    let good = stamped("aarch64-apple-darwin");
    let inspect = |bytes: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        inspect_base(&create(&folder.path().join("base"), bytes))
    };
    assert!(inspect(&good.build()).is_ok());
    let error = inspect(&MachO { header_pad: 64, ..good.clone() }.build()).unwrap_err();
    assert!(matches!(error, BaseError::MachO(MachOError::Room { found: 64, needed: 72 })), "{error:?}");
    for target in ["aarch64-apple-ios", "x86_64-apple-darwin", "aarch64-unknown-linux-gnu"] {
        let error = inspect(&stamped(target).build()).unwrap_err();
        assert!(matches!(error, BaseError::StampMismatch { .. }), "{error:?}");
    }
    let error = inspect(&[good.build(), vec![0; 16]].concat()).unwrap_err();
    assert!(matches!(error, BaseError::CutOff), "{error:?}");
    let mut short = good.build();
    short.truncate(short.len() - 1);
    let error = inspect(&short).unwrap_err();
    assert!(matches!(error, BaseError::MachO(MachOError::Segments { .. })), "{error:?}");

    let words = |words: [u32; 2]| [&words.map(u32::to_be_bytes).concat(), &good.build()[..]].concat();
    let error = inspect(&words([0xcafe_babe, 2])).unwrap_err();
    assert!(matches!(error, BaseError::MachO(MachOError::NotThin64 { is_fat: true })), "{error:?}");
    let class_file_of_java = words([0xcafe_babe, 61]);
    assert!(matches!(inspect(&class_file_of_java), Err(BaseError::NotExecutable)));
}

/// As encoderfile 0.7 writes it for any system.
#[test]
fn a_model_behind_the_signature_is_read_and_spoken_of() {
    let image = MachO::new(Processor::Arm64, Fixups::Info).build();
    let scene = Scene::of(image.clone());
    let elf = Scene::of(vec![b'x'; image.len()]);
    let mut bytes = elf.written(b"weights");
    bytes[..image.len()].copy_from_slice(&image);
    let file = scene.open(&bytes).unwrap();
    assert!(file.is_behind_code_signature());
    assert_eq!(file.read(ArtifactKind::Weights).unwrap(), b"weights");
    let findings = file.verify().unwrap();
    let signature = findings.iter().find(|finding| finding.subject == Subject::CodeSignature).unwrap();
    assert_eq!(signature.outcome, Outcome::NotSignedFor);
    assert_eq!(signature.offset..signature.offset + signature.length, image.len() as u64..bytes.len() as u64);
    assert!(!signature.is_damage());

    assert!(!elf.open(&elf.written(b"weights")).unwrap().is_behind_code_signature());
    let within = scene.written(b"weights");
    assert!(!scene.open(&within).unwrap().is_behind_code_signature());
}

/// Nobody knows whether there is a segment, and the footer at the end is not signed.
#[test]
fn the_footer_at_the_end_is_not_trusted_where_the_header_is_damaged() {
    let scene = Scene::new(&MachO::new(Processor::Arm64, Fixups::Info));
    let mut bytes = scene.written(b"weights");
    bytes[36] ^= 4;
    let error = scene.open(&bytes).unwrap_err();
    assert!(matches!(error, Error::MachO(MachOError::Commands { .. })), "{error:?}");
    assert!(error.is_damage());
}

/// The parts of a signature, as its directory and its index say.
#[test]
fn every_part_of_a_signature_is_covered() {
    let signed = |entitlements: Vec<u8>| {
        let signature = SignatureOptions { parts: vec![(5, entitlements)], ..SignatureOptions::default() };
        MachO { signature: Some(signature), ..MachO::new(Processor::Arm64, Fixups::Info) }.build()
    };
    let image = signed(b"something".to_vec());
    let scene = Scene::of(image.clone());
    let start = usize::try_from(verify_code_signature(&scene.file(&image)).unwrap().offset).unwrap();
    let word = |at: usize| u32::from_be_bytes(image[at..at + 4].try_into().unwrap());
    // Index entries: slot and start, of the directory and of the entitlements.
    let (slot, place) = (start + 20, start + 24);
    let (directory, entitlements) = (start + word(start + 16) as usize, start + word(place) as usize);
    assert_eq!((word(slot), word(directory + 24)), (5, 5));
    let verify = |image: &[u8], changes: &[(usize, u32)]| {
        let mut image = image.to_vec();
        for &(at, word) in changes {
            image[at..at + 4].copy_from_slice(&word.to_be_bytes());
        }
        verify_code_signature(&scene.file(&image))
    };
    let error = |changes: &[(usize, u32)]| format!("{:?}", verify(&image, changes).unwrap_err());
    assert!(verify(&image, &[]).unwrap().has_entitlements);
    assert!(error(&[(entitlements + 8, 0)]).starts_with("Slot { slot: 5"));
    assert_eq!(error(&[(directory + 24, 4)]), "NotCovered { slot: 5 }");
    assert_eq!(error(&[(slot, 7)]), "NotCovered { slot: 7 }");
    assert_eq!(error(&[(slot, 0xfff)]), "NotCovered { slot: 4095 }");
    assert_eq!(error(&[(slot, 0x1006)]), "NotCovered { slot: 4102 }");
    assert!(error(&[(directory + 44, 88)]).contains("one behind the other"));
    assert!(error(&[(slot, 0x10001)]).starts_with("Lost { slot: 5"));
    assert!(error(&[(directory + 24, 65)]).contains("more parts"));
    assert_eq!(error(&[(directory + 36, 0x2004_000c)]), "OtherDigests { kind: 4 }");
    assert_eq!(error(&[(directory + 36, 0x2001_000c)]), "NoSha256");
    assert!(error(&[(place, word(place) - 4)]).contains("reaches beyond"));
    assert!(error(&[(place, 20)]).contains("lies outside"));
    assert!(error(&[(place, word(start + 16))]).contains("share bytes"));

    // Another directory, which the system may prefer.
    let length = word(directory + 4) as usize;
    let image = signed(image[directory + 8..directory + length].to_vec());
    let other = start + u32::from_be_bytes(image[place..place + 4].try_into().unwrap()) as usize;
    let error = verify(&image, &[(slot, 0x1000), (other, 0xfade_0c02)]).unwrap_err();
    assert!(error.to_string().contains("second directory"), "{error}");
}

/// As `codesign` does it, whose signature takes the footer's room.
#[test]
fn a_file_that_was_signed_again_is_what_it_was() {
    for image in every_kind() {
        let scene = Scene::new(&image);
        let weights = vec![7; 70_000];
        let bytes = scene.written(&weights);
        let identity = |length| SignatureOptions {
            flags: 0x10000,
            identifier: "org.example.model".to_owned(),
            parts: vec![(2, vec![1; 60]), (5, b"entitlements".to_vec())],
            identity: Some(vec![9; length]),
            ..SignatureOptions::default()
        };
        let signed = sign_again(&bytes, &identity(9000));
        let check = |signed: &[u8]| {
            assert_eq!(violations(signed), [""; 0]);
            assert_ne!(signed[signed.len() - 32..], bytes[bytes.len() - 32..], "the footer is gone");
            let file = scene.open(signed).unwrap();
            assert_eq!(file.read(ArtifactKind::Weights).unwrap(), weights);
            let findings = file.verify().unwrap();
            assert!(findings.iter().all(|finding| !finding.is_damage()), "{findings:?}");
            let outcome = Outcome::Signed { has_identity: true };
            assert!(findings.iter().any(|finding| finding.outcome == outcome), "{findings:?}");
            let restored = scene.folder.path().join("restored");
            file.extract_base(&restored).unwrap();
            assert!(fs::read(restored).unwrap() == scene.original);
        };
        check(&signed);
        let shorter = sign_again(&signed, &identity(8000));
        assert_eq!(shorter.len(), signed.len());
        check(&shorter);
        let file = scene.open(&shorter).unwrap();
        let moved = Payload::of(&file, Path::new("file"), payload(&[]).writer, false).unwrap();
        assert!(
            fs::read(scene.write(&moved).unwrap().path()).unwrap() == bytes,
            "and put back, it is the same file"
        );
    }
}

/// What `lipo` makes of two files: each counts from its own start.
#[test]
fn a_universal_file_is_no_damaged_one() {
    let mut bytes = [0xcafe_babe_u32, 2].map(u32::to_be_bytes).concat();
    for (processor, cpu) in [(Processor::X86_64, 0x0100_0007_u32), (Processor::Arm64, 0x0100_000c)] {
        let scene = Scene::new(&MachO::new(processor, Fixups::Info));
        let part = scene.written(b"weights");
        let entry = bytes.len();
        if entry == 8 {
            bytes.resize(0x4000, 0);
        } else {
            bytes.resize(bytes.len().next_multiple_of(0x4000), 0);
        }
        let place = [cpu, 0, u32::try_from(bytes.len()).unwrap(), u32::try_from(part.len()).unwrap(), 14];
        let at = if processor == Processor::X86_64 { 8 } else { 28 };
        bytes[at..at + 20].copy_from_slice(&place.map(u32::to_be_bytes).concat());
        bytes.extend(part);
    }
    let scene = Scene::of(bytes.clone());
    let error = scene.open(&bytes).unwrap_err();
    assert!(matches!(error, Error::Universal), "{error:?}");
    assert!(!error.is_damage());

    // Behind one, as encoderfile 0.7 puts it, a model is found.
    let elf = Scene::of(vec![b'x'; bytes.len()]);
    let mut behind = elf.written(b"weights");
    behind[..bytes.len()].copy_from_slice(&bytes);
    let file = scene.open(&behind).unwrap();
    assert!(file.is_behind_code_signature());
    assert_eq!(file.read(ArtifactKind::Weights).unwrap(), b"weights");
}

/// Between the segment's start and the manifest, nothing would vouch for the bytes.
#[test]
fn the_manifest_comes_first_in_the_segment() {
    let scene = Scene::new(&MachO::new(Processor::Arm64, Fixups::Info));
    let mut bytes = scene.written(b"weights");
    let footer = *scene.open(&bytes).unwrap().footer();
    let moved =
        Footer { manifest_offset: footer.manifest_offset + 64, manifest_length: footer.manifest_length - 64 };
    let end = bytes.len();
    let inner = usize::try_from(scene.open(&bytes).unwrap().segment().unwrap().end).unwrap();
    for place in [inner, end] {
        bytes[place - 32..place].copy_from_slice(&moved.encode());
    }
    let error = scene.open(&bytes).unwrap_err();
    assert!(matches!(error, Error::ManifestRange { .. }), "{error:?}");
}

#[test]
fn what_is_left_behind_the_signature_is_zero() {
    // A name whose length leaves something.
    let signature = SignatureOptions { identifier: "x".to_owned(), ..SignatureOptions::default() };
    let image = MachO { signature: Some(signature), ..MachO::new(Processor::Arm64, Fixups::Info) };
    let scene = Scene::new(&image);
    let bytes = scene.written(b"weights");
    let end = verify_code_signature(&scene.file(&bytes)).unwrap().end;
    assert!(end < bytes.len() as u64 - 32);
    // Whatever the signature says of where it ends.
    let mut longer = bytes.clone();
    let start = usize::try_from(verify_code_signature(&scene.file(&bytes)).unwrap().offset).unwrap();
    let room = u32::try_from(bytes.len() - start).unwrap();
    longer[start + 4..start + 8].copy_from_slice(&room.to_be_bytes());
    longer[usize::try_from(end).unwrap()] = 1;
    assert!(scene.open(&longer).unwrap().verify().unwrap().iter().any(Finding::is_damage));
    // What others have signed may leave anything there.
    let mut others = bytes.clone();
    let flags = others.windows(4).rposition(|window| window == [0, 2, 0, 2]).unwrap();
    others[flags..flags + 4].copy_from_slice(&[0, 0, 0, 2]);
    others[usize::try_from(end).unwrap()] = 1;
    assert!(!scene.open(&others).unwrap().verify().unwrap().iter().any(Finding::is_damage));
    for position in [usize::try_from(end).unwrap(), bytes.len() - 33] {
        let mut changed = bytes.clone();
        changed[position] = 1;
        let findings = scene.open(&changed).unwrap().verify().unwrap();
        let found = findings.iter().find(|finding| finding.is_damage()).unwrap();
        assert_eq!(found.subject, Subject::CodeSignature);
        assert_eq!(found.outcome, Outcome::NotZero { offset: position as u64 });
    }
}

#[track_caller]
fn refusal(image: Vec<u8>) -> MachOError {
    let scene = Scene::of(image);
    let error = scene.write(&payload(&[(ArtifactKind::Tokenizer, b"{}")])).unwrap_err();
    let names = fs::read_dir(scene.folder.path()).unwrap().count();
    assert_eq!(names, 1, "nothing is left behind");
    assert!(check_mach_o_base(&File::open(scene.folder.path().join("base")).unwrap()).is_err());
    match error {
        WriteError::MachO { path, source } => {
            assert_eq!(path, scene.folder.path().join("base"));
            source
        }
        error => panic!("{error:?}"),
    }
}

#[test]
fn an_image_without_room_is_refused() {
    for (signature, needed) in [(Some(SignatureOptions::default()), 72), (None, 88)] {
        let image = |header_pad| MachO {
            header_pad,
            signature: signature.clone(),
            ..MachO::new(Processor::Arm64, Fixups::ChainedWithRoom)
        };
        let error = refusal(image(needed - 8).build());
        let found = needed as u64 - 8;
        assert!(
            matches!(error, MachOError::Room { found: f, needed: n } if f == found && n == needed as u64),
            "{error:?}"
        );
        let scene = Scene::new(&image(needed));
        let room = header_room(&scene.file(&scene.original)).unwrap();
        assert_eq!((room.found, room.needed), (needed as u64, needed as u64));
        scene.assert_good(&scene.written(b"x"), b"x");
        // What is not zero is somebody's.
        let mut bytes = image(needed + 8).build();
        let end = 32 + u32::from_le_bytes(bytes[20..24].try_into().unwrap()) as usize;
        bytes[end + 3] = 1;
        assert!(matches!(refusal(bytes), MachOError::Room { found: 3, .. }));
    }
}

#[test]
fn a_signature_that_is_worth_more_is_not_replaced() {
    let signed = |options| {
        refusal(MachO { signature: Some(options), ..MachO::new(Processor::Arm64, Fixups::Info) }.build())
    };
    let usual = SignatureOptions::default;
    let part = |slot| SignatureOptions { parts: vec![(slot, b"something".to_vec())], ..usual() };
    for (options, expected) in [
        (SignatureOptions { identity: Some(b"somebody".to_vec()), ..usual() }, "identity"),
        (part(5), "entitlements"),
        (part(7), "entitlements"),
        (part(2), "requirements"),
        (part(8), "constraints"),
        (part(11), "constraints"),
        (SignatureOptions { flags: 0x10002, ..usual() }, "options"),
    ] {
        let error = signed(options);
        assert!(
            matches!(&error, MachOError::SignatureLost { why, .. } if why.contains(expected)),
            "{error:?}"
        );
    }
    // As `codesign` writes that there are none.
    let none = SignatureOptions { parts: vec![(2, vec![0; 4])], ..usual() };
    let scene = Scene::new(&MachO { signature: Some(none), ..MachO::new(Processor::Arm64, Fixups::Info) });
    scene.assert_good(&scene.written(b"weights"), b"weights");
}

#[test]
fn what_cannot_be_moved_is_refused() {
    let image = MachO::new(Processor::Arm64, Fixups::ChainedWithoutRoom).build();
    let with = |at: usize, word: u32| {
        let mut image = image.clone();
        image[at..at + 4].copy_from_slice(&word.to_le_bytes());
        refusal(image)
    };
    let command = |kind: u32| {
        let mut at = 32;
        while image[at..at + 4] != kind.to_le_bytes() {
            at += u32::from_le_bytes(image[at + 4..at + 8].try_into().unwrap()) as usize;
        }
        at
    };
    let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap());
    let is = |error: MachOError, expected: &str| {
        let found = format!("{error:?}");
        assert!(found.starts_with(expected), "{found}");
    };
    is(refusal([&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2], &image[8..]].concat()), "NotThin64 { is_fat: true }");
    is(with(0, 0xfeed_face), "NotThin64 { is_fat: false }");
    is(with(4, 7), "Architecture");
    is(with(12, 6), "NotExecutable");
    is(with(16, 3), "Commands");
    is(with(20, 8), "Commands");
    is(with(20, u32::MAX), "Commands");
    is(with(36, 12), "Commands");
    is(with(command(0x1b), 0x31), "UnknownCommand { kind: 49");
    is(with(command(0x26) + 8, 5), "Pointer");
    is(with(command(0x26) + 8, u32::MAX), "Pointer");
    is(with(command(0x1d) + 12, 0), "Signature");
    is(with(command(0x1d) + 8, 0x4000), "Signature");
    let fixups = command(0x8000_0034);
    let start = word(fixups + 8) as usize;
    is(with(start, 1), "Fixups");
    is(with(start + 4, u32::MAX), "Fixups");
    is(with(start + 4, 3), "Fixups");
    is(with(start + 32, u32::MAX), "Fixups");
    is(with(start + 32, 6), "Fixups");
    is(with(start + 32 + 4 * 5, 24), "Fixups");
    is(with(start + 32 + 4 * 3, 2), "Fixups");
    is(with(fixups + 12, 40), "Fixups");
    is(with(fixups + 12, u32::MAX), "Fixups");
    let mut longer = image.clone();
    longer.extend([0; 16]);
    is(refusal(longer.clone()), "Segments { what: \"`__LINKEDIT` does not end the file");
    // Where the load command of a segment stands.
    let segment = |name: &str| {
        let mut padded = name.as_bytes().to_vec();
        padded.resize(16, 0);
        image.windows(16).position(|window| window == padded).unwrap() - 8
    };
    let long = |at: usize| u64::from_le_bytes(image[at..at + 8].try_into().unwrap());
    let changed = |changes: &[(usize, u64)], mut image: Vec<u8>| {
        for (at, number) in changes {
            image[*at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        refusal(image)
    };
    let linkedit = segment("__LINKEDIT");
    let (start, size) = (linkedit + 40, linkedit + 48);
    is(changed(&[(size, long(size) + 16)], longer), "Segments { what: \"the code signature does not end");
    let unaligned = [(start, long(start) + 8), (size, long(size) - 8)];
    is(changed(&unaligned, image.clone()), "Segments { what: \"`__LINKEDIT` does not start with a page");
    let whole = [(start, 0), (size, image.len() as u64)];
    is(changed(&whole, image.clone()), "Segments { what: \"`__LINKEDIT` holds the header");
    let data = segment("__DATA");
    is(changed(&[(data + 40, 0)], image.clone()), "Segments { what: \"two of them share bytes");
    is(changed(&[(data + 24, 0)], image.clone()), "Segments { what: \"two of them share addresses");
    // The number of relocations of its only section.
    is(with(data + 72 + 60, 1), "Segments { what: \"a section has relocations");
    let mut nameless = image.clone();
    nameless[segment("__TEXT") + 8] = b'x';
    is(refusal(nameless), "Segments { what: \"there is no `__TEXT`");
    is(with(command(0x29), 0x1d), "Signature(Damaged { offset");
    is(with(command(0x8000_0033), 0x8000_0034), "Fixups { offset");
    let mut names = image.clone();
    let linkedit = names.windows(10).position(|window| window == b"__LINKEDIT").unwrap();
    names[linkedit] = b'x';
    is(refusal(names), "Segments");
    let mut twice = image.clone();
    twice[40..56].copy_from_slice(b"__LINKEDIT\0\0\0\0\0\0");
    is(refusal(twice), "Segments { what: \"two of them");
    assert_eq!(violations(&image), [""; 0], "the image itself is good");
}

#[test]
fn a_file_of_four_gigabytes_is_refused_before_it_is_written() {
    let scene = Scene::new(&MachO::new(Processor::Arm64, Fixups::Info));
    let path = scene.folder.path().join("weights");
    create(&path, b"");
    // One whose signature would start beyond that, one that would end beyond it, and one that could not be signed again.
    for length in [4 << 30, (4 << 30) - (6 << 20), (4 << 30) - (12 << 20)] {
        File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
        let content = Content::File { path: path.clone(), file: File::open(&path).unwrap() };
        let part = Part { kind: ArtifactKind::Weights, name: None, content };
        let error = scene.write(&Payload { parts: vec![part], ..payload(&[]) }).unwrap_err();
        let WriteError::MachO { source: MachOError::TooLarge { length: whole }, .. } = error else {
            panic!("{length}: {error:?}")
        };
        assert_eq!(whole > u64::from(u32::MAX), length > (4 << 30) - (8 << 20), "{whole}");
    }
}

#[test]
fn a_damaged_base_binary_is_not_given_back() {
    let scene = Scene::new(&MachO::new(Processor::Arm64, Fixups::Info));
    let mut bytes = scene.written(b"weights");
    bytes[0x2000] ^= 1;
    let output = scene.folder.path().join("restored");
    let error = scene.open(&bytes).unwrap().extract_base(&output).unwrap_err();
    assert!(matches!(error, WriteError::BaseDigest { .. }), "{error:?}");
    assert!(!Path::exists(&output));
}

/// A model moves from one container to the other, and back.
#[test]
fn a_model_is_put_on_another_base_binary() {
    let scene = Scene::new(&MachO::new(Processor::X86_64, Fixups::ChainedWithRoom));
    let bytes = scene.written(b"weights");
    let file = scene.open(&bytes).unwrap();
    let moved = Payload::of(&file, Path::new("file"), payload(&[]).writer, false).unwrap();
    let elf = Scene::of(b"another base binary".to_vec());
    let draft = elf.write(&moved).unwrap();
    let on_elf = draft.open().unwrap();
    assert!(on_elf.segment().is_none());
    assert!(on_elf.manifest().base.as_ref().unwrap().edits.is_empty());
    let moved = Payload::of(&on_elf, draft.path(), payload(&[]).writer, false).unwrap();
    let again = fs::read(scene.write(&moved).unwrap().path()).unwrap();
    assert!(again == bytes);
}
