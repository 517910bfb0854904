//! What the keeper knows of all goals: how each is mirrored, what others wait for, and which links follow what.

use adjutant_model::goal::{Goal, GoalStatus};
use adjutant_model::{GoalId, Timestamp};
use adjutant_rules::goal::OtherGoal;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// All goals, as far as the keeper needs them.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    goals: HashMap<GoalId, Kept>,
    /// Their lines in the mirror, the oldest first.
    lines: BTreeMap<(Timestamp, GoalId), Arc<[u8]>>,
    /// Which goals have a link to a run or session that changes with it.
    followed: HashMap<String, BTreeSet<GoalId>>,
}

#[derive(Debug)]
struct Kept {
    status: GoalStatus,
    depends_on: Vec<GoalId>,
    follows: Vec<String>,
    is_pursued: bool,
}

impl Shelf {
    /// Takes a goal as it is in the store now.
    pub(super) fn put(&mut self, goal: &Goal) {
        // Evidence speaks for itself, and a goal that is over follows nothing.
        let follows = match goal.status.is_open() {
            true => goal
                .sessions
                .iter()
                .filter(|link| link.evidence.is_none())
                .map(|link| link.session_id.clone())
                .collect(),
            false => Vec::new(),
        };
        for id in self.goals.get(&goal.id).map(|kept| &kept.follows[..]).unwrap_or_default() {
            if let Some(goals) = self.followed.get_mut(id) {
                goals.remove(&goal.id);
                if goals.is_empty() {
                    self.followed.remove(id);
                }
            }
        }
        for id in &follows {
            self.followed.entry(id.clone()).or_default().insert(goal.id.clone());
        }
        let line = serde_json::to_vec_pretty(goal).expect("a goal is JSON");
        self.lines.insert((goal.created, goal.id.clone()), line.into());
        let kept = Kept {
            status: goal.status,
            depends_on: goal.depends_on.clone(),
            follows,
            is_pursued: goal.pursued().is_some(),
        };
        self.goals.insert(goal.id.clone(), kept);
    }

    /// Gives what a goal must know of another one.
    pub(super) fn other(&self, goal_id: &GoalId) -> Option<OtherGoal> {
        let Kept { status, depends_on, .. } = self.goals.get(goal_id)?;
        Some(OtherGoal { status: *status, depends_on: depends_on.clone() })
    }

    /// Gives every goal's part of the mirror.
    pub(super) fn lines(&self) -> Vec<Arc<[u8]>> {
        self.lines.values().cloned().collect()
    }

    /// Tells whether a goal has a link that changes with this run or session.
    pub(super) fn follows(&self, session_id: &str) -> bool {
        self.followed.contains_key(session_id)
    }

    /// Gives the goals that have such a link.
    pub(super) fn followers(&self, session_id: &str) -> Vec<GoalId> {
        self.followed.get(session_id).into_iter().flatten().cloned().collect()
    }

    /// Gives the goals whose pursuit is open.
    pub(super) fn pursued(&self) -> Vec<GoalId> {
        self.goals.iter().filter(|(_, kept)| kept.is_pursued).map(|(id, _)| id.clone()).collect()
    }

    /// Gives every run and session that a link changes with.
    pub(super) fn followed(&self) -> Vec<String> {
        self.followed.keys().cloned().collect()
    }
}
