//! `/v1/hooks`: what agents tell, and what they ask. `/v1/breakers`: which of them are left alone.

use crate::answer::{Answer, Refusal};
use crate::body::PathPart;
use crate::convert;
use adjutant_engine::Plane;
use adjutant_engine::hooks::{HookForm, HookParams};
use adjutant_model::Value;
use adjutant_model::action::Caller;
use adjutant_model::id::Uuid;
use adjutant_protocol::{ApiError, ErrorCode, http};
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

/// A hook's payload is at most so large; a little more than the command of the agents' hooks sends.
pub(crate) const HOOK_BYTES_MAX: usize = (8 << 20) + (64 << 10);
/// The header in which the owner says of which session a hook is.
const SESSION_HEADER: &str = "x-adjutant-session";
/// The header by which a hook is known again that comes by another way as well.
const HOOK_HEADER: &str = "x-adjutant-hook";
/// A list has at most so many.
const LIST_MAX: usize = 10_000;

/// Takes a hook of an agent.
///
/// The body is what the agent gives its hooks (it names its event in `hook_event_name`), or `{session_id, event, payload}`
/// with the session's id. The token is the session's own, and then no other session may be named; or the owner's, with
/// the session in the body or in the header `x-adjutant-session`. Any event is taken, known or not.
///
/// The token of a run's step is good as well: its agent's calls are turns of the run then.
///
/// A hook that has a UUID in the header `x-adjutant-hook` counts once, however often it comes.
///
/// `PreToolUse` and `PermissionRequest` are judged, and when a rule asks a person the answer comes when they have answered
/// or the deadline is over. An agent's own body is answered in the agent's own format, `{}` when there is nothing that it
/// is told, so this is what an HTTP hook can name; the other form is answered as declared here.
#[utoipa::path(post, path = "/v1/hooks", tag = "hooks", request_body = Object, responses(
    (status = 200, body = http::HookAnswerView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, description = "The token is not the session's.", body = ApiError),
    (status = 404, description = "There is no such session, or the step is not in flight.", body = ApiError), (status = 413, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn receive(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Response> {
    let body = body.map_err(not_taken)?;
    let size_bytes = body.len() as u64;
    let session =
        headers.get(SESSION_HEADER).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    // An agent's tools put anything into its payload, also what is no text.
    let body: serde_json::Value = serde_json::from_str(&String::from_utf8_lossy(&body))
        .map_err(|error| Refusal::invalid(format!("the body cannot be read: {error}")))?;
    if caller.step.is_some() {
        let answer = plane.hook_of_step(&caller, Value::from(body)).await?;
        return Ok(Json(answer.unwrap_or_else(|| serde_json::json!({}))).into_response());
    }
    let params = HookParams { body: Value::from(body), session, size_bytes, hook_id: hook_id(&headers)? };
    let answered = plane.hook_received(&caller, params).await?;
    Ok(match answered.form {
        HookForm::Agent { answer } => Json(answer.unwrap_or_else(|| serde_json::json!({}))).into_response(),
        HookForm::Named => Json(convert::hook_answer(&answered)).into_response(),
    })
}

fn hook_id(headers: &HeaderMap) -> Answer<Option<Uuid>> {
    let Some(value) = headers.get(HOOK_HEADER) else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    id.map(Some).ok_or_else(|| Refusal::invalid(format!("the header `{HOOK_HEADER}` is no UUID")))
}

fn not_taken(rejection: BytesRejection) -> Refusal {
    match rejection.status().as_u16() {
        413 => Refusal::new(ErrorCode::TooLarge, "what a hook brings is larger than 8 MiB"),
        _ => Refusal::invalid(rejection.body_text()),
    }
}

/// Lists the breakers of agents, by name.
#[utoipa::path(get, path = "/v1/breakers", tag = "hooks", responses(
    (status = 200, body = http::BreakersView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn breakers(State(plane): State<Plane>) -> Answer<Json<http::BreakersView>> {
    let breakers = plane.breakers(LIST_MAX).await?;
    Ok(Json(http::BreakersView { breakers: breakers.iter().map(convert::breaker).collect() }))
}

/// Closes an agent's breaker: it may be started again.
#[utoipa::path(post, path = "/v1/breakers/{agent}/reset", tag = "hooks", params(("agent" = String, Path)), responses(
    (status = 200, body = http::BreakerView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, description = "None is kept of this agent.", body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn breaker_reset(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(agent): PathPart,
) -> Answer<Json<http::BreakerView>> {
    Ok(Json(convert::breaker(&plane.breaker_reset(&caller, &agent).await?)))
}
