//! The task that owns an agent in print mode.
//!
//! It never waits for anybody but in its loop: what becomes known waits in an outbox, what the agent is told in the
//! queue of a writer. While the outbox is full the agent's output is not read, commands still are.

use super::Shared;
use super::claude::ClaudeStream;
use super::codex::CodexStream;
use crate::driver::clock::now;
use crate::driver::heard::Heard;
use crate::driver::lines::{Line, Lines};
use crate::driver::piped::{LINGER, Piped, Pipes, Start, Writer};
use crate::driver::said::Scrollback;
use crate::driver::{DriverError, Ended, LaunchSpec, Signals, usage_kept};
use crate::process::Swept;
use adjutant_model::profile::Fillings;
use adjutant_model::session::{AgentExit, AgentSignal, AskAnswer, HostHandle, Signal, SignalSource};
use rustix::process::Signal as SystemSignal;
use serde_json::Value;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::process::ChildStdout;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

/// So many prompts may wait for the end of a turn.
const PROMPTS_MAX: usize = 16;

/// So many signals may wait before the agent's output is left unread.
const OUTBOX_MAX: usize = 1024;

/// How long an interrupted process of one prompt may take to end.
const INTERRUPT_PATIENCE: Duration = Duration::from_secs(5);

type Done = oneshot::Sender<Result<(), DriverError>>;

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

/// What the agent writes, with what is known of it.
#[derive(Debug)]
pub(super) enum Stream {
    /// One process.
    Claude(ClaudeStream),
    /// One process for each prompt.
    Codex(CodexStream),
}

/// A running process of the agent's.
#[derive(Debug)]
pub(super) struct Process {
    piped: Piped,
    writer: Writer,
    stdout: Option<Lines<ChildStdout>>,
}

impl Process {
    pub(super) fn new(piped: Piped, pipes: Pipes) -> Process {
        Process { piped, writer: Writer::start(pipes.stdin), stdout: Some(pipes.stdout) }
    }

    pub(super) fn handle(&self, spec: &LaunchSpec) -> HostHandle {
        self.piped.handle(spec)
    }

    /// Gives its next line, or how it ended. Cancel-safe.
    async fn next(&mut self) -> Event {
        if let Some(stdout) = &mut self.stdout {
            tokio::select! {
                biased;
                line = stdout.next() => match line {
                    Some(line) => return Event::Line(line),
                    None => self.stdout = None,
                },
                exit = self.piped.wait() => return Event::Exited(exit),
            }
        }
        Event::Exited(self.piped.wait().await)
    }
}

/// Gives the handle of an agent that has no process at present.
pub(super) fn no_process(spec: &LaunchSpec) -> HostHandle {
    let (driver, launch) = (spec.driver.driver, spec.launch);
    HostHandle { driver, launch, terminal: None, pid: 0, started_ticks: 0 }
}

enum Event {
    Line(Line),
    Exited(AgentExit),
}

/// The owner's state.
pub(super) struct Owner {
    spec: LaunchSpec,
    signals: Signals,
    shared: Arc<Shared>,
    scrollback: Scrollback,
    stream: Stream,
    process: Option<Process>,
    ending: watch::Sender<Option<Ended>>,
    outbox: VecDeque<Signal>,
    prompts: VecDeque<String>,
    is_busy: bool,
    interrupts: u64,
    give_up_at: Option<Instant>,
}

