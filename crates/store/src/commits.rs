//! How long commits take and how much they hold, counted since the store was opened.

use prometheus_client::metrics::histogram::Histogram;
use std::time::Duration;

/// Bounds for seconds: from what memory takes to what only a failing disk takes.
const SECONDS: [f64; 13] =
    [0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// Bounds for how many writes share a commit.
const WRITES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0, 1024.0];

/// What was counted of commits; a clone counts on in the same numbers.
#[derive(Debug, Clone)]
pub struct CommitMeters {
    /// How long a commit took, in seconds.
    pub seconds: Histogram,
    /// How many writes it held.
    pub writes: Histogram,
}

impl Default for CommitMeters {
    fn default() -> Self {
        CommitMeters { seconds: Histogram::new(SECONDS), writes: Histogram::new(WRITES) }
    }
}

impl CommitMeters {
    pub(crate) fn committed(&self, writes: usize, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        self.writes.observe(f64::from(u32::try_from(writes).unwrap_or(u32::MAX)));
    }
}
