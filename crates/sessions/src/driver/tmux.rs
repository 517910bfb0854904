//! The driver `tmux`: an agent in a terminal to which anyone can attach, and which outlives the daemon.
//!
//! All agents stand on one server of Adjutant's own ([`TmuxServer`]), each in a session of tmux named `adj-<name>` with
//! one window, `<session>.<launch>`. The daemon hears of all of them by one control-mode client. How a program ended is
//! kept by tmux until it is asked, so it is known even when the daemon was away.

mod control;
mod listing;
mod protocol;
mod script;
mod server;

pub use listing::Terminal;
pub use server::TmuxParams;

use super::terminal::{self, Answer, LEFTOVER_GRACE, Tap};
use super::{Adopted, AgentDriver, DriverError, Ended, LaunchSpec, Screen, Signals};
use crate::process::{self, Cgroup, Hosted, ProcessId, Swept};
use crate::screen::plain;
use adjutant_model::profile::{AgentProfile, TerminalSpec};
use adjutant_model::run::ErrorClass;
use adjutant_model::session::{AgentExit, AskAnswer, DriverKind, HostHandle};
use control::{
    BREATH, Command, Control, ControlError, REPLY_PATIENCE, STATUS_LOOKS_MAX, Want, Watched, Watching, lock,
};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use listing::{LISTING_FORMAT, terminal_name, window_name};
use protocol::{quoted, unformatted};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

/// How many commands may wait for the control connection.
const COMMANDS_MAX: usize = 256;

/// How many lines of a screen are given at most.
const SCREEN_LINES_MAX: usize = 10_000;

/// Whether a terminal was made just now, so that its agent has yet to show something before it is ready.
#[derive(Debug, Clone, Copy)]
enum Age {
    New,
    Found,
}

/// Adjutant's tmux server, and the one connection to it. Clone it to talk to it; the last clone to go lets go of the
/// server and ends nothing on it.
#[derive(Debug, Clone)]
pub struct TmuxServer {
    params: Arc<TmuxParams>,
    commands: mpsc::Sender<Command>,
    watching: Watching,
    watchers: Arc<AtomicU64>,
    _task: Arc<AbortOnDropHandle<()>>,
}

impl TmuxServer {
    /// Makes ready to talk to the server; it is started by the first launch. Must be called within a runtime.
    pub fn new(params: TmuxParams) -> TmuxServer {
        let params = Arc::new(params);
        let watching = Watching::default();
        let (commands, waiting) = mpsc::channel(COMMANDS_MAX);
        let control = Control::new(Arc::clone(&params), Arc::clone(&watching));
        let task = tokio::spawn(control.run(waiting));
        let watchers = Arc::default();
        TmuxServer { params, commands, watching, watchers, _task: Arc::new(AbortOnDropHandle::new(task)) }
    }

    /// Lists the agents' terminals on the server, living and ended, in one call of tmux; none when there is no server.
    ///
    /// # Errors
    /// [`DriverError::Failed`] when the server is there and does not answer.
    pub async fn terminals(&self) -> Result<Vec<Terminal>, DriverError> {
        match self.run(Want::Present, vec![listing::command()]).await {
            Ok(lines) => Ok(lines.iter().filter_map(|line| Terminal::parse(line)).collect()),
            Err(ControlError::NoServer) => Ok(Vec::new()),
            Err(error) => Err(failed(error)),
        }
    }

    /// Gives the command by which a person attaches to a terminal; `None` when the handle names none.
    pub fn attach_command(&self, handle: &HostHandle) -> Option<Vec<String>> {
        handle.terminal.as_deref().map(|terminal| self.params.attach_command(terminal))
    }

    /// Ends the server when no terminal of an agent is left on it, and tells whether none was; a session that a person
    /// has made there keeps it until that ends.
    ///
    /// # Errors
    /// As [`TmuxServer::terminals`].
    pub async fn end_if_empty(&self) -> Result<bool, DriverError> {
        if !self.params.socket.exists() {
            return Ok(true);
        }
        if !self.terminals().await?.is_empty() {
            return Ok(false);
        }
        self.params.leave().await.ok();
        Ok(true)
    }

