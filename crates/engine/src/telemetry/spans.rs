//! Spans, made of what the store keeps.
//!
//! Every id follows from what the span is about, so another daemon gives the same span the same id, and a run that
//! outlives its daemon stays one trace. Without a setting nothing of what was said, given or done is in a span: names,
//! states, times and counts alone.

mod clients;
#[cfg(test)]
mod tests;

pub(super) use clients::{of_client_run, of_client_turn};

use adjutant_model::client_run::ClientRun;
use adjutant_model::run::{ErrorClass, RunRecord, RunStatus, TurnKind, TurnRecord, TurnStatus, Usage};
use adjutant_model::session::Session;
use adjutant_model::{RunId, SessionId, Timestamp, Value};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What was given or came out is cut to so many bytes.
const CONTENT_BYTES_MAX: usize = 4096;

/// Whether spans have what was given and what came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Told,
    Withheld,
}

/// The work that a trace is of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Work<'a> {
    Run(&'a RunId),
    /// A run that an outside client drives.
    ClientRun(&'a ClientRun),
    /// A session that does no run's step.
    Session(SessionId),
}

impl Work<'_> {
    fn named(self) -> String {
        match self {
            Work::Run(id) => format!("run {id}"),
            // Its id may be a key that a client has chosen, and chooses again when the run was forgotten.
            Work::ClientRun(run) => format!("client run {} of {}", run.id, run.started_at.unix_ms()),
            Work::Session(id) => format!("session {id}"),
        }
    }

    fn trace(self) -> TraceId {
        let digest = Sha256::digest(format!("trace of {}", self.named()));
        TraceId::from_bytes(digest[..16].try_into().expect("a digest is longer"))
    }

    /// Gives the id of one of its spans; what is named `root` is above all others.
    fn span(self, what: &str) -> SpanId {
        let digest = Sha256::digest(format!("{what} of {}", self.named()));
        SpanId::from_bytes(digest[..8].try_into().expect("a digest is longer"))
    }

    fn root(self) -> SpanId {
        self.span("root")
    }

    fn turn(self, index: u64) -> SpanId {
        self.span(&format!("turn {index}"))
    }
}

/// Makes the span of a run that is over.
pub(super) fn of_run(run: &RunRecord, ended_at: Timestamp) -> SpanData {
    let work = Work::Run(&run.id);
    let mut attributes = vec![
        KeyValue::new("adjutant.run.id", run.id.to_string()),
        KeyValue::new("adjutant.run.status", run.status.as_str()),
        KeyValue::new("adjutant.task.id", run.task_id.to_string()),
        KeyValue::new("adjutant.blueprint.id", run.blueprint_id.clone()),
        KeyValue::new("adjutant.blueprint.version", run.blueprint_hash.clone()),
        KeyValue::new("gen_ai.workflow.name", run.blueprint_id.clone()),
        KeyValue::new("gen_ai.operation.name", "invoke_workflow"),
    ];
    attributes.extend(run.goal_id.as_ref().map(|goal| KeyValue::new("adjutant.goal.id", goal.to_string())));
    let status = match run.status {
        RunStatus::Done => Status::Ok,
        RunStatus::Failed | RunStatus::Incomplete => {
            let code = run.error.as_ref().map_or("incomplete", |error| error.code.as_str());
            attributes.push(KeyValue::new("error.type", code));
            Status::error("")
        }
        RunStatus::Cancelled
        | RunStatus::Pending
        | RunStatus::Running
        | RunStatus::Waiting
        | RunStatus::Interrupted => Status::Unset,
    };
    let name = format!("invoke_workflow {}", run.blueprint_id);
    let times = (run.created_at, run.ended_at.unwrap_or(ended_at));
    span((work, work.root(), SpanId::INVALID), name, times, attributes, status)
}

/// A turn of a run that has settled, and what else is known of it.
#[derive(Debug)]
pub(super) struct SettledTurn<'a> {
    pub(super) run_id: &'a RunId,
    pub(super) turn: &'a TurnRecord,
    /// The turn of the step that a tool call belongs to.
    pub(super) step: Option<u64>,
    /// The kind of the agent whose step it is, when the run's blueprint says so.
    pub(super) kind: Option<&'a str>,
    pub(super) content: Content,
}

