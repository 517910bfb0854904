//! What a connection registers: tools, rules, policy sessions, state.

use crate::rpc::{RpcClient, RpcClientError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A tool that a client offers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// What actions call it by.
    pub name: String,
    /// For people and models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The JSON schema of its parameters; `{}` takes everything.
    #[serde(default = "anything", skip_serializing_if = "Value::is_null")]
    pub parameters: Value,
    /// Whether calling it twice is the same as calling it once.
    #[serde(default)]
    pub idempotent: bool,
    /// For how many seconds an answer may stand in for a new call with the same parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_ttl_secs: Option<u64>,
    /// How often it may be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// How its output is read: `{kind: cli, exit_code, timed_out, signal}` or `{kind: verifier, passed}`, each with
    /// names of members.
    #[serde(default, rename = "x-outcome", skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Value>,
}

fn anything() -> Value {
    json!({})
}

/// A token bucket: `max_calls` at once, refilled at `max_calls` per `interval_secs`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RateLimit {
    /// The bucket's size.
    pub max_calls: u64,
    /// In how many seconds an empty bucket is full again.
    pub interval_secs: f64,
}

/// A rule with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicySpec {
    /// What judgements call it by.
    pub name: String,
    /// What it says.
    pub rule: PolicyRule,
}

/// What a rule says.
#[derive(Debug, Clone, PartialEq)]
pub enum PolicyRule {
    /// A tool is not called.
    DenyTool {
        /// The tool.
        target: String,
    },
    /// No tool of a connector is called.
    DenyConnector {
        /// The connector.
        target: String,
    },
    /// A tool is not called with a parameter that contains a text.
    DenyToolParam {
        /// The tool.
        target: String,
        /// The parameter.
        key: String,
        /// The text.
        pattern: String,
    },
    /// Nothing is done unless the state has a value.
    RequireState {
        /// Where.
        key: String,
        /// Which.
        value: Value,
    },
    /// A rule as policy files have it: `effect`, `tool`, `params`, `command`, `when`, `reason`.
    Rule(Map<String, Value>),
}

/// A rule that is in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoundPolicy {
    /// Its name.
    pub name: String,
    /// `"global"`, which is this connection, or `{session_id}`.
    pub scope: Value,
    /// What was registered.
    pub rule: Value,
}

#[derive(Deserialize)]
struct ToolList {
    tools: Vec<ToolSpec>,
}

#[derive(Deserialize)]
struct PolicyList {
    policies: Vec<BoundPolicy>,
}

#[derive(Deserialize)]
struct RemovedCount {
    removed: u64,
}

#[derive(Deserialize)]
struct Opened {
    session_id: String,
}

#[derive(Deserialize)]
struct Closed {
    closed: bool,
}

impl PolicySpec {
    fn params(&self, session_id: Option<&str>) -> Value {
        let mut params = match &self.rule {
            PolicyRule::DenyTool { target } => json!({"rule": "deny_tool", "target": target}),
            PolicyRule::DenyConnector { target } => json!({"rule": "deny_connector", "target": target}),
            PolicyRule::DenyToolParam { target, key, pattern } => {
                json!({"rule": "deny_tool_param", "target": target, "key": key, "pattern": pattern})
            }
            PolicyRule::RequireState { key, value } => {
                json!({"rule": "require_state", "key": key, "value": value})
            }
            PolicyRule::Rule(rule) => Value::Object(rule.clone()),
        };
        params["name"] = json!(self.name);
        if let Some(session_id) = session_id {
            params["session_id"] = json!(session_id);
        }
        params
    }
}

impl RpcClient {
    /// Offers tools; one that was offered before is replaced. Gives how many are offered.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn tools_register(&self, tools: &[ToolSpec]) -> Result<u64, RpcClientError> {
        self.typed("tools.register", json!(tools)).await
    }

    /// Offers tools no more; gives how many of them were offered.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn tools_unregister(&self, names: &[&str]) -> Result<u64, RpcClientError> {
        self.typed("tools.unregister", json!(names)).await
    }

    /// Lists the tools that are offered.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn tools_list(&self) -> Result<Vec<ToolSpec>, RpcClientError> {
        let answer: ToolList = self.typed("tools.list", json!({})).await?;
        Ok(answer.tools)
    }

    /// Puts a rule in force: on this connection, or in one policy session of it.
    ///
    /// # Errors
    /// [`RpcClientError::Refused`] for a rule that cannot be read, with the place of the mistake.
    pub async fn policy_register(
        &self,
        policy: &PolicySpec,
        session_id: Option<&str>,
    ) -> Result<(), RpcClientError> {
        self.call("policy.register", policy.params(session_id)).await.map(drop)
    }

    /// Lists the rules of this connection.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn policy_list(&self) -> Result<Vec<BoundPolicy>, RpcClientError> {
        let answer: PolicyList = self.typed("policy.list", json!({})).await?;
        Ok(answer.policies)
    }

    /// Takes rules of a name away; gives how many there were. A run that was bound to them stays so.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn policy_remove(&self, name: &str) -> Result<u64, RpcClientError> {
        let answer: RemovedCount = self.typed("policy.remove", json!({"name": name})).await?;
        Ok(answer.removed)
    }

    /// Opens a policy session and gives its id; proposals name it.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn policy_session_open(&self) -> Result<String, RpcClientError> {
        let answer: Opened = self.typed("session.policy.open", json!({})).await?;
        Ok(answer.session_id)
    }

    /// Closes a policy session; tells whether it was open.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn policy_session_close(&self, session_id: &str) -> Result<bool, RpcClientError> {
        let answer: Closed = self.typed("session.policy.close", json!({"session_id": session_id})).await?;
        Ok(answer.closed)
    }

    /// Reads a key of the state; `null` when it is not there.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn state_get(&self, key: &str) -> Result<Value, RpcClientError> {
        self.call("state.get", json!({"key": key})).await
    }

    /// Writes a key of the state.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn state_set(&self, key: &str, value: &Value) -> Result<(), RpcClientError> {
        self.call("state.set", json!({"key": key, "value": value})).await.map(drop)
    }

    /// Tells whether the state has a key.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn state_exists(&self, key: &str) -> Result<bool, RpcClientError> {
        self.typed("state.exists", json!({"key": key})).await
    }

    /// Lists the keys of the state.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn state_keys(&self) -> Result<Vec<String>, RpcClientError> {
        self.typed("state.keys", json!({})).await
    }

    /// Reads the whole state.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn state_snapshot(&self) -> Result<Map<String, Value>, RpcClientError> {
        self.typed("state.snapshot", json!({})).await
    }
}
