//! Loads the ONNX Runtime library that is embedded in this executable.

use std::io::Write;
use std::path::Path;

use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::error::Error;

static LIBRARY: &[u8] = include_bytes!(env!("ENCODERFILE_ONNXRUNTIME"));

/// Loads the library, once per process, and starts it: no telemetry, no messages of its own on standard error.
pub(crate) fn load() -> Result<Environment, Error> {
    let builder = load_bytes(LIBRARY).map_err(Error::Library)?;
    let environment = builder.with_name("encoderfile").with_telemetry(false).build();
    let environment = environment.map_err(|error| Error::Library(error.message().into()))?;
    // What ends a run is returned as an error, which the caller reports; the rest would only litter standard error.
    environment.set_log_level(LogLevel::Fatal);
    Ok(environment)
}

type Loaded = Result<ort::environment::EnvironmentBuilder, Box<dyn std::error::Error + Send + Sync>>;

#[cfg(target_os = "linux")]
fn load_bytes(library: &[u8]) -> Loaded {
    match sealed_memory(library) {
        // The file descriptor may be closed afterwards: the mappings keep the memory.
        Ok(memory) => {
            use std::os::fd::AsRawFd;
            let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
            Ok(ort::init_from(&path)?)
        }
        // A kernel or a sandbox without anonymous files.
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM | rustix::io::Errno::ACCESS) => {
            load_from_private_file(library)
        }
        Err(error) => Err(format!("cannot make an anonymous file: {error}").into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn load_bytes(library: &[u8]) -> Loaded {
    load_from_private_file(library)
}

/// Copies the library into anonymous memory that nobody can change any more, not even this process: no directory has to be
/// writable, and nothing stays behind.
#[cfg(target_os = "linux")]
fn sealed_memory(library: &[u8]) -> rustix::io::Result<std::os::fd::OwnedFd> {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
    use rustix::io::Errno;

    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Systems that forbid executable anonymous files still map this one, which is never run itself.
    let memory = match memfd_create("onnxruntime", flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => memfd_create("onnxruntime", flags)?,
        result => result?,
    };
    ftruncate(&memory, library.len() as u64)?;
    let mut rest = library;
    while !rest.is_empty() {
        match rustix::io::write(&memory, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    Ok(memory)
}

/// Writes the library into a directory that only this user can enter, loads it, and removes it. The bytes are those of this
/// executable, so whoever could change them on the way could as well have changed the executable.
fn load_from_private_file(library: &[u8]) -> Loaded {
    let directory = tempfile::Builder::new().prefix("encoderfile-").tempdir()?;
    let path =
        directory.path().join(Path::new("libonnxruntime").with_extension(std::env::consts::DLL_EXTENSION));
    let mut file = std::fs::File::create_new(&path)?;
    file.write_all(library)?;
    drop(file);
    let written = encoderfile_format::Digest::of(&std::fs::read(&path)?);
    if written != encoderfile_format::Digest::of(library) {
        return Err(format!("`{}` changed while it was written", path.display()).into());
    }
    Ok(ort::init_from(&path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The way of systems without anonymous files. One library per process, so the other way is left to the tests that
    /// run the executable.
    #[test]
    fn the_library_loads_from_a_private_file() {
        load_from_private_file(LIBRARY).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn sealed_memory_holds_the_bytes_and_cannot_be_changed() {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::from(sealed_memory(b"some bytes").unwrap());
        let mut bytes = [0; 10];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"some bytes");
        assert!(file.write_all_at(b"x", 0).is_err());
        assert!(file.set_len(1).is_err());
    }
}
