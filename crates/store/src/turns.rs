//! Turns: every action of a run, written before its effect and again when it settles.
//!
//! A turn's key is one integer, the run's number above the turn's index, so the turns of a run lie side by side in
//! one tree without a second index, and a step touches one page of it.

use crate::blobs;
use crate::reader::{ReadError, Snapshot};
use crate::store::Store;
use crate::write::{ExpectedRows, Json, Param, Write};
use adjutant_model::run::{StepFailure, StepPath, TurnKind, TurnRecord, TurnStatus, Usage};
use adjutant_model::{RunId, Timestamp};
use rusqlite::Row;
use std::collections::HashSet;

/// How many turns a run can hold.
pub const TURNS_MAX: u64 = 1 << INDEX_BITS;

pub(crate) const INDEX_BITS: u32 = 24;

/// How a turn settled.
#[derive(Debug, Clone)]
pub struct TurnSettlement<'a> {
    /// How it ended.
    pub status: TurnStatus,
    /// What came out.
    pub output: Option<Json>,
    /// Why it failed or was refused.
    pub error: Option<&'a StepFailure>,
    /// The rule that refused it.
    pub rule: Option<&'a str>,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// Which turns of a run are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnFilter {
    /// Only those behind this index.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: usize,
    /// Which of them, when there are more.
    pub part: TurnPart,
    /// Only those of this kind.
    pub kind: Option<TurnKind>,
    /// Only those of this step, an agent's name or a path, and of the tools that its agent called.
    pub step: Option<String>,
    /// Only those of this attempt.
    pub attempt: Option<u32>,
    /// Whether those that a rerun took back are among them.
    pub superseded: Superseded,
}

/// Which turns are given when there are more than fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnPart {
    /// The first.
    First,
    /// The last, in order.
    Last,
}

/// Whether turns that a rerun took back are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Superseded {
    /// They are.
    Shown,
    /// They are not.
    Hidden,
}

impl Default for TurnFilter {
    fn default() -> Self {
        TurnFilter {
            after: None,
            limit: 1000,
            part: TurnPart::First,
            kind: None,
            step: None,
            attempt: None,
            superseded: Superseded::Shown,
        }
    }
}

/// Gives the key of a turn, or nothing when the index is beyond [`TURNS_MAX`].
pub(crate) fn turn_key(run_number: i64, index: u64) -> Option<i64> {
    let index = i64::try_from(index).ok().filter(|_| index < TURNS_MAX)?;
    Some((run_number << INDEX_BITS) | index)
}

fn index_of_key(key: i64) -> u64 {
    crate::reader::unsigned(key) & (TURNS_MAX - 1)
}

impl Write {
    /// Adds a turn as it stands: started, or at once settled, as a call that the gate refused is.
    pub fn turn_start(&mut self, run_id: &RunId, turn: &TurnRecord) -> &mut Self {
        let parameters = self.content(Some(&turn.parameters));
        let output = self.content(turn.output.as_ref());
        let params = vec![
            Param::Turn { run_id: run_id.clone(), index: turn.index },
            kind_name(turn.kind).into(),
            Param::text(turn.path.as_str()),
            turn.attempt.into(),
            Param::text(&turn.name),
            turn.status.as_str().into(),
            parameters,
            output,
            Param::json(turn.error.as_ref()),
            Param::text_or_null(turn.rule.as_deref()),
            turn.started_at.into(),
            Param::at(turn.ended_at),
        ];
        self.push(
            "INSERT INTO turns (key, kind, path, attempt, name, status, parameters, output, error, rule, started_at, \
             ended_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            ExpectedRows::Exactly(1),
            params,
        )
    }

    /// Says what the model of a turn used; few turns have one, so a turn that settles does not pay for it.
    pub fn turn_usage(&mut self, run_id: &RunId, index: u64, usage: &Usage) -> &mut Self {
        let params = vec![Param::Turn { run_id: run_id.clone(), index }, Param::json(Some(usage))];
        self.push(
            "UPDATE turns SET usage = ?2 WHERE key = ?1 AND status = 'started'",
            ExpectedRows::Exactly(1),
            params,
        )
    }

    /// Says that a rerun took a turn back, whose run has this epoch then.
    pub fn turn_supersede(&mut self, run_id: &RunId, index: u64, epoch: u64) -> &mut Self {
        self.push(
            "UPDATE turns SET superseded = ?2 WHERE key = ?1 AND superseded IS NULL",
            ExpectedRows::Exactly(1),
            vec![Param::Turn { run_id: run_id.clone(), index }, epoch.into()],
        )
    }

    /// Settles a turn; one that is not there or has settled fails with [`crate::WriteError::RowsUnexpected`].
    pub fn turn_settle(&mut self, run_id: &RunId, index: u64, settlement: TurnSettlement<'_>) -> &mut Self {
        let output = self.content_json(settlement.output);
        let params = vec![
            Param::Turn { run_id: run_id.clone(), index },
            settlement.status.as_str().into(),
            output,
            Param::json(settlement.error),
            Param::text_or_null(settlement.rule),
            settlement.ended_at.into(),
        ];
        self.push(
            "UPDATE turns SET status = ?2, output = ?3, error = ?4, rule = ?5, ended_at = ?6 \
             WHERE key = ?1 AND status = 'started'",
            ExpectedRows::Exactly(1),
            params,
        )
    }
}

