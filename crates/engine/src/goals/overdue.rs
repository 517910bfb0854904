//! Deadlines: a person is told of each goal whose deadline has passed while it was not done.

use super::PLANE;
use crate::clock;
use crate::error::EngineError;
use crate::plane::Core;
use adjutant_rules::goal::GoalCommand;
use std::sync::Arc;

/// The job's name.
pub(crate) const JOB: &str = "goal_deadlines";
/// So many goals are looked at in a round; those behind them are due in the next one.
const ROUND_MAX: usize = 200;

/// Tells of all goals that are overdue; a goal that is pursued is told of when its pursuit has stopped.
pub(crate) async fn round(core: Arc<Core>) -> Result<u64, EngineError> {
    let mut acted = 0;
    for goal in core.store.goals_overdue(clock::now(), ROUND_MAX).await? {
        let told = core.goals.step(PLANE, &goal.id, GoalCommand::DeadlinePassed).await?;
        acted += u64::from(told.deadline_told);
    }
    Ok(acted)
}
