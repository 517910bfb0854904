//! Approvals: what an answer may be, and what follows from it.
//!
//! A question of a flow and a rule that asks are the same thing to a person: an approval, which is approved or is not.
//! Only a yes lets anything go on; whatever else ends an approval is a refusal that names it.

use adjutant_model::Value;
use adjutant_model::client_run::{Approval, ApprovalStatus};
use adjutant_model::policy::{GateStage, Judgement, PolicyEffect};
use adjutant_model::run::{ErrorClass, StepFailure, StepOutcome};
use thiserror::Error;

/// The tool of an approval that a flow's question raises.
pub const ASK: &str = "ask";

/// How an approval ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered<'a> {
    /// The approval.
    pub id: &'a str,
    /// Where it stands.
    pub status: ApprovalStatus,
    /// The option that was chosen.
    pub option: Option<&'a str>,
    /// Who said so, and what else they said.
    pub by: &'a str,
}

impl<'a> From<&'a Approval> for Answered<'a> {
    fn from(of: &'a Approval) -> Self {
        let by = of.resolved_by.as_deref().unwrap_or("nobody");
        Answered { id: &of.id, status: of.status, option: of.option.as_deref(), by }
    }
}

/// Why an option cannot be the answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OptionError {
    /// It is not one of those that were offered.
    #[error("`{said}` is no option; the options are {}", listed(.options))]
    Unknown {
        /// What was said.
        said: String,
        /// What may be said.
        options: Vec<String>,
    },
    /// None was offered.
    #[error("`{said}` is no option: this approval has none")]
    None {
        /// What was said.
        said: String,
    },
}

/// Gives what may be chosen to answer an approval; only a flow's question offers anything.
pub fn options<'a>(tool: &str, parameters: &'a Value) -> Vec<&'a str> {
    let offered = parameters.get("options").filter(|_| tool == ASK).and_then(Value::as_array);
    offered.unwrap_or_default().iter().filter_map(Value::as_str).collect()
}

/// Gives the option that a yes chooses: the one that was said, or the first.
///
/// # Errors
/// [`OptionError`] when what was said is not among `options`.
pub fn choice(options: &[&str], said: Option<&str>) -> Result<Option<String>, OptionError> {
    let Some(said) = said else { return Ok(options.first().map(|first| (*first).to_owned())) };
    if options.contains(&said) {
        return Ok(Some(said.to_owned()));
    }
    let said = said.to_owned();
    if options.is_empty() {
        return Err(OptionError::None { said });
    }
    Err(OptionError::Unknown { said, options: options.iter().map(|option| (*option).to_owned()).collect() })
}

/// Gives how a flow's question ended: with the option that was chosen, with `true` when it offered none, or as a step
/// that a person made fail.
pub fn outcome(parameters: &Value, answered: &Answered<'_>) -> StepOutcome {
    match (answered.status, answered.option) {
        (ApprovalStatus::Approved, Some(option)) => StepOutcome::Done(Value::from(option)),
        (ApprovalStatus::Approved, None) => {
            let first = options(ASK, parameters).first().map(|first| Value::from(*first));
            StepOutcome::Done(first.unwrap_or(Value::Bool(true)))
        }
        (
            ApprovalStatus::Pending
            | ApprovalStatus::Denied
            | ApprovalStatus::Expired
            | ApprovalStatus::Withdrawn,
            _,
        ) => {
            let message = format!("the question {}", said(answered));
            StepOutcome::Failed(StepFailure { message, class: ErrorClass::User, value: None })
        }
    }
}

/// Gives the gate's last word on an action that a rule asked about.
///
/// `rule` is the one that asks; none when it is the default that does. `why` is what the gate said then, which names it.
pub fn judgement(rule: Option<&str>, why: &str, answered: &Answered<'_>) -> Judgement {
    let effect = match answered.status {
        ApprovalStatus::Approved => PolicyEffect::Allow,
        ApprovalStatus::Pending
        | ApprovalStatus::Denied
        | ApprovalStatus::Expired
        | ApprovalStatus::Withdrawn => PolicyEffect::Deny,
    };
    let reason = format!("{why}; the question {}", said(answered));
    Judgement { rule: rule.map(str::to_owned), ..Judgement::new(GateStage::Approval, effect, reason) }
}

