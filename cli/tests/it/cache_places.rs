//! Where a cache, and what is written beside it, may lie: other devices, odd names, places that are full or closed.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use encoderfile_testing::Fault;

use crate::bench::{Bench, files, unfinished, wait_until};
use crate::sandbox::Said;

const LENGTH: usize = 1_000_000;

/// Everything that a cache is for works with this one.
fn works(bench: &Bench, cache: &Path) {
    bench.sandbox.model("embedding");
    let run = |arguments: &[&str]| {
        let mut command = bench.command();
        command.arg("--cache-dir").arg(cache).args(arguments);
        Said::from(command.output().unwrap()).ok()
    };
    run(&["base", "fetch"]);
    let path = PathBuf::from(run(&["base", "path"]).stdout.trim_end());
    let cache = bench.sandbox.path("").join(cache);
    assert!(path.starts_with(&cache), "{} is not in {}", path.display(), cache.display());
    assert!(path.is_file());
    assert!(cache.join("CACHEDIR.TAG").is_file());
    let built = run(&["build", "model", "--no-check", "--no-download", "-o", "out", "--json"]).json();
    assert!(fs::read(bench.sandbox.path("out")).unwrap().starts_with(&fs::read(&path).unwrap()));
    assert_eq!(built[0]["path"], "out");
    run(&["base", "export", "-o", "bundle", "--force"]);
    run(&["base", "remove", "--all"]);
    assert_eq!(run(&["base", "list", "--cached", "--json"]).json(), serde_json::json!([]));
    run(&["base", "import", "bundle"]);
    run(&["base", "verify"]);
    assert_eq!(unfinished(&cache), Vec::<PathBuf>::new());
    assert!(!bench.sandbox.cache().exists(), "nothing was written to the cache that was not meant");
}

#[test]
fn a_cache_on_another_device() {
    let bench = Bench::new(LENGTH);
    let device = |path: &Path| path.metadata().map(|metadata| metadata.dev()).ok();
    let elsewhere = Path::new("/dev/shm");
    if device(elsewhere).is_none() || device(elsewhere) == device(&bench.sandbox.path("")) {
        println!("skipped: /dev/shm is no other device than the build directory");
        return;
    }
    match tempfile::tempdir_in(elsewhere) {
        Ok(cache) => works(&bench, cache.path()),
        Err(error) => println!("skipped: {error}"),
    }
}

#[test]
fn a_cache_with_an_odd_name() {
    for name in ["mein Häuschen 家", "relative/and deep", "quote'\"s", "-dash", "%20$HOME"] {
        let bench = Bench::new(LENGTH);
        works(&bench, &bench.sandbox.path("").join(name));
    }
    let bench = Bench::new(LENGTH);
    works(&bench, Path::new("relative cache"));
}

#[test]
fn a_cache_that_is_a_link() {
    let bench = Bench::new(LENGTH);
    let folder = bench.sandbox.path("elsewhere");
    fs::create_dir(&folder).unwrap();
    symlink(&folder, bench.sandbox.path("link")).unwrap();
    works(&bench, &bench.sandbox.path("link"));
    assert!(bench.sandbox.path("link").is_symlink());
    assert!(folder.join("CACHEDIR.TAG").exists());
}

#[test]
fn a_cache_that_can_be_none_is_named() {
    let bench = Bench::new(LENGTH);
    fs::write(bench.sandbox.path("file"), "mine").unwrap();
    symlink("nowhere", bench.sandbox.path("dangling")).unwrap();
    for (cache, what) in [
        ("file", "cause: Not a directory"),
        ("file/below", "cause: Not a directory"),
        ("dangling", "error: cannot create directory"),
    ] {
        let path = bench.sandbox.path(cache);
        bench.run(["base", "fetch", "--cache-dir", cache]).failed(1, &[path.to_str().unwrap(), what]);
    }
    assert_eq!(fs::read(bench.sandbox.path("file")).unwrap(), b"mine");
    assert_eq!(bench.downloads(), 0);
}

/// A script in a namespace where this user may mount; none, with a message, where the system does not allow it.
#[expect(clippy::print_stdout, reason = "a test that was not made should not look like one that was")]
fn namespace(bench: &Bench, script: &str) -> Option<Command> {
    let works = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    match works {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            println!("skipped: no user namespaces: {}", String::from_utf8_lossy(&output.stderr).trim_end());
            return None;
        }
        Err(error) => {
            println!("skipped: unshare: {error}");
            return None;
        }
    }
    Some(bench.through(&["unshare", "-rm", "sh", "-euc", script]))
}

