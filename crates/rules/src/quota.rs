//! Quota: whether an agent's words say that its quota is spent, and until when.
//!
//! What is read is an error's text, never what a model says. The forms are those of Claude Code (`resets 3pm`, `limit
//! reached|1767225600`), Codex (`try again in 2 days 4 hours`, `try again at 3:04 PM`) and Gemini (`reset after 18h30m`).

use adjutant_model::Timestamp;
use chrono::{DateTime, Datelike, Duration, NaiveDate, NaiveDateTime, NaiveTime};
use regex::{Captures, Regex};
use std::sync::LazyLock;

/// A quota that is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaSpent {
    /// When there is more, when that was said.
    pub until: Option<Timestamp>,
}

/// What is believed of a reset that is said to be further away: nothing.
const AWAY_DAYS_MAX: i64 = 60;

static SPENT: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)usage limit|hit your (?:\S+ ){0,2}limit|limit reached|quota|out of (?:extra )?usage|\brate_limit\b",
    )
});
static EPOCH: LazyLock<Regex> = LazyLock::new(|| regex(r"\|\s*(\d{10})\b"));
static INSTANT: LazyLock<Regex> =
    LazyLock::new(|| regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)"));
static SPAN: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?i)\b(?:again|retry|resets?)\s+(?:in|after)\s+((?:\d+(?:\.\d+)?\s*[a-z]+[\s,]*(?:and\s+)?)+)")
});
static PART: LazyLock<Regex> = LazyLock::new(|| regex(r"(?i)(\d+(?:\.\d+)?)\s*([a-z]+)"));
static CLOCK: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)\b(?:again|resets?)(?:\s+(?:at|on))?\s+(?:(?P<month>[a-z]{3})[a-z]*\.?\s+(?P<day>\d{1,2})(?:st|nd|rd|th)?(?:,?\s+(?P<year>\d{4}))?,?\s+(?:at\s+)?)?(?P<hour>\d{1,2})(?::(?P<minute>\d\d))?\s*(?P<half>[ap]\.?m\b)?(?:\s*\((?P<zone>[^)]*)\))?",
    )
});

/// Reads what an error's text says of a quota; nothing when it is about something else.
///
/// A time of day is the next one; without a zone, and in any but UTC, it is taken for this machine's, whose distance from
/// UTC is `offset_secs`.
pub fn read(text: &str, now: Timestamp, offset_secs: i32) -> Option<QuotaSpent> {
    if !SPENT.is_match(text) {
        return None;
    }
    let until = epoch(text)
        .or_else(|| INSTANT.find(text).and_then(|found| Timestamp::parse(found.as_str()).ok()))
        .or_else(|| span_ms(text).map(|ms| now.plus_ms(ms)))
        .or_else(|| CLOCK.captures(text).and_then(|found| on_the_clock(&found, now, offset_secs)));
    let latest = now.plus_ms(AWAY_DAYS_MAX.unsigned_abs() * 86_400_000);
    Some(QuotaSpent { until: until.filter(|until| *until > now && *until <= latest) })
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is checked by the tests")
}

fn epoch(text: &str) -> Option<Timestamp> {
    let secs: i64 = EPOCH.captures(text)?[1].parse().ok()?;
    Some(Timestamp::from_unix_ms(secs * 1000))
}

fn span_ms(text: &str) -> Option<u64> {
    let span = SPAN.captures(text)?;
    let mut ms = 0.0;
    for part in PART.captures_iter(&span[1]) {
        let amount: f64 = part[1].parse().ok()?;
        let unit = match part[2].to_ascii_lowercase().as_str() {
            "ms" => 1.0,
            "d" | "day" | "days" => 86_400_000.0,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60_000.0,
            "s" | "sec" | "secs" | "second" | "seconds" => 1000.0,
            _ => break,
        };
        ms += amount * unit;
    }
    let limit = (AWAY_DAYS_MAX * 86_400_000) as f64;
    (ms > 0.0 && ms <= limit).then(|| ms.ceil() as u64)
}

