//! Removing a workspace without losing work.

use super::create::base_ref;
use super::place::{PlaceLock, beside};
use super::registry::{Entry, is_checked_out, is_linked, registered, top_of, unregister};
use super::snapshot::{Snapshot, SnapshotParams, snapshot};
use super::status::{Unsaved, ahead, status, unsaved};
use crate::git::{Call, Git, GitError};
use adjutant_model::run::{ErrorClass, WorkspaceKind, WorkspaceRecord};
use std::io;
use std::path::{Component, Path, PathBuf};

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

/// Why a workspace was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// It holds work that is nowhere else.
    #[error("the workspace {} holds {unsaved}", record.path)]
    Unsaved {
        /// The workspace.
        record: Box<WorkspaceRecord>,
        /// The work.
        unsaved: Unsaved,
        /// Where the tree is kept already, when it differs from its commit.
        snapshot: Option<Snapshot>,
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
        source: io::Error,
    },
    /// git failed.
    #[error("the workspace could not be removed")]
    Git(#[from] GitError),
}

impl RemoveError {
    /// Tells what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            RemoveError::Unsaved { .. }
            | RemoveError::NestedRepositories { .. }
            | RemoveError::NotOurs { .. } => ErrorClass::User,
            RemoveError::ProjectGone { .. } => ErrorClass::Gone,
            RemoveError::Io { .. } => ErrorClass::Retry,
            RemoveError::Git(error) => error.class(),
        }
    }

    /// Says what a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            RemoveError::Unsaved { record, unsaved, snapshot } => {
                Some(unsaved_hint(record, unsaved, snapshot.as_ref()))
            }
            RemoveError::NestedRepositories { .. } => {
                Some("commit and push inside of them, or move them out of the workspace".to_owned())
            }
            RemoveError::NotOurs { .. } => Some("remove it yourself if it is not needed any more".to_owned()),
            RemoveError::ProjectGone { .. } => {
                Some("put the project back in its place, or remove the directory yourself".to_owned())
            }
            RemoveError::Io { .. } => Some("see who owns the files, and try again".to_owned()),
            RemoveError::Git(error) => error.hint(),
        }
    }
}

fn unsaved_hint(record: &WorkspaceRecord, unsaved: &Unsaved, snapshot: Option<&Snapshot>) -> String {
    let mut ways = Vec::new();
    if unsaved.changed + unsaved.untracked > 0 && record.kind == WorkspaceKind::Worktree {
        ways.push(format!("commit in '{}'", record.path));
    }
    if let (Some(branch), Some(project), 1..) = (&record.branch, &record.project, unsaved.commits) {
        ways.push(format!("take the commits over: git -C '{project}' merge {branch}"));
    }
    let kept = snapshot.map_or_else(String::new, |kept| format!("; {} stays", kept.refname));
    ways.push(format!("or remove it by force{kept}"));
    ways.join(", ")
}

/// Removes a workspace, or finds it removed.
///
/// A tree that differs from its commit is kept under `snapshot_ref` first, always. Then work that is not saved
/// elsewhere is a reason to refuse, unless the mode is [`RemoveMode::Force`]. The branch stays when it has commits
/// beyond the base. Files that git ignores go with the directory. A scratch folder has no git to keep it, so one with
/// files in it needs force.
///
/// The directory goes out of its place by one rename before anything in it is removed, so a crash leaves all of it
/// or nothing, and the next call finishes.
///
/// # Errors
/// [`RemoveError`]; but for [`RemoveError::Io`] the directory is untouched then.
pub async fn remove(git: &Git, params: RemoveParams<'_>) -> Result<Removal, RemoveError> {
    let place = Place::of(params)?;
    let io_error = |source| RemoveError::Io { path: place.path.clone(), source };
    let _lock = match place.path.parent().map(Path::is_dir) {
        Some(true) => Some(PlaceLock::acquire(&place.path).await.map_err(io_error)?),
        Some(false) | None => None,
    };
    match params.record.kind {
        WorkspaceKind::Worktree => remove_worktree(git, params, &place).await,
        WorkspaceKind::Scratch => remove_scratch(params, &place).await,
        WorkspaceKind::Given => Err(place.not_ours("it was given")),
    }
}

async fn remove_worktree(git: &Git, params: RemoveParams<'_>, place: &Place) -> Result<Removal, RemoveError> {
    let gone =
        |project: &Path| RemoveError::ProjectGone { path: place.path.clone(), project: project.to_owned() };
    let Some(project) = params.record.project.as_deref().map(Path::new) else {
        return Err(place.not_ours("its record names no project"));
    };
    if top_of(git, project).await.is_none() {
        return if place.is_there {
            Err(gone(project))
        } else {
            Ok(Removal { snapshot: None, branch: BranchFate::Absent })
        };
    }
    let kept = match place.is_there {
        true => keep(git, params, place, project).await?,
        false => kept_before(git, params, project).await?,
    };
    place.take_away().await?;
    if registered(git, project, &place.path).await? != Entry::Unknown {
        unregister(git, project, &place.path).await?;
    }
    let branch = remove_branch(git, params.record, project).await?;
    Ok(Removal { snapshot: kept, branch })
}

