//! Retention: what is old enough to go, and that nothing open needs; and the writes that take it away.
//!
//! Everything goes in small steps: a read names a bounded number of things, and each is a write of its own, between
//! which other writes come. A write asks again what it must not take, so what changed since the read stays. Whatever is
//! not over stays, and so does what an open goal, issue, session or delegation names. Sessions, and what people and
//! agents asked of each other, are in [`sessions`].
//!
//! Of the journal the beginning of a subject goes, and leaves a checkpoint, so that the rest verifies; the subjects of
//! what is kept stay whole, because runs are folded from their rows.

mod sessions;

pub use sessions::{SessionDue, SessionPart};

use crate::blobs::CONTENT_COLUMNS;
use crate::reader::{ReadError, Snapshot};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write};
use adjutant_model::run::RunStatus;
use adjutant_model::{RunId, Timestamp};
use std::sync::LazyLock;

/// How long runs are kept. What is not said keeps them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunsKept {
    /// Those that ended before this are to go.
    pub ended_before: Option<Timestamp>,
    /// Of each blueprint, or of each agent of clients, all but so many of the newest are to go.
    pub newest: Option<u64>,
}

/// The beginning of a subject's journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalPrefix {
    /// The subject.
    pub subject: String,
    /// The last place of it.
    pub to: i64,
}

/// A look at a part of the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalLook {
    /// What may go.
    pub prefixes: Vec<JournalPrefix>,
    /// Where the next look begins; nothing when everything old was seen.
    pub next: Option<i64>,
}

/// A look at a part of the contents that stand beside their rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContentLook {
    /// Those that no row names.
    pub unnamed: Vec<String>,
    /// Behind which one the next look begins; nothing when all were seen.
    pub next: Option<String>,
}

/// Holds of goals that are not closed.
const OPEN_GOAL: &str = "g.status NOT IN ('done', 'abandoned')";

impl Write {
    /// Removes a client's run that is over, with its turns; fails with [`crate::WriteError::RowsUnexpected`] when it is
    /// not. Of its journal, `subject`, a checkpoint stays, which a row of another subject must follow in the same write.
    pub fn client_run_delete(&mut self, run_id: &str, subject: &str) -> &mut Self {
        let id = || vec![Param::text(run_id)];
        self.push(
            "DELETE FROM client_runs WHERE id = ?1 AND ended_at IS NOT NULL AND status NOT IN ('running', 'interrupted')",
            ExpectedRows::Exactly(1),
            id(),
        );
        self.push("DELETE FROM client_turns WHERE run_id = ?1", ExpectedRows::Any, id());
        self.push("DELETE FROM approvals WHERE run_id = ?1", ExpectedRows::Any, id());
        self.journal_remove(subject)
    }

    /// Removes a task that has no run.
    pub fn task_forget(&mut self, task_id: &str) -> &mut Self {
        self.push(
            "DELETE FROM tasks WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM runs WHERE task_id = ?1)",
            ExpectedRows::Any,
            vec![Param::text(task_id)],
        )
    }

    /// Removes a content that no row names; one that a row names by now stays.
    pub fn content_forget(&mut self, hash: &str) -> &mut Self {
        static SQL: LazyLock<String> =
            LazyLock::new(|| format!("DELETE FROM blobs WHERE hash = ?1 AND {}", unnamed("?1")));
        self.push(SQL.as_str(), ExpectedRows::Any, vec![Param::text(hash)])
    }
}

/// Holds when no row names the content of this hash. Each of the columns has an index of the rows that name one.
fn unnamed(hash: &str) -> String {
    let named = CONTENT_COLUMNS.map(|(table, column)| {
        format!(
            "NOT EXISTS (SELECT 1 FROM {table} WHERE substr({column}, 1, 1) = '@' AND {column} = '@' || {hash})"
        )
    });
    named.join(" AND ")
}

