//! Workspaces on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The directory that a run works in.
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

/// A workspace and its run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkspaceEntryView {
    /// The run.
    pub run_id: String,
    /// Where the run stands.
    pub run_status: String,
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
    /// The run.
    pub run_id: String,
    /// Where its last state is kept, for a worktree.
    pub snapshot_ref: Option<String>,
}
