//! For this workspace's tests only: a signed release made of any bytes, and a loopback server that can misbehave.

mod release;
mod server;

pub use release::{Release, SigningKey, archive_name, compress, index_json, runtime_archive};
pub use server::{Fault, Request, Server};
