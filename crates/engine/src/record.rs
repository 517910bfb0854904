//! How records keep what agents do and say: first without secrets, then within the limits of a turn.
//!
//! In this order, because half a secret is not recognised any more. A step's own output is not touched: the flow goes on
//! with it, and so it must be the same after a restart.

use adjutant_model::Value;
use adjutant_rules::limits;
use adjutant_rules::redact::{redact, redact_value};

/// Gives a value as a turn keeps it.
pub(crate) fn value(value: &Value) -> Value {
    limits::turn_text(&without_secrets(value))
}

/// Gives a line of progress as the journal keeps it.
pub(crate) fn progress(text: &str) -> String {
    limits::progress_text(&redact(text))
}

/// Gives a text without secrets.
pub(crate) fn text(text: &str) -> String {
    redact(text).into_owned()
}

/// Gives a value without secrets.
pub(crate) fn without_secrets(value: &Value) -> Value {
    redact_value(value).unwrap_or_else(|| value.clone())
}