/// Makes the span of a turn.
pub(super) fn of_turn(settled: &SettledTurn<'_>, settled_at: Timestamp) -> SpanData {
    let SettledTurn { run_id, turn, step, kind, content } = settled;
    let work = Work::Run(run_id);
    let mut attributes = vec![
        KeyValue::new("adjutant.run.id", run_id.to_string()),
        KeyValue::new("adjutant.step.path", turn.path.as_str().to_owned()),
        KeyValue::new("adjutant.step.attempt", i64::from(turn.attempt)),
        KeyValue::new("adjutant.turn.index", i64::try_from(turn.index).unwrap_or(i64::MAX)),
        KeyValue::new("adjutant.turn.status", turn.status.as_str()),
    ];
    let (name, parent) = match turn.kind {
        TurnKind::Step => (step_named(turn, *kind, &mut attributes), work.root()),
        TurnKind::Tool => {
            attributes.push(KeyValue::new("gen_ai.operation.name", "execute_tool"));
            attributes.push(KeyValue::new("gen_ai.tool.name", turn.name.clone()));
            let parent = step.map_or(work.root(), |step| work.turn(step));
            (format!("execute_tool {}", turn.name), parent)
        }
    };
    if *content == Content::Told {
        attributes.extend(contents(turn));
    }
    let status = match turn.status {
        TurnStatus::Succeeded | TurnStatus::Skipped => Status::Ok,
        TurnStatus::Started | TurnStatus::Cancelled => Status::Unset,
        TurnStatus::Failed | TurnStatus::Rejected => {
            let class = turn.error.as_ref().map_or(turn.status.as_str(), |error| class(error.class));
            attributes.push(KeyValue::new("error.type", class));
            let message = turn.error.as_ref().filter(|_| *content == Content::Told);
            Status::error(message.map_or_else(String::new, |error| cut(&error.message)))
        }
    };
    let times = (turn.started_at, turn.ended_at.unwrap_or(settled_at));
    span((work, work.turn(turn.index), parent), name, times, attributes, status)
}

/// Adds what is known of a step's agent; gives the span's name.
fn step_named(turn: &TurnRecord, kind: Option<&str>, attributes: &mut Vec<KeyValue>) -> String {
    attributes.extend(kind.map(|kind| KeyValue::new("adjutant.agent.kind", kind.to_owned())));
    let session = turn.output.as_ref().and_then(|output| output.get("session_id")).and_then(Value::as_str);
    let is_agent =
        turn.usage.is_some() || matches!(kind, Some("session" | "command" | "subprocess" | "operator"));
    if !is_agent {
        return format!("step {}", turn.name);
    }
    attributes.push(KeyValue::new("gen_ai.operation.name", "invoke_agent"));
    attributes.push(KeyValue::new("gen_ai.agent.name", turn.name.clone()));
    attributes.extend(
        session
            .filter(|_| kind == Some("session"))
            .map(|id| KeyValue::new("gen_ai.conversation.id", id.to_owned())),
    );
    attributes.extend(turn.usage.iter().flat_map(usage));
    format!("invoke_agent {}", turn.name)
}

fn usage(used: &Usage) -> Vec<KeyValue> {
    let count = |name: &'static str, tokens: Option<u64>| {
        tokens.map(|tokens| KeyValue::new(name, i64::try_from(tokens).unwrap_or(i64::MAX)))
    };
    let model = used.model.as_ref();
    let known = [
        model.map(|model| KeyValue::new("gen_ai.response.model", model.clone())),
        model.and_then(|model| provider(model)).map(|name| KeyValue::new("gen_ai.provider.name", name)),
        count("gen_ai.usage.input_tokens", used.input_tokens),
        count("gen_ai.usage.output_tokens", used.output_tokens),
        used.cost_usd.map(|usd| KeyValue::new("adjutant.usage.cost_usd", usd)),
    ];
    known.into_iter().flatten().collect()
}

/// Gives whose a model is, by the names that the conventions have.
fn provider(model: &str) -> Option<&'static str> {
    let names = [("claude", "anthropic"), ("gpt-", "openai"), ("codex", "openai"), ("gemini", "gcp.gemini")];
    names.into_iter().find(|(part, _)| model.contains(part)).map(|(_, name)| name)
}

