//! `/v1/workspaces`

use crate::answer::{Answer, Refusal};
use crate::body::{JsonBody, PathPart, QueryOf, id};
use crate::convert;
use adjutant_engine::workspaces::{MergeChecks, MergeRequest, RestoreRequest};
use adjutant_engine::{Plane, RemoveMode};
use adjutant_model::Holder;
use adjutant_model::action::Caller;
use adjutant_protocol::{ApiError, http};
use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use std::path::PathBuf;

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
    let left_out = removed.left_out.iter().map(convert::left_out).collect();
    Ok(Json(http::RemovedView { id: holder.to_string(), snapshot_ref: removed.snapshot_ref, left_out }))
}

/// Lists the snapshots of a workspace that is or was there, the first one first.
#[utoipa::path(get, path = "/v1/workspaces/{id}/snapshots", tag = "workspaces", params(("id" = String, Path, description = "The run's id, or the session's.")), responses(
    (status = 200, body = http::SnapshotsView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 422, body = ApiError), (status = 500, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn snapshots(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
) -> Answer<Json<http::SnapshotsView>> {
    let snapshots = plane.workspace_snapshots(&id(&text)?).await?;
    Ok(Json(http::SnapshotsView { snapshots: snapshots.iter().map(convert::snapshot).collect() }))
}

/// Keeps a worktree as it is now; nothing is taken when its last snapshot is the same.
#[utoipa::path(post, path = "/v1/workspaces/{id}/snapshots", tag = "workspaces", params(("id" = String, Path, description = "The run's id, or the session's.")), responses(
    (status = 200, description = "The snapshot that was taken, or none.", body = http::SnapshotsView), (status = 400, body = ApiError),
    (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 422, body = ApiError),
    (status = 500, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn snapshot(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
) -> Answer<Json<http::SnapshotsView>> {
    let taken = plane.workspace_snapshot(&id(&text)?).await?;
    Ok(Json(http::SnapshotsView { snapshots: taken.iter().map(convert::snapshot).collect() }))
}

/// Puts a snapshot back: in place, behind a snapshot of what is there, while the workspace is; else where it was, or into
/// another directory.
#[utoipa::path(post, path = "/v1/workspaces/{id}/restore", tag = "workspaces", params(("id" = String, Path, description = "The run's id, or the session's.")),
    request_body = http::RestoreParams, responses(
    (status = 200, body = http::RestoredView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 409, description = "Somebody works there.", body = ApiError),
    (status = 413, body = ApiError), (status = 422, body = ApiError), (status = 500, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn restore(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
    JsonBody(params): JsonBody<http::RestoreParams>,
) -> Answer<Json<http::RestoredView>> {
    let request = RestoreRequest { number: params.snapshot, to: params.to.map(PathBuf::from) };
    Ok(Json(convert::restored(&plane.workspace_restore(&id(&text)?, request).await?)))
}

/// Merges what was committed in a workspace into a branch when the checks pass on the merged tree.
#[utoipa::path(post, path = "/v1/workspaces/{id}/merge", tag = "workspaces", params(("id" = String, Path, description = "The run's id, or the session's.")),
    request_body = http::MergeParams, responses(
    (status = 200, body = http::MergedView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError),
    (status = 409, description = "Both have changed the same, or somebody's work is in the way.", body = ApiError),
    (status = 413, body = ApiError), (status = 422, description = "It is not committed, or a check does not pass.", body = ApiError),
    (status = 500, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn merge(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(text): PathPart,
    JsonBody(params): JsonBody<http::MergeParams>,
) -> Answer<Json<http::MergedView>> {
    let checks = match (params.no_check, params.checks.is_empty()) {
        (true, true) => MergeChecks::None,
        (true, false) => return Err(Refusal::invalid("`no_check` and `checks` exclude each other")),
        (false, true) => MergeChecks::OfGoal,
        (false, false) => MergeChecks::Commands(params.checks),
    };
    let request = MergeRequest { into: params.into, checks };
    Ok(Json(convert::merged(&plane.workspace_merge(&caller, &id(&text)?, request).await?)))
}

/// Tells how much room all workspaces take.
#[utoipa::path(get, path = "/v1/workspaces/usage", tag = "workspaces", responses(
    (status = 200, body = http::RoomView), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn usage(State(plane): State<Plane>) -> Answer<Json<http::RoomView>> {
    Ok(Json(convert::workspaces_usage(&plane.workspaces_usage().await?)))
}