    async fn run(&self, want: Want, commands: Vec<String>) -> Result<Vec<String>, ControlError> {
        let (reply, answer) = oneshot::channel();
        let gone = || ControlError::Unreachable("its connection is gone".to_owned());
        self.commands.send(Command::Run { commands, want, reply }).await.map_err(|_| gone())?;
        // A server that is stopped takes commands and answers none.
        let late = || ControlError::Unreachable("it does not answer".to_owned());
        tokio::time::timeout(REPLY_PATIENCE, answer).await.map_err(|_| late())?.map_err(|_| gone())?
    }

    async fn find(&self, name: &str) -> Result<Option<Terminal>, DriverError> {
        Ok(self.terminals().await?.into_iter().find(|terminal| terminal.name == name))
    }

    /// Begins to watch a terminal.
    fn watch(&self, terminal: &Terminal, age: Age) -> (Tap, u64) {
        let (feed, tap) = terminal::feed(match age {
            Age::New => 0,
            Age::Found => 1,
        });
        let watcher = self.watchers.fetch_add(1, Ordering::Relaxed);
        let watched = Watched::new(terminal.name.clone(), terminal.pid, feed, watcher);
        lock(&self.watching).insert(terminal.pane, watched);
        (tap, watcher)
    }

    /// Tells what a terminal that was just made has done before it was watched.
    async fn catch_up(&self, terminal: &Terminal) {
        let ask = format!(
            "display-message -p -t %{} 'C #{{cursor_x}} #{{cursor_y}} #{{history_size}}'",
            terminal.pane
        );
        let said = self.run(Want::Present, vec![ask]).await.unwrap_or_default();
        if said.first().is_some_and(|said| said != "C 0 0 0")
            && let Some(watched) = lock(&self.watching).get(&terminal.pane)
        {
            watched.feed.output(Vec::new());
        }
        self.look().await;
    }

    /// Lets the connection find out who has ended; for what ended before it was watched.
    async fn look(&self) {
        self.commands.send(Command::Look).await.ok();
    }

    /// Gives how the program of a dead terminal ended; asks again while tmux has yet to hear of it.
    async fn exit_of(&self, dead: &Terminal) -> Result<AgentExit, DriverError> {
        let mut known = dead.exit;
        for _ in 0..STATUS_LOOKS_MAX {
            if known.is_some() {
                break;
            }
            process::parent_remind(dead.pid);
            tokio::time::sleep(BREATH).await;
            let found = self.find(&dead.name).await?.filter(|found| found.pane == dead.pane);
            known = found.and_then(|found| found.exit);
        }
        Ok(known.unwrap_or(AgentExit::Vanished))
    }

    fn cgroup(&self, spec: &LaunchSpec) -> Option<Cgroup> {
        self.params.cgroups.as_ref()?.found(&window_name(&spec.session, spec.launch)?)
    }

    async fn close(&self, terminal: &Terminal) {
        // It may be gone already, which is what is wanted.
        self.run(Want::Present, vec![format!("kill-window -t @{}", terminal.window)]).await.ok();
    }
}

/// Starts an agent in a terminal of its own, or finds the terminal when the same start was made before.
///
/// # Errors
/// [`DriverError::Start`] when there is no tmux, no such program, or the terminal's name is taken by another session.
pub async fn launch(
    server: &TmuxServer,
    spec: LaunchSpec,
    signals: Signals,
) -> Result<TmuxAgent, DriverError> {
    let refused = |what: String| DriverError::Start { what, hint: None, class: ErrorClass::User };
    let name =
        terminal_name(&spec.name).ok_or_else(|| refused(format!("`{}` is no session's name", spec.name)))?;
    let window = window_name(&spec.session, spec.launch)
        .ok_or_else(|| refused(format!("`{}` is no session's id", spec.session)))?;
    if let Some(terminal) = server.find(&name).await? {
        if terminal.session != spec.session && !terminal.is_dead {
            return Err(refused(format!("the terminal `{name}` is another session's")));
        }
        if terminal.session == spec.session && terminal.launch == spec.launch {
            let agent = agent(server, spec, &terminal, Age::Found, signals)?;
            server.look().await;
            return Ok(agent);
        }
        end_terminal(server, &spec, &terminal).await;
    }
    let terminal = start(server, &spec, &name, &window).await?;
    let agent = agent(server, spec, &terminal, Age::New, signals)?;
    server.catch_up(&terminal).await;
    Ok(agent)
}