impl Owner {
    pub(super) fn new(
        spec: LaunchSpec,
        signals: Signals,
        shared: Arc<Shared>,
        scrollback: Scrollback,
        stream: Stream,
        process: Option<Process>,
        ending: watch::Sender<Option<Ended>>,
    ) -> Owner {
        // A process for each prompt has its first in the arguments, where the others come from.
        let first = spec.prompt.clone().or_else(|| match &stream {
            Stream::Claude(_) => None,
            Stream::Codex(_) => spec.fillings.prompt.clone(),
        });
        Owner {
            spec,
            signals,
            shared,
            scrollback,
            stream,
            process,
            ending,
            outbox: VecDeque::new(),
            prompts: first.into_iter().collect(),
            is_busy: false,
            interrupts: 0,
            give_up_at: None,
        }
    }

    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let signals = self.signals.clone();
        self.next_prompt();
        loop {
            let give_up_at = self.give_up_at;
            let is_over = tokio::select! {
                permit = signals.reserve(), if !self.outbox.is_empty() => {
                    match (permit, self.outbox.pop_front()) {
                        (Ok(permit), Some(signal)) => permit.send(signal),
                        // Nobody listens any more; the agent goes on until it is ended.
                        (Err(_), _) | (_, None) => self.outbox.clear(),
                    }
                    ControlFlow::Continue(())
                }
                command = commands.recv() => match command {
                    Some(command) => self.command(command).await,
                    None => ControlFlow::Break(self.end(Duration::ZERO).await),
                },
                event = next(&mut self.process), if self.outbox.len() < OUTBOX_MAX => match event {
                    Event::Line(line) => {
                        self.line(line);
                        ControlFlow::Continue(())
                    }
                    Event::Exited(exit) => self.exited(exit).await,
                },
                () = sleep_until(give_up_at.unwrap_or_else(Instant::now)), if give_up_at.is_some() => {
                    self.give_up_at = None;
                    self.cut().await;
                    ControlFlow::Continue(())
                }
            };
            if let ControlFlow::Break(ended) = is_over {
                return self.over(ended).await;
            }
        }
    }

    async fn command(&mut self, command: Command) -> ControlFlow<Ended> {
        // Whoever asked may have stopped waiting for the answer.
        match command {
            Command::Send { text, done } => drop(done.send(self.take_prompt(text))),
            Command::Answer { ask_id, answer, done } => drop(done.send(self.answer(&ask_id, answer))),
            Command::Interrupt { done } => drop(done.send(self.interrupt())),
            Command::End { grace } => return ControlFlow::Break(self.end(grace).await),
        }
        ControlFlow::Continue(())
    }

    fn take_prompt(&mut self, text: String) -> Result<(), DriverError> {
        if self.prompts.len() >= PROMPTS_MAX {
            return Err(DriverError::Failed {
                what: format!("{PROMPTS_MAX} prompts wait for the end of the agent's turn already"),
            });
        }
        self.prompts.push_back(text);
        self.next_prompt();
        Ok(())
    }

    /// Tells the agent the next prompt when it waits for one.
    fn next_prompt(&mut self) {
        if self.is_busy {
            return;
        }
        let Some(text) = self.prompts.pop_front() else { return };
        self.say(&format!("< {text}"));
        match self.tell(&text) {
            Ok(()) => self.is_busy = true,
            Err(why) => {
                let ended = AgentSignal::TurnEnded { text: None, error: Some(why.to_string()) };
                self.known(SignalSource::Process, "it could not be told", ended);
            }
        }
    }

    fn tell(&mut self, text: &str) -> Result<(), DriverError> {
        match &mut self.stream {
            Stream::Claude(stream) => {
                let message = stream.prompt(text);
                self.write(&message)
            }
            Stream::Codex(stream) => {
                stream.begin();
                let fillings = Fillings {
                    prompt: Some(text.to_owned()),
                    agent_session: stream.thread().map(str::to_owned),
                    ..self.spec.fillings.clone()
                };
                let argv = self.spec.profile.argv(&self.spec.driver, &fillings);
                let (piped, pipes) = Piped::start(Start { argv: &argv, ..Start::of(&self.spec) })?;
                let process = Process::new(piped, pipes);
                process.writer.close();
                self.show_handle(process.handle(&self.spec));
                self.process = Some(process);
                Ok(())
            }
        }
    }

    fn answer(&mut self, ask_id: &str, answer: AskAnswer) -> Result<(), DriverError> {
        let Stream::Claude(stream) = &mut self.stream else {
            let what = "this agent asks nothing in print mode".to_owned();
            return Err(DriverError::Unsupported { what });
        };
        if let Some(message) = stream.answer(ask_id, answer)? {
            self.write(&message)?;
        }
        let settled = AgentSignal::AskSettled { ask_id: Some(ask_id.to_owned()) };
        self.known(SignalSource::Protocol, "it was answered", settled);
        Ok(())
    }

    fn interrupt(&mut self) -> Result<(), DriverError> {
        if !self.is_busy {
            return Ok(());
        }
        match &mut self.stream {
            Stream::Claude(stream) => {
                self.interrupts += 1;
                let message = stream.interrupt(self.interrupts);
                self.write(&message)
            }
            Stream::Codex(stream) => {
                stream.interrupt();
                if let Some(process) = &self.process {
                    process.piped.signal(SystemSignal::INT);
                    self.give_up_at = Some(Instant::now() + INTERRUPT_PATIENCE);
                }
                Ok(())
            }
        }
    }

    fn write(&self, message: &Value) -> Result<(), DriverError> {
        let process = self.process.as_ref().ok_or(DriverError::Gone)?;
        process.writer.write(message)
    }

    fn line(&mut self, line: Line) {
        let text = match line {
            Line::Text(text) => text,
            Line::TooLong { bytes } => {
                return self.say(&format!("(a line of {bytes} bytes was left out)"));
            }
        };
        self.scrollback.push(&text);
        match serde_json::from_str::<Value>(&text) {
            Ok(message) if message.is_object() => {
                let heard = match &mut self.stream {
                    Stream::Claude(stream) => stream.read(&message, now()),
                    Stream::Codex(stream) => stream.read(&message, now()),
                };
                self.heard(heard);
            }
            Ok(_) | Err(_) => self.say(&text),
        }
    }

    fn heard(&mut self, heard: Vec<Heard>) {
        // What was counted is kept before it is told: after a crash in between it is missing, and never told twice.
        if heard.iter().any(|one| matches!(one, Heard::Signal { what: AgentSignal::UsedMore(_), .. })) {
            let counted = match &self.stream {
                Stream::Claude(stream) => stream.counted(),
                Stream::Codex(stream) => stream.counted(),
            };
            if let Some((session, told)) = counted {
                usage_kept::write(&self.spec.folder, session, told);
            }
        }
        for one in heard {
            match one {
                Heard::Signal { evidence, what } => self.known(SignalSource::Protocol, &evidence, what),
                Heard::Said(text) => self.say(&text),
                // When it is not read the agent has ended, which is told by itself.
                Heard::Reply(message) => self.write(&message).unwrap_or_default(),
                Heard::TurnOver => self.turn_over(),
            }
        }
    }

    fn turn_over(&mut self) {
        match self.stream {
            Stream::Claude(_) => {
                self.is_busy = false;
                self.next_prompt();
            }
            // Its process is about to end, and the next prompt begins behind that.
            Stream::Codex(_) => {}
        }
    }

    /// A process has ended: with it the agent, or one prompt of it.
    async fn exited(&mut self, exit: AgentExit) -> ControlFlow<Ended> {
        let Some(mut process) = self.process.take() else { return ControlFlow::Continue(()) };
        if let Some(stdout) = &mut process.stdout {
            // A descendant may hold the output open for ever.
            let rest = async {
                while let Some(line) = stdout.next().await {
                    self.line(line);
                }
            };
            timeout(LINGER, rest).await.ok();
        }
        let complaint = process.piped.complaint().await;
        let how = match complaint.filter(|_| exit != AgentExit::Code(0)) {
            Some(line) => format!("{exit}: {line}"),
            None => exit.to_string(),
        };
        let swept = process.piped.sweep().await;
        drop(process);
        match &mut self.stream {
            Stream::Claude(_) => {
                self.say(&format!("(ended: {how})"));
                self.known(SignalSource::Process, &how, AgentSignal::Exited(exit));
                ControlFlow::Break(Ended { exit, swept })
            }
            Stream::Codex(stream) => {
                let heard = stream.end(&how, now());
                self.show_handle(no_process(&self.spec));
                self.give_up_at = None;
                self.heard(heard);
                self.is_busy = false;
                self.next_prompt();
                ControlFlow::Continue(())
            }
        }
    }

    /// Ends a process of one prompt that does not heed its interrupt.
    async fn cut(&mut self) {
        if let Some(process) = &mut self.process {
            // How it ended is told by the loop, which finds it ended.
            let _ended: Ended = process.piped.end(Duration::from_secs(1)).await;
        }
    }

    /// Ends the agent: its input is closed first, so that it can end by itself.
    async fn end(&mut self, grace: Duration) -> Ended {
        let ended = match &mut self.process {
            Some(process) => {
                process.writer.close();
                let asked = grace / 3;
                timeout(asked, process.piped.wait()).await.ok();
                process.piped.end(grace - asked).await
            }
            None => Ended { exit: AgentExit::Code(0), swept: Swept::default() },
        };
        self.process = None;
        self.show_handle(no_process(&self.spec));
        self.known(SignalSource::Process, &ended.exit.to_string(), AgentSignal::Exited(ended.exit));
        ended
    }

    /// Tells the end, and what waited to be told.
    async fn over(mut self, ended: Ended) {
        self.ending.send_replace(Some(ended));
        for signal in self.outbox.drain(..) {
            if self.signals.send(signal).await.is_err() {
                return;
            }
        }
    }

    fn known(&mut self, source: SignalSource, evidence: &str, what: AgentSignal) {
        self.outbox.push_back(Signal::new(source, evidence, what));
    }

    fn say(&self, text: &str) {
        self.shared.said.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    fn show_handle(&self, handle: HostHandle) {
        *self.shared.handle.lock().unwrap_or_else(PoisonError::into_inner) = handle;
    }
}

async fn next(process: &mut Option<Process>) -> Event {
    match process {
        Some(process) => process.next().await,
        None => std::future::pending().await,
    }
}
