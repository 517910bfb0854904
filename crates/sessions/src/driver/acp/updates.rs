//! What an agent's updates, requests and answers mean.
//!
//! Options of a permission are chosen by their kind and never by their place: agents order them differently, and some
//! offer a kind twice.

use crate::driver::DriverError;
use crate::driver::heard::{
    Call, Calls, Heard, Meter, call_line, count_at, gated, is_quota, quota_until, shown, text_at,
};
use adjutant_model::Timestamp;
use adjutant_model::session::{
    AgentQuestion, AgentSignal, AskAnswer, AskOption, AskOptionKind, SessionUsage, WaitingFor,
};
use agent_client_protocol::v1::schema::{
    ContentBlock, PermissionOption, PermissionOptionKind, RequestPermissionRequest, SessionUpdate, ToolCall,
    ToolCallContent, ToolCallStatus, ToolCallUpdate, ToolCallUpdateFields, ToolKind, UsageUpdate,
};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::VecDeque;

/// So many inputs of tool calls are kept, for questions about them.
const INPUTS_MAX: usize = 64;

/// An input that is larger than this is not kept, in bytes.
const INPUT_BYTES_MAX: usize = 64 << 10;

/// So many files of a tool call are kept.
const PATHS_MAX: usize = 256;

/// The members of an input in which the gate's rules about commands look for one.
const COMMAND_KEYS: [&str; 6] = ["command", "cmd", "script", "argv", "args", "shell"];

/// So much of what the agent says in a turn is kept, in bytes.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// What is known of the agent so far.
#[derive(Debug)]
pub(super) struct Updates {
    meter: Meter,
    calls: Calls,
    inputs: VecDeque<Input>,
    is_open: bool,
    is_taken: bool,
    is_working: bool,
    is_interrupted: bool,
    /// What it said since its last tool call.
    text: String,
    line: String,
}

/// What a tool call is about.
#[derive(Debug, Clone, Default)]
struct Input {
    id: String,
    /// As it came: of what runs a command it is the command.
    title: String,
    kind: Option<ToolKind>,
    input: Value,
    /// The files that it touches.
    paths: Vec<String>,
}

impl Input {
    /// Takes what is told of it; agents tell it in pieces, and each piece takes the place of an earlier one.
    fn take(&mut self, fields: &ToolCallUpdateFields) {
        if let Some(title) = fields.title.as_deref().filter(|title| !title.trim().is_empty()) {
            self.title = title.to_owned();
        }
        self.kind = fields.kind.or(self.kind);
        if let Some(input) = fields.raw_input.as_ref().filter(|input| !input.is_null()) {
            self.input = input.clone();
        }
        let named = fields.locations.iter().flatten().map(|location| &location.path);
        let changed = fields.content.iter().flatten().filter_map(|content| match content {
            ToolCallContent::Diff(diff) => Some(&diff.path),
            _ => None,
        });
        for path in named.chain(changed).map(|path| path.to_string_lossy().into_owned()) {
            if !self.paths.contains(&path) && self.paths.len() < PATHS_MAX {
                self.paths.push(path);
            }
        }
    }

    /// Gives what the gate judges. Some agents tell no input: what they show to people then says what is done, the
    /// command as the title and the files as places, and rules about commands and files must hold for it all the same.
    fn gated(&self) -> Option<Value> {
        let mut told = match &self.input {
            Value::Object(members) => members.clone(),
            Value::Null => Map::new(),
            other => Map::from_iter([("input".to_owned(), other.clone())]),
        };
        let runs = self.kind == Some(ToolKind::Execute);
        if runs && !self.title.is_empty() && !COMMAND_KEYS.iter().any(|key| told.contains_key(*key)) {
            told.insert("command".to_owned(), self.title.clone().into());
        }
        if self.input.is_null() && !self.paths.is_empty() {
            told.insert("paths".to_owned(), self.paths.clone().into());
        }
        (!told.is_empty()).then_some(Value::Object(told))
    }
}

impl Updates {
    /// Begins to listen.
    pub(super) fn new(meter: Meter) -> Self {
        Updates {
            meter,
            calls: Calls::default(),
            inputs: VecDeque::new(),
            is_open: false,
            is_taken: true,
            is_working: false,
            is_interrupted: false,
            text: String::new(),
            line: String::new(),
        }
    }

