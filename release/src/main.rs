//! The maintainers' tool: makes a release of base binaries out of built executables.
//!
//! `pack` makes archives, `index` describes them in one document, `sign` vouches for both, `publish` brings them to GitHub.
//! Each step reads the files of the one before it and nothing else, and can be run again.

mod archive;
mod args;
mod error;
mod executable;
mod floor;
mod folder;
mod index;
mod keygen;
mod output;
mod pack;
mod preflight;
mod publish;
mod sign;
mod source_date;
mod third_party;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Arguments, Command};
use crate::error::Error;
use crate::third_party::Notices;

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
        Command::Keygen { out } => keygen::keygen(&out, keygen::password()?)?.to_string(),
        Command::Pack(arguments) => pack::pack(&arguments)?.to_string(),
        Command::Index { version, directory } => index::index(&directory, &version)?.to_string(),
        Command::Sign { directory, key } => sign::sign(&directory, &key, keygen::password()?)?.to_string(),
        Command::Publish(arguments) => publish::publish(&arguments)?.to_string(),
        Command::Preflight { tag, key_id, directory } => preflight::preflight(&directory, &tag, key_id)?,
        Command::ThirdParty { program, target, out, manifest_path } => {
            let notices = Notices {
                program,
                target,
                onnxruntime_version: None,
                manifest_path: manifest_path.as_deref(),
                instead: None,
            };
            let notices = third_party::generate(&notices)?;
            if out == Path::new("-") {
                return Ok(notices);
            }
            output::write(&out, 0o644, notices.as_bytes())?;
            out.display().to_string()
        }
    })
}
