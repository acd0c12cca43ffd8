//! For this workspace's tests only: the built executables, the small models, a signed release made of any bytes, and
//! loopback servers that can misbehave: a plain one, and three in the shape of GitHub.

mod answer;
mod executables;
mod github;
mod release;
mod request;
mod server;

pub use answer::{Content, Reply};
pub use executables::{build_executable, model_folder};
pub use github::GitHub;
pub use release::{Release, SigningKey, archive_name, compress, index_json, runtime_archive};
pub use request::Request;
pub use server::{Fault, Server};
