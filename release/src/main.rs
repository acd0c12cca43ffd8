//! The maintainers' tool: makes a release of base binaries out of built executables.
//!
//! `check` says what an executable is and what it needs, `pack` makes archives, `index` describes them in one document,
//! `sign` vouches for both, `verify` believes nothing and looks at all of it again, `publish` brings it to GitHub. Each step
//! reads the files of the one before it and nothing else, and can be run again.

mod archive;
mod args;
mod changelog;
mod check;
mod component;
mod error;
mod executable;
mod floor;
mod folder;
mod index;
mod keygen;
mod linkage;
mod onnxruntime;
mod output;
mod pack;
mod part;
mod pin;
mod preflight;
mod publish;
mod sbom;
mod sign;
mod source_date;
mod third_party;
mod verify;
mod work_tree;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Arguments, Command};
use crate::component::Notices;
use crate::error::Error;

fn main() -> ExitCode {
    // A reader that has seen enough (`| head`) is no failure, and nobody is left to tell of one.
    match run(Arguments::parse().command) {
        Ok(report) => {
            let _ = writeln!(io::stdout(), "{}", report.trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = write!(io::stderr(), "{}", error.report());
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(command: Command) -> Result<String, Error> {
    Ok(match command {
        Command::Keygen { out } => {
            let generated = keygen::keygen(&out, keygen::password()?)?;
            if let Some(warning) = generated.warning() {
                let _ = writeln!(io::stderr(), "{warning}");
            }
            generated.to_string()
        }
        Command::PinOnnxruntime { version, python, file } => {
            pin::pin(&file, &version.to_string(), python.as_deref())?.to_string()
        }
        Command::Preflight { tag, key_id, directory } => preflight::preflight(&directory, &tag, key_id)?,
        Command::Check { file, target, program } => check::check(&file, target, program)?.to_json(),
        Command::Pack(arguments) => pack::pack(&arguments)?.to_string(),
        Command::Index { version, published, directory } => {
            index::index(&directory, &version, published)?.to_string()
        }
        Command::Sign { directory, keys } => sign::sign(&directory, &keys, keygen::password_at)?.to_string(),
        Command::Verify { directory, trusted_keys } => {
            verify::verify(&directory, &verify::trusted_keys(&trusted_keys)?)?.to_string()
        }
        Command::Publish(arguments) => publish::publish(&arguments)?.to_string(),
        Command::ThirdParty { program, target, out, manifest_path } => {
            let notices = Notices {
                program,
                target,
                onnxruntime_version: None,
                onnxruntime_sha256: None,
                manifest_path: manifest_path.as_deref(),
                instead: None,
            };
            let notices = third_party::render(&component::compose(&notices)?);
            if out == Path::new("-") {
                return Ok(notices);
            }
            output::write(&out, 0o644, notices.as_bytes())?;
            out.display().to_string()
        }
    })
}
