//! Keeping a worktree's content under a ref.

use super::status::head;
use super::tree::tree_hash;
use crate::git::{Call, Git, GitError};
use std::path::Path;

/// A tree that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The ref it is kept under.
    pub refname: String,
    /// The commit; its first parent is the commit that the worktree was at.
    pub commit: String,
}

/// What to keep, and where.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotParams<'a> {
    /// The worktree.
    pub dir: &'a Path,
    /// A full ref name such as `refs/adjutant/snapshots/run_0123/1`; not a branch, tag or remote.
    pub refname: &'a str,
}

/// Commits the tree as it is, untracked files included and ignored ones not, to a ref.
///
/// `None` when there is nothing to keep: the tree is that of `HEAD`, and `HEAD` is on a branch, tag or remote.
/// Branch, index and working tree stay as they are. Called again with nothing changed it gives the snapshot that is
/// there; when something has changed, the older snapshot becomes a parent of the new one, so it is never lost.
///
/// # Errors
/// [`GitError`]
pub async fn snapshot(git: &Git, params: SnapshotParams<'_>) -> Result<Option<Snapshot>, GitError> {
    let SnapshotParams { dir, refname } = params;
    validate(git, params).await?;
    let tree = tree_hash(git, dir).await?;
    let head = head(git, dir).await?;
    if tree == tree_of(git, dir, &head).await? && is_kept(git, dir, &head).await? {
        return Ok(None);
    }
    let kept = |commit| Ok(Some(Snapshot { refname: refname.to_owned(), commit }));
    let older = git.commit_of(dir, refname).await?;
    if let Some(older) = &older
        && tree_of(git, dir, older).await? == tree
        && git.commit_of(dir, &format!("{older}^1")).await?.as_deref() == Some(&head)
    {
        return kept(older.clone());
    }
    let commit = commit(git, dir, CommitParams { tree: &tree, head: &head, older: older.as_deref() }).await?;
    // The old value guards against somebody else's snapshot in between; an empty one means that there is none yet.
    let expected = older.unwrap_or_default();
    git.output(&Call::new(dir, &["update-ref", refname, &commit, &expected])).await?;
    kept(commit)
}

async fn validate(git: &Git, params: SnapshotParams<'_>) -> Result<(), GitError> {
    let SnapshotParams { dir, refname } = params;
    let shown = ["refs/heads/", "refs/tags/", "refs/remotes/"];
    let is_ours = refname.starts_with("refs/") && !shown.iter().any(|prefix| refname.starts_with(prefix));
    if is_ours && git.ask(&Call::new(dir, &["check-ref-format", refname])).await?.is_some() {
        return Ok(());
    }
    Err(GitError::RefName { refname: refname.to_owned() })
}

struct CommitParams<'a> {
    tree: &'a str,
    head: &'a str,
    older: Option<&'a str>,
}

async fn commit(git: &Git, dir: &Path, params: CommitParams<'_>) -> Result<String, GitError> {
    let message = format!("Snapshot of the workspace {}", dir.display());
    let mut args = vec!["commit-tree", "-p", params.head, "-m", &message];
    args.extend(params.older.into_iter().flat_map(|older| ["-p", older]));
    args.push(params.tree);
    let mut call = Call::new(dir, &args);
    // A snapshot must not depend on whether the user has told git a name.
    for who in ["AUTHOR", "COMMITTER"] {
        call = call
            .with_env(&format!("GIT_{who}_NAME"), "Adjutant")
            .with_env(&format!("GIT_{who}_EMAIL"), "adjutant@localhost");
    }
    git.line(&call).await
}

async fn tree_of(git: &Git, dir: &Path, commit: &str) -> Result<String, GitError> {
    let tree = format!("{commit}^{{tree}}");
    git.line(&Call::new(dir, &["rev-parse", "--verify", "--end-of-options", &tree])).await
}

/// Tells whether a branch, tag or remote has a commit.
async fn is_kept(git: &Git, dir: &Path, commit: &str) -> Result<bool, GitError> {
    let args = ["rev-list", "--count", "--max-count=1", commit, "--not", "--branches", "--tags", "--remotes"];
    Ok(git.count(&Call::new(dir, &args)).await? == 0)
}
