//! The consumer: one task that begins epochs, and lives through every error.
//!
//! It reconciles: what may begin is read from the store each time, so a nudge only wakes it, and a timer wakes it
//! anyway. While there is work it does not pause; without any it looks more and more rarely.

use super::epoch::{self, Begun};
use super::orbit::{self, Readiness};
use crate::error::EngineError;
use crate::plane::Core;
use adjutant_model::issue::{Issue, IssueStatus};
use adjutant_rules::enhance::IssueCommand;
use adjutant_store::{IssueFilter, WriteError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// The first pause when there is nothing to do.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// So many blueprints are looked at in one round.
const ROUND_MAX: usize = 64;

/// Starts the consumer: first it takes up again what the last daemon left in flight.
pub(crate) fn start(core: &Arc<Core>) {
    let core = core.clone();
    let tasks = core.tasks.clone();
    tasks.spawn(async move {
        while !core.stopping.is_cancelled() {
            // A panic is a defect of ours; the loop must not end by it.
            if tokio::spawn(live(core.clone())).await.is_err() {
                tracing::error!("the consumer of issues panicked; it begins anew");
                sleep(PAUSE_MAX).await;
            }
        }
    });
}

async fn live(core: Arc<Core>) {
    let mut pause = PAUSE_MIN;
    let mut adopted = false;
    while !core.stopping.is_cancelled() {
        let began = match adopted {
            false => adopt(&core).await.map(|()| {
                adopted = true;
                1
            }),
            true => round(&core).await,
        };
        match began {
            Ok(0) => {}
            Ok(_) => {
                pause = PAUSE_MIN;
                continue;
            }
            Err(error) => tracing::warn!(%error, "no issue could be taken up; it is tried again"),
        }
        tokio::select! {
            () = core.stopping.cancelled() => return,
            () = core.enhance.wake.notified() => pause = PAUSE_MIN,
            () = sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
        }
    }
}

/// Waits again for the runs of what is in flight.
async fn adopt(core: &Arc<Core>) -> Result<(), EngineError> {
    let filter = IssueFilter { blueprint_id: None, status: Some(IssueStatus::InFlight), limit: usize::MAX };
    for issue in core.store.issue_list(filter).await? {
        let slot = core.enhance.slots.clone().try_acquire_owned().ok();
        epoch::follow(core, &issue, slot);
    }
    Ok(())
}

/// Begins what may begin; gives how many issues have moved.
async fn round(core: &Arc<Core>) -> Result<usize, EngineError> {
    if core.enhance.slots.available_permits() == 0 {
        return Ok(0);
    }
    let next = core.store.issues_next(ROUND_MAX).await?;
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
