//! New files in the place of old ones: builds that are killed, and builds that want the same name.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::bench::Random;
use crate::sandbox::{Said, Sandbox, runtime};

/// Kills altogether, and those who share them.
const KILLS: usize = 100;
const WORKERS: usize = 2;

/// A build that takes no trial run, and so nothing but writing.
fn build(sandbox: &Sandbox, model: &str, version: &str) -> Command {
    let mut command = sandbox.command();
    command.arg("build").arg(encoderfile_testing::model_folder(model));
    command
        .args(["--no-check", "-o", "out", "--model-version", version, "--base-binary-path"])
        .arg(runtime());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn said(process: Child) -> Said {
    process.wait_with_output().unwrap().into()
}

/// The version of the model in the file, all of whose bytes are what was written.
fn verified_version(sandbox: &Sandbox, file: &Path) -> String {
    sandbox.run([Path::new("verify"), file]).ok();
    let inspected = sandbox.run([Path::new("inspect"), Path::new("--json"), file]).ok().json();
    inspected["version"].as_str().unwrap().to_owned()
}

#[test]
fn a_killed_build_leaves_the_old_file_or_the_new_one() {
    let outcomes = thread::scope(|scope| {
        let workers = [(); WORKERS].map(|()| scope.spawn(kill_often));
        workers.map(|worker| worker.join().unwrap())
    });
    let [killed, replaced] = [0, 1].map(|index| outcomes.iter().map(|outcome| outcome[index]).sum::<usize>());
    println!("{killed} of {KILLS} were killed, {replaced} had replaced the old file by then");
    // Else they were done before.
    assert!(killed > KILLS / 10, "only {killed} were killed");
}

/// How many were killed before they were done, and how many of these had replaced the old file.
fn kill_often() -> [usize; 2] {
    let sandbox = Sandbox::new();
    let out = sandbox.path("out");
    let start = Instant::now();
    said(build(&sandbox, "embedding", "0").spawn().unwrap()).ok();
    let usual = u64::try_from(start.elapsed().as_nanos()).unwrap();
    let mut random = Random::new(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into());
    let [mut killed, mut replaced] = [0, 0];
    let mut old = "0".to_owned();
    for number in 1..=KILLS / WORKERS {
        let new = number.to_string();
        let mut process = build(&sandbox, "embedding", &new).spawn().unwrap();
        thread::sleep(Duration::from_nanos(random.below(usual)));
        process.kill().unwrap();
        let is_killed = process.wait().unwrap().signal().is_some();
        let found = verified_version(&sandbox, &out);
        assert!(found == old || found == new, "{found}: neither {old} nor {new}");
        killed += usize::from(is_killed);
        replaced += usize::from(is_killed && found == new);
        old = found;
    }
    // What the dead ones left is gone with the next.
    said(build(&sandbox, "embedding", "last").spawn().unwrap()).ok();
    assert_eq!(sandbox.leftovers(), ["out"]);
    [killed, replaced]
}

#[test]
fn builds_of_one_path_at_the_same_time_give_one_of_the_files() {
    let sandbox = Sandbox::new();
    let out = sandbox.path("out");
    let models = ["embedding", "sequence_classification", "sentence_embedding", "token_classification"];
    for _ in 0..5 {
        let start =
            |(number, model): (usize, &&str)| build(&sandbox, model, &number.to_string()).spawn().unwrap();
        let processes: Vec<_> = models.iter().enumerate().map(start).collect();
        for process in processes {
            said(process).ok();
        }
        let version: usize = verified_version(&sandbox, &out).parse().unwrap();
        let both = fs::read(&out).unwrap();
        said(build(&sandbox, models[version], &version.to_string()).spawn().unwrap()).ok();
        assert!(
            fs::read(&out).unwrap() == both,
            "the file is none that one of them would have written alone"
        );
        assert_eq!(sandbox.leftovers(), ["out"]);
    }
}

/// Each of them, also those that the file holds in another form, or not at all.
#[test]
fn no_input_is_replaced() {
    let sandbox = Sandbox::new();
    let model = sandbox.model("sentence_embedding");
    fs::write(sandbox.path("t.lua"), "function Postprocess(arr) return arr end").unwrap();
    let yml = "encoderfile: {path: model, transform: {path: t.lua}}";
    fs::write(sandbox.path("encoderfile.yml"), yml).unwrap();
    let inputs = [
        "model/model.onnx",
        "model/config.json",
        "model/tokenizer.json",
        "model/tokenizer_config.json",
        "model/modules.json",
        "model/1_Pooling/config.json",
        "t.lua",
        "encoderfile.yml",
    ];
    for input in inputs {
        let before = fs::read(sandbox.path(input)).unwrap();
        let mut command = sandbox.command();
        command.args(["build", "--no-check", "-o", input, "--base-binary-path"]).arg(runtime());
        let said = Said::from(command.output().unwrap());
        said.failed(1, &["is also the input", "hint: choose another `--output`"]);
        assert!(fs::read(sandbox.path(input)).unwrap() == before, "{input}");
    }
    assert!(model.is_dir());
}
