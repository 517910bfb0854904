//! The workspaces of sessions: a worktree of a project, or of the cache of a remote.

use crate::error::{EngineError, chain};
use crate::plane::Core;
use crate::workspaces;
use adjutant_model::run::{ErrorClass, WorkspaceKind, WorkspaceRecord};
use adjutant_model::session::{Session, SessionSource};
use adjutant_model::workspace::Holder;
use adjutant_sessions::repository::{self, CacheParams, Refresh, RemoteUrl};
use adjutant_sessions::worktree::{self, KeepLimits, SnapshotParams, WorktreeParams};
use std::path::{Path, PathBuf};

/// Refuses a ref that could be taken for anything else.
pub(crate) fn ref_check(name: &str) -> Result<(), EngineError> {
    let is_plain = !name.starts_with('-')
        && name.len() <= 255
        && !name.chars().any(|c| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c))
        && !name.contains("..")
        && !name.contains("@{");
    if is_plain {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    Err(EngineError::Invalid {
        message: format!("`ref` is a branch, a tag or a commit, not `{shown}`"),
        hint: Some("`git branch -a` and `git tag` list them".to_owned()),
    })
}

/// Reads a repository's URL; gives it without what it should not hold.
pub(super) fn remote_check(url: &str) -> Result<RemoteUrl, EngineError> {
    url.parse::<RemoteUrl>().map_err(|error| EngineError::Invalid {
        message: format!("`repo_url`: {error}"),
        hint: Some(error.hint()),
    })
}

/// Refuses a project that plainly cannot have worktrees.
pub(super) async fn project_check(core: &Core, project: &Path) -> Result<(), EngineError> {
    if !project.is_absolute() {
        let message = format!("`project` must be an absolute path, not {}", project.display());
        return Err(EngineError::invalid(message));
    }
    worktree::project_check(&core.git, project)
        .await
        .map_err(|error| EngineError::Invalid { message: format!("`project`: {error}"), hint: error.hint() })
}

/// Makes the workspace of a session; doing it again finds it.
pub(super) async fn provide(core: &Core, session: &Session) -> Result<WorkspaceRecord, EngineError> {
    let path = workspaces::folder(core).join(session.id.to_string());
    let branch = format!("adjutant/{}-{}", session.name, &session.id.to_string()[..8]);
    let (project, base) = match &session.source {
        SessionSource::Project { path, git_ref } => (PathBuf::from(path), git_ref.as_deref()),
        SessionSource::Remote { url, git_ref } => (cache(core, url).await?, git_ref.as_deref()),
        SessionSource::Directory { path } => return given(core, session, path).await,
    };
    let params = WorktreeParams { project: &project, path: &path, branch: &branch, base };
    let made = worktree::create(&core.git, params).await.map_err(workspaces::refused)?;
    workspaces::fill(core, &made).await;
    Ok(made)
}

/// Gives the directory of a run as it is; its project is known by the run, whose policy holds for the session too.
async fn given(core: &Core, session: &Session, path: &str) -> Result<WorkspaceRecord, EngineError> {
    let of_run = match &session.run_id {
        Some(run_id) => core.store.workspace_of(&Holder::Run(run_id.clone())).await?,
        None => None,
    };
    let project = of_run.and_then(|workspace| match workspace.kind {
        WorkspaceKind::Given => Some(workspace.path),
        WorkspaceKind::Worktree | WorkspaceKind::Scratch => workspace.project,
    });
    let (kind, path, node) = (WorkspaceKind::Given, path.to_owned(), session.node.clone());
    Ok(WorkspaceRecord { kind, path, project, branch: None, base: None, node })
}

async fn cache(core: &Core, url: &str) -> Result<PathBuf, EngineError> {
    let url = remote_check(url)?;
    let folder = workspaces::repositories_folder(core);
    let params = CacheParams { folder: &folder, url: &url, refresh: Refresh::Now };
    repository::ensure(&core.git, params).await.map_err(|error| EngineError::Workspace {
        message: chain(&error),
        hint: error.hint(),
        class: error.class(),
    })
}

/// Keeps a session's workspace under the next number; gives the ref, and nothing when nothing changed.
pub(super) async fn keep(core: &Core, session: &Session) -> Result<Option<String>, EngineError> {
    let holder = Holder::Session(session.id);
    let record = core.store.workspace_of(&holder).await?;
    let record = record.ok_or_else(|| EngineError::not_found("workspace", &holder))?;
    if record.kind == WorkspaceKind::Given {
        // Whose it is keeps it.
        return Ok(None);
    }
    let name = holder.to_string();
    let params = SnapshotParams { record: &record, name: &name, limits: KeepLimits::EVERY_TURN };
    let taken = worktree::snapshot_next(&core.git, params).await.map_err(|error| EngineError::Workspace {
        message: chain(&error),
        hint: error.hint(),
        class: error.class(),
    })?;
    Ok(taken.map(|snapshot| snapshot.refname))
}

/// Refuses to remove a workspace whose work stands nowhere else, before its agent is ended for that.
pub(super) async fn removable(core: &Core, session: &Session) -> Result<(), EngineError> {
    let holder = Holder::Session(session.id);
    let Some(record) = core.store.workspace_of(&holder).await? else { return Ok(()) };
    if record.kind != WorkspaceKind::Worktree || !Path::new(&record.path).exists() {
        return Ok(());
    }
    let unsaved = worktree::unsaved(&core.git, &record).await.map_err(workspaces::git_refused)?;
    if unsaved.is_empty() {
        return Ok(());
    }
    let (changed, untracked, commits) = (unsaved.changed, unsaved.untracked, unsaved.commits);
    Err(EngineError::Workspace {
        message: format!(
            "the session {} has work that stands nowhere else: {changed} changed and {untracked} new files, \
             {commits} commits",
            session.name
        ),
        hint: Some(format!(
            "take it over with `adjutant session merge {0} --into BRANCH`, or `adjutant session rm {0} --force` leaves it in a \
             snapshot alone",
            session.name
        )),
        class: ErrorClass::User,
    })
}
