//! One transition of a run: what the machine took and wanted, as one write and a list of things to do.
//!
//! Nothing here waits or performs; [`Transition::take`] folds events into the next state and collects the turns and
//! journal rows that make it durable. The shell keeps the write and then performs the effects, in that order.

mod asks;

use super::ToolWent;
use super::questions::Asked;
use super::run_gate::RunGate;
use super::turn_book::TurnBook;
use crate::error::EngineError;
use crate::gate::ToolJudged;
use crate::operators::{AcquireQuestion, RunOperators};
use crate::record;
use crate::worker::Progress;
use adjutant_model::event::{Event, FlowInput, TimerSet, TurnStarted};
use adjutant_model::policy::{Judgement, PolicyEffect, ToolCall};
use adjutant_model::run::{
    ErrorClass, StepFailure, StepOutcome, StepPath, TurnKind, TurnRecord, TurnStatus, Usage,
};
use adjutant_model::{RunId, Timestamp, Value};
use adjutant_rules::approval::ASK;
use adjutant_rules::flow::{FlowEffect, FlowEnd, FlowEvent, FlowState, UnitId};
use adjutant_rules::operator::Acquired;
use adjutant_store::{Draft, Json, TurnSettlement, Write};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

/// A journal row names at most about so many turns.
const ROW_ENTRIES_MAX: usize = 512;

/// A step that is to be performed once its turn is durable.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dispatch {
    pub(super) path: StepPath,
    pub(super) attempt: u32,
    pub(super) agent: Arc<str>,
    /// The linked blueprint that the agent is of.
    pub(super) unit: UnitId,
    pub(super) input: Value,
    pub(super) timeout_ms: Option<u64>,
}

/// A timer that is to go off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Timer {
    pub(super) path: StepPath,
    pub(super) attempt: u32,
    pub(super) due_at: Timestamp,
}

/// A run's state on its way to the next, and what follows.
#[derive(Debug)]
pub(super) struct Transition<'a> {
    run_id: &'a RunId,
    now: Timestamp,
    state: &'a mut FlowState,
    pub(super) turns: &'a mut TurnBook,
    row: Row,
    follows: Follows,
}

/// What follows from a transition: the write that makes it durable, and what is to be done then.
#[derive(Debug, Default)]
pub(super) struct Follows {
    pub(super) write: Write,
    pub(super) dispatches: Vec<Dispatch>,
    pub(super) aborted: Vec<(StepPath, u32)>,
    pub(super) timers: Vec<Timer>,
    /// Questions whose approvals this write raises.
    pub(super) asked: Vec<Asked>,
    /// How steps have ended that settle with this write.
    pub(super) settled: Vec<TurnStatus>,
    /// Whether the machine asked to be resumed.
    pub(super) yielded: bool,
    pub(super) end: Option<FlowEnd>,
}

#[derive(Debug, Default)]
struct Row {
    inputs: Vec<FlowInput>,
    started: Vec<TurnStarted>,
    timers: Vec<TimerSet>,
}

impl<'a> Transition<'a> {
    /// Begins at a state; `write` is what must be durable before anything of this transition.
    pub(super) fn new(
        run_id: &'a RunId,
        now: Timestamp,
        state: &'a mut FlowState,
        turns: &'a mut TurnBook,
        write: Write,
    ) -> Self {
        let follows = Follows { write, ..Follows::default() };
        Transition { run_id, now, state, turns, row: Row::default(), follows }
    }

    /// Gives what follows from all that was taken.
    pub(super) fn done(mut self) -> Follows {
        self.flush();
        self.follows
    }

    /// Folds one event; the gate judges every step that the machine wants dispatched. A step that it refuses settles at
    /// once, as a turn that was rejected, and one that it asks about waits.
    pub(super) fn take(&mut self, event: FlowEvent, gate: &RunGate<'_>) {
        self.take_all(VecDeque::from([event]), gate);
    }

