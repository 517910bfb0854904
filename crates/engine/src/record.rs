//! How records keep what agents do and say: first without secrets, then within the limits of a turn.
//!
//! In this order, because half a secret is not recognised any more. A flow goes on with what its steps give, and must be
//! the same after a restart; so secrets are taken out of a first context and of a step's outcome before the machine sees
//! them, and a context never holds one. A program that needs a secret takes it from its environment.

use adjutant_model::Value;
use adjutant_model::policy::{Judgement, PolicyMatch};
use adjutant_model::run::{StepFailure, StepOutcome};
use adjutant_rules::limits;
use adjutant_rules::redact::{redact, redact_value};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// What stands where a token of an owner was.
const OWNER: &str = "[redacted:owner-token]";

/// The journal names at most so many of the rules that were about a call.
const MATCHES_MAX: usize = 32;

/// Gives a value as a turn keeps it.
pub(crate) fn value(value: &Value) -> Value {
    limits::turn_text(&without_secrets(value))
}

/// Gives a step's outcome as the flow goes on with it.
pub(crate) fn outcome(outcome: StepOutcome) -> StepOutcome {
    match outcome {
        StepOutcome::Done(value) => StepOutcome::Done(without_secrets(&value)),
        StepOutcome::Skipped(value) => StepOutcome::Skipped(without_secrets(&value)),
        StepOutcome::Failed(failure) => StepOutcome::Failed(StepFailure {
            message: text(&failure.message),
            value: failure.value.as_ref().map(without_secrets),
            class: failure.class,
        }),
    }
}

/// Gives a line of progress as the journal keeps it.
pub(crate) fn progress(text: &str) -> String {
    limits::progress_text(&self::text(text))
}

/// Gives a judgement as the journal keeps it: each text cut like a line of progress, and the first matches only.
pub(crate) fn judgement(judgement: &Judgement) -> Judgement {
    let kept = |hit: &PolicyMatch| PolicyMatch { why: progress(&hit.why), ..hit.clone() };
    let left_out = judgement.matched.len().saturating_sub(MATCHES_MAX);
    let more = if left_out > 0 { format!(" (and {left_out} more rules)") } else { String::new() };
    Judgement {
        reason: progress(&judgement.reason) + &more,
        matched: judgement.matched.iter().take(MATCHES_MAX).map(kept).collect(),
        ..judgement.clone()
    }
}

/// The tokens of owners that this process has made or seen. What they look like no pattern tells from a hash, and whoever
/// reads one in a record is the owner from then on.
static OWNERS: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// Remembers a token of an owner, so that no record has it.
pub(crate) fn owner_known(token: &str) {
    let mut owners = OWNERS.write().unwrap_or_else(PoisonError::into_inner);
    if !token.is_empty() && !owners.iter().any(|known| known == token) {
        owners.push(token.to_owned());
    }
}

/// Gives a text without tokens of owners; nothing when it has none.
fn text_without(owners: &[String], text: &str) -> Option<String> {
    owners.iter().fold(None, |found: Option<String>, token| {
        let text = found.as_deref().unwrap_or(text);
        if text.contains(token) { Some(text.replace(token, OWNER)) } else { found }
    })
}

/// Gives a value without tokens of owners; nothing when it has none.
fn value_without(owners: &[String], value: &Value) -> Option<Value> {
    match value {
        Value::String(text) => text_without(owners, text).map(Value::string),
        Value::Array(items) => {
            let items = items.as_slice();
            let found: Vec<_> = items.iter().map(|item| value_without(owners, item)).collect();
            found.iter().any(Option::is_some).then(|| {
                Value::array(
                    found.into_iter().zip(items).map(|(new, old)| new.unwrap_or_else(|| old.clone())),
                )
            })
        }
        Value::Object(object) => {
            let found: Vec<_> = object.iter().map(|(_, member)| value_without(owners, member)).collect();
            found.iter().any(Option::is_some).then(|| {
                let members = object.iter().zip(found);
                Value::object(
                    members.map(|((key, old), new)| (key.clone(), new.unwrap_or_else(|| old.clone()))),
                )
            })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn owners() -> RwLockReadGuard<'static, Vec<String>> {
    OWNERS.read().unwrap_or_else(PoisonError::into_inner)
}

/// Gives a text without secrets.
pub(crate) fn text(text: &str) -> String {
    let text = redact(text);
    text_without(&owners(), &text).unwrap_or_else(|| text.into_owned())
}

/// Gives a value without secrets.
pub(crate) fn without_secrets(value: &Value) -> Value {
    let value = redact_value(value).unwrap_or_else(|| value.clone());
    value_without(&owners(), &value).unwrap_or(value)
}