    /// Its session is open. What came before it was its history.
    pub(super) fn opened(&mut self) {
        self.is_open = true;
        self.text.clear();
        self.line.clear();
    }

    /// Its session is a new one, and counts from nothing.
    pub(super) fn is_new(&mut self) {
        self.meter = Meter::fresh();
    }

    /// Gives what was told of its usage.
    pub(super) fn counted(&self) -> &SessionUsage {
        self.meter.told()
    }

    /// It is told something; a turn begins.
    pub(super) fn prompted(&mut self) {
        self.is_taken = false;
        self.is_working = false;
        self.is_interrupted = false;
        self.text.clear();
    }

    /// Its turn is being cancelled.
    pub(super) fn interrupted(&mut self) {
        self.is_interrupted = true;
    }

    /// Reads an update of its session.
    pub(super) fn read(&mut self, update: SessionUpdate) -> Vec<Heard> {
        let mut heard = Vec::new();
        match update {
            SessionUpdate::AgentMessageChunk(chunk) => {
                self.words(&chunk.content, &mut heard);
                self.used_beside(chunk.meta.as_ref(), &mut heard);
            }
            SessionUpdate::AgentThoughtChunk(_) => self.works("agent_thought_chunk", &mut heard),
            SessionUpdate::ToolCall(call) => self.tool_call(&call, &mut heard),
            SessionUpdate::ToolCallUpdate(update) => self.tool_call_update(&update, &mut heard),
            SessionUpdate::UsageUpdate(usage) => self.usage(&usage, &mut heard),
            // In a history they stand between two answers.
            SessionUpdate::UserMessageChunk(_) => self.flush(&mut heard),
            // The user's words are ours, and plans, modes, commands and titles change nothing here.
            _ => {}
        }
        if !self.is_open {
            heard.retain(|one| matches!(one, Heard::Said(_)));
        }
        heard
    }

    /// Reads the answer to a prompt; its turn is over.
    pub(super) fn answered(&mut self, answer: Result<&Value, &str>, now: Timestamp) -> Vec<Heard> {
        let mut heard = Vec::new();
        self.flush(&mut heard);
        self.taken("session/prompt", &mut heard);
        self.is_working = false;
        let stop = answer.map(|answer| text_at(answer, "/stopReason").unwrap_or("end_turn"));
        if let Ok(answer) = answer {
            let used = self.meter.add(turn_usage(answer));
            heard.extend(used.map(|what| Heard::signal("session/prompt", what)));
        }
        let error = match stop {
            Ok("end_turn" | "cancelled") => None,
            Ok("max_tokens") => Some("its answer is longer than its model may answer".to_owned()),
            Ok("max_turn_requests") => Some("it made more requests than one turn may have".to_owned()),
            Ok("refusal") => Some("it refused to go on".to_owned()),
            Ok(other) => Some(format!("it stopped for `{}`", shown(other))),
            Err(_) if self.is_interrupted => None,
            Err(why) => Some(shown(why)),
        };
        let evidence = format!("session/prompt: {}", stop.unwrap_or("error"));
        let text = Some(std::mem::take(&mut self.text)).filter(|text| !text.is_empty() && error.is_none());
        let text = text.map(|text| shown(&text));
        heard.push(Heard::signal(evidence.clone(), AgentSignal::TurnEnded { text, error: error.clone() }));
        if let Some(why) = error {
            heard.push(Heard::Said(format!("! {why}")));
            if is_quota(&why) {
                let spent = AgentSignal::QuotaSpent { until: quota_until(&why, now), text: why };
                heard.push(Heard::signal(evidence, spent));
            }
        }
        heard.push(Heard::TurnOver);
        heard
    }

    /// Makes a question of a permission request.
    pub(super) fn question(
        &self,
        ask_id: String,
        request: &RequestPermissionRequest,
        now: Timestamp,
    ) -> AgentQuestion {
        let fields = &request.tool_call.fields;
        let id = request.tool_call.tool_call_id.to_string();
        let call = self.calls.find(&id);
        let known = self.inputs.iter().find(|input| input.id == id);
        let mut about = known.cloned().unwrap_or_default();
        about.take(fields);
        let named = tool_name(fields.name.as_deref(), request.tool_call.meta.as_ref(), about.kind.as_ref());
        let tool = call.map(|call| call.tool.clone()).filter(|tool| tool != "other").or(named);
        let title = Some(about.title.as_str()).filter(|title| !title.trim().is_empty()).map(shown);
        let input = about.gated();
        let name = tool.clone().unwrap_or_else(|| "a tool".to_owned());
        AgentQuestion {
            ask_id,
            what: WaitingFor::Permission,
            text: title.unwrap_or_else(|| call_line(&name, input.as_ref().unwrap_or(&Value::Null))),
            tool,
            input: input.as_ref().and_then(gated),
            options: request.options.iter().map(option_of).collect(),
            subagent: call.and_then(|call| call.within.clone()),
            asked_at: now,
        }
    }

