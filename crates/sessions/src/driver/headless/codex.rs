//! Codex' `exec --json`: one event a line, one process for each prompt.
//!
//! Items of type `error` and top-level `error` lines are warnings on a good run; only `turn.failed` fails. Its usage
//! counts from the beginning of the thread, over processes, see [`Meter`].

use crate::driver::heard::{
    Call, Calls, Heard, Meter, call_line, count_at, is_quota, quota_until, shown, text_at,
};
use adjutant_model::Timestamp;
use adjutant_model::session::{AgentSignal, SessionUsage};
use serde_json::Value;

/// What is known of the stream so far, over all processes of the thread.
#[derive(Debug)]
pub(super) struct CodexStream {
    meter: Meter,
    thread: Option<String>,
    turn: Turn,
    calls: Calls,
}

/// What is known of the present process's turn.
#[derive(Debug, Default)]
struct Turn {
    is_taken: bool,
    is_over: bool,
    is_interrupted: bool,
    said: Option<String>,
    /// The last top-level error, for a process that ends without `turn.failed`.
    error: Option<String>,
}

impl CodexStream {
    /// Begins; `thread` is the one that goes on.
    pub(super) fn new(meter: Meter, thread: Option<String>) -> Self {
        CodexStream { meter, thread, turn: Turn::default(), calls: Calls::default() }
    }

    /// Gives the thread that goes on, once there is one.
    pub(super) fn thread(&self) -> Option<&str> {
        self.thread.as_deref()
    }

    /// Gives its thread, once it said it, and what was told of its usage.
    pub(super) fn counted(&self) -> Option<(&str, &SessionUsage)> {
        Some((self.thread.as_deref()?, self.meter.told()))
    }

    /// A process begins.
    pub(super) fn begin(&mut self) {
        self.turn = Turn::default();
        self.calls = Calls::default();
    }

    /// Its process is being interrupted.
    pub(super) fn interrupt(&mut self) {
        self.turn.is_interrupted = true;
    }

    /// Reads an event.
    pub(super) fn read(&mut self, event: &Value, now: Timestamp) -> Vec<Heard> {
        let mut heard = Vec::new();
        match text_at(event, "/type").unwrap_or_default() {
            "thread.started" => self.began(event, &mut heard),
            "turn.started" => {
                self.turn.is_taken = true;
                heard.push(Heard::signal("turn.started", AgentSignal::PromptTaken));
            }
            "item.started" => self.item_started(event, &mut heard),
            "item.completed" => self.item_completed(event, &mut heard),
            "turn.completed" => self.completed(event, &mut heard),
            "turn.failed" => {
                let why = text_at(event, "/error/message").unwrap_or("no reason given").to_owned();
                self.ended(Some(why), "turn.failed", now, &mut heard);
            }
            "error" => self.turn.error = text_at(event, "/message").map(shown),
            _ => {}
        }
        heard
    }

    /// Its process has ended; whatever it said, the turn is over.
    pub(super) fn end(&mut self, how: &str, now: Timestamp) -> Vec<Heard> {
        let mut heard = Vec::new();
        if !self.turn.is_over {
            let why = self.turn.error.take().unwrap_or_else(|| format!("its turn was cut short: {how}"));
            self.ended(Some(why), "its process has ended", now, &mut heard);
        }
        heard
    }

    fn began(&mut self, event: &Value, heard: &mut Vec<Heard>) {
        let Some(thread) = text_at(event, "/thread_id").map(str::to_owned) else { return };
        if self.thread.as_ref() != Some(&thread) {
            // A thread of its own counts from nothing.
            if self.thread.is_some() {
                self.meter = Meter::fresh();
            }
            self.thread = Some(thread.clone());
        }
        let began = AgentSignal::Began { agent_session: Some(thread), model: None, transcript: None };
        heard.push(Heard::signal("thread.started", began));
    }

    fn item_started(&mut self, event: &Value, heard: &mut Vec<Heard>) {
        let Some(item) = event.get("item") else { return };
        match tool_of(item) {
            Some(tool) => self.call_began(tool, item, heard),
            None => heard.push(Heard::signal(evidence("item.started", item), AgentSignal::Working)),
        }
    }

    fn call_began(&mut self, tool: String, item: &Value, heard: &mut Vec<Heard>) {
        let id = text_at(item, "/id").unwrap_or_default().to_owned();
        heard.push(Heard::Said(format!("> {}", call_line(&tool, item))));
        let began = AgentSignal::ToolBegan { tool: tool.clone(), call_id: Some(id.clone()) };
        heard.push(Heard::signal(evidence("item.started", item), began));
        self.calls.push(Call { id, tool, starts: None, within: None });
    }

