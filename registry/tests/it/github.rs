//! GitHub as a source: what costs a request to its API, who gets the token, what a limit or a broken answer comes to.

use std::fmt::Debug;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Duration;

use encoderfile_registry::{
    Error, Fetched, GitHubConfig, ListedRelease, NetworkConfig, Progress, Registry, RegistryConfig,
    Requirement, Source, Token, TrustedSource, Wanted,
};
use encoderfile_testing::{Fault, GitHub, Release, Reply, Request, Server, archive_name};
use serde_json::{Value, json};

use crate::bench::{ARM, Bench, Diary, LINUX, VERSION, block_on, files};

const REPOSITORY: &str = "acme/models";
const TOKEN: &str = "ghp_aVerySecretToken";
const WRONG: &str = "ghp_anotherSecretToken";
const LIST: &str = "/repos/acme/models/releases";
const TAG: &str = "/releases/tags/v0.2.0";
/// 2100-01-01
const RESET: u64 = 4_102_444_800;

/// A repository with the bench's release, and an empty cache.
struct Hub {
    bench: Bench,
    github: GitHub,
    diary: Diary,
}

impl Hub {
    fn new() -> Self {
        Self::with(&[])
    }

    /// With more releases, which have an index and a signature that prove nothing.
    fn with(tags: &[&str]) -> Self {
        let bench = Bench::new();
        for tag in tags {
            let folder = bench.www().join(tag);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("base-index.json"), "{}").unwrap();
            fs::write(folder.join("base-index.json.minisig"), "").unwrap();
        }
        let github = GitHub::start(&bench.www(), REPOSITORY);
        github.token(TOKEN);
        Self { bench, github, diary: Diary::default() }
    }

    fn private() -> Self {
        let hub = Self::new();
        hub.github.private(TOKEN);
        hub
    }

    fn source(&self, token: Option<&str>) -> Source {
        source(&self.github.server_url(), Some(self.github.api_url()), token)
    }

    fn registry(&self, token: Option<&str>) -> Registry {
        self.registry_of(vec![self.source(token)])
    }

    fn registry_of(&self, sources: Vec<Source>) -> Registry {
        let keys = self.bench.keys();
        let sources = sources.into_iter().map(|source| TrustedSource { source, trusted_keys: keys.clone() });
        let mut config = RegistryConfig::with_sources(self.bench.cache(), sources.collect());
        config.network = NetworkConfig {
            retries: 2,
            backoff: Duration::from_millis(1),
            idle_timeout: Duration::from_millis(500),
            ..NetworkConfig::default()
        };
        Registry::new(config)
    }

    fn fetch(&self, token: Option<&str>) -> Result<Fetched, Error> {
        self.fetch_from(&self.registry(token))
    }

    fn fetch_from(&self, registry: &Registry) -> Result<Fetched, Error> {
        self.checked(registry, block_on(registry.fetch(LINUX, &VERSION, false, &self.diary)))
    }

    fn fetch_whole(&self, token: Option<&str>) {
        let fetched = self.fetch(token).unwrap();
        assert!(!fetched.was_cached);
        self.bench.assert_whole(&fetched.base);
    }

    fn resolve(&self, token: Option<&str>, requirement: &str) -> Result<String, Error> {
        self.resolve_from(&self.registry(token), requirement, false)
    }

    fn resolve_from(&self, registry: &Registry, text: &str, pre_releases: bool) -> Result<String, Error> {
        let requirement: Requirement = text.parse().unwrap();
        let wanted = Wanted { requirement, pre_releases };
        let version = block_on(registry.resolve(&wanted, &self.diary));
        self.checked(registry, version).map(|version| version.to_string())
    }

    fn releases(&self, token: Option<&str>) -> Result<Vec<ListedRelease>, Error> {
        let registry = self.registry(token);
        self.checked(&registry, block_on(registry.releases(&self.diary)))
    }

    /// What must be true after everything that is ever asked.
    fn checked<T: Debug>(&self, registry: &Registry, result: Result<T, Error>) -> Result<T, Error> {
        let mut told = self.diary.lines();
        told.push(format!("{:?} {:#?}", registry, registry.config()));
        told.extend(registry.config().sources.iter().map(|at| format!("{} {:?}", at.source, at.source)));
        match &result {
            Ok(result) => told.push(format!("{result:?}")),
            Err(error) => told.push(everything(error)),
        }
        // Receipts say where a file came from.
        let cached = files(&self.bench.cache()).into_iter().filter_map(|file| fs::read_to_string(file).ok());
        told.extend(cached);
        for text in told {
            for secret in [TOKEN, WRONG, GitHub::SIGNATURE] {
                assert!(!text.contains(secret), "{text}");
            }
        }
        for request in self.github.web.requests("").iter().chain(&self.github.assets.requests("")) {
            assert!(!request.headers.contains_key("authorization"), "{request:?}");
        }
        for request in
            [&self.github.web, &self.github.api, &self.github.assets].map(|host| host.requests("")).concat()
        {
            assert!(!request.target.contains(TOKEN), "{request:?}");
        }
        result
    }

    fn api_requests(&self) -> Vec<Request> {
        self.github.api.requests("")
    }

    /// What the API answers to somebody who has the token.
    fn api_json(&self, path: &str) -> Value {
        let mut stream = TcpStream::connect(self.github.api_url().strip_prefix("http://").unwrap()).unwrap();
        let head =
            format!("GET {path} HTTP/1.1\r\nUser-Agent: test\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// The API answers with this instead.
    fn forge(&self, path: &str, body: &Value, link: Option<&str>) {
        let headers = link.map(|link| ("Link", link.to_owned())).into_iter().collect();
        self.github.api.misbehave(path, Fault::Body(body.to_string().into(), headers), usize::MAX);
    }
}

fn source(server_url: &str, api_url: Option<String>, token: Option<&str>) -> Source {
    let config = GitHubConfig {
        server_url: Some(server_url.to_owned()),
        api_url,
        repository: Some(REPOSITORY.to_owned()),
        token: token.map(|token| Token::new(token).unwrap()),
    };
    Source::github(&config).unwrap()
}

/// All that could be printed of an error.
fn everything(error: &Error) -> String {
    let mut text = format!("{error} {error:?} {error:#?} {:?}", error.hint(""));
    let mut next = std::error::Error::source(error);
    while let Some(reason) = next {
        text.extend([" ", &reason.to_string(), &format!(" {reason:?}")]);
        next = reason.source();
    }
    text
}

fn hint(error: &Error) -> String {
    error.hint("").unwrap_or_default()
}

fn tokens(requests: &[Request]) -> Vec<Option<&str>> {
    requests.iter().map(|request| request.headers.get("authorization").map(String::as_str)).collect()
}

fn paths(requests: &[Request]) -> Vec<&str> {
    requests.iter().map(|request| &*request.path).collect()
}

fn archive() -> String {
    archive_name(LINUX.triple())
}

/// binstall#1229: the API's rate limit hits although no request to the API was needed.
#[test]
fn a_version_that_is_named_costs_no_request_to_the_api_and_no_token() {
    for token in [None, Some(TOKEN), Some(WRONG)] {
        let hub = Hub::new();
        hub.fetch_whole(token);
        assert_eq!(hub.api_requests().len(), 0);
        let names = ["base-index.json".to_owned(), "base-index.json.minisig".to_owned(), archive()];
        let plain = names.clone().map(|name| format!("/{REPOSITORY}/releases/download/v0.2.0/{name}"));
        assert_eq!(paths(&hub.github.web.requests("")), plain);
        let stored = hub.github.assets.requests("");
        assert_eq!(stored.len(), 3);
        assert!(stored.iter().zip(&names).all(|(request, name)| request.path.ends_with(name)));
    }
}

/// binstall#1229, with a limit that is reached.
#[test]
fn a_version_that_is_named_is_served_while_the_api_is_exhausted() {
    let hub = Hub::new();
    hub.github.rate_limit(0, RESET);
    assert!(matches!(hub.resolve(None, "latest"), Err(Error::RateLimited { .. })));
    hub.fetch_whole(None);
    assert_eq!(hub.api_requests().len(), 1);
}

#[test]
fn an_archive_that_breaks_off_is_continued_at_its_plain_address() {
    let hub = Hub::new();
    hub.github.assets.misbehave(&archive(), Fault::CutAfter(100_000), 2);
    hub.fetch_whole(Some(TOKEN));
    let requests = hub.github.assets.requests(&archive());
    let ranges: Vec<_> = requests.iter().map(|request| request.headers.get("range").cloned()).collect();
    assert_eq!(ranges, [None, Some("bytes=100000-".to_owned()), Some("bytes=200000-".to_owned())]);
    let sent: u64 = requests.iter().map(|request| request.sent).sum();
    assert_eq!(sent, hub.bench.archive().len() as u64);
}

/// Releases of every kind, on three pages.
fn many() -> Hub {
    let small: Vec<_> = (0..220).map(|patch| format!("v0.1.{patch}")).collect();
    let mut tags: Vec<_> = small.iter().map(String::as_str).collect();
    tags.extend(["nightly", "0.9.0", "v0.9", "v0.2.7", "v0.2.9", "v0.3.0", "v0.4.0", "v0.5.0-rc.1"]);
    tags.extend(["v0.6.0", "v0.7.0"]);
    let hub = Hub::with(&tags);
    hub.github.prerelease("v0.2.9");
    hub.github.prerelease("v0.4.0");
    hub.github.draft("v0.3.0");
    fs::remove_file(hub.bench.www().join("v0.6.0/base-index.json")).unwrap();
    fs::remove_file(hub.bench.www().join("v0.7.0/base-index.json.minisig")).unwrap();
    hub
}

#[test]
fn the_newest_is_found_on_whatever_page_it_is() {
    let hub = many();
    for token in [None, Some(TOKEN)] {
        for (requirement, pre_releases, expected) in [
            ("latest", false, "0.2.7"),
            ("latest", true, "0.5.0-rc.1"),
            ("^0.2", false, "0.2.7"),
            ("^0.2", true, "0.2.9"),
            ("<=0.1.3", false, "0.1.3"),
            ("<=0.1.150", false, "0.1.150"),
            ("^0.4", true, "0.4.0"),
        ] {
            let version = hub.resolve_from(&hub.registry(token), requirement, pre_releases).unwrap();
            assert_eq!(version, expected, "{requirement}");
        }
        for requirement in ["^0.4", "^0.5"] {
            let error = hub.resolve(token, requirement).unwrap_err();
            assert!(matches!(error, Error::NoVersion { only_pre_releases: true, .. }), "{error}");
        }
        // A draft, two that are not complete, one whose tag is no version of this project.
        for requirement in ["^0.3", "^0.6", "^0.7", "^0.9"] {
            let error = hub.resolve_from(&hub.registry(token), requirement, true).unwrap_err();
            assert!(matches!(error, Error::NoVersion { only_pre_releases: false, .. }), "{error}");
            assert_eq!(error.exit_code(), 3);
        }
    }
    let requests = hub.api_requests();
    assert_eq!(requests.len(), 2 * 13 * 3);
    let pages = |request: &Request| (request.query["per_page"].clone(), request.query.get("page").cloned());
    let expected = [None, Some("2".to_owned()), Some("3".to_owned())].map(|page| ("100".to_owned(), page));
    assert_eq!(requests[..3].iter().map(pages).collect::<Vec<_>>(), expected);
    let bearer = format!("Bearer {TOKEN}");
    assert_eq!(tokens(&requests[..39]), [None; 39]);
    assert_eq!(tokens(&requests[39..]), [Some(&*bearer); 39]);
    assert_eq!(hub.github.web.requests("").len(), 0, "a list downloads nothing");
}

#[test]
fn a_list_says_what_each_release_has_and_since_when() {
    let hub = many();
    for token in [None, Some(TOKEN)] {
        let releases = hub.releases(token).unwrap();
        let versions: Vec<_> = releases.iter().map(|release| release.version.to_string()).collect();
        let newest = ["0.5.0-rc.1", "0.4.0", "0.2.9", "0.2.7", "0.2.0"].map(str::to_owned);
        let small = (0..220).rev().map(|patch| format!("0.1.{patch}"));
        assert_eq!(versions, newest.into_iter().chain(small).collect::<Vec<_>>());
        let flags: Vec<_> = releases.iter().take(6).map(|release| release.pre_release).collect();
        assert_eq!(flags, [true, true, true, false, false, false]);

        let size = |target| fs::metadata(hub.bench.release.archive(target)).unwrap().len();
        let sizes = [LINUX, ARM].map(|target| (target, size(target.triple())));
        assert_eq!(releases[4].archives, sizes.into());
        assert!(releases[3].archives.is_empty());

        // A day for each; older are those whose tags are no versions, `nightly` and not `0.9.0` or `v0.9`.
        assert_eq!(releases.last().unwrap().published.unwrap().to_string(), "2020-01-02T12:00:00Z");
        assert!(releases.is_sorted_by(|newer, older| newer.published > older.published));
        assert!(releases.iter().all(|release| release.source.ends_with("/acme/models/releases")));
    }
}

/// vite-plus#1558: whoever makes a draft, uploads everything and then publishes shows nobody half a release.
#[test]
fn a_draft_is_a_release_when_it_is_published() {
    let hub = Hub::with(&["v0.3.0"]);
    hub.github.draft("v0.3.0");
    assert_eq!(hub.resolve(Some(TOKEN), "latest").unwrap(), "0.2.0");
    hub.github.publish("v0.3.0");
    assert_eq!(hub.resolve(Some(TOKEN), "latest").unwrap(), "0.3.0");
}

#[test]
fn a_draft_is_not_fetched_even_by_who_may_see_it() {
    let hub = Hub::new();
    hub.github.draft("v0.2.0");
    let error = hub.fetch(Some(TOKEN)).unwrap_err();
    assert!(matches!(error, Error::NoSuchRelease { .. }), "{error}");
}

/// vite-plus#1558: nor is a release offered whose files are still on their way.
#[test]
fn an_upload_that_has_not_ended_is_no_file_of_the_release() {
    let hub = Hub::with(&["v0.3.0"]);
    let mut list = hub.api_json(LIST);
    assert_eq!(list[0]["tag_name"], "v0.3.0");
    list[0]["assets"][1]["state"] = "starter".into();
    hub.forge(LIST, &list, None);
    assert_eq!(hub.resolve(None, "latest").unwrap(), "0.2.0");
}

#[test]
fn a_private_repository_does_not_exist_without_a_token() {
    let hub = Hub::private();
    let error = hub.fetch(None).unwrap_err();
    assert!(matches!(error, Error::NoSuchRelease { .. }) && error.exit_code() == 3, "{error}");
    assert!(hint(&error).contains("GITHUB_TOKEN"), "{}", hint(&error));
    assert_eq!(hub.api_requests().len(), 0, "the API has nothing for somebody without a token");

    for error in [hub.resolve(None, "latest").unwrap_err(), hub.releases(None).unwrap_err()] {
        assert!(matches!(error, Error::NoRepository { authenticated: false, .. }), "{error}");
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("`acme/models`"), "{error}");
        assert!(hint(&error).contains("GITHUB_TOKEN"), "{}", hint(&error));
    }
    assert_eq!(hub.api_requests().len(), 2, "what is not there is not asked for again");
}

