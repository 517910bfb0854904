//! Claude Code's print mode with streamed JSON both ways.
//!
//! One JSON object a line. It says `system/init` at the beginning of each turn, `assistant` and `user` messages, one
//! `result` at its end; `control_request` asks, `control_response` answers. Success is read from `is_error` alone: a
//! request that the model's API refused still has the subtype `success`. Its totals count from the beginning of its
//! session, over restarts, see [`Meter`].

use crate::driver::DriverError;
use crate::driver::heard::{
    Call, Calls, Heard, Meter, call_line, count_at, gated, is_quota, minus, quota_until, shown, text_at,
};
use adjutant_model::Timestamp;
use adjutant_model::session::{
    AgentQuestion, AgentSignal, AskAnswer, AskOption, AskOptionKind, SessionUsage, WaitingFor,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};

/// So many requests may wait for an answer at once; more are denied.
const REQUESTS_MAX: usize = 64;

/// So many of the last messages are known, so that one that comes in several pieces counts once.
const MESSAGES_MAX: usize = 64;

/// The tool by which it asks a person.
const QUESTION_TOOL: &str = "AskUserQuestion";

/// The tools that start a subagent.
const SUBAGENT_TOOLS: [&str; 2] = ["Task", "Agent"];

/// What is known of the stream so far.
#[derive(Debug)]
pub(super) struct ClaudeStream {
    meter: Meter,
    /// What was told of the present turn.
    turn: SessionUsage,
    is_taken: bool,
    is_interrupted: bool,
    session: Option<String>,
    model: Option<String>,
    calls: Calls,
    messages: VecDeque<String>,
    requests: BTreeMap<String, Request>,
    quota_until: Option<Timestamp>,
}

/// A request of the agent's that waits.
#[derive(Debug)]
struct Request {
    input: Value,
    /// Its questions with the answers so far; empty for a permission.
    questions: Vec<(String, Option<String>)>,
}

impl ClaudeStream {
    /// Begins to read.
    pub(super) fn new(meter: Meter) -> Self {
        ClaudeStream {
            meter,
            turn: SessionUsage::default(),
            is_taken: true,
            is_interrupted: false,
            session: None,
            model: None,
            calls: Calls::default(),
            messages: VecDeque::new(),
            requests: BTreeMap::new(),
            quota_until: None,
        }
    }

    /// Gives its session, once it said it, and what was told of its usage.
    pub(super) fn counted(&self) -> Option<(&str, &SessionUsage)> {
        Some((self.session.as_deref()?, self.meter.told()))
    }

    /// Gives the message that tells it something; a turn begins.
    pub(super) fn prompt(&mut self, text: &str) -> Value {
        self.is_taken = false;
        self.is_interrupted = false;
        self.turn = SessionUsage::default();
        json!({"type": "user", "message": {"role": "user", "content": text}})
    }

    /// Gives the message that interrupts it.
    pub(super) fn interrupt(&mut self, number: u64) -> Value {
        self.is_interrupted = true;
        json!({
            "type": "control_request",
            "request_id": format!("adjutant-{number}"),
            "request": {"subtype": "interrupt"},
        })
    }

    /// Reads a message.
    pub(super) fn read(&mut self, message: &Value, now: Timestamp) -> Vec<Heard> {
        let kind = text_at(message, "/type").unwrap_or_default();
        let mut heard = Vec::new();
        match kind {
            "system" => self.system(message, &mut heard),
            "user" => self.user(message, &mut heard),
            "assistant" => self.assistant(message, &mut heard),
            "result" => self.result(message, now, &mut heard),
            "control_request" => self.request(message, now, &mut heard),
            "control_cancel_request" => self.withdrawn(message, &mut heard),
            "rate_limit_event" => self.rate_limit(message),
            // Others come and go with versions, and nothing depends on them.
            _ => {}
        }
        heard
    }

