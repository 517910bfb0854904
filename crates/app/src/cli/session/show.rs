//! `adjutant session show`: everything that is known of a session, in groups.

pub(super) mod other;

use super::words::{ago, clock, does, money, rounded, since, tokens};
use crate::cli::print;
use crate::commands::{Commands, quoted};
use crate::progress::{visible, visible_lines};
use adjutant_engine::clock::now;
use adjutant_model::Timestamp;
use adjutant_protocol::http::{ManagedView, QuestionView, SessionContextView};
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::Result;
use std::collections::BTreeSet;

/// So many lines of a task are shown.
const TASK_LINES: usize = 12;
/// A title takes so many columns.
const TITLE: usize = 11;

pub(super) async fn run(client: &Client, session: &ManagedView, commands: &Commands) -> Result<Code> {
    let approvals = approvals(client, &session.questions).await?;
    for line in lines(session, &approvals, (commands, now())) {
        print(&line)?;
    }
    Ok(Code::Ok)
}

/// Gives what the gate asks: that is answered as an approval, whatever it is called by the session.
async fn approvals(client: &Client, questions: &[QuestionView]) -> Result<BTreeSet<String>> {
    Ok(match questions.is_empty() {
        true => BTreeSet::new(),
        false => client.inbox().await?.approvals.into_iter().map(|approval| approval.id).collect(),
    })
}

fn lines(
    session: &ManagedView,
    approvals: &BTreeSet<String>,
    (commands, now): (&Commands, Timestamp),
) -> Vec<String> {
    let mut lines = vec![
        format!("{}  {}", session.name, does(session)),
        row("since", format!("{} ({})", ago(since(session), now), clock(since(session)))),
    ];
    lines.extend(known_by(session, now));
    for question in &session.questions {
        lines.extend(
            asked(&session.name, question, approvals).into_iter().map(|line| commands.in_text(&line)),
        );
    }
    for group in [life(session), agent(session), work(session), used(session)] {
        lines.push(String::new());
        lines.extend(group.into_iter().map(|(title, value)| row(title, visible(&value))));
    }
    lines.push(String::new());
    lines.extend(task(&session.task));
    lines.push(String::new());
    lines.extend(next(session).into_iter().map(|(title, command)| row(title, commands.line(&command))));
    lines
}

fn row(title: &str, value: impl AsRef<str>) -> String {
    format!("  {title:<TITLE$} {}", value.as_ref()).trim_end().to_owned()
}

fn known_by(session: &ManagedView, now: Timestamp) -> Vec<String> {
    let activity = &session.activity;
    let heard =
        session.last_activity_at.as_deref().map(|at| row("heard of", format!("{} ago", ago(at, now))));
    let known = match session.phase.as_str() {
        "running" => format!("{} ({})", visible(&activity.evidence), activity.source),
        _ => visible(&activity.evidence),
    };
    [Some(row("known by", known)), heard].into_iter().flatten().collect()
}

/// Says what is asked, and how it is answered.
fn asked(session: &str, question: &QuestionView, approvals: &BTreeSet<String>) -> Vec<String> {
    let answers = answers(session, question, approvals.contains(&question.ask_id));
    let mut lines = vec![String::new(), asks(question)];
    lines.extend(answers.into_iter().map(|line| format!("  {line}")));
    lines
}

fn asks(question: &QuestionView) -> String {
    let who = question.subagent.as_deref().map_or_else(String::new, |name| format!(" of {}", visible(name)));
    let tool = question.tool.as_deref().map_or_else(String::new, |tool| format!(" for {}", visible(tool)));
    let (kind, at, text) = (&question.kind, clock(&question.asked_at), visible(&question.text));
    format!("asks a {kind}{tool}{who}, {at}: {text}")
}

/// Gives the commands that answer a question, between backticks.
pub(in crate::cli) fn answers(session: &str, question: &QuestionView, is_approval: bool) -> Vec<String> {
    let ask = quoted(&visible(&question.ask_id));
    if is_approval {
        return vec![
            format!("`adjutant approvals approve {ask}`"),
            format!("`adjutant approvals deny {ask}`"),
        ];
    }
    let answer = |words: &str| format!("`adjutant session answer {} {words} --ask={ask}`", quoted(session));
    match (question.kind.as_str(), question.options.as_slice()) {
        ("permission", _) => vec![answer("allow"), answer("deny")],
        (_, []) => vec![answer("TEXT")],
        (_, options) => options.iter().map(|option| answer(&quoted(&visible(option)))).collect(),
    }
}

