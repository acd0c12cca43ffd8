//! Ctrl-C, and the signals that mean the same.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

static INTERRUPTED: Notify = Notify::const_new();
/// Whether somebody waits for [`INTERRUPTED`].
static IS_AWAITED: AtomicBool = AtomicBool::new(false);

/// From now on, a signal ends a download so that the next run continues it, and anything else so that a build leaves the old
/// file under the output's name, and nothing beside it. A second signal ends the program at once.
pub(crate) fn handle_signals() {
    let installed = ctrlc::set_handler(|| {
        if IS_AWAITED.swap(false, Ordering::SeqCst) {
            INTERRUPTED.notify_one();
            return;
        }
        encoderfile_format::remove_temporary_files();
        #[expect(clippy::exit, reason = "a signal ends the program; the code is that of shells for SIGINT")]
        std::process::exit(130);
    });
    // Without a handler, the signal ends the program as ever.
    drop(installed);
}

/// What `future` comes to; nothing if a signal ended it.
pub(crate) async fn unless_interrupted<T>(future: impl Future<Output = T>) -> Option<T> {
    IS_AWAITED.store(true, Ordering::SeqCst);
    let result = tokio::select! {
        result = future => Some(result),
        () = INTERRUPTED.notified() => None,
    };
    IS_AWAITED.store(false, Ordering::SeqCst);
    result
}
