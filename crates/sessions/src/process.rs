//! Running a program to its end, truthfully.
//!
//! A program runs in a process group of its own. It ends by itself, by its timeout or by cancelling: then the group
//! gets TERM, and after a grace KILL. Whatever the end was, the descendants that are left are ended as well: the
//! members of the group, everything that carries the program's marker in its environment, and their children. So
//! when [`run`] returns, what it started is gone, or [`Outcome::descendants_alive`] says that it is not.
//!
//! Output is always drained, so a program never hangs because nobody reads; what is kept of it is bounded. A
//! descendant that holds the output open does not hold [`run`] up.

mod descendants;
mod error;
mod output;

pub use descendants::{Swept, sweep, sweep_prefix};
pub use error::SpawnError;
pub use output::LINE_BYTES_MAX;

use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The environment variable that marks a program and what it starts, so that it can be found again.
pub const EFFECT_VARIABLE: &str = "ADJUTANT_EFFECT";

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
/// [`SpawnError`] when the program could not be started; a program that started always has an [`Outcome`].
pub async fn run(
    spec: ProcessSpec,
    cancel: CancellationToken,
    lines: Option<mpsc::Sender<String>>,
) -> Result<Outcome, SpawnError> {
    let _ = (spec, cancel, lines);
    todo!()
}