    /// Starts what the machine waits for and no turn is open for, as after a rerun.
    pub(super) fn start_again(&mut self, effects: Vec<FlowEffect>, gate: &RunGate<'_>) {
        let mut events = VecDeque::new();
        for effect in effects {
            self.note_effect(effect, gate, &mut events);
        }
        self.take_all(events, gate);
    }

    fn take_all(&mut self, mut events: VecDeque<FlowEvent>, gate: &RunGate<'_>) {
        while let Some(event) = events.pop_front() {
            self.note_input(&event);
            for effect in self.state.take(event, self.now) {
                self.note_effect(effect, gate, &mut events);
            }
        }
    }

    /// Closes the row that collects what the machine took.
    fn flush(&mut self) {
        let Row { inputs, started, timers } = std::mem::take(&mut self.row);
        if !(inputs.is_empty() && started.is_empty() && timers.is_empty()) {
            self.journal("plane", Event::RunAdvanced { inputs, started, timers });
        }
    }

    fn journal(&mut self, actor: impl Into<Cow<'static, str>>, event: Event) {
        self.follows.write.journal(Draft {
            at: self.now,
            actor: actor.into(),
            subject: self.run_id.into(),
            event,
        });
    }

    /// Records a tool call of an agent, with what the gate said of it.
    pub(super) fn tool_judged(
        &mut self,
        step: (StepPath, u32),
        call: &ToolCall,
        judgement: Judgement,
    ) -> ToolJudged {
        let (path, attempt) = step;
        let step_turn = self.turns.step(&path, attempt).unwrap_or_default();
        let refused = judgement.effect == PolicyEffect::Deny;
        let (turn, status) = match refused {
            false => (self.turns.open_tool(step_turn), TurnStatus::Started),
            true => (self.turns.pass(), TurnStatus::Rejected),
        };
        let actor = format!("step:{}/{path}", self.run_id);
        self.turn_start(TurnRecord {
            index: turn,
            kind: TurnKind::Tool,
            path: path.clone(),
            attempt,
            name: call.tool.clone(),
            status,
            parameters: record::value(&call.parameters),
            output: None,
            error: refusal(&judgement).filter(|_| refused),
            rule: judgement.rule.clone(),
            usage: None,
            superseded: None,
            started_at: self.now,
            ended_at: refused.then_some(self.now),
        });
        let kept = record::judgement(&judgement);
        let event = Event::ToolJudged { turn, path, tool: call.tool.clone(), judgement: kept };
        self.journal(actor, event);
        ToolJudged { turn, judgement }
    }

    /// Records the end of a tool call; tells whether it was open.
    pub(super) fn tool_settled(
        &mut self,
        step: (&StepPath, u32),
        turn: u64,
        went: ToolWent,
        output: &Value,
    ) -> bool {
        let Some(step_turn) = self.turns.step(step.0, step.1) else { return false };
        if !self.turns.close_tool(turn, step_turn) {
            return false;
        }
        let output = Json::of(&record::value(output));
        let output_hash = Some(output.sha256());
        let (status, error) = match went {
            ToolWent::Well => (TurnStatus::Succeeded, None),
            ToolWent::Wrong => {
                let message = "the tool failed".to_owned();
                (TurnStatus::Failed, Some(StepFailure { message, class: ErrorClass::Retry, value: None }))
            }
        };
        self.turn_settle(turn, status, Some(output), error.as_ref());
        let actor = format!("step:{}/{}", self.run_id, step.0);
        self.journal(actor, Event::ToolSettled { turn, status, output_hash });
        true
    }

    /// Records what an agent said or did, when its step is still in flight.
    pub(super) fn progress(&mut self, path: StepPath, attempt: u32, progress: Progress) {
        if let Some(turn) = self.turns.step(&path, attempt) {
            let actor = format!("step:{}/{path}", self.run_id);
            let Progress { what, text } = progress;
            self.journal(actor, Event::AgentProgress { turn, path, what, text: record::progress(&text) });
        }
    }

