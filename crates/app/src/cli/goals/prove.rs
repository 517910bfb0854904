//! What shows that a goal is reached: evidence, a person's word, and the way through the gate.

use super::{GoalArg, ids};
use crate::exit::Failure;
use adjutant_protocol::http::{CriterionView, EvidenceParams, GoalView, TurnRefParams};
use adjutant_protocol::{Client, ClientError, ErrorCode};
use anyhow::Result;
use clap::Args;
use serde_json::json;

/// What holds, and who or what says so.
#[derive(Debug, Args)]
pub(super) struct EvidenceArgs {
    #[command(flatten)]
    goal: GoalArg,
    /// Which criterion holds, from 0.
    #[arg(long, value_name = "N", required_unless_present = "link", conflicts_with = "link")]
    criterion: Option<usize>,
    /// Which linked session or run has done its part; it is verified then.
    #[arg(long, value_name = "ID")]
    link: Option<String>,
    /// The person who says so.
    #[arg(long, value_name = "NAME", requires = "words", required_unless_present = "turn")]
    person: Option<String>,
    /// What they say.
    #[arg(long, value_name = "TEXT", requires = "person")]
    words: Option<String>,
    /// The turn of a run whose result says whether it passed and on which tree, as those of check steps do.
    #[arg(long, num_args = 2, value_names = ["RUN", "INDEX"], conflicts_with = "person")]
    turn: Option<Vec<String>>,
}

impl EvidenceArgs {
    pub(super) async fn record(&self, client: &Client) -> Result<GoalView> {
        let EvidenceArgs { goal, criterion, link, person, words, turn } = self;
        let turn = match turn.as_deref() {
            Some([run, index]) => Some(TurnRefParams {
                run_id: ids::run(client, run).await?,
                index: index.parse().map_err(|_| {
                    Failure::usage(format!("`{index}` is no place of a turn"))
                        .hinted("`adjutant trace RUN` numbers them from 0")
                })?,
            }),
            Some(_) | None => None,
        };
        let of = Of { goal: &goal.goal, criterion: *criterion, link: link.as_deref() };
        let by = EvidenceParams {
            person: person.clone(),
            words: words.clone(),
            turn,
            ..EvidenceParams::default()
        };
        record(client, of, by).await
    }
}

/// A person's word.
#[derive(Debug, Args)]
pub(super) struct SignOffArgs {
    #[command(flatten)]
    goal: GoalArg,
    /// Which criterion, from 0.
    criterion: usize,
    /// Who says so.
    #[arg(long, value_name = "NAME")]
    person: String,
    /// What they say.
    words: String,
}

impl SignOffArgs {
    pub(super) async fn record(&self, client: &Client) -> Result<GoalView> {
        let SignOffArgs { goal, criterion, person, words } = self;
        let (person, words) = (Some(person.clone()), Some(words.clone()));
        let of = Of { goal: &goal.goal, criterion: Some(*criterion), link: None };
        record(client, of, EvidenceParams { person, words, ..EvidenceParams::default() }).await
    }
}

/// What is proved.
struct Of<'a> {
    goal: &'a str,
    criterion: Option<usize>,
    link: Option<&'a str>,
}

async fn record(client: &Client, of: Of<'_>, by: EvidenceParams) -> Result<GoalView> {
    let goal_id = ids::goal(client, of.goal).await?;
    let session_id = match of.link {
        Some(link) => Some(ids::link(&client.goal(&goal_id).await?, link)?),
        None => None,
    };
    let params = EvidenceParams { criterion: of.criterion, session_id, ..by };
    Ok(client.goal_do(&goal_id, "evidence", &params).await?)
}

