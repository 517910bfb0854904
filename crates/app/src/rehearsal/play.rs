//! Playing a script: one turn for each prompt, one step after the other, each shown as it happens.
//!
//! Hooks are told what Claude Code would tell them, in its order; what they decide is done. Whatever waits can be
//! interrupted: a command is ended, a question is taken back, and the turn is over.

mod call;

mod hooked;

use super::gate::Gate;
use super::hooks::Hooks;
use super::script::{Crash, Filling, Flood, Hang, OnInterrupt, OnTerm, Script, Step};
use super::session::Session;
use super::stage::{Shown, Stage};
use super::tools::Tools;
use super::{fork, quota};
use adjutant_model::time::Timestamp;
use serde_json::json;
use std::io;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A hook of `Stop` may send the agent on so often.
const STOP_BLOCKS_MAX: usize = 8;

/// After so many lines of a flood the agent looks whether it is interrupted.
const FLOOD_STRIDE: u64 = 64;

/// One agent at work.
pub(super) struct Player<S> {
    /// What the reader sees.
    pub(super) stage: S,
    /// What judges tool calls besides hooks.
    pub(super) gate: Gate,
    /// What performs them.
    pub(super) tools: Tools,
    /// What is told of everything.
    pub(super) hooks: Hooks,
    /// Whose session it is.
    pub(super) session: Session,
    /// What is played.
    pub(super) script: Script,
    /// What it remembers of the turn.
    pub(super) memory: Memory,
}

/// What an agent remembers while it plays.
#[derive(Debug, Default)]
pub(super) struct Memory {
    calls: u64,
    last_words: String,
    agents: Vec<Subagent>,
}

/// A subagent at work.
#[derive(Debug, Clone)]
struct Subagent {
    id: String,
    name: String,
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// With its last step.
    Done,
    /// By a person.
    Interrupted,
    /// By a hook or by a refusal, for this reason.
    Stopped(String),
    /// At the usage limit.
    Limited {
        /// When it may go on.
        until: Timestamp,
        /// What the agent says about it.
        message: String,
    },
    /// With the whole agent, as the script says.
    Exited {
        /// The code that the process ends with.
        code: u8,
        /// What the last line carries instead of the last words.
        result: Option<String>,
    },
    /// As no agent should; nothing more is shown.
    Crashed(Crash),
    /// Not at all.
    Hung(Hang),
}

impl<S: Stage> Player<S> {
    /// Plays the turn of a prompt.
    ///
    /// # Errors
    /// What the stage or the transcript said when it could not be written.
    pub(super) async fn turn(&mut self, prompt: &str, cancel: &CancellationToken) -> io::Result<End> {
        self.session.begin();
        self.memory.last_words.clear();
        let submitted = self.fire("UserPromptSubmit", "", json!({"prompt": prompt}), cancel).await?;
        if let Some(reason) = submitted.denied() {
            self.notice(&format!("UserPromptSubmit hook blocked the prompt: {reason}"))?;
            return Ok(End::Stopped(reason));
        }
        if let Some(reason) = submitted.stop {
            return Ok(End::Stopped(reason));
        }
        let mut end = self.answer(prompt, cancel).await?;
        self.memory.agents.clear();
        if end == End::Done {
            end = self.stopping(cancel).await?;
        }
        self.tell_end(&end).await?;
        self.session.settle()?;
        Ok(end)
    }

    /// Plays what the script has for this prompt.
    async fn answer(&mut self, prompt: &str, cancel: &CancellationToken) -> io::Result<End> {
        let previous = self.session.prompts().last().cloned().unwrap_or_default();
        self.session.asked(prompt)?;
        let turn = self.session.prompts().len();
        let steps = self.script.turn(Filling { prompt, previous: &previous, turn });
        self.steps(steps, cancel).await
    }

    /// Tells the hooks that the turn is over, and goes on while they want it to.
    async fn stopping(&mut self, cancel: &CancellationToken) -> io::Result<End> {
        for round in 0..=STOP_BLOCKS_MAX {
            let stopped = self.fire("Stop", "", self.stop_fields(round), cancel).await?;
            let Some(reason) = stopped.denied().filter(|_| stopped.stop.is_none()) else { break };
            self.notice(&format!("Stop hook: {reason}"))?;
            let end = self.answer(&reason, cancel).await?;
            if end != End::Done {
                return Ok(end);
            }
        }
        Ok(if cancel.is_cancelled() { End::Interrupted } else { End::Done })
    }

