//! Faults that a trial puts into the writer: a disk that refuses one commit, a process that dies at one.
//!
//! A program gives no hook, and then no commit is asked about. With one, every commit of a batch is announced by its
//! number, from 1 on since the store was opened; the upkeep of the journal's head is not.

use crate::write::WriteError;
use rusqlite::ffi;
use std::fmt;
use std::sync::Arc;

/// What befalls a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFault {
    /// The disk refuses it: nothing of it is kept, and it may be offered again.
    Refuse(DiskFault),
    /// The process dies before it: nothing of it is kept, nobody hears of it, and the store is closed.
    HaltBefore,
    /// The process dies behind it: it is on the disk, nobody hears of it, and the store is closed.
    HaltAfter,
}

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// There is no room: [`WriteError::Full`].
    Full,
    /// It failed: [`WriteError::Io`].
    Failing,
}

impl DiskFault {
    pub(crate) fn error(self) -> WriteError {
        let code = match self {
            DiskFault::Full => ffi::SQLITE_FULL,
            DiskFault::Failing => ffi::SQLITE_IOERR,
        };
        crate::dialect::write_error(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
    }
}

/// Says of every commit, by its number, what befalls it. It is asked on the writer's thread.
#[derive(Clone)]
pub struct CommitHook(Arc<dyn Fn(u64) -> Option<CommitFault> + Send + Sync>);

impl CommitHook {
    /// Makes a hook of a function.
    pub fn new(hook: impl Fn(u64) -> Option<CommitFault> + Send + Sync + 'static) -> Self {
        CommitHook(Arc::new(hook))
    }
}

impl fmt::Debug for CommitHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CommitHook")
    }
}

/// The writer's side of the hook.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    hook: Option<CommitHook>,
    commits: u64,
    halted: bool,
}

impl Faults {
    pub(crate) fn new(hook: Option<CommitHook>) -> Self {
        Faults { hook, ..Faults::default() }
    }

    /// Counts a commit that is about to be made, and lets it be made or not.
    ///
    /// # Errors
    /// What the disk says, or [`WriteError::Closed`] when the process has died.
    pub(crate) fn before(&mut self) -> Result<Option<CommitFault>, WriteError> {
        let Some(CommitHook(hook)) = &self.hook else { return Ok(None) };
        self.commits += 1;
        let fault = hook(self.commits);
        match fault {
            Some(CommitFault::Refuse(disk)) => Err(disk.error()),
            Some(CommitFault::HaltBefore) => Err(self.halt()),
            Some(CommitFault::HaltAfter) | None => Ok(fault),
        }
    }

    /// Looks whether anybody may hear of the commit that was made.
    ///
    /// # Errors
    /// [`WriteError::Closed`] when the process has died.
    pub(crate) fn after(&mut self, fault: Option<CommitFault>) -> Result<(), WriteError> {
        match fault {
            Some(CommitFault::HaltAfter) => Err(self.halt()),
            Some(CommitFault::HaltBefore | CommitFault::Refuse(_)) | None => Ok(()),
        }
    }

    /// Tells whether the process counts as dead.
    pub(crate) fn halted(&self) -> bool {
        self.halted
    }

    fn halt(&mut self) -> WriteError {
        self.halted = true;
        WriteError::Closed
    }
}
