//! The lock that lets one process own a data folder.
//!
//! It is the system's lock on the file `lock`, which the system takes back when its owner dies, however it dies. The
//! file stays and holds the pid of its last owner; only the lock counts, never the file or the pid.

use adjutant_model::run::ErrorClass;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The ownership of a data folder; it ends when this is dropped or the process dies.
#[derive(Debug)]
pub struct StoreLock {
    path: PathBuf,
    // Holds the lock as long as it is open.
    _file: File,
}

/// Why a data folder could not be owned.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process owns it.
    #[error("the data folder {} is in use by another daemon{}", folder.display(), of_pid(*pid))]
    Held {
        /// The folder.
        folder: PathBuf,
        /// The owner, when it has written its pid already.
        pid: Option<u32>,
    },
    /// The folder does not exist and cannot be made.
    #[error("the data folder {} cannot be made", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The folder cannot be written to.
    #[error("the data folder {} cannot be written to", folder.display())]
    NotWritable {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system does not lock files there.
    #[error("the data folder {} cannot be locked", folder.display())]
    Lock {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl LockError {
    /// Tells what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            LockError::Held { .. }
            | LockError::Folder { .. }
            | LockError::NotWritable { .. }
            | LockError::Lock { .. } => ErrorClass::User,
        }
    }
}

fn of_pid(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}

impl StoreLock {
    /// Takes the lock on a data folder, which is made, for its owner alone, when it is not there. Does not wait.
    ///
    /// # Errors
    /// [`LockError`]
    pub fn acquire(folder: &Path) -> Result<StoreLock, LockError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| LockError::Folder { folder: folder.to_owned(), source })?;
        let path = folder.join("lock");
        let not_writable = |source| LockError::NotWritable { folder: folder.to_owned(), source };
        // Not truncated: before the lock is ours the pid in it is another's.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(not_writable)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(LockError::Held { folder: folder.to_owned(), pid: pid_read(&mut file) });
            }
            Err(errno) => return Err(LockError::Lock { folder: folder.to_owned(), source: errno.into() }),
        }
        pid_write(&mut file).map_err(not_writable)?;
        Ok(StoreLock { path, _file: file })
    }

    /// Gives the path of the lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn pid_read(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn pid_write(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}