    /// Answers what it asked; `None` when the request has questions that nobody has answered yet.
    pub(super) fn answer(&mut self, ask_id: &str, answer: AskAnswer) -> Result<Option<Value>, DriverError> {
        let (request_id, place) = match ask_id.rsplit_once('#') {
            Some((request, place)) => (request, place.parse::<usize>().ok()),
            None => (ask_id, None),
        };
        let unknown = || DriverError::Unsupported { what: format!("nothing is asked under `{ask_id}`") };
        let request = self.requests.get_mut(request_id).ok_or_else(unknown)?;
        let response = match (place, answer) {
            (_, AskAnswer::Deny { reason }) => denied(&reason),
            (None, AskAnswer::Allow) => allowed(request.input.clone()),
            (None, AskAnswer::Text(text)) => match text.as_str() {
                "allow" => allowed(request.input.clone()),
                "deny" => denied("a person denied it"),
                _ => {
                    let what = "a permission is allowed or denied, it has no answer in words".to_owned();
                    return Err(DriverError::Unsupported { what });
                }
            },
            (Some(_), AskAnswer::Allow) => {
                let what = "a question needs an answer in words, or one of its options".to_owned();
                return Err(DriverError::Unsupported { what });
            }
            (Some(place), AskAnswer::Text(text)) => {
                let (_, answer) = request.questions.get_mut(place).ok_or_else(unknown)?;
                *answer = Some(text);
                let Some(input) = answered(request) else { return Ok(None) };
                allowed(input)
            }
        };
        self.requests.remove(request_id);
        Ok(Some(success(request_id, response)))
    }

    fn system(&mut self, message: &Value, heard: &mut Vec<Heard>) {
        match text_at(message, "/subtype") {
            Some("init") => self.began(message, heard),
            Some("api_retry") => {
                let why = text_at(message, "/error").unwrap_or("an error");
                let attempt = count_at(message, "/attempt");
                heard.push(Heard::signal(
                    format!("api_retry {attempt}: {}", shown(why)),
                    AgentSignal::Working,
                ));
            }
            Some(_) | None => {}
        }
    }

    fn began(&mut self, message: &Value, heard: &mut Vec<Heard>) {
        let text = |pointer| text_at(message, pointer).map(str::to_owned);
        let (session, model) = (text("/session_id"), text("/model"));
        if (&self.session, &self.model) != (&session, &model) {
            (self.session, self.model) = (session.clone(), model.clone());
            let began = AgentSignal::Began { agent_session: session, model, transcript: None };
            heard.push(Heard::signal("init", began));
        }
    }

    /// Notes that the prompt has arrived, once.
    fn taken(&mut self, evidence: &str, heard: &mut Vec<Heard>) {
        if !self.is_taken {
            self.is_taken = true;
            heard.push(Heard::signal(evidence, AgentSignal::PromptTaken));
        }
    }

    fn user(&mut self, message: &Value, heard: &mut Vec<Heard>) {
        if message.get("isReplay") == Some(&Value::Bool(true)) {
            return self.taken("its prompt came back", heard);
        }
        let blocks = message.pointer("/message/content").and_then(Value::as_array);
        for block in blocks.into_iter().flatten() {
            if text_at(block, "/type") != Some("tool_result") {
                continue;
            }
            let Some(call) = text_at(block, "/tool_use_id").and_then(|id| self.calls.take(id)) else {
                continue;
            };
            let ok = block.get("is_error") != Some(&Value::Bool(true));
            let evidence = within("tool_result", &call);
            if let Some(name) = call.starts.clone() {
                heard.push(Heard::signal(evidence.clone(), AgentSignal::SubagentEnded { name, ok }));
            }
            if !ok {
                heard.push(Heard::Said(format!("  {} failed: {}", call.tool, shown(&said_in(block)))));
            }
            let ended = AgentSignal::ToolEnded { tool: call.tool, call_id: Some(call.id), ok };
            heard.push(Heard::signal(evidence, ended));
        }
    }

