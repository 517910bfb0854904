//! The one way to call the `git` program.
//!
//! Arguments are arrays, the environment is pinned, and what the project or its user configured to happen beside the
//! point does not: no hooks, no pager, no prompt, no background maintenance, no file monitor. No `GIT_…` variable
//! gets through from outside, so a plane that was started from a git hook works on the repository it is told.

use crate::process::SpawnError;
use adjutant_model::run::ErrorClass;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How git is called; cheap to clone.
#[derive(Debug, Clone)]
pub struct Git {
    env: Arc<[(String, String)]>,
    marker: Option<String>,
    timeout: Duration,
    cancel: CancellationToken,
}

/// The version of the `git` program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GitVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number, 0 when it is not said.
    pub patch: u32,
}

impl GitVersion {
    /// The oldest version that Adjutant works with: it marks a worktree that is being made.
    pub const OLDEST: GitVersion = GitVersion { major: 2, minor: 38, patch: 0 };
}

impl fmt::Display for GitVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Why a call of git failed.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// It could not be started.
    #[error("git could not be started")]
    Spawn(#[from] SpawnError),
    /// It said no.
    #[error("`git {command}` failed in {}: {stderr_tail}", dir.display())]
    Failed {
        /// Its subcommand.
        command: String,
        /// Where it ran.
        dir: PathBuf,
        /// Its exit code; `None` when a signal ended it.
        code: Option<i32>,
        /// The end of what it wrote to standard error.
        stderr_tail: String,
    },
    /// It took too long and was ended.
    #[error("`git {command}` did not end within {} s", after.as_secs())]
    TimedOut {
        /// Its subcommand.
        command: String,
        /// The limit.
        after: Duration,
    },
    /// It was cancelled.
    #[error("`git {command}` was cancelled")]
    Cancelled {
        /// Its subcommand.
        command: String,
    },
    /// Its output is not what this version of Adjutant understands.
    #[error("the output of `git {command}` cannot be read: {what}")]
    Output {
        /// Its subcommand.
        command: String,
        /// What is wrong with it.
        what: String,
    },
    /// A file beside git could not be read or written.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl GitError {
    /// Tells what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            GitError::Spawn(error) => error.class(),
            GitError::Failed { .. } | GitError::File { .. } => ErrorClass::User,
            GitError::TimedOut { .. } | GitError::Cancelled { .. } => ErrorClass::Retry,
            GitError::Output { .. } => ErrorClass::Bug,
        }
    }

    /// Says what a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        todo!()
    }
}

impl Git {
    /// Takes the environment that git runs with, as [`crate::environment()`] gives it; `PATH` and `HOME` matter. Every
    /// `GIT_…` in it is left out. Without further words a call may take ten minutes.
    pub fn new(env: &[(String, String)]) -> Self {
        let _ = env;
        todo!()
    }

    /// Marks what is started, so that [`crate::process::sweep_prefix`] finds it after a crash.
    pub fn with_marker(mut self, marker: impl Into<String>) -> Self {
        self.marker = Some(marker.into());
        self
    }

    /// Ends calls when `cancel` is cancelled.
    pub fn with_cancel(mut self, cancel: CancellationToken) -> Self {
        self.cancel = cancel;
        self
    }

    /// Limits how long one call may take.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Asks git for its version.
    ///
    /// # Errors
    /// [`GitError`]; [`GitError::Spawn`] when git is not installed.
    pub async fn version(&self) -> Result<GitVersion, GitError> {
        todo!()
    }
}
