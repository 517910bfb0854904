//! Workspaces: which directory each run and each session works in, and on which node. That of one whose directory was
//! removed stays known, because its snapshots are in the project.

use crate::reader::{ReadError, Snapshot};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write};
use adjutant_model::Holder;
use adjutant_model::run::{RunStatus, WorkspaceKind, WorkspaceRecord};
use rusqlite::Row;

/// A workspace, and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkspaceEntry {
    /// Whose it is.
    pub holder: Holder,
    /// Where the run stands, when it is one's and the run is still kept.
    pub run_status: Option<RunStatus>,
    /// The directory.
    pub workspace: WorkspaceRecord,
    /// Whether the directory was removed.
    pub is_removed: bool,
}

impl Write {
    /// Says what a run or a session works in.
    pub fn workspace_set(&mut self, holder: &Holder, workspace: &WorkspaceRecord) -> &mut Self {
        let params = vec![
            Param::text(&holder.to_string()),
            kind_name(workspace.kind).into(),
            Param::text(&workspace.path),
            Param::text_or_null(workspace.project.as_deref()),
            Param::text_or_null(workspace.branch.as_deref()),
            Param::text_or_null(workspace.base.as_deref()),
            Param::text(&workspace.node),
        ];
        self.push(
            "INSERT INTO workspaces (holder, kind, path, project, branch, base, node, removed) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0) \
             ON CONFLICT (holder) DO UPDATE SET kind = excluded.kind, path = excluded.path, \
             project = excluded.project, branch = excluded.branch, base = excluded.base, node = excluded.node, \
             removed = 0",
            ExpectedRows::Exactly(1),
            params,
        )
    }

    /// Says that the directory is not there any more; what it was stays known.
    pub fn workspace_remove(&mut self, holder: &Holder) -> &mut Self {
        self.push(
            "UPDATE workspaces SET removed = 1 WHERE holder = ?1 AND removed = 0",
            ExpectedRows::Exactly(1),
            vec![Param::text(&holder.to_string())],
        )
    }
}

const SELECT: &str = "SELECT w.holder, r.status, w.removed, w.kind, w.path, w.project, w.branch, w.base, w.node \
                      FROM workspaces w LEFT JOIN runs r ON r.id = w.holder";

impl Store {
    /// Gives every workspace that is there, the newest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn workspaces(&self) -> Result<Vec<WorkspaceEntry>, ReadError> {
        self.read(|snapshot| {
            let sql = format!("{SELECT} WHERE w.removed = 0 ORDER BY w.number DESC");
            select(snapshot, &sql, ())
        })
        .await
    }

    /// Gives every project that a workspace is or was of.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn workspace_projects(&self) -> Result<Vec<String>, ReadError> {
        self.read(|snapshot| {
            let sql = "SELECT DISTINCT project FROM workspaces WHERE project IS NOT NULL ORDER BY project";
            snapshot.select(sql, (), |row| Ok(row.get(0)?))
        })
        .await
    }

    /// Gives what a run or a session works in; `None` when it has no directory, or has it no more.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn workspace_of(&self, holder: &Holder) -> Result<Option<WorkspaceRecord>, ReadError> {
        let known = self.workspace_known(holder).await?;
        Ok(known.filter(|entry| !entry.is_removed).map(|entry| entry.workspace))
    }

    /// Gives what a run or a session works in or has worked in, its directory there or not.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn workspace_known(&self, holder: &Holder) -> Result<Option<WorkspaceEntry>, ReadError> {
        let holder = holder.to_string();
        self.read(move |snapshot| {
            let sql = format!("{SELECT} WHERE w.holder = ?1");
            Ok(select(snapshot, &sql, (holder,))?.pop())
        })
        .await
    }
}

fn select(
    snapshot: &Snapshot<'_>,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<Vec<WorkspaceEntry>, ReadError> {
    let entries = snapshot.select(sql, params, |row| {
        let run_status = row
            .get::<_, Option<String>>(1)?
            .map(|status| {
                RunStatus::parse(&status).ok_or_else(|| ReadError::unreadable("runs.status", &status))
            })
            .transpose()?;
        let holder = snapshot.parse("workspaces.holder", &row.get::<_, String>(0)?)?;
        let is_removed = row.get(2)?;
        let workspace = workspace_of_row(row, 3)?;
        Ok(workspace.map(|workspace| WorkspaceEntry { holder, run_status, workspace, is_removed }))
    })?;
    Ok(entries.into_iter().flatten().collect())
}

/// Reads the workspace whose columns begin at `first`; an outer join may have left them empty.
pub(crate) fn workspace_of_row(row: &Row<'_>, first: usize) -> Result<Option<WorkspaceRecord>, ReadError> {
    let Some(kind) = row.get::<_, Option<String>>(first)? else { return Ok(None) };
    Ok(Some(WorkspaceRecord {
        kind: kind_parse(&kind).ok_or_else(|| ReadError::unreadable("workspaces.kind", &kind))?,
        path: row.get(first + 1)?,
        project: row.get(first + 2)?,
        branch: row.get(first + 3)?,
        base: row.get(first + 4)?,
        node: row.get(first + 5)?,
    }))
}

fn kind_name(kind: WorkspaceKind) -> &'static str {
    match kind {
        WorkspaceKind::Worktree => "worktree",
        WorkspaceKind::Scratch => "scratch",
        WorkspaceKind::Given => "given",
    }
}

fn kind_parse(text: &str) -> Option<WorkspaceKind> {
    [WorkspaceKind::Worktree, WorkspaceKind::Scratch, WorkspaceKind::Given]
        .into_iter()
        .find(|kind| kind_name(*kind) == text)
}