/// Takes up a terminal that was started before, or says how it ended.
///
/// # Errors
/// [`DriverError::Failed`] when the server does not answer; the terminal may be there then.
pub async fn adopt(
    server: &TmuxServer,
    handle: HostHandle,
    spec: LaunchSpec,
    signals: Signals,
) -> Result<Adopted<TmuxAgent>, DriverError> {
    let found = server.terminals().await?.into_iter().find(|terminal| terminal.is_of(&handle));
    adopt_found(server, found.as_ref(), &handle, spec, signals).await
}

/// Takes up a terminal that was found in a listing, as [`adopt`] does: for many at once.
///
/// # Errors
/// As [`adopt`].
pub async fn adopt_found(
    server: &TmuxServer,
    found: Option<&Terminal>,
    handle: &HostHandle,
    spec: LaunchSpec,
    signals: Signals,
) -> Result<Adopted<TmuxAgent>, DriverError> {
    let (exit, terminal) = match found {
        Some(terminal) if !terminal.is_dead => {
            let agent = agent(server, spec, terminal, Age::Found, signals)?;
            server.look().await;
            return Ok(Adopted::Living(agent));
        }
        Some(terminal) => (server.exit_of(terminal).await?, Some(terminal)),
        None => (AgentExit::Vanished, None),
    };
    if let Some(process) = ProcessId::new(handle.pid, handle.started_ticks) {
        let swept = process::end_hosted(&hosted(server, &spec, process), LEFTOVER_GRACE).await;
        tracing::debug!(session = spec.session, ?swept, "an agent was found ended");
    }
    if let Some(terminal) = terminal {
        server.close(terminal).await;
    }
    Ok(Adopted::Ended(exit))
}

/// An agent in a terminal of tmux.
#[derive(Debug)]
pub struct TmuxAgent {
    server: TmuxServer,
    terminal: Terminal,
    watcher: u64,
    handle: HostHandle,
    profile: Arc<AgentProfile>,
    folder: std::path::PathBuf,
    hosted: Hosted,
    pulse: watch::Receiver<terminal::Pulse>,
    ended: watch::Receiver<Option<AgentExit>>,
    swept: watch::Receiver<Option<Swept>>,
    // One at a time types.
    typing: Semaphore,
    _watch: AbortOnDropHandle<()>,
}

impl Drop for TmuxAgent {
    fn drop(&mut self) {
        let mut watching = lock(&self.server.watching);
        if watching.get(&self.terminal.pane).is_some_and(|watched| watched.watcher == self.watcher) {
            watching.remove(&self.terminal.pane);
        }
    }
}

impl AgentDriver for TmuxAgent {
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
                    let _typing = self.typing().await?;
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
        screen(&self.server, &self.terminal, lines_max.min(SCREEN_LINES_MAX)).boxed()
    }

    fn end(&self, grace: Duration) -> BoxFuture<'_, Result<Ended, DriverError>> {
        self.end_all(grace).boxed()
    }
}

impl TmuxAgent {
    fn spec(&self) -> &TerminalSpec {
        &self.profile.terminal
    }

