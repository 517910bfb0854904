//! What is known of a session in words. Pure: the present instant is an argument.

use crate::cli::table::Tone;
use crate::progress::visible_line;
use adjutant_model::Timestamp;
use adjutant_protocol::http::{ActivityView, ManagedView, QuestionView, SessionUsageView, SessionView};

/// Whom a session needs, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// A person: it asks, or it failed.
    Waits,
    /// Nobody: it works, or is on its way to.
    Works,
    /// Somebody who tells it what is next.
    Idle,
    /// Nobody: it is left alone for a while.
    Parked,
    /// Nobody: its agent is not there.
    Stopped,
    /// Nobody any more.
    Over,
}

impl Urgency {
    /// Judges a session.
    pub(super) fn of(session: &ManagedView) -> Urgency {
        match (session.state.as_str(), session.phase.as_str()) {
            ("errored", _) => Urgency::Waits,
            ("decommissioned", _) => Urgency::Over,
            ("stopped", _) => Urgency::Stopped,
            (_, "parked") => Urgency::Parked,
            (_, "running") => match (session.activity.activity.as_str(), waits_for(session)) {
                _ if !session.questions.is_empty() => Urgency::Waits,
                ("waiting", Some("quota")) => Urgency::Parked,
                ("waiting", _) => Urgency::Waits,
                ("idle", _) => Urgency::Idle,
                _ => Urgency::Works,
            },
            _ => Urgency::Works,
        }
    }

    /// Gives how it is shown.
    pub(super) fn tone(self, session: &ManagedView) -> Tone {
        match self {
            Urgency::Waits if session.state == "errored" => Tone::Bad,
            Urgency::Waits => Tone::Waits,
            Urgency::Works if session.activity.activity == "working" => Tone::Good,
            Urgency::Works | Urgency::Idle => Tone::Plain,
            Urgency::Parked | Urgency::Stopped | Urgency::Over => Tone::Quiet,
        }
    }
}

fn waits_for(session: &ManagedView) -> Option<&str> {
    session.activity.waiting_for.as_deref()
}

/// Says what a session does, and what it waits for.
pub(super) fn does(session: &ManagedView) -> String {
    let because = |what: &str| match &session.reason {
        Some(reason) => format!("{what}: {}", visible_line(reason)),
        None => what.to_owned(),
    };
    match (session.state.as_str(), session.phase.as_str()) {
        ("decommissioned", _) => "decommissioned".to_owned(),
        (_, "provisioning") => "its workspace is made".to_owned(),
        (_, "launching") => "its agent is started".to_owned(),
        (_, "ending") => "its agent is ended".to_owned(),
        (_, "removing") => "its workspace is removed".to_owned(),
        (state @ ("errored" | "stopped"), _) => because(state),
        (_, "parked") => parked(session),
        _ => activity(session),
    }
}

fn parked(session: &ManagedView) -> String {
    let until = session.parked_until.as_deref().map(|at| format!(" until {}", clock(at)));
    let why = session.reason.as_deref().map(|reason| format!(": {}", visible_line(reason)));
    format!("parked{}{}", until.unwrap_or_default(), why.unwrap_or_default())
}

/// Says what a session does that is not hosted here, and what it waits for.
pub(super) fn does_elsewhere(session: &SessionView) -> String {
    match (&session.role, session.state.as_str()) {
        (Some(role), _) => format!("holds a token as {role}"),
        (None, "over") => "over".to_owned(),
        (None, _) => activity_of(&session.activity, &session.questions, None),
    }
}

fn activity(session: &ManagedView) -> String {
    activity_of(&session.activity, &session.questions, session.parked_until.as_deref())
}

fn activity_of(activity: &ActivityView, questions: &[QuestionView], parked_until: Option<&str>) -> String {
    match (questions, activity.waiting_for.as_deref()) {
        ([question, more @ ..], _) => {
            let tool = question.tool.as_deref().filter(|_| question.kind == "permission");
            let tool = tool.map_or_else(String::new, |tool| format!(" {}", visible_line(tool)));
            let more = if more.is_empty() { String::new() } else { format!(" (and {} more)", more.len()) };
            format!("waits: {}{tool}{more}: {}", question.kind, visible_line(&question.text))
        }
        ([], Some("quota")) => {
            let until = parked_until.map(|at| format!(" until {}", clock(at)));
            format!("waits: quota{}", until.unwrap_or_default())
        }
        ([], Some(what)) => format!("waits: {what}"),
        ([], None) => activity.activity.clone(),
    }
}

/// Gives since when a session does what it does.
pub(super) fn since(session: &ManagedView) -> &str {
    match session.phase.as_str() {
        "running" => &session.activity.since,
        _ => &session.updated_at,
    }
}

