//! `adjutant goal ls`: where every goal stands, at one glance.

use super::{Form, print};
use crate::cli::session::ago;
use crate::cli::table::{Cell, Column, Paper, Tone, lines};
use crate::commands::Commands;
use crate::progress::visible_line;
use adjutant_engine::clock;
use adjutant_model::Timestamp;
use adjutant_model::goal::GoalStatus;
use adjutant_protocol::ExitCode as Code;
use adjutant_protocol::http::{GoalView, GoalsView};
use anyhow::Result;

const COLUMNS: [Column; 7] = [
    Column { title: "GOAL", width_min: None, rank: 9 },
    Column { title: "STATUS", width_min: None, rank: 8 },
    // How many criteria the last evidence speaks for.
    Column { title: "PROVED", width_min: None, rank: 6 },
    // Of the sessions and runs that are linked.
    Column { title: "LINKS", width_min: None, rank: 3 },
    Column { title: "CHANGED", width_min: None, rank: 2 },
    Column { title: "WHAT", width_min: Some(16), rank: 7 },
    Column { title: "NOW", width_min: Some(12), rank: 5 },
];

/// Shows goals.
pub(super) fn show(goals: &GoalsView, (form, commands): (Form, &Commands)) -> Result<Code> {
    if let Form::Json = form {
        return print(&serde_json::to_string(goals)?);
    }
    for line in table(&goals.goals, (Paper::of_stdout(), clock::now())) {
        print(&commands.in_text(&line))?;
    }
    Ok(Code::Ok)
}

fn table(goals: &[GoalView], (paper, now): (Paper, Timestamp)) -> Vec<String> {
    if goals.is_empty() {
        return vec!["no goals; `adjutant goal new DESCRIPTION --check COMMAND` makes one".to_owned()];
    }
    let rows: Vec<Vec<Cell>> = goals.iter().map(|goal| row(goal, now)).collect();
    let mut shown = lines(&COLUMNS, &rows, paper);
    shown.push(counts(goals));
    // A command that was cut could not be typed.
    shown.extend(match goals.iter().filter(|goal| goal.alert.is_some()).count() {
        0 => None,
        1 => Some("1 is to be looked at: `adjutant inbox`".to_owned()),
        many => Some(format!("{many} are to be looked at: `adjutant inbox`")),
    });
    shown
}

fn row(goal: &GoalView, now: Timestamp) -> Vec<Cell> {
    let tone = match (goal.alert.is_some(), GoalStatus::parse(&goal.status)) {
        (true, _) => Tone::Bad,
        (false, Some(GoalStatus::Done)) => Tone::Good,
        (false, Some(GoalStatus::Blocked)) => Tone::Waits,
        (false, Some(GoalStatus::Abandoned)) => Tone::Quiet,
        (false, Some(GoalStatus::Pending | GoalStatus::InProgress) | None) => Tone::Plain,
    };
    let is_proved = |passed: Option<bool>| passed == Some(true);
    let criteria =
        goal.acceptance.iter().map(|criterion| criterion.evidence.as_ref().map(|found| found.passed));
    let links = goal.sessions.iter().map(|link| link.state == "verified");
    vec![
        (goal.id.clone(), Tone::Plain),
        (goal.status.clone(), tone),
        (tally(criteria.map(is_proved)), Tone::Plain),
        (tally(links), Tone::Plain),
        (ago(&goal.updated, now), Tone::Plain),
        (visible_line(&goal.description), Tone::Plain),
        (now_of(goal), tone),
    ]
}

fn tally(held: impl Iterator<Item = bool>) -> String {
    let (verified, total) = held.fold((0, 0), |(yes, all), held| (yes + usize::from(held), all + 1));
    if total == 0 { String::new() } else { format!("{verified}/{total}") }
}

/// Says what happens to a goal, what is wrong with it, or what happens next.
fn now_of(goal: &GoalView) -> String {
    if let Some(alert) = &goal.alert {
        return format!("{}: {}", alert.what, visible_line(&alert.text));
    }
    let is_open = GoalStatus::parse(&goal.status).is_some_and(GoalStatus::is_open);
    if let Some(pursuit) = goal.pursuit.as_ref().filter(|pursuit| pursuit.state != "ended") {
        return format!("pursuit {}, {} of {}", pursuit.state, pursuit.attempt, pursuit.attempts_max);
    }
    let deadline = goal.deadline.as_deref().filter(|_| is_open).map(|at| format!("until {}", minute(at)));
    let recheck = goal.recheck.as_ref().filter(|_| goal.status != "abandoned");
    let recheck = recheck.map(|recheck| format!("checked at {}", minute(&recheck.next_at)));
    deadline.into_iter().chain(recheck).collect::<Vec<_>>().join(", ")
}

