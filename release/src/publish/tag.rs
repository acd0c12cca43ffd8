//! The tag of a release: which commit it names, and who says so.

use std::fmt;
use std::str::FromStr;

use crate::publish::PublishError;
use crate::publish::repository::Repository;

/// A commit, by all digits of its SHA-1: a branch or half a name may mean another one tomorrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit(String);

impl Commit {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Commit {
    type Err = InvalidCommit;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_whole = text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_whole { Ok(Self(text.to_ascii_lowercase())) } else { Err(InvalidCommit) }
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that does not name a commit.
#[derive(Clone, Debug, thiserror::Error)]
#[error("expected the 40 hexadecimal digits of a commit, as `git rev-parse HEAD` prints them")]
pub(crate) struct InvalidCommit;

/// The commit that GitHub has to be told, so that it makes the tag there. None where the tag is there already: it is of the
/// wanted commit then, and to be told of one that changes workflows GitHub wants a right that a workflow's token never has.
///
/// Told nothing, GitHub would tag whatever the default branch is at by then.
pub(crate) async fn commit_to_tag<'a>(
    repository: &Repository<'_>,
    tag: &str,
    wanted: Option<&'a Commit>,
) -> Result<Option<&'a Commit>, PublishError> {
    let tag = tag.to_owned();
    match (repository.tagged_commit(&tag).await?, wanted) {
        (Some(found), Some(wanted)) if found != *wanted => {
            Err(PublishError::OtherCommit { tag, expected: wanted.clone(), found })
        }
        (Some(_), _) => Ok(None),
        (None, Some(wanted)) => Ok(Some(wanted)),
        (None, None) => Err(PublishError::NoTag { tag }),
    }
}

#[cfg(test)]
mod tests {
    use super::Commit;

    #[test]
    fn only_all_digits_are_a_commit() {
        let commit = "0123456789ABCDEF0123456789abcdef01234567".parse::<Commit>().unwrap();
        assert_eq!(commit.as_str(), "0123456789abcdef0123456789abcdef01234567");
        let texts = ["", "main", "0123abc", "g123456789abcdef0123456789abcdef01234567"];
        assert!(texts.iter().all(|text| text.parse::<Commit>().is_err()));
    }
}
