//! `encoderfile base export` and `import`.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Read, Write as _};
use std::path::{Path, PathBuf};

use encoderfile_format::{Pending, create_beside};
use encoderfile_registry::{BaseBinary, ExportReport};
use serde::Serialize;

use super::fetch::{self, FetchedReport};
use super::name;
use crate::args;
use crate::bases::Bases;
use crate::error::Error;
use crate::files::open;
use crate::terminal::{self, size};

/// Standard input or output, in the place of a path.
const STANDARD: &str = "-";

/// What `base export --json` prints.
#[derive(Debug, Serialize)]
struct ExportedReport {
    path: PathBuf,
    /// Bytes, of the bundle.
    length: u64,
    base_binaries: Vec<FetchedReport>,
}

pub(super) fn export(arguments: &args::BaseExport, bases: &Bases) -> Result<(), Error> {
    let to_standard_output = arguments.output == Path::new(STANDARD);
    if to_standard_output && io::stdout().is_terminal() {
        return Err(Error::BundleToTerminal);
    }
    if !to_standard_output && !arguments.force && arguments.output.exists() {
        return Err(Error::OutputExists { path: arguments.output.clone() });
    }
    let version = bases.resolve_for_build(&arguments.wish.release.wanted(), &[])?;
    let targets = fetch::targets(&arguments.wish, &version, bases)?;
    let (base_binaries, failure) = fetch::all(&targets, &version, false, None, bases)?;
    failure.map_or(Ok(()), Err)?;
    let locate = |&target| bases.wait(bases.registry.locate(target, &version, &bases.voice()));
    let found = targets.iter().map(locate).collect::<Result<Vec<_>, _>>()?;
    let report = if to_standard_output {
        let mut out = BufWriter::new(io::stdout().lock());
        let report = write(&found, &mut out, bases)?;
        out.flush().map_err(Error::Stdout)?;
        report
    } else {
        let path = &arguments.output;
        let cannot_write = |source| Error::Output { path: path.clone(), source };
        let mut file = create_beside(path).map_err(cannot_write)?;
        let report = write(&found, file.as_file_mut(), bases).map_err(|error| at(path, error))?;
        Pending::new(file, path, 0o644).and_then(Pending::persist).map_err(cannot_write)?;
        report
    };
    for id in &report.exported {
        bases.terminal.detail("Carries", name(id));
    }
    let what = match report.exported.len() {
        1 => "1 base binary".to_owned(),
        count => format!("{count} base binaries"),
    };
    let message = format_args!("{what} to {} ({})", arguments.output.display(), size(report.bytes));
    bases.terminal.status("Exported", message);
    if arguments.json && !to_standard_output {
        let (path, length) = (arguments.output.clone(), report.bytes);
        return terminal::json(&ExportedReport { path, length, base_binaries });
    }
    Ok(())
}

fn write(found: &[BaseBinary], out: impl io::Write, bases: &Bases) -> Result<ExportReport, Error> {
    bases.wait_through(bases.registry.export(found, out, &bases.voice()))
}

/// The registry does not know where a bundle goes.
fn at(path: &Path, error: Error) -> Error {
    match error {
        Error::Registry { error, flags } => match *error {
            encoderfile_registry::Error::WriteBundle { source } => {
                Error::Output { path: path.to_owned(), source }
            }
            error => Error::Registry { error: Box::new(error), flags },
        },
        error => error,
    }
}

pub(super) fn import(arguments: &args::BaseImport, bases: &Bases) -> Result<(), Error> {
    let (bundle, origin): (Box<dyn Read>, _) = if arguments.file == Path::new(STANDARD) {
        (Box::new(io::stdin().lock()), "standard input".to_owned())
    } else {
        let file: File = open(&arguments.file)?;
        (Box::new(file), arguments.file.display().to_string())
    };
    let imported = bases.wait_through(bases.registry.import(bundle, &origin, &bases.voice()))?;
    for fetched in &imported {
        fetch::report(fetched, "Imported", bases.terminal);
    }
    if arguments.json {
        return terminal::json(&imported.iter().map(FetchedReport::new).collect::<Vec<_>>());
    }
    Ok(())
}