const SELECT: &str = "SELECT key, kind, path, attempt, name, status, parameters, output, error, rule, started_at, \
                      ended_at, usage, superseded FROM turns";

impl Store {
    /// Gives the turns of a run in order, from the one after `after_index`, or from the first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn turns_of(
        &self,
        run_id: &RunId,
        after_index: Option<u64>,
        limit: usize,
    ) -> Result<Vec<TurnRecord>, ReadError> {
        let run_id = run_id.clone();
        let first = after_index.map_or(0, |index| index.saturating_add(1));
        self.read(move |snapshot| {
            let Some(number) = snapshot.run_number(&run_id)? else { return Ok(Vec::new()) };
            let Some(from) = turn_key(number, first) else { return Ok(Vec::new()) };
            let to = (number + 1) << INDEX_BITS;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let sql = format!("{SELECT} WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3");
            snapshot.select(&sql, (from, to, limit), |row| turn_of_row(snapshot, row))
        })
        .await
    }

    /// Gives some turns of a run, in order.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn turns_where(
        &self,
        run_id: &RunId,
        filter: TurnFilter,
    ) -> Result<Vec<TurnRecord>, ReadError> {
        let run_id = run_id.clone();
        self.read(move |snapshot| {
            let Some(number) = snapshot.run_number(&run_id)? else { return Ok(Vec::new()) };
            let first = filter.after.map_or(0, |index| index.saturating_add(1));
            let Some(from) = turn_key(number, first) else { return Ok(Vec::new()) };
            let hidden = match filter.superseded {
                Superseded::Shown => "",
                Superseded::Hidden => "AND superseded IS NULL",
            };
            let order = match filter.part {
                TurnPart::First => "ASC",
                TurnPart::Last => "DESC",
            };
            let sql = format!(
                "{SELECT} WHERE key >= ?1 AND key < ?2 AND (?3 IS NULL OR kind = ?3) AND (?4 IS NULL OR path = ?4 OR \
                 path IN (SELECT path FROM turns WHERE key >= ?5 AND key < ?2 AND kind = 'step' AND name = ?4)) \
                 AND (?6 IS NULL OR attempt = ?6) {hidden} ORDER BY key {order} LIMIT ?7"
            );
            let keys = (from, (number + 1) << INDEX_BITS, number << INDEX_BITS);
            let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
            let params =
                (keys.0, keys.1, filter.kind.map(kind_name), filter.step, keys.2, filter.attempt, limit);
            let mut turns = snapshot.select(&sql, params, |row| turn_of_row(snapshot, row))?;
            turns.sort_unstable_by_key(|turn| turn.index);
            Ok(turns)
        })
        .await
    }

    /// Gives the last step of a run that gave something and was not taken back: the one at a path, or else of an agent.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn turn_of_step(&self, run_id: &RunId, step: &str) -> Result<Option<TurnRecord>, ReadError> {
        let (run_id, step) = (run_id.clone(), step.to_owned());
        self.read(move |snapshot| {
            let Some(number) = snapshot.run_number(&run_id)? else { return Ok(None) };
            let sql = format!(
                "{SELECT} WHERE key >= ?1 AND key < ?2 AND kind = 'step' AND superseded IS NULL AND output IS NOT NULL \
                 AND (path = ?3 OR name = ?3) ORDER BY path = ?3 DESC, key DESC LIMIT 1"
            );
            let params = (number << INDEX_BITS, (number + 1) << INDEX_BITS, step);
            Ok(snapshot.select(&sql, params, |row| turn_of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Gives the agents of a run whose steps that count all stand at one path.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn agents_of_one_step(&self, run_id: &RunId) -> Result<HashSet<String>, ReadError> {
        let run_id = run_id.clone();
        self.read(move |snapshot| {
            let Some(number) = snapshot.run_number(&run_id)? else { return Ok(HashSet::new()) };
            let sql = "SELECT name FROM turns WHERE key >= ?1 AND key < ?2 AND kind = 'step' AND superseded IS NULL \
                       GROUP BY name HAVING count(DISTINCT path) = 1";
            let keys = (number << INDEX_BITS, (number + 1) << INDEX_BITS);
            Ok(snapshot.select(sql, keys, |row| Ok(row.get(0)?))?.into_iter().collect())
        })
        .await
    }

    /// Gives what the models of a run used together; `None` when none said anything.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn run_usage(&self, run_id: &RunId) -> Result<Option<Usage>, ReadError> {
        let used = self.run_usages(run_id).await?;
        Ok(used.into_iter().map(|(_, usage)| usage).reduce(Usage::and))
    }

    /// Gives what the model of each turn of a run used, as far as it said, with the name of the turn's agent.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn run_usages(&self, run_id: &RunId) -> Result<Vec<(String, Usage)>, ReadError> {
        let run_id = run_id.clone();
        self.read(move |snapshot| {
            let Some(number) = snapshot.run_number(&run_id)? else { return Ok(Vec::new()) };
            let sql = "SELECT name, usage FROM turns WHERE key >= ?1 AND key < ?2 AND usage IS NOT NULL ORDER BY key";
            let keys = (number << INDEX_BITS, (number + 1) << INDEX_BITS);
            snapshot.select(sql, keys, |row| {
                let used = snapshot.json::<Usage>("turns.usage", row.get(1)?)?;
                Ok((row.get(0)?, used.unwrap_or_default()))
            })
        })
        .await
    }

    /// Gives the turn of the step that a tool call belongs to.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn step_turn_before(
        &self,
        run_id: &RunId,
        call: &TurnRecord,
    ) -> Result<Option<u64>, ReadError> {
        let (run_id, index) = (run_id.clone(), call.index);
        let (path, attempt) = (call.path.as_str().to_owned(), call.attempt);
        self.read(move |snapshot| {
            let Some(number) = snapshot.run_number(&run_id)? else { return Ok(None) };
            let Some(key) = turn_key(number, index) else { return Ok(None) };
            let sql = "SELECT key FROM turns WHERE key >= ?1 AND key < ?2 AND kind = 'step' AND path = ?3 \
                       AND attempt = ?4 ORDER BY key DESC LIMIT 1";
            let params = (number << INDEX_BITS, key, path, attempt);
            Ok(snapshot.select(sql, params, |row| Ok(index_of_key(row.get(0)?)))?.pop())
        })
        .await
    }

    /// Gives the turn of an agent's step that had begun last at an instant.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn step_turn_at(
        &self,
        run_id: &RunId,
        agent: &str,
        at: Timestamp,
    ) -> Result<Option<u64>, ReadError> {
        let (run_id, agent) = (run_id.clone(), agent.to_owned());
        self.read(move |snapshot| {
            let Some(number) = snapshot.run_number(&run_id)? else { return Ok(None) };
            let sql = "SELECT key FROM turns WHERE key >= ?1 AND key < ?2 AND kind = 'step' AND name = ?3 \
                       AND started_at <= ?4 ORDER BY key DESC LIMIT 1";
            let params = (number << INDEX_BITS, (number + 1) << INDEX_BITS, agent, at.unix_ms());
            Ok(snapshot.select(sql, params, |row| Ok(index_of_key(row.get(0)?)))?.pop())
        })
        .await
    }

    /// Gives a turn.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn turn_get(&self, run_id: &RunId, index: u64) -> Result<Option<TurnRecord>, ReadError> {
        let run_id = run_id.clone();
        self.read(move |snapshot| {
            let Some(number) = snapshot.run_number(&run_id)? else { return Ok(None) };
            let Some(key) = turn_key(number, index) else { return Ok(None) };
            let sql = format!("{SELECT} WHERE key = ?1");
            Ok(snapshot.select(&sql, (key,), |row| turn_of_row(snapshot, row))?.pop())
        })
        .await
    }
}

