//! `/v1/goals`

use crate::answer::{Answer, Refusal};
use crate::body::{JsonBody, PathPart, QueryOf, id};
use crate::convert;
use crate::http::page::Page;
use adjutant_engine::Plane;
use adjutant_engine::goals::{
    CriterionSpec, GoalChange, GoalFilter, GoalParams, GoalUpdate, LinkUpdate, PAGE_MAX, Proof, ProofBy,
    ProofOf, PursueParams,
};
use adjutant_model::action::Caller;
use adjutant_model::goal::{GoalStatus, LinkState};
use adjutant_model::session::{DriverKind, SessionBudget};
use adjutant_model::{GoalId, Timestamp};
use adjutant_protocol::{ApiError, http};
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;

/// A list has so many when nothing is said.
const PAGE: Page = Page { usual: 200, max: PAGE_MAX };

/// Makes a goal.
#[utoipa::path(post, path = "/v1/goals", tag = "goals", request_body = http::GoalParams, responses(
    (status = 201, body = http::GoalView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 409, body = ApiError), (status = 413, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn create(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    JsonBody(params): JsonBody<http::GoalParams>,
) -> Answer<(StatusCode, Json<http::GoalView>)> {
    let acceptance =
        params.acceptance.into_iter().map(|c| CriterionSpec { text: c.text, check: c.check }).collect();
    let params = GoalParams {
        description: params.description,
        acceptance,
        project: params.project,
        depends_on: ids(&params.depends_on)?,
        budget: budget(params.budget),
        deadline: params.deadline.as_deref().map(instant).transpose()?,
        recheck: params.recheck,
    };
    let goal = plane.goal_create(&caller, params).await?;
    Ok((StatusCode::CREATED, Json(convert::goal(&goal))))
}

fn ids(texts: &[String]) -> Answer<Vec<GoalId>> {
    texts.iter().map(|text| id(text)).collect()
}

fn budget(of: http::BudgetView) -> SessionBudget {
    let http::BudgetView { max_cost_usd, max_tokens, max_minutes } = of;
    SessionBudget { max_cost_usd, max_tokens, max_minutes }
}

fn instant(text: &str) -> Answer<Timestamp> {
    Timestamp::parse(text).map_err(|error| Refusal::invalid(format!("`deadline`: {error}")))
}

/// Which goals.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct GoalsQuery {
    /// In this state.
    #[serde(default)]
    pub(crate) status: Option<String>,
    /// Only those behind this goal: the `next` of the page before.
    #[serde(default)]
    pub(crate) after: Option<String>,
    /// How many at most, up to 1000; 200 unless said otherwise.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000)]
    pub(crate) limit: Option<usize>,
}

