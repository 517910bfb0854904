//! What a rehearsal prints: one JSON object a line, in the shape of Claude Code's `--output-format stream-json`.
//!
//! One reader serves both. A line is written and flushed whole, so that whoever follows sees each act when it
//! happens; the last line is always `result`, unless the script crashes.

use serde_json::{Value, json};
use std::io::{self, Write};

/// The stream of one rehearsal.
pub(crate) struct Stream<W> {
    out: W,
    session_id: String,
    turns: u64,
    calls: u64,
    last_words: String,
    denials: Vec<Value>,
}

/// How a rehearsal ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ending {
    /// The code that the process ends with.
    pub(crate) code: u8,
    /// What the `result` line carries instead of the last words.
    pub(crate) result: Option<String>,
    /// How long it took.
    pub(crate) duration_ms: u64,
}

/// A tool call as the stream shows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ShownCall {
    id: String,
    name: String,
    input: Value,
}

impl<W: Write> Stream<W> {
    /// Makes a stream that has printed nothing.
    pub(crate) fn new(out: W, session_id: String) -> Self {
        Self { out, session_id, turns: 0, calls: 0, last_words: String::new(), denials: Vec::new() }
    }

    /// Opens the stream: where the agent works, and whether a gate judges its calls.
    pub(crate) fn init(&mut self, cwd: &str, gated: &str) -> io::Result<()> {
        self.line(json!({
            "type": "system",
            "subtype": "init",
            "cwd": cwd,
            "model": "rehearsal",
            "tools": ["Read", "Write", "Edit", "Bash"],
            "gate": gated,
        }))
    }

    /// Shows words to the reader.
    pub(crate) fn said(&mut self, text: &str) -> io::Result<()> {
        text.clone_into(&mut self.last_words);
        self.assistant(json!({"type": "text", "text": text}))
    }

    /// Shows a thought.
    pub(crate) fn thought(&mut self, text: &str) -> io::Result<()> {
        self.assistant(json!({"type": "thinking", "thinking": text}))
    }

    /// Shows that a tool is about to be called.
    pub(crate) fn called(&mut self, name: &str, input: &Value) -> io::Result<ShownCall> {
        self.calls += 1;
        let id = format!("toolu_{:04}", self.calls);
        self.assistant(json!({"type": "tool_use", "id": id, "name": name, "input": input}))?;
        Ok(ShownCall { id, name: name.to_owned(), input: input.clone() })
    }

    /// Shows what a tool gave.
    pub(crate) fn returned(&mut self, call: &ShownCall, content: &str) -> io::Result<()> {
        self.tool_result(call, content, Verdict::Ok)
    }

    /// Shows why a tool failed.
    pub(crate) fn failed(&mut self, call: &ShownCall, content: &str) -> io::Result<()> {
        self.tool_result(call, content, Verdict::Error)
    }

    /// Shows that the gate refused a call; the `result` line lists it again.
    pub(crate) fn denied(&mut self, call: &ShownCall, content: &str) -> io::Result<()> {
        self.denials.push(json!({"tool_name": call.name, "tool_use_id": call.id, "tool_input": call.input}));
        self.tool_result(call, content, Verdict::Error)
    }

    /// Tells the reader something that is not the agent's own words.
    pub(crate) fn notice(&mut self, text: &str) -> io::Result<()> {
        self.line(json!({"type": "system", "subtype": "notice", "message": text}))
    }

    /// Closes the stream.
    pub(crate) fn result(&mut self, ending: &Ending) -> io::Result<()> {
        let is_error = ending.code != 0;
        let subtype = if is_error { "error_during_execution" } else { "success" };
        let result = ending.result.clone().unwrap_or_else(|| self.last_words.clone());
        // A rehearsal asks no model, so it spends no tokens; a reader that adds costs up gets a true zero.
        self.line(json!({
            "type": "result",
            "subtype": subtype,
            "is_error": is_error,
            "result": result,
            "num_turns": self.turns,
            "duration_ms": ending.duration_ms,
            "total_cost_usd": 0,
            "usage": {"input_tokens": 0, "output_tokens": 0},
            "permission_denials": self.denials,
        }))
    }

    /// Writes the beginning of a line and no end, as a cut connection leaves it.
    pub(crate) fn cut(&mut self) -> io::Result<()> {
        self.out.write_all(br#"{"type":"assistant","message":{"content":[{"type":"te"#)?;
        self.out.flush()
    }

    fn assistant(&mut self, block: Value) -> io::Result<()> {
        self.turns += 1;
        let message = json!({"role": "assistant", "model": "rehearsal", "content": [block]});
        self.line(json!({"type": "assistant", "message": message}))
    }

    fn tool_result(&mut self, call: &ShownCall, content: &str, verdict: Verdict) -> io::Result<()> {
        let is_error = verdict == Verdict::Error;
        let block =
            json!({"type": "tool_result", "tool_use_id": call.id, "content": content, "is_error": is_error});
        self.line(json!({"type": "user", "message": {"role": "user", "content": [block]}}))
    }

    fn line(&mut self, mut line: Value) -> io::Result<()> {
        line["session_id"] = Value::String(self.session_id.clone());
        let mut text = line.to_string();
        text.push('\n');
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    Error,
}
