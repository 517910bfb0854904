//! The time at which something was heard.

use adjutant_model::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// Gives the present instant.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
