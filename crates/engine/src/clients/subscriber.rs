//! What a client sees of a run: its records in their form on the wire, as they stand and as they come.

use adjutant_model::client_run::{ClientRun, ClientTurn};
use adjutant_model::run::RunStatus;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A record of a run, as its subscribers get it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunEvent {
    /// The run.
    pub run_id: Arc<str>,
    /// The agent it is recorded under.
    pub agent_id: Arc<str>,
    /// `{"record": "turn_started" | "turn" | "ended", …}`
    pub record: Json,
    /// How many turns have settled.
    pub cursor: u64,
    /// Where the run stands.
    pub status: &'static str,
}

impl RunEvent {
    fn new(run: &ClientRun, record: Json, cursor: u64) -> Self {
        let status = wire_status(run.status);
        RunEvent { run_id: run.id.clone(), agent_id: run.agent_id.clone(), record, cursor, status }
    }

    pub(super) fn turn_started(run: &ClientRun, turn: &ClientTurn, cursor: u64) -> Self {
        RunEvent::new(run, turn_record("turn_started", turn), cursor)
    }

    pub(super) fn turn(run: &ClientRun, turn: &ClientTurn, cursor: u64) -> Self {
        RunEvent::new(run, turn_record("turn", turn), cursor)
    }

    pub(super) fn ended(run: &ClientRun, cursor: u64) -> Self {
        RunEvent::new(run, ended_record(run), cursor)
    }
}

/// What a subscriber that comes late has missed.
#[derive(Debug, Clone, PartialEq)]
pub struct RunTail {
    /// The run.
    pub run_id: Arc<str>,
    /// The agent it is recorded under.
    pub agent_id: Arc<str>,
    /// The turns that have settled, as records.
    pub turns_so_far: Vec<Json>,
    /// How many these are.
    pub cursor: u64,
    /// Where the run stands.
    pub status: &'static str,
}

/// A connection that sees a run live.
#[derive(Debug, Clone)]
pub struct Subscriber {
    connection: Arc<str>,
    events: mpsc::Sender<Arc<RunEvent>>,
    too_slow: CancellationToken,
}

impl Subscriber {
    /// Makes a subscriber; `too_slow` is cancelled when it is let go because its queue is full.
    pub fn new(
        connection: Arc<str>,
        events: mpsc::Sender<Arc<RunEvent>>,
        too_slow: CancellationToken,
    ) -> Self {
        Subscriber { connection, events, too_slow }
    }

    pub(super) fn connection(&self) -> &Arc<str> {
        &self.connection
    }

    /// Tells whether it is still there.
    pub(super) fn tell(&self, event: &Arc<RunEvent>) -> bool {
        match self.events.try_send(event.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.too_slow.cancel();
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

/// Gives the record that brackets a run's beginning.
pub(super) fn started_record(run: &ClientRun) -> Json {
    let mut record = json!({
        "record": "started", "run_id": run.id, "agent_id": run.agent_id, "intent": run.intent,
        "started_at": run.started_at,
    });
    if let Some(description) = &run.outcome_description {
        record["outcome_description"] = json!(description);
    }
    record
}

/// Gives the record that brackets a run's end.
pub(super) fn ended_record(run: &ClientRun) -> Json {
    json!({
        "record": "ended", "run_id": run.id, "agent_id": run.agent_id, "termination": termination(run),
        "ended_at": run.ended_at,
    })
}

/// Gives how a run ended, in its form on the wire.
pub(super) fn termination(run: &ClientRun) -> Json {
    match (run.status, &run.outcome) {
        (RunStatus::Done | RunStatus::Failed, Some(outcome)) => {
            json!({"kind": "outcome", "status": outcome.get("status"), "outcome": outcome})
        }
        (RunStatus::Cancelled, _) => json!({"kind": "cancelled"}),
        (
            RunStatus::Done
            | RunStatus::Failed
            | RunStatus::Incomplete
            | RunStatus::Interrupted
            | RunStatus::Pending
            | RunStatus::Running
            | RunStatus::Waiting,
            _,
        ) => json!({"kind": "incomplete"}),
    }
}

/// Gives a turn as a record.
pub(super) fn turn_record(record: &str, turn: &ClientTurn) -> Json {
    let mut json = serde_json::to_value(turn).expect("a turn is JSON");
    json["record"] = json!(record);
    json
}

/// Gives a run's state as clients of this door know it.
pub fn wire_status(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Pending | RunStatus::Running | RunStatus::Waiting | RunStatus::Interrupted => {
            "in_progress"
        }
        RunStatus::Done | RunStatus::Failed => "completed",
        RunStatus::Cancelled => "cancelled",
        RunStatus::Incomplete => "incomplete",
    }
}
