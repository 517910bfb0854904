//! Snapshots of workspaces: taking, listing and putting them back.

use super::{apart, check_left, folder, git_refused};
use crate::clock;
use crate::error::{EngineError, chain};
use crate::plane::Core;
use adjutant_model::Holder;
use adjutant_model::event::Event;
use adjutant_model::run::{WorkspaceKind, WorkspaceRecord};
use adjutant_sessions::worktree::{
    self, KeepLimits, RestoreError, RestoreParams, Restored, Snapshot, SnapshotError, SnapshotParams,
};
use adjutant_store::{Draft, WorkspaceEntry, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What to put back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RestoreRequest {
    /// The number of a snapshot; without it the last one.
    pub number: Option<u32>,
    /// A new directory for it, absolute; without it the workspace's own.
    pub to: Option<PathBuf>,
}

/// What putting a snapshot back did.
#[derive(Debug, Clone, PartialEq)]
pub struct RestoredInfo {
    /// Where it is.
    pub workspace: WorkspaceRecord,
    /// The snapshot.
    pub snapshot_ref: String,
    /// What was there before, when that was something else.
    pub before_ref: Option<String>,
}

/// Keeps a workspace as it is now; `None` when its last snapshot is the same, or it is no worktree.
pub(crate) async fn snapshot(core: &Core, holder: &Holder) -> Result<Option<Snapshot>, EngineError> {
    let workspace = super::workspace_of(core, holder).await?;
    if workspace.kind != WorkspaceKind::Worktree {
        return Ok(None);
    }
    let name = holder.to_string();
    let params = SnapshotParams { record: &workspace, name: &name, limits: KeepLimits::EVERY_TURN };
    let taken = worktree::snapshot_next(&core.git, params).await.map_err(snapshot_refused)?;
    if let Some(taken) = &taken {
        let left_out = taken.content.left_out_count as u64;
        let event = Event::WorkspaceSnapshotted { snapshot_ref: taken.refname.clone(), left_out };
        note(core, holder, event, Write::default()).await?;
    }
    Ok(taken)
}

/// Lists the snapshots of a workspace that is or was there, the first one first.
pub(crate) async fn snapshots(core: &Core, holder: &Holder) -> Result<Vec<Snapshot>, EngineError> {
    let entry = known(core, holder).await?;
    let Some(project) = &entry.workspace.project else { return Ok(Vec::new()) };
    let project = Path::new(project);
    if !project.is_dir() {
        return Err(EngineError::Workspace {
            message: format!("the project {} of the workspace is gone", project.display()),
            hint: Some("put it back in its place".to_owned()),
            class: adjutant_model::run::ErrorClass::Gone,
        });
    }
    worktree::snapshots(&core.git, project, &holder.to_string()).await.map_err(snapshot_refused)
}

/// Puts a snapshot back: in place while the workspace is there, else where it was, or into another directory.
pub(crate) async fn restore(
    core: &Arc<Core>,
    holder: &Holder,
    request: RestoreRequest,
) -> Result<RestoredInfo, EngineError> {
    let entry = known(core, holder).await?;
    let snapshots = snapshots(core, holder).await?;
    let found = match request.number {
        Some(number) => snapshots.into_iter().find(|snapshot| snapshot.number == number),
        None => snapshots.into_iter().next_back(),
    };
    let snapshot = found.ok_or_else(|| {
        let number = request.number.map_or_else(String::new, |number| format!(" {number}"));
        EngineError::not_found("snapshot", format!("{holder}{number}"))
    })?;
    if let Some(to) = &request.to
        && !to.is_absolute()
    {
        return Err(EngineError::invalid(format!("`to` must be an absolute path, not {}", to.display())));
    }
    if request.to.is_none() {
        check_left(core, holder).await?;
    }
    let (core, holder) = (core.clone(), holder.clone());
    apart(&core.clone(), async move { put_back(&core, &holder, entry, request.to, snapshot).await }).await
}

async fn put_back(
    core: &Core,
    holder: &Holder,
    entry: WorkspaceEntry,
    to: Option<PathBuf>,
    snapshot: Snapshot,
) -> Result<RestoredInfo, EngineError> {
    let name = holder.to_string();
    let params = RestoreParams { record: &entry.workspace, name: &name, snapshot: &snapshot };
    let own = folder(core).join(&name);
    let is_elsewhere = to.is_some();
    let restored = match to {
        Some(to) => worktree::restore_beside(&core.git, params, &to).await,
        None if entry.is_removed || !Path::new(&entry.workspace.path).is_dir() => {
            worktree::restore_beside(&core.git, params, &own).await
        }
        None => worktree::restore_in_place(&core.git, params).await,
    };
    let Restored { record, before } = restored.map_err(restore_refused)?;
    let mut write = Write::default();
    // Another directory is whoever has asked for it: nothing of ours is ever done with it.
    if !is_elsewhere {
        write.workspace_set(holder, &record);
    }
    let (snapshot_ref, before_ref) = (snapshot.refname, before.map(|before| before.refname));
    let (path, before) = (record.path.clone(), before_ref.clone());
    let event = Event::WorkspaceRestored { snapshot_ref: snapshot_ref.clone(), path, before_ref: before };
    note(core, holder, event, write).await?;
    Ok(RestoredInfo { workspace: record, snapshot_ref, before_ref })
}

async fn known(core: &Core, holder: &Holder) -> Result<WorkspaceEntry, EngineError> {
    let known = core.store.workspace_known(holder).await?;
    known.ok_or_else(|| EngineError::not_found("workspace", holder))
}

/// Keeps what was done to a workspace, in one write with its row in the journal.
pub(super) async fn note(
    core: &Core,
    holder: &Holder,
    event: Event,
    mut write: Write,
) -> Result<(), EngineError> {
    write.journal(Draft { at: clock::now(), actor: "host".into(), subject: holder.into(), event });
    core.store.write(write).await?;
    Ok(())
}

fn snapshot_refused(error: SnapshotError) -> EngineError {
    match error {
        SnapshotError::Git(error) => git_refused(error),
        error => EngineError::Workspace { message: chain(&error), hint: error.hint(), class: error.class() },
    }
}

fn restore_refused(error: RestoreError) -> EngineError {
    EngineError::Workspace { message: chain(&error), hint: error.hint(), class: error.class() }
}
