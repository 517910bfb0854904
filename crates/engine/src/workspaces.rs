//! Workspaces: the directory each run and each session works in, made before it works and kept until somebody removes it.

mod merge;
mod restore;
mod room;

pub use merge::{CheckedInfo, MergeChecks, MergeRequest, MergedInfo};
pub use restore::{RestoreRequest, RestoredInfo};
pub use room::{RepositoryUsage, UsageInfo, WorkspaceUsage};

pub(crate) use merge::merge;
pub(crate) use restore::{restore, snapshot, snapshots};
pub(crate) use room::{check_room, collect, repositories_folder, usage};

use crate::clock;
use crate::error::{EngineError, chain};
use crate::plane::Core;
use adjutant_model::event::Event;
use adjutant_model::run::{ErrorClass, RunRecord, RunStatus, WorkspaceKind, WorkspaceRecord};
use adjutant_model::session::SessionState;
use adjutant_model::{Holder, RunId};
use adjutant_sessions::git::Git;
use adjutant_sessions::worktree::{
    self, LeftOut, Removal, RemoveError, RemoveMode, RemoveParams, Unsaved, WorktreeError, WorktreeParams,
};
use adjutant_sessions::{GitError, process};
use adjutant_store::{Draft, WorkspaceEntry, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many of the files that no snapshot holds an event names.
const LEFT_OUT_NAMED_MAX: usize = 100;

/// The directory that a run asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WorkspacePlan {
    /// A worktree of a project's repository.
    Worktree { project: PathBuf },
    /// An empty folder of the run's own.
    Scratch,
    /// A directory that is there; it is used as it is.
    Given { path: PathBuf },
}

impl WorkspacePlan {
    /// Refuses what plainly cannot be, before anything is kept.
    pub(crate) async fn check(&self, git: &Git) -> Result<(), EngineError> {
        let (key, path) = match self {
            WorkspacePlan::Worktree { project } => ("project_root", project),
            WorkspacePlan::Given { path } => ("work_dir", path),
            WorkspacePlan::Scratch => return Ok(()),
        };
        if !path.is_absolute() {
            return Err(EngineError::invalid(format!(
                "`{key}` must be an absolute path, not {}",
                path.display()
            )));
        }
        match tokio::fs::metadata(path).await {
            Ok(found) if found.is_dir() => match self {
                WorkspacePlan::Worktree { .. } => worktree::project_check(git, path).await.map_err(|error| {
                    EngineError::Invalid { message: format!("`{key}`: {error}"), hint: error.hint() }
                }),
                WorkspacePlan::Given { .. } | WorkspacePlan::Scratch => Ok(()),
            },
            Ok(_) => Err(EngineError::invalid(format!("`{key}` {} is not a directory", path.display()))),
            Err(error) => Err(EngineError::Invalid {
                message: format!("`{key}` {} cannot be used: {error}", path.display()),
                hint: Some("check the path".to_owned()),
            }),
        }
    }

    /// Refuses a directory of ours when those that are there take more room than they may.
    pub(crate) async fn check_room(&self, core: &Core) -> Result<(), EngineError> {
        match self {
            WorkspacePlan::Worktree { .. } | WorkspacePlan::Scratch => check_room(core).await,
            WorkspacePlan::Given { .. } => Ok(()),
        }
    }
}

/// A workspace as people see it.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkspaceInfo {
    /// Whose it is.
    pub holder: Holder,
    /// Where the run stands, when it is one's.
    pub run_status: Option<RunStatus>,
    /// The directory.
    pub workspace: WorkspaceRecord,
    /// What it holds that stands nowhere else; `None` when it is not a worktree or is gone.
    pub unsaved: Option<Unsaved>,
}

