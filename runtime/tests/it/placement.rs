//! The file runs wherever it lies, whatever it is called, and whoever runs it.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::assemble::{Assembled, answer, assemble, assert_fails, read_line, run, spawn, text, writing};

const TEXT: &str = "This is an example sentence.";

/// `infer`, weights mapped or not at all.
fn infer(command: &mut Command) -> Value {
    answer(&run(command.args(["infer", "--weights", "map", TEXT])))
}

fn file_and_answer() -> (Assembled, Value) {
    let file = assemble("sentence_embedding");
    let answer = file.infer(&[TEXT]);
    (file, answer)
}

#[test]
fn after_a_move_and_under_any_name() {
    let (file, expected) = file_and_answer();
    let folder = file.directory.path().join("ä folder, with = signs");
    fs::create_dir(&folder).unwrap();
    for name in ["renamed", "with space.bin", "ünïcode 名", "-dash", "quote'\"", "(deleted)", "x (deleted)"]
    {
        let path = folder.join(name);
        fs::rename(&file.path, &path).unwrap();
        assert_eq!(infer(&mut Command::new(&path)), expected, "{name}");
        fs::rename(&path, &file.path).unwrap();
    }
}

/// ONNX Runtime takes paths as UTF-8 only, so this file's weights are copied.
#[test]
fn under_a_name_that_is_not_utf_8() {
    let (file, expected) = file_and_answer();
    let path = file.directory.path().join(OsStr::from_bytes(b"caf\xe9"));
    fs::rename(&file.path, &path).unwrap();
    assert_eq!(answer(&run(Command::new(&path).args(["infer", TEXT]))), expected);
    let output = run(Command::new(&path).args(["infer", "--weights", "map", TEXT]));
    let reason = "the path of the running file is not UTF-8";
    assert_fails(&output, 1, &format!("error: cannot map the weights in place: {reason}\n"));
}

#[test]
fn through_symlinks() {
    let (file, expected) = file_and_answer();
    let folder = file.directory.path().join("bin");
    fs::create_dir(&folder).unwrap();
    symlink("../model.encoderfile", folder.join("first")).unwrap();
    symlink(folder.join("first"), folder.join("second")).unwrap();
    symlink(&folder, file.directory.path().join("other")).unwrap();
    assert_eq!(infer(&mut Command::new(folder.join("second"))), expected);
    assert_eq!(infer(&mut Command::new(file.directory.path().join("other/first"))), expected);
}

#[test]
fn through_a_hard_link() {
    let (file, expected) = file_and_answer();
    let link = file.directory.path().join("link");
    fs::hard_link(&file.path, &link).unwrap();
    assert_eq!(infer(&mut Command::new(&link)), expected);
    fs::remove_file(&file.path).unwrap();
    assert_eq!(infer(&mut Command::new(&link)), expected);
}

#[test]
fn from_another_directory_with_an_empty_environment() {
    let (file, expected) = file_and_answer();
    assert_eq!(infer(file.command().env_clear().current_dir("/")), expected);
    let mut relative = Command::new("./model.encoderfile");
    assert_eq!(infer(relative.env_clear().current_dir(file.directory.path())), expected);
}

