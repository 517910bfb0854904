//! What the machine of a proposal is told and what it asks for.

use adjutant_model::proposal::{ActionResult, ProposalResult};
use adjutant_model::{Timestamp, Value};
use std::sync::Arc;

/// What happened. Actions go by their place in the proposal, from 0.
#[derive(Debug, Clone, PartialEq)]
pub enum ProposalEvent {
    /// It may begin.
    Begun,
    /// The gate let an action through.
    Allowed {
        /// The action.
        action: usize,
    },
    /// The gate refused an action.
    Refused {
        /// The action.
        action: usize,
        /// Why; the action's error, word for word.
        reason: String,
    },
    /// A call of a tool ended.
    ToolSettled {
        /// The action.
        action: usize,
        /// Which attempt of it, from 1.
        attempt: u32,
        /// How it ended.
        outcome: ToolOutcome,
    },
    /// A call was not made, because a limit that is not the proposal's own leaves none; as with the proposal's own,
    /// what has not begun is skipped and what has goes on.
    CallRefused {
        /// The action.
        action: usize,
        /// Which attempt of it, from 1.
        attempt: u32,
        /// Which limit.
        reason: String,
    },
    /// A timer went off.
    TimerFired(ProposalTimer),
    /// The proposal shall stop; what it wrote to the state stays.
    CancelRequested {
        /// Who asked and why.
        reason: String,
    },
    /// A limit that is not the proposal's own is reached; it stops, and what it wrote to the state stays.
    LimitReached {
        /// Which limit.
        reason: String,
    },
}

/// How a call of a tool ended.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolOutcome {
    /// With a value; null is one.
    Done(Value),
    /// With an error that the tool itself told.
    Failed {
        /// What it said.
        message: String,
    },
    /// It did not answer in time, so nobody knows what it has done.
    TimedOut,
}

/// A timer's name. Setting one again replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProposalTimer {
    /// The end of [`ProposalLimits::max_duration_ms`](super::ProposalLimits::max_duration_ms).
    Deadline,
    /// An action waits for its turn, or for its next attempt.
    Action {
        /// The action.
        action: usize,
        /// The attempt that comes next.
        attempt: u32,
    },
}

/// What the machine wants done, keyed by action and attempt; doing one twice is harmless. Whoever performs them
/// stops with [`ProposalEffect::Finish`] and drops the timers that are left.
#[derive(Debug, Clone, PartialEq)]
pub enum ProposalEffect {
    /// Ask the gate about an action, and say [`ProposalEvent::Allowed`] or [`ProposalEvent::Refused`].
    Judge {
        /// The action.
        action: usize,
    },
    /// The gate need not answer any more.
    Withdraw {
        /// The action.
        action: usize,
    },
    /// Call a tool, and say [`ProposalEvent::ToolSettled`]; at the latest, as timed out, after `timeout_ms`.
    Execute {
        /// The action.
        action: usize,
        /// Which attempt of it, from 1.
        attempt: u32,
        /// The tool's name.
        tool: Arc<str>,
        /// What it gets.
        parameters: Value,
        /// How long it may take.
        timeout_ms: u64,
    },
    /// Stop a call; its answer is not wanted any more.
    Cancel {
        /// The action.
        action: usize,
        /// Which attempt of it.
        attempt: u32,
    },
    /// Say [`ProposalEvent::TimerFired`] at an instant.
    SetTimer {
        /// Which timer.
        timer: ProposalTimer,
        /// When.
        due_at: Timestamp,
    },
    /// A key of the state has changed; the new [`World`](super::World) has it already.
    StateChanged {
        /// The key.
        key: Arc<str>,
        /// Its value; `None` when it was removed.
        value: Option<Value>,
    },
    /// An action has settled.
    Settled {
        /// The action.
        action: usize,
        /// Its last attempt; 0 when it never began.
        attempt: u32,
        /// What settled it.
        by: SettledBy,
        /// What came of it.
        result: Arc<ActionResult>,
    },
    /// The proposal is over.
    Finish(Arc<ProposalResult>),
}

/// What settled an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettledBy {
    /// It was not valid.
    Validation,
    /// The gate refused it.
    Gate,
    /// An earlier answer to the same idempotent action stood in.
    IdempotencyCache,
    /// An earlier answer of the tool was still good.
    ResultCache,
    /// It was done, well or not.
    Execution,
    /// The proposal stopped.
    Stop,
}
