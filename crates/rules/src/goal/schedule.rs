//! Schedules: cron expressions with five fields, in UTC.

use super::GoalRefusal;
use adjutant_model::Timestamp;
use croner::parser::{CronParser, Seconds};

/// The longest expression, in bytes.
const CRON_MAX: usize = 200;

/// Gives when an expression is due next, strictly behind `now`.
pub(super) fn next(cron: &str, now: Timestamp) -> Result<Timestamp, GoalRefusal> {
    let refused = |why: String| GoalRefusal::Schedule { cron: cron.chars().take(CRON_MAX).collect(), why };
    if cron.len() > CRON_MAX {
        return Err(refused(format!("it is longer than {CRON_MAX} bytes")));
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
    let schedule = parser.parse(cron).map_err(|error| refused(error.to_string()))?;
    let now = jiff::Timestamp::from_millisecond(now.unix_ms()).map_err(|error| refused(error.to_string()))?;
    let next = schedule
        .find_next_occurrence(&now.to_zoned(jiff::tz::TimeZone::UTC), false)
        .map_err(|error| refused(error.to_string()))?;
    Ok(Timestamp::from_unix_ms(next.timestamp().as_millisecond()))
}
