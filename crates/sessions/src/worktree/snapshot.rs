//! Keeping a worktree's content under a ref.

use crate::git::{Git, GitError};
use std::path::Path;

/// A tree that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The ref it is kept under.
    pub refname: String,
    /// The commit; its parent is where the worktree was.
    pub commit: String,
}

/// What to keep, and where.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotParams<'a> {
    /// The worktree.
    pub dir: &'a Path,
    /// A full ref name such as `refs/adjutant/snapshots/run_0123/1`; not below `refs/heads`.
    pub refname: &'a str,
    /// The branch of the workspace: commits that it has are safe without a snapshot.
    pub branch: Option<&'a str>,
}

/// Commits the tree as it is, untracked files included and ignored ones not, to a ref.
///
/// `None` when there is nothing to keep: the tree is that of `HEAD`, and `HEAD` is on `branch`. Branch, index and
/// working tree stay as they are. Called again with nothing changed it gives the snapshot that is there.
///
/// # Errors
/// [`GitError`]
pub async fn snapshot(git: &Git, params: SnapshotParams<'_>) -> Result<Option<Snapshot>, GitError> {
    let _ = (git, params);
    todo!()
}
