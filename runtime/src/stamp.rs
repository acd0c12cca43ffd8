//! What this base binary is. The command line finds the same bytes by a scan, without running them.

use encoderfile_format::Stamp;

use crate::error::Error;

/// Written by the build script.
static STAMP: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stamp.bin"));

/// The stamp, read from the very bytes that a scan finds, so that no linker can leave them out.
pub(crate) fn embedded() -> Result<Identity, Error> {
    Stamp::decode(STAMP).map(Identity).ok_or(Error::Stamp)
}

/// Version, target and ONNX Runtime version of this binary.
pub(crate) struct Identity(Stamp);

impl Identity {
    /// What `--version` prints, one fact a line.
    pub(crate) fn to_text(&self) -> String {
        let Stamp { version, target, onnxruntime_version, .. } = &self.0;
        format!("encoderfile-runtime {version}\ntarget {target}\nONNX Runtime {onnxruntime_version}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_stamp_names_this_version() {
        let text = embedded().unwrap().to_text();
        assert!(
            text.starts_with(concat!("encoderfile-runtime ", env!("CARGO_PKG_VERSION"), "\ntarget ")),
            "{text}"
        );
    }
}
