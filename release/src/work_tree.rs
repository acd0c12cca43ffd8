//! Whether git would take a file along.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The git work tree that the file `path` is in, unless git ignores it there.
pub(crate) fn exposing(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    let directory = path.parent()?;
    // A directory, or a file in further work trees and in submodules.
    let root = directory.ancestors().find(|ancestor| ancestor.join(".git").exists())?;
    let mut git = Command::new("git");
    // Those of a hook, or of somebody's shell, would have git look at another repository.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        git.env_remove(variable);
    }
    git.arg("-C").arg(directory).args(["check-ignore", "--quiet", "--"]).arg(&path);
    git.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Where git does not say, somebody else's may not ignore it either.
    let is_ignored = git.status().is_ok_and(|status| status.success());
    (!is_ignored).then(|| root.to_owned())
}
