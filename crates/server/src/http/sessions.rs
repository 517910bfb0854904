//! `/v1/sessions` and `/v1/tokens`: who is let in, and for how long.

use crate::answer::Answer;
use crate::auth;
use crate::body::{JsonBody, PathPart, QueryOf, id};
use crate::convert;
use crate::http::managed::named;
use crate::http::page::Page;
use adjutant_engine::Plane;
use adjutant_engine::plane::TokensShown;
use adjutant_engine::roster::{RosterFilter, RosterKind};
use adjutant_engine::sessions::SessionParams;
use adjutant_model::action::Caller;
use adjutant_protocol::{ApiError, ErrorCode, http};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::{Extension, Json};
use serde::Deserialize;

/// How long a list is.
const PAGE: Page = Page { usual: 100, max: 1000 };
/// An agent's token lives so long when nothing is said, in seconds.
const TOKEN_SECS: u64 = 3600;

/// Makes a session: a secret with a role, shown once, that ends by itself.
///
/// A host makes sessions of every role but its own; an operator those of roles that may do no more than its own.
#[utoipa::path(post, path = "/v1/sessions", tag = "sessions", request_body = http::SessionParams, responses(
    (status = 201, body = http::SessionMadeView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 413, body = ApiError), (status = 429, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn create(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    JsonBody(params): JsonBody<http::SessionParams>,
) -> Answer<(StatusCode, Json<http::SessionMadeView>)> {
    let http::SessionParams { agent_id, role, ttl_secs } = params;
    let made = plane.session_create(&caller, SessionParams { agent_id, role, ttl_secs }).await?;
    let (token, session_id) = (&made.token, made.secret.reveal().to_owned());
    let view = http::SessionMadeView {
        session_id,
        id: token.session_id.map(|id| id.to_string()).unwrap_or_default(),
        agent_id: token.agent_id.as_deref().unwrap_or_default().to_owned(),
        role: token.role.as_str().to_owned(),
        ttl_enforced: true,
        expires_at: token.expires_at.map(|at| at.to_string()).unwrap_or_default(),
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// Which sessions.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionsQuery {
    /// Only those of a kind: `attached`, `managed` or `discovered`.
    #[serde(default)]
    kind: Option<String>,
    /// At most so many, up to 1000; 100 unless said otherwise.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Lists the sessions that live, whoever has begun them, the newest first; never their secrets.
///
/// More of the managed ones is at `/v1/sessions/managed`.
#[utoipa::path(get, path = "/v1/sessions", tag = "sessions", params(SessionsQuery), responses(
    (status = 200, body = http::SessionsView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn list(
    State(plane): State<Plane>,
    QueryOf(query): QueryOf<SessionsQuery>,
) -> Answer<Json<http::SessionsView>> {
    let limit = PAGE.limit(query.limit)?;
    let known = RosterKind::ALL.map(RosterKind::as_str);
    let kind = query.kind.map(|kind| named("kind", &kind, RosterKind::parse, &known)).transpose()?;
    let sessions = plane.roster(RosterFilter { kind, limit }).await?;
    Ok(Json(http::SessionsView { sessions: sessions.iter().map(convert::session).collect() }))
}

/// Ends the session whose secret is shown as the bearer token; once.
#[utoipa::path(delete, path = "/v1/sessions", tag = "sessions", responses(
    (status = 204), (status = 400, description = "The header is no bearer token.", body = ApiError),
    (status = 401, description = "There is no header.", body = ApiError), (status = 403, body = ApiError),
    (status = 404, description = "No session that lives has this secret.", body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn leave(State(plane): State<Plane>, headers: HeaderMap) -> Answer<StatusCode> {
    let hint = "send `Authorization: Bearer SESSION_ID`, with the secret that `POST /v1/sessions` gave";
    let Some(secret) = auth::bearer(&headers) else {
        let error = match headers.contains_key(header::AUTHORIZATION) {
            true => ApiError::new(ErrorCode::InvalidRequest, "the header `Authorization` is no bearer token"),
            false => ApiError::new(ErrorCode::Unauthenticated, "the secret of a session is needed"),
        };
        return Err(error.hinted(hint).into());
    };
    plane.session_leave(secret).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends a session by its public name.
#[utoipa::path(delete, path = "/v1/sessions/{id}", tag = "sessions",
    params(("id" = String, Path, description = "The session's public name.")), responses(
    (status = 204), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn end(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(text): PathPart,
) -> Answer<StatusCode> {
    plane.session_end(&caller, id(&text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a token that acts as an agent; its secret is in this answer and nowhere else.
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", request_body = http::TokenRequest, responses(
    (status = 200, body = http::TokenView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 413, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn token_create(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    JsonBody(request): JsonBody<http::TokenRequest>,
) -> Answer<Json<http::TokenView>> {
    let ttl_secs = request.ttl_secs.unwrap_or(TOKEN_SECS);
    let secret = plane.agent_token_create(&caller, &request.agent_id, ttl_secs).await?;
    Ok(Json(http::TokenView { token: secret.reveal().to_owned(), agent_id: request.agent_id, ttl_secs }))
}

/// Which tokens.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokensQuery {
    /// Also those that are over, which are shown for a day, and those of steps.
    #[serde(default)]
    all: bool,
    /// At most so many, up to 1000; 100 unless said otherwise.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Lists tokens, the newest first; never their secrets.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens", params(TokensQuery), responses(
    (status = 200, body = http::TokensView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn tokens(
    State(plane): State<Plane>,
    QueryOf(query): QueryOf<TokensQuery>,
) -> Answer<Json<http::TokensView>> {
    let which = if query.all { TokensShown::All } else { TokensShown::Good };
    let tokens = plane.tokens(which, PAGE.limit(query.limit)?).await?;
    Ok(Json(http::TokensView { tokens: tokens.iter().map(convert::token).collect() }))
}

/// Takes a token back: nobody is let in by it any more, and whoever was is let go.
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "tokens",
    params(("id" = String, Path, description = "The token's public name.")), responses(
    (status = 200, body = http::TokenEntryView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError),
    (status = 409, description = "It is the one that is shown, or was taken back already.", body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn token_revoke(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(text): PathPart,
) -> Answer<Json<http::TokenEntryView>> {
    Ok(Json(convert::token(&plane.token_revoke(&caller, &id(&text)?).await?)))
}
