//! Tools for what waits for a person.

use super::tool::{Access, Asked, Effect, Tool};
use crate::answer::Answer;
use crate::body::QueryOf;
use crate::convert;
use crate::http::approvals::{self, ApprovalsQuery};
use adjutant_engine::approvals::Face;
use adjutant_model::action::Verb;
use adjutant_protocol::{http, mcp};
use axum::extract::State;

/// Gives the tools.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::new(
            (
                "inbox",
                "Show what waits for a person",
                "Lists everything that waits for a person: approvals, questions of agents, spent quotas, sessions that \
                 failed.",
            ),
            Access::Verb(Verb::Read),
            Effect::Reads,
            async |asked: Asked, _nothing: mcp::NoParams| Ok(convert::inbox(&asked.plane.inbox().await?)),
        ),
        Tool::new(
            (
                "approval_list",
                "List approvals",
                "Lists approvals, the newest first; those that wait when nothing is said.",
            ),
            Access::Verb(Verb::Read),
            Effect::Reads,
            approval_list,
        ),
        Tool::new(
            (
                "approval_resolve",
                "Answer an approval",
                "Approves or denies an action that a rule asks a person about. Whoever asked cannot answer: what was \
                 asked with the token that is shown here is answered by a person at another face.",
            ),
            Access::Verb(Verb::Answer),
            Effect::Ends,
            approval_resolve,
        ),
    ]
}

async fn approval_list(asked: Asked, params: mcp::ApprovalListParams) -> Answer<http::ApprovalList> {
    let query = ApprovalsQuery { status: params.status, limit: params.limit };
    Ok(approvals::list(State(asked.plane), QueryOf(query)).await?.0)
}

async fn approval_resolve(asked: Asked, params: mcp::ApprovalResolveParams) -> Answer<http::ApprovalView> {
    let mcp::ApprovalResolveParams { approval_id, decision, option, reason } = params;
    let answer = http::ApprovalAnswer { decision, reason, option };
    approvals::answered(&asked.plane, (&asked.caller, Face::Model), &approval_id, answer).await
}
