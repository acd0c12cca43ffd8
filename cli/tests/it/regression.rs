//! Faults that were found once, each named.

use std::ffi::OsString;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::sandbox::{HOST, Release, Said, Sandbox, VERSION, runtime};
use crate::shelf::Shelf;

fn build(sandbox: &Sandbox, arguments: &[&str]) -> Said {
    let mut command = sandbox.command();
    command.args(["build", "model", "--base-binary-path"]).arg(runtime()).args(arguments);
    command.output().unwrap().into()
}

/// Files of the user that merely look temporary were removed.
#[test]
fn the_users_files_beside_the_output_stay() {
    let sandbox = Sandbox::new();
    sandbox.model("embedding");
    for name in [".out.notes.tmp", ".out.encoderfile.tmp", ".out.abcdef.encoderfile-partial.bak"] {
        fs::write(sandbox.path(name), "precious").unwrap();
    }
    build(&sandbox, &["-o", "out"]).ok();
    assert_eq!(sandbox.leftovers().len(), 4);
}

/// A name with a slash was taken for a path, an empty one gave a hidden file.
#[test]
fn a_name_is_no_path() {
    let sandbox = Sandbox::new();
    sandbox.model("embedding");
    build(&sandbox, &["--name", "../org/model"]).ok();
    assert_eq!(sandbox.leftovers(), ["..-org-model.encoderfile"]);
    for name in ["", " ", "a\u{1b}[31mb"] {
        build(&sandbox, &["--name", name]).failed(2, &["a model cannot be named", "--name"]);
    }
}

/// A limit that no text fits into was only noticed by the new file itself.
#[test]
fn a_limit_that_no_text_fits_into_is_refused() {
    for limit in [0, 1, 2] {
        let sandbox = Sandbox::new();
        let model = sandbox.model("sentence_embedding");
        let settings = format!("{{\"max_seq_length\": {limit}}}");
        fs::write(model.join("sentence_bert_config.json"), settings).unwrap();
        build(&sandbox, &["-o", "out", "--no-check"])
            .failed(1, &[&format!("{limit} tokens are too few"), "sentence_bert_config.json", "hint: "]);
        assert_eq!(sandbox.leftovers(), [""; 0]);
    }
}

/// Opening a pipe waits for its writer.
#[test]
fn a_pipe_is_no_model() {
    let sandbox = Sandbox::new();
    let weights = sandbox.model("embedding").join("model.onnx");
    fs::remove_file(&weights).unwrap();
    assert!(Command::new("mkfifo").arg(&weights).status().unwrap().success());
    build(&sandbox, &["-o", "out"]).failed(1, &["cannot read `model/model.onnx`", "not a regular file"]);
    fs::remove_file(&weights).unwrap();
    fs::create_dir(&weights).unwrap();
    build(&sandbox, &["-o", "out"]).failed(1, &["cannot read `model/model.onnx`", "is a directory"]);
}

/// A padding token of -1, which stands for none, refused the whole model.
#[test]
fn numbers_that_mean_none_are_no_fault() {
    let sandbox = Sandbox::new();
    let path = sandbox.model("embedding").join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["pad_token_id"] = (-1).into();
    config["image_size"] = serde_json::json!([224, 224]);
    fs::write(&path, config.to_string()).unwrap();
    build(&sandbox, &["-o", "out"]).ok();
}

/// The positions of `RoBERTa` models begin behind the padding token.
#[test]
fn positions_that_no_text_can_have_are_not_counted() {
    let sandbox = Sandbox::new();
    let model = sandbox.model("embedding");
    let path = model.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["model_type"] = "roberta".into();
    config["pad_token_id"] = 1.into();
    config["max_position_embeddings"] = 50.into();
    fs::write(&path, config.to_string()).unwrap();
    let said = build(&sandbox, &["-o", "out"]).ok();
    assert!(said.stderr.contains("Limit 48 tokens (config.json)"), "{}", said.stderr);
}

/// The command that a hint names looked into another cache, at another source.
#[test]
fn the_command_in_a_hint_works_as_it_stands() {
    let sandbox = Sandbox::new();
    sandbox.model("embedding");
    let dist = Release::get().dist();
    let key = Release::get().public_key();
    let mut command = sandbox.command();
    command.env_remove("ENCODERFILE_TRUSTED_KEYS").env_remove("ENCODERFILE_CACHE_DIR");
    command.args(["build", "model", "--no-download", "--cache-dir", "a cache", "--source"]).arg(&dist);
    let said = Said::from(command.arg("--trusted-key").arg(&key).output().unwrap()).failed(3, &["hint: "]);
    let hinted = said.stderr.split('`').find(|part| part.starts_with("encoderfile base fetch")).unwrap();

    let mut shell = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_encoderfile");
    shell.env_clear().env("HOME", sandbox.path("home")).current_dir(sandbox.path(""));
    shell.args(["-c", &hinted.replacen("encoderfile", program, 1)]);
    Said::from(shell.output().unwrap()).ok();
    command.args(["-o", "out"]);
    Said::from(command.output().unwrap()).ok();
}

