//! `adjutant session ls`: what everyone does, at one glance.

use super::words::{Urgency, ago, does, does_elsewhere, since, spent};
use crate::cli::table::{Cell, Column, Paper, Tone, lines};
use crate::cli::watch::{self, Page};
use crate::commands::Commands;
use adjutant_engine::clock;
use adjutant_engine::roster::RosterKind;
use adjutant_model::Timestamp;
use adjutant_model::session::SessionState;
use adjutant_protocol::http::{GoalView, ManagedView, SessionView};
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::Result;
use clap::Args;
use clap::builder::PossibleValuesParser;
use std::collections::HashMap;
use std::path::Path;

/// The most columns that a goal's words take.
const GOAL_COLUMNS: usize = 24;

/// Which sessions.
#[derive(Debug, Args)]
pub(in crate::cli) struct LsArgs {
    /// Those that are decommissioned as well.
    #[arg(long, conflicts_with = "state")]
    all: bool,
    /// Only those of a kind: `managed` are hosted, `attached` hold a token, `discovered` were started by somebody else.
    #[arg(long, value_parser = PossibleValuesParser::new(RosterKind::ALL.map(RosterKind::as_str)))]
    kind: Option<String>,
    /// Only managed ones that stand here.
    #[arg(long, value_parser = PossibleValuesParser::new(SessionState::ALL.map(SessionState::as_str)))]
    state: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Show it again whenever it changes, until Ctrl-C.
    #[arg(long)]
    watch: bool,
}

const COLUMNS: [Column; 7] = [
    Column { title: "NAME", width_min: None, rank: 9 },
    Column { title: "DOES", width_min: Some(16), rank: 8 },
    Column { title: "SINCE", width_min: None, rank: 6 },
    Column { title: "AGENT", width_min: None, rank: 4 },
    Column { title: "GOAL", width_min: Some(8), rank: 3 },
    Column { title: "SPENT", width_min: None, rank: 5 },
    // Of those that are not hosted here the directory.
    Column { title: "BRANCH", width_min: Some(8), rank: 1 },
];

pub(super) async fn run(folder: &Path, args: LsArgs) -> Result<Code> {
    // Who asks where a managed session stands asks for managed ones.
    let kind = args.kind.or_else(|| args.state.as_ref().map(|_| RosterKind::Managed.as_str().to_owned()));
    let state = if args.all { Some("all".to_owned()) } else { args.state };
    let which = Which { kind: kind.as_deref().and_then(RosterKind::parse), state };
    let commands = Commands::of(folder);
    watch::show(folder, (args.json, args.watch), async |client| page(client, &which, &commands).await).await
}

/// Which sessions are listed.
struct Which {
    kind: Option<RosterKind>,
    state: Option<String>,
}

/// What is listed: those that the daemon hosts, of which more is known, and the others.
#[derive(serde::Serialize)]
struct Listed {
    sessions: Vec<ManagedView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<SessionView>,
}

impl Listed {
    async fn read(client: &Client, which: &Which) -> Result<Listed> {
        let sessions = match which.kind {
            None | Some(RosterKind::Managed) => {
                client.sessions_managed(which.state.as_deref()).await?.sessions
            }
            Some(RosterKind::Attached | RosterKind::Discovered) => Vec::new(),
        };
        let others = match which.kind {
            Some(RosterKind::Managed) => Vec::new(),
            kind => client.sessions(kind.map(RosterKind::as_str)).await?.sessions,
        };
        let is_other = |session: &SessionView| session.kind != RosterKind::Managed.as_str();
        Ok(Listed { sessions, others: others.into_iter().filter(is_other).collect() })
    }
}

async fn page(client: &Client, which: &Which, commands: &Commands) -> Result<Page> {
    let listed = Listed::read(client, which).await?;
    let json = serde_json::to_string(&listed)?;
    let goals = match listed.sessions.iter().any(|session| session.goal_id.is_some()) {
        true => client.goals(None).await?.goals,
        false => Vec::new(),
    };
    let lines = table(listed, &goals, (Paper::of_stdout(), clock::now()));
    Ok(Page { lines: lines.iter().map(|line| commands.in_text(line)).collect(), json })
}

