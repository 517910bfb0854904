//! Errors that were captured: a row for all that are equal, and no more rows and bytes than a limit.

use crate::reader::{ReadError, Snapshot, unsigned};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write, json_text};
use adjutant_model::Timestamp;
use adjutant_model::report::ErrorRecord;
use rusqlite::Row;

/// How much of the errors is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorLimits {
    /// So many rows.
    pub rows: u64,
    /// So many bytes of text in them.
    pub bytes: u64,
}

impl Write {
    /// Keeps an error: what it says now, and its occurrences besides those that are known.
    pub fn error_seen(&mut self, error: &ErrorRecord) -> &mut Self {
        let texts = [&error.target, &error.version, &error.message, &error.fields, &error.os, &error.arch];
        let scrub_changes = json_text(&error.scrub_changes);
        let place = error.location.as_deref();
        let size = texts.iter().map(|text| text.len()).sum::<usize>()
            + place.map_or(0, str::len)
            + error.fingerprint.len()
            + scrub_changes.len();
        let params = vec![
            Param::text(&error.fingerprint),
            Param::text(&error.target),
            Param::text(&error.version),
            Param::text(&error.message),
            Param::text(&error.fields),
            Param::text_or_null(place),
            Param::text(&error.os),
            Param::text(&error.arch),
            error.occurrences.into(),
            error.first_seen_at.into(),
            error.last_seen_at.into(),
            Param::from(scrub_changes),
            (size as u64).into(),
        ];
        self.push(
            "INSERT INTO errors (fingerprint, target, version, message, fields, location, os, arch, occurrences, \
             first_seen_at, last_seen_at, scrub_changes, size) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, \
             ?12, ?13) ON CONFLICT (fingerprint) DO UPDATE SET target = ?2, version = ?3, message = ?4, fields = ?5, \
             location = ?6, os = ?7, arch = ?8, occurrences = errors.occurrences + ?9, first_seen_at = \
             MIN(errors.first_seen_at, ?10), last_seen_at = MAX(errors.last_seen_at, ?11), scrub_changes = ?12, \
             size = ?13",
            ExpectedRows::Exactly(1),
            params,
        )
    }

    /// Forgets those errors that were not seen for longest, until what is left is within the limits.
    pub fn errors_forget(&mut self, limits: ErrorLimits) -> &mut Self {
        self.push(
            "DELETE FROM errors WHERE fingerprint IN (SELECT fingerprint FROM (SELECT fingerprint, ROW_NUMBER() OVER \
             newest AS place, SUM(size) OVER newest AS bytes FROM errors WINDOW newest AS (ORDER BY last_seen_at \
             DESC, fingerprint ROWS UNBOUNDED PRECEDING)) AS ranked WHERE place > ?1 OR bytes > ?2)",
            ExpectedRows::Any,
            vec![limits.rows.into(), limits.bytes.into()],
        )
    }
}

const SELECT: &str = "SELECT fingerprint, target, version, message, fields, location, os, arch, occurrences, \
                      first_seen_at, last_seen_at, scrub_changes FROM errors";

impl Store {
    /// Gives the errors that are kept, those that were seen last first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn errors(&self, limit: usize) -> Result<Vec<ErrorRecord>, ReadError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let sql = format!("{SELECT} ORDER BY last_seen_at DESC, fingerprint LIMIT ?1");
            snapshot.select(&sql, (limit,), |row| record_of_row(snapshot, row))
        })
        .await
    }

    /// Gives an error, when it is kept.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn error_get(&self, fingerprint: &str) -> Result<Option<ErrorRecord>, ReadError> {
        let fingerprint = fingerprint.to_owned();
        self.read(move |snapshot| {
            let sql = format!("{SELECT} WHERE fingerprint = ?1");
            Ok(snapshot.select(&sql, (fingerprint,), |row| record_of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Counts the errors that are kept.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn error_count(&self) -> Result<u64, ReadError> {
        self.read(|snapshot| {
            let counted = snapshot.select("SELECT COUNT(*) FROM errors", (), |row| Ok(row.get(0)?))?.pop();
            Ok(counted.map_or(0, unsigned))
        })
        .await
    }
}

fn record_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<ErrorRecord, ReadError> {
    Ok(ErrorRecord {
        fingerprint: row.get(0)?,
        target: row.get(1)?,
        version: row.get(2)?,
        message: row.get(3)?,
        fields: row.get(4)?,
        location: row.get(5)?,
        os: row.get(6)?,
        arch: row.get(7)?,
        occurrences: unsigned(row.get(8)?),
        first_seen_at: Timestamp::from_unix_ms(row.get(9)?),
        last_seen_at: Timestamp::from_unix_ms(row.get(10)?),
        scrub_changes: snapshot.json("errors.scrub_changes", row.get(11)?)?.unwrap_or_default(),
    })
}
