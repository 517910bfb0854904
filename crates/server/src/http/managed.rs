//! `/v1/sessions/managed` and `/v1/inbox`: agents that the plane hosts, and what they wait for.
//!
//! Wherever a session's id stands its name is as good, while it is not decommissioned.

use crate::answer::{Answer, Refusal};
use crate::body::{JsonBody, PathPart, QueryOf, id};
use crate::convert;
use crate::http::events::{self, FeedSpec};
use crate::http::page::Page;
use adjutant_engine::Plane;
use adjutant_engine::approvals::Face;
use adjutant_engine::delegations::DelegateParams;
use adjutant_engine::hosting::{HostParams, SCREEN_LINES_MAX, SessionCommand, SessionFilter};
use adjutant_model::SessionId;
use adjutant_model::action::Caller;
use adjutant_model::session::{AskAnswer, DriverKind, ModelTier, SessionBudget, SessionState};
use adjutant_protocol::{ApiError, ErrorCode, http};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// How long a list is.
const PAGE: Page = Page { usual: 200, max: 1000 };
/// How long a page of events is.
const EVENTS: Page = Page { usual: 1000, max: 1000 };
/// A request waits so long for an agent to be there when nothing is said, in milliseconds.
pub(crate) const WAIT_MS: u64 = 30_000;
/// It waits at most so long, in milliseconds.
const WAIT_MS_MAX: u64 = 120_000;
/// So many lines of a terminal are shown when nothing is said.
pub(crate) const LINES: usize = 60;

/// Begins a managed session: a workspace of its own, and an agent in it that is told its task.
#[utoipa::path(post, path = "/v1/sessions/managed", tag = "managed sessions", request_body = http::HostParams, responses((status = 201, body = http::ManagedView), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 409, body = ApiError), (status = 413, body = ApiError), (status = 429, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn create(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    JsonBody(params): JsonBody<http::HostParams>,
) -> Answer<(StatusCode, Json<http::ManagedView>)> {
    let patience = Duration::from_millis(params.wait_ms.unwrap_or(WAIT_MS).min(WAIT_MS_MAX));
    let managed = plane.session_host(&caller, host_params(params)?, patience).await?;
    Ok((StatusCode::CREATED, Json(convert::managed(&managed))))
}

/// Reads the name of a driver.
pub(super) fn driver_of(name: Option<&str>) -> Answer<Option<DriverKind>> {
    let drivers = DriverKind::ALL.map(DriverKind::as_str);
    name.map(|name| named("driver", name, DriverKind::parse, &drivers)).transpose()
}

/// Reads the name of a tier.
pub(super) fn tier_of(name: Option<&str>) -> Answer<Option<ModelTier>> {
    let tiers = ModelTier::ALL.map(ModelTier::as_str);
    name.map(|name| named("tier", name, ModelTier::parse, &tiers)).transpose()
}

fn host_params(params: http::HostParams) -> Answer<HostParams> {
    let agent = match (params.agent, params.runtime) {
        (Some(_), Some(_)) => return Err(Refusal::invalid("`runtime` is another name for `agent`: say one")),
        (agent, runtime) => agent.or(runtime),
    };
    let http::BudgetView { max_cost_usd, max_tokens, max_minutes } = params.budget;
    Ok(HostParams {
        project: params.project.map(PathBuf::from),
        repo_url: params.repo_url,
        git_ref: params.git_ref,
        task: params.task,
        agent,
        driver: driver_of(params.driver.as_deref())?,
        name_hint: params.name_hint,
        goal_id: params.goal.as_deref().map(id).transpose()?,
        tier: tier_of(params.tier.as_deref())?,
        model: params.model,
        budget: SessionBudget { max_cost_usd, max_tokens, max_minutes },
        is_trusted: params.trust,
        ..HostParams::default()
    })
}

