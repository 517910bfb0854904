//! Delegations: the record of each; each write names the revision that it has seen.

use crate::reader::{ReadError, Snapshot, unsigned};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write, json_text};
use adjutant_model::delegation::Delegation;
use adjutant_model::{DelegationId, SessionId};
use rusqlite::Row;

/// Which delegations; without anything all.
#[derive(Debug, Clone, Copy, Default)]
pub struct DelegationFilter {
    /// Only those of this session.
    pub session: Option<SessionId>,
    /// Only those for which something has yet to be done.
    pub is_open: bool,
    /// At most so many, the newest first; 0 is all.
    pub limit: usize,
}

/// A delegation and how often its record was written.
#[derive(Debug, Clone, PartialEq)]
pub struct DelegationEntry {
    /// The delegation.
    pub delegation: Delegation,
    /// How often its record was written, from 1.
    pub revision: u64,
}

impl Write {
    /// Adds a delegation.
    pub fn delegation_create(&mut self, delegation: &Delegation) -> &mut Self {
        let params = vec![
            Param::from(delegation.id.to_string()),
            Param::from(delegation.session.to_string()),
            u32::from(delegation.is_open()).into(),
            Param::from(json_text(delegation)),
            delegation.created_at.into(),
        ];
        self.push(
            "INSERT INTO delegations (id, session, open, revision, record, created_at) VALUES (?1, ?2, ?3, 1, ?4, ?5)",
            ExpectedRows::Exactly(1),
            params,
        )
    }

    /// Keeps a delegation as it stands now, over the revision that was seen; another one fails with
    /// [`crate::WriteError::RowsUnexpected`].
    pub fn delegation_put(&mut self, delegation: &Delegation, revision: u64) -> &mut Self {
        let params = vec![
            Param::from(delegation.id.to_string()),
            revision.into(),
            u32::from(delegation.is_open()).into(),
            Param::from(json_text(delegation)),
        ];
        self.push(
            "UPDATE delegations SET open = ?3, record = ?4, revision = revision + 1 WHERE id = ?1 AND revision = ?2",
            ExpectedRows::Exactly(1),
            params,
        )
    }
}

const SELECT: &str = "SELECT record, revision FROM delegations";

impl Store {
    /// Gives a delegation.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn delegation_get(&self, id: DelegationId) -> Result<Option<DelegationEntry>, ReadError> {
        self.read(move |snapshot| {
            let sql = format!("{SELECT} WHERE id = ?1");
            Ok(snapshot.select(&sql, (id.to_string(),), |row| entry_of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Gives delegations, the newest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn delegations(&self, filter: DelegationFilter) -> Result<Vec<DelegationEntry>, ReadError> {
        let limit = match filter.limit {
            0 => i64::MAX,
            limit => i64::try_from(limit).unwrap_or(i64::MAX),
        };
        let params = (filter.session.map(|session| session.to_string()), filter.is_open, limit);
        self.read(move |snapshot| {
            let sql = format!(
                "{SELECT} WHERE (?1 IS NULL OR session = ?1) AND (NOT ?2 OR open) \
                 ORDER BY created_at DESC, id DESC LIMIT ?3"
            );
            snapshot.select(&sql, params, |row| entry_of_row(snapshot, row))
        })
        .await
    }
}

fn entry_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<DelegationEntry, ReadError> {
    let record: Option<String> = row.get(0)?;
    let delegation = snapshot.json("delegations.record", record)?;
    Ok(DelegationEntry {
        delegation: delegation.ok_or_else(|| ReadError::unreadable("delegations.record", "NULL"))?,
        revision: unsigned(row.get(1)?),
    })
}
