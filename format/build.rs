//! Compiles `proto/` with a compiler written in Rust, so that no `protoc` has to be installed.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let files = ["manifest.proto", "stamp.proto", "transform.proto"];
    println!("cargo::rerun-if-changed={}", folder.display());
    prost_build::compile_fds(protox::compile(files, [&folder])?)?;
    Ok(())
}
