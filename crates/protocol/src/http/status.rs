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
}
