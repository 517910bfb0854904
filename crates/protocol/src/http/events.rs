//! The journal on the wire.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A row of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Its place in the journal; the cursor behind which a reader goes on.
    pub seq: i64,
    /// When it was written, RFC 3339.
    pub at: String,
    /// Who caused it.
    pub actor: String,
    /// What it is about: a run's or goal's id, or `plane`.
    pub subject: String,
    /// What happened, such as `run_advanced`.
    pub kind: String,
    /// What belongs to the kind.
    pub payload: Value,
}

/// Rows of the journal, the oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    /// The rows.
    pub events: Vec<EventView>,
    /// The `after` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after: Option<i64>,
}
