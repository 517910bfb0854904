//! Runs: their rows, their owners and where they stand.

use crate::blobs;
use crate::reader::{ReadError, Snapshot, unsigned};
use crate::store::Store;
use crate::turns::TURNS_MAX;
use crate::workspaces;
use crate::write::{ExpectedRows, Param, Write};
use adjutant_model::run::{FlowError, RunInput, RunRecord, RunStatus, TtlSource};
use adjutant_model::{RunId, TaskId, Timestamp, Value};
use rusqlite::Row;

/// Which runs a list shows; the newest come first.
#[derive(Debug, Clone, PartialEq)]
pub struct RunFilter {
    /// Only those of this task.
    pub task_id: Option<TaskId>,
    /// Only those that stand here.
    pub status: Option<RunStatus>,
    /// Only those accepted before this run; one that is not in the store gives an empty list.
    pub before: Option<RunId>,
    /// Only those accepted after this run; one that is not in the store gives an empty list.
    pub after: Option<RunId>,
    /// How many at most.
    pub limit: usize,
}

impl Default for RunFilter {
    fn default() -> Self {
        RunFilter { task_id: None, status: None, before: None, after: None, limit: 100 }
    }
}

/// Where a run stands now; all four columns are overwritten.
#[derive(Debug, Clone, Copy)]
pub struct RunStatusChange<'a> {
    /// Where it stands.
    pub status: RunStatus,
    /// Why it failed.
    pub error: Option<&'a FlowError>,
    /// The final context.
    pub result: Option<&'a Value>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl Write {
    /// Adds a run; its task must be in the store or earlier in this write.
    pub fn run_create(&mut self, run: &RunRecord) -> &mut Self {
        let result = self.content(run.result.as_ref());
        let params = vec![
            Param::text(run.id.as_str()),
            Param::text(run.task_id.as_str()),
            run.status.as_str().into(),
            Param::text(&run.owner),
            run.epoch.into(),
            Param::text(&run.blueprint_id),
            Param::text(&run.blueprint_hash),
            run.ttl_ms.into(),
            ttl_source_name(run.ttl_source).into(),
            Param::text_or_null(run.goal_id.as_ref().map(|id| id.as_str())),
            Param::text_or_null(run.agent_override.as_deref()),
            Param::json(run.error.as_ref()),
            result,
            run.created_at.into(),
            Param::at(run.ended_at),
        ];
        self.push(
            "INSERT INTO runs (id, task_id, status, owner, epoch, blueprint_id, blueprint_hash, ttl_ms, ttl_source, \
             goal_id, agent_override, error, result, created_at, ended_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            ExpectedRows::Exactly(1),
            params,
        );
        match &run.workspace {
            Some(workspace) => self.workspace_set(&run.id.clone().into(), workspace),
            None => self,
        }
    }

    /// Says what a run was given, when that is not what its task brought.
    pub fn run_input_set(&mut self, run_id: &RunId, given: &RunInput) -> &mut Self {
        let input = self.content(Some(&given.input));
        let request = self.content(Some(&given.request));
        self.push(
            "INSERT INTO run_inputs (run, input, request) VALUES (?1, ?2, ?3)",
            ExpectedRows::Exactly(1),
            vec![Param::Run(run_id.clone()), input, request],
        )
    }

    /// Says where a run stands.
    pub fn run_status_set(&mut self, run_id: &RunId, change: RunStatusChange<'_>) -> &mut Self {
        let result = self.content(change.result);
        let params = vec![
            Param::Run(run_id.clone()),
            change.status.as_str().into(),
            Param::json(change.error),
            result,
            Param::at(change.ended_at),
        ];
        self.push(
            "UPDATE runs SET status = ?2, error = ?3, result = ?4, ended_at = ?5 WHERE number = ?1",
            ExpectedRows::Exactly(1),
            params,
        )
    }

    /// Removes a run with its turns and all that belongs to it alone; nothing may work in a directory of it any more.
    ///
    /// Of its journal stays a checkpoint, which the next row of another subject must follow in the same write: the
    /// journal's last place may not be one that is gone.
    pub fn run_delete(&mut self, run_id: &RunId) -> &mut Self {
        let run = || vec![Param::Run(run_id.clone())];
        let id = || vec![Param::text(run_id.as_str())];
        self.journal_remove(run_id.as_str());
        self.push("DELETE FROM tokens WHERE run_id = ?1", ExpectedRows::Any, id());
        self.push("DELETE FROM approvals WHERE run_id = ?1", ExpectedRows::Any, id());
        self.push("DELETE FROM output_runs WHERE run_id = ?1", ExpectedRows::Any, id());
        self.push("DELETE FROM seats WHERE run_id = ?1", ExpectedRows::Any, id());
        self.push("DELETE FROM step_stages WHERE run_id = ?1", ExpectedRows::Any, id());
        self.push("DELETE FROM spawn_tokens WHERE run_id = ?1", ExpectedRows::Any, id());
        self.push("DELETE FROM run_inputs WHERE run = ?1", ExpectedRows::Any, run());
        // Of a directory that was removed it stays known where its snapshots are.
        let given = "DELETE FROM workspaces WHERE holder = ?1 AND kind = 'given'";
        self.push(given, ExpectedRows::Any, id());
        let turns = vec![
            Param::Turn { run_id: run_id.clone(), index: 0 },
            Param::Turn { run_id: run_id.clone(), index: TURNS_MAX - 1 },
        ];
        self.push("DELETE FROM turns WHERE key BETWEEN ?1 AND ?2", ExpectedRows::Any, turns);
        self.push("DELETE FROM runs WHERE number = ?1", ExpectedRows::Exactly(1), run());
        self.refence(run_id)
    }

    /// Gives a run to a new owner; fails with [`crate::WriteError::RowsUnexpected`] unless `epoch` is higher than
    /// the run's.
    pub fn run_adopt(&mut self, run_id: &RunId, owner: &str, epoch: u64) -> &mut Self {
        self.push(
            "UPDATE runs SET owner = ?2, epoch = ?3 WHERE number = ?1 AND epoch < ?3",
            ExpectedRows::Exactly(1),
            vec![Param::Run(run_id.clone()), Param::text(owner), epoch.into()],
        )
        .refence(run_id)
    }
}