#[test]
fn read_only_without_a_writable_directory() {
    let (file, expected) = file_and_answer();
    fs::set_permissions(&file.path, Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(file.directory.path(), Permissions::from_mode(0o555)).unwrap();
    let found =
        infer(file.command().current_dir("/proc").env("TMPDIR", "/nonexistent").env("HOME", "/nonexistent"));
    fs::set_permissions(file.directory.path(), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(found, expected);
    let names: Vec<_> =
        fs::read_dir(file.directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["model.encoderfile"], "something was left behind");
}

/// The parts of the running file that a process maps, by their first byte in the file.
#[cfg(target_os = "linux")]
pub(crate) fn mapped(file: &Assembled, weights: &str) -> Vec<u64> {
    let mut command = file.command();
    command.args(["infer", "--format", "jsonl", "--weights", weights]);
    let mut child = spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"text\n").unwrap();
    read_line(child.stdout.as_mut().unwrap());
    // Start-end, permissions, offset, device, inode, path.
    let maps = fs::read_to_string(format!("/proc/{}/maps", child.id())).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
    let own = maps.lines().filter(|line| line.ends_with(file.path.to_str().unwrap()));
    own.map(|line| u64::from_str_radix(line.split_whitespace().nth(2).unwrap(), 16).unwrap()).collect()
}

/// Mapped weights are pages of the file itself; copied ones are not.
#[cfg(target_os = "linux")]
#[test]
fn weights_are_mapped_from_the_file() {
    let file = assemble("sentence_embedding");
    let opened = encoderfile_format::Encoderfile::open(fs::File::open(&file.path).unwrap()).unwrap();
    let weights = opened.artifact(encoderfile_format::ArtifactKind::Weights).unwrap();
    let is_mapped = |way| mapped(&file, way).iter().any(|at| (weights.offset..weights.end()).contains(at));
    assert!(is_mapped("map"));
    assert!(is_mapped("auto"));
    assert!(!is_mapped("copy"));
}

/// Needs root, to become someone else.
#[test]
fn as_another_user() {
    const NOBODY: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let (file, expected) = file_and_answer();
    // The build directory may be closed to others.
    let open = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
    let path = open.path().join("model");
    writing(|| fs::copy(&file.path, &path)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o555)).unwrap();
    assert_eq!(infer(Command::new(&path).uid(NOBODY).gid(NOBODY).current_dir("/").env_clear()), expected);
}

/// Runs a file whose name was removed, or given to another file, before the process started: `exec` goes through an open
/// descriptor.
pub(crate) fn run_nameless(
    file: &Assembled,
    arguments: &str,
    replacement: Option<&Path>,
) -> std::process::Output {
    let script = match replacement {
        None => "exec 3<\"$0\"; rm \"$0\"; ".to_owned(),
        Some(path) => format!("exec 3<\"$0\"; cp '{}' \"$0.new\"; mv \"$0.new\" \"$0\"; ", path.display()),
    };
    let script = format!("{script} exec /proc/self/fd/3 infer {arguments} '{TEXT}'");
    run(Command::new("sh").args(["-c", &script]).arg(&file.path))
}

#[cfg(target_os = "linux")]
#[test]
fn deleted_before_the_weights_are_mapped() {
    let (file, expected) = file_and_answer();
    assert_eq!(answer(&run_nameless(&file, "", None)), expected);
    assert!(!file.path.exists());
}

#[cfg(target_os = "linux")]
#[test]
fn replaced_before_the_weights_are_mapped() {
    let (file, expected) = file_and_answer();
    let other = assemble("embedding");
    assert_eq!(answer(&run_nameless(&file, "", Some(&other.path))), expected);
    assert_ne!(
        answer(&run(file.command().args(["infer", TEXT]))),
        expected,
        "the other file has its name now"
    );
}

/// Linux calls the path of a deleted file `… (deleted)`, and nothing keeps another file from having that very name.
#[cfg(target_os = "linux")]
#[test]
fn another_file_at_the_path_is_not_mapped() {
    let (file, expected) = file_and_answer();
    let other = assemble("sequence_classification");
    let decoy = file.directory.path().join("model.encoderfile (deleted)");
    fs::rename(&other.path, &decoy).unwrap();
    assert_eq!(answer(&run_nameless(&file, "", None)), expected);
    let file = assemble("sentence_embedding");
    fs::rename(&decoy, file.directory.path().join("model.encoderfile (deleted)")).unwrap();
    assert_eq!(run_nameless(&file, "--weights map", None).status.code(), Some(1));
}

#[cfg(target_os = "linux")]
#[test]
fn a_deleted_file_cannot_be_mapped() {
    let (file, _) = file_and_answer();
    let output = run_nameless(&file, "--weights map", None);
    assert_fails(
        &output,
        1,
        "error: cannot map the weights in place: another file, or none, has the path of the running file\n",
    );
}

/// A file that cannot be mapped by its path is copied, and what is copied is verified.
#[cfg(target_os = "linux")]
#[test]
fn damaged_weights_are_not_copied() {
    let (file, _) = file_and_answer();
    crate::bad_file::flip_a_weight(&file);
    let output = run_nameless(&file, "", None);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
}