    /// Gives what `Stop` is told, after so many rounds that its hooks have asked for.
    fn stop_fields(&self, rounds: usize) -> serde_json::Value {
        json!({
            "stop_hook_active": rounds > 0,
            "last_assistant_message": self.memory.last_words,
            "background_tasks": [],
            "session_crons": [],
        })
    }

    /// Tells the hooks of an end that no `Stop` was told of yet.
    async fn tell_end(&mut self, end: &End) -> io::Result<()> {
        let unhurried = CancellationToken::new();
        match end {
            End::Interrupted => {
                self.session.interrupted()?;
                if self.script.on_interrupt == OnInterrupt::Stop {
                    self.fire("Stop", "", self.stop_fields(0), &unhurried).await?;
                }
            }
            End::Limited { message, .. } => {
                let fields = json!({
                    "error": "rate_limit",
                    "error_details": message,
                    "last_assistant_message": message,
                });
                self.fire("StopFailure", "rate_limit", fields, &unhurried).await?;
            }
            End::Done | End::Stopped(_) | End::Exited { .. } | End::Crashed(_) | End::Hung(_) => {}
        }
        Ok(())
    }

    async fn steps(&mut self, steps: Vec<Step>, cancel: &CancellationToken) -> io::Result<End> {
        for step in steps {
            if cancel.is_cancelled() {
                return Ok(End::Interrupted);
            }
            if let Some(end) = self.step(step, cancel).await? {
                return Ok(end);
            }
        }
        Ok(if cancel.is_cancelled() { End::Interrupted } else { End::Done })
    }

    /// Plays one step; gives the turn's end when it was the last one.
    async fn step(&mut self, step: Step, cancel: &CancellationToken) -> io::Result<Option<End>> {
        match step {
            Step::Say(text) => self.say(&text)?,
            Step::Think(text) => {
                self.stage.show(&Shown::Thought(&text))?;
                self.session.answered(json!({"type": "thinking", "thinking": text}))?;
            }
            Step::Plan(entries) => self.stage.show(&Shown::Plan(&entries))?,
            Step::Call(call) => return self.call(&call, cancel).await,
            Step::Ask { question, default } => self.ask(&question, default.as_deref(), cancel).await?,
            Step::Subagent { name, steps } => return Box::pin(self.subagent(name, steps, cancel)).await,
            Step::Usage(used) => {
                self.session.used(&used);
                self.stage.show(&Shown::Usage { used: &used, total: &self.session.usage() })?;
            }
            Step::Compact => self.compact(cancel).await?,
            Step::Sleep(ms) => {
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(ms)) => {}
                    () = cancel.cancelled() => {}
                }
            }
            Step::Flood(flood) => self.flood(flood, cancel).await?,
            Step::Escape(text) => self.stage.show(&Shown::Raw(&text))?,
            Step::Fork(fork) => {
                let started = fork::start(fork).await;
                self.notice(&started.unwrap_or_else(|error| format!("no children: {error}")))?;
            }
            Step::Quota { until } => {
                let message = quota::message(until);
                self.memory.last_words.clone_from(&message);
                self.stage.show(&Shown::Quota { until, message: &message })?;
                self.session.answered(json!({"type": "text", "text": message}))?;
                return Ok(Some(End::Limited { until, message }));
            }
            Step::Hang(hang) => return Ok(Some(End::Hung(hang))),
            Step::Exit { code, result } => return Ok(Some(End::Exited { code, result })),
            Step::Crash(Crash::Hang) => return Ok(Some(End::Hung(Hang { on_term: OnTerm::End }))),
            Step::Crash(crash) => {
                if crash == Crash::Cut {
                    self.stage.show(&Shown::Cut)?;
                }
                return Ok(Some(End::Crashed(crash)));
            }
        }
        Ok(None)
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        text.clone_into(&mut self.memory.last_words);
        self.stage.show(&Shown::Said(text))?;
        self.session.answered(json!({"type": "text", "text": text}))
    }

    /// Shows something that is not the agent's own words.
    pub(super) fn notice(&mut self, text: &str) -> io::Result<()> {
        self.stage.show(&Shown::Notice(text))
    }

    async fn flood(&mut self, flood: Flood, cancel: &CancellationToken) -> io::Result<()> {
        let whole = usize::try_from(flood.line_bytes.min(flood.bytes)).unwrap_or(usize::MAX);
        let line = "x".repeat(whole.saturating_sub(1)) + "\n";
        let mut left = flood.bytes;
        let mut count = 0_u64;
        while left > 0 && !cancel.is_cancelled() {
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(line.len());
            self.stage.show(&Shown::Line(&line[line.len() - take..]))?;
            left = left.saturating_sub(take as u64);
            count += 1;
            if count.is_multiple_of(FLOOD_STRIDE) {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
