//! What a rehearsal prints: one JSON object a line, in the shape of Claude Code's `--output-format stream-json`.
//!
//! One reader serves both. A line is written and flushed whole, so that whoever follows sees each act when it
//! happens; a turn's last line is always `result`, unless the script crashes.

use super::script::Usage;
use super::session::{add, message_usage};
use super::stage::{Called, Choice, Shown, Stage};
use serde_json::{Value, json};
use std::io::{self, Write};
use tokio_util::sync::CancellationToken;

/// The stream of one rehearsal.
pub(crate) struct Stream<W> {
    out: W,
    session_id: String,
    entries: u64,
    last_words: String,
    denials: Vec<Value>,
    parents: Vec<String>,
    pending: Usage,
    turn: Usage,
    total: Usage,
}

/// How the stream opens.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Head {
    /// Where the agent works.
    pub(crate) cwd: String,
    /// What judges its calls besides hooks; only print mode has a gate.
    pub(crate) gate: Option<String>,
    /// How it was told to ask.
    pub(crate) permission_mode: String,
    /// How many prompts were resumed with.
    pub(crate) earlier_turns: usize,
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ending {
    /// Whether it went wrong, and how.
    pub(crate) outcome: Outcome,
    /// What the `result` line carries instead of the last words.
    pub(crate) result: Option<String>,
    /// How long it took.
    pub(crate) duration_ms: u64,
}

/// Whether a turn went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did not.
    Success,
    /// The agent failed or was interrupted.
    Error,
    /// The model refused to answer; `subtype` is `success` nevertheless, as it is with Claude Code.
    Limited,
}

impl<W: Write> Stream<W> {
    /// Makes a stream that has printed nothing.
    pub(crate) fn new(out: W, session_id: String) -> Self {
        Self {
            out,
            session_id,
            entries: 0,
            last_words: String::new(),
            denials: Vec::new(),
            parents: Vec::new(),
            pending: Usage::default(),
            turn: Usage::default(),
            total: Usage::default(),
        }
    }

    /// Opens a turn: where the agent works, and what judges its calls.
    pub(crate) fn init(&mut self, head: &Head) -> io::Result<()> {
        self.line(json!({
            "type": "system",
            "subtype": "init",
            "cwd": head.cwd,
            "model": "rehearsal",
            "tools": ["Read", "Write", "Edit", "Bash", "Task"],
            "mcp_servers": [],
            "permissionMode": head.permission_mode,
            "gate": head.gate,
            "earlier_turns": head.earlier_turns,
        }))
    }

