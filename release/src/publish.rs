//! A release at GitHub: a draft, all files, all of them read back, and only then published.
//!
//! Nothing here remembers an earlier run. What is at GitHub says how far it came, so that any run goes on where any other
//! stopped.

mod body;
mod comparison;
mod error;
mod failure;
mod files;
mod journal;
mod patience;
mod repository;
mod tag;
mod upload;

use std::fmt;
use std::io;
use std::time::Duration;

use encoderfile_registry::{GitHubConfig, GitHubRepository, NetworkConfig, Token, TrustedKeys};
use octocrab::models::repos::{Asset, Release};
use semver::Version;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::PublishArguments;
use crate::changelog;
use crate::error::Error;
use crate::publish::comparison::{Difference, Judgement, is_as_good, judge_all, strangers};
pub(crate) use crate::publish::error::PublishError;
use crate::publish::files::{File, Files};
use crate::publish::journal::{Journal, tell};
use crate::publish::patience::Patience;
use crate::publish::repository::Repository;
pub(crate) use crate::publish::tag::Commit;
use crate::publish::tag::commit_to_tag;
use crate::publish::upload::{ensure_uploaded, upload_address};
use crate::verify::trusted_keys;

/// What came of it.
pub(crate) enum Outcome {
    /// The release, or the draft, is at this address.
    Done { url: String },
    /// What would be done.
    Plan { lines: Vec<String> },
}

/// Publishes the release in a directory.
pub(crate) fn publish(arguments: &PublishArguments) -> Result<Outcome, Error> {
    let keys = trusted_keys(&arguments.trusted_keys)?;
    let files = Files::read(&arguments.directory, &keys, arguments.allow_missing_targets)?;
    let notes = match &arguments.notes {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
            let section = changelog::notes(&text, &files.version).map(str::to_owned);
            Some(section.ok_or_else(|| PublishError::NoNotes {
                path: path.clone(),
                version: files.version.clone(),
            })?)
        }
        None => None,
    };
    let network = NetworkConfig {
        idle_timeout: Duration::from_secs(arguments.timeout.into()),
        retries: arguments.retries,
        user_agent: concat!("encoderfile-release/", env!("CARGO_PKG_VERSION")).to_owned(),
        ..NetworkConfig::default()
    };
    let journal = Journal::default();
    let (at, patience) = (place(&arguments.repo)?, Patience::new(network, &journal));
    let wish = Wish { arguments, files: &files, keys: &keys, notes, tag: format!("v{}", files.version) };

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| PublishError::Start { source })?;
    let outcome = runtime.block_on(async {
        let signals = interrupted().map_err(|source| PublishError::Start { source })?;
        let repository = Repository::new(at, patience)?;
        tokio::select! {
            outcome = carry_out(&repository, &wish) => outcome,
            () = signals => Err(PublishError::Interrupted { stage: journal.stage() }),
        }
    });
    Ok(outcome?)
}

/// What is to be at GitHub in the end.
struct Wish<'a> {
    arguments: &'a PublishArguments,
    files: &'a Files,
    keys: &'a TrustedKeys,
    notes: Option<String>,
    tag: String,
}

/// Which repository, at which server, with which token, as the environment says it.
fn place(repository: &str) -> Result<GitHubRepository, PublishError> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    // The order of GitHub's own command line.
    let token = ["GH_TOKEN", "GITHUB_TOKEN"].into_iter().find_map(|name| Some((name, variable(name)?)));
    let (name, text) = token.ok_or(PublishError::NoToken)?;
    let token = Token::new(&text).map_err(|source| PublishError::Token { variable: name, source })?;
    Ok(GitHubRepository::new(&GitHubConfig {
        server_url: variable("GITHUB_SERVER_URL"),
        api_url: variable("GITHUB_API_URL"),
        repository: Some(repository.to_owned()),
        token: Some(token),
    })?)
}

/// Ends with the first signal that asks the program to end.
fn interrupted() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

async fn carry_out(repository: &Repository<'_>, wish: &Wish<'_>) -> Result<Outcome, PublishError> {
    let Wish { arguments, files, tag, .. } = wish;
    let wanted = arguments.target_commitish.as_ref();
    let (releases, found) = repository.find(tag).await?;
    let commit = commit_to_tag(repository, tag, wanted).await?;
    let release = match found {
        Some(release) => release,
        None if arguments.dry_run => return Ok(plan_new(&releases, wish, commit)),
        None => create(repository, wish, commit).await?,
    };
    let url = release.html_url.to_string();
    if !release.draft {
        let others = check_published(repository, &release, wish).await?;
        for name in &others {
            tell(&format!("left {name}, another signature of the same bytes by the same key"));
        }
        let but = if others.is_empty() { "" } else { ", but for signatures that are as good" };
        tell(&format!("`{tag}` is published already, and all its files are these{but}"));
        return Ok(if arguments.dry_run {
            Outcome::Plan { lines: vec![format!("nothing to do: `{tag}` is published at {url}")] }
        } else {
            Outcome::Done { url }
        });
    }

    let uploads = upload_address(&repository.at, &release)?;
    let remote = repository.assets(&release).await?;
    let strangers = strangers(&files.list, &remote);
    if !strangers.is_empty() {
        return Err(PublishError::Strangers { url, names: strangers });
    }
    if arguments.dry_run {
        let mut lines = vec![format!("go on with the draft {url}")];
        for (file, judgement) in judge_all(repository, &files.list, &remote).await? {
            lines.push(match judgement {
                Judgement::Equal => format!("keep    {}", file.name),
                Judgement::Missing => upload_line(file),
                Judgement::Different { found } => format!("replace {}, which is {found}", file.name),
            });
        }
        return Ok(Outcome::Plan { lines: finish_plan(lines, &releases, wish, commit) });
    }

    repository.journal().draft(&url);
    for file in &files.list {
        let there = remote.iter().find(|asset| asset.name == file.name).cloned();
        ensure_uploaded(repository, &release, &uploads, file, there).await?;
    }
    let remote = repository.assets(&release).await?;
    let differences = differences(repository, &remote, files).await?;
    if !differences.is_empty() {
        return Err(PublishError::NotReadBack { url, differences });
    }
    let count = files.list.len();
    tell(&format!("read back {count} files: names, sizes and sha256 are as they should be"));
    if arguments.draft {
        tell(&format!("left `{tag}` a draft, to be published by a run without `--draft`"));
        return Ok(Outcome::Done { url });
    }

    let is_latest = is_latest(&releases, &files.version);
    // The uploads took their time, in which a tag may come, go or move.
    let commit = commit_to_tag(repository, tag, wanted).await?;
    repository.journal().publishing();
    let published = repository.publish(&release, &files.version, commit, is_latest).await?;
    let rank = if is_latest { "as the latest release" } else { "not as the latest release" };
    tell(&format!("published `{tag}`, {rank}"));
    Ok(Outcome::Done { url: published.html_url.to_string() })
}