fn said(answered: &Answered<'_>) -> String {
    let Answered { id, status, by, .. } = answered;
    match status {
        ApprovalStatus::Approved => format!("was approved by {by} ({id})"),
        ApprovalStatus::Denied => format!("was denied by {by} ({id})"),
        ApprovalStatus::Expired => format!("had no answer in time ({id})"),
        ApprovalStatus::Withdrawn => format!("was withdrawn ({id})"),
        ApprovalStatus::Pending => format!("has no answer ({id})"),
    }
}

fn listed(options: &[String]) -> String {
    options.iter().map(|option| format!("`{option}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [ApprovalStatus; 5] = ApprovalStatus::ALL;

    fn parameters(options: &[&str]) -> Value {
        let options = Value::array(options.iter().map(|option| Value::from(*option)));
        Value::object([("question", Value::from("which?")), ("options", options)])
    }

    #[test]
    fn a_yes_chooses_what_was_said_or_the_first_and_nothing_that_was_not_offered() {
        let offered = ["a", "b"];
        for (options, said, expected) in [
            (&offered[..], None, Ok(Some("a"))),
            (&offered[..], Some("b"), Ok(Some("b"))),
            (&offered[..], Some("c"), Err("`c` is no option; the options are `a`, `b`")),
            (&[][..], None, Ok(None)),
            (&[][..], Some("a"), Err("`a` is no option: this approval has none")),
        ] {
            let chosen = choice(options, said).map_err(|error| error.to_string());
            let chosen = chosen.as_ref().map(Option::as_deref).map_err(String::as_str);
            assert_eq!(chosen, expected, "{options:?} {said:?}");
        }
    }

    #[test]
    fn only_a_question_of_a_flow_offers_options() {
        assert_eq!(options(ASK, &parameters(&["a", "b"])), ["a", "b"]);
        assert!(options("Bash", &parameters(&["a"])).is_empty());
        assert!(options(ASK, &Value::Null).is_empty());
    }

    #[test]
    fn a_question_ends_with_its_answer_or_as_a_failure_that_people_caused() {
        let given = |status, option| Answered { id: "approval-1", status, option, by: "token-2" };
        let done = |offered: &[&str], option| {
            let answered = given(ApprovalStatus::Approved, option);
            outcome(&parameters(offered), &answered)
        };
        assert_eq!(done(&["a", "b"], Some("b")), StepOutcome::Done(Value::from("b")));
        assert_eq!(done(&["a", "b"], None), StepOutcome::Done(Value::from("a")));
        assert_eq!(done(&[], None), StepOutcome::Done(Value::Bool(true)));
        for status in ALL.into_iter().filter(|status| *status != ApprovalStatus::Approved) {
            let failed = outcome(&parameters(&[]), &given(status, None));
            let StepOutcome::Failed(failure) = failed else { panic!("{status:?} is no yes") };
            assert_eq!(failure.class, ErrorClass::User);
            assert!(failure.message.contains("approval-1"), "{}", failure.message);
        }
    }

    #[test]
    fn only_a_yes_lets_an_action_go_on_and_the_last_word_names_rule_and_approval() {
        let why = "policy 'ask-before-a-push': it leaves";
        for status in ALL {
            let answered = Answered { id: "approval-1", status, option: None, by: "token-2" };
            let last = judgement(Some("ask-before-a-push"), why, &answered);
            assert_eq!(last.allowed, status == ApprovalStatus::Approved, "{last:?}");
            assert_eq!(
                (last.decided_by, last.rule.as_deref()),
                (GateStage::Approval, Some("ask-before-a-push"))
            );
            for named in [why, "approval-1"] {
                assert!(last.reason.contains(named), "{}", last.reason);
            }
        }
    }
}
