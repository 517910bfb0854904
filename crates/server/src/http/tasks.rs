//! `/v1/tasks`

use crate::answer::{Answer, Refusal};
use crate::body::{JsonBody, PathPart, QueryOf, id};
use crate::convert;
use crate::http::page::Page;
use adjutant_engine::registry::VersionSelector;
use adjutant_engine::tasks::{BlueprintRef, RekickParams, TaskParams, TaskStarted};
use adjutant_engine::{EngineError, Plane, TaskEntry};
use adjutant_model::action::Caller;
use adjutant_model::run::{RunRecord, RunStatus};
use adjutant_model::{RunId, TaskId, Value};
use adjutant_protocol::{ApiError, ErrorCode, http};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

/// A request waits so long for its run unless it says otherwise.
const SYNC_TIMEOUT_SECS: u64 = 3600;
/// A request waits so long for a run that the store keeps from going on.
pub(crate) const STORE_PATIENCE: Duration = Duration::from_secs(3);
/// How long a list is.
const PAGE: Page = Page { usual: 100, max: 1000 };

/// Executes a blueprint: waits for its run, or answers at once with `detach`.
#[utoipa::path(post, path = "/v1/tasks", tag = "tasks", request_body = http::TaskParams, responses(
    (status = 200, description = "The run is done.", body = http::TaskDoneView),
    (status = 202, description = "The run is durable and goes on.", body = http::TaskDetachedView),
    (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 404, body = ApiError), (status = 409, description = "The run was cancelled, or the blueprint is archived.", body = ApiError),
    (status = 413, body = ApiError), (status = 422, description = "The blueprint cannot run, or its flow failed.", body = ApiError),
    (status = 429, body = ApiError), (status = 500, description = "The run was interrupted.", body = ApiError),
    (status = 503, body = ApiError), (status = 504, description = "The run took longer than its request waits, and was cancelled.", body = ApiError)))]
pub(crate) async fn create(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    JsonBody(params): JsonBody<http::TaskParams>,
) -> Answer<Response> {
    let wait = wait(params.detach, params.timeout_secs)?;
    let started = plane.task_start(&caller, task_params(params)?).await?;
    answer(&plane, &caller, started, (wait, StatusCode::OK)).await
}

/// Executes a task again as another run: waits for it, or answers at once with `detach`.
#[utoipa::path(post, path = "/v1/tasks/{id}/runs", tag = "tasks", params(("id" = String, Path, description = "The task's id.")),
    request_body = http::RekickParams, responses(
    (status = 201, description = "The run is done.", body = http::TaskDoneView),
    (status = 202, description = "The run is durable and goes on.", body = http::TaskDetachedView),
    (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 404, body = ApiError), (status = 409, description = "The run was cancelled.", body = ApiError),
    (status = 413, body = ApiError), (status = 422, description = "The blueprint cannot run, or its flow failed.", body = ApiError),
    (status = 429, body = ApiError), (status = 500, description = "The run was interrupted.", body = ApiError),
    (status = 503, body = ApiError), (status = 504, body = ApiError)))]
pub(crate) async fn rekick(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(text): PathPart,
    JsonBody(params): JsonBody<http::RekickParams>,
) -> Answer<Response> {
    let wait = wait(params.detach, params.timeout_secs)?;
    let started = plane.task_rekick(&caller, &id(&text)?, rekick_params(params)?).await?;
    answer(&plane, &caller, started, (wait, StatusCode::CREATED)).await
}

/// Waits for a run as long as its request does, and answers with its end; `done` is the status of a good one.
async fn answer(
    plane: &Plane,
    caller: &Caller,
    started: TaskStarted,
    (wait, done_status): (Option<Duration>, StatusCode),
) -> Answer<Response> {
    let Some(timeout) = wait else {
        return Ok((StatusCode::ACCEPTED, Json(detached(&started))).into_response());
    };
    // The run has an owner of its own: a client that goes away ends this wait and nothing else.
    let waiting = async {
        tokio::select! {
            ended = plane.run_ended(&started.run_id) => Ok(ended?),
            error = plane.store_stays_shut(STORE_PATIENCE) => Err(held_up(error, &started)),
        }
    };
    let ended = match tokio::time::timeout(timeout, waiting).await {
        Ok(ended) => ended?,
        Err(_) => match plane.run_cancel(caller, &started.run_id, &waited(timeout)).await {
            Ok(run) if run.status == RunStatus::Cancelled => return Err(timed_out(&run, timeout).into()),
            // Its own end was a moment quicker.
            Ok(_) | Err(_) => plane.run_ended(&started.run_id).await?,
        },
    };
    done(&started, &ended).map(|done| (done_status, Json(done)).into_response())
}