/// Gives the day and the minute, out of `2026-01-31T09:30:00.123Z`.
fn minute(at: &str) -> String {
    at.get(..16).unwrap_or(at).replacen('T', " ", 1)
}

fn counts(goals: &[GoalView]) -> String {
    let of = |status: GoalStatus| {
        let count = goals.iter().filter(|goal| goal.status == status.as_str()).count();
        (count > 0).then(|| format!("{count} {}", status.as_str()))
    };
    GoalStatus::ALL.into_iter().filter_map(of).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::width::width;
    use serde_json::{Value, json};

    fn goal(over: &Value) -> GoalView {
        let mut goal = json!({
            "id": "g-0000000000000001", "description": "Slugs are\nclean\u{1b}[2J", "status": "inProgress", "acceptance": [],
            "sessions": [], "progress": 0, "depends_on": [], "budget": {}, "notes": [],
            "created": "2026-01-31T10:00:00.000Z", "updated": "2026-01-31T11:58:00.000Z",
        });
        for (key, value) in over.as_object().expect("members") {
            goal[key] = value.clone();
        }
        serde_json::from_value(goal).expect("a goal")
    }

    fn goals() -> Vec<GoalView> {
        let proved = json!({"source": {}, "passed": true, "detail": "exit 0", "at": ""});
        let pursuit = json!({
            "state": "working", "agent": "claude", "attempt": 1, "attempts_max": 3, "sessions": [], "started_at": "",
        });
        let recheck = json!({"cron": "0 6 * * *", "next_at": "2026-02-01T06:00:00.000Z"});
        vec![
            goal(&json!({
                "acceptance": [{"text": "t", "check": "true", "evidence": proved}, {"text": "u"}],
                "sessions": [{"session_id": "s", "task": "", "state": "running"}], "pursuit": pursuit,
            })),
            goal(
                &json!({"id": "g-0000000000000002", "status": "done", "description": "fast", "recheck": recheck}),
            ),
            goal(&json!({"id": "g-0000000000000003", "status": "pending", "description": "漢字",
                "deadline": "2026-02-03T00:00:00.000Z"})),
            goal(&json!({"id": "g-0000000000000004", "description": "small",
                "alert": {"what": "reopened", "text": "not met any more: tests", "since": ""}})),
        ]
    }

    fn shown(columns: Option<usize>) -> Vec<String> {
        let now = Timestamp::parse("2026-01-31T12:00:00Z").expect("an instant");
        table(&goals(), (Paper { columns, is_coloured: false }, now))
    }

    #[test]
    fn goals_stand_in_a_table_with_what_happens_to_them() {
        assert_eq!(
            shown(None),
            [
                "GOAL                STATUS      PROVED  LINKS  CHANGED  WHAT                 NOW",
                "g-0000000000000001  inProgress  1/2     0/1    2 min    Slugs are clean␛[2J  pursuit working, 1 of 3",
                "g-0000000000000002  done                       2 min    fast                 checked at 2026-02-01 06:00",
                "g-0000000000000003  pending                    2 min    漢字                 until 2026-02-03 00:00",
                "g-0000000000000004  inProgress                 2 min    small                reopened: not met any more: tests",
                "1 pending, 2 inProgress, 1 done",
                "1 is to be looked at: `adjutant inbox`",
            ]
        );
    }

    #[test]
    fn no_terminal_is_too_narrow() {
        for columns in 1..150 {
            for line in &shown(Some(columns))[..5] {
                assert!(width(line) <= columns, "{columns}: {line}");
            }
        }
    }

    #[test]
    fn without_goals_it_says_how_one_is_made() {
        let now = Timestamp::parse("2026-01-31T12:00:00Z").expect("an instant");
        let none = table(&[], (Paper { columns: None, is_coloured: false }, now));
        assert_eq!(none, ["no goals; `adjutant goal new DESCRIPTION --check COMMAND` makes one"]);
    }
}
