//! Handoffs: the record of each, and what it is selected by.

use crate::reader::{ReadError, Snapshot};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write, json_text};
use adjutant_model::handoff::Handoff;
use adjutant_model::{HandoffId, SessionId};
use rusqlite::Row;

impl Write {
    /// Adds a handoff. A key that another of the session has fails with [`crate::WriteError::Constraint`].
    pub fn handoff_create(&mut self, handoff: &Handoff) -> &mut Self {
        let params = vec![
            Param::text(handoff.id.as_str()),
            Param::from(handoff.session.to_string()),
            Param::text_or_null(handoff.key.as_deref()),
            u32::from(handoff.ended_at.is_none()).into(),
            Param::from(json_text(handoff)),
            handoff.created_at.into(),
        ];
        self.push(
            "INSERT INTO handoffs (id, session, request_key, open, record, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            ExpectedRows::Exactly(1),
            params,
        )
    }

    /// Keeps the end of a handoff; one that has ended fails with [`crate::WriteError::RowsUnexpected`].
    pub fn handoff_end(&mut self, handoff: &Handoff) -> &mut Self {
        self.push(
            "UPDATE handoffs SET open = 0, record = ?2 WHERE id = ?1 AND open",
            ExpectedRows::Exactly(1),
            vec![Param::text(handoff.id.as_str()), Param::from(json_text(handoff))],
        )
    }
}

impl Store {
    /// Gives a handoff.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn handoff_get(&self, id: &HandoffId) -> Result<Option<Handoff>, ReadError> {
        let id = id.clone();
        self.read(move |snapshot| {
            let sql = "SELECT record FROM handoffs WHERE id = ?1";
            Ok(snapshot.select(sql, (id.as_str(),), |row| of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Gives the handoff of a session that a request's key stands for.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn handoff_keyed(&self, session: SessionId, key: &str) -> Result<Option<Handoff>, ReadError> {
        let params = (session.to_string(), key.to_owned());
        self.read(move |snapshot| {
            let sql = "SELECT record FROM handoffs WHERE session = ?1 AND request_key = ?2";
            Ok(snapshot.select(sql, params, |row| of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Gives the handoffs that have not ended, the oldest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn handoffs_open(&self) -> Result<Vec<Handoff>, ReadError> {
        self.read(move |snapshot| {
            let sql = "SELECT record FROM handoffs WHERE open ORDER BY created_at, id";
            snapshot.select(sql, (), |row| of_row(snapshot, row))
        })
        .await
    }
}

fn of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<Handoff, ReadError> {
    let handoff = snapshot.json("handoffs.record", row.get(0)?)?;
    handoff.ok_or_else(|| ReadError::unreadable("handoffs.record", "NULL"))
}
