//! Tasks: requests to execute a blueprint, kept as they came.

use crate::blobs;
use crate::reader::{ReadError, Snapshot};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write};
use adjutant_model::run::{RunStatus, TaskRecord};
use adjutant_model::{TaskId, Timestamp};
use rusqlite::Row;

/// A task, and where its newest run stands.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskEntry {
    /// The task.
    pub task: TaskRecord,
    /// Where its newest run stands; nothing when no run of it is left.
    pub status: Option<RunStatus>,
    /// When that run ended, or else began.
    pub updated_at: Timestamp,
}

impl Write {
    /// Adds a task; its blueprint must be in the store or earlier in this write.
    pub fn task_create(&mut self, task: &TaskRecord) -> &mut Self {
        let input = self.content(Some(&task.input));
        let request = self.content(Some(&task.request));
        let params = vec![
            Param::text(task.id.as_str()),
            Param::text_or_null(task.goal.as_deref()),
            Param::text(&task.blueprint_id),
            Param::text(&task.blueprint_hash),
            input,
            request,
            task.created_at.into(),
        ];
        self.push(
            "INSERT INTO tasks (id, goal, blueprint_id, blueprint_hash, input, request, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            ExpectedRows::Exactly(1),
            params,
        )
    }
}

const SELECT: &str = "SELECT id, goal, blueprint_id, blueprint_hash, input, request, created_at FROM tasks";

impl Store {
    /// Gives a task.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn task_get(&self, task_id: &TaskId) -> Result<Option<TaskRecord>, ReadError> {
        let id = task_id.as_str().to_owned();
        self.read(move |snapshot| {
            let sql = format!("{SELECT} WHERE id = ?1");
            Ok(snapshot.select(&sql, (id,), |row| task_of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Gives tasks with where their newest runs stand, the newest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn task_list(&self, limit: usize) -> Result<Vec<TaskEntry>, ReadError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let sql =
                "SELECT t.id, t.goal, t.blueprint_id, t.blueprint_hash, t.input, t.request, t.created_at, r.status, \
                 r.created_at, r.ended_at FROM tasks t LEFT JOIN runs r \
                 ON r.number = (SELECT max(number) FROM runs WHERE task_id = t.id) ORDER BY t.number DESC LIMIT ?1";
            snapshot.select(sql, (limit,), |row| {
                let status = row.get::<_, Option<String>>(7)?.map(|status| {
                    RunStatus::parse(&status).ok_or_else(|| ReadError::unreadable("runs.status", &status))
                });
                let newest_at = row.get::<_, Option<i64>>(9)?.or(row.get(8)?);
                let task = task_of_row(snapshot, row)?;
                let updated_at = newest_at.map_or(task.created_at, Timestamp::from_unix_ms);
                Ok(TaskEntry { task, status: status.transpose()?, updated_at })
            })
        })
        .await
    }
}

fn task_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<TaskRecord, ReadError> {
    Ok(TaskRecord {
        id: snapshot.parse("tasks.id", &row.get::<_, String>(0)?)?,
        goal: row.get(1)?,
        blueprint_id: row.get(2)?,
        blueprint_hash: row.get(3)?,
        input: blobs::content_read(snapshot, "tasks.input", row.get(4)?)?.unwrap_or_default(),
        request: blobs::content_read(snapshot, "tasks.request", row.get(5)?)?.unwrap_or_default(),
        created_at: Timestamp::from_unix_ms(row.get(6)?),
    })
}