/// Keeps what the worktree holds, and refuses when that is not enough.
async fn keep(
    git: &Git,
    params: RemoveParams<'_>,
    place: &Place,
    project: &Path,
) -> Result<Option<Snapshot>, RemoveError> {
    let dir = place.path.as_path();
    if registered(git, project, dir).await? != Entry::Made {
        return Err(place.not_ours("its project does not know it"));
    }
    if !is_linked(git, project, dir).await? {
        return Err(place.not_ours("its link to the project is broken"));
    }
    let kept = snapshot(git, SnapshotParams { dir, refname: params.snapshot_ref }).await?;
    let nested = status(git, dir, None).await?.nested_repositories;
    if !nested.is_empty() {
        return Err(RemoveError::NestedRepositories { path: dir.to_owned(), nested });
    }
    let unsaved = unsaved(git, params.record).await?;
    match params.mode {
        RemoveMode::IfSaved if !unsaved.is_empty() => {
            Err(RemoveError::Unsaved { record: Box::new(params.record.clone()), unsaved, snapshot: kept })
        }
        RemoveMode::IfSaved | RemoveMode::Force => Ok(kept),
    }
}

/// Finds what an earlier call has kept, whose caller may never have heard of it.
async fn kept_before(
    git: &Git,
    params: RemoveParams<'_>,
    project: &Path,
) -> Result<Option<Snapshot>, RemoveError> {
    let refname = params.snapshot_ref;
    let commit = git.commit_of(project, refname).await?;
    Ok(commit.map(|commit| Snapshot { refname: refname.to_owned(), commit }))
}

/// Removes the branch when it has nothing of its own and nobody is on it.
async fn remove_branch(
    git: &Git,
    record: &WorkspaceRecord,
    project: &Path,
) -> Result<BranchFate, RemoveError> {
    let Some(branch) = &record.branch else { return Ok(BranchFate::Absent) };
    let refname = format!("refs/heads/{branch}");
    let Some(tip) = git.commit_of(project, &refname).await? else { return Ok(BranchFate::Absent) };
    let Some(base) = &record.base else { return Ok(BranchFate::Kept) };
    if ahead(git, project, &tip, base).await? > 0 || is_checked_out(git, project, &refname).await? {
        return Ok(BranchFate::Kept);
    }
    // The old value is given, so a commit that arrives in this moment keeps the branch.
    git.output(&Call::new(project, &["update-ref", "-d", &refname, &tip])).await?;
    git.output(&Call::new(project, &["update-ref", "-d", &base_ref(branch)])).await?;
    Ok(BranchFate::Deleted)
}

async fn remove_scratch(params: RemoveParams<'_>, place: &Place) -> Result<Removal, RemoveError> {
    let io_error = |source| RemoveError::Io { path: place.path.clone(), source };
    let files = if place.is_there { std::fs::read_dir(&place.path).map_err(io_error)?.count() } else { 0 };
    match params.mode {
        RemoveMode::IfSaved if files > 0 => Err(RemoveError::Unsaved {
            record: Box::new(params.record.clone()),
            unsaved: Unsaved { untracked: files, ..Unsaved::default() },
            snapshot: None,
        }),
        RemoveMode::IfSaved | RemoveMode::Force => {
            place.take_away().await?;
            Ok(Removal { snapshot: None, branch: BranchFate::Absent })
        }
    }
}

/// Where the workspace is, once it is sure that it is ours.
struct Place {
    path: PathBuf,
    is_there: bool,
}

impl Place {
    /// Checks the path: strictly below the folder of workspaces, through no link, and a directory.
    fn of(params: RemoveParams<'_>) -> Result<Place, RemoveError> {
        let given = PathBuf::from(&params.record.path);
        let mut place = Place { path: given.clone(), is_there: false };
        let is_plain = given.is_absolute() && !given.components().any(|part| part == Component::ParentDir);
        if !is_plain {
            return Err(place.not_ours("its path is not plain"));
        }
        let workspaces = settled(params.workspaces);
        let (Some(parent), Some(name)) = (given.parent(), given.file_name()) else {
            return Err(place.not_ours("it has no name"));
        };
        place.path = settled(parent).join(name);
        if !place.path.starts_with(&workspaces) || place.path == workspaces {
            return Err(place.not_ours("it is not below the folder of workspaces"));
        }
        match place.path.symlink_metadata() {
            Ok(found) if found.is_dir() => place.is_there = true,
            Ok(found) if found.is_symlink() => return Err(place.not_ours("it is a symbolic link")),
            Ok(_) => return Err(place.not_ours("it is not a directory")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(RemoveError::Io { path: place.path, source }),
        }
        Ok(place)
    }

    fn not_ours(&self, what: &'static str) -> RemoveError {
        RemoveError::NotOurs { path: self.path.clone(), what }
    }

    /// Takes the directory out of its place and removes it, what an earlier call had taken away included.
    async fn take_away(&self) -> Result<(), RemoveError> {
        let io_error = |source| RemoveError::Io { path: self.path.clone(), source };
        let away = beside(&self.path, "removed").map_err(io_error)?;
        remove_tree(&away).await.map_err(io_error)?;
        if self.is_there {
            tokio::fs::rename(&self.path, &away).await.map_err(io_error)?;
            remove_tree(&away).await.map_err(io_error)?;
        }
        Ok(())
    }
}

/// Resolves the links of a path as far as it is there.
fn settled(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

async fn remove_tree(path: &Path) -> io::Result<()> {
    match tokio::fs::remove_dir_all(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
