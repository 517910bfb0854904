//! `/v1/workspaces`

use crate::answer::Answer;
use crate::body::{PathPart, QueryOf, id};
use crate::convert;
use adjutant_engine::{Plane, RemoveMode};
use adjutant_model::Holder;
use adjutant_protocol::{ApiError, http};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;

/// Lists workspaces, the newest first.
#[utoipa::path(get, path = "/v1/workspaces", tag = "workspaces", responses(
    (status = 200, body = http::WorkspacesView), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn list(State(plane): State<Plane>) -> Answer<Json<http::WorkspacesView>> {
    let workspaces = plane.workspaces().await?;
    Ok(Json(http::WorkspacesView { workspaces: workspaces.iter().map(convert::workspace_entry).collect() }))
}

/// Gives what a worktree changed since its base, untracked files included.
#[utoipa::path(get, path = "/v1/workspaces/{id}/diff", tag = "workspaces", params(("id" = String, Path, description = "The run's id, or the session's.")), responses(
    (status = 200, body = String, content_type = "text/plain"), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 422, body = ApiError), (status = 500, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn diff(State(plane): State<Plane>, PathPart(text): PathPart) -> Answer<String> {
    Ok(plane.workspace_diff(&id(&text)?).await?)
}

/// How much may be given up.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoveQuery {
    /// Give up unsaved work; a snapshot of it stays.
    #[serde(default)]
    force: bool,
}

/// Removes the workspace of a run that is over; a worktree only behind a snapshot.
#[utoipa::path(delete, path = "/v1/workspaces/{id}", tag = "workspaces",
    params(("id" = String, Path, description = "The run's id, or the session's."), RemoveQuery), responses(
    (status = 200, body = http::RemovedView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 409, body = ApiError),
    (status = 422, description = "It holds unsaved work.", body = ApiError), (status = 500, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn remove(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
    QueryOf(query): QueryOf<RemoveQuery>,
) -> Answer<Json<http::RemovedView>> {
    let holder: Holder = id(&text)?;
    let mode = if query.force { RemoveMode::Force } else { RemoveMode::IfSaved };
    let removed = plane.workspace_remove(&holder, mode).await?;
    Ok(Json(http::RemovedView { id: holder.to_string(), snapshot_ref: removed.snapshot_ref }))
}
