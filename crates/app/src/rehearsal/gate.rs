//! The way to the gate: every tool call is asked about before it is made, and reported when it has ended.
//!
//! It fails closed. When the gate cannot be reached nothing is written, run or called; only reading goes on, and the
//! stream says so. A gate that answers with an error has not allowed anything.

use adjutant_protocol::http::{JudgeParams, SettleParams};
use adjutant_protocol::{Client, ClientError};
use serde_json::Value;

/// The variables by which the agent reaches the gate; what it starts must not speak in its name.
pub(super) const ACCESS_VARIABLES: [&str; 2] = ["ADJUTANT_TOKEN", "ADJUTANT_URL"];

/// Where calls are judged.
pub(super) enum Gate {
    /// Nowhere: the agent was not started by Adjutant.
    Absent,
    /// At the daemon.
    At(Client),
}

/// What a call does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// It only looks.
    Reads,
    /// It changes something, or may.
    Writes,
}

/// What the gate said.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Permission {
    /// The call may be made.
    Granted {
        /// The turn to settle; none without a gate.
        turn: Option<u64>,
        /// What the reader should know about it.
        remark: Option<String>,
    },
    /// The call may not be made.
    Denied {
        /// Why, for the agent.
        why: String,
    },
}

impl Gate {
    /// Takes what the environment says: without an address there is no gate; without a token it will refuse.
    pub(super) fn from_access(url: Option<String>, token: Option<String>) -> Result<Gate, ClientError> {
        match url {
            Some(url) => Ok(Gate::At(Client::new(url, token.unwrap_or_default())?)),
            None => Ok(Gate::Absent),
        }
    }

    /// Says in a word what judges, for the head of the stream.
    pub(super) fn describe(&self) -> String {
        match self {
            Gate::Absent => "none: ADJUTANT_URL is not set, so nothing judges tool calls".to_owned(),
            Gate::At(client) => client.address().to_owned(),
        }
    }

    /// Asks whether a call may be made.
    pub(super) async fn judge(&self, tool: &str, parameters: &Value, reach: Reach) -> Permission {
        let Gate::At(client) = self else { return Permission::Granted { turn: None, remark: None } };
        let params = JudgeParams { tool: tool.to_owned(), parameters: parameters.clone() };
        match client.gate_judge(&params).await {
            Ok(judged) if judged.allowed => Permission::Granted { turn: Some(judged.turn), remark: None },
            Ok(judged) => {
                let rule = judged.rule.map_or_else(String::new, |rule| format!(", rule `{rule}`"));
                Permission::Denied {
                    why: format!("denied by {}{rule}: {}", judged.decided_by, judged.reason),
                }
            }
            Err(ClientError::Unreachable { .. }) if reach == Reach::Reads => {
                let remark = "the gate does not answer; only reading goes on without it".to_owned();
                Permission::Granted { turn: None, remark: Some(remark) }
            }
            Err(ClientError::Unreachable { address, .. }) => Permission::Denied {
                why: format!("denied: the gate at {address} does not answer, so nothing is changed"),
            },
            Err(error @ (ClientError::Api { .. } | ClientError::Protocol(_) | ClientError::Id(_))) => {
                Permission::Denied { why: format!("denied: the gate did not judge the call: {error}") }
            }
        }
    }

    /// Reports how a call ended; gives what the reader should know when that failed.
    pub(super) async fn settle(&self, turn: u64, outcome: &Result<String, String>) -> Option<String> {
        let Gate::At(client) = self else { return None };
        let (Ok(text) | Err(text)) = outcome;
        let params = SettleParams { ok: outcome.is_ok(), output: Value::String(text.clone()) };
        let failed = client.gate_settle(turn, &params).await.err()?;
        Some(format!("the end of this call could not be reported to the gate: {failed}"))
    }
}