/// What a script printed between the lines that separate its steps.
#[track_caller]
fn steps(command: &mut Command) -> Vec<String> {
    let said = Said::from(command.output().unwrap()).ok();
    said.stdout.split("== next\n").map(str::to_owned).collect()
}

#[test]
fn a_read_only_cache_serves_and_says_that_it_takes_nothing() {
    let bench = Bench::new(LENGTH);
    bench.sandbox.model("embedding");
    let script = r#"
        mount --bind cache cache
        mount -o remount,bind,ro cache
        "$ENCODERFILE" base fetch
        "$ENCODERFILE" base path
        "$ENCODERFILE" base verify
        "$ENCODERFILE" base list
        "$ENCODERFILE" base size
        "$ENCODERFILE" build model --no-check -o out
        "$ENCODERFILE" base prune
        echo "== next"
        "$ENCODERFILE" base fetch --all 2>&1 || echo "exit $?"
        echo "== next"
        "$ENCODERFILE" base remove --all 2>&1 || echo "exit $?"
        "#;
    let Some(mut command) = namespace(&bench, script) else { return };
    bench.run(["base", "fetch"]).ok();
    // As an image has it that was built without locks.
    fs::remove_dir_all(bench.sandbox.cache().join("base/v1/locks")).unwrap();
    let before = files(&bench.sandbox.cache());
    let steps = steps(&mut command);
    let cache = bench.sandbox.cache();
    for text in ["Read-only file system", cache.to_str().unwrap(), "--cache-dir", "exit 1\n"] {
        assert!(steps[1].contains(text), "`{text}` is not in {}", steps[1]);
    }
    for text in ["cannot be written", cache.to_str().unwrap(), "exit 1\n"] {
        assert!(steps[2].contains(text), "`{text}` is not in {}", steps[2]);
    }
    assert_eq!(files(&bench.sandbox.cache()), before);
    assert!(bench.sandbox.path("out").exists());
}

/// `find`, of what nobody should see of an installation that failed.
const FIND: &str = "find cache -name '.tmp-*' -o -name encoderfile-runtime -o -name receipt.json";

#[test]
fn a_disk_without_room_is_told_before_anything_is_downloaded() {
    let bench = Bench::new(3_000_000);
    let script = format!(
        r#"
        mkdir cache
        mount -t tmpfs -o size=4m none cache
        "$ENCODERFILE" base fetch 2>&1 || echo "exit $?"
        {FIND}
        echo "== next"
        mount -o remount,size=64m cache
        "$ENCODERFILE" base fetch
        "$ENCODERFILE" base verify
        find cache -path '*/partial/*' -o -name '.tmp-*'
        "#
    );
    let Some(mut command) = namespace(&bench, &script) else { return };
    let steps = steps(&mut command);
    let cache = bench.sandbox.cache();
    for text in
        ["error: not enough space in", cache.to_str().unwrap(), "needed:", "available:", "hint: make room"]
    {
        assert!(steps[0].contains(text), "`{text}` is not in {}", steps[0]);
    }
    assert!(steps[0].ends_with("exit 1\n"), "{}", steps[0]);
    assert_eq!(steps[1], "");
    assert_eq!(bench.downloads(), 1);
}

/// Each of four downloads has room enough, but not all of them.
#[test]
fn a_disk_that_fills_up_meanwhile_leaves_nothing_half_installed() {
    let bench = Bench::new(LENGTH);
    let script = r#"
        mkdir cache
        mount -t tmpfs -o size=4m none cache
        "$ENCODERFILE" base fetch --all 2>&1 || echo "exit $?"
        echo "== next"
        find cache -name '.tmp-*'
        "$ENCODERFILE" base verify
        echo "== next"
        mount -o remount,size=64m cache
        "$ENCODERFILE" base fetch --all --json
        "$ENCODERFILE" base verify
        echo "== next"
        find cache -path '*/partial/*' -o -name '.tmp-*'
        "#;
    let Some(mut command) = namespace(&bench, script) else { return };
    bench.server.misbehave(".tar.zst", Fault::Hold, 4);
    let steps = std::thread::scope(|scope| {
        let steps = scope.spawn(|| steps(&mut command));
        wait_until("four downloads", || bench.downloads() == 4 || steps.is_finished());
        bench.server.release();
        steps.join().unwrap()
    });
    for text in ["error: cannot write", "No space left on device", "exit 1\n"] {
        assert!(steps[0].contains(text), "`{text}` is not in {}", steps[0]);
    }
    assert_eq!(steps[1], "");
    let fetched: serde_json::Value = serde_json::from_str(&steps[2]).unwrap();
    assert_eq!(fetched.as_array().unwrap().len(), 4);
    assert!(fetched.as_array().unwrap().iter().any(|entry| entry["was_cached"] == false));
    assert_eq!(steps[3], "");
    // What was here before the disk was full was not sent twice, but for what was on its way.
    let resumed = bench.server.requests(".tar.zst").split_off(4);
    assert!(resumed.iter().all(|request| request.headers.contains_key("range")), "{resumed:?}");
}

