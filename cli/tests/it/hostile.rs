//! Files that were made to do harm: each command gives an error or a bounded report, in bounded memory.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use encoderfile_format::{ArtifactKind, Content, Digest, Part};

use crate::parts::{BASE, artifact, bytes, footer, integer, payload, write_file};
use crate::sandbox::{Said, Sandbox};

/// Address space of a command, in kilobytes: enough for its code and its threads, and for 64 MB.
const LIMIT: u32 = 400_000;

/// Exit codes of `inspect`, `verify`, `extract` and `diff` (with itself).
type Codes = [i32; 4];
const REFUSED: Codes = [4; 4];

#[track_caller]
fn assert_harmless(sandbox: &Sandbox, name: &str, codes: Codes) {
    let commands: [&[&str]; 4] = [
        &["inspect", "--json", "file"],
        &["verify", "file"],
        &["extract", "file", "-o", "parts"],
        &["diff", "file", "file"],
    ];
    for (arguments, code) in commands.iter().zip(codes) {
        let template = sandbox.command();
        let program = template.get_program().to_owned();
        let mut command = Command::new("sh");
        command.env_clear().current_dir(sandbox.path(""));
        for (key, value) in template.get_envs() {
            value.map(|value| command.env(key, value));
        }
        command
            .arg("-c")
            .arg(format!("ulimit -v {LIMIT} && exec \"$@\""))
            .arg("sh")
            .arg(program)
            .args(*arguments);
        let said = Said::from(command.output().unwrap());
        let about = format!("{name}: {arguments:?}\n{}\n{}", clip(&said.stdout), clip(&said.stderr));
        assert_eq!(said.code, code, "{about}");
        assert!(!said.stderr.contains("panicked") && !said.stderr.contains("memory allocation"), "{about}");
        assert!(said.stderr.len() < 4000, "{about}");
        let _partly = fs::remove_dir_all(sandbox.path("parts"));
    }
    let text = sandbox.run(["inspect", "file"]);
    assert!(
        text.stdout.len() < 20_000 && text.stdout.lines().count() < 150,
        "{name}: {}",
        clip(&text.stdout)
    );
}

fn clip(text: &str) -> &str {
    text.get(..2000).unwrap_or(text)
}

/// Base, manifest, what follows, and a footer that tells the truth.
fn assembled(manifest: &[u8], rest: &[u8]) -> Vec<u8> {
    let footer = footer(BASE.len() as u64, manifest.len() as u64);
    [BASE, manifest, rest, &footer].concat()
}

#[test]
fn places_that_do_not_exist_are_refused() {
    let sandbox = Sandbox::new();
    let digest = Digest::of(b"");
    let huge = 1 << 63;
    let weights = |offset, length| assembled(&artifact(100, offset, length, digest), &[0; 100]);
    let length = artifact(100, 1, 1, digest).len() as u64;
    let overlapping =
        [artifact(100, 2 * length, 50, digest), artifact(130, 2 * length + 49, 10, digest)].concat();
    let many: Vec<u8> = (0..10_000).flat_map(|index| artifact(160, 1_000_000 + index, 1, digest)).collect();
    let cases = [
        ("manifest behind the end", [BASE, &footer(huge, 10)].concat()),
        ("manifest of 2^63 bytes", [BASE, &footer(0, huge)].concat()),
        ("manifest that overflows", [BASE, &footer(u64::MAX, 100)].concat()),
        ("manifest into the footer", [BASE, &footer(BASE.len() as u64, 1)].concat()),
        ("artifact behind the end", weights(huge, 1)),
        ("artifact of 2^63 bytes", weights(length, huge)),
        ("artifact that overflows", weights(u64::MAX, u64::MAX)),
        ("artifact in the manifest", weights(0, 10)),
        ("artifact into the footer", weights(length, 101)),
        ("overlap", assembled(&overlapping, &[0; 200])),
        ("10,000 artifacts", assembled(&many, &[0; 100])),
        ("10,000 settings", assembled(&bytes(10, b"").repeat(10_000), &[0; 100])),
    ];
    for (name, bytes) in cases {
        fs::write(sandbox.path("file"), bytes).unwrap();
        assert_harmless(&sandbox, name, REFUSED);
    }
}

