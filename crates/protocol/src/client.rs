//! The client of the HTTP door.
//!
//! Ids and filters come from people and may hold anything, so each is escaped where it enters a path; the token is
//! never shown.

mod console;
mod store;

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
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc::UnboundedReceiver;

/// How long a connection may take; the daemon is on this machine.
/// An answer has no limit of its own: a run, or a person who is asked, decides how long it takes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A page of a list has at most so many entries.
const PAGE: usize = 1000;

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

/// What is said beside a version of a blueprint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlueprintSaid {
    /// The version that it is based on; without one there must be no blueprint of this id.
    pub base: Option<String>,
    /// Why, for people.
    pub rationale: Option<String>,
    /// A semantic version, when the document does not say it.
    pub label: Option<String>,
}

/// Whether a list has archived blueprints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archived {
    /// It has not.
    Hidden,
    /// It has.
    Shown,
}

/// Gives what stands where TLS would: the daemon is on this machine, so nobody is trusted, and no certificates are read.
fn no_tls() -> Result<rustls::ClientConfig, ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| ClientError::Protocol(error.to_string()))?;
    Ok(config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

/// The events of the journal as they come.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<http::EventView, ClientError>> + Send>>;

/// Messages of the MCP door as they come, each a JSON text.
pub type McpMessages = Pin<Box<dyn Stream<Item = Result<String, ClientError>> + Send>>;

/// The bytes of an output as they come.
pub type DataStream = Pin<Box<dyn Stream<Item = Result<Vec<u8>, ClientError>> + Send>>;

impl Client {
    /// Makes a client for a daemon's address and a token.
    ///
    /// # Errors
    /// [`ClientError::Protocol`] when the HTTP library cannot be set up.
    pub fn new(address: impl Into<String>, token: impl Into<String>) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
            .tls_backend_preconfigured(no_tls()?)
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

    /// Gives what the daemon finds of itself and of what it needs.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn doctor(&self) -> Result<http::DoctorView, ClientError> {
        self.get("/v1/doctor").await
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

    /// Starts another run of a task and does not wait for it.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn task_rekick(
        &self,
        task_id: &str,
        params: &http::RekickParams,
    ) -> Result<http::TaskDetachedView, ClientError> {
        let params = http::RekickParams { detach: true, timeout_secs: None, ..params.clone() };
        self.post(&format!("/v1/tasks/{}/runs", id(task_id)?), &params).await
    }

    /// Starts another run of a task and waits until it is done.
    ///
    /// # Errors
    /// [`ClientError`], also when the run failed.
    pub async fn task_rekick_run(
        &self,
        task_id: &str,
        params: &http::RekickParams,
    ) -> Result<http::TaskDoneView, ClientError> {
        let params = http::RekickParams { detach: false, ..params.clone() };
        self.post(&format!("/v1/tasks/{}/runs", id(task_id)?), &params).await
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

    /// Registers a version of a blueprint.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn blueprint_write(
        &self,
        blueprint_id: &str,
        document: &Value,
        said: &BlueprintSaid,
    ) -> Result<http::BlueprintWrittenView, ClientError> {
        let said = [("base", &said.base), ("rationale", &said.rationale), ("label", &said.label)];
        let path = format!("/v1/blueprints/{}{}", id(blueprint_id)?, query(said));
        self.post(&path, document).await
    }

    /// Says everything that is wrong with a blueprint.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn blueprint_lint(&self, document: &Value) -> Result<http::BlueprintLintsView, ClientError> {
        self.post("/v1/blueprints:lint", document).await
    }

    /// Lists a page of blueprints in the order of their ids, behind one of them.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn blueprints(
        &self,
        after: Option<&str>,
        archived: Archived,
    ) -> Result<http::BlueprintListView, ClientError> {
        let archived = Some((archived == Archived::Shown).to_string());
        let said = [("after", &after.map(str::to_owned)), ("include_archived", &archived)];
        self.get(&format!("/v1/blueprints{}", query(said))).await
    }

    /// Gives a blueprint's head.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn blueprint_head(
        &self,
        blueprint_id: &str,
    ) -> Result<http::BlueprintDocumentView, ClientError> {
        self.get(&format!("/v1/blueprints/{}/head", id(blueprint_id)?)).await
    }

    /// Gives a version of a blueprint.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn blueprint_version(
        &self,
        blueprint_id: &str,
        version: &str,
    ) -> Result<http::BlueprintDocumentView, ClientError> {
        self.get(&format!("/v1/blueprints/{}/versions/{}", id(blueprint_id)?, id(version)?)).await
    }

    /// Gives versions of a blueprint, those before a number or all, the newest first; at most `limit`.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn blueprint_history(
        &self,
        blueprint_id: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<http::BlueprintHistoryView, ClientError> {
        let said =
            [("before", &before.map(|number| number.to_string())), ("limit", &Some(limit.to_string()))];
        self.get(&format!("/v1/blueprints/{}/history{}", id(blueprint_id)?, query(said))).await
    }

    /// Says what changed between two versions of a blueprint.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn blueprint_diff(
        &self,
        blueprint_id: &str,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<http::BlueprintDiffView, ClientError> {
        let said = [("from", &from.map(str::to_owned)), ("to", &to.map(str::to_owned))];
        self.get(&format!("/v1/blueprints/{}/diff{}", id(blueprint_id)?, query(said))).await
    }

    /// Archives a blueprint.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn blueprint_archive(&self, blueprint_id: &str) -> Result<(), ClientError> {
        let path = format!("/v1/blueprints/{}", id(blueprint_id)?);
        self.send(self.request(Method::DELETE, &path)).await.map(drop)
    }

    /// Takes a blueprint out of the archive.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn blueprint_unarchive(&self, blueprint_id: &str) -> Result<(), ClientError> {
        let path = format!("/v1/blueprints/{}/unarchive", id(blueprint_id)?);
        self.send(self.request(Method::POST, &path)).await.map(drop)
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
        let mut found: http::RunsView = self.get(&format!("/v1/runs?limit={}", limit.min(PAGE))).await?;
        while found.runs.len() < limit
            && let Some(cursor) = found.next_cursor.take()
        {
            let left = (limit - found.runs.len()).min(PAGE);
            let path = format!("/v1/runs?limit={left}&cursor={}", escaped(&cursor));
            let page: http::RunsView = self.get(&path).await?;
            found.runs.extend(page.runs);
            found.next_cursor = page.next_cursor;
        }
        Ok(found)
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

    /// Goes on with an interrupted run.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn run_resume(&self, run_id: &str) -> Result<http::ResumedView, ClientError> {
        self.post(&format!("/v1/runs/{}/resume", id(run_id)?), &Value::Object(serde_json::Map::new())).await
    }

    /// Lets a run that is over go on again from a step.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn run_rerun(&self, run_id: &str, from_step: &str) -> Result<http::RerunView, ClientError> {
        let params = http::RerunParams { from_step: from_step.to_owned() };
        self.post(&format!("/v1/runs/{}/rerun-from", id(run_id)?), &params).await
    }

    /// Removes a run that is over.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn run_delete(&self, run_id: &str) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, &format!("/v1/runs/{}", id(run_id)?));
        self.send(request).await.map(drop)
    }

    /// Gives a page of a run's steps, behind a turn's index.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn steps(&self, run_id: &str, after: Option<u64>) -> Result<http::StepsView, ClientError> {
        let after = after.map_or_else(String::new, |after| format!("?after={after}"));
        self.get(&format!("/v1/runs/{}/steps{after}", id(run_id)?)).await
    }

    /// Gives what came out of the steps of a run, `latest` for the task's newest.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn step_outputs(
        &self,
        task_id: &str,
        run_id: &str,
    ) -> Result<http::StepOutputsView, ClientError> {
        self.get(&format!("/v1/tasks/{}/runs/{}/steps", id(task_id)?, id(run_id)?)).await
    }

    /// Gives the content that came out of a step, or what lies in it at a JSON pointer or a context path.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn step_content(
        &self,
        task_id: &str,
        run_id: &str,
        step: &str,
        path: Option<&str>,
    ) -> Result<String, ClientError> {
        let path = path.map_or_else(String::new, |path| format!("?path={}", escaped(path)));
        let run = format!("/v1/tasks/{}/runs/{}", id(task_id)?, id(run_id)?);
        self.text(&format!("{run}/steps/{}/content{path}", id(step)?)).await
    }

    /// Gives which versions and agents a run is bound to.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn run_bindings(&self, run_id: &str) -> Result<http::BindingsView, ClientError> {
        self.get(&format!("/v1/runs/{}/bindings", id(run_id)?)).await
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
        self.event_stream(&format!("/v1/events?after={after}{subject}")).await
    }

    /// Gives what the journal has of a subject behind a cursor; the stream ends there.
    ///
    /// # Errors
    /// [`ClientError`] when the stream cannot be opened; what comes later stands in the stream.
    pub async fn events_so_far(&self, after: i64, subject: &str) -> Result<EventStream, ClientError> {
        let subject = escaped(subject);
        self.event_stream(&format!("/v1/events?after={after}&subject={subject}&follow=false")).await
    }

    async fn event_stream(&self, path: &str) -> Result<EventStream, ClientError> {
        let response = self.send(self.request(Method::GET, path)).await?;
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

    /// Gives all goals, page after page.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn goals(&self, status: Option<&str>) -> Result<http::GoalsView, ClientError> {
        let status = status.map_or_else(String::new, |status| format!("&status={}", escaped(status)));
        let mut page: http::GoalsView = self.get(&format!("/v1/goals?limit=1000{status}")).await?;
        while let Some(after) = page.next.take() {
            let path = format!("/v1/goals?limit=1000{status}&after={}", escaped(&after));
            let more: http::GoalsView = self.get(&path).await?;
            page = http::GoalsView { goals: [page.goals, more.goals].concat(), ..more };
        }
        Ok(page)
    }

    /// Gives a goal.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn goal(&self, goal_id: &str) -> Result<http::GoalView, ClientError> {
        self.get(&format!("/v1/goals/{}", id(goal_id)?)).await
    }

    /// Changes a goal.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn goal_update(
        &self,
        goal_id: &str,
        params: &http::GoalUpdateParams,
    ) -> Result<http::GoalView, ClientError> {
        self.post(&format!("/v1/goals/{}", id(goal_id)?), params).await
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

    /// Gives what the worktree of a run or a session changed.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn workspace_diff(&self, holder: &str) -> Result<String, ClientError> {
        self.text(&format!("/v1/workspaces/{}/diff", id(holder)?)).await
    }

    /// Lists the snapshots of a workspace that is or was there.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn workspace_snapshots(&self, holder: &str) -> Result<http::SnapshotsView, ClientError> {
        self.get(&format!("/v1/workspaces/{}/snapshots", id(holder)?)).await
    }

    /// Keeps a worktree as it is now; the list is empty when its last snapshot is the same.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn workspace_snapshot(&self, holder: &str) -> Result<http::SnapshotsView, ClientError> {
        self.post(&format!("/v1/workspaces/{}/snapshots", id(holder)?), &()).await
    }

    /// Puts a snapshot back.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn workspace_restore(
        &self,
        holder: &str,
        params: &http::RestoreParams,
    ) -> Result<http::RestoredView, ClientError> {
        self.post(&format!("/v1/workspaces/{}/restore", id(holder)?), params).await
    }

    /// Merges what was committed in a workspace into a branch.
    ///
    /// # Errors
    /// [`ClientError`], also when a check does not pass.
    pub async fn workspace_merge(
        &self,
        holder: &str,
        params: &http::MergeParams,
    ) -> Result<http::MergedView, ClientError> {
        self.post(&format!("/v1/workspaces/{}/merge", id(holder)?), params).await
    }

    /// Tells how much room all workspaces take.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn workspaces_usage(&self) -> Result<http::RoomView, ClientError> {
        self.get("/v1/workspaces/usage").await
    }

    /// Opens an issue.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn issue_open(&self, params: &http::IssueParams) -> Result<http::IssueOpenedView, ClientError> {
        self.post("/v1/issues", params).await
    }

    /// Lists issues, the newest first, of one blueprint or all, in one state or any.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn issues(
        &self,
        blueprint_id: Option<&str>,
        status: Option<&str>,
    ) -> Result<http::IssuesView, ClientError> {
        let filters = [("blueprint_id", blueprint_id), ("status", status)];
        let said = filters.into_iter().filter_map(|(key, text)| Some(format!("&{key}={}", escaped(text?))));
        self.get(&format!("/v1/issues?limit=1000{}", said.collect::<String>())).await
    }

    /// Gives an issue.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn issue(&self, issue_id: &str) -> Result<http::IssueView, ClientError> {
        self.get(&format!("/v1/issues/{}", id(issue_id)?)).await
    }

    /// Takes an issue back.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn issue_cancel(
        &self,
        issue_id: &str,
        params: &http::IssueCancelParams,
    ) -> Result<http::IssueView, ClientError> {
        self.post(&format!("/v1/issues/{}/cancel", id(issue_id)?), params).await
    }

    /// Gives the ids of the settings of the enhance loop.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn enhance_settings(&self) -> Result<Vec<String>, ClientError> {
        self.get("/v1/enhance-settings").await
    }

    /// Gives a setting of the enhance loop.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn enhance_setting(&self, setting_id: &str) -> Result<http::EnhanceSettingView, ClientError> {
        self.get(&format!("/v1/enhance-settings/{}", id(setting_id)?)).await
    }

    /// Keeps a setting of the enhance loop.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn enhance_setting_put(
        &self,
        setting_id: &str,
        params: &http::EnhanceSettingParams,
    ) -> Result<http::EnhanceSettingView, ClientError> {
        let path = format!("/v1/enhance-settings/{}", id(setting_id)?);
        self.answer(self.request(Method::PUT, &path).json(params)).await
    }

    /// Removes a setting of the enhance loop.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn enhance_setting_remove(&self, setting_id: &str) -> Result<(), ClientError> {
        let path = format!("/v1/enhance-settings/{}", id(setting_id)?);
        self.send(self.request(Method::DELETE, &path)).await.map(drop)
    }

    /// Gives the last decisions about issues, the oldest of them first.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn enhance_log(
        &self,
        blueprint_id: Option<&str>,
    ) -> Result<Vec<http::EnhanceEntryView>, ClientError> {
        let of = blueprint_id.map_or_else(String::new, |text| format!("?blueprint_id={}", escaped(text)));
        self.get(&format!("/v1/enhance/log{of}")).await
    }

    /// Gives the decision about an issue.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn enhance_entry(&self, issue_id: &str) -> Result<http::EnhanceEntryView, ClientError> {
        self.get(&format!("/v1/enhance/log/{}", id(issue_id)?)).await
    }

    /// Removes the workspace of a run that is over.
    ///
    /// # Errors
    /// [`ClientError`], also when unsaved work keeps it.
    pub async fn workspace_remove(
        &self,
        holder: &str,
        unsaved: UnsavedWork,
    ) -> Result<http::RemovedView, ClientError> {
        let force = unsaved == UnsavedWork::GivenUp;
        let request = self.request(Method::DELETE, &format!("/v1/workspaces/{}?force={force}", id(holder)?));
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

    /// Begins a managed session.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn session_host(&self, params: &http::HostParams) -> Result<http::ManagedView, ClientError> {
        self.post("/v1/sessions/managed", params).await
    }

    /// Lists managed sessions: those of a state, `all`, or those that are not decommissioned.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn sessions_managed(&self, state: Option<&str>) -> Result<http::ManagedList, ClientError> {
        let state = state.map(|state| format!("&state={}", escaped(state))).unwrap_or_default();
        self.get(&format!("/v1/sessions/managed?limit=1000{state}")).await
    }

    /// Gives a managed session, by its id or its name.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn session_managed(&self, id: &str) -> Result<http::ManagedView, ClientError> {
        self.get(&format!("/v1/sessions/managed/{}", escaped(id))).await
    }

    /// Has something done to a managed session: `stop`, `resume` or `interrupt`.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn session_command(&self, id: &str, command: &str) -> Result<http::ManagedView, ClientError> {
        self.post(&format!("/v1/sessions/managed/{}/{command}", escaped(id)), &serde_json::json!({})).await
    }

    /// Ends a managed session for good.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn session_decommission(
        &self,
        id: &str,
        params: &http::DecommissionParams,
    ) -> Result<http::ManagedView, ClientError> {
        self.post(&format!("/v1/sessions/managed/{}/decommission", escaped(id)), params).await
    }

    /// Gives a session's work to another one.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn session_delegate(
        &self,
        id: &str,
        params: &http::DelegateParams,
    ) -> Result<http::DelegationView, ClientError> {
        self.post(&format!("/v1/sessions/managed/{}/delegations", escaped(id)), params).await
    }

    /// Hands a session's work over to another agent.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn session_handoff(
        &self,
        id: &str,
        params: &http::HandoffParams,
    ) -> Result<http::HandoffView, ClientError> {
        self.post(&format!("/v1/sessions/managed/{}/handoff", escaped(id)), params).await
    }

    /// Lists a session's delegations, the newest first.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn session_delegations(&self, id: &str) -> Result<http::DelegationList, ClientError> {
        self.get(&format!("/v1/sessions/managed/{}/delegations", escaped(id))).await
    }

    /// Gives the delegations of all sessions, the newest first: the open ones, or all.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn delegations(&self, open: bool) -> Result<http::DelegationList, ClientError> {
        self.get(&format!("/v1/delegations?open={open}")).await
    }

    /// Gives a delegation.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn delegation(&self, delegation_id: &str) -> Result<http::DelegationView, ClientError> {
        self.get(&format!("/v1/delegations/{}", id(delegation_id)?)).await
    }

    /// Cancels a delegation.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn delegation_cancel(&self, delegation_id: &str) -> Result<http::DelegationView, ClientError> {
        self.post(&format!("/v1/delegations/{}/cancel", id(delegation_id)?), &()).await
    }

    /// Tells a session's agent something.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn session_send(
        &self,
        id: &str,
        params: &http::SendParams,
    ) -> Result<http::SentView, ClientError> {
        self.post(&format!("/v1/sessions/managed/{}/send", escaped(id)), params).await
    }

    /// Answers what a session's agent asks.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn session_answer(
        &self,
        id: &str,
        params: &http::AnswerParams,
    ) -> Result<http::AnsweredView, ClientError> {
        self.post(&format!("/v1/sessions/managed/{}/answer", escaped(id)), params).await
    }

    /// Gives what a session does and shows.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn session_activity(
        &self,
        id: &str,
        lines: usize,
    ) -> Result<http::ManagedActivityView, ClientError> {
        self.get(&format!("/v1/sessions/managed/{}/activity?lines={lines}", escaped(id))).await
    }

    /// Gives what the journal says of a session behind a place, at most 1000 rows, the oldest first.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn session_events(&self, id: &str, after: i64) -> Result<http::EventPage, ClientError> {
        self.get(&format!("/v1/sessions/managed/{}/events?after={after}", escaped(id))).await
    }

    /// Follows what the journal says of a session behind a place.
    ///
    /// # Errors
    /// [`ClientError`] when the stream cannot be opened; what comes later stands in the stream.
    pub async fn session_events_live(&self, id: &str, after: i64) -> Result<EventStream, ClientError> {
        self.event_stream(&format!("/v1/sessions/managed/{}/events?after={after}&follow=true", escaped(id)))
            .await
    }

    /// Gives what a session's terminal shows.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn session_screen(&self, id: &str, lines: usize) -> Result<http::ScreenView, ClientError> {
        self.get(&format!("/v1/sessions/managed/{}/screen?lines={lines}", escaped(id))).await
    }

    /// Gives how a person attaches to a session's terminal.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn session_attach(&self, id: &str) -> Result<http::AttachView, ClientError> {
        self.get(&format!("/v1/sessions/managed/{}/attach-cmd", escaped(id))).await
    }

    /// Gives what waits for a person.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn inbox(&self) -> Result<http::InboxView, ClientError> {
        self.get("/v1/inbox").await
    }

    /// Lists approvals: those of a status, `all`, or the pending ones.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn approvals(&self, status: Option<&str>) -> Result<http::ApprovalList, ClientError> {
        let status = status.map_or_else(String::new, |status| format!("?status={status}"));
        self.get(&format!("/v1/approvals{status}")).await
    }

    /// Remembers something.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn memory_remember(
        &self,
        params: &http::RememberParams,
    ) -> Result<http::FactView, ClientError> {
        self.post("/v1/memory", params).await
    }

    /// Recalls what has the words of a query, the best first.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn memory_recall(&self, params: &http::RecallParams) -> Result<http::FactsView, ClientError> {
        self.post("/v1/memory/recall", params).await
    }

    /// Lists facts of a scope and with a tag, where these are said, the newest first; with `all` also those that hold no
    /// more.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn memory(
        &self,
        (scope, tag): &(Option<String>, Option<String>),
        all: bool,
    ) -> Result<http::FactsView, ClientError> {
        let all = Some(all.to_string());
        let query =
            query([("scope", scope), ("tag", tag), ("all", &all), ("limit", &Some("1000".to_owned()))]);
        self.get(&format!("/v1/memory{query}")).await
    }

    /// Puts another fact in one's place.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn memory_supersede(
        &self,
        fact: &str,
        params: &http::SupersedeParams,
    ) -> Result<http::FactView, ClientError> {
        self.post(&format!("/v1/memory/{}/supersede", id(fact)?), params).await
    }

    /// Forgets a fact.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn memory_forget(&self, fact: &str) -> Result<(), ClientError> {
        self.send(self.request(Method::DELETE, &format!("/v1/memory/{}", id(fact)?))).await.map(drop)
    }

    /// Lists the breakers of agents that are kept.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn breakers(&self) -> Result<http::BreakersView, ClientError> {
        self.get("/v1/breakers").await
    }

    /// Closes an agent's breaker.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn breaker_reset(&self, agent: &str) -> Result<http::BreakerView, ClientError> {
        self.post(&format!("/v1/breakers/{}/reset", id(agent)?), &serde_json::json!({})).await
    }

    /// Lists errors of Adjutant, those that were seen last first.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn errors(&self, limit: Option<usize>) -> Result<http::ErrorsView, ClientError> {
        match limit {
            Some(limit) => self.get(&format!("/v1/errors?limit={limit}")).await,
            None => self.get("/v1/errors").await,
        }
    }

    /// Gives an error of Adjutant.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn error(&self, fingerprint: &str) -> Result<http::ErrorDetailView, ClientError> {
        self.get(&format!("/v1/errors/{}", id(fingerprint)?)).await
    }

    /// Words an issue of an error; nothing leaves the machine.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn error_preview(&self, fingerprint: &str) -> Result<http::ReportPreviewView, ClientError> {
        self.post(&format!("/v1/errors/{}/preview", id(fingerprint)?), &serde_json::json!({})).await
    }

    /// Files the preview that is agreed to.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn error_report(
        &self,
        fingerprint: &str,
        params: &http::ReportParams,
    ) -> Result<http::ReportedView, ClientError> {
        self.post(&format!("/v1/errors/{}/report", id(fingerprint)?), params).await
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

    /// Lists the tokens that let somebody in, but for those of steps.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn tokens(&self) -> Result<http::TokensView, ClientError> {
        self.get("/v1/tokens?limit=1000").await
    }

    /// Lists all tokens that are not forgotten.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn tokens_all(&self) -> Result<http::TokensView, ClientError> {
        self.get("/v1/tokens?all=true&limit=1000").await
    }

    /// Takes a token back.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn token_revoke(&self, token_id: &str) -> Result<http::TokenEntryView, ClientError> {
        self.answer(self.request(Method::DELETE, &format!("/v1/tokens/{}", id(token_id)?))).await
    }

    /// Makes an attached session.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn session_create(
        &self,
        params: &http::SessionParams,
    ) -> Result<http::SessionMadeView, ClientError> {
        self.post("/v1/sessions", params).await
    }

    /// Lists the sessions that live, whoever has begun them: those of a kind, or all.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn sessions(&self, kind: Option<&str>) -> Result<http::SessionsView, ClientError> {
        let kind = kind.map_or_else(String::new, |kind| format!("&kind={}", escaped(kind)));
        self.get(&format!("/v1/sessions?limit=1000{kind}")).await
    }

    /// Ends a session by its public name.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn session_end(&self, session_id: &str) -> Result<(), ClientError> {
        self.send(self.request(Method::DELETE, &format!("/v1/sessions/{}", id(session_id)?))).await.map(drop)
    }

    /// Ends the session whose secret this client shows.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn session_leave(&self) -> Result<(), ClientError> {
        self.send(self.request(Method::DELETE, "/v1/sessions")).await.map(drop)
    }

    /// Puts a body under a name, in a run or, with the token of a step, in that step's run.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn data_put(
        &self,
        name: &str,
        run_id: Option<&str>,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> Result<http::OutputView, ClientError> {
        let path = format!("/v1/data/{}{}", id(name)?, of_run(run_id));
        let request = self.request(Method::POST, &path).header("content-type", content_type).body(body);
        self.answer(request).await
    }

    /// Emits a small value.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn data_emit(&self, params: &http::EmitParams) -> Result<http::EmittedView, ClientError> {
        self.post("/v1/data/emit", params).await
    }

    /// Fetches an output by its id or name: its bytes as they come.
    ///
    /// # Errors
    /// [`ClientError`] when there is none; what goes wrong later stands in the stream.
    pub async fn data_get(&self, key: &str, run_id: Option<&str>) -> Result<DataStream, ClientError> {
        let path = format!("/v1/data/{}{}", id(key)?, of_run(run_id));
        let response = self.send(self.request(Method::GET, &path)).await?;
        let address = self.address.clone();
        let chunks = response.bytes_stream().map(move |chunk| match chunk {
            Ok(chunk) => Ok(chunk.to_vec()),
            Err(source) => Err(ClientError::Unreachable { address: address.clone(), source }),
        });
        Ok(Box::pin(chunks))
    }

    /// Lists outputs, all or those that a run refers to.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn data_list(&self, run_id: Option<&str>) -> Result<http::OutputsView, ClientError> {
        let run = of_run(run_id);
        let limit = if run.is_empty() { "?limit=1000" } else { "&limit=1000" };
        self.get(&format!("/v1/data{run}{limit}")).await
    }

    /// Posts a message to the MCP door, and gives the messages that come back: none for a notification, one, or one after
    /// the other where progress is told. Dropping the stream says that nobody waits any more.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn mcp(
        &self,
        headers: &[(&'static str, String)],
        message: String,
    ) -> Result<McpMessages, ClientError> {
        let mut request = self
            .request(Method::POST, "/mcp")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(message);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = request.send().await.map_err(|source| self.unreachable(source))?;
        let type_of = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        if type_of.is_some_and(|text| text.starts_with("text/event-stream")) {
            let (client, mut parser) = (self.clone(), SseParser::default());
            let events = response.bytes_stream().map(move |chunk| match chunk {
                Ok(chunk) => parser.push(&chunk).into_iter().map(|event| Ok(event.data)).collect(),
                Err(source) => vec![Err(client.unreachable(source))],
            });
            return Ok(Box::pin(events.flat_map(futures_util::stream::iter)));
        }
        let status = response.status().as_u16();
        let body = response.text().await.map_err(|source| self.unreachable(source))?;
        if let Ok(error) = serde_json::from_str(&body) {
            return Err(ClientError::Api { error, status });
        }
        if status >= 400 && serde_json::from_str::<Value>(&body).is_err() {
            return Err(ClientError::Protocol(format!("status {status}: {body}")));
        }
        // An error of the protocol comes with the status of one, and is an answer all the same.
        let message = Some(body).filter(|body| !body.trim().is_empty());
        Ok(Box::pin(futures_util::stream::iter(message.map(Ok))))
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

/// Gives a query of what is said.
fn query<'q>(said: impl IntoIterator<Item = (&'q str, &'q Option<String>)>) -> String {
    let parts = said.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?)));
    let parts: Vec<String> = parts.map(|(key, value)| format!("{key}={}", escaped(value))).collect();
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}

fn of_run(run_id: Option<&str>) -> String {
    run_id.map_or_else(String::new, |run_id| format!("?run_id={}", escaped(run_id)))
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
