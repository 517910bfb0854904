//! `/v1/errors`: errors of Adjutant itself, and their reports, which leave the machine by consent alone.

use crate::answer::Answer;
use crate::body::{JsonBody, PathPart, QueryOf};
use crate::convert;
use adjutant_engine::Plane;
use adjutant_engine::reports::ERRORS_DEFAULT;
use adjutant_model::action::Caller;
use adjutant_protocol::{ApiError, http};
use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;

/// How much of the list is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorsQuery {
    /// At most so many, from 1 to 100; 20 when nothing is said.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
}

/// Lists errors of Adjutant, those that were seen last first. Equal ones are one.
#[utoipa::path(get, path = "/v1/errors", tag = "errors", params(ErrorsQuery), responses(
    (status = 200, body = http::ErrorsView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn list(
    State(plane): State<Plane>,
    QueryOf(query): QueryOf<ErrorsQuery>,
) -> Answer<Json<http::ErrorsView>> {
    Ok(Json(convert::errors(&plane.errors(query.limit.unwrap_or(ERRORS_DEFAULT)).await?)))
}

/// Gives an error, and what became of its last report.
#[utoipa::path(get, path = "/v1/errors/{fingerprint}", tag = "errors", params(("fingerprint" = String, Path)), responses(
    (status = 200, body = http::ErrorDetailView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, description = "There is no such error.", body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn get(
    State(plane): State<Plane>,
    PathPart(fingerprint): PathPart,
) -> Answer<Json<http::ErrorDetailView>> {
    Ok(Json(convert::error_detail(&plane.error_get(&fingerprint).await?)))
}

/// Words an issue of an error, and keeps the words under a hash. Nothing leaves the machine.
#[utoipa::path(post, path = "/v1/errors/{fingerprint}/preview", tag = "errors", params(("fingerprint" = String, Path)),
    responses((status = 200, body = http::ReportPreviewView), (status = 400, body = ApiError),
    (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 404, description = "There is no such error.", body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn preview(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(fingerprint): PathPart,
) -> Answer<Json<http::ReportPreviewView>> {
    Ok(Json(convert::report_preview(&plane.error_preview(&caller, &fingerprint).await?)))
}

/// Files the preview that is agreed to, word by word, as an issue; where one of this error is open, as a comment of it.
///
/// Without consent a preview is the answer. One report of an error is filed a day, and ten of all in an hour. Only the
/// owner agrees.
#[utoipa::path(post, path = "/v1/errors/{fingerprint}/report", tag = "errors", params(("fingerprint" = String, Path)),
    request_body = http::ReportParams, responses((status = 200, body = http::ReportedView),
    (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 404, description = "There is no such error, or no such preview of it.", body = ApiError),
    (status = 409, description = "The preview goes elsewhere than the settings say.", body = ApiError),
    (status = 413, body = ApiError),
    (status = 502, description = "It could not be filed; the hint says whether to agree again.", body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn report(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(fingerprint): PathPart,
    JsonBody(params): JsonBody<http::ReportParams>,
) -> Answer<Json<http::ReportedView>> {
    let reported = plane.error_report(&caller, &fingerprint, convert::consent(params)).await?;
    Ok(Json(convert::reported(reported)))
}
