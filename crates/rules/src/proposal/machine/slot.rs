//! Where one action of a running proposal stands.

use crate::proposal::cache::CallKey;
use adjutant_model::Timestamp;
use adjutant_model::proposal::ActionResult;
use std::sync::Arc;

/// Where an action stands.
#[derive(Debug, Clone)]
pub(super) enum Slot {
    /// So many actions before it have not settled.
    Waiting {
        /// How many.
        before: usize,
    },
    /// The gate was asked.
    Judging,
    /// It has begun.
    Running(Run),
    /// It is over.
    Settled(Arc<ActionResult>),
}

/// An action that has begun.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// When it began.
    pub(super) started_at: Timestamp,
    /// Which attempt runs or comes next, from 1.
    pub(super) attempt: u32,
    /// When that attempt began; waiting for a token counts.
    pub(super) attempt_at: Timestamp,
    /// What it waits for.
    pub(super) phase: Phase,
    /// What the caches know it by, when one of them is to be asked.
    pub(super) call: Option<CallKey>,
    /// Why the last attempt failed.
    pub(super) last_error: Option<Arc<str>>,
}

/// What an action that has begun waits for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Phase {
    /// The tool.
    Executing {
        /// How long it was given.
        timeout_ms: u64,
    },
    /// Leave to call the tool.
    Throttled {
        /// When to ask again.
        due_at: Timestamp,
    },
    /// The pause before the next attempt.
    BackingOff {
        /// When it is over.
        due_at: Timestamp,
    },
}

impl Run {
    /// Makes an action that begins now.
    pub(super) fn first(call: Option<CallKey>, now: Timestamp) -> Run {
        let phase = Phase::Executing { timeout_ms: 0 };
        Run { started_at: now, attempt: 1, attempt_at: now, phase, call, last_error: None }
    }
}

impl Slot {
    /// Gives what came of an action that has settled.
    pub(super) fn result(&self) -> Option<&Arc<ActionResult>> {
        match self {
            Slot::Settled(result) => Some(result),
            Slot::Waiting { .. } | Slot::Judging | Slot::Running(_) => None,
        }
    }

    /// Gives an action that has begun.
    pub(super) fn running(&self) -> Option<&Run> {
        match self {
            Slot::Running(run) => Some(run),
            Slot::Waiting { .. } | Slot::Judging | Slot::Settled(_) => None,
        }
    }
}
