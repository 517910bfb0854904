//! Merging into a branch, in two halves: what comes out is there to be looked at before the branch knows of it.
//!
//! ```text
//! merge_begin ── a worktree with the merge ── checks ──┬── merge_finish: the branch is moved, if it is where it was
//!                                                      └── merge_abandon: nothing has changed
//! ```
//!
//! Between both halves the branch is locked for other merges of ours; the lock is the system's and ends with its holder.

use super::PlaceLock;
use super::create::check_branch_name;
use super::registry::{checked_out_at, unregister};
use super::snapshot::by_adjutant;
use super::status::status;
use super::submodules::fill_submodules;
use super::{WorktreeError, head};
use crate::git::{Call, Git, GitError};
use crate::repository;
use adjutant_model::run::ErrorClass;
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};

/// How many files a conflict names.
const CONFLICTS_MAX: usize = 100;

/// What to merge, and into what.
#[derive(Debug, Clone, Copy)]
pub struct MergeParams<'a> {
    /// The repository.
    pub project: &'a Path,
    /// The commit to merge.
    pub source: &'a str,
    /// The branch to merge into; of a cache also one that only the remote has so far.
    pub into: &'a str,
    /// The message of a merge commit.
    pub message: &'a str,
    /// Where worktrees are made that last only as long as a merge.
    pub workspaces: &'a Path,
}

/// A merge that its branch does not know of yet.
#[derive(Debug)]
pub struct MergeTrial {
    project: PathBuf,
    into: String,
    /// Where the branch is; `None` when it is made.
    old: Option<String>,
    /// The worktree with what comes out.
    pub dir: PathBuf,
    /// The commit that comes out.
    pub commit: String,
    /// Whether it is the merged commit itself.
    pub is_fast_forward: bool,
    _lock: PlaceLock,
}

/// What the first half came to.
#[derive(Debug)]
pub enum MergeBegun {
    /// The branch has the commit already.
    Nothing {
        /// Where it is.
        commit: String,
    },
    /// There is something to look at.
    Trial(Box<MergeTrial>),
}

/// Why nothing was merged; the branch is where it was.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// The branch's name is none, or the repository is none.
    #[error(transparent)]
    Worktree(#[from] WorktreeError),
    /// There is no such branch.
    #[error("there is no branch `{branch}` in {}", project.display())]
    NoBranch {
        /// What was given.
        branch: String,
        /// The repository.
        project: PathBuf,
    },
    /// Both have changed the same.
    #[error("`{branch}` and the workspace have changed the same in {}", files.join(", "))]
    Conflict {
        /// The branch.
        branch: String,
        /// The files.
        files: Vec<String>,
    },
    /// Somebody works on the branch and has not committed.
    #[error("`{branch}` is checked out in {}, which has changes that are not committed", path.display())]
    Dirty {
        /// The branch.
        branch: String,
        /// The working tree.
        path: PathBuf,
    },
    /// Somebody has moved the branch meanwhile.
    #[error("`{branch}` was moved while its merge was looked at")]
    Moved {
        /// The branch.
        branch: String,
    },
    /// A file could not be written.
    #[error("{} cannot be used for a merge", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// git failed.
    #[error("the merge failed")]
    Git(#[from] GitError),
}

impl MergeError {
    /// Tells what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            MergeError::Worktree(error) => error.class(),
            MergeError::NoBranch { .. } | MergeError::Conflict { .. } | MergeError::Dirty { .. } => {
                ErrorClass::User
            }
            MergeError::Moved { .. } | MergeError::Io { .. } => ErrorClass::Retry,
            MergeError::Git(error) => error.class(),
        }
    }

    /// Says what a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            MergeError::Worktree(error) => error.hint(),
            MergeError::NoBranch { branch, project } => {
                Some(format!("make it first: git -C '{}' branch {branch}", project.display()))
            }
            MergeError::Conflict { branch, .. } => {
                Some(format!("merge `{branch}` into the workspace, solve it there, and try again"))
            }
            MergeError::Dirty { path, .. } => {
                Some(format!("commit or stash them in '{}', and try again", path.display()))
            }
            MergeError::Moved { .. } => Some("try again".to_owned()),
            MergeError::Io { .. } => None,
            MergeError::Git(error) => error.hint(),
        }
    }
}

