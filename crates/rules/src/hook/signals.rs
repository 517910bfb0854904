//! What becomes known of an agent by a hook.
//!
//! A permission that is asked for goes by the tool's name, because the notification about the same dialog names nothing
//! else; so one dialog is one question, however often it is told of. The end of a tool settles what was asked about it.

use super::read::{first_text, text};
use super::tool::{self, SubagentEnd};
use crate::quota;
use adjutant_model::hook::{HookCall, HookEvent};
use adjutant_model::session::{AgentQuestion, AgentSignal, SessionUsage, Signal, SignalSource, WaitingFor};
use adjutant_model::{Timestamp, Value};

/// The question of a server of tools.
const ELICITATION: &str = "elicitation";
/// The longest text of a question, in characters.
const TEXT_CHARS_MAX: usize = 2000;

/// When and where a hook was called.
#[derive(Debug, Clone, Copy)]
pub struct HookClock {
    /// When.
    pub now: Timestamp,
    /// How far this machine's time of day is from UTC, in seconds.
    pub offset_secs: i32,
}

/// Gives what a hook tells of its agent. What happens in a subagent does not begin or end the agent's own turn.
pub fn signals(call: &HookCall, clock: HookClock) -> Vec<Signal> {
    let known = call.event.map_or_else(Vec::new, |event| match (event, &call.subagent) {
        (
            HookEvent::Stop | HookEvent::StopFailure | HookEvent::UserPromptSubmit | HookEvent::SessionStart,
            Some(_),
        ) => {
            vec![AgentSignal::Working]
        }
        _ => of_event(event, call, clock),
    });
    known.into_iter().map(|what| Signal::new(SignalSource::Hook, &*call.name, what)).collect()
}

/// Gives the id of the question whether a tool may be used.
pub fn permission_ask(tool: &str) -> String {
    format!("permission:{tool}")
}

/// A flat table of what each event tells; those that tell nothing of what the agent does stand at its end.
fn of_event(event: HookEvent, call: &HookCall, clock: HookClock) -> Vec<AgentSignal> {
    match event {
        HookEvent::SessionStart => vec![began(call)],
        HookEvent::UserPromptSubmit => vec![AgentSignal::PromptTaken, AgentSignal::Working],
        HookEvent::PreToolUse => tool_began(call),
        HookEvent::PostToolUse => tool_ended(call, true),
        HookEvent::PostToolUseFailure | HookEvent::PermissionDenied => tool_ended(call, false),
        HookEvent::PermissionGranted => settled(call),
        HookEvent::PermissionRequest => vec![AgentSignal::Asked(permission(call, clock.now))],
        HookEvent::Notification => notified(call, clock.now),
        HookEvent::Elicitation => vec![AgentSignal::Asked(elicitation(call, clock.now))],
        HookEvent::ElicitationResult => {
            vec![AgentSignal::AskSettled { ask_id: Some(ELICITATION.to_owned()) }]
        }
        HookEvent::Stop => {
            let said = text(&call.payload, "last_assistant_message").map(str::to_owned);
            vec![AgentSignal::TurnEnded { text: said, error: None }]
        }
        HookEvent::Interrupt => vec![AgentSignal::TurnEnded { text: None, error: None }],
        HookEvent::StopFailure => stop_failed(call, clock),
        HookEvent::ErrorRaised => quota_spent(&error_text(&call.payload), clock).into_iter().collect(),
        HookEvent::SubagentStart => subagent_began(call),
        HookEvent::SubagentStop | HookEvent::SubagentStopFailure => subagent_ended(call),
        HookEvent::TokenUsageUpdate => vec![AgentSignal::Used(usage(&call.payload))],
        HookEvent::PreCompact | HookEvent::PostToolBatch => vec![AgentSignal::Working],
        HookEvent::SessionEnd
        | HookEvent::Setup
        | HookEvent::UserPromptExpansion
        | HookEvent::InstructionsLoaded
        | HookEvent::CwdChanged
        | HookEvent::DirectoryAdded
        | HookEvent::ConfigChange
        | HookEvent::PreModelSwitch
        | HookEvent::PostModelSwitch
        | HookEvent::PostCompact
        | HookEvent::TeammateIdle
        | HookEvent::WorktreeCreate
        | HookEvent::WorktreeRemove
        | HookEvent::FileChanged
        | HookEvent::TaskCreated
        | HookEvent::TaskCompleted
        | HookEvent::TaskUpdated
        | HookEvent::TaskStopped
        | HookEvent::McpServerConnected
        | HookEvent::McpServerDisconnected
        | HookEvent::SkillActivated
        | HookEvent::MessageDisplay => Vec::new(),
    }
}

fn began(call: &HookCall) -> AgentSignal {
    let member = |key| text(&call.payload, key).map(str::to_owned);
    AgentSignal::Began {
        agent_session: call.agent_session.as_deref().map(str::to_owned),
        model: member("model"),
        transcript: member("transcript_path"),
    }
}

fn tool_began(call: &HookCall) -> Vec<AgentSignal> {
    let Some(tool) = &call.tool else { return vec![AgentSignal::Working] };
    let call_id = tool.call_id.as_deref().map(str::to_owned);
    vec![AgentSignal::ToolBegan { tool: tool.name.to_string(), call_id }]
}

fn tool_ended(call: &HookCall, ok: bool) -> Vec<AgentSignal> {
    let Some(tool) = &call.tool else { return vec![AgentSignal::Working] };
    let call_id = tool.call_id.as_deref().map(str::to_owned);
    let ended = AgentSignal::ToolEnded { tool: tool.name.to_string(), call_id, ok };
    std::iter::once(ended).chain(settled(call)).collect()
}

