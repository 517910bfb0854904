//! Worktrees: a directory and a branch of its own for every run, and nothing of its work ever lost.
//!
//! A worktree is removed only behind a snapshot: its tree, untracked files included, as a commit under a ref that no
//! branch moves. Making one is idempotent, so that a crash in the middle is repaired by doing it again.

use crate::git::{Git, GitError};
use adjutant_model::run::{ErrorClass, WorkspaceKind, WorkspaceRecord};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// How often a creation that met another git's lock is tried.
const LOCK_TRIES: u32 = 20;
/// A diff that is shown is at most so long.
const DIFF_BYTES_MAX: usize = 4 << 20;

/// Why a worktree could not be made, read or removed.
#[derive(Debug, Error)]
pub enum WorktreeError {
    /// The project's directory is not there.
    #[error("the project directory {} is not there", .0.display())]
    NoDirectory(PathBuf),
    /// It is not a git repository with a work tree.
    #[error("{} is not in a git repository with a work tree", .0.display())]
    NotARepository(PathBuf),
    /// It has nothing to start from.
    #[error("the repository {} has no commit yet", .0.display())]
    NoCommit(PathBuf),
    /// Something else is where the worktree should be.
    #[error("{} is in the way of a new worktree", .0.display())]
    InTheWay(PathBuf),
    /// The workspace is not one that Adjutant made.
    #[error("{} is not below the workspaces folder and is never removed", .0.display())]
    NotOurs(PathBuf),
    /// It holds work that stands nowhere else.
    #[error("{} holds unsaved work: {}", path.display(), what.join(", "))]
    Unsaved {
        /// The worktree.
        path: PathBuf,
        /// What is not saved.
        what: Vec<String>,
    },
    /// Git said no.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The file system said no.
    #[error("{} could not be removed", path.display())]
    Io {
        /// What was to be removed.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl WorktreeError {
    /// Gives what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            WorktreeError::NoDirectory(_) => ErrorClass::Gone,
            WorktreeError::NotARepository(_) | WorktreeError::NoCommit(_) | WorktreeError::InTheWay(_) => {
                ErrorClass::User
            }
            WorktreeError::NotOurs(_) | WorktreeError::Unsaved { .. } => ErrorClass::User,
            WorktreeError::Git(error) => error.class(),
            WorktreeError::Io { .. } => ErrorClass::Retry,
        }
    }

    /// Gives what to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            WorktreeError::NoDirectory(_) => Some("check the path".to_owned()),
            WorktreeError::NotARepository(path) => {
                Some(format!("`git init {}` makes it one", path.display()))
            }
            WorktreeError::NoCommit(path) => Some(format!(
                "commit something first: `git -C {} commit --allow-empty -m start`",
                path.display()
            )),
            WorktreeError::Unsaved { .. } => Some(
                "commit and merge it, or remove it by force: a snapshot of it is kept either way".to_owned(),
            ),
            WorktreeError::InTheWay(path) => Some(format!("move {} away", path.display())),
            WorktreeError::NotOurs(_) | WorktreeError::Git(_) | WorktreeError::Io { .. } => None,
        }
    }
}

/// A worktree to make.
#[derive(Debug, Clone, Copy)]
pub struct WorktreeParams<'a> {
    /// A directory in the project's repository.
    pub project: &'a Path,
    /// Where the worktree goes; its parent is made.
    pub path: &'a Path,
    /// The branch it gets.
    pub branch: &'a str,
}

/// Finds the repository that a directory is in, and that something can start from it.
///
/// # Errors
/// [`WorktreeError`] with a hint when it cannot be worked on.
pub async fn project_root(git: &Git, project: &Path) -> Result<PathBuf, WorktreeError> {
    if !project.is_dir() {
        return Err(WorktreeError::NoDirectory(project.to_owned()));
    }
    let root = match git.text(project, &["rev-parse", "--show-toplevel"]).await {
        Ok(root) if !root.is_empty() => PathBuf::from(root),
        Ok(_) | Err(GitError::Failed { .. }) => {
            return Err(WorktreeError::NotARepository(project.to_owned()));
        }
        Err(error) => return Err(error.into()),
    };
    match git.succeeds(&root, &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]).await? {
        true => Ok(root),
        false => Err(WorktreeError::NoCommit(root)),
    }
}

/// Makes a worktree on a branch of its own that starts at the project's `HEAD`.
///
/// Doing it again finds what is there: the branch stays where it is, and a half-made directory is finished.
///
/// # Errors
/// [`WorktreeError`]
pub async fn create(git: &Git, params: WorktreeParams<'_>) -> Result<WorkspaceRecord, WorktreeError> {
    let root = project_root(git, params.project).await?;
    for attempt in 1.. {
        match try_create(git, &root, params).await {
            Err(WorktreeError::Git(error)) if error.is_lock() && attempt < LOCK_TRIES => {
                tokio::time::sleep(Duration::from_millis(u64::from(attempt) * 20)).await;
            }
            made => return made,
        }
    }
    unreachable!("the loop returns at its last attempt")
}

