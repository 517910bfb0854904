//! `adjutant approvals`: what agents wait for.

use super::print;
use crate::progress::visible;
use adjutant_protocol::http::{ApprovalAnswer, ApprovalView};
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::Result;
use clap::{Args, Subcommand};

/// What to do with approvals.
#[derive(Debug, Args)]
pub(crate) struct ApprovalsArgs {
    /// Show those that were answered as well.
    #[arg(long)]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    command: Option<ApprovalsCommand>,
}

#[derive(Debug, Subcommand)]
enum ApprovalsCommand {
    /// Let the action go on, or answer a question.
    Approve {
        #[command(flatten)]
        answer: AnswerArgs,
        /// Which of the question's options is meant; the first when nothing is said.
        #[arg(long)]
        option: Option<String>,
    },
    /// Refuse the action.
    Deny(AnswerArgs),
}

#[derive(Debug, Args)]
struct AnswerArgs {
    /// The approval's id.
    id: String,
    /// Why, for the record.
    #[arg(long, default_value = "")]
    reason: String,
}

pub(crate) async fn run(client: &Client, args: ApprovalsArgs) -> Result<Code> {
    let (answer, decision, option) = match args.command {
        None if args.json => {
            return print(&serde_json::to_string(&client.approvals(args.all.then_some("all")).await?)?);
        }
        None => return list(client, args.all).await,
        Some(ApprovalsCommand::Approve { answer, option }) => (answer, "approve", option),
        Some(ApprovalsCommand::Deny(answer)) => (answer, "deny", None),
    };
    let said = ApprovalAnswer { decision: decision.to_owned(), reason: answer.reason, option };
    let approval = client.approval_answer(&answer.id, &said).await?;
    print(&line(&approval))
}

async fn list(client: &Client, all: bool) -> Result<Code> {
    let approvals = client.approvals(all.then_some("all")).await?.approvals;
    if approvals.is_empty() {
        return print("nobody waits for an answer");
    }
    for approval in &approvals {
        print(&line(approval))?;
    }
    Ok(Code::Ok)
}

fn line(approval: &ApprovalView) -> String {
    let who = approval.agent_id.as_deref().or(approval.run_id.as_deref()).unwrap_or("the owner");
    let option =
        approval.option.as_deref().map_or_else(String::new, |option| format!(": {}", visible(option)));
    let until = match approval.status.as_str() {
        "pending" => format!("until {}", approval.deadline),
        _ => format!("by {}", approval.resolved_by.as_deref().unwrap_or("nobody")),
    };
    format!(
        "{}  {:<9} {}: {} {}\n    {}\n    {until}{option}",
        approval.id,
        approval.status,
        visible(who),
        visible(&approval.tool),
        visible(&approval.parameters.to_string()),
        visible(&approval.reason),
    )
}
