//! Models whose tensors are in files of their own: see `testing/models/external_data`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use encoderfile_format::{ArtifactKind, Encoderfile, Payload};

use crate::assemble::{answer, assemble, assemble_with, assert_fails, run, text};
use crate::bad_file::flip_in;

const MODEL: &str = "external_data";
const TEXT: &str = "This is an example sentence.";

/// Names the model's files anew.
fn rename(payload: &mut Payload, name: impl Fn(&str) -> String) {
    for part in &mut payload.parts {
        part.name = part.name.take().map(|old| name(&old));
    }
}

/// A model in a folder of the model folder names its files from there.
#[test]
fn files_stand_beside_their_model() {
    let expected = assemble(MODEL).infer(&[TEXT])["results"].clone();
    for folder in ["onnx", "one/two"] {
        let file = assemble_with(MODEL, |payload| rename(payload, |name| format!("{folder}/{name}")));
        for weights in ["map", "copy"] {
            assert_eq!(file.infer(&["--weights", weights, TEXT])["results"], expected, "{folder} {weights}");
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let moved = |name: &str| match name {
        "model.onnx_data_1" => "onnx/model.onnx_data_1".to_owned(),
        other => other.to_owned(),
    };
    for file in [
        assemble_with(MODEL, |payload| {
            payload.parts.retain(|part| part.name.as_deref() != Some("model.onnx_data_1"));
        }),
        assemble_with(MODEL, |payload| rename(payload, moved)),
    ] {
        // A file of that name in the working directory is not meant.
        file.write("model.onnx_data_1", &[0; 8192]);
        for weights in ["auto", "map", "copy"] {
            let mut command = file.command();
            command.current_dir(file.directory.path()).args(["infer", "--weights", weights, TEXT]);
            assert_fails(
                &run(&mut command),
                1,
                &format!(
                    "error: `{}`: its weights cannot be used\n  \
                     cause: its tensors are in another file, `model.onnx_data_1`, which is not part of this one\n",
                    file.path.display()
                ),
            );
        }
    }
}

/// Files of the same names lie in the working directory and beside the executable, full of other numbers.
#[test]
fn files_on_disk_are_not_the_ones_that_are_meant() {
    let file = assemble(MODEL);
    let expected = file.infer(&[TEXT]);
    for name in ["model.onnx_data", "model.onnx_data_1", "external_data"] {
        file.write(name, &vec![0x3f; 1 << 18]);
    }
    for weights in ["map", "copy"] {
        let mut command = file.command();
        command.current_dir(file.directory.path()).args(["infer", "--weights", weights, TEXT]);
        assert_eq!(answer(&run(&mut command)), expected, "{weights}");
    }
}

#[test]
fn a_file_that_is_too_short_is_an_error() {
    let file = assemble_with(MODEL, |payload| {
        let is_cut = |name: &Option<String>| name.as_deref() == Some("model.onnx_data_1");
        let part = payload.parts.iter_mut().find(|part| is_cut(&part.name)).unwrap();
        part.content = encoderfile_format::Content::Bytes(vec![0; 8191]);
    });
    for weights in ["auto", "copy"] {
        let output = run(file.command().args(["infer", "--weights", weights, TEXT]));
        assert_eq!(output.status.code(), Some(1));
        let expected = "needs 8192 bytes from byte 0 on of the file `model.onnx_data_1`, which has 8191\n";
        assert!(text(&output.stderr).contains(expected), "{weights}: {}", text(&output.stderr));
    }
}

#[test]
fn damage_is_found_when_asked_for_or_copied() {
    let file = assemble(MODEL);
    flip_in(&file, "model.onnx_data_1", 8000);
    for arguments in [["--verify", TEXT], ["--weights=copy", TEXT]] {
        let output = run(file.command().arg("infer").args(arguments));
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {}", text(&output.stderr));
        let start = format!(
            "error: `{}`: cannot read its external_data `model.onnx_data_1`\n  cause: ",
            file.path.display()
        );
        assert!(text(&output.stderr).starts_with(&start), "{}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
    // Neither is the whole of a mapped file read at every start.
    assert!(run(file.command().args(["infer", TEXT])).status.success());
}

/// ONNX Runtime takes paths as UTF-8 only, so this file's weights are copied, verified.
#[test]
fn under_a_name_that_is_not_utf_8() {
    let file = assemble(MODEL);
    let expected = file.infer(&[TEXT]);
    let path = file.directory.path().join(OsStr::from_bytes(b"caf\xe9"));
    fs::rename(&file.path, &path).unwrap();
    assert_eq!(answer(&run(Command::new(&path).args(["infer", TEXT]))), expected);
    fs::rename(&path, &file.path).unwrap();
    flip_in(&file, "model.onnx_data", 100_000);
    fs::rename(&file.path, &path).unwrap();
    assert_eq!(run(Command::new(&path).args(["infer", TEXT])).status.code(), Some(4));
}

#[cfg(target_os = "linux")]
#[test]
fn deleted_before_its_tensors_are_mapped() {
    let file = assemble(MODEL);
    let expected = file.infer(&[TEXT]);
    assert_eq!(answer(&crate::placement::run_nameless(&file, "", None)), expected);
}

#[cfg(target_os = "linux")]
#[test]
fn tensors_are_mapped_from_the_file() {
    let file = assemble(MODEL);
    let opened = Encoderfile::open(fs::File::open(&file.path).unwrap()).unwrap();
    let artifacts: Vec<_> = opened.manifest().artifacts_of(ArtifactKind::ExternalData).collect();
    assert_eq!(artifacts.len(), 2);
    let is_mapped = |weights: &str| {
        let mapped = crate::placement::mapped(&file, weights);
        artifacts
            .iter()
            .map(|artifact| mapped.iter().any(|offset| (artifact.offset..artifact.end()).contains(offset)))
            .collect::<Vec<_>>()
    };
    assert_eq!(is_mapped("map"), [true, true]);
    assert_eq!(is_mapped("auto"), [true, true]);
    assert_eq!(is_mapped("copy"), [false, false]);
}
