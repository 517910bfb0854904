//! `/v1/runs/{id}/cost`, `/v1/goals/{id}/cost`

use crate::answer::Answer;
use crate::body::{PathPart, id};
use crate::convert;
use adjutant_engine::Plane;
use adjutant_protocol::{ApiError, http};
use axum::Json;
use axum::extract::State;

/// Gives what a run cost: its steps, and the sessions that did them with whatever they have started.
#[utoipa::path(get, path = "/v1/runs/{id}/cost", tag = "runs", params(("id" = String, Path, description = "The run's id.")), responses(
    (status = 200, body = http::CostView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn of_run(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
) -> Answer<Json<http::CostView>> {
    Ok(Json(convert::cost(&plane.run_cost(&id(&text)?).await?)))
}

/// Gives what a goal cost: the runs that are linked to it and the sessions that are or serve it.
#[utoipa::path(get, path = "/v1/goals/{id}/cost", tag = "goals", params(("id" = String, Path, description = "The goal's id.")), responses(
    (status = 200, body = http::CostView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn of_goal(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
) -> Answer<Json<http::CostView>> {
    Ok(Json(convert::cost(&plane.goal_cost(&id(&text)?).await?)))
}
