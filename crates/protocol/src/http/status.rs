//! The daemon's own state on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The daemon answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HealthView {
    /// `ok`, or `degraded` while writes fail.
    pub status: String,
    /// The daemon's version.
    pub version: String,
}

/// How the daemon is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusView {
    /// Its version.
    pub version: String,
    /// When it started, RFC 3339.
    pub started_at: String,
    /// Its process id.
    pub pid: u32,
    /// How many runs are open.
    pub runs_open: u64,
    /// The place of the journal's last row.
    pub journal_seq: i64,
    /// Why writes fail, while they do.
    pub store_failure: Option<String>,
    /// How many runs have something in flight.
    #[serde(default)]
    pub running_runs: u64,
    /// How many sessions of operators live.
    #[serde(default)]
    pub attached_operators: u64,
    /// What the daemon does from time to time.
    #[serde(default)]
    pub periodic_jobs: Vec<JobView>,
    /// What the store takes on the disk.
    #[serde(default)]
    pub store: StoreSizesView,
    /// What waits.
    #[serde(default)]
    pub queues: QueuesView,
}

/// Something that the daemon does from time to time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// Its name.
    pub name: String,
    /// How long it pauses between two rounds, in seconds, rounded up.
    pub period_secs: u64,
    /// Whether it runs by itself; without that only at the start.
    pub enabled: bool,
    /// How many rounds have ended, however they did.
    pub runs: u64,
    /// How many of them failed.
    pub errors: u64,
    /// How many of them panicked.
    pub panics: u64,
    /// On how many things they acted together.
    pub acted_total: u64,
    /// When the last round that has ended began, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_started_secs: Option<i64>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_finished_secs: Option<i64>,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_duration_ms: Option<u64>,
    /// How it ended, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_outcome: Option<String>,
}

/// What the store takes on the disk, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoreSizesView {
    /// The database.
    pub tables_bytes: u64,
    /// The files of outputs.
    pub blobs_bytes: u64,
    /// The log of what is not in the database yet.
    pub wal_bytes: u64,
}

/// What waits, by what it waits for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueuesView {
    /// Writes that wait for the store's writer.
    pub writer: u64,
    /// Runs that are not over.
    pub open_runs: u64,
    /// Approvals that wait for an answer.
    pub waiting_approvals: u64,
    /// Bodies that arrive on the data path.
    pub arriving_bodies: u64,
}

/// What the daemon found of itself and of what it needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DoctorView {
    /// Whether nothing is wrong that Adjutant cannot work without.
    pub ok: bool,
    /// The daemon's version.
    pub server_version: String,
    /// Where it listens.
    pub bind: Option<String>,
    /// What the store is.
    pub store_kind: String,
    /// Where the store is.
    pub store_path: String,
    /// The blueprints that can be run by their id, at most 1000.
    pub blueprint_ids: Vec<String>,
    /// How many they are.
    pub blueprint_count: u64,
    /// What was looked at.
    pub checks: Vec<FindingView>,
    /// More of the agents that there are profiles of.
    pub agents: Vec<AgentFindingView>,
}

/// What was found of the program of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AgentFindingView {
    /// The profile.
    pub name: String,
    /// `ok`, or `warn` when it is not here, cannot be hosted, or is not known to be as its profile says.
    pub finding: String,
    /// The program, as the profile names it.
    pub program: String,
    /// Where it is; absent when it is not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its version, as `1.2.3`; absent when it could not be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The drivers that it can be hosted by here, the best first.
    pub drivers: Vec<String>,
    /// What is missing or not known, for people.
    pub warnings: Vec<String>,
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FindingView {
    /// The thing: a program's name, an agent's, `disk`, `clock` or `store`.
    pub name: String,
    /// `ok`, `warn` when something will not work that one may not need, or `fail`.
    pub finding: String,
    /// What was seen, or what to do about it.
    pub detail: String,
}
