//! Goals, from the model to the wire.

use super::managed::budget;
use adjutant_engine::goals::{GoalPage, GoalShown};
use adjutant_model::goal::{Criterion, Evidence, Goal, GoalLink, Pursuit, PursuitEnd};
use adjutant_protocol::http;

pub(crate) fn goal(goal: &Goal) -> http::GoalView {
    http::GoalView {
        id: goal.id.to_string(),
        description: goal.description.clone(),
        status: goal.status.as_str().to_owned(),
        reason: goal.reason.clone(),
        acceptance: goal.acceptance.iter().map(criterion).collect(),
        sessions: goal.sessions.iter().map(link).collect(),
        progress: goal.progress,
        project: goal.project.clone(),
        depends_on: goal.depends_on.iter().map(ToString::to_string).collect(),
        budget: budget(&goal.budget),
        deadline: goal.deadline.map(|at| at.to_string()),
        recheck: goal.recheck.as_ref().map(|recheck| http::RecheckView {
            cron: recheck.cron.clone(),
            next_at: recheck.next_at.to_string(),
        }),
        alert: goal.alert.as_ref().map(|alert| http::GoalAlertView {
            what: alert.what.as_str().to_owned(),
            text: alert.text.clone(),
            since: alert.since.to_string(),
        }),
        pursuit: goal.pursuit.as_ref().map(pursuit),
        notes: goal.notes.clone(),
        created: goal.created.to_string(),
        updated: goal.updated.to_string(),
        stale_since: None,
    }
}

pub(crate) fn goal_shown(shown: &GoalShown) -> http::GoalView {
    let mut view = goal(&shown.goal);
    let of_criteria = view.acceptance.iter_mut().map(|criterion| &mut criterion.evidence);
    let of_links = view.sessions.iter_mut().map(|link| &mut link.evidence);
    let outdated = shown.outdated.criteria.iter().chain(&shown.outdated.links);
    for (evidence, why) in of_criteria.chain(of_links).zip(outdated) {
        if let Some(evidence) = evidence {
            evidence.stale.clone_from(why);
        }
    }
    http::GoalView { stale_since: shown.stale_since.map(|at| at.to_string()), ..view }
}

pub(crate) fn goals(page: &GoalPage) -> http::GoalsView {
    let last = page.goals.last().filter(|_| page.has_more);
    http::GoalsView {
        goals: page.goals.iter().map(goal).collect(),
        next: last.map(|goal| goal.id.to_string()),
        stale_since: page.stale_since.map(|at| at.to_string()),
    }
}

fn pursuit(pursuit: &Pursuit) -> http::PursuitView {
    let (reached, reason) = match pursuit.end() {
        None => (None, None),
        Some(PursuitEnd::Reached) => (Some(true), None),
        Some(PursuitEnd::Stopped { reason }) => (Some(false), Some(reason.clone())),
    };
    http::PursuitView {
        state: pursuit.state.as_str().to_owned(),
        reached,
        reason,
        agent: pursuit.agent.clone(),
        attempt: pursuit.attempt,
        attempts_max: pursuit.attempts_max,
        sessions: pursuit.sessions.iter().map(ToString::to_string).collect(),
        started_at: pursuit.started_at.to_string(),
    }
}

fn criterion(criterion: &Criterion) -> http::CriterionView {
    http::CriterionView {
        text: criterion.text.clone(),
        check: criterion.check.clone(),
        evidence: criterion.evidence.as_ref().map(evidence),
    }
}

fn link(link: &GoalLink) -> http::LinkView {
    http::LinkView {
        session_id: link.session_id.clone(),
        task: link.task.clone(),
        state: link.state.as_str().to_owned(),
        evidence: link.evidence.as_ref().map(evidence),
    }
}

fn evidence(evidence: &Evidence) -> http::EvidenceView {
    http::EvidenceView {
        source: serde_json::to_value(&evidence.source).expect("a source is JSON"),
        passed: evidence.passed,
        tree: evidence.tree.clone(),
        workspace: evidence.workspace.clone(),
        detail: evidence.detail.clone(),
        at: evidence.at.to_string(),
        stale: None,
    }
}
