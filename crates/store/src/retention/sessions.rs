//! Retention of sessions that are over, of the delegations and handoffs that have ended, and of answered approvals.
//!
//! What names a session and is open holds it: a goal, a delegation, a handoff, a session that it has begun, a run or an
//! issue, a question, and a workspace that was put back. The snapshots of its workspace are git's and stay, and with
//! them the row that tells where they are.

use super::OPEN_GOAL;
use crate::reader::{ReadError, Snapshot};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write};
use adjutant_model::run::RunStatus;
use adjutant_model::{DelegationId, HandoffId, SessionId, Timestamp};
use std::sync::LazyLock;

/// A session that is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDue {
    /// The session.
    pub id: SessionId,
    /// What people were asked about it alone.
    pub approvals: Vec<String>,
    /// What goes before it, when there is much.
    pub part: Option<SessionPart>,
}

/// The beginning of what is known of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionPart {
    /// Up to which place its journal goes.
    pub journal: Option<i64>,
    /// Up to which number what its hooks told goes.
    pub hooks: Option<i64>,
}

/// So many rows of a session's go in one write, of each kind.
const PART_ROWS: i64 = 5000;

/// Holds of a session `s` that something open names.
static HELD: LazyLock<String> = LazyLock::new(|| {
    let over: Vec<String> = RunStatus::ALL
        .into_iter()
        .filter(|status| status.is_terminal())
        .map(|status| format!("'{status}'"))
        .collect();
    let over = over.join(", ");
    [
        // The session of a pursuit is still being stopped when its goal is closed already.
        &format!(
            "EXISTS (SELECT 1 FROM goals g WHERE ({OPEN_GOAL} AND (g.id = json_extract(s.record, '$.goal_id') \
             OR instr(g.links || g.acceptance, s.id))) \
             OR (({OPEN_GOAL} OR json_extract(g.pursuit, '$.state.state') <> 'ended') AND instr(g.pursuit, s.id)))"
        ),
        "EXISTS (SELECT 1 FROM delegations d WHERE d.open AND instr(d.record, s.id))",
        "EXISTS (SELECT 1 FROM handoffs h WHERE h.open AND instr(h.record, s.id))",
        "EXISTS (SELECT 1 FROM sessions c WHERE c.parent = s.id AND c.state <> 'decommissioned')",
        &format!(
            "EXISTS (SELECT 1 FROM runs r WHERE r.id = json_extract(s.record, '$.run_id') AND r.status NOT IN ({over}))"
        ),
        "EXISTS (SELECT 1 FROM client_runs r JOIN tokens t ON t.id = r.token_id WHERE t.of_session = s.id \
         AND r.status IN ('running', 'interrupted'))",
        "EXISTS (SELECT 1 FROM issues i WHERE i.status IN ('pending', 'in_flight') \
         AND (i.run_id = json_extract(s.record, '$.run_id') OR instr(i.author, s.id)))",
        "EXISTS (SELECT 1 FROM approvals a WHERE a.status = 'pending' \
         AND a.connection IN ('session:' || s.id, 'hook:' || s.id))",
        "EXISTS (SELECT 1 FROM workspaces w WHERE w.holder = s.id AND w.removed = 0 AND w.kind <> 'given')",
    ]
    .join(" OR ")
});

/// Holds of an approval `a` that belongs to a run that is kept, or that something open names.
const APPROVAL_HELD: &str = "EXISTS (SELECT 1 FROM runs r WHERE r.id = a.run_id) \
     OR EXISTS (SELECT 1 FROM client_runs r WHERE r.id = a.run_id) \
     OR EXISTS (SELECT 1 FROM delegations d WHERE d.open AND instr(d.record, a.id)) \
     OR EXISTS (SELECT 1 FROM sessions s WHERE s.state <> 'decommissioned' AND instr(s.record, a.id))";

/// A decommissioned session that nothing open names, as the condition of a statement about `sessions AS s`.
static FREE: LazyLock<String> =
    LazyLock::new(|| format!("s.id = ?1 AND s.state = 'decommissioned' AND NOT ({})", *HELD));

