//! The machine that runs a proposal.
//!
//! ```text
//! Waiting ── all before it have settled ──► validated ──► Judging ── allowed ──► validated again, begun
//!                                               │            │                      │
//!                                            invalid      refused            a cache knows the answer,
//!                                               ▼            ▼               or it needs no tool
//!                                            rejected     rejected                  ▼
//!                        no token             token                              Settled
//! begun, or tried again ──────────► Throttled ──────► Executing ── succeeded ──► Settled
//!        ▲                              │                 │ failed, no attempt left ──► Settled
//!        │                              ▼ too late        │ failed, attempts left
//!        └──────────── timer ─────── BackingOff ◄─────────┘
//! ```
//!
//! Actions that depend on nobody run at once, whatever follows when they fail. A failure that aborts settles all the
//! others as skipped, cancels what is in flight and takes back this proposal's own writes; a rejection stops nobody.
//!
//! An event for an action that does not wait for it, or for another attempt, changes nothing: performing an effect
//! twice is harmless. Folding the same events over the same [`World`] gives the same end.

mod event;

mod perform;

mod settle;

mod slot;

pub use event::{ProposalEffect, ProposalEvent, ProposalTimer, SettledBy, ToolOutcome};

use super::cache::{CallKey, ProposalCaches};
use super::graph::Graph;
use super::state::StateBook;
use super::tool::ToolSet;
use adjutant_model::proposal::{Action, ActionResult, Proposal, ProposalCost, ProposalResult};
use adjutant_model::{Timestamp, Value};
use immutable_chunkmap::map::MapS;
use slot::{Phase, Slot};
use std::collections::VecDeque;
use std::sync::Arc;

/// How long an attempt may take when its action does not say.
const TOOL_TIMEOUT_MS: u64 = 300_000;

/// What proposals share: it goes into every step and comes out of it, so whoever owns it takes one step at a time.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The state of the connection or run.
    pub state: StateBook,
    /// Answers of tools, and how often they may still be called.
    pub caches: ProposalCaches,
}

/// How much a proposal may take; `None` is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProposalLimits {
    /// Calls of tools, repeated ones included.
    pub max_tool_calls: Option<u64>,
    /// Actions that begin.
    pub max_actions: Option<u64>,
    /// From beginning to end.
    pub max_duration_ms: Option<u64>,
    /// How long an attempt may take when its action does not say.
    pub tool_timeout_ms: u64,
}

impl Default for ProposalLimits {
    fn default() -> Self {
        ProposalLimits {
            max_tool_calls: None,
            max_actions: None,
            max_duration_ms: None,
            tool_timeout_ms: TOOL_TIMEOUT_MS,
        }
    }
}

/// What a step gives.
#[derive(Debug, Clone)]
pub struct ProposalStep {
    /// The machine afterwards.
    pub state: ProposalState,
    /// The world afterwards.
    pub world: World,
    /// What is to be done, in this order.
    pub effects: Vec<ProposalEffect>,
}

/// The state of a proposal's machine. Cloning is cheap, and the old state stays good.
#[derive(Debug, Clone)]
pub struct ProposalState {
    plan: Arc<Plan>,
    slots: Vec<Arc<Slot>>,
    unsettled: usize,
    cost: ProposalCost,
    begun_at: Timestamp,
    /// What this proposal wrote to the state and nobody else has changed since.
    written: MapS<Arc<str>, Written>,
    /// The answers it left in the idempotency cache, by their place there.
    kept: MapS<u64, CallKey>,
    stage: Stage,
}

/// What does not change while a proposal runs.
#[derive(Debug)]
struct Plan {
    proposal: Proposal,
    tools: ToolSet,
    limits: ProposalLimits,
    graph: Graph,
}

#[derive(Debug, Clone)]
struct Written {
    before: Option<Value>,
    version: u64,
}

#[derive(Debug, Clone)]
enum Stage {
    New,
    Running,
    Ended(Arc<ProposalResult>),
}

/// One call of `step`: the state and world under construction and what came of it.
struct Turn {
    state: ProposalState,
    world: World,
    effects: Vec<ProposalEffect>,
    /// Actions that wait for nobody any more.
    ready: VecDeque<usize>,
    now: Timestamp,
}

impl ProposalState {
    /// Makes the state of a proposal that has not begun.
    pub fn new(proposal: Proposal, tools: ToolSet, limits: ProposalLimits) -> Self {
        let graph = Graph::new(&proposal.actions);
        let waiting = |index| Arc::new(Slot::Waiting { before: graph.before(index).len() });
        let slots: Vec<_> = (0..proposal.actions.len()).map(waiting).collect();
        ProposalState {
            unsettled: slots.len(),
            slots,
            plan: Arc::new(Plan { proposal, tools, limits, graph }),
            cost: ProposalCost::default(),
            begun_at: Timestamp::default(),
            written: MapS::new(),
            kept: MapS::new(),
            stage: Stage::New,
        }
    }

    /// Takes one event and gives the next state and world and what follows from it.
    #[must_use]
    pub fn step(&self, world: &World, event: ProposalEvent, now: Timestamp) -> ProposalStep {
        let mut turn = Turn {
            state: self.clone(),
            world: world.clone(),
            effects: Vec::new(),
            ready: VecDeque::new(),
            now,
        };
        turn.take(event);
        turn.run();
        ProposalStep { state: turn.state, world: turn.world, effects: turn.effects }
    }

    /// Gives the proposal.
    pub fn proposal(&self) -> &Proposal {
        &self.plan.proposal
    }

