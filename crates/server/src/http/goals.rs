//! `/v1/goals`

use crate::answer::{Answer, Refusal};
use crate::body::{JsonBody, PathPart, QueryOf, id};
use crate::convert;
use adjutant_engine::Plane;
use adjutant_engine::goals::{CriterionSpec, GoalParams, SignOff};
use adjutant_model::goal::GoalStatus;
use adjutant_protocol::{ApiError, http};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

/// Makes a goal.
#[utoipa::path(post, path = "/v1/goals", tag = "goals", request_body = http::GoalParams, responses(
    (status = 201, body = http::GoalView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 409, body = ApiError), (status = 413, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn create(
    State(plane): State<Plane>,
    JsonBody(params): JsonBody<http::GoalParams>,
) -> Answer<(StatusCode, Json<http::GoalView>)> {
    let acceptance =
        params.acceptance.into_iter().map(|c| CriterionSpec { text: c.text, check: c.check }).collect();
    let params = GoalParams { description: params.description, acceptance, project: params.project };
    let goal = plane.goal_create(params).await?;
    Ok((StatusCode::CREATED, Json(convert::goal(&goal))))
}

/// Which goals.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct GoalsQuery {
    /// In this state.
    #[serde(default)]
    status: Option<String>,
}

/// Lists goals, the oldest first.
#[utoipa::path(get, path = "/v1/goals", tag = "goals", params(GoalsQuery), responses(
    (status = 200, body = http::GoalsView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn list(
    State(plane): State<Plane>,
    QueryOf(query): QueryOf<GoalsQuery>,
) -> Answer<Json<http::GoalsView>> {
    let status = query.status.as_deref().map(status).transpose()?;
    let goals = plane.goal_list(status).await?;
    Ok(Json(http::GoalsView { goals: goals.iter().map(convert::goal).collect() }))
}

/// Gives a goal.
#[utoipa::path(get, path = "/v1/goals/{id}", tag = "goals", params(("id" = String, Path, description = "The goal's id.")), responses(
    (status = 200, body = http::GoalView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn get(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
) -> Answer<Json<http::GoalView>> {
    Ok(Json(convert::goal(&plane.goal_get(&id(&text)?).await?)))
}

macro_rules! change {
    ($(#[$doc:meta])* $name:ident, $path:literal, $params:ty, |$plane:ident, $goal:ident, $body:ident| $do:expr) => {
        $(#[$doc])*
        #[utoipa::path(post, path = $path, tag = "goals", params(("id" = String, Path, description = "The goal's id.")),
            request_body = $params, responses(
            (status = 200, body = http::GoalView), (status = 400, body = ApiError), (status = 401, body = ApiError),
            (status = 403, body = ApiError), (status = 404, body = ApiError),
            (status = 409, description = "The goal does not take it, or is not proved.", body = ApiError),
            (status = 413, body = ApiError), (status = 422, body = ApiError), (status = 500, body = ApiError),
            (status = 503, body = ApiError)))]
        pub(crate) async fn $name(
            State($plane): State<Plane>,
            PathPart(text): PathPart,
            JsonBody($body): JsonBody<$params>,
        ) -> Answer<Json<http::GoalView>> {
            let $goal = id(&text)?;
            Ok(Json(convert::goal(&$do)))
        }
    };
}

change!(
    /// Links a session or run.
    link, "/v1/goals/{id}/links", http::LinkParams,
    |plane, goal_id, params| plane.goal_link(&goal_id, params.session_id, params.task).await?
);
change!(
    /// Records a person's word for a criterion.
    evidence, "/v1/goals/{id}/evidence", http::EvidenceParams,
    |plane, goal_id, params| {
        let http::EvidenceParams { criterion, person, words } = params;
        plane.goal_sign_off(&goal_id, SignOff { criterion, person, words }).await?
    }
);
change!(
    /// Leaves a note.
    note, "/v1/goals/{id}/notes", http::NoteParams,
    |plane, goal_id, params| plane.goal_note(&goal_id, params.note).await?
);
change!(
    /// Goes to another state; `done` only through the gate.
    set_status, "/v1/goals/{id}/status", http::GoalStatusParams,
    |plane, goal_id, params| plane.goal_status(&goal_id, status(&params.status)?, params.reason).await?
);
change!(
    /// Runs every check now.
    check, "/v1/goals/{id}/check", Nothing,
    |plane, goal_id, _nothing| plane.goal_check(&goal_id).await?
);
change!(
    /// Calls the goal done, when fresh evidence proves it.
    close, "/v1/goals/{id}/close", Nothing,
    |plane, goal_id, _nothing| plane.goal_close(&goal_id).await?
);

/// An empty object, or no body.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

fn status(text: &str) -> Answer<GoalStatus> {
    GoalStatus::parse(text).ok_or_else(|| {
        let known = GoalStatus::ALL.map(GoalStatus::as_str).join(", ");
        Refusal::invalid(format!("there is no status `{text}`; known: {known}"))
    })
}