/// Gives how long a request waits for its run; `None` when it does not.
fn wait(detach: bool, timeout_secs: Option<u64>) -> Answer<Option<Duration>> {
    match (detach, timeout_secs) {
        (true, Some(_)) => Err(Refusal::invalid("`timeout_secs` does not go with `detach`")),
        (true, None) => Ok(None),
        (false, Some(0)) => Err(Refusal::invalid("`timeout_secs` must be 1 or more")),
        (false, secs) => Ok(Some(Duration::from_secs(secs.unwrap_or(SYNC_TIMEOUT_SECS)))),
    }
}

/// Reads what another run is given; nothing that is left out takes the place of what the task says.
fn rekick_params(params: http::RekickParams) -> Answer<RekickParams> {
    let over = params.task_input_override.unwrap_or_default();
    object_or_nothing(over.task_metadata.as_ref())?;
    let text = |text: Option<String>| text.map(Value::from);
    let request = [
        ("project_root", text(over.project_root)),
        ("work_dir", text(over.work_dir)),
        ("task_metadata", over.task_metadata.map(Value::from)),
        ("operator_sid", text(params.operator_sid)),
        ("operator_desc", text(params.operator_desc)),
        ("operator_slot", text(params.operator_slot)),
    ];
    let request = request.into_iter().filter_map(|(key, value)| Some((key.into(), value?))).collect();
    Ok(RekickParams { init_ctx: params.init_ctx_override.map(Value::from), request })
}

fn object_or_nothing(metadata: Option<&serde_json::Value>) -> Answer<()> {
    match metadata {
        Some(metadata) if !metadata.is_object() => Err(Refusal::invalid("`task_metadata` must be an object")),
        Some(_) | None => Ok(()),
    }
}

pub(crate) fn task_params(params: http::TaskParams) -> Answer<TaskParams> {
    let blueprint = match &params.blueprint {
        http::BlueprintRefParams::Inline { value } => BlueprintRef::Inline(Value::from(value.clone())),
        http::BlueprintRefParams::Id { id, version } => {
            BlueprintRef::Id { id: id.clone(), version: version.as_ref().map(selector).unwrap_or_default() }
        }
    };
    // Older clients say these in the context; what is said beside it goes before.
    let in_context = |key: &str| params.init_ctx.get(key).cloned();
    let path = |said: &Option<String>, key: &str| {
        let said = said.clone().or_else(|| in_context(key)?.as_str().map(str::to_owned));
        said.map(PathBuf::from)
    };
    let (project_root, work_dir) =
        (path(&params.project_root, "project_root"), path(&params.work_dir, "work_dir"));
    object_or_nothing(params.task_metadata.as_ref())?;
    let task_metadata =
        params.task_metadata.or_else(|| in_context("task_metadata").filter(serde_json::Value::is_object));
    let rest = json!({
        "blueprint": blueprint_ref(&params.blueprint), "task_metadata": task_metadata, "operator": params.operator,
        "operator_desc": params.operator_desc, "operator_sid": params.operator_sid,
        "operator_slot": params.operator_slot, "check_policy": params.check_policy,
    });
    Ok(TaskParams {
        blueprint,
        init_ctx: Value::from(params.init_ctx),
        project_root,
        work_dir,
        ttl_secs: params.ttl_secs,
        goal: params.goal,
        goal_id: params.goal_id.as_deref().map(id).transpose()?,
        agent: params.agent,
        rest: Value::from(rest),
    })
}

/// Gives a reference to a blueprint as it is kept with a task: without the document, which has its own place.
fn blueprint_ref(reference: &http::BlueprintRefParams) -> serde_json::Value {
    match reference {
        http::BlueprintRefParams::Inline { .. } => json!({"kind": "inline"}),
        http::BlueprintRefParams::Id { .. } => serde_json::to_value(reference).expect("a reference is JSON"),
    }
}

pub(super) fn selector(params: &http::VersionSelectorParams) -> VersionSelector {
    match params {
        http::VersionSelectorParams::Latest => VersionSelector::Latest,
        http::VersionSelectorParams::Fixed { value } => VersionSelector::Fixed(value.clone()),
        http::VersionSelectorParams::SemverReq { req } => VersionSelector::SemverReq(req.clone()),
    }
}

pub(crate) fn detached(started: &TaskStarted) -> http::TaskDetachedView {
    http::TaskDetachedView {
        task_id: started.task_id.to_string(),
        run_id: started.run_id.to_string(),
        status: "running".to_owned(),
        bound_version: started.bound_version.clone(),
        effective_ttl_secs: started.effective_ttl_secs,
        ttl_source: convert::ttl_source(started.ttl_source).to_owned(),
        warnings: started.warnings.iter().map(convert::lint).collect(),
    }
}

