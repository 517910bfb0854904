//! `/v1/delegations`: the work that sessions have given to others, whoever looks.
//!
//! A session's own are at `/v1/sessions/managed/{id}/delegations`, where they are also begun.

use super::managed::WAIT_MS;
use crate::answer::Answer;
use crate::body::{PathPart, QueryOf, id};
use crate::convert;
use crate::http::page::Page;
use adjutant_engine::Plane;
use adjutant_model::action::Caller;
use adjutant_protocol::{ApiError, http};
use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use std::time::Duration;

/// How long a list is.
const PAGE: Page = Page { usual: 1000, max: 1000 };

/// Which delegations.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DelegationsQuery {
    /// Only those for which something has yet to be done: they have not ended, or their session was not told so.
    #[serde(default)]
    open: bool,
    /// At most so many, up to 1000, which it is unless said otherwise.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Lists the delegations of all sessions, the newest first.
#[utoipa::path(get, path = "/v1/delegations", tag = "delegations", params(DelegationsQuery), responses(
    (status = 200, body = http::DelegationList), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn list(
    State(plane): State<Plane>,
    QueryOf(query): QueryOf<DelegationsQuery>,
) -> Answer<Json<http::DelegationList>> {
    let limit = PAGE.limit(query.limit)?;
    let found = plane.delegations_all(query.open, limit).await?;
    Ok(Json(http::DelegationList { delegations: found.iter().map(convert::delegation).collect() }))
}

/// Gives a delegation.
#[utoipa::path(get, path = "/v1/delegations/{id}", tag = "delegations",
    params(("id" = String, Path, description = "The delegation's id.")), responses(
    (status = 200, body = http::DelegationView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn get(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
) -> Answer<Json<http::DelegationView>> {
    Ok(Json(convert::delegation(&plane.delegation(id(&text)?).await?)))
}

/// Cancels a delegation: it does not begin, or its session's agent is ended; that session's workspace stays.
///
/// Its end is told to the session that delegates, as any end is.
#[utoipa::path(post, path = "/v1/delegations/{id}/cancel", tag = "delegations",
    params(("id" = String, Path, description = "The delegation's id.")), responses(
    (status = 200, body = http::DelegationView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError),
    (status = 409, description = "It is over, or its session is being made.", body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn cancel(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(text): PathPart,
) -> Answer<Json<http::DelegationView>> {
    let cancelled = plane.delegation_cancel(&caller, id(&text)?, Duration::from_millis(WAIT_MS)).await?;
    Ok(Json(convert::delegation(&cancelled)))
}
