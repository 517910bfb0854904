//! `/v1/store`: backups, restores, checks, and what takes how much room.

use crate::answer::Answer;
use crate::body::JsonBody;
use crate::convert;
use adjutant_engine::Plane;
use adjutant_engine::care::Existing;
use adjutant_model::action::Caller;
use adjutant_protocol::{ApiError, http};
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};

/// Makes a backup of the whole store in a file of the daemon's machine, while the daemon works. For the owner alone.
///
/// The answer comes when the file is whole, checked, flushed and under its name. A client that goes stops it.
#[utoipa::path(post, path = "/v1/store/backup", tag = "store", request_body = http::BackupParams, responses(
    (status = 200, body = http::BackupView),
    (status = 400, description = "It may not be there.", body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 409, description = "There is a file.", body = ApiError),
    (status = 413, body = ApiError), (status = 429, description = "Another is under way.", body = ApiError),
    (status = 500, description = "The store is damaged.", body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn backup(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    JsonBody(params): JsonBody<http::BackupParams>,
) -> Answer<Json<http::BackupView>> {
    let existing = if params.force { Existing::Replaced } else { Existing::Kept };
    Ok(Json(convert::backup(plane.store_backup(&caller, params.file.into(), existing).await?)))
}

/// Looks whether the store is whole: its pages, the journal's chains, rows that refer to rows, and every content and
/// body that rows name. Takes as long as reading all of it.
#[utoipa::path(post, path = "/v1/store/check", tag = "store", responses(
    (status = 200, body = http::CheckView), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 429, description = "Another, or a backup, is under way.", body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn check(State(plane): State<Plane>) -> Answer<Json<http::CheckView>> {
    Ok(Json(convert::check(plane.store_check().await?)))
}

/// Gives what takes how much room in the store.
#[utoipa::path(get, path = "/v1/store/sizes", tag = "store", responses(
    (status = 200, body = http::SizesView), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn sizes(State(plane): State<Plane>) -> Answer<Json<http::SizesView>> {
    Ok(Json(convert::sizes(&plane.store_sizes().await?)))
}

/// Lets a backup take the store's place: it is checked wholly, then the daemon ends its work in order, puts the store in
/// place and starts anew at the same address. For the owner alone.
///
/// Agents go on meanwhile. What was replaced is kept whole. Tokens that are not good now are not good then.
#[utoipa::path(post, path = "/v1/store/restore", tag = "store", request_body = http::StoreRestoreParams, responses(
    (status = 202, description = "It is checked, and about to happen.", body = http::StoreRestoreBegunView),
    (status = 400, description = "It is no backup.", body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 413, body = ApiError),
    (status = 429, description = "Another, a backup or a check is under way.", body = ApiError),
    (status = 500, description = "The backup is damaged.", body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn restore(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    JsonBody(params): JsonBody<http::StoreRestoreParams>,
) -> Answer<(StatusCode, Json<http::StoreRestoreBegunView>)> {
    let begun = plane.store_restore(&caller, params.file.into()).await?;
    Ok((StatusCode::ACCEPTED, Json(convert::restore_begun(begun))))
}

/// Gives the restore that ended last.
#[utoipa::path(get, path = "/v1/store/restore", tag = "store", responses(
    (status = 200, body = http::StoreRestoresView), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn restores(State(plane): State<Plane>) -> Answer<Json<http::StoreRestoresView>> {
    Ok(Json(http::StoreRestoresView { last: plane.last_restore().await?.map(convert::restore_ended) }))
}
