//! Removing a workspace without losing work.

use super::create::base_ref;
use super::place::{PlaceLock, beside};
use super::registry::{Entry, is_checked_out, is_linked, registered, repository_of, top_of, unregister};
use super::snapshot;
use super::snapshot::{
    KeepLimits, LeftOut, LeftOutWhy, Snapshot, SnapshotError, SnapshotParams, Taken, snapshots, take,
};
use super::status::{Unsaved, ahead, status, unsaved};
use super::tree::IndexCopy;
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
    /// What its snapshots are named by: the id of a run or a session.
    pub name: &'a str,
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
    /// What of it no snapshot holds.
    pub left_out: Vec<LeftOut>,
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
        snapshot: Option<Box<Snapshot>>,
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
    /// Its tree could not be kept.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
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
            RemoveError::Snapshot(error) => error.class(),
            RemoveError::Git(error) => error.class(),
        }
    }

    /// Says what a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            RemoveError::Unsaved { record, unsaved, snapshot } => {
                Some(unsaved_hint(record, unsaved, snapshot.as_deref()))
            }
            RemoveError::NestedRepositories { .. } => {
                Some("commit and push inside of them, or move them out of the workspace".to_owned())
            }
            RemoveError::NotOurs { .. } => Some("remove it yourself if it is not needed any more".to_owned()),
            RemoveError::ProjectGone { .. } => {
                Some("put the project back in its place, or remove the directory yourself".to_owned())
            }
            RemoveError::Io { .. } => Some("see who owns the files, and try again".to_owned()),
            RemoveError::Snapshot(error) => error.hint(),
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
/// It is kept by a snapshot first, always, ignored files as far as [`KeepLimits::LAST`] lets them. Then work that is not
/// saved elsewhere is a reason to refuse, unless the mode is [`RemoveMode::Force`]. The branch stays when it has commits
/// beyond the base. A scratch folder has no git to keep it, so one with files in it needs force.
///
/// The directory goes out of its place by one rename before anything in it is removed, so a crash leaves all of it
/// or nothing, and the next call finishes. Where it is then it is looked at again: what somebody has written in between
/// is kept as well, and when that has no end the directory goes back to its place.
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
    if repository_of(git, project).await.is_none() {
        return if place.is_there { Err(gone(project)) } else { Ok(Removal::of_nothing()) };
    }
    place.keep_what_was_taken_away(git, params).await?;
    if place.is_there {
        keep(git, params, place, project).await?;
    }
    let kept = match place.take_away().await? {
        Some(away) => place.keep_again(git, params, &away).await?,
        None => kept_before(git, params, project).await?,
    };
    place.clear_away().await?;
    // git itself may have noted where the directory was put.
    for path in [&place.path, &place.away()?] {
        if registered(git, project, path).await? != Entry::Unknown {
            unregister(git, project, path).await?;
        }
    }
    let branch = remove_branch(git, params.record, project).await?;
    let Taken { snapshot, left_out, is_new: _ } = kept;
    Ok(Removal { snapshot, left_out, branch })
}

/// Keeps what the worktree holds, and refuses when that is not enough.
async fn keep(git: &Git, params: RemoveParams<'_>, place: &Place, project: &Path) -> Result<(), RemoveError> {
    let dir = place.path.as_path();
    if registered(git, project, dir).await? != Entry::Made {
        return Err(place.not_ours("its project does not know it"));
    }
    if !is_linked(git, project, dir).await? {
        return Err(place.not_ours("its link to the project is broken"));
    }
    let kept = take(git, params.last_snapshot(params.record), snapshot::Place::Own).await?;
    let mut nested = status(git, dir, None).await?.nested_repositories;
    nested.extend(unpushed_submodules(git, dir).await?);
    if !nested.is_empty() {
        return Err(RemoveError::NestedRepositories { path: dir.to_owned(), nested });
    }
    let mut unsaved = unsaved(git, params.record).await?;
    unsaved.ignored = kept.left_out.iter().filter(|out| out.why != LeftOutWhy::Artefact).count();
    match params.mode {
        RemoveMode::IfSaved if !unsaved.is_empty() => {
            let record = Box::new(params.record.clone());
            Err(RemoveError::Unsaved { record, unsaved, snapshot: kept.snapshot.map(Box::new) })
        }
        RemoveMode::IfSaved | RemoveMode::Force => Ok(()),
    }
}

