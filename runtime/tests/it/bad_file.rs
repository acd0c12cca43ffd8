//! Files that cannot be run: damaged, not supported, or not what they say they are.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use encoderfile_format::{Artifact, ArtifactKind, Encoderfile, ModelType, Part, Transform, TransformType};

use crate::assemble::{
    Assembled, assemble, assemble_with, assert_fails, base_binary, model_folder, replace, run, text, writing,
};

/// Changes one byte of an artifact, counted from its start.
fn flip(file: &Assembled, kind: ArtifactKind, position: u64) {
    flip_where(file, |artifact| artifact.kind == kind, position);
}

/// Changes one byte of the artifact of that name.
pub(crate) fn flip_in(file: &Assembled, name: &str, position: u64) {
    flip_where(file, |artifact| artifact.name.as_deref() == Some(name), position);
}

fn flip_where(file: &Assembled, is_meant: impl Fn(&Artifact) -> bool, position: u64) {
    let opened = Encoderfile::open(fs::File::open(&file.path).unwrap()).unwrap();
    let offset = opened.manifest().artifacts.iter().find(|artifact| is_meant(artifact)).unwrap().offset;
    drop(opened);
    writing(|| {
        let file = OpenOptions::new().read(true).write(true).open(&file.path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset + position).unwrap();
        byte[0] ^= 0x10;
        file.write_all_at(&byte, offset + position).unwrap();
    });
}

/// Changes a byte in the middle of the model, which is some number of a weight.
pub(crate) fn flip_a_weight(file: &Assembled) {
    flip(file, ArtifactKind::Weights, 70_000);
}

