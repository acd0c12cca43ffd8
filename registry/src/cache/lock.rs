//! Advisory locks that the system drops when their holder dies.
//!
//! A lock file is never deleted: whoever waits on a deleted file waits for nobody, and a second holder could lock a new one.
//! It is opened for reading and writing, because NFS gives no exclusive lock otherwise.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, test_kill_process};

use crate::error::{Error, Result};
use crate::progress::Progress;

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// By any number of readers.
    Shared,
    /// By one writer.
    Exclusive,
}

/// A held lock. Dropping it releases it.
#[derive(Debug)]
pub(crate) struct Lock {
    /// None where the file system knows no locks, or cannot be written and so has no writers.
    file: Option<File>,
    mode: Mode,
}

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

impl Lock {
    /// Waits for the lock at `path`, at most for `timeout`. The wait is a poll, so that it can be given up or cancelled.
    pub(crate) async fn acquire(
        path: &Path,
        mode: Mode,
        timeout: Option<Duration>,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let lock = Self::acquire_by(try_lock, path, mode, timeout, progress, || Ok(false)).await?;
        Ok(lock.expect("wanted until it is had"))
    }

    /// As [`acquire`](Self::acquire); none as soon as it has to be waited for and `is_needless`.
    pub(crate) async fn acquire_unless(
        path: &Path,
        mode: Mode,
        timeout: Option<Duration>,
        progress: &dyn Progress,
        is_needless: impl Fn() -> Result<bool>,
    ) -> Result<Option<Self>> {
        Self::acquire_by(try_lock, path, mode, timeout, progress, is_needless).await
    }

    async fn acquire_by(
        try_lock: impl Fn(&File, Mode) -> std::result::Result<(), TryLockError>,
        path: &Path,
        mode: Mode,
        timeout: Option<Duration>,
        progress: &dyn Progress,
        is_needless: impl Fn() -> Result<bool>,
    ) -> Result<Option<Self>> {
        let Some(mut file) = open(path, mode)? else {
            return Ok(Some(Self { file: None, mode }));
        };
        let start = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut told = false;
        loop {
            match try_lock(&file, mode) {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) if has_no_locks(&error) => {
                    progress.warning(&format!("cannot lock `{}`, going on without: {error}", path.display()));
                    return Ok(Some(Self { file: None, mode }));
                }
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
            }
            if is_needless()? {
                return Ok(None);
            }
            let holder = holder(&mut file);
            if timeout.is_some_and(|timeout| start.elapsed() >= timeout) {
                return Err(Error::LockTimeout { path: path.to_owned(), holder, waited: start.elapsed() });
            }
            if !told {
                progress.waiting(holder);
                told = true;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        if mode == Mode::Exclusive {
            // Who waits may say for whom. Best effort: the lock is what counts.
            let _ = write_holder(&mut file, &std::process::id().to_string());
        }
        Ok(Some(Self { file: Some(file), mode }))
    }

    /// Whether others are really kept out.
    pub(crate) fn is_real(&self) -> bool {
        self.file.is_some()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(file) = &mut self.file {
            if self.mode == Mode::Exclusive {
                let _ = write_holder(file, "");
            }
            // Closing is not enough while another thread forks: its child has the file open until it runs its program.
            let _ = fs4::FileExt::unlock(file);
        }
    }
}

pub(crate) fn try_lock(file: &File, mode: Mode) -> std::result::Result<(), TryLockError> {
    let result = match mode {
        Mode::Shared => fs4::FileExt::try_lock_shared(file),
        Mode::Exclusive => fs4::FileExt::try_lock(file),
    };
    result.map_err(|error| match error {
        fs4::TryLockError::WouldBlock => TryLockError::WouldBlock,
        fs4::TryLockError::Error(error) => TryLockError::Error(error),
    })
}

/// Whether a lock can be had right now. Neither waits for it, nor keeps it, nor makes its file. Where it cannot be told,
/// as on a file system without locks, it cannot be had.
pub(crate) fn is_free(path: &Path, mode: Mode) -> Result<bool> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) if cannot_write(&error) => File::open(path),
        result => result,
    };
    let file = match file {
        Err(error) if cannot_write(&error) => return Ok(false),
        result => result.map_err(Error::io("open lock file", path))?,
    };
    match try_lock(&file, mode) {
        Ok(()) => {
            // As in `Lock`.
            let _ = fs4::FileExt::unlock(&file);
            Ok(true)
        }
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) if has_no_locks(&error) => Ok(false),
        Err(TryLockError::Error(error)) => Err(Error::io("lock", path)(error)),
    }
}

