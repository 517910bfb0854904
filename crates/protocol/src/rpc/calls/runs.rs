//! Runs: begun, taken up, told of, watched, ended, read.

use super::Removed;
use crate::rpc::{RpcClient, RpcClientError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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
    /// How many calls of tools it may begin in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tool_calls: Option<u64>,
    /// How long it may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration_ms: Option<u64>,
    /// The policy session whose rules hold for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
}

/// A run that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStarted {
    /// Its id.
    pub run_id: String,
    /// The agent it is recorded under.
    pub agent_id: String,
}

/// A run that was taken up again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunResumed {
    /// Its id.
    pub run_id: String,
    /// The agent it is recorded under.
    pub agent_id: String,
    /// How many of its turns have settled.
    pub cursor: u64,
}

/// How a run ended, in its client's words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunOutcome {
    /// `success`, `partial_success`, `give_up`, `timeout`, `failure` or `done`.
    pub status: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// What shows it, `{kind, description, data}` each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Value>,
    /// Counts, such as `turns` and `tool_calls`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub metrics: Value,
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

/// A turn that a client tells of; its place is given by the daemon.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TurnReport {
    /// What the agent was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The tool that it called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// What the tool got.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub parameters: Value,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// `{kind: exited, code}`, `{kind: killed}` or `{kind: timeout}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cli_outcome: Option<Value>,
    /// `pass`, `fail` or `not_run`, which is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifier_verdict: Option<String>,
}

/// What became of turns that a client told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedTurns {
    /// The place of the first.
    pub base_index: u64,
    /// How many were recorded: all or none.
    pub count: u64,
    /// Whether they were.
    pub ok: bool,
    /// Why they were not: `run_not_found`, `run_terminal`, `run_turn_limit` or `turn_too_large`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<String>,
}

/// What a run's subscriber has missed; what follows comes as notices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunTail {
    /// The agent it is recorded under.
    pub agent_id: String,
    /// The turns that have settled.
    pub turns_so_far: Vec<Value>,
    /// How many these are.
    pub cursor: u64,
    /// `in_progress`, `completed`, `incomplete` or `cancelled`.
    pub status: String,
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

#[derive(Deserialize)]
struct ListAnswer {
    runs: Vec<RunSummary>,
}

impl RpcClient {
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
    pub async fn run_resume(&self, run_id: &str) -> Result<RunResumed, RpcClientError> {
        self.typed("runs.resume", json!({"run_id": run_id})).await
    }

    /// Tells of turns that were taken elsewhere, at most 256 at once.
    ///
    /// # Errors
    /// [`RpcClientError`]; turns that are not recorded are told of in the answer.
    pub async fn run_record_turns(
        &self,
        run_id: &str,
        turns: &[TurnReport],
    ) -> Result<RecordedTurns, RpcClientError> {
        self.typed("runs.record_turns", json!({"run_id": run_id, "turns": turns})).await
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

    /// Watches a run: gives what was, and what comes is a [`super::super::Notice::Run`]. `None` when there is no such
    /// run, or it is another's.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn run_subscribe(&self, run_id: &str) -> Result<Option<RunTail>, RpcClientError> {
        self.if_found("runs.subscribe", json!({"run_id": run_id})).await
    }

    /// Watches a run no more; tells whether it was watched.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn run_unsubscribe(&self, run_id: &str) -> Result<bool, RpcClientError> {
        let answer: Removed = self.typed("runs.unsubscribe", json!({"run_id": run_id})).await?;
        Ok(answer.removed)
    }

    /// Lists the runs of an agent, or for a host those of all, the newest first, at most 5000.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn run_list(
        &self,
        agent_id: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RunSummary>, RpcClientError> {
        let mut params = json!({"limit": limit});
        if let Some(agent_id) = agent_id {
            params["agent_id"] = json!(agent_id);
        }
        let answer: ListAnswer = self.typed("runs.list", params).await?;
        Ok(answer.runs)
    }

    /// Reads a run's trace behind a cursor; `None` when there is no such run, or it is another's.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn run_trace(&self, run_id: &str, cursor: u64) -> Result<Option<TracePage>, RpcClientError> {
        self.if_found("runs.get_trace", json!({"run_id": run_id, "cursor": cursor})).await
    }

    /// Calls a method whose answer may be that there is no such run.
    async fn if_found<T: serde::de::DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
    ) -> Result<Option<T>, RpcClientError> {
        let answer = self.call(method, params).await?;
        if answer["not_found"] == json!(true) {
            return Ok(None);
        }
        let read = serde_json::from_value(answer);
        read.map(Some).map_err(|error| RpcClientError::Protocol(format!("{method}: {error}")))
    }
}
