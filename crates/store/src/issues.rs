//! Issues: the row of each, changed only by who has seen its last revision.

use crate::reader::{ReadError, Snapshot, unsigned};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write};
use adjutant_model::issue::{Epoch, Issue, IssueState, IssueStatus};
use adjutant_model::{IssueId, Timestamp};
use rusqlite::Row;

impl Write {
    /// Adds an issue.
    pub fn issue_create(&mut self, issue: &Issue) -> &mut Self {
        let fixed = [
            Param::text(&issue.blueprint_id),
            Param::text(&issue.intent),
            Param::text(&issue.author),
            issue.created_at.into(),
        ];
        let params = moving(issue).into_iter().chain(fixed).collect();
        self.push(
            "INSERT INTO issues (id, revision, status, reason, new_version, run_id, base_version, setting_id, ttl_secs, \
             epoch_started_at, conflicts, updated_at, blueprint_id, intent, author, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
            ExpectedRows::Exactly(1),
            params,
        )
    }

    /// Keeps an issue as it stands now; it fails with [`crate::WriteError::RowsUnexpected`] when the issue in the store
    /// is not of the revision before.
    pub fn issue_update(&mut self, issue: &Issue) -> &mut Self {
        self.push(
            "UPDATE issues SET revision = ?2, status = ?3, reason = ?4, new_version = ?5, run_id = ?6, \
             base_version = ?7, setting_id = ?8, ttl_secs = ?9, epoch_started_at = ?10, conflicts = ?11, \
             updated_at = ?12 WHERE id = ?1 AND revision = ?2 - 1",
            ExpectedRows::Exactly(1),
            moving(issue),
        )
    }
}

/// Gives the parameters of what changes in an issue's life, behind its id.
fn moving(issue: &Issue) -> Vec<Param> {
    let epoch = issue.epoch.as_ref();
    vec![
        Param::text(issue.id.as_str()),
        issue.revision.into(),
        issue.state.status().as_str().into(),
        Param::text_or_null(issue.state.reason()),
        Param::text_or_null(issue.state.new_version()),
        Param::text_or_null(epoch.map(|epoch| epoch.run_id.as_str())),
        Param::text_or_null(epoch.map(|epoch| epoch.base_version.as_str())),
        Param::text_or_null(epoch.map(|epoch| epoch.setting_id.as_str())),
        epoch.map_or(Param::Null, |epoch| epoch.ttl_secs.into()),
        Param::at(epoch.map(|epoch| epoch.started_at)),
        issue.conflicts.into(),
        issue.updated_at.into(),
    ]
}

/// Which issues to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IssueFilter {
    /// Of this blueprint.
    pub blueprint_id: Option<String>,
    /// In this state.
    pub status: Option<IssueStatus>,
    /// At most so many.
    pub limit: usize,
}

const SELECT: &str = "SELECT id, revision, status, reason, new_version, run_id, base_version, setting_id, ttl_secs, \
                      epoch_started_at, conflicts, updated_at, blueprint_id, intent, author, created_at FROM issues";

impl Store {
    /// Gives an issue.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn issue_get(&self, issue_id: &IssueId) -> Result<Option<Issue>, ReadError> {
        let id = issue_id.as_str().to_owned();
        self.read(move |snapshot| {
            let sql = format!("{SELECT} WHERE id = ?1");
            Ok(snapshot.select(&sql, (id,), |row| issue_of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Gives issues, the newest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn issue_list(&self, filter: IssueFilter) -> Result<Vec<Issue>, ReadError> {
        let IssueFilter { blueprint_id, status, limit } = filter;
        let status = status.map(IssueStatus::as_str);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let sql = format!(
                "{SELECT} WHERE (?1 IS NULL OR blueprint_id = ?1) AND (?2 IS NULL OR status = ?2) \
                 ORDER BY number DESC LIMIT ?3"
            );
            snapshot.select(&sql, (blueprint_id, status, limit), |row| issue_of_row(snapshot, row))
        })
        .await
    }

    /// Gives what may be taken up: of each blueprint that has no issue in flight the oldest that is pending, in the order
    /// in which they were opened.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn issues_next(&self, limit: usize) -> Result<Vec<Issue>, ReadError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let sql = format!(
                "{SELECT} WHERE number IN (SELECT MIN(number) FROM issues WHERE status = 'pending' AND blueprint_id \
                 NOT IN (SELECT blueprint_id FROM issues WHERE status = 'in_flight') GROUP BY blueprint_id) \
                 ORDER BY number LIMIT ?1"
            );
            snapshot.select(&sql, (limit,), |row| issue_of_row(snapshot, row))
        })
        .await
    }

    /// Counts the issues in a state.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn issue_count(&self, status: IssueStatus) -> Result<u64, ReadError> {
        self.read(move |snapshot| {
            let sql = "SELECT COUNT(*) FROM issues WHERE status = ?1";
            let counted = snapshot.select(sql, (status.as_str(),), |row| Ok(row.get(0)?))?.pop();
            Ok(counted.map_or(0, unsigned))
        })
        .await
    }
}

fn issue_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<Issue, ReadError> {
    Ok(Issue {
        id: snapshot.parse("issues.id", &row.get::<_, String>(0)?)?,
        revision: unsigned(row.get(1)?),
        state: state_of_row(row)?,
        epoch: epoch_of_row(snapshot, row)?,
        conflicts: row.get(10)?,
        updated_at: Timestamp::from_unix_ms(row.get(11)?),
        blueprint_id: row.get(12)?,
        intent: row.get(13)?,
        author: row.get(14)?,
        created_at: Timestamp::from_unix_ms(row.get(15)?),
    })
}

fn state_of_row(row: &Row<'_>) -> Result<IssueState, ReadError> {
    let status: String = row.get(2)?;
    let unreadable = || ReadError::unreadable("issues.status", &status);
    let reason: Option<String> = row.get(3)?;
    Ok(match IssueStatus::parse(&status).ok_or_else(unreadable)? {
        IssueStatus::Pending => IssueState::Pending { waits_for: reason },
        IssueStatus::InFlight => IssueState::InFlight,
        IssueStatus::Applied => {
            IssueState::Applied { new_version: row.get::<_, Option<String>>(4)?.ok_or_else(unreadable)? }
        }
        IssueStatus::Rejected => IssueState::Rejected { reason: reason.ok_or_else(unreadable)? },
        IssueStatus::Cancelled => IssueState::Cancelled { reason: reason.ok_or_else(unreadable)? },
    })
}

fn epoch_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<Option<Epoch>, ReadError> {
    let Some(run_id) = row.get::<_, Option<String>>(5)? else { return Ok(None) };
    Ok(Some(Epoch {
        run_id: snapshot.parse("issues.run_id", &run_id)?,
        base_version: row.get(6)?,
        setting_id: row.get(7)?,
        ttl_secs: unsigned(row.get(8)?),
        started_at: Timestamp::from_unix_ms(row.get(9)?),
    }))
}
