//! The command line `encoderfile`: builds, inspects and verifies encoderfiles, and manages base binaries.

mod args;
mod base;
mod build;
mod build_file;
mod error;
mod extract;
mod files;
mod inspect;
mod model_folder;
mod progress;
mod sentence_transformers;
mod suggestion;
mod terminal;
mod tokenizer;
mod trial;
mod verify;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Arguments, Command};
use crate::error::Error;
use crate::terminal::Terminal;

fn main() -> ExitCode {
    let Arguments { command, global } = Arguments::parse();
    let terminal = Terminal::new(&global);
    remove_temporary_files_on_signals();
    match run(command, global, terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Ctrl-C during a build leaves the old file under the output's name, and nothing beside it.
fn remove_temporary_files_on_signals() {
    let installed = ctrlc::set_handler(|| {
        encoderfile_format::remove_temporary_files();
        #[expect(clippy::exit, reason = "a signal ends the program; the code is that of shells for SIGINT")]
        std::process::exit(130);
    });
    // Without a handler, the signal ends the program as ever.
    drop(installed);
}

fn run(command: Command, mut global: args::Global, terminal: Terminal) -> Result<(), Error> {
    match command {
        Command::Build(arguments) => build::run(&arguments, &mut global, terminal),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Extract(arguments) => extract::run(&arguments, terminal),
        Command::Base(command) => base::run(&command, &global, terminal),
    }
}
