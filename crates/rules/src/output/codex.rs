//! Codex's `exec --json`: the last agent message is the value, the turn's own event says whether it worked.
//!
//! Items of type `error` and top-level `error` lines are warnings on a good run; only `turn.failed` fails.

use super::{Document, count, objects, quote, text_at};
use adjutant_model::Value;
use adjutant_model::run::Usage;

enum Turn {
    Open,
    Completed { usage: Value },
    Failed { why: String },
}

pub(super) fn document(text: &str) -> Result<Document, String> {
    let mut said = None;
    let mut turn = Turn::Open;
    let mut turns = 0;
    for line in objects(text) {
        match text_at(&line, "/type") {
            Some("turn.started") => {
                turn = Turn::Open;
                turns += 1;
            }
            Some("item.completed") if text_at(&line, "/item/type") == Some("agent_message") => {
                said = text_at(&line, "/item/text").map(str::to_owned).or(said);
            }
            Some("turn.completed") => {
                turn = Turn::Completed { usage: line.get("usage").cloned().unwrap_or_default() }
            }
            Some("turn.failed") => {
                let why = text_at(&line, "/error/message").unwrap_or("no reason given");
                turn = Turn::Failed { why: quote(why.trim()) };
            }
            Some(_) | None => {}
        }
    }
    let (usage, complaint) = match turn {
        Turn::Completed { usage } => (usage, None),
        Turn::Failed { why } => (Value::Null, Some(format!("the agent's turn failed: {why}"))),
        Turn::Open => return Err("the agent ended before its turn was complete".to_owned()),
    };
    let used = Usage {
        input_tokens: count(usage.get("input_tokens")),
        output_tokens: count(usage.get("output_tokens")),
        num_turns: Some(turns).filter(|turns| *turns > 0),
        ..Usage::default()
    };
    let result = said.map_or(Value::Null, Value::from);
    let value = Value::object([("result", result), ("usage", usage)]);
    Ok(Document { value, result_ptr: "/result", complaint, usage: used })
}
