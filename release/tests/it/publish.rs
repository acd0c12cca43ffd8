//! Publishing, at a GitHub on loopback.

mod faults;
mod interruptions;
mod refusals;
mod secrets;
mod tags;
mod verification;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use encoderfile_registry::{
    GitHubConfig, INDEX_NAME, NetworkConfig, Registry, RegistryConfig, Requirement, Source, Target, Token,
    TrustedKeys, Wanted, client_builder,
};
use encoderfile_testing::{GitHub, Request};
use semver::Version;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{VERSION, Workshop, error_of};

const REPOSITORY: &str = "acme/models";
const TOKEN: &str = "ghp_aVerySecretToken";
/// What is released, which its tag is at.
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const SIGN: [&str; 3] = ["sign", "dist", "--key=keys/encoderfile.key"];

/// The folder of a signed release.
fn signed() -> Workshop {
    let workshop = Workshop::new();
    workshop.release();
    workshop.run(&SIGN);
    workshop
}

/// A repository without releases, for which there is a folder to be published.
struct Hub<'a> {
    workshop: &'a Workshop,
    root: TempDir,
    github: GitHub,
}

impl<'a> Hub<'a> {
    fn new(workshop: &'a Workshop) -> Self {
        Self::with(workshop, &[])
    }

    /// With releases that have these tags, and are of no interest otherwise.
    fn with(workshop: &'a Workshop, tags: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        for tag in tags {
            fs::create_dir(root.path().join(tag)).unwrap();
        }
        let github = GitHub::start(root.path(), REPOSITORY);
        github.token(TOKEN);
        github.tag("v0.3.0", COMMIT);
        Self { workshop, root, github }
    }

    /// The tool, told to publish what `keys` signed, whatever targets it is for.
    fn command(&self, arguments: &[&str]) -> Command {
        self.plain_command(
            &[&["--trusted-key=keys/encoderfile.pub", "--allow-missing-targets"], arguments].concat(),
        )
    }

    /// The tool, told to publish, and nothing of keys and targets.
    fn plain_command(&self, arguments: &[&str]) -> Command {
        let arguments = [&["publish", "dist", "--repo", REPOSITORY], arguments].concat();
        let mut command = self.workshop.tool(&arguments);
        command.env("GITHUB_TOKEN", TOKEN);
        command.env("GITHUB_API_URL", self.github.api_url());
        command.env("GITHUB_SERVER_URL", self.github.server_url());
        command
    }

    /// Publishes, which must succeed; what was told on the way.
    fn publish(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{}", error_of(&output));
        let url = if arguments.contains(&"--draft") { self.draft_url() } else { self.url() };
        assert_eq!(String::from_utf8(output.stdout.clone()).unwrap(), format!("{url}\n"));
        self.checked(&output)
    }

    /// Tries to publish, which must fail with `code`; the message.
    fn refuse(&self, code: i32, arguments: &[&str]) -> String {
        self.refuse_command(code, &mut self.command(arguments))
    }

    fn refuse_command(&self, code: i32, command: &mut Command) -> String {
        self.checked_refusal(code, &command.output().unwrap())
    }

    fn checked_refusal(&self, code: i32, output: &Output) -> String {
        assert_eq!(output.status.code(), Some(code), "{}", error_of(output));
        assert_eq!(output.stdout, b"");
        self.checked(output)
    }

    /// What is told, which is never a secret; and who got the token.
    fn checked(&self, output: &Output) -> String {
        let told = error_of(output);
        for secret in [TOKEN, GitHub::SIGNATURE] {
            assert!(!told.contains(secret), "{told}");
        }
        for request in [self.github.web.requests(""), self.github.assets.requests("")].concat() {
            assert!(!request.headers.contains_key("authorization"), "{request:?}");
        }
        told
    }

    fn url(&self) -> String {
        format!("{}/{REPOSITORY}/releases/tag/v{VERSION}", self.github.server_url())
    }

    fn draft_url(&self) -> String {
        let [draft] = &self.releases()[..] else { panic!("one draft") };
        assert!(draft.starts_with("untagged-"), "{draft}");
        format!("{}/{REPOSITORY}/releases/tag/{draft}", self.github.server_url())
    }

    /// The folders of the releases that are there; that of a draft is not called by its tag.
    fn releases(&self) -> Vec<String> {
        let entries = self.root.path().read_dir().unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(format!("v{VERSION}")).join(name)
    }

    /// There is one release, published, and it is what the folder has.
    fn assert_published(&self) {
        let tag = format!("v{VERSION}");
        assert_eq!(self.releases(), [&*tag]);
        let release = self.ask("/releases/latest");
        let mut names: Vec<_> = release["assets"].as_array().unwrap().iter().collect();
        names.sort_by_key(|asset| asset["name"].as_str());
        let expected = self.workshop.names("dist");
        assert_eq!(names.iter().map(|asset| asset["name"].as_str().unwrap()).collect::<Vec<_>>(), expected);
        assert!(names.iter().all(|asset| asset["state"] == "uploaded"), "{names:?}");
        for name in expected {
            assert_eq!(
                fs::read(self.file(&name)).unwrap(),
                self.workshop.read(format!("dist/{name}")),
                "{name}"
            );
        }
    }

    /// What the API answers, to the holder of the token.
    fn ask(&self, path: &str) -> Value {
        self.send(reqwest::Method::GET, path, None)
    }

    fn send(&self, method: reqwest::Method, path: &str, body: Option<&Value>) -> Value {
        let url = format!("{}/repos/{REPOSITORY}{path}", self.github.api_url());
        block_on(async {
            let client = client_builder(&NetworkConfig::default()).no_proxy().build().unwrap();
            let mut request = client.request(method, url).bearer_auth(TOKEN);
            if let Some(body) = body {
                request = request.header("Content-Type", "application/json").body(body.to_string());
            }
            let answer = request.send().await.unwrap().error_for_status().unwrap();
            serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
        })
    }

    /// The requests to the API and to the host of uploads.
    fn requests(&self) -> Vec<Request> {
        [self.github.api.requests(""), self.github.uploads.requests("")].concat()
    }

    /// The requests that change something.
    fn changes(&self) -> Vec<String> {
        let changes = self.requests().into_iter().filter(|request| request.method != "GET");
        changes.map(|request| format!("{} {}", request.method, request.target)).collect()
    }

    /// The body of the one request with this method.
    fn sent(&self, method: &str) -> Value {
        let mut requests = self.github.api.requests("");
        requests.retain(|request| request.method == method);
        let [request] = &requests[..] else { panic!("one {method}: {requests:?}") };
        serde_json::from_slice(&request.body).unwrap()
    }

    /// As a user has it who trusts the key that signed.
    fn registry(&self, cache: &TempDir) -> Registry {
        let config = GitHubConfig {
            server_url: Some(self.github.server_url()),
            api_url: Some(self.github.api_url()),
            repository: Some(REPOSITORY.to_owned()),
            token: Some(Token::new(TOKEN).unwrap()),
        };
        let mut keys = TrustedKeys::none();
        keys.add(self.workshop.path("keys/encoderfile.pub").to_str().unwrap()).unwrap();
        let source = Source::github(&config).unwrap();
        Registry::new(RegistryConfig::new(cache.path().to_owned(), source, keys))
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn further_signatures_are_published_too() {
    let workshop = Workshop::new();
    workshop.release();
    workshop.run(&["keygen", "--out=further"]);
    workshop.run(&["sign", "dist", "--key=keys/encoderfile.key", "--key=further/encoderfile.key"]);
    let hub = Hub::new(&workshop);
    hub.publish(&["--trusted-key=further/encoderfile.pub"]);
    hub.assert_published();
    let of_index = format!("{INDEX_NAME}.");
    let signatures = workshop.names("dist").into_iter().filter(|name| name.starts_with(&of_index));
    assert_eq!(signatures.count(), 2);
}

#[test]
fn a_release_goes_from_a_folder_to_its_users() {
    let workshop = signed();
    workshop
        .write("CHANGELOG.md", b"# Changelog\n\n## [0.3.0] - 2026-01-02\n### Added\n- Much.\n\n## [0.2.0]\n");
    let hub = Hub::with(&workshop, &[]);
    let told = hub.publish(&["--notes=CHANGELOG.md", "--target-commitish", COMMIT]);
    let api = hub.github.api.requests("");
    hub.assert_published();

    // One line for each file, the index and its signature last.
    let names = workshop.names("dist");
    let told: Vec<&str> = told.lines().collect();
    assert_eq!(told.len(), names.len() + 3, "{told:?}");
    assert!(told[0].starts_with("created the draft http://127.0.0.1:"), "{told:?}");
    let uploaded: Vec<&str> =
        told.iter().filter_map(|line| line.strip_prefix("uploaded ")?.split(' ').next()).collect();
    assert_eq!(uploaded[names.len() - 2..], ["base-index.json", "base-index.json.minisig"]);
    assert_eq!(
        told[names.len() + 1],
        format!("read back {} files: names, sizes and sha256 are as they should be", names.len())
    );
    assert_eq!(*told.last().unwrap(), "published `v0.3.0`, as the latest release");

    assert_eq!(
        hub.sent("POST"),
        json!({
            "tag_name": "v0.3.0", "name": "v0.3.0",
            "body": "### Added\n- Much.", "draft": true, "prerelease": false, "make_latest": "false",
        })
    );
    assert_eq!(
        hub.sent("PATCH"),
        json!({
            "release_id": 5_000_000, "tag_name": "v0.3.0", "draft": false,
            "prerelease": false, "make_latest": "true",
        })
    );
    // All was read back before it was published.
    assert_eq!(api.last().unwrap().method, "PATCH");
    assert!(api[api.len() - 2].path.ends_with("/git/ref/tags/v0.3.0"), "{api:?}");
    assert_eq!((&*api[api.len() - 3].method, api[api.len() - 3].path.ends_with("/assets")), ("GET", true));

    let cache = tempfile::tempdir().unwrap();
    let registry = hub.registry(&cache);
    let version = Version::parse(VERSION).unwrap();
    for target in [Target::X86_64LinuxGnu, Target::Aarch64AppleDarwin] {
        let fetched = block_on(registry.fetch(target, &version, false, &())).unwrap();
        assert_eq!(fs::read(&fetched.base.path).unwrap(), crate::runtime(target, VERSION));
    }
    let wanted = Wanted { requirement: "latest".parse::<Requirement>().unwrap(), pre_releases: false };
    assert_eq!(block_on(registry.resolve(&wanted, &())).unwrap(), version);
}

#[test]
fn publishing_again_changes_nothing() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    hub.publish(&[]);
    let changes = hub.changes();
    let told = hub.publish(&[]);
    assert_eq!(told, "`v0.3.0` is published already, and all its files are these\n");
    hub.publish(&["--draft"].map(|_| "--retries=0"));
    assert_eq!(hub.changes(), changes);
    hub.assert_published();
}

