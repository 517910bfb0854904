//! `adjutant goal …`

use super::{ids, print};
use crate::exit::Failure;
use crate::progress::{cost, visible};
use adjutant_protocol::http::{
    CriterionParams, CriterionView, EvidenceParams, GoalParams, GoalStatusParams, GoalView, LinkParams,
    NoteParams, PursueParams,
};
use adjutant_protocol::{Client, ClientError, ErrorCode, ExitCode as Code};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

/// What to do with goals, and how to tell of it.
#[derive(Debug, Args)]
pub(crate) struct GoalArgs {
    #[command(subcommand)]
    command: GoalCommand,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

/// What to do with goals.
#[derive(Debug, Subcommand)]
pub(crate) enum GoalCommand {
    /// Make a goal.
    New {
        /// The intent.
        description: String,
        /// A command line that proves it; may be given often.
        #[arg(long = "check", value_name = "COMMAND")]
        checks: Vec<String>,
        /// What must hold, in words that a person signs off; may be given often.
        #[arg(long = "accept", value_name = "TEXT")]
        texts: Vec<String>,
        /// The project; checks run there when no linked run has a workspace.
        #[arg(long, value_name = "DIR")]
        repo: Option<PathBuf>,
    },
    /// List goals, the oldest first.
    List {
        /// In this state: pending, inProgress, blocked, done, abandoned.
        #[arg(long)]
        status: Option<String>,
    },
    /// Show a goal with its evidence.
    Show {
        /// A goal's id, or a part that only one has.
        goal: String,
    },
    /// Link a run to a goal.
    Link {
        /// A goal's id, or a part that only one has.
        goal: String,
        /// A run's id, or a part that only one has.
        run: String,
    },
    /// Run every check of a goal now.
    Check {
        /// A goal's id, or a part that only one has.
        goal: String,
    },
    /// Have agents work for a goal until its checks pass, or there is no more to spend.
    Pursue {
        /// A goal's id, or a part that only one has.
        goal: String,
        /// The profile of the agents.
        #[arg(long)]
        agent: Option<String>,
        /// How they are hosted: tmux, pty, acp or headless.
        #[arg(long)]
        driver: Option<String>,
        /// How often an agent is told at most.
        #[arg(long)]
        attempts: Option<u32>,
        /// Wait for the end, and fail when the goal is not reached.
        #[arg(long)]
        watch: bool,
        /// Give the pursuit up.
        #[arg(long, conflicts_with_all = ["agent", "driver", "attempts", "watch"])]
        stop: bool,
    },
    /// Call a goal done, when fresh evidence proves it.
    Close {
        /// A goal's id, or a part that only one has.
        goal: String,
    },
    /// Say as a person that a criterion holds.
    SignOff {
        /// A goal's id, or a part that only one has.
        goal: String,
        /// Which criterion, from 0.
        criterion: usize,
        /// Who says so.
        #[arg(long)]
        person: String,
        /// What they say.
        words: String,
    },
    /// Leave a note on a goal.
    Note {
        /// A goal's id, or a part that only one has.
        goal: String,
        /// What is said.
        note: String,
    },
    /// Take a goal to another state.
    Status {
        /// A goal's id, or a part that only one has.
        goal: String,
        /// inProgress, blocked, done or abandoned.
        status: String,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
}

/// A watched goal is looked at so often.
const WATCH_PAUSE: Duration = Duration::from_millis(500);

/// How a goal is told of.
#[derive(Debug, Clone, Copy)]
enum Form {
    Text,
    Json,
}

pub(crate) async fn run(client: &Client, args: GoalArgs) -> Result<Code> {
    let form = if args.json { Form::Json } else { Form::Text };
    let goal = match args.command {
        GoalCommand::New { description, checks, texts, repo } => {
            let checks =
                checks.into_iter().map(|check| CriterionParams { text: String::new(), check: Some(check) });
            let texts = texts.into_iter().map(|text| CriterionParams { text, check: None });
            let project = repo.map(|repo| absolute(&repo)).transpose()?;
            let params = GoalParams {
                description,
                acceptance: checks.chain(texts).collect(),
                project,
                ..GoalParams::default()
            };
            client.goal_create(&params).await?
        }
        GoalCommand::List { status } => {
            let goals = client.goals(status.as_deref()).await?;
            if let Form::Json = form {
                return print(&serde_json::to_string(&goals)?);
            }
            for goal in goals.goals {
                print(&format!(
                    "{}  {:<10} {:>3} %  {}",
                    goal.id,
                    goal.status,
                    goal.progress,
                    visible(&goal.description)
                ))?;
            }
            return Ok(Code::Ok);
        }
        GoalCommand::Show { goal } => {
            let goal = client.goal(&ids::goal(client, &goal).await?).await?;
            tell(&goal, form)?;
            let cost = cost::with_sessions(&client.goal_cost(&goal.id).await?);
            return match cost.filter(|_| matches!(form, Form::Text)) {
                Some(line) => print(&format!("cost        {line}")),
                None => Ok(Code::Ok),
            };
        }
        GoalCommand::Link { goal, run } => {
            let session_id = ids::run(client, &run).await?;
            act(client, &goal, "links", &LinkParams { session_id, task: "linked by hand".to_owned() }).await?
        }
        GoalCommand::Check { goal } => return check(client, &goal, form).await,
        GoalCommand::Pursue { goal, stop: true, .. } => act(client, &goal, "pursue/stop", &json!({})).await?,
        GoalCommand::Pursue { goal, agent, driver, attempts, watch, stop: false } => {
            let params = PursueParams { agent, driver, attempts, ..PursueParams::default() };
            let goal = act(client, &goal, "pursue", &params).await?;
            match watch {
                true => return watched(client, goal, form).await,
                false => goal,
            }
        }
        GoalCommand::Close { goal } => close(client, &goal).await?,
        GoalCommand::SignOff { goal, criterion, person, words } => {
            let (criterion, person, words) = (Some(criterion), Some(person), Some(words));
            let said = EvidenceParams { criterion, person, words, ..EvidenceParams::default() };
            act(client, &goal, "evidence", &said).await?
        }
        GoalCommand::Note { goal, note } => act(client, &goal, "notes", &NoteParams { note }).await?,
        GoalCommand::Status { goal, status, reason } => {
            act(client, &goal, "status", &GoalStatusParams { status, reason }).await?
        }
    };
    tell(&goal, form)
}

fn tell(goal: &GoalView, form: Form) -> Result<Code> {
    if let Form::Json = form {
        return print(&serde_json::to_string(goal)?);
    }
    for line in told(goal) {
        print(&line)?;
    }
    Ok(Code::Ok)
}

/// Runs the checks, and fails when one of them does.
async fn check(client: &Client, goal: &str, form: Form) -> Result<Code> {
    let goal = act(client, goal, "check", &json!({})).await?;
    tell(&goal, form)?;
    let checks = goal.acceptance.iter().filter(|criterion| criterion.check.is_some());
    let failed: Vec<_> =
        checks.clone().filter_map(|check| check.evidence.as_ref()).filter(|found| !found.passed).collect();
    let message = match (failed.is_empty(), goal.sessions.iter().any(|link| link.state == "failed")) {
        (false, _) => format!("{} of {} checks did not pass", failed.len(), checks.count()),
        (true, true) => "not every linked run passes the checks".to_owned(),
        (true, false) => return Ok(Code::Ok),
    };
    let place = failed.iter().find_map(|found| found.workspace.as_ref());
    let place = place.map_or_else(String::new, |place| format!("they ran in {place}; "));
    let hint = format!("{place}when it is mended: `adjutant goal check {}`", goal.id);
    Err(Failure::new(Code::Failed, message).hinted(hint).into())
}

/// Tells what happens to a pursued goal until its pursuit is over.
async fn watched(client: &Client, mut goal: GoalView, form: Form) -> Result<Code> {
    let mut told = goal.notes.len();
    loop {
        if let Form::Text = form {
            for note in goal.notes.iter().skip(told) {
                print(&visible(note))?;
            }
        }
        told = goal.notes.len();
        let pursuit = goal.pursuit.as_ref();
        if let Some(reached) = pursuit.and_then(|pursuit| pursuit.reached) {
            let reason = pursuit.and_then(|pursuit| pursuit.reason.clone());
            tell(&goal, form)?;
            return match reached {
                true => Ok(Code::Ok),
                false => {
                    let why = reason.unwrap_or_else(|| "it was given up".to_owned());
                    Err(Failure::new(Code::Failed, format!("the goal is not reached: {why}")).into())
                }
            };
        }
        tokio::time::sleep(WATCH_PAUSE).await;
        goal = client.goal(&goal.id).await?;
    }
}

/// Closes a goal, or says what would bring it nearer to that.
async fn close(client: &Client, goal: &str) -> Result<GoalView> {
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

async fn act(
    client: &Client,
    goal: &str,
    what: &str,
    params: &(impl serde::Serialize + Sync),
) -> Result<GoalView> {
    Ok(client.goal_do(&ids::goal(client, goal).await?, what, params).await?)
}

fn absolute(path: &std::path::Path) -> Result<String> {
    let found = path
        .canonicalize()
        .map_err(|error| Failure::usage(format!("the directory {}: {error}", path.display())))?;
    Ok(found.to_string_lossy().into_owned())
}

/// Says how a goal stands.
pub(crate) fn told(goal: &GoalView) -> Vec<String> {
    let mut lines =
        vec![format!("{}  {}  {} %  {}", goal.id, goal.status, goal.progress, visible(&goal.description))];
    for (index, criterion) in goal.acceptance.iter().enumerate() {
        let proof = criterion.evidence.as_ref().map_or_else(
            || "not proved yet".to_owned(),
            |evidence| {
                let tree = evidence
                    .tree
                    .as_ref()
                    .map_or_else(String::new, |tree| format!(", tree {}", &tree[..12.min(tree.len())]));
                format!(
                    "{}: {}{tree}",
                    if evidence.passed { "passed" } else { "failed" },
                    visible(&evidence.detail)
                )
            },
        );
        lines.push(format!("  {index}  {}  {proof}", visible(&criterion.text)));
    }
    for link in &goal.sessions {
        lines.push(format!("  {}  {}", link.session_id, link.state));
    }
    if let Some(pursuit) = &goal.pursuit {
        let why = pursuit.reason.as_deref().map_or_else(String::new, |why| format!(": {}", visible(why)));
        lines.push(format!(
            "  pursuit {}, attempt {} of {}{why}",
            pursuit.state, pursuit.attempt, pursuit.attempts_max
        ));
    }
    lines
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
