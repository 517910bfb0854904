//! `adjutant delegation …`: the work that sessions have given to others.

use super::session::ago;
use super::table::{Cell, Column, Paper, Tone, lines};
use super::{ids, print};
use crate::commands::Commands;
use crate::progress::{visible, visible_lines};
use adjutant_engine::clock::now;
use adjutant_model::Timestamp;
use adjutant_protocol::http::DelegationView;
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::Result;
use clap::Subcommand;
use std::collections::HashMap;

/// What to do with delegations.
#[derive(Debug, Subcommand)]
pub(super) enum DelegationCommand {
    /// List delegations, the newest first: those that have not ended, or of which their session was not told yet.
    Ls {
        /// Only those of this session: its name, its id, or a part of that which only one has.
        #[arg(value_name = "SESSION")]
        session: Option<String>,
        /// Those that are over as well.
        #[arg(long)]
        all: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a delegation.
    Show {
        /// Its id, or a part of that which only one has.
        #[arg(value_name = "DELEGATION")]
        delegation: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Cancel a delegation: it does not begin, or its session is stopped.
    Cancel {
        /// Its id, or a part of that which only one has.
        #[arg(value_name = "DELEGATION")]
        delegation: String,
    },
}

const COLUMNS: [Column; 6] = [
    Column { title: "DELEGATION", width_min: None, rank: 9 },
    Column { title: "STATUS", width_min: None, rank: 8 },
    Column { title: "AGENT", width_min: None, rank: 5 },
    Column { title: "SINCE", width_min: None, rank: 4 },
    Column { title: "PARENT -> CHILD", width_min: Some(12), rank: 6 },
    Column { title: "TASK", width_min: Some(12), rank: 3 },
];

pub(super) async fn run(client: &Client, commands: &Commands, command: DelegationCommand) -> Result<Code> {
    match command {
        DelegationCommand::Ls { session, all, json } => {
            let mut found = client.delegations(!all).await?;
            if let Some(session) = session {
                let session = ids::session(client, &session).await?.id;
                found.delegations.retain(|delegation| delegation.session_id == session);
            }
            if json {
                return print(&serde_json::to_string(&found)?);
            }
            let names = names(client).await?;
            for line in table(&found.delegations, &names, (Paper::of_stdout(), now())) {
                print(&commands.in_text(&line))?;
            }
            Ok(Code::Ok)
        }
        DelegationCommand::Show { delegation, json } => {
            let found = client.delegation(&ids::delegation(client, &delegation).await?).await?;
            if json {
                return print(&serde_json::to_string(&found)?);
            }
            for line in shown(&found, &names(client).await?) {
                print(&commands.in_text(&line))?;
            }
            Ok(Code::Ok)
        }
        DelegationCommand::Cancel { delegation } => {
            let id = ids::delegation(client, &delegation).await?;
            let cancelled = client.delegation_cancel(&id).await?;
            print(&format!("{} is {}", cancelled.delegation_id, standing(&cancelled)))
        }
    }
}

/// Gives what sessions are called, by their ids.
async fn names(client: &Client) -> Result<HashMap<String, String>> {
    let sessions = client.sessions_managed(Some("all")).await?.sessions;
    Ok(sessions.into_iter().map(|session| (session.id, session.name)).collect())
}

fn table(
    delegations: &[DelegationView],
    names: &HashMap<String, String>,
    (paper, now): (Paper, Timestamp),
) -> Vec<String> {
    if delegations.is_empty() {
        return vec!["no delegations; `adjutant delegation ls --all` lists those that are over".to_owned()];
    }
    let rows: Vec<Vec<Cell>> = delegations.iter().map(|delegation| row(delegation, names, now)).collect();
    lines(&COLUMNS, &rows, paper)
}

fn row(delegation: &DelegationView, names: &HashMap<String, String>, now: Timestamp) -> Vec<Cell> {
    let tone = match delegation.status.as_str() {
        "queued" => Tone::Waits,
        "running" => Tone::Good,
        "failed" => Tone::Bad,
        _ => Tone::Quiet,
    };
    let since = delegation.ended_at.as_deref().unwrap_or(&delegation.created_at);
    let task = delegation.task.lines().next().unwrap_or_default();
    vec![
        (delegation.delegation_id.clone(), Tone::Plain),
        (delegation.status.clone(), tone),
        (visible(&delegation.agent), Tone::Plain),
        (ago(since, now), Tone::Plain),
        (ends(delegation, names), Tone::Plain),
        (visible(task), Tone::Quiet),
    ]
}

/// Gives whose work it is and who does it.
fn ends(delegation: &DelegationView, names: &HashMap<String, String>) -> String {
    let named = |id: &String| names.get(id).unwrap_or(id).clone();
    format!("{} -> {}", named(&delegation.session_id), named(&delegation.child_session_id))
}

/// Says where it stands, and why.
fn standing(delegation: &DelegationView) -> String {
    match &delegation.reason {
        Some(reason) => format!("{}: {}", delegation.status, visible(reason)),
        None => delegation.status.clone(),
    }
}

fn shown(delegation: &DelegationView, names: &HashMap<String, String>) -> Vec<String> {
    let row = |title: &str, value: &str| format!("  {title:<9} {value}");
    let mut lines = vec![
        format!("{}  {}", delegation.delegation_id, standing(delegation)),
        row("sessions", &ends(delegation, names)),
        row("agent", &format!("{} as {}", visible(&delegation.agent), delegation.profile)),
        row("tier", &delegation.tier),
        row("breaker", &delegation.circuit),
        row("asked for", &delegation.created_at),
    ];
    lines.extend(delegation.ended_at.as_deref().map(|at| row("ended", at)));
    lines.extend(delegation.told_at.as_deref().map(|at| row("told", at)));
    lines.push(String::new());
    lines.extend(visible_lines(&delegation.task).lines().map(|line| format!("  | {line}")));
    if let Some(result) = &delegation.result {
        lines.push(String::new());
        lines.extend(visible_lines(result).lines().map(|line| format!("  > {line}")));
    }
    lines.push(String::new());
    let id = &delegation.delegation_id;
    let next = match (delegation.status.as_str(), &delegation.approval_id) {
        ("queued", Some(approval)) => vec![
            format!("  `adjutant approvals approve {approval}` lets it begin"),
            format!("  `adjutant delegation cancel {id}` takes it back"),
        ],
        ("queued" | "running", _) => vec![
            format!("  `adjutant session logs {} -f` follows it", delegation.child_session_id),
            format!("  `adjutant delegation cancel {id}` ends it"),
        ],
        _ => vec![format!("  `adjutant session diff {}` shows its work", delegation.child_session_id)],
    };
    lines.extend(next);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn delegation(over: &Value) -> DelegationView {
        let mut view = json!({
            "delegation_id": "01890000-0000-7000-8000-0000000000d1",
            "session_id": "01890000-0000-7000-8000-00000000000a",
            "child_session_id": "01890000-0000-7000-8000-00000000000b", "agent": "coder", "profile": "claude",
            "tier": "sonnet", "circuit": "closed", "status": "running", "task": "Fix it.\nThen test.",
            "created_at": "2026-01-31T11:57:00.000Z",
        });
        view.as_object_mut().expect("members").extend(over.as_object().expect("members").clone());
        serde_json::from_value(view).expect("a delegation")
    }

    #[test]
    fn a_delegation_is_shown_with_what_can_be_done() {
        let names = HashMap::from([("01890000-0000-7000-8000-00000000000a".to_owned(), "api".to_owned())]);
        let over = json!({"status": "queued", "approval_id": "approval-1", "reason": "a person\nfirst"});
        let expected = "\
01890000-0000-7000-8000-0000000000d1  queued: a person first
  sessions  api -> 01890000-0000-7000-8000-00000000000b
  agent     coder as claude
  tier      sonnet
  breaker   closed
  asked for 2026-01-31T11:57:00.000Z

  | Fix it.
  | Then test.

  `adjutant approvals approve approval-1` lets it begin
  `adjutant delegation cancel 01890000-0000-7000-8000-0000000000d1` takes it back";
        assert_eq!(shown(&delegation(&over), &names).join("\n"), expected);
        for (over, command) in [
            (json!({}), "session logs"),
            (json!({"status": "completed", "result": "done"}), "session diff"),
            (json!({"status": "cancelled"}), "session diff"),
        ] {
            let text = shown(&delegation(&over), &names).join("\n");
            assert!(text.contains(command), "{text}");
        }
    }
}
