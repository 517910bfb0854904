//! Breakers, by the name of the agent; each write names the revision that it has seen.

use crate::reader::{ReadError, unsigned};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write};
use adjutant_model::Timestamp;
use adjutant_model::breaker::{Breaker, BreakerRecord, Circuit};
use rusqlite::Row;

impl Write {
    /// Keeps a breaker, as the revision after the one that was seen; without a record none must be there.
    ///
    /// Another revision fails with [`crate::WriteError::RowsUnexpected`].
    pub fn breaker_put(&mut self, record: &BreakerRecord) -> &mut Self {
        let Breaker { circuit, consecutive_failures } = record.breaker;
        let params = vec![
            Param::text(&record.agent),
            circuit.as_str().into(),
            Param::at(circuit.since()),
            consecutive_failures.into(),
            record.revision.into(),
            record.updated_at.into(),
        ];
        self.push(
            "INSERT INTO breakers (agent, state, since, failures, revision, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT (agent) DO UPDATE SET state = ?2, since = ?3, failures = ?4, revision = ?5, updated_at = ?6 \
             WHERE breakers.revision = ?5 - 1",
            ExpectedRows::Exactly(1),
            params,
        )
    }
}

impl Store {
    /// Gives an agent's breaker, when one is kept.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn breaker_get(&self, agent: &str) -> Result<Option<BreakerRecord>, ReadError> {
        let agent = agent.to_owned();
        self.read(move |snapshot| {
            let sql = format!("{SELECT} WHERE agent = ?1");
            Ok(snapshot.select(&sql, (agent,), record_of_row)?.pop())
        })
        .await
    }

    /// Gives the breakers that are kept, by name.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn breakers(&self, limit: usize) -> Result<Vec<BreakerRecord>, ReadError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let sql = format!("{SELECT} ORDER BY agent LIMIT ?1");
            snapshot.select(&sql, (limit,), record_of_row)
        })
        .await
    }

    /// Counts the breakers that are kept.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn breaker_count(&self) -> Result<u64, ReadError> {
        self.read(|snapshot| {
            let counted = snapshot.select("SELECT COUNT(*) FROM breakers", (), |row| Ok(row.get(0)?))?.pop();
            Ok(counted.map_or(0, unsigned))
        })
        .await
    }
}

const SELECT: &str = "SELECT agent, state, since, failures, revision, updated_at FROM breakers";

fn record_of_row(row: &Row<'_>) -> Result<BreakerRecord, ReadError> {
    let state: String = row.get(1)?;
    let since = row.get::<_, Option<i64>>(2)?.map(Timestamp::from_unix_ms);
    let circuit =
        Circuit::of(&state, since).ok_or_else(|| ReadError::unreadable("breakers.state", &state))?;
    let consecutive_failures = u32::try_from(row.get::<_, i64>(3)?).unwrap_or(u32::MAX);
    Ok(BreakerRecord {
        agent: row.get(0)?,
        breaker: Breaker { circuit, consecutive_failures },
        revision: unsigned(row.get(4)?),
        updated_at: Timestamp::from_unix_ms(row.get(5)?),
    })
}
