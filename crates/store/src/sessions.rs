//! Managed sessions: the record of each, and what it is selected by.

use crate::reader::{ReadError, Snapshot, unsigned};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write, json_text};
use adjutant_model::SessionId;
use adjutant_model::session::{Session, SessionState};
use rusqlite::Row;

/// Which managed sessions; without anything all.
#[derive(Debug, Clone, Default)]
pub struct SessionFilter {
    /// Only those that stand here.
    pub state: Option<SessionState>,
    /// Only those that are not decommissioned.
    pub is_live: bool,
    /// Only those that this one has started.
    pub parent: Option<SessionId>,
    /// At most so many, the newest first; 0 is all.
    pub limit: usize,
}

/// A managed session and how often its record was written.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionEntry {
    /// The session.
    pub session: Session,
    /// How often its record was written, from 1.
    pub revision: u64,
}

impl Write {
    /// Adds a session. A name that another live session has fails with [`crate::WriteError::Constraint`].
    pub fn session_create(&mut self, session: &Session) -> &mut Self {
        let params = vec![
            Param::from(session.id.to_string()),
            Param::text(&session.name),
            session.parent.map_or(Param::Null, |id| Param::from(id.to_string())),
            session.state.as_str().into(),
            Param::text(&session.node),
            Param::from(json_text(session)),
            session.created_at.into(),
        ];
        self.push(
            "INSERT INTO sessions (id, name, parent, state, node, revision, record, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7)",
            ExpectedRows::Exactly(1),
            params,
        )
    }

    /// Keeps a session as it stands now, over the revision that was seen; another one fails with
    /// [`crate::WriteError::RowsUnexpected`].
    pub fn session_put(&mut self, session: &Session, revision: u64) -> &mut Self {
        let params = vec![
            Param::from(session.id.to_string()),
            revision.into(),
            session.state.as_str().into(),
            Param::from(json_text(session)),
        ];
        self.push(
            "UPDATE sessions SET state = ?3, record = ?4, revision = revision + 1 WHERE id = ?1 AND revision = ?2",
            ExpectedRows::Exactly(1),
            params,
        )
    }
}

const SELECT: &str = "SELECT record, revision FROM sessions";

impl Store {
    /// Gives a session.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn session_get(&self, session_id: SessionId) -> Result<Option<SessionEntry>, ReadError> {
        self.read(move |snapshot| {
            let sql = format!("{SELECT} WHERE id = ?1");
            Ok(snapshot.select(&sql, (session_id.to_string(),), |row| entry_of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Gives the live session of a name.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn session_named(&self, name: &str) -> Result<Option<SessionEntry>, ReadError> {
        let name = name.to_owned();
        self.read(move |snapshot| {
            let sql = format!("{SELECT} WHERE name = ?1 AND state <> 'decommissioned'");
            Ok(snapshot.select(&sql, (name,), |row| entry_of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Counts the sessions of each state that some are in.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn sessions_by_state(&self) -> Result<Vec<(SessionState, u64)>, ReadError> {
        self.read(|snapshot| {
            snapshot.select("SELECT state, count(*) FROM sessions GROUP BY state", (), |row| {
                let text: String = row.get(0)?;
                let state = SessionState::parse(&text);
                Ok((
                    state.ok_or_else(|| ReadError::unreadable("sessions.state", &text))?,
                    unsigned(row.get(1)?),
                ))
            })
        })
        .await
    }

    /// Gives sessions, the newest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn sessions(&self, filter: SessionFilter) -> Result<Vec<SessionEntry>, ReadError> {
        let limit = match filter.limit {
            0 => i64::MAX,
            limit => i64::try_from(limit).unwrap_or(i64::MAX),
        };
        let params = (
            filter.state.map(SessionState::as_str),
            filter.is_live,
            filter.parent.map(|parent| parent.to_string()),
            limit,
        );
        self.read(move |snapshot| {
            let sql = format!(
                "{SELECT} WHERE (?1 IS NULL OR state = ?1) AND (NOT ?2 OR state <> 'decommissioned') \
                 AND (?3 IS NULL OR parent = ?3) ORDER BY created_at DESC, id DESC LIMIT ?4"
            );
            snapshot.select(&sql, params, |row| entry_of_row(snapshot, row))
        })
        .await
    }
}

fn entry_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<SessionEntry, ReadError> {
    let record: Option<String> = row.get(0)?;
    let session = snapshot.json("sessions.record", record)?;
    Ok(SessionEntry {
        session: session.ok_or_else(|| ReadError::unreadable("sessions.record", "NULL"))?,
        revision: unsigned(row.get(1)?),
    })
}
