//! Writes an encoderfile whose payload has a length that was asked for, to see what systems and tools make of it:
//!
//!     cargo run -p encoderfile-format --example sized_payload -- BASE LENGTH OUTPUT
//!
//! The payload is what is between the base binary and the footer: a manifest of some hundred bytes, and zeros. A length
//! below that is the length of the zeros. There is no model in it: it starts, says its version, and can be verified. The base
//! binary may be any executable: one that is no runtime does what it does without a payload.
#![expect(clippy::print_stdout, reason = "this talks to a person")]

use std::env;
use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};

use encoderfile_format::{
    ArtifactKind, Base, BaseError, Content, Description, Encoderfile, ModelType, Part, Payload, Tool,
    inspect_base, write,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [base, length, output] = &arguments[..] else {
        return Err("usage: sized_payload BASE LENGTH OUTPUT".into());
    };
    let (base, output) = (Path::new(base), Path::new(output));
    let length: u64 = length.parse()?;
    // The manifest says where the zeros are, so that its own length depends on theirs: a second try hits.
    let mut zeros = length;
    for _ in 0..4 {
        let found = payload_length(&make(base, output, zeros)?);
        if found == length || zeros == length && found > length && length < 4096 {
            break;
        }
        zeros = (zeros + length).saturating_sub(found);
    }
    let file = Encoderfile::open(File::open(output)?)?;
    println!("{}: {} bytes of payload, {zeros} of them zeros", output.display(), payload_length(&file));
    Ok(())
}

fn payload_length(file: &Encoderfile) -> u64 {
    let footer = file.footer();
    let artifacts = file.manifest().artifacts.iter().map(|artifact| artifact.offset + artifact.length);
    artifacts.fold(footer.manifest_offset + footer.manifest_length, u64::max) - footer.manifest_offset
}

fn make(base: &Path, output: &Path, zeros: u64) -> Result<Encoderfile, Box<dyn Error>> {
    let file = File::open(base)?;
    let (target, version) = match inspect_base(&file) {
        Ok(facts) => (facts.stamp.target, facts.stamp.version),
        Err(BaseError::NoStamp) => ("unknown".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        Err(error) => return Err(error.into()),
    };
    let base = Base { path: base, file: &file, target, version, key_id: None, expected: None };
    let mut parts = Vec::new();
    if zeros > 0 {
        // A hole, however many there are.
        let path = PathBuf::from("zeros");
        let file = tempfile::tempfile()?;
        file.set_len(zeros)?;
        let content = Content::File { path, file };
        parts.push(Part { kind: ArtifactKind::ImagePreprocessor, name: None, content });
    }
    let payload = Payload {
        description: Description::new(ModelType::Embedding, "zeros", "1.0.0"),
        writer: Tool { name: "sized_payload".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        parts,
    };
    let output = write(&base, &payload, output)?.persist()?;
    Ok(Encoderfile::open(File::open(output)?)?)
}
