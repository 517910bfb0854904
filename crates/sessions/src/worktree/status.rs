//! What a worktree holds, compared with where it started.

use crate::git::{Git, GitError};
use std::path::Path;

/// What a worktree holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceStatus {
    /// The commit it is at.
    pub head: String,
    /// The branch it is on; `None` when it is on none.
    pub branch: Option<String>,
    /// How many tracked files differ from the commit.
    pub changed: usize,
    /// How many files are neither tracked nor ignored.
    pub untracked: usize,
    /// How many commits it is ahead of its base.
    pub ahead_of_base: usize,
    /// Repositories inside it with content that no snapshot of it would hold, as paths in it.
    pub nested_repositories: Vec<String>,
}

impl WorkspaceStatus {
    /// Tells whether there is anything that is not in a commit.
    pub fn is_dirty(&self) -> bool {
        self.changed > 0 || self.untracked > 0 || !self.nested_repositories.is_empty()
    }
}

/// The difference between a worktree and a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// A patch in git's form, at most 1 MiB of whole lines; what is not UTF-8 in it is shown as U+FFFD.
    pub text: String,
    /// Whether the patch is longer than that.
    pub truncated: bool,
}

/// Says what a worktree holds; `base` is the commit it started from.
///
/// # Errors
/// [`GitError`]
pub async fn status(git: &Git, dir: &Path, base: Option<&str>) -> Result<WorkspaceStatus, GitError> {
    let _ = (git, dir, base);
    todo!()
}

/// Gives what has changed since `base`, commits or not, untracked files included.
///
/// # Errors
/// [`GitError`]
pub async fn diff(git: &Git, dir: &Path, base: &str) -> Result<Diff, GitError> {
    let _ = (git, dir, base);
    todo!()
}

/// Gives the commit that a worktree is at, as its full hash.
///
/// # Errors
/// [`GitError`]; a repository without a commit is one.
pub async fn head(git: &Git, dir: &Path) -> Result<String, GitError> {
    let _ = (git, dir);
    todo!()
}
