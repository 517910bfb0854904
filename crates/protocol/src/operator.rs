//! The frames of an operator's socket at `/v1/operators/{sid}/ws`, one JSON object each.

use crate::http::WorkerStatsParams;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an operator is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OperatorFrame {
    /// A step did not go well; [`ReplyFrame::Answer`] says what its result is.
    Ask {
        /// What the reply names.
        req_id: String,
        /// The step.
        task_id: String,
        /// `reason` and `value` of what happened.
        question: Value,
    },
    /// A step is about to begin; [`ReplyFrame::HookAck`] lets it.
    HookBefore {
        /// What the reply names.
        req_id: String,
        /// The step.
        task_id: String,
        /// Its agent.
        agent: String,
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// A step was done; it wants no reply.
    HookAfter {
        /// What names this frame.
        req_id: String,
        /// The step.
        task_id: String,
        /// Its agent.
        agent: String,
        /// Which attempt, from 1.
        attempt: u32,
        /// `ok`, `status` and `value`.
        result: Value,
    },
    /// Do this step; [`ReplyFrame::SpawnAck`] says how it went.
    Spawn {
        /// What the reply names.
        req_id: String,
        /// The step.
        task_id: String,
        /// Its agent.
        agent: String,
        /// Which attempt, from 1.
        attempt: u32,
        /// The token of the step's worker.
        capability_token: String,
        /// The same token.
        worker_handle: String,
        /// What to start.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worker: Option<WorkerFrame>,
        /// The same in words.
        directive: String,
    },
    /// A frame of the operator's was not taken.
    Error {
        /// The request that it named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        req_id: Option<String>,
        /// What is wrong, for people.
        error: String,
        /// A stable name, as in [`crate::ErrorCode`].
        code: String,
        /// What to do about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
}

/// What an operator is to start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerFrame {
    /// Which of its workers.
    pub variant: String,
    /// The tools that the worker may use.
    pub tools: Vec<String>,
}

/// What an operator sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ReplyFrame {
    /// The result of a step that did not go well.
    Answer {
        /// The request.
        req_id: String,
        /// The result.
        value: Value,
    },
    /// Whether a step may begin.
    HookAck {
        /// The request.
        req_id: String,
        /// It may.
        ok: bool,
        /// Why not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// How a step went.
    SpawnAck {
        /// The request.
        req_id: String,
        /// The result, unless a worker has delivered one.
        #[serde(default)]
        value: Value,
        /// Whether it went well.
        #[serde(default = "yes")]
        ok: bool,
        /// Why not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// What the worker's model used.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stats: Option<WorkerStatsParams>,
    },
    /// Stops a step; the flow goes on with a value that says so.
    SpawnHalt {
        /// The request.
        req_id: String,
        /// What there is so far.
        #[serde(default)]
        value: Value,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

fn yes() -> bool {
    true
}
