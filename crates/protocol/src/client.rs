//! The client of the HTTP door.
//!
//! Ids and filters come from people and may hold anything, so each is escaped where it enters a path; the token is
//! never shown.

use crate::error::ApiError;
use crate::escape::escaped;
use crate::http;
use crate::rpc::{Notice, RpcClient, RpcClientError, Tools};
use crate::sse::SseParser;
use futures_util::{Stream, StreamExt};
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc::UnboundedReceiver;

/// How long a connection may take; the daemon is on this machine.
/// An answer has no limit of its own: a run, or a person who is asked, decides how long it takes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a request was not answered as it should.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The daemon could not be reached, or went away.
    #[error("the daemon does not answer at {address}")]
    Unreachable {
        /// Where.
        address: String,
        /// What went wrong on the way.
        #[source]
        source: reqwest::Error,
    },
    /// The daemon said no.
    #[error("{error}")]
    Api {
        /// What it said.
        error: ApiError,
        /// The HTTP status.
        status: u16,
    },
    /// The answer makes no sense.
    #[error("the daemon's answer cannot be read: {0}")]
    Protocol(String),
    /// Nothing can have this id; nothing was sent.
    #[error("`{0}` is no id")]
    Id(String),
}

/// A client of one daemon.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    address: String,
    token: String,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What happens to unsaved work in a workspace that is removed; a snapshot stays either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnsavedWork {
    /// It keeps the workspace from being removed.
    Keeps,
    /// It is given up.
    GivenUp,
}

/// The events of the journal as they come.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<http::EventView, ClientError>> + Send>>;