const SELECT: &str = "SELECT r.id, r.task_id, r.status, r.owner, r.epoch, r.blueprint_id, r.blueprint_hash, r.ttl_ms, \
                      r.ttl_source, r.goal_id, r.agent_override, r.error, r.result, r.created_at, r.ended_at, \
                      w.kind, w.path, w.project, w.branch, w.base, w.node \
                      FROM runs r LEFT JOIN workspaces w ON w.holder = r.id AND w.removed = 0";

/// Who drives a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunKind {
    /// The plane, by a flow.
    Flow,
    /// A client from outside.
    Client,
}

impl Store {
    /// Counts the runs in a state.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn runs_count(&self, status: RunStatus) -> Result<u64, ReadError> {
        self.read(move |snapshot| {
            let sql = "SELECT count(*) FROM runs WHERE status = ?1";
            let found = snapshot.select(sql, (status.as_str(),), |row| Ok(unsigned(row.get(0)?)))?;
            Ok(found.into_iter().sum())
        })
        .await
    }

    /// Counts the runs of each state that some are in; those of flows, or those of clients.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn runs_by_status(&self, kind: RunKind) -> Result<Vec<(RunStatus, u64)>, ReadError> {
        self.read(move |snapshot| {
            let sql = match kind {
                RunKind::Flow => "SELECT status, count(*) FROM runs GROUP BY status",
                RunKind::Client => "SELECT status, count(*) FROM client_runs GROUP BY status",
            };
            snapshot.select(sql, (), |row| {
                let text: String = row.get(0)?;
                let status = RunStatus::parse(&text);
                Ok((
                    status.ok_or_else(|| ReadError::unreadable("runs.status", &text))?,
                    unsigned(row.get(1)?),
                ))
            })
        })
        .await
    }

    /// Gives a run.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn run_get(&self, run_id: &RunId) -> Result<Option<RunRecord>, ReadError> {
        let id = run_id.as_str().to_owned();
        self.read(move |snapshot| {
            let sql = format!("{SELECT} WHERE r.id = ?1");
            Ok(runs_select(snapshot, &sql, vec![id.into()])?.pop())
        })
        .await
    }

    /// Gives what a run was given, when that is not what its task brought.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn run_input_get(&self, run_id: &RunId) -> Result<Option<RunInput>, ReadError> {
        let id = run_id.as_str().to_owned();
        self.read(move |snapshot| {
            let sql =
                "SELECT i.input, i.request FROM run_inputs i JOIN runs r ON r.number = i.run WHERE r.id = ?1";
            let given = snapshot.select(sql, (id,), |row| {
                let content = |column, at| blobs::content_read(snapshot, column, row.get(at)?);
                Ok(RunInput {
                    input: content("run_inputs.input", 0)?.unwrap_or_default(),
                    request: content("run_inputs.request", 1)?.unwrap_or_default(),
                })
            })?;
            Ok(given.into_iter().next())
        })
        .await
    }

    /// Gives runs, the newest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn run_list(&self, filter: RunFilter) -> Result<Vec<RunRecord>, ReadError> {
        self.read(move |snapshot| {
            let (sql, params) = list_query(&filter);
            runs_select(snapshot, &sql, params)
        })
        .await
    }

    /// Gives every run that has not ended, the oldest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn runs_open(&self) -> Result<Vec<RunRecord>, ReadError> {
        self.read(|snapshot| {
            let open: Vec<_> = RunStatus::ALL.into_iter().filter(|status| !status.is_terminal()).collect();
            let marks = vec!["?"; open.len()].join(", ");
            let sql = format!("{SELECT} WHERE r.status IN ({marks}) ORDER BY r.number");
            runs_select(
                snapshot,
                &sql,
                open.into_iter().map(|status| status.as_str().to_owned().into()).collect(),
            )
        })
        .await
    }
}

