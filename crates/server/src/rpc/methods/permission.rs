//! Permission: what the gate would say, and what people answer.

use super::{Answer, params, refused};
use crate::rpc::Session;
use adjutant_engine::approvals::{self, Answerer, Face};
use adjutant_model::client_run::{Approval, ApprovalStatus};
use adjutant_model::policy::{PolicyEffect, ToolCall};
use adjutant_protocol::rpc::{RpcCode, RpcError};
use serde_json::{Value, json};
use std::sync::Arc;

/// A list shows at most so many approvals.
const LIST_MAX: usize = 500;

/// Takes an action `{type?, tool, parameters}` as the gate judges it.
fn call_of(method: &'static str, action: Value) -> Result<ToolCall, RpcError> {
    let mut action = params(method, action)?;
    let tool = match action.text("tool")? {
        Some(tool) => tool,
        None => action.required_text("type")?,
    };
    let parameters = action.value("parameters").unwrap_or_else(|| json!({}));
    Ok(ToolCall { tool, parameters: parameters.into() })
}

pub(super) async fn evaluate(session: &Session, given: Value) -> Answer {
    let mut params = params("permission.evaluate", given)?;
    let call = call_of("permission.evaluate", params.required("action")?)?;
    let judged = session.connection.evaluate(&call).await.map_err(refused("permission.evaluate"))?;
    let decision = match judged.effect {
        PolicyEffect::Allow => "allow",
        PolicyEffect::Ask => "needs_approval",
        PolicyEffect::Deny => "deny",
    };
    Ok(json!({
        "decision": decision, "reason": judged.reason, "rule": judged.rule,
        "fingerprint": approvals::fingerprint(&call),
    }))
}

pub(super) async fn pending(session: &Arc<Session>, _given: Value) -> Answer {
    let plane = &session.door.plane;
    let pending = plane
        .approvals(Some(ApprovalStatus::Pending), LIST_MAX)
        .await
        .map_err(refused("permission.pending"))?;
    let seen = pending.iter().filter(|approval| may_see(session, approval));
    Ok(json!({"pending": seen.map(crate::convert::approval_json).collect::<Vec<_>>()}))
}

/// An agent sees what it asked itself; people see everything.
fn may_see(session: &Session, approval: &Approval) -> bool {
    let caller = session.connection.caller();
    match &caller.agent_id {
        Some(agent_id) => approval.agent_id.as_ref() == Some(agent_id),
        None => true,
    }
}

pub(super) async fn approve(session: &Arc<Session>, given: Value) -> Answer {
    answer(session, "permission.approve", given, approvals::Answer::Approve { option: None }).await
}

pub(super) async fn reject(session: &Arc<Session>, given: Value) -> Answer {
    answer(session, "permission.reject", given, approvals::Answer::Deny).await
}

async fn answer(
    session: &Arc<Session>,
    method: &'static str,
    given: Value,
    said: approvals::Answer<'_>,
) -> Answer {
    let mut params = params(method, given)?;
    let reason = params.text("reason")?.unwrap_or_default();
    let plane = &session.door.plane;
    let id = match params.text("approval_id")? {
        Some(id) => id,
        None => {
            let fingerprint = match params.text("fingerprint")? {
                Some(fingerprint) => fingerprint,
                None => approvals::fingerprint(&call_of(method, params.required("action")?)?),
            };
            let pending =
                plane.approvals(Some(ApprovalStatus::Pending), LIST_MAX).await.map_err(refused(method))?;
            let found = pending.into_iter().rfind(|approval| approval.fingerprint == fingerprint);
            found.map(|approval| approval.id).ok_or_else(|| {
                RpcError::new(RpcCode::NotFound, format!("{method}: nothing pending has this fingerprint"))
                    .hinted("`permission.pending` lists what is asked")
            })?
        }
    };
    let connection = session.connection.id().clone();
    let answerer = Answerer {
        caller: session.connection.caller(),
        connection: Some(&connection),
        face: Face::Person,
        reason: &reason,
    };
    let approval = plane.approval_answer(&id, said, answerer).await.map_err(refused(method))?;
    Ok(crate::convert::approval_json(&approval))
}
