//! `adjutant issue …` and `adjutant enhance …`: requests to change a blueprint, and what became of them.

use super::{blueprint, ids, print};
use crate::exit::Failure;
use crate::progress::visible;
use adjutant_protocol::http::{
    EnhanceEntryView, EnhanceSettingParams, IssueCancelParams, IssueParams, IssueView,
};
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::Result;
use clap::Subcommand;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often an issue is looked at that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// What to do with issues.
#[derive(Debug, Subcommand)]
pub(crate) enum IssueCommand {
    /// Ask for a blueprint to be changed.
    Open {
        /// The blueprint's id.
        blueprint: String,
        /// What is wanted, in words.
        intent: String,
        /// Wait until it is decided; fails when the blueprint stays as it is.
        #[arg(long)]
        wait: bool,
    },
    /// List issues, the newest first.
    Ls {
        /// Of this blueprint.
        #[arg(long)]
        blueprint: Option<String>,
        /// In this state: pending, in_flight, applied, rejected, cancelled.
        #[arg(long)]
        status: Option<String>,
    },
    /// Show an issue.
    Show {
        /// An issue's id, or a part that only one has.
        issue: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take an issue back; the run that handles it is cancelled.
    Cancel {
        /// An issue's id, or a part that only one has.
        issue: String,
        /// Why, for the record.
        #[arg(long, default_value = "")]
        reason: String,
    },
}

/// What to do with the enhance loop.
#[derive(Debug, Subcommand)]
pub(crate) enum EnhanceCommand {
    /// Show how issues were decided, the oldest first; or one of them, with what each axis said.
    Log {
        /// An issue's id, or a part that only one has.
        issue: Option<String>,
        /// About this blueprint.
        #[arg(long)]
        blueprint: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// How issues are handled.
    #[command(subcommand)]
    Settings(SettingsCommand),
}

/// What to do with settings.
#[derive(Debug, Subcommand)]
pub(crate) enum SettingsCommand {
    /// List their ids.
    Ls,
    /// Show one as JSON.
    Show {
        /// Its id.
        #[arg(default_value = "default")]
        id: String,
    },
    /// Keep one; issues are handled by the one that is called `default`.
    Put {
        /// Its id.
        id: String,
        /// The file, YAML or JSON: ttl_secs, spawner, verifier_axes, blueprint_id.
        file: PathBuf,
    },
    /// Remove one.
    Rm {
        /// Its id.
        id: String,
    },
}

pub(crate) async fn issue(client: &Client, command: IssueCommand) -> Result<Code> {
    match command {
        IssueCommand::Open { blueprint: blueprint_id, intent, wait } => {
            let opened = client.issue_open(&IssueParams { blueprint_id, intent }).await?;
            if wait { ended(client, &opened.issue_id).await } else { print(&opened.issue_id) }
        }
        IssueCommand::Ls { blueprint, status } => {
            for issue in client.issues(blueprint.as_deref(), status.as_deref()).await?.issues {
                print(&line(&issue))?;
            }
            Ok(Code::Ok)
        }
        IssueCommand::Show { issue, json } => {
            let issue = client.issue(&ids::issue(client, &issue).await?).await?;
            if json { print(&serde_json::to_string(&issue)?) } else { show(&issue) }
        }
        IssueCommand::Cancel { issue, reason } => {
            let id = ids::issue(client, &issue).await?;
            print(&line(&client.issue_cancel(&id, &IssueCancelParams { reason }).await?))
        }
    }
}

/// Waits until an issue is decided, and says how.
async fn ended(client: &Client, id: &str) -> Result<Code> {
    let mut told = None;
    loop {
        let issue = client.issue(id).await?;
        match issue.status.as_str() {
            "pending" | "in_flight" if told.as_ref() == Some(&issue) => tokio::time::sleep(LOOK_EVERY).await,
            "pending" | "in_flight" => {
                print(&line(&issue))?;
                told = Some(issue);
            }
            "applied" => return print(&line(&issue)),
            _ => {
                let reason = issue.reason.as_deref().unwrap_or("nobody said why");
                let message = format!("{} is {}: {}", issue.issue_id, issue.status, visible(reason));
                return Err(Failure::new(Code::Failed, message)
                    .hinted(format!("`adjutant enhance log {id}`"))
                    .into());
            }
        }
    }
}

fn line(issue: &IssueView) -> String {
    let behind = match (&issue.new_version, &issue.reason) {
        (Some(version), _) => format!("\n    version {version}"),
        (None, Some(reason)) if issue.status == "pending" => format!("\n    waits for {}", visible(reason)),
        (None, Some(reason)) => format!("\n    {}", visible(reason)),
        (None, None) => String::new(),
    };
    format!(
        "{}  {:<9}  {}  {}{behind}",
        issue.issue_id,
        issue.status,
        issue.blueprint_id,
        visible(&issue.intent)
    )
}

fn show(issue: &IssueView) -> Result<Code> {
    print(&line(issue))?;
    print(&format!("    opened by {} at {}", visible(&issue.author), issue.created_at))?;
    if let (Some(run), Some(base)) = (&issue.run_id, &issue.base_version) {
        print(&format!("    run {run}, on version {base}"))?;
    }
    Ok(Code::Ok)
}

pub(crate) async fn enhance(client: &Client, command: EnhanceCommand) -> Result<Code> {
    match command {
        EnhanceCommand::Log { issue: Some(issue), json, .. } => {
            let entry = client.enhance_entry(&ids::issue(client, &issue).await?).await?;
            if json { print(&serde_json::to_string(&entry)?) } else { verdicts(&entry) }
        }
        EnhanceCommand::Log { issue: None, blueprint, json } => {
            let entries = client.enhance_log(blueprint.as_deref()).await?;
            if json {
                return print(&serde_json::to_string(&entries)?);
            }
            for entry in &entries {
                print(&decision(entry))?;
            }
            Ok(Code::Ok)
        }
        EnhanceCommand::Settings(command) => settings(client, command).await,
    }
}

fn decision(entry: &EnhanceEntryView) -> String {
    let how = if entry.fault { "faulted" } else { &entry.status };
    let why = match entry.reasons.is_empty() {
        true => visible(&entry.rationale),
        false => visible(&entry.reasons.join("; ")),
    };
    format!("{}  {how:<8}  {}  {}\n    {why}", entry.issue_id, entry.blueprint_id, visible(&entry.intent))
}

fn verdicts(entry: &EnhanceEntryView) -> Result<Code> {
    print(&decision(entry))?;
    for verdict in &entry.verdicts {
        print(&format!(
            "    {:<10} {:<4} {}",
            visible(&verdict.axis),
            verdict.status,
            visible(&verdict.detail)
        ))?;
    }
    Ok(Code::Ok)
}

async fn settings(client: &Client, command: SettingsCommand) -> Result<Code> {
    match command {
        SettingsCommand::Ls => {
            for id in client.enhance_settings().await? {
                print(&id)?;
            }
            Ok(Code::Ok)
        }
        SettingsCommand::Show { id } => {
            print(&serde_json::to_string_pretty(&client.enhance_setting(&id).await?)?)
        }
        SettingsCommand::Put { id, file } => {
            let kept = client.enhance_setting_put(&id, &params(&file)?).await?;
            print(&format!("{} holds from the next epoch on: {}", kept.id, kept.verifier_axes.join(", ")))
        }
        SettingsCommand::Rm { id } => {
            client.enhance_setting_remove(&id).await?;
            print(&format!("{id} is removed"))
        }
    }
}

fn params(file: &Path) -> Result<EnhanceSettingParams> {
    let document = blueprint::document(file)?;
    serde_json::from_value(document)
        .map_err(|error| Failure::usage(format!("{} is no setting: {error}", file.display())).into())
}