    fn taken(&mut self, evidence: &str, heard: &mut Vec<Heard>) {
        if !self.is_taken {
            self.is_taken = true;
            heard.push(Heard::signal(evidence, AgentSignal::PromptTaken));
        }
    }

    /// It works; that is told once until something else was.
    fn works(&mut self, evidence: &str, heard: &mut Vec<Heard>) {
        self.taken(evidence, heard);
        if !self.is_working {
            self.is_working = true;
            heard.push(Heard::signal(evidence, AgentSignal::Working));
        }
    }

    /// Words come in pieces; people see whole lines.
    fn words(&mut self, content: &ContentBlock, heard: &mut Vec<Heard>) {
        self.works("agent_message_chunk", heard);
        let ContentBlock::Text(words) = content else { return };
        let room = TEXT_BYTES_MAX.saturating_sub(self.text.len());
        self.text.extend(words.text.chars().take(room));
        self.line.push_str(&words.text);
        if let Some(end) = self.line.rfind('\n') {
            let rest = self.line.split_off(end + 1);
            heard.push(Heard::Said(std::mem::replace(&mut self.line, rest)));
        }
        if self.line.len() > TEXT_BYTES_MAX {
            self.flush(heard);
        }
    }

    fn flush(&mut self, heard: &mut Vec<Heard>) {
        if !self.line.trim().is_empty() {
            heard.push(Heard::Said(std::mem::take(&mut self.line)));
        }
        self.line.clear();
    }

    fn tool_call(&mut self, call: &ToolCall, heard: &mut Vec<Heard>) {
        let id = call.tool_call_id.to_string();
        let tool = tool_name(call.name.as_deref(), call.meta.as_ref(), Some(&call.kind));
        self.note(&id, &ToolCallUpdate::from(call.clone()).fields);
        if self.calls.find(&id).is_none() {
            let tool = tool.unwrap_or_else(|| "other".to_owned());
            self.began(&id, tool, &call.title, call.meta.as_ref(), heard);
        }
        self.ended(&id, call.status, heard);
    }

    fn tool_call_update(&mut self, update: &ToolCallUpdate, heard: &mut Vec<Heard>) {
        let id = update.tool_call_id.to_string();
        let fields = &update.fields;
        self.note(&id, fields);
        let is_over = matches!(fields.status, Some(ToolCallStatus::Completed | ToolCallStatus::Failed));
        if self.calls.find(&id).is_none() && !is_over {
            let tool = tool_name(fields.name.as_deref(), update.meta.as_ref(), fields.kind.as_ref());
            let title = fields.title.as_deref().unwrap_or("a tool call");
            self.began(&id, tool.unwrap_or_else(|| "other".to_owned()), title, update.meta.as_ref(), heard);
        }
        if let Some(status) = fields.status {
            self.ended(&id, status, heard);
        }
    }

    /// Remembers what a call is about; agents tell it in pieces.
    fn note(&mut self, id: &str, fields: &ToolCallUpdateFields) {
        let at = self.inputs.iter().position(|known| known.id == id);
        let mut known = match at.and_then(|at| self.inputs.remove(at)) {
            Some(known) => known,
            None => Input { id: id.to_owned(), ..Input::default() },
        };
        let is_small = |input: &Value| input.to_string().len() <= INPUT_BYTES_MAX;
        let mut fields = fields.clone();
        fields.raw_input = fields.raw_input.filter(is_small);
        fields.title = fields.title.filter(|title| title.len() <= INPUT_BYTES_MAX);
        known.take(&fields);
        if self.inputs.len() == INPUTS_MAX {
            self.inputs.pop_front();
        }
        self.inputs.push_back(known);
    }

