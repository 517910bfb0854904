//! `adjutant inbox`: everything that waits for a person, and how it is answered.

use super::session::{ago, answers};
use super::table::{Paper, Tone};
use super::watch::{self, Page};
use crate::commands::{Commands, quoted};
use crate::progress::visible_line;
use adjutant_engine::clock;
use adjutant_model::Timestamp;
use adjutant_protocol::ExitCode as Code;
use adjutant_protocol::http::{ApprovalView, InboxGoal, InboxItem, InboxView};
use adjutant_rules::approval::ASK;
use anyhow::Result;
use clap::Args;
use std::path::Path;

/// How it is shown.
#[derive(Debug, Args)]
pub(super) struct InboxArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Show it again whenever it changes, until Ctrl-C.
    #[arg(long)]
    watch: bool,
}

pub(super) async fn run(folder: &Path, args: InboxArgs) -> Result<Code> {
    let commands = Commands::of(folder);
    let page = async |client: &adjutant_protocol::Client| {
        let inbox = client.inbox().await?;
        let json = serde_json::to_string(&inbox)?;
        let lines = lines(&inbox, (Paper::of_stdout(), clock::now()));
        Ok(Page { lines: lines.iter().map(|line| commands.in_text(line)).collect(), json })
    };
    watch::show(folder, (args.json, args.watch), page).await
}

/// Something that waits.
struct Waiting<'a> {
    since: &'a str,
    who: String,
    what: String,
    tone: Tone,
    /// What else there is to know.
    more: Vec<String>,
    /// The commands that answer it, between backticks.
    answers: Vec<String>,
}

/// Lists what waits, the longest first.
fn lines(inbox: &InboxView, (paper, now): (Paper, Timestamp)) -> Vec<String> {
    let approvals = inbox.approvals.iter().map(of_approval);
    let others = inbox.sessions.iter().map(of_session).chain(inbox.goals.iter().map(of_goal));
    let mut waiting: Vec<Waiting<'_>> = approvals.chain(others).collect();
    if waiting.is_empty() {
        return vec!["nothing waits for you".to_owned()];
    }
    waiting.sort_by_key(|waiting| waiting.since);
    let mut lines = Vec::new();
    for one in &waiting {
        let head = paper.line(&format!("{:<7} {}  {}", ago(one.since, now), one.who, one.what));
        lines.push(paper.painted(&head, one.tone));
        lines.extend(one.more.iter().map(|more| paper.line(&format!("{:8}{more}", ""))));
        // A command that was cut could not be typed.
        lines.extend(one.answers.iter().map(|answer| format!("{:8}{answer}", "")));
    }
    lines
}

fn of_approval(approval: &ApprovalView) -> Waiting<'_> {
    let who = approval.agent_id.as_deref().or(approval.run_id.as_deref()).unwrap_or("the owner");
    let id = quoted(&approval.id);
    let options = approval.parameters["options"].as_array().filter(|_| approval.tool == ASK);
    let chosen = options.into_iter().flatten().filter_map(serde_json::Value::as_str);
    let mut answers: Vec<String> = chosen
        .map(|option| format!("`adjutant approvals approve {id} --option={}`", quoted(&visible_line(option))))
        .collect();
    if answers.is_empty() {
        answers.push(format!("`adjutant approvals approve {id}`"));
    }
    answers.push(format!("`adjutant approvals deny {id}`"));
    Waiting {
        since: &approval.created_at,
        who: visible_line(who),
        what: format!("{} {}", visible_line(&approval.tool), visible_line(&approval.parameters.to_string())),
        tone: Tone::Waits,
        more: vec![format!("{}; until {}", visible_line(&approval.reason), approval.deadline)],
        answers,
    }
}

fn of_session(item: &InboxItem) -> Waiting<'_> {
    let name = quoted(&item.name);
    let answers = match &item.question {
        Some(question) => answers(&item.name, question, false),
        None if item.kind == "errored" => {
            vec![format!("`adjutant session resume {name}`"), format!("`adjutant session show {name}`")]
        }
        None if item.kind == "untold" => vec![format!("`adjutant session send {name} TEXT`")],
        None => vec![format!("`adjutant session show {name}`")],
    };
    Waiting {
        since: &item.since,
        who: visible_line(&item.name),
        what: format!("{}: {}", item.kind, visible_line(&item.text)),
        tone: if item.kind == "errored" { Tone::Bad } else { Tone::Waits },
        more: Vec::new(),
        answers,
    }
}

