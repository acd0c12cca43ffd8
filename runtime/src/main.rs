//! The base binary of an encoderfile: an executable that runs the model appended to it.
//!
//! What happens in `infer`, in the order of the modules: [`executable`] opens the running file, [`library`] loads the embedded
//! ONNX Runtime, [`mapping`] points it at the weights, whose files [`external`] finds, [`session`] makes a session of it;
//! [`input`] reads texts, [`prompt`] says what stands before each, [`tokenization`] and [`batch`] turn them into tensors,
//! [`task`] turns the model's output into the results that [`answer`] writes. What goes wrong, see [`error`], is shown by
//! [`terminal`].

mod answer;
mod batch;
mod cli;
mod error;
mod executable;
mod external;
mod infer;
mod input;
mod library;
mod mapping;
mod pooling;
mod prompt;
mod session;
mod softmax;
mod stamp;
mod task;
mod terminal;
mod tokenization;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::cli::{Arguments, Command};
use crate::error::Error;
use crate::executable::Executable;
use crate::terminal::Printable;

fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| cli::with_tip(error, &own_name()).exit());
    match run(arguments) {
        // Whoever reads the output has read enough.
        Ok(()) | Err(Error::ReaderGone) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::error(&error);
            error.exit_code()
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Error> {
    if arguments.version {
        let text = stamp::embedded()?.to_text();
        return io::stdout().write_all(text.as_bytes()).map_err(Error::writing);
    }
    let executable = Executable::open()?;
    match arguments.command {
        Some(Command::Infer(options)) => infer::infer(&executable, &options),
        None => {
            let name = own_name();
            let usage = Arguments::command().bin_name(&name).render_usage().to_string();
            Err(Error::NoCommand { model: executable.description(), usage, name })
        }
    }
}

/// The file name that this program was called by.
fn own_name() -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    Printable(&Path::new(&path).file_name().unwrap_or_default().to_string_lossy()).to_string()
}