/// Closes a goal, or says what would bring it nearer to that.
pub(super) async fn close(client: &Client, goal: &str) -> Result<GoalView> {
    let goal_id = ids::goal(client, goal).await?;
    let refusal = match client.goal_do(&goal_id, "close", &json!({})).await {
        Err(ClientError::Api { error, .. }) if error.code == ErrorCode::GoalNotProved.as_str() => error,
        answer => return Ok(answer?),
    };
    let hint = next(&client.goal(&goal_id).await?).or(refusal.hint);
    let failure = Failure::new(ErrorCode::GoalNotProved.exit(), refusal.error);
    Err(match hint {
        Some(hint) => failure.hinted(hint),
        None => failure,
    }
    .into())
}

/// Gives what to do next for a goal that is not proved.
fn next(goal: &GoalView) -> Option<String> {
    let id = &goal.id;
    let has_place = goal.project.is_some() || !goal.sessions.is_empty();
    let checks = || goal.acceptance.iter().filter(|criterion| criterion.check.is_some());
    let is_proved = |criterion: &CriterionView| criterion.evidence.as_ref().is_some_and(|found| found.passed);
    let unsigned =
        goal.acceptance.iter().position(|criterion| criterion.check.is_none() && !is_proved(criterion));
    if checks().next().is_some() && !has_place || goal.acceptance.is_empty() && goal.sessions.is_empty() {
        return Some(format!("give it a run: `adjutant run FILE --repo DIR --goal {id}`"));
    }
    if checks().any(|check| check.evidence.as_ref().is_some_and(|found| !found.passed)) {
        return Some(format!("mend what the check found, then `adjutant goal check {id}`"));
    }
    match unsigned {
        Some(index) if checks().all(is_proved) => {
            Some(format!("a person signs it off: `adjutant goal sign-off {id} {index} --person NAME WORDS`"))
        }
        Some(_) | None if checks().next().is_some() => {
            Some(format!("`adjutant goal check {id}` runs its checks now"))
        }
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn goal(acceptance: Value, sessions: Value, project: Value) -> GoalView {
        serde_json::from_value(json!({
            "id": "g-1", "description": "d", "status": "inProgress", "acceptance": acceptance, "sessions": sessions,
            "progress": 0, "project": project, "depends_on": [], "budget": {}, "notes": [], "created": "", "updated": "",
        }))
        .unwrap()
    }

    fn criterion(check: Option<&str>, passed: Option<bool>) -> Value {
        let found = passed.map(|passed| json!({"source": {}, "passed": passed, "detail": "", "at": ""}));
        json!({"text": "t", "check": check, "evidence": found})
    }

    #[test]
    fn a_goal_that_is_not_proved_names_the_command_that_comes_next() {
        let run = || json!([{"session_id": "run_1", "task": "", "state": "running"}]);
        let (none, project) = (|| json!([]), || json!("/p"));
        let (check, text) = (|passed| criterion(Some("true"), passed), |passed| criterion(None, passed));
        let link = "give it a run: `adjutant run FILE --repo DIR --goal g-1`";
        let run_checks = "`adjutant goal check g-1` runs its checks now";
        let mend = "mend what the check found, then `adjutant goal check g-1`";
        let sign = "a person signs it off: `adjutant goal sign-off g-1 1 --person NAME WORDS`";
        for (given, expected) in [
            (goal(json!([]), none(), Value::Null), Some(link)),
            (goal(json!([check(None)]), none(), Value::Null), Some(link)),
            (goal(json!([check(None)]), none(), project()), Some(run_checks)),
            (goal(json!([check(None), text(None)]), run(), Value::Null), Some(run_checks)),
            (goal(json!([check(Some(false)), text(None)]), run(), Value::Null), Some(mend)),
            (goal(json!([check(Some(true)), text(None)]), run(), Value::Null), Some(sign)),
            (goal(json!([check(Some(true))]), run(), Value::Null), Some(run_checks)),
            (goal(json!([text(Some(true))]), run(), Value::Null), None),
        ] {
            assert_eq!(next(&given).as_deref(), expected, "{given:?}");
        }
    }
}