async fn try_create(
    git: &Git,
    root: &Path,
    params: WorktreeParams<'_>,
) -> Result<WorkspaceRecord, WorktreeError> {
    let path = params.path.to_string_lossy();
    let branch_ref = format!("refs/heads/{}", params.branch);
    if !is_ready(git, params).await? {
        // A directory that git does not know, or knows and does not find, is a creation that a crash cut short.
        git.bytes(root, &["worktree", "prune"]).await?;
        if params.path.join(".git").exists() {
            git.bytes(root, &["worktree", "remove", "--force", "--force", &path]).await?;
        } else if params.path.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(WorktreeError::InTheWay(params.path.to_owned()));
        }
        let exists = git.succeeds(root, &["rev-parse", "--verify", "--quiet", &branch_ref]).await?;
        let args: &[&str] = match exists {
            true => &["worktree", "add", "--quiet", "--force", &path, params.branch],
            false => &["worktree", "add", "--quiet", "--force", "-b", params.branch, &path, "HEAD"],
        };
        git.bytes(root, args).await?;
    }
    let base = git.text(root, &["merge-base", "HEAD", &branch_ref]).await;
    let base = match base {
        Ok(base) => base,
        Err(_) => git.text(root, &["rev-parse", &branch_ref]).await?,
    };
    Ok(WorkspaceRecord {
        kind: WorkspaceKind::Worktree,
        path: path.into_owned(),
        project: Some(root.to_string_lossy().into_owned()),
        branch: Some(params.branch.to_owned()),
        base: Some(base),
        node: "local".to_owned(),
    })
}

