//! The one way to call the `git` program.
//!
//! Arguments are arrays, the environment is pinned, and what the project or its user configured to happen beside the
//! point does not: no hooks, no pager, no prompt, no background maintenance, no file monitor, and no transport that
//! is a command, such as `ext::`. No `GIT_…` variable gets through from outside, so a plane that was started from a git
//! hook works on the repository it is told.

use crate::process::{self, EndedBy, Exit, Outcome, ProcessSpec, SpawnError};
use adjutant_model::run::ErrorClass;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long one call may take unless something else is said; a checkout of a large repository takes minutes.
const TIMEOUT: Duration = Duration::from_secs(600);

/// How much output one call may have; the list of a million files fits.
const OUTPUT_BYTES_MAX: usize = 256 << 20;

/// What is set whatever the environment says.
const PINNED_ENV: [(&str, &str); 5] = [
    ("LC_ALL", "C"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
    // Whatever is configured, nothing else is spoken, not by a fetch of missing objects either.
    ("GIT_ALLOW_PROTOCOL", "https:ssh:file"),
    // Reading must not take the index lock from under an agent.
    ("GIT_OPTIONAL_LOCKS", "0"),
];

/// What is configured whatever the repository and the user say.
const PINNED_CONFIG: [&str; 10] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "core.safecrlf=false",
    // What is cached of a file is believed only while all of its stamps are the same.
    "core.trustctime=true",
    "core.checkStat=default",
    "color.ui=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.addEmbeddedRepo=false",
];

/// What is configured where git-lfs is not installed: its files stay the pointers that they are, and git does not fail
/// of a filter that the user's configuration requires.
const WITHOUT_LFS: [&str; 4] =
    ["filter.lfs.required=false", "filter.lfs.clean=", "filter.lfs.smudge=", "filter.lfs.process="];

/// How git is called; cheap to clone.
#[derive(Debug, Clone)]
pub struct Git {
    env: Arc<[(String, String)]>,
    has_lfs: bool,
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
    /// The oldest version that Adjutant works with: the first with `git add --sparse`.
    pub const OLDEST: GitVersion = GitVersion { major: 2, minor: 34, patch: 0 };

    /// Reads what `git --version` prints, vendors' additions included.
    fn parse(text: &str) -> Option<GitVersion> {
        let mut numbers = text.trim().strip_prefix("git version ")?.split(['.', ' ', '-']);
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        let patch = numbers.next().and_then(|patch| patch.parse().ok()).unwrap_or(0);
        Some(GitVersion { major, minor, patch })
    }
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
    /// Not a full ref name outside branches, tags and remotes.
    #[error("`{refname}` is not a ref that a snapshot can be kept under")]
    RefName {
        /// What was given.
        refname: String,
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
            GitError::Failed { .. } | GitError::File { .. } | GitError::RefName { .. } => ErrorClass::User,
            GitError::TimedOut { .. } | GitError::Cancelled { .. } => ErrorClass::Retry,
            GitError::Output { .. } => ErrorClass::Bug,
        }
    }

    /// Says what a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            GitError::Spawn(SpawnError::NotFound { .. }) => {
                Some("install git, or put its folder into PATH".to_owned())
            }
            GitError::Failed { stderr_tail, dir, .. } => failure_hint(stderr_tail, dir),
            GitError::TimedOut { .. } => Some(
                "see whether the disk is slow, or a filter such as git-lfs waits for the network".to_owned(),
            ),
            GitError::Spawn(_)
            | GitError::Cancelled { .. }
            | GitError::Output { .. }
            | GitError::RefName { .. }
            | GitError::File { .. } => None,
        }
    }
}

/// What is to be done where files change while they are read.
pub(crate) const BEING_WRITTEN: &str = "end what writes there, or wait until it is quiet";

/// Knows the failures that people meet. Nothing but the words for a person depends on git's words.
fn failure_hint(stderr: &str, dir: &Path) -> Option<String> {
    if stderr.contains("dubious ownership") {
        let dir = dir.display();
        return Some(format!(
            "the repository is another user's; if you trust it: git config --global --add safe.directory '{dir}'"
        ));
    }
    if stderr.contains(".lock': File exists") {
        return Some(
            "another git works on this repository, or one was killed: wait, or remove the lock file"
                .to_owned(),
        );
    }
    if stderr.contains("short read while indexing") {
        return Some(BEING_WRITTEN.to_owned());
    }
    stderr.contains("No space left on device").then(|| "free some disk space".to_owned())
}

/// One call of git.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    dir: &'a Path,
    args: Vec<String>,
    config: Vec<String>,
    env: Vec<(String, String)>,
    stdin: Vec<u8>,
}

impl<'a> Call<'a> {
    /// Takes the directory and the arguments, the subcommand first.
    pub(crate) fn new(dir: &'a Path, args: &[&str]) -> Self {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Call { dir, args, config: Vec::new(), env: Vec::new(), stdin: Vec::new() }
    }

    /// Sets a variable for this call.
    pub(crate) fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Configures something for this call, as `name=value`.
    pub(crate) fn with_config(mut self, config: impl Into<String>) -> Self {
        self.config.push(config.into());
        self
    }

    /// Gives standard input.
    pub(crate) fn with_stdin(mut self, stdin: Vec<u8>) -> Self {
        self.stdin = stdin;
        self
    }

    fn command(&self) -> String {
        self.args.first().cloned().unwrap_or_default()
    }

    /// Says that the output is not as it should be.
    pub(crate) fn unreadable(&self, what: impl Into<String>) -> GitError {
        GitError::Output { command: self.command(), what: what.into() }
    }
}

