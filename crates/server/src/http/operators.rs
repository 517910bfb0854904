//! `/v1/operators`, and the seats of runs.

use crate::answer::Answer;
use crate::body::{JsonBody, PathPart, QueryOf, id};
use crate::convert;
use crate::http::page::Page;
use adjutant_engine::Plane;
use adjutant_engine::operators::JoinParams;
use adjutant_model::action::Caller;
use adjutant_model::{RunId, StepId, Value};
use adjutant_protocol::{ApiError, http};
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;

/// How long a list is.
const PAGE: Page = Page { usual: 50, max: 200 };

/// Joins as an operator; the token that opens its socket is in this answer and nowhere else.
#[utoipa::path(post, path = "/v1/operators", tag = "operators", request_body = http::OperatorJoinParams, responses(
    (status = 200, body = http::OperatorJoinedView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 409, description = "A role is another's, who is there.", body = ApiError),
    (status = 413, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn join(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    JsonBody(params): JsonBody<http::OperatorJoinParams>,
) -> Answer<Json<http::OperatorJoinedView>> {
    let params = JoinParams {
        desc: params.desc.unwrap_or_default(),
        capability_manifest: params.capability_manifest.map(Value::from),
        roles: params.roles,
    };
    let (operator, token) = plane.operator_join(&caller, params).await?;
    Ok(Json(http::OperatorJoinedView { sid: operator.sid.to_string(), token: token.reveal().to_owned() }))
}

/// How many operators.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct OperatorsQuery {
    /// At most so many, up to 200; 50 unless said otherwise.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Lists the operators, the newest first.
#[utoipa::path(get, path = "/v1/operators", tag = "operators", params(OperatorsQuery), responses(
    (status = 200, body = http::OperatorsView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn list(
    State(plane): State<Plane>,
    QueryOf(query): QueryOf<OperatorsQuery>,
) -> Answer<Json<http::OperatorsView>> {
    let known = plane.operator_list();
    let limit = PAGE.limit(query.limit)?;
    let total = known.len();
    let operators = known.iter().take(limit).map(|known| {
        let view = convert::operator(known);
        http::OperatorView { capability_manifest: None, ..view }
    });
    Ok(Json(http::OperatorsView { operators: operators.collect(), total, limit }))
}

/// Gives an operator, to itself and to the owner.
#[utoipa::path(get, path = "/v1/operators/{sid}", tag = "operators",
    params(("sid" = String, Path, description = "The operator.")), responses(
    (status = 200, body = http::OperatorView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn get(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(sid): PathPart,
) -> Answer<Json<http::OperatorView>> {
    Ok(Json(convert::operator(&plane.operator_get(&caller, &sid)?)))
}

/// Lets an operator go: its token ends, its socket closes, and its seats are vacant.
#[utoipa::path(delete, path = "/v1/operators/{sid}", tag = "operators",
    params(("sid" = String, Path, description = "The operator.")), responses(
    (status = 204), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn leave(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(sid): PathPart,
) -> Answer<StatusCode> {
    plane.operator_leave(&caller, &sid).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a seat of a run over; replies of the old holder are refused from then on.
#[utoipa::path(post, path = "/v1/runs/{id}/acquire", tag = "operators",
    params(("id" = String, Path, description = "The run's id.")), request_body = http::AcquireParams, responses(
    (status = 200, body = http::AcquiredView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 409, body = ApiError),
    (status = 413, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn acquire(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(text): PathPart,
    JsonBody(params): JsonBody<http::AcquireParams>,
) -> Answer<Json<http::AcquiredView>> {
    let run_id: RunId = id(&text)?;
    let http::AcquireParams { op, desc, slot } = params;
    let acquired = plane.seat_acquire(&caller, &run_id, (&op, &desc, slot)).await?;
    Ok(Json(http::AcquiredView {
        run_id: run_id.to_string(),
        slot: acquired.slot,
        generation: acquired.generation,
        previous: acquired.previous.map(|op| op.to_string()),
        slots: acquired.moved,
    }))
}

/// Gives who holds the seats of a run.
#[utoipa::path(get, path = "/v1/runs/{id}/assignees", tag = "operators",
    params(("id" = String, Path, description = "The run's id.")), responses(
    (status = 200, body = http::AssigneesView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn assignees(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
) -> Answer<Json<http::AssigneesView>> {
    Ok(Json(convert::assignees(&plane.assignees(&id(&text)?).await?)))
}

/// Gives what a new holder of a run's seats has to know.
#[utoipa::path(get, path = "/v1/runs/{id}/handover", tag = "operators",
    params(("id" = String, Path, description = "The run's id.")), responses(
    (status = 200, body = http::HandoverView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn handover(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
) -> Answer<Json<http::HandoverView>> {
    Ok(Json(convert::handover(&plane.handover(&id(&text)?).await?)))
}

/// Which step.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct MaterialQuery {
    /// The step, as `/handover` names it.
    step_id: String,
}

/// Gives what the worker of an open step is told.
#[utoipa::path(get, path = "/v1/runs/{id}/material", tag = "operators",
    params(("id" = String, Path, description = "The run's id."), MaterialQuery), responses(
    (status = 200, body = http::MaterialView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn material(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
    QueryOf(query): QueryOf<MaterialQuery>,
) -> Answer<Json<http::MaterialView>> {
    let run_id: RunId = id(&text)?;
    let material = plane.material(&run_id, &id::<StepId>(&query.step_id)?).await?;
    Ok(Json(http::MaterialView {
        run_id: run_id.to_string(),
        payload: convert::worker_prompt(&material.prompt),
        final_present: material.given.is_some(),
        final_ok: material.given,
    }))
}
