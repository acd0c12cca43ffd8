//! For this workspace's tests only: the built executables, small models, Mach-O images, a signed release made of any bytes, and
//! loopback servers that can misbehave: a plain one, and three in the shape of GitHub.

mod answer;
mod executables;
mod github;
pub mod mach_o;
mod release;
mod request;
mod server;

pub use answer::{Content, Reply};
pub use executables::{build_executable, model_folder};
pub use github::GitHub;
pub use release::{
    Release, SigningKey, archive_name, compress, index_json, program_archive, runtime_archive,
};
pub use request::Request;
pub use server::{Fault, Server};
