//! Goals: the row of each, with its criteria, links and notes as JSON columns.

use crate::reader::{ReadError, Snapshot};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write};
use adjutant_model::goal::{Goal, GoalStatus};
use adjutant_model::{GoalId, Timestamp};
use rusqlite::Row;

impl Write {
    /// Keeps a goal as it stands now, whether it is new or not.
    pub fn goal_put(&mut self, goal: &Goal) -> &mut Self {
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
        ];
        self.push(
            "INSERT INTO goals (id, description, status, acceptance, links, progress, project, notes, created_at, \
             updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
             ON CONFLICT (id) DO UPDATE SET description = excluded.description, status = excluded.status, \
             acceptance = excluded.acceptance, links = excluded.links, progress = excluded.progress, \
             project = excluded.project, notes = excluded.notes, created_at = excluded.created_at, \
             updated_at = excluded.updated_at",
            ExpectedRows::Exactly(1),
            params,
        )
    }
}

const SELECT: &str = "SELECT id, description, status, acceptance, links, progress, project, notes, created_at, \
                      updated_at FROM goals";

impl Store {
    /// Gives a goal.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn goal_get(&self, goal_id: &GoalId) -> Result<Option<Goal>, ReadError> {
        let id = goal_id.as_str().to_owned();
        self.read(move |snapshot| {
            let sql = format!("{SELECT} WHERE id = ?1");
            Ok(snapshot.select(&sql, (id,), |row| goal_of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Gives goals, all or those that stand at `status`, the oldest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn goal_list(&self, status: Option<GoalStatus>) -> Result<Vec<Goal>, ReadError> {
        self.read(move |snapshot| {
            let sql = format!("{SELECT} WHERE ?1 IS NULL OR status = ?1 ORDER BY created_at, id");
            snapshot.select(&sql, (status.map(GoalStatus::as_str),), |row| goal_of_row(snapshot, row))
        })
        .await
    }
}

fn goal_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<Goal, ReadError> {
    let status: String = row.get(2)?;
    Ok(Goal {
        id: snapshot.parse("goals.id", &row.get::<_, String>(0)?)?,
        description: row.get(1)?,
        status: GoalStatus::parse(&status).ok_or_else(|| ReadError::unreadable("goals.status", &status))?,
        acceptance: snapshot.json("goals.acceptance", row.get(3)?)?.unwrap_or_default(),
        sessions: snapshot.json("goals.links", row.get(4)?)?.unwrap_or_default(),
        progress: row.get(5)?,
        project: row.get(6)?,
        notes: snapshot.json("goals.notes", row.get(7)?)?.unwrap_or_default(),
        created: Timestamp::from_unix_ms(row.get(8)?),
        updated: Timestamp::from_unix_ms(row.get(9)?),
    })
}
