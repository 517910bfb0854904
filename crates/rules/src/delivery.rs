//! What a worker delivers: reading it, its verdict, and the result that it makes.

use adjutant_model::Value;
use adjutant_model::blueprint::{SubmitFormat, VerdictChannel, VerdictContract};
use adjutant_model::run::{ErrorClass, StepFailure, StepOutcome};
use std::collections::BTreeMap;
use thiserror::Error;

/// The part that holds a verdict.
pub const VERDICT_PART: &str = "verdict";
/// A result has at most so many parts.
pub const PARTS_MAX: usize = 64;
/// A part's name has at most so many characters.
const PART_NAME_MAX: usize = 128;

/// How a worker says that its step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Well.
    Passed,
    /// Not well.
    Blocked,
    /// There was nothing to do.
    Skipped,
}

/// Why a delivery is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeliveryError {
    /// The two ways to say how it went disagree.
    #[error("`verdict={verdict}` does not go with `ok={ok}`")]
    Conflict {
        /// What `verdict` says.
        verdict: String,
        /// What `ok` says.
        ok: bool,
    },
    /// A verdict that nobody knows.
    #[error("unknown verdict `{0}`; say pass, blocked or skip")]
    UnknownVerdict(String),
    /// A part's name that cannot be.
    #[error("a part's name is 1 to {PART_NAME_MAX} characters without `/`, `\\` and `..`")]
    PartName,
    /// Too many parts.
    #[error("a result has at most {PARTS_MAX} parts")]
    TooManyParts,
    /// What was to be JSON is not.
    #[error("the agent takes JSON, and this is none: {0}")]
    NotJson(String),
    /// The result breaks the agent's contract.
    #[error("the verdict must be one of {}; {found}", .values.join(", "))]
    Contract {
        /// What it may be.
        values: Vec<String>,
        /// What it is.
        found: String,
    },
}

impl DeliveryError {
    /// Tells whether the request is in order and only what it delivers is not.
    pub fn is_of_the_content(&self) -> bool {
        match self {
            DeliveryError::NotJson(_) | DeliveryError::Contract { .. } => true,
            DeliveryError::Conflict { .. }
            | DeliveryError::UnknownVerdict(_)
            | DeliveryError::PartName
            | DeliveryError::TooManyParts => false,
        }
    }
}

/// Reads how a worker says that its step went; nothing said is well.
///
/// # Errors
/// [`DeliveryError`]
pub fn claim(ok: Option<bool>, verdict: Option<&str>) -> Result<Claim, DeliveryError> {
    let Some(verdict) = verdict else {
        return Ok(if ok == Some(false) { Claim::Blocked } else { Claim::Passed });
    };
    let claim = match verdict {
        "pass" => Claim::Passed,
        "blocked" => Claim::Blocked,
        "skip" => Claim::Skipped,
        other => return Err(DeliveryError::UnknownVerdict(other.chars().take(80).collect())),
    };
    let is_well = claim != Claim::Blocked;
    match ok {
        Some(ok) if ok != is_well => Err(DeliveryError::Conflict { verdict: verdict.to_owned(), ok }),
        Some(_) | None => Ok(claim),
    }
}

/// Reads a body: an object or array when it is one, in a fence of Markdown too; else its text without blanks at the end.
///
/// # Errors
/// [`DeliveryError::NotJson`] when nothing but JSON is taken.
pub fn fold(text: &str, format: SubmitFormat) -> Result<Value, DeliveryError> {
    let text = text.trim_end();
    match format {
        SubmitFormat::Text => Ok(Value::from(text)),
        SubmitFormat::Json => serde_json::from_str(unfenced(text).unwrap_or(text))
            .map_err(|error| DeliveryError::NotJson(error.to_string())),
        SubmitFormat::Auto => Ok(structure(text).unwrap_or_else(|| Value::from(text))),
    }
}

/// Reads a value that came as JSON: a text in it may be an object or array that was written as one.
pub fn fold_value(value: Value, format: SubmitFormat) -> Value {
    match (&value, format) {
        (Value::String(text), SubmitFormat::Auto) => structure(text.trim_end()).unwrap_or(value),
        _ => value,
    }
}

fn structure(text: &str) -> Option<Value> {
    let inner = unfenced(text).unwrap_or(text).trim_start();
    if !inner.starts_with(['{', '[']) {
        return None;
    }
    serde_json::from_str(inner).ok()
}

/// Gives what stands in a fence of Markdown that a text begins with and ends with.
fn unfenced(text: &str) -> Option<&str> {
    let (_language, inner) = text.trim_start().strip_prefix("```")?.split_once('\n')?;
    Some(inner.trim_end().strip_suffix("```").map_or(inner, str::trim_end))
}

