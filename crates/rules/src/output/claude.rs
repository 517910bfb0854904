//! Claude Code's `stream-json`: the last line of type `result` sums up.
//!
//! Success is read from `is_error` alone: a request that the model's API refused still has the subtype `success`.

use super::{Document, count, objects, quote, text_at};
use adjutant_model::Value;
use adjutant_model::run::Usage;

pub(super) fn document(text: &str) -> Result<Document, String> {
    let mut model = None;
    let mut result = None;
    for line in objects(text) {
        match text_at(&line, "/type") {
            Some("system") => model = text_at(&line, "/model").map(str::to_owned).or(model),
            Some("result") => result = Some(line),
            Some(_) | None => {}
        }
    }
    let result = result.ok_or("the agent ended without a `result` line")?;
    let usage = Usage {
        model,
        input_tokens: count(result.pointer("/usage/input_tokens")),
        output_tokens: count(result.pointer("/usage/output_tokens")),
        num_turns: count(result.get("num_turns")),
        cost_usd: match result.get("total_cost_usd") {
            Some(Value::Number(cost)) => cost.as_f64(),
            Some(_) | None => None,
        },
    };
    let complaint = complaint(&result);
    Ok(Document { value: result, result_ptr: "/result", complaint, usage })
}

fn complaint(result: &Value) -> Option<String> {
    match result.get("is_error") {
        Some(Value::Bool(true)) => {
            let said = text_at(result, "/result").filter(|text| !text.trim().is_empty());
            let said = said.or_else(|| text_at(result, "/subtype")).unwrap_or("no reason given");
            Some(format!("the agent reports an error: {}", quote(said.trim())))
        }
        Some(_) | None => None,
    }
}
