//! The methods of the runtime door with their types: what goes in, what comes out.
//!
//! Fields that this side does not know are passed over, so a newer daemon can say more.

mod permission;
mod proposals;
mod registry;
mod runs;

pub use permission::{Decision, Permission, ToolCall};
pub use proposals::{
    Action, ActionKind, ActionResult, FailureBehavior, Issue, Proposal, ProposalCost, ProposalLimits,
    ProposalResult, SubmitOptions, Verification,
};
pub use registry::{BoundPolicy, PolicyRule, PolicySpec, RateLimit, ToolSpec};
pub use runs::{
    RecordedTurns, RunOutcome, RunResumed, RunStart, RunStarted, RunSummary, RunTail, TracePage, TurnReport,
};

use super::{RpcClient, RpcClientError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// [`super::PROTOCOL`], or another.
    pub protocol: String,
    /// The daemon's version.
    pub version: String,
    /// What the connection is called by the daemon.
    pub client_id: String,
    /// The methods that the daemon has.
    pub capabilities: Vec<String>,
}

/// From where the journal is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsFrom {
    /// The rows behind this place come as notices `events.event`.
    pub cursor: i64,
    /// The journal's last place now.
    pub last: i64,
}

#[derive(Deserialize)]
struct Removed {
    removed: bool,
}

impl RpcClient {
    /// Asks who answers.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn server_info(&self) -> Result<ServerInfo, RpcClientError> {
        self.typed("server.info", json!({})).await
    }

    /// Has the journal told from a place on, or from now; for a host. A second call replaces the first.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn events_subscribe(&self, cursor: Option<i64>) -> Result<EventsFrom, RpcClientError> {
        self.typed("events.subscribe", cursor.map_or_else(|| json!({}), |cursor| json!({"cursor": cursor})))
            .await
    }

    /// Has the journal told no more; tells whether it was.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn events_unsubscribe(&self) -> Result<bool, RpcClientError> {
        let answer: Removed = self.typed("events.unsubscribe", json!({})).await?;
        Ok(answer.removed)
    }

    async fn typed<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, RpcClientError> {
        let answer = self.call(method, params).await?;
        serde_json::from_value(answer).map_err(|error| RpcClientError::Protocol(format!("{method}: {error}")))
    }
}
