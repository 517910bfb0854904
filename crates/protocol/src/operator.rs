//! The frames of an operator's socket at `/v1/operators/{sid}/ws`, one JSON object each.

use crate::escape::escaped;
use crate::http::WorkerStatsParams;
use crate::rpc::RpcClientError;
use crate::rpc::client::{Socket, open};
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

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

/// An operator's open socket, from the operator's side.
#[derive(Debug)]
pub struct OperatorSocket(Socket);

impl OperatorSocket {
    /// Opens the socket of an operator at a daemon's address, such as `http://127.0.0.1:4100`, with the operator's token.
    ///
    /// # Errors
    /// [`RpcClientError::Unreachable`], [`RpcClientError::Address`]
    pub async fn connect(address: &str, sid: &str, token: &str) -> Result<Self, RpcClientError> {
        let path = format!("/v1/operators/{}/ws", escaped(sid));
        Ok(OperatorSocket(open(address, &path, token).await?))
    }

    /// Waits for the next frame.
    ///
    /// # Errors
    /// [`RpcClientError::Gone`] when no more can come, [`RpcClientError::Protocol`] for one that cannot be read.
    pub async fn next(&mut self) -> Result<OperatorFrame, RpcClientError> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(text.as_str())
                        .map_err(|error| RpcClientError::Protocol(error.to_string()));
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(RpcClientError::Gone),
                Some(Ok(_)) => {}
            }
        }
    }

    /// Answers a request.
    ///
    /// # Errors
    /// [`RpcClientError::Gone`]
    pub async fn send(&mut self, frame: &ReplyFrame) -> Result<(), RpcClientError> {
        let text = serde_json::to_string(frame).expect("a frame is JSON");
        self.0.send(Message::text(text)).await.map_err(|_| RpcClientError::Gone)
    }
}
