//! The methods of the runtime door with their types: what goes in, what comes out.
//!
//! Fields that this side does not know are passed over, so a newer daemon can say more.

use super::{RpcClient, RpcClientError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A tool that a client offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// What actions call it by.
    pub name: String,
    /// For people and models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The JSON schema of its parameters; `{}` takes everything.
    #[serde(default)]
    pub parameters: Value,
}

/// Who begins what.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunStart {
    /// What it is for.
    pub intent: String,
    /// The agent it is recorded under; a token that is bound to one says it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// A name to make an id of, when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_name: Option<String>,
    /// How one would see that it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome_description: Option<String>,
    /// The run's id; saying it again gives the same run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// A run that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStarted {
    /// Its id.
    pub run_id: String,
    /// The agent it is recorded under.
    pub agent_id: String,
}

/// How a run ended, in its client's words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunOutcome {
    /// `success`, `partial_success`, `give_up`, `timeout`, `failure` or `done`.
    pub status: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
}

/// An action of a proposal: a call of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolAction {
    /// Its id in the proposal.
    pub id: String,
    /// The tool.
    pub tool: String,
    /// What it gets.
    pub parameters: Value,
    /// How long it may take, in milliseconds; 300 000 unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// What came of a proposal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProposalResult {
    /// The proposal's id.
    pub proposal_id: String,
    /// One result for each action, in their order.
    pub results: Vec<ActionResult>,
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionResult {
    /// The action's id.
    pub action_id: String,
    /// `succeeded`, `failed`, `rejected` or `skipped`.
    pub status: String,
    /// What the tool gave.
    #[serde(default)]
    pub output: Option<Value>,
    /// Why it was not done or went wrong.
    #[serde(default)]
    pub error: Option<String>,
}

/// A line of a list of runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run.
    pub run_id: String,
    /// The agent it is recorded under.
    pub agent_id: String,
    /// What it is for.
    pub intent: String,
    /// When it started, RFC 3339.
    pub started_at: String,
    /// When it ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// `in_progress`, `completed`, `incomplete` or `cancelled`.
    pub status: String,
    /// How many turns it has.
    pub turn_count: u64,
}

#[derive(Deserialize)]
struct ListAnswer {
    runs: Vec<RunSummary>,
}

/// A page of a run's trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TracePage {
    /// The records: `started`, `turn`, `ended`.
    pub records: Vec<Value>,
    /// Behind the last of them.
    pub cursor: u64,
    /// Whether there is more behind it.
    pub more: bool,
}

/// A page, or the news that there is no such run.
#[derive(Deserialize)]
struct TraceAnswer {
    #[serde(default)]
    not_found: bool,
    #[serde(flatten)]
    page: Option<TracePage>,
}

impl RpcClient {
    /// Offers tools; one that was offered before is replaced. Gives how many are offered.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn tools_register(&self, tools: &[ToolSpec]) -> Result<u64, RpcClientError> {
        self.typed("tools.register", json!(tools)).await
    }

    /// Begins a run, in which all that follows on this connection is recorded.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn run_start(&self, start: &RunStart) -> Result<RunStarted, RpcClientError> {
        self.typed("runs.start", json!(start)).await
    }

    /// Goes on with a run whose connection is gone.
    ///
    /// # Errors
    /// [`RpcClientError::Refused`] also when it is over.
    pub async fn run_resume(&self, run_id: &str) -> Result<RunStarted, RpcClientError> {
        self.typed("runs.resume", json!({"run_id": run_id})).await
    }

    /// Ends a run.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn run_complete(&self, run_id: &str, outcome: &RunOutcome) -> Result<(), RpcClientError> {
        self.call("runs.complete", json!({"run_id": run_id, "outcome": outcome})).await.map(drop)
    }

    /// Stops a run and what it has in flight.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn run_cancel(&self, run_id: &str, reason: &str) -> Result<(), RpcClientError> {
        self.call("runs.cancel", json!({"run_id": run_id, "reason": reason})).await.map(drop)
    }

    /// Lists the runs of all agents, the newest first, at most 5000; for a host.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn run_list(&self, limit: usize) -> Result<Vec<RunSummary>, RpcClientError> {
        let answer: ListAnswer = self.typed("runs.list", json!({"limit": limit})).await?;
        Ok(answer.runs)
    }

    /// Reads a run's trace behind a cursor; `None` when there is no such run, or it is another's.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn run_trace(&self, run_id: &str, cursor: u64) -> Result<Option<TracePage>, RpcClientError> {
        let answer: TraceAnswer =
            self.typed("runs.get_trace", json!({"run_id": run_id, "cursor": cursor})).await?;
        match answer {
            TraceAnswer { not_found: true, .. } => Ok(None),
            TraceAnswer { page: Some(page), .. } => Ok(Some(page)),
            TraceAnswer { page: None, .. } => {
                Err(RpcClientError::Protocol("a trace without records".to_owned()))
            }
        }
    }

    /// Has a proposal of calls of tools done.
    ///
    /// # Errors
    /// [`RpcClientError`]; an action that is refused or fails is a result.
    pub async fn proposal_submit(&self, actions: &[ToolAction]) -> Result<ProposalResult, RpcClientError> {
        let action = |action: &ToolAction| {
            let mut action = json!(action);
            action["type"] = json!("tool_call");
            action
        };
        let actions: Vec<Value> = actions.iter().map(action).collect();
        self.typed("proposal.submit", json!({"proposal": {"actions": actions}})).await
    }

    async fn typed<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, RpcClientError> {
        let answer = self.call(method, params).await?;
        serde_json::from_value(answer).map_err(|error| RpcClientError::Protocol(format!("{method}: {error}")))
    }
}
