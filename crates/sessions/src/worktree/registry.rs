//! What a repository knows of its worktrees.

use crate::git::{Call, Git, GitError};
use crate::repository;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a call is tried that another git's work on the same repository can make fail.
pub(super) const TRIES: u32 = 6;

/// How long is waited before the second try; each further one waits as much longer.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// What a repository knows of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// Nothing.
    Unknown,
    /// git was making a worktree there and did not get to the end.
    HalfMade,
    /// A worktree was made there; its directory may have gone since.
    Made,
}

/// Says what a repository knows of a path.
pub(super) async fn registered(git: &Git, project: &Path, path: &Path) -> Result<Entry, GitError> {
    Ok(entry_of(&list(git, project).await?, path))
}

/// Tells whether any worktree of a repository is on a branch, given by its full ref name.
pub(super) async fn is_checked_out(git: &Git, project: &Path, refname: &str) -> Result<bool, GitError> {
    Ok(checked_out_at(git, project, refname).await?.is_some())
}

/// Gives the worktree that is on a branch, given by its full ref name.
pub(super) async fn checked_out_at(
    git: &Git,
    project: &Path,
    refname: &str,
) -> Result<Option<PathBuf>, GitError> {
    let wanted = format!("branch {refname}");
    let list = list(git, project).await?;
    let block = list.split("\n\n").find(|block| block.lines().any(|line| line == wanted));
    Ok(block.and_then(|block| block.lines().next()?.strip_prefix("worktree ")).map(PathBuf::from))
}

/// Makes a repository forget a worktree whose directory is gone.
pub(super) async fn unregister(git: &Git, project: &Path, path: &Path) -> Result<(), GitError> {
    let path = path.to_string_lossy();
    // Twice: once for what is not clean, once for what is locked.
    let remove = ["worktree", "remove", "--force", "--force", "--", &path];
    patiently(git, &Call::new(project, &remove)).await?;
    Ok(())
}

/// Tells whether a worktree is linked to its repository, and mends a link that is gone or overwritten: git in there
/// would otherwise speak of whatever repository is around it.
pub(super) async fn is_linked(git: &Git, project: &Path, path: &Path) -> Result<bool, GitError> {
    if top_of(git, path).await.as_deref() == Some(path) {
        return Ok(true);
    }
    // It answers no even when it has mended what it complains about, so the link itself is looked at again.
    let repair = ["worktree", "repair", &path.to_string_lossy()];
    match patiently(git, &Call::new(project, &repair)).await {
        Ok(_) | Err(GitError::Failed { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(top_of(git, path).await.as_deref() == Some(path))
}

/// Gives the top of the working tree that a directory is in, links resolved; `None` when there is none.
pub(super) async fn top_of(git: &Git, dir: &Path) -> Option<PathBuf> {
    let top = git.line(&Call::new(dir, &["rev-parse", "--show-toplevel"])).await.ok()?;
    PathBuf::from(top).canonicalize().ok()
}

/// Gives the top of the working tree that a project is in, or the project itself when it is a cache of ours; `None`
/// when it is neither.
pub(super) async fn repository_of(git: &Git, project: &Path) -> Option<PathBuf> {
    match top_of(git, project).await {
        Some(top) => Some(top),
        None => {
            let is_cache = repository::is_cache(git, project).await.unwrap_or(false);
            if is_cache { project.canonicalize().ok() } else { None }
        }
    }
}

/// Lists the worktrees: blocks of lines, each with the path first. Not `-z`, which older versions of git lack: a path
/// of ours never has a line end in it, and another's can only be missed.
async fn list(git: &Git, project: &Path) -> Result<String, GitError> {
    let output = patiently(git, &Call::new(project, &["worktree", "list", "--porcelain"])).await?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

/// Makes a call that reads every worktree's entry. git dies of one that another git is writing in this moment.
async fn patiently(git: &Git, call: &Call<'_>) -> Result<Vec<u8>, GitError> {
    let mut tried = 1;
    loop {
        match git.output(call).await {
            Err(GitError::Failed { .. }) if tried < TRIES => tokio::time::sleep(RETRY_PAUSE * tried).await,
            answer => return answer,
        }
        tried += 1;
    }
}

fn entry_of(list: &str, path: &Path) -> Entry {
    let is_ours = |block: &&str| {
        block
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("worktree "))
            .is_some_and(|at| Path::new(at) == path)
    };
    match list.split("\n\n").find(is_ours) {
        None => Entry::Unknown,
        // The reason that git itself gives while it makes a worktree.
        Some(block) if block.lines().any(|line| line == "locked initializing") => Entry::HalfMade,
        Some(_) => Entry::Made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worktree_that_git_did_not_finish_is_told_from_a_finished_one() {
        let list = "worktree /p\nHEAD aaaa\nbranch refs/heads/main\n\n\
            worktree /w/with space\nHEAD aaaa\nbranch refs/heads/x\n\n\
            worktree /w/half\nHEAD 0000\ndetached\nlocked initializing\n\n\
            worktree /w/locked\nHEAD aaaa\ndetached\nlocked by me\n\n";
        let table = [
            ("/w/with space", Entry::Made),
            ("/w/half", Entry::HalfMade),
            ("/w/locked", Entry::Made),
            ("/w/hal", Entry::Unknown),
            ("/w", Entry::Unknown),
        ];
        for (path, expected) in table {
            assert_eq!(entry_of(list, Path::new(path)), expected, "{path}");
        }
    }
}
