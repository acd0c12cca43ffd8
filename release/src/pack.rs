//! Archives of one target.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use encoderfile_registry::{Digest, RUNTIME_MEMBER, cli_archive_name, runtime_archive_name};

use crate::archive::{self, LICENSE_MEMBER, Member, NOTICES_MEMBER};
use crate::args::PackArguments;
use crate::error::Error;
use crate::output::OutputFile;
use crate::source_date::source_date;
use crate::third_party::{Notices, Program};
use crate::{executable, third_party};

/// Name of the command line inside its archive.
pub(crate) const CLI_MEMBER: &str = "encoderfile";
/// The project's licence.
const LICENSE: &str = include_str!("../../LICENSE");

/// The archives that were written.
pub(crate) struct Packed {
    archives: Vec<(PathBuf, u64, Digest)>,
}

/// Packs what `arguments` name. Nothing appears in the output directory unless all of it is in order.
pub(crate) fn pack(arguments: &PackArguments) -> Result<Packed, Error> {
    let PackArguments { target, runtime, cli, out, .. } = arguments;
    let mtime = source_date()?.map_or(0, |time| time.as_second().unsigned_abs());

    let mut file = File::open(runtime).map_err(Error::io("read", runtime))?;
    let stamp = executable::base_binary(&file, runtime, *target)?;
    let mut binary = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut binary)).map_err(Error::io("read", runtime))?;
    let cli = match cli {
        Some(path) => {
            let binary = std::fs::read(path).map_err(Error::io("read", path))?;
            executable::command_line(&binary, path, *target)?;
            Some(binary)
        }
        None => None,
    };

    let notices = |program, given: Option<&Path>, onnxruntime_version| match given {
        Some(path) => std::fs::read_to_string(path).map_err(Error::io("read", path)),
        None => third_party::generate(&Notices {
            program,
            target: *target,
            onnxruntime_version,
            manifest_path: arguments.manifest_path.as_deref(),
            instead: missing_notices(arguments),
        }),
    };
    let version = Some(Cow::Borrowed(stamp.onnxruntime_version.as_str()));
    let runtime_notices = notices(Program::Runtime, arguments.third_party.as_deref(), version)?;
    let mut contents = vec![(runtime_archive_name(*target), RUNTIME_MEMBER, binary, runtime_notices)];
    if let Some(binary) = cli {
        let notices = notices(Program::Cli, arguments.cli_third_party.as_deref(), None)?;
        contents.push((cli_archive_name(*target), CLI_MEMBER, binary, notices));
    }

    let mut written = Vec::new();
    for (name, member, binary, notices) in contents {
        let path = out.join(name);
        let members = [
            Member { name: member, mode: 0o755, bytes: &binary },
            Member { name: LICENSE_MEMBER, mode: 0o644, bytes: LICENSE.as_bytes() },
            Member { name: NOTICES_MEMBER, mode: 0o644, bytes: notices.as_bytes() },
        ];
        let bytes = archive::write(Vec::new(), &members, mtime, arguments.level)
            .map_err(Error::io("write", &path))?;
        let mut output = OutputFile::create(&path, 0o644)?;
        output.write_all(&bytes).map_err(Error::io("write", &path))?;
        written.push((output, (path, bytes.len() as u64, Digest::of(&bytes))));
    }
    let mut archives = Vec::new();
    for (output, archive) in written {
        output.commit()?;
        archives.push(archive);
    }
    Ok(Packed { archives })
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
        for (index, (path, size, sha256)) in self.archives.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}\n  size:   {size}\n  sha256: {sha256}", path.display())?;
        }
        Ok(())
    }
}
