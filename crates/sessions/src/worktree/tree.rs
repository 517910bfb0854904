//! The git tree of a directory as it is.

use crate::git::{Git, GitError};
use std::path::Path;

/// Gives the git tree hash of the worktree that `dir` is in, as it is: untracked files included, ignored ones not.
///
/// It equals `HEAD^{tree}` once everything is committed. The files' content is written to the repository's object
/// store; index and refs stay as they are.
///
/// # Errors
/// [`GitError`]
pub async fn tree_hash(git: &Git, dir: &Path) -> Result<String, GitError> {
    let _ = (git, dir);
    todo!()
}
