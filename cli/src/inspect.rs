//! `encoderfile inspect`: what is inside a file, and where it came from.

mod report;
mod screen;

use std::fs::File;
use std::path::Path;

use encoderfile_format::{BaseError, BaseFacts, inspect_base, is_image_followed, needs};

use crate::args;
use crate::error::Error;
use crate::files::{NO_END, open, open_any_encoderfile};
use crate::terminal;

pub(crate) use report::Labels;
pub(crate) use screen::{clipped, pooling_text};

use self::report::{BaseBinaryReport, NeedsReport, StampReport};

pub(crate) fn run(arguments: &args::Inspect) -> Result<(), Error> {
    let path = &arguments.file;
    match open_any_encoderfile(path)? {
        Ok(encoderfile) => {
            let report = report::of(&encoderfile);
            if arguments.json {
                terminal::json(&report)?;
            } else {
                terminal::result(screen::encoderfile(path, &report))?;
            }
            // What was shown is not what was written.
            encoderfile.check_manifest().map_err(|source| Error::format(path, source))
        }
        Err(encoderfile_format::Error::NoPayload) => {
            let file = open(path)?;
            match inspect_base(&file) {
                Ok(_) if is_image_followed(&file) => {
                    Err(Error::Damaged { path: path.clone(), parts: vec![NO_END.to_owned()] })
                }
                Ok(facts) => base_binary(path, &file, facts, arguments.json),
                Err(BaseError::NotExecutable | BaseError::NoStamp) => {
                    Err(Error::format(path, encoderfile_format::Error::NoPayload))
                }
                Err(source) => Err(Error::BaseBinary { path: path.clone(), source }),
            }
        }
        Err(source) => Err(Error::format(path, source)),
    }
}

fn base_binary(path: &Path, file: &File, facts: BaseFacts, json: bool) -> Result<(), Error> {
    let length = file.metadata().map_err(|source| Error::Open { path: path.to_owned(), source })?.len();
    let stamp = facts.stamp;
    let report = BaseBinaryReport {
        base: StampReport {
            target: stamp.target,
            version: stamp.version,
            length,
            format_versions: stamp.format_versions,
            onnxruntime_version: stamp.onnxruntime_version,
        },
        needs: needs(file, length).map(NeedsReport::from),
    };
    if json { terminal::json(&report) } else { terminal::result(screen::base_binary(path, &report)) }
}