/// Says how long ago an instant was.
pub(in crate::cli) fn ago(at: &str, now: Timestamp) -> String {
    let Ok(at) = Timestamp::parse(at) else { return String::new() };
    match now.ms_since(at) / 1000 {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// Gives the day and the time of day, out of `2026-01-31T09:30:00.123Z`.
pub(super) fn clock(at: &str) -> String {
    at.get(..19).unwrap_or(at).replacen('T', " ", 1)
}

/// Says what a session used: what it cost where its agent says that, and else its tokens.
pub(super) fn spent(usage: &SessionUsageView) -> String {
    match (usage.cost_usd, tokens(usage)) {
        (Some(usd), _) if usage.cost_is_estimated => format!("~{}", money(usd)),
        (Some(usd), _) => money(usd),
        (None, 0) => String::new(),
        (None, tokens) => format!("{} tokens", rounded(tokens)),
    }
}

/// Shows an amount of money; cents of cents only where there is nothing else.
pub(super) fn money(usd: f64) -> String {
    if usd > 0.0 && usd < 0.01 { format!("${usd:.4}") } else { format!("${usd:.2}") }
}

/// Gives the tokens that count against a budget.
pub(super) fn tokens(usage: &SessionUsageView) -> u64 {
    usage.input_tokens.saturating_add(usage.output_tokens).saturating_add(usage.cache_write_tokens)
}

/// Shows a number with three digits at most, and what they count.
pub(super) fn rounded(n: u64) -> String {
    let (unit, name) = match n {
        0..1_000 => return n.to_string(),
        1_000..1_000_000 => (1_000, "k"),
        1_000_000..1_000_000_000 => (1_000_000, "M"),
        _ => (1_000_000_000, "G"),
    };
    let (whole, tenth) = (n / unit, n % unit * 10 / unit);
    if whole < 100 && tenth > 0 { format!("{whole}.{tenth}{name}") } else { format!("{whole}{name}") }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{question, session};
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_session_does_is_one_line_with_what_it_waits_for() {
        let asks = |questions: Vec<serde_json::Value>, what: &str| json!({"questions": questions, "activity": {"activity": "waiting", "waiting_for": what}});
        let ask = question("toolu_1", "permission", "run\n`make`?");
        for (over, expected) in [
            (json!({}), "working"),
            (json!({"activity": {"activity": "idle"}}), "idle"),
            (json!({"activity": {"activity": "unknown"}}), "unknown"),
            (asks(vec![ask.clone()], "permission"), "waits: permission Bash: run `make`?"),
            (asks(vec![ask.clone(), ask], "permission"), "waits: permission Bash (and 1 more): run `make`?"),
            (asks(vec![], "quota"), "waits: quota"),
            (json!({"state": "provisioning", "phase": "provisioning"}), "its workspace is made"),
            (json!({"state": "provisioning", "phase": "launching"}), "its agent is started"),
            (json!({"phase": "ending"}), "its agent is ended"),
            (
                json!({"phase": "parked", "parked_until": "2026-01-31T09:30:00.123Z", "reason": "it died"}),
                "parked until 2026-01-31 09:30:00: it died",
            ),
            (json!({"state": "errored", "phase": "resting", "reason": "no \x1b"}), "errored: no ␛"),
            (json!({"state": "stopped", "phase": "resting"}), "stopped"),
            (json!({"state": "stopped", "phase": "removing"}), "its workspace is removed"),
            (json!({"state": "decommissioned", "phase": "resting"}), "decommissioned"),
        ] {
            assert_eq!(does(&session(&over)), expected, "{over}");
        }
    }

    #[test]
    fn who_waits_for_a_person_is_told_apart() {
        for (over, expected) in [
            (json!({}), Urgency::Works),
            (json!({"activity": {"activity": "idle"}}), Urgency::Idle),
            (json!({"activity": {"activity": "waiting", "waiting_for": "question"}}), Urgency::Waits),
            (json!({"activity": {"activity": "waiting", "waiting_for": "quota"}}), Urgency::Parked),
            (json!({"questions": [question("a", "question", "which?")]}), Urgency::Waits),
            (json!({"state": "errored", "phase": "parked"}), Urgency::Waits),
            (json!({"phase": "parked"}), Urgency::Parked),
            (json!({"state": "stopped", "phase": "resting"}), Urgency::Stopped),
            (json!({"state": "decommissioned", "phase": "resting"}), Urgency::Over),
        ] {
            assert_eq!(Urgency::of(&session(&over)), expected, "{over}");
        }
    }

    #[test]
    fn spans_and_amounts_are_short() {
        let now = Timestamp::parse("2026-01-31T12:00:00Z").expect("an instant");
        for (at, expected) in [
            ("2026-01-31T11:59:59Z", "1 s"),
            ("2026-01-31T13:00:00Z", "0 s"),
            ("2026-01-31T11:57:01Z", "2 min"),
            ("2026-01-31T10:00:00Z", "2 h"),
            ("2026-01-30T11:00:00Z", "25 h"),
            ("2026-01-21T12:00:00Z", "10 d"),
            ("never", ""),
        ] {
            assert_eq!(ago(at, now), expected, "{at}");
        }
        for (n, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1k"),
            (12_345, "12.3k"),
            (123_999, "123k"),
            (1_200_000, "1.2M"),
            (7_000_000_000, "7G"),
        ] {
            assert_eq!(rounded(n), expected);
        }
        for (usd, expected) in [(0.0, "$0.00"), (0.0042, "$0.0042"), (1.239, "$1.24")] {
            assert_eq!(money(usd), expected);
        }
    }
}