/// Lists goals, the oldest first.
#[utoipa::path(get, path = "/v1/goals", tag = "goals", params(GoalsQuery), responses(
    (status = 200, body = http::GoalsView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn list(
    State(plane): State<Plane>,
    QueryOf(query): QueryOf<GoalsQuery>,
) -> Answer<Json<http::GoalsView>> {
    let filter = GoalFilter {
        status: query.status.as_deref().map(status).transpose()?,
        after: query.after.as_deref().map(id).transpose()?,
        limit: PAGE.limit(query.limit)?,
    };
    Ok(Json(convert::goals(&plane.goal_list(filter).await?)))
}

/// Gives a goal.
#[utoipa::path(get, path = "/v1/goals/{id}", tag = "goals", params(("id" = String, Path, description = "The goal's id.")), responses(
    (status = 200, body = http::GoalView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn get(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
) -> Answer<Json<http::GoalView>> {
    Ok(Json(convert::goal_shown(&plane.goal_show(&id(&text)?).await?)))
}

macro_rules! change {
    ($(#[$doc:meta])* $name:ident, $path:literal, $params:ty, |$plane:ident, $caller:ident, $goal:ident, $body:ident| $do:expr) => {
        $(#[$doc])*
        #[utoipa::path(post, path = $path, tag = "goals", params(("id" = String, Path, description = "The goal's id.")),
            request_body = $params, responses(
            (status = 200, body = http::GoalView), (status = 400, body = ApiError), (status = 401, body = ApiError),
            (status = 403, body = ApiError), (status = 404, body = ApiError),
            (status = 409, description = "The goal does not take it, or is not proved.", body = ApiError),
            (status = 413, body = ApiError), (status = 422, body = ApiError), (status = 500, body = ApiError),
            (status = 503, body = ApiError)))]
        pub(crate) async fn $name(
            State($plane): State<Plane>,
            Extension($caller): Extension<Caller>,
            PathPart(text): PathPart,
            JsonBody($body): JsonBody<$params>,
        ) -> Answer<Json<http::GoalView>> {
            let $goal = id(&text)?;
            Ok(Json(convert::goal(&$do)))
        }
    };
}

change!(
    /// Changes a goal.
    update, "/v1/goals/{id}", http::GoalUpdateParams,
    |plane, caller, goal_id, params| plane.goal_update(&caller, &goal_id, goal_update(params)?).await?
);
change!(
    /// Links a session or run.
    link, "/v1/goals/{id}/links", http::LinkParams,
    |plane, caller, goal_id, params| plane.goal_link(&caller, &goal_id, params.session_id, params.task).await?
);
change!(
    /// Records that a criterion holds, or that a linked session or run has done what it was to do.
    evidence, "/v1/goals/{id}/evidence", http::EvidenceParams,
    |plane, caller, goal_id, params| plane.goal_prove(&caller, &goal_id, proof(params)?).await?
);
change!(
    /// Leaves a note.
    note, "/v1/goals/{id}/notes", http::NoteParams,
    |plane, caller, goal_id, params| plane.goal_note(&caller, &goal_id, params.note).await?
);
change!(
    /// Goes to another state; `done` only through the gate.
    set_status, "/v1/goals/{id}/status", http::GoalStatusParams,
    |plane, caller, goal_id, params| {
        let (status, reason) = (Some(status(&params.status)?), params.reason);
        plane.goal_update(&caller, &goal_id, GoalUpdate { status, reason, ..GoalUpdate::default() }).await?
    }
);
change!(
    /// Runs every check now.
    check, "/v1/goals/{id}/check", Nothing,
    |plane, caller, goal_id, _nothing| plane.goal_check(&caller, &goal_id).await?
);
change!(
    /// Calls the goal done, when fresh evidence proves it.
    close, "/v1/goals/{id}/close", Nothing,
    |plane, caller, goal_id, _nothing| plane.goal_close(&caller, &goal_id).await?
);

change!(
    /// Has it pursued: sessions work for it until its checks pass, or there is no more to spend.
    pursue, "/v1/goals/{id}/pursue", http::PursueParams,
    |plane, caller, goal_id, params| plane.goal_pursue(&caller, &goal_id, pursuit(params)?).await?
);
change!(
    /// Gives its pursuit up.
    pursue_stop, "/v1/goals/{id}/pursue/stop", Nothing,
    |plane, caller, goal_id, _nothing| plane.goal_pursue_stop(&caller, &goal_id).await?
);

fn pursuit(params: http::PursueParams) -> Answer<PursueParams> {
    let http::PursueParams { agent, driver, model, attempts } = params;
    let kind = |text: String| {
        let known = DriverKind::ALL.map(DriverKind::as_str);
        DriverKind::parse(&text).ok_or_else(|| unknown("driver", &text, &known))
    };
    Ok(PursueParams { agent, driver: driver.map(kind).transpose()?, model, attempts })
}

fn goal_update(params: http::GoalUpdateParams) -> Answer<GoalUpdate> {
    let link = match (params.session_id, params.state) {
        (Some(session_id), Some(state)) => Some(LinkUpdate { session_id, state: link_state(&state)? }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(Refusal::invalid("`session_id` and `state` say together where a link stands"));
        }
    };
    let said = |text: String| Some(text).filter(|text| !text.is_empty());
    let deadline = params.deadline.map(|text| said(text).as_deref().map(instant).transpose());
    let change = GoalChange {
        description: params.description,
        project: params.project,
        depends_on: params.depends_on.as_deref().map(ids).transpose()?,
        budget: params.budget.map(budget),
        deadline: deadline.transpose()?,
        recheck: params.recheck.map(said),
    };
    let status = params.status.as_deref().map(status).transpose()?;
    Ok(GoalUpdate { change, link, note: params.note, status, reason: params.reason })
}

fn proof(params: http::EvidenceParams) -> Answer<Proof> {
    let of = match (params.criterion, params.session_id) {
        (Some(criterion), None) => ProofOf::Criterion(criterion),
        (None, Some(session_id)) => ProofOf::Link(session_id),
        (Some(_), Some(_)) | (None, None) => {
            return Err(Refusal::invalid("say what holds: `criterion` or `session_id`, one of them"));
        }
    };
    let by = match (params.person, params.turn) {
        (Some(person), None) => ProofBy::Person { person, words: params.words.unwrap_or_default() },
        (None, Some(turn)) => ProofBy::Turn { run_id: id(&turn.run_id)?, index: turn.index },
        (Some(_), Some(_)) | (None, None) => {
            return Err(Refusal::invalid("say who or what says so: `person` or `turn`, one of them"));
        }
    };
    Ok(Proof { of, by })
}

/// An empty object, or no body.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

fn status(text: &str) -> Answer<GoalStatus> {
    let known = GoalStatus::ALL.map(GoalStatus::as_str);
    GoalStatus::parse(text).ok_or_else(|| unknown("status", text, &known))
}

fn link_state(text: &str) -> Answer<LinkState> {
    let known = LinkState::ALL.map(LinkState::as_str);
    LinkState::parse(text).ok_or_else(|| unknown("state", text, &known))
}

fn unknown(what: &str, text: &str, known: &[&str]) -> Refusal {
    let shown: String = text.chars().take(80).collect();
    Refusal::invalid(format!("there is no {what} `{shown}`; known: {}", known.join(", ")))
}
