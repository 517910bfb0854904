//! `adjutant workspace …`

use super::{ids, print};
use adjutant_protocol::http::WorkspaceEntryView;
use adjutant_protocol::{Client, ExitCode as Code, UnsavedWork};
use anyhow::Result;
use clap::Subcommand;

/// What to do with workspaces.
#[derive(Debug, Subcommand)]
pub(crate) enum WorkspaceCommand {
    /// List workspaces, the newest first.
    Ls {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what a run's worktree changed since its base, untracked files included.
    Diff {
        /// A run's id, or a part that only one has.
        run: String,
    },
    /// Remove the workspace of a run that is over; a snapshot of a worktree stays.
    Rm {
        /// A run's id, or a part that only one has.
        run: String,
        /// Give up unsaved work; the snapshot of it stays.
        #[arg(long)]
        force: bool,
    },
}

pub(crate) async fn run(client: &Client, command: WorkspaceCommand) -> Result<Code> {
    match command {
        WorkspaceCommand::Ls { json } => {
            let found = client.workspaces().await?;
            if json {
                return print(&serde_json::to_string(&found)?);
            }
            for entry in found.workspaces {
                print(&line(&entry))?;
            }
            Ok(Code::Ok)
        }
        WorkspaceCommand::Diff { run } => diff(client, &ids::run(client, &run).await?).await,
        WorkspaceCommand::Rm { run, force } => {
            let unsaved = if force { UnsavedWork::GivenUp } else { UnsavedWork::Keeps };
            let removed = client.workspace_remove(&ids::run(client, &run).await?, unsaved).await?;
            match removed.snapshot_ref {
                Some(kept) => print(&format!("removed; its last state stays under {kept}")),
                None => print("removed"),
            }
        }
    }
}

/// Prints what the worktree of a run or a session changed.
pub(super) async fn diff(client: &Client, holder: &str) -> Result<Code> {
    let diff = client.workspace_diff(holder).await?;
    if diff.is_empty() { print("nothing changed") } else { print(&crate::progress::visible_lines(&diff)) }
}

fn line(entry: &WorkspaceEntryView) -> String {
    let unsaved = match (entry.changed_files, entry.unmerged_commits) {
        (Some(0), Some(0)) => "nothing unsaved".to_owned(),
        (Some(files), Some(commits)) => format!("{files} changed files, {commits} unmerged commits"),
        _ => String::new(),
    };
    format!(
        "{}  {:<9} {:<10} {}  {unsaved}",
        entry.id,
        entry.run_status.as_deref().unwrap_or("session"),
        entry.workspace.kind,
        entry.workspace.path
    )
}