/// Merges a commit into a branch in a worktree that lasts until the second half. Waits while another merge into the
/// branch is under way.
///
/// # Errors
/// [`MergeError`]; nothing is left then.
pub async fn merge_begin(git: &Git, params: MergeParams<'_>) -> Result<MergeBegun, MergeError> {
    let MergeParams { project, source, into, .. } = params;
    check_branch_name(git, project, into).await?;
    let lock = lock(git, project, into).await?;
    let refname = format!("refs/heads/{into}");
    let old = git.commit_of(project, &refname).await?;
    let start = match &old {
        Some(old) => old.clone(),
        None => remote_branch(git, project, into).await?,
    };
    if git.ask(&Call::new(project, &["merge-base", "--is-ancestor", source, &start])).await?.is_some() {
        return Ok(MergeBegun::Nothing { commit: start });
    }
    check_clean(git, project, into).await?;
    let digest = Sha256::digest(format!("{}\n{into}", project.display()));
    let dir = params.workspaces.join(format!(".merge-{}", &hex::encode(digest)[..16]));
    clear(git, project, &dir).await?;
    match merged(git, params, &start, &dir).await {
        Ok(commit) => Ok(MergeBegun::Trial(Box::new(MergeTrial {
            project: project.to_owned(),
            into: into.to_owned(),
            old,
            dir,
            is_fast_forward: commit == source,
            commit,
            _lock: lock,
        }))),
        Err(error) => {
            clear(git, project, &dir).await.ok();
            Err(error)
        }
    }
}

/// Moves the branch to what came out, and the working tree that is on it, when there is one. Gives that.
///
/// # Errors
/// [`MergeError`]; the branch is where it was then.
pub async fn merge_finish(git: &Git, trial: MergeTrial) -> Result<Option<PathBuf>, MergeError> {
    let MergeTrial { project, into, old, dir, commit, .. } = &trial;
    let moved = move_branch(git, project, into, old.as_deref(), commit).await;
    clear(git, project, dir).await.ok();
    moved
}

/// Gives up what came out.
///
/// # Errors
/// [`MergeError`] when the worktree cannot be removed; the next merge into the branch removes it.
pub async fn merge_abandon(git: &Git, trial: MergeTrial) -> Result<(), MergeError> {
    clear(git, &trial.project, &trial.dir).await
}

async fn lock(git: &Git, project: &Path, branch: &str) -> Result<PlaceLock, MergeError> {
    let common = ["rev-parse", "--path-format=absolute", "--git-common-dir"];
    let folder = PathBuf::from(git.line(&Call::new(project, &common)).await?).join("adjutant-merges");
    let io_error = |source| MergeError::Io { path: folder.clone(), source };
    std::fs::create_dir_all(&folder).map_err(io_error)?;
    let name = hex::encode(Sha256::digest(branch.as_bytes()));
    PlaceLock::acquire(&folder.join(&name[..16])).await.map_err(io_error)
}

/// Gives where a branch is that only the remote of a cache has.
async fn remote_branch(git: &Git, project: &Path, branch: &str) -> Result<String, MergeError> {
    let remote = match repository::is_cache(git, project).await? {
        true => git.commit_of(project, &format!("refs/remotes/origin/{branch}")).await?,
        false => None,
    };
    remote.ok_or_else(|| MergeError::NoBranch { branch: branch.to_owned(), project: project.to_owned() })
}

