//! The driver `pty`: an agent in a terminal that the daemon holds, where there is no tmux.
//!
//! It does not outlive the daemon. One task reads what the agent puts out and waits for its end, another writes to it,
//! so that an agent that does not read holds nobody up.

mod emulator;
mod keys;

use super::terminal::{self, Answer, Feed};
use super::{
    Adopted, AgentDriver, DriverError, Ended, LaunchSpec, Screen, Signals, end_leftovers, end_orphaned,
};
use crate::process::{self, Hosted, Swept};
use adjutant_model::profile::{AgentProfile, TerminalSpec};
use adjutant_model::run::ErrorClass;
use adjutant_model::session::{AgentExit, AskAnswer, DriverKind, HostHandle};
use emulator::Emulator;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pty_process::{OwnedReadPty, OwnedWritePty};
use rustix::process::{Pid, Signal, kill_process_group};
use std::os::unix::process::ExitStatusExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// How many pieces may wait until the agent reads them.
const WRITES_MAX: usize = 64;

/// How long an agent may take to read what is typed.
const READ_PATIENCE: Duration = Duration::from_secs(30);

/// How long the last output may take to arrive when the program has ended.
const DRAIN_PATIENCE: Duration = Duration::from_millis(200);

/// What the writer is told.
#[derive(Debug)]
enum Write {
    /// Type this, and say when the terminal has taken it.
    Typed { bytes: Vec<u8>, done: oneshot::Sender<()> },
    /// Be of another size: columns and rows.
    Resize(u16, u16),
}

/// An agent in a terminal that the daemon holds. Dropping it ends the agent with all its descendants.
pub struct PtyAgent {
    handle: HostHandle,
    profile: Arc<AgentProfile>,
    hosted: Hosted,
    emulator: Arc<Mutex<Emulator>>,
    writes: mpsc::Sender<Write>,
    pulse: watch::Receiver<terminal::Pulse>,
    ended: watch::Receiver<Option<AgentExit>>,
    swept: watch::Receiver<Option<Swept>>,
    // One at a time types.
    typing: Semaphore,
    _tasks: [AbortOnDropHandle<()>; 3],
}

impl std::fmt::Debug for PtyAgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PtyAgent").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// Starts an agent in a terminal of its own. What an earlier try left behind under the same marker is ended first.
///
/// # Errors
/// [`DriverError::Start`] when its program cannot be started.
pub async fn launch(spec: LaunchSpec, signals: Signals) -> Result<PtyAgent, DriverError> {
    terminal::startable(&spec)?;
    end_leftovers(&spec).await?;
    let cgroup = spec.cgroup();
    let started = start(&spec).and_then(|(pty, child)| {
        let process = child.id().and_then(process::process_of).ok_or(DriverError::Gone)?;
        Ok((pty, child, process))
    });
    let (pty, child, process) = match started {
        Ok(started) => started,
        Err(error) => {
            if let Some(cgroup) = cgroup {
                cgroup.remove();
            }
            return Err(error);
        }
    };
    // It has hardly begun; what it could have forked before carries its marker.
    let cgroup = cgroup.filter(|cgroup| cgroup.put(process.pid()).is_ok());
    let hosted = Hosted { process, marker: spec.marker.clone(), cgroup };
    Ok(agent(spec, signals, hosted, pty, child))
}

/// Finds an agent again after a restart of the daemon: there is none, and what it left behind is ended.
///
/// # Errors
/// [`DriverError::Start`] when something of it does not end.
pub async fn adopt(
    handle: HostHandle,
    spec: LaunchSpec,
    _signals: Signals,
) -> Result<Adopted<PtyAgent>, DriverError> {
    end_orphaned(&handle, &spec).await?;
    Ok(Adopted::Ended(AgentExit::WithDaemon))
}

impl AgentDriver for PtyAgent {
    fn handle(&self) -> HostHandle {
        self.handle.clone()
    }

    fn send<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<(), DriverError>> {
        self.send_when_ready(text).boxed()
    }

    fn answer<'a>(&'a self, _ask_id: &'a str, answer: AskAnswer) -> BoxFuture<'a, Result<(), DriverError>> {
        async move {
            match terminal::answered(self.spec(), answer)? {
                Answer::Keys(keys) => {
                    let _typing = self.typing.acquire().await.map_err(|_| DriverError::Gone)?;
                    terminal::ready(self.pulse.clone(), self.ended.clone(), self.spec()).await?;
                    self.press(keys).await
                }
                Answer::Text(text) => self.send_when_ready(&text).await,
            }
        }
        .boxed()
    }

