//! Workspaces: the directory each run works in, made before its first step and kept until somebody removes it.

use crate::clock;
use crate::error::EngineError;
use crate::plane::Core;
use adjutant_model::RunId;
use adjutant_model::event::Event;
use adjutant_model::run::{ErrorClass, RunRecord, RunStatus, WorkspaceKind, WorkspaceRecord};
use adjutant_sessions::git::Git;
use adjutant_sessions::worktree::{
    self, RemoveError, RemoveMode, RemoveParams, Unsaved, WorktreeError, WorktreeParams,
};
use adjutant_sessions::{GitError, process};
use adjutant_store::{Draft, Write};
use std::path::{Path, PathBuf};

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
}

/// A workspace as people see it.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkspaceInfo {
    /// The run.
    pub run_id: RunId,
    /// Where the run stands.
    pub run_status: RunStatus,
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
            worktree::create(&core.git, params).await.map_err(refused)
        }
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
        let (run_id, run_status, workspace) = (entry.run_id, entry.run_status, entry.workspace);
        infos.push(WorkspaceInfo { run_id, run_status, workspace, unsaved });
    }
    Ok(infos)
}

/// Gives what a run's worktree changed since its base.
pub(crate) async fn diff(core: &Core, run_id: &RunId) -> Result<String, EngineError> {
    let (workspace, _) = workspace_of(core, run_id).await?;
    let base = workspace.base.as_deref().unwrap_or("HEAD");
    let diff = worktree::diff(&core.git, Path::new(&workspace.path), base).await.map_err(git_refused)?;
    let end = if diff.truncated { "\n…[truncated]\n" } else { "" };
    Ok(diff.text + end)
}

/// Removes a run's directory; a worktree only behind a snapshot, whose ref it gives.
pub(crate) async fn remove(
    core: &Core,
    run_id: &RunId,
    mode: RemoveMode,
) -> Result<Option<String>, EngineError> {
    let (workspace, status) = workspace_of(core, run_id).await?;
    if !status.is_terminal() {
        return Err(EngineError::Conflict {
            message: format!("{run_id} is {status} and works in its workspace"),
            hint: Some(format!("`adjutant cancel {run_id}` ends it")),
        });
    }
    let kept = match workspace.kind {
        // It is the user's own directory: only our note of it goes.
        WorkspaceKind::Given => None,
        WorkspaceKind::Scratch | WorkspaceKind::Worktree => {
            let folder = folder(core);
            let snapshot_ref = format!("refs/adjutant/snapshots/{run_id}/final");
            let params =
                RemoveParams { record: &workspace, workspaces: &folder, mode, snapshot_ref: &snapshot_ref };
            let removal = worktree::remove(&core.git, params).await.map_err(remove_refused)?;
            removal.snapshot.map(|snapshot| snapshot.refname)
        }
    };
    let mut write = Write::default();
    write.run_workspace_remove(run_id);
    let event = Event::WorkspaceRemoved { path: workspace.path, snapshot_ref: kept.clone() };
    let subject = run_id.into();
    write.journal(Draft { at: clock::now(), actor: "host".into(), subject, event });
    core.store.write(write).await?;
    Ok(kept)
}

async fn workspace_of(core: &Core, run_id: &RunId) -> Result<(WorkspaceRecord, RunStatus), EngineError> {
    let run = core.store.run_get(run_id).await?.ok_or_else(|| EngineError::not_found("run", run_id))?;
    let workspace = run.workspace.ok_or_else(|| EngineError::not_found("workspace", run_id))?;
    Ok((workspace, run.status))
}

fn folder(core: &Core) -> PathBuf {
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

fn refused(error: WorktreeError) -> EngineError {
    EngineError::Workspace { message: told(&error), hint: error.hint(), class: error.class() }
}

fn remove_refused(error: RemoveError) -> EngineError {
    EngineError::Workspace { message: told(&error), hint: error.hint(), class: error.class() }
}

pub(crate) fn git_refused(error: GitError) -> EngineError {
    EngineError::Workspace { message: told(&error), hint: error.hint(), class: error.class() }
}

/// Gives an error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
