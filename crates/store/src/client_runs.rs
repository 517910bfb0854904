//! Runs that clients drive, and their turns.
//!
//! A turn is one row that is written when it starts and again when it settles; one that has settled never changes.
//! Every write of a run stands under [`ClientFence`]: it counts the turns only while the run has this owner and epoch.

use crate::blobs;
use crate::reader::{ReadError, Snapshot, unsigned};
use crate::store::Store;
use crate::write::{ExpectedRows, Json, Param, Write, json_text};
use adjutant_model::client_run::{ClientRun, ClientTurn};
use adjutant_model::run::{RunStatus, TurnStatus};
use adjutant_model::{Timestamp, Value};
use rusqlite::Row;
use std::sync::Arc;

/// Whose run it must still be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFence {
    /// The run.
    pub run_id: Arc<str>,
    /// The daemon that owns it.
    pub owner: Arc<str>,
    /// The owner's epoch.
    pub epoch: u64,
}

/// Where a client's run stands now.
#[derive(Debug, Clone, Copy)]
pub struct ClientRunChange<'a> {
    /// Where it stands.
    pub status: RunStatus,
    /// What was said of its end.
    pub outcome: Option<&'a Value>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl Write {
    /// Adds a run; an id that is there already fails the write.
    pub fn client_run_create(&mut self, run: &ClientRun) -> &mut Self {
        let state = self.content(Some(&run.state));
        let params = vec![
            Param::text(&run.id),
            Param::text(&run.agent_id),
            Param::text(&run.intent),
            Param::text_or_null(run.outcome_description.as_deref()),
            Param::text(&run.token_id),
            run.status.as_str().into(),
            Param::json(run.outcome.as_ref()),
            Param::from(json_text(&run.policies)),
            state,
            Param::text(&run.owner),
            run.epoch.into(),
            run.turns.into(),
            run.started_at.into(),
            Param::at(run.ended_at),
            Param::from(json_text(&run.limits)),
            run.tool_calls.into(),
            Param::from(json_text(&run.sessions)),
        ];
        self.push(
            "INSERT INTO client_runs (id, agent_id, intent, outcome_description, token_id, status, outcome, policies, \
             state, owner, epoch, turns, started_at, ended_at, limits, tool_calls, sessions) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
            ExpectedRows::Exactly(1),
            params,
        )
    }

    /// Says how many turns a run has; fails with [`crate::WriteError::RowsUnexpected`] when the fence does not hold.
    pub fn client_run_turns_set(&mut self, fence: &ClientFence, turns: u64) -> &mut Self {
        self.push(
            "UPDATE client_runs SET turns = ?4 WHERE id = ?1 AND owner = ?2 AND epoch = ?3",
            ExpectedRows::Exactly(1),
            fenced(fence, [turns.into()]),
        )
    }

    /// Says which rules, scopes of rules and state a run has.
    pub fn client_run_bind(&mut self, fence: &ClientFence, run: &ClientRun) -> &mut Self {
        let state = self.content(Some(&run.state));
        let (policies, sessions) = (json_text(&run.policies), json_text(&run.sessions));
        self.push(
            "UPDATE client_runs SET policies = ?4, state = ?5, sessions = ?6 \
             WHERE id = ?1 AND owner = ?2 AND epoch = ?3",
            ExpectedRows::Exactly(1),
            fenced(fence, [Param::from(policies), state, Param::from(sessions)]),
        )
    }

    /// Says how many calls of tools a run has begun.
    pub fn client_run_calls_set(&mut self, fence: &ClientFence, tool_calls: u64) -> &mut Self {
        self.push(
            "UPDATE client_runs SET tool_calls = ?4 WHERE id = ?1 AND owner = ?2 AND epoch = ?3",
            ExpectedRows::Exactly(1),
            fenced(fence, [tool_calls.into()]),
        )
    }

    /// Says where a run stands.
    pub fn client_run_status_set(&mut self, fence: &ClientFence, change: ClientRunChange<'_>) -> &mut Self {
        let values = [change.status.as_str().into(), Param::json(change.outcome), Param::at(change.ended_at)];
        self.push(
            "UPDATE client_runs SET status = ?4, outcome = ?5, ended_at = ?6 \
             WHERE id = ?1 AND owner = ?2 AND epoch = ?3",
            ExpectedRows::Exactly(1),
            fenced(fence, values),
        )
    }

    /// Gives a run a new owner or epoch; fails unless the epoch is higher than the run's.
    pub fn client_run_adopt(&mut self, fence: &ClientFence, status: RunStatus) -> &mut Self {
        self.push(
            "UPDATE client_runs SET owner = ?2, epoch = ?3, status = ?4 WHERE id = ?1 AND epoch < ?3",
            ExpectedRows::Exactly(1),
            fenced(fence, [status.as_str().into()]),
        )
    }

    /// Adds a turn, or settles one that has started, with its JSON; fails when it has settled before.
    pub fn client_turn_put(&mut self, run_id: &str, turn: &ClientTurn, json: Json) -> &mut Self {
        let settled = u64::from(turn.status != TurnStatus::Started);
        let record = self.content_json(Some(json));
        self.push(
            "INSERT INTO client_turns (run_id, turn, settled, record) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (run_id, turn) DO UPDATE SET settled = excluded.settled, record = excluded.record \
             WHERE client_turns.settled = 0",
            ExpectedRows::Exactly(1),
            vec![Param::text(run_id), turn.index.into(), settled.into(), record],
        )
    }
}