#[test]
fn a_damaged_small_artifact_is_found_at_every_start() {
    for kind in [ArtifactKind::Tokenizer, ArtifactKind::ModelConfig] {
        let file = assemble("sequence_classification");
        flip(&file, kind, 10);
        let output = run(file.command().args(["infer", "text"]));
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{stderr}");
        let start =
            format!("error: `{}`: cannot read its {kind}\n  cause: {kind} (bytes ", file.path.display());
        assert!(stderr.starts_with(&start), "{stderr}");
        assert!(stderr.ends_with(
            "hint: `encoderfile verify FILE` shows what is damaged; copy the file again or build it anew\n"
        ));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn damaged_weights_are_found_when_asked_for_or_copied() {
    let file = assemble("embedding");
    flip_a_weight(&file);
    for arguments in [["--verify", "text"], ["--weights=copy", "text"]] {
        let output = run(file.command().arg("infer").args(arguments));
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_transform_is_never_skipped() {
    let file = assemble_with("embedding", |payload| {
        payload.parts.push(Part::bytes(ArtifactKind::Transform, b"\x08\x01\x12\x00".to_vec()));
    });
    assert_fails(
        &run(file.command().args(["infer", "text"])),
        1,
        "error: this model's results are post-processed by a Lua script, which this version cannot run\n\
         hint: build the file without `transform`, or run it with encoderfile 0.7\n",
    );
}

/// Before anything is loaded: there is no model to load.
#[test]
fn a_transform_in_another_language_is_never_skipped() {
    let file = assemble_with("embedding", |payload| {
        let transform =
            Transform { transform_type: TransformType::Other(7), source: "?".to_owned(), libraries: None };
        payload.parts.push(Part::bytes(ArtifactKind::Transform, transform.encode()));
        replace(payload, ArtifactKind::Weights, b"not a model".to_vec());
        replace(payload, ArtifactKind::Tokenizer, b"not a tokenizer".to_vec());
    });
    for arguments in
        [&["infer", "text"][..], &["infer", "--input", "/nonexistent"], &["infer", "--verify", "text"]]
    {
        assert_fails(
            &run(file.command().args(arguments)),
            1,
            "error: this model's results are post-processed by a script in an unknown language (number 7), \
             which this version cannot run\n\
             hint: build the file without `transform`, or run it with the version that wrote it\n",
        );
    }
}

#[test]
fn a_task_of_images_is_refused() {
    let file =
        assemble_with("embedding", |payload| payload.description.model_type = ModelType::ImageClassification);
    assert_fails(
        &run(file.command().args(["infer", "text"])),
        1,
        "error: a model of the task `image_classification` cannot be run by this version\n",
    );
}

#[test]
fn outputs_that_do_not_fit_the_task_are_shown() {
    let file = assemble_with("sequence_classification", |payload| {
        payload.description.model_type = ModelType::Embedding;
    });
    assert_fails(
        &run(file.command().args(["infer", "text"])),
        1,
        "error: the model does not fit its task\n  cause: \
         embedding needs an output [batch, sequence, hidden], but the graph gives: logits float32[batch_size, 3]\n\
         hint: export the model for this task, or name the task that it answers with `--model-type`\n",
    );
}

#[test]
fn content_that_is_not_what_it_should_be_is_an_error() {
    let model = fs::read(model_folder("embedding").join("model.onnx")).unwrap();
    let cut = model[..model.len() / 2].to_vec();
    for (kind, bytes) in [
        (ArtifactKind::Weights, b"not a model".to_vec()),
        (ArtifactKind::Weights, vec![0; 100]),
        (ArtifactKind::Weights, cut),
        (ArtifactKind::Tokenizer, b"{}".to_vec()),
        (
            ArtifactKind::Tokenizer,
            br#"{"tokenizer": {"version": "1.0"}, "config": {"padding": null, "truncation": null}}"#.to_vec(),
        ),
    ] {
        let file = assemble_with("embedding", |payload| replace(payload, kind, bytes));
        let output = run(file.command().args(["infer", "text"]));
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let start = format!("error: `{}`: its {kind} cannot be used\n  cause: ", file.path.display());
        assert!(stderr.starts_with(&start), "{stderr}");
    }
}

/// A file that was cut, or has bytes behind it, has no footer, but it is more than a base binary.
#[test]
fn a_file_without_its_end_is_damaged() {
    let file = assemble("embedding");
    let expected = format!(
        "error: `{}`: the end of this file is missing or damaged\nhint: copy it again, or build it anew\n",
        file.path.display()
    );
    let length = fs::metadata(&file.path).unwrap().len();
    let base = fs::metadata(base_binary()).unwrap().len();
    for length in [length + 5, length - 5, length - 1000, base + 1] {
        writing(|| OpenOptions::new().write(true).open(&file.path).unwrap().set_len(length).unwrap());
        for arguments in [&["infer", "text"][..], &[]] {
            assert_fails(&run(file.command().args(arguments)), 4, &expected);
        }
    }
    writing(|| OpenOptions::new().write(true).open(&file.path).unwrap().set_len(base).unwrap());
    assert_eq!(run(file.command().args(["infer", "text"])).status.code(), Some(3));
}

/// Names of a stranger's model, which a terminal would obey.
#[test]
fn control_characters_of_names_are_escaped() {
    const NAME: &str = "\u{1b}[31mred\u{9b}2J\r\nhint: obey";
    const ESCAPED: &str = r"\u{1b}[31mred\u{9b}2J\r\nhint: obey";
    let file = assemble_with("embedding", |payload| payload.description.name = NAME.to_owned());
    let output = run(&mut file.command());
    let stderr = text(&output.stderr);
    assert!(stderr.starts_with(&format!("error: `{ESCAPED} 1.0 (embedding)` needs a command\n")), "{stderr}");

    // A graph whose output has such a name, of the same length.
    let mut model = fs::read(model_folder("sequence_classification").join("model.onnx")).unwrap();
    let positions: Vec<_> =
        (0..model.len() - 6).filter(|&position| model[position..].starts_with(b"logits")).collect();
    for position in positions {
        model[position..position + 6].copy_from_slice(b"\x1b[31m\x07");
    }
    let file = assemble_with("sequence_classification", |payload| {
        payload.description.model_type = ModelType::Embedding;
        replace(payload, ArtifactKind::Weights, model);
    });
    let output = run(file.command().args(["infer", "text"]));
    let stderr = text(&output.stderr);
    assert!(stderr.contains(r"\u{1b}[31m\u{7} float32[batch_size, 3]"), "{stderr}");
}

/// Every byte of footer and manifest, flipped: an answer or an error, never a signal.
#[test]
fn no_flipped_byte_of_footer_or_manifest_ends_in_a_crash() {
    let file = assemble("sequence_classification");
    let opened = Encoderfile::open(fs::File::open(&file.path).unwrap()).unwrap();
    let start = opened.footer().manifest_offset;
    let manifest = start..start + opened.footer().manifest_length;
    let footer = opened.length() - 32..opened.length();
    drop(opened);
    for position in footer.chain(manifest.step_by(3)) {
        let change = || {
            writing(|| {
                let file = OpenOptions::new().read(true).write(true).open(&file.path).unwrap();
                let mut byte = [0];
                file.read_exact_at(&mut byte, position).unwrap();
                byte[0] ^= 0x41;
                file.write_all_at(&byte, position).unwrap();
            });
        };
        change();
        let output = run(file.command().args(["infer", "text"]));
        assert!(matches!(output.status.code(), Some(0 | 1 | 3 | 4)), "byte {position}: {output:?}");
        change();
    }
}

/// A letter of the manifest, in what no artifact's digest covers.
#[test]
fn a_damaged_manifest_is_not_run() {
    let file = assemble_with("embedding", |payload| payload.description.version = "a version".to_owned());
    let base = Encoderfile::open(fs::File::open(&file.path).unwrap()).unwrap().base_length();
    let base = usize::try_from(base).unwrap();
    let bytes = fs::read(&file.path).unwrap();
    let position = base + bytes[base..].windows(9).position(|window| window == b"a version").unwrap();
    writing(|| {
        let opened = OpenOptions::new().write(true).open(&file.path).unwrap();
        opened.write_all_at(b"A", position as u64).unwrap();
    });
    let output = run(file.command().args(["infer", "text"]));
    assert_eq!(output.status.code(), Some(4));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("the manifest (bytes "), "{stderr}");
}