/// Makes the directory of a run; doing it again finds it.
pub(crate) async fn provide(
    core: &Core,
    run: &RunRecord,
    plan: &WorkspacePlan,
) -> Result<WorkspaceRecord, EngineError> {
    let plain = |kind, path: &Path| WorkspaceRecord {
        kind,
        path: path.to_string_lossy().into_owned(),
        project: None,
        branch: None,
        base: None,
        node: "local".to_owned(),
    };
    match plan {
        WorkspacePlan::Given { path } => Ok(plain(WorkspaceKind::Given, path)),
        WorkspacePlan::Scratch => {
            let path = folder(core).join(run.id.as_str());
            tokio::fs::create_dir_all(&path).await.map_err(|error| EngineError::Workspace {
                message: format!("the scratch folder {} could not be made: {error}", path.display()),
                hint: None,
                class: ErrorClass::Retry,
            })?;
            Ok(plain(WorkspaceKind::Scratch, &path))
        }
        WorkspacePlan::Worktree { project } => {
            let path = folder(core).join(run.id.as_str());
            let branch = format!("adjutant/{}", run.id);
            let params = WorktreeParams { project, path: &path, branch: &branch, base: None };
            let made = worktree::create(&core.git, params).await.map_err(refused)?;
            fill(core, &made).await;
            Ok(made)
        }
    }
}

/// Fills the submodules of a worktree; what cannot be filled is told, and nothing depends on it.
pub(crate) async fn fill(core: &Core, workspace: &WorkspaceRecord) {
    match worktree::fill_submodules(&core.git, Path::new(&workspace.path)).await {
        Ok(troubles) => {
            for trouble in troubles {
                let (submodule, why) = (trouble.path, trouble.why);
                tracing::warn!(workspace = %workspace.path, %submodule, %why, "a submodule stays empty");
            }
        }
        Err(error) => tracing::warn!(workspace = %workspace.path, %error, "no submodule could be looked at"),
    }
}

/// Ends the processes that a killed daemon left behind for a run.
pub(crate) async fn sweep_leftovers(run_id: &RunId) {
    let prefix = format!("{run_id}/");
    let killed = process::sweep_prefix(&prefix).await.killed;
    if killed > 0 {
        tracing::info!(run = %run_id, killed, "ended the processes that the last daemon left behind");
    }
}

/// Lists the workspaces, the newest first.
pub(crate) async fn list(core: &Core) -> Result<Vec<WorkspaceInfo>, EngineError> {
    let mut infos = Vec::new();
    for entry in core.store.workspaces().await? {
        let unsaved = match entry.workspace.kind {
            WorkspaceKind::Worktree => worktree::unsaved(&core.git, &entry.workspace).await.ok(),
            WorkspaceKind::Scratch | WorkspaceKind::Given => None,
        };
        let WorkspaceEntry { holder, run_status, workspace, is_removed: _ } = entry;
        infos.push(WorkspaceInfo { holder, run_status, workspace, unsaved });
    }
    Ok(infos)
}

/// Gives what a worktree changed since its base.
pub(crate) async fn diff(core: &Core, holder: &Holder) -> Result<String, EngineError> {
    let workspace = workspace_of(core, holder).await?;
    let base = workspace.base.as_deref().unwrap_or("HEAD");
    let diff = worktree::diff(&core.git, Path::new(&workspace.path), base).await.map_err(git_refused)?;
    let end = if diff.truncated { "\n…[truncated]\n" } else { "" };
    Ok(diff.text + end)
}

/// Removes a directory that nobody works in any more; a worktree only behind a snapshot.
pub(crate) async fn remove(
    core: &Core,
    holder: &Holder,
    mode: RemoveMode,
) -> Result<RemovedInfo, EngineError> {
    check_over(core, holder).await?;
    take_away(core, holder, mode).await
}

/// Refuses while somebody may work in the directory.
async fn check_left(core: &Core, holder: &Holder) -> Result<(), EngineError> {
    let at_work = |message, hint| Err(EngineError::Conflict { message, hint: Some(hint) });
    match holder {
        Holder::Run(run_id) => match core.store.run_get(run_id).await?.map(|run| run.status) {
            Some(status) if !status.is_terminal() => at_work(
                format!("{run_id} is {status} and works in its workspace"),
                format!("`adjutant cancel {run_id}` ends it"),
            ),
            Some(_) | None => Ok(()),
        },
        Holder::Session(id) => match core.store.session_get(*id).await?.map(|entry| entry.session.state) {
            Some(SessionState::Provisioning | SessionState::Active) => at_work(
                format!("the session {id} works in its workspace"),
                format!("`adjutant session stop {id}` ends its agent"),
            ),
            Some(SessionState::Stopped | SessionState::Errored | SessionState::Decommissioned) | None => {
                Ok(())
            }
        },
    }
}

