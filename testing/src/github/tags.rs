//! Tags in the API's words: <https://docs.github.com/rest/git/refs>, <https://docs.github.com/rest/git/tags>.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// What a tag points to: a commit, or an object of its own that does, or several such objects in a row.
#[derive(Clone)]
pub(super) struct Tag {
    pub(super) name: String,
    pub(super) commit: String,
    /// How many objects are between the name and the commit.
    pub(super) objects: usize,
}

impl Tag {
    /// The reference. `repository` is the address of the repository's own part of the API.
    pub(super) fn reference(&self, repository: &str) -> Value {
        let name = &self.name;
        json!({
            "ref": format!("refs/tags/{name}"),
            "node_id": format!("REF_{name}"),
            "url": format!("{repository}/git/refs/tags/{name}"),
            "object": self.target(repository, self.objects),
        })
    }

    /// The object with this SHA, if it is one of the tag's.
    pub(super) fn object(&self, repository: &str, sha: &str) -> Option<Value> {
        let depth = (1..=self.objects).find(|depth| self.sha(*depth) == sha)?;
        let name = &self.name;
        Some(json!({
            "node_id": format!("TAG_{sha}"),
            "tag": name,
            "sha": sha,
            "url": format!("{repository}/git/tags/{sha}"),
            "message": format!("What is new in {name}."),
            "tagger": {"name": "octocat", "email": "octocat@github.com", "date": "2020-01-01T12:00:00Z"},
            "object": self.target(repository, depth - 1),
            "verification": {"verified": false, "reason": "unsigned", "signature": null, "payload": null},
        }))
    }

    /// What is `depth` objects in front of the commit.
    fn target(&self, repository: &str, depth: usize) -> Value {
        let (kind, place) = if depth == 0 { ("commit", "commits") } else { ("tag", "tags") };
        let sha = self.sha(depth);
        json!({"type": kind, "sha": sha, "url": format!("{repository}/git/{place}/{sha}")})
    }

    fn sha(&self, depth: usize) -> String {
        if depth == 0 {
            return self.commit.clone();
        }
        let mut sha = hex::encode(Sha256::digest(format!("{} {} {depth}", self.name, self.commit)));
        sha.truncate(40);
        sha
    }
}