    fn item_completed(&mut self, event: &Value, heard: &mut Vec<Heard>) {
        let Some(item) = event.get("item") else { return };
        if let Some(tool) = tool_of(item) {
            let id = text_at(item, "/id").unwrap_or_default().to_owned();
            if self.calls.take(&id).is_none() {
                self.call_began(tool.clone(), item, heard);
                self.calls.take(&id);
            }
            let ok = text_at(item, "/status").is_none_or(|status| status == "completed");
            let ended = AgentSignal::ToolEnded { tool, call_id: Some(id), ok };
            return heard.push(Heard::signal(evidence("item.completed", item), ended));
        }
        match text_at(item, "/type") {
            Some("agent_message") => {
                let text = text_at(item, "/text").unwrap_or_default();
                self.turn.said = Some(shown(text));
                heard.push(Heard::Said(text.to_owned()));
            }
            Some("error") => {
                heard.push(Heard::Said(format!("! {}", text_at(item, "/message").unwrap_or_default())));
                return;
            }
            Some(_) | None => {}
        }
        heard.push(Heard::signal(evidence("item.completed", item), AgentSignal::Working));
    }

    fn completed(&mut self, event: &Value, heard: &mut Vec<Heard>) {
        let input = count_at(event, "/usage/input_tokens");
        let cached = count_at(event, "/usage/cached_input_tokens");
        let written = count_at(event, "/usage/cache_write_input_tokens");
        let total = SessionUsage {
            // What came from the cache and went into it is counted in what the model read.
            input_tokens: input.saturating_sub(cached).saturating_sub(written),
            output_tokens: count_at(event, "/usage/output_tokens"),
            cache_read_tokens: cached,
            cache_write_tokens: written,
            ..SessionUsage::default()
        };
        // A thread of which nothing was known only sets the measure: which part of it is this turn's is not said.
        let used = self.meter.total(total, &SessionUsage::default());
        heard.extend(used.map(|what| Heard::signal("turn.completed", what)));
        let text = self.turn.said.take();
        self.turn.is_over = true;
        heard.push(Heard::signal("turn.completed", AgentSignal::TurnEnded { text, error: None }));
        heard.push(Heard::TurnOver);
    }

    fn ended(&mut self, why: Option<String>, evidence: &str, now: Timestamp, heard: &mut Vec<Heard>) {
        let error = why.filter(|_| !self.turn.is_interrupted).map(|why| shown(&why));
        let evidence = if self.turn.is_interrupted { "interrupted" } else { evidence };
        self.turn.is_over = true;
        if let Some(why) = &error {
            heard.push(Heard::Said(format!("! {why}")));
        }
        heard.push(Heard::signal(evidence, AgentSignal::TurnEnded { text: None, error: error.clone() }));
        if let Some(text) = error.filter(|text| is_quota(text)) {
            let until = quota_until(&text, now);
            heard.push(Heard::signal(evidence, AgentSignal::QuotaSpent { until, text }));
        }
        heard.push(Heard::TurnOver);
    }
}

fn evidence(event: &str, item: &Value) -> String {
    format!("{event} {}", text_at(item, "/type").unwrap_or("item"))
}