pub(crate) fn named<T>(what: &str, name: &str, parse: fn(&str) -> Option<T>, known: &[&str]) -> Answer<T> {
    parse(name).ok_or_else(|| {
        let shown: String = name.chars().take(80).collect();
        Refusal::invalid(format!("`{what}` is {}, not `{shown}`", known.join(", ")))
    })
}

/// Which sessions.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManagedQuery {
    /// Only those that stand here; those that are not decommissioned when nothing is said, `all` for all.
    #[serde(default)]
    state: Option<String>,
    /// How many at most, up to 1000; 200 unless said otherwise.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Lists managed sessions, the newest first.
#[utoipa::path(get, path = "/v1/sessions/managed", tag = "managed sessions", params(ManagedQuery), responses((status = 200, body = http::ManagedList), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn list(
    State(plane): State<Plane>,
    QueryOf(query): QueryOf<ManagedQuery>,
) -> Answer<Json<http::ManagedList>> {
    let limit = PAGE.limit(query.limit)?;
    let filter = match query.state.as_deref() {
        None => SessionFilter { is_live: true, limit, ..SessionFilter::default() },
        Some("all") => SessionFilter { limit, ..SessionFilter::default() },
        Some(name) => {
            let known = SessionState::ALL.map(SessionState::as_str);
            let state = Some(named("state", name, SessionState::parse, &known)?);
            SessionFilter { state, limit, ..SessionFilter::default() }
        }
    };
    let sessions = plane.sessions_managed(filter).await?;
    Ok(Json(http::ManagedList { sessions: sessions.iter().map(convert::managed).collect() }))
}

/// Gives a managed session.
#[utoipa::path(get, path = "/v1/sessions/managed/{id}", tag = "managed sessions", params(("id" = String, Path, description = "The session's id or name.")), responses((status = 200, body = http::ManagedView), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn get(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
) -> Answer<Json<http::ManagedView>> {
    let id = plane.session_id(&text).await?;
    Ok(Json(convert::managed(&plane.session_managed(id).await?)))
}

/// Ends a session's agent and all its descendants; its workspace stays. As `POST …/stop`.
#[utoipa::path(delete, path = "/v1/sessions/managed/{id}", tag = "managed sessions", params(("id" = String, Path, description = "The session's id or name.")), responses((status = 200, body = http::ManagedView), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 409, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn delete(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
) -> Answer<Json<http::ManagedView>> {
    done(&plane, &text, SessionCommand::Stop).await
}

/// Ends a session's agent and all its descendants; its workspace stays, and nothing starts it again but `resume`.
#[utoipa::path(post, path = "/v1/sessions/managed/{id}/stop", tag = "managed sessions", params(("id" = String, Path, description = "The session's id or name.")), responses((status = 200, body = http::ManagedView), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 409, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn stop(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
) -> Answer<Json<http::ManagedView>> {
    done(&plane, &text, SessionCommand::Stop).await
}

/// The same as `stop`.
#[utoipa::path(post, path = "/v1/sessions/managed/{id}/runtime-stop", tag = "managed sessions", params(("id" = String, Path, description = "The session's id or name.")), responses((status = 200, body = http::ManagedView), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 409, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn runtime_stop(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
) -> Answer<Json<http::ManagedView>> {
    done(&plane, &text, SessionCommand::Stop).await
}

/// Starts a session's agent again, with the agent's own context where it has one.
#[utoipa::path(post, path = "/v1/sessions/managed/{id}/resume", tag = "managed sessions", params(("id" = String, Path, description = "The session's id or name.")), responses((status = 200, body = http::ManagedView), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 409, body = ApiError), (status = 429, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn resume(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
) -> Answer<Json<http::ManagedView>> {
    done(&plane, &text, SessionCommand::Resume).await
}