    fn began(
        &mut self,
        id: &str,
        tool: String,
        title: &str,
        meta: Option<&Map<String, Value>>,
        heard: &mut Vec<Heard>,
    ) {
        self.flush(heard);
        self.taken("tool_call", heard);
        self.is_working = false;
        self.text.clear();
        let within = claude_meta(meta, "parentToolUseId").map(|parent| {
            let starts = self.calls.find(parent).and_then(|call| call.starts.clone());
            starts.unwrap_or_else(|| "subagent".to_owned())
        });
        let is_subagent = matches!(tool.as_str(), "Task" | "Agent");
        let starts = is_subagent.then(|| {
            let input = self.inputs.iter().find(|input| input.id == id).map(|known| &known.input);
            let named = input.and_then(|input| text_at(input, "/subagent_type")).map(str::to_owned);
            named.unwrap_or_else(|| shown(title))
        });
        let prefix = within.as_ref().map(|name| format!("[{name}] ")).unwrap_or_default();
        let evidence = match &within {
            Some(name) => format!("tool_call of {name}"),
            None => "tool_call".to_owned(),
        };
        heard.push(Heard::Said(format!("{prefix}> {}", shown(title))));
        let began = AgentSignal::ToolBegan { tool: tool.clone(), call_id: Some(id.to_owned()) };
        heard.push(Heard::signal(evidence.clone(), began));
        if let Some(name) = starts.clone() {
            heard.push(Heard::signal(evidence, AgentSignal::SubagentBegan { name }));
        }
        self.calls.push(Call { id: id.to_owned(), tool, starts, within });
    }

    fn ended(&mut self, id: &str, status: ToolCallStatus, heard: &mut Vec<Heard>) {
        let ok = match status {
            ToolCallStatus::Completed => true,
            ToolCallStatus::Failed => false,
            _ => return,
        };
        let Some(call) = self.calls.take(id) else { return };
        if let Some(name) = call.starts {
            heard.push(Heard::signal("tool_call_update", AgentSignal::SubagentEnded { name, ok }));
        }
        if !ok {
            heard.push(Heard::Said(format!("  {} failed", call.tool)));
        }
        let ended = AgentSignal::ToolEnded { tool: call.tool, call_id: Some(call.id), ok };
        heard.push(Heard::signal("tool_call_update", ended));
    }

    /// Takes what Qwen tells of a request to its model, beside what that answered; what stands in a history was counted.
    fn used_beside(&mut self, meta: Option<&Map<String, Value>>, heard: &mut Vec<Heard>) {
        let Some(usage) = meta.and_then(|meta| meta.get("usage")).filter(|_| self.is_open) else { return };
        let used = self.meter.add(usage_in(usage));
        heard.extend(used.map(|what| Heard::signal("agent_message_chunk", what)));
    }

    fn usage(&mut self, usage: &UsageUpdate, heard: &mut Vec<Heard>) {
        let cost = usage.cost.as_ref().filter(|cost| cost.currency.eq_ignore_ascii_case("usd"));
        let more = SessionUsage {
            cost_usd: cost.and_then(|cost| self.meter.cost(cost.amount)),
            context_used: Some(usage.used),
            context_window: Some(usage.size).filter(|size| *size > 0),
            ..SessionUsage::default()
        };
        heard.push(Heard::signal("usage_update", AgentSignal::UsedMore(more)));
    }
}

/// Chooses the option that an answer means; `None` when it is to be answered as cancelled, which denies as well.
///
/// # Errors
/// [`DriverError::Unsupported`] when no option means that.
pub(super) fn chosen(
    options: &[PermissionOption],
    answer: &AskAnswer,
) -> Result<Option<String>, DriverError> {
    let of_kind = |kind: PermissionOptionKind| {
        options.iter().find(|option| option.kind == kind).map(|option| option.option_id.to_string())
    };
    let offered = || options.iter().map(|option| option.option_id.to_string()).collect::<Vec<_>>().join(", ");
    match answer {
        AskAnswer::Allow => of_kind(PermissionOptionKind::AllowOnce).map(Some).ok_or_else(|| {
            let offered = offered();
            let what = format!("the agent has no way to allow this once; answer with an option: {offered}");
            DriverError::Unsupported { what }
        }),
        AskAnswer::Deny { .. } => {
            Ok(of_kind(PermissionOptionKind::RejectOnce)
                .or_else(|| of_kind(PermissionOptionKind::RejectAlways)))
        }
        AskAnswer::Text(id) => {
            let is_offered = options.iter().any(|option| option.option_id.to_string() == *id);
            if is_offered {
                return Ok(Some(id.clone()));
            }
            let what = format!("there is no option `{}`; options: {}", shown(id), offered());
            Err(DriverError::Unsupported { what })
        }
    }
}

