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
}
