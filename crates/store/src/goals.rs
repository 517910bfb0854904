//! Goals: the row of each, with its criteria, links and notes as JSON columns.

use crate::reader::{ReadError, Snapshot};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write};
use adjutant_model::goal::{Goal, GoalStatus, Recheck};
use adjutant_model::{GoalId, Timestamp};
use rusqlite::{Params, Row};

/// Which goals; without anything all.
#[derive(Debug, Clone, Default)]
pub struct GoalFilter {
    /// Only those that stand here.
    pub status: Option<GoalStatus>,
    /// Only those behind this one.
    pub after: Option<GoalId>,
    /// At most so many, the oldest first; 0 is all.
    pub limit: usize,
}

impl Write {
    /// Keeps a goal as it stands now, whether it is new or not.
    pub fn goal_put(&mut self, goal: &Goal) -> &mut Self {
        let recheck = goal.recheck.as_ref();
        let params = vec![
            Param::text(goal.id.as_str()),
            Param::text(&goal.description),
            goal.status.as_str().into(),
            Param::json(Some(&goal.acceptance)),
            Param::json(Some(&goal.sessions)),
            u64::from(goal.progress).into(),
            Param::text_or_null(goal.project.as_deref()),
            Param::json(Some(&goal.notes)),
            goal.created.into(),
            goal.updated.into(),
            Param::json(Some(&goal.depends_on)),
            Param::json(Some(&goal.budget)),
            Param::at(goal.deadline),
            Param::text_or_null(recheck.map(|recheck| recheck.cron.as_str())),
            Param::at(recheck.map(|recheck| recheck.next_at)),
            Param::json(goal.alert.as_ref()),
            Param::json(goal.pursuit.as_ref()),
            u64::from(goal.deadline_told).into(),
            Param::text_or_null(goal.reason.as_deref()),
        ];
        self.push(
            "INSERT INTO goals (id, description, status, acceptance, links, progress, project, notes, created_at, \
             updated_at, depends_on, budget, deadline_at, recheck, recheck_at, alert, pursuit, deadline_told, reason) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19) \
             ON CONFLICT (id) DO UPDATE SET description = excluded.description, status = excluded.status, \
             acceptance = excluded.acceptance, links = excluded.links, progress = excluded.progress, \
             project = excluded.project, notes = excluded.notes, created_at = excluded.created_at, \
             updated_at = excluded.updated_at, depends_on = excluded.depends_on, budget = excluded.budget, \
             deadline_at = excluded.deadline_at, recheck = excluded.recheck, recheck_at = excluded.recheck_at, \
             alert = excluded.alert, pursuit = excluded.pursuit, deadline_told = excluded.deadline_told, \
             reason = excluded.reason",
            ExpectedRows::Exactly(1),
            params,
        )
    }
}

const SELECT: &str = "SELECT id, description, status, acceptance, links, progress, project, notes, created_at, \
                      updated_at, depends_on, budget, deadline_at, recheck, recheck_at, alert, \
                      pursuit, deadline_told, reason FROM goals";

impl Store {
    /// Gives a goal.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn goal_get(&self, goal_id: &GoalId) -> Result<Option<Goal>, ReadError> {
        let id = goal_id.as_str().to_owned();
        self.read(move |snapshot| Ok(select(snapshot, "WHERE id = ?1", (id,))?.pop())).await
    }

    /// Gives goals, the oldest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn goal_list(&self, filter: GoalFilter) -> Result<Vec<Goal>, ReadError> {
        let limit = match filter.limit {
            0 => i64::MAX,
            limit => i64::try_from(limit).unwrap_or(i64::MAX),
        };
        let after = filter.after.map(String::from);
        self.read(move |snapshot| {
            let behind = "(created_at, id) > (SELECT created_at, id FROM goals WHERE id = ?1)";
            let (status, behind) = match (filter.status, &after) {
                (None, None) => ("?3 IS NULL", "?1 IS NULL"),
                (None, Some(_)) => ("?3 IS NULL", behind),
                (Some(_), None) => ("status = ?3", "?1 IS NULL"),
                (Some(_), Some(_)) => ("status = ?3", behind),
            };
            let which = format!("WHERE {behind} AND {status} ORDER BY created_at, id LIMIT ?2");
            select(snapshot, &which, (after, limit, filter.status.map(GoalStatus::as_str)))
        })
        .await
    }

    /// Gives at most so many goals whose checks are due again by `now`, the longest due first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn goals_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Goal>, ReadError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let which = "WHERE recheck_at <= ?1 AND status <> 'abandoned' ORDER BY recheck_at LIMIT ?2";
            select(snapshot, which, (now.unix_ms(), limit))
        })
        .await
    }

    /// Gives at most so many open goals whose deadline has passed by `now` without that a person was told, the longest
    /// over first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn goals_overdue(&self, now: Timestamp, limit: usize) -> Result<Vec<Goal>, ReadError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let which = "WHERE deadline_at <= ?1 AND NOT deadline_told AND status NOT IN ('done', 'abandoned') \
                         ORDER BY deadline_at LIMIT ?2";
            select(snapshot, which, (now.unix_ms(), limit))
        })
        .await
    }

    /// Gives the goals that a person should look at, the oldest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn goals_with_alert(&self) -> Result<Vec<Goal>, ReadError> {
        self.read(|snapshot| select(snapshot, "WHERE alert IS NOT NULL ORDER BY created_at, id", ())).await
    }
}

fn select(snapshot: &Snapshot<'_>, which: &str, params: impl Params) -> Result<Vec<Goal>, ReadError> {
    snapshot.select(&format!("{SELECT} {which}"), params, |row| goal_of_row(snapshot, row))
}

fn goal_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<Goal, ReadError> {
    let status: String = row.get(2)?;
    let at = |column| row.get::<_, Option<i64>>(column).map(|at| at.map(Timestamp::from_unix_ms));
    let recheck = match (row.get(13)?, at(14)?) {
        (Some(cron), Some(next_at)) => Some(Recheck { cron, next_at }),
        (Some(_), None) | (None, _) => None,
    };
    Ok(Goal {
        id: snapshot.parse("goals.id", &row.get::<_, String>(0)?)?,
        description: row.get(1)?,
        status: GoalStatus::parse(&status).ok_or_else(|| ReadError::unreadable("goals.status", &status))?,
        reason: row.get(18)?,
        acceptance: snapshot.json("goals.acceptance", row.get(3)?)?.unwrap_or_default(),
        sessions: snapshot.json("goals.links", row.get(4)?)?.unwrap_or_default(),
        progress: row.get(5)?,
        project: row.get(6)?,
        depends_on: snapshot.json("goals.depends_on", row.get(10)?)?.unwrap_or_default(),
        budget: snapshot.json("goals.budget", row.get(11)?)?.unwrap_or_default(),
        deadline: at(12)?,
        deadline_told: row.get(17)?,
        recheck,
        alert: snapshot.json("goals.alert", row.get(15)?)?,
        pursuit: snapshot.json("goals.pursuit", row.get(16)?)?,
        notes: snapshot.json("goals.notes", row.get(7)?)?.unwrap_or_default(),
        created: Timestamp::from_unix_ms(row.get(8)?),
        updated: Timestamp::from_unix_ms(row.get(9)?),
    })
}
