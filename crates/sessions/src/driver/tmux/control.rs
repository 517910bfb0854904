//! The one control-mode client: a task that holds the connection to the tmux server, for all terminals on it.
//!
//! It sends command lines and gives their replies back, hears what the terminals put out, and finds out how programs
//! ended. A terminal that puts out more than it should is not heard for a moment, so neither the daemon nor the agent
//! waits for the other. When the connection falls, it is made again, and what changed meanwhile is found by a listing.

use super::listing::{self, Terminal};
use super::protocol::{self, Line, PaneNumber};
use super::server::TmuxParams;
use crate::driver::terminal::Feed;
use crate::process;
use adjutant_model::session::AgentExit;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, sleep_until};

/// How much a terminal may put out in one [`BREATH`] before it is not heard until the next.
const BREATH_BYTES_MAX: usize = 256 << 10;

/// How long a terminal that puts out too much is not heard.
pub(super) const BREATH: Duration = Duration::from_millis(250);

/// How long a line can be. tmux cuts output into pieces far below; a longer line means that the connection is broken.
const LINE_BYTES_MAX: usize = 1 << 20;

/// How long passes between two attempts to connect again while terminals are watched.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

/// How often a dead program's status is asked for that tmux does not know yet, once each [`BREATH`].
pub(super) const STATUS_LOOKS_MAX: u32 = 20;

/// How often is looked whether the programs of watched terminals are there.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A program that was not there for so many looks, whatever tmux says of it, is gone.
const MISSING_LOOKS_MAX: u32 = 3;

/// How long a command may take.
pub(super) const REPLY_PATIENCE: Duration = Duration::from_secs(20);

/// Why a command had no reply, or a bad one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ControlError {
    /// There is no server, and none was to be started.
    #[error("there is no terminal server")]
    NoServer,
    /// The server could not be started or reached.
    #[error("the terminal server cannot be reached: {0}")]
    Unreachable(String),
    /// It refused the command.
    #[error("tmux said: {0}")]
    Refused(String),
}

/// Whether a server is started where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// One that is there.
    Present,
    /// One in any case.
    Started,
}

/// What the connection is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Commands for the server, each of them quoted; after one that fails no other is done.
    Run { commands: Vec<String>, want: Want, reply: Reply },
    /// Find out who has ended.
    Look,
}

/// Where the lines go that commands print.
type Reply = oneshot::Sender<Result<Vec<String>, ControlError>>;

/// A terminal that is watched.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) name: String,
    pub(super) pid: u32,
    pub(super) feed: Feed,
    /// Who watches: a later watcher of the same terminal takes its place.
    pub(super) watcher: u64,
    heard_bytes: usize,
    status_looks: u32,
    missing_looks: u32,
}

impl Watched {
    pub(super) fn new(name: String, pid: u32, feed: Feed, watcher: u64) -> Watched {
        Watched { name, pid, feed, watcher, heard_bytes: 0, status_looks: 0, missing_looks: 0 }
    }
}

/// The terminals that are watched, by their panes.
pub(super) type Watching = Arc<Mutex<BTreeMap<PaneNumber, Watched>>>;

/// What waits for a reply.
#[derive(Debug)]
enum Pending {
    Command { left: usize, lines: Vec<String>, reply: Reply },
    Listing(Vec<String>),
    Nothing,
}

/// The connection, while it stands.
struct Connection {
    _client: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    buffer: Vec<u8>,
    pending: VecDeque<Pending>,
    // The reply that is being read; a foreign one is read past.
    inside: Option<(u64, bool)>,
}

/// The task's state.
pub(super) struct Control {
    params: Arc<TmuxParams>,
    watching: Watching,
    connection: Option<Connection>,
    paused: BTreeSet<PaneNumber>,
    next_breath: Option<Instant>,
    reconnect_at: Option<Instant>,
    is_listing: bool,
    /// Something has changed since the listing that is under way was asked for.
    list_again: bool,
    /// A status was not there yet.
    list_at_breath: bool,
}

impl Control {
    pub(super) fn new(params: Arc<TmuxParams>, watching: Watching) -> Control {
        Control {
            params,
            watching,
            connection: None,
            paused: BTreeSet::new(),
            next_breath: None,
            reconnect_at: None,
            is_listing: false,
            list_again: false,
            list_at_breath: false,
        }
    }