/// Ends a session for good: its agent, and its workspace behind a snapshot.
///
/// Work that stands nowhere but in the workspace is refused without `force`, and nothing is ended then.
#[utoipa::path(post, path = "/v1/sessions/managed/{id}/decommission", tag = "managed sessions", params(("id" = String, Path, description = "The session's id or name.")), request_body = http::DecommissionParams, responses((status = 200, body = http::ManagedView), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 409, description = "Its work would stand in a snapshot alone, or it is over.", body = ApiError), (status = 413, body = ApiError), (status = 422, body = ApiError), (status = 500, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn decommission(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
    JsonBody(params): JsonBody<http::DecommissionParams>,
) -> Answer<Json<http::ManagedView>> {
    done(&plane, &text, SessionCommand::Decommission { force: params.force }).await
}

pub(crate) async fn done(
    plane: &Plane,
    text: &str,
    command: SessionCommand,
) -> Answer<Json<http::ManagedView>> {
    let id = plane.session_id(text).await?;
    let managed = plane.session_command(id, command, Duration::from_millis(WAIT_MS)).await?;
    Ok(Json(convert::managed(&managed)))
}

/// Makes a session's agent leave its present turn; it stays there.
#[utoipa::path(post, path = "/v1/sessions/managed/{id}/interrupt", tag = "managed sessions", params(("id" = String, Path, description = "The session's id or name.")), responses((status = 200, body = http::ManagedView), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 409, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn interrupt(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
) -> Answer<Json<http::ManagedView>> {
    let id = plane.session_id(&text).await?;
    plane.session_interrupt(id).await?;
    Ok(Json(convert::managed(&plane.session_managed(id).await?)))
}

/// Tells a session's agent something, as its next prompt; answered when it was handed over.
#[utoipa::path(post, path = "/v1/sessions/managed/{id}/send", tag = "managed sessions", params(("id" = String, Path, description = "The session's id or name.")), request_body = http::SendParams, responses((status = 200, body = http::SentView), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 409, body = ApiError), (status = 413, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn send(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
    JsonBody(params): JsonBody<http::SendParams>,
) -> Answer<Json<http::SentView>> {
    let id = plane.session_id(&text).await?;
    Ok(Json(sent(&plane, id, params.text).await?))
}

/// Hands a text over to a session's agent.
pub(crate) async fn sent(plane: &Plane, id: SessionId, text: String) -> Answer<http::SentView> {
    plane.session_send(id, text).await?;
    Ok(http::SentView { id: id.to_string(), sent: true, tmux_name: name_of(plane, id).await? })
}

/// Gives a session's work to another one, which is started on the session's project from the session's branch.
///
/// A session's own token delegates from its own session alone; what a person has to approve first is `queued`. How it
/// ended is told to the session's agent, once.
#[utoipa::path(post, path = "/v1/sessions/managed/{id}/delegations", tag = "managed sessions", params(("id" = String, Path, description = "The session's id or name.")), request_body = http::DelegateParams, responses((status = 201, body = http::DelegationView), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, description = "It is another's session, too deep, or a policy denies it.", body = ApiError), (status = 404, body = ApiError), (status = 409, description = "The agent's circuit breaker is open, or the session is over.", body = ApiError), (status = 413, body = ApiError), (status = 422, body = ApiError), (status = 429, body = ApiError), (status = 500, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn delegate(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(text): PathPart,
    JsonBody(params): JsonBody<http::DelegateParams>,
) -> Answer<(StatusCode, Json<http::DelegationView>)> {
    let id = delegating(&plane, &caller, &text).await?;
    let http::DelegateParams { agent, task, tier, model, git_ref } = params;
    let params = DelegateParams { agent, task, tier, model, git_ref };
    let info = plane.delegate(&caller, id, params, Face::Person).await?;
    Ok((StatusCode::CREATED, Json(convert::delegation(&info))))
}

/// Lists a session's delegations, the newest first, at most 1000.
#[utoipa::path(get, path = "/v1/sessions/managed/{id}/delegations", tag = "managed sessions", params(("id" = String, Path, description = "The session's id or name.")), responses((status = 200, body = http::DelegationList), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn delegations(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(text): PathPart,
) -> Answer<Json<http::DelegationList>> {
    let id = delegating(&plane, &caller, &text).await?;
    let found = plane.delegations(&caller, id, PAGE.max).await?;
    Ok(Json(http::DelegationList { delegations: found.iter().map(convert::delegation).collect() }))
}

