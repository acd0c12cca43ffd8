//! What a caller may want to show while it waits. Nothing in this crate writes to a terminal.

use std::time::Duration;

use crate::error::Error;

/// Is told what happens during one fetch. Every method does nothing unless it is implemented; `()` ignores everything.
pub trait Progress: Send + Sync {
    /// Another process installs or uses the same base binary; `holder` is its id where that is known.
    fn waiting(&self, holder: Option<u32>) {
        let _ = holder;
    }

    /// A download begins or begins again, with `position` of `total` bytes already here.
    fn started(&self, file: &str, position: u64, total: u64) {
        let _ = (file, position, total);
    }

    /// So many bytes of the download are here.
    fn advanced(&self, position: u64) {
        let _ = position;
    }

    /// The download failed, for the reason that `error` displays, and is tried again after `delay`.
    fn retrying(&self, error: &Error, delay: Duration) {
        let _ = (error, delay);
    }

    /// Something is not as it should be, but the fetch goes on. The message is lower case and may have several lines.
    fn warning(&self, message: &str) {
        let _ = message;
    }

    /// For those who want the whole story: what was found where. One line, lower case.
    fn detail(&self, message: &str) {
        let _ = message;
    }

    /// The download is complete and its hash is right; unpacking begins.
    fn downloaded(&self) {}
}

impl Progress for () {}