    /// Serves until nobody can send commands any more.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut chunk = vec![0; 64 << 10];
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.command(command).await,
                    None => return,
                },
                read = read(self.connection.as_mut(), &mut chunk) => match read {
                    0 => self.fall("tmux let the client go"),
                    len => self.take(&chunk[..len]).await,
                },
                _ = looks.tick() => self.look_at_processes().await,
                () = at(self.next_breath) => self.breathe().await,
                () = at(self.reconnect_at) => self.reconnect().await,
            }
        }
    }

    async fn command(&mut self, command: Command) {
        let (commands, want, reply) = match command {
            Command::Look => return self.list().await,
            Command::Run { reply, .. } if reply.is_closed() => return,
            Command::Run { commands, want, reply } => (commands, want, reply),
        };
        if let Err(error) = self.connect(want).await {
            reply.send(Err(error)).ok();
            return;
        }
        let pending = Pending::Command { left: commands.len(), lines: Vec::new(), reply };
        self.send(&commands.join(" ; "), pending).await;
    }

    /// Connects where it is not connected yet.
    async fn connect(&mut self, want: Want) -> Result<(), ControlError> {
        if self.connection.is_some() {
            return Ok(());
        }
        if want == Want::Started {
            self.params.start_server().await?;
        } else if !self.params.is_server_there().await? {
            return Err(ControlError::NoServer);
        }
        let mut client =
            self.params.control_client().map_err(|error| ControlError::Unreachable(error.to_string()))?;
        let (stdin, stdout) = (client.stdin.take(), client.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(ControlError::Unreachable("its client has no pipes".to_owned()));
        };
        self.connection = Some(Connection {
            _client: client,
            stdin,
            stdout,
            buffer: Vec::new(),
            pending: VecDeque::new(),
            inside: None,
        });
        self.reconnect_at = None;
        self.paused.clear();
        (self.is_listing, self.list_again) = (false, false);
        self.send("refresh-client -f pause-after=1", Pending::Nothing).await;
        // Whatever ended while nobody listened is in it.
        self.list().await;
        Ok(())
    }

    async fn reconnect(&mut self) {
        self.reconnect_at = None;
        match self.connect(Want::Present).await {
            Ok(()) => {}
            Err(ControlError::NoServer) => self.lose_all(),
            Err(_) => self.reconnect_at = Some(Instant::now() + RECONNECT_PAUSE),
        }
    }

    /// The server is gone, and all terminals with it.
    fn lose_all(&self) {
        for watched in lock(&self.watching).values() {
            watched.feed.end(AgentExit::Vanished);
        }
    }

    /// Connects again soon when anything is watched.
    fn fall_back(&mut self) {
        if !lock(&self.watching).is_empty() {
            self.reconnect_at.get_or_insert_with(Instant::now);
        }
    }

    fn fall(&mut self, why: &str) {
        let Some(connection) = self.connection.take() else { return };
        tracing::debug!(why, "the connection to the terminal server fell");
        for pending in connection.pending {
            if let Pending::Command { reply, .. } = pending {
                reply.send(Err(ControlError::Unreachable(why.to_owned()))).ok();
            }
        }
        self.next_breath = None;
        self.fall_back();
    }

    async fn send(&mut self, line: &str, pending: Pending) {
        let Some(connection) = &mut self.connection else { return };
        connection.pending.push_back(pending);
        let line = format!("{line}\n");
        let written = tokio::time::timeout(REPLY_PATIENCE, connection.stdin.write_all(line.as_bytes())).await;
        // A server that does not read for so long is as good as gone.
        if !matches!(written, Ok(Ok(()))) {
            self.fall("tmux does not read");
        }
    }

    async fn list(&mut self) {
        if self.connection.is_none() {
            // The next connection begins with a listing.
            return self.fall_back();
        }
        if self.is_listing {
            self.list_again = true;
            return;
        }
        self.is_listing = true;
        self.send(&listing::command(), Pending::Listing(Vec::new())).await;
    }

    /// Looks whether the programs of the watched terminals are there. tmux tells of an end, and what it tells may be lost;
    /// of a program that stays away it is asked, and then believed no more.
    async fn look_at_processes(&mut self) {
        let mut is_missing = false;
        for watched in lock(&self.watching).values_mut().filter(|watched| !watched.feed.has_ended()) {
            if process::process_of(watched.pid).is_some_and(process::ProcessId::is_alive) {
                watched.missing_looks = 0;
                continue;
            }
            is_missing = true;
            // tmux 3.3a can miss the signal that tells of it.
            process::parent_remind(watched.pid);
            watched.missing_looks += 1;
            if watched.missing_looks > MISSING_LOOKS_MAX {
                watched.feed.end(AgentExit::Vanished);
            }
        }
        if is_missing {
            self.list().await;
        }
    }

    /// Takes what tmux wrote, line by line.
    async fn take(&mut self, bytes: &[u8]) {
        let Some(connection) = &mut self.connection else { return };
        connection.buffer.extend_from_slice(bytes);
        let buffer = std::mem::take(&mut connection.buffer);
        let mut rest = buffer.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line(&rest[..end]).await;
            rest = &rest[end + 1..];
        }
        if rest.len() > LINE_BYTES_MAX {
            return self.fall("a line of tmux does not end");
        }
        if let Some(connection) = &mut self.connection {
            connection.buffer = rest.to_vec();
        }
    }

    async fn line(&mut self, bytes: &[u8]) {
        let Some(connection) = &mut self.connection else { return };
        let inside = connection.inside;
        match protocol::line(bytes) {
            Line::Begin { number, ours } if inside.is_none() => connection.inside = Some((number, ours)),
            Line::End { number } if inside.is_some_and(|(open, _)| open == number) => {
                connection.inside = None;
                if inside.is_some_and(|(_, ours)| ours) {
                    self.replied(None).await;
                }
            }
            Line::Error { number } if inside.is_some_and(|(open, _)| open == number) => {
                connection.inside = None;
                if inside.is_some_and(|(_, ours)| ours) {
                    self.replied(Some(())).await;
                }
            }
            _ if inside.is_some() => connection.said(String::from_utf8_lossy(bytes).into_owned()),
            Line::Output { pane, bytes } => self.output(pane, bytes).await,
            Line::Paused { pane } => self.pause(pane),
            Line::Renamed { name, .. } if name.ends_with(listing::ENDED_SUFFIX) => self.list().await,
            Line::Closed => self.list().await,
            Line::Exit => self.fall("tmux let the client go"),
            Line::Renamed { .. }
            | Line::Begin { .. }
            | Line::End { .. }
            | Line::Error { .. }
            | Line::Text(_) => {}
        }
    }

    /// Settles the command that waits first; `error` when its last lines are what went wrong.
    async fn replied(&mut self, error: Option<()>) {
        let Some(connection) = &mut self.connection else { return };
        match connection.pending.pop_front() {
            Some(Pending::Command { left, lines, reply }) => match error {
                Some(()) => drop(reply.send(Err(ControlError::Refused(lines.join(" "))))),
                None if left > 1 => {
                    connection.pending.push_front(Pending::Command { left: left - 1, lines, reply });
                }
                None => drop(reply.send(Ok(lines))),
            },
            Some(Pending::Listing(lines)) => {
                self.is_listing = false;
                if error.is_none() {
                    self.listed(&lines);
                }
                if std::mem::take(&mut self.list_again) {
                    self.list().await;
                }
            }
            Some(Pending::Nothing) | None => {}
        }
    }

    /// Finds among the terminals that are there which of the watched ones have ended.
    fn listed(&mut self, lines: &[String]) {
        let terminals: BTreeMap<(String, u32), Terminal> = lines
            .iter()
            .filter_map(|line| Terminal::parse(line))
            .map(|terminal| ((terminal.name.clone(), terminal.pid), terminal))
            .collect();
        let mut look_again = false;
        for watched in lock(&self.watching).values_mut().filter(|watched| !watched.feed.has_ended()) {
            match terminals.get(&(watched.name.clone(), watched.pid)) {
                None => watched.feed.end(AgentExit::Vanished),
                Some(Terminal { exit: Some(exit), .. }) => watched.feed.end(*exit),
                Some(Terminal { is_dead: true, .. }) if watched.status_looks < STATUS_LOOKS_MAX => {
                    watched.status_looks += 1;
                    // tmux sees the end of a terminal before it hears of the end of its program, and may miss that.
                    process::parent_remind(watched.pid);
                    look_again = true;
                }
                Some(Terminal { is_dead: true, .. }) => watched.feed.end(AgentExit::Vanished),
                Some(_) => {}
            }
        }
        if look_again {
            self.list_at_breath = true;
            self.next_breath.get_or_insert_with(|| Instant::now() + BREATH);
        }
    }

    async fn output(&mut self, pane: PaneNumber, bytes: Vec<u8>) {
        let is_flood = {
            let mut watching = lock(&self.watching);
            let Some(watched) = watching.get_mut(&pane) else { return };
            watched.heard_bytes += bytes.len();
            watched.feed.output(bytes);
            watched.heard_bytes > BREATH_BYTES_MAX
        };
        self.next_breath.get_or_insert_with(|| Instant::now() + BREATH);
        if is_flood && self.paused.insert(pane) {
            self.send(&format!("refresh-client -A '%{pane}:pause'"), Pending::Nothing).await;
        }
    }

    /// tmux has stopped to tell of a pane, because it was told to or because this task was late.
    fn pause(&mut self, pane: PaneNumber) {
        self.paused.insert(pane);
        self.next_breath.get_or_insert_with(|| Instant::now() + BREATH);
    }

    /// Listens again to all.
    async fn breathe(&mut self) {
        self.next_breath = None;
        for watched in lock(&self.watching).values_mut() {
            watched.heard_bytes = 0;
        }
        for pane in std::mem::take(&mut self.paused) {
            if let Some(watched) = lock(&self.watching).get(&pane) {
                watched.feed.gap();
            }
            self.send(&format!("refresh-client -A '%{pane}:continue'"), Pending::Nothing).await;
        }
        if std::mem::take(&mut self.list_at_breath) {
            self.list().await;
        }
    }
}

impl Connection {
    /// Takes a line of the reply that is being read.
    fn said(&mut self, line: String) {
        if self.inside.is_none_or(|(_, ours)| !ours) {
            return;
        }
        match self.pending.front_mut() {
            Some(Pending::Command { lines, .. } | Pending::Listing(lines)) => lines.push(line),
            Some(Pending::Nothing) | None => {}
        }
    }
}

/// Reads from the connection; 0 when it has fallen. Without one it waits for ever.
async fn read(connection: Option<&mut Connection>, chunk: &mut [u8]) -> usize {
    match connection {
        Some(connection) => connection.stdout.read(chunk).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

pub(super) fn lock(watching: &Watching) -> std::sync::MutexGuard<'_, BTreeMap<PaneNumber, Watched>> {
    watching.lock().unwrap_or_else(PoisonError::into_inner)
}
