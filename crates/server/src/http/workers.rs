//! `/v1/worker`: what the worker of a step gets and gives; its token names the step.

use crate::answer::{Answer, Refusal};
use crate::body::{JsonBody, QueryOf, TextBody, id};
use crate::convert;
use adjutant_engine::Plane;
use adjutant_engine::operators::{Body, Delivery, claim};
use adjutant_model::action::Caller;
use adjutant_model::{StepId, Value};
use adjutant_protocol::{ApiError, ErrorCode, http};
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;

/// Which step.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepQuery {
    /// The step; the token names it too, and another is refused.
    #[serde(default)]
    task_id: Option<String>,
    /// Which attempt; the token names it too.
    #[serde(default)]
    attempt: Option<u32>,
}

/// Gives the step that a request names, if any, with its attempt.
fn named(task_id: Option<&str>, attempt: Option<u32>) -> Answer<Option<StepId>> {
    let step = task_id.map(id::<StepId>).transpose()?;
    if let (Some(step), Some(attempt)) = (&step, attempt)
        && step.names().2 != attempt
    {
        return Err(Refusal::new(ErrorCode::Forbidden, format!("{step} is another attempt than {attempt}")));
    }
    Ok(step)
}

/// Gives what a worker is to do.
#[utoipa::path(get, path = "/v1/worker/prompt", tag = "workers", params(StepQuery), responses(
    (status = 200, body = http::WorkerPromptView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, description = "The token is another step's.", body = ApiError),
    (status = 409, description = "The seat has changed hands.", body = ApiError),
    (status = 410, description = "The step is over.", body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn prompt(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    QueryOf(query): QueryOf<StepQuery>,
) -> Answer<Json<http::WorkerPromptView>> {
    let step = named(query.task_id.as_deref(), query.attempt)?;
    Ok(Json(convert::worker_prompt(&plane.worker_prompt(&caller, step.as_ref()).await?)))
}

/// Gives the system prompt of a worker's agent as text.
#[utoipa::path(get, path = "/v1/worker/prompt/system", tag = "workers", params(StepQuery), responses(
    (status = 200, body = String, content_type = "text/plain"), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, description = "The agent has none.", body = ApiError),
    (status = 409, body = ApiError), (status = 410, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn system(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    QueryOf(query): QueryOf<StepQuery>,
) -> Answer<String> {
    let step = named(query.task_id.as_deref(), query.attempt)?;
    let prompt = plane.worker_prompt(&caller, step.as_ref()).await?;
    let none = || Refusal::new(ErrorCode::NotFound, "the agent has no system prompt");
    prompt.system.map(|text| text.0).ok_or_else(none)
}

/// How a worker says that its step went.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubmitQuery {
    /// The step; the token names it too, and another is refused.
    #[serde(default)]
    task_id: Option<String>,
    /// Whether it went well; it did unless something else is said.
    #[serde(default)]
    ok: Option<bool>,
    /// The same in one word: `pass`, `blocked` or `skip`, which means that there was nothing to do.
    #[serde(default)]
    verdict: Option<String>,
}

/// Delivers the result of a step, as a text; one that is a JSON object or array is taken as that. Until the step ends a
/// second result takes the place of the first.
#[utoipa::path(post, path = "/v1/worker/submit", tag = "workers", params(SubmitQuery),
    request_body(content = String, content_type = "text/plain"), responses(
    (status = 204), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, description = "The token is another step's.", body = ApiError),
    (status = 409, description = "The seat has changed hands.", body = ApiError),
    (status = 410, description = "The step is over.", body = ApiError), (status = 413, body = ApiError),
    (status = 422, description = "The result breaks the agent's contract; nothing was kept.", body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn submit(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    QueryOf(query): QueryOf<SubmitQuery>,
    TextBody(text): TextBody,
) -> Answer<StatusCode> {
    let step = named(query.task_id.as_deref(), None)?;
    let claim = claim(query.ok, query.verdict.as_deref())?;
    deliver(&plane, &caller, step, Delivery::Final { claim, body: Body::Text(text) }).await
}

/// Delivers the result of a step, as JSON.
#[utoipa::path(post, path = "/v1/worker/result", tag = "workers", request_body = http::WorkerResultParams, responses(
    (status = 204), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 409, body = ApiError), (status = 410, body = ApiError), (status = 413, body = ApiError),
    (status = 422, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn result(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    JsonBody(params): JsonBody<http::WorkerResultParams>,
) -> Answer<StatusCode> {
    let step = named(params.task_id.as_deref(), params.attempt)?;
    let claim = claim(params.ok, params.verdict.as_deref())?;
    let body = Body::Json(Value::from(params.value));
    deliver(&plane, &caller, step, Delivery::Final { claim, body }).await
}

/// Which part.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArtifactQuery {
    /// The part's name; a part of the same name takes its place.
    name: String,
    /// The step; the token names it too, and another is refused.
    #[serde(default)]
    task_id: Option<String>,
}

/// Delivers a named part of the result, which is then `{"out": …, "parts": {name: …}}`.
#[utoipa::path(post, path = "/v1/worker/artifact", tag = "workers", params(ArtifactQuery),
    request_body(content = String, content_type = "text/plain"), responses(
    (status = 204), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 409, body = ApiError), (status = 410, body = ApiError), (status = 413, body = ApiError),
    (status = 422, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn artifact(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    QueryOf(query): QueryOf<ArtifactQuery>,
    TextBody(text): TextBody,
) -> Answer<StatusCode> {
    let step = named(query.task_id.as_deref(), None)?;
    deliver(&plane, &caller, step, Delivery::Part { name: query.name, body: Body::Text(text) }).await
}

/// Says what a worker could not do as it should.
#[utoipa::path(post, path = "/v1/worker/degradation", tag = "workers", params(StepQuery), request_body = http::DegradationParams, responses(
    (status = 204), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 409, body = ApiError), (status = 410, body = ApiError), (status = 413, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn degradation(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    QueryOf(query): QueryOf<StepQuery>,
    JsonBody(params): JsonBody<http::DegradationParams>,
) -> Answer<StatusCode> {
    let step = named(query.task_id.as_deref(), query.attempt)?;
    let value = Value::from(serde_json::to_value(params).expect("it was JSON"));
    deliver(&plane, &caller, step, Delivery::Degradation(value)).await
}

/// Says what a worker's model used.
#[utoipa::path(post, path = "/v1/worker/stats", tag = "workers", params(StepQuery), request_body = http::WorkerStatsParams, responses(
    (status = 204), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 409, body = ApiError), (status = 410, body = ApiError), (status = 413, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn stats(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    QueryOf(query): QueryOf<StepQuery>,
    JsonBody(params): JsonBody<http::WorkerStatsParams>,
) -> Answer<StatusCode> {
    let step = named(query.task_id.as_deref(), query.attempt)?;
    let value = Value::from(serde_json::to_value(params).expect("it was JSON"));
    deliver(&plane, &caller, step, Delivery::Stats(value)).await
}

async fn deliver(
    plane: &Plane,
    caller: &Caller,
    step: Option<StepId>,
    delivery: Delivery,
) -> Answer<StatusCode> {
    plane.worker_deliver(caller, step.as_ref(), delivery).await?;
    Ok(StatusCode::NO_CONTENT)
}