#[test]
fn a_private_repository_is_fetched_through_the_api() {
    let hub = Hub::private();
    hub.fetch_whole(Some(TOKEN));
    let requests = hub.api_requests();
    assert_eq!(requests[0].path, "/repos/acme/models/releases/tags/v0.2.0");
    assert_eq!(requests.len(), 4, "the release, and three of its files");
    for request in &requests[1..] {
        assert!(request.path.starts_with("/repos/acme/models/releases/assets/"), "{}", request.path);
        assert_eq!(request.headers["accept"], "application/octet-stream");
    }
    let bearer = format!("Bearer {TOKEN}");
    assert_eq!(tokens(&requests), [Some(&*bearer); 4]);
    // That nothing but the API saw it is checked every time. These are the ones that might have.
    assert_eq!((hub.github.web.requests("").len(), hub.github.assets.requests("").len()), (1, 3));

    assert_eq!(hub.resolve(Some(TOKEN), "^0.2").unwrap(), "0.2.0");
    assert_eq!(hub.releases(Some(TOKEN)).unwrap().len(), 1);
}

#[test]
fn a_server_that_answers_with_its_login_page_is_asked_through_its_api() {
    let hub = Hub::private();
    let page =
        || Fault::Body(b"<!doctype html>Sign in".to_vec(), vec![("Content-Type", "text/html".to_owned())]);
    hub.github.web.misbehave("base-index.json", page(), 2);
    hub.github.web.misbehave("base-index.json.minisig", page(), 2);
    let error = hub.fetch(None).unwrap_err();
    assert!(error.to_string().contains("HTML page"), "{error}");
    hub.fetch_whole(Some(TOKEN));
}

