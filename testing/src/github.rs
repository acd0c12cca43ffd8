//! GitHub, as far as releases go, on loopback: <https://github.com>, <https://api.github.com>,
//! <https://uploads.github.com> and the storage of assets, each a [`Server`] with a port of its own.
//!
//! Shapes and statuses follow <https://docs.github.com/rest/releases/releases>,
//! <https://docs.github.com/rest/releases/assets>, <https://docs.github.com/rest/git/refs>,
//! <https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api> and
//! <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api>.

mod api;
mod downloads;
mod json;
mod limits;
mod pages;
mod repository;
mod tags;
mod writing;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::server::Server;
use repository::Repository;
use tags::Tag;

/// A repository with releases, and the four hosts that serve it. Dropping it stops them.
///
/// The folders of a directory are the releases: a folder's name is the tag, its files are the assets. Releases that are
/// there at the start were made in the order of their versions, first those whose tag has none; a folder that comes
/// later is a newer release, whatever its version. Folders and files may change at any time. The API changes them too: a
/// draft that it makes is a folder `untagged-…`, which gets the tag's name when it is published.
pub struct GitHub {
    /// In the place of <https://github.com>.
    pub web: Server,
    /// In the place of <https://api.github.com>.
    pub api: Server,
    /// In the place of <https://uploads.github.com>.
    pub uploads: Server,
    /// In the place of <https://objects.githubusercontent.com>.
    pub assets: Server,
    site: Arc<Site>,
}

/// What the four hosts share.
struct Site {
    hosts: OnceLock<Hosts>,
    repository: Mutex<Repository>,
}

/// Addresses without a slash at their end.
struct Hosts {
    web: String,
    api: String,
    uploads: String,
    assets: String,
}

impl GitHub {
    /// What makes an address of the storage valid, and must not be shown to anybody.
    pub const SIGNATURE: &str = "c2lnbmVkLWFuZC1zZWNyZXQ";

    /// Serves the folders of `root` as the releases of a public `repository`, which is `owner/name`.
    pub fn start(root: &Path, repository: &str) -> Self {
        let repository = Mutex::new(Repository::new(root, repository));
        let site = Arc::new(Site { hosts: OnceLock::new(), repository });
        let host = |answer: fn(&Site, &crate::request::Request) -> crate::answer::Reply| {
            let site = Arc::clone(&site);
            Server::start_with(move |request| answer(&site, request))
        };
        let (web, api) = (host(downloads::web), host(api::api));
        let (uploads, assets) = (host(writing::uploads), host(downloads::storage));
        site.hosts.get_or_init(|| Hosts {
            web: web.url(),
            api: api.url(),
            uploads: uploads.url(),
            assets: assets.url(),
        });
        Self { web, api, uploads, assets, site }
    }

    /// The address that is <https://github.com> otherwise: `GITHUB_SERVER_URL`.
    pub fn server_url(&self) -> String {
        self.web.url()
    }

    /// The address that is <https://api.github.com> otherwise: `GITHUB_API_URL`.
    pub fn api_url(&self) -> String {
        self.api.url()
    }

    /// From now on the repository is seen only by the API, and only with this token, which may write.
    pub fn private(&self, token: &str) {
        self.token(token);
        self.site.repository().private = true;
    }

    /// A token that may write. Without it no token is known, and requests to the API that bear one are answered 401.
    pub fn token(&self, token: &str) {
        self.site.repository().token = Some(token.to_owned());
    }

    /// The token may only read.
    pub fn read_only(&self) {
        self.site.repository().read_only = true;
    }

    /// Makes the tag `name`, or moves it to `commit`.
    pub fn tag(&self, name: &str, commit: &str) {
        self.annotated_tag(name, commit, 0);
    }

    /// The same with so many objects between name and commit: one is an annotated tag, more are tags of tags.
    pub fn annotated_tag(&self, name: &str, commit: &str, objects: usize) {
        let tag = Tag { name: name.to_owned(), commit: commit.to_owned(), objects };
        self.site.repository().set_tag(tag);
    }

    /// Takes the tag `name` away.
    pub fn untag(&self, name: &str) {
        self.site.repository().remove_tag(name);
    }

    /// Every commit changes `.github/workflows`, and the token has no right to write those. Who names a commit for a release's
    /// tag needs it, whether there is such a tag or not.
    pub fn guard_workflows(&self) {
        self.site.repository().guards_workflows = true;
    }

    /// From now on what is published cannot be changed, which is a setting of a repository.
    pub fn immutable_releases(&self) {
        self.site.repository().immutable = true;
    }

    /// Says no digests, as GitHub Enterprise servers before 3.18 do.
    pub fn without_digests(&self) {
        self.site.repository().digests = false;
    }

    /// The next `times` uploads of this name are stored with one wrong bit.
    pub fn corrupt(&self, name: &str, times: u64) {
        self.site.repository().corruptions.insert(name.to_owned(), times);
    }

    /// Makes a prerelease of the release with this tag: it is listed, and never the latest.
    pub fn prerelease(&self, tag: &str) {
        self.site.repository().mark(tag, |marks| marks.prerelease = true);
    }

    /// Makes a draft of the release with this tag: who has the token finds it in the list and by its number, and nobody
    /// finds it in any other way.
    pub fn draft(&self, tag: &str) {
        self.site.repository().mark(tag, |marks| marks.draft = true);
    }

    /// Ends what [`GitHub::draft`] began.
    pub fn publish(&self, tag: &str) {
        self.site.repository().mark(tag, |marks| marks.draft = false);
    }

    /// The API answers `remaining` more requests, and refuses all that follow with status 403, until this is called
    /// again. It says that the limit resets at `reset`, in seconds since 1970, and does nothing then.
    pub fn rate_limit(&self, remaining: u64, reset: u64) {
        self.site.repository().limits.set(remaining, reset);
    }

    /// The API refuses the next `times` requests with status 429 and a `Retry-After` of so many seconds.
    pub fn secondary_rate_limit(&self, retry_after: u64, times: u64) {
        self.site.repository().limits.set_secondary(retry_after, times);
    }

    /// Renames the repository to `repository`, which is `owner/name`. Its old name is redirected: by the API to the
    /// repository's number, by the web host to the new name.
    pub fn moved_to(&self, repository: &str) {
        self.site.repository().rename(repository);
    }
}

impl Site {
    fn repository(&self) -> MutexGuard<'_, Repository> {
        self.repository.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hosts(&self) -> &Hosts {
        self.hosts.get().expect("nobody knows the addresses before the start has ended")
    }
}
