//! Base binaries.