#[test]
fn an_archive_of_a_private_repository_is_continued() {
    let hub = Hub::private();
    hub.github.assets.misbehave(&archive(), Fault::CutAfter(50_000), 3);
    let error = hub.fetch(Some(TOKEN)).unwrap_err();
    assert_eq!(error.exit_code(), 5, "{error}");
    // The next run has another address of the storage, and goes on where the last one stopped.
    hub.github.assets.misbehave(&archive(), Fault::CutAfter(60_000), 1);
    hub.fetch_whole(Some(TOKEN));
    let requests = hub.github.assets.requests(&archive());
    let ranges: Vec<_> = requests.iter().filter_map(|request| request.headers.get("range")).collect();
    assert_eq!(ranges, ["bytes=50000-", "bytes=100000-", "bytes=150000-", "bytes=210000-"]);
    let sent: u64 = requests.iter().map(|request| request.sent).sum();
    assert_eq!(sent, hub.bench.archive().len() as u64);
}

#[test]
fn a_token_that_is_wrong_is_said_to_be() {
    let hub = Hub::private();
    let fetch = hub.fetch(Some(WRONG)).map(drop);
    let list = hub.releases(Some(WRONG)).map(drop);
    let resolve = hub.resolve(Some(WRONG), "latest").map(drop);
    for error in [fetch, list, resolve].map(Result::unwrap_err) {
        assert!(matches!(&error, Error::Status { status, .. } if status.as_u16() == 401), "{error}");
        assert_eq!(error.exit_code(), 5);
        assert!(
            hint(&error).contains("GH_TOKEN") && hint(&error).contains("GITHUB_TOKEN"),
            "{}",
            hint(&error)
        );
    }
    assert_eq!(hub.api_requests().len(), 3, "it will not be right the next time");
}

