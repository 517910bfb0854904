//! Discovered sessions: the record of each, by the agent's own id of its session.

use crate::reader::ReadError;
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write, json_text};
use adjutant_model::SessionId;
use adjutant_model::discovered::Discovered;

impl Write {
    /// Keeps a discovered session; what is older than what is kept changes nothing.
    pub fn discovered_put(&mut self, known: &Discovered) -> &mut Self {
        let params = vec![
            Param::from(known.id.to_string()),
            Param::text(&known.agent_session),
            known.heard_at.into(),
            Param::from(json_text(known)),
        ];
        self.push(
            "INSERT INTO discovered (id, agent_session, heard_at, record) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (id) DO UPDATE SET heard_at = ?3, record = ?4 WHERE discovered.heard_at <= ?3",
            ExpectedRows::Any,
            params,
        )
    }

    /// Forgets a discovered session; one that is not there stays so.
    pub fn discovered_forget(&mut self, id: SessionId) -> &mut Self {
        self.push(
            "DELETE FROM discovered WHERE id = ?1",
            ExpectedRows::Any,
            vec![Param::from(id.to_string())],
        )
    }
}

impl Store {
    /// Gives the discovered sessions, the one that was heard of last first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn discovered(&self) -> Result<Vec<Discovered>, ReadError> {
        self.read(|snapshot| {
            let sql = "SELECT record FROM discovered ORDER BY heard_at DESC, id DESC";
            snapshot.select(sql, (), |row| {
                let record = snapshot.json("discovered.record", row.get(0)?)?;
                record.ok_or_else(|| ReadError::unreadable("discovered.record", "NULL"))
            })
        })
        .await
    }
}
