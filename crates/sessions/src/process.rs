//! Running a program to its end, truthfully.
//!
//! A program runs in a process group of its own. It ends by itself, by its timeout or by cancelling: then the group
//! gets TERM, and after a grace KILL. Whatever the end was, the descendants that are left are ended as well: the
//! members of the group, everything that carries the program's marker in its environment, and their children. So
//! when [`run`] returns, what it started is gone, or [`Outcome::descendants_alive`] says that it is not.
//!
//! Output is always drained, so a program never hangs because nobody reads; what is kept of it is bounded. A
//! descendant that holds the output open does not hold [`run`] up.

mod cgroup;
mod descendants;
mod error;
mod orphans;
mod output;

pub use cgroup::{Cgroup, Cgroups};
pub(crate) use descendants::end_cgroup;
pub use descendants::{Hosted, ProcessId, Swept, end_hosted, parent_remind, process_of, sweep, sweep_prefix};
pub use error::{SearchedPath, SpawnError};
pub use orphans::adopt_orphans_and_become;
pub use output::LINE_BYTES_MAX;

use descendants::Hunt;
use output::{Drain, Drained};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// The environment variable that marks a program and what it starts, so that it can be found again.
pub const EFFECT_VARIABLE: &str = "ADJUTANT_EFFECT";

/// How long the output may stay open after a program's own end before what holds it open is ended.
const LINGER: Duration = Duration::from_millis(200);

/// How long what a program left behind may take to end after TERM, when the program's own grace is not shorter.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);

/// How long the kernel may take to end a program after KILL.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// How long the output may stay open when all that could be ended has ended.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);

/// A program to run.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// Program and arguments. A program without `/` is searched in the `PATH` of `env`; one with `/` is taken from
    /// `cwd`.
    pub argv: Vec<String>,
    /// Where it runs.
    pub cwd: PathBuf,
    /// Its whole environment; nothing else is inherited.
    pub env: Vec<(String, String)>,
    /// Its standard input; empty is `/dev/null`. A program that does not read it all is fine.
    pub stdin: Vec<u8>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// How long it may take to end after TERM.
    pub grace: Duration,
    /// How much of its standard output is kept: the tail.
    pub stdout_bytes_max: usize,
    /// How much of its standard error is kept: the tail.
    pub stderr_tail_bytes: usize,
    /// The value of [`EFFECT_VARIABLE`]: unique for this effect. Without it only the process group is known.
    pub marker: Option<String>,
}

impl ProcessSpec {
    /// Makes a spec with an empty environment, no input, no timeout, and the default limits: 5 s of grace, 8 MiB of
    /// standard output, 64 KiB of standard error.
    pub fn new(argv: Vec<String>, cwd: PathBuf) -> Self {
        Self {
            argv,
            cwd,
            env: Vec::new(),
            stdin: Vec::new(),
            timeout: None,
            grace: Duration::from_secs(5),
            stdout_bytes_max: 8 << 20,
            stderr_tail_bytes: 64 << 10,
            marker: None,
        }
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With an exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

/// What brought the end about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// The program itself, or somebody else's signal.
    Itself,
    /// Its timeout.
    Timeout,
    /// Whoever cancelled it.
    Cancelled,
}

/// What became of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Outcome {
    /// How it ended.
    pub exit: Exit,
    /// What brought that about. A program that handles TERM well ends with [`Exit::Code`] after a timeout, too.
    pub ended_by: EndedBy,
    /// The tail of its standard output.
    pub stdout: Vec<u8>,
    /// Whether standard output was longer than that.
    pub stdout_truncated: bool,
    /// The tail of its standard error; bytes that are not UTF-8 are shown as U+FFFD.
    pub stderr_tail: String,
    /// How long it took, from start to exit.
    pub duration: Duration,
    /// How many processes it left behind that had to be ended.
    pub descendants_killed: usize,
    /// How many of them would not end, because they are another user's or stuck in the kernel.
    pub descendants_alive: usize,
    /// How many lines were not sent because the receiver was full.
    pub lines_dropped: u64,
}

/// Runs a program to its end.
///
/// `lines` receives standard output line by line as it happens, without the line end, as lossy UTF-8, cut to
/// [`LINE_BYTES_MAX`]. A line for which the channel has no room is dropped and counted, so a slow receiver never
/// holds the program up; what matters for the result stands in [`Outcome::stdout`].
///
/// Not cancel-safe in the sense that the outcome is lost: cancel the token instead and await the end. A future that
/// is dropped nevertheless kills the group at once.
///
/// # Errors
/// [`SpawnError`] when the program could not be started, or does not end even by KILL.
pub async fn run(
    spec: ProcessSpec,
    cancel: CancellationToken,
    lines: Option<mpsc::Sender<String>>,
) -> Result<Outcome, SpawnError> {
    if cancel.is_cancelled() {
        return Err(SpawnError::Cancelled { program: spec.argv.first().cloned().unwrap_or_default() });
    }
    let started = Instant::now();
    let mut running = Running::start(&spec, lines)?;
    let (status, ended_by) = running.wait(&spec, &cancel).await?;
    let duration = started.elapsed();
    let swept = running.sweep(ended_by, spec.grace).await;
    let (stdout, stderr) = running.drained().await;
    Ok(Outcome {
        exit: Exit::of(status),
        ended_by,
        stdout: stdout.tail,
        stdout_truncated: stdout.truncated,
        stderr_tail: String::from_utf8_lossy(&stderr.tail).into_owned(),
        duration,
        descendants_killed: swept.killed,
        descendants_alive: swept.alive,
        lines_dropped: stdout.lines_dropped,
    })
}