    /// Gives what came of the proposal when it is over.
    pub fn result(&self) -> Option<&Arc<ProposalResult>> {
        match &self.stage {
            Stage::Ended(result) => Some(result),
            Stage::New | Stage::Running => None,
        }
    }

    /// Gives the effects that were asked for and not answered, for whoever must perform them again. Whether a call
    /// of a tool can be made again is for them to say: if not, they answer it as failed.
    pub fn pending(&self) -> Vec<ProposalEffect> {
        if !matches!(self.stage, Stage::Running) {
            return Vec::new();
        }
        let deadline = self.deadline().map(|due_at| {
            let timer = ProposalTimer::Deadline;
            ProposalEffect::SetTimer { timer, due_at }
        });
        let asked = self.slots.iter().enumerate().filter_map(|(index, slot)| match &**slot {
            Slot::Waiting { .. } | Slot::Settled(_) => None,
            Slot::Judging => Some(ProposalEffect::Judge { action: index }),
            Slot::Running(run) => Some(match run.phase {
                Phase::Executing { timeout_ms } => self.execute(index, run.attempt, timeout_ms),
                Phase::Throttled { due_at } | Phase::BackingOff { due_at } => {
                    let timer = ProposalTimer::Action { action: index, attempt: run.attempt };
                    ProposalEffect::SetTimer { timer, due_at }
                }
            }),
        });
        deadline.into_iter().chain(asked).collect()
    }

    fn action(&self, index: usize) -> &Action {
        &self.plan.proposal.actions[index]
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.plan.limits.max_duration_ms.map(|ms| self.begun_at.plus_ms(ms))
    }

    fn execute(&self, index: usize, attempt: u32, timeout_ms: u64) -> ProposalEffect {
        let action = self.action(index);
        let tool = action.tool.clone().expect("a call without a tool is not valid, so it never begins");
        let parameters = action.parameters.clone();
        ProposalEffect::Execute { action: index, attempt, tool, parameters, timeout_ms }
    }
}

impl Turn {
    fn take(&mut self, event: ProposalEvent) {
        match (&self.state.stage, event) {
            (Stage::New, ProposalEvent::Begun) => self.begin(),
            (Stage::Running, ProposalEvent::Allowed { action }) => self.allowed(action),
            (Stage::Running, ProposalEvent::Refused { action, reason }) => self.refused(action, reason),
            (Stage::Running, ProposalEvent::ToolSettled { action, attempt, outcome }) => {
                self.tool_settled(action, attempt, outcome);
            }
            (Stage::Running, ProposalEvent::CallRefused { action, attempt, reason }) => {
                self.call_refused(action, attempt, &reason);
            }
            (Stage::Running, ProposalEvent::TimerFired(timer)) => self.timer_fired(timer),
            (
                Stage::New,
                ProposalEvent::CancelRequested { reason } | ProposalEvent::LimitReached { reason },
            ) => {
                self.state.begun_at = self.now;
                self.state.stage = Stage::Running;
                self.stop_all(&reason);
            }
            (
                Stage::Running,
                ProposalEvent::CancelRequested { reason } | ProposalEvent::LimitReached { reason },
            ) => self.stop_all(&reason),
            (Stage::Running, ProposalEvent::Begun) | (Stage::Ended(_), _) => {}
            (
                Stage::New,
                ProposalEvent::Allowed { .. }
                | ProposalEvent::Refused { .. }
                | ProposalEvent::ToolSettled { .. }
                | ProposalEvent::CallRefused { .. }
                | ProposalEvent::TimerFired(_),
            ) => {}
        }
    }

    fn begin(&mut self) {
        self.state.begun_at = self.now;
        self.state.stage = Stage::Running;
        if let Some(due_at) = self.state.deadline() {
            self.effects.push(ProposalEffect::SetTimer { timer: ProposalTimer::Deadline, due_at });
        }
        let waits_for_nobody = |index: &usize| self.state.plan.graph.before(*index).is_empty();
        self.ready = (0..self.state.slots.len()).filter(waits_for_nobody).collect();
    }

    /// Validates what has become ready, and ends the proposal when everything has settled.
    fn run(&mut self) {
        while let Some(index) = self.ready.pop_front() {
            self.validate(index);
        }
        if self.state.unsettled == 0 && matches!(self.state.stage, Stage::Running) {
            self.finish();
        }
    }

    fn timer_fired(&mut self, timer: ProposalTimer) {
        match timer {
            ProposalTimer::Deadline => {
                let Some(due_at) = self.state.deadline() else { return };
                if self.is_due(timer, due_at) {
                    let ms = due_at.ms_since(self.state.begun_at);
                    self.stop_all(&format!("the limit of {ms} ms is reached"));
                }
            }
            ProposalTimer::Action { action, attempt } => self.action_timer_fired(action, attempt, timer),
        }
    }

    /// Tells whether a timer did not go off too early; one that did, because a clock was set back, is set again.
    fn is_due(&mut self, timer: ProposalTimer, due_at: Timestamp) -> bool {
        let is_due = self.now >= due_at;
        if !is_due {
            self.effects.push(ProposalEffect::SetTimer { timer, due_at });
        }
        is_due
    }

    fn finish(&mut self) {
        let results: Vec<ActionResult> = self
            .state
            .slots
            .iter()
            .filter_map(|slot| slot.result())
            .map(|result| (**result).clone())
            .collect();
        self.state.cost.total_duration_ms = self.now.ms_since(self.state.begun_at);
        let proposal_id = self.state.plan.proposal.id.clone();
        let result = Arc::new(ProposalResult { proposal_id, results, cost: self.state.cost });
        self.state.stage = Stage::Ended(result.clone());
        self.effects.push(ProposalEffect::Finish(result));
    }
}
