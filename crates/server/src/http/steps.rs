//! The steps of runs, and what came out of them.

use crate::answer::Answer;
use crate::body::{PathPart, PathParts, PathTriple, QueryOf, id};
use crate::convert;
use crate::http::page::Page;
use adjutant_engine::{EngineError, Plane};
use adjutant_model::{RunId, TaskId};
use adjutant_protocol::{ApiError, http};
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Deserialize;

/// How long a list is.
const PAGE: Page = Page { usual: 1000, max: 1000 };

/// Which steps.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepsQuery {
    /// Behind this: the `next_after` of the last page.
    #[serde(default)]
    after: Option<u64>,
    /// At most so many, up to 1000, which it is unless said otherwise.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

impl StepsQuery {
    fn limit(&self) -> Answer<usize> {
        PAGE.limit(self.limit)
    }
}

/// Lists the steps of a run, each attempt of one as an entry, in the order in which they began.
#[utoipa::path(get, path = "/v1/runs/{id}/steps", tag = "runs",
    params(("id" = String, Path, description = "The run's id."), StepsQuery), responses(
    (status = 200, body = http::StepsView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn list(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
    QueryOf(query): QueryOf<StepsQuery>,
) -> Answer<Json<http::StepsView>> {
    let (run_id, limit): (RunId, usize) = (id(&text)?, query.limit()?);
    let steps = plane.steps(&run_id, query.after, limit).await?;
    let next_after = steps.last().filter(|_| steps.len() == limit).map(|step| step.turn.index);
    let steps = steps.iter().map(|step| convert::step(&run_id, step)).collect();
    Ok(Json(http::StepsView { run_id: run_id.to_string(), steps, next_after }))
}

/// Gives which versions and agents a run is bound to.
#[utoipa::path(get, path = "/v1/runs/{id}/bindings", tag = "runs", params(("id" = String, Path, description = "The run's id.")), responses(
    (status = 200, body = http::BindingsView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 422, description = "This version cannot read its blueprint any more.", body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn bindings(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
) -> Answer<Json<http::BindingsView>> {
    Ok(Json(convert::bindings(&plane.run_bindings(&id(&text)?).await?)))
}

/// Lists what came out of the steps of a run; `latest` is the task's newest run.
#[utoipa::path(get, path = "/v1/tasks/{id}/runs/{run}/steps", tag = "tasks", params(
    ("id" = String, Path, description = "The task's id."), ("run" = String, Path, description = "The run's id, or `latest`."),
    StepsQuery), responses(
    (status = 200, body = http::StepOutputsView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn outputs(
    State(plane): State<Plane>,
    PathParts(task, run): PathParts,
    QueryOf(query): QueryOf<StepsQuery>,
) -> Answer<Json<http::StepOutputsView>> {
    let limit = query.limit()?;
    let of = run_of(&plane, &task, &run).await?;
    let outputs = plane.step_outputs(&of.1, query.after, limit).await?;
    let next_after = outputs.last().filter(|_| outputs.len() == limit).map(|output| output.turn);
    Ok(Json(http::StepOutputsView {
        task_id: of.0.to_string(),
        run_id: of.1.to_string(),
        steps: outputs.iter().map(|output| convert::step_output((&of.0, &of.1), output)).collect(),
        next_after,
    }))
}

/// Tells what came out of a step, named by its agent or its path.
#[utoipa::path(get, path = "/v1/tasks/{id}/runs/{run}/steps/{step}", tag = "tasks", params(
    ("id" = String, Path, description = "The task's id."), ("run" = String, Path, description = "The run's id, or `latest`."),
    ("step" = String, Path, description = "An agent's name, its last step then, or a path.")), responses(
    (status = 200, body = http::StepOutputView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn output(
    State(plane): State<Plane>,
    PathTriple(task, run, step): PathTriple,
) -> Answer<Json<http::StepOutputView>> {
    let of = run_of(&plane, &task, &run).await?;
    Ok(Json(convert::step_output((&of.0, &of.1), &plane.step_output(&of.1, &step).await?)))
}

/// Which part of the content.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContentQuery {
    /// A JSON pointer such as `/a/0`, or a context path such as `$.a[0]`, into the content.
    #[serde(default)]
    path: Option<String>,
}

/// Gives the content that came out of a step: a text as it is, anything else as JSON.
#[utoipa::path(get, path = "/v1/tasks/{id}/runs/{run}/steps/{step}/content", tag = "tasks", params(
    ("id" = String, Path, description = "The task's id."), ("run" = String, Path, description = "The run's id, or `latest`."),
    ("step" = String, Path, description = "An agent's name, its last step then, or a path."), ContentQuery), responses(
    (status = 200, description = "The content; a text is `text/plain`.", body = serde_json::Value, content_type = "application/json"),
    (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn content(
    State(plane): State<Plane>,
    PathTriple(task, run, step): PathTriple,
    QueryOf(query): QueryOf<ContentQuery>,
) -> Answer<impl IntoResponse> {
    let (_, run_id) = run_of(&plane, &task, &run).await?;
    let content = plane.step_content(&run_id, &step, query.path.as_deref()).await?;
    // What an agent wrote is never run by a browser that comes here.
    Ok(([("content-type", content.content_type), ("x-content-type-options", "nosniff")], content.text))
}

/// Finds the run of a task that is meant.
async fn run_of(plane: &Plane, task: &str, run: &str) -> Answer<(TaskId, RunId)> {
    let task_id: TaskId = id(task)?;
    plane.task_get(&task_id).await?;
    let none = || EngineError::NotFound { kind: "run of this task", id: run.to_owned() };
    let found = match run {
        "latest" => plane.run_list(super::runs::of_task(task_id.clone(), 1)).await?.pop(),
        run => Some(plane.run_get(&id(run)?).await?).filter(|run| run.task_id == task_id),
    };
    Ok((task_id, found.ok_or_else(none)?.id))
}