/// Gives the tool that an item is a call of, by the names that Codex' hooks use where they have one.
fn tool_of(item: &Value) -> Option<String> {
    match text_at(item, "/type")? {
        "command_execution" => Some("Bash".to_owned()),
        "file_change" => Some("apply_patch".to_owned()),
        "web_search" => Some("web_search".to_owned()),
        "mcp_tool_call" => {
            let server = text_at(item, "/server").unwrap_or("unnamed");
            Some(format!("mcp__{server}__{}", text_at(item, "/tool").unwrap_or("unnamed")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(stream: &mut CodexStream, lines: &[&str]) -> Vec<AgentSignal> {
        let now = Timestamp::from_unix_ms(0);
        let all = lines.iter().flat_map(|line| stream.read(&serde_json::from_str(line).unwrap(), now));
        all.filter_map(|one| match one {
            Heard::Signal { what, .. } => Some(what),
            Heard::Said(_) | Heard::Reply(_) | Heard::TurnOver => None,
        })
        .collect()
    }

    const COMPLETED: &str = r#"{"type":"turn.completed","usage":{"input_tokens":200,"cached_input_tokens":50,"output_tokens":20}}"#;

    #[test]
    fn a_good_run_with_error_items_has_no_error() {
        let mut stream = CodexStream::new(Meter::fresh(), None);
        stream.begin();
        let found = heard(
            &mut stream,
            &[
                r#"{"type":"thread.started","thread_id":"T1"}"#,
                r#"{"type":"item.completed","item":{"id":"i0","type":"error","message":"a warning"}}"#,
                r#"{"type":"turn.started"}"#,
                r#"{"type":"error","message":"Reconnecting... 1/1"}"#,
                r#"{"type":"item.started","item":{"id":"i1","type":"command_execution","command":"ls","status":"in_progress"}}"#,
                r#"{"type":"item.completed","item":{"id":"i1","type":"command_execution","command":"ls","exit_code":0,"status":"completed"}}"#,
                r#"{"type":"item.completed","item":{"id":"i2","type":"mcp_tool_call","server":"s","tool":"t","status":"failed"}}"#,
                r#"{"type":"item.completed","item":{"id":"i3","type":"agent_message","text":"done"}}"#,
                COMPLETED,
            ],
        );
        let call = |tool: &str, id: &str| (tool.to_owned(), Some(id.to_owned()));
        let began = |tool, id| {
            let (tool, call_id) = call(tool, id);
            AgentSignal::ToolBegan { tool, call_id }
        };
        let ended = |tool, id, ok| {
            let (tool, call_id) = call(tool, id);
            AgentSignal::ToolEnded { tool, call_id, ok }
        };
        let used = SessionUsage {
            input_tokens: 150,
            cache_read_tokens: 50,
            output_tokens: 20,
            ..SessionUsage::default()
        };
        let expected = [
            AgentSignal::Began { agent_session: Some("T1".to_owned()), model: None, transcript: None },
            AgentSignal::PromptTaken,
            began("Bash", "i1"),
            ended("Bash", "i1", true),
            began("mcp__s__t", "i2"),
            ended("mcp__s__t", "i2", false),
            AgentSignal::Working,
            AgentSignal::UsedMore(used),
            AgentSignal::TurnEnded { text: Some("done".to_owned()), error: None },
        ];
        assert_eq!(found, expected);
        assert_eq!(stream.end("exit code 0", Timestamp::from_unix_ms(0)), []);
    }

    #[test]
    fn the_usage_of_a_thread_that_goes_on_is_counted_once() {
        let mut stream = CodexStream::new(Meter::fresh(), None);
        heard(&mut stream, &[r#"{"type":"thread.started","thread_id":"T1"}"#, COMPLETED]);
        stream.begin();
        let again = heard(&mut stream, &[r#"{"type":"thread.started","thread_id":"T1"}"#, COMPLETED]);
        assert!(!again.iter().any(|signal| matches!(signal, AgentSignal::UsedMore(_))), "{again:?}");
        let (thread, told) =
            stream.counted().map(|(thread, told)| (thread.to_owned(), told.clone())).unwrap();
        assert_eq!((thread.as_str(), told.input_tokens), ("T1", 150));
    }

    #[test]
    fn a_failed_turn_a_spent_quota_and_a_cut_process_are_told() {
        let failed = |message: &str| format!(r#"{{"type":"turn.failed","error":{{"message":"{message}"}}}}"#);
        let mut stream = CodexStream::new(Meter::fresh(), None);
        let found = heard(&mut stream, &[&failed("the stream was cut")]);
        let ended = |error: &str| AgentSignal::TurnEnded { text: None, error: Some(error.to_owned()) };
        assert_eq!(found, [ended("the stream was cut")]);
        stream.begin();
        let text = "You've hit your usage limit, try again in 3 hours";
        let spent = AgentSignal::QuotaSpent {
            until: Some(Timestamp::from_unix_ms(10_800_000)),
            text: text.to_owned(),
        };
        assert_eq!(heard(&mut stream, &[&failed(text)]), [ended(text), spent]);
        stream.begin();
        let cut = stream.end("signal 9", Timestamp::from_unix_ms(0));
        let why = ended("its turn was cut short: signal 9");
        assert!(cut.iter().any(|one| matches!(one, Heard::Signal { what, .. } if *what == why)), "{cut:?}");
        stream.begin();
        stream.interrupt();
        let cut = stream.end("signal 15", Timestamp::from_unix_ms(0));
        let none = AgentSignal::TurnEnded { text: None, error: None };
        assert!(cut.iter().any(|one| matches!(one, Heard::Signal { what, .. } if *what == none)), "{cut:?}");
    }
}