#[test]
fn a_release_that_is_made_again_is_the_same() {
    // As another machine does that has the archives, the key and the commit, and nothing of the first run.
    let workshop = Workshop::new();
    workshop.pack(Target::X86_64LinuxGnu, true);
    workshop.run(&["keygen", "--out=keys"]);
    let make = || {
        for name in workshop
            .names("dist")
            .iter()
            .filter(|name| name.starts_with(INDEX_NAME) || name.ends_with(".minisig"))
        {
            fs::remove_file(workshop.path(format!("dist/{name}"))).unwrap();
        }
        workshop.run(&["index", "--version", VERSION, "--published=2026-01-02T03:04:05Z", "dist"]);
        workshop.run(&SIGN);
    };
    make();
    let hub = Hub::new(&workshop);
    hub.github.immutable_releases();
    hub.publish(&[]);
    let (changes, published) = (hub.changes(), fs::read(hub.file("base-index.json.minisig")).unwrap());
    make();
    assert_ne!(workshop.read("dist/base-index.json.minisig"), published);
    let told = hub.publish(&[]);
    let mut expected: Vec<_> =
        workshop.names("dist").into_iter().filter(|name| name.ends_with(".minisig")).collect();
    expected.rotate_left(1);
    let mut lines: Vec<_> = expected
        .iter()
        .map(|name| format!("left {name}, another signature of the same bytes by the same key\n"))
        .collect();
    lines.push(
        "`v0.3.0` is published already, and all its files are these, but for signatures that are as good\n"
            .to_owned(),
    );
    assert_eq!(told, lines.concat());
    assert_eq!(hub.changes(), changes);
    assert_eq!(fs::read(hub.file("base-index.json.minisig")).unwrap(), published);

    // In a draft, the new ones take their place.
    let hub = Hub::new(&workshop);
    hub.publish(&["--draft"]);
    make();
    hub.publish(&[]);
    hub.assert_published();
}

