//! `encoderfile completions` and `man`: what the command line says of itself, for shells and for `man`.

use std::fs;

use crate::args::{self, documented};
use crate::error::Error;
use crate::terminal::{self, Terminal};

const NAME: &str = env!("CARGO_PKG_NAME");

/// Prints a shell's completion script, with the target triples in it.
pub(crate) fn completions(arguments: &args::Completions) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut documented(), NAME, &mut script);
    terminal::bytes(&script)
}

/// Prints the manual page, or writes the pages of all commands into a folder.
pub(crate) fn man(arguments: &args::Man, terminal: Terminal) -> Result<(), Error> {
    let Some(folder) = &arguments.output else {
        let mut page = Vec::new();
        clap_mangen::Man::new(documented()).render(&mut page).map_err(Error::Stdout)?;
        return terminal::bytes(&page);
    };
    let cannot_create = |source| Error::CreateFolder { path: folder.clone(), source };
    fs::create_dir_all(folder).map_err(cannot_create)?;
    let cannot_write = |source| Error::Output { path: folder.clone(), source };
    clap_mangen::generate_to(documented(), folder).map_err(cannot_write)?;
    terminal.status("Wrote", format_args!("the manual pages into {}", folder.display()));
    Ok(())
}
