//! Compiles `proto/` with a compiler written in Rust, so that no `protoc` has to be installed, and says how examples are linked.

use std::env;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let files = ["manifest.proto", "stamp.proto", "transform.proto"];
    println!("cargo::rerun-if-changed={}", folder.display());
    if env::var("TARGET").is_ok_and(|target| target.ends_with("-apple-darwin")) {
        // One is a base binary, which needs room for further load commands.
        println!("cargo::rustc-link-arg-examples=-Wl,-headerpad,0x400");
    }
    prost_build::compile_fds(protox::compile(files, [&folder])?)?;
    Ok(())
}