/// Finds what an earlier call has kept, whose caller may never have heard of it.
async fn kept_before(git: &Git, params: RemoveParams<'_>, project: &Path) -> Result<Taken, RemoveError> {
    let snapshot = snapshots(git, project, params.name).await?.pop();
    Ok(Taken { snapshot, is_new: false, left_out: Vec::new() })
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
            place.clear_away().await?;
            Ok(Removal::of_nothing())
        }
    }
}

impl Removal {
    fn of_nothing() -> Removal {
        Removal { snapshot: None, left_out: Vec::new(), branch: BranchFate::Absent }
    }
}

impl<'a> RemoveParams<'a> {
    /// Gives what to keep of the worktree that is where `record` says.
    fn last_snapshot<'r>(&self, record: &'r WorkspaceRecord) -> SnapshotParams<'r>
    where
        'a: 'r,
    {
        SnapshotParams { record, name: self.name, limits: KeepLimits::LAST }
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

    fn io_error(&self, source: io::Error) -> RemoveError {
        RemoveError::Io { path: self.path.clone(), source }
    }

    /// Gives where the directory is put out of its place.
    fn away(&self) -> Result<PathBuf, RemoveError> {
        beside(&self.path, "removed").map_err(|error| self.io_error(error))
    }

    /// Takes the directory out of its place, and gives where it is now.
    async fn take_away(&self) -> Result<Option<PathBuf>, RemoveError> {
        if !self.is_there {
            return Ok(None);
        }
        let away = self.away()?;
        remove_tree(&away).await.map_err(|error| self.io_error(error))?;
        tokio::fs::rename(&self.path, &away).await.map_err(|error| self.io_error(error))?;
        Ok(Some(away))
    }

    /// Removes what was taken out of its place. Its link to the project goes first, so that a later call does not
    /// take what is left of it for a worktree that is to be kept.
    async fn clear_away(&self) -> Result<(), RemoveError> {
        let away = self.away()?;
        match tokio::fs::remove_file(away.join(".git")).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
            removed => removed.map_err(|error| self.io_error(error))?,
        }
        remove_tree(&away).await.map_err(|error| self.io_error(error))
    }

    /// Keeps what somebody has written since it was kept, or puts the directory back when that has no end.
    async fn keep_again(
        &self,
        git: &Git,
        params: RemoveParams<'_>,
        away: &Path,
    ) -> Result<Taken, RemoveError> {
        match take_moved(git, params, away).await {
            Ok(taken) => Ok(taken),
            Err(error) => {
                tokio::fs::rename(away, &self.path).await.map_err(|error| self.io_error(error))?;
                Err(error.into())
            }
        }
    }

    /// Keeps what an earlier call had taken away when it was cut off, as far as it still is a worktree.
    async fn keep_what_was_taken_away(&self, git: &Git, params: RemoveParams<'_>) -> Result<(), RemoveError> {
        let away = self.away()?;
        if top_of(git, &away).await.as_deref() != Some(&away) {
            return Ok(());
        }
        take_moved(git, params, &away).await?;
        Ok(())
    }
}

/// Keeps a worktree that was taken out of its place.
async fn take_moved(git: &Git, params: RemoveParams<'_>, away: &Path) -> Result<Taken, SnapshotError> {
    let record = WorkspaceRecord { path: away.to_string_lossy().into_owned(), ..params.record.clone() };
    take(git, params.last_snapshot(&record), snapshot::Place::Left).await
}

/// Lists the submodules with commits that none of their remotes has: their repositories go with the worktree.
async fn unpushed_submodules(git: &Git, dir: &Path) -> Result<Vec<String>, GitError> {
    let mut unpushed = Vec::new();
    for path in IndexCopy::take(git, dir).await?.submodules {
        let inner = dir.join(&path);
        let args = ["rev-list", "--count", "--max-count=1", "HEAD", "--branches", "--not", "--remotes"];
        let stashed = git.commit_of(&inner, "refs/stash").await?.is_some();
        if stashed || git.count(&Call::new(&inner, &args)).await? > 0 {
            unpushed.push(path);
        }
    }
    Ok(unpushed)
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
