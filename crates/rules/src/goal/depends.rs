//! Goals that wait for other goals, and never for each other.

use super::{GoalRefusal, within};
use adjutant_model::GoalId;
use adjutant_model::goal::GoalStatus;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// What a goal must know of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherGoal {
    /// Where it stands.
    pub status: GoalStatus,
    /// What it waits for itself.
    pub depends_on: Vec<GoalId>,
}

/// Gives another goal, when there is one.
pub type Others<'a> = dyn Fn(&GoalId) -> Option<OtherGoal> + 'a;

/// Gives the dependencies that are not done.
pub fn unfinished(depends_on: &[GoalId], others: &Others<'_>) -> Vec<GoalId> {
    let is_done = |id: &GoalId| others(id).is_some_and(|other| other.status == GoalStatus::Done);
    depends_on.iter().filter(|id| !is_done(id)).cloned().collect()
}

/// Gives dependencies, each once, when all are goals and none of them waits for `goal_id`.
pub(super) fn checked(
    goal_id: &GoalId,
    depends_on: Vec<GoalId>,
    others: &Others<'_>,
) -> Result<Vec<GoalId>, GoalRefusal> {
    let mut seen = HashSet::new();
    let depends_on: Vec<GoalId> = depends_on.into_iter().filter(|id| seen.insert(id.clone())).collect();
    within(depends_on.len(), "dependencies")?;
    // Who led to a goal, so that a way back can be told.
    let mut reached: HashMap<GoalId, Option<GoalId>> = HashMap::new();
    let mut open: Vec<(GoalId, Option<GoalId>)> = depends_on.iter().map(|id| (id.clone(), None)).collect();
    while let Some((id, from)) = open.pop() {
        if id == *goal_id {
            return Err(GoalRefusal::Cycle { path: way(goal_id, from, &reached) });
        }
        let Some(other) = others(&id) else {
            match from {
                None => return Err(GoalRefusal::UnknownDependency { goal_id: id }),
                // One that is gone leads nowhere.
                Some(_) => continue,
            }
        };
        if let Entry::Vacant(new) = reached.entry(id.clone()) {
            new.insert(from);
            open.extend(other.depends_on.into_iter().map(|next| (next, Some(id.clone()))));
        }
    }
    Ok(depends_on)
}

fn way(goal_id: &GoalId, last: Option<GoalId>, reached: &HashMap<GoalId, Option<GoalId>>) -> Vec<GoalId> {
    let mut path = vec![goal_id.clone()];
    let mut at = last;
    while let Some(id) = at {
        at = reached.get(&id).cloned().flatten();
        path.push(id);
    }
    path.push(goal_id.clone());
    path.reverse();
    path
}
