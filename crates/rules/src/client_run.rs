//! What a run that a client drives may still take.

use adjutant_model::Timestamp;
use adjutant_model::client_run::ClientRunLimits;

/// Gives how many calls of tools a run has begun when it begins another.
///
/// # Errors
/// Why it may not: which limit is reached.
pub fn call_leave(limits: &ClientRunLimits, tool_calls: u64) -> Result<u64, String> {
    match limits.max_tool_calls {
        Some(max) if tool_calls >= max => Err(format!("the run's limit of {max} tool calls is reached")),
        Some(_) | None => Ok(tool_calls.saturating_add(1)),
    }
}

/// Gives when a run has taken all its time; `None` when it has no limit.
pub fn over_at(limits: &ClientRunLimits, started_at: Timestamp) -> Option<Timestamp> {
    limits.max_duration_ms.map(|ms| started_at.plus_ms(ms))
}

/// Says which limit is reached when a run has taken all its time.
pub fn time_over(limits: &ClientRunLimits, started_at: Timestamp, now: Timestamp) -> Option<String> {
    let ms = limits.max_duration_ms?;
    (now >= over_at(limits, started_at)?).then(|| format!("the run's limit of {ms} ms is reached"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_up_to_the_limit() {
        for (max, so_far, expected) in [
            (None, 0, Ok(1)),
            (None, u64::MAX, Ok(u64::MAX)),
            (Some(0), 0, Err("the run's limit of 0 tool calls is reached")),
            (Some(2), 1, Ok(2)),
            (Some(2), 2, Err("the run's limit of 2 tool calls is reached")),
            (Some(2), 3, Err("the run's limit of 2 tool calls is reached")),
        ] {
            let limits = ClientRunLimits { max_tool_calls: max, max_duration_ms: None };
            assert_eq!(call_leave(&limits, so_far), expected.map_err(str::to_owned), "{max:?} {so_far}");
        }
    }

    #[test]
    fn time_is_over_at_the_limit_and_not_before() {
        let at = Timestamp::from_unix_ms;
        for (max, now, expected) in [
            (None, 1_000_000, None),
            (Some(0), 1000, Some("the run's limit of 0 ms is reached")),
            (Some(50), 1049, None),
            (Some(50), 1050, Some("the run's limit of 50 ms is reached")),
            (Some(50), 900, None),
        ] {
            let limits = ClientRunLimits { max_tool_calls: None, max_duration_ms: max };
            assert_eq!(time_over(&limits, at(1000), at(now)).as_deref(), expected, "{max:?} {now}");
            assert_eq!(over_at(&limits, at(1000)).is_some(), max.is_some());
        }
    }
}