impl Write {
    /// Removes the beginning of what is known of a decommissioned session; fails and leaves a checkpoint as
    /// [`Write::session_forget`] does.
    pub fn session_shorten(&mut self, id: SessionId, part: SessionPart) -> &mut Self {
        static SQL: LazyLock<String> =
            LazyLock::new(|| format!("UPDATE sessions AS s SET revision = revision WHERE {}", *FREE));
        let id = id.to_string();
        self.push(SQL.as_str(), ExpectedRows::Exactly(1), vec![Param::text(&id)]);
        if let Some(to) = part.hooks {
            let params = vec![Param::text(&id), Param::Integer(to)];
            let sql = "DELETE FROM hook_events WHERE session_id = ?1 AND number <= ?2 AND number < \
                       (SELECT max(number) FROM hook_events)";
            self.push(sql, ExpectedRows::Any, params);
        }
        if let Some(to) = part.journal {
            self.journal_shorten(&id, to);
        }
        self
    }

    /// Removes a decommissioned session with all that belongs to it alone; fails with
    /// [`crate::WriteError::RowsUnexpected`] when something open names it by now. Of its journal a checkpoint stays,
    /// which a row of another subject must follow in the same write.
    pub fn session_forget(&mut self, due: &SessionDue) -> &mut Self {
        static SQL: LazyLock<String> = LazyLock::new(|| format!("DELETE FROM sessions AS s WHERE {}", *FREE));
        let id = || vec![Param::from(due.id.to_string())];
        self.push(SQL.as_str(), ExpectedRows::Exactly(1), id());
        self.push("DELETE FROM tokens WHERE of_session = ?1", ExpectedRows::Any, id());
        self.push("DELETE FROM context_usage WHERE session = ?1", ExpectedRows::Any, id());
        // The last row of all stays, so that numbers only ascend; it goes by its age.
        let hooks = "DELETE FROM hook_events WHERE session_id = ?1 AND number < (SELECT max(number) FROM hook_events)";
        self.push(hooks, ExpectedRows::Any, id());
        // Of a directory that was removed it stays known where its snapshots are.
        let given = "DELETE FROM workspaces WHERE holder = ?1 AND kind = 'given'";
        self.push(given, ExpectedRows::Any, id());
        for approval_id in &due.approvals {
            self.approval_forget(approval_id);
        }
        self.journal_remove(&due.id.to_string())
    }

    /// Removes a delegation that has ended.
    pub fn delegation_forget(&mut self, id: DelegationId) -> &mut Self {
        let sql = "DELETE FROM delegations WHERE id = ?1 AND NOT open";
        self.push(sql, ExpectedRows::Any, vec![Param::from(id.to_string())])
    }

    /// Removes a handoff that has ended.
    pub fn handoff_forget(&mut self, id: &HandoffId) -> &mut Self {
        let sql = "DELETE FROM handoffs WHERE id = ?1 AND NOT open";
        self.push(sql, ExpectedRows::Any, vec![Param::text(id.as_str())])
    }

    /// Removes an approval that has ended; fails with [`crate::WriteError::RowsUnexpected`] when something that is kept
    /// names it. Of its journal a checkpoint stays, which a row of another subject must follow in the same write.
    pub fn approval_forget(&mut self, id: &str) -> &mut Self {
        static SQL: LazyLock<String> = LazyLock::new(|| {
            format!(
                "DELETE FROM approvals AS a WHERE a.id = ?1 AND a.status <> 'pending' AND NOT ({APPROVAL_HELD})"
            )
        });
        self.push(SQL.as_str(), ExpectedRows::Exactly(1), vec![Param::text(id)]);
        self.journal_remove(id)
    }
}

