//! Calls that take long: the record of each, and what it is selected by.

use crate::reader::{ReadError, Snapshot};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write, json_text};
use adjutant_model::call::{Call, CallWork};
use adjutant_model::{CallId, Timestamp};
use rusqlite::Row;
use std::sync::LazyLock;

/// A call may be forgotten when it is this old and has ended; one of a run when the run has.
const OVER: &str = "created_at < ?1 AND NOT open AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = calls.run_id \
                    AND r.ended_at IS NULL)";

impl Write {
    /// Adds a call.
    pub fn call_create(&mut self, call: &Call) -> &mut Self {
        let (run_id, open) = match &call.work {
            CallWork::Run { run_id } => (Param::text(run_id.as_str()), 0),
            CallWork::Checks { .. } => (Param::text_or_null(None), u32::from(call.end.is_none())),
        };
        self.push(
            "INSERT INTO calls (id, run_id, open, record, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            ExpectedRows::Exactly(1),
            vec![
                Param::text(call.id.as_str()),
                run_id,
                open.into(),
                Param::from(json_text(call)),
                call.created_at.into(),
            ],
        )
    }

    /// Keeps the end of a call; one that has ended fails with [`crate::WriteError::RowsUnexpected`].
    pub fn call_end(&mut self, call: &Call) -> &mut Self {
        self.push(
            "UPDATE calls SET open = 0, record = ?2 WHERE id = ?1 AND open",
            ExpectedRows::Exactly(1),
            vec![Param::text(call.id.as_str()), Param::from(json_text(call))],
        )
    }

    /// Removes calls that were made before `before` and are over.
    pub fn calls_forget(&mut self, before: Timestamp) -> &mut Self {
        static SQL: LazyLock<String> = LazyLock::new(|| format!("DELETE FROM calls WHERE {OVER}"));
        self.push(SQL.as_str(), ExpectedRows::Any, vec![before.into()])
    }
}

impl Store {
    /// Gives a call.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn call_get(&self, id: &CallId) -> Result<Option<Call>, ReadError> {
        let id = id.clone();
        self.read(move |snapshot| {
            let sql = "SELECT record FROM calls WHERE id = ?1";
            Ok(snapshot.select(sql, (id.as_str(),), |row| of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Gives the calls that have not ended, the oldest first; those of runs end with their runs and are not among them.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn calls_open(&self) -> Result<Vec<Call>, ReadError> {
        self.read(move |snapshot| {
            let sql = "SELECT record FROM calls WHERE open ORDER BY created_at, id";
            snapshot.select(sql, (), |row| of_row(snapshot, row))
        })
        .await
    }

    /// Counts the calls that were made before `before` and are over.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn calls_over(&self, before: Timestamp) -> Result<u64, ReadError> {
        self.read(move |snapshot| {
            let sql = format!("SELECT count(*) FROM calls WHERE {OVER}");
            let counted = snapshot.select(&sql, (before.unix_ms(),), |row| Ok(row.get::<_, i64>(0)?))?;
            Ok(counted.first().map_or(0, |count| count.unsigned_abs()))
        })
        .await
    }
}

fn of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<Call, ReadError> {
    let call = snapshot.json("calls.record", row.get(0)?)?;
    call.ok_or_else(|| ReadError::unreadable("calls.record", "NULL"))
}
