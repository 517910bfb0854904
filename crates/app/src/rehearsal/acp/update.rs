//! What is shown, as updates of a session.

use crate::rehearsal::stage::{Called, Shown};
use agent_client_protocol::v1::schema::{
    ContentBlock, ContentChunk, Cost, Plan, PlanEntry, PlanEntryPriority, PlanEntryStatus, SessionUpdate,
    TextContent, ToolCall, ToolCallContent, ToolCallLocation, ToolCallStatus, ToolCallUpdate,
    ToolCallUpdateFields, ToolKind, UsageUpdate,
};
use serde_json::json;

/// Makes an update of what is shown; a terminal's bytes are none.
pub(super) fn update(shown: &Shown<'_>) -> Option<SessionUpdate> {
    match *shown {
        Shown::Said(text) | Shown::Line(text) => Some(SessionUpdate::AgentMessageChunk(chunk(text))),
        Shown::Quota { message, .. } => Some(SessionUpdate::AgentMessageChunk(chunk(message))),
        Shown::Thought(text) | Shown::Notice(text) => Some(SessionUpdate::AgentThoughtChunk(chunk(text))),
        Shown::Compacted => Some(SessionUpdate::AgentThoughtChunk(chunk("the context was made shorter"))),
        Shown::Plan(entries) => Some(SessionUpdate::Plan(plan(entries))),
        Shown::Called(call) => Some(SessionUpdate::ToolCall(begun(call))),
        Shown::Returned(call, text) => Some(ended(call, text, ToolCallStatus::Completed)),
        Shown::Failed(call, text) | Shown::Denied(call, text) => {
            Some(ended(call, text, ToolCallStatus::Failed))
        }
        Shown::Usage { total, .. } => {
            let update = UsageUpdate::new(total.context_used, total.context_window);
            Some(SessionUpdate::UsageUpdate(update.cost(Cost::new(total.cost_usd, "USD"))))
        }
        Shown::Entered(_) | Shown::Left | Shown::Raw(_) | Shown::Cut => None,
    }
}

/// Makes a chunk of text.
pub(super) fn chunk(text: &str) -> ContentChunk {
    ContentChunk::new(ContentBlock::Text(TextContent::new(text)))
}

/// Gives what a call is when permission for it is asked.
pub(super) fn pending(call: &Called) -> ToolCallUpdate {
    let fields = ToolCallUpdateFields::new()
        .title(title(call))
        .kind(kind(&call.name))
        .status(ToolCallStatus::Pending)
        .raw_input(call.input.clone());
    ToolCallUpdate::new(call.id.clone(), fields)
}

/// Tells that a call is being performed.
pub(super) fn in_progress(call: &Called, content: Vec<ToolCallContent>) -> SessionUpdate {
    let fields = ToolCallUpdateFields::new().status(ToolCallStatus::InProgress);
    let fields = if content.is_empty() { fields } else { fields.content(content) };
    SessionUpdate::ToolCallUpdate(ToolCallUpdate::new(call.id.clone(), fields))
}

fn begun(call: &Called) -> ToolCall {
    let locations = call.input["file_path"].as_str().map(ToolCallLocation::new);
    ToolCall::new(call.id.clone(), title(call))
        .kind(kind(&call.name))
        .status(ToolCallStatus::Pending)
        .locations(locations.into_iter().collect())
        .raw_input(call.input.clone())
}

fn ended(call: &Called, text: &str, status: ToolCallStatus) -> SessionUpdate {
    let fields = ToolCallUpdateFields::new()
        .status(status)
        .content(vec![ToolCallContent::from(ContentBlock::Text(TextContent::new(text)))])
        .raw_output(json!(text));
    SessionUpdate::ToolCallUpdate(ToolCallUpdate::new(call.id.clone(), fields))
}

fn plan(entries: &[String]) -> Plan {
    let status = |index| if index == 0 { PlanEntryStatus::InProgress } else { PlanEntryStatus::Pending };
    let entry = |(index, text): (usize, &String)| {
        PlanEntry::new(text.clone(), PlanEntryPriority::Medium, status(index))
    };
    Plan::new(entries.iter().enumerate().map(entry).collect())
}

fn title(call: &Called) -> String {
    let first = call.input.as_object().and_then(|fields| fields.values().next());
    match first.and_then(|value| value.as_str()) {
        Some(text) => format!("{} {text}", call.name),
        None => call.name.clone(),
    }
}

fn kind(tool: &str) -> ToolKind {
    match tool {
        "Read" => ToolKind::Read,
        "Write" | "Edit" => ToolKind::Edit,
        "Bash" => ToolKind::Execute,
        "Task" => ToolKind::Think,
        _ => ToolKind::Other,
    }
}