    /// Lets somebody take a seat over.
    pub(super) fn acquire(
        &mut self,
        operators: &RunOperators,
        question: &AcquireQuestion,
        by: String,
    ) -> Result<Acquired, EngineError> {
        let acquired = operators.acquire(self.run_id, question, &mut self.follows.write)?;
        let event = Event::SeatsTaken {
            slots: acquired.moved.clone(),
            op: question.op.clone(),
            desc: question.desc.clone(),
            generation: acquired.generation,
            previous: acquired.previous.clone(),
        };
        self.journal(by, event);
        Ok(acquired)
    }

    /// Records what the model of a step used, when the step is still in flight.
    pub(super) fn used(&mut self, path: &StepPath, attempt: u32, usage: Option<&Usage>) {
        if let (Some(usage), Some(turn)) = (usage, self.turns.step(path, attempt)) {
            self.follows.write.turn_usage(self.run_id, turn, usage);
        }
    }

    fn note_input(&mut self, event: &FlowEvent) {
        if self.row.inputs.len() + self.row.started.len() >= ROW_ENTRIES_MAX {
            self.flush();
        }
        let input = match event {
            FlowEvent::Begun => FlowInput::Begun,
            FlowEvent::Settled { path, attempt, outcome } => match self.settle(path, *attempt, outcome) {
                Some(input) => input,
                // It was aborted or has settled before; the machine ignores it as well.
                None => return,
            },
            FlowEvent::TimerFired { path, attempt } => {
                FlowInput::TimerFired { path: path.clone(), attempt: *attempt }
            }
            FlowEvent::Resumed => FlowInput::Resumed,
            FlowEvent::CancelRequested { reason } => FlowInput::CancelRequested { reason: reason.clone() },
            FlowEvent::TtlExpired => FlowInput::TtlExpired,
        };
        self.row.inputs.push(input);
    }

    fn settle(&mut self, path: &StepPath, attempt: u32, outcome: &StepOutcome) -> Option<FlowInput> {
        let (turn, left) = self.turns.close_step(path, attempt)?;
        self.cancel_tools(&left);
        let (status, class, output_hash) = match outcome {
            StepOutcome::Done(value) | StepOutcome::Skipped(value) => {
                let status = match outcome {
                    StepOutcome::Skipped(_) => TurnStatus::Skipped,
                    StepOutcome::Done(_) | StepOutcome::Failed(_) => TurnStatus::Succeeded,
                };
                let output = Json::of(value);
                let hash = output.sha256();
                self.turn_settle(turn, status, Some(output), None);
                (status, None, Some(hash))
            }
            StepOutcome::Failed(failure) => {
                self.turn_settle(turn, TurnStatus::Failed, None, Some(failure));
                (TurnStatus::Failed, Some(failure.class), None)
            }
        };
        self.follows.settled.push(status);
        Some(FlowInput::Settled { turn, path: path.clone(), attempt, status, class, output_hash })
    }

