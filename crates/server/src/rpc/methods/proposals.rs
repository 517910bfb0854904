//! Proposals: submitted, cancelled, played through.

use super::{Answer, Doing, params, ready, refused};
use crate::rpc::Session;
use adjutant_engine::clients::{ProposalLimits, SubmitParams};
use serde_json::{Value, json};
use std::sync::Arc;

/// Takes a proposal in the order of the frames; it is driven by the future.
pub(super) async fn submit(session: &Arc<Session>, given: Value) -> Doing {
    let params = match submission(given) {
        Ok(params) => params,
        Err(error) => return ready(Err(error)),
    };
    match session.connection.submit(params).await {
        Ok(submitted) => Box::pin(async move {
            let result = submitted.driven().await.map_err(refused("proposal.submit"))?;
            Ok(json!(*result))
        }),
        Err(error) => ready(Err(refused("proposal.submit")(error))),
    }
}

fn submission(given: Value) -> Result<SubmitParams, adjutant_protocol::rpc::RpcError> {
    let mut params = params("proposal.submit", given)?;
    let proposal = params.required("proposal")?;
    let session_id = params.text("session_id")?;
    let limits = match params.value("limits") {
        None => ProposalLimits::default(),
        Some(limits) => {
            let mut limits = super::params("proposal.submit", limits)?;
            ProposalLimits {
                max_tool_calls: limits.number("max_tool_calls")?,
                max_actions: limits.number("max_actions")?,
                max_duration_ms: limits.number("max_duration_ms")?,
                ..ProposalLimits::default()
            }
        }
    };
    Ok(SubmitParams { proposal: proposal.into(), session_id, limits })
}

pub(super) fn cancel(session: &Session, given: Value) -> Answer {
    let id = params("proposal.cancel", given)?.required_text("proposal_id")?;
    Ok(json!({"proposal_id": id, "cancelled": session.connection.proposal_cancel(&id)}))
}

pub(super) fn verify(session: &Session, given: Value) -> Answer {
    let mut params = params("verify", given)?;
    let proposal = adjutant_model::Value::from(params.required("proposal")?);
    let initial = params.value("initial_state").map(adjutant_model::Value::from);
    let verification = session.connection.verify(&proposal, initial.as_ref()).map_err(refused("verify"))?;
    Ok(json!(verification))
}