/// Tells whether the worktree is there, on its branch, with its files checked out.
async fn is_ready(git: &Git, params: WorktreeParams<'_>) -> Result<bool, WorktreeError> {
    if !params.path.join(".git").is_file() {
        return Ok(false);
    }
    let branch = match git.text(params.path, &["symbolic-ref", "--short", "HEAD"]).await {
        Ok(branch) => branch,
        Err(GitError::Failed { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    // Git writes the index last: without it the checkout did not end.
    let index = git.text(params.path, &["rev-parse", "--git-path", "index"]).await?;
    Ok(branch == params.branch && params.path.join(index).is_file())
}

/// Gives the git tree of a directory as it is: untracked files included, ignored ones not.
///
/// The user's index and refs stay untouched. `None` when the directory is not in a git work tree.
///
/// # Errors
/// [`WorktreeError`]
pub async fn tree_hash(git: &Git, dir: &Path) -> Result<Option<String>, WorktreeError> {
    if !is_work_tree(git, dir).await? {
        return Ok(None);
    }
    let root = PathBuf::from(git.text(dir, &["rev-parse", "--show-toplevel"]).await?);
    let scratch = tempfile::tempdir().map_err(|source| WorktreeError::Io { path: root.clone(), source })?;
    let index = scratch.path().join("index");
    // A copy of the real index spares git from reading every file again.
    let real = root.join(git.text(&root, &["rev-parse", "--git-path", "index"]).await?);
    drop(tokio::fs::copy(&real, &index).await);
    let apart = git.with("GIT_INDEX_FILE", &index.to_string_lossy());
    apart.bytes(&root, &["add", "--all", "--", "."]).await?;
    Ok(Some(apart.text(&root, &["write-tree"]).await?))
}

/// Tells whether a directory is in a git work tree.
async fn is_work_tree(git: &Git, dir: &Path) -> Result<bool, WorktreeError> {
    match git.text(dir, &["rev-parse", "--is-inside-work-tree"]).await {
        Ok(text) => Ok(text == "true"),
        Err(GitError::Failed { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Gives what a worktree changed since its base, untracked files included.
///
/// # Errors
/// [`WorktreeError`]
pub async fn diff(git: &Git, workspace: &WorkspaceRecord) -> Result<String, WorktreeError> {
    let dir = Path::new(&workspace.path);
    let Some(tree) = tree_hash(git, dir).await? else {
        return Err(WorktreeError::NotARepository(dir.to_owned()));
    };
    let base = workspace.base.as_deref().unwrap_or("HEAD");
    let mut diff = git.text(dir, &["diff", "--no-color", "--no-ext-diff", base, &tree]).await?;
    if diff.len() > DIFF_BYTES_MAX {
        diff.truncate(diff.floor_char_boundary(DIFF_BYTES_MAX));
        diff.push_str("\n…[truncated]\n");
    }
    Ok(diff)
}

/// What a worktree holds that stands nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unsaved {
    /// Files that differ from the last commit, untracked ones included.
    pub changed_files: usize,
    /// Commits that no other branch and no remote has.
    pub unmerged_commits: usize,
}

impl Unsaved {
    fn told(&self) -> Vec<String> {
        let mut what = Vec::new();
        if self.changed_files > 0 {
            what.push(format!("{} changed or untracked files", self.changed_files));
        }
        if self.unmerged_commits > 0 {
            what.push(format!("{} commits that no other branch has", self.unmerged_commits));
        }
        what
    }
}

/// Gives what a worktree holds that stands nowhere else.
///
/// # Errors
/// [`WorktreeError`]
pub async fn unsaved(git: &Git, workspace: &WorkspaceRecord) -> Result<Unsaved, WorktreeError> {
    let dir = Path::new(&workspace.path);
    let status =
        git.bytes(dir, &["status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames"]).await?;
    let branch = workspace.branch.as_deref().unwrap_or("HEAD");
    let exclude = format!("--exclude={branch}");
    let args = ["rev-list", "--count", "HEAD", "--not", &exclude, "--branches", "--remotes"];
    let unmerged = git.text(dir, &args).await?;
    Ok(Unsaved {
        changed_files: status.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).count(),
        unmerged_commits: unmerged.parse().unwrap_or(0),
    })
}

/// Keeps a worktree as it is under a ref, untracked files included, without moving its branch or index.
///
/// Gives the commit. When nothing differs from the last commit, the ref names that one.
///
/// # Errors
/// [`WorktreeError`]
pub async fn snapshot(git: &Git, dir: &Path, refname: &str) -> Result<String, WorktreeError> {
    let Some(tree) = tree_hash(git, dir).await? else {
        return Err(WorktreeError::NotARepository(dir.to_owned()));
    };
    let head = git.text(dir, &["rev-parse", "HEAD"]).await?;
    let commit = match git.text(dir, &["rev-parse", "HEAD^{tree}"]).await? == tree {
        true => head,
        false => git.text(dir, &["commit-tree", &tree, "-p", &head, "-m", "adjutant: snapshot"]).await?,
    };
    git.bytes(dir, &["update-ref", refname, &commit]).await?;
    Ok(commit)
}

/// How much a removal may give up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveMode {
    /// Nothing: unsaved work is a refusal.
    Careful,
    /// The directory; the snapshot stays.
    Forced,
}

/// A worktree to remove.
#[derive(Debug, Clone, Copy)]
pub struct RemoveParams<'a> {
    /// The worktree.
    pub workspace: &'a WorkspaceRecord,
    /// The folder that all worktrees of ours are in.
    pub workspaces_folder: &'a Path,
    /// Where its last state is kept.
    pub snapshot_ref: &'a str,
    /// How much may be given up.
    pub mode: RemoveMode,
}

/// Removes a worktree behind a snapshot, and gives the snapshot's commit; its branch stays.
///
/// Doing it again after a crash finishes it.
///
/// # Errors
/// [`WorktreeError::Unsaved`] unless forced; [`WorktreeError::NotOurs`] for a directory elsewhere.
pub async fn remove(git: &Git, params: RemoveParams<'_>) -> Result<Option<String>, WorktreeError> {
    let path = PathBuf::from(&params.workspace.path);
    if !is_below(&path, params.workspaces_folder) {
        return Err(WorktreeError::NotOurs(path));
    }
    let project = params.workspace.project.as_deref().map(Path::new);
    if !path.exists() {
        if let Some(project) = project.filter(|project| project.is_dir()) {
            git.bytes(project, &["worktree", "prune"]).await?;
        }
        return Ok(None);
    }
    let unsaved = unsaved(git, params.workspace).await?;
    if params.mode == RemoveMode::Careful && unsaved != Unsaved::default() {
        return Err(WorktreeError::Unsaved { path, what: unsaved.told() });
    }
    let commit = snapshot(git, &path, params.snapshot_ref).await?;
    let root = project.unwrap_or(&path);
    git.bytes(root, &["worktree", "remove", "--force", &params.workspace.path]).await?;
    Ok(Some(commit))
}

fn is_below(path: &Path, folder: &Path) -> bool {
    match (path.canonicalize(), folder.canonicalize()) {
        (Ok(path), Ok(folder)) => path != folder && path.starts_with(folder),
        // What is gone already is judged by its name.
        (Err(_), Ok(_)) => path.starts_with(folder) && !path.components().any(|c| c.as_os_str() == ".."),
        (Ok(_) | Err(_), Err(_)) => false,
    }
}