impl Git {
    /// Takes the environment that git runs with, as [`crate::environment()`] gives it; `PATH` and `HOME` matter. Every
    /// `GIT_…` in it is left out. Without further words a call may take ten minutes.
    pub fn new(env: &[(String, String)]) -> Self {
        let inherited = env.iter().filter(|(name, _)| {
            !name.starts_with("GIT_") && PINNED_ENV.iter().all(|(pinned, _)| pinned != name)
        });
        let pinned = PINNED_ENV.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            has_lfs: env.iter().any(|(name, path)| name == "PATH" && holds_lfs(path)),
            env: inherited.cloned().chain(pinned).collect(),
            marker: None,
            timeout: TIMEOUT,
            cancel: CancellationToken::new(),
        }
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
        let call = Call::new(Path::new("/"), &["--version"]);
        let text = self.line(&call).await?;
        GitVersion::parse(&text).ok_or_else(|| call.unreadable(text))
    }

    /// Calls git and gives its output; any exit code but 0 is an error.
    pub(crate) async fn output(&self, call: &Call<'_>) -> Result<Vec<u8>, GitError> {
        let outcome = self.run(call).await?;
        match outcome.exit {
            Exit::Code(0) => Ok(outcome.stdout),
            Exit::Code(_) | Exit::Signal(_) => Err(failed(call, &outcome)),
        }
    }

    /// Calls git and gives its output as text without the line end.
    pub(crate) async fn line(&self, call: &Call<'_>) -> Result<String, GitError> {
        let output =
            String::from_utf8(self.output(call).await?).map_err(|_| call.unreadable("it is not UTF-8"))?;
        Ok(output.strip_suffix('\n').unwrap_or(&output).to_owned())
    }

    /// Calls git and gives its output as a number.
    pub(crate) async fn count(&self, call: &Call<'_>) -> Result<usize, GitError> {
        let line = self.line(call).await?;
        line.parse().map_err(|_| call.unreadable(line))
    }

    /// Asks git a question that it answers by exit code: 0 is yes and gives the output's text, 1 is no.
    pub(crate) async fn ask(&self, call: &Call<'_>) -> Result<Option<String>, GitError> {
        let outcome = self.run(call).await?;
        match outcome.exit {
            Exit::Code(0) => {
                Ok(Some(String::from_utf8_lossy(&outcome.stdout).trim_end_matches('\n').to_owned()))
            }
            Exit::Code(1) => Ok(None),
            Exit::Code(_) | Exit::Signal(_) => Err(failed(call, &outcome)),
        }
    }

    /// Gives the commit that a revision names; whatever the text, it is never taken for an option.
    pub(crate) async fn commit_of(&self, dir: &Path, revision: &str) -> Result<Option<String>, GitError> {
        let commit = format!("{revision}^{{commit}}");
        self.ask(&Call::new(dir, &["rev-parse", "--verify", "--quiet", "--end-of-options", &commit])).await
    }

    async fn run(&self, call: &Call<'_>) -> Result<Outcome, GitError> {
        let mut argv = vec!["git".to_owned()];
        let without_lfs: &[&str] = if self.has_lfs { &[] } else { &WITHOUT_LFS };
        let pinned = PINNED_CONFIG.iter().chain(without_lfs).copied();
        let config = pinned.chain(call.config.iter().map(String::as_str));
        argv.extend(config.flat_map(|config| ["-c".to_owned(), config.to_owned()]));
        argv.extend(call.args.iter().cloned());
        let spec = ProcessSpec {
            env: self.env.iter().chain(&call.env).cloned().collect(),
            stdin: call.stdin.clone(),
            timeout: Some(self.timeout),
            stdout_bytes_max: OUTPUT_BYTES_MAX,
            marker: self.marker.clone(),
            ..ProcessSpec::new(argv, call.dir.to_owned())
        };
        let outcome = process::run(spec, self.cancel.clone(), None).await?;
        match outcome.ended_by {
            EndedBy::Itself if outcome.stdout_truncated => Err(call.unreadable("it is too long")),
            EndedBy::Itself => Ok(outcome),
            EndedBy::Timeout => Err(GitError::TimedOut { command: call.command(), after: self.timeout }),
            EndedBy::Cancelled => Err(GitError::Cancelled { command: call.command() }),
        }
    }
}

fn holds_lfs(path: &str) -> bool {
    path.split(':').any(|folder| Path::new(folder).join("git-lfs").is_file())
}

fn failed(call: &Call<'_>, outcome: &Outcome) -> GitError {
    let code = match outcome.exit {
        Exit::Code(code) => Some(code),
        Exit::Signal(_) => None,
    };
    let stderr_tail = outcome.stderr_tail.trim().to_owned();
    GitError::Failed { command: call.command(), dir: call.dir.to_owned(), code, stderr_tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_all_vendors_are_read() {
        let table = [
            ("git version 2.47.3\n", Some((2, 47, 3))),
            ("git version 2.39.2 (Apple Git-143)", Some((2, 39, 2))),
            ("git version 2.43.0.windows.1", Some((2, 43, 0))),
            ("git version 2.50.0-rc1", Some((2, 50, 0))),
            ("git version 3.0", Some((3, 0, 0))),
            ("hub version 2.14", None),
            ("", None),
        ];
        for (text, expected) in table {
            let version = GitVersion::parse(text).map(|v| (v.major, v.minor, v.patch));
            assert_eq!(version, expected, "{text:?}");
        }
        assert!(GitVersion::parse("git version 2.9.5").unwrap() < GitVersion::OLDEST);
    }
}
