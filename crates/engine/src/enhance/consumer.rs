//! The consumer: the periodic job that begins epochs.
//!
//! It reconciles: what may begin is read from the store each time, so a nudge only makes it look at once, and its period
//! makes it look anyway. Whatever a round meets, the next one comes.

use super::epoch::{self, Begun};
use super::orbit::{self, Readiness};
use crate::error::EngineError;
use crate::plane::Core;
use adjutant_model::issue::{Issue, IssueStatus};
use adjutant_rules::enhance::IssueCommand;
use adjutant_store::{IssueFilter, WriteError};
use std::sync::Arc;

/// So many blueprints are looked at before the setting is read again.
const BURST_MAX: usize = 64;

/// Begins epochs as long as one can begin; gives how many issues have moved.
pub(crate) async fn round(core: Arc<Core>) -> Result<u64, EngineError> {
    adopt(&core).await?;
    let mut moved = 0;
    while !core.stopping.is_cancelled() {
        match burst(&core).await? {
            0 => break,
            more => moved += more,
        }
    }
    Ok(moved)
}

/// Waits for the runs of what is in flight and nobody waits for: the last daemon left it, or a defect of ours did.
async fn adopt(core: &Arc<Core>) -> Result<(), EngineError> {
    let filter = IssueFilter { blueprint_id: None, status: Some(IssueStatus::InFlight), limit: usize::MAX };
    for issue in core.store.issue_list(filter).await? {
        if !core.enhance.followed().contains(&issue.id) {
            let slot = core.enhance.slots.clone().try_acquire_owned().ok();
            epoch::follow(core, &issue, slot);
        }
    }
    Ok(())
}

/// Begins what may begin; gives how many issues have moved.
async fn burst(core: &Arc<Core>) -> Result<u64, EngineError> {
    if core.enhance.slots.available_permits() == 0 {
        return Ok(0);
    }
    let next = core.store.issues_next(BURST_MAX).await?;
    if next.is_empty() {
        return Ok(0);
    }
    let orbit = match orbit::current(core).await? {
        Readiness::Ready(orbit) => orbit,
        Readiness::Waits(what) => {
            for issue in &next {
                wait(core, issue, &what).await?;
            }
            return Ok(0);
        }
    };
    let mut moved = 0;
    for issue in &next {
        let Ok(slot) = core.enhance.slots.clone().try_acquire_owned() else { break };
        match epoch::begin(core, issue, &orbit).await? {
            Begun::Run(issue) => {
                epoch::follow(core, &issue, Some(slot));
                moved += 1;
            }
            Begun::Rejected => moved += 1,
            Begun::Waits(what) => wait(core, issue, &what).await?,
            // Whoever was quicker has changed it.
            Begun::Gone => {}
        }
    }
    Ok(moved)
}

async fn wait(core: &Core, issue: &Issue, what: &str) -> Result<(), EngineError> {
    let command = IssueCommand::Wait { waits_for: Some(what.to_owned()) };
    match super::change(core, issue, command, "plane".to_owned(), |_, _| {}).await {
        Err(EngineError::Write(WriteError::RowsUnexpected { .. })) => Ok(()),
        waits => waits.map(drop),
    }
}