/// Gives the table and what stands below it.
fn table(
    Listed { mut sessions, others }: Listed,
    goals: &[GoalView],
    (paper, now): (Paper, Timestamp),
) -> Vec<String> {
    if sessions.is_empty() && others.is_empty() {
        return vec!["no sessions; `adjutant session new --task TEXT` begins one".to_owned()];
    }
    let goals: HashMap<&str, &str> =
        goals.iter().map(|goal| (goal.id.as_str(), goal.description.as_str())).collect();
    // What waits stands by how long it has waited; of the rest the newest stands first, as it comes.
    sessions.sort_by_cached_key(|session| {
        let urgency = Urgency::of(session);
        (urgency, (urgency == Urgency::Waits).then(|| since(session).to_owned()))
    });
    let mut rows: Vec<Vec<Cell>> = sessions.iter().map(|session| row(session, &goals, now)).collect();
    rows.extend(others.iter().map(|session| row_of_other(session, now)));
    let mut shown = lines(&COLUMNS, &rows, paper);
    // A command that was cut could not be typed.
    shown.extend(counts(&sessions));
    shown.extend(counts_of_others(&others));
    shown
}

fn row(session: &ManagedView, goals: &HashMap<&str, &str>, now: Timestamp) -> Vec<Cell> {
    let tone = Urgency::of(session).tone(session);
    let goal = session.goal_id.as_deref().unwrap_or_default();
    let goal = goals.get(goal).copied().unwrap_or(goal);
    vec![
        (session.name.clone(), Tone::Plain),
        (does(session), tone),
        (ago(since(session), now), Tone::Plain),
        (format!("{}/{}", session.agent, session.driver), Tone::Plain),
        (crate::progress::width::cut(goal, GOAL_COLUMNS), Tone::Plain),
        (spent(&session.usage), Tone::Plain),
        (session.branch.clone().unwrap_or_default(), Tone::Quiet),
    ]
}

fn row_of_other(session: &SessionView, now: Timestamp) -> Vec<Cell> {
    vec![
        (session.name.clone(), Tone::Plain),
        (does_elsewhere(session), if session.questions.is_empty() { Tone::Plain } else { Tone::Waits }),
        (ago(&session.activity.since, now), Tone::Plain),
        (format!("{}/{}", session.agent_id, session.kind), Tone::Quiet),
        (String::new(), Tone::Plain),
        (spent(&session.usage), Tone::Plain),
        (session.cwd.clone().unwrap_or_default(), Tone::Quiet),
    ]
}

/// Counts those that are not hosted here, by their kind.
fn counts_of_others(others: &[SessionView]) -> Option<String> {
    let counted: Vec<String> = [RosterKind::Attached, RosterKind::Discovered]
        .into_iter()
        .map(|kind| (others.iter().filter(|other| other.kind == kind.as_str()).count(), kind.as_str()))
        .filter(|(count, _)| *count > 0)
        .map(|(count, kind)| format!("{count} {kind}"))
        .collect();
    (!counted.is_empty()).then(|| counted.join(", "))
}

