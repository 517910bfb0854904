//! From what a command left behind to what its step gives.
//!
//! How it ended is read first, its output second: a command that did not exit with 0 fails its step whatever it
//! printed. Every failure carries `{code, signal, stdout_tail, stderr_tail}` as its value, and a message whose end
//! is the most telling line that the command left.

mod claude;
mod codex;
mod progress;

pub use progress::{PROGRESS_TEXT_MAX, Progress, ProgressKind, progress};

use adjutant_model::Value;
use adjutant_model::blueprint::{OkFrom, OutputFormat, OutputSpec, StatsSpec};
use adjutant_model::run::{ErrorClass, StepFailure, StepOutcome, Usage};

/// So much of each stream a failure's value shows, in bytes.
pub const TAIL_MAX: usize = 4 * 1024;
/// So much of a line a message quotes, in characters.
const QUOTE_MAX: usize = 300;

/// A command that has ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finished<'a> {
    /// How it ended.
    pub ending: Ending,
    /// What was kept of standard output.
    pub stdout: &'a [u8],
    /// Whether standard output was longer than what was kept.
    pub stdout_truncated: bool,
    /// The end of standard error.
    pub stderr_tail: &'a [u8],
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself.
    Exited {
        /// Its exit code.
        code: i32,
    },
    /// By a signal that we did not send.
    Signalled {
        /// The signal's number.
        signal: i32,
    },
    /// By us, because its time was over.
    TimedOut {
        /// How long it was given.
        after_ms: u64,
    },
    /// By us, because it was cancelled.
    Cancelled,
}

/// What a format makes of standard output before pointers are followed.
struct Document {
    /// What pointers point into; for line formats the line that sums up, or what we put in its place.
    value: Value,
    /// Where the step's value stands when the spec does not say.
    result_ptr: &'static str,
    /// What the program itself says went wrong.
    complaint: Option<String>,
    /// What it cost.
    usage: Usage,
}

/// Reads what a finished command gives its step, and what it cost.
///
/// `Auto` takes standard output as JSON when it parses, else as text without its last line end; `Json` fails on
/// anything else. Text that was cut is still text; JSON that was cut fails. With `StreamJson`, pointers point into
/// the last `result` line, and the value is its `result`; with `CodexJson` they point into `{result, usage}`, made of
/// the last agent message and the turn's usage.
pub fn interpret(spec: &OutputSpec, finished: &Finished<'_>) -> (StepOutcome, Usage) {
    let document = document(spec.format, finished);
    let usage = match &document {
        Ok(document) => used(&spec.stats, document),
        Err(_) => Usage::default(),
    };
    let outcome = match ending(finished, document.as_ref().ok()) {
        Some(message) => Err(message),
        None => document.and_then(|document| judge(spec, document)),
    };
    match outcome {
        Ok(value) => (StepOutcome::Done(value), usage),
        Err(message) => (StepOutcome::Failed(failure(message, finished)), usage),
    }
}

/// Says why the way a command ended fails its step.
fn ending(finished: &Finished<'_>, document: Option<&Document>) -> Option<String> {
    let said = || {
        let complaint = document.and_then(|document| document.complaint.clone());
        complaint.or_else(|| last_line(finished.stderr_tail)).or_else(|| match document {
            Some(Document { value: Value::String(_), .. }) | None => last_line(finished.stdout),
            Some(_) => None,
        })
    };
    let message = match finished.ending {
        Ending::Exited { code: 0 } => return None,
        Ending::Exited { code } => format!("the command exited with code {code}"),
        Ending::Signalled { signal } => format!("the command was ended by signal {signal}"),
        Ending::TimedOut { after_ms } => return Some(format!("the command took longer than {after_ms} ms")),
        Ending::Cancelled => return Some("the command was cancelled".to_owned()),
    };
    Some(match said() {
        Some(line) => format!("{message}: {line}"),
        None => message,
    })
}

/// Takes the step's value out of a document of a command that exited with 0.
fn judge(spec: &OutputSpec, document: Document) -> Result<Value, String> {
    if let Some(complaint) = document.complaint {
        return Err(complaint);
    }
    if let OkFrom::Pointer(pointer) = &spec.ok_from {
        match document.value.pointer(pointer) {
            Some(Value::Bool(true)) => {}
            Some(other) => {
                return Err(format!("the output says {} at {pointer}, not true", quote(&other.to_string())));
            }
            None => return Err(format!("the output has nothing at {pointer}, where success should stand")),
        }
    }
    let pointer = spec.result_ptr.as_deref().unwrap_or(document.result_ptr);
    let value = document.value.pointer(pointer).cloned();
    value.ok_or_else(|| format!("the output has nothing at {pointer}, where the result should stand"))
}

