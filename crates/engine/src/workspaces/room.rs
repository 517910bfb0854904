//! The room that workspaces take: what it is, what it may be, and giving back what nobody needs.
//!
//! Collecting is careful before all: what cannot be read stays, what is not saved stays, and whatever goes is behind a
//! snapshot. Nothing of open work is touched, nor of a run that an open goal is proved by.

use super::restore::note;
use super::{folder, note_removed, removed};
use crate::clock;
use crate::error::EngineError;
use crate::plane::Core;
use adjutant_model::event::Event;
use adjutant_model::goal::GoalStatus;
use adjutant_model::run::WorkspaceKind;
use adjutant_model::{Holder, Timestamp};
use adjutant_sessions::worktree::{self, RemoveError, RemoveMode, Unsaved};
use adjutant_store::{Draft, WorkspaceEntry, Write};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What all workspaces take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageInfo {
    /// Each directory, those that nobody is known to hold included.
    pub workspaces: Vec<WorkspaceUsage>,
    /// Each cache of a remote repository.
    pub repositories: Vec<RepositoryUsage>,
    /// How many snapshots there are in all projects.
    pub snapshots: u64,
    /// What all of it takes, in bytes.
    pub bytes: u64,
    /// What it may take, in bytes.
    pub bytes_max: Option<u64>,
}

/// What a workspace takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceUsage {
    /// Whose it is; `None` when a crash has left it.
    pub holder: Option<Holder>,
    /// Where it is.
    pub path: PathBuf,
    /// How much, in bytes.
    pub bytes: u64,
}

/// What a cache takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryUsage {
    /// Its name.
    pub name: String,
    /// How much, in bytes.
    pub bytes: u64,
}

/// Counts what all workspaces take.
pub(crate) async fn usage(core: &Core) -> Result<UsageInfo, EngineError> {
    let held = core.store.workspaces().await?;
    let mut workspaces = Vec::new();
    for path in entries(&folder(core)) {
        let is_it = |entry: &&WorkspaceEntry| {
            Path::new(&entry.workspace.path).ends_with(path.file_name().unwrap_or_default())
        };
        let holder = held.iter().find(is_it).map(|entry| entry.holder.clone());
        let bytes = worktree::disk_bytes(&path).await;
        workspaces.push(WorkspaceUsage { holder, path, bytes });
    }
    let mut repositories = Vec::new();
    for path in entries(&repositories_folder(core)) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        repositories.push(RepositoryUsage { name, bytes: worktree::disk_bytes(&path).await });
    }
    let mut snapshots = 0;
    for project in core.store.workspace_projects().await? {
        // A project that is gone has none.
        snapshots += worktree::snapshots_count(&core.git, Path::new(&project)).await.unwrap_or(0) as u64;
    }
    let of_workspaces = workspaces.iter().map(|workspace| workspace.bytes);
    let bytes = of_workspaces.chain(repositories.iter().map(|repository| repository.bytes)).sum();
    let bytes_max = core.live().workspace_bytes_max;
    Ok(UsageInfo { workspaces, repositories, snapshots, bytes, bytes_max })
}

/// Gives the folder of the caches of remote repositories.
pub(crate) fn repositories_folder(core: &Core) -> PathBuf {
    core.settings.folder.join("repositories")
}

/// Refuses new work when the workspaces take more room than they may.
pub(crate) async fn check_room(core: &Core) -> Result<(), EngineError> {
    let Some(bytes_max) = core.live().workspace_bytes_max else { return Ok(()) };
    let bytes = bytes_taken(core).await;
    if bytes <= bytes_max {
        return Ok(());
    }
    let event = Event::WorkspacesFull { bytes, bytes_max };
    let mut write = Write::default();
    write.journal(Draft { at: clock::now(), actor: "plane".into(), subject: "plane".into(), event });
    core.store.write(write).await?;
    Err(EngineError::Crowded(format!(
        "the workspaces take {} MiB of the {} MiB that they may; `adjutant workspace du` shows which, and `adjutant \
         workspace rm` removes one",
        bytes >> 20,
        bytes_max >> 20
    )))
}

async fn bytes_taken(core: &Core) -> u64 {
    worktree::disk_bytes(&folder(core)).await + worktree::disk_bytes(&repositories_folder(core)).await
}

