//! Executables that linkers made: `tools/mach_o.py` makes them, names their folder in `ENCODERFILE_MACH_O`, and looks with
//! other eyes at what is written here.

use std::fs;
use std::path::PathBuf;

use encoderfile_format::{ArtifactKind, Encoderfile, Finding, MachOError, verify_code_signature};
use encoderfile_testing::mach_o::violations;

use super::{Scene, refusal};

#[expect(clippy::print_stdout, reason = "who runs the tests is told that these do nothing")]
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("ENCODERFILE_MACH_O");
    if folder.is_none() {
        println!("skipped: `python3 tools/mach_o.py` makes executables, and sets ENCODERFILE_MACH_O");
    }
    folder.map(PathBuf::from)
}

#[test]
fn a_model_is_put_into_what_linkers_make() {
    let Some(folder) = folder() else { return };
    let written = folder.join("written");
    fs::create_dir_all(&written).unwrap();
    let mut count = 0;
    for entry in fs::read_dir(folder.join("good")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let scene = Scene::of(fs::read(&path).unwrap());
        for length in [0, 1, 0x4000 - 1, 0x4000, 5_000_000] {
            let weights: Vec<u8> = (0_u32..length).map(|index| (index % 253) as u8).collect();
            let bytes = scene.written(&weights);
            scene.assert_good(&bytes, &weights);
            fs::write(written.join(format!("{name}-{length}")), bytes).unwrap();
        }
        count += 1;
    }
    assert!(count >= 2, "for both processors");
}

#[test]
fn what_linkers_make_otherwise_is_refused() {
    let Some(folder) = folder() else { return };
    let read = |name: &str| fs::read(folder.join("refused").join(name)).unwrap();
    let error = refusal(read("no-room"));
    assert!(matches!(error, MachOError::Room { .. }), "{error:?}");
    let error = refusal(read("fat"));
    assert!(matches!(error, MachOError::NotThin64 { is_fat: true }), "{error:?}");
}

/// What other programs signed again, where there are such.
#[test]
fn what_was_signed_again_is_read() {
    let Some(folder) = folder() else { return };
    for entry in fs::read_dir(folder.join("signed")).into_iter().flatten() {
        let path = entry.unwrap().path();
        let file = Encoderfile::open(fs::File::open(&path).unwrap()).unwrap();
        verify_code_signature(file.file()).unwrap();
        let findings = file.verify().unwrap();
        assert!(!findings.iter().any(Finding::is_damage), "{}: {findings:?}", path.display());
        assert_eq!(file.read(ArtifactKind::Weights).unwrap().len(), 5_000_000);
        assert_eq!(violations(&fs::read(&path).unwrap()), [""; 0], "{}", path.display());
    }
}
