//! Running a program to its end, truthfully.
//!
//! A program gets its own process group, an environment that is given whole, and a marker. Its outputs are drained
//! from the first byte and kept within bounds. It ends by itself, or by TERM, a grace, and KILL to the group; then
//! everything that carries its marker is killed as well. When [`run`] returns, nothing of it is left.

mod output;

use crate::sweep;
use adjutant_model::run::ErrorClass;
use output::{Kept, Lines};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long outputs are drained after the program itself has ended: a child that it left may hold them open.
const DRAIN: Duration = Duration::from_millis(500);

/// What to start, and its bounds.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// Program and arguments; the program is looked for on the `PATH` of `env`.
    pub argv: Vec<String>,
    /// Where it starts.
    pub cwd: PathBuf,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// What it can read; `None` is the end of file at once.
    pub stdin: Option<Vec<u8>>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// How long it may take to end after TERM.
    pub grace: Duration,
    /// How many bytes of standard output are kept; beyond them the tail is.
    pub stdout_bytes_max: usize,
    /// How many bytes of the tail of standard error are kept.
    pub stderr_bytes_max: usize,
    /// What marks it and all its descendants.
    pub marker: Option<String>,
}

impl ProcessSpec {
    /// Gives a spec with no input, no timeout, 5 s of grace, 8 MiB of output and 64 KiB of errors.
    pub fn new(argv: Vec<String>, cwd: PathBuf, env: Vec<(String, String)>) -> Self {
        ProcessSpec {
            argv,
            cwd,
            env,
            stdin: None,
            timeout: None,
            grace: Duration::from_secs(5),
            stdout_bytes_max: 8 << 20,
            stderr_bytes_max: 64 << 10,
            marker: None,
        }
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// Why a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// It came to its end.
    Itself,
    /// Its time was over.
    Timeout,
    /// Somebody cancelled it.
    Cancelled,
}

/// What became of a program.
#[must_use]
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How it ended.
    pub exit: Exit,
    /// Why it ended.
    pub ended_by: EndedBy,
    /// Its standard output, or the tail of it.
    pub stdout: Vec<u8>,
    /// Whether the head of standard output was dropped.
    pub stdout_truncated: bool,
    /// The tail of its standard error.
    pub stderr_tail: String,
    /// How long it took.
    pub duration: Duration,
    /// How many descendants had left its process group and were killed.
    pub descendants_killed: usize,
}

/// Why a program could not be started.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// There is nothing to start.
    #[error("no program is named")]
    Empty,
    /// There is no such program.
    #[error("program `{program}` was not found on the PATH")]
    NotFound {
        /// What was looked for.
        program: String,
    },
    /// It may not be started.
    #[error("program `{program}` may not be executed")]
    NotExecutable {
        /// What was found.
        program: String,
    },
    /// The directory is not there.
    #[error("the directory {} is not there", cwd.display())]
    NoDirectory {
        /// Where it was to start.
        cwd: PathBuf,
    },
    /// The system refused.
    #[error("program `{program}` could not be started")]
    System {
        /// What was to start.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl SpawnError {
    /// Gives what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            SpawnError::Empty | SpawnError::NotFound { .. } | SpawnError::NotExecutable { .. } => {
                ErrorClass::User
            }
            SpawnError::NoDirectory { .. } => ErrorClass::Gone,
            SpawnError::System { .. } => ErrorClass::Retry,
        }
    }
}

/// Runs a program to its end; `lines` gets its standard output a line at a time, as it comes.
///
/// A line that finds `lines` full is dropped: nobody may slow a program down by not reading. Not cancel-safe: cancel
/// the token and await the end.
///
/// # Errors
/// [`SpawnError`] when it could not be started; everything after that is an [`Outcome`].
pub async fn run(
    spec: ProcessSpec,
    cancel: CancellationToken,
    lines: Option<mpsc::Sender<String>>,
) -> Result<Outcome, SpawnError> {
    let began = Instant::now();
    let mut child = spawn(&spec)?;
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let feeding = tokio::spawn(feed(child.stdin.take(), spec.stdin.unwrap_or_default()));
    let stdout = child.stdout.take().expect("it was asked for");
    let stderr = child.stderr.take().expect("it was asked for");
    let out = output::drain(stdout, Kept::new(spec.stdout_bytes_max), lines.map(Lines::new));
    let err = output::drain(stderr, Kept::new(spec.stderr_bytes_max), None);

    let ended_by = tokio::select! {
        _ = child.wait() => EndedBy::Itself,
        () = cancel.cancelled() => EndedBy::Cancelled,
        () = elapsed(spec.timeout) => EndedBy::Timeout,
    };
    let status = end(&mut child, group, spec.grace, ended_by).await;
    let descendants_killed = match &spec.marker {
        Some(marker) => swept(marker.clone()).await,
        None => 0,
    };
    feeding.abort();
    let (stdout, stdout_truncated) = out.finish(DRAIN).await;
    let (stderr, _) = err.finish(DRAIN).await;
    Ok(Outcome {
        exit: exit(status),
        ended_by,
        stdout,
        stdout_truncated,
        stderr_tail: String::from_utf8_lossy(&stderr).into_owned(),
        duration: began.elapsed(),
        descendants_killed,
    })
}

fn spawn(spec: &ProcessSpec) -> Result<Child, SpawnError> {
    let (program, args) = spec.argv.split_first().ok_or(SpawnError::Empty)?;
    if !spec.cwd.is_dir() {
        return Err(SpawnError::NoDirectory { cwd: spec.cwd.clone() });
    }
    let mut command = Command::new(program);
    command
        .args(args)
        .current_dir(&spec.cwd)
        .env_clear()
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .envs(spec.marker.iter().map(|marker| (sweep::MARKER, marker)))
        .stdin(if spec.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command.spawn().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => SpawnError::NotFound { program: program.clone() },
        io::ErrorKind::PermissionDenied => SpawnError::NotExecutable { program: program.clone() },
        _ => SpawnError::System { program: program.clone(), source },
    })
}

/// Writes the input; a program that does not read it is no error.
async fn feed(stdin: Option<ChildStdin>, input: Vec<u8>) {
    if let Some(mut stdin) = stdin {
        drop(stdin.write_all(&input).await);
    }
}

async fn elapsed(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

/// Ends the group: TERM and a grace when it did not end by itself, and KILL for whatever is left.
async fn end(
    child: &mut Child,
    group: Option<Pid>,
    grace: Duration,
    ended_by: EndedBy,
) -> io::Result<ExitStatus> {
    if ended_by != EndedBy::Itself {
        signal(group, Signal::TERM);
        // A timeout here only means that the program goes on to be killed.
        drop(tokio::time::timeout(grace, group_gone(child, group)).await);
    }
    signal(group, Signal::KILL);
    child.wait().await
}

/// Waits until the program and everything in its group has ended.
async fn group_gone(child: &mut Child, group: Option<Pid>) {
    drop(child.wait().await);
    while group.is_some_and(|group| test_kill_process_group(group).is_ok()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn signal(group: Option<Pid>, signal: Signal) {
    // A group that is gone already is as good as ended.
    let _gone = group.map(|group| kill_process_group(group, signal));
}

async fn swept(marker: String) -> usize {
    tokio::task::spawn_blocking(move || sweep::sweep(&marker)).await.unwrap_or(0)
}

fn exit(status: io::Result<ExitStatus>) -> Exit {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => unreachable!("a process on Unix ends with a code or by a signal"),
        },
        // The child was reaped by somebody else; that it was killed is the most that can be said.
        Err(_) => Exit::Signal(Signal::KILL.as_raw()),
    }
}