/// Tells whether a part may have this name.
///
/// # Errors
/// [`DeliveryError::PartName`]
pub fn part_name(name: &str) -> Result<(), DeliveryError> {
    let is_good = !name.trim().is_empty()
        && name.chars().count() <= PART_NAME_MAX
        && !name.contains(['/', '\\'])
        && !name.contains("..")
        && !name.chars().any(char::is_control);
    is_good.then_some(()).ok_or(DeliveryError::PartName)
}

/// Compares a part with the contract, before it is kept.
///
/// # Errors
/// [`DeliveryError::Contract`]
pub fn check_part(
    contract: Option<&VerdictContract>,
    name: &str,
    value: &Value,
) -> Result<(), DeliveryError> {
    match contract {
        Some(contract) if contract.channel == VerdictChannel::Part && name == VERDICT_PART => {
            is_one_of(contract, Some(value))
        }
        Some(_) | None => Ok(()),
    }
}

/// Compares a result with the contract, before it is kept; one that did not go well or was skipped is exempt.
///
/// # Errors
/// [`DeliveryError::Contract`]
pub fn check(
    contract: Option<&VerdictContract>,
    claim: Claim,
    (value, parts): (&Value, &BTreeMap<String, Value>),
) -> Result<(), DeliveryError> {
    let Some(contract) = contract.filter(|_| claim == Claim::Passed) else { return Ok(()) };
    match contract.channel {
        VerdictChannel::Body => is_one_of(contract, Some(value)),
        VerdictChannel::Part => is_one_of(contract, parts.get(VERDICT_PART)),
    }
}

fn is_one_of(contract: &VerdictContract, value: Option<&Value>) -> Result<(), DeliveryError> {
    let found = match value {
        None => format!("there is no part `{VERDICT_PART}`"),
        Some(value) => match value.as_str() {
            Some(text) if contract.values.iter().any(|known| known == text) => return Ok(()),
            Some(text) => format!("it is `{}`", text.chars().take(80).collect::<String>()),
            None => "it is no text".to_owned(),
        },
    };
    Err(DeliveryError::Contract { values: contract.values.clone(), found })
}

/// Gives the result that a value and the parts beside it make.
pub fn result(value: Value, parts: BTreeMap<String, Value>) -> Value {
    if parts.is_empty() {
        return value;
    }
    Value::object([("out", value), ("parts", Value::object(parts))])
}

/// Gives how a step ended with what its worker delivered.
pub fn outcome(claim: Claim, value: Value, parts: BTreeMap<String, Value>) -> StepOutcome {
    let value = result(value, parts);
    match claim {
        Claim::Passed => StepOutcome::Done(value),
        Claim::Skipped => StepOutcome::Skipped(value),
        Claim::Blocked => StepOutcome::Failed(StepFailure {
            message: "the worker says that it did not go well".to_owned(),
            class: ErrorClass::Retry,
            value: (value != Value::Null).then_some(value),
        }),
    }
}

