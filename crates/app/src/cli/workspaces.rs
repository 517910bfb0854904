//! `adjutant workspace …`

use super::{ids, print};
use crate::progress::{visible, visible_lines};
use adjutant_protocol::http::{
    LeftOutView, MergeParams, MergedView, RestoreParams, RestoredView, RoomView, SnapshotView,
    WorkspaceEntryView,
};
use adjutant_protocol::{Client, ExitCode as Code, UnsavedWork};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde::Serialize;
use std::path::PathBuf;

/// How many of the things that are in no snapshot are named.
const LEFT_OUT_SHOWN_MAX: usize = 10;

/// What to do with workspaces, and how to tell of it.
#[derive(Debug, Args)]
pub(crate) struct WorkspaceArgs {
    #[command(subcommand)]
    command: WorkspaceCommand,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

/// What to do with workspaces.
#[derive(Debug, Subcommand)]
enum WorkspaceCommand {
    /// List workspaces, the newest first.
    Ls,
    /// Show what a worktree changed since its base, untracked files included.
    Diff {
        /// A run's id or a session's, or a part that only one has.
        id: String,
    },
    /// List the snapshots of a workspace that is or was there, the first one first.
    Snapshots {
        /// A run's id or a session's, or a part that only one has.
        id: String,
    },
    /// Keep a worktree as it is now.
    Snapshot {
        /// A run's id or a session's, or a part that only one has.
        id: String,
    },
    /// Put a snapshot back: where the workspace is, behind a snapshot of what is there now, or where it was.
    Restore {
        /// A run's id or a session's, or a part that only one has.
        id: String,
        /// The number of a snapshot; without it the last one.
        #[arg(long, value_name = "NUMBER")]
        snapshot: Option<u32>,
        /// A new directory for it; it is yours then.
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// Merge what was committed in a workspace into a branch, when the checks pass on the merged tree.
    Merge {
        /// A run's id or a session's, or a part that only one has.
        id: String,
        #[command(flatten)]
        merge: MergeArgs,
    },
    /// Tell how much room workspaces take.
    Du,
    /// Remove the workspace of a run that is over; a snapshot of a worktree stays.
    Rm {
        /// A run's id, or a part that only one has.
        id: String,
        /// Give up unsaved work; the snapshot of it stays.
        #[arg(long)]
        force: bool,
    },
}

/// Into what a worktree is merged, and what has to pass before.
#[derive(Debug, Args)]
pub(super) struct MergeArgs {
    /// The branch.
    #[arg(long, value_name = "BRANCH")]
    into: String,
    /// A command line that has to pass on the merged tree; may be given often. Without it those of the goal.
    #[arg(long = "check", value_name = "COMMAND", conflicts_with = "no_check")]
    checks: Vec<String>,
    /// Merge without a check.
    #[arg(long)]
    no_check: bool,
}

pub(crate) async fn run(client: &Client, args: WorkspaceArgs) -> Result<Code> {
    let json = args.json;
    match args.command {
        WorkspaceCommand::Ls => {
            let found = client.workspaces().await?;
            told(json, &found, || found.workspaces.iter().map(line).collect::<Vec<_>>().join("\n"))
        }
        WorkspaceCommand::Diff { id } => diff(client, &ids::holder(client, &id).await?, json).await,
        WorkspaceCommand::Snapshots { id } => {
            let found = client.workspace_snapshots(&ids::holder(client, &id).await?).await?;
            told(json, &found, || match found.snapshots.is_empty() {
                true => "no snapshot was taken".to_owned(),
                false => found.snapshots.iter().map(snapshot_line).collect::<Vec<_>>().join("\n"),
            })
        }
        WorkspaceCommand::Snapshot { id } => {
            let taken = client.workspace_snapshot(&ids::holder(client, &id).await?).await?;
            told(json, &taken, || match taken.snapshots.first() {
                Some(snapshot) => snapshot_line(snapshot),
                None => "nothing changed since the last snapshot".to_owned(),
            })
        }
        WorkspaceCommand::Restore { id, snapshot, to } => {
            let to = to.map(|to| std::path::absolute(&to).with_context(|| format!("{}", to.display())));
            let to = to.transpose()?.map(|to| to.to_string_lossy().into_owned());
            let holder = ids::holder(client, &id).await?;
            let restored = client.workspace_restore(&holder, &RestoreParams { snapshot, to }).await?;
            told(json, &restored, || restored_text(&restored))
        }
        WorkspaceCommand::Merge { id, merge: args } => {
            merge(client, &ids::holder(client, &id).await?, (args, json)).await
        }
        WorkspaceCommand::Du => {
            let usage = client.workspaces_usage().await?;
            told(json, &usage, || usage_text(&usage))
        }
        WorkspaceCommand::Rm { id, force } => {
            let unsaved = if force { UnsavedWork::GivenUp } else { UnsavedWork::Keeps };
            let removed = client.workspace_remove(&ids::holder(client, &id).await?, unsaved).await?;
            told(json, &removed, || match &removed.snapshot_ref {
                Some(kept) => format!(
                    "removed; its last state stays under {kept}{}\n`adjutant workspace restore {}` gives it back",
                    left_out_text(&removed.left_out, removed.left_out.len() as u64),
                    removed.id
                ),
                None => "removed".to_owned(),
            })
        }
    }
}

/// Prints what the worktree of a run or a session changed.
pub(super) async fn diff(client: &Client, holder: &str, json: bool) -> Result<Code> {
    let diff = client.workspace_diff(holder).await?;
    told(json, &diff, || match diff.is_empty() {
        true => "nothing changed".to_owned(),
        false => visible_lines(&diff),
    })
}

/// Merges what was committed in the worktree of a run or a session.
pub(super) async fn merge(client: &Client, holder: &str, (args, json): (MergeArgs, bool)) -> Result<Code> {
    let MergeArgs { into, checks, no_check } = args;
    let merged = client.workspace_merge(holder, &MergeParams { into, checks, no_check }).await?;
    told(json, &merged, || merged_text(&merged))
}

fn told(json: bool, view: &impl Serialize, text: impl FnOnce() -> String) -> Result<Code> {
    if json {
        return print(&serde_json::to_string(view)?);
    }
    let text = text();
    if text.is_empty() { Ok(Code::Ok) } else { print(&text) }
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

fn snapshot_line(snapshot: &SnapshotView) -> String {
    let at = match (&snapshot.head, &snapshot.branch) {
        (Some(head), Some(branch)) => {
            format!("{} on {}", short(head), branch.strip_prefix("refs/heads/").unwrap_or(branch))
        }
        (Some(head), None) => format!("{} on no branch", short(head)),
        (None, _) => "before the first commit".to_owned(),
    };
    let left_out = left_out_text(&snapshot.left_out, snapshot.left_out_count);
    format!(
        "{:>4}  {}  {}  {}{left_out}",
        snapshot.number,
        snapshot.at,
        short(&snapshot.commit),
        visible(&at)
    )
}

fn left_out_text(left_out: &[LeftOutView], count: u64) -> String {
    if count == 0 {
        return String::new();
    }
    let named = left_out.iter().take(LEFT_OUT_SHOWN_MAX);
    let named: Vec<String> = named.map(|out| format!("{} ({})", visible(&out.path), out.why)).collect();
    let more = count.saturating_sub(named.len() as u64);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("; without {}{more}", named.join(", "))
}

fn restored_text(restored: &RestoredView) -> String {
    let place = &restored.workspace;
    let branch = place.branch.as_deref().unwrap_or("no branch");
    let before = match &restored.before_ref {
        Some(before) => format!("\nwhat was there before stays under {before}"),
        None => String::new(),
    };
    format!("{} is back in {} on {branch}{before}", restored.snapshot_ref, place.path)
}

fn merged_text(merged: &MergedView) -> String {
    if merged.is_unchanged {
        return format!("{} has everything already", visible(&merged.into));
    }
    let mut lines: Vec<String> = merged
        .checks
        .iter()
        .map(|check| format!("✓ {}  {}", visible(&check.command), visible(&check.summary)))
        .collect();
    lines.push(format!("{} is at {}", visible(&merged.into), short(&merged.commit)));
    lines.extend(merged.followed.as_ref().map(|path| format!("{} followed", visible(path))));
    lines.join("\n")
}

fn usage_text(usage: &RoomView) -> String {
    let mut lines = Vec::new();
    for one in &usage.workspaces {
        let whose = one.id.as_deref().unwrap_or("left behind by a crash");
        lines.push(format!("{:>10}  {}  {}", mebibytes(one.bytes), one.path, whose));
    }
    for one in &usage.repositories {
        lines.push(format!("{:>10}  cache {}", mebibytes(one.bytes), one.name));
    }
    let limit = usage.bytes_max.map_or_else(String::new, |max| format!(" of {}", mebibytes(max)));
    lines.push(format!("{:>10}{limit} together; {} snapshots", mebibytes(usage.bytes), usage.snapshots));
    lines.join("\n")
}

fn mebibytes(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20)
}

fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}
