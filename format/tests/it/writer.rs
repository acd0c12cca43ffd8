//! What can go wrong while a file is written, and what is left behind: nothing.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use encoderfile_format::{
    ArtifactKind, Base, Content, Digest, Encoderfile, Error, Part, Payload, WriteError, write,
};

use crate::sample::{BASE, base, create, payload};

/// A folder with a base binary in it.
struct Scene {
    folder: tempfile::TempDir,
    base_file: File,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base_file = create(&folder.path().join("base"), BASE);
        Self { folder, base_file }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, payload: &Payload, output: &Path) -> Result<encoderfile_format::Draft, WriteError> {
        write(&base(&self.path("base"), &self.base_file), payload, output)
    }

    fn file(&self, name: &str) -> Content {
        let path = self.path(name);
        let file = create(&path, b"some weights");
        Content::File { path, file }
    }

    /// Names of what is in the folder.
    fn names(&self) -> Vec<String> {
        let entries = self.folder.path().read_dir().unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn tokenizer() -> Payload {
    payload(&[(ArtifactKind::Tokenizer, b"{}")])
}

fn with(content: Content) -> Payload {
    let part = Part { kind: ArtifactKind::Weights, name: Some("model.onnx".to_owned()), content };
    Payload { parts: vec![part], ..payload(&[]) }
}

#[test]
fn a_draft_becomes_an_executable_file() {
    let scene = Scene::new();
    let output = scene.path("model");
    let draft = scene.write(&tokenizer(), &output).unwrap();
    assert!(!output.exists());
    assert_eq!(draft.path().parent(), output.parent());
    assert_eq!(draft.open().unwrap().read(ArtifactKind::Tokenizer).unwrap(), b"{}");
    assert_eq!(draft.persist().unwrap(), output);
    assert_eq!(fs::metadata(&output).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(scene.names(), ["base", "model"]);

    let file = Encoderfile::open(File::open(&output).unwrap()).unwrap();
    let extracted = scene.path("tokenizer.json");
    file.extract(&file.manifest().artifacts[0], &extracted).unwrap();
    assert_eq!(fs::metadata(&extracted).unwrap().permissions().mode() & 0o7777, 0o644);
    assert_eq!(scene.names(), ["base", "model", "tokenizer.json"]);
}

#[test]
fn an_old_output_stays_until_the_draft_gets_its_name() {
    let scene = Scene::new();
    let output = scene.path("model");
    fs::write(&output, b"old").unwrap();
    let draft = scene.write(&tokenizer(), &output).unwrap();
    assert_eq!(fs::read(&output).unwrap(), b"old");
    drop(draft);
    assert_eq!(fs::read(&output).unwrap(), b"old");
    assert_eq!(scene.names(), ["base", "model"]);

    let draft = scene.write(&tokenizer(), &output).unwrap();
    draft.persist().unwrap();
    assert!(fs::read(&output).unwrap().starts_with(BASE));
    assert_eq!(scene.names(), ["base", "model"]);
}

#[test]
fn the_output_is_none_of_the_inputs() {
    let scene = Scene::new();
    let base_path = scene.path("base");
    let (link, hard_link) = (scene.path("link"), scene.path("hard_link"));
    symlink(&base_path, &link).unwrap();
    fs::hard_link(&base_path, &hard_link).unwrap();
    for output in [&base_path, &link, &hard_link] {
        let error = scene.write(&tokenizer(), output).unwrap_err();
        assert!(
            matches!(&error, WriteError::OutputIsInput { output: o, input } if (o, input) == (output, &base_path)),
            "{error:?}"
        );
    }
    let weights = scene.path("weights");
    let payload = with(scene.file("weights"));
    let weights_link = scene.path("weights_link");
    symlink("weights", &weights_link).unwrap();
    for output in [&weights, &weights_link] {
        let error = scene.write(&payload, output).unwrap_err();
        assert!(matches!(&error, WriteError::OutputIsInput { input, .. } if *input == weights), "{error:?}");
    }
    assert_eq!(fs::read(&base_path).unwrap(), BASE);
    assert_eq!(fs::read(&weights).unwrap(), b"some weights");
    assert_eq!(scene.names(), ["base", "hard_link", "link", "weights", "weights_link"]);
}

#[test]
fn the_output_replaces_nothing_but_files() {
    let scene = Scene::new();
    let error = scene.write(&tokenizer(), scene.folder.path()).unwrap_err();
    assert!(matches!(&error, WriteError::OutputIsFolder { path } if path == scene.folder.path()));
    let socket = scene.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let error = scene.write(&tokenizer(), &socket).unwrap_err();
    assert!(matches!(&error, WriteError::OutputIsSpecial { path } if *path == socket));
    assert_eq!(scene.names(), ["base", "socket"]);
}

#[test]
fn extracting_does_not_destroy_the_file() {
    let scene = Scene::new();
    let output = scene.path("model");
    scene.write(&tokenizer(), &output).unwrap().persist().unwrap();
    let link = scene.path("link");
    symlink(&output, &link).unwrap();
    let before = fs::read(&output).unwrap();
    let file = Encoderfile::open(File::open(&output).unwrap()).unwrap();
    for target in [&output, &link] {
        let error = file.extract(file.artifact(ArtifactKind::Tokenizer).unwrap(), target).unwrap_err();
        assert!(matches!(error, WriteError::OutputIsInput { .. }), "{error:?}");
    }
    let error =
        file.extract(file.artifact(ArtifactKind::Tokenizer).unwrap(), scene.folder.path()).unwrap_err();
    assert!(matches!(error, WriteError::OutputIsFolder { .. }));
    assert_eq!(fs::read(&output).unwrap(), before);
    assert_eq!(scene.names(), ["base", "link", "model"]);
}

#[test]
fn a_missing_folder_is_an_error() {
    let scene = Scene::new();
    let output = scene.path("missing/model");
    let error = scene.write(&tokenizer(), &output).unwrap_err();
    assert!(
        matches!(&error, WriteError::Output { path, source }
            if *path == output && source.kind() == std::io::ErrorKind::NotFound),
        "{error:?}"
    );
    assert_eq!(scene.names(), ["base"]);
}

#[test]
fn a_long_name_is_written() {
    let scene = Scene::new();
    // Names may have 255 bytes: the temporary file's must not be longer.
    for name in ["n".repeat(255), "é".repeat(127), "\u{1f980}".repeat(63)] {
        let output = scene.path(&name);
        scene.write(&tokenizer(), &output).unwrap().persist().unwrap();
        assert!(output.is_file());
    }
}

#[test]
fn a_base_binary_that_was_not_signed_is_not_written() {
    let scene = Scene::new();
    let (path, output) = (scene.path("base"), scene.path("model"));
    let with_expected = |expected| Base { expected: Some(expected), ..base(&path, &scene.base_file) };
    let wrong = Digest::of(b"another base binary");
    let error = write(&with_expected(wrong), &tokenizer(), &output).unwrap_err();
    assert!(matches!(error, WriteError::BaseDigest { expected, found, .. }
            if expected == wrong && found == Digest::of(BASE)));
    assert_eq!(scene.names(), ["base"]);
    write(&with_expected(Digest::of(BASE)), &tokenizer(), &output).unwrap();
}

#[test]
fn artifacts_that_the_format_does_not_have_are_refused() {
    let scene = Scene::new();
    let output = scene.path("model");
    let fails = |artifacts: &[(ArtifactKind, &[u8])]| scene.write(&payload(artifacts), &output).unwrap_err();
    let error = fails(&[(ArtifactKind::Tokenizer, b"")]);
    assert!(matches!(error, WriteError::EmptyArtifact { kind: ArtifactKind::Tokenizer }));
    let error = fails(&[(ArtifactKind::Weights, b"a"), (ArtifactKind::Weights, b"bcd")]);
    assert!(matches!(error, WriteError::SeveralArtifacts { kind: ArtifactKind::Weights }));
    for number in [0, 1, 49, 99, 100, 130, 19_000, 19_999, 1 << 29, u32::MAX] {
        let error = fails(&[(ArtifactKind::Other(number), b"a")]);
        assert!(matches!(error, WriteError::ArtifactNumber { number: n } if n == number), "{error:?}");
    }
    assert_eq!(scene.names(), ["base"]);
}

#[test]
fn a_manifest_that_no_reader_accepts_is_refused() {
    let scene = Scene::new();
    let output = scene.path("model");
    let mut long = tokenizer();
    long.description.name = "n".repeat(16 << 20);
    let error = scene.write(&long, &output).unwrap_err();
    assert!(matches!(error, WriteError::Manifest(Error::ManifestSize { .. })), "{error:?}");
    let source =
        encoderfile_format::SourceFile { name: "part".to_owned(), length: 1, sha256: Digest::of(b"x") };
    let mut many = tokenizer();
    many.description.sources = vec![source; 5000];
    let error = scene.write(&many, &output).unwrap_err();
    assert!(matches!(error, WriteError::Manifest(Error::ManifestFields { .. })), "{error:?}");
    let named = |kind, name: &str| Part { name: Some(name.to_owned()), ..Part::bytes(kind, b"x".to_vec()) };
    for parts in [
        vec![Part::bytes(ArtifactKind::Source, b"x".to_vec())],
        vec![named(ArtifactKind::Source, "../config.json")],
        vec![named(ArtifactKind::Weights, "a"), named(ArtifactKind::ExternalData, "a")],
    ] {
        let error = scene.write(&Payload { parts, ..tokenizer() }, &output).unwrap_err();
        assert!(matches!(error, WriteError::Manifest(Error::ArtifactName { .. })), "{error:?}");
    }
    assert_eq!(scene.names(), ["base"]);
}

#[test]
fn a_damaged_artifact_does_not_get_onto_another_base_binary() {
    let scene = Scene::new();
    let (old, output) = (scene.path("old"), scene.path("new"));
    scene.write(&with(scene.file("weights")), &old).unwrap().persist().unwrap();
    let open = || Encoderfile::open(File::open(&old).unwrap()).unwrap();
    let weights = open().artifact(ArtifactKind::Weights).unwrap().clone();
    let file = File::options().write(true).open(&old).unwrap();
    file.write_all_at(b"S", weights.offset).unwrap();

    let payload = Payload::of(&open(), &old, tokenizer().writer, false).unwrap();
    let error = scene.write(&payload, &output).unwrap_err();
    let WriteError::Damaged { path, source } = error else { panic!("{error:?}") };
    assert_eq!(path, old);
    assert!(matches!(*source, Error::ArtifactDigest { kind: ArtifactKind::Weights, expected, .. }
        if expected == Digest::of(b"some weights")));
    let error = scene.write(&payload, &old).unwrap_err();
    assert!(matches!(error, WriteError::OutputIsInput { .. }), "{error:?}");

    file.write_all_at(b"A", 0).unwrap();
    let error = open().extract_base(&output).unwrap_err();
    assert!(matches!(error, WriteError::BaseDigest { expected, .. } if expected == Digest::of(BASE)));
    assert_eq!(scene.names(), ["base", "old", "weights"]);
}

#[test]
fn an_input_that_cannot_be_read_is_not_blamed_on_the_output() {
    let scene = Scene::new();
    let output = scene.path("model");
    let folder = Content::File { path: scene.path("folder"), file: File::open(scene.folder.path()).unwrap() };
    let error = scene.write(&with(folder), &output).unwrap_err();
    assert!(matches!(&error, WriteError::Input { path, .. } if *path == scene.path("folder")), "{error:?}");

    let path = std::path::PathBuf::from("/dev/zero");
    let file = File::open(&path).unwrap();
    let content = Content::File { path: path.clone(), file };
    let error = scene.write(&with(content), &output).unwrap_err();
    assert!(matches!(&error, WriteError::Input { path: p, .. } if *p == path), "{error:?}");

    let path = scene.path("write_only");
    fs::write(&path, b"some weights").unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    let error = scene.write(&with(Content::File { path: path.clone(), file }), &output).unwrap_err();
    assert!(matches!(&error, WriteError::Input { path: p, .. } if *p == path), "{error:?}");
    assert_eq!(scene.names(), ["base", "write_only"]);
}

#[test]
fn an_input_is_read_from_its_start() {
    let scene = Scene::new();
    let mut content = scene.file("weights");
    let Content::File { file, .. } = &mut content else { panic!("made of a file") };
    std::io::copy(file, &mut std::io::sink()).unwrap();
    let draft = scene.write(&with(content), &scene.path("model")).unwrap();
    assert_eq!(draft.open().unwrap().read(ArtifactKind::Weights).unwrap(), b"some weights");
}

/// Runs itself once more, in a shell that lets no file grow beyond 4 KiB: what a full disk does, without being root.
#[test]
fn a_disk_that_takes_no_more_leaves_nothing() {
    const FOLDER: &str = "ENCODERFILE_TEST_FULL_DISK";
    if let Some(folder) = std::env::var_os(FOLDER) {
        let folder = Path::new(&folder);
        let path = folder.join("base");
        let file = File::open(&path).unwrap();
        let output = folder.join("model");
        for length in [3000, 1 << 20] {
            let large = vec![7; length];
            let payload = payload(&[(ArtifactKind::Weights, &large)]);
            let error = write(&base(&path, &file), &payload, &output).unwrap_err();
            assert!(matches!(&error, WriteError::Output { path, .. } if *path == output), "{error:?}");
        }
        return;
    }
    let scene = Scene::new();
    let output = scene.path("model");
    fs::write(&output, b"old").unwrap();
    let test = "writer::a_disk_that_takes_no_more_leaves_nothing";
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(FOLDER, scene.folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(fs::read(&output).unwrap(), b"old");
    assert_eq!(scene.names(), ["base", "model"]);
}

#[test]
fn the_output_is_a_new_file_even_where_the_kernel_could_share() {
    let scene = Scene::new();
    let output = scene.path("model");
    fs::write(&output, b"old").unwrap();
    let before = fs::metadata(&output).unwrap().ino();
    let mut old = File::open(&output).unwrap();
    scene.write(&tokenizer(), &output).unwrap().persist().unwrap();
    assert_ne!(fs::metadata(&output).unwrap().ino(), before);
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut old, &mut bytes).unwrap();
    assert_eq!(bytes, b"old", "a program that runs from the old file keeps it");
}