type Rows = Vec<(&'static str, String)>;

fn life(session: &ManagedView) -> Rows {
    let mut rows = vec![
        ("id", session.id.clone()),
        ("state", format!("{}, {}; wanted {}", session.state, session.phase, session.desired)),
    ];
    rows.extend(session.reason.iter().map(|reason| ("because", reason.clone())));
    rows.extend(session.parked_until.iter().map(|at| ("parked", format!("until {}", clock(at)))));
    rows.push(("asked for", clock(&session.created_at)));
    rows.extend(session.goal_id.iter().map(|goal| ("goal", goal.clone())));
    rows.extend(session.parent.iter().map(|parent| ("parent", parent.clone())));
    rows
}

fn agent(session: &ManagedView) -> Rows {
    let mut rows = vec![("agent", format!("{} by {}", session.agent, session.driver))];
    let tier = session.tier.as_deref().map(|tier| format!("tier {tier}"));
    let model = [session.model.clone(), tier].into_iter().flatten().collect::<Vec<_>>().join(", ");
    rows.extend((!model.is_empty()).then_some(("model", model)));
    rows.extend(session.agent_session.iter().map(|id| ("its session", id.clone())));
    rows.extend(session.pid.iter().map(|pid| ("process", pid.to_string())));
    rows.push(("starts", format!("{} (turns ended: {})", session.launches, session.turns)));
    rows.push(match &session.delivered_at {
        Some(at) => ("task", format!("arrived {}", clock(at))),
        None => ("task", "not seen to arrive yet".to_owned()),
    });
    rows.extend(session.attach_cmd.iter().map(|command| ("terminal", command.clone())));
    rows
}

fn work(session: &ManagedView) -> Rows {
    let mut rows = Vec::new();
    rows.extend(session.project.iter().map(|path| ("project", path.clone())));
    rows.extend(session.repo_url.iter().map(|url| ("repository", url.clone())));
    rows.extend(session.git_ref.iter().map(|name| ("from", name.clone())));
    rows.extend(session.branch.iter().map(|branch| ("branch", branch.clone())));
    rows.extend(session.workspace_path.iter().map(|path| ("workspace", path.clone())));
    rows.extend(session.snapshot_ref.iter().map(|name| ("snapshot", name.clone())));
    rows
}

fn used(session: &ManagedView) -> Rows {
    let (usage, budget) = (&session.usage, &session.budget);
    let of = |max: Option<String>| max.map_or_else(String::new, |max| format!(" of {max}"));
    let mut rows = Vec::new();
    if usage.cost_usd.is_some() || budget.max_cost_usd.is_some() {
        let about = if usage.cost_is_estimated { "about " } else { "" };
        let cost =
            usage.cost_usd.map_or_else(|| "not told".to_owned(), |usd| format!("{about}{}", money(usd)));
        rows.push(("cost", format!("{cost}{}", of(budget.max_cost_usd.map(money)))));
    }
    rows.push((
        "tokens",
        format!(
            "{}{}: {} read, {} written, {} put into the cache; {} read from it",
            rounded(tokens(usage)),
            of(budget.max_tokens.map(rounded)),
            rounded(usage.input_tokens),
            rounded(usage.output_tokens),
            rounded(usage.cache_write_tokens),
            rounded(usage.cache_read_tokens),
        ),
    ));
    rows.extend(session.context.as_ref().map(|context| ("context", full(context))));
    rows.extend(budget.max_minutes.map(|max| ("time", format!("at most {max} minutes"))));
    rows
}

/// Says how full a context is, and what that means where it is not plain.
fn full(context: &SessionContextView) -> String {
    let SessionContextView { used_tokens, window_tokens, fraction, pressure } = context;
    let means = match pressure.as_str() {
        "warn" => ", it fills",
        "alert" => ", it is nearly full",
        "compact" => ", it is to be compacted",
        _ => "",
    };
    let percent = (fraction * 100.0).floor();
    format!("{} of {} ({percent} %){means}", rounded(*used_tokens), rounded(*window_tokens))
}

fn task(task: &str) -> Vec<String> {
    let task = visible_lines(task);
    let more = task.lines().count().saturating_sub(TASK_LINES);
    let mut lines: Vec<String> = task.lines().take(TASK_LINES).map(|line| format!("  | {line}")).collect();
    if more > 0 {
        lines.push(format!("  … {more} more lines"));
    }
    lines
}

/// Gives what can be done next with a session: what it is for, and the command.
pub(super) fn next(session: &ManagedView) -> Vec<(&'static str, String)> {
    let name = &session.name;
    let line = |title, command: &str| (title, format!("session {command} {name}"));
    let send = ("tell it", format!("session send {name} TEXT"));
    let logs = ("follow it", format!("session logs {name} -f"));
    match session.state.as_str() {
        "decommissioned" => match &session.snapshot_ref {
            Some(_) => vec![("its work", format!("workspace restore {}", session.id))],
            None => Vec::new(),
        },
        "stopped" | "errored" => {
            vec![line("start it", "resume"), line("look", "diff"), line("clean up", "rm")]
        }
        _ => {
            let watch = match &session.attach_cmd {
                Some(_) => line("take part", "attach"),
                None => logs,
            };
            vec![watch, send, line("look", "diff"), line("end it", "stop")]
        }
    }
}

/// Says in one line what a session is, and why when it is not what it should be.
pub(super) fn told(session: &ManagedView) -> String {
    let how = match (session.state.as_str(), session.phase.as_str()) {
        ("active", "parked") | ("stopped" | "errored", _) => does(session),
        (state, _) => state.to_owned(),
    };
    let branch = session.branch.as_deref().map(|branch| format!(", branch {}", visible(branch)));
    let host = format!("{} by {}{}", session.agent, session.driver, branch.unwrap_or_default());
    format!("{} is {how} ({host})", session.name)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{question, session};
    use super::*;
    use serde_json::json;

    fn shown(over: &serde_json::Value, approvals: &[&str]) -> Vec<String> {
        let now = Timestamp::parse("2026-01-31T12:00:00Z").expect("an instant");
        let approvals = approvals.iter().map(|id| (*id).to_owned()).collect();
        lines(&session(over), &approvals, (&Commands::default(), now))
    }

    #[test]
    fn everything_stands_in_groups_with_what_can_be_done() {
        let over = json!({
            "tier": "sonnet", "model": "m-1", "pid": 77, "usage": {"cost_usd": 0.5},
            "context": {"used_tokens": 180, "window_tokens": 200, "fraction": 0.9, "pressure": "compact"},
            "budget": {"max_cost_usd": 2.0, "max_minutes": 30}, "task": "Fix it.\n\x1b[2JThen test.",
        });
        let expected = "\
api  working
  since       3 min (2026-01-31 11:57:00)
  known by    PreToolUse (hook)
  heard of    1 min ago

  id          01890000-0000-7000-8000-00000000abcd
  state       active, running; wanted running
  asked for   2026-01-31 11:00:00

  agent       claude by tmux
  model       m-1, tier sonnet
  process     77
  starts      1 (turns ended: 2)
  task        not seen to arrive yet
  terminal    tmux attach -t api

  project     /p/api
  branch      adjutant/api
  workspace   /w/api

  cost        $0.50 of $2.00
  tokens      12.3k: 12k read, 345 written, 0 put into the cache; 0 read from it
  context     180 of 200 (90 %), it is to be compacted
  time        at most 30 minutes

  | Fix it.
  | ␛[2JThen test.

  take part   adjutant session attach api
  tell it     adjutant session send api TEXT
  look        adjutant session diff api
  end it      adjutant session stop api";
        assert_eq!(shown(&over, &[]).join("\n"), expected);
    }

    #[test]
    fn a_question_stands_with_the_commands_that_answer_it() {
        let asks = |questions: serde_json::Value| json!({"questions": questions});
        let mut choice = question("q 1", "question", "Which?");
        choice["options"] = json!(["$(rm -rf ~)", "--force"]);
        let free = question("q2", "question", "What?");
        let permission = question("toolu_1", "permission", "run it?");
        for (over, approvals, expected) in [
            (
                asks(json!([choice])),
                &[][..],
                &[
                    "  `adjutant session answer api '$(rm -rf ~)' --ask='q 1'`",
                    "  `adjutant session answer api --force --ask='q 1'`",
                ][..],
            ),
            (asks(json!([free])), &[], &["  `adjutant session answer api TEXT --ask=q2`"]),
            (
                asks(json!([permission])),
                &[],
                &[
                    "  `adjutant session answer api allow --ask=toolu_1`",
                    "  `adjutant session answer api deny --ask=toolu_1`",
                ],
            ),
            (
                asks(json!([permission])),
                &["toolu_1"],
                &["  `adjutant approvals approve toolu_1`", "  `adjutant approvals deny toolu_1`"],
            ),
        ] {
            let shown = shown(&over, approvals);
            let answers: Vec<&String> = shown.iter().filter(|line| line.contains("`adjutant")).collect();
            assert_eq!(answers, expected, "{over}");
        }
    }

    #[test]
    fn one_that_is_not_there_says_why() {
        for (over, expected) in [
            (json!({}), "api is active (claude by tmux, branch adjutant/api)"),
            (
                json!({"state": "provisioning", "phase": "launching", "branch": null}),
                "api is provisioning (claude by tmux)",
            ),
            (
                json!({"state": "stopped", "phase": "resting", "reason": "the agent ended by itself"}),
                "api is stopped: the agent ended by itself (claude by tmux, branch adjutant/api)",
            ),
            (
                json!({"phase": "parked", "reason": "the agent died: signal 9"}),
                "api is parked: the agent died: signal 9 (claude by tmux, branch adjutant/api)",
            ),
        ] {
            assert_eq!(told(&session(&over)), expected, "{over}");
        }
    }

    #[test]
    fn what_can_be_done_depends_on_where_it_stands() {
        for (over, expected) in [
            (json!({}), &["attach", "send", "diff", "stop"][..]),
            (json!({"attach_cmd": null, "driver": "acp"}), &["logs", "send", "diff", "stop"]),
            (json!({"state": "stopped"}), &["resume", "diff", "rm"]),
            (json!({"state": "decommissioned", "snapshot_ref": "refs/adjutant/x"}), &["restore"]),
            (json!({"state": "decommissioned"}), &[]),
        ] {
            let next = next(&session(&over));
            let named: Vec<_> = next.iter().map(|(_, line)| line.split(' ').nth(1).unwrap()).collect();
            assert_eq!(named, expected, "{over}");
        }
    }
}