fn turn_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<TurnRecord, ReadError> {
    let kind: String = row.get(1)?;
    let status: String = row.get(5)?;
    Ok(TurnRecord {
        index: index_of_key(row.get(0)?),
        kind: kind_parse(&kind).ok_or_else(|| ReadError::unreadable("turns.kind", &kind))?,
        path: StepPath::new(row.get::<_, String>(2)?),
        attempt: row.get(3)?,
        name: row.get(4)?,
        status: TurnStatus::parse(&status).ok_or_else(|| ReadError::unreadable("turns.status", &status))?,
        parameters: blobs::content_read(snapshot, "turns.parameters", row.get(6)?)?.unwrap_or_default(),
        output: blobs::content_read(snapshot, "turns.output", row.get(7)?)?,
        error: snapshot.json("turns.error", row.get(8)?)?,
        rule: row.get(9)?,
        usage: snapshot.json("turns.usage", row.get(12)?)?,
        superseded: row.get::<_, Option<i64>>(13)?.map(crate::reader::unsigned),
        started_at: Timestamp::from_unix_ms(row.get(10)?),
        ended_at: row.get::<_, Option<i64>>(11)?.map(Timestamp::from_unix_ms),
    })
}

fn kind_name(kind: TurnKind) -> &'static str {
    match kind {
        TurnKind::Step => "step",
        TurnKind::Tool => "tool",
    }
}

fn kind_parse(text: &str) -> Option<TurnKind> {
    [TurnKind::Step, TurnKind::Tool].into_iter().find(|kind| kind_name(*kind) == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gives_back_its_index_and_keeps_runs_apart() {
        for (run, index) in [(1, 0), (1, 7), (3, TURNS_MAX - 1), (1 << 38, 5)] {
            let key = turn_key(run, index).unwrap();
            assert_eq!((key >> INDEX_BITS, index_of_key(key)), (run, index));
        }
        assert!(turn_key(1, TURNS_MAX - 1).unwrap() < turn_key(2, 0).unwrap());
        assert_eq!(turn_key(1, TURNS_MAX), None);
    }
}
