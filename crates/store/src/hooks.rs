//! What hooks told: kept beside the journal, so that it can be forgotten.

use crate::reader::{ReadError, Snapshot, unsigned};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write, json_text};
use adjutant_model::hook::{HookDraft, HookRecord};
use adjutant_model::id::Uuid;
use adjutant_model::{SessionId, Timestamp};
use rusqlite::Row;

/// So many rows are forgotten by one write.
pub const HOOK_EVENTS_FORGOTTEN_MAX: u64 = 5000;

impl Write {
    /// Adds what a hook told; one that is known by its id already stays as it is.
    pub fn hook_event_add(&mut self, draft: HookDraft) -> &mut Self {
        let params = vec![
            Param::from(draft.session_id.to_string()),
            Param::text(&draft.event),
            Param::text_or_null(draft.tool.as_deref()),
            draft.size_bytes.into(),
            Param::text_or_null(draft.decision.as_deref()),
            Param::from(draft.payload),
            draft.at.into(),
            draft.hook_id.map_or(Param::Null, |id| Param::from(id.to_string())),
        ];
        self.push(
            "INSERT INTO hook_events (session_id, event, tool, size, decision, payload, at, hook_id) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
            ExpectedRows::Any,
            params,
        )
    }

    /// Forgets what hooks told before `before`, and all but the last `keep` rows; at most
    /// [`HOOK_EVENTS_FORGOTTEN_MAX`] of them. The last row stays, so that numbers only ascend.
    pub fn hook_events_forget(&mut self, before: Timestamp, keep: u64) -> &mut Self {
        self.push(
            "DELETE FROM hook_events WHERE number IN (SELECT number FROM hook_events WHERE (at < ?1 OR number <= \
             (SELECT MAX(number) FROM hook_events) - ?2) AND number < (SELECT MAX(number) FROM hook_events) \
             ORDER BY number LIMIT ?3)",
            ExpectedRows::Any,
            vec![before.into(), keep.into(), HOOK_EVENTS_FORGOTTEN_MAX.into()],
        )
    }
}

impl Store {
    /// Gives what the hooks of a session told, in order, from the one behind `after`.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn hook_events(
        &self,
        session_id: SessionId,
        after: i64,
        limit: usize,
    ) -> Result<Vec<HookRecord>, ReadError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let sql = "SELECT number, session_id, event, tool, size, decision, payload, at, hook_id FROM hook_events \
                       WHERE session_id = ?1 AND number > ?2 ORDER BY number LIMIT ?3";
            let key = (session_id.to_string(), after, limit);
            snapshot.select(sql, key, |row| record_of_row(snapshot, row))
        })
        .await
    }

    /// Gives those of the ids that hooks are known by already.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn hook_ids_known(&self, ids: Vec<Uuid>) -> Result<Vec<Uuid>, ReadError> {
        let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
        self.read(move |snapshot| {
            let sql = "SELECT hook_id FROM hook_events WHERE hook_id IN (SELECT value FROM json_each(?1))";
            let ids = json_text(&ids);
            snapshot
                .select(sql, (ids,), |row| snapshot.parse("hook_events.hook_id", &row.get::<_, String>(0)?))
        })
        .await
    }

    /// Gives what the hooks of a session told last, in order.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn hook_events_last(
        &self,
        session_id: SessionId,
        limit: usize,
    ) -> Result<Vec<HookRecord>, ReadError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let sql = "SELECT number, session_id, event, tool, size, decision, payload, at, hook_id FROM hook_events \
                       WHERE session_id = ?1 ORDER BY number DESC LIMIT ?2";
            let key = (session_id.to_string(), limit);
            let mut last = snapshot.select(sql, key, |row| record_of_row(snapshot, row))?;
            last.reverse();
            Ok(last)
        })
        .await
    }

    /// Counts what [`Write::hook_events_forget`] would forget if it had no limit.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn hook_events_old(&self, before: Timestamp, keep: u64) -> Result<u64, ReadError> {
        let keep = i64::try_from(keep).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let sql = "SELECT COUNT(*) FROM hook_events WHERE (at < ?1 OR number <= (SELECT MAX(number) FROM \
                       hook_events) - ?2) AND number < (SELECT MAX(number) FROM hook_events)";
            let counted = snapshot.select(sql, (before.unix_ms(), keep), |row| Ok(row.get(0)?))?.pop();
            Ok(counted.map_or(0, unsigned))
        })
        .await
    }
}

fn record_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<HookRecord, ReadError> {
    let draft = HookDraft {
        session_id: snapshot.parse("hook_events.session_id", &row.get::<_, String>(1)?)?,
        hook_id: row
            .get::<_, Option<String>>(8)?
            .map(|id| snapshot.parse("hook_events.hook_id", &id))
            .transpose()?,
        event: row.get(2)?,
        tool: row.get(3)?,
        size_bytes: unsigned(row.get(4)?),
        decision: row.get(5)?,
        payload: row.get(6)?,
        at: Timestamp::from_unix_ms(row.get(7)?),
    };
    Ok(HookRecord { number: row.get(0)?, draft })
}