    fn interrupt(&self) -> BoxFuture<'_, Result<(), DriverError>> {
        async { self.press(terminal::interrupt_keys(self.spec())?).await }.boxed()
    }

    fn screen(&self, lines_max: usize) -> BoxFuture<'_, Result<Screen, DriverError>> {
        let screen = lock(&self.emulator).screen(lines_max);
        async move { Ok(screen) }.boxed()
    }

    fn end(&self, grace: Duration) -> BoxFuture<'_, Result<Ended, DriverError>> {
        self.end_all(grace).boxed()
    }
}

impl PtyAgent {
    /// Gives the terminal another size; the agent is told by the system.
    ///
    /// # Errors
    /// [`DriverError::Gone`] when there is no terminal any more.
    pub async fn resize(&self, columns: u16, rows: u16) -> Result<(), DriverError> {
        let (columns, rows) = terminal::bounded((columns, rows));
        lock(&self.emulator).resize((columns, rows));
        self.writes.send(Write::Resize(columns, rows)).await.map_err(|_| DriverError::Gone)
    }

    fn spec(&self) -> &TerminalSpec {
        &self.profile.terminal
    }

    /// Waits until the terminal is ready, pastes the text and presses Enter behind it.
    async fn send_when_ready(&self, text: &str) -> Result<(), DriverError> {
        let text = terminal::typed(text)?;
        let _typing = self.typing.acquire().await.map_err(|_| DriverError::Gone)?;
        terminal::ready(self.pulse.clone(), self.ended.clone(), self.spec()).await?;
        // As a terminal does: a line ends with what Enter sends.
        let pasted = text.replace('\n', "\r");
        let wants_brackets = lock(&self.emulator).wants_brackets();
        let pasted = if wants_brackets { format!("\x1b[200~{pasted}\x1b[201~") } else { pasted };
        self.write(pasted.into_bytes()).await?;
        terminal::taken(self.pulse.clone(), self.spec(), text.len()).await;
        self.press(&["Enter".to_owned()]).await
    }

    async fn press(&self, keys: &[String]) -> Result<(), DriverError> {
        let mut bytes = Vec::new();
        for key in keys {
            bytes.extend(keys::bytes(key).ok_or_else(|| terminal::no_key(key))?);
        }
        self.write(bytes).await
    }

    async fn write(&self, bytes: Vec<u8>) -> Result<(), DriverError> {
        if self.ended.borrow().is_some() {
            return Err(DriverError::Gone);
        }
        let (done, taken) = oneshot::channel();
        let written = async {
            self.writes.send(Write::Typed { bytes, done }).await.map_err(|_| DriverError::Gone)?;
            taken.await.map_err(|_| DriverError::Gone)
        };
        timeout(READ_PATIENCE, written).await.unwrap_or_else(|_| {
            Err(DriverError::Failed { what: "the agent does not read its terminal".to_owned() })
        })
    }

    async fn end_all(&self, grace: Duration) -> Result<Ended, DriverError> {
        let swept = process::end_hosted(&self.hosted, grace).await;
        Ok(terminal::ended(self.ended.clone(), self.swept.clone(), swept).await)
    }
}

impl Drop for PtyAgent {
    fn drop(&mut self) {
        if self.swept.borrow().is_some() {
            return;
        }
        if self.ended.borrow().is_none()
            && let Ok(pid) = i32::try_from(self.handle.pid)
            && let Some(group) = Pid::from_raw(pid)
        {
            // The owner's task has not asked after its child yet, so the pid is no other's.
            kill_process_group(group, Signal::KILL).ok();
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let hosted = self.hosted.clone();
            runtime.spawn(async move { process::end_hosted(&hosted, Duration::ZERO).await });
        }
    }
}