/// A file of any length that takes no room, with bytes at its beginning and its end.
fn sparse(path: &Path, start: &[u8], length: u64, end: &[u8]) {
    let file = File::create(path).unwrap();
    file.set_len(length).unwrap();
    file.write_all_at(start, 0).unwrap();
    file.write_all_at(end, length - end.len() as u64).unwrap();
}

#[test]
fn lengths_that_take_no_room_take_no_memory() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("file");
    let base = BASE.len() as u64;
    sparse(&path, BASE, (1 << 30) + 1000, &footer(base, 1 << 30));
    assert_harmless(&sandbox, "manifest of 1 GB", REFUSED);

    let zeros = 300 << 20;
    for (number, codes) in [(130, [0, 4, 4, 0]), (120, [0, 4, 4, 0]), (110, [0, 4, 4, 0])] {
        let manifest = artifact(number, 100, zeros, Digest::of(b"something else"));
        let start = [BASE, &manifest].concat();
        sparse(&path, &start, base + 100 + zeros + 32, &footer(base, manifest.len() as u64));
        assert_harmless(&sandbox, &format!("{zeros} zeros as artifact {number}"), codes);
    }
}

#[test]
fn contents_without_end_are_not_followed() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("file");
    let with = |part: usize, content: Vec<u8>| {
        let mut payload = payload();
        payload.parts[part].content = Content::Bytes(content);
        write_file(&path, &payload, BASE, None);
    };
    let deep = ["[".repeat(1_000_000), "]".repeat(1_000_000)].concat();
    with(0, format!("{{\"x\":{deep}}}").into_bytes());
    assert_harmless(&sandbox, "a deep configuration", [0; 4]);
    with(0, format!("{{\"id2label\":{deep}}}").into_bytes());
    assert_harmless(&sandbox, "deep labels", [0, 4, 0, 0]);
    with(1, format!("{{\"tokenizer\":{deep},\"config\":{{}}}}").into_bytes());
    assert_harmless(&sandbox, "a deep tokenizer", [0, 0, 0, 0]);
    with(1, deep.clone().into_bytes());
    assert_harmless(&sandbox, "a deep nothing", [0, 4, 4, 0]);

    let labels: Vec<_> = (0..1_000_000).map(|index| format!("\"{index}\":\"L{index}\"")).collect();
    with(0, format!("{{\"id2label\":{{{}}}}}", labels.join(",")).into_bytes());
    assert_harmless(&sandbox, "1,000,000 labels", [0, 0, 4, 0]);
    with(0, br#"{"num_labels":4000000000}"#.to_vec());
    assert_harmless(&sandbox, "4,000,000,000 labels", [0; 4]);

    // Messages within messages, as far as they go.
    let mut graph = Vec::new();
    for _ in 0..2000 {
        graph = bytes(1, &bytes(5, &bytes(6, &graph)));
    }
    with(2, [integer(1, 8), bytes(7, &graph), bytes(8, &integer(2, 17))].concat());
    assert_harmless(&sandbox, "a deep graph", [0, 4, 0, 0]);
}

#[test]
fn texts_without_end_are_cut() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("file");
    let mut payload = payload();
    payload.description.name = "\u{1b}]0;title\u{7}".repeat(1_000_000);
    write_file(&path, &payload, BASE, None);
    assert_harmless(&sandbox, "a name of megabytes", [0; 4]);

    let mut payload = crate::parts::payload();
    for index in 0..2000 {
        let name = Some(format!("{index}\u{1b}[31m{}", "x".repeat(200)));
        payload.parts.push(Part { name, ..Part::bytes(ArtifactKind::Source, b"{}".to_vec()) });
    }
    write_file(&path, &payload, BASE, None);
    assert_harmless(&sandbox, "2,000 files", [0; 4]);
}
