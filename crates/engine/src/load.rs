//! How much the plane has to do, and how much it holds.

use crate::clock;
use crate::jobs::JobStatus;
use crate::operators;
use crate::plane::Core;
use adjutant_model::action::Role;
use adjutant_model::client_run::ApprovalStatus;
use adjutant_model::run::RunStatus;
use adjutant_store::ReadError;

/// How much the plane has to do, and how much it holds. What cannot be counted is 0, so that whoever asks always hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaneLoad {
    /// How many runs have something in flight.
    pub runs_running: u64,
    /// How many operators are known: those that have joined, and sessions of the role.
    pub operators_attached: u64,
    /// The periodic jobs.
    pub jobs: Vec<JobStatus>,
    /// How many bytes the database takes.
    pub tables_bytes: u64,
    /// How many bytes the log of the database takes.
    pub wal_bytes: u64,
    /// How many bytes the files of outputs take.
    pub blobs_bytes: u64,
    /// How many writes wait for the store's writer.
    pub writes_waiting: u64,
    /// How many approvals wait for an answer.
    pub approvals_waiting: u64,
    /// How many bodies arrive on the data path.
    pub bodies_arriving: u64,
}

/// Counts.
pub(crate) async fn of(core: &Core) -> PlaneLoad {
    let store = &core.store;
    let (runs, operators, blobs, approvals) = tokio::join!(
        store.runs_count(RunStatus::Running),
        store.sessions_good(Some(Role::Operator), clock::now()),
        store.output_file_bytes(),
        store.approvals_count(ApprovalStatus::Pending),
    );
    let sizes = store.sizes();
    PlaneLoad {
        runs_running: or_none(runs),
        operators_attached: or_none(operators) + operators::list(core).len() as u64,
        jobs: core.jobs.statuses(),
        tables_bytes: sizes.tables,
        wal_bytes: sizes.wal,
        blobs_bytes: or_none(blobs),
        writes_waiting: store.queue_len() as u64,
        approvals_waiting: or_none(approvals),
        bodies_arriving: core.data.arriving() as u64,
    }
}

fn or_none(counted: Result<u64, ReadError>) -> u64 {
    counted.unwrap_or_else(|error| {
        tracing::warn!(%error, "the plane's load cannot be counted");
        0
    })
}
