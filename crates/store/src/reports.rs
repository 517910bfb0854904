//! Reports of errors: what people were shown, what they have agreed to, and what became of it.

use crate::reader::{ReadError, Snapshot};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write, json_text};
use adjutant_model::report::{Filing, FilingState, ReportPreview};
use adjutant_model::{Timestamp, TokenId};
use rusqlite::Row;

/// How many reports may be filed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilingLimits {
    /// None of the same error since then.
    pub same_error_since: Timestamp,
    /// Fewer than `count` of all errors since then.
    pub all_since: Timestamp,
    /// See `all_since`.
    pub count: u64,
}

impl Write {
    /// Keeps a preview, also when it was shown before.
    pub fn report_preview_put(&mut self, preview: &ReportPreview) -> &mut Self {
        let params = vec![
            Param::text(&preview.hash),
            Param::text(&preview.fingerprint),
            Param::text_or_null(preview.destination.as_deref()),
            Param::from(json_text(&preview.draft)),
            Param::from(json_text(&preview.scrub_changes)),
            Param::from(preview.shown_to.to_string()),
            preview.shown_at.into(),
        ];
        self.push(
            "INSERT INTO report_previews (hash, fingerprint, destination, draft, scrub_changes, shown_to, shown_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (hash) DO UPDATE SET scrub_changes = ?5, shown_to = ?6, \
             shown_at = ?7",
            ExpectedRows::Exactly(1),
            params,
        )
    }

    /// Forgets all but the last `keep` previews and the last `keep` filings.
    pub fn reports_forget(&mut self, keep: u64) -> &mut Self {
        self.push(
            "DELETE FROM report_previews WHERE hash IN (SELECT hash FROM report_previews ORDER BY shown_at DESC, hash \
             LIMIT -1 OFFSET ?1)",
            ExpectedRows::Any,
            vec![keep.into()],
        );
        self.push(
            "DELETE FROM report_filings WHERE id IN (SELECT id FROM report_filings ORDER BY begun_at DESC, id LIMIT -1 \
             OFFSET ?1)",
            ExpectedRows::Any,
            vec![keep.into()],
        )
    }

    /// Begins a filing, unless the limits are reached; then it fails with [`crate::WriteError::RowsUnexpected`].
    pub fn report_filing_begin(&mut self, filing: &Filing, limits: FilingLimits) -> &mut Self {
        let params = vec![
            Param::text(&filing.id),
            Param::text(&filing.fingerprint),
            Param::text(&filing.preview),
            filing.state.as_str().into(),
            Param::text(&filing.owner),
            filing.begun_at.into(),
            limits.same_error_since.into(),
            limits.all_since.into(),
            limits.count.into(),
        ];
        self.push(
            "INSERT INTO report_filings (id, fingerprint, preview, state, owner, begun_at) SELECT ?1, ?2, ?3, ?4, ?5, \
             ?6 WHERE NOT EXISTS (SELECT 1 FROM report_filings WHERE fingerprint = ?2 AND state <> 'failed' AND \
             begun_at > ?7) AND (SELECT COUNT(*) FROM report_filings WHERE state <> 'failed' AND begun_at > ?8) < ?9",
            ExpectedRows::Exactly(1),
            params,
        )
    }

    /// Keeps how far a filing has got, over the state and the owner that were seen; others fail with
    /// [`crate::WriteError::RowsUnexpected`].
    pub fn report_filing_put(&mut self, filing: &Filing, seen: (FilingState, &str)) -> &mut Self {
        let params = vec![
            Param::text(&filing.id),
            Param::text(&filing.preview),
            filing.state.as_str().into(),
            Param::text(&filing.owner),
            Param::json(filing.issue.as_ref()),
            seen.0.as_str().into(),
            Param::text(seen.1),
        ];
        self.push(
            "UPDATE report_filings SET preview = ?2, state = ?3, owner = ?4, issue = ?5 WHERE id = ?1 AND state = ?6 \
             AND owner = ?7",
            ExpectedRows::Exactly(1),
            params,
        )
    }
}

const PREVIEW: &str =
    "SELECT hash, fingerprint, destination, draft, scrub_changes, shown_to, shown_at FROM report_previews";

impl Store {
    /// Gives a preview, when it is kept.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn report_preview_get(&self, hash: &str) -> Result<Option<ReportPreview>, ReadError> {
        let hash = hash.to_owned();
        self.read(move |snapshot| {
            let sql = format!("{PREVIEW} WHERE hash = ?1");
            Ok(snapshot.select(&sql, (hash,), |row| preview_of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Gives the preview of an error that was shown last.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn report_preview_last(&self, fingerprint: &str) -> Result<Option<ReportPreview>, ReadError> {
        let fingerprint = fingerprint.to_owned();
        self.read(move |snapshot| {
            let sql = format!("{PREVIEW} WHERE fingerprint = ?1 ORDER BY shown_at DESC, hash LIMIT 1");
            Ok(snapshot.select(&sql, (fingerprint,), |row| preview_of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Gives the filings that were begun after an instant, the newest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn report_filings_since(&self, since: Timestamp) -> Result<Vec<Filing>, ReadError> {
        self.read(move |snapshot| {
            let sql = format!("{FILING} WHERE begun_at > ?1 ORDER BY begun_at DESC, id");
            snapshot.select(&sql, (since.unix_ms(),), |row| filing_of_row(snapshot, row))
        })
        .await
    }

    /// Gives the last filing of an error.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn report_filing_last(&self, fingerprint: &str) -> Result<Option<Filing>, ReadError> {
        let fingerprint = fingerprint.to_owned();
        self.read(move |snapshot| {
            let sql = format!("{FILING} WHERE fingerprint = ?1 ORDER BY begun_at DESC, id LIMIT 1");
            Ok(snapshot.select(&sql, (fingerprint,), |row| filing_of_row(snapshot, row))?.pop())
        })
        .await
    }
}

const FILING: &str = "SELECT id, fingerprint, preview, state, owner, begun_at, issue FROM report_filings";

fn preview_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<ReportPreview, ReadError> {
    let unreadable = || ReadError::unreadable("report_previews.draft", "");
    Ok(ReportPreview {
        hash: row.get(0)?,
        fingerprint: row.get(1)?,
        destination: row.get(2)?,
        draft: snapshot.json("report_previews.draft", row.get(3)?)?.ok_or_else(unreadable)?,
        scrub_changes: snapshot.json("report_previews.scrub_changes", row.get(4)?)?.unwrap_or_default(),
        shown_to: snapshot.parse::<TokenId>("report_previews.shown_to", &row.get::<_, String>(5)?)?,
        shown_at: Timestamp::from_unix_ms(row.get(6)?),
    })
}

fn filing_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<Filing, ReadError> {
    let state: String = row.get(3)?;
    Ok(Filing {
        id: row.get(0)?,
        fingerprint: row.get(1)?,
        preview: row.get(2)?,
        state: FilingState::parse(&state)
            .ok_or_else(|| ReadError::unreadable("report_filings.state", &state))?,
        owner: row.get(4)?,
        begun_at: Timestamp::from_unix_ms(row.get(5)?),
        issue: snapshot.json("report_filings.issue", row.get(6)?)?,
    })
}
