//! What an agent says at its usage limit, in the words of Claude Code.

use adjutant_model::time::Timestamp;

/// Gives the message: `You've hit your session limit · resets Nov 29, 3pm (UTC)`.
pub(super) fn message(until: Timestamp) -> String {
    format!("You've hit your session limit · resets {} (UTC)", reset(&until.to_string()))
}

/// Makes `Nov 29, 3:05pm` of an instant in RFC 3339; an instant beyond its years stands as it is.
fn reset(instant: &str) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let number = |from: usize, to: usize| instant.get(from..to).and_then(|part| part.parse::<usize>().ok());
    let (Some(month), Some(day), Some(hour), Some(minute)) =
        (number(5, 7), number(8, 10), number(11, 13), number(14, 16))
    else {
        return instant.to_owned();
    };
    let Some(month) = MONTHS.get(month.wrapping_sub(1)) else { return instant.to_owned() };
    let half = if hour < 12 { "am" } else { "pm" };
    let hour = if hour.is_multiple_of(12) { 12 } else { hour % 12 };
    let minute = if minute == 0 { String::new() } else { format!(":{minute:02}") };
    format!("{month} {day}, {hour}{minute}{half}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_is_told_as_people_say_it() {
        for (until, expected) in [
            ("2026-11-29T15:00:00Z", "Nov 29, 3pm"),
            ("2026-01-02T00:05:59Z", "Jan 2, 12:05am"),
            ("2026-12-31T12:30:00Z", "Dec 31, 12:30pm"),
            ("2026-12-31T23:59:00Z", "Dec 31, 11:59pm"),
        ] {
            let until = Timestamp::parse(until).unwrap();
            assert_eq!(message(until), format!("You've hit your session limit · resets {expected} (UTC)"));
        }
    }
}
