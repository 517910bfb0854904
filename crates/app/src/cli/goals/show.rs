//! `adjutant goal show`, and how a goal is told of in a few lines.

use super::{Form, ids, print};
use crate::progress::{cost, visible};
use adjutant_protocol::http::{BudgetView, EvidenceView, GoalView};
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::Result;

/// So much of a git tree's name is shown, in characters.
const TREE_CHARS: usize = 12;

/// Shows a goal with all that belongs to it.
pub(super) async fn show(client: &Client, goal: &str, form: Form) -> Result<Code> {
    let goal = client.goal(&ids::goal(client, goal).await?).await?;
    if let Form::Json = form {
        return print(&serde_json::to_string(&goal)?);
    }
    // What it cost is not in the mirror, so it is no reason not to show the rest.
    let cost = match goal.stale_since {
        None => cost::with_sessions(&client.goal_cost(&goal.id).await?),
        Some(_) => None,
    };
    for line in whole(&goal, cost.as_deref()) {
        print(&line)?;
    }
    Ok(Code::Ok)
}

/// Says everything that is known of a goal.
pub(super) fn whole(goal: &GoalView, cost: Option<&str>) -> Vec<String> {
    let mut lines = told(goal);
    let mut say = |title: &str, text: Option<String>| {
        lines.extend(text.map(|text| format!("{title:<11} {}", visible(&text))));
    };
    say(
        "alert",
        goal.alert.as_ref().map(|alert| format!("{}, since {}: {}", alert.what, alert.since, alert.text)),
    );
    say("why", goal.reason.clone());
    say("project", goal.project.clone());
    say("depends on", (!goal.depends_on.is_empty()).then(|| goal.depends_on.join(", ")));
    say("budget", budget(&goal.budget));
    say("deadline", goal.deadline.clone());
    say(
        "recheck",
        goal.recheck.as_ref().map(|recheck| format!("{}, next at {}", recheck.cron, recheck.next_at)),
    );
    say("cost", cost.map(str::to_owned));
    say("made", Some(format!("{}, changed {}", goal.created, goal.updated)));
    for note in &goal.notes {
        lines.push(format!("  | {}", visible(note)));
    }
    lines
}

fn budget(budget: &BudgetView) -> Option<String> {
    let parts: Vec<String> = [
        budget.max_cost_usd.map(|usd| format!("${usd:.2}")),
        budget.max_tokens.map(|tokens| format!("{tokens} tokens")),
        budget.max_minutes.map(|minutes| format!("{minutes} min")),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Says how a goal stands.
pub(crate) fn told(goal: &GoalView) -> Vec<String> {
    let mut lines =
        vec![format!("{}  {}  {} %  {}", goal.id, goal.status, goal.progress, visible(&goal.description))];
    let covers = goal.sessions.iter().any(|link| link.state == "verified");
    for (index, criterion) in goal.acceptance.iter().enumerate() {
        let text = match criterion.check.as_deref().filter(|check| *check != criterion.text) {
            Some(check) => format!("{} (`{}`)", visible(&criterion.text), visible(check)),
            None => visible(&criterion.text),
        };
        let unproved = match covers && criterion.check.is_none() {
            true => "covered by verified work",
            false => "not proved yet",
        };
        let proof = criterion.evidence.as_ref().map_or_else(|| unproved.to_owned(), proof);
        lines.push(format!("  {index}  {text}  {proof}"));
    }
    for link in &goal.sessions {
        let proof = link.evidence.as_ref().map_or_else(String::new, |found| format!("  {}", proof(found)));
        lines.push(format!("  {}  {}{proof}", visible(&link.session_id), link.state));
    }
    if let Some(pursuit) = &goal.pursuit {
        let why = pursuit.reason.as_deref().map_or_else(String::new, |why| format!(": {}", visible(why)));
        lines.push(format!(
            "  pursuit {}, attempt {} of {}{why}",
            pursuit.state, pursuit.attempt, pursuit.attempts_max
        ));
    }
    lines
}

fn proof(evidence: &EvidenceView) -> String {
    let spoke = if evidence.passed { "passed" } else { "failed" };
    let person = evidence.source["person"].as_str();
    let by = person.map_or_else(String::new, |person| format!(" by {}", visible(person)));
    let tree = evidence.tree.as_deref().map_or_else(String::new, |tree| {
        format!(", tree {}", tree.chars().take(TREE_CHARS).collect::<String>())
    });
    let stale =
        evidence.stale.as_deref().map_or_else(String::new, |why| format!("; stale: {}", visible(why)));
    format!("{spoke}{by}: {}{tree}{stale}", visible(&evidence.detail))
}