/// A name in a foreign file could write to the terminal as it liked.
#[test]
fn a_foreign_name_does_not_reach_the_terminal_as_it_is() {
    let sandbox = Sandbox::new();
    let file = sandbox.build("embedding");
    let mut bytes = fs::read(&file).unwrap();
    let base = fs::metadata(runtime()).unwrap().len();
    let at = usize::try_from(base).unwrap();
    // Field 2, the name, follows the two bytes of field 1.
    assert_eq!(&bytes[at + 4..at + 9], b"embed");
    bytes[at + 4..at + 9].copy_from_slice(b"\x1b[31m");
    fs::write(&file, bytes).unwrap();
    // It is shown, and then said to be another one than was written.
    let said = sandbox.run(["inspect", "model.encoderfile"]).failed(4, &["the manifest", "is damaged"]);
    assert!(!said.stdout.contains('\u{1b}') && said.stdout.contains("\\u{1b}[31m"), "{}", said.stdout);
}

/// Footer and manifest are as much a part of the file as the rest.
#[test]
fn damage_that_keeps_a_file_from_being_read_is_damage() {
    let sandbox = Sandbox::new();
    let file = sandbox.build("embedding");
    let bytes = fs::read(&file).unwrap();
    for from_end in [20, 12, 4] {
        let mut damaged = bytes.clone();
        let at = damaged.len() - from_end;
        damaged[at] ^= 0x80;
        fs::write(&file, damaged).unwrap();
        sandbox.run(["verify", "model.encoderfile"]).failed(4, &["cannot be read as an encoderfile"]);
    }
}

/// An encoderfile without its end was taken for a base binary.
#[test]
fn a_cut_encoderfile_is_no_base_binary() {
    let sandbox = Sandbox::new();
    let file = sandbox.build("embedding");
    let bytes = fs::read(&file).unwrap();
    fs::write(sandbox.path("cut"), &bytes[..bytes.len() - 5]).unwrap();
    sandbox.run(["inspect", "cut"]).failed(4, &["`cut` is damaged: its end is missing", "hint: "]);
    sandbox.model("embedding");
    sandbox
        .run(["build", "model", "-o", "out", "--base-binary-path", "cut"])
        .failed(4, &["cannot use `cut` as a base binary", "whose end is missing or damaged"]);
}

/// bun: a base binary is picked up from the working directory because it bears the target's name. These would do, and
/// only an option that names one makes it one.
#[test]
fn no_base_binary_is_picked_up_from_the_working_directory() {
    let sandbox = Sandbox::new();
    sandbox.model("embedding");
    let names = [
        "encoderfile-runtime".to_owned(),
        HOST.to_owned(),
        format!("encoderfile-runtime-{HOST}"),
        format!("encoderfile-runtime-{HOST}-{VERSION}"),
        format!("encoderfile-runtime-v{VERSION}"),
        format!("v{VERSION}/{HOST}/encoderfile-runtime"),
        format!("{VERSION}/{HOST}/encoderfile-runtime"),
    ];
    let decoys: Vec<_> = names.iter().map(|name| sandbox.path(name)).collect();
    for decoy in &decoys {
        fs::create_dir_all(decoy.parent().unwrap()).unwrap();
        fs::copy(runtime(), decoy).unwrap();
    }
    for target in [&[][..], &["--target", HOST]] {
        let run = |arguments: &[&str]| {
            let mut command = sandbox.command();
            // Nor from the folders of the user's programs.
            command.env("PATH", sandbox.path("")).args(arguments).args(target);
            Said::from(command.output().unwrap())
        };
        run(&["build", "model", "-o", "out", "--no-download"]).failed(3, &["is not in the cache"]);
        run(&["base", "path"]).failed(3, &["is not in the cache"]);
        run(&["base", "fetch", "--no-download"]).failed(3, &["is not in the cache"]);
        assert!(!sandbox.path("out").exists());
    }
    build(&sandbox, &["-o", "out"]).ok();

    let dist = Release::get().dist();
    for decoy in decoys {
        fs::write(decoy, "a decoy").unwrap();
    }
    sandbox.run(["build", "model", "-o", "out", "--source", dist.to_str().unwrap()]).ok();
}