impl Client {
    /// Makes a client for a daemon's address and a token.
    ///
    /// # Errors
    /// [`ClientError::Protocol`] when the HTTP library cannot be set up.
    pub fn new(address: impl Into<String>, token: impl Into<String>) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
            .build()
            .map_err(|error| ClientError::Protocol(error.to_string()))?;
        Ok(Client { http, address: address.into(), token: token.into() })
    }

    /// Gives the daemon's address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Asks whether the daemon answers.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn health(&self) -> Result<http::HealthView, ClientError> {
        self.get("/v1/healthz").await
    }

    /// Gives how the daemon is.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn status(&self) -> Result<http::StatusView, ClientError> {
        self.get("/v1/status").await
    }

    /// Starts a task and does not wait for its run.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn task_start(&self, params: &http::TaskParams) -> Result<http::TaskDetachedView, ClientError> {
        let params = http::TaskParams { detach: true, timeout_secs: None, ..params.clone() };
        self.post("/v1/tasks", &params).await
    }

    /// Starts a task and waits until its run is done.
    ///
    /// # Errors
    /// [`ClientError`], also when the run failed.
    pub async fn task_run(&self, params: &http::TaskParams) -> Result<http::TaskDoneView, ClientError> {
        let params = http::TaskParams { detach: false, ..params.clone() };
        self.post("/v1/tasks", &params).await
    }

    /// Opens the same daemon's runtime door with the same token.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn rpc(
        &self,
        tools: impl Tools,
    ) -> Result<(RpcClient, UnboundedReceiver<Notice>), RpcClientError> {
        RpcClient::connect(&self.address, &self.token, tools).await
    }

    /// Lists tasks, the newest first; at most `limit`.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn tasks(&self, limit: usize) -> Result<Vec<http::TaskView>, ClientError> {
        self.get(&format!("/v1/tasks?limit={limit}")).await
    }

    /// Gives a task and its runs.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn task(&self, task_id: &str) -> Result<http::TaskRunsView, ClientError> {
        self.get(&format!("/v1/tasks/{}", id(task_id)?)).await
    }

    /// Lists runs, the newest first.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn runs(&self, limit: usize) -> Result<http::RunsView, ClientError> {
        self.get(&format!("/v1/runs?limit={limit}")).await
    }

    /// Gives a run.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn run(&self, run_id: &str) -> Result<http::RunView, ClientError> {
        self.get(&format!("/v1/runs/{}", id(run_id)?)).await
    }

    /// Cancels a run.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn run_cancel(
        &self,
        run_id: &str,
        reason: Option<String>,
    ) -> Result<http::RunView, ClientError> {
        self.post(&format!("/v1/runs/{}/cancel", id(run_id)?), &http::CancelParams { reason }).await
    }

    /// Gives a page of a run's trace, behind a turn's index, and whether there may be more.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn trace(&self, run_id: &str, after: Option<u64>) -> Result<Vec<http::TurnView>, ClientError> {
        let after = after.map_or_else(String::new, |after| format!("?after={after}"));
        let text = self.text(&format!("/v1/runs/{}/trace{after}", id(run_id)?)).await?;
        text.lines()
            .map(|line| serde_json::from_str(line).map_err(|error| ClientError::Protocol(error.to_string())))
            .collect()
    }

    /// Follows the journal behind a cursor, of one subject or of all.
    ///
    /// # Errors
    /// [`ClientError`] when the stream cannot be opened; what comes later stands in the stream.
    pub async fn events(&self, after: i64, subject: Option<&str>) -> Result<EventStream, ClientError> {
        let subject = subject.map_or_else(String::new, |subject| format!("&subject={}", escaped(subject)));
        let response =
            self.send(self.request(Method::GET, &format!("/v1/events?after={after}{subject}"))).await?;
        let address = self.address.clone();
        let mut parser = SseParser::default();
        let events = response.bytes_stream().flat_map(move |chunk| {
            let found = match chunk {
                Ok(chunk) => parser.push(&chunk).iter().map(|event| read(event.data.as_bytes())).collect(),
                Err(source) => vec![Err(ClientError::Unreachable { address: address.clone(), source })],
            };
            futures_util::stream::iter(found)
        });
        Ok(Box::pin(events))
    }

    /// Makes a goal.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn goal_create(&self, params: &http::GoalParams) -> Result<http::GoalView, ClientError> {
        self.post("/v1/goals", params).await
    }

    /// Lists goals.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn goals(&self, status: Option<&str>) -> Result<http::GoalsView, ClientError> {
        let status = status.map_or_else(String::new, |status| format!("?status={}", escaped(status)));
        self.get(&format!("/v1/goals{status}")).await
    }

    /// Gives a goal.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn goal(&self, goal_id: &str) -> Result<http::GoalView, ClientError> {
        self.get(&format!("/v1/goals/{}", id(goal_id)?)).await
    }

    /// Does one thing to a goal: `links`, `evidence`, `notes`, `status`, `check` or `close`.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn goal_do(
        &self,
        goal_id: &str,
        what: &str,
        params: &(impl Serialize + Sync),
    ) -> Result<http::GoalView, ClientError> {
        self.post(&format!("/v1/goals/{}/{what}", id(goal_id)?), params).await
    }

    /// Lists workspaces.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn workspaces(&self) -> Result<http::WorkspacesView, ClientError> {
        self.get("/v1/workspaces").await
    }

    /// Gives what a run's worktree changed.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn workspace_diff(&self, run_id: &str) -> Result<String, ClientError> {
        self.text(&format!("/v1/workspaces/{}/diff", id(run_id)?)).await
    }

    /// Removes a run's workspace.
    ///
    /// # Errors
    /// [`ClientError`], also when unsaved work keeps it.
    pub async fn workspace_remove(
        &self,
        run_id: &str,
        unsaved: UnsavedWork,
    ) -> Result<http::RemovedView, ClientError> {
        let force = unsaved == UnsavedWork::GivenUp;
        let request = self.request(Method::DELETE, &format!("/v1/workspaces/{}?force={force}", id(run_id)?));
        self.answer(request).await
    }

    /// Gives what the gate said of a turn.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn turn_explain(&self, run_id: &str, turn: u64) -> Result<http::ExplanationView, ClientError> {
        self.get(&format!("/v1/runs/{}/turns/{turn}/judgements", id(run_id)?)).await
    }

    /// Asks the gate about a tool call.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn gate_judge(&self, params: &http::JudgeParams) -> Result<http::JudgementView, ClientError> {
        self.post("/v1/gate/judge", params).await
    }

    /// Tells the gate how a tool call ended.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn gate_settle(&self, turn: u64, params: &http::SettleParams) -> Result<Value, ClientError> {
        self.post(&format!("/v1/gate/turns/{turn}/settle"), params).await
    }

    /// Lists approvals: those of a status, `all`, or the pending ones.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn approvals(&self, status: Option<&str>) -> Result<http::ApprovalList, ClientError> {
        let status = status.map_or_else(String::new, |status| format!("?status={status}"));
        self.get(&format!("/v1/approvals{status}")).await
    }

    /// Answers an approval.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn approval_answer(
        &self,
        id: &str,
        answer: &http::ApprovalAnswer,
    ) -> Result<http::ApprovalView, ClientError> {
        self.post(&format!("/v1/approvals/{id}"), answer).await
    }

    /// Makes a token that acts as an agent.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn token_create(&self, request: &http::TokenRequest) -> Result<http::TokenView, ClientError> {
        self.post("/v1/tokens", request).await
    }

    /// Joins as an operator.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn operator_join(
        &self,
        params: &http::OperatorJoinParams,
    ) -> Result<http::OperatorJoinedView, ClientError> {
        self.post("/v1/operators", params).await
    }

    /// Lists the operators, the newest first.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn operators(&self) -> Result<http::OperatorsView, ClientError> {
        self.get("/v1/operators").await
    }

    /// Lets an operator go.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn operator_leave(&self, sid: &str) -> Result<(), ClientError> {
        self.send(self.request(Method::DELETE, &format!("/v1/operators/{}", id(sid)?))).await.map(drop)
    }

    /// Takes a seat of a run over.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn seat_acquire(
        &self,
        run_id: &str,
        params: &http::AcquireParams,
    ) -> Result<http::AcquiredView, ClientError> {
        self.post(&format!("/v1/runs/{}/acquire", id(run_id)?), params).await
    }

    /// Gives who holds the seats of a run.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn assignees(&self, run_id: &str) -> Result<http::AssigneesView, ClientError> {
        self.get(&format!("/v1/runs/{}/assignees", id(run_id)?)).await
    }

    /// Gives what a new holder of a run's seats has to know.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn handover(&self, run_id: &str) -> Result<http::HandoverView, ClientError> {
        self.get(&format!("/v1/runs/{}/handover", id(run_id)?)).await
    }

    /// Gives what the worker of this client's token is to do.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn worker_prompt(&self) -> Result<http::WorkerPromptView, ClientError> {
        self.get("/v1/worker/prompt").await
    }

    /// Delivers the result of a step, as the worker of this client's token.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn worker_submit(&self, body: String) -> Result<(), ClientError> {
        self.send(self.request(Method::POST, "/v1/worker/submit").body(body)).await.map(drop)
    }

    /// Gives a client of the same daemon that shows another token, over the same connections.
    #[must_use]
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Client { token: token.into(), ..self.clone() }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.answer(self.request(Method::GET, path)).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        self.answer(self.request(Method::POST, path).json(body)).await
    }

    async fn text(&self, path: &str) -> Result<String, ClientError> {
        let response = self.send(self.request(Method::GET, path)).await?;
        response.text().await.map_err(|source| self.unreachable(source))
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = self.send(request).await?;
        let body = response.bytes().await.map_err(|source| self.unreachable(source))?;
        read(&body)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.address)).bearer_auth(&self.token)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|source| self.unreachable(source))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|source| self.unreachable(source))?;
        match serde_json::from_slice(&body) {
            Ok(error) => Err(ClientError::Api { error, status }),
            Err(_) => {
                Err(ClientError::Protocol(format!("status {status}: {}", String::from_utf8_lossy(&body))))
            }
        }
    }

    fn unreachable(&self, source: reqwest::Error) -> ClientError {
        ClientError::Unreachable { address: self.address.clone(), source }
    }
}

/// Escapes an id for a path. `.`, `..` and nothing would lead to another route, whatever their escape.
fn id(text: &str) -> Result<String, ClientError> {
    match text {
        "" | "." | ".." => Err(ClientError::Id(text.to_owned())),
        text => Ok(escaped(text)),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(body).map_err(|error| ClientError::Protocol(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_leads_to_another_route() {
        assert_eq!(id("run_0123").expect("an id"), "run_0123");
        assert_eq!(id("../goals?x#y").expect("any text"), "..%2Fgoals%3Fx%23y");
        for wrong in ["", ".", ".."] {
            assert!(matches!(id(wrong), Err(ClientError::Id(_))), "{wrong}");
        }
    }

    #[test]
    fn the_token_is_not_shown() {
        let client = Client::new("http://127.0.0.1:9", "hidden-words").expect("a client");
        let shown = format!("{client:?} {client:#?}");
        assert!(shown.contains("127.0.0.1:9") && !shown.contains("hidden-words"), "{shown}");
    }
}