/// Counts how many do what, and says where those are answered that wait.
fn counts(sessions: &[ManagedView]) -> Vec<String> {
    let count = |urgency| sessions.iter().filter(|session| Urgency::of(session) == urgency).count();
    let counted: Vec<String> = [
        (Urgency::Works, "working"),
        (Urgency::Idle, "idle"),
        (Urgency::Parked, "parked"),
        (Urgency::Stopped, "stopped"),
        (Urgency::Over, "decommissioned"),
    ]
    .into_iter()
    .filter_map(|(urgency, word)| Some((count(urgency), word)).filter(|(count, _)| *count > 0))
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    let waits = match count(Urgency::Waits) {
        0 => None,
        1 => Some("1 waits for you: `adjutant inbox`".to_owned()),
        count => Some(format!("{count} wait for you: `adjutant inbox`")),
    };
    let counted = (!counted.is_empty()).then(|| counted.join(", "));
    [counted, waits].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample::{question, session};
    use super::*;
    use crate::progress::width::width;
    use serde_json::json;

    fn now() -> Timestamp {
        Timestamp::parse("2026-01-31T12:00:00Z").expect("an instant")
    }

    fn sessions() -> Vec<ManagedView> {
        vec![
            session(&json!({"name": "web", "branch": "adjutant/web", "goal_id": "g-1"})),
            session(&json!({
                "name": "docs", "branch": "adjutant/docs", "agent": "codex", "driver": "acp",
                "activity": {"activity": "waiting", "waiting_for": "permission", "since": "2026-01-31T11:58:00Z"},
                "questions": [question("a", "permission", "May it run `cargo test`?")], "usage": {"cost_usd": 0.42},
            })),
            session(&json!({"name": "old", "state": "stopped", "phase": "resting", "branch": null})),
            session(
                &json!({"name": "漢字", "state": "errored", "phase": "resting", "reason": "no git\x1b[2J", "usage": {"input_tokens": 0, "output_tokens": 0}}),
            ),
            session(
                &json!({"name": "calm", "activity": {"activity": "idle", "since": "2026-01-31T10:00:00Z"}}),
            ),
        ]
    }

    fn goals() -> Vec<GoalView> {
        let goal = json!({
            "id": "g-1", "description": "Slugs are\nclean", "status": "inProgress", "acceptance": [], "sessions": [],
            "progress": 0, "depends_on": [], "budget": {}, "notes": [], "created": "", "updated": "",
        });
        vec![serde_json::from_value(goal).expect("a goal")]
    }

    fn shown(columns: Option<usize>) -> Vec<String> {
        let listed = Listed { sessions: sessions(), others: Vec::new() };
        table(listed, &goals(), (Paper { columns, is_coloured: false }, now()))
    }

    #[test]
    fn what_waits_for_a_person_stands_first_and_is_counted() {
        assert_eq!(
            shown(None),
            [
                "NAME  DOES                                              SINCE  AGENT        GOAL             SPENT         BRANCH",
                "漢字  errored: no git␛[2J                               2 min  claude/tmux                                 adjutant/api",
                "docs  waits: permission Bash: May it run `cargo test`?  2 min  codex/acp                     $0.42         adjutant/docs",
                "web   working                                           3 min  claude/tmux  Slugs are clean  12.3k tokens  adjutant/web",
                "calm  idle                                              2 h    claude/tmux                   12.3k tokens  adjutant/api",
                "old   stopped                                           2 min  claude/tmux                   12.3k tokens",
                "1 working, 1 idle, 1 stopped",
                "2 wait for you: `adjutant inbox`",
            ]
        );
    }

    #[test]
    fn a_narrow_terminal_keeps_names_and_what_they_do() {
        assert_eq!(
            shown(Some(40)),
            [
                "NAME  DOES                         SINCE",
                "漢字  errored: no git␛[2J          2 min",
                "docs  waits: permission Bash: Ma…  2 min",
                "web   working                      3 min",
                "calm  idle                         2 h",
                "old   stopped                      2 min",
                "1 working, 1 idle, 1 stopped",
                "2 wait for you: `adjutant inbox`",
            ]
        );
        for columns in 1..150 {
            let rows = sessions().len() + 1;
            for line in &shown(Some(columns))[..rows] {
                assert!(width(line) <= columns, "{columns}: {line}");
            }
        }
    }

    #[test]
    fn those_that_are_not_hosted_here_stand_below_with_their_kind() {
        let other = |kind: &str, over: serde_json::Value| {
            let mut view = json!({
                "kind": kind, "id": "01890000-0000-7000-8000-00000000abcd", "name": "claude-0000abcd", "agent_id": "claude",
                "state": "active", "questions": [], "created_at": "", "usage": {"input_tokens": 0, "output_tokens": 0,
                "cache_read_tokens": 0, "cache_write_tokens": 0}, "activity": {"activity": "working",
                "since": "2026-01-31T11:58:00Z", "source": "hook", "evidence": "PreToolUse"},
            });
            for (key, value) in over.as_object().expect("members") {
                view[key] = value.clone();
            }
            serde_json::from_value(view).expect("a session")
        };
        let others = vec![
            other("discovered", json!({"cwd": "/p\u{1b}[2J"})),
            other("discovered", json!({"questions": [question("a", "permission", "run `ls`?")]})),
            other("attached", json!({"name": "ann", "agent_id": "ann", "role": "observer"})),
        ];
        let listed = Listed { sessions: Vec::new(), others };
        let shown = table(listed, &[], (Paper { columns: None, is_coloured: false }, now()));
        assert_eq!(
            shown,
            [
                "NAME             DOES                               SINCE  AGENT              BRANCH",
                "claude-0000abcd  working                            2 min  claude/discovered  /p␛[2J",
                "claude-0000abcd  waits: permission Bash: run `ls`?  2 min  claude/discovered",
                "ann              holds a token as observer          2 min  ann/attached",
                "1 attached, 2 discovered",
            ]
        );
    }

    #[test]
    fn without_sessions_it_says_how_one_begins() {
        let none = Listed { sessions: Vec::new(), others: Vec::new() };
        let shown = table(none, &[], (Paper { columns: None, is_coloured: false }, now()));
        assert_eq!(shown, ["no sessions; `adjutant session new --task TEXT` begins one"]);
    }
}
