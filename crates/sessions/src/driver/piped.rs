//! A program that is spoken to by its standard input and output, in a process group of its own.
//!
//! It has no terminal and does not outlive whoever holds this: dropping it kills the group, and what carries the
//! marker is swept behind it.

use super::lines::Lines;
use super::{DriverError, Ended, LaunchSpec};
use crate::probe::find_program;
use crate::process::{
    self, Cgroup, EFFECT_VARIABLE, Hosted, ProcessId, ProcessSpec, SearchedPath, SpawnError, Swept,
};
use adjutant_model::run::ErrorClass;
use adjutant_model::session::{AgentExit, HostHandle};
use rustix::process::{Pid, Signal, kill_process_group};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// So many of the last lines of standard error are kept, for messages.
const STDERR_LINES_MAX: usize = 20;

/// So much of each of them, in characters.
const STDERR_CHARS_MAX: usize = 500;

/// How long what a program wrote last may take to arrive behind its end.
pub(super) const LINGER: Duration = Duration::from_millis(300);

/// How long what it left behind may take to end after TERM.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);

/// How long the kernel may take to end a program after KILL.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// A running program.
#[derive(Debug)]
pub(super) struct Piped {
    child: Child,
    leader: Pid,
    process: Option<ProcessId>,
    marker: String,
    cgroup: Option<Cgroup>,
    exit: Option<AgentExit>,
    stderr: Arc<Mutex<Vec<String>>>,
    drain: AbortOnDropHandle<()>,
}

/// The ends of its pipes.
#[derive(Debug)]
pub(super) struct Pipes {
    /// What it is told.
    pub(super) stdin: ChildStdin,
    /// What it says.
    pub(super) stdout: Lines<ChildStdout>,
}

/// What is started: program and arguments, its environment and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start<'a> {
    pub(super) argv: &'a [String],
    pub(super) env: &'a [(String, String)],
    pub(super) cwd: &'a Path,
    pub(super) marker: &'a str,
}

impl<'a> Start<'a> {
    /// What a session's start says.
    pub(super) fn of(spec: &'a LaunchSpec) -> Self {
        Start { argv: &spec.argv, env: &spec.env, cwd: &spec.cwd, marker: &spec.marker }
    }
}

impl Piped {
    /// Starts a program, in a cgroup when there is one for it.
    pub(super) fn start(start: Start<'_>, cgroup: Option<Cgroup>) -> Result<(Piped, Pipes), DriverError> {
        let Some(cgroup) = cgroup else { return Piped::spawn(start) };
        // The shell that joins the group would start whatever it is told, and say so only when it cannot.
        let argv = found(start).map(|()| cgroup.joining(start.argv));
        match argv.and_then(|argv| Piped::spawn(Start { argv: &argv, ..start })) {
            Ok((mut piped, pipes)) => {
                piped.cgroup = Some(cgroup);
                Ok((piped, pipes))
            }
            Err(error) => {
                cgroup.remove();
                Err(error)
            }
        }
    }

    fn spawn(start: Start<'_>) -> Result<(Piped, Pipes), DriverError> {
        let program = start.argv.first().filter(|program| !program.is_empty());
        let program = program.ok_or_else(|| refused(&SpawnError::EmptyCommand))?;
        let mut command = Command::new(program);
        command
            .args(&start.argv[1..])
            .current_dir(start.cwd)
            .env_clear()
            .envs(start.env.iter().map(|(name, value)| (name, value)))
            .env(EFFECT_VARIABLE, start.marker)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command.spawn().map_err(|source| {
            let mut spec = ProcessSpec::new(start.argv.to_vec(), start.cwd.to_owned());
            spec.env = start.env.to_vec();
            refused(&SpawnError::explain(&spec, source))
        })?;
        let lost = || refused(&SpawnError::Lost { program: program.clone() });
        let leader = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).ok_or_else(lost)?;
        let pipes = child.stdin.take().zip(child.stdout.take()).zip(child.stderr.take());
        let ((stdin, stdout), errors) = pipes.ok_or_else(lost)?;
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let drain = tokio::spawn(drain(Lines::new(errors), Arc::clone(&stderr)));
        let found = child.id().and_then(process::process_of);
        let piped = Piped {
            child,
            leader,
            process: found,
            marker: start.marker.to_owned(),
            cgroup: None,
            exit: None,
            stderr,
            drain: AbortOnDropHandle::new(drain),
        };
        Ok((piped, Pipes { stdin, stdout: Lines::new(stdout) }))
    }

    /// Gives by what it is found again.
    pub(super) fn handle(&self, spec: &LaunchSpec) -> HostHandle {
        HostHandle {
            driver: spec.driver.driver,
            launch: spec.launch,
            terminal: None,
            pid: self.leader.as_raw_nonzero().get().unsigned_abs(),
            started_ticks: self.process.map_or(0, ProcessId::started_ticks),
        }
    }

    /// Waits for its end. Cancel-safe.
    pub(super) async fn wait(&mut self) -> AgentExit {
        if let Some(exit) = self.exit {
            return exit;
        }
        let exit = self.child.wait().await.map_or(AgentExit::Vanished, exit_of);
        self.exit = Some(exit);
        exit
    }

    /// Ends it after its input was closed: a third of the grace is for that alone.
    pub(super) async fn end_gently(&mut self, grace: Duration) -> Ended {
        let asked = grace / 3;
        timeout(asked, self.wait()).await.ok();
        self.end(grace - asked).await
    }

    /// Ends it and every descendant: TERM to the group, KILL after the grace, and then whatever carries the marker.
    pub(super) async fn end(&mut self, grace: Duration) -> Ended {
        if self.exit.is_none() {
            self.signal(Signal::TERM);
            if timeout(grace, self.wait()).await.is_err() {
                self.signal(Signal::KILL);
                // What does not end even so is counted by the sweep.
                timeout(KILL_PATIENCE, self.wait()).await.ok();
            }
        }
        let swept = self.sweep().await;
        Ended { exit: self.exit.unwrap_or(AgentExit::Vanished), swept }
    }

    /// Ends what it left behind: what is left of its group, and what carries the marker.
    pub(super) async fn sweep(&self) -> Swept {
        swept(self.process, self.marker.clone(), self.cgroup.clone()).await
    }

    /// Gives the last line of its standard error that says something, once it has ended.
    pub(super) async fn complaint(&mut self) -> Option<String> {
        // A descendant may hold it open for ever.
        if !self.drain.is_finished() {
            timeout(LINGER, &mut self.drain).await.ok();
        }
        let lines = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().rev().find(|line| line.chars().any(char::is_alphanumeric)).cloned()
    }

    /// Sends a signal to its group.
    pub(super) fn signal(&self, signal: Signal) {
        // Once its end is known its pid may be another's. A group that has ended already is what is wanted.
        if self.exit.is_none() {
            kill_process_group(self.leader, signal).ok();
        }
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        if self.exit.is_none() {
            self.signal(Signal::KILL);
            if let Some(cgroup) = &self.cgroup {
                cgroup.kill();
            }
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                let marker = std::mem::take(&mut self.marker);
                runtime.spawn(swept(self.process, marker, self.cgroup.take()));
            }
        }
    }
}