#[test]
fn a_draft_waits_until_it_is_to_be_published() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    let told = hub.publish(&["--draft"]);
    assert!(told.ends_with("left `v0.3.0` a draft, to be published by a run without `--draft`\n"), "{told}");
    assert!(!hub.changes().iter().any(|change| change.starts_with("PATCH")), "{:?}", hub.changes());
    let told = hub.publish(&[]);
    hub.assert_published();
    assert_eq!(told.lines().filter(|line| line.starts_with("kept ")).count(), workshop.names("dist").len());
    assert!(!told.contains("uploaded"), "{told}");
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_would_be_done() {
    let workshop = signed();
    let hub = Hub::with(&workshop, &["v9.0.0"]);
    let plan = |arguments: &[&str]| {
        let output = hub.command(&[&["--dry-run"], arguments].concat()).output().unwrap();
        assert!(output.status.success(), "{}", hub.checked(&output));
        let plan = String::from_utf8(output.stdout).unwrap();
        plan.replace(&hub.github.server_url(), "http://github")
    };
    // Sizes of archives are zstd's affair.
    let sizes = |plan: String| {
        plan.lines().map(|line| line.split(" (").next().unwrap().to_owned() + "\n").collect::<String>()
    };
    insta::assert_snapshot!("publish_plan_new", sizes(plan(&[])));
    assert_eq!(hub.changes(), [""; 0]);
    assert_eq!(hub.releases(), ["v9.0.0"]);

    // A draft of which the first file is there, the second half, and the third with another byte.
    hub.github.uploads.misbehave_after("", 1, encoderfile_testing::Fault::CutRequestAfter(10), 1);
    hub.refuse(5, &["--retries=0"]);
    let changes = hub.changes();
    insta::assert_snapshot!("publish_plan_draft", sizes(plan(&["--draft"])));
    assert_eq!(hub.changes(), changes);
    fs::remove_dir_all(hub.root.path().join("v9.0.0")).unwrap();
    hub.publish(&[]);
    let changes = hub.changes();
    assert_eq!(
        plan(&[]),
        "nothing to do: `v0.3.0` is published at http://github/acme/models/releases/tag/v0.3.0\n"
    );
    fs::write(hub.file(INDEX_NAME), b"{}").unwrap();
    hub.refuse(4, &["--dry-run"]);
    assert_eq!(hub.changes(), changes);
}

