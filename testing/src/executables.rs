//! The workspace's executables, built as the tests are.

use std::path::{Path, PathBuf};

/// Builds an executable of the workspace, unless it is up to date, and returns its path.
///
/// Cargo gives an integration test the executables of its own package only; the others are found by building them with
/// the same profile into the same build directory, which costs nothing where `cargo test --workspace` has built them.
pub fn build_executable(package: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let build =
        escargot::CargoBuild::new().package(package).bin(package).manifest_path(workspace.join("Cargo.toml"));
    let build = if cfg!(debug_assertions) { build } else { build.release() };
    build.run().expect("the executable builds").path().to_owned()
}

/// A small model folder of `testing/models`.
pub fn model_folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name)
}