fn option_of(option: &PermissionOption) -> AskOption {
    let kind = match option.kind {
        PermissionOptionKind::AllowOnce => AskOptionKind::AllowOnce,
        PermissionOptionKind::AllowAlways => AskOptionKind::AllowAlways,
        PermissionOptionKind::RejectAlways => AskOptionKind::RejectAlways,
        // What a later version adds allows nothing by itself.
        _ => AskOptionKind::RejectOnce,
    };
    AskOption { id: option.option_id.to_string(), name: shown(&option.name), kind }
}

/// Gives a tool's name: its own, the one that Claude Code's adapter tells, or its kind.
fn tool_name(
    name: Option<&str>,
    meta: Option<&Map<String, Value>>,
    kind: Option<&impl Serialize>,
) -> Option<String> {
    let kind = || serde_json::to_value(kind?).ok()?.as_str().map(str::to_owned);
    name.or_else(|| claude_meta(meta, "toolName")).map(str::to_owned).or_else(kind)
}

fn claude_meta<'a>(meta: Option<&'a Map<String, Value>>, key: &str) -> Option<&'a str> {
    meta?.get("claudeCode")?.get(key)?.as_str()
}

/// Gives what a turn used, which agents tell in its answer although the protocol has not settled it; Gemini tells it
/// beside the protocol.
fn turn_usage(answer: &Value) -> SessionUsage {
    if let Some(told) = answer.pointer("/_meta/quota/token_count").filter(|_| answer.get("usage").is_none()) {
        return SessionUsage {
            input_tokens: count_at(told, "/input_tokens"),
            output_tokens: count_at(told, "/output_tokens"),
            ..SessionUsage::default()
        };
    }
    answer.get("usage").map(usage_in).unwrap_or_default()
}