    fn note_effect(&mut self, effect: FlowEffect, gate: &RunGate<'_>, events: &mut VecDeque<FlowEvent>) {
        match effect {
            FlowEffect::Dispatch { path, attempt, agent, unit, input, timeout_ms } => {
                let dispatch = Dispatch { path, attempt, agent, unit, input, timeout_ms };
                let judgement = gate.step(&dispatch);
                let turn = self.start(&dispatch.path, attempt, &dispatch.agent, &dispatch.input);
                match judgement.effect {
                    PolicyEffect::Allow => {
                        if judgement.is_telling() {
                            self.step_judged(turn, &dispatch, &judgement);
                        }
                        self.follows.dispatches.push(dispatch);
                    }
                    PolicyEffect::Deny => events.push_back(self.reject(dispatch, judgement)),
                    PolicyEffect::Ask => self.ask_before(dispatch, judgement, gate),
                }
            }
            FlowEffect::Ask { path, attempt, parameters, timeout_ms } => {
                self.start(&path, attempt, ASK, &parameters);
                let wait_ms = timeout_ms.unwrap_or(gate.approval_ms);
                self.ask_person((path, attempt), parameters, wait_ms, gate);
            }
            FlowEffect::SetTimer { path, attempt, due_at } => {
                self.row.timers.push(TimerSet { path: path.clone(), attempt, due_at });
                self.follows.timers.push(Timer { path, attempt, due_at });
            }
            FlowEffect::Abort { path, attempt } => {
                self.follows.timers.retain(|timer| timer.path != path);
                self.follows.dispatches.retain(|dispatch| dispatch.path != path);
                if let Some((turn, left)) = self.turns.close_step(&path, attempt) {
                    self.cancel_tools(&left);
                    self.turn_settle(turn, TurnStatus::Cancelled, None, None);
                }
                self.follows.aborted.push((path, attempt));
            }
            FlowEffect::Yield => self.follows.yielded = true,
            FlowEffect::Finish(end) => self.follows.end = Some(end),
        }
    }

    fn start(&mut self, path: &StepPath, attempt: u32, name: &str, input: &Value) -> u64 {
        if self.row.inputs.len() + self.row.started.len() >= ROW_ENTRIES_MAX {
            self.flush();
        }
        let turn = self.turns.open_step(path.clone(), attempt);
        self.turn_start(TurnRecord {
            index: turn,
            kind: TurnKind::Step,
            path: path.clone(),
            attempt,
            name: name.to_owned(),
            status: TurnStatus::Started,
            parameters: record::value(input),
            output: None,
            error: None,
            rule: None,
            usage: None,
            superseded: None,
            started_at: self.now,
            ended_at: None,
        });
        self.row.started.push(TurnStarted { turn, path: path.clone(), attempt, agent: name.to_owned() });
        turn
    }

    /// Settles a step that the gate refused; it is not tried again.
    fn reject(&mut self, dispatch: Dispatch, judgement: Judgement) -> FlowEvent {
        let turn = self.turns.step(&dispatch.path, dispatch.attempt).expect("the turn is open");
        let failure = refusal(&judgement).expect("only refused steps come here");
        self.step_judged(turn, &dispatch, &judgement);
        let Dispatch { path, attempt, .. } = dispatch;
        FlowEvent::Settled { path, attempt, outcome: StepOutcome::Failed(failure) }
    }

    /// Records what the gate said of a step, behind the row that tells of its start.
    fn step_judged(&mut self, turn: u64, dispatch: &Dispatch, judgement: &Judgement) {
        let tool = format!("step:{}", dispatch.agent);
        let (path, judgement) = (dispatch.path.clone(), record::judgement(judgement));
        self.flush();
        self.journal("plane", Event::ToolJudged { turn, path, tool, judgement });
    }

    fn cancel_tools(&mut self, turns: &[u64]) {
        for turn in turns {
            self.turn_settle(*turn, TurnStatus::Cancelled, None, None);
        }
    }

    fn turn_start(&mut self, turn: TurnRecord) {
        self.follows.write.turn_start(self.run_id, &turn);
    }

    fn turn_settle(
        &mut self,
        turn: u64,
        status: TurnStatus,
        output: Option<Json>,
        error: Option<&StepFailure>,
    ) {
        let settlement = TurnSettlement { status, output, error, rule: None, ended_at: self.now };
        self.follows.write.turn_settle(self.run_id, turn, settlement);
    }
}

/// Gives the failure that stands for a refusal.
fn refusal(judgement: &Judgement) -> Option<StepFailure> {
    (!judgement.allowed).then(|| StepFailure {
        message: format!("refused by the gate: {}", judgement.reason),
        class: ErrorClass::User,
        value: None,
    })
}
