//! `adjutant session logs`: what happened to a session, in words.

use super::words::{clock, rounded};
use crate::cli::print;
use crate::progress::feed::Feed;
use crate::progress::visible_line;
use adjutant_model::event::Event;
use adjutant_model::policy::{Judgement, PolicyEffect};
use adjutant_model::session::{Activity, SessionState};
use adjutant_protocol::http::EventView;
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::Result;
use std::path::Path;

/// Prints what has happened, and with `follow` what happens until the session's agent is not there any more.
pub(super) async fn run(
    folder: &Path,
    (client, id): (&Client, &str),
    (json, follow): (bool, bool),
) -> Result<Code> {
    let mut told = Told { json, is_over: false, cursor: 0 };
    let mut is_last = false;
    while !is_last {
        let page = client.session_events(id, told.cursor).await?;
        is_last = page.next_after.is_none();
        for event in &page.events {
            told.take(event)?;
        }
    }
    if !follow || told.is_over {
        return Ok(Code::Ok);
    }
    let mut feed = Feed::behind(told.cursor, id, folder).await?;
    while !told.is_over {
        told.take(&feed.next().await?)?;
    }
    Ok(Code::Ok)
}

struct Told {
    json: bool,
    /// Nothing happens any more unless a person wants it.
    is_over: bool,
    cursor: i64,
}

impl Told {
    fn take(&mut self, event: &EventView) -> Result<()> {
        self.cursor = event.seq;
        self.is_over = match entered(event) {
            Some(SessionState::Stopped | SessionState::Errored | SessionState::Decommissioned) => true,
            Some(SessionState::Provisioning | SessionState::Active) => false,
            None => self.is_over || event.kind == "session_forgotten",
        };
        match (self.json, words(event)) {
            (true, _) => print(&serde_json::to_string(event)?)?,
            (false, Some(words)) => print(&format!("{}  {words}", clock(&event.at)))?,
            (false, None) => Code::Ok,
        };
        Ok(())
    }
}

/// Gives the state that an event brings a session to.
pub(super) fn entered(event: &EventView) -> Option<SessionState> {
    match read(event) {
        Some(Event::SessionStateChanged { to, .. }) => Some(to),
        _ => None,
    }
}

fn read(event: &EventView) -> Option<Event> {
    let mut row = event.payload.clone();
    row.as_object_mut()?.insert("kind".to_owned(), event.kind.clone().into());
    serde_json::from_value(row).ok()
}

/// Says what happened; nothing of what people learn by another line. What is not known here is named as the journal does.
fn words(event: &EventView) -> Option<String> {
    let event_of = read(event);
    match &event_of {
        Some(Event::HookReceived { event, tool, .. }) => {
            return hook(event, tool.as_deref()).map(|words| visible_line(&words));
        }
        Some(Event::HookJudged { tool, judgement, .. }) => return Some(judged(tool, judgement)),
        _ => {}
    }
    Some(told(event, event_of))
}

/// Says what a hook tells that no other event does.
fn hook(event: &str, tool: Option<&str>) -> Option<String> {
    match (event, tool) {
        ("PostToolUse", Some(tool)) => Some(format!("it has used {tool}")),
        ("PostToolUseFailure", Some(tool)) => Some(format!("{tool} has failed")),
        ("PreCompact", _) => Some("it compacts its context".to_owned()),
        ("SessionEnd", _) => Some("it says that it ends".to_owned()),
        _ => None,
    }
}

/// Says what the gate said of a tool.
fn judged(tool: &str, judgement: &Judgement) -> String {
    let (tool, reason) = (visible_line(tool), visible_line(&judgement.reason));
    match judgement.effect {
        PolicyEffect::Allow => format!("{tool} is allowed: {reason}"),
        PolicyEffect::Deny => format!("{tool} is denied: {reason}"),
        PolicyEffect::Ask => format!("a person is asked about {tool}: {reason}"),
    }
}