#[test]
fn a_token_for_another_repository_is_named_as_the_reason() {
    let hub = Hub::private();
    hub.github.api.misbehave(LIST, Fault::Status(404, vec![]), usize::MAX);
    let error = hub.resolve(Some(TOKEN), "latest").unwrap_err();
    assert!(matches!(error, Error::NoRepository { authenticated: true, .. }), "{error}");
    assert!(hint(&error).contains("may read this repository"), "{}", hint(&error));
}

#[test]
fn a_private_repository_without_the_version_or_without_its_files() {
    let hub = Hub::private();
    let registry = hub.registry(Some(TOKEN));
    let missing = block_on(registry.fetch(LINUX, &"0.9.0".parse().unwrap(), false, &hub.diary));
    let error = hub.checked(&registry, missing).unwrap_err();
    assert!(matches!(error, Error::NoSuchRelease { .. }), "{error}");

    fs::remove_file(hub.bench.release.archive(LINUX.triple())).unwrap();
    let error = hub.fetch(Some(TOKEN)).unwrap_err();
    assert!(matches!(&error, Error::NoSuchFile { location, .. } if location.contains(&archive())), "{error}");
    fs::remove_file(hub.bench.release.signature()).unwrap();
    let error = hub.fetch(Some(TOKEN)).unwrap_err();
    assert_eq!(error.exit_code(), 3, "{error}");
}