impl Store {
    /// Gives runs of flows that are to go, the oldest first, from the one behind `after`; each with its place.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn runs_due(
        &self,
        kept: RunsKept,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, RunId)>, ReadError> {
        let over: Vec<String> = RunStatus::ALL
            .into_iter()
            .filter(|status| status.is_terminal())
            .map(|status| format!("'{status}'"))
            .collect();
        let sql = format!(
            "SELECT r.number, r.id FROM {runs} r WHERE r.number > ?1 AND r.status IN ({over}) AND {due} \
             AND NOT EXISTS (SELECT 1 FROM workspaces w WHERE w.holder = r.id AND w.removed = 0 AND w.kind <> 'given') \
             AND NOT EXISTS (SELECT 1 FROM issues i WHERE i.run_id = r.id AND i.status IN ('pending', 'in_flight')) \
             AND NOT EXISTS (SELECT 1 FROM goals g WHERE {OPEN_GOAL} AND (g.id = r.goal_id OR {named_by_goal})) \
             AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.state <> 'decommissioned' AND instr(s.record, r.id)) \
             AND NOT EXISTS (SELECT 1 FROM delegations d WHERE d.open AND instr(d.record, r.id)) \
             ORDER BY r.number LIMIT ?4",
            runs = ranked("runs", "blueprint_id", kept),
            over = over.join(", "),
            due = DUE,
            named_by_goal = NAMED_BY_GOAL,
        );
        self.read(move |snapshot| {
            snapshot.select(&sql, params(kept, after, limit), |row| {
                let id: String = row.get(1)?;
                Ok((row.get(0)?, snapshot.parse("runs.id", &id)?))
            })
        })
        .await
    }

    /// Gives runs of clients that are to go, the oldest first, from the one behind `after`; each with its place.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn client_runs_due(
        &self,
        kept: RunsKept,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, String)>, ReadError> {
        let sql = format!(
            "SELECT r.number, r.id FROM {runs} r WHERE r.number > ?1 AND r.status NOT IN ('running', 'interrupted') \
             AND {DUE} AND NOT EXISTS (SELECT 1 FROM goals g WHERE {OPEN_GOAL} AND {NAMED_BY_GOAL}) \
             ORDER BY r.number LIMIT ?4",
            runs = ranked("client_runs", "agent_id", kept),
        );
        self.read(move |snapshot| {
            snapshot.select(&sql, params(kept, after, limit), |row| Ok((row.get(0)?, row.get(1)?)))
        })
        .await
    }

    /// Gives tasks that were made before an instant and have no run, the oldest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn tasks_due(&self, before: Timestamp, limit: usize) -> Result<Vec<String>, ReadError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let sql = "SELECT id FROM tasks t WHERE created_at < ?1 AND NOT EXISTS (SELECT 1 FROM runs r \
                       WHERE r.task_id = t.id) ORDER BY number LIMIT ?2";
            snapshot.select(sql, (before.unix_ms(), limit), |row| Ok(row.get(0)?))
        })
        .await
    }

    /// Looks at so many rows of the journal behind a place, and gives the beginnings of subjects that are older than an
    /// instant and belong to nothing that is kept or open.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn journal_due(
        &self,
        before: Timestamp,
        after: i64,
        limit: usize,
    ) -> Result<JournalLook, ReadError> {
        self.read(move |snapshot| {
            let rows = old_rows(snapshot, before, after, i64::try_from(limit).unwrap_or(i64::MAX))?;
            let next = rows.last().map(|(_, seq)| *seq).filter(|_| rows.len() == limit);
            let mut prefixes: Vec<JournalPrefix> = Vec::new();
            for (subject, to) in rows {
                match prefixes.iter_mut().find(|prefix| prefix.subject == subject) {
                    Some(prefix) => prefix.to = to,
                    None => prefixes.push(JournalPrefix { subject, to }),
                }
            }
            let mut due = Vec::new();
            for prefix in prefixes {
                if !is_kept(snapshot, &prefix.subject)? {
                    due.push(prefix);
                }
            }
            Ok(JournalLook { prefixes: due, next })
        })
        .await
    }

    /// Looks at so many contents behind one, and gives those that no row names.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn contents_due(&self, after: &str, limit: usize) -> Result<ContentLook, ReadError> {
        let after = after.to_owned();
        self.read(move |snapshot| {
            let sql = format!(
                "SELECT b.hash, {} FROM blobs b WHERE b.hash > ?1 ORDER BY b.hash LIMIT ?2",
                unnamed("b.hash")
            );
            let rows: Vec<(String, bool)> =
                snapshot.select(&sql, (after, i64::try_from(limit).unwrap_or(i64::MAX)), |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            let next = rows.last().map(|(hash, _)| hash.clone()).filter(|_| rows.len() == limit);
            let unnamed = rows.into_iter().filter(|(_, is_unnamed)| *is_unnamed).map(|(hash, _)| hash);
            Ok(ContentLook { unnamed: unnamed.collect(), next })
        })
        .await
    }
}

/// Holds of runs that are to go.
const DUE: &str = "r.ended_at IS NOT NULL AND (r.ended_at < ?2 OR r.place > ?3)";

/// Holds when a goal's links, criteria or pursuit name a run.
const NAMED_BY_GOAL: &str = "instr(g.links || g.acceptance || coalesce(g.pursuit, ''), r.id)";

/// Gives a table of runs with each one's place among those of its kind, the newest first, when that is asked for.
fn ranked(table: &str, by: &str, kept: RunsKept) -> String {
    let place = match kept.newest {
        Some(_) => format!("row_number() OVER (PARTITION BY {by} ORDER BY number DESC)"),
        None => "NULL".to_owned(),
    };
    format!("(SELECT *, {place} AS place FROM {table})")
}

type DueParams = (i64, Option<i64>, Option<i64>, i64);

fn params(kept: RunsKept, after: i64, limit: usize) -> DueParams {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    (after, kept.ended_before.map(Timestamp::unix_ms), kept.newest.map(number), number(limit as u64))
}

/// Gives the subjects and places of rows that are older than an instant, up to the first that is not.
fn old_rows(
    snapshot: &Snapshot<'_>,
    before: Timestamp,
    after: i64,
    limit: i64,
) -> Result<Vec<(String, i64)>, ReadError> {
    let sql = "SELECT subject, seq, at FROM journal WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let rows: Vec<(String, i64, i64)> =
        snapshot.select(sql, (after, limit), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let old = rows.into_iter().take_while(|(_, _, at)| *at < before.unix_ms());
    Ok(old.map(|(subject, seq, _)| (subject, seq)).collect())
}

/// Tells whether a subject is something that is kept whole, or that is open.
fn is_kept(snapshot: &Snapshot<'_>, subject: &str) -> Result<bool, ReadError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM runs WHERE id = ?1) \
               OR EXISTS (SELECT 1 FROM client_runs WHERE id = substr(?1, 8) AND substr(?1, 1, 7) = 'client:') \
               OR EXISTS (SELECT 1 FROM sessions WHERE id = ?1 AND state <> 'decommissioned') \
               OR EXISTS (SELECT 1 FROM discovered WHERE id = ?1) \
               OR EXISTS (SELECT 1 FROM goals g WHERE id = ?1 AND g.status NOT IN ('done', 'abandoned')) \
               OR EXISTS (SELECT 1 FROM issues WHERE id = ?1 AND status IN ('pending', 'in_flight'))";
    Ok(snapshot.select(sql, (subject,), |row| Ok(row.get(0)?))?.pop().unwrap_or(true))
}