fn of_goal(item: &InboxGoal) -> Waiting<'_> {
    let id = quoted(&item.goal_id);
    Waiting {
        since: &item.since,
        who: visible_line(&item.goal_id),
        what: format!("{}: {}", item.kind, visible_line(&item.text)),
        tone: Tone::Bad,
        more: vec![visible_line(&item.description)],
        answers: vec![
            format!("`adjutant goal show {id}`"),
            format!("`adjutant goal status {id} inProgress`"),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::super::session::sample::question;
    use super::*;
    use serde_json::{Value, json};

    fn shown(inbox: Value, columns: Option<usize>) -> Vec<String> {
        let inbox = serde_json::from_value(inbox).expect("an inbox");
        let now = Timestamp::parse("2026-01-31T12:00:00Z").expect("an instant");
        lines(&inbox, (Paper { columns, is_coloured: false }, now))
    }

    fn approval(tool: &str, parameters: Value) -> Value {
        json!({
            "id": "appr_1", "agent_id": "coder\x1b[2J", "tool": tool, "parameters": parameters, "fingerprint": "f",
            "reason": "policy 'ask-before-a-push'", "status": "pending", "deadline": "2026-01-31T12:05:00.000Z",
            "created_at": "2026-01-31T11:58:00.000Z",
        })
    }

    #[test]
    fn what_has_waited_longest_stands_first_with_the_command_that_answers_it() {
        let asks = question("toolu_1", "permission", "run `make`?");
        let inbox = json!({
            "approvals": [approval("Bash", json!({"command": "git push"}))],
            "sessions": [
                {"session_id": "s", "name": "api", "kind": "permission", "text": "run `make`?\n\x07", "question": asks, "since": "2026-01-31T11:00:00.000Z"},
                {"session_id": "t", "name": "web", "kind": "errored", "text": "no git", "since": "2026-01-31T11:59:30.000Z"},
                {"session_id": "u", "name": "old", "kind": "quota", "text": "until noon", "since": "2026-01-31T11:59:40.000Z"},
            ],
            "goals": [
                {"goal_id": "g-1", "description": "clean slugs", "kind": "reopened", "text": "not met any more: tests", "since": "2026-01-31T11:59:50.000Z"},
            ],
        });
        assert_eq!(
            shown(inbox, None),
            [
                "1 h     api  permission: run `make`? ␇",
                "        `adjutant session answer api allow --ask=toolu_1`",
                "        `adjutant session answer api deny --ask=toolu_1`",
                r#"2 min   coder␛[2J  Bash {"command":"git push"}"#,
                "        policy 'ask-before-a-push'; until 2026-01-31T12:05:00.000Z",
                "        `adjutant approvals approve appr_1`",
                "        `adjutant approvals deny appr_1`",
                "30 s    web  errored: no git",
                "        `adjutant session resume web`",
                "        `adjutant session show web`",
                "20 s    old  quota: until noon",
                "        `adjutant session show old`",
                "10 s    g-1  reopened: not met any more: tests",
                "        clean slugs",
                "        `adjutant goal show g-1`",
                "        `adjutant goal status g-1 inProgress`",
            ]
        );
    }

    #[test]
    fn a_question_of_a_flow_stands_with_its_options() {
        let inbox = json!({"approvals": [approval("ask", json!({"question": "Which?", "options": ["main", "a b"]}))], "sessions": []});
        let shown = shown(inbox, Some(40));
        assert_eq!(
            shown[2..],
            [
                "        `adjutant approvals approve appr_1 --option=main`",
                "        `adjutant approvals approve appr_1 --option='a b'`",
                "        `adjutant approvals deny appr_1`",
            ]
        );
        assert!(shown[0].chars().count() <= 40, "{}", shown[0]);
    }

    #[test]
    fn when_nothing_waits_it_says_so() {
        assert_eq!(shown(json!({"approvals": [], "sessions": []}), None), ["nothing waits for you"]);
    }
}