fn usage_in(usage: &Value) -> SessionUsage {
    SessionUsage {
        input_tokens: count_at(usage, "/inputTokens"),
        output_tokens: count_at(usage, "/outputTokens"),
        cache_read_tokens: count_at(usage, "/cachedReadTokens"),
        cache_write_tokens: count_at(usage, "/cachedWriteTokens"),
        ..SessionUsage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(updates: &mut Updates, update: Value) -> Vec<AgentSignal> {
        let update = serde_json::from_value(update).unwrap();
        let heard = updates.read(update);
        heard
            .into_iter()
            .filter_map(|one| match one {
                Heard::Signal { what, .. } => Some(what),
                Heard::Said(_) | Heard::Reply(_) | Heard::TurnOver => None,
            })
            .collect()
    }

    fn open() -> Updates {
        let mut updates = Updates::new(Meter::fresh());
        updates.opened();
        updates.prompted();
        updates
    }

    #[test]
    fn options_are_chosen_by_kind_and_never_by_place() {
        let options = |kinds: &[&str]| -> Vec<PermissionOption> {
            let option = |(at, kind): (usize, &&str)| json!({"optionId": format!("o{at}"), "name": kind, "kind": kind});
            let all: Vec<Value> = kinds.iter().enumerate().map(option).collect();
            serde_json::from_value(Value::from(all)).unwrap()
        };
        let deny = AskAnswer::Deny { reason: "no".to_owned() };
        let text = |id: &str| AskAnswer::Text(id.to_owned());
        let rows = [
            (vec!["allow_always", "allow_once", "reject_once"], AskAnswer::Allow, Ok(Some("o1"))),
            (vec!["allow_once", "allow_once", "reject_once"], AskAnswer::Allow, Ok(Some("o0"))),
            (vec!["allow_always", "reject_once"], AskAnswer::Allow, Err(())),
            (vec!["reject_always", "allow_once", "reject_once"], deny.clone(), Ok(Some("o2"))),
            (vec!["reject_always", "allow_once"], deny.clone(), Ok(Some("o0"))),
            (vec!["allow_once"], deny, Ok(None)),
            (vec!["allow_always", "reject_once"], text("o0"), Ok(Some("o0"))),
            (vec!["allow_always"], text("allow_always"), Err(())),
        ];
        for (kinds, answer, expected) in rows {
            let found = chosen(&options(&kinds), &answer).map_err(drop);
            assert_eq!(found, expected.map(|id| id.map(str::to_owned)), "{kinds:?} {answer:?}");
        }
    }

    #[test]
    fn a_tool_call_has_the_best_name_that_is_told_and_its_subagent() {
        let mut updates = open();
        let task = read(
            &mut updates,
            json!({"sessionUpdate": "tool_call", "toolCallId": "t1", "title": "Look around", "kind": "think",
                   "_meta": {"claudeCode": {"toolName": "Task"}}, "rawInput": {"subagent_type": "Explore"}}),
        );
        let began = |tool: &str, id: &str| AgentSignal::ToolBegan {
            tool: tool.to_owned(),
            call_id: Some(id.to_owned()),
        };
        let explore = "Explore".to_owned();
        assert_eq!(
            task,
            [
                AgentSignal::PromptTaken,
                began("Task", "t1"),
                AgentSignal::SubagentBegan { name: explore.clone() }
            ]
        );
        let inner = json!({"sessionUpdate": "tool_call", "toolCallId": "t2", "title": "ls", "kind": "execute",
                           "_meta": {"claudeCode": {"parentToolUseId": "t1"}}});
        assert_eq!(read(&mut updates, inner), [began("execute", "t2")]);
        let request: RequestPermissionRequest = serde_json::from_value(json!({
            "sessionId": "s", "toolCall": {"toolCallId": "t2", "rawInput": {"command": "ls"}}, "options": [],
        }))
        .unwrap();
        let question = updates.question("p1".to_owned(), &request, Timestamp::from_unix_ms(5));
        assert_eq!((question.text.as_str(), question.tool.as_deref()), ("ls", Some("execute")));
        assert_eq!(question.subagent, Some(explore.clone()));
        assert_eq!(question.input.map(|input| input.to_string()), Some(r#"{"command":"ls"}"#.to_owned()));
        let failed = json!({"sessionUpdate": "tool_call_update", "toolCallId": "t1", "status": "failed"});
        let ended =
            AgentSignal::ToolEnded { tool: "Task".to_owned(), call_id: Some("t1".to_owned()), ok: false };
        assert_eq!(
            read(&mut updates, failed.clone()),
            [AgentSignal::SubagentEnded { name: explore, ok: false }, ended]
        );
        assert_eq!(read(&mut updates, failed), [], "it ends once");
    }

    #[test]
    fn what_an_agent_shows_to_people_is_judged_when_it_tells_no_input() {
        let asked = |call: Value| {
            let request = json!({"sessionId": "s", "toolCall": call, "options": []});
            let request: RequestPermissionRequest = serde_json::from_value(request).unwrap();
            let mut updates = open();
            let known = json!({"sessionUpdate": "tool_call", "toolCallId": "known", "title": "make", "kind": "execute"});
            read(&mut updates, known);
            let question = updates.question("p".to_owned(), &request, Timestamp::from_unix_ms(0));
            let input = question.input.map(|input| serde_json::from_str(&input.to_string()).unwrap());
            (question.tool.unwrap_or_default(), input.unwrap_or(Value::Null))
        };
        let diff = json!([{"type": "diff", "path": "/w/b", "newText": "x"}]);
        for (call, tool, input) in [
            (
                json!({"toolCallId": "1", "title": "rm -rf /", "kind": "execute"}),
                "execute",
                json!({"command": "rm -rf /"}),
            ),
            (
                json!({"toolCallId": "1", "title": "rm -rf /", "kind": "execute", "rawInput": {"why": "it is full"}}),
                "execute",
                json!({"command": "rm -rf /", "why": "it is full"}),
            ),
            (
                json!({"toolCallId": "1", "title": "List", "kind": "execute", "rawInput": {"command": "ls"}}),
                "execute",
                json!({"command": "ls"}),
            ),
            (json!({"toolCallId": "known"}), "execute", json!({"command": "make"})),
            (
                json!({"toolCallId": "1", "title": "a => b", "kind": "edit", "content": diff, "locations": [{"path": "/w/a"}]}),
                "edit",
                json!({"paths": ["/w/a", "/w/b"]}),
            ),
            (json!({"toolCallId": "1", "title": "Think", "kind": "think"}), "think", Value::Null),
        ] {
            assert_eq!(asked(call.clone()), (tool.to_owned(), input), "{call}");
        }
    }

    #[test]
    fn history_and_what_is_unknown_tell_nothing() {
        let mut updates = Updates::new(Meter::fresh());
        let chunk =
            json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "old\n"}});
        let update = serde_json::from_value(chunk.clone()).unwrap();
        assert_eq!(updates.read(update), [Heard::Said("old\n".to_owned())]);
        updates.opened();
        updates.prompted();
        let plan = json!({"sessionUpdate": "plan", "entries": []});
        assert_eq!(read(&mut updates, plan), []);
        assert_eq!(read(&mut updates, chunk.clone()), [AgentSignal::PromptTaken, AgentSignal::Working]);
        assert_eq!(read(&mut updates, chunk), [], "that it works is told once");
    }

    #[test]
    fn a_turn_ends_as_its_answer_says_and_its_usage_is_told() {
        let ended = |answer: Result<Value, &str>| {
            let mut updates = open();
            let heard = updates.answered(answer.as_ref().map_err(|why| *why), Timestamp::from_unix_ms(0));
            let signal = |one: &Heard| match one {
                Heard::Signal { what, .. } => Some(what.clone()),
                Heard::Said(_) | Heard::Reply(_) | Heard::TurnOver => None,
            };
            assert_eq!(heard.last(), Some(&Heard::TurnOver));
            heard.iter().filter_map(signal).skip(1).collect::<Vec<_>>()
        };
        let end =
            |error: Option<&str>| AgentSignal::TurnEnded { text: None, error: error.map(str::to_owned) };
        assert_eq!(ended(Ok(json!({"stopReason": "end_turn"}))), [end(None)]);
        assert_eq!(ended(Ok(json!({"stopReason": "cancelled"}))), [end(None)]);
        assert_eq!(ended(Ok(json!({"stopReason": "refusal"}))), [end(Some("it refused to go on"))]);
        assert_eq!(ended(Err("broken")), [end(Some("broken"))]);
        let spent = AgentSignal::QuotaSpent { until: None, text: "Too Many Requests".to_owned() };
        assert_eq!(ended(Err("Too Many Requests")), [end(Some("Too Many Requests")), spent]);
        let used = SessionUsage { input_tokens: 5, output_tokens: 2, ..SessionUsage::default() };
        let answer = json!({"stopReason": "end_turn", "usage": {"inputTokens": 5, "outputTokens": 2}});
        assert_eq!(ended(Ok(answer)), [AgentSignal::UsedMore(used.clone()), end(None)]);
        let beside = json!({"quota": {"token_count": {"input_tokens": 5, "output_tokens": 2}}});
        let answer = json!({"stopReason": "end_turn", "_meta": beside});
        assert_eq!(ended(Ok(answer)), [AgentSignal::UsedMore(used), end(None)]);
    }

    #[test]
    fn what_a_message_tells_of_its_request_is_counted_once() {
        let chunk = json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": ""},
                           "_meta": {"usage": {"inputTokens": 5, "outputTokens": 2}}});
        let used = SessionUsage { input_tokens: 5, output_tokens: 2, ..SessionUsage::default() };
        let mut updates = Updates::new(Meter::fresh());
        assert_eq!(read(&mut updates, chunk.clone()), [], "its history was counted");
        updates.opened();
        updates.prompted();
        let told = read(&mut updates, chunk);
        assert_eq!(told.last(), Some(&AgentSignal::UsedMore(used.clone())));
        assert_eq!(updates.counted(), &used);
    }

    #[test]
    fn a_cost_that_counts_on_is_told_once() {
        let mut updates = open();
        let mut cost = |amount: f64| {
            let update = json!({"sessionUpdate": "usage_update", "used": 10, "size": 100,
                                "cost": {"amount": amount, "currency": "USD"}});
            match read(&mut updates, update).as_slice() {
                [AgentSignal::UsedMore(more)] => (more.cost_usd, more.context_used, more.context_window),
                other => panic!("unexpected {other:?}"),
            }
        };
        assert_eq!(cost(0.5), (Some(0.5), Some(10), Some(100)));
        assert_eq!(cost(0.5).0, None);
        assert_eq!(cost(0.75).0, Some(0.25));
        assert_eq!(cost(0.125).0, Some(0.125), "a process that counts from nothing again");
    }
}