    async fn typing(&self) -> Result<tokio::sync::SemaphorePermit<'_>, DriverError> {
        self.typing.acquire().await.map_err(|_| DriverError::Gone)
    }

    /// Waits until the terminal is ready, pastes the text and presses Enter behind it.
    async fn send_when_ready(&self, text: &str) -> Result<(), DriverError> {
        let text = terminal::typed(text)?;
        let _typing = self.typing().await?;
        terminal::ready(self.pulse.clone(), self.ended.clone(), self.spec()).await?;
        self.paste(&text).await?;
        terminal::taken(self.pulse.clone(), self.spec(), text.len()).await;
        self.press(&["Enter".to_owned()]).await
    }

    async fn paste(&self, text: &str) -> Result<(), DriverError> {
        self.alive()?;
        if text.is_empty() {
            return Ok(());
        }
        let path = self.folder.join("paste");
        script::written(&path, text.as_bytes()).map_err(|error| DriverError::Failed {
            what: format!("the text could not be handed over: {error}"),
        })?;
        let pane = self.terminal.pane;
        let file = quoted(&unformatted(&path.to_string_lossy()))
            .ok_or_else(|| DriverError::Failed { what: format!("tmux cannot read {}", path.display()) });
        let commands = file.map(|file| {
            vec![
                // Whoever scrolls there would get the keys otherwise.
                format!("copy-mode -q -t %{pane}"),
                format!("load-buffer -b adj-{pane} {file}"),
                format!("paste-buffer -d -p -b adj-{pane} -t %{pane}"),
            ]
        });
        let pasted = match commands {
            Ok(commands) => self.server.run(Want::Present, commands).await.map(drop).map_err(gone_or_failed),
            Err(error) => Err(error),
        };
        std::fs::remove_file(&path).ok();
        pasted
    }

    async fn press(&self, keys: &[String]) -> Result<(), DriverError> {
        self.alive()?;
        let pane = self.terminal.pane;
        let mut commands = vec![format!("copy-mode -q -t %{pane}")];
        for key in keys {
            let word = quoted(key).ok_or_else(|| terminal::no_key(key))?;
            commands.push(format!("send-keys -t %{pane} {word}"));
        }
        self.server.run(Want::Present, commands).await.map(drop).map_err(gone_or_failed)
    }

    fn alive(&self) -> Result<(), DriverError> {
        if self.ended.borrow().is_some() { Err(DriverError::Gone) } else { Ok(()) }
    }

    async fn end_all(&self, grace: Duration) -> Result<Ended, DriverError> {
        let swept = process::end_hosted(&self.hosted, grace).await;
        self.server.look().await;
        let ended = terminal::ended(self.ended.clone(), self.swept.clone(), swept).await;
        self.server.close(&self.terminal).await;
        Ok(ended)
    }
}

/// Makes the handle of a terminal that is there, and begins to tell its signals.
fn agent(
    server: &TmuxServer,
    spec: LaunchSpec,
    terminal: &Terminal,
    age: Age,
    signals: Signals,
) -> Result<TmuxAgent, DriverError> {
    // Of a program that has ended already nobody can tell when it started.
    let started_ticks = process::process_of(terminal.pid).map_or(0, ProcessId::started_ticks);
    let process = ProcessId::new(terminal.pid, started_ticks).ok_or(DriverError::Gone)?;
    let hosted = hosted(server, &spec, process);
    let (tap, watcher) = server.watch(terminal, age);
    let (pulse, ended) = (tap.pulse.clone(), tap.ended.clone());
    if let Some(exit) = terminal.exit
        && let Some(watched) = lock(&server.watching).get(&terminal.pane)
    {
        watched.feed.end(exit);
    }
    let (swept_told, swept) = watch::channel(None);
    let task = terminal::host(tap, &spec, signals, hosted.clone(), swept_told);
    Ok(TmuxAgent {
        handle: HostHandle {
            driver: DriverKind::Tmux,
            launch: spec.launch,
            terminal: Some(terminal.name.clone()),
            pid: terminal.pid,
            started_ticks,
        },
        server: server.clone(),
        terminal: terminal.clone(),
        watcher,
        profile: spec.profile,
        folder: spec.folder,
        hosted,
        pulse,
        ended,
        swept,
        typing: Semaphore::new(1),
        _watch: AbortOnDropHandle::new(tokio::spawn(task)),
    })
}

fn hosted(server: &TmuxServer, spec: &LaunchSpec, process: ProcessId) -> Hosted {
    Hosted { process, marker: spec.marker.clone(), cgroup: server.cgroup(spec) }
}

/// Makes the terminal, and lets the agent begin in it.
async fn start(
    server: &TmuxServer,
    spec: &LaunchSpec,
    name: &str,
    window: &str,
) -> Result<Terminal, DriverError> {
    terminal::startable(spec)?;
    let cgroup = server.params.cgroups.as_ref().and_then(|cgroups| cgroups.group(window));
    let procs = cgroup.as_ref().map(Cgroup::procs);
    let path = script::write(
        spec,
        &terminal::environment(spec, "tmux-256color"),
        &server.params.host,
        procs.as_deref(),
    )?;
    let started = start_script(server, spec, (name, window), &path).await;
    if started.is_err() {
        std::fs::remove_file(&path).ok();
        if let Some(cgroup) = cgroup {
            cgroup.remove();
        }
    }
    started
}

