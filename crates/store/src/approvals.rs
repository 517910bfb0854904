//! Approvals: questions that people answer, and what they said.

use crate::blobs;
use crate::reader::{ReadError, Snapshot, unsigned};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write};
use adjutant_model::Timestamp;
use adjutant_model::client_run::{Approval, ApprovalStatus};
use rusqlite::Row;

/// What came of an approval.
#[derive(Debug, Clone, Copy)]
pub struct ApprovalResolution<'a> {
    /// How it ended.
    pub status: ApprovalStatus,
    /// Who said so, and what else they said.
    pub by: &'a str,
    /// The option that was chosen.
    pub option: Option<&'a str>,
    /// When.
    pub at: Timestamp,
}

impl Write {
    /// Raises an approval.
    pub fn approval_put(&mut self, approval: &Approval) -> &mut Self {
        let parameters = self.content(Some(&approval.parameters));
        let params = vec![
            Param::text(&approval.id),
            Param::text_or_null(approval.run_id.as_deref()),
            Param::text_or_null(approval.agent_id.as_deref()),
            Param::text(&approval.token_id),
            Param::text(&approval.connection),
            Param::text(&approval.tool),
            parameters,
            Param::text(&approval.fingerprint),
            Param::text(&approval.reason),
            approval.status.as_str().into(),
            approval.deadline.into(),
            approval.created_at.into(),
            Param::at(approval.resolved_at),
            Param::text_or_null(approval.resolved_by.as_deref()),
            Param::text_or_null(approval.option.as_deref()),
        ];
        self.push(
            "INSERT INTO approvals (id, run_id, agent_id, token_id, connection, tool, parameters, fingerprint, reason, \
             status, deadline, created_at, resolved_at, resolved_by, chosen) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            ExpectedRows::Exactly(1),
            params,
        )
    }

    /// Ends an approval; one that has ended fails with [`crate::WriteError::RowsUnexpected`].
    pub fn approval_resolve(&mut self, id: &str, resolution: ApprovalResolution<'_>) -> &mut Self {
        self.push(
            "UPDATE approvals SET status = ?2, resolved_by = ?3, resolved_at = ?4, chosen = ?5 \
             WHERE id = ?1 AND status = 'pending'",
            ExpectedRows::Exactly(1),
            vec![
                Param::text(id),
                resolution.status.as_str().into(),
                Param::text(resolution.by),
                resolution.at.into(),
                Param::text_or_null(resolution.option),
            ],
        )
    }
}

const SELECT: &str = "SELECT id, run_id, agent_id, token_id, connection, tool, parameters, fingerprint, reason, status, \
                      deadline, created_at, resolved_at, resolved_by, chosen FROM approvals";

impl Store {
    /// Counts the approvals of one status.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn approvals_count(&self, status: ApprovalStatus) -> Result<u64, ReadError> {
        self.read(move |snapshot| {
            let sql = "SELECT count(*) FROM approvals WHERE status = ?1";
            let found = snapshot.select(sql, (status.as_str(),), |row| Ok(unsigned(row.get(0)?)))?;
            Ok(found.into_iter().sum())
        })
        .await
    }

    /// Gives an approval.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn approval_get(&self, id: &str) -> Result<Option<Approval>, ReadError> {
        let id = id.to_owned();
        self.read(move |snapshot| {
            let sql = format!("{SELECT} WHERE id = ?1");
            Ok(snapshot.select(&sql, (id,), |row| approval_of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Gives the last approval of an effect that was approved over a connection since some instant.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn approval_settled(
        &self,
        connection: &str,
        fingerprint: &str,
        since: Timestamp,
    ) -> Result<Option<Approval>, ReadError> {
        let (connection, fingerprint) = (connection.to_owned(), fingerprint.to_owned());
        self.read(move |snapshot| {
            let sql = format!(
                "{SELECT} WHERE status = 'approved' AND connection = ?1 AND fingerprint = ?2 AND resolved_at >= ?3 \
                 ORDER BY number DESC LIMIT 1"
            );
            let key = (connection, fingerprint, since.unix_ms());
            Ok(snapshot.select(&sql, key, |row| approval_of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Gives approvals, those of one status or all, the newest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn approvals(
        &self,
        status: Option<ApprovalStatus>,
        limit: usize,
    ) -> Result<Vec<Approval>, ReadError> {
        let status = status.map(ApprovalStatus::as_str);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let sql = format!("{SELECT} WHERE ?1 IS NULL OR status = ?1 ORDER BY number DESC LIMIT ?2");
            snapshot.select(&sql, (status, limit), |row| approval_of_row(snapshot, row))
        })
        .await
    }
}

fn approval_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<Approval, ReadError> {
    let status: String = row.get(9)?;
    Ok(Approval {
        id: row.get(0)?,
        run_id: row.get::<_, Option<String>>(1)?.map(Into::into),
        agent_id: row.get::<_, Option<String>>(2)?.map(Into::into),
        token_id: row.get(3)?,
        connection: row.get(4)?,
        tool: row.get(5)?,
        parameters: blobs::content_read(snapshot, "approvals.parameters", row.get(6)?)?.unwrap_or_default(),
        fingerprint: row.get(7)?,
        reason: row.get(8)?,
        status: ApprovalStatus::parse(&status)
            .ok_or_else(|| ReadError::unreadable("approvals.status", &status))?,
        deadline: Timestamp::from_unix_ms(row.get(10)?),
        created_at: Timestamp::from_unix_ms(row.get(11)?),
        resolved_at: row.get::<_, Option<i64>>(12)?.map(Timestamp::from_unix_ms),
        resolved_by: row.get(13)?,
        option: row.get(14)?,
    })
}
