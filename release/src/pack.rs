//! Archives of one target.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;

use encoderfile_registry::{
    Digest, RUNTIME_MEMBER, cli_archive_name, cli_sbom_name, runtime_archive_name, runtime_sbom_name,
};

use crate::archive::{self, LICENSE_MEMBER, Member, NOTICES_MEMBER};
use crate::args::PackArguments;
use crate::component::{Notices, Program};
use crate::error::Error;
use crate::output::OutputFile;
use crate::source_date::source_date;
use crate::{check, component, sbom, third_party};

/// Name of the command line inside its archive.
pub(crate) const CLI_MEMBER: &str = "encoderfile";
/// The project's licence.
const LICENSE: &str = include_str!("../../LICENSE");

/// The files that were written.
pub(crate) struct Packed {
    files: Vec<(PathBuf, u64, Digest)>,
}

/// Packs what `arguments` name. Nothing appears in the output directory unless all of it is in order.
pub(crate) fn pack(arguments: &PackArguments) -> Result<Packed, Error> {
    let PackArguments { target, runtime, cli, out, .. } = arguments;
    let time = source_date()?;
    let mtime = time.map_or(0, |time| time.as_second().unsigned_abs());

    let binary = std::fs::read(runtime).map_err(Error::io("read", runtime))?;
    let facts = check::base_binary(&binary, runtime, *target)?;
    let stamp = facts.stamp.clone().expect("a base binary has one");
    let library = facts.onnxruntime.clone().expect("a base binary holds one");
    let mut programs = vec![(facts, binary, &arguments.third_party)];
    if let Some(path) = cli {
        let binary = std::fs::read(path).map_err(Error::io("read", path))?;
        programs.push((check::command_line(&binary, path, *target)?, binary, &arguments.cli_third_party));
    }

    let mut contents = Vec::new();
    for (facts, binary, given) in programs {
        let (notices, sbom) = if let Some(path) = given {
            (std::fs::read_to_string(path).map_err(Error::io("read", path))?, None)
        } else {
            let composition = component::compose(&Notices {
                program: facts.program,
                target: *target,
                onnxruntime_version: Some(Cow::Borrowed(&library.version)),
                onnxruntime_sha256: Some(library.sha256),
                manifest_path: arguments.manifest_path.as_deref(),
                instead: missing_notices(arguments),
            })?;
            let sbom = sbom::render(&composition, &stamp.version, facts.sha256, time);
            (third_party::render(&composition), Some(sbom))
        };
        contents.push((facts.program, binary, notices, sbom));
    }

    let mut written = Vec::new();
    let mut stale = Vec::new();
    for (program, binary, notices, sbom) in contents {
        let (archive_name, sbom_name, member) = match program {
            Program::Runtime => (runtime_archive_name(*target), runtime_sbom_name(*target), RUNTIME_MEMBER),
            Program::Cli => (cli_archive_name(*target), cli_sbom_name(*target), CLI_MEMBER),
        };
        let members = [
            Member { name: member, mode: 0o755, bytes: &binary },
            Member { name: LICENSE_MEMBER, mode: 0o644, bytes: LICENSE.as_bytes() },
            Member { name: NOTICES_MEMBER, mode: 0o644, bytes: notices.as_bytes() },
        ];
        let path = out.join(archive_name);
        let bytes = archive::write(Vec::new(), &members, mtime, arguments.level)
            .map_err(Error::io("write", &path))?;
        let mut files = vec![(path, bytes)];
        match sbom {
            Some(sbom) => files.push((out.join(sbom_name), sbom.into_bytes())),
            None => stale.push(out.join(sbom_name)),
        }
        for (path, bytes) in files {
            let mut output = OutputFile::create(&path, 0o644)?;
            output.write_all(&bytes).map_err(Error::io("write", &path))?;
            written.push((output, (path, bytes.len() as u64, Digest::of(&bytes))));
        }
    }
    let mut files = Vec::new();
    for (output, file) in written {
        output.commit()?;
        files.push(file);
    }
    // What an earlier run said of other binaries.
    for path in stale {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(Packed { files })
}

/// The options that would make it unnecessary to generate notices.
fn missing_notices(arguments: &PackArguments) -> Option<&'static str> {
    let runtime = arguments.third_party.is_none();
    let cli = arguments.cli.is_some() && arguments.cli_third_party.is_none();
    match (runtime, cli) {
        (true, true) => Some("--third-party FILE --cli-third-party FILE"),
        (true, false) => Some("--third-party FILE"),
        (false, true) => Some("--cli-third-party FILE"),
        (false, false) => None,
    }
}

impl fmt::Display for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (path, size, sha256)) in self.files.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}\n  size:   {size}\n  sha256: {sha256}", path.display())?;
        }
        Ok(())
    }
}