/// None where no lock is needed, because a reader cannot write here and neither can anybody like it.
fn open(path: &Path, mode: Mode) -> Result<Option<File>> {
    if let Some(directory) = path.parent() {
        match std::fs::create_dir_all(directory) {
            Err(error) if mode == Mode::Shared && cannot_write(&error) => return Ok(None),
            result => result.map_err(Error::io("create directory", directory))?,
        }
    }
    match OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path) {
        // A cache that belongs to another user: a local file system gives a shared lock for a file opened for reading.
        Err(error) if mode == Mode::Shared && cannot_write(&error) => Ok(File::open(path).ok()),
        result => result.map(Some).map_err(Error::io("open lock file", path)),
    }
}

pub(crate) fn cannot_write(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

pub(crate) fn has_no_locks(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let unsupported = [Errno::NOSYS, Errno::NOTSUP, Errno::NOLCK, Errno::BADF, Errno::INVAL];
    error.raw_os_error().is_some_and(|code| unsupported.iter().any(|errno| errno.raw_os_error() == code))
}

/// Who wrote itself into the lock file, if it is still alive.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(20).read_to_string(&mut text).ok()?;
    let process = text.trim().parse::<i32>().ok().and_then(Pid::from_raw)?;
    // Not ours to signal is alive all the same.
    let alive = !matches!(test_kill_process(process), Err(rustix::io::Errno::SRCH));
    alive.then(|| process.as_raw_nonzero().get().unsigned_abs())
}

fn write_holder(file: &mut File, text: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use rustix::fs::OFlags;
    use rustix::io::Errno;

    use super::*;

    #[derive(Default)]
    struct Warnings(Mutex<Vec<String>>);

    impl Progress for Warnings {
        fn warning(&self, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
    }

    /// Takes a lock as [`Lock::acquire`] does, on a file system whose answers are `try_lock`'s.
    fn acquire_on(
        try_lock: impl Fn(&File, Mode) -> std::result::Result<(), TryLockError>,
        path: &Path,
        mode: Mode,
    ) -> (Result<Lock>, Vec<String>) {
        let warnings = Warnings::default();
        let acquire = Lock::acquire_by(try_lock, path, mode, Some(Duration::ZERO), &warnings, || Ok(false));
        let lock = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(acquire);
        (lock.map(|lock| lock.expect("wanted until it is had")), warnings.0.into_inner().unwrap())
    }

    fn refusal(errno: Errno) -> TryLockError {
        TryLockError::Error(io::Error::from_raw_os_error(errno.raw_os_error()))
    }

    /// uv#9050: file systems without locks.
    #[test]
    fn a_file_system_without_locks_is_warned_of() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.lock");
        for errno in [Errno::NOLCK, Errno::NOSYS, Errno::NOTSUP, Errno::INVAL] {
            let (lock, warnings) = acquire_on(|_, _| Err(refusal(errno)), &path, Mode::Exclusive);
            assert!(!lock.unwrap().is_real());
            let expected = format!("cannot lock `{}`, going on without: ", path.display());
            assert!(matches!(&warnings[..], [warning] if warning.starts_with(&expected)), "{warnings:?}");
        }
    }

    /// uv#9050: but nothing else than their absence is gone on without.
    #[test]
    fn a_lock_that_cannot_be_tried_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.lock");
        let (lock, warnings) = acquire_on(|_, _| Err(refusal(Errno::IO)), &path, Mode::Exclusive);
        assert!(matches!(lock, Err(Error::Io { .. })) && warnings.is_empty(), "{lock:?} {warnings:?}");
    }

    /// uv#18061: NFS refuses the exclusive lock of a file that was opened read-only. Files are opened for both here, also
    /// one that is there already, and for a shared lock as well.
    #[test]
    fn nfs_gives_the_lock() {
        // As in the kernel's `nfs_flock`, which takes flocks for those of byte ranges.
        let nfs = |file: &File, mode| {
            let access = rustix::fs::fcntl_getfl(file).unwrap() & OFlags::RWMODE;
            let suffices = match mode {
                Mode::Exclusive => access == OFlags::RDWR || access == OFlags::WRONLY,
                Mode::Shared => access == OFlags::RDWR || access == OFlags::RDONLY,
            };
            if suffices { try_lock(file, mode) } else { Err(refusal(Errno::BADF)) }
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("locks/a.lock");
        for mode in [Mode::Exclusive, Mode::Exclusive, Mode::Shared] {
            let (lock, warnings) = acquire_on(nfs, &path, mode);
            let lock = lock.unwrap();
            assert!(lock.is_real() && warnings.is_empty(), "{mode:?}: {warnings:?}");
            let access = rustix::fs::fcntl_getfl(lock.file.as_ref().unwrap()).unwrap() & OFlags::RWMODE;
            assert_eq!(access, OFlags::RDWR, "{mode:?}");
        }
    }
}
