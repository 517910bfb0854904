//! Tools as clients register them, and how the output of one is read.

use crate::value::Value;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A tool that a client offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Its name.
    pub name: Arc<str>,
    /// For people and models: what it does.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of its parameters; an empty object takes anything.
    pub parameters: Value,
    /// JSON Schema of what it gives, for people; it is not enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returns: Option<Value>,
    /// Whether calling it twice is the same as calling it once.
    #[serde(default)]
    pub idempotent: bool,
    /// How long an answer may stand in for a new call with the same parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_ttl_secs: Option<u64>,
    /// How often it may be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// How its output is read.
    #[serde(default, rename = "x-outcome", skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeSpec>,
}

/// A token bucket: `max_calls` at once, refilled at `max_calls` per `interval_secs`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RateLimit {
    /// The bucket's size; at least 1.
    pub max_calls: u64,
    /// In how many seconds an empty bucket is full again; more than 0.
    pub interval_secs: f64,
}

/// Which members of a tool's output say how it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OutcomeSpec {
    /// The tool drives a program.
    Cli {
        /// The member that is the exit code.
        exit_code: String,
        /// The member that is true when the program ran out of time.
        timed_out: String,
        /// The member that is not null when a signal ended the program.
        signal: String,
    },
    /// The tool checks an outcome.
    Verifier {
        /// The member that is true or false.
        passed: String,
    },
}

/// How a program that a tool drove ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CliOutcome {
    /// By itself.
    Exited {
        /// The exit code.
        code: i64,
    },
    /// By a signal.
    Killed,
    /// It ran out of time.
    Timeout,
}

/// What a verifier said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifierVerdict {
    /// The outcome holds.
    Pass,
    /// It does not hold.
    Fail,
    /// No verifier ran.
    #[default]
    NotRun,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_have_their_shape_on_the_wire() {
        for (value, text) in [
            (serde_json::to_string(&CliOutcome::Exited { code: -1 }), r#"{"kind":"exited","code":-1}"#),
            (serde_json::to_string(&CliOutcome::Killed), r#"{"kind":"killed"}"#),
            (serde_json::to_string(&CliOutcome::Timeout), r#"{"kind":"timeout"}"#),
            (serde_json::to_string(&VerifierVerdict::NotRun), r#""not_run""#),
            (
                serde_json::to_string(&OutcomeSpec::Verifier { passed: "ok".to_owned() }),
                r#"{"kind":"verifier","passed":"ok"}"#,
            ),
        ] {
            assert_eq!(value.unwrap(), text);
        }
    }
}
