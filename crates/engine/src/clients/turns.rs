//! From actions and narration to turns: what was asked, what came of it, cut to the limits.

use super::Dropped;
use crate::record;
use adjutant_model::client_run::{ClientTurn, PolicyRejected};
use adjutant_model::event::ClientTurnNote;
use adjutant_model::policy::Judgement;
use adjutant_model::proposal::{Action, ActionResult, ActionStatus, OutcomeSpec, VerifierVerdict};
use adjutant_model::run::TurnStatus;
use adjutant_model::{Timestamp, Value};
use adjutant_rules::limits::{TurnContent, turn_cut};
use adjutant_rules::proposal::{SettledBy, outcome};
use adjutant_store::Json;
use std::sync::Arc;

/// An action of a proposal and its place in the run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed<'a> {
    pub(super) index: u64,
    pub(super) proposal_id: &'a Arc<str>,
    pub(super) action: &'a Action,
    pub(super) attempt: u32,
    pub(super) started_at: Timestamp,
}

/// What came of an action.
#[derive(Debug, Clone, Copy)]
pub(super) struct End<'a> {
    pub(super) result: &'a ActionResult,
    pub(super) by: SettledBy,
    /// How its tool's output is read.
    pub(super) spec: Option<&'a OutcomeSpec>,
}

/// Makes the turn of an action that starts.
pub(super) fn started(placed: Placed<'_>) -> ClientTurn {
    of_action(placed, None)
}

/// Makes the turn of an action that has settled.
pub(super) fn settled(placed: Placed<'_>, end: End<'_>) -> ClientTurn {
    of_action(placed, Some(end))
}

fn of_action(placed: Placed<'_>, end: Option<End<'_>>) -> ClientTurn {
    let Placed { index, proposal_id, action, attempt, started_at } = placed;
    let result = end.map(|end| end.result);
    let rejected = end.filter(|end| end.by == SettledBy::Gate).and_then(|end| end.result.error.as_deref());
    let read = end
        .filter(|end| end.result.status == ActionStatus::Succeeded)
        .and_then(|end| end.result.output.as_ref().map(|output| outcome::classify(end.spec, output)));
    let content = TurnContent {
        prompt: action.parameters.get("prompt").filter(|prompt| prompt.as_str().is_some()).cloned(),
        tool: Some(action.tool.as_deref().unwrap_or(action.kind.as_str()).to_owned()),
        parameters: action.parameters.clone(),
        output: result.and_then(|result| result.output.clone()),
        error: result.and_then(|result| result.error.clone()),
        rule: rejected.map(str::to_owned),
        param: rejected.and_then(param_of).map(str::to_owned),
    };
    // What is left of an action that is too large even when cut is its place and how it ended.
    let content = turn_cut(without_secrets(content)).unwrap_or_default();
    ClientTurn {
        index,
        prompt: content.prompt,
        tool: content.tool,
        parameters: content.parameters,
        output: content.output,
        cli_outcome: read.and_then(|read| read.cli_outcome),
        verifier_verdict: read.map(|read| read.verdict).unwrap_or_default(),
        policy_rejected: content.rule.map(|rule| PolicyRejected { rule, param: content.param }),
        status: result.map_or(TurnStatus::Started, |result| status_of(result.status)),
        error: content.error,
        action_id: Some(action.id.clone()),
        proposal_id: Some(proposal_id.clone()),
        attempt,
        started_at,
        ended_at: result.map(|result| result.timestamp),
    }
}

/// Gives what the journal says of a turn, with the hash of its JSON once it has settled.
pub(super) fn note(turn: &ClientTurn, json: &Json, judgement: Option<Box<Judgement>>) -> ClientTurnNote {
    ClientTurnNote {
        turn: Some(turn.index),
        tool: turn.tool.clone().unwrap_or_default(),
        proposal_id: turn.proposal_id.as_deref().map(str::to_owned),
        action_id: turn.action_id.as_deref().map(str::to_owned),
        status: turn.status,
        hash: (turn.status != TurnStatus::Started).then(|| json.sha256()),
        rule: turn.policy_rejected.as_ref().map(|rejected| rejected.rule.clone()),
        judgement,
    }
}

