//! The servers of the tests, seen by a client that knows nothing but HTTP.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
mod github;
mod publishing;
mod server;