fn fenced(fence: &ClientFence, values: impl IntoIterator<Item = Param>) -> Vec<Param> {
    let ClientFence { run_id, owner, epoch } = fence;
    [Param::text(run_id), Param::text(owner), (*epoch).into()].into_iter().chain(values).collect()
}

const SELECT: &str = "SELECT id, agent_id, intent, outcome_description, token_id, status, outcome, policies, state, \
                      owner, epoch, turns, started_at, ended_at, limits, tool_calls, sessions FROM client_runs";

impl Store {
    /// Gives a client's run.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn client_run_get(&self, run_id: &str) -> Result<Option<ClientRun>, ReadError> {
        let run_id = run_id.to_owned();
        self.read(move |snapshot| {
            let sql = format!("{SELECT} WHERE id = ?1");
            Ok(snapshot.select(&sql, (run_id,), |row| run_of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Gives the runs of an agent, or of all, the newest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn client_runs(
        &self,
        agent_id: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ClientRun>, ReadError> {
        let agent_id = agent_id.map(str::to_owned);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let sql = format!("{SELECT} WHERE ?1 IS NULL OR agent_id = ?1 ORDER BY number DESC LIMIT ?2");
            snapshot.select(&sql, (agent_id, limit), |row| run_of_row(snapshot, row))
        })
        .await
    }

    /// Gives every client's run that has not ended, the oldest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn client_runs_open(&self) -> Result<Vec<ClientRun>, ReadError> {
        self.read(|snapshot| {
            let sql = format!("{SELECT} WHERE status IN ('running', 'interrupted') ORDER BY number");
            snapshot.select(&sql, (), |row| run_of_row(snapshot, row))
        })
        .await
    }

    /// Gives the turns of a client's run in order, from `first`.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn client_turns(
        &self,
        run_id: &str,
        first: u64,
        limit: usize,
    ) -> Result<Vec<ClientTurn>, ReadError> {
        let run_id = run_id.to_owned();
        let first = i64::try_from(first).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let sql =
                "SELECT record FROM client_turns WHERE run_id = ?1 AND turn >= ?2 ORDER BY turn LIMIT ?3";
            snapshot.select(sql, (run_id, first, limit), |row| {
                let text: String = row.get(0)?;
                blobs::record_read(snapshot, "client_turns.record", text)
            })
        })
        .await
    }
}

fn run_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<ClientRun, ReadError> {
    let text = |column: usize| -> Result<Arc<str>, ReadError> { Ok(row.get::<_, String>(column)?.into()) };
    let status: String = row.get(5)?;
    Ok(ClientRun {
        id: text(0)?,
        agent_id: text(1)?,
        intent: row.get(2)?,
        outcome_description: row.get(3)?,
        token_id: row.get(4)?,
        status: RunStatus::parse(&status)
            .ok_or_else(|| ReadError::unreadable("client_runs.status", &status))?,
        outcome: snapshot.json("client_runs.outcome", row.get(6)?)?,
        policies: snapshot.json("client_runs.policies", row.get(7)?)?.unwrap_or_default(),
        state: blobs::content_read(snapshot, "client_runs.state", row.get(8)?)?.unwrap_or_default(),
        owner: row.get(9)?,
        epoch: unsigned(row.get(10)?),
        turns: unsigned(row.get(11)?),
        started_at: Timestamp::from_unix_ms(row.get(12)?),
        ended_at: row.get::<_, Option<i64>>(13)?.map(Timestamp::from_unix_ms),
        limits: snapshot.json("client_runs.limits", row.get(14)?)?.unwrap_or_default(),
        tool_calls: unsigned(row.get(15)?),
        sessions: snapshot.json("client_runs.sessions", row.get(16)?)?.unwrap_or_default(),
    })
}
