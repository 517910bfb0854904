//! Removing a workspace without losing work.

use super::snapshot::Snapshot;
use crate::git::{Git, GitError};
use adjutant_model::run::{ErrorClass, WorkspaceRecord};
use std::fmt;
use std::path::{Path, PathBuf};

/// The workspace to remove.
#[derive(Debug, Clone, Copy)]
pub struct RemoveParams<'a> {
    /// What [`super::create`] gave; a scratch folder is removed, too, a given directory never.
    pub record: &'a WorkspaceRecord,
    /// The folder of all workspaces; nothing outside of it is removed.
    pub workspaces: &'a Path,
    /// What to do about unsaved work.
    pub mode: RemoveMode,
    /// The ref to keep the tree under, for example `refs/adjutant/snapshots/run_0123/1`.
    pub snapshot_ref: &'a str,
}

/// What to do about unsaved work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveMode {
    /// Refuse.
    IfSaved,
    /// Remove; the snapshot stays.
    Force,
}

/// What a removal did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Removal {
    /// Where the tree is kept, when there was something to keep.
    pub snapshot: Option<Snapshot>,
    /// What became of the branch.
    pub branch: BranchFate,
}

/// What became of a workspace's branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BranchFate {
    /// It has commits of its own and stays.
    Kept,
    /// It had nothing of its own.
    Deleted,
    /// There is none.
    Absent,
}

/// Work that a removal would take out of sight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsaved {
    /// How many tracked files differ from their commit.
    pub changed: usize,
    /// How many files are neither tracked nor ignored.
    pub untracked: usize,
    /// How many commits are on no other branch, tag or remote.
    pub commits: usize,
    /// The branch that the commits are on.
    pub branch: Option<String>,
    /// Where the tree is kept already.
    pub snapshot: Option<Snapshot>,
}

impl fmt::Display for Unsaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}

/// Why a workspace was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// It holds work that is nowhere else.
    #[error("the workspace {} holds {unsaved}", path.display())]
    Unsaved {
        /// The workspace.
        path: PathBuf,
        /// The work.
        unsaved: Unsaved,
    },
    /// It holds repositories with content that a snapshot cannot keep; force does not help.
    #[error("the workspace {} holds repositories of its own with unsaved content: {}", path.display(), nested.join(", "))]
    NestedRepositories {
        /// The workspace.
        path: PathBuf,
        /// The repositories, as paths in it.
        nested: Vec<String>,
    },
    /// It is not below the folder of workspaces, is a symbolic link, or was given by the user.
    #[error("{} is not a workspace that Adjutant made: {what}", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// Why not.
        what: &'static str,
    },
    /// The project's repository is gone, so nothing of the workspace can be kept.
    #[error("the project {} of the workspace {} is gone", project.display(), path.display())]
    ProjectGone {
        /// The workspace.
        path: PathBuf,
        /// The project.
        project: PathBuf,
    },
    /// The files could not be removed.
    #[error("{} could not be removed", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// git failed.
    #[error("the workspace could not be removed")]
    Git(#[from] GitError),
}

impl RemoveError {
    /// Tells what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            RemoveError::Unsaved { .. } | RemoveError::NestedRepositories { .. } | RemoveError::NotOurs { .. } => {
                ErrorClass::User
            }
            RemoveError::ProjectGone { .. } => ErrorClass::Gone,
            RemoveError::Io { .. } => ErrorClass::Retry,
            RemoveError::Git(error) => error.class(),
        }
    }

    /// Says what a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        todo!()
    }
}

/// Removes a workspace, or finds it removed.
///
/// A tree that differs from its commit is kept under `snapshot_ref` first, always. Then work that is not saved
/// elsewhere is a reason to refuse, unless the mode is [`RemoveMode::Force`]. The branch stays when it has commits
/// beyond the base.
///
/// # Errors
/// [`RemoveError`]; the directory is untouched then, or, after [`RemoveError::Io`], partly there with its snapshot
/// taken.
pub async fn remove(git: &Git, params: RemoveParams<'_>) -> Result<Removal, RemoveError> {
    let _ = (git, params);
    todo!()
}