/// Removes workspaces and artefacts that nobody needs any more; gives how many things went.
pub(crate) async fn collect(core: Arc<Core>) -> Result<u64, EngineError> {
    let is_full = match core.live().workspace_bytes_max {
        Some(bytes_max) => bytes_taken(&core).await > bytes_max,
        None => false,
    };
    let (now, mut acted) = (clock::now(), 0);
    for entry in core.store.workspaces().await? {
        if core.stopping.is_cancelled() {
            break;
        }
        let Some(ended_at) = left_at(&core, &entry.holder).await? else { continue };
        let ended_ms = now.ms_since(ended_at);
        if is_full || ended_ms >= core.live().workspace_keep_ms {
            acted += u64::from(remove_saved(&core, &entry).await?);
        } else if ended_ms >= core.live().workspace_artefacts_ms {
            acted += u64::from(clear(&core, &entry).await?);
        }
    }
    Ok(acted)
}

/// Gives when somebody worked in a workspace last; `None` while somebody does, or will look at it again.
async fn left_at(core: &Core, holder: &Holder) -> Result<Option<Timestamp>, EngineError> {
    let run = match holder {
        Holder::Run(run_id) => core.store.run_get(run_id).await?,
        // Whoever hosts the session removes its workspace.
        Holder::Session(_) => None,
    };
    let Some(run) = run.filter(|run| run.status.is_terminal()) else { return Ok(None) };
    let goal = match &run.goal_id {
        Some(goal_id) => core.store.goal_get(goal_id).await?,
        None => None,
    };
    let is_proof = goal.is_some_and(|goal| !matches!(goal.status, GoalStatus::Done | GoalStatus::Abandoned));
    Ok(run.ended_at.filter(|_| !is_proof))
}

/// Removes a workspace in which everything is saved, or at least what a build makes again. Tells whether anything went.
async fn remove_saved(core: &Core, entry: &WorkspaceEntry) -> Result<bool, EngineError> {
    let WorkspaceEntry { holder, workspace, .. } = entry;
    if workspace.kind == WorkspaceKind::Given {
        return Ok(false);
    }
    let removal = match removed(core, holder, workspace, RemoveMode::IfSaved).await {
        // All of it is committed, the branch stays, and a snapshot leads to the commits as well.
        Err(RemoveError::Unsaved { unsaved, snapshot: Some(_), .. }) if is_committed(&unsaved) => {
            removed(core, holder, workspace, RemoveMode::Force).await
        }
        removal => removal,
    };
    match removal {
        Ok(removal) => {
            note_removed(core, holder, workspace.path.clone(), Some(removal)).await?;
            Ok(true)
        }
        Err(why) => {
            tracing::debug!(%holder, %why, "the workspace stays");
            clear(core, entry).await
        }
    }
}

fn is_committed(unsaved: &Unsaved) -> bool {
    *unsaved == Unsaved { commits: unsaved.commits, ..Unsaved::default() }
}

/// Removes from a workspace what a build makes again. Tells whether there was any.
async fn clear(core: &Core, entry: &WorkspaceEntry) -> Result<bool, EngineError> {
    let path = Path::new(&entry.workspace.path);
    let is_ours = entry.workspace.kind == WorkspaceKind::Worktree && is_below(path, &folder(core));
    if !is_ours {
        return Ok(false);
    }
    let artefacts = match worktree::artefacts(&core.git, path).await {
        Ok(artefacts) => artefacts,
        Err(why) => {
            tracing::debug!(holder = %entry.holder, %why, "what is in the workspace cannot be told, so it stays");
            return Ok(false);
        }
    };
    if artefacts.is_empty() {
        return Ok(false);
    }
    if let Err(why) = worktree::artefacts_remove(path, &artefacts).await {
        tracing::warn!(holder = %entry.holder, %why, "artefacts could not be removed");
        return Ok(false);
    }
    let artefacts = artefacts.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    let event = Event::WorkspaceCleared { path: entry.workspace.path.clone(), artefacts };
    note(core, &entry.holder, event, Write::default()).await?;
    Ok(true)
}

/// Tells whether a directory is directly below a folder, links resolved.
fn is_below(path: &Path, folder: &Path) -> bool {
    let settled = (path.canonicalize(), folder.canonicalize());
    matches!(settled, (Ok(path), Ok(folder)) if path.parent() == Some(folder.as_path()))
}

fn entries(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}
