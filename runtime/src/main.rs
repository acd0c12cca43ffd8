//! The base binary of an encoderfile: an executable that runs the model appended to it.
//!
//! What happens in `infer`, in the order of the modules: [`executable`] opens the running file, [`library`] loads the embedded
//! ONNX Runtime, [`mapping`] points it at the weights, [`session`] makes a session of it; [`input`] reads texts,
//! [`tokenization`] and [`batch`] turn them into tensors, [`task`] turns the model's output into the results that [`answer`]
//! writes.

mod answer;
mod batch;
mod cli;
mod error;
mod executable;
mod infer;
mod input;
mod library;
mod mapping;
mod pooling;
mod session;
mod softmax;
mod stamp;
mod task;
mod tokenization;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::cli::{Arguments, Command};
use crate::error::Error;
use crate::executable::Executable;

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        // Whoever reads the output has read enough.
        Ok(()) | Err(Error::ReaderGone) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to report to where standard error is closed.
            let _ = error.report(&mut io::stderr().lock());
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
            let name = std::env::args_os().next().unwrap_or_default();
            let name = Path::new(&name).file_name().unwrap_or_default().to_string_lossy().into_owned();
            let usage = Arguments::command().bin_name(&name).render_usage().to_string();
            Err(Error::NoCommand { model: executable.description(), usage, name })
        }
    }
}