/// Finds the session that delegates. For a session's own token another's looks like one that is not there.
async fn delegating(plane: &Plane, caller: &Caller, text: &str) -> Answer<SessionId> {
    let found = plane.session_id(text).await;
    match caller.of_session {
        Some(own) if found.as_ref().ok() != Some(&own) => {
            Err(Refusal::new(ErrorCode::Forbidden, "an agent delegates from its own session alone"))
        }
        Some(_) | None => Ok(found?),
    }
}

/// Answers what a session's agent asks.
///
/// What the gate asks is an approval, and answered there.
#[utoipa::path(post, path = "/v1/sessions/managed/{id}/answer", tag = "managed sessions", params(("id" = String, Path, description = "The session's id or name.")), request_body = http::AnswerParams, responses((status = 200, body = http::AnsweredView), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 409, body = ApiError), (status = 413, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn answer(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
    JsonBody(params): JsonBody<http::AnswerParams>,
) -> Answer<Json<http::AnsweredView>> {
    let id = plane.session_id(&text).await?;
    plane.session_answer(id, params.ask_id, said(&params.answer)).await?;
    Ok(Json(http::AnsweredView { injected: true, tmux_name: name_of(&plane, id).await? }))
}

/// Reads an answer: `allow`, `deny` and why, or anything else as it stands.
fn said(text: &str) -> AskAnswer {
    let (word, rest) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
    match word.to_ascii_lowercase().trim_end_matches(':') {
        "allow" if rest.is_empty() => AskAnswer::Allow,
        "deny" => {
            let reason = if rest.trim().is_empty() { "a person has denied it" } else { rest.trim() };
            AskAnswer::Deny { reason: reason.to_owned() }
        }
        _ => AskAnswer::Text(text.to_owned()),
    }
}

async fn name_of(plane: &Plane, id: SessionId) -> Answer<String> {
    Ok(plane.session_managed(id).await?.session.name)
}

/// How much of a terminal.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinesQuery {
    /// So many of its last lines, up to 500; 60 unless said otherwise.
    #[serde(default)]
    pub(crate) lines: Option<usize>,
}

impl LinesQuery {
    pub(crate) fn lines(&self) -> Answer<usize> {
        match self.lines.unwrap_or(LINES) {
            lines @ 1..=SCREEN_LINES_MAX => Ok(lines),
            lines => Err(Refusal::invalid(format!("`lines` is 1 to {SCREEN_LINES_MAX}, not {lines}"))),
        }
    }
}

/// Tells what a session does, since when, how that is known, and what its terminal shows.
#[utoipa::path(get, path = "/v1/sessions/managed/{id}/activity", tag = "managed sessions", params(("id" = String, Path, description = "The session's id or name."), LinesQuery), responses((status = 200, body = http::ManagedActivityView), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn activity(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
    QueryOf(query): QueryOf<LinesQuery>,
) -> Answer<Json<http::ManagedActivityView>> {
    let (id, lines) = (plane.session_id(&text).await?, query.lines()?);
    // Of an agent that is not there the session is told all the same.
    let screen = plane.session_screen(id, lines).await.unwrap_or_default();
    Ok(Json(convert::managed_activity(&plane.session_managed(id).await?, &screen)))
}

/// Gives what a session's terminal shows.
#[utoipa::path(get, path = "/v1/sessions/managed/{id}/screen", tag = "managed sessions", params(("id" = String, Path, description = "The session's id or name."), LinesQuery), responses((status = 200, body = http::ScreenView), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 409, description = "Its agent is not there.", body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn screen(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
    QueryOf(query): QueryOf<LinesQuery>,
) -> Answer<Json<http::ScreenView>> {
    let (id, lines) = (plane.session_id(&text).await?, query.lines()?);
    Ok(Json(convert::screen(plane.session_screen(id, lines).await?)))
}

