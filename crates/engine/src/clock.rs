//! The one place that reads the clock and draws ids; everything below takes them as arguments.

use adjutant_model::Timestamp;
use adjutant_model::id::Uuid;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Gives the current instant.
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_unix_ms(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// Draws an id that sorts after those drawn before.
pub fn fresh_id() -> Uuid {
    Uuid::now_v7()
}

/// Draws an id that tells nothing of when it was drawn.
pub(crate) fn fresh_random_id() -> Uuid {
    Uuid::new_v4()
}

/// Draws 256 random bits as 64 hex digits: a secret.
pub fn fresh_secret() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// Gives how far this machine's time of day is from UTC now, in seconds.
pub(crate) fn offset_secs() -> i32 {
    jiff::tz::TimeZone::system().to_offset(jiff::Timestamp::now()).seconds()
}

/// Gives how long it is from now until `at`.
pub(crate) fn until(at: Timestamp) -> Duration {
    Duration::from_millis(at.ms_since(now()))
}
