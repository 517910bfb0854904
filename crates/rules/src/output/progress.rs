//! What a line of a running command says to somebody who watches.

use super::{object, text_at};
use adjutant_model::Value;
use adjutant_model::blueprint::OutputFormat;

/// The longest text of a progress, in bytes.
pub const PROGRESS_TEXT_MAX: usize = 2 * 1024;

/// Something worth showing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What it is.
    pub what: ProgressKind,
    /// The words, cut to [`PROGRESS_TEXT_MAX`]; never blank.
    pub text: String,
}

/// What a progress is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressKind {
    /// Words for people.
    Said,
    /// Reasoning on the way.
    Thought,
    /// A tool and what it is used for.
    Tool,
    /// Anything else, such as a warning.
    Note,
}

impl ProgressKind {
    /// Gives its name on the wire and in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            ProgressKind::Said => "said",
            ProgressKind::Thought => "thought",
            ProgressKind::Tool => "tool",
            ProgressKind::Note => "note",
        }
    }
}

/// Reads one line of standard output as it comes; most lines say one thing, some nothing, a few several.
pub fn progress(format: OutputFormat, line: &str) -> Vec<Progress> {
    match format {
        OutputFormat::Text => one(ProgressKind::Said, line),
        // A line of printed JSON is a piece of the result and no message.
        OutputFormat::Auto if line.trim_start().starts_with(['{', '}', '[', ']', '"']) => Vec::new(),
        OutputFormat::Auto => one(ProgressKind::Said, line),
        OutputFormat::Json => Vec::new(),
        OutputFormat::StreamJson => object(line).map_or_else(Vec::new, |line| claude(&line)),
        OutputFormat::CodexJson => object(line).map_or_else(Vec::new, |line| codex(&line)),
    }
}

fn claude(line: &Value) -> Vec<Progress> {
    match text_at(line, "/type") {
        Some("assistant") => {
            let blocks = line.pointer("/message/content").and_then(Value::as_array).unwrap_or(&[]);
            blocks.iter().flat_map(claude_block).collect()
        }
        Some(_) | None => Vec::new(),
    }
}

fn claude_block(block: &Value) -> Vec<Progress> {
    match text_at(block, "/type") {
        Some("text") => one(ProgressKind::Said, text_at(block, "/text").unwrap_or("")),
        Some("thinking") => one(ProgressKind::Thought, text_at(block, "/thinking").unwrap_or("")),
        Some("tool_use") => {
            let name = text_at(block, "/name").unwrap_or("tool");
            one(ProgressKind::Tool, &with_detail(name, block.get("input")))
        }
        Some(_) | None => Vec::new(),
    }
}

fn codex(line: &Value) -> Vec<Progress> {
    let item = line.get("item").unwrap_or(&Value::Null);
    let words = |pointer: &str| text_at(line, pointer).unwrap_or("").to_owned();
    match (text_at(line, "/type"), text_at(item, "/type")) {
        (Some("item.completed"), Some("agent_message")) => one(ProgressKind::Said, &words("/item/text")),
        (Some("item.completed"), Some("reasoning")) => one(ProgressKind::Thought, &words("/item/text")),
        (Some("item.completed"), Some("error")) => one(ProgressKind::Note, &words("/item/message")),
        (Some("item.started"), Some("command_execution")) => {
            one(ProgressKind::Tool, &with_detail("command", item.get("command")))
        }
        (Some("item.started"), Some("mcp_tool_call")) => {
            let name = format!("{}.{}", words("/item/server"), words("/item/tool"));
            one(ProgressKind::Tool, &with_detail(&name, item.get("arguments")))
        }
        (Some("item.completed"), Some("file_change")) => {
            one(ProgressKind::Tool, &with_detail("file_change", item.get("changes")))
        }
        (Some("error"), _) => one(ProgressKind::Note, &words("/message")),
        (Some("turn.failed"), _) => one(ProgressKind::Note, &words("/error/message")),
        (Some(_) | None, _) => Vec::new(),
    }
}

/// Shows a tool with the one parameter that tells most, else with all of them.
fn with_detail(name: &str, input: Option<&Value>) -> String {
    const TELLING: [&str; 7] = ["command", "file_path", "path", "pattern", "url", "query", "description"];
    let Some(input) = input else { return name.to_owned() };
    let telling = TELLING.iter().find_map(|key| input.get(key)).unwrap_or(input);
    match telling {
        Value::Null => name.to_owned(),
        Value::String(text) => format!("{name}: {text}"),
        other => format!("{name}: {other}"),
    }
}

fn one(what: ProgressKind, text: &str) -> Vec<Progress> {
    let text = text.trim();
    if text.is_empty() {
        return Vec::new();
    }
    let end = text.floor_char_boundary(PROGRESS_TEXT_MAX);
    vec![Progress { what, text: text[..end].to_owned() }]
}
