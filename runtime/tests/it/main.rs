//! Drives the real executable on files that are assembled from the small models of `testing/models`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod assemble;
mod bad_file;
mod bad_input;
mod command_line;
mod external_data;
mod interop;
mod placement;
mod prompt;
mod reference;
mod streaming;