fn document(format: OutputFormat, finished: &Finished<'_>) -> Result<Document, String> {
    let text = String::from_utf8_lossy(finished.stdout);
    match format {
        OutputFormat::Text => Ok(whole(Value::from(trimmed(&text)))),
        OutputFormat::Json => json(&text, finished).map(whole),
        OutputFormat::Auto if looks_like_json(&text) => match json(&text, finished) {
            Err(why) if finished.stdout_truncated => Err(why),
            Err(_) => Ok(whole(Value::from(trimmed(&text)))),
            Ok(value) => Ok(whole(value)),
        },
        OutputFormat::Auto => Ok(whole(Value::from(trimmed(&text)))),
        OutputFormat::StreamJson => claude::document(&text),
        OutputFormat::CodexJson => codex::document(&text),
    }
}

fn whole(value: Value) -> Document {
    Document { value, result_ptr: "", complaint: None, usage: Usage::default() }
}

fn json(text: &str, finished: &Finished<'_>) -> Result<Value, String> {
    if finished.stdout_truncated {
        let kept = finished.stdout.len();
        return Err(format!(
            "standard output is longer than the {kept} bytes that are kept, so its JSON is cut"
        ));
    }
    let value =
        serde_json::from_str::<Value>(text).map_err(|why| format!("standard output is not JSON: {why}"))?;
    if value.depth() > adjutant_model::value::DEPTH_MAX {
        return Err(format!("standard output nests deeper than {}", adjutant_model::value::DEPTH_MAX));
    }
    Ok(value)
}

/// Tells whether a text may be JSON: the cheap question that keeps `Auto` from parsing every log. A number, `true`
/// or `null` alone is JSON too.
fn looks_like_json(text: &str) -> bool {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    match text.as_bytes().first() {
        Some(b'{' | b'[' | b'"') => true,
        Some(b'-' | b'0'..=b'9') => text.len() < 64,
        Some(_) => matches!(text, "true" | "false" | "null"),
        None => false,
    }
}

fn trimmed(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

fn used(spec: &StatsSpec, document: &Document) -> Usage {
    let at =
        |pointer: &Option<String>| pointer.as_deref().and_then(|pointer| document.value.pointer(pointer));
    let mut used = document.usage.clone();
    if let Some(usage) = at(&spec.usage_ptr) {
        used.input_tokens = count(usage.get("input_tokens"));
        used.output_tokens = count(usage.get("output_tokens"));
    }
    if let Some(model) = at(&spec.model_ptr).and_then(Value::as_str) {
        used.model = Some(model.to_owned());
    }
    if let Some(turns) = count(at(&spec.num_turns_ptr)) {
        used.num_turns = Some(turns);
    }
    used
}

fn count(value: Option<&Value>) -> Option<u64> {
    match value {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) | None => {
            None
        }
    }
}

fn failure(message: String, finished: &Finished<'_>) -> StepFailure {
    let (code, signal) = match finished.ending {
        Ending::Exited { code } => (Value::from(i64::from(code)), Value::Null),
        Ending::Signalled { signal } => (Value::Null, Value::from(i64::from(signal))),
        Ending::TimedOut { .. } | Ending::Cancelled => (Value::Null, Value::Null),
    };
    let mut entries = vec![
        ("code", code),
        ("signal", signal),
        ("stdout_tail", Value::from(tail(finished.stdout))),
        ("stderr_tail", Value::from(tail(finished.stderr_tail))),
    ];
    let class = match finished.ending {
        Ending::TimedOut { after_ms } => {
            entries.extend([("timed_out", Value::Bool(true)), ("timeout_ms", Value::from(after_ms))]);
            ErrorClass::Retry
        }
        Ending::Cancelled => ErrorClass::Gone,
        Ending::Exited { .. } | Ending::Signalled { .. } => ErrorClass::Retry,
    };
    StepFailure { message, class, value: Some(Value::object(entries)) }
}

fn tail(bytes: &[u8]) -> String {
    let start = bytes.len().saturating_sub(TAIL_MAX);
    // A cut inside of a character leaves at most three bytes of it behind.
    let start = (start..bytes.len()).take(4).find(|at| bytes[*at] & 0xC0 != 0x80).unwrap_or(start);
    String::from_utf8_lossy(&bytes[start..]).into_owned()
}

/// Finds the last line that says something: not blank, and not only punctuation such as a closing bracket.
fn last_line(bytes: &[u8]) -> Option<String> {
    let text = tail(bytes);
    let line = text.lines().rev().map(str::trim).find(|line| line.chars().any(char::is_alphanumeric))?;
    Some(quote(line))
}

fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTE_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Gives the lines that are JSON objects; agents print other lines between them.
fn objects(text: &str) -> impl Iterator<Item = Value> + '_ {
    text.lines().filter_map(object)
}

fn object(line: &str) -> Option<Value> {
    let line = line.trim();
    if !line.starts_with('{') {
        return None;
    }
    let value = serde_json::from_str::<Value>(line).ok()?;
    value.as_object().is_some().then_some(value)
}

fn text_at<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

#[cfg(test)]
mod tests;
