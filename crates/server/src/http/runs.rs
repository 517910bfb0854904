//! `/v1/runs`

use crate::answer::{Answer, Refusal};
use crate::body::{JsonBody, PathPart, PathParts, QueryOf, id};
use crate::convert;
use crate::http::page::Page;
use adjutant_engine::{Plane, RunFilter, Superseded, TurnFilter, TurnPart};
use adjutant_model::action::Caller;
use adjutant_model::run::{RunStatus, TurnKind};
use adjutant_model::{RunId, TaskId};
use adjutant_protocol::{ApiError, http};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::Deserialize;

/// So many runs are listed.
const PAGE: Page = Page { usual: 100, max: 1000 };
/// So many turns are.
const TURNS: Page = Page { usual: 1000, max: 1000 };

/// Gives a filter for the newest runs of a task.
pub(crate) fn of_task(task_id: TaskId, limit: usize) -> RunFilter {
    RunFilter { task_id: Some(task_id), limit, ..RunFilter::default() }
}

/// Which runs.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunsQuery {
    /// Of this task.
    #[serde(default)]
    task_id: Option<String>,
    /// In this state.
    #[serde(default)]
    status: Option<String>,
    /// At most so many, up to 1000; 100 unless said otherwise.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Behind this run: the `next_cursor` of the last page.
    #[serde(default)]
    cursor: Option<String>,
}