    fn assistant(&mut self, message: &Value, heard: &mut Vec<Heard>) {
        self.taken("assistant", heard);
        let parent = text_at(message, "/parent_tool_use_id").map(str::to_owned);
        let within_name = parent.as_deref().map(|parent| {
            let name = self.calls.find(parent).and_then(|call| call.starts.clone());
            name.unwrap_or_else(|| "subagent".to_owned())
        });
        let blocks = message.pointer("/message/content").and_then(Value::as_array);
        for block in blocks.into_iter().flatten() {
            match text_at(block, "/type") {
                Some("text") => {
                    let text = text_at(block, "/text").unwrap_or_default();
                    let prefix = within_name.as_ref().map(|name| format!("[{name}] ")).unwrap_or_default();
                    heard.push(Heard::Said(format!("{prefix}{text}")));
                }
                Some("tool_use") => self.tool_use(block, within_name.as_deref(), heard),
                Some(_) | None => {}
            }
        }
        self.used(message, parent.is_none(), heard);
        if !heard.iter().any(|one| matches!(one, Heard::Signal { what: AgentSignal::ToolBegan { .. }, .. })) {
            heard.push(Heard::signal("assistant", AgentSignal::Working));
        }
    }

    fn tool_use(&mut self, block: &Value, within_name: Option<&str>, heard: &mut Vec<Heard>) {
        let tool = text_at(block, "/name").unwrap_or("unnamed").to_owned();
        let id = text_at(block, "/id").unwrap_or_default().to_owned();
        let input = block.get("input").unwrap_or(&Value::Null);
        let is_subagent = SUBAGENT_TOOLS.contains(&tool.as_str());
        let starts = is_subagent.then(|| {
            let name = text_at(input, "/subagent_type").or_else(|| text_at(input, "/description"));
            shown(name.unwrap_or("subagent"))
        });
        let call =
            Call { id: id.clone(), tool: tool.clone(), starts, within: within_name.map(str::to_owned) };
        let evidence = within("tool_use", &call);
        let prefix = within_name.map(|name| format!("[{name}] ")).unwrap_or_default();
        heard.push(Heard::Said(format!("{prefix}> {}", call_line(&tool, input))));
        heard.push(Heard::signal(evidence.clone(), AgentSignal::ToolBegan { tool, call_id: Some(id) }));
        if let Some(name) = call.starts.clone() {
            heard.push(Heard::signal(evidence, AgentSignal::SubagentBegan { name }));
        }
        self.calls.push(call);
    }

    /// Counts a message, once however many pieces it comes in.
    fn used(&mut self, message: &Value, is_main: bool, heard: &mut Vec<Heard>) {
        let Some(id) = text_at(message, "/message/id") else { return };
        if message.pointer("/message/usage").is_none() || self.messages.iter().any(|known| known == id) {
            return;
        }
        if self.messages.len() == MESSAGES_MAX {
            self.messages.pop_front();
        }
        self.messages.push_back(id.to_owned());
        let count = |name: &str| count_at(message, &format!("/message/usage/{name}"));
        let mut more = SessionUsage {
            input_tokens: count("input_tokens"),
            output_tokens: count("output_tokens"),
            cache_read_tokens: count("cache_read_input_tokens"),
            cache_write_tokens: count("cache_creation_input_tokens"),
            ..SessionUsage::default()
        };
        let read = more.input_tokens + more.cache_read_tokens + more.cache_write_tokens;
        if is_main && read > 0 {
            more.context_used = Some(read + more.output_tokens);
        }
        self.turn = self.turn.plus(&more);
        let told = self.meter.add(more);
        heard.extend(told.map(|what| Heard::signal("usage", what)));
    }

