//! The runtime door: JSON-RPC 2.0 over a WebSocket at `/rpc`.
//!
//! Codes are the standard ones and, for what only this door knows, -32001 to -32012. `data` always has the stable name
//! of the reason and a hint, empty when there is none.

mod calls;
pub(crate) mod client;

pub use calls::{
    Action, ActionKind, ActionResult, BoundPolicy, Decision, EventsFrom, FailureBehavior, Issue, Permission,
    PolicyRule, PolicySpec, Proposal, ProposalCost, ProposalLimits, ProposalResult, RateLimit, RecordedTurns,
    RunOutcome, RunResumed, RunStart, RunStarted, RunSummary, RunTail, ServerInfo, SubmitOptions, ToolCall,
    ToolSpec, TracePage, TurnReport, Verification,
};
pub use client::{NoTools, Notice, RpcClient, RpcClientError, ToolAnswer, Tools};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The protocol's name and version, as `server.info` gives it.
pub const PROTOCOL: &str = "adjutant-rpc/1";

/// Why a call was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RpcCode {
    /// The frame is not JSON.
    ParseError,
    /// It is not a message of JSON-RPC.
    InvalidRequest,
    /// There is no such method.
    MethodNotFound,
    /// The method does not take these parameters.
    InvalidParams,
    /// Something of ours went wrong.
    Internal,
    /// The first call must be `session.auth` with a good token.
    Unauthenticated,
    /// There is no such thing, or it is another's.
    NotFound,
    /// The token does not let its bearer.
    Forbidden,
    /// The call took too long.
    Deadline,
    /// Too many calls at once.
    Busy,
    /// What was asked does not go together with what is.
    Conflict,
    /// The store refuses writes; nothing was changed.
    Store,
    /// The daemon is stopping.
    Stopping,
}

impl RpcCode {
    /// Gives the number on the wire.
    pub fn number(self) -> i64 {
        match self {
            RpcCode::ParseError => -32700,
            RpcCode::InvalidRequest => -32600,
            RpcCode::MethodNotFound => -32601,
            RpcCode::InvalidParams => -32602,
            RpcCode::Internal => -32603,
            RpcCode::Unauthenticated => -32001,
            RpcCode::NotFound => -32002,
            RpcCode::Forbidden => -32003,
            RpcCode::Deadline => -32004,
            RpcCode::Busy => -32005,
            RpcCode::Conflict => -32010,
            RpcCode::Store => -32011,
            RpcCode::Stopping => -32012,
        }
    }

    /// Gives the reason's stable name.
    pub fn name(self) -> &'static str {
        match self {
            RpcCode::ParseError => "parse_error",
            RpcCode::InvalidRequest => "invalid_request",
            RpcCode::MethodNotFound => "method_not_found",
            RpcCode::InvalidParams => "invalid_params",
            RpcCode::Internal => "internal",
            RpcCode::Unauthenticated => "unauthenticated",
            RpcCode::NotFound => "not_found",
            RpcCode::Forbidden => "forbidden",
            RpcCode::Deadline => "deadline",
            RpcCode::Busy => "busy",
            RpcCode::Conflict => "conflict",
            RpcCode::Store => "store_failed",
            RpcCode::Stopping => "stopping",
        }
    }
}

/// The error of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct RpcError {
    /// The number of an [`RpcCode`].
    pub code: i64,
    /// For people: what is wrong.
    pub message: String,
    /// For programs and people.
    pub data: RpcErrorData,
}

/// What an error carries besides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpcErrorData {
    /// The reason's stable name.
    pub code: String,
    /// What to do about it; empty when there is nothing to say.
    pub hint: String,
}

impl RpcError {
    /// Makes an error without a hint.
    pub fn new(code: RpcCode, message: impl Into<String>) -> Self {
        let data = RpcErrorData { code: code.name().to_owned(), hint: String::new() };
        RpcError { code: code.number(), message: message.into(), data }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.data.hint = hint.into();
        self
    }
}

/// A call of a tool that the daemon wants done: `tools.execute`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolRequest {
    /// The action's label.
    pub action_id: String,
    /// The tool.
    pub tool: String,
    /// What it gets.
    #[serde(default)]
    pub parameters: Value,
    /// How long it may take.
    pub timeout_ms: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// What `tools.cancel` names it by.
    pub request_id: String,
}

/// A record of a run as it comes: `runs.trace.event`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunTraceEvent {
    /// The run.
    pub run_id: String,
    /// The agent it is recorded under.
    pub agent_id: String,
    /// `{"record": "turn_started" | "turn" | "ended", …}`
    pub record: Value,
    /// How many turns have settled.
    pub cursor: u64,
    /// `in_progress`, `completed`, `incomplete` or `cancelled`.
    pub status: String,
}