#[test]
fn a_rate_limit_says_when_it_resets_and_what_a_token_would_change() {
    let hub = Hub::with(&["v0.1.0"]);
    let mut hints = Vec::new();
    for token in [None, Some(TOKEN)] {
        hub.github.rate_limit(0, RESET);
        let before = hub.api_requests().len();
        for error in [hub.resolve(token, "latest").unwrap_err(), hub.releases(token).unwrap_err()] {
            let Error::RateLimited { reset, authenticated, .. } = &error else { panic!("{error}") };
            assert_eq!(reset.unwrap().as_second().unsigned_abs(), RESET);
            assert_eq!(*authenticated, Some(token.is_some()));
            assert_eq!(error.exit_code(), 5);
            assert!(error.to_string().contains("resets at 2100-01-01T00:00:00Z"), "{error}");
            hints.push(hint(&error));
        }
        assert_eq!(hub.api_requests().len() - before, 2, "a limit is not tried again");
    }
    assert!(hints[0].contains("GITHUB_TOKEN") && hints[0].contains("5000"), "{}", hints[0]);
    assert!(!hints[2].contains("GITHUB_TOKEN"), "{}", hints[2]);
    assert!(hints.iter().all(|hint| hint.contains("name the version itself")), "{hints:?}");
}

#[test]
fn a_rate_limit_between_two_pages_or_two_files_is_no_shorter_list() {
    let hub = many();
    hub.github.rate_limit(1, RESET);
    let error = hub.resolve(None, "latest").unwrap_err();
    assert!(matches!(error, Error::RateLimited { authenticated: Some(false), .. }), "{error}");

    let hub = Hub::private();
    hub.github.rate_limit(2, RESET);
    let error = hub.fetch(Some(TOKEN)).unwrap_err();
    assert!(matches!(error, Error::RateLimited { authenticated: Some(true), .. }), "{error}");
    hub.github.rate_limit(60, RESET);
    hub.fetch_whole(Some(TOKEN));
}

/// Remembers how long it was to wait.
#[derive(Default)]
struct Delays(Mutex<Vec<Duration>>);

impl Progress for Delays {
    fn retrying(&self, _: &Error, delay: Duration) {
        self.0.lock().unwrap().push(delay);
    }
}

#[test]
fn a_secondary_limit_is_waited_for_if_it_is_short() {
    let hub = Hub::new();
    hub.github.secondary_rate_limit(1, 1);
    let delays = Delays::default();
    let any = Wanted { requirement: Requirement::Latest, pre_releases: false };
    let version = block_on(hub.registry(None).resolve(&any, &delays)).unwrap();
    assert_eq!(version, VERSION);
    assert_eq!(*delays.0.lock().unwrap(), [Duration::from_secs(1)]);
    assert_eq!(hub.api_requests().len(), 2);

    hub.github.secondary_rate_limit(3600, 1);
    let error = hub.resolve(None, "latest").unwrap_err();
    assert!(error.to_string().contains("try again in 3600 s") && error.exit_code() == 5, "{error}");
    assert_eq!(hub.api_requests().len(), 3);
}

