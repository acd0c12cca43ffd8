//! `encoderfile completions` and `man`: what the command line says of itself, for shells and for `man`.

use std::fs;
use std::io;

use clap_mangen::roff::{Roff, bold, roman};

use crate::args::{self, VARIABLES, documented};
use crate::error::Error;
use crate::terminal::{self, Terminal};

const NAME: &str = env!("CARGO_PKG_NAME");
const PRECEDENCE: &str = "Flags win over variables, these over the build file, and all over config.toml.";

const EXIT_STATUS: [(&str, &str); 8] = [
    ("0", "Done."),
    ("1", "Failed."),
    ("2", "The command line, a variable or a configuration file cannot be used."),
    ("3", "What was asked for is not available: not cached, not released, no such target."),
    ("4", "Verification failed: a signature, a digest or a size is not as it should be."),
    ("5", "The network failed."),
    ("6", "Another process kept a lock for too long."),
    ("130", "Interrupted."),
];

const FILES: [(&str, &str); 4] = [
    ("encoderfile.yml", "What to build, if neither a model folder nor another build file is named."),
    (
        "encoderfile.lock",
        "Beside the build file: the base binaries that it is built with, pinned by version, key and digests.",
    ),
    (
        "~/.config/encoderfile/config.toml",
        "Sources, keys and time-outs. On macOS in ~/Library/Application Support/encoderfile.",
    ),
    ("~/.cache/encoderfile", "Base binaries. On macOS ~/Library/Caches/encoderfile."),
];

/// Prints a shell's completion script, with the target triples in it.
pub(crate) fn completions(arguments: &args::Completions) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut documented(), NAME, &mut script);
    terminal::bytes(&script)
}

/// Prints the manual page, or writes the pages of all commands into a folder.
pub(crate) fn man(arguments: &args::Man, terminal: Terminal) -> Result<(), Error> {
    let page = main_page().map_err(Error::Stdout)?;
    let Some(folder) = &arguments.output else { return terminal::bytes(&page) };
    let cannot_create = |source| Error::CreateFolder { path: folder.clone(), source };
    fs::create_dir_all(folder).map_err(cannot_create)?;
    let cannot_write = |source| Error::Output { path: folder.clone(), source };
    clap_mangen::generate_to(documented(), folder).map_err(cannot_write)?;
    fs::write(folder.join(format!("{NAME}.1")), page).map_err(cannot_write)?;
    terminal.status("Wrote", format_args!("the manual pages into {}", folder.display()));
    Ok(())
}

/// The page of the program itself, with what holds for all commands.
fn main_page() -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    // `help` has no page.
    clap_mangen::Man::new(documented().disable_help_subcommand(true)).render(&mut page)?;
    let mut roff = Roff::new();
    section(&mut roff, "EXIT STATUS", &EXIT_STATUS);
    section(&mut roff, "ENVIRONMENT", &VARIABLES);
    roff.control("PP", []).text([roman(PRECEDENCE)]);
    section(&mut roff, "FILES", &FILES);
    roff.to_writer(&mut page)?;
    Ok(page)
}

/// Terms and what they mean.
fn section(roff: &mut Roff, title: &str, terms: &[(&str, &str)]) {
    roff.control("SH", [title]);
    for (term, meaning) in terms {
        roff.control("TP", []).text([bold(*term)]).text([roman(*meaning)]);
    }
}
