//! One way to call the `git` program: pinned settings, arguments as they are, errors with what git said.

use crate::environment;
use crate::process::{self, Exit, ProcessSpec, SpawnError};
use adjutant_model::run::ErrorClass;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

/// No call of ours works this long on a healthy repository.
const TIMEOUT: Duration = Duration::from_secs(300);
/// What of git's output is kept; a diff beyond it is cut.
const OUTPUT_BYTES_MAX: usize = 16 << 20;

/// The `git` program as it is called here.
#[derive(Debug, Clone)]
pub struct Git {
    env: Vec<(String, String)>,
}

/// Why git did not do it.
#[derive(Debug, Error)]
pub enum GitError {
    /// It could not be started.
    #[error("git could not be started")]
    Spawn(#[from] SpawnError),
    /// It said no.
    #[error("git {command} failed in {}: {said}", dir.display())]
    Failed {
        /// The subcommand.
        command: String,
        /// Where.
        dir: PathBuf,
        /// The end of what it said.
        said: String,
    },
    /// It took too long.
    #[error("git {command} did not end within {} s in {}", TIMEOUT.as_secs(), dir.display())]
    TimedOut {
        /// The subcommand.
        command: String,
        /// Where.
        dir: PathBuf,
    },
}

impl GitError {
    /// Gives what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            GitError::Spawn(error) => error.class(),
            GitError::Failed { .. } => ErrorClass::User,
            GitError::TimedOut { .. } => ErrorClass::Retry,
        }
    }

    /// Tells whether another git held a lock, so that trying again may help.
    pub(crate) fn is_lock(&self) -> bool {
        match self {
            GitError::Failed { said, .. } => {
                said.contains(".lock") || said.contains("could not lock") || said.contains("cannot lock")
            }
            GitError::Spawn(_) | GitError::TimedOut { .. } => false,
        }
    }
}

impl Git {
    /// Takes the environment that `PATH` and `HOME` are found in.
    pub fn new(from: &[(String, String)]) -> Self {
        let pinned = [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("LC_ALL", "C"),
            // Our own commits are snapshots; a person's name would be a lie.
            ("GIT_AUTHOR_NAME", "Adjutant"),
            ("GIT_AUTHOR_EMAIL", "adjutant@localhost"),
            ("GIT_COMMITTER_NAME", "Adjutant"),
            ("GIT_COMMITTER_EMAIL", "adjutant@localhost"),
        ];
        let extra: BTreeMap<String, String> = pinned.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        Git { env: environment::cleaned(from, &[], &extra) }
    }

    /// Gives the same git with one more variable.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut env = self.env.clone();
        env.push((name.to_owned(), value.to_owned()));
        Git { env }
    }

    /// Runs a subcommand and gives its output without the last newline.
    ///
    /// # Errors
    /// [`GitError`]
    pub async fn text(&self, dir: &Path, args: &[&str]) -> Result<String, GitError> {
        let output = self.bytes(dir, args).await?;
        Ok(String::from_utf8_lossy(&output).trim_end_matches('\n').to_owned())
    }

    /// Runs a subcommand and gives its output.
    ///
    /// # Errors
    /// [`GitError`]
    pub async fn bytes(&self, dir: &Path, args: &[&str]) -> Result<Vec<u8>, GitError> {
        // Hooks of the project are for its people; a snapshot must not run them.
        let pinned =
            ["git", "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", "-c", "commit.gpgSign=false"];
        let argv = pinned.iter().chain(args).map(|arg| (*arg).to_owned()).collect();
        let spec = ProcessSpec {
            timeout: Some(TIMEOUT),
            stdout_bytes_max: OUTPUT_BYTES_MAX,
            ..ProcessSpec::new(argv, dir.to_owned(), self.env.clone())
        };
        let outcome = process::run(spec, CancellationToken::new(), None).await?;
        let (command, dir) = (args.first().copied().unwrap_or_default().to_owned(), dir.to_owned());
        match (outcome.ended_by, outcome.exit) {
            (process::EndedBy::Timeout, _) => Err(GitError::TimedOut { command, dir }),
            (process::EndedBy::Itself | process::EndedBy::Cancelled, Exit::Code(0)) => Ok(outcome.stdout),
            (process::EndedBy::Itself | process::EndedBy::Cancelled, _) => {
                let said = outcome.stderr_tail.trim().replace('\n', "; ");
                Err(GitError::Failed { command, dir, said })
            }
        }
    }

    /// Tells whether a subcommand succeeds; not being startable is an error all the same.
    pub(crate) async fn succeeds(&self, dir: &Path, args: &[&str]) -> Result<bool, GitError> {
        match self.bytes(dir, args).await {
            Ok(_) => Ok(true),
            Err(GitError::Failed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
