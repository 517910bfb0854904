//! Spans of runs that outside clients drive, and of their turns.
//!
//! What a client calls its agent, its tools and its actions are words of its own, so a secret among them is taken out
//! here: it is not when they are written.

use super::{Content, Work, cut, span, usage};
use crate::record;
use adjutant_model::client_run::{ClientRun, ClientTurn};
use adjutant_model::proposal::{ActionType, CliOutcome, VerifierVerdict};
use adjutant_model::run::{RunStatus, TurnStatus, Usage};
use adjutant_model::{Timestamp, Value};
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanId, Status};
use opentelemetry_sdk::trace::SpanData;

/// Makes the span of a run that is over, for the reason that was told.
pub(in crate::telemetry) fn of_client_run(
    run: &ClientRun,
    (reason, content): (Option<&str>, Content),
    ended_at: Timestamp,
) -> SpanData {
    let work = Work::ClientRun(run);
    let agent = name(&run.agent_id);
    let mut attributes = vec![
        KeyValue::new("adjutant.run.id", name(&run.id)),
        KeyValue::new("adjutant.run.status", run.status.as_str()),
        KeyValue::new("adjutant.run.turns", count(run.turns)),
        KeyValue::new("gen_ai.operation.name", "invoke_agent"),
        KeyValue::new("gen_ai.agent.id", agent.clone()),
        KeyValue::new("gen_ai.agent.name", agent.clone()),
    ];
    if content == Content::Told {
        let told = [
            ("adjutant.run.intent", Some(record::text(&run.intent))),
            ("adjutant.run.outcome_description", run.outcome_description.as_deref().map(record::text)),
            ("adjutant.run.outcome", run.outcome.as_ref().map(json)),
            ("adjutant.run.reason", reason.map(record::text)),
        ];
        attributes.extend(told.into_iter().filter_map(|(key, text)| Some(KeyValue::new(key, cut(&text?)))));
    }
    let status = match run.status {
        RunStatus::Done => Status::Ok,
        RunStatus::Failed | RunStatus::Incomplete | RunStatus::Cancelled => {
            let word = word_of_end(run);
            attributes.push(KeyValue::new("error.type", word.clone()));
            Status::error(word)
        }
        RunStatus::Pending | RunStatus::Running | RunStatus::Waiting | RunStatus::Interrupted => {
            Status::Unset
        }
    };
    let times = (run.started_at, run.ended_at.unwrap_or(ended_at));
    span((work, work.root(), SpanId::INVALID), format!("invoke_agent {agent}"), times, attributes, status)
}

/// Gives how a run failed in the word that its client has chosen of those that there are, else how it ended.
fn word_of_end(run: &ClientRun) -> String {
    let chosen = run.outcome.as_ref().and_then(|outcome| outcome.get("status")?.as_str());
    chosen.filter(|_| run.status == RunStatus::Failed).map_or_else(|| run.status.as_str().to_owned(), name)
}

/// Makes the span of a turn that has settled.
pub(in crate::telemetry) fn of_client_turn(run: &ClientRun, turn: &ClientTurn, content: Content) -> SpanData {
    let work = Work::ClientRun(run);
    let mut attributes = vec![
        KeyValue::new("adjutant.run.id", name(&run.id)),
        KeyValue::new("adjutant.turn.index", count(turn.index)),
        KeyValue::new("adjutant.turn.status", turn.status.as_str()),
        KeyValue::new("adjutant.turn.attempt", i64::from(turn.attempt)),
    ];
    let label = |key, text: &Option<_>| text.as_deref().map(|text| KeyValue::new(key, name(text)));
    attributes.extend(label("adjutant.proposal.id", &turn.proposal_id));
    attributes.extend(label("adjutant.action.id", &turn.action_id));
    let what = Doing::of(turn);
    let named = what.named(turn, &mut attributes);
    attributes.extend(outcome(turn));
    if content == Content::Told {
        attributes.extend(contents(turn, &what));
    }
    let status = match turn.status {
        TurnStatus::Succeeded | TurnStatus::Skipped => Status::Ok,
        TurnStatus::Started | TurnStatus::Cancelled => Status::Unset,
        TurnStatus::Failed | TurnStatus::Rejected => {
            attributes.push(KeyValue::new("error.type", turn.status.as_str()));
            let message = turn.error.as_deref().filter(|_| content == Content::Told);
            Status::error(message.map_or_else(String::new, cut))
        }
    };
    let times = (turn.started_at, turn.ended_at.unwrap_or(turn.started_at));
    span((work, work.turn(turn.index), work.root()), named, times, attributes, status)
}

