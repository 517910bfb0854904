//! The task that owns an agent in print mode.
//!
//! It never waits for anybody but in its loop: what becomes known waits in an outbox, what the agent is told in the
//! queue of a writer. While the outbox is full the agent's output is not read, commands still are.

use super::claude::ClaudeStream;
use super::codex::CodexStream;
use crate::driver::clock::now;
use crate::driver::heard::Heard;
use crate::driver::lines::{Line, Lines};
use crate::driver::owned::{Command, PROMPTS_MAX, Voice, how_it_ended, no_process, prompts_full};
use crate::driver::piped::{LINGER, Piped, Pipes, Start, Writer};
use crate::driver::said::RawStream;
use crate::driver::{DriverError, Ended, LaunchSpec, usage_kept};
use crate::mailbox::Mailbox;
use crate::process::Swept;
use adjutant_model::profile::Fillings;
use adjutant_model::session::{AgentExit, AgentSignal, AskAnswer, HostHandle, SignalSource};
use rustix::process::Signal as SystemSignal;
use serde_json::Value;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Duration;
use tokio::process::ChildStdout;
use tokio::time::{Instant, sleep_until, timeout};

/// How long an interrupted process of one prompt may take to end.
const INTERRUPT_PATIENCE: Duration = Duration::from_secs(5);

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

enum Event {
    Line(Line),
    Exited(AgentExit),
}

/// How an agent came to its end, and what told so.
struct Over {
    ended: Ended,
    evidence: String,
}

/// The owner's state.
pub(super) struct Owner {
    spec: LaunchSpec,
    voice: Voice,
    scrollback: RawStream,
    stream: Stream,
    process: Option<Process>,
    prompts: VecDeque<String>,
    is_busy: bool,
    interrupts: u64,
    give_up_at: Option<Instant>,
}

impl Owner {
    pub(super) fn new(
        spec: LaunchSpec,
        voice: Voice,
        scrollback: RawStream,
        stream: Stream,
        process: Option<Process>,
    ) -> Owner {
        // An agent with a process for each prompt may have its first in the fillings, where the others come from.
        let first = spec.prompt.clone().or_else(|| match &stream {
            Stream::Claude(_) => None,
            Stream::Codex(_) => spec.fillings.prompt.clone(),
        });
        let prompts = first.into_iter().collect();
        let (is_busy, interrupts, give_up_at) = (false, 0, None);
        Owner { spec, voice, scrollback, stream, process, prompts, is_busy, interrupts, give_up_at }
    }

    pub(super) async fn run(mut self, mut commands: Mailbox<Command>) {
        let signals = self.voice.channel();
        self.next_prompt();
        loop {
            let give_up_at = self.give_up_at;
            let is_over = tokio::select! {
                permit = signals.reserve(), if self.voice.waits() => {
                    self.voice.hand(permit);
                    ControlFlow::Continue(())
                }
                command = commands.recv() => match command {
                    Some(command) => self.command(command).await,
                    None => ControlFlow::Break(self.end(Duration::ZERO).await),
                },
                event = next(&mut self.process), if !self.voice.is_full() => match event {
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
            if let ControlFlow::Break(over) = is_over {
                return self.voice.over(over.ended, &over.evidence).await;
            }
        }
    }

    async fn command(&mut self, command: Command) -> ControlFlow<Over> {
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
            return Err(prompts_full());
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
        self.voice.say(&format!("< {text}"));
        match self.tell(&text) {
            Ok(()) => self.is_busy = true,
            Err(why) => {
                let ended = AgentSignal::TurnEnded { text: None, error: Some(why.to_string()) };
                self.voice.known(SignalSource::Process, "it could not be told", ended);
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
                let (piped, pipes) =
                    Piped::start(Start { argv: &argv, ..Start::of(&self.spec) }, self.spec.cgroup())?;
                let process = Process::new(piped, pipes);
                process.writer.close();
                self.voice.show_handle(process.handle(&self.spec));
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
        self.voice.known(SignalSource::Protocol, "it was answered", settled);
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
                return self.voice.say(&format!("(a line of {bytes} bytes was left out)"));
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
            Ok(_) | Err(_) => self.voice.say(&text),
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
                Heard::Signal { evidence, what } => self.voice.known(SignalSource::Protocol, &evidence, what),
                Heard::Said(text) => self.voice.say(&text),
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
    async fn exited(&mut self, exit: AgentExit) -> ControlFlow<Over> {
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
        let how = how_it_ended(exit, process.piped.complaint().await);
        let swept = process.piped.sweep().await;
        drop(process);
        match &mut self.stream {
            Stream::Claude(_) => {
                self.voice.say(&format!("(ended: {how})"));
                ControlFlow::Break(Over { ended: Ended { exit, swept }, evidence: how })
            }
            Stream::Codex(stream) => {
                let heard = stream.end(&how, now());
                self.voice.show_handle(no_process(&self.spec));
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
    async fn end(&mut self, grace: Duration) -> Over {
        let ended = match &mut self.process {
            Some(process) => {
                process.writer.close();
                process.piped.end_gently(grace).await
            }
            None => Ended { exit: AgentExit::Code(0), swept: Swept::default() },
        };
        self.process = None;
        self.voice.show_handle(no_process(&self.spec));
        Over { ended, evidence: ended.exit.to_string() }
    }
}

async fn next(process: &mut Option<Process>) -> Event {
    match process {
        Some(process) => process.next().await,
        None => std::future::pending().await,
    }
}