/// Refuses while a session has the directory: it goes with the session, so that the session knows.
async fn check_over(core: &Core, holder: &Holder) -> Result<(), EngineError> {
    check_left(core, holder).await?;
    let Holder::Session(id) = holder else { return Ok(()) };
    match core.store.session_get(*id).await?.map(|entry| entry.session.state) {
        Some(SessionState::Decommissioned) | None => Ok(()),
        Some(_) => Err(EngineError::Conflict {
            message: format!("the workspace is the session {id}'s"),
            hint: Some(format!("`adjutant session rm {id}` ends the session and removes it")),
        }),
    }
}

/// What became of a directory that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedInfo {
    /// Where its last state is kept.
    pub snapshot_ref: Option<String>,
    /// What of it no snapshot holds.
    pub left_out: Vec<LeftOut>,
}

/// Removes a directory whose holder has ended; a worktree only behind a snapshot.
pub(crate) async fn take_away(
    core: &Core,
    holder: &Holder,
    mode: RemoveMode,
) -> Result<RemovedInfo, EngineError> {
    let workspace = workspace_of(core, holder).await?;
    let removal = match workspace.kind {
        // It is the user's own directory: only our note of it goes.
        WorkspaceKind::Given => None,
        WorkspaceKind::Scratch | WorkspaceKind::Worktree => {
            Some(removed(core, holder, &workspace, mode).await.map_err(remove_refused)?)
        }
    };
    note_removed(core, holder, workspace.path, removal).await
}

async fn removed(
    core: &Core,
    holder: &Holder,
    workspace: &WorkspaceRecord,
    mode: RemoveMode,
) -> Result<Removal, RemoveError> {
    let (folder, name) = (folder(core), holder.to_string());
    let params = RemoveParams { record: workspace, workspaces: &folder, mode, name: &name };
    worktree::remove(&core.git, params).await
}

async fn note_removed(
    core: &Core,
    holder: &Holder,
    path: String,
    removal: Option<Removal>,
) -> Result<RemovedInfo, EngineError> {
    let (snapshot, left_out) = removal.map_or((None, Vec::new()), |gone| (gone.snapshot, gone.left_out));
    let snapshot_ref = snapshot.map(|snapshot| snapshot.refname);
    let mut write = Write::default();
    write.workspace_remove(holder);
    let named = left_out.iter().take(LEFT_OUT_NAMED_MAX).map(|out| out.path.clone()).collect();
    let event = Event::WorkspaceRemoved { path, snapshot_ref: snapshot_ref.clone(), left_out: named };
    write.journal(Draft { at: clock::now(), actor: "host".into(), subject: holder.into(), event });
    core.store.write(write).await?;
    Ok(RemovedInfo { snapshot_ref, left_out })
}

async fn workspace_of(core: &Core, holder: &Holder) -> Result<WorkspaceRecord, EngineError> {
    let workspace = core.store.workspace_of(holder).await?;
    workspace.ok_or_else(|| EngineError::not_found("workspace", holder))
}

pub(crate) fn folder(core: &Core) -> PathBuf {
    core.settings.folder.join("workspaces")
}

/// Gives the git tree of a directory as it is; `None` when it is in no repository.
pub(crate) async fn tree(git: &adjutant_sessions::Git, dir: &Path) -> Result<Option<String>, GitError> {
    match worktree::tree_hash(git, dir).await {
        Ok(tree) => Ok(Some(tree)),
        Err(GitError::Failed { stderr_tail, .. }) if stderr_tail.contains("not a git repository") => Ok(None),
        Err(error) => Err(error),
    }
}

/// Does something that must not be cut off apart from whoever has asked for it.
async fn apart<T: Send + 'static>(
    core: &Arc<Core>,
    work: impl Future<Output = Result<T, EngineError>> + Send + 'static,
) -> Result<T, EngineError> {
    let done = core.tasks.spawn(work).await;
    done.map_err(|_| EngineError::Defect("the work on a workspace has panicked"))?
}

pub(crate) fn refused(error: WorktreeError) -> EngineError {
    EngineError::Workspace { message: chain(&error), hint: error.hint(), class: error.class() }
}

fn remove_refused(error: RemoveError) -> EngineError {
    EngineError::Workspace { message: chain(&error), hint: error.hint(), class: error.class() }
}

pub(crate) fn git_refused(error: GitError) -> EngineError {
    EngineError::Workspace { message: chain(&error), hint: error.hint(), class: error.class() }
}
