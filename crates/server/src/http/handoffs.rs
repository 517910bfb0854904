//! `/v1/sessions/managed/{id}/handoff`: another agent goes on with a session's work.

use super::managed::{driver_of, tier_of};
use crate::answer::Answer;
use crate::body::{JsonBody, PathPart};
use crate::convert;
use adjutant_engine::Plane;
use adjutant_engine::handoffs::HandoffParams;
use adjutant_model::action::Caller;
use adjutant_protocol::{ApiError, http};
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};

/// Hands a session's work over to another agent.
///
/// A brief is written (task, goal, decisions, tree, open questions, last turns), and a session of the agent begins with it
/// from the session's branch, or from a snapshot of what is not committed. A request with a `key` that was heard before
/// finds what that made.
#[utoipa::path(post, path = "/v1/sessions/managed/{id}/handoff", tag = "managed sessions", params(("id" = String, Path, description = "The session's id or name.")), request_body = http::HandoffParams, responses((status = 201, body = http::HandoffView), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 409, description = "The session has no workspace yet, or the key stands for another request.", body = ApiError), (status = 413, body = ApiError), (status = 422, body = ApiError), (status = 429, body = ApiError), (status = 500, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn handoff(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(text): PathPart,
    JsonBody(params): JsonBody<http::HandoffParams>,
) -> Answer<(StatusCode, Json<http::HandoffView>)> {
    let id = plane.session_id(&text).await?;
    let (driver, tier) = (driver_of(params.driver.as_deref())?, tier_of(params.tier.as_deref())?);
    let http::HandoffParams { agent, model, note, key, stop: stops, .. } = params;
    let params = HandoffParams { agent, driver, tier, model, note, key, stops };
    let handoff = plane.handoff(&caller, id, params).await?;
    let successor = plane.session_managed(handoff.successor).await?;
    Ok((StatusCode::CREATED, Json(convert::handoff(&handoff, &successor))))
}
