//! Workspaces: which directory each run works in, and on which node.

use crate::reader::ReadError;
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write};
use adjutant_model::RunId;
use adjutant_model::run::{RunStatus, WorkspaceKind, WorkspaceRecord};
use rusqlite::Row;

/// A workspace that is there, and the run that it is of.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkspaceEntry {
    /// The run.
    pub run_id: RunId,
    /// Where the run stands.
    pub run_status: RunStatus,
    /// The directory.
    pub workspace: WorkspaceRecord,
}

impl Write {
    /// Says what a run works in.
    pub fn run_workspace_set(&mut self, run_id: &RunId, workspace: &WorkspaceRecord) -> &mut Self {
        let params = vec![
            Param::Run(run_id.clone()),
            kind_name(workspace.kind).into(),
            Param::text(&workspace.path),
            Param::text_or_null(workspace.project.as_deref()),
            Param::text_or_null(workspace.branch.as_deref()),
            Param::text_or_null(workspace.base.as_deref()),
            Param::text(&workspace.node),
        ];
        self.push(
            "INSERT INTO workspaces (run, kind, path, project, branch, base, node) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
             ON CONFLICT (run) DO UPDATE SET kind = excluded.kind, path = excluded.path, \
             project = excluded.project, branch = excluded.branch, base = excluded.base, node = excluded.node",
            ExpectedRows::Exactly(1),
            params,
        )
    }

    /// Says that the directory a run worked in is not there any more.
    pub fn run_workspace_remove(&mut self, run_id: &RunId) -> &mut Self {
        self.push(
            "DELETE FROM workspaces WHERE run = ?1",
            ExpectedRows::Exactly(1),
            vec![Param::Run(run_id.clone())],
        )
    }
}

impl Store {
    /// Gives every workspace that is there, the newest run's first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn workspaces(&self) -> Result<Vec<WorkspaceEntry>, ReadError> {
        self.read(|snapshot| {
            let sql = "SELECT r.id, r.status, w.kind, w.path, w.project, w.branch, w.base, w.node \
                       FROM workspaces w JOIN runs r ON r.number = w.run ORDER BY w.run DESC";
            let entries = snapshot.select(sql, (), |row| {
                let status: String = row.get(1)?;
                let run_id = snapshot.parse("runs.id", &row.get::<_, String>(0)?)?;
                let run_status =
                    RunStatus::parse(&status).ok_or_else(|| ReadError::unreadable("runs.status", &status))?;
                let workspace = workspace_of_row(row, 2)?;
                Ok(workspace.map(|workspace| WorkspaceEntry { run_id, run_status, workspace }))
            })?;
            Ok(entries.into_iter().flatten().collect())
        })
        .await
    }
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