    /// Shows something of a turn.
    pub(crate) fn show(&mut self, shown: &Shown<'_>) -> io::Result<()> {
        match *shown {
            Shown::Said(text) => self.said(text),
            Shown::Thought(text) => self.assistant(json!({"type": "thinking", "thinking": text})),
            Shown::Plan(entries) => self.planned(entries),
            Shown::Called(call) => self.assistant(
                json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}),
            ),
            Shown::Returned(call, content) => self.tool_result(call, content, Verdict::Ok),
            Shown::Failed(call, content) => self.tool_result(call, content, Verdict::Error),
            Shown::Denied(call, content) => self.denied(call, content),
            Shown::Entered(call) => {
                self.parents.push(call.id.clone());
                Ok(())
            }
            Shown::Left => {
                self.parents.pop();
                Ok(())
            }
            Shown::Notice(text) => self.line(json!({"type": "system", "subtype": "notice", "message": text})),
            Shown::Usage { used, .. } => {
                for sum in [&mut self.pending, &mut self.turn, &mut self.total] {
                    add(sum, used);
                }
                Ok(())
            }
            Shown::Compacted => {
                let metadata = json!({"trigger": "manual", "pre_tokens": self.total.context_used});
                self.line(
                    json!({"type": "system", "subtype": "compact_boundary", "compact_metadata": metadata}),
                )
            }
            Shown::Quota { until, message } => {
                let info = json!({
                    "status": "rejected",
                    "resetsAt": until.unix_ms() / 1000,
                    "rateLimitType": "five_hour",
                });
                self.line(json!({"type": "rate_limit_event", "rate_limit_info": info}))?;
                self.said(message)
            }
            Shown::Line(text) => self.assistant(json!({"type": "text", "text": text})),
            // There is no terminal that it could reach.
            Shown::Raw(_) => Ok(()),
            Shown::Cut => self.cut(),
        }
    }

    /// Closes a turn.
    pub(crate) fn result(&mut self, ending: &Ending) -> io::Result<()> {
        let result = ending.result.clone().unwrap_or_else(|| self.last_words.clone());
        let subtype = match ending.outcome {
            Outcome::Success | Outcome::Limited => "success",
            Outcome::Error => "error_during_execution",
        };
        // A rehearsal asks no model: it has spent what its script says, and otherwise a true zero.
        let line = json!({
            "type": "result",
            "subtype": subtype,
            "is_error": ending.outcome != Outcome::Success,
            "api_error_status": (ending.outcome == Outcome::Limited).then_some(429),
            "result": result,
            "num_turns": self.entries,
            "duration_ms": ending.duration_ms,
            "total_cost_usd": self.total.cost_usd,
            "usage": {
                "input_tokens": self.turn.input_tokens,
                "output_tokens": self.turn.output_tokens,
            },
            "modelUsage": {"rehearsal": {
                "inputTokens": self.total.input_tokens,
                "outputTokens": self.total.output_tokens,
                "costUSD": self.total.cost_usd,
                "contextWindow": self.total.context_window,
            }},
            "permission_denials": std::mem::take(&mut self.denials),
        });
        self.entries = 0;
        self.last_words.clear();
        self.turn = Usage::default();
        self.line(line)
    }

    /// Shows that a person stopped the turn.
    pub(crate) fn interrupted(&mut self) -> io::Result<()> {
        let block = json!({"type": "text", "text": "[Request interrupted by user]"});
        self.message("user", json!({"role": "user", "content": [block]}))
    }

    fn said(&mut self, text: &str) -> io::Result<()> {
        text.clone_into(&mut self.last_words);
        self.assistant(json!({"type": "text", "text": text}))
    }

    fn planned(&mut self, entries: &[String]) -> io::Result<()> {
        let todos: Vec<Value> =
            entries.iter().map(|entry| json!({"content": entry, "status": "pending"})).collect();
        let id = format!("toolu_plan_{}", self.entries);
        let input = json!({"todos": todos});
        let call = Called { id, name: "TodoWrite".to_owned(), input };
        self.show(&Shown::Called(&call))?;
        self.tool_result(&call, "the plan is noted", Verdict::Ok)
    }

    /// Shows that a call was refused; the `result` line lists it again.
    fn denied(&mut self, call: &Called, content: &str) -> io::Result<()> {
        self.denials.push(json!({"tool_name": call.name, "tool_use_id": call.id, "tool_input": call.input}));
        self.tool_result(call, content, Verdict::Error)
    }

    /// Writes the beginning of a line and no end, as a cut connection leaves it.
    fn cut(&mut self) -> io::Result<()> {
        self.out.write_all(br#"{"type":"assistant","message":{"content":[{"type":"te"#)?;
        self.out.flush()
    }

    fn assistant(&mut self, block: Value) -> io::Result<()> {
        self.entries += 1;
        let used = std::mem::take(&mut self.pending);
        let message = json!({
            "role": "assistant",
            "model": "rehearsal",
            "content": [block],
            "usage": message_usage(&used),
        });
        self.message("assistant", message)
    }

    fn tool_result(&mut self, call: &Called, content: &str, verdict: Verdict) -> io::Result<()> {
        let is_error = verdict == Verdict::Error;
        let block =
            json!({"type": "tool_result", "tool_use_id": call.id, "content": content, "is_error": is_error});
        self.message("user", json!({"role": "user", "content": [block]}))
    }

    fn message(&mut self, kind: &str, message: Value) -> io::Result<()> {
        let parent = self.parents.last();
        self.line(json!({"type": kind, "message": message, "parent_tool_use_id": parent}))
    }

    fn line(&mut self, mut line: Value) -> io::Result<()> {
        line["session_id"] = Value::String(self.session_id.clone());
        line["uuid"] = Value::String(uuid::Uuid::new_v4().to_string());
        let mut text = line.to_string();
        text.push('\n');
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// Print mode: nobody can be asked.
impl<W: Write> Stage for Stream<W> {
    fn show(&mut self, shown: &Shown<'_>) -> io::Result<()> {
        Stream::show(self, shown)
    }

    async fn permit(&mut self, call: &Called, _cancel: &CancellationToken) -> Choice {
        Choice::Deny(format!(
            "permission to use {} was not given: nobody can be asked in print mode",
            call.name
        ))
    }

    async fn ask(&mut self, _question: &str, _cancel: &CancellationToken) -> Option<String> {
        None
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    Error,
}
