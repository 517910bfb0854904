//! How a delegation is cancelled: what it waits for is taken away, and its own task sees that it is over.

use crate::approvals;
use crate::error::EngineError;
use crate::hosting::{self, SessionCommand};
use crate::plane::Core;
use adjutant_model::DelegationId;
use adjutant_model::action::Caller;
use adjutant_model::delegation::{Delegation, DelegationStatus};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Takes away what a delegation waits for, and waits so long for it to be over.
pub(super) async fn cancel(
    core: &Arc<Core>,
    caller: &Caller,
    id: DelegationId,
    patience: Duration,
) -> Result<(), EngineError> {
    let delegation = get(core, id).await?;
    match (delegation.status, &delegation.approval_id) {
        (DelegationStatus::Queued, Some(approval_id)) => {
            approvals::withdraw(core, approval_id, &caller.actor()).await;
        }
        (DelegationStatus::Queued, None) => {
            return Err(EngineError::Conflict {
                message: format!("the session of the delegation {id} is being made"),
                hint: Some("try it again in a moment".to_owned()),
            });
        }
        // A child that was stopped before, or is over, ends the delegation as well.
        (DelegationStatus::Running, _) => {
            match hosting::command(core, delegation.child, SessionCommand::Stop, patience).await {
                Ok(_) | Err(EngineError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        (DelegationStatus::Completed | DelegationStatus::Failed | DelegationStatus::Cancelled, _) => {
            return Err(EngineError::Conflict {
                message: format!("the delegation {id} is {} already", delegation.status.as_str()),
                hint: None,
            });
        }
    }
    // One that is not over in time is told as it stands then.
    match timeout(patience, over(core, id)).await {
        Ok(ended) => ended,
        Err(_) => Ok(()),
    }
}

/// Waits until a delegation is over.
async fn over(core: &Core, id: DelegationId) -> Result<(), EngineError> {
    let mut committed = core.store.committed();
    loop {
        committed.mark_unchanged();
        if get(core, id).await?.status.is_terminal() {
            return Ok(());
        }
        committed.changed().await.map_err(|_| EngineError::Stopping)?;
    }
}

async fn get(core: &Core, id: DelegationId) -> Result<Delegation, EngineError> {
    let entry = core.store.delegation_get(id).await?;
    Ok(entry.ok_or_else(|| EngineError::not_found("delegation", id))?.delegation)
}