/// A verifier that is disabled, or fails to start, is skipped instead of stopping.
#[test]
fn keys_that_cannot_be_used_stop_everything() {
    let shelf = Shelf::with(&["0.2.0"]);
    let server = shelf.serve();
    shelf.write("empty.pub", "untrusted comment: no key here\n");
    shelf.write("broken.pub", &format!("{}\nRWQbroken\n", shelf.key.public()));
    shelf.write("binary.pub", "\u{0}\u{1}\u{2}");
    shelf.run(&["base", "fetch", "--runtime-version", "0.2.0"]).ok();
    // Neither the cache nor the source is used with fewer keys than were named.
    for keys in ["missing.pub", "empty.pub", "broken.pub", "binary.pub", "."] {
        for arguments in [
            &["base", "path", "--runtime-version", "0.2.0"][..],
            &["base", "verify"],
            &["base", "fetch", "--force"],
        ] {
            let mut command = shelf.sandbox.bare_command();
            command.env("ENCODERFILE_BASE_BINARY_BASE_URL", server.url());
            command.env("ENCODERFILE_TRUSTED_KEYS", keys);
            let said = Said::from(command.args(arguments).output().unwrap());
            assert!(said.code == 2 && said.stderr.contains("key"), "`{keys}`, {arguments:?}: {said:?}");
        }
    }
    // No key at all, or a variable without a value, is no leave to go without.
    for keys in [None, Some("")] {
        for arguments in [
            &["base", "path", "--runtime-version", "0.2.0"][..],
            &["base", "fetch", "--runtime-version", "0.2.0"],
        ] {
            let mut command = shelf.sandbox.bare_command();
            command.env("ENCODERFILE_BASE_BINARY_BASE_URL", server.url());
            command.envs(keys.map(|keys| ("ENCODERFILE_TRUSTED_KEYS", keys)));
            let said = Said::from(command.args(arguments).output().unwrap());
            assert!(matches!(said.code, 3 | 4) && said.stderr.contains("trusted"), "{arguments:?}: {said:?}");
            assert_eq!(said.stdout, "");
        }
    }
    assert_eq!(server.requests("").len(), 0);
}

/// setup-uv#878: the token for GitHub reaches a mirror.
#[test]
fn a_mirror_gets_no_token() {
    const TOKEN: &str = "ghp_ofTheUser";
    let shelf = Shelf::with(&["0.2.0"]);
    let server = shelf.serve();
    shelf.write("dist/versions.json", "[\"0.2.0\"]");
    for variable in ["GITHUB_TOKEN", "GH_TOKEN"] {
        for requirement in ["0.2.0", "latest"] {
            let mut command = shelf.command();
            command.env(variable, TOKEN).args(["base", "fetch", "--force", "--source", &server.url()]);
            Said::from(command.args(["--runtime-version", requirement]).output().unwrap()).ok();
        }
    }
    let requests = server.requests("");
    assert!(requests.iter().any(|request| request.path.ends_with(".tar.zst")));
    for request in requests {
        assert!(!format!("{request:?}").contains(TOKEN), "{request:?}");
        assert!(!request.headers.contains_key("authorization"), "{request:?}");
    }
}

/// bun#34330: two functions that compute the cache's paths drift apart. However the cache is named, all commands mean the
/// same files.
#[test]
fn all_commands_mean_the_same_cache() {
    type Setting =
        (&'static str, Option<&'static str>, &'static [(&'static str, &'static str)], &'static str);
    const SETTINGS: [Setting; 4] = [
        ("an option", Some("a cache"), &[("ENCODERFILE_CACHE_DIR", "/nonexistent")], "a cache"),
        ("a variable", None, &[("ENCODERFILE_CACHE_DIR", "b/../c")], "c"),
        ("XDG", None, &[("XDG_CACHE_HOME", "xdg")], "xdg"),
        ("the platform", None, &[], "home"),
    ];
    let shelf = Shelf::with(&["0.2.0"]);
    fs::create_dir(shelf.sandbox.path("b")).unwrap();
    for (how, option, variables, below) in SETTINGS {
        if how == "XDG" && !cfg!(target_os = "linux") {
            continue;
        }
        let run = |arguments: &[&str]| {
            let mut command = shelf.command();
            command.env_remove("ENCODERFILE_CACHE_DIR").env("ENCODERFILE_BASE_BINARY_BASE_URL", shelf.dist());
            for (name, value) in variables {
                // The folders of the platform are absolute, or do not count.
                let is_absolute = name.starts_with("XDG");
                let value =
                    if is_absolute { shelf.sandbox.path(value).into() } else { OsString::from(value) };
                command.env(name, value);
            }
            command
                .arg("base")
                .args(arguments)
                .args(option.iter().flat_map(|option| ["--cache-dir", option]));
            Said::from(command.output().unwrap()).ok()
        };
        let version = ["--runtime-version", "0.2.0"];
        let resolve = |path: &str| fs::canonicalize(shelf.sandbox.path(path)).unwrap();
        let fetched = run(&[&["fetch", "--json"][..], &version].concat()).json();
        let fetched = resolve(fetched[0]["path"].as_str().unwrap());
        assert!(fetched.starts_with(resolve(below)), "{how}: {}", fetched.display());
        let path = run(&[&["path"][..], &version].concat()).stdout;
        assert_eq!(resolve(path.trim_end()), fetched, "{how}");
        let only = |json: Value| match json.as_array().unwrap().as_slice() {
            [one] => resolve(one["path"].as_str().unwrap()),
            _ => panic!("{how}: {json}"),
        };
        assert_eq!(only(run(&["list", "--cached", "--json"]).json()), fetched, "{how}");
        assert_eq!(run(&["verify", "--json"]).json().as_array().unwrap().len(), 1, "{how}");
        let folder = run(&["dir"]).stdout;
        assert!(fetched.starts_with(resolve(folder.trim_end())), "{how}: {folder}");
        assert_eq!(run(&["size", "--json"]).json()["base_binaries"]["count"], 1, "{how}");
        run(&["remove", "--all"]);
        assert!(!fetched.exists(), "{how}");
    }
}
