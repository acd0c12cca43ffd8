//! The command line `encoderfile`: builds, inspects and verifies encoderfiles, and manages base binaries.
//!
//! The program is [`main`]. What else is public is the build file, `encoderfile.yml`, so that its parser can be fuzzed and its
//! JSON Schema be published.
#![deny(missing_docs)]

mod args;
mod assembly;
mod base;
mod bases;
mod build;
mod build_file;
mod config_file;
mod content;
mod diff;
mod documentation;
mod error;
mod extract;
mod files;
mod inspect;
mod interrupt;
mod model;
mod pins;
mod progress;
mod rebase;
mod sources;
mod suggestion;
mod terminal;
mod trial;
mod verify;

use std::process::ExitCode;

use clap::Parser as _;

pub use build_file::{
    BuildFile, BuildFileError, LuaLib, ModelFiles, PadStrategy, Place, TokenizerSettings, Transform,
    TruncationSide, TruncationStrategy,
};

use crate::args::{Arguments, Command};
use crate::error::Error;
use crate::terminal::Terminal;

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let Arguments { command, global } = Arguments::parse();
    let global = global.without_empty();
    let terminal = Terminal::new(&global);
    interrupt::handle_signals();
    match run(command, global, terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Differ) => ExitCode::FAILURE,
        Err(error) => {
            terminal::error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(command: Command, mut global: args::Global, terminal: Terminal) -> Result<(), Error> {
    match command {
        Command::Build(arguments) => build::run(&arguments, &mut global, terminal),
        Command::Rebase(arguments) => rebase::run(&arguments, &global, terminal),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments, &global, terminal),
        Command::Extract(arguments) => extract::run(&arguments, terminal),
        Command::Diff(arguments) => diff::run(&arguments),
        Command::Base(command) => base::run(&command, &global, terminal),
        Command::Completions(arguments) => documentation::completions(&arguments),
        Command::Man(arguments) => documentation::man(&arguments, terminal),
    }
}
