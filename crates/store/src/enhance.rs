//! The enhance loop: its settings, and the log of its decisions, to which one entry for each issue is only added.

use crate::blobs;
use crate::reader::{ReadError, Snapshot, unsigned};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write};
use adjutant_model::issue::{EnhanceEntry, EnhanceOutcome, EnhanceSetting};
use adjutant_model::registry::VersionSelector;
use adjutant_model::{IssueId, Timestamp};
use rusqlite::Row;

impl Write {
    /// Keeps a setting, whether it is new or not.
    pub fn enhance_setting_put(&mut self, setting: &EnhanceSetting, at: Timestamp) -> &mut Self {
        let (kind, value) = match &setting.version {
            VersionSelector::Latest => ("latest", None),
            VersionSelector::Fixed(version) => ("fixed", Some(version.as_str())),
            VersionSelector::SemverReq(req) => ("semver_req", Some(req.as_str())),
        };
        let spawner = self.content(setting.spawner.as_ref());
        let meta = self.content(Some(&setting.meta));
        let params = vec![
            Param::text(&setting.id),
            Param::text(&setting.blueprint_id),
            kind.into(),
            Param::text_or_null(value),
            setting.ttl_secs.into(),
            Param::json(Some(&setting.verifier_axes)),
            spawner,
            meta,
            at.into(),
        ];
        self.push(
            "INSERT INTO enhance_settings (id, blueprint_id, version_kind, version_value, ttl_secs, axes, spawner, meta, \
             updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
             ON CONFLICT (id) DO UPDATE SET blueprint_id = excluded.blueprint_id, version_kind = excluded.version_kind, \
             version_value = excluded.version_value, ttl_secs = excluded.ttl_secs, axes = excluded.axes, \
             spawner = excluded.spawner, meta = excluded.meta, updated_at = excluded.updated_at",
            ExpectedRows::Exactly(1),
            params,
        )
    }

    /// Removes a setting; one that is not there fails with [`crate::WriteError::RowsUnexpected`].
    pub fn enhance_setting_remove(&mut self, id: &str) -> &mut Self {
        let sql = "DELETE FROM enhance_settings WHERE id = ?1";
        self.push(sql, ExpectedRows::Exactly(1), vec![Param::text(id)])
    }

    /// Adds the entry of an issue; there is one for each.
    pub fn enhance_entry_add(&mut self, entry: &EnhanceEntry) -> &mut Self {
        let params = vec![
            Param::text(entry.issue_id.as_str()),
            Param::text(&entry.blueprint_id),
            Param::text_or_null(entry.run_id.as_ref().map(|run_id| run_id.as_str())),
            Param::text(&entry.prev_hash),
            Param::text(&entry.new_hash),
            Param::text(&entry.intent),
            Param::text(&entry.rationale),
            Param::json(Some(&entry.verdicts)),
            entry.outcome.as_str().into(),
            Param::json(Some(&entry.reasons)),
            entry.at.into(),
        ];
        self.push(
            "INSERT INTO enhance_log (issue_id, blueprint_id, run_id, prev_hash, new_hash, intent, rationale, verdicts, \
             outcome, reasons, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            ExpectedRows::Exactly(1),
            params,
        )
    }
}

const SETTING: &str = "SELECT id, blueprint_id, version_kind, version_value, ttl_secs, axes, spawner, meta \
                       FROM enhance_settings";
const ENTRY: &str = "SELECT issue_id, blueprint_id, run_id, prev_hash, new_hash, intent, rationale, verdicts, outcome, \
                     reasons, at FROM enhance_log";

impl Store {
    /// Gives a setting.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn enhance_setting_get(&self, id: &str) -> Result<Option<EnhanceSetting>, ReadError> {
        let id = id.to_owned();
        self.read(move |snapshot| {
            let sql = format!("{SETTING} WHERE id = ?1");
            Ok(snapshot.select(&sql, (id,), |row| setting_of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Gives the ids of settings in their order.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn enhance_setting_ids(&self, limit: usize) -> Result<Vec<String>, ReadError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let sql = "SELECT id FROM enhance_settings ORDER BY id LIMIT ?1";
            snapshot.select(sql, (limit,), |row| Ok(row.get(0)?))
        })
        .await
    }

    /// Gives the entry of an issue.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn enhance_entry_get(&self, issue_id: &IssueId) -> Result<Option<EnhanceEntry>, ReadError> {
        let id = issue_id.as_str().to_owned();
        self.read(move |snapshot| {
            let sql = format!("{ENTRY} WHERE issue_id = ?1");
            Ok(snapshot.select(&sql, (id,), |row| entry_of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Gives the last entries, of one blueprint or all, the oldest of them first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn enhance_log(
        &self,
        blueprint_id: Option<String>,
        limit: usize,
    ) -> Result<Vec<EnhanceEntry>, ReadError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let sql = format!("{ENTRY} WHERE ?1 IS NULL OR blueprint_id = ?1 ORDER BY number DESC LIMIT ?2");
            let mut found =
                snapshot.select(&sql, (blueprint_id, limit), |row| entry_of_row(snapshot, row))?;
            found.reverse();
            Ok(found)
        })
        .await
    }
}

fn setting_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<EnhanceSetting, ReadError> {
    let kind: String = row.get(2)?;
    let value = row.get::<_, Option<String>>(3)?.unwrap_or_default();
    let version = match kind.as_str() {
        "latest" => VersionSelector::Latest,
        "fixed" => VersionSelector::Fixed(value),
        "semver_req" => VersionSelector::SemverReq(value),
        other => return Err(ReadError::unreadable("enhance_settings.version_kind", other)),
    };
    Ok(EnhanceSetting {
        id: row.get(0)?,
        blueprint_id: row.get(1)?,
        version,
        ttl_secs: unsigned(row.get(4)?),
        verifier_axes: snapshot.json("enhance_settings.axes", row.get(5)?)?.unwrap_or_default(),
        spawner: blobs::content_read(snapshot, "enhance_settings.spawner", row.get(6)?)?,
        meta: blobs::content_read(snapshot, "enhance_settings.meta", row.get(7)?)?.unwrap_or_default(),
    })
}

fn entry_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<EnhanceEntry, ReadError> {
    let outcome: String = row.get(8)?;
    let run_id: Option<String> = row.get(2)?;
    Ok(EnhanceEntry {
        issue_id: snapshot.parse("enhance_log.issue_id", &row.get::<_, String>(0)?)?,
        blueprint_id: row.get(1)?,
        run_id: run_id.map(|text| snapshot.parse("enhance_log.run_id", &text)).transpose()?,
        prev_hash: row.get(3)?,
        new_hash: row.get(4)?,
        intent: row.get(5)?,
        rationale: row.get(6)?,
        verdicts: snapshot.json("enhance_log.verdicts", row.get(7)?)?.unwrap_or_default(),
        outcome: EnhanceOutcome::parse(&outcome)
            .ok_or_else(|| ReadError::unreadable("enhance_log.outcome", &outcome))?,
        reasons: snapshot.json("enhance_log.reasons", row.get(9)?)?.unwrap_or_default(),
        at: Timestamp::from_unix_ms(row.get(10)?),
    })
}