    fn result(&mut self, message: &Value, now: Timestamp, heard: &mut Vec<Heard>) {
        self.taken("result", heard);
        let turn = SessionUsage {
            input_tokens: count_at(message, "/usage/input_tokens"),
            output_tokens: count_at(message, "/usage/output_tokens"),
            cache_read_tokens: count_at(message, "/usage/cache_read_input_tokens"),
            cache_write_tokens: count_at(message, "/usage/cache_creation_input_tokens"),
            ..SessionUsage::default()
        };
        let used = match totals(message) {
            Some(total) => self.meter.total(total, &turn),
            None => {
                let cost_usd = message.get("total_cost_usd").and_then(Value::as_f64);
                let total = SessionUsage { cost_usd, ..self.meter.told().plus(&minus(&turn, &self.turn)) };
                self.meter.total(total, &turn)
            }
        };
        heard.extend(used.map(|what| Heard::signal("result", what)));
        self.settle_all(heard);
        let said = text_at(message, "/result").filter(|text| !text.trim().is_empty()).map(shown);
        let is_error = message.get("is_error") == Some(&Value::Bool(true));
        let error = (is_error && !self.is_interrupted).then(|| {
            let subtype = || text_at(message, "/subtype").map(str::to_owned);
            said.clone().or_else(|| text_at(message, "/errors/0").map(shown)).or_else(subtype)
        });
        let error = error.map(|why| why.unwrap_or_else(|| "no reason given".to_owned()));
        let evidence = if self.is_interrupted { "result, interrupted" } else { "result" };
        let text = said.filter(|_| !is_error);
        heard.push(Heard::signal(evidence, AgentSignal::TurnEnded { text, error: error.clone() }));
        let status = count_at(message, "/api_error_status");
        if let Some(text) = error.filter(|text| status == 429 || is_quota(text)) {
            let until = self.quota_until.take().or_else(|| quota_until(&text, now));
            heard.push(Heard::Said(text.clone()));
            heard.push(Heard::signal("result", AgentSignal::QuotaSpent { until, text }));
        }
        heard.push(Heard::TurnOver);
    }

    /// A turn that is over leaves no question open.
    fn settle_all(&mut self, heard: &mut Vec<Heard>) {
        if !std::mem::take(&mut self.requests).is_empty() {
            heard.push(Heard::signal("result", AgentSignal::AskSettled { ask_id: None }));
        }
    }

    fn rate_limit(&mut self, message: &Value) {
        let info = message.get("rate_limit_info").unwrap_or(message);
        if text_at(info, "/status") == Some("rejected") {
            let seconds = info.get("resetsAt").and_then(Value::as_i64);
            self.quota_until = seconds.map(|seconds| Timestamp::from_unix_ms(seconds.saturating_mul(1000)));
        }
    }

    fn request(&mut self, message: &Value, now: Timestamp, heard: &mut Vec<Heard>) {
        let Some(id) = text_at(message, "/request_id").map(str::to_owned) else { return };
        if text_at(message, "/request/subtype") != Some("can_use_tool") {
            let response = json!({
                "subtype": "error",
                "request_id": id,
                "error": "this host does not answer such requests",
            });
            return heard.push(Heard::Reply(json!({"type": "control_response", "response": response})));
        }
        if self.requests.len() >= REQUESTS_MAX {
            let reason = format!("{REQUESTS_MAX} requests wait for a person already");
            return heard.push(Heard::Reply(success(&id, denied(&reason))));
        }
        let request = message.get("request").unwrap_or(&Value::Null);
        let tool = text_at(request, "/tool_name").unwrap_or("unnamed");
        let input = request.get("input").cloned().unwrap_or_else(|| json!({}));
        let call = text_at(request, "/tool_use_id").and_then(|id| self.calls.find(id));
        let asker =
            Asker { id: &id, tool, subagent: call.and_then(|call| call.within.clone()), asked_at: now };
        let questions = if tool == QUESTION_TOOL { asker.questions(&input) } else { Vec::new() };
        let texts = questions.iter().map(|question| (question.text.clone(), None)).collect();
        let asked = if questions.is_empty() { vec![asker.permission(&input)] } else { questions };
        for question in asked {
            heard.push(Heard::Said(format!("? {}", question.text)));
            heard.push(Heard::signal("can_use_tool", AgentSignal::Asked(question)));
        }
        self.requests.insert(id, Request { input, questions: texts });
    }

    fn withdrawn(&mut self, message: &Value, heard: &mut Vec<Heard>) {
        let Some(id) = text_at(message, "/request_id") else { return };
        let Some(request) = self.requests.remove(id) else { return };
        for ask_id in ask_ids(id, request.questions.len()) {
            let settled = AgentSignal::AskSettled { ask_id: Some(ask_id) };
            heard.push(Heard::signal("control_cancel_request", settled));
        }
    }
}

/// Who asks, and under which request.
struct Asker<'a> {
    id: &'a str,
    tool: &'a str,
    subagent: Option<String>,
    asked_at: Timestamp,
}

