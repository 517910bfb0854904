//! Permission: what the gate would say, and what people answer.

use crate::http::ApprovalView;
use crate::rpc::{RpcClient, RpcClientError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A call that the gate is asked about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The tool.
    pub tool: String,
    /// What it would get.
    pub parameters: Value,
}

/// What the gate would say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// What it comes to.
    pub decision: Decision,
    /// Why.
    pub reason: String,
    /// The rule that decides.
    #[serde(default)]
    pub rule: Option<String>,
    /// The same for the same tool with the same parameters; names what is pending.
    pub fingerprint: String,
}

/// What a judgement comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It may be done.
    Allow,
    /// A person is asked first.
    NeedsApproval,
    /// It may not.
    Deny,
}

#[derive(Deserialize)]
struct Pending {
    pending: Vec<ApprovalView>,
}

impl RpcClient {
    /// Asks what the gate would say of a call, without doing it.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn permission_evaluate(&self, call: &ToolCall) -> Result<Permission, RpcClientError> {
        self.typed("permission.evaluate", json!({"action": call})).await
    }

    /// Lists what waits for an answer, the newest first.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn permission_pending(&self) -> Result<Vec<ApprovalView>, RpcClientError> {
        let answer: Pending = self.typed("permission.pending", json!({})).await?;
        Ok(answer.pending)
    }

    /// Lets an action go on; never one that this connection has asked for.
    ///
    /// # Errors
    /// [`RpcClientError::Refused`] also for one that has its answer.
    pub async fn permission_approve(
        &self,
        approval_id: &str,
        reason: &str,
    ) -> Result<ApprovalView, RpcClientError> {
        self.typed("permission.approve", json!({"approval_id": approval_id, "reason": reason})).await
    }

    /// Refuses an action.
    ///
    /// # Errors
    /// As [`RpcClient::permission_approve`].
    pub async fn permission_reject(
        &self,
        approval_id: &str,
        reason: &str,
    ) -> Result<ApprovalView, RpcClientError> {
        self.typed("permission.reject", json!({"approval_id": approval_id, "reason": reason})).await
    }
}
