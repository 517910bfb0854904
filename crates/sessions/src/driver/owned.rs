//! What the drivers without a terminal have in common: one task owns the agent, and this is how others reach it.

use super::said::Said;
use super::{AgentDriver, DriverError, Ended, LaunchSpec, Screen, Signals};
use crate::mailbox::{Mailbox, mailbox};
use adjutant_model::session::{AgentExit, AgentSignal};
use adjutant_model::session::{AskAnswer, HostHandle, Signal, SignalSource};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

/// So many commands may wait for the owner.
const COMMANDS_MAX: usize = 32;

/// So many signals may wait before the agent's output is left unread.
const OUTBOX_MAX: usize = 1024;

/// So many prompts may wait for the end of a turn.
pub(super) const PROMPTS_MAX: usize = 16;

pub(super) type Done = oneshot::Sender<Result<(), DriverError>>;

/// What the owner is told.
#[derive(Debug)]
pub(super) enum Command {
    /// A prompt.
    Send { text: String, done: Done },
    /// An answer.
    Answer { ask_id: String, answer: AskAnswer, done: Done },
    /// The present turn shall end.
    Interrupt { done: Done },
    /// The agent shall end.
    End { grace: Duration },
}

/// A hosted agent without a terminal. Dropping it ends the agent with all its descendants.
#[derive(Debug)]
pub struct OwnedAgent {
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

impl OwnedAgent {
    /// Starts the owner's task; `owner` makes it of its voice and of the commands that come.
    pub(super) fn start<F>(
        handle: HostHandle,
        signals: Signals,
        owner: impl FnOnce(Voice, Mailbox<Command>) -> F,
    ) -> OwnedAgent
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let shared = Arc::new(Shared { handle: Mutex::new(handle), said: Mutex::new(Said::default()) });
        let (commands, received) = mailbox(COMMANDS_MAX);
        let (ending, ended) = watch::channel(None);
        let voice = Voice { signals, outbox: VecDeque::new(), shared: Arc::clone(&shared), ending };
        let task = tokio::spawn(owner(voice, received));
        OwnedAgent { shared, commands, ended, _owner: AbortOnDropHandle::new(task) }
    }

    async fn ask(&self, command: impl FnOnce(Done) -> Command) -> Result<(), DriverError> {
        let (done, answer) = oneshot::channel();
        self.commands.send(command(done)).await.map_err(|_| DriverError::Gone)?;
        answer.await.map_err(|_| DriverError::Gone)?
    }
}

impl AgentDriver for OwnedAgent {
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

/// How an owner tells what becomes known. It never waits: what cannot be told yet waits in an outbox.
#[derive(Debug)]
pub(super) struct Voice {
    signals: Signals,
    outbox: VecDeque<Signal>,
    shared: Arc<Shared>,
    ending: watch::Sender<Option<Ended>>,
}

impl Voice {
    /// Gives the channel on which an owner reserves room in its loop, for [`Voice::hand`].
    pub(super) fn channel(&self) -> Signals {
        self.signals.clone()
    }

    /// Tells whether something waits to be told.
    pub(super) fn waits(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Tells whether so much waits that the agent should not be listened to.
    pub(super) fn is_full(&self) -> bool {
        self.outbox.len() >= OUTBOX_MAX
    }

    /// Tells the oldest signal.
    pub(super) fn hand(&mut self, permit: Result<mpsc::Permit<'_, Signal>, mpsc::error::SendError<()>>) {
        match (permit, self.outbox.pop_front()) {
            (Ok(permit), Some(signal)) => permit.send(signal),
            // Nobody listens any more; the agent goes on until it is ended.
            (Err(_), _) | (_, None) => self.outbox.clear(),
        }
    }

    /// Puts a signal into the outbox.
    pub(super) fn known(&mut self, source: SignalSource, evidence: &str, what: AgentSignal) {
        self.outbox.push_back(Signal::new(source, evidence, what));
    }

    /// Keeps words for people.
    pub(super) fn say(&self, text: &str) {
        self.shared.said.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    /// Shows by what the agent is found now.
    pub(super) fn show_handle(&self, handle: HostHandle) {
        *self.shared.handle.lock().unwrap_or_else(PoisonError::into_inner) = handle;
    }

    /// Tells the end, behind what waited to be told.
    pub(super) async fn over(mut self, ended: Ended, evidence: &str) {
        self.known(SignalSource::Process, evidence, AgentSignal::Exited(ended.exit));
        self.ending.send_replace(Some(ended));
        for signal in self.outbox.drain(..) {
            if self.signals.send(signal).await.is_err() {
                return;
            }
        }
    }
}

/// Says how a program ended, and why when its standard error told.
pub(super) fn how_it_ended(exit: AgentExit, complaint: Option<String>) -> String {
    match complaint.filter(|_| exit != AgentExit::Code(0)) {
        Some(line) => format!("{exit}: {line}"),
        None => exit.to_string(),
    }
}

/// Says that no more prompts can wait.
pub(super) fn prompts_full() -> DriverError {
    DriverError::Failed {
        what: format!("{PROMPTS_MAX} prompts wait for the end of the agent's turn already"),
    }
}

/// Gives the handle of an agent that has no process at present.
pub(super) fn no_process(spec: &LaunchSpec) -> HostHandle {
    let (driver, launch) = (spec.driver.driver, spec.launch);
    HostHandle { driver, launch, terminal: None, pid: 0, started_ticks: 0 }
}