/// Makes the draft. An answer that got lost may have made it too, so that it is looked for before each new try.
async fn create(
    repository: &Repository<'_>,
    wish: &Wish<'_>,
    commit: Option<&Commit>,
) -> Result<Release, PublishError> {
    let Wish { files, notes, tag, .. } = wish;
    let mut failures = 0;
    loop {
        let failure = match repository.create(tag, &files.version, notes.as_deref(), commit).await {
            Ok(release) => {
                tell(&format!("created the draft {}", release.html_url));
                return Ok(release);
            }
            Err(failure) => failure,
        };
        repository.patience.pause(&mut failures, failure).await?;
        if let (_, Some(release)) = repository.find(tag).await? {
            tell(&format!("found it made: {}", release.html_url));
            return Ok(release);
        }
    }
}

/// What is published is never touched: it is as it should be, or there is nothing to be done about it. Returns the signatures that
/// are others than in the folder and as good.
async fn check_published(
    repository: &Repository<'_>,
    release: &Release,
    wish: &Wish<'_>,
) -> Result<Vec<String>, PublishError> {
    let Wish { files, keys, .. } = wish;
    let remote = repository.assets(release).await?;
    let (mut differences, mut as_good) = (differences(repository, &remote, files).await?, Vec::new());
    for file in &files.list {
        let Some(place) = differences.iter().position(|difference| difference.name == file.name) else {
            continue;
        };
        let Some(asset) = remote.iter().find(|asset| asset.name == file.name) else { continue };
        if is_as_good(repository, file, asset, keys).await? {
            as_good.push(differences.remove(place).name);
        }
    }
    if differences.is_empty() {
        return Ok(as_good);
    }
    let (tag, url) = (release.tag_name.clone(), release.html_url.to_string());
    Err(PublishError::PublishedDiffers { tag, url, differences })
}

/// What a release has otherwise than the folder.
async fn differences(
    repository: &Repository<'_>,
    remote: &[Asset],
    files: &Files,
) -> Result<Vec<Difference>, PublishError> {
    let judgements = judge_all(repository, &files.list, remote).await?;
    let mut differences: Vec<_> =
        judgements.into_iter().filter_map(|(file, judgement)| Difference::of(file, &judgement)).collect();
    let strangers = strangers(&files.list, remote).into_iter();
    differences
        .extend(strangers.map(|name| Difference { name, found: "there, and not in the folder".into() }));
    Ok(differences)
}

/// Whether no published release is newer. A pre-release is never the latest.
fn is_latest(releases: &[Release], version: &Version) -> bool {
    let published = releases.iter().filter(|release| !release.draft && !release.prerelease);
    let mut versions = published.filter_map(|release| release.tag_name.strip_prefix('v')?.parse().ok());
    version.pre.is_empty() && !versions.any(|other: Version| other.pre.is_empty() && other > *version)
}

fn plan_new(releases: &[Release], wish: &Wish<'_>, commit: Option<&Commit>) -> Outcome {
    let mut lines = vec![format!("create a draft of `{}` in {}", wish.tag, wish.arguments.repo)];
    lines.extend(wish.files.list.iter().map(upload_line));
    Outcome::Plan { lines: finish_plan(lines, releases, wish, commit) }
}

fn upload_line(file: &File) -> String {
    format!("upload  {} ({} bytes)", file.name, file.bytes.len())
}

fn finish_plan(
    mut lines: Vec<String>,
    releases: &[Release],
    wish: &Wish<'_>,
    commit: Option<&Commit>,
) -> Vec<String> {
    // A draft tags nothing.
    if let Some(commit) = commit.filter(|_| !wish.arguments.draft) {
        lines.push(format!("tag     {commit} as `{}`", wish.tag));
    }
    lines.push(match (wish.arguments.draft, is_latest(releases, &wish.files.version)) {
        (true, _) => format!("leave `{}` a draft", wish.tag),
        (false, true) => format!("publish `{}`, as the latest release", wish.tag),
        (false, false) => format!("publish `{}`, not as the latest release", wish.tag),
    });
    lines
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done { url } => f.write_str(url),
            Self::Plan { lines } => f.write_str(&lines.join("\n")),
        }
    }
}