fn settled(call: &HookCall) -> Vec<AgentSignal> {
    let ask_id = call.tool.as_ref().map(|tool| permission_ask(&tool.name));
    ask_id.into_iter().map(|ask_id| AgentSignal::AskSettled { ask_id: Some(ask_id) }).collect()
}

/// Gives the question whether the tool of a call may be used.
pub fn permission(call: &HookCall, now: Timestamp) -> AgentQuestion {
    let name = call.tool.as_ref().map_or("a tool", |tool| &*tool.name);
    AgentQuestion {
        ask_id: permission_ask(name),
        what: WaitingFor::Permission,
        text: call.tool.as_ref().map_or_else(|| name.to_owned(), tool::in_words),
        tool: call.tool.as_ref().map(|tool| tool.name.to_string()),
        input: None,
        options: Vec::new(),
        subagent: call.subagent.as_deref().map(str::to_owned),
        asked_at: now,
    }
}

fn elicitation(call: &HookCall, now: Timestamp) -> AgentQuestion {
    AgentQuestion {
        ask_id: ELICITATION.to_owned(),
        what: WaitingFor::Question,
        text: first_text(&call.payload, &["message", "prompt"])
            .unwrap_or("a question")
            .chars()
            .take(TEXT_CHARS_MAX)
            .collect(),
        tool: None,
        input: None,
        options: Vec::new(),
        subagent: call.subagent.as_deref().map(str::to_owned),
        asked_at: now,
    }
}

/// Reads a notification by its type; one of an older version by its words.
fn notified(call: &HookCall, now: Timestamp) -> Vec<AgentSignal> {
    let message = text(&call.payload, "message").unwrap_or_default();
    let by_words = match message {
        words if words.contains("permission to use") => "permission_prompt",
        words if words.contains("waiting for your input") => "idle_prompt",
        _ => "",
    };
    match text(&call.payload, "notification_type").unwrap_or(by_words) {
        "permission_prompt" => {
            let tool = message.split_once("permission to use ").map(|(_, tool)| tool.trim());
            let tool = tool.filter(|tool| !tool.is_empty());
            let ask_id = permission_ask(tool.unwrap_or("a tool"));
            let text = message.chars().take(TEXT_CHARS_MAX).collect();
            let tool = tool.map(str::to_owned);
            let question = AgentQuestion { ask_id, text, tool, ..permission(call, now) };
            vec![AgentSignal::Asked(question)]
        }
        "elicitation_dialog" | ELICITATION => vec![AgentSignal::Asked(elicitation(call, now))],
        "idle_prompt" | "idle" => vec![AgentSignal::TurnEnded { text: None, error: None }],
        _ => Vec::new(),
    }
}

fn stop_failed(call: &HookCall, clock: HookClock) -> Vec<AgentSignal> {
    let error = error_text(&call.payload);
    let quota = quota_spent(&error, clock);
    let ended = AgentSignal::TurnEnded { text: None, error: Some(error) };
    // What stands last is what the agent waits for.
    std::iter::once(ended).chain(quota).collect()
}

fn error_text(payload: &Value) -> String {
    let said: Vec<&str> =
        ["error", "error_type", "error_details", "message", "reason", "last_assistant_message"]
            .iter()
            .filter_map(|key| text(payload, key))
            .collect();
    if said.is_empty() {
        "the turn has failed".to_owned()
    } else {
        said.join(": ").chars().take(TEXT_CHARS_MAX).collect()
    }
}

fn quota_spent(error: &str, clock: HookClock) -> Option<AgentSignal> {
    let spent = quota::read(error, clock.now, clock.offset_secs)?;
    Some(AgentSignal::QuotaSpent { until: spent.until, text: error.to_owned() })
}

fn subagent_began(call: &HookCall) -> Vec<AgentSignal> {
    let name = first_text(&call.payload, &["agent_type", "agent", "agent_name", "agent_id"]);
    name.into_iter().map(|name| AgentSignal::SubagentBegan { name: name.to_owned() }).collect()
}

fn subagent_ended(call: &HookCall) -> Vec<AgentSignal> {
    let ended = tool::subagent_end(call).into_iter();
    ended
        .map(|(name, end)| AgentSignal::SubagentEnded { name: name.to_owned(), ok: end == SubagentEnd::Well })
        .collect()
}

fn usage(payload: &Value) -> SessionUsage {
    let within = payload.get("usage").unwrap_or(payload);
    let first = |keys: &[&str]| {
        let found = keys.iter().find_map(|key| within.get(key).or_else(|| payload.get(key)));
        found.and_then(number)
    };
    let tokens = |keys: &[&str]| first(keys).map(|tokens| tokens as u64);
    SessionUsage {
        input_tokens: tokens(&["input_tokens"]).unwrap_or(0),
        output_tokens: tokens(&["output_tokens"]).unwrap_or(0),
        cache_read_tokens: tokens(&["cache_read_tokens", "cache_read_input_tokens"]).unwrap_or(0),
        cache_write_tokens: tokens(&["cache_write_tokens", "cache_creation_input_tokens"]).unwrap_or(0),
        cost_usd: first(&["cost_usd", "total_cost_usd"]),
        context_used: tokens(&["used_tokens", "context_used"]),
        context_window: tokens(&["window_tokens", "context_window"]),
    }
}

/// Gives a number that is not negative.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64().filter(|number| *number >= 0.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
