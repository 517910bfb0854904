//! The driver `headless`: print mode, told and heard by lines of JSON.
//!
//! Claude Code is one process for all prompts: the next prompt is written when the result of the one before has come,
//! since two at once give one result. Codex is one process for each prompt; between two there is none, and the handle
//! says pid 0. Neither outlives the daemon. One task owns the agent (`owner.rs`); what a line means stands in
//! `claude.rs` and `codex.rs`, which know no process.

mod claude;
mod codex;
mod owner;

use super::heard::Meter;
use super::piped::{Piped, Start};
use super::said::{Said, Scrollback};
use super::usage_kept;
use super::{Adopted, AgentDriver, DriverError, Ended, LaunchSpec, Screen, Signals, end_leftovers};
use adjutant_model::profile::StreamFlavour;
use adjutant_model::session::{AgentExit, AskAnswer, HostHandle};
use claude::ClaudeStream;
use codex::CodexStream;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use owner::{Command, Owner, Process, Stream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

/// So many commands may wait for the owner.
const COMMANDS_MAX: usize = 32;

/// A hosted agent in print mode. Dropping it ends the agent with all its descendants.
#[derive(Debug)]
pub struct HeadlessAgent {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    ended: watch::Receiver<Option<Ended>>,
    _owner: AbortOnDropHandle<()>,
}

/// What the owner shows without being asked.
#[derive(Debug)]
struct Shared {
    handle: Mutex<HostHandle>,
    said: Mutex<Said>,
}

/// Starts an agent. What an earlier try left behind under the same marker is ended first.
///
/// # Errors
/// [`DriverError::Start`] when its program cannot be started, [`DriverError::Unsupported`] when its profile names a
/// stream that print mode has not.
pub async fn launch(spec: LaunchSpec, signals: Signals) -> Result<HeadlessAgent, DriverError> {
    end_leftovers(&spec).await?;
    let told = usage_kept::read(&spec.folder, spec.resume.as_deref());
    let meter = match &spec.resume {
        Some(_) => Meter::going_on(told),
        None => Meter::fresh(),
    };
    let (stream, process) = match spec.driver.stream {
        StreamFlavour::ClaudeStreamJson => {
            let (piped, pipes) = Piped::start(Start::of(&spec))?;
            (Stream::Claude(ClaudeStream::new(meter)), Some(Process::new(piped, pipes)))
        }
        StreamFlavour::CodexJson => {
            super::piped::found(Start::of(&spec))?;
            (Stream::Codex(CodexStream::new(meter, spec.resume.clone())), None)
        }
        StreamFlavour::None | StreamFlavour::Acp => {
            let stream = spec.driver.stream.as_str();
            return Err(DriverError::Unsupported { what: format!("print mode has no stream `{stream}`") });
        }
    };
    let handle = match &process {
        Some(process) => process.handle(&spec),
        None => owner::no_process(&spec),
    };
    let shared = Arc::new(Shared { handle: Mutex::new(handle), said: Mutex::new(Said::default()) });
    let scrollback = Scrollback::open(&spec.folder, spec.scrollback_bytes_max);
    let (commands, received) = mpsc::channel(COMMANDS_MAX);
    let (ending, ended) = watch::channel(None);
    let owner = Owner::new(spec, signals, Arc::clone(&shared), scrollback, stream, process, ending);
    let task = tokio::spawn(owner.run(received));
    Ok(HeadlessAgent { shared, commands, ended, _owner: AbortOnDropHandle::new(task) })
}

/// Finds an agent again after a restart of the daemon: there is none, and what it left behind is ended.
///
/// # Errors
/// [`DriverError::Start`] when something of it does not end.
pub async fn adopt(
    _handle: HostHandle,
    spec: LaunchSpec,
    _signals: Signals,
) -> Result<Adopted<HeadlessAgent>, DriverError> {
    end_leftovers(&spec).await?;
    Ok(Adopted::Ended(AgentExit::Vanished))
}

impl HeadlessAgent {
    async fn ask(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<(), DriverError>>) -> Command,
    ) -> Result<(), DriverError> {
        let (done, answer) = oneshot::channel();
        self.commands.send(command(done)).await.map_err(|_| DriverError::Gone)?;
        answer.await.map_err(|_| DriverError::Gone)?
    }
}

impl AgentDriver for HeadlessAgent {
    fn handle(&self) -> HostHandle {
        self.shared.handle.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn send<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<(), DriverError>> {
        self.ask(|done| Command::Send { text: text.to_owned(), done }).boxed()
    }

    fn answer<'a>(&'a self, ask_id: &'a str, answer: AskAnswer) -> BoxFuture<'a, Result<(), DriverError>> {
        self.ask(|done| Command::Answer { ask_id: ask_id.to_owned(), answer, done }).boxed()
    }

    fn interrupt(&self) -> BoxFuture<'_, Result<(), DriverError>> {
        self.ask(|done| Command::Interrupt { done }).boxed()
    }

    fn screen(&self, lines_max: usize) -> BoxFuture<'_, Result<Screen, DriverError>> {
        let lines = self.shared.said.lock().unwrap_or_else(PoisonError::into_inner).last(lines_max);
        async move { Ok(Screen { lines, size: (0, 0), cursor: None }) }.boxed()
    }

    fn end(&self, grace: Duration) -> BoxFuture<'_, Result<Ended, DriverError>> {
        async move {
            // When the owner is gone its last word stands.
            self.commands.send(Command::End { grace }).await.ok();
            let mut ended = self.ended.clone();
            let found = ended.wait_for(Option::is_some).await.map_err(|_| DriverError::Gone)?;
            (*found).ok_or(DriverError::Gone)
        }
        .boxed()
    }
}
