//! What is known of a session that is not hosted here: somebody else has started its agent, or its holder has a token.

use super::super::words::{ago, clock, does_elsewhere, rounded, spent, tokens};
use super::{approvals, asked, asks, row};
use crate::cli::print;
use crate::commands::Commands;
use crate::progress::visible;
use adjutant_engine::clock::now;
use adjutant_model::Timestamp;
use adjutant_protocol::http::SessionView;
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::Result;
use std::collections::BTreeSet;

/// Prints everything that is known of it, in groups.
pub(in crate::cli::session) async fn run(
    client: &Client,
    session: &SessionView,
    commands: &Commands,
) -> Result<Code> {
    let approvals = approvals(client, &session.questions).await?;
    for line in lines(session, &approvals, (commands, now())) {
        print(&line)?;
    }
    Ok(Code::Ok)
}

fn lines(
    session: &SessionView,
    approvals: &BTreeSet<String>,
    (commands, now): (&Commands, Timestamp),
) -> Vec<String> {
    let activity = &session.activity;
    let mut lines = vec![
        format!("{}  {}", visible(&session.name), does_elsewhere(session)),
        row("since", format!("{} ({})", ago(&activity.since, now), clock(&activity.since))),
        row("known by", format!("{} ({})", visible(&activity.evidence), activity.source)),
    ];
    lines.extend(session.last_seen_at.iter().map(|at| row("heard of", format!("{} ago", ago(at, now)))));
    for question in &session.questions {
        if approvals.contains(&question.ask_id) {
            let asked = asked(&session.name, question, approvals);
            lines.extend(asked.into_iter().map(|line| commands.in_text(&line)));
        } else {
            // What its own rules ask is answered where it runs.
            lines.extend([String::new(), asks(question), "  it is answered in its own terminal".to_owned()]);
        }
    }
    lines.push(String::new());
    lines.push(row("id", &session.id));
    lines.push(row("kind", format!("{}, {}", session.kind, begun_by(session))));
    lines.push(row("state", &session.state));
    lines.push(row("agent", visible(&session.agent_id)));
    lines.extend(session.cwd.iter().map(|path| row("directory", visible(path))));
    lines.push(row("known since", clock(&session.created_at)));
    lines.extend(session.expires_at.iter().map(|at| row("ends", clock(at))));
    lines.extend(session.uses.map(|uses| row("token", format!("was shown {uses} times"))));
    if tokens(&session.usage) > 0 {
        lines.push(String::new());
        let (used, spent) = (&session.usage, spent(&session.usage));
        lines.push(row("spent", spent));
        let (read, written) = (rounded(used.input_tokens), rounded(used.output_tokens));
        lines.push(row("tokens", format!("{read} read, {written} written")));
    }
    if session.role.is_none() {
        lines.push(String::new());
        lines.push(row("follow it", commands.line(&format!("session logs {} -f", session.id))));
    }
    lines
}

fn begun_by(session: &SessionView) -> &'static str {
    match session.role {
        Some(_) => "an outside client holds its token",
        None => "somebody else has started its agent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn discovered() -> SessionView {
        serde_json::from_value(json!({
            "kind": "discovered", "id": "01890000-0000-7000-8000-00000000abcd", "name": "claude-0000abcd",
            "agent_id": "claude", "state": "active", "questions": [],
            "activity": {"activity": "working", "since": "2026-01-31T11:57:00.000Z", "source": "hook", "evidence": "PreToolUse"},
            "usage": {"input_tokens": 12_000, "output_tokens": 345, "cache_read_tokens": 0, "cache_write_tokens": 0},
            "cwd": "/p/\u{1b}x", "created_at": "2026-01-31T11:00:00.000Z", "last_seen_at": "2026-01-31T11:59:00.000Z",
        }))
        .expect("a session")
    }

    #[test]
    fn of_an_agent_that_somebody_else_has_started_all_is_shown_that_hooks_tell() {
        let now = Timestamp::parse("2026-01-31T12:00:00Z").expect("an instant");
        let expected = "\
claude-0000abcd  working
  since       3 min (2026-01-31 11:57:00)
  known by    PreToolUse (hook)
  heard of    1 min ago

  id          01890000-0000-7000-8000-00000000abcd
  kind        discovered, somebody else has started its agent
  state       active
  agent       claude
  directory   /p/␛x
  known since 2026-01-31 11:00:00

  spent       12.3k tokens
  tokens      12k read, 345 written

  follow it   adjutant session logs 01890000-0000-7000-8000-00000000abcd -f";
        assert_eq!(lines(&discovered(), &BTreeSet::new(), (&Commands::default(), now)).join("\n"), expected);
    }

    #[test]
    fn of_a_token_is_shown_who_holds_it_and_until_when() {
        let now = Timestamp::parse("2026-01-31T12:00:00Z").expect("an instant");
        let mut session = discovered();
        (session.kind, session.role) = ("attached".to_owned(), Some("observer".to_owned()));
        (session.uses, session.expires_at) = (Some(2), Some("2026-01-31T13:00:00.000Z".to_owned()));
        let shown = lines(&session, &BTreeSet::new(), (&Commands::default(), now)).join("\n");
        assert!(shown.starts_with("claude-0000abcd  holds a token as observer\n"), "{shown}");
        assert!(
            shown.contains("  ends        2026-01-31 13:00:00\n  token       was shown 2 times\n"),
            "{shown}"
        );
        assert!(!shown.contains("logs"), "{shown}");
    }
}