/// Ends what belongs to a program: its group, its cgroup, and what carries its marker.
async fn swept(process: Option<ProcessId>, marker: String, cgroup: Option<Cgroup>) -> Swept {
    match process {
        Some(process) => process::end_hosted(&Hosted { process, marker, cgroup }, LEFTOVER_GRACE).await,
        None => process::sweep(&marker).await,
    }
}

/// So many messages may wait until a program reads them.
const MESSAGES_MAX: usize = 64;

/// What writes to a program: a task of its own, so that a program that does not read holds nobody up.
#[derive(Debug)]
pub(super) struct Writer {
    messages: Mutex<Option<mpsc::Sender<Vec<u8>>>>,
    _task: AbortOnDropHandle<()>,
}

impl Writer {
    /// Begins to write.
    pub(super) fn start(mut stdin: ChildStdin) -> Writer {
        let (messages, mut received) = mpsc::channel::<Vec<u8>>(MESSAGES_MAX);
        let task = tokio::spawn(async move {
            while let Some(message) = received.recv().await {
                // Whoever does not read has ended, which is told by itself.
                if stdin.write_all(&message).await.is_err() {
                    return;
                }
            }
        });
        Writer { messages: Mutex::new(Some(messages)), _task: AbortOnDropHandle::new(task) }
    }

    /// Writes a message and a line end.
    pub(super) fn write(&self, message: &serde_json::Value) -> Result<(), DriverError> {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let messages = messages.as_ref().ok_or(DriverError::Gone)?;
        match messages.try_send(format!("{message}\n").into_bytes()) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(DriverError::Gone),
            Err(TrySendError::Full(_)) => {
                Err(DriverError::Failed { what: "the agent does not read what it is told".to_owned() })
            }
        }
    }

    /// Closes the program's input behind what waits.
    pub(super) fn close(&self) {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Looks whether a program is there without starting it.
pub(super) fn found(start: Start<'_>) -> Result<(), DriverError> {
    let program = start.argv.first().filter(|program| !program.is_empty());
    let program = program.ok_or_else(|| refused(&SpawnError::EmptyCommand))?;
    match find_program(program, start.env, start.cwd) {
        Some(_) => Ok(()),
        None => {
            let in_path = if program.contains('/') { SearchedPath::No } else { SearchedPath::Yes };
            Err(refused(&SpawnError::NotFound { program: program.clone(), in_path }))
        }
    }
}

async fn drain(mut lines: Lines<tokio::process::ChildStderr>, kept: Arc<Mutex<Vec<String>>>) {
    while let Some(line) = lines.next().await {
        let super::lines::Line::Text(text) = line else { continue };
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == STDERR_LINES_MAX {
            kept.remove(0);
        }
        kept.push(text.chars().filter(|c| !c.is_control()).take(STDERR_CHARS_MAX).collect());
    }
}

/// Tells a driver's caller why a program could not be started.
pub(super) fn refused(why: &SpawnError) -> DriverError {
    let hint = match why {
        SpawnError::NotFound { program, .. } => {
            Some(format!("install `{program}`, or name its path as `program` in a profile of your own"))
        }
        SpawnError::EmptyCommand => Some("give the profile a `program`".to_owned()),
        SpawnError::Cancelled { .. }
        | SpawnError::NotExecutable { .. }
        | SpawnError::InterpreterMissing { .. }
        | SpawnError::CwdMissing { .. }
        | SpawnError::Io { .. }
        | SpawnError::Unkillable { .. }
        | SpawnError::Lost { .. } => None,
    };
    let cause = std::error::Error::source(why).map(|source| format!(": {source}")).unwrap_or_default();
    let class: ErrorClass = why.class();
    DriverError::Start { what: format!("{why}{cause}"), hint, class }
}

fn exit_of(status: ExitStatus) -> AgentExit {
    match (status.code(), status.signal()) {
        (Some(code), _) => AgentExit::Code(code),
        (None, Some(signal)) => AgentExit::Signal(signal),
        (None, None) => AgentExit::Vanished,
    }
}