impl Asker<'_> {
    fn permission(&self, input: &Value) -> AgentQuestion {
        let option =
            |id: &str, name: &str, kind| AskOption { id: id.to_owned(), name: name.to_owned(), kind };
        AgentQuestion {
            ask_id: self.id.to_owned(),
            what: WaitingFor::Permission,
            text: call_line(self.tool, input),
            tool: Some(self.tool.to_owned()),
            input: gated(input),
            options: vec![
                option("allow", "allow", AskOptionKind::AllowOnce),
                option("deny", "deny", AskOptionKind::RejectOnce),
            ],
            subagent: self.subagent.clone(),
            asked_at: self.asked_at,
        }
    }

    /// Each question of one request is asked by itself; the request is answered when all of them are.
    fn questions(&self, input: &Value) -> Vec<AgentQuestion> {
        let list = input.get("questions").and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(|question| {
            let label = |option: &Value| {
                let name = text_at(option, "/label")?;
                Some(AskOption { id: name.to_owned(), name: shown(name), kind: AskOptionKind::Answer })
            };
            let options = question.get("options").and_then(Value::as_array);
            let options = options.into_iter().flatten().filter_map(label).collect();
            Some((text_at(question, "/question")?.to_owned(), options))
        });
        let texts: Vec<(String, Vec<AskOption>)> = texts.collect();
        let ids = ask_ids(self.id, texts.len());
        let question = |((text, options), ask_id)| AgentQuestion {
            ask_id,
            what: WaitingFor::Question,
            text,
            tool: Some(self.tool.to_owned()),
            input: None,
            options,
            subagent: self.subagent.clone(),
            asked_at: self.asked_at,
        };
        texts.into_iter().zip(ids).map(question).collect()
    }
}

/// Gives the ids under which a request asks: its own for a permission, one for each question.
fn ask_ids(request_id: &str, questions: usize) -> Vec<String> {
    if questions == 0 {
        return vec![request_id.to_owned()];
    }
    (0..questions).map(|place| format!("{request_id}#{place}")).collect()
}

/// Gives the input with its answers; `None` while one is missing.
fn answered(request: &Request) -> Option<Value> {
    let mut answers = Map::new();
    for (question, answer) in &request.questions {
        answers.insert(question.clone(), Value::from(answer.clone()?));
    }
    let mut input = request.input.clone();
    input.as_object_mut()?.insert("answers".to_owned(), Value::Object(answers));
    Some(input)
}

fn allowed(input: Value) -> Value {
    json!({"behavior": "allow", "updatedInput": input})
}

fn denied(reason: &str) -> Value {
    json!({"behavior": "deny", "message": reason})
}

fn success(request_id: &str, response: Value) -> Value {
    json!({
        "type": "control_response",
        "response": {"subtype": "success", "request_id": request_id, "response": response},
    })
}

/// Adds up what all models used since the session began; `None` of a version that does not say.
fn totals(message: &Value) -> Option<SessionUsage> {
    let models = message.get("modelUsage")?.as_object().filter(|models| !models.is_empty())?;
    let mut total = SessionUsage::default();
    for used in models.values() {
        total = total.plus(&SessionUsage {
            input_tokens: count_at(used, "/inputTokens"),
            output_tokens: count_at(used, "/outputTokens"),
            cache_read_tokens: count_at(used, "/cacheReadInputTokens"),
            cache_write_tokens: count_at(used, "/cacheCreationInputTokens"),
            ..SessionUsage::default()
        });
    }
    // The model that read most is the one whose window fills.
    let main = models
        .values()
        .max_by_key(|used| count_at(used, "/inputTokens") + count_at(used, "/cacheReadInputTokens"));
    total.context_window = main.map(|used| count_at(used, "/contextWindow")).filter(|window| *window > 0);
    total.cost_usd = message.get("total_cost_usd").and_then(Value::as_f64);
    Some(total)
}

/// Says what told of a call, and of which subagent it is.
fn within(evidence: &str, call: &Call) -> String {
    match &call.within {
        Some(name) => format!("{evidence} of {name}"),
        None => evidence.to_owned(),
    }
}

/// Gives the words of a tool's result.
fn said_in(block: &Value) -> String {
    match block.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|part| text_at(part, "/text")).collect::<Vec<_>>().join("\n")
        }
        Some(_) | None => String::new(),
    }
}
