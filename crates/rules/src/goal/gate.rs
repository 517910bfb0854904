//! The verification gate: may a goal be called done?
//!
//! Evidence counts while it is fresh: what names a tree counts only as long as its workspace still has that very
//! tree. A check that names no tree or no workspace was not bound to anything and does not count; a person's
//! sign-off may name none and then stays good.

use adjutant_model::GoalId;
use adjutant_model::goal::{Criterion, Evidence, EvidenceSource, Goal, GoalLink, LinkState};
use std::collections::BTreeMap;
use std::fmt;

/// The git tree that each workspace has now, by the workspace's name in evidence.
pub type Trees = BTreeMap<String, String>;

/// How many of how many are proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// The proved ones.
    pub verified: usize,
    /// All.
    pub total: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.verified, self.total)
    }
}

/// Why a goal is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not proved yet (links {links}, criteria {criteria}): {}", .missing.join("; "))]
pub struct GateRefusal {
    /// The links.
    pub links: Tally,
    /// The criteria.
    pub criteria: Tally,
    /// What is missing, one sentence fragment each.
    pub missing: Vec<String>,
}

/// Tells whether everything that a goal needs is proved by fresh evidence: at least one link or check criterion,
/// every link verified, every check criterion passed by its own command, and every criterion without a check
/// covered by a verified link or by evidence of its own; `unfinished` are the goals that it waits for.
///
/// # Errors
/// [`GateRefusal`] with the tallies and all that is missing.
pub fn gate(goal: &Goal, trees: &Trees, unfinished: &[GoalId]) -> Result<(), GateRefusal> {
    let mut missing: Vec<String> =
        unfinished.iter().map(|id| format!("goal {id}, which it depends on, is not done")).collect();
    if goal.sessions.is_empty() && goal.acceptance.iter().all(|criterion| criterion.check.is_none()) {
        missing.push("a linked session or run, or a criterion with a check".to_owned());
    }
    let links = tally(goal.sessions.iter().map(|link| link_proved(link, trees)), &mut missing);
    let covered = links.verified > 0;
    let criteria = tally(
        goal.acceptance.iter().map(|criterion| match &criterion.check {
            Some(command) => check_proved(criterion, command, trees),
            None if covered => Ok(()),
            None => text_proved(criterion, trees),
        }),
        &mut missing,
    );
    if missing.is_empty() { Ok(()) } else { Err(GateRefusal { links, criteria, missing }) }
}

fn tally(proofs: impl Iterator<Item = Result<(), String>>, missing: &mut Vec<String>) -> Tally {
    let mut tally = Tally { verified: 0, total: 0 };
    for proof in proofs {
        tally.total += 1;
        match proof {
            Ok(()) => tally.verified += 1,
            Err(what) => missing.push(what),
        }
    }
    tally
}

fn link_proved(link: &GoalLink, trees: &Trees) -> Result<(), String> {
    let id = &link.session_id;
    match (link.state, &link.evidence) {
        (LinkState::Verified, Some(evidence)) if evidence.passed => {
            fresh(evidence, trees).map_err(|why| format!("`{id}` must be verified again: {why}"))
        }
        (LinkState::Verified, Some(_) | None) => Err(format!("`{id}` is verified by nothing")),
        (LinkState::Launched | LinkState::Running, _) => Err(format!("`{id}` is not verified")),
        (LinkState::Failed, _) => Err(format!("`{id}` failed")),
    }
}

fn check_proved(criterion: &Criterion, command: &str, trees: &Trees) -> Result<(), String> {
    let Some(evidence) = &criterion.evidence else {
        return Err(format!("the check `{command}` has not run"));
    };
    match &evidence.source {
        EvidenceSource::Check { command: ran } if ran == command => {}
        EvidenceSource::Check { .. } | EvidenceSource::Turn { .. } | EvidenceSource::SignOff { .. } => {
            return Err(format!(
                "the check `{command}` has not run; other evidence does not stand in for it"
            ));
        }
    }
    if !evidence.passed {
        return Err(format!("the check `{command}` failed"));
    }
    fresh(evidence, trees).map_err(|why| format!("the check `{command}` must run again: {why}"))
}

fn text_proved(criterion: &Criterion, trees: &Trees) -> Result<(), String> {
    let text = &criterion.text;
    match &criterion.evidence {
        Some(
            evidence @ Evidence {
                source: EvidenceSource::SignOff { .. } | EvidenceSource::Turn { .. },
                passed: true,
                ..
            },
        ) => fresh(evidence, trees).map_err(|why| format!("\"{text}\" must be signed off again: {why}")),
        Some(_) | None => Err(format!("\"{text}\" needs a verified link or a sign-off")),
    }
}

/// Says why evidence does not count any more; nothing while it does.
pub fn stale(evidence: &Evidence, trees: &Trees) -> Option<String> {
    fresh(evidence, trees).err()
}

fn fresh(evidence: &Evidence, trees: &Trees) -> Result<(), String> {
    match (&evidence.source, &evidence.tree, &evidence.workspace) {
        (EvidenceSource::SignOff { .. }, None, _) => Ok(()),
        (EvidenceSource::Check { .. } | EvidenceSource::Turn { .. }, None, Some(workspace)) => {
            Err(format!("it names no tree, because {workspace} is in no git repository"))
        }
        (EvidenceSource::Check { .. } | EvidenceSource::Turn { .. }, None, None) => {
            Err("it names no tree".to_owned())
        }
        (_, Some(_), None) => Err("it names no workspace".to_owned()),
        (_, Some(tree), Some(workspace)) => match trees.get(workspace) {
            Some(now) if now == tree => Ok(()),
            Some(_) => Err(format!("the tree of {workspace} has changed since")),
            None => Err(format!("the workspace {workspace} is gone")),
        },
    }
}