pub(crate) fn done(started: &TaskStarted, run: &RunRecord) -> Answer<http::TaskDoneView> {
    if run.status != RunStatus::Done {
        return Err(not_done(run).into());
    }
    let workspace = run.workspace.as_ref().map(convert::workspace);
    Ok(http::TaskDoneView {
        task_id: started.task_id.to_string(),
        run_id: started.run_id.to_string(),
        status: "done".to_owned(),
        final_ctx: run.result.as_ref().map_or(serde_json::Value::Null, Into::into),
        bound_version: started.bound_version.clone(),
        effective_ttl_secs: started.effective_ttl_secs,
        ttl_source: convert::ttl_source(started.ttl_source).to_owned(),
        warnings: started.warnings.iter().map(convert::lint).collect(),
        info: http::TaskInfoView {
            run_id: started.run_id.to_string(),
            goal: started.goal.clone(),
            project_root: workspace.as_ref().and_then(|workspace| workspace.project.clone()),
            work_dir: workspace.as_ref().map(|workspace| workspace.path.clone()),
            workspace,
        },
    })
}

/// Says why a run that ended is not done.
fn not_done(run: &RunRecord) -> ApiError {
    let ids = |details: serde_json::Value| Some(with_ids(details, &run.task_id, &run.id));
    let hint = Some(format!("`adjutant trace {}` shows every turn", run.id));
    match (&run.error, run.status) {
        (Some(error), RunStatus::Interrupted) => ApiError {
            error: format!("the run is interrupted: {}", error.message),
            code: ErrorCode::RunInterrupted.as_str().to_owned(),
            hint: Some(format!("`adjutant resume {}` goes on with it", run.id)),
            details: ids(json!({"status": run.status.as_str()})),
        },
        (Some(error), _) => ApiError {
            error: format!("the run failed: {error}"),
            code: ErrorCode::FlowFailed.as_str().to_owned(),
            hint,
            details: ids(json!({
                "failed_step": error.reference,
                "failed_path": error.step.as_ref().map(ToString::to_string),
                "verdict_value": error.value.as_ref().map(serde_json::Value::from),
                "partial_ctx": run.result.as_ref().map(serde_json::Value::from),
                "flow_error": convert::flow_error(error),
                "status": run.status.as_str(),
            })),
        },
        (None, _) => ApiError {
            error: format!("the run is {}", run.status),
            code: ErrorCode::RunCancelled.as_str().to_owned(),
            hint,
            details: ids(json!({"status": run.status.as_str()})),
        },
    }
}

fn waited(timeout: Duration) -> String {
    format!("its request waited {} s", timeout.as_secs())
}

/// Says why a run that was accepted does not go on now.
pub(crate) fn held_up(error: EngineError, started: &TaskStarted) -> Refusal {
    let ids = with_ids(json!({"status": "running"}), &started.task_id, &started.run_id);
    let told = ApiError::new(ErrorCode::StoreFull, format!("the run is accepted and waits: {error}"));
    let code = error.code().to_owned();
    let hint =
        "it goes on by itself when the store takes writes again: free space on the disk of the data folder";
    Refusal::from(ApiError { code, details: Some(ids), ..told.hinted(hint) })
}

/// Says that a run was cancelled because its request waited long enough: whoever asked with a limit gets an answer about
/// a run that is over, and may ask again without two of them at work in one place.
fn timed_out(run: &RunRecord, timeout: Duration) -> ApiError {
    ApiError {
        error: format!("the run took longer than {} s and was cancelled", timeout.as_secs()),
        code: ErrorCode::Timeout.as_str().to_owned(),
        hint: Some("use `detach`, or a longer `timeout_secs`".to_owned()),
        details: Some(with_ids(json!({"status": run.status.as_str()}), &run.task_id, &run.id)),
    }
}

fn with_ids(mut details: serde_json::Value, task_id: &TaskId, run_id: &RunId) -> serde_json::Value {
    details["task_id"] = json!(task_id.as_str());
    details["run_id"] = json!(run_id.as_str());
    details
}

/// How many entries.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// At most so many, up to 1000; 100 unless said otherwise.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Lists tasks, the newest first.
#[utoipa::path(get, path = "/v1/tasks", tag = "tasks", params(ListQuery), responses(
    (status = 200, body = Vec<http::TaskView>), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn list(
    State(plane): State<Plane>,
    QueryOf(query): QueryOf<ListQuery>,
) -> Answer<Json<Vec<http::TaskView>>> {
    let tasks = plane.task_list(PAGE.limit(query.limit)?).await?;
    Ok(Json(tasks.iter().map(convert::task).collect()))
}

/// Gives a task and its runs.
#[utoipa::path(get, path = "/v1/tasks/{id}", tag = "tasks", params(("id" = String, Path, description = "The task's id.")), responses(
    (status = 200, body = http::TaskRunsView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn get(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
) -> Answer<Json<http::TaskRunsView>> {
    let task_id: TaskId = id(&text)?;
    let task = plane.task_get(&task_id).await?;
    let filter = super::runs::of_task(task_id, PAGE.max);
    let runs = plane.run_list(filter).await?;
    let newest = runs.first();
    let entry = TaskEntry {
        status: newest.map(|run| run.status),
        updated_at: newest.map_or(task.created_at, |run| run.ended_at.unwrap_or(run.created_at)),
        task,
    };
    Ok(Json(http::TaskRunsView {
        task: convert::task(&entry),
        runs: runs.iter().map(convert::run).collect(),
    }))
}