fn contents(turn: &TurnRecord) -> Vec<KeyValue> {
    let (given, came_out) = match turn.kind {
        TurnKind::Step => ("adjutant.step.input", "adjutant.step.output"),
        TurnKind::Tool => ("gen_ai.tool.call.arguments", "gen_ai.tool.call.result"),
    };
    let text = |value: &Value| cut(&serde_json::Value::from(value).to_string());
    let given = KeyValue::new(given, text(&turn.parameters));
    let came_out = turn.output.as_ref().map(|output| KeyValue::new(came_out, text(output)));
    std::iter::once(given).chain(came_out).collect()
}

/// What an agent of a session did between two rests, or between its start and its end.
#[derive(Debug)]
pub(super) struct Stretch<'a> {
    pub(super) session: &'a Session,
    /// The step's turn in its run, for a session that does one.
    pub(super) step: Option<u64>,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    /// The place of the journal's row that ended it, by which it is known.
    pub(super) seq: i64,
}

/// Makes the span of a turn that a session's agent took.
pub(super) fn of_session_turn(stretch: &Stretch<'_>) -> SpanData {
    let Stretch { session, step, from, to, seq } = stretch;
    let work = session.run_id.as_ref().map_or(Work::Session(session.id), Work::Run);
    let parent = match (&session.run_id, step) {
        (Some(_), Some(step)) => work.turn(*step),
        (Some(_), None) => work.root(),
        (None, _) => work.span(&format!("launch {}", session.launches)),
    };
    let id = work.span(&format!("session {} until {seq}", session.id));
    let mut attributes = of_agent(session);
    attributes.push(KeyValue::new("gen_ai.operation.name", "chat"));
    let model = session.model_used.as_deref().or(session.model.as_deref());
    let name = model.map_or_else(|| "chat".to_owned(), |model| format!("chat {model}"));
    span((work, id, parent), name, (*from, *to), attributes, Status::Ok)
}

/// Makes the span of one start of an agent that does no run's step; each is the top of what was done in it.
pub(super) fn of_launch(stretch: &Stretch<'_>, launch: u32) -> SpanData {
    let Stretch { session, from, to, .. } = stretch;
    let work = Work::Session(session.id);
    let mut attributes = of_agent(session);
    attributes.push(KeyValue::new("gen_ai.operation.name", "invoke_agent"));
    attributes.push(KeyValue::new("adjutant.session.launch", i64::from(launch)));
    let name = format!("invoke_agent {}", session.agent);
    let id = work.span(&format!("launch {launch}"));
    span((work, id, SpanId::INVALID), name, (*from, *to), attributes, Status::Unset)
}

fn of_agent(session: &Session) -> Vec<KeyValue> {
    let model = session.model_used.as_ref().or(session.model.as_ref());
    let known = [
        Some(KeyValue::new("adjutant.session.id", session.id.to_string())),
        Some(KeyValue::new("gen_ai.conversation.id", session.id.to_string())),
        Some(KeyValue::new("gen_ai.agent.name", session.agent.clone())),
        model.map(|model| KeyValue::new("gen_ai.response.model", model.clone())),
        model.and_then(|model| provider(model)).map(|name| KeyValue::new("gen_ai.provider.name", name)),
    ];
    known.into_iter().flatten().collect()
}

fn span(
    (work, id, parent): (Work<'_>, SpanId, SpanId),
    name: String,
    (from, to): (Timestamp, Timestamp),
    attributes: Vec<KeyValue>,
    status: Status,
) -> SpanData {
    let context = SpanContext::new(work.trace(), id, TraceFlags::SAMPLED, false, TraceState::NONE);
    SpanData {
        span_context: context,
        parent_span_id: parent,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time: instant(from),
        end_time: instant(to.max(from)),
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status,
        instrumentation_scope: InstrumentationScope::builder("adjutant").build(),
    }
}

fn instant(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at.unix_ms()).unwrap_or(0))
}

fn class(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Retry => "retry",
        ErrorClass::User => "user",
        ErrorClass::Gone => "gone",
        ErrorClass::Bug => "bug",
    }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(CONTENT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