#[test]
fn only_the_newest_stable_version_is_the_latest() {
    let workshop = Workshop::new();
    workshop.runtime_of("runtime", Target::X86_64LinuxGnu, "0.4.0-rc.1");
    workshop.run(&[
        "pack",
        "--level=1",
        "--target=x86_64-unknown-linux-gnu",
        "--runtime=runtime",
        "--out=dist",
        "--third-party=NOTICES.md",
    ]);
    workshop.run(&["index", "--version=0.4.0-rc.1", "dist"]);
    workshop.run(&["keygen", "--out=keys"]);
    workshop.run(&SIGN);
    let hub = Hub::with(&workshop, &["v0.2.0"]);
    hub.github.tag("v0.4.0-rc.1", COMMIT);
    let output = hub.command(&[]).output().unwrap();
    assert!(output.status.success(), "{}", error_of(&output));
    assert!(error_of(&output).ends_with("published `v0.4.0-rc.1`, not as the latest release\n"));
    assert_eq!(hub.sent("POST")["prerelease"], true);
    let patch = hub.sent("PATCH");
    assert_eq!((&patch["prerelease"], &patch["make_latest"]), (&json!(true), &json!("false")));
    assert_eq!(hub.ask("/releases/latest")["tag_name"], "v0.2.0");

    // A correction of an old version, and a pre-release that is newer.
    for (tags, is_latest) in
        [(&["v0.4.0", "v0.2.0"][..], "false"), (&["v0.4.0-rc.1", "v0.2.0", "docs-5", "v1"][..], "true")]
    {
        let workshop = signed();
        let hub = Hub::with(&workshop, tags);
        hub.publish(&[]);
        assert_eq!(hub.sent("PATCH")["make_latest"], is_latest, "{tags:?}");
        assert_eq!(hub.ask("/releases/latest")["tag_name"] == "v0.3.0", is_latest == "true", "{tags:?}");
    }
}

#[test]
fn a_long_list_is_read_to_its_end() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    hub.publish(&["--draft"]);
    // Drafts are found in the list alone, where newer releases come first.
    for patch in 0..101 {
        fs::create_dir(hub.root.path().join(format!("v0.2.{patch}"))).unwrap();
    }
    let told = hub.command(&[]).output().unwrap();
    assert!(told.status.success(), "{}", error_of(&told));
    assert!(!error_of(&told).contains("created"), "{}", error_of(&told));
    assert_eq!(hub.releases().len(), 102);
    assert!(hub.file(INDEX_NAME).exists());
}