/// What a turn was.
enum Doing {
    /// A call of this tool.
    Tool(String),
    /// Something with the run's state.
    State(ActionType),
    /// What a client tells of without a tool, or what never began.
    Said,
}

impl Doing {
    /// Looks what a turn was; what calls no tool is recorded under its kind.
    fn of(turn: &ClientTurn) -> Self {
        let Some(tool) = turn.tool.as_deref().filter(|tool| !tool.is_empty()) else { return Doing::Said };
        match ActionType::parse(tool) {
            Some(kind @ (ActionType::StateWrite | ActionType::StateRead | ActionType::Assertion)) => {
                Doing::State(kind)
            }
            Some(ActionType::ToolCall) | None => Doing::Tool(name(tool)),
        }
    }

    /// Adds what is known of it; gives the span's name.
    fn named(&self, turn: &ClientTurn, attributes: &mut Vec<KeyValue>) -> String {
        match self {
            Doing::Tool(tool) => {
                attributes.push(KeyValue::new("gen_ai.operation.name", "execute_tool"));
                attributes.push(KeyValue::new("gen_ai.tool.name", tool.clone()));
                let id = turn.action_id.as_deref().map(name);
                attributes.extend(id.map(|id| KeyValue::new("gen_ai.tool.call.id", id)));
                format!("execute_tool {tool}")
            }
            Doing::State(kind) => {
                attributes.push(KeyValue::new("adjutant.action.type", kind.as_str()));
                kind.as_str().to_owned()
            }
            Doing::Said => "turn".to_owned(),
        }
    }
}

/// Gives how the program ended that a tool drove, what its agent used, and what a verifier said.
fn outcome(turn: &ClientTurn) -> Vec<KeyValue> {
    let mut known = Vec::new();
    if let Some(outcome) = turn.cli_outcome {
        let word = match outcome {
            CliOutcome::Exited { code } => {
                known.push(KeyValue::new("process.exit.code", code));
                "exited"
            }
            CliOutcome::Killed => "killed",
            CliOutcome::Timeout => "timeout",
        };
        known.push(KeyValue::new("adjutant.cli.outcome", word));
        known.extend(used(turn).iter().flat_map(usage));
    }
    match turn.verifier_verdict {
        VerifierVerdict::Pass => known.push(KeyValue::new("adjutant.verdict", "pass")),
        VerifierVerdict::Fail => known.push(KeyValue::new("adjutant.verdict", "fail")),
        VerifierVerdict::NotRun => {}
    }
    known
}

/// Reads what an agent used, where the tool that drove it told that.
fn used(turn: &ClientTurn) -> Option<Usage> {
    let told = turn.output.as_ref()?.get("usage")?;
    let used: Usage = serde_json::from_value(told.into()).ok()?;
    Some(Usage { model: used.model.as_deref().map(name), ..used })
}

fn contents(turn: &ClientTurn, what: &Doing) -> Vec<KeyValue> {
    let (given, came_out) = match what {
        Doing::Tool(_) => ("gen_ai.tool.call.arguments", "gen_ai.tool.call.result"),
        Doing::State(_) | Doing::Said => ("adjutant.turn.input", "adjutant.turn.output"),
    };
    let given_any = Some(&turn.parameters).filter(|given| !matches!(given, Value::Null));
    let rule = turn.policy_rejected.as_ref().map(|rejected| cut(&rejected.rule));
    let told = [
        ("adjutant.turn.prompt", turn.prompt.as_ref().map(json)),
        (given, given_any.map(json)),
        (came_out, turn.output.as_ref().map(json)),
        ("adjutant.policy.rule", rule),
    ];
    told.into_iter().filter_map(|(key, text)| Some(KeyValue::new(key, cut(&text?)))).collect()
}

fn json(value: &Value) -> String {
    serde_json::Value::from(value).to_string()
}

fn name(text: &str) -> String {
    cut(&record::text(text))
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
