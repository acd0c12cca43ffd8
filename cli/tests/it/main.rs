//! Drives the real command line, on real base binaries, with a release that is signed, served and fetched as any other.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod bad_model;
mod base;
mod base_commands;
mod bench;
mod build;
mod build_file;
mod cache_places;
mod contention;
mod crashes;
mod diff;
mod documentation;
mod extract;
mod github;
mod help;
#[cfg(target_os = "linux")]
mod hostile;
mod install;
mod look_inside;
mod mach_o;
mod model_folder;
mod parts;
mod rebase;
mod regression;
mod replacing;
mod sandbox;
mod shelf;
mod tampering;