/// Room is left, but no more files can be made.
#[test]
fn a_disk_without_inodes_is_told() {
    let bench = Bench::new(LENGTH);
    let script = format!(
        r#"
        mkdir cache
        mount -t tmpfs -o size=64m,nr_inodes=12 none cache
        "$ENCODERFILE" base fetch 2>&1 || echo "exit $?"
        {FIND}
        echo "== next"
        mount -o remount,nr_inodes=100 cache
        "$ENCODERFILE" base fetch
        "$ENCODERFILE" base verify
        find cache -path '*/partial/*' -o -name '.tmp-*'
        "#
    );
    let Some(mut command) = namespace(&bench, &script) else { return };
    let steps = steps(&mut command);
    for text in ["error: cannot ", "cause: No space left on device", "hint: "] {
        assert!(steps[0].contains(text), "`{text}` is not in {}", steps[0]);
    }
    assert!(steps[0].ends_with("exit 1\n"), "{}", steps[0]);
    assert_eq!(steps[1], "");
}

/// Runs it unable to write files of more than so many blocks (of 512 or 1024 bytes).
fn limited(bench: &Bench, blocks: u32, arguments: &[&str]) -> Said {
    // An error instead of a signal, as on a full disk.
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$ENCODERFILE\" \"$@\"");
    let mut command = bench.through(&["sh", "-euc", &script, "sh"]);
    command.args(arguments).output().unwrap().into()
}

#[test]
fn an_output_that_cannot_be_completed_leaves_the_old_one() {
    let bench = Bench::new(LENGTH);
    bench.sandbox.model("embedding");
    bench.run(["base", "fetch"]).ok();
    for arguments in
        [&["base", "export", "--force", "-o", "out"][..], &["build", "model", "--no-check", "-o", "out"]]
    {
        for old in [None, Some("old")] {
            let output = bench.sandbox.path("out");
            match old {
                Some(old) => fs::write(&output, old).unwrap(),
                None => assert!(!output.exists()),
            }
            limited(&bench, 500, arguments).failed(1, &["cannot write `out`", "cause: File too large"]);
            assert_eq!(fs::read_to_string(&output).ok().as_deref(), old);
            assert_eq!(unfinished(&bench.sandbox.path("")), Vec::<PathBuf>::new());
        }
        bench.run(arguments).ok();
        fs::remove_file(bench.sandbox.path("out")).unwrap();
    }
}

#[test]
fn a_lockfile_that_cannot_be_written_stays_as_it_was() {
    let bench = Bench::new(LENGTH);
    bench.sandbox.model("embedding");
    let script = r#"
        mkdir locked
        mount -t tmpfs -o size=16k none locked
        cp encoderfile.lock locked/
        head -c 100000 /dev/zero >locked/fill 2>/dev/null || true
        "$ENCODERFILE" build model --no-check -o out --lockfile locked/encoderfile.lock --target aarch64-apple-darwin 2>&1 || echo "exit $?"
        ls -A locked
        cmp encoderfile.lock locked/encoderfile.lock
        echo "== next"
        rm locked/fill
        "$ENCODERFILE" build model --no-check -o out --lockfile locked/encoderfile.lock --target aarch64-apple-darwin
        ls -A locked
        grep -c target locked/encoderfile.lock
        "#;
    let Some(mut command) = namespace(&bench, script) else { return };
    bench.run(["build", "model", "--no-check", "-o", "out", "--lockfile", "encoderfile.lock"]).ok();
    let steps = steps(&mut command);
    for text in ["error: cannot write", "encoderfile.lock", "No space left on device"] {
        assert!(steps[0].contains(text), "`{text}` is not in {}", steps[0]);
    }
    assert!(!steps[0].contains("--cache-dir"), "the cache has nothing to do with it: {}", steps[0]);
    assert!(steps[0].ends_with("exit 1\nencoderfile.lock\nfill\n"), "{}", steps[0]);
    assert_eq!(steps[1], "encoderfile.lock\n2\n");
}