#[test]
fn a_repository_that_moved_is_followed() {
    for token in [None, Some(TOKEN)] {
        let hub = Hub::new();
        hub.github.moved_to("umbrella/models-of-acme");
        assert_eq!(hub.resolve(token, "latest").unwrap(), "0.2.0");
        assert_eq!(paths(&hub.api_requests()), [LIST, "/repositories/1296269/releases"]);
        let bearer = token.map(|token| format!("Bearer {token}"));
        assert_eq!(tokens(&hub.api_requests()), [bearer.as_deref(); 2]);
        hub.fetch_whole(token);
        assert_eq!(hub.api_requests().len(), 2);
    }
    let hub = Hub::private();
    hub.github.moved_to("umbrella/models-of-acme");
    hub.fetch_whole(Some(TOKEN));
    assert!(tokens(&hub.api_requests()).iter().all(Option::is_some));
}

#[test]
fn a_next_page_elsewhere_gets_no_token() {
    let hub = Hub::new();
    let list = hub.api_json(LIST);
    let elsewhere = Server::start_with(|_| Reply::bytes(200, "[]"));
    hub.forge(LIST, &list, Some(&format!("<{}/steal?page=2>; rel=\"next\"", elsewhere.url())));
    assert_eq!(hub.resolve(Some(TOKEN), "latest").unwrap(), "0.2.0");
    assert_eq!(paths(&elsewhere.requests("")), ["/steal"]);
    assert_eq!(tokens(&elsewhere.requests("")), [None]);
}

/// octokit/core.js#415: the token follows a redirect.
#[test]
fn a_redirect_of_the_api_to_elsewhere_gets_no_token() {
    let hub = Hub::new();
    let elsewhere = Server::start_with(|_| Reply::bytes(200, "[]"));
    let location = vec![("Location", format!("{}/steal", elsewhere.url()))];
    hub.github.api.misbehave(LIST, Fault::Status(302, location), usize::MAX);
    let error = hub.resolve(Some(TOKEN), "latest").unwrap_err();
    assert!(matches!(error, Error::NoVersion { .. }), "{error}");
    assert_eq!(tokens(&elsewhere.requests("")), [None]);
}

#[test]
fn a_file_of_a_release_that_is_elsewhere_gets_no_token() {
    let hub = Hub::private();
    let elsewhere = Server::start(&hub.bench.www());
    let mut release = hub.api_json("/repos/acme/models/releases/tags/v0.2.0");
    for asset in release["assets"].as_array_mut().unwrap() {
        asset["url"] = format!("{}/v0.2.0/{}", elsewhere.url(), asset["name"].as_str().unwrap()).into();
    }
    hub.forge(TAG, &release, None);
    hub.fetch_whole(Some(TOKEN));
    assert_eq!(tokens(&elsewhere.requests("")), [None; 3]);
}

#[test]
fn an_address_in_an_answer_leads_to_no_plain_http_and_no_file() {
    let hub = Hub::private();
    for address in ["http://storage.example.com/x", "ftp://127.0.0.1/x", "file:///etc/hostname", "data:text"]
    {
        let mut release = hub.api_json("/repos/acme/models/releases/tags/v0.2.0");
        for asset in release["assets"].as_array_mut().unwrap() {
            asset["url"] = address.into();
        }
        hub.forge(TAG, &release, None);
        let error = hub.fetch(Some(TOKEN)).unwrap_err();
        assert!(matches!(error, Error::UnusableAnswer { .. }) && error.exit_code() == 5, "{error}");

        hub.forge(LIST, &json!([]), Some(&format!("<{address}>; rel=\"next\"")));
        let error = hub.resolve(Some(TOKEN), "latest").unwrap_err();
        assert!(matches!(error, Error::UnusableAnswer { .. }), "{address}: {error}");
        hub.github.api.behave();
    }
}

