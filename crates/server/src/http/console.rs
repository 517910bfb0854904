//! `/v1/console`, `/v1/supervisor`, `/v1/config`, `/metrics`

use crate::answer::Answer;
use crate::body::JsonBody;
use crate::convert;
use adjutant_engine::Plane;
use adjutant_engine::metrics::MetricsForm;
use adjutant_model::Value;
use adjutant_model::action::Caller;
use adjutant_protocol::{ApiError, http};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

/// What Prometheus' text format is called.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// What OpenMetrics is called.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Gives the daemon at one glance. It never fails: what cannot be read is told among the problems.
#[utoipa::path(get, path = "/v1/console", tag = "console", responses(
    (status = 200, body = http::ConsoleView), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn console(State(plane): State<Plane>) -> Json<http::ConsoleView> {
    Json(convert::console(&plane.console().await))
}

/// Gives the fleet, and whether agents that died by themselves are started again.
#[utoipa::path(get, path = "/v1/supervisor", tag = "console", responses(
    (status = 200, body = http::SupervisorView), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn supervisor(State(plane): State<Plane>) -> Answer<Json<http::SupervisorView>> {
    let (fleet, auto_resume) = (plane.fleet().await?, plane.auto_resume().await);
    Ok(Json(convert::supervisor(&fleet, auto_resume)))
}

/// Says whether agents that died by themselves are started again, at once and after a restart.
#[utoipa::path(put, path = "/v1/supervisor/auto_resume", tag = "console", request_body = http::AutoResumeParams, responses(
    (status = 200, body = http::AutoResumeView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 409, body = ApiError), (status = 413, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn auto_resume(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    JsonBody(params): JsonBody<http::AutoResumeParams>,
) -> Answer<Json<http::AutoResumeView>> {
    let auto_resume = plane.auto_resume_set(&caller, params.enabled).await?;
    Ok(Json(convert::auto_resume(auto_resume)))
}

/// Gives the settings of `config.toml`: what it says, what holds, and what holds only after a restart.
#[utoipa::path(get, path = "/v1/config", tag = "console", responses(
    (status = 200, body = http::ConfigView), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 409, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn config(State(plane): State<Plane>) -> Answer<Json<http::ConfigView>> {
    Ok(Json(convert::config(&plane.config_read().await?)))
}

/// Changes settings, all of them or none; what else stands in the file stays. For the owner alone.
#[utoipa::path(patch, path = "/v1/config", tag = "console", request_body = http::ConfigParams, responses(
    (status = 200, body = http::ConfigView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 409, body = ApiError), (status = 413, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn config_change(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    JsonBody(params): JsonBody<http::ConfigParams>,
) -> Answer<Json<http::ConfigView>> {
    let changes = params.set.into_iter().map(|(key, value)| (key, Value::from(value))).collect();
    Ok(Json(convert::config(&plane.config_write(&caller, changes).await?)))
}

/// Gives metrics in Prometheus' text format, or in OpenMetrics for whoever accepts that.
#[utoipa::path(get, path = "/metrics", tag = "console", responses(
    (status = 200, body = String, content_type = "text/plain"), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn metrics(State(plane): State<Plane>, headers: HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let (form, name) = match accepts.contains("application/openmetrics-text") {
        true => (MetricsForm::OpenMetrics, OPEN_METRICS),
        false => (MetricsForm::Prometheus, PROMETHEUS),
    };
    ([(header::CONTENT_TYPE, name)], plane.metrics(form).await).into_response()
}
