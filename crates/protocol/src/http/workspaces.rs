//! Workspaces on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The directory that a run or a session works in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkspaceView {
    /// `worktree`, `scratch` or `given`.
    pub kind: String,
    /// Its absolute path.
    pub path: String,
    /// The project's repository, for a worktree.
    pub project: Option<String>,
    /// The branch it is on, for a worktree.
    pub branch: Option<String>,
    /// The commit it started from, for a worktree.
    pub base: Option<String>,
    /// The machine it is on.
    pub node: String,
}

/// A workspace, and whose it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkspaceEntryView {
    /// Whose it is: the id of the run or the session.
    pub id: String,
    /// `run` or `session`.
    pub holder: String,
    /// Where the run stands; absent when it is a session's.
    pub run_status: Option<String>,
    /// The directory.
    pub workspace: WorkspaceView,
    /// Files that differ from the last commit; absent when it is no worktree or is gone.
    pub changed_files: Option<u64>,
    /// Commits that no other branch has; absent when it is no worktree or is gone.
    pub unmerged_commits: Option<u64>,
}

/// All workspaces, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkspacesView {
    /// The workspaces.
    pub workspaces: Vec<WorkspaceEntryView>,
}

/// A workspace that was removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RemovedView {
    /// Whose it was.
    pub id: String,
    /// Where its last state is kept, for a worktree.
    pub snapshot_ref: Option<String>,
    /// Ignored files and folders that no snapshot holds.
    #[serde(default)]
    pub left_out: Vec<LeftOutView>,
}

/// Something that a snapshot does not hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LeftOutView {
    /// Its path in the worktree; a folder's ends with `/`.
    pub path: String,
    /// `artefact`, `too_large`, `too_much`, `repository` or `unreadable`.
    pub why: String,
}

/// A worktree as it was once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotView {
    /// Its number among those of its workspace, from 1.
    pub number: u32,
    /// The ref that it is kept under, in the project.
    #[serde(rename = "ref")]
    pub refname: String,
    /// The commit, whose tree it is.
    pub commit: String,
    /// When it was taken.
    pub at: String,
    /// The commit that the worktree was at; absent before the first one.
    pub head: Option<String>,
    /// The full name of the branch that it was on; absent when it was on none.
    pub branch: Option<String>,
    /// What is not in it, the first hundred of it.
    pub left_out: Vec<LeftOutView>,
    /// How many things are not in it.
    pub left_out_count: u64,
}

/// The snapshots of a workspace, the first one first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotsView {
    /// The snapshots.
    pub snapshots: Vec<SnapshotView>,
}

/// What to put back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreParams {
    /// The number of a snapshot; without it the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<u32>,
    /// A new directory for it, absolute; without it the workspace's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// A snapshot that was put back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RestoredView {
    /// Where it is.
    pub workspace: WorkspaceView,
    /// The snapshot.
    pub snapshot_ref: String,
    /// What was there before, when it was put back in place and that was something else.
    pub before_ref: Option<String>,
}

/// What to merge into, and what has to pass.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MergeParams {
    /// The branch.
    pub into: String,
    /// Command lines that have to pass on the merged tree; without any those of the goal that is worked on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
    /// Merge without a check.
    #[serde(default)]
    pub no_check: bool,
}

/// What a merge did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MergedView {
    /// The branch.
    pub into: String,
    /// The commit that it is at.
    pub commit: String,
    /// Whether it had everything already.
    pub is_unchanged: bool,
    /// The checks that passed.
    pub checks: Vec<CheckedView>,
    /// The working tree that is on the branch and followed it.
    pub followed: Option<String>,
}

/// A check that passed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CheckedView {
    /// The command line.
    pub command: String,
    /// How it ended, in one line.
    pub summary: String,
}

/// What all workspaces take on the disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RoomView {
    /// Each directory.
    pub workspaces: Vec<WorkspaceUsageView>,
    /// Each cache of a remote repository.
    pub repositories: Vec<RepositoryUsageView>,
    /// How many snapshots there are in all projects.
    pub snapshots: u64,
    /// What all of it takes, in bytes.
    pub bytes: u64,
    /// What it may take, in bytes; absent when there is no limit.
    pub bytes_max: Option<u64>,
}

/// What a workspace takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkspaceUsageView {
    /// Whose it is; absent when a crash has left it.
    pub id: Option<String>,
    /// Where it is.
    pub path: String,
    /// How much, in bytes.
    pub bytes: u64,
}

/// What the cache of a remote repository takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RepositoryUsageView {
    /// Its name.
    pub name: String,
    /// How much, in bytes.
    pub bytes: u64,
}