/// Compares how a step ended with its agent's contract: a result that breaks it is a failure.
pub fn held_to(contract: Option<&VerdictContract>, outcome: StepOutcome) -> StepOutcome {
    let StepOutcome::Done(value) = &outcome else { return outcome };
    let text = |value: &Value| value.as_str().map(|text| Value::from(text.trim_end()));
    let (body, parts) = match (value.get("out"), value.get("parts").and_then(Value::as_object)) {
        (Some(out), Some(parts)) => {
            let parts = parts.iter().map(|(name, part)| (name.to_string(), part.clone()));
            (out, parts.collect())
        }
        _ => (value, BTreeMap::new()),
    };
    let body = text(body).unwrap_or_else(|| body.clone());
    match check(contract, Claim::Passed, (&body, &parts)) {
        Ok(()) => outcome,
        Err(error) => StepOutcome::Failed(StepFailure {
            message: format!("the result breaks its contract: {error}"),
            class: ErrorClass::Retry,
            value: Some(value.clone()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn how_it_went_is_said_in_two_ways_that_must_agree() {
        for (ok, verdict, expected) in [
            (None, None, Ok(Claim::Passed)),
            (Some(true), None, Ok(Claim::Passed)),
            (Some(false), None, Ok(Claim::Blocked)),
            (None, Some("pass"), Ok(Claim::Passed)),
            (None, Some("blocked"), Ok(Claim::Blocked)),
            (Some(false), Some("blocked"), Ok(Claim::Blocked)),
            (None, Some("skip"), Ok(Claim::Skipped)),
            (Some(true), Some("skip"), Ok(Claim::Skipped)),
            (Some(false), Some("skip"), Err("`verdict=skip` does not go with `ok=false`")),
            (Some(true), Some("blocked"), Err("`verdict=blocked` does not go with `ok=true`")),
            (Some(false), Some("pass"), Err("`verdict=pass` does not go with `ok=false`")),
            (None, Some("maybe"), Err("unknown verdict `maybe`; say pass, blocked or skip")),
        ] {
            let found = claim(ok, verdict).map_err(|error| error.to_string());
            assert_eq!(found, expected.map_err(str::to_owned), "{ok:?} {verdict:?}");
        }
    }

    #[test]
    fn a_body_that_looks_like_json_is_json_unless_text_is_asked_for() {
        use SubmitFormat::{Auto, Json, Text};
        for (text, format, expected) in [
            ("{\"a\": 1}\n", Auto, Some(json!({"a": 1}))),
            ("[1]", Auto, Some(json!([1]))),
            ("```json\n{\"a\": 1}\n```\n", Auto, Some(json!({"a": 1}))),
            ("```\n[1, 2]\n```", Auto, Some(json!([1, 2]))),
            ("{not json", Auto, Some(json!("{not json"))),
            ("12", Auto, Some(json!("12"))),
            ("true", Auto, Some(json!("true"))),
            ("PASS\n", Auto, Some(json!("PASS"))),
            ("", Auto, Some(json!(""))),
            ("```\nhello\n```", Auto, Some(json!("```\nhello\n```"))),
            ("{\"a\": 1}", Text, Some(json!("{\"a\": 1}"))),
            ("12", Json, Some(json!(12))),
            ("```json\n12\n```", Json, Some(json!(12))),
            ("hello", Json, None),
        ] {
            let found = fold(text, format).ok();
            assert_eq!(found, expected.map(Value::from), "{text:?} {format:?}");
        }
        let nested = fold_value(Value::from("{\"a\": 1}"), Auto);
        assert_eq!(nested, Value::from(json!({"a": 1})));
    }

    #[test]
    fn a_marker_in_a_value_is_a_value() {
        let marker = json!({"__mse_skip": true, "value": 5});
        let value = fold(&marker.to_string(), SubmitFormat::Auto).expect("it is JSON");
        let ended = outcome(Claim::Passed, value, BTreeMap::new());
        assert_eq!(ended, StepOutcome::Done(Value::from(marker)));
    }

    #[test]
    fn a_verdict_is_looked_for_where_the_contract_says_and_nowhere_else() {
        let contract = |channel| VerdictContract { channel, values: vec!["PASS".into(), "STOP".into()] };
        let (body, part) = (contract(VerdictChannel::Body), contract(VerdictChannel::Part));
        let parts = |verdict: Option<&str>| -> BTreeMap<String, Value> {
            let other = ("notes".to_owned(), Value::from("MAYBE"));
            std::iter::once(other).chain(verdict.map(|v| ("verdict".to_owned(), Value::from(v)))).collect()
        };
        for (contract, claim, value, verdict, holds) in [
            (Some(&body), Claim::Passed, "PASS", None, true),
            (Some(&body), Claim::Passed, "MAYBE", None, false),
            (Some(&body), Claim::Blocked, "MAYBE", None, true),
            (Some(&body), Claim::Skipped, "MAYBE", None, true),
            (Some(&part), Claim::Passed, "anything", Some("STOP"), true),
            (Some(&part), Claim::Passed, "PASS", Some("MAYBE"), false),
            (Some(&part), Claim::Passed, "PASS", None, false),
            (None, Claim::Passed, "MAYBE", None, true),
        ] {
            let found = check(contract, claim, (&Value::from(value), &parts(verdict)));
            assert_eq!(found.is_ok(), holds, "{contract:?} {claim:?} {value} {verdict:?}");
        }
        assert!(check_part(Some(&part), "verdict", &Value::from("MAYBE")).is_err());
        assert!(check_part(Some(&part), "notes", &Value::from("MAYBE")).is_ok());
        assert!(check_part(Some(&body), "verdict", &Value::from("MAYBE")).is_ok());
        for name in ["", " ", "a/b", "a\\b", "..", "a\nb"] {
            assert_eq!(part_name(name), Err(DeliveryError::PartName), "{name:?}");
        }
    }

    #[test]
    fn a_result_that_breaks_its_contract_fails_its_step_whoever_gave_it() {
        let contract = VerdictContract { channel: VerdictChannel::Part, values: vec!["PASS".into()] };
        let good = StepOutcome::Done(Value::from(json!({"out": 1, "parts": {"verdict": "PASS"}})));
        assert_eq!(held_to(Some(&contract), good.clone()), good);
        let bad = StepOutcome::Done(Value::from("PASS"));
        assert!(matches!(held_to(Some(&contract), bad), StepOutcome::Failed(_)));
        let skipped = StepOutcome::Skipped(Value::Null);
        assert_eq!(held_to(Some(&contract), skipped.clone()), skipped);
    }
}
