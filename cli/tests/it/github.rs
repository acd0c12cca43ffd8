//! GitHub, as the environment names it.

use encoderfile_testing::GitHub;

use crate::sandbox::{HOST, Said};
use crate::shelf::Shelf;

const REPOSITORY: &str = "acme/models";
const TOKEN: &str = "ghp_5ecretOfAcme";

fn run(shelf: &Shelf, github: &GitHub, token: Option<&str>, arguments: &[&str]) -> Said {
    let mut command = shelf.command();
    command
        .env("GITHUB_SERVER_URL", github.server_url())
        .env("GITHUB_API_URL", github.api_url())
        .env("ENCODERFILE_GITHUB_REPO", REPOSITORY)
        .args(arguments);
    if let Some(token) = token {
        command.env("GITHUB_TOKEN", token);
    }
    let said = Said::from(command.output().unwrap());
    for secret in [TOKEN, GitHub::SIGNATURE] {
        assert!(!said.stderr.contains(secret) && !said.stdout.contains(secret), "{said:?}");
    }
    said
}

#[test]
fn a_pinned_version_needs_no_api_and_latest_does() {
    let shelf = Shelf::with(&["0.1.0", "0.2.0", "0.3.0-rc.1"]);
    let github = GitHub::start(&shelf.dist(), REPOSITORY);
    run(&shelf, &github, None, &["base", "fetch", "--runtime-version", "0.1.0", "-v"]).ok();
    assert_eq!(github.api.requests("").len(), 0);
    let latest = ["base", "fetch", "--runtime-version", "latest", "--json"];
    assert_eq!(run(&shelf, &github, None, &latest).ok().json()[0]["version"], "0.2.0");
    let listed =
        run(&shelf, &github, None, &["base", "list", "--remote", "--target", HOST, "--json"]).ok().json();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");

    github.rate_limit(0, 4_102_444_800);
    run(&shelf, &github, None, &latest)
        .failed(5, &["resets at 2100-01-01T00:00:00Z", "GITHUB_TOKEN", "5000"]);
    run(&shelf, &github, None, &["base", "fetch", "--force", "--runtime-version", "0.2.0"]).ok();
}

#[test]
fn a_private_repository_needs_a_token_which_is_shown_nowhere() {
    let shelf = Shelf::with(&["0.2.0"]);
    let github = GitHub::start(&shelf.dist(), REPOSITORY);
    github.private(TOKEN);
    let fetch = ["base", "fetch", "--runtime-version", "0.2.0", "-v"];
    run(&shelf, &github, None, &fetch).failed(3, &["no release 0.2.0", "GITHUB_TOKEN"]);
    run(&shelf, &github, None, &["base", "list", "--remote", "-v"])
        .failed(3, &["no repository `acme/models`", "GITHUB_TOKEN"]);
    run(&shelf, &github, Some("wrong"), &fetch).failed(5, &["401", "GITHUB_TOKEN"]);
    run(&shelf, &github, Some("not\ta token"), &fetch).failed(2, &["GITHUB_TOKEN holds no access token"]);
    run(&shelf, &github, Some(TOKEN), &fetch).ok();
    run(&shelf, &github, Some(TOKEN), &["base", "list", "--remote", "-v"]).ok();
    for host in [&github.web, &github.assets] {
        assert!(host.requests("").iter().all(|request| !request.headers.contains_key("authorization")));
    }
}

#[test]
fn the_environments_token_is_for_the_environments_server_alone() {
    let shelf = Shelf::with(&["0.2.0"]);
    let (own, other) = (GitHub::start(&shelf.dist(), REPOSITORY), GitHub::start(&shelf.dist(), REPOSITORY));
    own.private(TOKEN);
    let table = |github: &GitHub, more: &str| {
        let (server, api) = (github.server_url(), github.api_url());
        format!("[[source]]\ngithub = '{REPOSITORY}'\nserver-url = '{server}'\napi-url = '{api}'\n{more}\n")
    };
    let config = shelf.write("config.toml", &format!("{}{}", table(&other, ""), table(&own, "")));
    let config = config.to_str().unwrap();
    // The first source has no such release, at its plain URL or at its API.
    let latest = ["base", "fetch", "--runtime-version", "latest", "--config", config];
    run(&shelf, &own, Some(TOKEN), &latest).ok();
    run(&shelf, &own, Some(TOKEN), &["base", "fetch", "--runtime-version", "7.0.0", "--config", config])
        .failed(3, &[]);
    for host in [&other.web, &other.api, &other.assets] {
        assert!(host.requests("").iter().all(|request| !request.headers.contains_key("authorization")));
    }
    assert!(own.api.requests("").iter().any(|request| request.headers.contains_key("authorization")));

    // A token of one's own that is none is not replaced by another.
    let bad = shelf.write("bad.toml", &table(&own, "token-variable = 'BAD_TOKEN'"));
    let mut command = shelf.command();
    command.env("BAD_TOKEN", "not\ta token").env("GH_TOKEN", TOKEN).arg("--config").arg(bad);
    Said::from(command.args(["base", "list", "--remote"]).output().unwrap())
        .failed(2, &["BAD_TOKEN holds no access token"]);

    // A source may have a token of its own.
    other.private("ghp_ofTheOther");
    let config = shelf.write("other.toml", &table(&other, "token-variable = 'OTHER_TOKEN'"));
    let mut command = shelf.command();
    command.env("OTHER_TOKEN", "ghp_ofTheOther").args([
        "base",
        "fetch",
        "--force",
        "--runtime-version",
        "0.2.0",
    ]);
    Said::from(command.arg("--config").arg(config).output().unwrap()).ok();
}