#[test]
fn an_answer_of_the_api_that_cannot_be_used_is_an_error_and_no_panic() {
    let hub = Hub::new();
    let list = hub.api_json(LIST).to_string();
    let html = "<!doctype html><title>Sign in</title>";
    for body in
        [html, "", "null", "{}", "\"text\"", "[{}]", "[null]", "{\"items\": 1}", &list[..list.len() / 2]]
    {
        let headers = vec![("Content-Type", "text/html".to_owned())];
        hub.github.api.misbehave(LIST, Fault::Body(body.into(), headers), 1);
        let error = hub.resolve(Some(TOKEN), "latest").unwrap_err();
        assert!(matches!(error, Error::UnusableAnswer { .. }) && error.exit_code() == 5, "{body}: {error}");
    }
    for link in [
        "",
        ";",
        "<>; rel=\"next\"",
        "<::>; rel=next",
        "<http://[>; rel=\"next\"",
        "<*>; rel=\"next\"",
        "<?page=2>; rel=\"next\"",
    ] {
        hub.forge(LIST, &json!([]), Some(link));
        let error = hub.resolve(Some(TOKEN), "latest").unwrap_err();
        assert!(matches!(error, Error::UnusableAnswer { .. } | Error::NoVersion { .. }), "{link}: {error}");
        hub.github.api.behave();
    }
    let private = Hub::private();
    for body in [html, "[]", "{}"] {
        private.github.api.misbehave(TAG, Fault::Body(body.into(), vec![]), 1);
        let error = private.fetch(Some(TOKEN)).unwrap_err();
        assert!(matches!(error, Error::UnusableAnswer { .. }), "{body}: {error}");
    }
}

#[test]
fn an_answer_of_the_api_that_never_ends_is_left() {
    let hub = Hub::new();
    hub.github.api.misbehave(LIST, Fault::Endless, usize::MAX);
    let error = hub.resolve(Some(TOKEN), "latest").unwrap_err();
    assert!(matches!(error, Error::UnusableAnswer { .. }), "{error}");
    assert_eq!(hub.api_requests().len(), 1);

    hub.github.api.behave();
    hub.github.api.misbehave(LIST, Fault::StallAfter(10), usize::MAX);
    let error = hub.resolve(Some(TOKEN), "latest").unwrap_err();
    assert!(matches!(error, Error::Network { .. }) && error.exit_code() == 5, "{error}");

    // A list whose next page is always itself.
    hub.github.api.behave();
    let itself = format!("<{}{LIST}>; rel=\"next\"", hub.github.api_url());
    let list = hub.api_json(LIST);
    hub.forge(LIST, &list, Some(&itself));
    let before = hub.api_requests().len();
    assert_eq!(hub.resolve(Some(TOKEN), "latest").unwrap(), "0.2.0");
    assert_eq!(hub.api_requests().len() - before, 100);
}

#[test]
fn redirects_of_the_api_in_a_circle_end() {
    let hub = Hub::private();
    for path in [LIST, TAG] {
        let itself = format!("{}{path}?secret={}", hub.github.api_url(), GitHub::SIGNATURE);
        hub.github.api.misbehave(path, Fault::Status(302, vec![("Location", itself)]), usize::MAX);
    }
    let resolve = hub.resolve(Some(TOKEN), "latest").map(drop);
    let fetch = hub.fetch(Some(TOKEN)).map(drop);
    for error in [resolve, fetch].map(Result::unwrap_err) {
        assert!(matches!(error, Error::Network { .. }) && error.exit_code() == 5, "{error}");
        assert!(error.to_string().contains("too many redirects"), "{error}");
    }
}

#[test]
fn failures_of_the_api_that_may_pass_are_tried_again() {
    for fault in [Fault::Status(500, vec![]), Fault::Status(502, vec![]), Fault::CutAfter(20)] {
        let hub = Hub::private();
        hub.github.api.misbehave(LIST, fault.clone(), 2);
        assert_eq!(hub.resolve(Some(TOKEN), "latest").unwrap(), "0.2.0");
        assert_eq!(hub.api_requests().len(), 3);
        hub.github.api.misbehave(TAG, fault.clone(), 2);
        hub.fetch_whole(Some(TOKEN));
        let retries = hub.diary.lines().iter().filter(|line| line.starts_with("retrying: ")).count();
        assert_eq!(retries, 4);

        hub.github.api.misbehave(LIST, fault, usize::MAX);
        let error = hub.releases(Some(TOKEN)).unwrap_err();
        assert_eq!(error.exit_code(), 5, "{error}");
    }
}

#[test]
fn a_storage_that_fails_does_not_tell_its_signature() {
    for fault in [
        Fault::Status(500, vec![]),
        Fault::Status(403, vec![]),
        Fault::CutAfter(10),
        Fault::LongerLength(1),
        Fault::Body(b"<!doctype html>".to_vec(), vec![("Content-Type", "text/html".to_owned())]),
    ] {
        for (name, hub) in [("base-index.json", Hub::new()), ("base-index.json", Hub::private())]
            .into_iter()
            .chain([(&*archive(), Hub::new()), (&*archive(), Hub::private())])
        {
            hub.github.assets.misbehave(name, fault.clone(), usize::MAX);
            let error = hub.fetch(Some(TOKEN)).unwrap_err();
            assert!(matches!(error.exit_code(), 4 | 5), "{error}");
        }
    }
}

