//! What operators are told, and what they say; the door turns it into frames and back.

use crate::worker::Secret;
use adjutant_model::blueprint::Runner;
use adjutant_model::operator::{RequestKey, RequestKind};
use adjutant_model::{StepId, Value};
use adjutant_rules::operator::Ack;

/// Something that an operator is told.
#[derive(Debug, Clone)]
pub enum OperatorCall {
    /// A step did not go well: what is its result?
    Ask {
        /// The request.
        key: RequestKey,
        /// The step.
        step: StepId,
        /// What happened: `reason` and `value`.
        question: Value,
    },
    /// May this step begin?
    HookBefore {
        /// The request.
        key: RequestKey,
        /// The step.
        step: StepId,
        /// Its agent.
        agent: String,
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// A step was done; no reply is awaited.
    HookAfter {
        /// What names this message.
        id: String,
        /// The step.
        step: StepId,
        /// Its agent.
        agent: String,
        /// Which attempt, from 1.
        attempt: u32,
        /// How it went.
        result: Value,
    },
    /// Do this step.
    Spawn(Box<SpawnCall>),
}

/// A step that an operator is to do.
#[derive(Debug, Clone)]
pub struct SpawnCall {
    /// The request.
    pub key: RequestKey,
    /// The step.
    pub step: StepId,
    /// Its agent.
    pub agent: String,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// What the worker shows at the plane's door; good for this attempt alone.
    pub token: Secret,
    /// What to start.
    pub runner: Option<Runner>,
    /// The same in words, for whoever reads words.
    pub directive: String,
}

/// What an operator says to a request.
#[derive(Debug, Clone, PartialEq)]
pub enum OperatorReply {
    /// The result of a step that did not go well.
    Answer(Value),
    /// Whether a step may begin.
    Hook {
        /// It may.
        ok: bool,
        /// Why not.
        reason: Option<String>,
    },
    /// How a step went.
    Step(Ack),
}

impl OperatorReply {
    /// Gives the kind of request that this answers.
    pub(crate) fn answers(&self) -> RequestKind {
        match self {
            OperatorReply::Answer(_) => RequestKind::Ask,
            OperatorReply::Hook { .. } => RequestKind::HookBefore,
            OperatorReply::Step(_) => RequestKind::Spawn,
        }
    }

    /// Gives what the journal keeps the hash of.
    pub(crate) fn value(&self) -> Value {
        match self {
            OperatorReply::Answer(value) => value.clone(),
            OperatorReply::Hook { ok, reason } => Value::object([
                ("ok", Value::Bool(*ok)),
                ("reason", reason.as_deref().map_or(Value::Null, Value::from)),
            ]),
            OperatorReply::Step(
                Ack::Done { value, .. } | Ack::Failed { value, .. } | Ack::Halted { value, .. },
            ) => value.clone(),
        }
    }
}