/// Refuses while the working tree that is on the branch has changes.
async fn check_clean(git: &Git, project: &Path, branch: &str) -> Result<Option<PathBuf>, MergeError> {
    let at = checked_out_at(git, project, &format!("refs/heads/{branch}")).await?;
    if let Some(path) = at.as_ref().filter(|path| path.is_dir())
        && status(git, path, None).await?.changed > 0
    {
        return Err(MergeError::Dirty { branch: branch.to_owned(), path: path.clone() });
    }
    Ok(at.filter(|path| path.is_dir()))
}

/// Makes the worktree and merges in it; gives the commit that comes out.
async fn merged(git: &Git, params: MergeParams<'_>, start: &str, dir: &Path) -> Result<String, MergeError> {
    let text = dir.to_string_lossy();
    let add = ["worktree", "add", "--quiet", "--detach", "--", &text, start];
    git.output(&Call::new(params.project, &add)).await?;
    let args =
        ["merge", "--quiet", "--ff", "--no-edit", "--no-stat", "-m", params.message, "--", params.source];
    let call = quietly(Call::new(dir, &args));
    let knows_user = git.ask(&Call::new(dir, &["var", "GIT_COMMITTER_IDENT"])).await.is_ok();
    let call = if knows_user { call } else { by_adjutant(call) };
    match git.output(&call).await {
        Ok(_) => {}
        Err(error) => {
            let list = ["diff", "--name-only", "--diff-filter=U", "-z"];
            let files = git.output(&Call::new(dir, &list)).await?;
            let files: Vec<String> = super::tree::paths(&files)
                .iter()
                .take(CONFLICTS_MAX)
                .map(|path| String::from_utf8_lossy(path).into_owned())
                .collect();
            return Err(match files.is_empty() {
                true => error.into(),
                false => MergeError::Conflict { branch: params.into.to_owned(), files },
            });
        }
    }
    // What cannot be filled is for the checks to miss.
    fill_submodules(git, dir).await?;
    Ok(head(git, dir).await?)
}

async fn move_branch(
    git: &Git,
    project: &Path,
    branch: &str,
    old: Option<&str>,
    commit: &str,
) -> Result<Option<PathBuf>, MergeError> {
    let refname = format!("refs/heads/{branch}");
    let moved = || MergeError::Moved { branch: branch.to_owned() };
    if git.commit_of(project, &refname).await?.as_deref() != old {
        return Err(moved());
    }
    if let Some(path) = check_clean(git, project, branch).await? {
        // It moves branch, index and files together, and refuses whatever would cost a file.
        let forward = ["merge", "--quiet", "--ff-only", "--no-stat", "--", commit];
        git.output(&quietly(Call::new(&path, &forward))).await?;
        let is_there = git.commit_of(project, &refname).await?.as_deref() == Some(commit);
        return if is_there { Ok(Some(path)) } else { Err(moved()) };
    }
    let update = ["update-ref", "-m", "adjutant: merge", &refname, commit, old.unwrap_or_default()];
    match git.output(&Call::new(project, &update)).await {
        Ok(_) => Ok(None),
        Err(GitError::Failed { .. }) if git.commit_of(project, &refname).await?.as_deref() != old => {
            Err(moved())
        }
        Err(error) => Err(error.into()),
    }
}

/// Leaves out what a user may have configured to happen beside a merge.
fn quietly(call: Call<'_>) -> Call<'_> {
    ["merge.autoStash=false", "rerere.enabled=false", "commit.gpgSign=false", "merge.verifySignatures=false"]
        .into_iter()
        .fold(call, Call::with_config)
}

/// Removes the worktree of a merge, that of one which was cut off included.
async fn clear(git: &Git, project: &Path, dir: &Path) -> Result<(), MergeError> {
    let io_error = |source| MergeError::Io { path: dir.to_owned(), source };
    match tokio::fs::remove_dir_all(dir).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(error)),
        Ok(()) | Err(_) => {}
    }
    if super::registry::registered(git, project, dir).await? != super::registry::Entry::Unknown {
        unregister(git, project, dir).await?;
    }
    Ok(())
}