fn list_query(filter: &RunFilter) -> (String, Vec<rusqlite::types::Value>) {
    let conditions = [
        ("r.task_id = ?", filter.task_id.as_ref().map(|id| id.as_str())),
        ("r.status = ?", filter.status.map(|status| status.as_str())),
        ("r.number < (SELECT number FROM runs WHERE id = ?)", filter.before.as_ref().map(|id| id.as_str())),
        ("r.number > (SELECT number FROM runs WHERE id = ?)", filter.after.as_ref().map(|id| id.as_str())),
    ];
    let asked: Vec<_> = conditions.iter().filter_map(|(sql, value)| Some((*sql, (*value)?))).collect();
    let wheres = asked.iter().map(|(sql, _)| *sql).collect::<Vec<_>>().join(" AND ");
    let wheres = if wheres.is_empty() { wheres } else { format!("WHERE {wheres}") };
    let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
    let params = asked.iter().map(|(_, value)| (*value).to_owned().into()).chain([limit.into()]).collect();
    (format!("{SELECT} {wheres} ORDER BY r.number DESC LIMIT ?"), params)
}

fn runs_select(
    snapshot: &Snapshot<'_>,
    sql: &str,
    params: Vec<rusqlite::types::Value>,
) -> Result<Vec<RunRecord>, ReadError> {
    snapshot.select(sql, rusqlite::params_from_iter(params), |row| run_of_row(snapshot, row))
}

fn run_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<RunRecord, ReadError> {
    let status: String = row.get(2)?;
    let ttl_source: String = row.get(8)?;
    Ok(RunRecord {
        id: snapshot.parse("runs.id", &row.get::<_, String>(0)?)?,
        task_id: snapshot.parse("runs.task_id", &row.get::<_, String>(1)?)?,
        status: RunStatus::parse(&status).ok_or_else(|| ReadError::unreadable("runs.status", &status))?,
        owner: row.get(3)?,
        epoch: crate::reader::unsigned(row.get(4)?),
        blueprint_id: row.get(5)?,
        blueprint_hash: row.get(6)?,
        ttl_ms: crate::reader::unsigned(row.get(7)?),
        ttl_source: ttl_source_parse(&ttl_source)
            .ok_or_else(|| ReadError::unreadable("runs.ttl_source", &ttl_source))?,
        goal_id: row
            .get::<_, Option<String>>(9)?
            .map(|id| snapshot.parse("runs.goal_id", &id))
            .transpose()?,
        agent_override: row.get(10)?,
        error: snapshot.json("runs.error", row.get(11)?)?,
        result: blobs::content_read(snapshot, "runs.result", row.get(12)?)?,
        created_at: Timestamp::from_unix_ms(row.get(13)?),
        ended_at: row.get::<_, Option<i64>>(14)?.map(Timestamp::from_unix_ms),
        workspace: workspaces::workspace_of_row(row, 15)?,
    })
}

fn ttl_source_name(source: TtlSource) -> &'static str {
    match source {
        TtlSource::RequestBody => "request_body",
        TtlSource::BpMetadata => "bp_metadata",
        TtlSource::ServerDefault => "server_default",
    }
}

fn ttl_source_parse(text: &str) -> Option<TtlSource> {
    [TtlSource::RequestBody, TtlSource::BpMetadata, TtlSource::ServerDefault]
        .into_iter()
        .find(|source| ttl_source_name(*source) == text)
}
