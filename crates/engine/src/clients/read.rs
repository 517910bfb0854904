//! Reading clients' runs: lists, traces, and what a late subscriber has missed.

use super::subscriber::{RunTail, ended_record, started_record, turn_record, wire_status};
use super::visible;
use crate::error::EngineError;
use crate::plane::Core;
use adjutant_model::Timestamp;
use adjutant_model::action::{Caller, Role};
use adjutant_model::client_run::ClientRun;
use adjutant_model::run::TurnStatus;
use serde_json::Value as Json;
use std::sync::Arc;

/// A line of a list of runs.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// The run.
    pub run_id: Arc<str>,
    /// The agent it is recorded under.
    pub agent_id: Arc<str>,
    /// What it is for.
    pub intent: String,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Where it stands.
    pub status: &'static str,
    /// How many turns it has.
    pub turn_count: u64,
}

/// A page of a run's records.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// The agent it is recorded under.
    pub agent_id: Arc<str>,
    /// `started`, one `turn` per index in its latest state, `ended`.
    pub records: Vec<Json>,
    /// Where the next page begins: 0 is `started`, then each turn is one more than its index.
    pub cursor: u64,
    /// Whether there is a next page now.
    pub more: bool,
}

/// Gives what a subscriber that comes now has missed.
pub(super) async fn tail(core: &Core, run: &ClientRun, turns: u64) -> Result<RunTail, EngineError> {
    let limit = usize::try_from(turns).unwrap_or(usize::MAX);
    let turns = core.store.client_turns(&run.id, 0, limit).await?;
    let turns_so_far: Vec<Json> = turns
        .iter()
        .filter(|turn| turn.status != TurnStatus::Started)
        .map(|turn| turn_record("turn", turn))
        .collect();
    Ok(RunTail {
        run_id: run.id.clone(),
        agent_id: run.agent_id.clone(),
        cursor: turns_so_far.len() as u64,
        turns_so_far,
        status: wire_status(run.status),
    })
}

/// Gives the runs of an agent or of all, the newest first; only a host and the agent itself may ask.
pub(super) async fn list(
    core: &Core,
    caller: &Caller,
    agent_id: Option<&str>,
    limit: usize,
) -> Result<Vec<RunSummary>, EngineError> {
    let bound = caller.agent_id.is_some();
    let own = bound && caller.agent_id.as_deref() == agent_id;
    if bound && !own && caller.role != Role::Host {
        return Err(EngineError::Forbidden("this token may list its own agent's runs only".to_owned()));
    }
    let runs = core.store.client_runs(agent_id, limit).await?;
    let seen = runs.into_iter().filter(|run| super::may(caller, run));
    Ok(seen.map(summary).collect())
}

fn summary(run: ClientRun) -> RunSummary {
    RunSummary {
        run_id: run.id,
        agent_id: run.agent_id,
        intent: run.intent,
        started_at: run.started_at,
        ended_at: run.ended_at,
        status: wire_status(run.status),
        turn_count: run.turns,
    }
}

/// Gives a page of a run's records from `cursor`; nothing when there is no such run or it is another's.
pub(super) async fn trace(
    core: &Core,
    caller: &Caller,
    run_id: &str,
    page: (u64, usize),
) -> Result<Option<Trace>, EngineError> {
    let Some(run) = visible(core, caller, run_id).await? else { return Ok(None) };
    let (cursor, limit) = page;
    let mut records = Vec::new();
    if cursor == 0 {
        records.push(started_record(&run));
    }
    let room = limit.saturating_sub(records.len());
    let first = cursor.saturating_sub(1);
    let mut turns = core.store.client_turns(run_id, first, room.saturating_add(1)).await?;
    let mut more = turns.len() > room;
    turns.truncate(room);
    records.extend(turns.iter().map(|turn| turn_record("turn", turn)));
    // Actions that have not begun have an index and no turn, so places are not counted.
    let mut next = turns.last().map_or(cursor.max(1), |turn| turn.index + 2);
    let end = run.turns + 1;
    if run.ended_at.is_some() && !more && cursor <= end {
        more = records.len() >= limit;
        if !more {
            records.push(ended_record(&run));
            next = end + 1;
        }
    }
    Ok(Some(Trace { agent_id: run.agent_id, records, cursor: next, more }))
}
