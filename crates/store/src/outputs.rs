//! Outputs on the data path: what is known of each, and the runs that refer to it. Their bytes are files, see
//! [`crate::bodies`]; an event is so small that it stands in its row.

use crate::reader::{ReadError, Snapshot, unsigned};
use crate::store::Store;
use crate::turns::turn_key;
use crate::write::{ExpectedRows, Param, Write};
use adjutant_model::data::{OutputRecord, OutputStanding, RunStanding};
use adjutant_model::run::{RunStatus, StepPath};
use adjutant_model::{OutputId, RunId, Timestamp};
use rusqlite::Row;
use std::collections::HashSet;

/// What a run has put on the data path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputTotals {
    /// How many outputs.
    pub count: u64,
    /// How many bytes together.
    pub bytes: u64,
}

impl Write {
    /// Adds an output; its run, when it has one, refers to it.
    pub fn output_put(&mut self, output: &OutputRecord) -> &mut Self {
        let params = vec![
            Param::text(output.id.as_str()),
            Param::text_or_null(output.name.as_deref()),
            Param::text_or_null(output.run_id.as_ref().map(RunId::as_str)),
            Param::text_or_null(output.task_id.as_deref()),
            Param::text_or_null(output.path.as_ref().map(StepPath::as_str)),
            output.attempt.map_or(Param::Null, Param::from),
            Param::text_or_null(output.producer.as_deref()),
            Param::text(&output.sha256),
            output.size_bytes.into(),
            Param::text(&output.content_type),
            Param::json(output.event.as_ref()),
            Param::json(Some(&output.parents)),
            output.created_at.into(),
        ];
        self.push(
            "INSERT INTO outputs (id, name, run_id, task_id, path, attempt, producer, sha256, size, content_type, event, \
             parents, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            ExpectedRows::Exactly(1),
            params,
        );
        match &output.run_id {
            Some(run_id) => self.output_refer(run_id, &output.id),
            None => self,
        }
    }

    /// Notes that a run refers to an output; one that is not there is nothing to refer to.
    pub fn output_refer(&mut self, run_id: &RunId, output_id: &OutputId) -> &mut Self {
        self.push(
            "INSERT INTO output_runs (run_id, output) SELECT ?1, number FROM outputs WHERE id = ?2 \
             ON CONFLICT DO NOTHING",
            ExpectedRows::Any,
            vec![Param::text(run_id.as_str()), Param::text(output_id.as_str())],
        )
    }

    /// Forgets an output; its file is the caller's to remove.
    pub fn output_forget(&mut self, output_id: &OutputId) -> &mut Self {
        self.push(
            "DELETE FROM outputs WHERE id = ?1",
            ExpectedRows::Any,
            vec![Param::text(output_id.as_str())],
        )
    }
}

const SELECT: &str = "SELECT id, name, run_id, task_id, path, attempt, producer, sha256, size, content_type, event, \
                      parents, created_at FROM outputs";

/// Holds where no run is asked for, or one that refers to the output.
const WITHIN: &str =
    "(?2 IS NULL OR EXISTS (SELECT 1 FROM output_runs WHERE run_id = ?2 AND output = outputs.number))";