impl Exit {
    fn of(status: ExitStatus) -> Exit {
        match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => {
                unreachable!("a process that was waited for without WUNTRACED exited or was signalled")
            }
        }
    }
}

/// A program that was started and everything that goes with it.
struct Running {
    program: String,
    child: Child,
    group: GroupGuard,
    hunt: Hunt,
    stdout: Drain,
    stderr: Drain,
    _stdin: AbortOnDropHandle<()>,
}

impl Running {
    fn start(spec: &ProcessSpec, lines: Option<mpsc::Sender<String>>) -> Result<Running, SpawnError> {
        let program =
            spec.argv.first().filter(|program| !program.is_empty()).ok_or(SpawnError::EmptyCommand)?;
        let mut child = command(spec, program).spawn().map_err(|source| SpawnError::explain(spec, source))?;
        let lost = || SpawnError::Lost { program: program.clone() };
        let leader = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).ok_or_else(lost)?;
        let group = GroupGuard(Some(leader));
        let stdout = child.stdout.take().ok_or_else(lost)?;
        let stderr = child.stderr.take().ok_or_else(lost)?;
        Ok(Running {
            program: program.clone(),
            group,
            hunt: Hunt::of_group(leader, spec.marker.as_deref()),
            stdout: Drain::start(stdout, spec.stdout_bytes_max, lines),
            stderr: Drain::start(stderr, spec.stderr_tail_bytes, None),
            _stdin: AbortOnDropHandle::new(tokio::spawn(feed(child.stdin.take(), spec.stdin.clone()))),
            child,
        })
    }

    /// Waits for the end, and brings it about when time is up or somebody cancels.
    async fn wait(
        &mut self,
        spec: &ProcessSpec,
        cancel: &CancellationToken,
    ) -> Result<(ExitStatus, EndedBy), SpawnError> {
        let stopped = tokio::select! {
            biased;
            status = self.child.wait() => return Ok((self.ended(status)?, EndedBy::Itself)),
            why = stop(spec.timeout, cancel) => why,
        };
        self.hunt.term().await;
        if let Ok(status) = timeout(spec.grace, self.child.wait()).await {
            return Ok((self.ended(status)?, stopped));
        }
        self.hunt.kill_group();
        match timeout(KILL_PATIENCE, self.child.wait()).await {
            Ok(status) => Ok((self.ended(status)?, stopped)),
            Err(_) => Err(SpawnError::Unkillable { program: self.program.clone(), pid: self.child.id() }),
        }
    }

    fn ended(&mut self, status: io::Result<ExitStatus>) -> Result<ExitStatus, SpawnError> {
        let status = status.map_err(|_| SpawnError::Lost { program: self.program.clone() })?;
        // From here on the leader's pid is free for others; what is left of the group is found by looking.
        self.group.0 = None;
        Ok(status)
    }

    /// Ends what is left of the program.
    async fn sweep(&mut self, ended_by: EndedBy, grace: Duration) -> Swept {
        // A helper of a program that ended by itself, such as the `tee` behind its output, may be about to write the
        // last bytes.
        if ended_by == EndedBy::Itself {
            self.drains_ended_within(LINGER).await;
        }
        self.hunt.clone().end(grace.min(LEFTOVER_GRACE)).await
    }

    async fn drains_ended_within(&mut self, limit: Duration) {
        let began = Instant::now();
        if self.stdout.ended_within(limit).await {
            self.stderr.ended_within(limit.saturating_sub(began.elapsed())).await;
        }
    }

    /// Gives the output, even when a process that could not be ended still holds it open.
    async fn drained(mut self) -> (Drained, Drained) {
        self.drains_ended_within(DRAIN_PATIENCE).await;
        (self.stdout.finish(), self.stderr.finish())
    }
}

/// Kills the group when whoever ran it does not wait for its end.
struct GroupGuard(Option<Pid>);

impl Drop for GroupGuard {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // A group that has ended already is what is wanted.
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}

fn command(spec: &ProcessSpec, program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .args(&spec.argv[1..])
        .current_dir(&spec.cwd)
        .env_clear()
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .stdin(if spec.stdin.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if let Some(marker) = &spec.marker {
        command.env(EFFECT_VARIABLE, marker);
    }
    command
}

async fn feed(pipe: Option<ChildStdin>, bytes: Vec<u8>) {
    if let Some(mut pipe) = pipe {
        // A program need not read what it is given.
        pipe.write_all(&bytes).await.ok();
    }
}

async fn stop(limit: Option<Duration>, cancel: &CancellationToken) -> EndedBy {
    let Some(limit) = limit else {
        cancel.cancelled().await;
        return EndedBy::Cancelled;
    };
    match timeout(limit, cancel.cancelled()).await {
        Ok(()) => EndedBy::Cancelled,
        Err(_) => EndedBy::Timeout,
    }
}
