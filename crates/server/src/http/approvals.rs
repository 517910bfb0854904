//! `/v1/approvals`: what people answer.

use crate::answer::{Answer, Refusal};
use crate::body::{JsonBody, PathPart, QueryOf};
use crate::convert;
use crate::http::page::Page;
use adjutant_engine::Plane;
use adjutant_engine::approvals::{Answer as Said, Answerer, Face};
use adjutant_model::action::Caller;
use adjutant_model::client_run::ApprovalStatus;
use adjutant_protocol::{ApiError, http};
use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;

/// How long a list is.
const PAGE: Page = Page { usual: 100, max: 1000 };

/// Which approvals.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApprovalsQuery {
    /// Only those that stand here; `pending` when nothing is said, `all` for all.
    #[serde(default)]
    pub(crate) status: Option<String>,
    /// How many at most, up to 1000.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000)]
    pub(crate) limit: Option<usize>,
}

/// Lists approvals, the newest first.
#[utoipa::path(get, path = "/v1/approvals", tag = "approvals", params(ApprovalsQuery), responses(
    (status = 200, body = http::ApprovalList), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn list(
    State(plane): State<Plane>,
    QueryOf(query): QueryOf<ApprovalsQuery>,
) -> Answer<Json<http::ApprovalList>> {
    let status = match query.status.as_deref() {
        None => Some(ApprovalStatus::Pending),
        Some("all") => None,
        Some(name) => Some(ApprovalStatus::parse(name).ok_or_else(|| {
            let names = ApprovalStatus::ALL.map(ApprovalStatus::as_str).join(", ");
            Refusal::invalid(format!("`status` is all, {names}, not `{name}`"))
        })?),
    };
    let approvals = plane.approvals(status, PAGE.limit(query.limit)?).await?;
    Ok(Json(http::ApprovalList { approvals: approvals.iter().map(convert::approval).collect() }))
}

/// Answers an approval; never for the one who asked.
#[utoipa::path(post, path = "/v1/approvals/{id}", tag = "approvals", params(("id" = String, Path)),
    request_body = http::ApprovalAnswer, responses(
    (status = 200, body = http::ApprovalView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 409, body = ApiError),
    (status = 413, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn answer(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(id): PathPart,
    JsonBody(answer): JsonBody<http::ApprovalAnswer>,
) -> Answer<Json<http::ApprovalView>> {
    Ok(Json(answered(&plane, (&caller, Face::Person), &id, answer).await?))
}

/// Takes an answer from whoever gives it.
pub(crate) async fn answered(
    plane: &Plane,
    (caller, face): (&Caller, Face),
    id: &str,
    answer: http::ApprovalAnswer,
) -> Answer<http::ApprovalView> {
    let said = match (answer.decision.as_str(), answer.option.as_deref()) {
        ("approve", option) => Said::Approve { option },
        ("deny", None) => Said::Deny,
        ("deny", Some(_)) => return Err(Refusal::invalid("`option` goes with `approve`")),
        (other, _) => return Err(Refusal::invalid(format!("`decision` is approve or deny, not `{other}`"))),
    };
    let answerer = Answerer { caller, connection: None, face, reason: &answer.reason };
    let approval = plane.approval_answer(id, said, answerer).await?;
    Ok(convert::approval(&approval))
}
