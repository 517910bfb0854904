//! The schedule: the checks of goals are run again when their time has come, and what fails then re-opens its goal.

use super::{PLANE, check};
use crate::checks::CheckedBy;
use crate::clock;
use crate::error::EngineError;
use crate::plane::Core;
use crate::record;
use adjutant_model::goal::{Goal, GoalAlertKind};
use adjutant_model::run::ErrorClass;
use adjutant_rules::goal::GoalCommand;
use futures_util::{StreamExt, stream};
use std::sync::Arc;

/// The job's name.
pub(crate) const JOB: &str = "goal_recheck";
/// So many goals are looked at in a round; those behind them are due in the next one.
const ROUND_MAX: usize = 50;
/// So many goals are checked at once.
const SIDE_BY_SIDE: usize = 4;

/// Runs the checks of all goals that are due. Whatever was missed while no daemon was there is caught up once.
pub(crate) async fn round(core: Arc<Core>) -> Result<u64, EngineError> {
    let due = core.store.goals_due(clock::now(), ROUND_MAX).await?;
    // Checks take their time, and one goal that cannot be checked keeps no other one waiting.
    let mut checking = stream::iter(due)
        .map(|goal| {
            let core = core.clone();
            async move { recheck(&core, &goal).await }
        })
        .buffer_unordered(SIDE_BY_SIDE);
    let (mut acted, mut failed) = (0, None);
    while let Some(checked) = checking.next().await {
        match checked {
            Ok(()) => acted += 1,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(acted), Err)
}

async fn recheck(core: &Arc<Core>, goal: &Goal) -> Result<(), EngineError> {
    // What a pursuit makes is checked by that.
    if goal.pursued().is_none() {
        match check(core, &CheckedBy::plane(), &goal.id).await {
            Ok(_) => {}
            Err(error) if error.class() == ErrorClass::Retry => return Err(error),
            // The next one may find a place again; that this one did not is to be seen.
            Err(error) => {
                let text = record::text(&format!("its checks could not be run again: {error}"));
                if goal.notes.last() != Some(&text) {
                    let alert = GoalCommand::Alert { what: GoalAlertKind::Unchecked, text: text.clone() };
                    core.goals.step(PLANE, &goal.id, alert).await?;
                    core.goals
                        .step(PLANE, &goal.id, GoalCommand::Note { text })
                        .await
                        .map(drop)
                        .or_else(lenient)?;
                }
            }
        }
    }
    core.goals.step(PLANE, &goal.id, GoalCommand::Rechecked).await.map(drop)
}

/// A goal that has no room for notes is checked all the same.
fn lenient(error: EngineError) -> Result<(), EngineError> {
    match error {
        EngineError::Goal(_) => Ok(()),
        error => Err(error),
    }
}