fn on_the_clock(found: &Captures<'_>, now: Timestamp, offset_secs: i32) -> Option<Timestamp> {
    let number = |name: &str| found.name(name).and_then(|text| text.as_str().parse::<u32>().ok());
    let (hour, minute) = (number("hour")?, number("minute"));
    let half = found.name("half").map(|half| half.as_str().as_bytes()[0].to_ascii_lowercase());
    let hour = match (half, minute, hour) {
        (Some(half), _, 1..=12) => hour % 12 + if half == b'p' { 12 } else { 0 },
        (None, Some(_), 0..=23) => hour,
        _ => return None,
    };
    let time = NaiveTime::from_hms_opt(hour, minute.unwrap_or(0), 0)?;
    let is_utc = found.name("zone").is_some_and(|zone| ["UTC", "GMT", "Etc/UTC"].contains(&zone.as_str()));
    let offset = Duration::seconds(if is_utc { 0 } else { i64::from(offset_secs) });
    let here = DateTime::from_timestamp_millis(now.unix_ms())?.naive_utc() + offset;
    let at = match found.name("month") {
        Some(month) => on_a_day(month.as_str(), number("day")?, number("year"), time, here)?,
        None if here.date().and_time(time) > here => here.date().and_time(time),
        None => here.date().succ_opt()?.and_time(time),
    };
    Some(Timestamp::from_unix_ms((at - offset).and_utc().timestamp_millis()))
}

fn on_a_day(
    month: &str,
    day: u32,
    year: Option<u32>,
    time: NaiveTime,
    here: NaiveDateTime,
) -> Option<NaiveDateTime> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let month = MONTHS.iter().position(|name| *name == month.to_ascii_lowercase())? as u32 + 1;
    let in_year = |year| Some(NaiveDate::from_ymd_opt(year, month, day)?.and_time(time));
    match year {
        Some(year) => in_year(i32::try_from(year).ok()?),
        None => in_year(here.year()).filter(|at| *at > here).or_else(|| in_year(here.year() + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_agents_say_of_their_quota_is_understood() {
        // It is 14:30 in UTC, and 16:30 on this machine.
        let now = Timestamp::parse("2026-11-29T14:30:00Z").unwrap();
        for (text, until) in [
            ("You've hit your limit · resets 7pm (Europe/Berlin)", Some("2026-11-29T17:00:00Z")),
            ("5-hour limit reached ∙ resets at 3pm", Some("2026-11-30T13:00:00Z")),
            ("5-hour limit reached ∙ resets 3pm (UTC)", Some("2026-11-29T15:00:00Z")),
            ("usage limit reached, resets 12:15am", Some("2026-11-29T22:15:00Z")),
            ("usage limit reached, resets 23:05", Some("2026-11-29T21:05:00Z")),
            ("Claude AI usage limit reached|1795968000", Some("2026-11-29T16:00:00Z")),
            ("Weekly limit reached ∙ resets Dec 5, 5pm", Some("2026-12-05T15:00:00Z")),
            (
                "You've hit your usage limit. Try again at Jan 3rd, 2027 9:04 AM.",
                Some("2027-01-03T07:04:00Z"),
            ),
            (
                "You've hit your usage limit. Upgrade, or try again in 2 days 4 hours and 11 minutes.",
                Some("2026-12-01T18:41:00Z"),
            ),
            ("quota exceeded, retry in 34.5s", Some("2026-11-29T14:30:34.500Z")),
            ("Your quota will reset after 18h30m0s.", Some("2026-11-30T09:00:00Z")),
            ("quota until 2026-11-29T20:00:00Z", Some("2026-11-29T20:00:00Z")),
            ("You've hit your limit", None),
            ("usage limit reached, resets 3", None),
            ("usage limit reached, resets 13pm", None),
            ("usage limit reached, resets Feb 31, 3pm", None),
            ("usage limit reached|1000000000", None),
            ("quota exceeded, retry in 99999999999999999999 days", None),
        ] {
            let spent = read(text, now, 2 * 3600).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(spent.until, until.map(|until| Timestamp::parse(until).unwrap()), "{text}");
        }
        for other in ["", "overloaded", "the test resets at 3pm", "try again in 5 minutes", "invalid request"]
        {
            assert_eq!(read(other, now, 0), None, "{other}");
        }
    }
}
