//! `/v1/memory`: what is remembered.

use crate::answer::{Answer, Refusal};
use crate::body::{JsonBody, PathPart, QueryOf, id};
use crate::convert;
use crate::http::page::Page;
use adjutant_engine::Plane;
use adjutant_engine::memory::{FactsShown, LISTED_MAX, RecallParams, RememberParams, SupersedeParams};
use adjutant_model::Timestamp;
use adjutant_model::action::Caller;
use adjutant_protocol::{ApiError, http};
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;

/// How long a list is.
const PAGE: Page = Page { usual: 100, max: LISTED_MAX };

/// Which facts.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct FactsQuery {
    /// Only those of this scope.
    #[serde(default)]
    scope: Option<String>,
    /// Only those that have this tag.
    #[serde(default)]
    tag: Option<String>,
    /// Whether those that hold no more are among them.
    #[serde(default)]
    all: bool,
    /// How many at most, up to 1000.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Remembers something.
///
/// What the scope holds already is answered with 200 and not kept twice. A session's own token adds to its project, its
/// agent and its goal.
#[utoipa::path(post, path = "/v1/memory", tag = "memory", request_body = http::RememberParams, responses(
    (status = 201, body = http::FactView), (status = 200, description = "The scope says so already.", body = http::FactView),
    (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, description = "The scope is not the caller's, or a rule denies it.", body = ApiError),
    (status = 404, description = "There is no such goal.", body = ApiError), (status = 413, body = ApiError),
    (status = 429, description = "The scope is full.", body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn remember(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    JsonBody(params): JsonBody<http::RememberParams>,
) -> Answer<(StatusCode, Json<http::FactView>)> {
    let http::RememberParams { text, scope, tags, valid_until } = params;
    let valid_until = instant(valid_until.as_deref())?;
    let remembered =
        plane.memory_remember(&caller, RememberParams { text, scope, tags, valid_until }).await?;
    let status = if remembered.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(convert::fact(&remembered.fact))))
}

/// Lists facts, the newest first.
#[utoipa::path(get, path = "/v1/memory", tag = "memory", params(FactsQuery), responses(
    (status = 200, body = http::FactsView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn list(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    QueryOf(query): QueryOf<FactsQuery>,
) -> Answer<Json<http::FactsView>> {
    let FactsQuery { scope, tag, all, limit } = query;
    let limit = PAGE.limit(limit)?;
    let (scopes, tags) = (scope.into_iter().collect(), tag.into_iter().collect());
    let facts = plane.memory_list(&caller, FactsShown { scopes, tags, is_all: all, limit }).await?;
    Ok(Json(http::FactsView { facts: facts.iter().map(convert::fact).collect() }))
}

/// Recalls what has the words of a query, the best first.
///
/// A session's recall stands in its journal, and a run's in its trace.
#[utoipa::path(post, path = "/v1/memory/recall", tag = "memory", request_body = http::RecallParams, responses(
    (status = 200, body = http::FactsView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, description = "The scope is not the caller's, or a rule denies it.", body = ApiError),
    (status = 404, description = "The step is not in flight.", body = ApiError), (status = 413, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn recall(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    JsonBody(params): JsonBody<http::RecallParams>,
) -> Answer<Json<http::FactsView>> {
    let http::RecallParams { query, scopes, tags, limit } = params;
    let found = plane.memory_recall(&caller, RecallParams { query, scopes, tags, limit }).await?;
    Ok(Json(http::FactsView { facts: found.iter().map(convert::found_fact).collect() }))
}

/// Gives a fact.
#[utoipa::path(get, path = "/v1/memory/{id}", tag = "memory", params(("id" = String, Path, description = "The fact's id.")), responses(
    (status = 200, body = http::FactView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn get(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(text): PathPart,
) -> Answer<Json<http::FactView>> {
    Ok(Json(convert::fact(&plane.memory_get(&caller, &id(&text)?).await?)))
}

/// Puts another fact in one's place; the old one is recalled no more.
#[utoipa::path(post, path = "/v1/memory/{id}/supersede", tag = "memory", params(("id" = String, Path, description = "The fact's id.")),
    request_body = http::SupersedeParams, responses(
    (status = 201, body = http::FactView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError),
    (status = 409, description = "It has a successor already.", body = ApiError), (status = 413, body = ApiError),
    (status = 429, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn supersede(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(text): PathPart,
    JsonBody(params): JsonBody<http::SupersedeParams>,
) -> Answer<(StatusCode, Json<http::FactView>)> {
    let http::SupersedeParams { text: new, tags, valid_until } = params;
    let params = SupersedeParams { text: new, tags, valid_until: instant(valid_until.as_deref())? };
    let fact = plane.memory_supersede(&caller, &id(&text)?, params).await?;
    Ok((StatusCode::CREATED, Json(convert::fact(&fact))))
}

/// Forgets a fact: its text stands nowhere any more. An agent forgets only what it said itself.
#[utoipa::path(delete, path = "/v1/memory/{id}", tag = "memory", params(("id" = String, Path, description = "The fact's id.")), responses(
    (status = 204, description = "It is forgotten."), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn forget(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(text): PathPart,
) -> Answer<StatusCode> {
    plane.memory_forget(&caller, &id(&text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn instant(text: Option<&str>) -> Answer<Option<Timestamp>> {
    text.map(Timestamp::parse)
        .transpose()
        .map_err(|error| Refusal::invalid(format!("`valid_until` is no instant: {error}")))
}