fn told(event: &EventView, event_of: Option<Event>) -> String {
    let because = |reason: Option<String>| {
        reason.map_or_else(String::new, |reason| format!(": {}", visible_line(&reason)))
    };
    match event_of {
        Some(Event::SessionCreated { name, agent, driver, parent, .. }) => {
            let parent = parent.map_or_else(String::new, |parent| format!(", for the session {parent}"));
            format!(
                "{} is asked for: {} by {}{parent}",
                visible_line(&name),
                visible_line(&agent),
                driver.as_str()
            )
        }
        Some(Event::WorkspaceReady(workspace)) => {
            let path = visible_line(&workspace.path);
            match &workspace.branch {
                Some(branch) => format!("its workspace is {path}, on branch {}", visible_line(branch)),
                None => format!("its workspace is {path}"),
            }
        }
        Some(Event::WorkspaceRemoved { snapshot_ref: Some(kept), .. }) => {
            format!("its workspace is removed; its last state stays under {kept}")
        }
        Some(Event::WorkspaceRemoved { snapshot_ref: None, .. }) => "its workspace is removed".to_owned(),
        Some(Event::SessionLaunched { launch, resumed }) => {
            let how = if resumed { ", and goes on where it was" } else { "" };
            format!("its agent is started ({launch}.){how}")
        }
        Some(Event::SessionExited { exit, .. }) => format!("its agent has ended: {exit}"),
        Some(Event::SessionStateChanged { to, reason, .. }) => format!("it is {to}{}", because(reason)),
        Some(Event::SessionActivityChanged(report)) => {
            let what = match report.activity {
                Activity::Waiting(what) => format!("waiting: {}", what.as_str()),
                activity => activity.as_str().to_owned(),
            };
            format!("{what}  ({}: {})", report.source.as_str(), visible_line(&report.evidence))
        }
        Some(Event::SessionSnapshot { refname }) => format!("its work is kept under {refname}"),
        Some(Event::SessionTold { bytes }) => format!("it was told {bytes} bytes"),
        Some(Event::SessionTaskArrived {}) => "it has taken up its task".to_owned(),
        Some(Event::SessionAsked { ask_id, what, tool }) => {
            let about = tool.map_or_else(String::new, |tool| format!(" for {}", visible_line(&tool)));
            format!("it asks a {}{about} ({})", what.as_str(), visible_line(&ask_id))
        }
        Some(Event::SessionAskSettled { ask_id }) => {
            format!("what it asked is settled ({})", visible_line(&ask_id))
        }
        Some(Event::SessionDiscovered { agent, cwd, .. }) => {
            let place = cwd.map_or_else(String::new, |cwd| format!(" in {}", visible_line(&cwd)));
            format!("{} is heard of{place}", visible_line(&agent))
        }
        Some(Event::SessionForgotten { reason }) => format!("it is forgotten: {}", visible_line(&reason)),
        Some(Event::ContextPressureChanged { to, used_tokens, window_tokens, .. }) => {
            let (used, window) = (rounded(used_tokens), rounded(window_tokens));
            format!("its context holds {used} of {window} tokens: {}", visible_line(&to))
        }
        Some(Event::DelegationQueued { agent, delegation_id, .. }) => {
            format!("it delegates to {}: delegation {delegation_id}", visible_line(&agent))
        }
        Some(Event::DelegationChanged { delegation_id, to, reason, .. }) => {
            format!("delegation {delegation_id} is {to}{}", because(reason))
        }
        Some(Event::DelegationTold { delegation_id }) => {
            format!("it is told how delegation {delegation_id} has ended")
        }
        Some(Event::HandoffBegun { agent, successor, .. }) => {
            format!("its work is handed over to {}: session {successor}", visible_line(&agent))
        }
        Some(Event::HandoffEnded { successor, error, .. }) => match error {
            None => format!("the session {successor} goes on with its work"),
            Some(error) => format!("nobody goes on with its work: {}", visible_line(&error)),
        },
        Some(Event::MemoryRecalled { facts, .. }) => {
            let ids: Vec<&str> = facts.iter().map(|id| id.as_str()).collect();
            format!("it recalled {} facts {}", ids.len(), ids.join(" ")).trim_end().to_owned()
        }
        Some(Event::ApprovalRaised { approval_id, tool, .. }) => {
            format!("the gate asks about {}: approval {approval_id}", visible_line(&tool))
        }
        Some(Event::ApprovalResolved { approval_id, status, by }) => {
            format!("approval {approval_id} is {} by {}", status.as_str(), visible_line(&by))
        }
        _ => visible_line(&event.kind.replace('_', " ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn event(kind: &str, payload: Value) -> EventView {
        EventView {
            seq: 7,
            at: "2026-01-31T09:30:00.123Z".to_owned(),
            actor: "plane".to_owned(),
            subject: "01890000-0000-7000-8000-00000000abcd".to_owned(),
            kind: kind.to_owned(),
            payload,
        }
    }

    #[test]
    fn each_event_is_a_line_of_words() {
        let activity = |activity: Value| json!({"activity": activity, "since": "2026-01-31T09:30:00Z", "source": "hook", "evidence": "PreToolUse\n"});
        for (kind, payload, expected) in [
            (
                "session_created",
                json!({"name": "api", "agent": "claude", "driver": "tmux", "task_hash": ""}),
                "api is asked for: claude by tmux",
            ),
            ("session_launched", json!({"launch": 1, "resumed": false}), "its agent is started (1.)"),
            (
                "session_launched",
                json!({"launch": 2, "resumed": true}),
                "its agent is started (2.), and goes on where it was",
            ),
            ("session_exited", json!({"launch": 1, "exit": {"signal": 9}}), "its agent has ended: signal 9"),
            (
                "session_state_changed",
                json!({"from": "active", "to": "errored", "reason": "no\x1b"}),
                "it is errored: no␛",
            ),
            ("session_activity_changed", activity(json!("working")), "working  (hook: PreToolUse )"),
            (
                "session_activity_changed",
                activity(json!({"waiting": "permission"})),
                "waiting: permission  (hook: PreToolUse )",
            ),
            ("session_told", json!({"bytes": 12}), "it was told 12 bytes"),
            ("session_task_arrived", json!({}), "it has taken up its task"),
            (
                "session_asked",
                json!({"ask_id": "toolu_1", "what": "permission", "tool": "Bash"}),
                "it asks a permission for Bash (toolu_1)",
            ),
            ("session_ask_settled", json!({"ask_id": "q\n1"}), "what it asked is settled (q 1)"),
            (
                "hook_judged",
                json!({"event": "PreToolUse", "tool": "Bash", "judgement": {"allowed": false, "effect": "deny", "decided_by": "policy", "reason": "no\x1b"}}),
                "Bash is denied: no␛",
            ),
            (
                "hook_received",
                json!({"event": "PostToolUse", "tool": "Bash", "bytes": 9}),
                "it has used Bash",
            ),
            (
                "context_pressure_changed",
                json!({"from": "ok", "to": "warn", "used_tokens": 150_000, "window_tokens": 200_000}),
                "its context holds 150k of 200k tokens: warn",
            ),
            (
                "session_snapshot",
                json!({"refname": "refs/adjutant/1"}),
                "its work is kept under refs/adjutant/1",
            ),
            ("of_a_newer_daemon", json!({"x": 1}), "of a newer daemon"),
            ("session_told", json!([]), "session told"),
        ] {
            assert_eq!(words(&event(kind, payload.clone())).as_deref(), Some(expected), "{kind} {payload}");
        }
    }

    #[test]
    fn what_another_line_tells_is_no_line() {
        for (name, tool) in [("PreToolUse", Some("Bash")), ("Stop", None), ("PostToolUse", None)] {
            let told = event("hook_received", json!({"event": name, "tool": tool, "bytes": 9}));
            assert_eq!(words(&told), None, "{name}");
        }
    }

    #[test]
    fn the_state_that_it_comes_to_is_read_from_the_journal() {
        let changed = |to: &str| event("session_state_changed", json!({"from": "active", "to": to}));
        assert_eq!(entered(&changed("stopped")), Some(SessionState::Stopped));
        assert_eq!(entered(&changed("nowhere")), None);
        assert_eq!(entered(&event("session_told", json!({"bytes": 1}))), None);
    }
}
