//! How a tool's output is read: how the program that it drove ended, and what a verifier said.
//!
//! A tool declares it; `drive_cli` and `check_outcome` are declarations that need not be written.

use adjutant_model::Value;
use adjutant_model::proposal::{CliOutcome, OutcomeSpec, VerifierVerdict};

/// What an output says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// How the program ended, when one was driven and the output tells.
    pub cli_outcome: Option<CliOutcome>,
    /// What the verifier said.
    pub verdict: VerifierVerdict,
}

/// Gives the declaration of a tool that is known by its name.
pub fn built_in(tool: &str) -> Option<OutcomeSpec> {
    match tool {
        "drive_cli" => Some(OutcomeSpec::Cli {
            exit_code: "exit_code".to_owned(),
            timed_out: "timed_out".to_owned(),
            signal: "signal".to_owned(),
        }),
        "check_outcome" => Some(OutcomeSpec::Verifier { passed: "passed".to_owned() }),
        _ => None,
    }
}

/// Reads an output; without a declaration it says nothing.
pub fn classify(spec: Option<&OutcomeSpec>, output: &Value) -> Outcome {
    match spec {
        None => Outcome::default(),
        Some(OutcomeSpec::Cli { exit_code, timed_out, signal }) => {
            let is_set = |key: &str| output.get(key).is_some_and(|value| *value != Value::Null);
            let cli_outcome = if output.get(timed_out) == Some(&Value::Bool(true)) {
                Some(CliOutcome::Timeout)
            } else if let Some(code) = output.get(exit_code).and_then(integer) {
                Some(CliOutcome::Exited { code })
            } else {
                is_set(signal).then_some(CliOutcome::Killed)
            };
            Outcome { cli_outcome, verdict: VerifierVerdict::NotRun }
        }
        Some(OutcomeSpec::Verifier { passed }) => {
            let verdict = match output.get(passed) {
                Some(Value::Bool(true)) => VerifierVerdict::Pass,
                Some(Value::Bool(false)) => VerifierVerdict::Fail,
                Some(_) | None => VerifierVerdict::NotRun,
            };
            Outcome { cli_outcome: None, verdict }
        }
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_output_is_read_as_its_tool_declares() {
        use CliOutcome::{Exited, Killed, Timeout};
        use VerifierVerdict::{Fail, NotRun, Pass};
        let renamed = OutcomeSpec::Cli {
            exit_code: "code".to_owned(),
            timed_out: "late".to_owned(),
            signal: "sig".to_owned(),
        };
        let (cli, check) = (built_in("drive_cli"), built_in("check_outcome"));
        for (spec, output, cli_outcome, verdict) in [
            (&cli, json!({"exit_code": 0, "timed_out": false}), Some(Exited { code: 0 }), NotRun),
            (&cli, json!({"exit_code": null, "timed_out": true}), Some(Timeout), NotRun),
            (&cli, json!({"exit_code": 0, "timed_out": true}), Some(Timeout), NotRun),
            (&cli, json!({"exit_code": null, "signal": "SIGKILL"}), Some(Killed), NotRun),
            (&cli, json!({"exit_code": -9, "signal": 9}), Some(Exited { code: -9 }), NotRun),
            (&cli, json!({"exit_code": "0", "timed_out": "true"}), None, NotRun),
            (&cli, json!({"exit_code": 1.5, "signal": null}), None, NotRun),
            (&cli, json!({"passed": true}), None, NotRun),
            (&cli, json!(null), None, NotRun),
            (&check, json!({"passed": true}), None, Pass),
            (&check, json!({"passed": false, "exit_code": 1}), None, Fail),
            (&check, json!({"passed": "true"}), None, NotRun),
            (&check, json!([true]), None, NotRun),
            (&built_in("search"), json!({"exit_code": 0, "passed": true}), None, NotRun),
            (&Some(renamed), json!({"code": 3, "exit_code": 0}), Some(Exited { code: 3 }), NotRun),
        ] {
            let found = classify(spec.as_ref(), &Value::from(output.clone()));
            assert_eq!(found, Outcome { cli_outcome, verdict }, "{output}");
        }
    }
}
