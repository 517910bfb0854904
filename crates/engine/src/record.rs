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

/// The journal names at most so many of the rules that were about a call.
const MATCHES_MAX: usize = 32;

/// Gives a value as a turn keeps it.
pub(crate) fn value(value: &Value) -> Value {
    limits::turn_text(&without_secrets(value))
}

/// Gives a step's outcome as the flow goes on with it.
pub(crate) fn outcome(outcome: StepOutcome) -> StepOutcome {
    match outcome {
        StepOutcome::Done(value) => StepOutcome::Done(redact_value(&value).unwrap_or(value)),
        StepOutcome::Skipped(value) => StepOutcome::Skipped(redact_value(&value).unwrap_or(value)),
        StepOutcome::Failed(failure) => StepOutcome::Failed(StepFailure {
            message: text(&failure.message),
            value: failure.value.as_ref().map(without_secrets),
            class: failure.class,
        }),
    }
}

/// Gives a line of progress as the journal keeps it.
pub(crate) fn progress(text: &str) -> String {
    limits::progress_text(&redact(text))
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

/// Gives a text without secrets.
pub(crate) fn text(text: &str) -> String {
    redact(text).into_owned()
}

/// Gives a value without secrets.
pub(crate) fn without_secrets(value: &Value) -> Value {
    redact_value(value).unwrap_or_else(|| value.clone())
}
