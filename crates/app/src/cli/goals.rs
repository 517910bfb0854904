//! `adjutant goal …`

use super::{ids, print};
use crate::exit::Failure;
use crate::progress::visible;
use adjutant_protocol::http::{
    CriterionParams, CriterionView, EvidenceParams, GoalParams, GoalStatusParams, GoalView, LinkParams,
    NoteParams,
};
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::Result;
use clap::Subcommand;
use serde_json::json;
use std::path::PathBuf;

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
        /// Print JSON.
        #[arg(long)]
        json: bool,
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

pub(crate) async fn run(client: &Client, command: GoalCommand) -> Result<Code> {
    let checks = matches!(command, GoalCommand::Check { .. });
    let goal = match command {
        GoalCommand::New { description, checks, texts, repo } => {
            let checks =
                checks.into_iter().map(|check| CriterionParams { text: String::new(), check: Some(check) });
            let texts = texts.into_iter().map(|text| CriterionParams { text, check: None });
            let project = repo.map(|repo| absolute(&repo)).transpose()?;
            client
                .goal_create(&GoalParams { description, acceptance: checks.chain(texts).collect(), project })
                .await?
        }
        GoalCommand::List { status } => {
            for goal in client.goals(status.as_deref()).await?.goals {
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
        GoalCommand::Show { goal, json } => {
            let goal = client.goal(&ids::goal(client, &goal).await?).await?;
            if json {
                return print(&serde_json::to_string(&goal)?);
            }
            goal
        }
        GoalCommand::Link { goal, run } => {
            let session_id = ids::run(client, &run).await?;
            act(client, &goal, "links", &LinkParams { session_id, task: "linked by hand".to_owned() }).await?
        }
        GoalCommand::Check { goal } => act(client, &goal, "check", &json!({})).await?,
        GoalCommand::Close { goal } => act(client, &goal, "close", &json!({})).await?,
        GoalCommand::SignOff { goal, criterion, person, words } => {
            act(client, &goal, "evidence", &EvidenceParams { criterion, person, words }).await?
        }
        GoalCommand::Note { goal, note } => act(client, &goal, "notes", &NoteParams { note }).await?,
        GoalCommand::Status { goal, status, reason } => {
            act(client, &goal, "status", &GoalStatusParams { status, reason }).await?
        }
    };
    for line in told(&goal) {
        print(&line)?;
    }
    let failed = |criterion: &CriterionView| criterion.evidence.as_ref().is_some_and(|proof| !proof.passed);
    Ok(if checks && goal.acceptance.iter().any(failed) { Code::Failed } else { Code::Ok })
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
    lines
}
