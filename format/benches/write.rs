//! The writer against `cp` of the same bytes, both brought to the disk, and the same weights put into a Mach-O executable of
//! the same size, which are signed there: `cargo bench -p encoderfile-format`.
//!
//! Arguments, all optional: megabytes of base binary (50) and of weights (950), rounds (5), a folder on the disk to
//! measure (the system's for temporary files).
#![allow(clippy::print_stdout, reason = "it prints what it measures")]

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use encoderfile_format::{
    ArtifactKind, Base, Content, Description, Encoderfile, ModelType, Part, Payload, Tool, write,
};
use encoderfile_testing::mach_o::{Fixups, MachO, Processor};

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo adds `--bench`.
    let arguments: Vec<_> = std::env::args().skip(1).filter(|text| text != "--bench").collect();
    let number = |index: usize, default: usize| arguments.get(index).map_or(Ok(default), |text| text.parse());
    let (base_size, weights_size, rounds) = (number(0, 50)?, number(1, 950)?, number(2, 5)?);
    let folder = match arguments.get(3) {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let (base, weights) = (folder.path().join("base"), folder.path().join("model.onnx"));
    fill(&base, base_size, 1)?;
    fill(&weights, weights_size, 2)?;
    let image = folder.path().join("image");
    let content = fs::read(&base)?;
    fs::write(&image, MachO { content, ..MachO::new(Processor::Arm64, Fixups::ChainedWithoutRoom) }.build())?;
    let (copy, output) = (folder.path().join("copy"), folder.path().join("output"));

    let (mut copying, mut writing, mut verifying) = (Vec::new(), Vec::new(), Vec::new());
    let (mut signing, mut verifying_pages) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Taking turns, so that none always finds the disk as another left it.
        for turn in 0..3 {
            let (base, written, verified) = match (round + turn) % 3 {
                0 => {
                    let start = Instant::now();
                    run_cp(&base, &weights, &copy)?;
                    copying.push(start.elapsed());
                    fs::remove_file(&copy)?;
                    Command::new("sync").status()?;
                    continue;
                }
                1 => (&base, &mut writing, &mut verifying),
                _ => (&image, &mut signing, &mut verifying_pages),
            };
            let start = Instant::now();
            run_writer(base, &weights, &output)?;
            written.push(start.elapsed());
            let start = Instant::now();
            let findings = Encoderfile::open(File::open(&output)?)?.verify()?;
            verified.push(start.elapsed());
            if findings.iter().any(encoderfile_format::Finding::is_damage) {
                return Err("the written file is damaged".into());
            }
            fs::remove_file(&output)?;
            Command::new("sync").status()?;
        }
    }
    let (copying, writing, verifying) = (median(copying), median(writing), median(verifying));
    println!("{base_size} MB + {weights_size} MB, median of {rounds}");
    println!("cp and sync  {copying:.3} s");
    println!("write        {writing:.3} s   ratio {:.3}", writing / copying);
    println!("verify       {verifying:.3} s");
    let (signing, verifying_pages) = (median(signing), median(verifying_pages));
    println!("Mach-O       {signing:.3} s   ratio {:.3} to write", signing / writing);
    println!("verify       {verifying_pages:.3} s");
    println!("peak memory  {}", peak_memory()?);
    Ok(())
}

/// Bytes that no file system stores in fewer.
fn fill(path: &Path, megabytes: usize, seed: u64) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut state = seed;
    for _ in 0..megabytes * (1_000_000 / 8) {
        // The step of a linear congruential generator, folded: only its lack of repetition matters.
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        file.write_all(&(state ^ (state >> 29)).to_le_bytes())?;
    }
    file.into_inner()?.sync_all()
}

fn run_cp(base: &Path, weights: &Path, copy: &Path) -> Result<(), Box<dyn Error>> {
    let script = "cp \"$1\" \"$3\" && cat \"$2\" >> \"$3\" && sync \"$3\"";
    let status = Command::new("sh").args(["-c", script, "sh"]).args([base, weights, copy]).status()?;
    if status.success() { Ok(()) } else { Err("cp failed".into()) }
}

fn run_writer(base_path: &Path, weights: &Path, output: &Path) -> Result<(), Box<dyn Error>> {
    let file = File::open(base_path)?;
    let base = Base {
        path: base_path,
        file: &file,
        target: "x86_64-unknown-linux-gnu".to_owned(),
        version: "0.1.0".to_owned(),
        key_id: None,
        expected: None,
    };
    let payload = Payload {
        description: Description::new(ModelType::Embedding, "bench", "1"),
        writer: Tool { name: "bench".to_owned(), version: "1".to_owned() },
        parts: vec![Part {
            kind: ArtifactKind::Weights,
            name: Some("model.onnx".to_owned()),
            content: Content::File { path: weights.to_owned(), file: File::open(weights)? },
        }],
    };
    write(&base, &payload, output)?.persist()?;
    Ok(())
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

/// Of this process, which has held no model itself. Linux only.
fn peak_memory() -> Result<String, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(line.unwrap_or("unknown").trim().to_owned())
}
