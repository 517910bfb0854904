//! `/v1/healthz`, `/v1/status`

use adjutant_engine::Plane;
use adjutant_protocol::{ApiError, http};
use axum::Json;
use axum::extract::State;

/// Answers as soon as the daemon does. Needs no token.
#[utoipa::path(get, path = "/v1/healthz", tag = "status", security(()), responses(
    (status = 200, body = http::HealthView), (status = 403, body = ApiError)))]
pub(crate) async fn health(State(plane): State<Plane>) -> Json<http::HealthView> {
    let status = plane.status();
    let health = if status.store_failure.is_some() { "degraded" } else { "ok" };
    Json(http::HealthView { status: health.to_owned(), version: status.version })
}

/// Gives how the daemon is.
#[utoipa::path(get, path = "/v1/status", tag = "status", responses(
    (status = 200, body = http::StatusView), (status = 401, body = ApiError), (status = 403, body = ApiError)))]
pub(crate) async fn status(State(plane): State<Plane>) -> Json<http::StatusView> {
    let status = plane.status();
    Json(http::StatusView {
        version: status.version,
        started_at: status.started_at.to_string(),
        pid: std::process::id(),
        runs_open: status.runs_open as u64,
        journal_seq: status.journal_seq,
        store_failure: status.store_failure,
    })
}