impl Store {
    /// Gives sessions that were decommissioned before an instant and that nothing open names, by their ids from the one
    /// behind `after`.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn sessions_due(
        &self,
        before: Timestamp,
        after: &str,
        limit: usize,
    ) -> Result<Vec<SessionDue>, ReadError> {
        let params = (after.to_owned(), before.unix_ms(), before.to_string(), rows_max(limit));
        self.read(move |snapshot| {
            // When it was made is no later than when it ended, and is known without reading the record.
            let sql = format!(
                "SELECT s.id FROM sessions s WHERE s.id > ?1 AND s.state = 'decommissioned' AND s.created_at < ?2 \
                 AND json_extract(s.record, '$.updated_at') < ?3 AND NOT ({}) ORDER BY s.id LIMIT ?4",
                *HELD
            );
            let asked = format!(
                "SELECT a.id FROM approvals a WHERE a.run_id IS NULL AND a.status <> 'pending' \
                 AND a.connection IN ('session:' || ?1, 'hook:' || ?1) AND NOT ({APPROVAL_HELD})"
            );
            let ids: Vec<String> = snapshot.select(&sql, params, |row| Ok(row.get(0)?))?;
            let mut due = Vec::new();
            for id in ids {
                let approvals = snapshot.select(&asked, (&id,), |row| Ok(row.get(0)?))?;
                let part = part_of(snapshot, &id)?;
                due.push(SessionDue { id: snapshot.parse("sessions.id", &id)?, approvals, part });
            }
            Ok(due)
        })
        .await
    }

    /// Gives delegations that ended before an instant, the oldest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn delegations_due(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<DelegationId>, ReadError> {
        let params = (before.unix_ms(), before.to_string(), rows_max(limit));
        self.read(move |snapshot| {
            let sql = "SELECT id FROM delegations WHERE NOT open AND created_at < ?1 AND \
                       coalesce(json_extract(record, '$.told_at'), json_extract(record, '$.ended_at')) < ?2 \
                       ORDER BY created_at, id LIMIT ?3";
            snapshot.select(sql, params, |row| snapshot.parse("delegations.id", &row.get::<_, String>(0)?))
        })
        .await
    }

    /// Gives handoffs that ended before an instant, the oldest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn handoffs_due(&self, before: Timestamp, limit: usize) -> Result<Vec<HandoffId>, ReadError> {
        let params = (before.unix_ms(), before.to_string(), rows_max(limit));
        self.read(move |snapshot| {
            let sql = "SELECT id FROM handoffs WHERE NOT open AND created_at < ?1 \
                       AND json_extract(record, '$.ended_at') < ?2 ORDER BY created_at, id LIMIT ?3";
            snapshot.select(sql, params, |row| snapshot.parse("handoffs.id", &row.get::<_, String>(0)?))
        })
        .await
    }

    /// Gives approvals that ended before an instant and that belong to nothing that is kept or open, the oldest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn approvals_due(&self, before: Timestamp, limit: usize) -> Result<Vec<String>, ReadError> {
        let params = (before.unix_ms(), rows_max(limit));
        self.read(move |snapshot| {
            let sql = format!(
                "SELECT a.id FROM approvals a WHERE a.status <> 'pending' AND a.resolved_at < ?1 \
                 AND NOT ({APPROVAL_HELD}) ORDER BY a.number LIMIT ?2"
            );
            snapshot.select(&sql, params, |row| Ok(row.get(0)?))
        })
        .await
    }
}

/// Gives what goes before a session itself; nothing when one write can take all of it.
fn part_of(snapshot: &Snapshot<'_>, id: &str) -> Result<Option<SessionPart>, ReadError> {
    let nth = |sql: &str| -> Result<Option<i64>, ReadError> {
        Ok(snapshot.select(sql, (id, PART_ROWS), |row| Ok(row.get(0)?))?.pop())
    };
    let part = SessionPart {
        journal: nth("SELECT seq FROM journal_places WHERE subject = ?1 ORDER BY seq LIMIT 1 OFFSET ?2")?,
        hooks: nth("SELECT number FROM hook_events WHERE session_id = ?1 ORDER BY number LIMIT 1 OFFSET ?2")?,
    };
    Ok(Some(part).filter(|part| part.journal.is_some() || part.hooks.is_some()))
}

fn rows_max(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
