//! GitHub on loopback, for programs that are no Rust: `github-server DIR OWNER/NAME TOKEN` serves the folders of DIR as the
//! repository's releases, whom TOKEN may write to. Its addresses are one line of JSON on standard output, and it serves
//! until standard input ends.

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use encoderfile_testing::GitHub;
use serde_json::json;

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, repository, token] = &arguments[..] else {
        writeln!(io::stderr(), "usage: github-server DIR OWNER/NAME TOKEN")?;
        return Ok(ExitCode::from(2));
    };
    std::fs::create_dir_all(directory)?;
    let github = GitHub::start(Path::new(directory), repository);
    github.token(token);
    let addresses = json!({
        "GITHUB_SERVER_URL": github.server_url(),
        "GITHUB_API_URL": github.api_url(),
        "uploads": github.uploads.url(),
        "assets": github.assets.url(),
        "repository": repository,
    });
    writeln!(io::stdout(), "{addresses}")?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(ExitCode::SUCCESS)
}