/// Starts the program on a new terminal.
fn start(spec: &LaunchSpec) -> Result<(pty_process::Pty, Child), DriverError> {
    let failed = |error: pty_process::Error| DriverError::Start {
        what: format!("there is no terminal for it: {error}"),
        hint: None,
        class: ErrorClass::Retry,
    };
    let (pty, pts) = pty_process::open().map_err(failed)?;
    let (columns, rows) = terminal::bounded(spec.size);
    pty.resize(pty_process::Size::new(rows, columns)).map_err(failed)?;
    let child = pty_process::Command::new(&spec.argv[0])
        .args(&spec.argv[1..])
        .current_dir(&spec.cwd)
        .env_clear()
        .envs(terminal::environment(spec, "xterm-256color"))
        .spawn(pts)
        .map_err(failed)?;
    Ok((pty, child))
}

fn agent(
    spec: LaunchSpec,
    signals: Signals,
    hosted: Hosted,
    pty: pty_process::Pty,
    child: Child,
) -> PtyAgent {
    let (answers, answers_waiting) = mpsc::channel(WRITES_MAX);
    let (writes, writes_waiting) = mpsc::channel(WRITES_MAX);
    let emulator = Arc::new(Mutex::new(Emulator::new(terminal::bounded(spec.size), answers)));
    let (feed, tap) = terminal::feed(0);
    let (pulse, ended) = (tap.pulse.clone(), tap.ended.clone());
    let (read, write) = pty.into_split();
    let (swept_told, swept) = watch::channel(None);
    let tasks = [
        tokio::spawn(listen(read, child, Arc::clone(&emulator), feed)),
        tokio::spawn(write_all(write, writes_waiting, answers_waiting)),
        tokio::spawn(terminal::host(tap, &spec, signals, hosted.clone(), swept_told)),
    ];
    PtyAgent {
        handle: HostHandle {
            driver: DriverKind::Pty,
            launch: spec.launch,
            terminal: None,
            pid: hosted.process.pid(),
            started_ticks: hosted.process.started_ticks(),
        },
        profile: spec.profile,
        hosted,
        emulator,
        writes,
        pulse,
        ended,
        swept,
        typing: Semaphore::new(1),
        _tasks: tasks.map(AbortOnDropHandle::new),
    }
}

/// Reads what the agent puts out until its program has ended.
async fn listen(mut pty: OwnedReadPty, mut child: Child, emulator: Arc<Mutex<Emulator>>, feed: Feed) {
    let mut chunk = vec![0; 16 << 10];
    let mut is_open = true;
    let exit = loop {
        tokio::select! {
            status = child.wait() => break status.map_or(AgentExit::Vanished, exit_of),
            read = pty.read(&mut chunk), if is_open => match read {
                // The other side is closed by all that had it; the program may go on without a terminal.
                Ok(0) | Err(_) => is_open = false,
                Ok(len) => hear(&chunk[..len], &emulator, &feed),
            },
        }
    };
    while is_open && let Ok(Ok(len @ 1..)) = timeout(DRAIN_PATIENCE, pty.read(&mut chunk)).await {
        hear(&chunk[..len], &emulator, &feed);
    }
    feed.end(exit);
}

fn hear(bytes: &[u8], emulator: &Mutex<Emulator>, feed: &Feed) {
    lock(emulator).take(bytes);
    feed.output(bytes.to_vec());
}

/// Writes to the terminal: the emulator's answers and what is typed, each of them whole.
async fn write_all(
    mut pty: OwnedWritePty,
    mut writes: mpsc::Receiver<Write>,
    mut answers: mpsc::Receiver<Vec<u8>>,
) {
    loop {
        tokio::select! {
            Some(answer) = answers.recv() => {
                // Who does not read has ended or will be told so when something is typed.
                pty.write_all(&answer).await.ok();
            }
            write = writes.recv() => match write {
                Some(Write::Typed { bytes, done }) => {
                    if pty.write_all(&bytes).await.is_ok() {
                        done.send(()).ok();
                    }
                }
                Some(Write::Resize(columns, rows)) => {
                    pty.resize(pty_process::Size::new(rows, columns)).ok();
                }
                None => return,
            },
        }
    }
}

fn exit_of(status: std::process::ExitStatus) -> AgentExit {
    match (status.code(), status.signal()) {
        (Some(code), _) => AgentExit::Code(code),
        (None, Some(signal)) => AgentExit::Signal(signal),
        (None, None) => AgentExit::Vanished,
    }
}

fn lock(emulator: &Mutex<Emulator>) -> std::sync::MutexGuard<'_, Emulator> {
    emulator.lock().unwrap_or_else(PoisonError::into_inner)
}