impl Store {
    /// Gives an output; with a run only one that the run refers to.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn output_get(
        &self,
        output_id: &OutputId,
        within: Option<&RunId>,
    ) -> Result<Option<OutputRecord>, ReadError> {
        self.output_where("id = ?1", output_id.as_str().to_owned(), within).await
    }

    /// Gives the latest output of a name; with a run only of those that the run refers to.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn output_named(
        &self,
        name: &str,
        within: Option<&RunId>,
    ) -> Result<Option<OutputRecord>, ReadError> {
        self.output_where("name = ?1", name.to_owned(), within).await
    }

    async fn output_where(
        &self,
        is: &'static str,
        key: String,
        within: Option<&RunId>,
    ) -> Result<Option<OutputRecord>, ReadError> {
        let within = within.map(|run_id| run_id.as_str().to_owned());
        self.read(move |snapshot| {
            let sql = format!("{SELECT} WHERE {is} AND {WITHIN} ORDER BY number DESC LIMIT 1");
            Ok(snapshot.select(&sql, (key, within), |row| output_of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Gives outputs, all or those that a run refers to, the newest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn outputs(
        &self,
        within: Option<&RunId>,
        limit: usize,
    ) -> Result<Vec<OutputRecord>, ReadError> {
        let within = within.map(|run_id| run_id.as_str().to_owned());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let sql = format!("{SELECT} WHERE {WITHIN} ORDER BY number DESC LIMIT ?1");
            snapshot.select(&sql, (limit, within), |row| output_of_row(snapshot, row))
        })
        .await
    }

    /// Gives how much a run has put on the data path; without a run, what people put before there was one.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn output_totals(&self, run_id: Option<&RunId>) -> Result<OutputTotals, ReadError> {
        let run_id = run_id.map(|run_id| run_id.as_str().to_owned());
        self.read(move |snapshot| {
            let sql = "SELECT count(*), coalesce(sum(size), 0) FROM outputs WHERE run_id IS ?1";
            let found = snapshot.select(sql, (run_id,), |row| {
                Ok(OutputTotals { count: unsigned(row.get(0)?), bytes: unsigned(row.get(1)?) })
            })?;
            Ok(found.into_iter().next().unwrap_or_default())
        })
        .await
    }

    /// Gives how many bytes the files of all outputs have.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn output_file_bytes(&self) -> Result<u64, ReadError> {
        self.read(move |snapshot| {
            let sql = "SELECT coalesce(sum(size), 0) FROM (SELECT DISTINCT sha256, size FROM outputs WHERE event IS NULL)";
            let found = snapshot.select(sql, (), |row| Ok(unsigned(row.get(0)?)))?;
            Ok(found.into_iter().sum())
        })
        .await
    }

    /// Gives how the outputs behind a place stand, in their order.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn outputs_standing(&self, after: i64, limit: usize) -> Result<Vec<OutputStanding>, ReadError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let sql = "SELECT number, id, iif(event IS NULL, sha256, NULL), created_at FROM outputs \
                       WHERE number > ?1 ORDER BY number LIMIT ?2";
            snapshot.select(sql, (after, limit), |row| {
                let number = row.get(0)?;
                Ok(OutputStanding {
                    number,
                    id: snapshot.parse("outputs.id", &row.get::<_, String>(1)?)?,
                    file: row.get(2)?,
                    created_at: Timestamp::from_unix_ms(row.get(3)?),
                    runs: runs_standing(snapshot, number)?,
                })
            })
        })
        .await
    }

    /// Gives those of some files that an output still has.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn files_needed(&self, files: Vec<String>) -> Result<HashSet<String>, ReadError> {
        self.read(move |snapshot| {
            let sql = "SELECT 1 FROM outputs WHERE sha256 = ?1 AND event IS NULL LIMIT 1";
            let mut needed = HashSet::new();
            for file in files {
                if !snapshot.select(sql, (&file,), |_| Ok(()))?.is_empty() {
                    needed.insert(file);
                }
            }
            Ok(needed)
        })
        .await
    }
}

/// Gives how the runs stand that refer to an output; those that are gone are not among them.
fn runs_standing(snapshot: &Snapshot<'_>, output: i64) -> Result<Vec<RunStanding>, ReadError> {
    let sql = "SELECT runs.number, runs.status, coalesce(runs.ended_at, runs.created_at) FROM output_runs JOIN runs ON runs.id = output_runs.run_id \
               WHERE output_runs.output = ?1";
    snapshot.select(sql, (output,), |row| {
        let (number, status, ended_at): (i64, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let status =
            RunStatus::parse(&status).ok_or_else(|| ReadError::unreadable("runs.status", &status))?;
        if !status.is_terminal() {
            return Ok(RunStanding::Open);
        }
        let range = (turn_key(number, 0), turn_key(number + 1, 0));
        let turns = "SELECT 1 FROM turns WHERE key >= ?1 AND key < ?2 LIMIT 1";
        let is_kept = !snapshot.select(turns, range, |_| Ok(()))?.is_empty();
        let ended_at = Timestamp::from_unix_ms(ended_at);
        Ok(if is_kept { RunStanding::TurnsKept { ended_at } } else { RunStanding::Bare })
    })
}

fn output_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<OutputRecord, ReadError> {
    let run_id: Option<String> = row.get(2)?;
    Ok(OutputRecord {
        id: snapshot.parse("outputs.id", &row.get::<_, String>(0)?)?,
        name: row.get(1)?,
        run_id: run_id.map(|id| snapshot.parse("outputs.run_id", &id)).transpose()?,
        task_id: row.get(3)?,
        path: row.get::<_, Option<String>>(4)?.map(StepPath::new),
        attempt: row.get(5)?,
        producer: row.get(6)?,
        sha256: row.get(7)?,
        size_bytes: unsigned(row.get(8)?),
        content_type: row.get(9)?,
        event: snapshot.json("outputs.event", row.get(10)?)?,
        parents: snapshot.json("outputs.parents", row.get(11)?)?.unwrap_or_default(),
        created_at: Timestamp::from_unix_ms(row.get(12)?),
    })
}
