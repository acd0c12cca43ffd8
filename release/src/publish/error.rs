//! What can go wrong while a release is published.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use encoderfile_registry::{ConnectionError, InvalidToken, SourceError};
use jiff::Timestamp;
use semver::Version;

use crate::publish::Commit;
use crate::publish::comparison::Difference;
use crate::publish::journal::Stage;

const AGAIN: &str = "run the same command again: it goes on where it stopped";
const NEEDED: &str = "the token needs write access to the repository's contents (a fine-grained token: `Contents: write`, a \
                      classic one: the scope `repo`, a workflow: `permissions: contents: write`)";

/// Why a release was not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PublishError {
    #[error("`{}` has signatures of further keys only, and older command lines look for `.minisig`", .path.display())]
    NoPlainSignature { path: PathBuf },
    #[error("the release is not for all targets")]
    MissingPrograms { missing: Vec<String> },
    #[error("changelog `{}` has no section for {version}", .path.display())]
    NoNotes { path: PathBuf, version: Version },

    #[error("no access token in `GH_TOKEN` or `GITHUB_TOKEN`")]
    NoToken,
    #[error("cannot use `{variable}`")]
    Token { variable: &'static str, source: InvalidToken },
    #[error(transparent)]
    Place(#[from] SourceError),
    #[error("cannot start")]
    Start { source: io::Error },
    #[error("cannot start the HTTP client")]
    Client { source: ConnectionError },

    #[error("cannot {action}")]
    Connection { action: String, url: String, source: ConnectionError },
    #[error("cannot {action}: nothing happens for {} s", .patience.as_secs())]
    Stalled { action: String, patience: Duration, sent: Option<(u64, u64)> },
    #[error("cannot {action}: the server failed")]
    Status { action: String, url: String, answer: String },
    #[error("cannot {action}: too many requests")]
    RateLimited { action: String, answer: String, reset: Option<Timestamp>, pause: Duration },
    #[error("cannot {action}: the answer is unusable")]
    Unusable { action: String, reason: String },
    #[error("cannot {action}: the request is refused")]
    Rejected { action: String, answer: String },

    #[error("`{url}` does not accept the token")]
    Unauthorized { url: String, answer: String },
    #[error("the token may not {action}")]
    Forbidden {
        action: String,
        repository: String,
        answer: String,
        needs: Option<String>,
        /// The commit that was named, if it is that which the token may not.
        named: Option<Commit>,
    },
    #[error("cannot {action}: there is nothing, or nothing for this token")]
    NotFound { action: String, repository: String, answer: String },
    #[error("cannot {action}: repository `{repository}` has another address now")]
    Moved { action: String, repository: String, to: Option<String> },
    #[error("uploads would go to another server, which is not to see the token")]
    ForeignUploads { expected: Vec<String>, found: String },

    #[error("there is no tag `{tag}`")]
    NoTag { tag: String },
    #[error("tag `{tag}` is not at the commit that is to be released")]
    OtherCommit { tag: String, expected: Commit, found: Commit },
    #[error("tag `{tag}` is not that of a commit")]
    NoCommit { tag: String, found: String },
    #[error("there are several drafts of `{tag}`")]
    SeveralDrafts { tag: String, urls: Vec<String> },
    #[error("draft `{url}` has files that are not in the folder")]
    Strangers { url: String, names: Vec<String> },
    #[error("`{name}` did not arrive as it was sent")]
    NotStored { name: String, difference: Difference },
    #[error("draft `{url}` is not what was uploaded")]
    NotReadBack { url: String, differences: Vec<Difference> },
    #[error("`{tag}` is published already, and is not what is in the folder")]
    PublishedDiffers { tag: String, url: String, differences: Vec<Difference> },

    #[error("interrupted")]
    Interrupted { stage: Stage },
}

impl PublishError {
    /// Labelled values that belong to the message.
    pub(crate) fn details(&self) -> Vec<(&'static str, String)> {
        let listed = |differences: &[Difference]| -> Vec<(&'static str, String)> {
            differences.iter().map(|difference| ("file", difference.to_string())).collect()
        };
        match self {
            Self::MissingPrograms { missing } => {
                missing.iter().map(|program| ("missing", program.clone())).collect()
            }
            Self::Connection { url, .. } => vec![("url", url.clone())],
            Self::Stalled { sent: Some((sent, size)), .. } => {
                vec![("sent", format!("{sent} of {size} bytes"))]
            }
            Self::Status { url, answer, .. } | Self::Unauthorized { url, answer } => {
                vec![("url", url.clone()), ("answer", answer.clone())]
            }
            Self::RateLimited { answer, reset, pause, .. } => {
                let until = match reset {
                    Some(reset) => ("resets", format!("{reset} (in {} min)", pause.as_secs().div_ceil(60))),
                    None => ("wait", format!("{} s", pause.as_secs())),
                };
                vec![("answer", answer.clone()), until]
            }
            Self::Unusable { reason, .. } => vec![("reason", reason.clone())],
            Self::Rejected { answer, .. } => vec![("answer", answer.clone())],
            Self::NotFound { repository, answer, .. } => {
                vec![("repository", repository.clone()), ("answer", answer.clone())]
            }
            Self::Forbidden { repository, answer, needs, .. } => {
                let needs = needs.iter().map(|needs| ("needs", needs.clone()));
                let known = [("repository", repository.clone()), ("answer", answer.clone())];
                known.into_iter().chain(needs).collect()
            }
            Self::Moved { to, .. } => to.iter().map(|to| ("found", to.clone())).collect(),
            Self::ForeignUploads { expected, found } => {
                let expected = expected.iter().map(|host| ("expected", host.clone()));
                expected.chain([("found", found.clone())]).collect()
            }
            Self::OtherCommit { expected, found, .. } => {
                vec![("expected", expected.to_string()), ("found", found.to_string())]
            }
            Self::NoCommit { found, .. } => vec![("found", found.clone())],
            Self::SeveralDrafts { urls, .. } => urls.iter().map(|url| ("draft", url.clone())).collect(),
            Self::Strangers { names, .. } => names.iter().map(|name| ("file", name.clone())).collect(),
            Self::NotStored { difference, .. } => vec![("found", difference.found.clone())],
            Self::NotReadBack { differences, .. } => listed(differences),
            Self::PublishedDiffers { url, differences, .. } => {
                [vec![("url", url.clone())], listed(differences)].concat()
            }
            Self::Interrupted { stage: Stage::Draft(url) | Stage::Publishing(url) } => {
                vec![("draft", url.clone())]
            }
            _ => Vec::new(),
        }
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoPlainSignature { .. } => {
                "sign the folder with `encoderfile-release sign DIR --key FILE`, first the key that most know".to_owned()
            }
            Self::MissingPrograms { .. } => {
                "nothing can be added to what is published: pack them too, or leave them out for good with \
                 `--allow-missing-targets`"
                    .to_owned()
            }
            Self::NoNotes { version, .. } => format!("give it a heading `## [{version}]` and say what is new"),
            Self::NoToken => format!("set `GITHUB_TOKEN`: {NEEDED}"),
            Self::Unauthorized { .. } => {
                "check the token in `GH_TOKEN` or `GITHUB_TOKEN`: it may have expired".to_owned()
            }
            Self::Forbidden { named: Some(commit), .. } => format!(
                "push a tag of {commit} and run the same command again: where the tag is there, no commit has to be named, which \
                 takes `Workflows: write` if the commit changes `.github/workflows`, and a workflow's token never has that; and \
                 {NEEDED}"
            ),
            Self::Forbidden { .. } => NEEDED.to_owned(),
            Self::NotFound { .. } => format!("check the repository's name; {NEEDED}"),
            Self::Moved { .. } => "name it with `--repo` as it is called now".to_owned(),
            Self::ForeignUploads { .. } => {
                "check `GITHUB_API_URL` and `GITHUB_SERVER_URL`: they must belong to one server".to_owned()
            }
            Self::RateLimited { .. } => "wait until then, and run the same command again: it goes on where it stopped".to_owned(),
            Self::Connection { .. }
            | Self::Stalled { .. }
            | Self::Status { .. }
            | Self::Unusable { .. }
            | Self::NotStored { .. } => AGAIN.to_owned(),
            Self::NotReadBack { .. } => {
                format!("somebody else may be uploading; {AGAIN}, and replaces what is wrong in a draft")
            }
            Self::NoTag { .. } => "push it first, or name the commit with `--target-commitish`".to_owned(),
            Self::OtherCommit { .. } => {
                "one of the two is a mistake: release the commit that is tagged, or, where the tag has moved since others saw it, \
                 make a new version"
                    .to_owned()
            }
            Self::SeveralDrafts { .. } => "delete all but one of them".to_owned(),
            Self::Strangers { .. } => {
                "all files of a release are published: delete these from the draft, or delete the draft".to_owned()
            }
            Self::PublishedDiffers { .. } => {
                "what is published is never replaced: make a new version, or take the folder that was published".to_owned()
            }
            Self::Interrupted { stage: Stage::Publishing(_) } => {
                format!("it may be published or not; {AGAIN}")
            }
            Self::Interrupted { .. } => format!("nothing is published; {AGAIN}"),
            _ => return None,
        };
        Some(hint)
    }

    /// 0 is done, 1 failed, 2 usage, 4 a check that did not hold, 5 network, 130 interrupted.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NoToken | Self::Token { .. } | Self::Place(_) => 2,
            Self::NoPlainSignature { .. }
            | Self::MissingPrograms { .. }
            | Self::NoNotes { .. }
            | Self::NoTag { .. }
            | Self::OtherCommit { .. }
            | Self::NoCommit { .. }
            | Self::Strangers { .. }
            | Self::NotStored { .. }
            | Self::NotReadBack { .. }
            | Self::PublishedDiffers { .. } => 4,
            Self::Connection { .. }
            | Self::Stalled { .. }
            | Self::Status { .. }
            | Self::RateLimited { .. }
            | Self::Unusable { .. } => 5,
            Self::Interrupted { .. } => 130,
            _ => 1,
        }
    }

    /// Message and reason in one line, for what is tried again.
    pub(crate) fn in_one_line(&self) -> String {
        match self {
            Self::Connection { source, .. } => format!("{self}: {source}"),
            Self::Status { answer, .. }
            | Self::RateLimited { answer, .. }
            | Self::Rejected { answer, .. } => {
                format!("{self} ({answer})")
            }
            Self::Unusable { reason, .. } => format!("{self} ({reason})"),
            Self::NotStored { difference, .. } => format!("{self}: it is {}", difference.found),
            _ => self.to_string(),
        }
    }
}
