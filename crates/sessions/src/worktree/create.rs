//! Making a worktree.

use crate::git::{Git, GitError};
use adjutant_model::run::{ErrorClass, WorkspaceRecord};
use std::path::{Path, PathBuf};

/// The worktree to make.
#[derive(Debug, Clone, Copy)]
pub struct WorktreeParams<'a> {
    /// A directory of the project's repository, at its top or below.
    pub project: &'a Path,
    /// Where the worktree is to be; its parent is made when it is not there.
    pub path: &'a Path,
    /// The branch to make for it, for example `adjutant/run_0123`.
    pub branch: &'a str,
    /// What the branch starts from: anything that names a commit; without it the project's `HEAD`.
    pub base: Option<&'a str>,
}

/// Why a worktree could not be made.
#[derive(Debug, thiserror::Error)]
pub enum WorktreeError {
    /// The project is not there.
    #[error("the project {} does not exist", project.display())]
    ProjectMissing {
        /// The directory.
        project: PathBuf,
    },
    /// The project is not in a git repository, or is the inside of a `.git` folder.
    #[error("{} is not in a git repository", project.display())]
    NotARepository {
        /// The directory.
        project: PathBuf,
    },
    /// The repository has no working tree.
    #[error("the repository {} is bare", project.display())]
    Bare {
        /// The directory.
        project: PathBuf,
    },
    /// The repository has no commit to start from.
    #[error("the repository {} has no commit yet", project.display())]
    NoCommit {
        /// The directory.
        project: PathBuf,
    },
    /// The base does not name a commit.
    #[error("`{base}` names no commit in {}", project.display())]
    BaseUnknown {
        /// What was given.
        base: String,
        /// The repository.
        project: PathBuf,
    },
    /// The branch's name is not one that git accepts.
    #[error("`{branch}` is not a valid branch name")]
    BranchInvalid {
        /// What was given.
        branch: String,
    },
    /// The branch exists and was not made for a workspace.
    #[error("the branch `{branch}` exists already and was not made by Adjutant")]
    BranchTaken {
        /// The branch.
        branch: String,
    },
    /// Another branch's name is a folder of this one's, or the other way round.
    #[error("the branch `{branch}` cannot be made beside the branch `{other}`")]
    BranchBlocked {
        /// The branch.
        branch: String,
        /// The one in the way.
        other: String,
    },
    /// Something that is not this worktree is at its place.
    #[error("{} is there already and is not this workspace", path.display())]
    PathOccupied {
        /// The place.
        path: PathBuf,
    },
    /// The place is not an absolute path in UTF-8, or its parent cannot be made.
    #[error("{} cannot be a workspace: {what}", path.display())]
    Path {
        /// The place.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// git failed.
    #[error("the worktree could not be made")]
    Git(#[from] GitError),
}

impl WorktreeError {
    /// Tells what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            WorktreeError::ProjectMissing { .. } => ErrorClass::Gone,
            WorktreeError::NotARepository { .. }
            | WorktreeError::Bare { .. }
            | WorktreeError::NoCommit { .. }
            | WorktreeError::BaseUnknown { .. }
            | WorktreeError::BranchInvalid { .. }
            | WorktreeError::BranchTaken { .. }
            | WorktreeError::BranchBlocked { .. }
            | WorktreeError::PathOccupied { .. }
            | WorktreeError::Path { .. } => ErrorClass::User,
            WorktreeError::Git(error) => error.class(),
        }
    }

    /// Says what a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        todo!()
    }
}

/// Makes a worktree on a new branch, or finds it made: called again with the same params, after a success or after a
/// crash at any point of an earlier call, it ends in the same state.
///
/// The branch and the commit it starts from are written together, the latter to `refs/adjutant/bases/<branch>`, so a
/// later call knows the branch as its own and starts from the same commit even when the project has moved on.
///
/// # Errors
/// [`WorktreeError`]; nothing that was there before is changed then.
pub async fn create(git: &Git, params: WorktreeParams<'_>) -> Result<WorkspaceRecord, WorktreeError> {
    let _ = (git, params);
    todo!()
}