#[test]
fn an_api_below_a_path_is_asked_below_it_on_every_page() {
    // GitHub Enterprise: one host for web and API.
    let hub = Hub::with(&["v0.3.0"]);
    let list = hub.api_json(LIST);
    let pages = [json!([list[0]]), json!([list[1]])].map(|page| page.to_string());
    let enterprise = Server::start_with(move |request| {
        let host = &request.headers["host"];
        match &*request.path {
            "/api/v3/repos/acme/models/releases" => {
                let link = format!("<http://{host}/api/v3/repositories/1/releases?page=2>; rel=\"next\"");
                Reply::bytes(200, pages[0].clone()).with("Link", link)
            }
            "/api/v3/repositories/1/releases" => Reply::bytes(200, pages[1].clone()),
            _ => Reply::empty(404),
        }
    });
    let registry = hub.registry_of(vec![source(&enterprise.url(), None, Some(TOKEN))]);
    assert_eq!(hub.resolve_from(&registry, "^0.2", false).unwrap(), "0.2.0");
    let bearer = format!("Bearer {TOKEN}");
    assert_eq!(tokens(&enterprise.requests("")), [Some(&*bearer); 2]);

    // The token is the API's, although the host is the same.
    let error = hub.fetch_from(&registry).unwrap_err();
    assert!(matches!(error, Error::NoSuchRelease { .. }), "{error}");
    let plain = enterprise.requests("/acme/models/releases/download/v0.2.0/base-index.json");
    assert_eq!(tokens(&plain), [None]);
}

#[test]
fn a_password_in_an_address_is_not_shown() {
    let hub = Hub::new();
    let with_password = |url: String| url.replace("http://", &format!("http://me:{WRONG}@"));
    let (web, api) = (hub.github.server_url(), with_password(hub.github.api_url()));
    let registry = hub.registry_of(vec![source(&with_password(web), Some(api), Some(TOKEN))]);
    for fault in [Fault::Body("<html>".into(), vec![]), Fault::Status(401, vec![]), Fault::CutAfter(3)] {
        hub.github.api.misbehave(LIST, fault, usize::MAX);
        let error = hub.resolve_from(&registry, "latest", false).unwrap_err();
        assert!(error.to_string().contains("redacted@"), "{error}");
        hub.github.api.behave();
    }
    let mirror = Source::parse(&format!("https://me:{WRONG}@m.example.com"), false).unwrap();
    assert!(!format!("{mirror:?} {mirror:#?}").contains(WRONG));
}

#[test]
fn the_next_source_serves_what_github_does_not_have() {
    let hub = Hub::private();
    let shelf = tempfile::tempdir().unwrap();
    let runtimes: [(&str, &[u8]); 1] = [(LINUX.triple(), &hub.bench.runtime)];
    Release::write(shelf.path(), "0.2.0", &runtimes, &hub.bench.key);
    let directory = Source::parse(shelf.path().to_str().unwrap(), false).unwrap();
    let warnings = || {
        let mut lines = std::mem::take(&mut *hub.diary.0.lock().unwrap());
        lines.retain(|line| line.starts_with("warning: "));
        lines
    };

    let registry = hub.registry_of(vec![hub.source(None), directory.clone()]);
    assert_eq!(hub.resolve_from(&registry, "latest", false).unwrap(), "0.2.0");
    let told = warnings();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("no repository `acme/models`") && told[0].contains("next source"), "{told:?}");
    let releases = hub.checked(&registry, block_on(registry.releases(&hub.diary))).unwrap();
    assert_eq!(releases[0].source, directory.to_string());
    assert_eq!(warnings().len(), 1);

    // A token that fails, or a limit, is told of as well, and the file is had all the same.
    for (token, limit, reason) in [(Some(WRONG), 60, "401"), (Some(TOKEN), 0, "rate limit resets at")] {
        hub.github.rate_limit(limit, RESET);
        let registry = hub.registry_of(vec![hub.source(token), directory.clone()]);
        let fetched = hub.fetch_from(&registry).unwrap();
        hub.bench.assert_whole(&fetched.base);
        let told = warnings();
        assert!(matches!(&told[..], [line] if line.contains(reason)), "{told:?}");
        fs::remove_dir_all(hub.bench.cache()).unwrap();
    }

    // Without a token there is no telling a repository that is not there from one without this version, which is no fault.
    let fetched = hub.fetch_from(&hub.registry_of(vec![hub.source(None), directory])).unwrap();
    hub.bench.assert_whole(&fetched.base);
    assert_eq!(warnings(), Vec::<String>::new());
}