/// Which of a session's events.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionEventsQuery {
    /// Behind this `seq`; from the beginning unless said otherwise. A stream's `Last-Event-ID` goes before.
    #[serde(default)]
    after: Option<i64>,
    /// How many a page has at most, up to 1000, which it is unless said otherwise. A stream has no pages.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Whether to go on with what comes, as server-sent events. `false` unless said otherwise: a page.
    #[serde(default)]
    follow: bool,
}

/// Gives what the journal says of a session: a page of it, or with `follow` a stream as `/v1/events` has it.
///
/// A session that somebody else has started is found by its id.
#[utoipa::path(get, path = "/v1/sessions/managed/{id}/events", tag = "managed sessions", params(("id" = String, Path, description = "The session's id or name."), SessionEventsQuery), responses((status = 200, description = "A page, or a stream of rows.", content((http::EventPage = "application/json"), (http::EventView = "text/event-stream"))), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn events(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    PathPart(text): PathPart,
    QueryOf(query): QueryOf<SessionEventsQuery>,
) -> Answer<Response> {
    let limit = EVENTS.limit(query.limit)?;
    let id = plane.session_id(&text).await?;
    if plane.session_discovered(id).is_none() {
        plane.session_managed(id).await?;
    }
    let (subject, after) = (id.to_string(), query.after.unwrap_or(0));
    if query.follow {
        let cursor = events::last_seen(&headers)?.unwrap_or(after);
        let spec = FeedSpec { subject: Some(subject), cursor, follows: true };
        return Ok(events::feed(plane, caller, spec).into_response());
    }
    let rows = plane.events_of(&subject, after, limit).await?;
    let next_after = rows.last().filter(|_| rows.len() == limit).map(|row| row.seq);
    Ok(Json(http::EventPage { events: rows.iter().map(convert::event).collect(), next_after })
        .into_response())
}

/// Gives how a person attaches to a session's terminal.
#[utoipa::path(get, path = "/v1/sessions/managed/{id}/attach-cmd", tag = "managed sessions", params(("id" = String, Path, description = "The session's id or name.")), responses((status = 200, body = http::AttachView), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 409, description = "It has no terminal that one can attach to.", body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn attach(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
) -> Answer<Json<http::AttachView>> {
    let managed = plane.session_managed(plane.session_id(&text).await?).await?;
    let argv = managed.attach_command.ok_or_else(|| {
        let session = &managed.session;
        let why = match session.handle {
            Some(_) => {
                format!("a session with the driver {} has no terminal to attach to", session.driver.as_str())
            }
            None => format!("the agent of the session {} is not there", session.name),
        };
        Refusal::from(
            ApiError::new(ErrorCode::Conflict, why).hinted("`adjutant session logs` shows what it does"),
        )
    })?;
    Ok(Json(http::AttachView { attach_cmd: convert::shell_line(&argv), argv }))
}

/// Lists what waits for a person: approvals, questions, spent quotas, sessions that failed.
#[utoipa::path(get, path = "/v1/inbox", tag = "approvals", responses((status = 200, body = http::InboxView), (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn inbox(State(plane): State<Plane>) -> Answer<Json<http::InboxView>> {
    Ok(Json(convert::inbox(&plane.inbox().await?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_permission_or_a_text() {
        let denied = |reason: &str| AskAnswer::Deny { reason: reason.to_owned() };
        for (text, wanted) in [
            ("allow", AskAnswer::Allow),
            (" Allow ", AskAnswer::Allow),
            ("deny", denied("a person has denied it")),
            ("deny: not on a Friday", denied("not on a Friday")),
            ("deny not on a Friday", denied("not on a Friday")),
            ("allow me to explain", AskAnswer::Text("allow me to explain".to_owned())),
            ("the blue one", AskAnswer::Text("the blue one".to_owned())),
        ] {
            assert_eq!(said(text), wanted, "{text}");
        }
    }
}