/// Lists runs, the newest first.
#[utoipa::path(get, path = "/v1/runs", tag = "runs", params(RunsQuery), responses(
    (status = 200, body = http::RunsView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn list(
    State(plane): State<Plane>,
    QueryOf(query): QueryOf<RunsQuery>,
) -> Answer<Json<http::RunsView>> {
    let status = match &query.status {
        Some(text) => Some(RunStatus::parse(text).ok_or_else(|| {
            let known = RunStatus::ALL.map(RunStatus::as_str).join(", ");
            Refusal::invalid(format!("there is no status `{text}`; known: {known}"))
        })?),
        None => None,
    };
    let limit = PAGE.limit(query.limit)?;
    let filter = RunFilter {
        task_id: query.task_id.as_deref().map(id).transpose()?,
        status,
        before: query.cursor.as_deref().map(id).transpose()?,
        after: None,
        limit,
    };
    let runs = plane.run_list(filter).await?;
    let next_cursor = runs.last().filter(|_| runs.len() == limit).map(|run| run.id.to_string());
    Ok(Json(http::RunsView { runs: runs.iter().map(convert::run).collect(), next_cursor }))
}

/// Gives a run.
#[utoipa::path(get, path = "/v1/runs/{id}", tag = "runs", params(("id" = String, Path, description = "The run's id.")), responses(
    (status = 200, body = http::RunView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn get(State(plane): State<Plane>, PathPart(text): PathPart) -> Answer<Json<http::RunView>> {
    let run_id = id::<RunId>(&text)?;
    let run = convert::run(&plane.run_get(&run_id).await?);
    let usage = plane.run_usage(&run_id).await?.as_ref().map(convert::usage);
    Ok(Json(http::RunView { usage, ..run }))
}

/// Which turns.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TraceQuery {
    /// Behind this index.
    #[serde(default)]
    after: Option<u64>,
    /// At most so many, up to 1000, which it is unless said otherwise.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The last turns instead of the first when there are more than fit.
    #[serde(default)]
    latest: bool,
    /// Of this kind: `step` or `tool`, or both with a comma.
    #[serde(default)]
    kind: Option<String>,
    /// Of this step, an agent's name or a path, with the tools that its agent called.
    #[serde(default)]
    step: Option<String>,
    /// Of this attempt.
    #[serde(default)]
    attempt: Option<u32>,
}

/// Gives a run's trace as JSON Lines, one turn a line; the header `x-next-cursor` is the `after` of the next page.
#[utoipa::path(get, path = "/v1/runs/{id}/trace", tag = "runs",
    params(("id" = String, Path, description = "The run's id."), TraceQuery), responses(
    (status = 200, description = "Lines of turns.", body = http::TurnView, content_type = "application/x-ndjson"),
    (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn trace(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
    QueryOf(query): QueryOf<TraceQuery>,
) -> Answer<impl IntoResponse> {
    let limit = TURNS.limit(query.limit)?;
    let filter = TurnFilter {
        after: query.after,
        limit,
        part: if query.latest { TurnPart::Last } else { TurnPart::First },
        kind: query.kind.as_deref().map_or(Ok(None), turn_kind)?,
        step: query.step,
        attempt: query.attempt,
        superseded: Superseded::Shown,
    };
    let turns = plane.turns_where(&id::<RunId>(&text)?, filter).await?;
    let mut lines = String::new();
    for turn in &turns {
        lines.push_str(&serde_json::to_string(&convert::turn(turn)).expect("a turn is JSON"));
        lines.push('\n');
    }
    let more = turns.len() == limit && !query.latest;
    let next = turns.last().filter(|_| more).map(|turn| turn.index.to_string());
    Ok((
        [("content-type", "application/x-ndjson".to_owned()), ("x-next-cursor", next.unwrap_or_default())],
        lines,
    ))
}

/// Reads the kinds of turns that are wanted; both are no filter.
fn turn_kind(text: &str) -> Answer<Option<TurnKind>> {
    let mut kinds = Vec::new();
    for name in text.split(',') {
        kinds.push(match name.trim() {
            "step" => TurnKind::Step,
            "tool" => TurnKind::Tool,
            other => return Err(Refusal::invalid(format!("there is no kind `{other}`; known: step, tool"))),
        });
    }
    Ok(kinds.first().copied().filter(|first| kinds.iter().all(|kind| kind == first)))
}

/// Goes on with an interrupted run: one that its daemon could not go on with, or whose owner left it.
#[utoipa::path(post, path = "/v1/runs/{id}/resume", tag = "runs", params(("id" = String, Path, description = "The run's id.")), responses(
    (status = 202, description = "The run goes on.", body = http::ResumedView), (status = 400, body = ApiError),
    (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 404, body = ApiError),
    (status = 409, description = "The run is not interrupted.", body = ApiError),
    (status = 422, description = "This version cannot read its blueprint.", body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn resume(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
) -> Answer<(StatusCode, Json<http::ResumedView>)> {
    let run_id: RunId = id(&text)?;
    let resumed = plane.run_resume(&run_id).await?;
    Ok((StatusCode::ACCEPTED, Json(convert::resumed(&run_id, &resumed))))
}

/// Lets a run that is over go on again from one of its steps, under the versions that it was bound to. Steps that do not
/// follow from it keep what they gave; those that are taken back stay in the trace as superseded.
#[utoipa::path(post, path = "/v1/runs/{id}/rerun-from", tag = "runs", params(("id" = String, Path, description = "The run's id.")),
    request_body = http::RerunParams, responses(
    (status = 202, description = "The run goes on.", body = http::RerunView), (status = 400, body = ApiError),
    (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 404, body = ApiError),
    (status = 409, description = "The run is not over.", body = ApiError), (status = 413, body = ApiError),
    (status = 422, description = "There is no such step, nothing would follow from it, or this version cannot read the blueprint.", body = ApiError),
    (status = 429, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn rerun(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(text): PathPart,
    JsonBody(params): JsonBody<http::RerunParams>,
) -> Answer<(StatusCode, Json<http::RerunView>)> {
    let run_id: RunId = id(&text)?;
    let rerun = plane.run_rerun(&caller, &run_id, &params.from_step).await?;
    Ok((StatusCode::ACCEPTED, Json(convert::rerun(&run_id, &rerun))))
}

/// Removes a run that is over, with its turns and its trace. Of its journal a checkpoint stays.
#[utoipa::path(delete, path = "/v1/runs/{id}", tag = "runs", params(("id" = String, Path, description = "The run's id.")), responses(
    (status = 204, description = "It is gone."), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError),
    (status = 409, description = "It is not over, has a workspace, or works on an open goal.", body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn delete(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(text): PathPart,
) -> Answer<StatusCode> {
    plane.run_delete(&caller, &id(&text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives what the gate said of a turn, with every rule that matched; also of a client's run.
#[utoipa::path(get, path = "/v1/runs/{id}/turns/{turn}/judgements", tag = "runs", params(
    ("id" = String, Path, description = "The run's id."), ("turn" = u64, Path, description = "The turn's index.")), responses(
    (status = 200, body = http::ExplanationView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn explain(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathParts(run_id, turn): PathParts,
) -> Answer<Json<http::ExplanationView>> {
    let turn = turn.parse().map_err(|_| Refusal::invalid(format!("`{turn}` is no turn")))?;
    Ok(Json(convert::explanation(&plane.turn_explain(&caller, &run_id, turn).await?)))
}

/// Cancels a run: what it has in flight is ended.
#[utoipa::path(post, path = "/v1/runs/{id}/cancel", tag = "runs", params(("id" = String, Path, description = "The run's id.")),
    request_body = http::CancelParams, responses(
    (status = 200, body = http::RunView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 409, body = ApiError),
    (status = 413, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn cancel(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(text): PathPart,
    JsonBody(params): JsonBody<http::CancelParams>,
) -> Answer<Json<http::RunView>> {
    let reason = params.reason.unwrap_or_else(|| "asked to".to_owned());
    let run = plane.run_cancel(&caller, &id(&text)?, &reason).await?;
    Ok(Json(convert::run(&run)))
}