fn without_secrets(content: TurnContent) -> TurnContent {
    let text = |text: Option<String>| text.as_deref().map(record::text);
    TurnContent {
        prompt: content.prompt.as_ref().map(record::without_secrets),
        tool: content.tool,
        parameters: record::without_secrets(&content.parameters),
        output: content.output.as_ref().map(record::without_secrets),
        error: text(content.error),
        rule: text(content.rule),
        param: content.param,
    }
}

fn status_of(status: ActionStatus) -> TurnStatus {
    match status {
        ActionStatus::Proposed | ActionStatus::Validated | ActionStatus::Executing => TurnStatus::Started,
        ActionStatus::Rejected => TurnStatus::Rejected,
        ActionStatus::Succeeded => TurnStatus::Succeeded,
        ActionStatus::Failed => TurnStatus::Failed,
        ActionStatus::Skipped => TurnStatus::Cancelled,
    }
}

/// Gives the parameter that a reason names as `param '…'`.
fn param_of(reason: &str) -> Option<&str> {
    let rest = reason.split_once("param '")?.1;
    let param = rest.split_once('\'')?.0;
    (!param.is_empty()).then_some(param)
}

/// Reads a turn that a client tells of; its index is given later, whatever it says.
pub(super) fn narrated(turn: &Value, now: Timestamp) -> Result<Result<ClientTurn, Dropped>, String> {
    if turn.as_object().is_none() {
        return Err(format!("a turn is an object, not {}", turn.type_name()));
    }
    let text = |key: &str| match turn.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().map(|text| Some(text.to_owned())).ok_or(format!("`{key}` is a text")),
    };
    let rejected = turn.get("policy_rejected").filter(|value| !matches!(value, Value::Null));
    let of_rejected = |key: &str| rejected.and_then(|rejected| rejected.get(key)?.as_str());
    let content = TurnContent {
        prompt: turn.get("prompt").filter(|value| !matches!(value, Value::Null)).cloned(),
        tool: text("tool")?,
        parameters: turn.get("parameters").cloned().unwrap_or_default(),
        output: turn.get("output").cloned(),
        error: text("error")?,
        rule: rejected.is_some().then(|| of_rejected("rule").unwrap_or_default().to_owned()),
        param: of_rejected("param").map(str::to_owned),
    };
    let Ok(content) = turn_cut(without_secrets(content)) else { return Ok(Err(Dropped::TurnTooLarge)) };
    Ok(Ok(ClientTurn {
        index: 0,
        prompt: content.prompt,
        tool: content.tool,
        parameters: content.parameters,
        output: content.output,
        cli_outcome: field(turn, "cli_outcome")?,
        verifier_verdict: field(turn, "verifier_verdict")?.unwrap_or(VerifierVerdict::NotRun),
        policy_rejected: content.rule.map(|rule| PolicyRejected { rule, param: content.param }),
        status: if rejected.is_some() { TurnStatus::Rejected } else { TurnStatus::Succeeded },
        error: content.error,
        action_id: text("action_id")?.map(Into::into),
        proposal_id: text("proposal_id")?.map(Into::into),
        attempt: 1,
        started_at: now,
        ended_at: Some(now),
    }))
}

fn field<T: serde::de::DeserializeOwned>(turn: &Value, key: &str) -> Result<Option<T>, String> {
    let Some(value) = turn.get(key).filter(|value| !matches!(value, Value::Null)) else { return Ok(None) };
    serde_json::from_str(&value.to_string()).map(Some).map_err(|error| format!("`{key}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameter_is_the_one_that_the_reason_names_first() {
        for (reason, param) in [
            ("policy 'a': tool 'x' denied", None),
            ("policy `a`: param 'prompt' matches 'rm -rf'", Some("prompt")),
            ("param 'a' matches 'b'; param 'c' matches 'd'", Some("a")),
            ("param '' matches 'b'", None),
            ("param 'open", None),
        ] {
            assert_eq!(param_of(reason), param, "{reason}");
        }
    }
}