async fn start_script(
    server: &TmuxServer,
    spec: &LaunchSpec,
    (name, window): (&str, &str),
    path: &std::path::Path,
) -> Result<Terminal, DriverError> {
    let (columns, rows) = terminal::bounded(spec.size);
    let script = quoted(&path.to_string_lossy()).ok_or_else(|| DriverError::Start {
        what: format!("tmux cannot start {}", path.display()),
        hint: None,
        class: ErrorClass::User,
    })?;
    let commands = vec![
        format!(
            "new-session -d -s {name} -n {window} -x {columns} -y {rows} -P -F '{LISTING_FORMAT}' -- /usr/bin/env -i /bin/sh {script}"
        ),
        // From here on no client changes the size.
        format!("resize-window -t ={name}: -x {columns} -y {rows}"),
        format!("link-window -d -s ={name}: -t ={}:", server::HUB),
    ];
    let lines = server.run(Want::Started, commands).await.map_err(|error| DriverError::Start {
        what: error.to_string(),
        hint: Some("`adjutant doctor` tells whether there is a tmux that can be used".to_owned()),
        class: ErrorClass::Retry,
    })?;
    lines.iter().find_map(|line| Terminal::parse(line)).ok_or_else(|| DriverError::Start {
        what: format!("tmux did not tell of its terminal: {}", lines.join(" ")),
        hint: None,
        class: ErrorClass::Retry,
    })
}

/// Ends an earlier start of the same session.
async fn end_terminal(server: &TmuxServer, spec: &LaunchSpec, terminal: &Terminal) {
    let earlier = LaunchSpec { launch: terminal.launch, ..spec.clone() };
    if let Some(process) = process::process_of(terminal.pid).filter(|_| !terminal.is_dead) {
        // Its marker was another one; its group, its session and what is below it are known.
        let hosted = Hosted { marker: String::new(), ..hosted(server, &earlier, process) };
        let swept = process::end_hosted(&hosted, LEFTOVER_GRACE).await;
        tracing::debug!(session = spec.session, ?swept, "an earlier start was ended");
    }
    server.close(terminal).await;
}

async fn screen(server: &TmuxServer, terminal: &Terminal, lines_max: usize) -> Result<Screen, DriverError> {
    let pane = format!("%{}", terminal.pane);
    let start = format!("-{lines_max}");
    let format = "#{pane_width} #{pane_height} #{cursor_x} #{cursor_y}";
    // In a process of its own: what an agent shows has no place between the replies of the control connection.
    let args = [
        "display-message",
        "-p",
        "-t",
        &pane,
        format,
        ";",
        "capture-pane",
        "-p",
        "-J",
        "-t",
        &pane,
        "-S",
        &start,
    ];
    let bytes = server.params.call(&args).await.map_err(gone_or_failed)?;
    let text = String::from_utf8_lossy(&bytes);
    let (numbers, shown) = text.split_once('\n').unwrap_or((&text, ""));
    let numbers: Vec<u16> = numbers.split(' ').filter_map(|number| number.parse().ok()).collect();
    let [columns, rows, column, row] = numbers[..] else {
        return Err(DriverError::Failed { what: "tmux does not tell the terminal's size".to_owned() });
    };
    let shown = plain(shown);
    let mut lines: Vec<&str> = shown.trim_end().lines().map(str::trim_end).collect();
    lines.drain(..lines.len().saturating_sub(lines_max));
    let lines = lines.into_iter().map(str::to_owned).collect();
    Ok(Screen { lines, size: (columns, rows), cursor: Some((column, row)) })
}

fn failed(error: ControlError) -> DriverError {
    DriverError::Failed { what: error.to_string() }
}

fn gone_or_failed(error: ControlError) -> DriverError {
    match error {
        ControlError::NoServer => DriverError::Gone,
        ControlError::Refused(text) if text.contains("can't find") => DriverError::Gone,
        error => failed(error),
    }
}
